//! Filters that joins and TopK tighten while a query runs.

use std::sync::Arc;

use arrow::array::Decimal128Array;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, in_list, lit};
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion_datasource::source::DataSourceExec;
use iceberg::spec::PrimitiveLiteral;
use landfast_catalog::DataFile;
use parquet::file::properties::WriterProperties;

use super::lake::*;
use crate::scan::filters::asked_of_statistics;

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

/// Rows `from..from + rows` with `n`, `m` = n and a text, 1,000 rows to a row group.
fn rows_of(lake: &Lake, name: &str, from: i64, rows: i64) -> DataFile {
    let text: Vec<String> = (from..from + rows)
        .map(|n| format!("text {n:032}"))
        .collect();
    let columns = vec![
        (
            field(1, "n", DataType::Int64),
            longs((from..from + rows).map(Some)),
        ),
        (
            field(2, "m", DataType::Int64),
            longs((from..from + rows).map(Some)),
        ),
        (
            field(3, "s", DataType::Utf8),
            texts(text.iter().map(|text| Some(text.as_str()))),
        ),
    ];
    lake.write(&file(name), &batch(columns), 0, vec![])
}

fn table(lake: &Lake, files: Vec<DataFile>) -> Table {
    let columns = vec![
        column(1, "n", "long"),
        column(2, "m", "long"),
        column(3, "s", "string"),
    ];
    lake.table(metadata(columns, &[]), files)
}

/// What a query gives in one partition, and the scan's metrics afterwards.
pub(super) async fn ran(table: &Table, sql: &str) -> (String, impl Fn(&str) -> usize + use<>) {
    let session = table.session_of(1);
    let plan = session
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    let batches = collect(Arc::clone(&plan), session.task_ctx())
        .await
        .unwrap();
    let scan = lake_scan(&plan).unwrap();
    let metric = move |name: &str| {
        scan.metrics()
            .unwrap()
            .sum_by_name(name)
            .map_or(0, |value| value.as_usize())
    };
    (pretty_format_batches(&batches).unwrap().to_string(), metric)
}

fn lake_scan(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    if plan.is::<DataSourceExec>() && !crate::scan::scan_summaries(plan).is_empty() {
        return Some(Arc::clone(plan));
    }
    plan.children().into_iter().find_map(lake_scan)
}

const TWO_KEYS: &str = "(VALUES (5), (4321)) AS v(k)";

#[tokio::test]
async fn a_joins_few_keys_leave_files_out_before_their_footers_are_read() {
    let lake = Lake::new();
    let table = table(
        &lake,
        (0..6)
            .map(|at| rows_of(&lake, &format!("f{at}"), at * 1000, 1000))
            .collect(),
    );
    let sql = format!("SELECT s FROM t JOIN {TWO_KEYS} ON n = k ORDER BY n");
    let (answer, metric) = ran(&table, &sql).await;
    assert!(
        answer.contains(&format!("{:032}", 5)) && answer.contains(&format!("{:032}", 4321)),
        "{answer}"
    );
    assert_eq!(
        table.context.footers.held().await,
        2,
        "only the files of the two keys were opened"
    );
    assert!(
        metric("pushdown_rows_pruned") > 0,
        "the reader itself leaves the other rows out"
    );
}

#[tokio::test]
async fn a_joins_list_of_keys_is_evaluated_by_the_reader_whatever_type_a_file_has_them_in() {
    let lake = Lake::new();
    let narrow = vec![
        (field(1, "n", DataType::Int32), ints((2000..3000).map(Some))),
        (
            field(3, "s", DataType::Utf8),
            texts((0..1000).map(|_| Some("text"))),
        ),
    ];
    let narrow = lake.write(&file("narrow"), &batch(narrow), 0, vec![]);
    let files = vec![
        rows_of(&lake, "f0", 0, 1000),
        rows_of(&lake, "f1", 1000, 1000),
        narrow,
    ];
    let table = table(&lake, files);
    let keys: Vec<String> = (0..100).map(|at| format!("({})", at * 29)).collect();
    let keys = format!("(VALUES {}) AS v(k)", keys.join(", "));
    let sql = format!("SELECT count(s), sum(n) FROM t JOIN {keys} ON n = k");
    let (answer, metric) = ran(&table, &sql).await;
    assert!(
        answer.contains("| 100 ") && answer.contains("143550"),
        "{answer}"
    );
    assert_eq!(metric("pushdown_rows_matched"), 100);
    assert_eq!(metric("pushdown_rows_pruned"), 2900);
}

