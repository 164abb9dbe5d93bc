//! `landfast.system.table_details`: what a table's metadata says of it, a line for each thing.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use chrono::DateTime;
use futures::{StreamExt, stream};
use iceberg::spec::{PartitionSpec, SortOrder, Transform};
use landfast_catalog::{
    CatalogError, DeleteContent, DeleteFile, ManifestListing, Namespace, Reading, TableName,
    TableSnapshot,
};
use landfast_sites::ReadLog;

use super::columns::texts;
use super::lake::{TABLES_MAX, TOO_MANY};

/// Tables looked at at once.
const TABLES_AT_ONCE: usize = 16;
/// How long one table is waited for.
const TABLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How old the pointers may be.
const POINTER_AGE_MAX: Duration = Duration::from_secs(60);
/// Lines of one kind for a table at most: a table may have any number of branches and properties.
const LINES_MAX: usize = 1_000;

/// Properties that say how a table is written and kept; others may be anything.
const PROPERTIES: [&str; 7] = [
    "write.",
    "read.",
    "history.",
    "gc.",
    "commit.",
    "format-version",
    "schema.name-mapping.default",
];

/// The shape of `table_details`. Within a table, lines come in the order in which they are best read.
pub(super) fn schema() -> SchemaRef {
    let field = |name: &str| Field::new(name, DataType::Utf8, false);
    let names = ["catalog", "schema", "table", "about", "name", "value"];
    Arc::new(Schema::new(names.map(field).to_vec()))
}

