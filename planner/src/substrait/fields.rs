//! How many fields a message has, before anything is made of it.
//!
//! A field of two bytes becomes a value of hundreds, so a message's length alone does not bound what reading it takes.

/// How deep messages are looked into; deeper ones are refused when they are read.
const DEPTH_MAX: usize = 101;

/// The fields of a message and of all that could be messages within it: at least as many as there are. Nothing, if the
/// bytes are no message.
pub(super) fn at_most(message: &[u8]) -> Option<usize> {
    let mut fields = 0;
    count(message, DEPTH_MAX, &mut fields).map(|()| fields)
}

/// Counts the fields up to the end, or to where the bytes are no message any more: a reader has made values of those
/// before when it finds out.
fn count(mut bytes: &[u8], depth: usize, fields: &mut usize) -> Option<()> {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        if tag >> 3 == 0 {
            return None;
        }
        *fields += 1;
        match tag & 7 {
            0 => {
                varint(&mut bytes)?;
            }
            1 => bytes = bytes.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let inner = bytes.get(..length)?;
                bytes = &bytes[length..];
                if depth > 0 {
                    // It may be a text.
                    let _ = count(inner, depth - 1, fields);
                }
            }
            // A group's beginning and end.
            3 | 4 => {}
            5 => bytes = bytes.get(4..)?,
            _ => return None,
        }
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for at in 0..10 {
        let byte = *bytes.get(at)?;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use substrait::proto::{Plan, PlanRel, Version};

    use super::*;

    #[test]
    fn every_field_at_every_depth_counts() {
        let plan = Plan {
            version: Some(Version {
                minor_number: 85,
                producer: "\u{1}".into(),
                ..Version::default()
            }),
            relations: vec![PlanRel::default(); 1000],
            ..Plan::default()
        };
        assert_eq!(at_most(&plan.encode_to_vec()), Some(1 + 2 + 1000));
    }

    #[test]
    fn what_is_cut_off_or_no_message_is_told_from_an_empty_one() {
        assert_eq!(at_most(&[0x0a, 0x7f, 0x00]), None);
        assert_eq!(at_most(&[0xff; 64]), None);
        assert_eq!(at_most(&[]), Some(0));
        // A hundred thousand messages, each within the other.
        let mut deep = vec![0x0a; 200_000];
        deep.extend([0x00]);
        at_most(&deep);
    }

    #[test]
    fn the_fields_before_a_malformed_end_count() {
        let plan = Plan {
            relations: vec![PlanRel::default(); 60],
            ..Plan::default()
        };
        // A field of a message that ends in a byte that begins no field.
        let mut inner = plan.encode_to_vec();
        inner.push(0x00);
        let mut outer = vec![0x1a, u8::try_from(inner.len()).unwrap()];
        outer.extend(inner);
        assert_eq!(at_most(&outer), Some(1 + 60));
    }
}
