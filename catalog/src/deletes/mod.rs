//! Delete files: which rows of which data files are gone.

mod index;
mod partition;
mod reach;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use iceberg::spec::Struct;
use landfast_sites::{CanonicalUri, FileId};

pub use index::{DeleteIndex, DeleteList, FileDeletes};
pub use reach::ColumnSpan;

use crate::files::struct_bytes;

/// One live delete file, or one deletion vector within a file.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteFile {
    /// The file, with its recorded size. Many deletion vectors may lie in one file.
    pub id: FileId,
    /// What it deletes.
    pub content: DeleteContent,
    /// How it is encoded.
    pub format: DeleteFormat,
    /// Its records: deleted positions (which may repeat, or lie in files that are gone), keys, or a vector's cardinality.
    pub rows: u64,
    /// The data sequence number, inherited where the entry has none.
    pub sequence_number: i64,
    /// The partition spec it was written with.
    pub spec_id: i32,
    /// The partition tuple, in the order of the spec's fields.
    pub partition: Arc<Struct>,
    /// What is recorded of its key's columns, or of the path of what it deletes from where that isn't one file alone.
    pub spans: Box<[ColumnSpan]>,
}

/// How a delete file is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeleteFormat {
    /// Positions or keys, as rows.
    Parquet,
    /// Positions or keys, as rows.
    Avro,
    /// Deletion vectors.
    Puffin,
}

/// What a delete file deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteContent {
    /// Rows by file and position, as rows of a file.
    Positions {
        /// The only data file that it is about, where the manifest says so.
        of: Option<CanonicalUri>,
    },
    /// Rows of one data file by position, as a bitmap in a Puffin file.
    Vector {
        /// The data file.
        of: CanonicalUri,
        /// Where the blob starts in the Puffin file.
        offset: u64,
        /// The blob's length in bytes.
        length: u64,
    },
    /// Rows that have one of the recorded keys, as rows of a file.
    Equality {
        /// The field ids of the key's columns, ascending.
        field_ids: Box<[i32]>,
    },
}

/// The field id of the path column of position delete files.
pub(crate) const DELETED_FILE_PATH: i32 = 2_147_483_546;

/// The endings of data files' names, by format.
const DATA_FILE_ENDINGS: [&str; 3] = [".parquet", ".orc", ".avro"];

/// The only data file that a position delete file is about, by the bounds of its path column: equal ones, which writers
/// don't cut short. A bound that doesn't end as a data file's name ends may have been cut, and says nothing.
pub(crate) fn only_data_file(lower: &[u8], upper: &[u8]) -> Option<CanonicalUri> {
    let path = std::str::from_utf8(lower).ok()?;
    let whole = DATA_FILE_ENDINGS.iter().any(|end| path.ends_with(end));
    (lower == upper && whole).then(|| CanonicalUri::new(path))
}

impl DeleteFile {
    /// What this holds in memory, in bytes, itself included. Its partition is taken for its own.
    pub fn heap_bytes(&self) -> usize {
        let of = match &self.content {
            DeleteContent::Positions { of } => of.as_ref().map_or(0, |of| of.as_str().len()),
            DeleteContent::Vector { of, .. } => of.as_str().len(),
            DeleteContent::Equality { field_ids } => size_of_val::<[i32]>(field_ids),
        };
        let spans = size_of_val::<[ColumnSpan]>(&self.spans);
        let bounds: usize = self.spans.iter().map(ColumnSpan::heap_bytes).sum();
        let uri = self.id.uri.as_str().len();
        size_of::<Self>() + uri + of + struct_bytes(&self.partition) + spans + bounds
    }

    /// Between which paths the data files are that a position delete file is about, where that is known: bounds that may
    /// have been cut short say nothing.
    pub fn paths(&self) -> Option<(&str, &str)> {
        let span = self.spans.first()?;
        if span.field_id != DELETED_FILE_PATH {
            return None;
        }
        let whole = |bound: &'_ [u8]| -> bool {
            DATA_FILE_ENDINGS
                .iter()
                .any(|end| bound.ends_with(end.as_bytes()))
        };
        let (lower, upper) = (span.lower.as_deref()?, span.upper.as_deref()?);
        if !whole(lower) || !whole(upper) {
            return None;
        }
        Some((
            std::str::from_utf8(lower).ok()?,
            std::str::from_utf8(upper).ok()?,
        ))
    }
}
