//! Rows that are gone: what is deleted from each file of a scan, read once and applied while the file is read.
//!
//! - [`TableDeletes`]: which delete files each data file needs, as plain data ([`LakeDeletes`]), placed like data files.
//! - [`DeleteCache`]: what delete files say, read through `landfast_sites`, kept by weight and shared by all queries.
//! - [`keys`]: rows by key, which are left out as the reader gives them ([`sift`]).
//! - [`vector`] and [`positions`]: rows by position, which become row selections ([`selection`]) of the Parquet reader.
//!
//! # Invariants
//! - A delete file that can't be read or understood fails the query: no row comes back that should be gone.
//! - Paths are compared as they are written, byte by byte.

mod avro_file;
mod cache;
mod key_columns;
mod keys;
mod parquet_file;
mod plan;
mod positions;
mod read;
mod rows;
mod selection;
mod sift;
mod statistics;
mod vector;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::error::DataFusionError;
use landfast_catalog::DeleteFormat;
use landfast_sites::{CanonicalUri, Route};

use crate::PlannerError;

pub use cache::DeleteCache;
pub use key_columns::KeyColumn;
pub(super) use key_columns::KeyColumns;
pub(super) use plan::{PlannedReads, TableDeletes};
pub(super) use read::{DeleteReader, DeletedKeys, DeletedPositions};
pub(super) use selection::without;
pub(super) use sift::{Sieve, columns_to_read};
pub(super) use statistics::{of_file_with_deletes, of_scan_with_deletes};
#[cfg(test)]
pub(super) use vector::encode as encode_vector;

/// What is deleted from one data file: plain data.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LakeDeletes {
    /// Its deletion vector.
    pub vector: Option<VectorBlob>,
    /// Its position delete files; files of one partition share the lists.
    pub positions: Vec<Arc<[Arc<DeleteSource>]>>,
    /// Its equality deletes, one for each set of key columns and scope. A key deletes the file's rows if one of its
    /// delete files has a greater sequence number than the file.
    pub keys: Vec<Arc<KeyDeletes>>,
    /// The file's own data sequence number.
    pub sequence_number: i64,
}

/// Equality delete files whose keys have the same columns and which apply to the same files.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyDeletes {
    /// The key's columns.
    pub columns: Arc<[KeyColumn]>,
    /// Which keys they are.
    pub set: Arc<KeySetId>,
    /// The files, in the order that `set` has them.
    pub files: Arc<[Arc<DeleteSource>]>,
}

/// What a set of keys is made of: the identity that it is cached under, wherever its files are read.
#[derive(Debug, Clone, Eq)]
pub struct KeySetId {
    /// How the files are asked for the key's columns: with their field ids, in the types that the table has now.
    asked: Arc<[FieldRef]>,
    /// Each file's URI, size and data sequence number.
    files: Box<[(CanonicalUri, u64, i64)]>,
    hash: u64,
}

impl KeySetId {
    fn new(asked: Arc<[FieldRef]>, files: &[Arc<DeleteSource>]) -> Self {
        let file =
            |file: &Arc<DeleteSource>| (file.uri.clone(), file.size_bytes, file.sequence_number);
        let files: Box<[_]> = files.iter().map(file).collect();
        let mut hasher = DefaultHasher::new();
        files.hash(&mut hasher);
        asked.hash(&mut hasher);
        Self {
            asked,
            files,
            hash: hasher.finish(),
        }
    }
}

impl PartialEq for KeySetId {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.files == other.files && self.asked == other.asked
    }
}

/// Found out once: a set may be made of thousands of files, and is looked up for each data file.
impl Hash for KeySetId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl LakeDeletes {
    /// Whether a deletion vector says all that is gone.
    fn only_a_vector(&self) -> bool {
        self.vector.is_some() && self.positions.is_empty() && self.keys.is_empty()
    }
}

/// A delete file, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeleteSource {
    /// The file's identity.
    pub uri: CanonicalUri,
    /// How it is encoded.
    pub format: DeleteFormat,
    /// Its recorded size.
    pub size_bytes: u64,
    /// Its data sequence number.
    pub sequence_number: i64,
    /// Between which paths the data files are that it deletes rows of, where that is known.
    pub paths: Option<(Box<str>, Box<str>)>,
    /// The sites to read it from, in order.
    pub route: Route,
}

impl DeleteSource {
    /// Whether it may delete rows of a data file, by the paths that it is known to be about.
    fn may_be_about(&self, data: &CanonicalUri) -> bool {
        let path = data.as_str();
        let paths = self.paths.as_ref();
        paths.is_none_or(|(from, to)| (&**from..=&**to).contains(&path))
    }
}

/// A deletion vector within a Puffin file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorBlob {
    /// The Puffin file.
    pub file: Arc<DeleteSource>,
    /// Where the blob starts.
    pub offset: u64,
    /// The blob's length in bytes.
    pub length: u64,
    /// How many rows it deletes.
    pub rows: u64,
}

/// The error of a delete file that isn't what it should be.
fn corrupt(uri: &CanonicalUri, reason: impl std::fmt::Display) -> DataFusionError {
    PlannerError::internal(format!("the delete file {uri} is corrupt: {reason}")).into()
}
