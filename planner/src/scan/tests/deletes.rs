//! Rows that delete files take away.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::stats::Precision;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion_datasource::source::DataSourceExec;
use futures::TryStreamExt;
use iceberg::spec::Literal;
use landfast_catalog::{DataFile, DeleteContent, DeleteFile};
use landfast_sites::CanonicalUri;
use parquet::file::properties::WriterProperties;

use super::delete_files::*;
use super::lake::*;
use crate::scan::scan_summaries;
use crate::{ErrorKind, PlannerError};

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

/// Rows `from..from + rows` with `n` and a text `s`, 100 rows to a row group.
fn rows_of(lake: &Lake, name: &str, from: i64, rows: i64) -> DataFile {
    file_of(lake, &file(name), from..from + rows, |n| {
        format!("text {n}")
    })
}

fn columns() -> serde_json::Value {
    metadata(vec![column(1, "n", "long"), column(2, "s", "string")], &[])
}

fn table(lake: &Lake, files: Vec<DataFile>, deletes: Vec<DeleteFile>) -> Table {
    lake.table_with_deletes(columns(), files, deletes)
}

async fn numbers(table: &Table, sql: &str) -> Vec<i64> {
    let rows = table.rows(sql).await;
    rows.iter().map(|row| row.parse().unwrap()).collect()
}

/// All rows of `f` but each seventh, and one row group that is gone whole.
fn some_gone() -> Vec<u64> {
    (0..1000)
        .filter(|n| n % 7 == 0 || (300..400).contains(n))
        .collect()
}

#[tokio::test]
async fn a_deletion_vector_holds_under_filters_limits_and_projections() {
    let lake = Lake::new();
    let gone = some_gone();
    let left: Vec<i64> = (0..1000).filter(|n| !gone.contains(&(*n as u64))).collect();
    let table = table(
        &lake,
        vec![rows_of(&lake, "f", 0, 1000)],
        vectors(&lake, &file("v.puffin"), &[(&file("f"), &gone)]),
    );
    let all = numbers(&table, "SELECT n FROM t ORDER BY n").await;
    assert_eq!(all, left);
    let filtered = numbers(
        &table,
        "SELECT n FROM t WHERE n % 2 = 0 AND n > 250 ORDER BY n",
    )
    .await;
    let expected: Vec<i64> = left
        .iter()
        .copied()
        .filter(|n| n % 2 == 0 && *n > 250)
        .collect();
    assert_eq!(filtered, expected);
    for (filter, limit) in [
        ("n >= 0", 5),
        ("n >= 295", 7),
        ("n < 20", 100),
        ("n >= 990", 900),
    ] {
        let sql = format!("SELECT n FROM t WHERE {filter} LIMIT {limit}");
        let found = numbers(&table, &sql).await;
        assert!(found.iter().all(|n| left.contains(n)), "{sql}: {found:?}");
        let all = numbers(&table, &format!("SELECT n FROM t WHERE {filter}")).await;
        assert_eq!(found.len(), all.len().min(limit), "{sql}");
    }
    assert_eq!(
        table
            .rows("SELECT count(*), count(s), min(n), max(n) FROM t")
            .await,
        [format!("{0} {0} 1 999", left.len())]
    );
    assert_eq!(
        numbers(&table, "SELECT n FROM t ORDER BY n DESC LIMIT 4").await,
        [999, 998, 997, 996]
    );
    assert_eq!(table.rows("SELECT 1 FROM t").await.len(), left.len());
}

#[tokio::test]
async fn filters_that_joins_push_into_the_reader_see_the_rows_that_are_left() {
    let lake = Lake::new();
    let gone = some_gone();
    let table = table(
        &lake,
        vec![rows_of(&lake, "f", 0, 1000)],
        vectors(&lake, &file("v.puffin"), &[(&file("f"), &gone)]),
    );
    let sql = "SELECT n FROM t JOIN (VALUES (6), (7), (8), (350), (777), (778)) AS v(k) ON n = k ORDER BY n";
    assert_eq!(numbers(&table, sql).await, [6, 8, 778]);
    let limited = format!("{sql} LIMIT 2");
    assert_eq!(numbers(&table, &limited).await, [6, 8]);
}