/// One thing that is said: what it is about, its name and its value.
type Line = (&'static str, String, String);

/// The rows of `table_details` about these tables.
pub(super) async fn details(
    namespace: &Arc<Namespace>,
    mut names: Vec<TableName>,
) -> Result<RecordBatch, ArrowError> {
    let beyond = names.split_off(names.len().min(TABLES_MAX));
    let looks: Vec<_> = names.into_iter().map(|name| of(namespace, name)).collect();
    let mut tables: Vec<(TableName, Vec<Line>)> =
        stream::iter(looks).buffered(TABLES_AT_ONCE).collect().await;
    let unknown = || vec![("details", "unknown".to_owned(), TOO_MANY.to_owned())];
    tables.extend(beyond.into_iter().map(|name| (name, unknown())));
    let lines: Vec<(&TableName, &Line)> = tables
        .iter()
        .flat_map(|(name, lines)| lines.iter().map(move |line| (name, line)))
        .collect();
    let columns = vec![
        texts(lines.iter().map(|(name, _)| name.catalog.as_str())),
        texts(lines.iter().map(|(name, _)| name.schema.as_str())),
        texts(lines.iter().map(|(name, _)| name.table.as_str())),
        texts(lines.iter().map(|(_, line)| line.0)),
        texts(lines.iter().map(|(_, line)| line.1.as_str())),
        texts(lines.iter().map(|(_, line)| line.2.as_str())),
    ];
    RecordBatch::try_new(schema(), columns)
}

/// A table that can't be looked at has no lines: `tables` says why.
async fn of(namespace: &Arc<Namespace>, name: TableName) -> (TableName, Vec<Line>) {
    let lines = tokio::time::timeout(TABLE_TIMEOUT, look_at(namespace, &name)).await;
    let lines = lines.ok().and_then(Result::ok).unwrap_or_default();
    (name, lines)
}

async fn look_at(namespace: &Namespace, name: &TableName) -> Result<Vec<Line>, CatalogError> {
    let log = ReadLog::new();
    let reading = Reading::bounded(POINTER_AGE_MAX);
    let table = namespace.resolve(name, reading, &log).await?;
    let mut lines = of_metadata(&table);
    // What the files say may be out of reach; what the metadata says is known then.
    if let Ok(listing) = namespace.manifests(&table, &log).await {
        lines.extend(of_data(&listing));
        if let Ok(deletes) = namespace.delete_files(&table, &listing, &log).await {
            lines.extend(of_deletes(&deletes));
        }
    }
    Ok(lines)
}

/// What the metadata document alone says.
fn of_metadata(table: &TableSnapshot) -> Vec<Line> {
    let metadata = &table.metadata;
    let mut lines: Vec<Line> = vec![
        (
            "format",
            "version".into(),
            (metadata.format_version() as u8).to_string(),
        ),
        ("format", "uuid".into(), table.uuid.to_string()),
        (
            "format",
            "metadata".into(),
            table.metadata_location.to_string(),
        ),
    ];
    if metadata.next_row_id() > 0 {
        let next = metadata.next_row_id().to_string();
        lines.push(("row lineage", "next row id".into(), next));
    }
    let unreadable = table.unreadable.iter().take(LINES_MAX);
    lines.extend(unreadable.map(|column| {
        let text = format!("{}: left out, can't be read", column.type_name);
        ("column", column.name.clone(), text)
    }));
    lines.extend(table.unknown.iter().take(LINES_MAX).map(|id| {
        let text = "unknown: reads as null".to_owned();
        ("column", column(table, *id), text)
    }));
    let specs = metadata.partition_specs_iter();
    let mut specs: Vec<_> = specs.filter(|spec| !stands_in(table, spec)).collect();
    specs.sort_by_key(|spec| (spec.spec_id() != table.default_spec_id, -spec.spec_id()));
    lines.extend(specs.iter().take(LINES_MAX).map(|spec| {
        let current = spec.spec_id() == table.default_spec_id;
        let kind = if current { "current" } else { "earlier" };
        let name = format!("spec {}, {kind}", spec.spec_id());
        ("partitioned by", name, partitions(table, spec))
    }));
    let order = metadata.default_sort_order();
    let name = format!("order {}", order.order_id);
    lines.push(("sorted by", name, order_text(table, order)));
    lines.extend(table.refs.iter().take(LINES_MAX).map(|(name, to)| {
        let kind = if to.is_branch() { "branch" } else { "tag" };
        let at = metadata.snapshot_by_id(to.snapshot_id);
        let at = at.map_or_else(
            || "which has expired".to_owned(),
            |snapshot| format!("of {}", utc(snapshot.timestamp_ms())),
        );
        (
            kind,
            name.clone(),
            format!("snapshot {} {at}", to.snapshot_id),
        )
    }));
    let mut statistics: Vec<_> = metadata.statistics_iter().collect();
    statistics.sort_by_key(|file| file.snapshot_id);
    lines.extend(statistics.iter().take(LINES_MAX).map(|file| {
        let name = format!("snapshot {}", file.snapshot_id);
        let text = format!(
            "{} ({} blobs)",
            file.statistics_path,
            file.blob_metadata.len()
        );
        ("statistics", name, text)
    }));
    let mut properties: Vec<_> = metadata.properties().iter().collect();
    properties.retain(|(key, _)| PROPERTIES.iter().any(|known| key.starts_with(known)));
    properties.sort();
    let properties = properties.into_iter().take(LINES_MAX);
    lines.extend(properties.map(|(key, value)| ("property", key.clone(), value.clone())));
    lines
}

/// Whether the parser was given this spec in place of one that it doesn't take.
fn stands_in(table: &TableSnapshot, spec: &PartitionSpec) -> bool {
    let default = table.metadata.default_partition_spec_id();
    spec.spec_id() == default && default != table.default_spec_id
}

/// Live data files and rows, as the manifest list counts them.
fn of_data(listing: &ManifestListing) -> Vec<Line> {
    let files: Option<u64> = listing.manifests.iter().map(|one| one.files).sum();
    let rows: Option<u64> = listing.manifests.iter().map(|one| one.rows).sum();
    let count = |count: Option<u64>| count.map_or("not counted".to_owned(), |n| n.to_string());
    vec![
        ("data", "files".into(), count(files)),
        ("data", "rows written".into(), count(rows)),
        (
            "data",
            "manifests".into(),
            listing.manifests.len().to_string(),
        ),
        (
            "deletes",
            "manifests".into(),
            listing.deletes.len().to_string(),
        ),
    ]
}

/// Delete files by kind. Their records aren't rows that are gone: positions and keys may repeat, or hit nothing.
fn of_deletes(deletes: &[DeleteFile]) -> Vec<Line> {
    let kind = |delete: &DeleteFile| match delete.content {
        DeleteContent::Positions { .. } => "position delete files",
        DeleteContent::Vector { .. } => "deletion vectors",
        DeleteContent::Equality { .. } => "equality delete files",
    };
    [
        "position delete files",
        "deletion vectors",
        "equality delete files",
    ]
    .into_iter()
    .map(|name| {
        let of = deletes.iter().filter(|delete| kind(delete) == name);
        let (files, rows) = of.fold((0_u64, 0_u64), |(files, rows), delete| {
            (files + 1, rows.saturating_add(delete.rows))
        });
        (
            "deletes",
            name.into(),
            format!("{files} with {rows} records"),
        )
    })
    .collect()
}

fn partitions(table: &TableSnapshot, spec: &PartitionSpec) -> String {
    let fields = spec.fields().iter();
    let fields = fields.map(|field| transformed(table, field.transform, field.source_id));
    let text: Vec<String> = fields.collect();
    if text.is_empty() {
        return "nothing".into();
    }
    text.join(", ")
}

fn order_text(table: &TableSnapshot, order: &SortOrder) -> String {
    let fields = order.fields.iter().map(|field| {
        let of = transformed(table, field.transform, field.source_id);
        format!("{of} {}, nulls {}", field.direction, field.null_order)
    });
    let text: Vec<String> = fields.collect();
    if text.is_empty() {
        return "nothing".into();
    }
    text.join("; ")
}

fn transformed(table: &TableSnapshot, transform: Transform, source_id: i32) -> String {
    let column = column(table, source_id);
    match transform {
        Transform::Identity => column,
        Transform::Bucket(count) => format!("bucket({count}, {column})"),
        Transform::Truncate(width) => format!("truncate({width}, {column})"),
        Transform::Unknown => format!("a transform of {column} that isn't known"),
        other => format!("{other}({column})"),
    }
}

/// A column's name now, or the one that it had.
fn column(table: &TableSnapshot, id: i32) -> String {
    if let Some(name) = table.schema().name_by_field_id(id) {
        return name.to_owned();
    }
    let mut schemas: Vec<_> = table.metadata.schemas_iter().collect();
    schemas.sort_by_key(|schema| -schema.schema_id());
    let named = schemas
        .iter()
        .find_map(|schema| schema.name_by_field_id(id));
    match named {
        Some(name) => format!("{name} (dropped)"),
        None => format!("column {id} (dropped)"),
    }
}

fn utc(at_ms: i64) -> String {
    match DateTime::from_timestamp_millis(at_ms) {
        Some(at) => at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string(),
        None => format!("{at_ms} ms since 1970"),
    }
}

#[cfg(test)]
mod tests {
    use landfast_catalog::{CatalogName, SchemaName};
    use landfast_sites::CanonicalUri;
    use serde_json::json;

    use super::*;

    fn table() -> TableSnapshot {
        let field = |id: i32, name: &str, of: &str| json!({"id": id, "name": name, "required": false, "type": of});
        let spec = |id: i32, fields: serde_json::Value| json!({"spec-id": id, "fields": fields});
        let document = json!({
            "format-version": 3, "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1", "location": "gs://lake/t",
            "last-sequence-number": 1, "last-updated-ms": 1_000, "last-column-id": 3, "next-row-id": 42,
            "schemas": [
                {"type": "struct", "schema-id": 0, "fields": [field(1, "id", "long"), field(3, "old", "int")]},
                {"type": "struct", "schema-id": 1, "fields": [field(1, "id", "long"), field(2, "at", "timestamp")]},
            ],
            "current-schema-id": 1,
            "partition-specs": [
                spec(0, json!([{"name": "old", "transform": "identity", "source-id": 3, "field-id": 1000}])),
                spec(1, json!([{"name": "day", "transform": "day", "source-id": 2, "field-id": 1001},
                               {"name": "b", "transform": "bucket[16]", "source-id": 1, "field-id": 1002}])),
            ],
            "default-spec-id": 1, "last-partition-id": 1002,
            "sort-orders": [{"order-id": 1, "fields": [
                {"source-id": 1, "transform": "identity", "direction": "asc", "null-order": "nulls-first"}]}],
            "default-sort-order-id": 1,
            "properties": {"write.delete.mode": "merge-on-read", "owner": "somebody"},
            "current-snapshot-id": 7,
            "snapshots": [{"snapshot-id": 7, "sequence-number": 1, "timestamp-ms": 1_000, "manifest-list": "gs://l",
                           "summary": {"operation": "append"}, "schema-id": 1}],
        });
        let name = TableName::new(
            CatalogName::new("lake").unwrap(),
            SchemaName::new("shop").unwrap(),
            "t",
        );
        let metadata = Arc::new(serde_json::from_value(document).unwrap());
        TableSnapshot::new(
            name.unwrap(),
            CanonicalUri::new("gs://lake/t/v1.metadata.json"),
            metadata,
        )
    }

    #[test]
    fn a_table_says_its_version_partitions_order_refs_and_lineage_in_words() {
        let lines = of_metadata(&table());
        let said = |about: &str, name: &str| {
            let mut of = lines
                .iter()
                .filter(|line| line.0 == about && line.1 == name);
            of.next().map(|line| line.2.as_str())
        };
        assert_eq!(said("format", "version"), Some("3"));
        assert_eq!(said("row lineage", "next row id"), Some("42"));
        assert_eq!(
            said("partitioned by", "spec 1, current"),
            Some("day(at), bucket(16, id)")
        );
        assert_eq!(
            said("partitioned by", "spec 0, earlier"),
            Some("old (dropped)")
        );
        assert_eq!(
            said("sorted by", "order 1"),
            Some("id ascending, nulls first")
        );
        assert_eq!(
            said("branch", "main"),
            Some("snapshot 7 of 1970-01-01 00:00:01.000 UTC")
        );
        assert_eq!(said("property", "write.delete.mode"), Some("merge-on-read"));
        assert_eq!(said("property", "owner"), None);
    }
}