#[tokio::test]
async fn many_keys_are_looked_up_by_the_join_and_not_by_the_reader() {
    let lake = Lake::new();
    let table = table(&lake, vec![rows_of(&lake, "f", 0, 3000)]);
    let sql = "SELECT count(s), sum(n) FROM t JOIN (SELECT value * 2 AS k FROM generate_series(0, 999)) ON n = k";
    let (answer, metric) = ran(&table, sql).await;
    assert!(
        answer.contains("| 1000 ") && answer.contains("999000"),
        "{answer}"
    );
    assert_eq!(metric("pushdown_rows_pruned"), 0);
}

#[tokio::test]
async fn a_querys_own_filter_prunes_row_groups_beside_a_filter_that_the_reader_evaluates() {
    let lake = Lake::new();
    let table = table(&lake, vec![rows_of(&lake, "f", 0, 10_000)]);
    let all = ran(
        &table,
        &format!("SELECT s FROM t JOIN {TWO_KEYS} ON n = k WHERE m >= 0"),
    )
    .await;
    let some = ran(
        &table,
        &format!("SELECT s FROM t JOIN {TWO_KEYS} ON n = k WHERE m >= 4000"),
    )
    .await;
    assert!(all.0.contains(&format!("{:032}", 5)), "{}", all.0);
    assert!(
        some.0.contains(&format!("{:032}", 4321)) && !some.0.contains(&format!("{:032}", 5)),
        "{}",
        some.0
    );
    assert!(some.1("bytes_scanned") < all.1("bytes_scanned"));
}

#[tokio::test]
async fn a_top_k_reads_the_best_file_first_and_few_others() {
    let lake = Lake::new();
    let table = table(
        &lake,
        (0..8)
            .map(|at| rows_of(&lake, &format!("f{at}"), at * 10_000, 10_000))
            .collect(),
    );
    let (answer, _) = ran(&table, "SELECT n, s FROM t ORDER BY n DESC LIMIT 3").await;
    assert!(
        ["79999", "79998", "79997"]
            .iter()
            .all(|n| answer.contains(n)),
        "{answer}"
    );
    assert_eq!(
        table.context.footers.held().await,
        1,
        "files that can't have the largest are not opened"
    );
}

