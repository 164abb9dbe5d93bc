//! Column bounds, from the bytes that manifests keep to values of a column's type today.

use std::cmp::Ordering;

use iceberg::spec::{Datum, PrimitiveLiteral, PrimitiveType};

/// A day in microseconds, for dates that were promoted to timestamps.
const DAY_MICROS: i64 = 86_400_000_000;

/// A bound, or another value in Iceberg's single-value form, as a value of a column's type today.
///
/// What was written before a promotion has the length of the type it had then: int to long, float to double, date to
/// timestamp. `None` for bytes that no value of the type has: then nothing is known.
pub fn decode_bound(bytes: &[u8], of: &PrimitiveType) -> Option<PrimitiveLiteral> {
    use PrimitiveType as T;
    Some(match of {
        T::Boolean => match bytes {
            [byte] => PrimitiveLiteral::Boolean(*byte != 0),
            _ => return None,
        },
        T::Int | T::Date => PrimitiveLiteral::Int(int(bytes)?),
        T::Long => PrimitiveLiteral::Long(match int(bytes) {
            Some(old) => i64::from(old),
            None => long(bytes)?,
        }),
        T::Timestamp => PrimitiveLiteral::Long(match int(bytes) {
            Some(days) => i64::from(days).checked_mul(DAY_MICROS)?,
            None => long(bytes)?,
        }),
        T::TimestampNs => PrimitiveLiteral::Long(match int(bytes) {
            Some(days) => i64::from(days).checked_mul(DAY_MICROS)?.checked_mul(1000)?,
            None => long(bytes)?,
        }),
        T::Time | T::Timestamptz | T::TimestamptzNs => PrimitiveLiteral::Long(long(bytes)?),
        T::Float => Datum::float(f32::from_le_bytes(bytes.try_into().ok()?))
            .literal()
            .clone(),
        T::Double => {
            let value = match <[u8; 4]>::try_from(bytes) {
                Ok(old) => f64::from(f32::from_le_bytes(old)),
                Err(_) => f64::from_le_bytes(bytes.try_into().ok()?),
            };
            Datum::double(value).literal().clone()
        }
        T::Decimal { .. } => PrimitiveLiteral::Int128(signed(bytes)?),
        T::String => PrimitiveLiteral::String(std::str::from_utf8(bytes).ok()?.to_owned()),
        T::Uuid => PrimitiveLiteral::UInt128(u128::from_be_bytes(bytes.try_into().ok()?)),
        T::Fixed(length) if *length != bytes.len() as u64 => return None,
        T::Fixed(_) | T::Binary => PrimitiveLiteral::Binary(bytes.to_vec()),
    })
}

/// The bytes of a value in Iceberg's single-value form; none for a value that has no such form.
pub(crate) fn encode_bound(value: &PrimitiveLiteral) -> Option<Vec<u8>> {
    use PrimitiveLiteral as L;
    Some(match value {
        L::Boolean(v) => vec![u8::from(*v)],
        L::Int(v) => v.to_le_bytes().to_vec(),
        L::Long(v) => v.to_le_bytes().to_vec(),
        L::Float(v) => v.0.to_le_bytes().to_vec(),
        L::Double(v) => v.0.to_le_bytes().to_vec(),
        L::String(v) => v.as_bytes().to_vec(),
        L::Binary(v) => v.clone(),
        L::Int128(v) => minimal(*v),
        L::UInt128(v) => v.to_be_bytes().to_vec(),
        L::AboveMax | L::BelowMin => return None,
    })
}

/// The order of two bounds of one type, or of a type and the one that it was promoted to. `None` for NaN and for what
/// doesn't compare; so for UUIDs, whose bounds some writers order by signed halves.
pub fn compare_bounds(left: &PrimitiveLiteral, right: &PrimitiveLiteral) -> Option<Ordering> {
    use PrimitiveLiteral as L;
    match (left, right) {
        (L::Boolean(l), L::Boolean(r)) => Some(l.cmp(r)),
        (L::Int128(l), L::Int128(r)) => Some(l.cmp(r)),
        (L::Int(_) | L::Long(_), L::Int(_) | L::Long(_)) => Some(whole(left)?.cmp(&whole(right)?)),
        (L::Float(_) | L::Double(_), L::Float(_) | L::Double(_)) => {
            float(left)?.partial_cmp(&float(right)?)
        }
        (L::String(l), L::String(r)) => Some(l.as_bytes().cmp(r.as_bytes())),
        (L::Binary(l), L::Binary(r)) => Some(l.cmp(r)),
        _ => None,
    }
}

