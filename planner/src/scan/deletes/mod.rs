//! Rows that are gone: what is deleted from each file of a scan, read once and applied while the file is read.
//!
//! - [`TableDeletes`]: which delete files each data file needs, as plain data ([`LakeDeletes`]), placed like data files.
//! - [`DeleteCache`]: what delete files say, read through `landfast_sites`, kept by weight and shared by all queries.
//! - [`vector`] and [`positions`]: rows by position, which become row selections ([`selection`]) of the Parquet reader.
//!
//! # Invariants
//! - A delete file that can't be read or understood fails the query: no row comes back that should be gone.
//! - Paths are compared as they are written, byte by byte.

mod cache;
mod parquet_file;
mod plan;
mod positions;
mod read;
mod selection;
mod statistics;
mod vector;

use std::sync::Arc;

use datafusion::error::DataFusionError;
use landfast_sites::{CanonicalUri, Route};

use crate::PlannerError;

pub use cache::DeleteCache;
pub(super) use plan::{PlannedReads, TableDeletes};
pub(super) use read::{DeleteReader, Deleted};
pub(super) use selection::without;
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
}

impl LakeDeletes {
    /// Whether a deletion vector says all that is gone.
    fn only_a_vector(&self) -> bool {
        self.vector.is_some() && self.positions.is_empty()
    }
}

/// A delete file, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeleteSource {
    /// The file's identity.
    pub uri: CanonicalUri,
    /// Its recorded size.
    pub size_bytes: u64,
    /// Its data sequence number.
    pub sequence_number: i64,
    /// The sites to read it from, in order.
    pub route: Route,
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
