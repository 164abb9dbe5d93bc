//! Where bytes come from, and how a plan runs.

use arrow::datatypes::DataType;
use datafusion::common::stats::Precision;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion_datasource::source::DataSourceExec;
use futures::TryStreamExt;
use landfast_catalog::DataFile;
use landfast_sites::CanonicalUri;

use super::lake::*;
use crate::placement::PlacementMode;
use crate::scan::scan_summaries;

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

fn numbers(lake: &Lake, uri: &str, from: i64, rows: i64) -> DataFile {
    lake.write(
        uri,
        &batch(vec![(
            field(1, "n", DataType::Int64),
            longs((from..from + rows).map(Some)),
        )]),
        0,
        vec![],
    )
}

#[tokio::test]
async fn each_file_is_read_from_where_it_is_near_and_the_summary_says_so() {
    let lake = Lake::new();
    let files = vec![
        numbers(&lake, &file("a"), 0, 5),
        numbers(&lake, &file("b"), 5, 5),
    ];
    lake.copy(&file("a"));
    lake.sites
        .inventory()
        .refresh(&CanonicalUri::new(ROOT))
        .await;
    let columns = || metadata(vec![column(1, "n", "long")], &[]);
    let table = lake.table(columns(), files.clone());
    let (_, scans) = table.run("SELECT n FROM t WHERE n % 2 = 0").await.unwrap();
    let placed: Vec<_> = scans[0]
        .placed
        .iter()
        .map(|at| (at.site.as_str(), at.files))
        .collect();
    assert_eq!(placed, [("cloud", 1), ("here", 1)]);
    assert!(scans[0].estimated_usd > 0.0);
    let read: Vec<_> = table
        .context
        .log
        .snapshot()
        .iter()
        .map(|at| (at.site.to_string(), at.data.bytes > 0))
        .collect();
    assert_eq!(
        read,
        [("cloud".to_owned(), true), ("here".to_owned(), true)]
    );

    let context = lake.context(PlacementMode::Origin);
    let table = lake.table_in(context, columns(), files);
    let (_, scans) = table.run("SELECT n FROM t WHERE n % 2 = 0").await.unwrap();
    assert_eq!(
        scans[0]
            .placed
            .iter()
            .map(|at| (at.site.as_str(), at.files))
            .collect::<Vec<_>>(),
        [("cloud", 2)]
    );
    let read: Vec<_> = table
        .context
        .log
        .snapshot()
        .iter()
        .map(|at| at.site.to_string())
        .collect();
    assert_eq!(read, ["cloud"]);
}

#[tokio::test]
async fn a_limit_is_served_by_the_nearest_files() {
    let lake = Lake::new();
    let files: Vec<DataFile> = (0..5)
        .map(|at| numbers(&lake, &file(&format!("f{at}")), at * 10, 10))
        .collect();
    lake.copy(&file("f3"));
    let root = CanonicalUri::new(ROOT);
    lake.sites.inventory().refresh(&root).await;
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), files);
    let rows = table.rows("SELECT n FROM t LIMIT 4").await;
    assert!(rows.iter().all(|row| row.starts_with('3')), "{rows:?}");
    let read = table.context.log.snapshot();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].site, site("here"));
    assert_eq!(table.files_read("SELECT n FROM t LIMIT 14").await, 2);
}

#[tokio::test]
async fn a_copy_that_is_gone_costs_a_miss_and_no_answer() {
    let lake = Lake::new();
    let files = vec![numbers(&lake, &file("a"), 0, 5)];
    lake.copy(&file("a"));
    lake.sites
        .inventory()
        .refresh(&CanonicalUri::new(ROOT))
        .await;
    remove(&lake.path("here", &file("a")));
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), files);
    assert_eq!(table.rows("SELECT sum(n) FROM t WHERE n > 1").await, ["9"]);
    let reads = table.context.log.snapshot();
    let here = reads.iter().find(|at| at.site.as_str() == "here").unwrap();
    assert_eq!(here.data.fall_throughs, 1);
}

