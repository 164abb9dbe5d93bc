//! A table's `metadata.json`: parsed, or refused for a reason.

use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use iceberg::spec::{MetadataLog, PartitionSpec, Schema, SnapshotLog, TableMetadata};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::metadata::repair::repair;
use crate::snapshot::Refs;
use crate::{CatalogError, Result, TableDocument, TableName};

/// A metadata file's length at most once it is decompressed.
const DOCUMENT_BYTES_MAX: u64 = 1 << 30;

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
    let document = if needs_care(text) {
        None
    } else {
        quickly(text)
    };
    let document = match document {
        Some(document) => document,
        None => carefully(json(text)?, uuid)?,
    };
    check_uuid(document.metadata.uuid(), uuid)?;
    Ok(document)
}

/// The metadata within a `LoadTableResult`.
pub(crate) fn parse_inline(bytes: &[u8]) -> Result<TableDocument, Refusal> {
    if !needs_care(bytes)
        && let Ok(LoadTableMetadata { metadata }) = serde_json::from_slice(bytes)
        && let Ok(Inline { metadata: own }) = serde_json::from_slice(bytes)
        && is_plain(&metadata)
    {
        return Ok(document(metadata, own.refs));
    }
    match json(bytes)?.get_mut("metadata") {
        Some(metadata) => carefully(metadata.take(), None),
        None => Err(Refusal::Invalid("there is no metadata in it".into())),
    }
}

/// What the parser fails on, or passes over where it may not. Found in other places than a column's type or a field of the
/// document, it costs time only.
const WORDS: [&str; 7] = [
    "\"variant\"",
    "\"geometry",
    "\"geography",
    "\"unknown\"",
    "\"initial-default\"",
    "\"source-ids\"",
    "\"encryption",
];

fn needs_care(text: &[u8]) -> bool {
    WORDS
        .iter()
        .any(|word| memchr::memmem::find(text, word.as_bytes()).is_some())
}

/// As the parser takes it, if it does.
fn quickly(text: &[u8]) -> Option<TableDocument> {
    let metadata: TableMetadata = serde_json::from_slice(text).ok()?;
    let own: OwnRefs = serde_json::from_slice(text).ok()?;
    is_plain(&metadata).then(|| document(metadata, own.refs))
}

/// A snapshot's key is not worth a search for its name: columns of maps have it too.
fn is_plain(metadata: &TableMetadata) -> bool {
    metadata
        .snapshots()
        .all(|snapshot| snapshot.encryption_key_id().is_none())
}

fn json(text: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(text)
        .map_err(|error| Refusal::Damaged(format!("it is no whole JSON document: {error}")))
}

/// Repairs what the parser doesn't take, or says why the document is refused.
fn carefully(mut read: Value, uuid: Option<Uuid>) -> Result<TableDocument, Refusal> {
    check_version(&read, uuid)?;
    let Value::Object(fields) = &mut read else {
        return Err(Refusal::Damaged("it is no JSON object".into()));
    };
    let repaired = repair(fields)?;
    let metadata = TableMetadata::deserialize(&read).map_err(|error| explain(&read, &error))?;
    let mut document = document(metadata, repaired.refs);
    document.read_with(repaired.left_out);
    if let Some(id) = repaired.default_spec_id {
        document.default_spec_id = id;
    }
    Ok(document)
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

/// Refuses what is another table's, no table's, or of a format that isn't known.
fn check_version(document: &Value, uuid: Option<Uuid>) -> Result<(), Refusal> {
    if let Some(found) = document
        .get("table-uuid")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
    {
        check_uuid(found, uuid)?;
    }
    match document.get("format-version").and_then(Value::as_i64) {
        None => Err(Refusal::Damaged(
            "it has no format-version: it is no Iceberg table metadata".into(),
        )),
        Some(1..=3) => Ok(()),
        Some(version) => Err(Refusal::Unsupported(format!(
            "it has Iceberg's format version {version}; 1, 2 and 3 are supported"
        ))),
    }
}

/// Says why a document that was repaired didn't parse: the parser itself may only say that no variant matched.
fn explain(document: &Value, error: &serde_json::Error) -> Refusal {
    let needed: &[&str] = match document.get("format-version").and_then(Value::as_i64) {
        Some(1) => &["location", "last-updated-ms", "last-column-id"],
        version => &[
            "table-uuid",
            "location",
            "last-sequence-number",
            "last-updated-ms",
            "last-column-id",
            "schemas",
            "current-schema-id",
            "partition-specs",
            "default-spec-id",
            "last-partition-id",
            "sort-orders",
            "default-sort-order-id",
            "next-row-id",
        ][..if version == Some(3) { 13 } else { 12 }],
    };
    let missing: Vec<&str> = needed
        .iter()
        .filter(|key| document.get(**key).is_none())
        .copied()
        .collect();
    if !missing.is_empty() {
        return Refusal::Invalid(format!("it lacks {}", missing.join(", ")));
    }
    let part = wrong_part::<Schema>(document, "schemas")
        .or_else(|| wrong_part::<PartitionSpec>(document, "partition-specs"))
        .or_else(|| wrong_part::<SnapshotLog>(document, "snapshot-log"))
        .or_else(|| wrong_part::<MetadataLog>(document, "metadata-log"));
    Refusal::Invalid(part.unwrap_or_else(|| error.to_string()))
}

/// The first item of a list that doesn't parse, and why.
fn wrong_part<T: DeserializeOwned>(document: &Value, key: &str) -> Option<String> {
    let items = document.get(key)?.as_array()?.iter().enumerate();
    let mut errors = items.filter_map(|(at, item)| Some((at, T::deserialize(item).err()?)));
    errors
        .next()
        .map(|(at, error)| format!("its {key}[{at}] does not parse: {error}"))
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

impl MetadataHead {
    /// Reads the head of a metadata file, plain or gzip.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(&inflated(bytes).ok()?).ok()
    }
}

/// A `LoadTableResult` for its metadata alone.
#[derive(Debug, Deserialize)]
pub(crate) struct LoadTableMetadata {
    pub(crate) metadata: TableMetadata,
}
