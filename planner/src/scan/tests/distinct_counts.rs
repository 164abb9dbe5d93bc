//! What table metadata says of distinct values, and what the planner makes of it.

use std::path::Path;

use arrow::datatypes::DataType;
use datafusion::common::stats::Precision;
use datafusion::physical_plan::{ExecutionPlan, StatisticsArgs, StatisticsContext, displayable};
use iceberg::spec::TableMetadata;
use serde_json::{Value, json};

use super::lake::*;
use crate::scan::distinct_counts::DistinctCounts;

/// A snapshot without files of its own; `parent` as the metadata writes it.
fn snapshot(id: i64, parent: Option<i64>) -> Value {
    let mut snapshot = json!({
        "snapshot-id": id, "sequence-number": 1, "timestamp-ms": 1, "schema-id": 0,
        "manifest-list": format!("{ROOT}/metadata/{id}.avro"), "summary": {"operation": "append"},
    });
    if let Some(parent) = parent {
        snapshot["parent-snapshot-id"] = json!(parent);
    }
    snapshot
}

fn sketch(fields: &[i32], ndv: &str) -> Value {
    blob("apache-datasketches-theta-v1", fields, json!({"ndv": ndv}))
}

fn blob(of: &str, fields: &[i32], properties: Value) -> Value {
    json!({"type": of, "snapshot-id": 1, "sequence-number": 1, "fields": fields, "properties": properties})
}

/// A table `(k long, n long, s struct<x long>)` with snapshots 1 ← 2 ← 3, which is current, and 1 ← 4 beside them.
fn table(statistics: &[(i64, Vec<Value>)]) -> Value {
    let inner = json!({"type": "struct", "fields": [column(4, "x", "long")]});
    let columns = vec![
        column(1, "k", "long"),
        column(2, "n", "long"),
        column(3, "s", inner),
    ];
    let mut metadata = metadata(columns, &[]);
    metadata["snapshots"] = json!([
        snapshot(1, None),
        snapshot(2, Some(1)),
        snapshot(3, Some(2)),
        snapshot(4, Some(1)),
    ]);
    metadata["current-snapshot-id"] = json!(3);
    let statistics = statistics.iter().map(|(id, blobs)| {
        json!({
            "snapshot-id": id, "statistics-path": format!("{ROOT}/metadata/{id}.stats"), "file-size-in-bytes": 100,
            "file-footer-size-in-bytes": 50, "blob-metadata": blobs,
        })
    });
    metadata["statistics"] = statistics.collect();
    metadata
}

/// The counts at a snapshot of a table with these statistics.
fn counts(statistics: &[(i64, Vec<Value>)], snapshot_id: i64) -> DistinctCounts {
    let metadata: TableMetadata = serde_json::from_value(table(statistics)).unwrap();
    DistinctCounts::of(&metadata, Some(snapshot_id))
}

fn of<const N: usize>(counts: [(i32, usize); N]) -> DistinctCounts {
    DistinctCounts::from(counts)
}

#[test]
fn a_snapshots_own_counts_come_before_its_ancestors() {
    let statistics = [
        (1, vec![sketch(&[1], "10"), sketch(&[2], "11")]),
        (3, vec![sketch(&[1], "30")]),
    ];
    assert_eq!(counts(&statistics, 3), of([(1, 30)]));
    assert_eq!(counts(&statistics, 1), of([(1, 10), (2, 11)]));
}

#[test]
fn a_snapshot_without_counts_has_those_of_its_nearest_ancestor() {
    let statistics = [
        (1, vec![sketch(&[1], "10")]),
        (2, vec![sketch(&[1], "20")]),
        (3, vec![blob("other", &[1], json!({"ndv": "30"}))]),
    ];
    assert_eq!(counts(&statistics, 3), of([(1, 20)]));
    assert_eq!(counts(&statistics, 4), of([(1, 10)]));
}

#[test]
fn counts_of_a_snapshot_that_is_no_ancestor_say_nothing() {
    let statistics = [(4, vec![sketch(&[1], "40")])];
    assert_eq!(counts(&statistics, 3), of([]));
    assert_eq!(counts(&statistics, 4), of([(1, 40)]));
    // Nor do those of a later one, or of one that is no longer there.
    assert_eq!(counts(&[(3, vec![sketch(&[1], "30")])], 2), of([]));
    assert_eq!(counts(&[(9, vec![sketch(&[1], "90")])], 3), of([]));
}

#[test]
fn a_table_without_a_snapshot_has_no_counts() {
    let metadata = table(&[(3, vec![sketch(&[1], "30")])]);
    let metadata: TableMetadata = serde_json::from_value(metadata).unwrap();
    assert_eq!(DistinctCounts::of(&metadata, None), of([]));
}

#[test]
fn a_count_that_is_no_count_is_passed_over() {
    let odd = ["", "many", "-3", "4.5", "99999999999999999999999"].map(|ndv| sketch(&[1], ndv));
    assert_eq!(counts(&[(3, odd.to_vec())], 3), of([]));
    let mut blobs = odd.to_vec();
    blobs.push(blob("apache-datasketches-theta-v1", &[1], json!({})));
    blobs.push(sketch(&[1, 2], "7"));
    blobs.push(sketch(&[], "8"));
    blobs.push(sketch(&[2], "9"));
    assert_eq!(counts(&[(3, blobs)], 3), of([(2, 9)]));
}

