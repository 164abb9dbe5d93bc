//! The files of a snapshot, in the compact form that planning reads and the cache keeps.

mod bounds;
mod bytes;
mod manifest;
mod packed;

use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use iceberg::spec::{FieldSummary, Literal, ManifestContentType, PrimitiveLiteral, Struct};
use landfast_sites::FileId;

pub use bounds::{Bounds, Width};
pub(crate) use manifest::{Count, FileRow, FilesBuilder, Side};
pub use manifest::{ManifestColumn, ManifestFiles, WantedColumn};
pub use packed::{Packed, Sparse};

/// What a manifest list says of one manifest: enough to leave it out without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestSummary {
    /// The manifest, with its recorded length.
    pub id: FileId,
    /// Whether it holds data files or delete files.
    pub content: ManifestContentType,
    /// The partition spec that all its files have.
    pub spec_id: i32,
    /// The sequence number that entries without one of their own inherit.
    pub sequence_number: i64,
    /// The least data sequence number of its live files; 0 in v1 lists.
    pub min_sequence_number: i64,
    /// The row id of the first row of its first added file that has none of its own (v3).
    pub first_row_id: Option<u64>,
    /// What the list counts.
    pub counts: ManifestCounts,
    /// The snapshot that added the manifest.
    pub added_snapshot_id: i64,
    /// Live files (added and existing) where the list says so.
    pub files: Option<u64>,
    /// Rows of the live files where the list says so.
    pub rows: Option<u64>,
    /// Bounds of each partition field, in the spec's order: bytes in Iceberg's single-value form, of the type that the
    /// partition field had when the manifest was written. Absent where the writer left them out.
    pub partitions: Option<Box<[FieldSummary]>>,
}

impl ManifestSummary {
    /// A manifest of which nothing is known beyond its spec.
    pub fn new(id: FileId, spec_id: i32) -> Self {
        Self {
            id,
            content: ManifestContentType::Data,
            spec_id,
            sequence_number: 0,
            min_sequence_number: 0,
            first_row_id: None,
            counts: ManifestCounts::default(),
            added_snapshot_id: 0,
            files: None,
            rows: None,
            partitions: None,
        }
    }
}

/// How many files and rows of each status a manifest has, where the list says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ManifestCounts {
    /// Files that its snapshot added.
    pub added_files: Option<u32>,
    /// Files that were there before.
    pub existing_files: Option<u32>,
    /// Files that its snapshot removed.
    pub deleted_files: Option<u32>,
    /// Rows of the added files.
    pub added_rows: Option<u64>,
    /// Rows of the existing files.
    pub existing_rows: Option<u64>,
    /// Rows of the removed files.
    pub deleted_rows: Option<u64>,
}

/// A snapshot's manifests.
#[derive(Debug, Clone, Default)]
pub struct ManifestListing {
    /// The data manifests that have live files, as the list orders them.
    pub manifests: Vec<ManifestSummary>,
    /// The delete manifests that have live files, as the list orders them.
    pub deletes: Vec<ManifestSummary>,
    /// The manifests that say that they have none, data and deletes alike: a scan needs none of them.
    pub emptied: Vec<ManifestSummary>,
}

impl ManifestListing {
    /// What this holds in memory, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let manifest = |manifest: &ManifestSummary| {
            let partitions = manifest
                .partitions
                .iter()
                .flat_map(|partitions| partitions.iter());
            let bounds: usize = partitions
                .map(|field| {
                    let bounds = [&field.lower_bound, &field.upper_bound];
                    size_of::<FieldSummary>()
                        + bounds
                            .into_iter()
                            .flatten()
                            .map(|bound| bound.len())
                            .sum::<usize>()
                })
                .sum();
            size_of::<ManifestSummary>() + manifest.id.uri.as_str().len() + bounds
        };
        let all = self
            .manifests
            .iter()
            .chain(&self.deletes)
            .chain(&self.emptied);
        size_of::<Self>() + all.map(manifest).sum::<usize>()
    }
}

/// The files of a snapshot, or of those of its manifests that a query needs.
#[derive(Debug, Clone, Default)]
pub struct SnapshotFiles {
    /// The manifests' live files, in the manifest list's order.
    pub manifests: Vec<Arc<ManifestFiles>>,
}

impl SnapshotFiles {
    /// All files, with the metrics of the wanted columns (ascending by field id).
    pub fn files(&self, wanted: &[WantedColumn]) -> impl Iterator<Item = DataFile> {
        self.manifests
            .iter()
            .flat_map(move |manifest| (0..manifest.len()).map(|at| manifest.file(at, wanted)))
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.manifests.iter().map(|manifest| manifest.len()).sum()
    }

