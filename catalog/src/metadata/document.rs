//! A table's `metadata.json`: parsed, or refused for a reason.

use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use iceberg::spec::{FormatVersion, NestedFieldRef, PrimitiveType, TableMetadata, Type};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::snapshot::Refs;
use crate::{CatalogError, Result, TableDocument, TableName};

/// A metadata file's length at most once it is decompressed.
const DOCUMENT_BYTES_MAX: u64 = 1 << 30;

/// Types that format v3 brought and that can't be represented.
const TYPES_UNSUPPORTED: [&str; 4] = ["variant", "geometry", "geography", "unknown"];

/// Why a document isn't this table's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is torn, damaged or another table's: another copy may be good.
    Damaged(String),
    /// It is whole, and needs what isn't built.
    Unsupported(String),
    /// It is whole, and contradicts itself or the specification.
    Invalid(String),
}

impl Refusal {
    pub(crate) fn into_error(self, table: &TableName, file: &str) -> CatalogError {
        match self {
            Self::Unsupported(feature) => CatalogError::Unsupported {
                table: table.clone(),
                feature,
            },
            Self::Damaged(reason) | Self::Invalid(reason) => CatalogError::Corrupt {
                table: table.clone(),
                reason: format!("{file}: {reason}"),
            },
        }
    }
}

/// Parses a metadata file, plain or gzip, and checks that it is this table's.
pub(crate) fn parse(bytes: &[u8], uuid: Option<Uuid>) -> Result<TableDocument, Refusal> {
    let text = &*inflated(bytes)?;
    let metadata: TableMetadata =
        serde_json::from_slice(text).map_err(|error| explain(text, uuid, &error))?;
    check_uuid(metadata.uuid(), uuid)?;
    let OwnRefs { refs } = serde_json::from_slice(text)
        .map_err(|error| Refusal::Invalid(format!("its refs do not parse: {error}")))?;
    Ok(document(metadata, refs))
}

/// The metadata within a `LoadTableResult`.
pub(crate) fn parse_inline(bytes: &[u8]) -> Result<TableDocument, Refusal> {
    let refused = |error: serde_json::Error| Refusal::Invalid(error.to_string());
    let LoadTableMetadata { metadata } = serde_json::from_slice(bytes).map_err(refused)?;
    let Inline {
        metadata: OwnRefs { refs },
    } = serde_json::from_slice(bytes).map_err(refused)?;
    Ok(document(metadata, refs))
}

/// The parser keeps refs to itself.
#[derive(Debug, Deserialize)]
struct OwnRefs {
    #[serde(default)]
    refs: Option<Refs>,
}

#[derive(Debug, Deserialize)]
struct Inline {
    metadata: OwnRefs,
}

fn document(metadata: TableMetadata, refs: Option<Refs>) -> TableDocument {
    let mut document = TableDocument::new(Arc::new(metadata));
    if let Some(mut refs) = refs {
        for (name, main) in document.refs.iter() {
            refs.entry(name.clone()).or_insert_with(|| main.clone());
        }
        document.refs = Arc::new(refs);
    }
    document
}

/// A metadata file's text, whether it is compressed with gzip or not.
pub(crate) fn inflated(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut text = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(DOCUMENT_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|error| Refusal::Damaged(format!("it is no whole gzip file: {error}")))?;
    if text.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(Refusal::Unsupported(format!(
            "its metadata file is longer than {DOCUMENT_BYTES_MAX} bytes"
        )));
    }
    Ok(Cow::Owned(text))
}

/// A v1 table may have no UUID: it reads as nil, and fits all.
fn check_uuid(found: Uuid, expected: Option<Uuid>) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != found && !found.is_nil() => Err(Refusal::Damaged(format!(
            "it is the metadata of another table ({found} instead of {expected})"
        ))),
        _ => Ok(()),
    }
}

