//! Which of a table's snapshots a query reads.

use std::fmt;
use std::sync::Arc;

use chrono::DateTime;
use iceberg::spec::{SchemaRef, SnapshotRef, TableMetadata};

use crate::snapshot::Refs;
use crate::{CatalogError, TableName};

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
    /// The branch or tag is there, and its snapshot isn't.
    Dangling(String, i64),
    /// The table had no snapshot yet at this time, or its history doesn't go back that far.
    Timestamp(i64),
    /// What was current at this time is gone.
    Expired(i64, i64),
}

/// Branches and tags that an error names at most.
const NAMES_MAX: usize = 20;

impl NoVersion {
    /// Says what was asked for, and what there is.
    pub(crate) fn into_error(self, table: &TableName, metadata: &TableMetadata) -> CatalogError {
        let what = match self {
            Self::Snapshot(id) => format!(
                "snapshot {id}: it never had it, or it has expired; {}",
                snapshots(metadata)
            ),
            Self::Ref(name, known) if known.is_empty() => {
                format!("branch or tag {name:?}; it has none")
            }
            Self::Ref(name, known) => {
                let more = known.len().saturating_sub(NAMES_MAX);
                let more = if more == 0 {
                    String::new()
                } else {
                    format!(" and {more} more")
                };
                let known = &known[..known.len().min(NAMES_MAX)];
                format!("branch or tag {name:?}; it has {}{more}", known.join(", "))
            }
            Self::Dangling(name, id) => format!(
                "snapshot {id}, which its branch or tag {name:?} refers to: it has expired; {}",
                snapshots(metadata)
            ),
            Self::Timestamp(at_ms) => {
                let first = metadata.history().first();
                let begins = first.map_or_else(
                    || "it keeps no history".to_owned(),
                    |first| format!("its history begins at {}", utc(first.timestamp_ms())),
                );
                format!("snapshot of {} or before; {begins}", utc(at_ms))
            }
            Self::Expired(at_ms, id) => format!(
                "snapshot {id} any more, which was the current one at {}: it has expired; {}",
                utc(at_ms),
                snapshots(metadata)
            ),
        };
        CatalogError::NoSuchVersion {
            table: table.clone(),
            what,
        }
    }
}

/// Which snapshots a table has, in words.
fn snapshots(metadata: &TableMetadata) -> String {
    let committed = || metadata.snapshots().map(|snapshot| snapshot.timestamp_ms());
    match (committed().min(), committed().max()) {
        (Some(first), Some(last)) if first != last => format!(
            "the table has {} snapshots, committed from {} to {}",
            metadata.snapshots().len(),
            utc(first),
            utc(last)
        ),
        (Some(only), _) => format!("the table has one snapshot, committed at {}", utc(only)),
        _ => "the table has no snapshot".to_owned(),
    }
}

