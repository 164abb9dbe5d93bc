//! What lies in an Avro file, as its header's JSON says.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Malformed, Result};

/// Schemas nest at most so deep, named types written out. Iceberg's own nest eight deep.
const DEPTH_MAX: usize = 48;

/// A schema has at most so many parts once named types are written out, so that skipping one value is bounded.
const PARTS_MAX: usize = 1 << 20;

/// A fixed has at most so many bytes.
const FIXED_BYTES_MAX: usize = 1 << 30;

/// The type of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema {
    pub(crate) kind: Kind,
    pub(crate) logical: Option<Logical>,
    /// How many parts it has, written out.
    parts: usize,
    /// How deep it nests.
    depth: usize,
    /// Values take no bytes at all.
    empty: bool,
}

/// How a value is encoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum,
    Array(Arc<Schema>),
    Map(Arc<Schema>),
    Union(Box<[Arc<Schema>]>),
    Record(Box<[Field]>),
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// Iceberg's `field-id`.
    pub(crate) id: Option<i32>,
    pub(crate) schema: Arc<Schema>,
}

/// The logical types that say more than the encoding does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logical {
    /// So many digits, of which so many are behind the point, where that is said.
    Decimal {
        digits: u64,
        places: u64,
    },
    Uuid,
    Date,
    Time(AvroUnit),
    Timestamp(AvroUnit),
}

/// What a time of day or a timestamp counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AvroUnit {
    /// Thousandths of a second.
    Millis,
    /// Millionths.
    Micros,
    /// Billionths.
    Nanos,
}

impl Schema {
    /// Parses a schema.
    pub(crate) fn parse(json: &[u8]) -> Result<Arc<Self>> {
        let json: Value = serde_json::from_slice(json)
            .map_err(|error| Malformed::new(format!("its schema is no JSON: {error}")))?;
        Parser::default().schema(&json, "", 0)
    }

    /// Whether values take no bytes.
    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }

    /// The record that this is, or that an optional one holds.
    pub(crate) fn record(&self) -> Option<&[Field]> {
        match &self.kind {
            Kind::Record(fields) => Some(fields),
            Kind::Union(branches) => branches.iter().find_map(|branch| match &branch.kind {
                Kind::Record(fields) => Some(&**fields),
                _ => None,
            }),
            _ => None,
        }
    }

    /// What the list that this is, or that an optional one holds, is a list of.
    pub(crate) fn items(&self) -> Option<&Self> {
        match &self.kind {
            Kind::Array(item) => Some(item),
            Kind::Union(branches) => branches.iter().find_map(|branch| match &branch.kind {
                Kind::Array(item) => Some(&**item),
                _ => None,
            }),
            _ => None,
        }
    }

    fn new(kind: Kind, logical: Option<Logical>) -> Result<Self> {
        let (parts, empty) = match &kind {
            Kind::Null | Kind::Fixed(0) => (1, true),
            Kind::Array(item) | Kind::Map(item) => (item.parts.saturating_add(1), false),
            Kind::Union(branches) => {
                let parts = branches.iter().map(|branch| branch.parts);
                (parts.fold(1, usize::saturating_add), false)
            }
            Kind::Record(fields) => {
                let parts = fields.iter().map(|field| field.schema.parts);
                let empty = fields.iter().all(|field| field.schema.empty);
                (parts.fold(1, usize::saturating_add), empty)
            }
            _ => (1, false),
        };
        if parts > PARTS_MAX {
            return Err("its schema has too many parts".into());
        }
        let inner: &mut dyn Iterator<Item = &Arc<Self>> = match &kind {
            Kind::Array(inner) | Kind::Map(inner) => &mut std::iter::once(inner),
            Kind::Union(branches) => &mut branches.iter(),
            Kind::Record(fields) => &mut fields.iter().map(|field| &field.schema),
            _ => &mut std::iter::empty(),
        };
        let depth = inner.map(|inner| inner.depth).max().unwrap_or_default() + 1;
        if depth > DEPTH_MAX {
            return Err("its schema nests too deep".into());
        }
        Ok(Self {
            kind,
            logical,
            parts,
            depth,
            empty,
        })
    }
}

/// Named types, each known once it was read whole: a type that holds itself is refused, for Iceberg has none.
#[derive(Debug, Default)]
struct Parser {
    named: HashMap<String, Arc<Schema>>,
}