    /// The files' bytes, summed.
    pub fn bytes(&self) -> u64 {
        self.manifests
            .iter()
            .map(|manifest| manifest.bytes_total())
            .sum()
    }

    /// The files' rows, summed.
    pub fn rows(&self) -> u64 {
        self.manifests
            .iter()
            .map(|manifest| manifest.rows_total())
            .sum()
    }
}

/// One live Parquet data file.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// The file, with its recorded size.
    pub id: FileId,
    /// How many rows it has.
    pub rows: u64,
    /// The data sequence number, inherited where the entry has none; 0 in v1 manifests.
    pub sequence_number: i64,
    /// The row id of its first row, inherited where the entry has none; none before v3.
    pub first_row_id: Option<u64>,
    /// The partition spec it was written with.
    pub spec_id: i32,
    /// The partition tuple, in the order of the spec's fields.
    pub partition: Arc<Struct>,
    /// Where row groups start, as recorded, ascending; empty when not recorded (or not ascending).
    pub split_offsets: Box<[u64]>,
    /// The sort order it was written with, where recorded.
    pub sort_order_id: Option<i32>,
    /// What is recorded of its columns, sorted by field id.
    pub columns: Box<[ColumnMetrics]>,
}

impl DataFile {
    /// A file of which nothing is known beyond its rows and its partition.
    pub fn new(id: FileId, rows: u64, spec_id: i32, partition: Struct) -> Self {
        Self {
            id,
            rows,
            sequence_number: 0,
            first_row_id: None,
            spec_id,
            partition: Arc::new(partition),
            split_offsets: Box::default(),
            sort_order_id: None,
            columns: Box::default(),
        }
    }

    /// The metrics of one column.
    pub fn column(&self, field_id: i32) -> Option<&ColumnMetrics> {
        let at = self
            .columns
            .binary_search_by_key(&field_id, |column| column.field_id)
            .ok()?;
        self.columns.get(at)
    }

    /// What this holds in memory, in bytes, itself included.
    pub fn heap_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(ColumnMetrics::heap_bytes).sum();
        size_of::<Self>()
            + self.id.uri.as_str().len()
            + size_of_val::<[u64]>(&self.split_offsets)
            + struct_bytes(&self.partition)
            + columns
    }
}

/// What a manifest records of one column of one file.
///
/// Bounds are of the type that the consumer named, which is the column's today: what was written before a promotion is
/// promoted.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnMetrics {
    /// The column's field id.
    pub field_id: i32,
    /// No value is less than this (strings and binary may be cut short).
    pub lower: Option<PrimitiveLiteral>,
    /// No value is greater than this (strings and binary may be cut short, and then are rounded up).
    pub upper: Option<PrimitiveLiteral>,
    /// Values, null and NaN included.
    pub value_count: Option<u64>,
    /// Null values.
    pub null_count: Option<u64>,
    /// NaN values.
    pub nan_count: Option<u64>,
    /// Compressed bytes of the column's chunks.
    pub size_bytes: Option<u64>,
}

impl ColumnMetrics {
    /// Nothing known of a column yet.
    pub fn new(field_id: i32) -> Self {
        Self {
            field_id,
            lower: None,
            upper: None,
            value_count: None,
            null_count: None,
            nan_count: None,
            size_bytes: None,
        }
    }

    fn heap_bytes(&self) -> usize {
        let bounds = [&self.lower, &self.upper];
        size_of::<Self>()
            + bounds
                .into_iter()
                .flatten()
                .map(literal_heap_bytes)
                .sum::<usize>()
    }
}

/// What a partition tuple holds in memory, in bytes, with the counts of who shares it.
pub(crate) fn struct_bytes(tuple: &Struct) -> usize {
    let values = tuple.iter().map(|value| match value {
        Some(Literal::Primitive(value)) => literal_heap_bytes(value),
        _ => 0,
    });
    let slots = size_of_val(tuple.fields());
    2 * size_of::<usize>() + size_of::<Struct>() + slots + values.sum::<usize>()
}

fn literal_heap_bytes(value: &PrimitiveLiteral) -> usize {
    match value {
        PrimitiveLiteral::String(text) => text.capacity(),
        PrimitiveLiteral::Binary(bytes) => bytes.capacity(),
        _ => 0,
    }
}
