//! The live data files of a data manifest, as columns.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{ManifestContentType, Struct};

use super::inherit::Inheritance;
use super::raw::{EntryReader, RawEntry};
use super::{check_header, refuse_encrypted};
use crate::avro::{Container, Malformed};
use crate::files::{Count, FileRow, FilesBuilder, ManifestFiles, ManifestSummary, Side};
use crate::metadata::document::Refusal;

/// Parses a data manifest and keeps its live files.
pub(crate) fn parse(bytes: &[u8], summary: &ManifestSummary) -> Result<ManifestFiles, Refusal> {
    let container = Container::open(bytes)?;
    check_header(&container, summary, ManifestContentType::Data)?;
    let reader = EntryReader::new(&container)?;
    let mut inheritance = Inheritance::new(summary);
    let mut partitions = Partitions::default();
    let mut files = FilesBuilder::default();
    let mut splits = Vec::new();
    reader.entries(&container, |raw| {
        let first_row_id = inheritance.first_row_id(raw);
        if !raw.is_live() {
            return Ok(());
        }
        check(raw)?;
        split_offsets(raw, &mut splits);
        files.push(&FileRow {
            path: raw.path,
            rows: raw.rows,
            size: Some(raw.size),
            sequence_number: inheritance.data_sequence_number(raw)?,
            first_row_id,
            sort_order_id: raw.sort_order_id,
            partition: partitions.code(raw.partition, &reader)?,
            split_offsets: &splits,
        });
        files.counts(Count::Values, &raw.value_counts);
        files.counts(Count::Nulls, &raw.null_counts);
        files.counts(Count::Nan, &raw.nan_counts);
        files.counts(Count::Bytes, &raw.column_sizes);
        files.bounds(Side::Lower, &raw.lower_bounds);
        files.bounds(Side::Upper, &raw.upper_bounds);
        if files.fits() {
            Ok(())
        } else {
            Err(Refusal::Invalid("it is larger than any manifest".into()))
        }
    })?;
    Ok(files.finish(summary.id.clone(), summary.spec_id, partitions.tuples))
}

fn check(raw: &RawEntry<'_>) -> Result<(), Refusal> {
    refuse_encrypted(raw)?;
    if raw.content != 0 {
        return Err(Refusal::Invalid(format!(
            "{} is no data file, and its manifest is one of data files",
            raw.path
        )));
    }
    if !raw.format.eq_ignore_ascii_case("parquet") {
        return Err(Refusal::Unsupported(format!(
            "it has data files in the format {}, such as {}",
            raw.format, raw.path
        )));
    }
    Ok(())
}

/// Offsets that contradict themselves or the file are as good as none.
fn split_offsets(raw: &RawEntry<'_>, into: &mut Vec<u64>) {
    into.clear();
    for offset in &raw.split_offsets {
        let after =
            |offset: &u64| *offset < raw.size && into.last().is_none_or(|last| last < offset);
        match u64::try_from(*offset).ok().filter(after) {
            Some(offset) => into.push(offset),
            None => return into.clear(),
        }
    }
}

/// The different partition tuples of a manifest, told apart by how they are encoded.
#[derive(Debug, Default)]
struct Partitions {
    tuples: Vec<Arc<Struct>>,
    known: HashMap<Box<[u8]>, u32>,
    /// The next file's tuple is the last one's, as a rule.
    last: Option<(Box<[u8]>, u32)>,
}

impl Partitions {
    fn code(&mut self, encoded: &[u8], reader: &EntryReader) -> Result<u32, Malformed> {
        if let Some((last, code)) = &self.last
            && **last == *encoded
        {
            return Ok(*code);
        }
        let code = match self.known.get(encoded) {
            Some(code) => *code,
            None => {
                let code = self.tuples.len() as u32;
                self.tuples.push(Arc::new(reader.partitions.read(encoded)?));
                self.known.insert(encoded.into(), code);
                code
            }
        };
        self.last = Some((encoded.into(), code));
        Ok(code)
    }
}