#[tokio::test]
async fn position_deletes_of_several_files_add_up_in_any_order_and_dangle_freely() {
    let lake = Lake::new();
    let (f, g) = (file("f"), file("g"));
    let one: Vec<(&str, i64)> = vec![(&g, 3), (&f, 250), (&f, 1), (&f, 1), (&f, 9_999)];
    let two: Vec<(&str, i64)> = vec![("gs://lake/db/t/data/gone.parquet", 0), (&f, 0), (&f, 250)];
    let table = table(
        &lake,
        vec![rows_of(&lake, "f", 0, 300), rows_of(&lake, "g", 1000, 5)],
        vec![
            positions(&lake, &file("d1"), &one),
            positions(&lake, &file("d2"), &two),
        ],
    );
    let all = numbers(&table, "SELECT n FROM t ORDER BY n").await;
    let expected = (0..300).chain(1000..1005);
    let expected: Vec<i64> = expected
        .filter(|n| ![0, 1, 250, 1003].contains(n))
        .collect();
    assert_eq!(all, expected);
    assert_eq!(
        table.rows("SELECT count(*), min(n), max(n) FROM t").await,
        ["301 2 1004"]
    );
}

#[tokio::test]
async fn paths_are_compared_as_they_are_written() {
    let lake = Lake::new();
    let uris = [
        "gs://lake/db/t/data/at=12%3A30/f 1.parquet",
        "gs://lake/db/t/data/at=12:30/f 1.parquet",
        "gs://lake/db/t/data/at=12%3A30/f%201.parquet",
        "gs://other/db/t/data/at=12%3A30/f 1.parquet",
    ];
    let files = uris.iter().zip(0..);
    let files = files.map(|(uri, n)| {
        let columns = vec![(field(1, "n", DataType::Int64), longs([Some(n)]))];
        lake.write(uri, &batch(columns), 0, vec![])
    });
    let deletes = vec![positions(&lake, &file("d"), &[(uris[0], 0)])];
    let table = lake.table_with_deletes(columns(), files.collect(), deletes);
    assert_eq!(
        numbers(&table, "SELECT n FROM t ORDER BY n").await,
        [1, 2, 3]
    );
}

#[tokio::test]
async fn sequence_numbers_partitions_and_vectors_decide_which_deletes_apply() {
    let lake = Lake::new();
    let (f, g) = (file("f"), file("g"));
    let data = vec![
        data_at(2, rows_of(&lake, "f", 0, 5)),
        data_at(2, rows_of(&lake, "g", 10, 5)),
    ];
    let mut deletes = vec![
        at(1, positions(&lake, &file("older"), &[(&f, 0), (&g, 0)])),
        at(2, positions(&lake, &file("same"), &[(&f, 1), (&g, 1)])),
        within(
            1,
            vec![Some(Literal::int(1))],
            at(3, positions(&lake, &file("elsewhere"), &[(&f, 2), (&g, 2)])),
        ),
    ];
    deletes.extend(
        vectors(&lake, &file("v.puffin"), &[(&g, &[4])])
            .into_iter()
            .map(|v| at(3, v)),
    );
    let table = table(&lake, data, deletes);
    assert_eq!(
        numbers(&table, "SELECT n FROM t ORDER BY n").await,
        [0, 2, 3, 4, 10, 11, 12, 13]
    );
}

#[tokio::test]
async fn a_position_delete_file_of_one_data_file_is_not_read_for_another() {
    let lake = Lake::new();
    let (f, g) = (file("f"), file("g"));
    let mut delete = positions(&lake, &file("d"), &[(&f, 0), (&g, 0)]);
    delete.content = DeleteContent::Positions {
        of: Some(CanonicalUri::new(f.as_str())),
    };
    let table = table(
        &lake,
        vec![rows_of(&lake, "f", 0, 3), rows_of(&lake, "g", 10, 3)],
        vec![delete],
    );
    assert_eq!(
        numbers(&table, "SELECT n FROM t ORDER BY n").await,
        [1, 2, 10, 11, 12]
    );
}

