//! One entry of a manifest, whole: for who lists files rather than reads them.

use iceberg::spec::{DataContentType, ManifestStatus, Struct};
use landfast_sites::CanonicalUri;

/// One entry of a manifest with all that is recorded of its file, removed files included.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestEntry {
    /// Whether the snapshot that wrote the entry kept, added or removed the file.
    pub status: ManifestStatus,
    /// The snapshot that added the file, or removed it; inherited from the manifest where the entry has none.
    pub snapshot_id: Option<i64>,
    /// The data sequence number; inherited where it may be. None where an entry lacks one that it should have.
    pub sequence_number: Option<i64>,
    /// The sequence number of the snapshot that added the file; inherited where it may be.
    pub file_sequence_number: Option<i64>,
    /// What the file holds.
    pub content: DataContentType,
    /// The file's location.
    pub path: CanonicalUri,
    /// The file's format as it is written, such as `PARQUET`.
    pub format: String,
    /// The partition spec it was written with.
    pub spec_id: i32,
    /// The partition tuple, in the order of the spec's fields.
    pub partition: Struct,
    /// Rows, deleted positions, keys, or a deletion vector's cardinality.
    pub record_count: u64,
    /// The whole file's length in bytes.
    pub file_size_in_bytes: u64,
    /// Compressed bytes by field id, in the order written, as all maps here.
    pub column_sizes: Vec<(i32, u64)>,
    /// Values by field id, null and NaN included.
    pub value_counts: Vec<(i32, u64)>,
    /// Null values by field id.
    pub null_value_counts: Vec<(i32, u64)>,
    /// NaN values by field id.
    pub nan_value_counts: Vec<(i32, u64)>,
    /// Lower bounds by field id, in Iceberg's single-value form, of the type that the column had then:
    /// [`crate::decode_bound`] reads them.
    pub lower_bounds: Vec<(i32, Box<[u8]>)>,
    /// Upper bounds by field id, as the lower ones.
    pub upper_bounds: Vec<(i32, Box<[u8]>)>,
    /// How the file is encrypted, if it is.
    pub key_metadata: Option<Box<[u8]>>,
    /// Where row groups start, as recorded.
    pub split_offsets: Option<Vec<i64>>,
    /// The field ids of an equality delete's key.
    pub equality_ids: Option<Vec<i32>>,
    /// The sort order it was written with.
    pub sort_order_id: Option<i32>,
    /// The row id of its first row, inherited where the entry has none (v3).
    pub first_row_id: Option<i64>,
    /// The only data file that a delete file is about.
    pub referenced_data_file: Option<String>,
    /// Where a deletion vector starts in its Puffin file.
    pub content_offset: Option<i64>,
    /// How long a deletion vector is, in bytes.
    pub content_size_in_bytes: Option<i64>,
}
