//! What is a table right now?
//!
//! The members of the namespace (Iceberg REST catalogs and SQL catalogs, each mounted under a catalog name), where each
//! table's metadata stands and how sure we are of it, and the files of a snapshot in a form that planning is quick with.
//!
//! # Invariants
//! - A [`TableSnapshot`] and a [`SnapshotFiles`] never change: metadata, manifest lists and manifests are cached under
//!   what never changes, and one query keeps the snapshot that it pinned.
//! - A pointer is used under `bounded(Δ)` only if its last *successful validation began* at most Δ ago, on a monotonic
//!   clock; a strong read asks the member after the query came in. An older one only where the query allows it, for
//!   24 hours at most, and labelled stale.
//! - A member that is slow or down delays nobody else: each call has its time-out, and listings say what is missing.
//! - A table that needs what is not built (later format versions, encryption, other file formats) is refused by name,
//!   alone. Columns of types that can't be read are left out of its schema, and named.
//! - Metadata is read through `landfast_sites`, so that copies serve; what a site gives is taken only if it parses whole
//!   and is the table's.
//!
//! # What it does not know
//! SQL text, DataFusion, Flight and which site is best for data. It never changes a file: dropping a table removes the
//! catalog's entry.

mod as_of;
mod avro;
mod bound;
mod clock;
mod deletes;
mod entry;
mod error;
mod files;
mod member;
mod metadata;
mod name;
mod namespace;
mod snapshot;
mod spec;
mod view;

pub use as_of::AsOf;
pub use avro::{AvroFault, AvroField, AvroFile, AvroTaker, AvroType, AvroUnit, AvroValue};
pub use bound::{compare_bounds, decode_bound};
pub use clock::{Clock, MonotonicClock};
pub use deletes::{
    ColumnSpan, DeleteContent, DeleteFile, DeleteFormat, DeleteIndex, DeleteList, FileDeletes,
};
pub use entry::ManifestEntry;
pub use error::{CatalogError, CatalogErrorKind, Result};
pub use files::{
    Bounds, ColumnMetrics, DataFile, ManifestColumn, ManifestCounts, ManifestFiles,
    ManifestListing, ManifestSummary, Packed, SnapshotFiles, Sparse, WantedColumn, Width,
};
pub use name::{CatalogName, RESERVED_CATALOG, SchemaName, TableName};
pub use namespace::{CacheStats, Listing, ListingWarning, MemberState, MemberStatus, Namespace};
pub use snapshot::{Pin, Refs, TableDocument, TableSnapshot, UnreadableColumn};
pub use spec::{
    FolderSpec, FoldersSpec, Freshness, MemberKind, MemberSpec, NamespaceSpec, Reading, RestAuth,
    RestSpec, SqlSpec,
};
pub use view::{View, ViewRepresentation};