#[test]
fn parents_that_go_round_in_a_circle_end() {
    let mut metadata = table(&[(9, vec![sketch(&[1], "90")])]);
    metadata["snapshots"][0]["parent-snapshot-id"] = json!(3);
    let metadata: TableMetadata = serde_json::from_value(metadata).unwrap();
    assert_eq!(DistinctCounts::of(&metadata, Some(3)), of([]));
}

/// What a plan's root, a scan, expects of distinct values in each of its columns.
fn planned(plan: &dyn ExecutionPlan) -> Vec<Precision<usize>> {
    assert_eq!(plan.name(), "DataSourceExec");
    let statistics = StatisticsContext::new().compute(plan, &StatisticsArgs::new());
    let statistics = statistics.unwrap();
    let columns = statistics.column_statistics.iter();
    columns.map(|column| column.distinct_count).collect()
}

/// Sixty rows: `k` has three values, `n` sixty.
fn sixty(lake: &Lake, statistics: &[(i64, Vec<Value>)]) -> Table {
    let rows = batch(vec![
        (
            field(1, "k", DataType::Int64),
            longs((0..60).map(|n| Some(n % 3))),
        ),
        (field(2, "n", DataType::Int64), longs((0..60).map(Some))),
    ]);
    let file = lake.write(&format!("{ROOT}/data/sixty.parquet"), &rows, 0, vec![]);
    lake.table(table(statistics), vec![file])
}

#[tokio::test]
async fn a_scan_expects_as_many_values_as_were_counted_and_no_more_than_it_has_rows() {
    let lake = Lake::new();
    let blobs = vec![
        sketch(&[1], "3"),
        sketch(&[2], "1000"),
        sketch(&[3], "5"),
        sketch(&[4], "5"),
    ];
    let table = sixty(&lake, &[(2, blobs)]);
    let plan = table.plan("SELECT k, n, s FROM t").await.unwrap();
    assert_eq!(
        planned(&*plan),
        [
            Precision::Inexact(3),
            Precision::Inexact(60),
            Precision::Absent
        ]
    );
    let plan = table.plan("SELECT n FROM t").await.unwrap();
    assert_eq!(planned(&*plan), [Precision::Inexact(60)]);
}

#[tokio::test]
async fn a_wrong_count_answers_no_query() {
    let lake = Lake::new();
    let table = sixty(&lake, &[(3, vec![sketch(&[1], "1"), sketch(&[2], "0")])]);
    assert_eq!(
        table
            .rows("SELECT count(DISTINCT k), count(DISTINCT n), count(*) FROM t")
            .await,
        ["3 60 60"]
    );
    assert_eq!(
        table.rows("SELECT DISTINCT k FROM t ORDER BY k").await,
        ["0", "1", "2"]
    );
    assert_eq!(
        table
            .rows("SELECT n, count(*) FROM t WHERE n >= 58 GROUP BY n ORDER BY n")
            .await,
        ["58 1", "59 1"]
    );
}

#[tokio::test]
async fn the_smaller_side_of_a_join_is_known_by_its_distinct_values() {
    let lake = Lake::new();
    // Sixty rows in three groups, against ten rows.
    let sql = "SELECT g.k, g.rows, few.n
        FROM (SELECT k, count(*) AS rows FROM t GROUP BY k) g
        JOIN (SELECT n, k FROM t LIMIT 10) few ON g.k = few.n";
    for (statistics, grouped_is_built) in
        [(vec![], false), (vec![(3, vec![sketch(&[1], "3")])], true)]
    {
        let table = sixty(&lake, &statistics);
        let plan = table.plan(sql).await.unwrap();
        let text = displayable(&*plan).indent(false).to_string();
        let join = text.find("HashJoinExec").unwrap();
        let built = &text[join..];
        let grouped = built.find("AggregateExec").unwrap();
        let few = built.find("limit=10").unwrap();
        assert_eq!(grouped < few, grouped_is_built, "{text}");
    }
}

/// A table that Spark computed statistics of, before it appended four rows more.
#[tokio::test]
async fn counts_that_spark_computed_reach_the_plan() {
    let lake = Lake::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/lake/spark/statistics/metadata");
    let mut documents = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let document = documents
        .find(|path| path.to_string_lossy().ends_with(".metadata.json"))
        .unwrap();
    let document = std::fs::read_to_string(document).unwrap();
    let document = document.replace("gs://fixtures/spark/statistics", ROOT);
    let rows = batch(vec![(
        field(1, "id", DataType::Int64),
        longs((0..64).map(Some)),
    )]);
    let file = lake.write(&format!("{ROOT}/data/a.parquet"), &rows, 0, vec![]);
    let table = lake.table(serde_json::from_str(&document).unwrap(), vec![file]);
    let plan = table.plan("SELECT id, name, amount, part FROM t").await;
    assert_eq!(
        planned(&*plan.unwrap()),
        [60, 60, 51, 3].map(Precision::Inexact)
    );
}
