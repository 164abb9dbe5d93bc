//! Which of a table's snapshots a query reads.

use std::fmt;
use std::sync::Arc;

use iceberg::spec::{SchemaRef, SnapshotRef, TableMetadata};

use crate::snapshot::Refs;

/// Which of a table's snapshots a query reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AsOf {
    /// The current one.
    #[default]
    Current,
    /// The one with this id.
    Snapshot(i64),
    /// The one that was current at this time, in milliseconds since 1970.
    Timestamp(i64),
    /// The one that a branch or tag of this name refers to.
    Ref(String),
}

/// Why a table has no such version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoVersion {
    /// No snapshot has the id.
    Snapshot(i64),
    /// No branch or tag has the name; these there are.
    Ref(String, Vec<String>),
    /// The table had no snapshot yet, or its history no longer goes back that far. The oldest time that it knows.
    Timestamp(i64, Option<i64>),
}

/// A snapshot, and the schema to read it with.
pub(crate) type Version = (Option<SnapshotRef>, SchemaRef);

impl AsOf {
    /// The snapshot that this means in a table.
    ///
    /// The table as it is, and a branch, are read with the table's current schema: a column added since the snapshot was
    /// written is there, and reads as null. A snapshot, a time and a tag are read with the schema of their snapshot.
    pub(crate) fn find(&self, metadata: &TableMetadata, refs: &Refs) -> Result<Version, NoVersion> {
        let now = metadata.current_schema();
        match self {
            Self::Current => Ok((metadata.current_snapshot().cloned(), Arc::clone(now))),
            Self::Snapshot(id) => {
                let found = metadata.snapshot_by_id(*id);
                let snapshot = found.ok_or(NoVersion::Snapshot(*id))?;
                Ok(as_written(metadata, snapshot))
            }
            Self::Timestamp(at_ms) => {
                let log = metadata.history().iter();
                let current = log.rev().find(|entry| entry.timestamp_ms() <= *at_ms);
                let snapshot = current.and_then(|entry| metadata.snapshot_by_id(entry.snapshot_id));
                match snapshot {
                    Some(snapshot) => Ok(as_written(metadata, snapshot)),
                    None => {
                        let first = metadata.history().first();
                        let oldest = first.map(|entry| entry.timestamp_ms());
                        Err(NoVersion::Timestamp(*at_ms, oldest))
                    }
                }
            }
            Self::Ref(name) => {
                let reference = refs.get(name);
                let branch = reference.is_none_or(|reference| reference.is_branch());
                match reference.and_then(|known| metadata.snapshot_by_id(known.snapshot_id)) {
                    Some(snapshot) if branch => Ok((Some(Arc::clone(snapshot)), Arc::clone(now))),
                    Some(snapshot) => Ok(as_written(metadata, snapshot)),
                    None => {
                        let names = refs.keys().cloned().collect();
                        Err(NoVersion::Ref(name.clone(), names))
                    }
                }
            }
        }
    }
}

impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("current"),
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
            Self::Timestamp(at_ms) => write!(f, "{at_ms} ms since 1970"),
            Self::Ref(name) => write!(f, "ref {name:?}"),
        }
    }
}

/// A snapshot with its own schema; one that doesn't say which that is has the current one.
fn as_written(metadata: &TableMetadata, snapshot: &SnapshotRef) -> Version {
    let own = snapshot
        .schema_id()
        .and_then(|id| metadata.schema_by_id(id))
        .unwrap_or_else(|| metadata.current_schema());
    (Some(Arc::clone(snapshot)), Arc::clone(own))
}