#[tokio::test]
async fn the_second_query_takes_the_footer_from_the_cache() {
    let lake = Lake::new();
    let files = vec![numbers(&lake, &file("a"), 0, 5)];
    let columns = || metadata(vec![column(1, "n", "long")], &[]);
    lake.table(columns(), files.clone())
        .rows("SELECT n FROM t")
        .await;
    let table = lake.table(columns(), files);
    table.rows("SELECT n FROM t").await;
    assert_eq!(table.context.log.cache_hits().hits, 1);
    assert_eq!(table.context.log.snapshot()[0].data.requests, 1);
}

#[tokio::test]
async fn a_small_file_costs_one_request_and_a_large_one_two() {
    let lake = Lake::new();
    let small = numbers(&lake, &file("small"), 0, 1000);
    assert!(small.id.size.unwrap() < 256 * 1024);
    let rows = batch(vec![(
        field(1, "n", DataType::Int64),
        longs((0..100_000).map(Some)),
    )]);
    let large = lake.write_with(&file("large"), &rows, (0, vec![]), Default::default());
    assert!(large.id.size.unwrap() > 256 * 1024);
    for (known, rows, requests) in [(small, 1000, 1), (large, 100_000, 2)] {
        let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), vec![known]);
        let counted = table.rows("SELECT count(DISTINCT n) FROM t").await;
        assert_eq!(counted, [rows.to_string()]);
        assert_eq!(table.context.log.snapshot()[0].data.requests, requests);
    }
}

#[tokio::test]
async fn many_small_files_cost_a_request_each_and_are_spread_evenly() {
    let lake = Lake::new();
    let files: Vec<DataFile> = (0..300)
        .map(|at| numbers(&lake, &file(&format!("f{at}")), at * 10, 10))
        .collect();
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), files);
    assert_eq!(
        table.rows("SELECT sum(n), count(DISTINCT n) FROM t").await,
        ["4498500 3000"]
    );
    assert_eq!(table.context.log.snapshot()[0].data.requests, 300);
    let plan = table.plan("SELECT n FROM t").await.unwrap();
    let scan = plan.downcast_ref::<DataSourceExec>().unwrap();
    let config = scan
        .data_source()
        .downcast_ref::<datafusion_datasource::file_scan_config::FileScanConfig>()
        .unwrap();
    let sizes: Vec<usize> = config.file_groups.iter().map(|group| group.len()).collect();
    assert_eq!(sizes, [75; 4]);
}

#[tokio::test]
async fn a_limit_with_a_filter_stops_reading_once_it_has_its_rows() {
    let lake = Lake::new();
    let files: Vec<DataFile> = (0..200)
        .map(|at| numbers(&lake, &file(&format!("f{at}")), at * 10, 10))
        .collect();
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), files);
    let session = table.session_of(1);
    let frame = session
        .sql("SELECT n FROM t WHERE n % 2 = 0 LIMIT 12")
        .await;
    let batches = frame.unwrap().collect().await.unwrap();
    let rows: usize = batches
        .iter()
        .map(arrow::array::RecordBatch::num_rows)
        .sum();
    assert_eq!(rows, 12);
    let requests = table.context.log.snapshot()[0].data.requests;
    assert!(requests < 20, "{requests}");
}