/// A file of 60 row groups that is cut into many ranges.
fn large(lake: &Lake) -> DataFile {
    let rows = 600_000;
    let text: Vec<String> = (0..rows)
        .map(|n| {
            format!(
                "{:048x}",
                (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c)
            )
        })
        .collect();
    let columns = vec![
        (
            field(1, "n", DataType::Int64),
            longs((0..rows as i64).map(Some)),
        ),
        (
            field(2, "s", DataType::Utf8),
            texts(text.iter().map(|text| Some(text.as_str()))),
        ),
    ];
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(10_000))
        .set_dictionary_enabled(false)
        .build();
    lake.write_with(&file("large"), &batch(columns), (0, vec![]), properties)
}

#[tokio::test]
async fn positions_count_over_the_whole_file_however_it_is_cut() {
    let lake = Lake::new();
    let gone: Vec<u64> = (0..600_000)
        .filter(|n| n % 1000 == 17 || (20_000..30_000).contains(n))
        .collect();
    let table = table(
        &lake,
        vec![large(&lake)],
        vectors(&lake, &file("v.puffin"), &[(&file("large"), &gone)]),
    );
    let sum = 600_000_i64 * 599_999 / 2 - gone.iter().map(|n| *n as i64).sum::<i64>();
    let count = 600_000 - gone.len();
    for partitions in 1..=8 {
        let session = table.session_of(partitions);
        let sql = "SELECT concat_ws(' ', count(s), sum(n), count(distinct n)) FROM t WHERE n >= 0";
        let plan = session.sql(sql).await.unwrap();
        let found = plan.collect().await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&found).unwrap();
        assert!(
            text.to_string()
                .contains(&format!("| {count} {sum} {count} ")),
            "{partitions}: {text}"
        );
    }
    let plan = table.plan("SELECT s FROM t").await.unwrap();
    assert_eq!(plan.output_partitioning().partition_count(), 4);
}

#[tokio::test]
async fn partitions_run_one_by_one_give_each_row_that_is_left_once() {
    let lake = Lake::new();
    let gone = some_gone();
    let files: Vec<String> = (0..4).map(|at| file(&format!("f{at}"))).collect();
    let of: Vec<(&str, &[u64])> = files
        .iter()
        .map(|f| (f.as_str(), gone.as_slice()))
        .collect();
    let table = table(
        &lake,
        (0..4)
            .map(|at| rows_of(&lake, &format!("f{at}"), at * 1000, 1000))
            .collect(),
        vectors(&lake, &file("v.puffin"), &of),
    );
    let session = table.session();
    session
        .sql("SET datafusion.execution.enable_file_stream_work_stealing = false")
        .await
        .unwrap();
    let mut rows = 0;
    for partition in 0..4 {
        let plan = session.sql("SELECT n FROM t").await.unwrap();
        let plan: Arc<dyn ExecutionPlan> = plan.create_physical_plan().await.unwrap();
        assert_eq!(plan.output_partitioning().partition_count(), 4);
        let stream = plan.execute(partition, session.task_ctx()).unwrap();
        let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
        let read: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(read, 1000 - gone.len());
        rows += read;
    }
    assert_eq!(rows, 4 * (1000 - gone.len()));
}

#[tokio::test]
async fn only_deletion_vectors_leave_an_exact_count_and_no_deletes_leave_exact_bounds() {
    let lake = Lake::new();
    let known = async |deletes: Vec<DeleteFile>| {
        let table = table(&lake, vec![rows_of(&lake, "f", 0, 100)], deletes);
        let plan = table.plan("SELECT n FROM t").await.unwrap();
        let source = plan.downcast_ref::<DataSourceExec>().unwrap().data_source();
        source.partition_statistics(None).unwrap()
    };
    let with_vector = known(vectors(&lake, &file("v.puffin"), &[(&file("f"), &[0, 1])])).await;
    assert_eq!(with_vector.num_rows, Precision::Exact(98));
    assert_eq!(
        with_vector.column_statistics[0].min_value,
        Precision::Inexact(0_i64.into())
    );
    let with_positions = known(vec![positions(&lake, &file("d"), &[(&file("f"), 0)])]).await;
    assert_eq!(with_positions.num_rows.is_exact(), Some(false));
    let without = known(vec![]).await;
    assert_eq!(without.num_rows, Precision::Exact(100));
}

