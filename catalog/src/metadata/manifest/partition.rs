//! Partition tuples, typed by the manifest's own Avro schema: the column that a value came from may be long gone.

use std::sync::Arc;

use iceberg::spec::{Datum, Literal, PrimitiveLiteral, Struct};
use serde_json::Value;

use crate::avro::{Cursor, Field, Kind, Logical, Malformed, Schema};
use crate::bound::signed;

/// Reads the partition tuples of one manifest.
#[derive(Debug)]
pub(super) struct PartitionReader {
    /// In the order written: where the value belongs in the spec's order, and its type.
    fields: Box<[(usize, Arc<Schema>)]>,
    width: usize,
}

impl PartitionReader {
    /// `spec` is the header's `partition-spec`: the fields are in its order then. Fields of it that aren't written are
    /// null.
    pub(super) fn new(record: &[Field], spec: Option<&str>) -> Self {
        let spec = spec.and_then(spec_fields).unwrap_or_default();
        let place = |field: &Field| {
            spec.iter().position(|(id, name)| match (field.id, id) {
                (Some(written), Some(id)) => written == *id,
                _ => field.name == *name,
            })
        };
        let places: Option<Vec<usize>> = record.iter().map(place).collect();
        let schemas = record.iter().map(|field| Arc::clone(&field.schema));
        match places {
            Some(places) if is_distinct(&places) => Self {
                fields: places.into_iter().zip(schemas).collect(),
                width: spec.len(),
            },
            _ => Self {
                fields: schemas.enumerate().collect(),
                width: record.len(),
            },
        }
    }

    pub(super) fn read(&self, encoded: &[u8]) -> Result<Struct, Malformed> {
        let mut cursor = Cursor::new(encoded);
        let mut values: Vec<Option<Literal>> = vec![None; self.width];
        for (at, schema) in &self.fields {
            if let Some(written) = cursor.present(schema)?
                && let Some(slot) = values.get_mut(*at)
            {
                *slot = Some(Literal::Primitive(value(&mut cursor, written)?));
            }
        }
        Ok(values.into_iter().collect())
    }
}

fn is_distinct(places: &[usize]) -> bool {
    let mut sorted = places.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

/// Ids and names of a spec's fields, whether it is written as its fields alone or with its id.
fn spec_fields(json: &str) -> Option<Vec<(Option<i32>, String)>> {
    let json: Value = serde_json::from_str(json).ok()?;
    let fields = json.get("fields").unwrap_or(&json).as_array()?;
    let fields = fields.iter().map(|field| {
        let id = field.get("field-id").and_then(Value::as_i64);
        let name = field.get("name")?.as_str()?.to_owned();
        Some((id.and_then(|id| i32::try_from(id).ok()), name))
    });
    fields.collect()
}

fn value(cursor: &mut Cursor<'_>, schema: &Schema) -> Result<PrimitiveLiteral, Malformed> {
    let decimal =
        |bytes: &[u8]| signed(bytes).ok_or(Malformed::from("a partition's decimal is none"));
    Ok(match (&schema.kind, schema.logical) {
        (Kind::Boolean, _) => PrimitiveLiteral::Boolean(cursor.boolean(schema)?),
        (Kind::Int, _) => PrimitiveLiteral::Int(cursor.int(schema)?),
        (Kind::Long, _) => PrimitiveLiteral::Long(cursor.long()?),
        (Kind::Float, _) => {
            let bytes = cursor.take(4)?.try_into().unwrap_or_default();
            Datum::float(f32::from_le_bytes(bytes)).literal().clone()
        }
        (Kind::Double, _) => {
            let bytes = cursor.take(8)?.try_into().unwrap_or_default();
            Datum::double(f64::from_le_bytes(bytes)).literal().clone()
        }
        (Kind::String, Some(Logical::Uuid)) => {
            let uuid = uuid::Uuid::try_parse(cursor.text(schema)?);
            PrimitiveLiteral::UInt128(uuid.map_err(|_| "a partition's UUID is none")?.as_u128())
        }
        (Kind::String, _) => PrimitiveLiteral::String(cursor.text(schema)?.to_owned()),
        (Kind::Bytes | Kind::Fixed(_), Some(Logical::Decimal { .. })) => {
            PrimitiveLiteral::Int128(decimal(cursor.blob(schema)?)?)
        }
        (Kind::Fixed(16), Some(Logical::Uuid)) => {
            let bytes = cursor.take(16)?.try_into().unwrap_or_default();
            PrimitiveLiteral::UInt128(u128::from_be_bytes(bytes))
        }
        (Kind::Bytes | Kind::Fixed(_), _) => {
            PrimitiveLiteral::Binary(cursor.blob(schema)?.to_vec())
        }
        _ => return Err("a partition value is of no primitive type".into()),
    })
}