#[tokio::test]
async fn pages_that_their_bounds_rule_out_are_not_read() {
    let lake = Lake::new();
    let rows = 100_000;
    let text: Vec<String> = (0..rows).map(|n| format!("{:032x}", n * 7919)).collect();
    let columns = vec![
        (field(1, "n", DataType::Int64), longs((0..rows).map(Some))),
        (
            field(2, "s", DataType::Utf8),
            texts(text.iter().map(|text| Some(text.as_str()))),
        ),
    ];
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_data_page_row_count_limit(1000)
        .set_write_batch_size(1000)
        .set_dictionary_enabled(false)
        .build();
    let known = lake.write_with(&file("f"), &batch(columns), (0, vec![]), properties);
    let size = known.id.size.unwrap();
    let columns = vec![column(1, "n", "long"), column(2, "s", "string")];
    let table = || lake.table(metadata(columns.clone(), &[]), vec![known.clone()]);
    let bytes = async |table: Table, sql: &str| {
        let found = table.rows(sql).await;
        (found, table.context.log.snapshot()[0].data.bytes)
    };
    // The footer and the page index are read, and cached.
    let (_, all) = bytes(table(), "SELECT max(s) FROM t WHERE n >= 0").await;
    assert!(all > size * 9 / 10, "{all} of {size}");
    let sql = "SELECT max(s), count(*) FROM t WHERE n BETWEEN 50100 AND 50200";
    let (found, few) = bytes(table(), sql).await;
    assert_eq!(found, [format!("{} 101", text[50_200])]);
    // A page of a thousand rows of each column, of a hundred.
    assert!(few < size / 50, "{few} of {size}");
    // Pages that a deletion vector leaves nothing of are not read either.
    let gone: Vec<u64> = (1000..99_000).collect();
    let vectors = super::delete_files::vectors(&lake, &file("v.puffin"), &[(&file("f"), &gone)]);
    let files = vec![known.clone()];
    let deleted = lake.table_with_deletes(metadata(columns.clone(), &[]), files, vectors);
    let (found, left) = bytes(deleted, "SELECT count(s), max(n) FROM t").await;
    assert_eq!(found, ["2000 99999"]);
    assert!(left < size / 20, "{left} of {size}");
}

#[tokio::test]
async fn a_limit_reads_the_first_row_groups_and_no_more() {
    let lake = Lake::new();
    let rows = batch(vec![(
        field(1, "n", DataType::Int64),
        longs((0..200_000).map(|n: i64| Some(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)))),
    )]);
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(10_000))
        .build();
    let known = lake.write_with(&file("f"), &rows, (0, vec![]), properties);
    let size = known.id.size.unwrap();
    let columns = vec![column(1, "n", "long")];
    let table = || lake.table(metadata(columns.clone(), &[]), vec![known.clone()]);
    table().rows("SELECT n FROM t LIMIT 1").await;
    for (sql, found) in [
        ("SELECT n FROM t LIMIT 7", 7),
        ("SELECT n FROM t WHERE n % 2 = 0 LIMIT 7", 7),
        ("SELECT n FROM t LIMIT 7 OFFSET 100", 7),
    ] {
        let table = table();
        assert_eq!(table.rows(sql).await.len(), found, "{sql}");
        let read = table.context.log.snapshot()[0].data.bytes;
        assert!(read < size / 5, "{sql}: {read} of {size}");
    }
}

#[tokio::test]
async fn keys_with_escapes_blanks_and_the_same_key_in_two_buckets_are_files_of_their_own() {
    let lake = Lake::new();
    let uris = [
        "gs://lake/db/t/data/at=12%3A30/f 1.parquet",
        "gs://lake/db/t/data/at=12:30/f 1.parquet",
        "gs://lake/db/t/data/ä?#&.parquet",
        "gs://lake/db/t/data/same.parquet",
        "gs://other/db/t/data/same.parquet",
    ];
    let files: Vec<DataFile> = uris
        .iter()
        .enumerate()
        .map(|(at, uri)| numbers(&lake, uri, at as i64 * 10, 1))
        .collect();
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), files);
    assert_eq!(
        table.rows("SELECT n FROM t ORDER BY n").await,
        ["0", "10", "20", "30", "40"]
    );
}

