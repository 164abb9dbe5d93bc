//! A table as one query sees it: its metadata and one snapshot, pinned.

use std::sync::Arc;
use std::time::{Duration, Instant};

use iceberg::spec::{SchemaRef, SnapshotRef, TableMetadata};
use landfast_sites::CanonicalUri;
use uuid::Uuid;

use crate::TableName;

/// Which table, at which metadata and snapshot: enough to read exactly the same again, and plain data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    /// The table's name when it was pinned.
    pub table: TableName,
    /// The table's identity. The nil UUID stands for a v1 table that has none.
    pub uuid: Uuid,
    /// Where the metadata is.
    pub metadata_location: CanonicalUri,
    /// The snapshot, or none for a table without data.
    pub snapshot_id: Option<i64>,
}

/// A table at one snapshot. What it holds never changes; only its age does.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// The table's name.
    pub name: TableName,
    /// The table's identity.
    pub uuid: Uuid,
    /// The table's base location.
    pub location: CanonicalUri,
    /// Where the metadata is.
    pub metadata_location: CanonicalUri,
    /// The metadata as it was read.
    pub metadata: Arc<TableMetadata>,
    /// The pinned snapshot; none for a table without data.
    pub snapshot: Option<SnapshotRef>,
    /// When the last validation of the pointer that succeeded began. For a table resolved from a [`Pin`] that is no
    /// longer the current one, this is when it was resolved.
    pub pointer_validated: Instant,
    /// Whether the pointer is older than the query asked for, because the member is out of reach.
    pub stale: bool,
    /// Now, when this was resolved: ages are as of then.
    pub(crate) resolved: Instant,
}

impl TableSnapshot {
    /// The current snapshot of a table whose pointer is confirmed at this moment.
    pub fn new(
        name: TableName,
        metadata_location: CanonicalUri,
        metadata: Arc<TableMetadata>,
    ) -> Self {
        let now = Instant::now();
        Self {
            name,
            uuid: metadata.uuid(),
            location: CanonicalUri::new(metadata.location()),
            metadata_location,
            snapshot: metadata.current_snapshot().cloned(),
            metadata,
            pointer_validated: now,
            stale: false,
            resolved: now,
        }
    }

    /// What is needed to resolve exactly this again.
    pub fn pin(&self) -> Pin {
        Pin {
            table: self.name.clone(),
            uuid: self.uuid,
            metadata_location: self.metadata_location.clone(),
            snapshot_id: self.snapshot_id(),
        }
    }

    /// The table's current schema. Not the one that the snapshot was written with: a column added since is there, and
    /// reads as null.
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.current_schema()
    }

    /// The id of the pinned snapshot.
    pub fn snapshot_id(&self) -> Option<i64> {
        self.snapshot
            .as_ref()
            .map(|snapshot| snapshot.snapshot_id())
    }

    /// When the pinned snapshot was committed, in milliseconds since 1970 by its writer's clock.
    pub fn committed_at_ms(&self) -> Option<i64> {
        self.snapshot
            .as_ref()
            .map(|snapshot| snapshot.timestamp_ms())
    }

    /// How long before this was resolved the last successful validation of the pointer began.
    pub fn pointer_age(&self) -> Duration {
        self.resolved
            .saturating_duration_since(self.pointer_validated)
    }
}
