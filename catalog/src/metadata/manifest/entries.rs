//! All entries of a manifest, whole.

use iceberg::spec::{DataContentType, ManifestContentType};
use landfast_sites::CanonicalUri;

use super::inherit::Inheritance;
use super::raw::{EntryReader, RawEntry};
use crate::ManifestEntry;
use crate::avro::Container;
use crate::files::ManifestSummary;
use crate::metadata::document::Refusal;

/// Parses a manifest of data or delete files and keeps every entry.
pub(crate) fn parse(
    bytes: &[u8],
    summary: &ManifestSummary,
) -> Result<Vec<ManifestEntry>, Refusal> {
    let container = Container::open(bytes)?;
    let reader = EntryReader::new(&container)?;
    let mut inheritance = Inheritance::new(summary);
    let mut entries = Vec::new();
    reader.entries(&container, |raw| {
        entries.push(entry(raw, summary, &reader, &mut inheritance)?);
        Ok::<_, Refusal>(())
    })?;
    Ok(entries)
}

fn entry(
    raw: &RawEntry<'_>,
    summary: &ManifestSummary,
    reader: &EntryReader,
    inheritance: &mut Inheritance<'_>,
) -> Result<ManifestEntry, Refusal> {
    let invalid = |what: &str| Refusal::Invalid(format!("the entry of {} has {what}", raw.path));
    let bounds = |bounds: &[(i32, &[u8])]| {
        let bounds = bounds.iter();
        bounds.map(|(id, bytes)| (*id, Box::from(*bytes))).collect()
    };
    let equality_ids: Option<Vec<i32>> = raw
        .equality_ids
        .iter()
        .map(|id| i32::try_from(*id).ok())
        .collect();
    let equality_ids = equality_ids.ok_or_else(|| invalid("a key that is no field id"))?;
    let is_data = summary.content == ManifestContentType::Data;
    let first_row_id = if is_data {
        inheritance.first_row_id(raw)
    } else {
        None
    };
    Ok(ManifestEntry {
        status: raw.status.ok_or_else(|| invalid("no status"))?,
        snapshot_id: raw.snapshot_id.or(Some(summary.added_snapshot_id)),
        sequence_number: inheritance.sequence_number(raw, raw.sequence_number),
        file_sequence_number: inheritance.sequence_number(raw, raw.file_sequence_number),
        content: match raw.content {
            0 => DataContentType::Data,
            1 => DataContentType::PositionDeletes,
            2 => DataContentType::EqualityDeletes,
            _ => return Err(invalid("content of no known kind")),
        },
        path: CanonicalUri::new(raw.path),
        format: raw.format.to_owned(),
        spec_id: summary.spec_id,
        partition: reader.partitions.read(raw.partition)?,
        record_count: raw.rows,
        file_size_in_bytes: raw.size,
        column_sizes: raw.column_sizes.clone(),
        value_counts: raw.value_counts.clone(),
        null_value_counts: raw.null_counts.clone(),
        nan_value_counts: raw.nan_counts.clone(),
        lower_bounds: bounds(&raw.lower_bounds),
        upper_bounds: bounds(&raw.upper_bounds),
        key_metadata: raw.key_metadata.map(Box::from),
        split_offsets: raw.has_split_offsets.then(|| raw.split_offsets.clone()),
        equality_ids: raw.has_equality_ids.then_some(equality_ids),
        sort_order_id: raw.sort_order_id,
        first_row_id: first_row_id.and_then(|id| i64::try_from(id).ok()),
        referenced_data_file: raw.referenced_data_file.map(str::to_owned),
        content_offset: raw.content_offset,
        content_size_in_bytes: raw.content_size,
    })
}