#[tokio::test]
async fn a_large_file_is_cut_along_its_row_groups_and_read_once() {
    let lake = Lake::new();
    let rows = 1_500_000;
    let text: Vec<String> = (0..rows)
        .map(|n| format!("{:016x}", (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
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
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(100_000))
        .set_dictionary_enabled(false)
        .build();
    let large = lake.write_with(&file("large"), &batch(columns), (0, vec![]), properties);
    assert!(large.split_offsets.len() > 10);
    let columns = metadata(vec![column(1, "n", "long"), column(2, "s", "string")], &[]);
    let table = lake.table(columns, vec![large]);
    let plan = table.plan("SELECT s FROM t").await.unwrap();
    assert_eq!(plan.output_partitioning().partition_count(), 4);
    assert_eq!(
        table
            .rows("SELECT count(s), sum(n), min(s) < max(s) FROM t WHERE n >= 0")
            .await,
        [format!(
            "{rows} {} true",
            (rows as i64 - 1) * rows as i64 / 2
        )]
    );
}

#[tokio::test]
async fn one_partition_run_alone_reads_its_own_files_where_stealing_is_off() {
    let lake = Lake::new();
    let files: Vec<DataFile> = (0..4)
        .map(|at| numbers(&lake, &file(&format!("f{at}")), at * 10, 10))
        .collect();
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), files);
    let session = table.session();
    session
        .sql("SET datafusion.execution.enable_file_stream_work_stealing = false")
        .await
        .unwrap();
    let plan = session
        .sql("SELECT n FROM t")
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    assert_eq!(plan.output_partitioning().partition_count(), 4);
    let batches: Vec<_> = plan
        .execute(2, session.task_ctx())
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(
        batches
            .iter()
            .map(arrow::array::RecordBatch::num_rows)
            .sum::<usize>(),
        10
    );
}

#[tokio::test]
async fn joins_and_top_k_tighten_the_scan_and_change_no_answer() {
    let lake = Lake::new();
    let files: Vec<DataFile> = (0..6)
        .map(|at| numbers(&lake, &file(&format!("f{at}")), at * 1000, 1000))
        .collect();
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), files);
    let sql = "SELECT a.n FROM t a JOIN (VALUES (5), (4321)) AS v(k) ON a.n = v.k WHERE a.n <> 7 ORDER BY 1";
    assert_eq!(table.rows(sql).await, ["5", "4321"]);
    assert_eq!(
        table
            .rows("SELECT n FROM t WHERE n % 3 = 0 ORDER BY n DESC LIMIT 3")
            .await,
        ["5997", "5994", "5991"]
    );
    assert_eq!(
        table.rows("SELECT max(n) FROM t WHERE n % 7 = 0").await,
        ["5999"]
    );
}

#[tokio::test]
async fn a_table_without_files_has_no_rows() {
    let lake = Lake::new();
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), vec![]);
    assert_eq!(table.rows("SELECT count(*), max(n) FROM t").await, ["0 ∅"]);
    assert!(table.rows("SELECT n FROM t").await.is_empty());
}

#[tokio::test]
async fn explain_shows_snapshot_files_sites_and_cost() {
    let lake = Lake::new();
    let files = vec![
        numbers(&lake, &file("a"), 0, 5),
        numbers(&lake, &file("b"), 5, 5),
    ];
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), files);
    let plan = table.plan("SELECT n FROM t WHERE n > 6").await.unwrap();
    let summary = scan_summaries(&plan).remove(0).to_string();
    let (before, after) = summary.split_once("pointer_age_ms=0, ").unwrap();
    insta::assert_snapshot!(format!("{before}{after}"));
    let text = datafusion::physical_plan::displayable(plan.as_ref())
        .indent(true)
        .to_string();
    assert!(
        text.contains("file_type=iceberg") && text.contains("placed=[cloud: 1 files"),
        "{text}"
    );
}

#[tokio::test]
async fn statistics_follow_a_projection() {
    let lake = Lake::new();
    let columns = vec![
        (field(1, "a", DataType::Int64), longs([Some(1), Some(2)])),
        (field(2, "b", DataType::Int64), longs([Some(30), Some(40)])),
    ];
    let one = lake.write(&file("one"), &batch(columns), 0, vec![]);
    let table = lake.table(
        metadata(vec![column(1, "a", "long"), column(2, "b", "long")], &[]),
        vec![one],
    );
    let plan = table.plan("SELECT b FROM t").await.unwrap();
    let source = plan.downcast_ref::<DataSourceExec>().unwrap().data_source();
    let known = source.partition_statistics(None).unwrap();
    assert_eq!(known.num_rows, Precision::Exact(2));
    assert_eq!(known.column_statistics.len(), 1);
    assert_eq!(
        known.column_statistics[0].max_value,
        Precision::Exact(40_i64.into())
    );
}
