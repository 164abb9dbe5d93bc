//! A partition as a key: equal bytes for equal partitions, whatever types the manifests were written with.

use std::collections::HashSet;

use iceberg::spec::{Literal, PrimitiveLiteral, Struct, TableMetadata, Transform};

/// The specs of a table that don't partition: without fields, or with fields that were all dropped.
pub(super) fn unpartitioned_specs(metadata: &TableMetadata) -> HashSet<i32> {
    let specs = metadata.partition_specs_iter();
    specs
        .filter(|spec| {
            let mut fields = spec.fields().iter();
            fields.all(|field| field.transform == Transform::Void)
        })
        .map(|spec| spec.spec_id())
        .collect()
}

/// A spec and a partition tuple as bytes that are equal where both are.
///
/// Values are equal as Iceberg's own readers have it: NaN is NaN, 0.0 is not -0.0, null is null. A source column may
/// have been promoted between two manifests, so an int is the long of the same value, a float the double.
pub(super) fn partition_key(spec_id: i32, partition: &Struct, key: &mut Vec<u8>) {
    key.clear();
    key.extend(spec_id.to_le_bytes());
    for value in partition.iter() {
        match value {
            Some(Literal::Primitive(value)) => primitive_key(value, key),
            // Partition values are primitive: any other one is equal to none, because nothing follows the tag.
            Some(_) => key.push(u8::MAX),
            None => key.push(0),
        }
    }
}

fn primitive_key(value: &PrimitiveLiteral, key: &mut Vec<u8>) {
    use PrimitiveLiteral as L;
    let mut fixed = |tag: u8, bytes: &[u8]| {
        key.push(tag);
        key.extend(bytes);
    };
    let double = |value: f64| if value.is_nan() { f64::NAN } else { value }.to_le_bytes();
    match value {
        L::Boolean(v) => fixed(1, &[u8::from(*v)]),
        L::Int(v) => fixed(2, &i64::from(*v).to_le_bytes()),
        L::Long(v) => fixed(2, &v.to_le_bytes()),
        L::Float(v) => fixed(3, &double(f64::from(v.0))),
        L::Double(v) => fixed(3, &double(v.0)),
        L::Int128(v) => fixed(4, &v.to_le_bytes()),
        L::UInt128(v) => fixed(5, &v.to_le_bytes()),
        L::String(v) => sized(6, v.as_bytes(), key),
        L::Binary(v) => sized(7, v, key),
        L::AboveMax => key.push(8),
        L::BelowMin => key.push(9),
    }
}

/// With its length, so that no two tuples run into the same bytes.
fn sized(tag: u8, bytes: &[u8], key: &mut Vec<u8>) {
    key.push(tag);
    key.extend((bytes.len() as u64).to_le_bytes());
    key.extend(bytes);
}