/// Says why a document that didn't parse is refused: the parser itself only says that no variant matched.
fn explain(text: &[u8], uuid: Option<Uuid>, error: &serde_json::Error) -> Refusal {
    let document: Value = match serde_json::from_slice(text) {
        Ok(document) => document,
        Err(error) => return Refusal::Damaged(format!("it is no whole JSON document: {error}")),
    };
    if let Some(found) = document
        .get("table-uuid")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        && let Err(refusal) = check_uuid(found, uuid)
    {
        return refusal;
    }
    match document.get("format-version").and_then(Value::as_i64) {
        None => {
            return Refusal::Damaged(
                "it has no format-version: it is no Iceberg table metadata".into(),
            );
        }
        Some(3) => return Refusal::Unsupported(unsupported_v3(&document)),
        Some(version @ (1 | 2)) => {
            if let Some(name) = unsupported_type(&document) {
                return Refusal::Unsupported(format!("it has a column of the type {name}"));
            }
            let typed = match version {
                1 => retry::<1>(&document),
                _ => retry::<2>(&document),
            };
            if let Some(reason) = typed {
                return Refusal::Invalid(reason);
            }
        }
        Some(version) => {
            return Refusal::Unsupported(format!(
                "it has Iceberg's format version {version}; 1 and 2 are supported"
            ));
        }
    }
    Refusal::Invalid(error.to_string())
}

/// The keys that a format version can't do without.
fn retry<const VERSION: u8>(document: &Value) -> Option<String> {
    let needed: &[&str] = match VERSION {
        1 => &["location", "last-updated-ms", "last-column-id"],
        _ => &[
            "table-uuid",
            "location",
            "last-sequence-number",
            "last-updated-ms",
            "schemas",
            "current-schema-id",
        ],
    };
    let missing: Vec<&str> = needed
        .iter()
        .filter(|key| document.get(**key).is_none())
        .copied()
        .collect();
    (!missing.is_empty()).then(|| format!("it lacks {}", missing.join(", ")))
}

fn unsupported_v3(document: &Value) -> String {
    match unsupported_type(document) {
        Some(name) => format!("it has Iceberg's format version 3 and a column of the type {name}"),
        None => V3_FEATURE.to_owned(),
    }
}

const V3_FEATURE: &str = "it has Iceberg's format version 3 (deletion vectors, row lineage, default values); 1 and 2 are supported";

/// The first column type in the current document that can't be represented.
fn unsupported_type(document: &Value) -> Option<String> {
    fn within(value: &Value) -> Option<String> {
        match value {
            Value::Array(items) => items.iter().find_map(within),
            Value::Object(map) => ["type", "element", "key", "value", "fields"]
                .iter()
                .filter_map(|key| map.get(*key))
                .find_map(within),
            Value::String(name) => {
                let bare = name.split('(').next().unwrap_or(name).trim();
                TYPES_UNSUPPORTED.contains(&bare).then(|| name.clone())
            }
            _ => None,
        }
    }
    document
        .get("schemas")
        .and_then(within)
        .or_else(|| document.get("schema").and_then(within))
}

/// Refuses a table that needs what isn't built.
pub(crate) fn check_readable(table: &TableName, metadata: &TableMetadata) -> Result<()> {
    let refuse = |feature: String| {
        Err(CatalogError::Unsupported {
            table: table.clone(),
            feature,
        })
    };
    if metadata.format_version() == FormatVersion::V3 {
        return refuse(V3_FEATURE.to_owned());
    }
    if metadata.encryption_keys_iter().next().is_some() {
        return refuse("its files are encrypted".to_owned());
    }
    match metadata
        .current_schema()
        .as_struct()
        .fields()
        .iter()
        .find_map(unsupported_field)
    {
        Some(feature) => refuse(feature),
        None => Ok(()),
    }
}

fn unsupported_field(field: &NestedFieldRef) -> Option<String> {
    if field.initial_default.is_some() {
        return Some(format!("its column {} has an initial default", field.name));
    }
    match field.field_type.as_ref() {
        Type::Primitive(PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs) => {
            Some(format!(
                "its column {} has the type {}",
                field.name, field.field_type
            ))
        }
        Type::Primitive(_) => None,
        Type::Struct(inner) => inner.fields().iter().find_map(unsupported_field),
        Type::List(list) => unsupported_field(&list.element_field),
        Type::Map(map) => {
            unsupported_field(&map.key_field).or_else(|| unsupported_field(&map.value_field))
        }
    }
}

/// What a `LoadTableResult` says before its metadata is parsed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct LoadTableHead {
    pub(crate) metadata_location: Option<String>,
    pub(crate) metadata: MetadataHead,
}

/// The little of a metadata document that a pointer needs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct MetadataHead {
    pub(crate) table_uuid: Option<Uuid>,
}

/// A `LoadTableResult` for its metadata alone.
#[derive(Debug, Deserialize)]
pub(crate) struct LoadTableMetadata {
    pub(crate) metadata: TableMetadata,
}
