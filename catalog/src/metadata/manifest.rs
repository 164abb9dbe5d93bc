//! A manifest: parsed, and its live files kept in a compact form.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use iceberg::spec::{
    DataContentType, DataFile as EntryFile, DataFileFormat, Manifest, ManifestContentType,
    ManifestEntry, ManifestStatus, PrimitiveLiteral, Struct,
};
use landfast_sites::{CanonicalUri, FileId};

use crate::deletes::{DELETED_FILE_PATH, DeleteContent, DeleteFile, only_data_file};
use crate::files::{ColumnMetrics, DataFile, ManifestFiles, ManifestSummary};
use crate::metadata::document::Refusal;

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

/// Parses a delete manifest and keeps its live files.
pub(crate) fn parse_deletes(
    bytes: &[u8],
    summary: &ManifestSummary,
) -> Result<Vec<DeleteFile>, Refusal> {
    let manifest = Manifest::parse_avro(bytes)
        .map_err(|error| Refusal::Damaged(format!("it does not parse: {error}")))?;
    let (entries, _) = manifest.into_parts();
    let live = entries.iter().filter(|entry| entry.is_alive());
    live.map(|entry| delete_file(entry, summary)).collect()
}

fn delete_file(entry: &ManifestEntry, summary: &ManifestSummary) -> Result<DeleteFile, Refusal> {
    let file = entry.data_file();
    let whole = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    let of = file.referenced_data_file().map(CanonicalUri::new);
    let content = match (file.content_type(), file.file_format()) {
        (DataContentType::PositionDeletes, DataFileFormat::Parquet) => {
            let of = of.or_else(|| only_data_file_of(file));
            DeleteContent::Positions { of }
        }
        (DataContentType::PositionDeletes, DataFileFormat::Puffin) => {
            let (offset, length) = (file.content_offset(), file.content_size_in_bytes());
            match (of, whole(offset), whole(length)) {
                (Some(of), Some(offset), Some(length)) => {
                    DeleteContent::Vector { of, offset, length }
                }
                _ => {
                    return Err(Refusal::Invalid(format!(
                        "the deletion vector in {} does not say where it lies or which file it is about",
                        file.file_path()
                    )));
                }
            }
        }
        (DataContentType::EqualityDeletes, DataFileFormat::Parquet) => {
            let mut field_ids = file.equality_ids().unwrap_or_default();
            field_ids.sort_unstable();
            field_ids.dedup();
            if field_ids.is_empty() {
                return Err(Refusal::Invalid(format!(
                    "the equality delete file {} does not say which columns its keys have",
                    file.file_path()
                )));
            }
            DeleteContent::Equality {
                field_ids: field_ids.into(),
            }
        }
        (content, format) => {
            return Err(Refusal::Unsupported(format!(
                "{} is a file of {content:?} in the format {format}",
                file.file_path()
            )));
        }
    };
    Ok(DeleteFile {
        id: FileId::new(
            CanonicalUri::new(file.file_path()),
            Some(file.file_size_in_bytes()),
        ),
        content,
        rows: file.record_count(),
        sequence_number: sequence_number(entry, summary)?,
        spec_id: summary.spec_id,
        partition: Arc::new(file.partition().clone()),
    })
}

fn only_data_file_of(file: &EntryFile) -> Option<CanonicalUri> {
    let bounds = [file.lower_bounds(), file.upper_bounds()];
    let [lower, upper] = bounds.map(|bounds| match bounds.get(&DELETED_FILE_PATH)?.literal() {
        PrimitiveLiteral::String(path) => Some(path.as_bytes()),
        _ => None,
    });
    only_data_file(lower?, upper?)
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
