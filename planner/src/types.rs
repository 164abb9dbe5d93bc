//! Iceberg types as Arrow types.
//!
//! The mapping is ours, because any difference between what the table says and what a file yields costs a cast per
//! batch: strings and binary are views, `timestamptz` is in the zone `UTC`, and a field's metadata holds its Iceberg
//! field id and nothing else. List elements and map entries are named as Iceberg's specification names them in Parquet.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use iceberg::spec::{
    ListType, MapType, NestedFieldRef, PrimitiveLiteral, PrimitiveType, Schema as IcebergSchema,
    Type,
};

/// The key under which an Arrow field's metadata holds the Iceberg field id; what Parquet's Arrow reader uses.
pub const FIELD_ID_KEY: &str = "PARQUET:field_id";

/// The zone of every `timestamptz`.
const UTC: &str = "UTC";

/// What a date that was promoted to a timestamp counts for.
const DAY_MICROS: i64 = 86_400_000_000;

/// The widest decimal that Iceberg has.
const DECIMAL_DIGITS_MAX: u32 = 38;

/// A table's Arrow schema: one field per top-level column, field ids in the metadata at every level.
///
/// # Errors
/// A decimal that is wider than Iceberg allows.
pub fn arrow_schema(schema: &IcebergSchema) -> Result<SchemaRef> {
    Ok(Arc::new(Schema::new(arrow_fields(
        schema.as_struct().fields(),
    )?)))
}

/// The Arrow field of one Iceberg field.
pub fn arrow_field(field: &NestedFieldRef) -> Result<FieldRef> {
    named_field(&field.name, field)
}

/// The Iceberg field id that an Arrow field carries.
pub fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(FIELD_ID_KEY)?.parse().ok()
}

/// The Arrow type of an Iceberg type.
pub fn arrow_type(iceberg: &Type) -> Result<DataType> {
    Ok(match iceberg {
        Type::Primitive(primitive) => primitive_type(primitive)?,
        Type::Struct(fields) => DataType::Struct(arrow_fields(fields.fields())?),
        Type::List(list) => list_type(list)?,
        Type::Map(map) => map_type(map)?,
    })
}

/// An Iceberg value of the given Iceberg type as a scalar of the Arrow type that [`arrow_type`] gives.
///
/// A value of a type that the column had before it was promoted is promoted. `None` where the value cannot be of the
/// type: the caller then knows nothing of it.
pub(crate) fn scalar(value: &PrimitiveLiteral, of: &PrimitiveType) -> Option<ScalarValue> {
    use PrimitiveLiteral as L;
    use PrimitiveType as T;
    Some(match (of, value) {
        (T::Boolean, L::Boolean(v)) => ScalarValue::Boolean(Some(*v)),
        (T::Int, L::Int(v)) => ScalarValue::Int32(Some(*v)),
        (T::Long, L::Int(v)) => ScalarValue::Int64(Some(i64::from(*v))),
        (T::Long, L::Long(v)) => ScalarValue::Int64(Some(*v)),
        (T::Float, L::Float(v)) => ScalarValue::Float32(Some(v.0)),
        (T::Double, L::Float(v)) => ScalarValue::Float64(Some(f64::from(v.0))),
        (T::Double, L::Double(v)) => ScalarValue::Float64(Some(v.0)),
        (T::Decimal { precision, scale }, L::Int128(v)) => ScalarValue::Decimal128(
            Some(*v),
            u8::try_from(*precision).ok()?,
            i8::try_from(*scale).ok()?,
        ),
        (T::Date, L::Int(v)) => ScalarValue::Date32(Some(*v)),
        (T::Time, L::Long(v)) => ScalarValue::Time64Microsecond(Some(*v)),
        (T::Timestamp, L::Int(days)) => {
            ScalarValue::TimestampMicrosecond(Some(i64::from(*days).checked_mul(DAY_MICROS)?), None)
        }
        (T::TimestampNs, L::Int(days)) => ScalarValue::TimestampNanosecond(
            Some(i64::from(*days).checked_mul(DAY_MICROS * 1000)?),
            None,
        ),
        (T::Timestamp, L::Long(v)) => ScalarValue::TimestampMicrosecond(Some(*v), None),
        (T::Timestamptz, L::Long(v)) => {
            ScalarValue::TimestampMicrosecond(Some(*v), Some(UTC.into()))
        }
        (T::TimestampNs, L::Long(v)) => ScalarValue::TimestampNanosecond(Some(*v), None),
        (T::TimestamptzNs, L::Long(v)) => {
            ScalarValue::TimestampNanosecond(Some(*v), Some(UTC.into()))
        }
        (T::String, L::String(v)) => ScalarValue::Utf8View(Some(v.clone())),
        (T::Uuid, L::UInt128(v)) => {
            ScalarValue::FixedSizeBinary(16, Some(v.to_be_bytes().to_vec()))
        }
        (T::Fixed(length), L::Binary(v)) if v.len() as u64 == *length => {
            ScalarValue::FixedSizeBinary(i32::try_from(*length).ok()?, Some(v.clone()))
        }
        (T::Binary, L::Binary(v)) => ScalarValue::BinaryView(Some(v.clone())),
        _ => return None,
    })
}

