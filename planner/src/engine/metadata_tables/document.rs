//! What a table's metadata holds: snapshots, history, refs, properties and the log of metadata files.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use iceberg::spec::{NullOrder, SnapshotRef, SnapshotRetention, SortDirection, Transform};
use landfast_catalog::TableSnapshot;

use super::MetadataTable;
use super::columns::{map_type, texts_by_text, time_type, times};
use crate::Result;

/// The columns of one of these tables.
pub(super) fn schema(table: MetadataTable) -> SchemaRef {
    let field = |name: &str, of: DataType| Field::new(name, of, true);
    let text = |name: &str| field(name, DataType::Utf8);
    let long = |name: &str| field(name, DataType::Int64);
    let int = |name: &str| field(name, DataType::Int32);
    let time = |name: &str| field(name, time_type());
    let fields = match table {
        MetadataTable::Snapshots => vec![
            time("committed_at"),
            long("snapshot_id"),
            long("parent_id"),
            text("operation"),
            text("manifest_list"),
            field("summary", map_type(DataType::Utf8, DataType::Utf8)),
        ],
        MetadataTable::History => vec![
            time("made_current_at"),
            long("snapshot_id"),
            long("parent_id"),
            field("is_current_ancestor", DataType::Boolean),
        ],
        MetadataTable::Refs => vec![
            text("name"),
            text("type"),
            long("snapshot_id"),
            long("max_reference_age_in_ms"),
            int("min_snapshots_to_keep"),
            long("max_snapshot_age_in_ms"),
        ],
        MetadataTable::MetadataLogEntries => vec![
            time("timestamp"),
            text("file"),
            long("latest_snapshot_id"),
            int("latest_schema_id"),
            long("latest_sequence_number"),
        ],
        _ => vec![text("key"), text("value")],
    };
    Arc::new(Schema::new(fields))
}

/// The rows of one of these tables.
pub(super) fn rows(of: MetadataTable, table: &TableSnapshot) -> Result<RecordBatch> {
    let columns = match of {
        MetadataTable::Snapshots => snapshots(table)?,
        MetadataTable::History => history(table),
        MetadataTable::Refs => refs(table),
        MetadataTable::MetadataLogEntries => metadata_log(table),
        _ => properties(table),
    };
    Ok(RecordBatch::try_new(schema(of), columns)?)
}

/// All snapshots, the oldest first.
pub(super) fn snapshots_in_order(table: &TableSnapshot) -> Vec<&SnapshotRef> {
    let mut all: Vec<&SnapshotRef> = table.metadata.snapshots().collect();
    all.sort_by_key(|snapshot| {
        (
            snapshot.sequence_number(),
            snapshot.timestamp_ms(),
            snapshot.snapshot_id(),
        )
    });
    all
}

fn snapshots(table: &TableSnapshot) -> Result<Vec<ArrayRef>> {
    let all = snapshots_in_order(table);
    let all = || all.iter();
    let summaries = all().map(|snapshot| {
        let more = &snapshot.summary().additional_properties;
        let mut pairs: Vec<(String, String)> = more
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        pairs.sort();
        pairs
    });
    Ok(vec![
        times(all().map(|snapshot| Some(snapshot.timestamp_ms()))),
        longs(all().map(|snapshot| Some(snapshot.snapshot_id()))),
        longs(all().map(|snapshot| snapshot.parent_snapshot_id())),
        texts(all().map(|snapshot| Some(snapshot.summary().operation.as_str()))),
        texts(all().map(|snapshot| Some(snapshot.manifest_list()))),
        texts_by_text(summaries)?,
    ])
}

fn history(table: &TableSnapshot) -> Vec<ArrayRef> {
    let metadata = &table.metadata;
    let mut ancestors = HashSet::new();
    let mut next = metadata.current_snapshot();
    while let Some(snapshot) = next {
        // A history that runs in a circle ends where it meets itself.
        if !ancestors.insert(snapshot.snapshot_id()) {
            break;
        }
        let parent = snapshot.parent_snapshot_id();
        next = parent.and_then(|id| metadata.snapshot_by_id(id));
    }
    let log = || metadata.history().iter();
    let parents = log().map(|entry| {
        let snapshot = metadata.snapshot_by_id(entry.snapshot_id)?;
        snapshot.parent_snapshot_id()
    });
    let current = log().map(|entry| Some(ancestors.contains(&entry.snapshot_id)));
    vec![
        times(log().map(|entry| Some(entry.timestamp_ms()))),
        longs(log().map(|entry| Some(entry.snapshot_id))),
        longs(parents),
        Arc::new(current.collect::<BooleanArray>()),
    ]
}

