//! Partition values as their column's type has them today.

use std::borrow::Cow;

use iceberg::spec::{PrimitiveLiteral, PrimitiveType};
use landfast_catalog::decode_bound;

/// A value of a partition tuple as one of its field's type. Manifests give values in the types that they were written
/// in: before a promotion, or as bytes where Avro's logical type is missing. `None` for what is no such value.
pub(super) fn typed<'a>(
    value: &'a PrimitiveLiteral,
    of: &PrimitiveType,
) -> Option<Cow<'a, PrimitiveLiteral>> {
    use PrimitiveLiteral as L;
    use PrimitiveType as T;
    match (value, of) {
        (L::Boolean(_), T::Boolean)
        | (L::Int(_), T::Int | T::Date)
        | (
            L::Long(_),
            T::Long | T::Time | T::Timestamp | T::Timestamptz | T::TimestampNs | T::TimestamptzNs,
        )
        | (L::Float(_), T::Float)
        | (L::Double(_), T::Double)
        | (L::Int128(_), T::Decimal { .. })
        | (L::UInt128(_), T::Uuid)
        | (L::String(_), T::String)
        | (L::Binary(_), T::Binary | T::Fixed(_)) => Some(Cow::Borrowed(value)),
        (L::Long(v), T::Int | T::Date) => Some(Cow::Owned(L::Int(i32::try_from(*v).ok()?))),
        (L::Int(v), T::Long | T::Timestamp | T::TimestampNs) => {
            decode_bound(&v.to_le_bytes(), of).map(Cow::Owned)
        }
        (L::Float(v), T::Double) => decode_bound(&v.0.to_le_bytes(), of).map(Cow::Owned),
        (L::Binary(bytes), T::Decimal { .. } | T::String | T::Uuid) => {
            decode_bound(bytes, of).map(Cow::Owned)
        }
        (L::String(text), T::Binary) => Some(Cow::Owned(L::Binary(text.as_bytes().to_vec()))),
        _ => None,
    }
}