fn arrow_fields(fields: &[NestedFieldRef]) -> Result<Fields> {
    fields.iter().map(arrow_field).collect()
}

fn named_field(name: &str, field: &NestedFieldRef) -> Result<FieldRef> {
    let metadata = HashMap::from([(FIELD_ID_KEY.to_owned(), field.id.to_string())]);
    let arrow = Field::new(name, arrow_type(&field.field_type)?, !field.required);
    Ok(Arc::new(arrow.with_metadata(metadata)))
}

fn list_type(list: &ListType) -> Result<DataType> {
    Ok(DataType::List(named_field("element", &list.element_field)?))
}

fn map_type(map: &MapType) -> Result<DataType> {
    let entries = Fields::from(vec![
        named_field("key", &map.key_field)?,
        named_field("value", &map.value_field)?,
    ]);
    Ok(DataType::Map(
        Arc::new(Field::new("key_value", DataType::Struct(entries), false)),
        false,
    ))
}

fn primitive_type(primitive: &PrimitiveType) -> Result<DataType> {
    Ok(match primitive {
        PrimitiveType::Boolean => DataType::Boolean,
        PrimitiveType::Int => DataType::Int32,
        PrimitiveType::Long => DataType::Int64,
        PrimitiveType::Float => DataType::Float32,
        PrimitiveType::Double => DataType::Float64,
        PrimitiveType::Decimal { precision, scale } => decimal_type(*precision, *scale)?,
        PrimitiveType::Date => DataType::Date32,
        PrimitiveType::Time => DataType::Time64(TimeUnit::Microsecond),
        PrimitiveType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        PrimitiveType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        PrimitiveType::TimestampNs => DataType::Timestamp(TimeUnit::Nanosecond, None),
        PrimitiveType::TimestamptzNs => DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into())),
        PrimitiveType::String => DataType::Utf8View,
        PrimitiveType::Uuid => DataType::FixedSizeBinary(16),
        PrimitiveType::Fixed(length) => match i32::try_from(*length) {
            Ok(length) => DataType::FixedSizeBinary(length),
            Err(_) => return plan_err!("fixed({length}) is longer than Arrow's values can be"),
        },
        PrimitiveType::Binary => DataType::BinaryView,
    })
}

fn decimal_type(precision: u32, scale: u32) -> Result<DataType> {
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(digits), Ok(places))
            if (1..=DECIMAL_DIGITS_MAX).contains(&precision) && scale <= precision =>
        {
            Ok(DataType::Decimal128(digits, places))
        }
        _ => plan_err!("decimal({precision}, {scale}) is not a type that Iceberg has"),
    }
}