fn whole(value: &PrimitiveLiteral) -> Option<i64> {
    match value {
        PrimitiveLiteral::Int(v) => Some(i64::from(*v)),
        PrimitiveLiteral::Long(v) => Some(*v),
        _ => None,
    }
}

fn float(value: &PrimitiveLiteral) -> Option<f64> {
    match value {
        PrimitiveLiteral::Float(v) => Some(f64::from(v.0)),
        PrimitiveLiteral::Double(v) => Some(v.0),
        _ => None,
    }
}

/// A big-endian two's complement number of any length that fits.
pub(crate) fn signed(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first()? & 0x80 != 0;
    let fill = if negative { 0xff } else { 0 };
    let extra = bytes.len().saturating_sub(16);
    let (head, tail) = bytes.split_at(extra);
    let mut whole = [fill; 16];
    whole[16 - tail.len()..].copy_from_slice(tail);
    let value = i128::from_be_bytes(whole);
    let fits = head.iter().all(|byte| *byte == fill) && (value < 0) == negative;
    fits.then_some(value)
}

/// The shortest big-endian two's complement form.
pub(crate) fn minimal(value: i128) -> Vec<u8> {
    let whole = value.to_be_bytes();
    let mut from = 0;
    while from < 15
        && ((whole[from] == 0 && whole[from + 1] & 0x80 == 0)
            || (whole[from] == 0xff && whole[from + 1] & 0x80 != 0))
    {
        from += 1;
    }
    whole[from..].to_vec()
}

fn int(bytes: &[u8]) -> Option<i32> {
    Some(i32::from_le_bytes(bytes.try_into().ok()?))
}

fn long(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decimals_come_back_from_their_shortest_form(value in any::<i128>(), shift in 0_u32..128) {
            let value = value >> shift;
            let bytes = encode_bound(&PrimitiveLiteral::Int128(value)).unwrap();
            prop_assert_eq!(signed(&bytes), Some(value));
            let iceberg = Datum::decimal_from_str(value.to_string()).ok().and_then(|datum| datum.to_bytes().ok());
            if let Some(iceberg) = iceberg {
                prop_assert_eq!(bytes, iceberg.to_vec());
            }
        }

        #[test]
        fn any_bytes_are_a_bound_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            for of in [
                PrimitiveType::Boolean,
                PrimitiveType::Int,
                PrimitiveType::Long,
                PrimitiveType::Float,
                PrimitiveType::Double,
                PrimitiveType::Decimal { precision: 38, scale: 2 },
                PrimitiveType::Date,
                PrimitiveType::Timestamp,
                PrimitiveType::TimestampNs,
                PrimitiveType::String,
                PrimitiveType::Uuid,
                PrimitiveType::Fixed(3),
                PrimitiveType::Binary,
            ] {
                if let Some(value) = decode_bound(&bytes, &of) {
                    prop_assert!(of.compatible(&value), "{of} {value:?}");
                }
            }
        }
    }

    #[test]
    fn what_was_written_before_a_promotion_is_of_the_type_of_today() {
        let read = |bytes: &[u8], of| decode_bound(bytes, &of);
        let int = (-7_i32).to_le_bytes();
        assert_eq!(
            read(&int, PrimitiveType::Long),
            Some(PrimitiveLiteral::Long(-7))
        );
        let days = PrimitiveLiteral::Long(-7 * DAY_MICROS);
        assert_eq!(read(&int, PrimitiveType::Timestamp), Some(days));
        assert_eq!(read(&int, PrimitiveType::Timestamptz), None);
        let float = 1.5_f32.to_le_bytes();
        assert_eq!(
            read(&float, PrimitiveType::Double),
            Some(Datum::double(1.5).literal().clone())
        );
    }
}
