//! A manifest: parsed, and its live files kept in a compact form.

mod deletes;
mod entries;
mod inherit;
mod partition;
mod raw;

pub(crate) use deletes::parse as parse_deletes;
pub(crate) use entries::parse as parse_entries;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use iceberg::spec::{
    DataContentType, DataFile as EntryFile, DataFileFormat, Manifest, ManifestContentType,
    ManifestEntry, ManifestStatus, Struct,
};
use landfast_sites::{CanonicalUri, FileId};

use crate::avro::{Container, Malformed};
use crate::files::{ColumnMetrics, DataFile, ManifestFiles, ManifestSummary};
use crate::metadata::document::Refusal;
use raw::RawEntry;

/// Parses a manifest and keeps its live files. The parser's own entries, twelve times as large, are dropped at once.
pub(crate) fn parse(bytes: &[u8], summary: &ManifestSummary) -> Result<ManifestFiles, Refusal> {
    let manifest = Manifest::parse_avro(bytes)
        .map_err(|error| Refusal::Damaged(format!("it does not parse: {error}")))?;
    let (entries, metadata) = manifest.into_parts();
    if metadata.content == ManifestContentType::Deletes {
        return Err(Refusal::Damaged(
            "it holds delete files, and the manifest list says data files".into(),
        ));
    }
    let mut partitions: HashMap<Struct, Arc<Struct>> = HashMap::new();
    let mut files = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.is_alive() {
            files.push(convert(&entry, summary, &mut partitions)?);
        }
    }
    files.shrink_to_fit();
    Ok(ManifestFiles {
        id: summary.id.clone(),
        spec_id: summary.spec_id,
        files,
    })
}

fn convert(
    entry: &ManifestEntry,
    summary: &ManifestSummary,
    partitions: &mut HashMap<Struct, Arc<Struct>>,
) -> Result<DataFile, Refusal> {
    let file = entry.data_file();
    if file.content_type() != DataContentType::Data {
        return Err(Refusal::Unsupported(
            "it has delete files (merge-on-read deletes or updates)".into(),
        ));
    }
    if file.file_format() != DataFileFormat::Parquet {
        return Err(Refusal::Unsupported(format!(
            "it has data files in the format {}",
            file.file_format()
        )));
    }
    if file.key_metadata().is_some() {
        return Err(Refusal::Unsupported("its files are encrypted".into()));
    }
    let partition = match partitions.get(file.partition()) {
        Some(known) => known.clone(),
        None => {
            let new = Arc::new(file.partition().clone());
            partitions.insert(file.partition().clone(), new.clone());
            new
        }
    };
    Ok(DataFile {
        id: FileId::new(
            CanonicalUri::new(file.file_path()),
            Some(file.file_size_in_bytes()),
        ),
        rows: file.record_count(),
        sequence_number: sequence_number(entry, summary)?,
        first_row_id: None,
        spec_id: summary.spec_id,
        partition,
        split_offsets: split_offsets(file),
        sort_order_id: file.sort_order_id(),
        columns: columns(file),
    })
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Damaged(format!("it does not parse: {malformed}"))
    }
}

/// The entry's own number, or the manifest's where it may be inherited: by added files, and by all from before v2.
fn sequence_number(entry: &ManifestEntry, summary: &ManifestSummary) -> Result<i64, Refusal> {
    match entry.sequence_number() {
        Some(number) => Ok(number),
        None if entry.status() == ManifestStatus::Added || summary.sequence_number == 0 => {
            Ok(summary.sequence_number)
        }
        None => Err(Refusal::Invalid(format!(
            "{} has no sequence number and may not inherit one",
            entry.file_path()
        ))),
    }
}

/// Offsets that contradict themselves or the file are as good as none.
fn split_offsets(file: &EntryFile) -> Box<[u64]> {
    let offsets: Option<Vec<u64>> = file
        .split_offsets()
        .unwrap_or_default()
        .iter()
        .map(|offset| u64::try_from(*offset).ok())
        .collect();
    let Some(offsets) = offsets else {
        return Box::default();
    };
    let ascending = offsets.windows(2).all(|pair| pair[0] < pair[1]);
    let within = offsets
        .last()
        .is_none_or(|last| *last < file.file_size_in_bytes());
    if ascending && within {
        offsets.into()
    } else {
        Box::default()
    }
}

fn columns(file: &EntryFile) -> Box<[ColumnMetrics]> {
    let mut columns: BTreeMap<i32, ColumnMetrics> = BTreeMap::new();
    let mut at = |field_id: i32, set: &dyn Fn(&mut ColumnMetrics)| {
        set(columns
            .entry(field_id)
            .or_insert_with(|| ColumnMetrics::new(field_id)));
    };
    for (id, bound) in file.lower_bounds() {
        at(*id, &|column| column.lower = Some(bound.literal().clone()));
    }
    for (id, bound) in file.upper_bounds() {
        at(*id, &|column| column.upper = Some(bound.literal().clone()));
    }
    for (id, count) in file.value_counts() {
        at(*id, &|column| column.value_count = Some(*count));
    }
    for (id, count) in file.null_value_counts() {
        at(*id, &|column| column.null_count = Some(*count));
    }
    for (id, count) in file.nan_value_counts() {
        at(*id, &|column| column.nan_count = Some(*count));
    }
    for (id, bytes) in file.column_sizes() {
        at(*id, &|column| column.size_bytes = Some(*bytes));
    }
    columns.into_values().collect()
}

/// A manifest that says itself what it holds must say what is expected.
fn check_content(container: &Container<'_>, expected: ManifestContentType) -> Result<(), Refusal> {
    let found = match container.text("content") {
        Some("deletes") => ManifestContentType::Deletes,
        Some("data") => ManifestContentType::Data,
        _ => return Ok(()),
    };
    if found == expected {
        return Ok(());
    }
    Err(Refusal::Damaged(format!(
        "its content is {found}, and the manifest list says {expected}"
    )))
}

fn refuse_encrypted(raw: &RawEntry<'_>) -> Result<(), Refusal> {
    match raw.key_metadata {
        None | Some([]) => Ok(()),
        Some(_) => Err(Refusal::Unsupported("its files are encrypted".into())),
    }
}
