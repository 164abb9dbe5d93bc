//! The live delete files of a delete manifest.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{ManifestContentType, Struct};
use landfast_sites::{CanonicalUri, FileId};

use super::inherit::Inheritance;
use super::raw::{EntryReader, RawEntry};
use super::{check_header, refuse_encrypted};
use crate::avro::Container;
use crate::deletes::{
    ColumnSpan, DELETED_FILE_PATH, DeleteContent, DeleteFile, DeleteFormat, only_data_file,
};
use crate::files::ManifestSummary;
use crate::metadata::document::Refusal;

/// Parses a delete manifest and keeps its live files.
pub(crate) fn parse(bytes: &[u8], summary: &ManifestSummary) -> Result<Vec<DeleteFile>, Refusal> {
    let container = Container::open(bytes)?;
    check_header(&container, summary, ManifestContentType::Deletes)?;
    let reader = EntryReader::new(&container)?;
    let inheritance = Inheritance::new(summary);
    let mut partitions: HashMap<Box<[u8]>, Arc<Struct>> = HashMap::new();
    let mut files = Vec::new();
    reader.entries(&container, |raw| {
        if raw.is_live() {
            refuse_encrypted(raw)?;
            let partition = match partitions.get(raw.partition) {
                Some(known) => Arc::clone(known),
                None => {
                    let new = Arc::new(reader.partitions.read(raw.partition)?);
                    partitions.insert(raw.partition.into(), Arc::clone(&new));
                    new
                }
            };
            let (content, format) = content(raw)?;
            files.push(DeleteFile {
                id: FileId::new(CanonicalUri::new(raw.path), Some(raw.size)),
                spans: spans(raw, &content),
                content,
                format,
                rows: raw.rows,
                sequence_number: inheritance.data_sequence_number(raw)?,
                spec_id: summary.spec_id,
                partition,
            });
        }
        Ok::<_, Refusal>(())
    })?;
    files.shrink_to_fit();
    Ok(files)
}

fn content(raw: &RawEntry<'_>) -> Result<(DeleteContent, DeleteFormat), Refusal> {
    let of = raw.referenced_data_file.map(CanonicalUri::new);
    let whole = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    let invalid = |what: &str| Err(Refusal::Invalid(format!("{} {what}", raw.path)));
    let formats = [
        ("parquet", DeleteFormat::Parquet),
        ("avro", DeleteFormat::Avro),
        ("puffin", DeleteFormat::Puffin),
    ];
    let known = formats
        .into_iter()
        .find(|(name, _)| raw.format.eq_ignore_ascii_case(name));
    let format = known.map(|(_, format)| format);
    let rows = format.filter(|format| *format != DeleteFormat::Puffin);
    match (raw.content, rows, format) {
        (1, Some(rows), _) => {
            let of = of.or_else(|| only_data_file_of(raw));
            Ok((DeleteContent::Positions { of }, rows))
        }
        (1, None, Some(puffin)) => match (of, whole(raw.content_offset), whole(raw.content_size)) {
            (Some(of), Some(offset), Some(length)) => {
                Ok((DeleteContent::Vector { of, offset, length }, puffin))
            }
            _ => invalid(
                "is a file of deletion vectors, and its entry does not say where the vector lies or which file it is about",
            ),
        },
        (2, Some(rows), _) => {
            let ids: Option<Vec<i32>> = raw
                .equality_ids
                .iter()
                .map(|id| i32::try_from(*id).ok())
                .collect();
            let Some(mut field_ids) = ids.filter(|ids| !ids.is_empty()) else {
                return invalid(
                    "is a file of equality deletes, and its entry does not say of which columns",
                );
            };
            field_ids.sort_unstable();
            field_ids.dedup();
            let field_ids = field_ids.into();
            Ok((DeleteContent::Equality { field_ids }, rows))
        }
        (0, _, _) => invalid("is a data file, and its manifest is one of delete files"),
        (1 | 2, _, _) => Err(Refusal::Unsupported(format!(
            "its delete file {} has the format {}",
            raw.path, raw.format
        ))),
        _ => invalid("is a file of no known content"),
    }
}

/// What is recorded of the columns by which a data file may be left out.
fn spans(raw: &RawEntry<'_>, content: &DeleteContent) -> Box<[ColumnSpan]> {
    let wanted: &[i32] = match content {
        DeleteContent::Equality { field_ids } => field_ids,
        DeleteContent::Positions { of: None } => &[DELETED_FILE_PATH],
        DeleteContent::Positions { of: Some(_) } | DeleteContent::Vector { .. } => &[],
    };
    let bound = |bounds: &[(i32, &[u8])], id: i32| {
        let found = bounds.iter().find(|(known, _)| *known == id);
        found.map(|(_, bytes)| Box::from(*bytes))
    };
    let span = |id: &i32| ColumnSpan {
        field_id: *id,
        lower: bound(&raw.lower_bounds, *id),
        upper: bound(&raw.upper_bounds, *id),
        null_count: raw
            .null_counts
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, count)| *count),
    };
    let known = wanted.iter().map(span);
    known
        .filter(|span| span.lower.is_some() || span.upper.is_some() || span.null_count.is_some())
        .collect()
}

fn only_data_file_of(raw: &RawEntry<'_>) -> Option<CanonicalUri> {
    let path = |bounds: &[(i32, &[u8])]| {
        let found = bounds.iter().find(|(id, _)| *id == DELETED_FILE_PATH);
        found.map(|(_, bytes)| bytes.to_vec())
    };
    only_data_file(&path(&raw.lower_bounds)?, &path(&raw.upper_bounds)?)
}
