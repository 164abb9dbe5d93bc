//! How many fields a message has, before anything is made of it.
//!
//! A field of two bytes becomes a value of hundreds, so a message's length alone does not bound what reading it takes.

/// How deep messages are looked into; deeper ones are refused when they are read.
const DEPTH_MAX: usize = 101;

/// The fields of a message and of all that could be messages within it: at least as many as there are.
pub(super) fn at_most(message: &[u8]) -> usize {
    count(message, DEPTH_MAX).unwrap_or(0)
}

/// The fields, if the bytes are a message at all.
fn count(mut bytes: &[u8], depth: usize) -> Option<usize> {
    let mut fields = 0usize;
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        if tag >> 3 == 0 {
            return None;
        }
        fields += 1;
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
                    fields += count(inner, depth - 1).unwrap_or(0);
                }
            }
            // A group's beginning and end.
            3 | 4 => {}
            5 => bytes = bytes.get(4..)?,
            _ => return None,
        }
    }
    Some(fields)
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
        assert_eq!(at_most(&plan.encode_to_vec()), 1 + 2 + 1000);
    }

    #[test]
    fn what_is_cut_off_or_no_message_counts_as_nothing_and_ends() {
        assert_eq!(at_most(&[0x0a, 0x7f, 0x00]), 0);
        assert_eq!(at_most(&[0xff; 64]), 0);
        assert_eq!(at_most(&[]), 0);
        // A hundred thousand messages, each within the other.
        let mut deep = vec![0x0a; 200_000];
        deep.extend([0x00]);
        at_most(&deep);
    }
}