fn refs(table: &TableSnapshot) -> Vec<ArrayRef> {
    let kind = |retention: &SnapshotRetention| match retention {
        SnapshotRetention::Branch { .. } => "BRANCH",
        SnapshotRetention::Tag { .. } => "TAG",
    };
    let ref_age = |retention: &SnapshotRetention| match retention {
        SnapshotRetention::Branch { max_ref_age_ms, .. }
        | SnapshotRetention::Tag { max_ref_age_ms } => *max_ref_age_ms,
    };
    let kept = |retention: &SnapshotRetention| match retention {
        SnapshotRetention::Branch {
            min_snapshots_to_keep,
            ..
        } => *min_snapshots_to_keep,
        SnapshotRetention::Tag { .. } => None,
    };
    let snapshot_age = |retention: &SnapshotRetention| match retention {
        SnapshotRetention::Branch {
            max_snapshot_age_ms,
            ..
        } => *max_snapshot_age_ms,
        SnapshotRetention::Tag { .. } => None,
    };
    let all = || table.refs.values();
    vec![
        texts(table.refs.keys().map(|name| Some(name.as_str()))),
        texts(all().map(|one| Some(kind(&one.retention)))),
        longs(all().map(|one| Some(one.snapshot_id))),
        longs(all().map(|one| ref_age(&one.retention))),
        ints(all().map(|one| kept(&one.retention))),
        longs(all().map(|one| snapshot_age(&one.retention))),
    ]
}

fn metadata_log(table: &TableSnapshot) -> Vec<ArrayRef> {
    let metadata = &table.metadata;
    let mut files: Vec<(i64, &str)> = metadata
        .metadata_log()
        .iter()
        .map(|entry| (entry.timestamp_ms, entry.metadata_file.as_str()))
        .collect();
    files.push((metadata.last_updated_ms(), table.metadata_location.as_str()));
    let latest: Vec<Option<i64>> = files
        .iter()
        .map(|(at, _)| {
            let mut log = metadata.history().iter().rev();
            log.find(|entry| entry.timestamp_ms() <= *at)
                .map(|entry| entry.snapshot_id)
        })
        .collect();
    let known = || {
        latest
            .iter()
            .map(|id| id.and_then(|id| metadata.snapshot_by_id(id)))
    };
    vec![
        times(files.iter().map(|(at, _)| Some(*at))),
        texts(files.iter().map(|(_, file)| Some(*file))),
        longs(latest.iter().copied()),
        ints(known().map(|snapshot| snapshot?.schema_id())),
        longs(known().map(|snapshot| Some(snapshot?.sequence_number()))),
    ]
}

/// The properties, and beside them what other engines show as such.
fn properties(table: &TableSnapshot) -> Vec<ArrayRef> {
    let metadata = &table.metadata;
    let mut all: BTreeMap<String, String> = metadata
        .properties()
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let format = metadata.properties().get("write.format.default");
    let current = metadata.current_snapshot_id().map(|id| id.to_string());
    let mut derived = vec![
        ("provider", "iceberg".to_owned()),
        (
            "format",
            format!("iceberg/{}", format.map_or("parquet", String::as_str)),
        ),
        (
            "format-version",
            (metadata.format_version() as u8).to_string(),
        ),
        ("location", metadata.location().to_owned()),
        (
            "current-snapshot-id",
            current.unwrap_or_else(|| "none".to_owned()),
        ),
    ];
    if let Some(order) = sort_order(table) {
        derived.push(("sort-order", order));
    }
    let schema = metadata.current_schema();
    let mut keys: Vec<&str> = schema
        .identifier_field_ids()
        .filter_map(|id| schema.name_by_field_id(id))
        .collect();
    keys.sort_unstable();
    if !keys.is_empty() {
        derived.push(("identifier-fields", format!("[{}]", keys.join(","))));
    }
    all.extend(
        derived
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value)),
    );
    vec![
        texts(all.keys().map(|key| Some(key.as_str()))),
        texts(all.values().map(|value| Some(value.as_str()))),
    ]
}

/// How new files are sorted; none where they are not.
fn sort_order(table: &TableSnapshot) -> Option<String> {
    let metadata = &table.metadata;
    let schema = metadata.current_schema();
    let fields = metadata.default_sort_order().fields.iter().map(|field| {
        let name = schema.name_by_field_id(field.source_id).unwrap_or("?");
        let expression = match field.transform {
            Transform::Identity => name.to_owned(),
            Transform::Bucket(buckets) => format!("bucket({buckets}, {name})"),
            Transform::Truncate(width) => format!("truncate({name}, {width})"),
            Transform::Year => format!("years({name})"),
            Transform::Month => format!("months({name})"),
            Transform::Day => format!("days({name})"),
            Transform::Hour => format!("hours({name})"),
            other => format!("{other}({name})"),
        };
        let direction = match field.direction {
            SortDirection::Ascending => "ASC",
            SortDirection::Descending => "DESC",
        };
        let nulls = match field.null_order {
            NullOrder::First => "NULLS FIRST",
            NullOrder::Last => "NULLS LAST",
        };
        format!("{expression} {direction} {nulls}")
    });
    let fields: Vec<String> = fields.collect();
    (!fields.is_empty()).then(|| fields.join(", "))
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn longs(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn ints(values: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.collect::<Int32Array>())
}