/// A time in milliseconds since 1970 as people read it.
fn utc(at_ms: i64) -> String {
    match DateTime::from_timestamp_millis(at_ms) {
        Some(at) => at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string(),
        None => format!("{at_ms} ms since 1970"),
    }
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
                // The log says what was current when: a table that was rolled back was at an older snapshot again. Its
                // order counts, not its times, which come from the clocks of many writers (as in Iceberg's own library).
                let log = metadata.history().iter();
                let entry = log.rev().find(|entry| entry.timestamp_ms() <= *at_ms);
                let id = entry.ok_or(NoVersion::Timestamp(*at_ms))?.snapshot_id;
                let snapshot = metadata.snapshot_by_id(id);
                let snapshot = snapshot.ok_or(NoVersion::Expired(*at_ms, id))?;
                Ok(as_written(metadata, snapshot))
            }
            Self::Ref(name) => {
                let Some(reference) = refs.get(name) else {
                    return Err(NoVersion::Ref(name.clone(), refs.keys().cloned().collect()));
                };
                let id = reference.snapshot_id;
                let snapshot = metadata.snapshot_by_id(id);
                let snapshot = snapshot.ok_or_else(|| NoVersion::Dangling(name.clone(), id))?;
                if reference.is_branch() {
                    Ok((Some(Arc::clone(snapshot)), Arc::clone(now)))
                } else {
                    Ok(as_written(metadata, snapshot))
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
            Self::Timestamp(at_ms) => f.write_str(&utc(*at_ms)),
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{CatalogName, SchemaName, TableDocument};

    /// A table that was written at 10, 20 and 30 s, rolled back to its first snapshot at 40 s and written again at 50 s.
    /// The snapshot of 5 s has expired.
    fn rolled_back() -> Value {
        let snapshot = |id: i64, at: i64, schema: Option<i32>| {
            json!({"snapshot-id": id, "sequence-number": id, "timestamp-ms": at, "manifest-list": "gs://l",
                   "summary": {"operation": "append"}, "schema-id": schema})
        };
        let schema = |id: i32, names: &[&str]| {
            let fields: Vec<Value> = (1..)
                .zip(names)
                .map(|(id, name)| json!({"id": id, "name": name, "required": false, "type": "int"}))
                .collect();
            json!({"type": "struct", "schema-id": id, "fields": fields})
        };
        let log = [
            (1, 10_000),
            (2, 20_000),
            (3, 30_000),
            (1, 40_000),
            (4, 50_000),
        ];
        let log = log.map(|(id, at)| json!({"snapshot-id": id, "timestamp-ms": at}));
        json!({
            "format-version": 2, "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1", "location": "gs://t",
            "last-sequence-number": 9, "last-updated-ms": 60_000, "last-column-id": 2,
            "schemas": [schema(0, &["a"]), schema(1, &["a", "b"])], "current-schema-id": 1,
            "partition-specs": [{"spec-id": 0, "fields": []}], "default-spec-id": 0, "last-partition-id": 999,
            "sort-orders": [{"order-id": 0, "fields": []}], "default-sort-order-id": 0,
            "current-snapshot-id": 4,
            "snapshots": [snapshot(1, 10_000, Some(0)), snapshot(2, 20_000, Some(0)),
                          snapshot(3, 30_000, None), snapshot(4, 50_000, Some(1))],
            "snapshot-log": log,
            "refs": {"main": {"snapshot-id": 4, "type": "branch"}, "audit": {"snapshot-id": 2, "type": "branch"},
                     "eoy": {"snapshot-id": 2, "type": "tag"}},
        })
    }

    fn document(json: &Value) -> TableDocument {
        let parsed = crate::metadata::document::parse(json.to_string().as_bytes(), None);
        parsed.unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    /// The snapshot's id and how many columns it is read with.
    fn find(document: &TableDocument, as_of: &AsOf) -> Result<(i64, usize), String> {
        let catalog = CatalogName::new("lake").unwrap();
        let name = TableName::new(catalog, SchemaName::new("shop").unwrap(), "orders").unwrap();
        match as_of.find(&document.metadata, &document.refs) {
            Ok((snapshot, schema)) => Ok((
                snapshot.unwrap().snapshot_id(),
                schema.as_struct().fields().len(),
            )),
            Err(none) => Err(none.into_error(&name, &document.metadata).to_string()),
        }
    }

    #[test]
    fn a_time_means_what_was_current_then_by_the_tables_history() {
        let document = document(&rolled_back());
        for (at_ms, expected) in [
            (10_000, 1),
            (19_999, 1),
            (20_000, 2),
            (25_000, 2),
            (39_999, 3),
            // Rolled back: the newest snapshot by its own time was no longer current.
            (40_000, 1),
            (49_999, 1),
            (50_000, 4),
            (i64::MAX, 4),
        ] {
            let found = find(&document, &AsOf::Timestamp(at_ms));
            assert_eq!(found.map(|(id, _)| id), Ok(expected), "{at_ms}");
        }
    }

    #[test]
    fn the_order_of_a_history_counts_where_clocks_disagree() {
        let mut json = rolled_back();
        json["snapshot-log"] = json!([
            {"snapshot-id": 1, "timestamp-ms": 10_000}, {"snapshot-id": 2, "timestamp-ms": 30_000},
            {"snapshot-id": 3, "timestamp-ms": 20_000}]);
        let found = find(&document(&json), &AsOf::Timestamp(30_000));
        assert_eq!(found.map(|(id, _)| id), Ok(3));
    }

    #[test]
    fn a_time_before_the_history_or_of_an_expired_snapshot_is_refused_with_what_there_is() {
        let error = find(&document(&rolled_back()), &AsOf::Timestamp(9_999)).unwrap_err();
        assert_eq!(
            error,
            "lake.shop.orders has no snapshot of 1970-01-01 00:00:09.999 UTC or before; its history begins at \
             1970-01-01 00:00:10.000 UTC"
        );
        let mut json = rolled_back();
        json["snapshot-log"][1]["snapshot-id"] = json!(77);
        let error = find(&document(&json), &AsOf::Timestamp(20_500)).unwrap_err();
        assert_eq!(
            error,
            "lake.shop.orders has no snapshot 77 any more, which was the current one at 1970-01-01 00:00:20.500 UTC: it \
             has expired; the table has 4 snapshots, committed from 1970-01-01 00:00:10.000 UTC to 1970-01-01 00:00:50.000 UTC"
        );
        json.as_object_mut().unwrap().remove("snapshot-log");
        let error = find(&document(&json), &AsOf::Timestamp(20_500)).unwrap_err();
        assert!(error.ends_with("it keeps no history"), "{error}");
    }

    #[test]
    fn now_and_a_branch_are_read_with_the_current_schema_and_all_else_with_its_own() {
        let document = document(&rolled_back());
        let named = |name: &str| AsOf::Ref(name.into());
        for (as_of, expected) in [
            (AsOf::Current, (4, 2)),
            (named("main"), (4, 2)),
            (named("audit"), (2, 2)),
            (named("eoy"), (2, 1)),
            (AsOf::Snapshot(2), (2, 1)),
            // One that doesn't say its schema has the current one.
            (AsOf::Snapshot(3), (3, 2)),
            (AsOf::Timestamp(20_000), (2, 1)),
        ] {
            assert_eq!(find(&document, &as_of), Ok(expected), "{as_of}");
        }
    }

    #[test]
    fn a_snapshot_or_ref_that_is_not_there_is_refused_with_what_there_is() {
        let document = document(&rolled_back());
        let error = find(&document, &AsOf::Snapshot(99)).unwrap_err();
        assert_eq!(
            error,
            "lake.shop.orders has no snapshot 99: it never had it, or it has expired; the table has 4 snapshots, \
             committed from 1970-01-01 00:00:10.000 UTC to 1970-01-01 00:00:50.000 UTC"
        );
        let error = find(&document, &AsOf::Ref("eox".into())).unwrap_err();
        assert_eq!(
            error,
            "lake.shop.orders has no branch or tag \"eox\"; it has audit, eoy, main"
        );
    }
}