#[tokio::test]
async fn a_top_k_over_nan_keeps_what_statistics_leave_out() {
    let lake = Lake::new();
    let write = |name: &str, values: Vec<Option<f64>>| {
        let mut file = lake.write(
            &file(name),
            &batch(vec![(field(1, "x", DataType::Float64), doubles(values))]),
            0,
            vec![],
        );
        set(&mut file, 1, |column| column.nan_count = None);
        file
    };
    let files = vec![
        write("low", vec![Some(1.0), Some(f64::NAN)]),
        write("high", (0..2000).map(|n| Some(f64::from(n))).collect()),
    ];
    let table = lake.table(metadata(vec![column(1, "x", "double")], &[]), files);
    let (answer, _) = ran(&table, "SELECT x FROM t ORDER BY x DESC LIMIT 2").await;
    assert!(
        answer.contains("NaN") && answer.contains("1999.0"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_join_on_a_renamed_and_promoted_column_finds_its_rows() {
    let lake = Lake::new();
    let old = batch(vec![(
        field(1, "was", DataType::Int32),
        ints((0..5000).map(Some)),
    )]);
    let old = lake.write(&file("old"), &old, 0, vec![]);
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), vec![old]);
    let (answer, _) = ran(
        &table,
        &format!("SELECT n FROM t JOIN {TWO_KEYS} ON n = k ORDER BY n"),
    )
    .await;
    assert!(
        answer.contains("| 5 ") && answer.contains("| 4321 "),
        "{answer}"
    );
}

#[tokio::test]
async fn a_file_that_no_site_has_is_an_error_that_names_it() {
    let lake = Lake::new();
    let table = table(&lake, vec![rows_of(&lake, "f", 0, 10)]);
    remove(&lake.path("cloud", &file("f")));
    let error = table.run("SELECT n FROM t").await.unwrap_err();
    assert!(error.to_string().contains("f.parquet"), "{error}");
    let kind = crate::PlannerError::from(error).kind();
    assert_eq!(
        kind,
        crate::ErrorKind::Internal,
        "a file of record that is missing is not the caller's fault"
    );
}

#[tokio::test]
async fn a_narrow_range_is_looked_for_before_other_columns_are_read_and_a_wide_one_after() {
    let lake = Lake::new();
    let rows = 40_000;
    let spread = |at: i64| at * 7919 % rows;
    let text: Vec<String> = (0..rows).map(|at| format!("text {at:032}")).collect();
    let prices = Decimal128Array::from_iter_values((0..rows).map(|at| i128::from(spread(at))));
    let columns = vec![
        (
            field(1, "n", DataType::Int64),
            longs((0..rows).map(|at| Some(spread(at)))),
        ),
        (
            field(2, "m", DataType::Int64),
            longs((0..rows).map(|at| Some(spread(at)))),
        ),
        (
            field(3, "s", DataType::Utf8),
            texts(text.iter().map(|text| Some(text.as_str()))),
        ),
        (
            field(4, "price", DataType::Decimal128(10, 2)),
            Arc::new(prices.with_precision_and_scale(10, 2).unwrap()),
        ),
    ];
    let one_group = WriterProperties::builder().build();
    let mut written = lake.write_with(&file("f"), &batch(columns), (0, vec![]), one_group);
    set(&mut written, 4, |price| {
        price.lower = Some(PrimitiveLiteral::Int128(0));
        price.upper = Some(PrimitiveLiteral::Int128(39_999));
    });
    lake.copy(&file("f"));
    let columns = vec![
        column(1, "n", "long"),
        column(2, "m", "long"),
        column(3, "s", "string"),
        column(4, "price", "decimal(10, 2)"),
    ];
    let table = lake.table(metadata(columns, &[]), vec![written]);
    for (filter, found, by_the_reader) in [
        ("n BETWEEN 100 AND 110", 11, 39_989),
        ("n >= 10 AND m < 31", 21, 39_979),
        ("m = 17", 1, 39_999),
        ("n BETWEEN 100 AND 300", 201, 0),
        ("n BETWEEN 100 AND 110 AND length(s) > 0", 11, 39_989),
        ("n = 5 OR m % 2 = 7", 1, 0),
        ("20 > n", 20, 39_980),
        ("price BETWEEN 1.00 AND 1.10", 11, 39_989),
        ("price BETWEEN 1.00 AND 3.00", 201, 0),
    ] {
        let sql = format!("SELECT count(*), count(s) FROM (SELECT * FROM t WHERE {filter})");
        let (answer, metric) = ran(&table, &sql).await;
        let counts = format!("| {found}");
        assert!(
            answer.lines().nth(3).unwrap().starts_with(&counts),
            "{filter}: {answer}"
        );
        assert_eq!(metric("pushdown_rows_pruned"), by_the_reader, "{filter}");
    }
}

#[tokio::test]
async fn aggregates_tighten_no_scan_because_one_without_a_bound_would_lose_rows() {
    let lake = Lake::new();
    let table = table(&lake, vec![rows_of(&lake, "f", 0, 10)]);
    let shown = async |sql: &str| {
        let plan = table.plan(sql).await.unwrap();
        displayable(plan.as_ref()).indent(true).to_string()
    };
    let text = shown("SELECT max(n), min(m) FROM t WHERE n % 2 = 1").await;
    assert!(!text.contains("DynamicFilter"), "{text}");
    let text = shown("SELECT n FROM t ORDER BY n LIMIT 1").await;
    assert!(text.contains("DynamicFilter"), "{text}");
}

#[test]
fn a_long_list_is_not_asked_of_statistics_but_the_bounds_beside_it_are() {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
    let n = || Arc::new(Column::new("n", 0)) as Arc<dyn PhysicalExpr>;
    let at_least = |value: i64| -> Arc<dyn PhysicalExpr> {
        Arc::new(BinaryExpr::new(n(), Operator::GtEq, lit(value)))
    };
    let list = |values: i64| in_list(n(), (0..values).map(lit).collect(), &false, &schema).unwrap();
    let asked = |filters: &[Arc<dyn PhysicalExpr>]| {
        let asked = asked_of_statistics(filters).unwrap();
        asked.map(|filter| split_conjunction(&filter).len())
    };
    assert_eq!(asked(&[]), None);
    assert_eq!(asked(&[list(20)]), Some(1));
    assert_eq!(
        asked(&[list(21)]),
        None,
        "statistics can't say anything of it"
    );
    let both: Arc<dyn PhysicalExpr> =
        Arc::new(BinaryExpr::new(at_least(3), Operator::And, list(21)));
    assert_eq!(asked(&[both, at_least(5)]), Some(2), "the two bounds");
}