impl Parser {
    fn schema(&mut self, json: &Value, namespace: &str, depth: usize) -> Result<Arc<Schema>> {
        if depth > DEPTH_MAX {
            return Err("its schema nests too deep".into());
        }
        match json {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => {
                let branches: Result<Box<[_]>> = branches
                    .iter()
                    .map(|branch| self.schema(branch, namespace, depth + 1))
                    .collect();
                Ok(Arc::new(Schema::new(Kind::Union(branches?), None)?))
            }
            Value::Object(object) => self.object(object, namespace, depth),
            _ => Err("its schema is none".into()),
        }
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<Arc<Schema>> {
        let of = object
            .get("type")
            .ok_or("a part of its schema has no type")?;
        let Value::String(of) = of else {
            return self.schema(of, namespace, depth + 1);
        };
        let inner = |key: &str| object.get(key).ok_or("a list or map has no items");
        let logical = logical(object);
        let (full, namespace) = full_name(object, namespace);
        let kind = match of.as_str() {
            "record" | "error" => {
                let fields = object.get("fields").and_then(Value::as_array);
                let fields = fields.ok_or("a record has no fields")?.iter();
                let fields: Result<Box<[Field]>> = fields
                    .map(|field| self.field(field, &namespace, depth))
                    .collect();
                Kind::Record(fields?)
            }
            "enum" => Kind::Enum,
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64);
                let size = size.and_then(|size| usize::try_from(size).ok());
                let size = size.filter(|size| *size <= FIXED_BYTES_MAX);
                Kind::Fixed(size.ok_or("a fixed has no size that can be")?)
            }
            "array" => Kind::Array(self.schema(inner("items")?, &namespace, depth + 1)?),
            "map" => Kind::Map(self.schema(inner("values")?, &namespace, depth + 1)?),
            name => match primitive(name) {
                Some(kind) => kind,
                None => return self.by_name(name, &namespace),
            },
        };
        let schema = Arc::new(Schema::new(kind, logical)?);
        if matches!(of.as_str(), "record" | "error" | "enum" | "fixed") && !full.is_empty() {
            self.named.insert(full, Arc::clone(&schema));
        }
        Ok(schema)
    }

    fn field(&mut self, json: &Value, namespace: &str, depth: usize) -> Result<Field> {
        let name = json.get("name").and_then(Value::as_str);
        let of = json.get("type").ok_or("a field has no type")?;
        let id = json.get("field-id").and_then(Value::as_i64);
        Ok(Field {
            name: name.ok_or("a field has no name")?.to_owned(),
            id: id.and_then(|id| i32::try_from(id).ok()),
            schema: self.schema(of, namespace, depth + 1)?,
        })
    }

    fn by_name(&self, name: &str, namespace: &str) -> Result<Arc<Schema>> {
        if let Some(kind) = primitive(name) {
            return Ok(Arc::new(Schema::new(kind, None)?));
        }
        let within = format!("{namespace}.{name}");
        let known = self.named.get(&within).or_else(|| self.named.get(name));
        known
            .cloned()
            .ok_or_else(|| Malformed::new(format!("its schema names the unknown type {name:?}")))
    }
}

fn logical(object: &Map<String, Value>) -> Option<Logical> {
    let count = |key: &str| object.get(key).and_then(Value::as_u64).unwrap_or_default();
    Some(match object.get("logicalType").and_then(Value::as_str)? {
        "decimal" => Logical::Decimal {
            digits: count("precision"),
            places: count("scale"),
        },
        "uuid" => Logical::Uuid,
        "date" => Logical::Date,
        "time-millis" => Logical::Time(AvroUnit::Millis),
        "time-micros" => Logical::Time(AvroUnit::Micros),
        "timestamp-millis" | "local-timestamp-millis" => Logical::Timestamp(AvroUnit::Millis),
        "timestamp-micros" | "local-timestamp-micros" => Logical::Timestamp(AvroUnit::Micros),
        "timestamp-nanos" | "local-timestamp-nanos" => Logical::Timestamp(AvroUnit::Nanos),
        _ => return None,
    })
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}

/// A named type's full name, and the namespace of what is named within it.
fn full_name(object: &Map<String, Value>, outer: &str) -> (String, String) {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let Some(name) = text("name") else {
        return (String::new(), outer.to_owned());
    };
    if let Some((namespace, _)) = name.rsplit_once('.') {
        return (name.to_owned(), namespace.to_owned());
    }
    let namespace = text("namespace").unwrap_or(outer);
    let full = if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    };
    (full, namespace.to_owned())
}