#[tokio::test]
async fn a_limit_chooses_files_by_the_rows_that_are_left() {
    let lake = Lake::new();
    let gone: Vec<u64> = (0..8).collect();
    let files: Vec<String> = (0..4).map(|at| file(&format!("f{at}"))).collect();
    let of: Vec<(&str, &[u64])> = files
        .iter()
        .map(|f| (f.as_str(), gone.as_slice()))
        .collect();
    let table = table(
        &lake,
        (0..4)
            .map(|at| rows_of(&lake, &format!("f{at}"), at * 10, 10))
            .collect(),
        vectors(&lake, &file("v.puffin"), &of),
    );
    assert_eq!(table.rows("SELECT n FROM t LIMIT 5").await.len(), 5);
    assert_eq!(table.files_read("SELECT n FROM t LIMIT 5").await, 3);
    assert_eq!(table.rows("SELECT n FROM t LIMIT 100").await.len(), 8);
}

#[tokio::test]
async fn delete_files_are_read_once_and_shown_in_summary_and_log() {
    let lake = Lake::new();
    let deletes = || {
        vec![positions(
            &lake,
            &file("d"),
            &[(&file("f"), 0), (&file("g"), 1)],
        )]
    };
    let data = || vec![rows_of(&lake, "f", 0, 3), rows_of(&lake, "g", 10, 3)];
    let table = table(&lake, data(), deletes());
    let (_, summaries) = table.run("SELECT n FROM t").await.unwrap();
    assert_eq!(summaries[0].delete_files, 1);
    assert_eq!(summaries[0].placed[0].files, 3);
    assert!(summaries[0].to_string().contains(", delete_files=1, "));
    let reads = table.context.log.snapshot();
    let first = reads[0].data.requests;
    assert_eq!(table.rows("SELECT n FROM t").await.len(), 4);
    let again = table.context.log.snapshot()[0].data.requests - first;
    assert_eq!(
        again, 2,
        "the second query reads the data of two files alone"
    );
    assert!(lake.deletes.held_bytes() > 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_delete_file_is_said_and_no_row_comes_back() {
    let lake = Lake::new();
    let f = file("f");
    let failed = async |deletes: Vec<DeleteFile>| {
        let table = table(&lake, vec![rows_of(&lake, "f", 0, 10)], deletes);
        let error = PlannerError::from(table.run("SELECT n FROM t").await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        error.to_string()
    };
    let good = || vectors(&lake, &file("v1.puffin"), &[(&f, &[1, 2])]);
    let mut miscounted = good();
    miscounted[0].rows = 3;
    let error = failed(miscounted).await;
    assert!(
        error.contains("v1.puffin") && error.contains("deletes 2 rows, and 3 by the manifest"),
        "{error}"
    );
    let mut moved = vectors(&lake, &file("v2.puffin"), &[(&f, &[1, 2])]);
    if let DeleteContent::Vector { offset, .. } = &mut moved[0].content {
        *offset += 1;
    }
    assert!(failed(moved).await.contains("v2.puffin"));
    let mut past_the_end = vectors(&lake, &file("v3.puffin"), &[(&f, &[1])]);
    if let DeleteContent::Vector { length, .. } = &mut past_the_end[0].content {
        *length = u64::MAX;
    }
    assert!(failed(past_the_end).await.contains("v3.puffin"));

    let beyond = vectors(&lake, &file("v4.puffin"), &[(&f, &[3, 10])]);
    let error = failed(beyond).await;
    assert!(
        error.contains("v4.puffin") && error.contains("position 10") && error.contains("10 rows"),
        "{error}"
    );

    let negative = positions(&lake, &file("d1"), &[(&f, -1)]);
    let error = failed(vec![negative]).await;
    assert!(
        error.contains("d1") && error.contains("position -1"),
        "{error}"
    );
    let mut no_parquet = positions(&lake, &file("d2"), &[(&f, 1)]);
    no_parquet.id = lake.put(&file("d2"), b"PAR1 and nothing more");
    assert!(failed(vec![no_parquet]).await.contains("d2"));
    let mut missing = positions(&lake, &file("d3"), &[(&f, 1)]);
    missing.id = landfast_sites::FileId::new(CanonicalUri::new(file("no such")), Some(10));
    assert!(failed(vec![missing]).await.contains("no such"));
    let other = batch(vec![(field(7, "x", DataType::Int64), longs([Some(1)]))]);
    let error = failed(vec![positions_of(&lake, &file("d4"), &other)]).await;
    assert!(
        error.contains("d4") && error.contains("file_path"),
        "{error}"
    );
}

#[tokio::test]
async fn position_deletes_without_field_ids_are_read_by_name() {
    let lake = Lake::new();
    let plain = |name: &str, of| arrow::datatypes::Field::new(name, of, false);
    let columns = batch(vec![
        (
            plain("file_path", DataType::Utf8),
            texts([Some(file("f").as_str())]),
        ),
        (plain("pos", DataType::Int64), longs([Some(2)])),
    ]);
    let deletes = vec![positions_of(&lake, &file("d"), &columns)];
    let table = table(&lake, vec![rows_of(&lake, "f", 0, 4)], deletes);
    assert_eq!(
        numbers(&table, "SELECT n FROM t ORDER BY n").await,
        [0, 1, 3]
    );
}

#[tokio::test]
async fn deletes_that_no_memory_holds_fail_the_query() {
    let lake = Lake::new();
    let f = file("f");
    let many: Vec<(&str, i64)> = (0..50_000).map(|at| (f.as_str(), at * 3)).collect();
    let deletes = vec![positions(&lake, &file("d"), &many)];
    let table = table(&lake, vec![rows_of(&lake, "f", 0, 10)], deletes);
    let run = async |bytes: usize| {
        let runtime = datafusion::execution::runtime_env::RuntimeEnvBuilder::new()
            .with_memory_limit(bytes, 1.0)
            .build_arc()
            .unwrap();
        let config = datafusion::prelude::SessionConfig::new();
        let session = datafusion::prelude::SessionContext::new_with_config_rt(config, runtime);
        let provider = Arc::clone(&table.provider);
        session.register_table("t", provider).unwrap();
        let rows = session.sql("SELECT n FROM t").await.unwrap();
        rows.collect().await.map_err(PlannerError::from)
    };
    let error = run(10_000).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    let rows = run(10_000_000).await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 6);
}

#[tokio::test]
async fn a_plans_files_are_equal_and_hold_no_handles() {
    let lake = Lake::new();
    let table = table(
        &lake,
        vec![rows_of(&lake, "f", 0, 3)],
        vectors(&lake, &file("v.puffin"), &[(&file("f"), &[1])]),
    );
    let described = async || {
        let plan = table.plan("SELECT n FROM t").await.unwrap();
        assert_eq!(scan_summaries(&plan)[0].delete_files, 1);
        lake_files(&plan)
    };
    let (one, other) = (described().await, described().await);
    assert_eq!(one, other);
    let deletes = one[0].deletes.as_ref().unwrap();
    assert_eq!(deletes.vector.as_ref().unwrap().rows, 1);
}

fn lake_files(plan: &Arc<dyn ExecutionPlan>) -> Vec<crate::scan::LakeFile> {
    let source = plan.downcast_ref::<DataSourceExec>().unwrap().data_source();
    let config = source
        .downcast_ref::<datafusion_datasource::file_scan_config::FileScanConfig>()
        .unwrap();
    let files = config.file_groups.iter().flat_map(|group| group.iter());
    files
        .map(|file| {
            file.extension::<Arc<crate::scan::LakeFile>>()
                .unwrap()
                .as_ref()
                .clone()
        })
        .collect()
}
