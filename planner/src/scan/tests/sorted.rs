//! Files that their writer sorted.

use std::time::Duration;

use arrow::datatypes::DataType;
use datafusion::physical_plan::displayable;
use landfast_catalog::DataFile;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::delete_files::vectors;
use super::lake::*;
use crate::placement::PlacementMode;
use crate::scan::ScanContext;
use crate::{ErrorKind, PlannerError};

type Row = (Option<i64>, Option<&'static str>);

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

/// Rows of `n` and `s` as they stand, 10 to a row group, with this sort order id.
fn sorted_file(lake: &Lake, name: &str, order: Option<i32>, rows: &[Row]) -> DataFile {
    let columns = vec![
        (
            field(1, "n", DataType::Int64),
            longs(rows.iter().map(|row| row.0)),
        ),
        (
            field(2, "s", DataType::Utf8),
            texts(rows.iter().map(|row| row.1)),
        ),
    ];
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(10))
        .build();
    let mut data = lake.write_with(&file(name), &batch(columns), (0, vec![]), properties);
    data.sort_order_id = order;
    data
}

fn sorted_by(id: i32, fields: &[(i32, &str, &str)]) -> Value {
    let fields = fields.iter().map(|(source, direction, nulls)| {
        json!({"transform": "identity", "source-id": source, "direction": direction, "null-order": nulls})
    });
    json!({"order-id": id, "fields": fields.collect::<Vec<_>>()})
}

fn metadata_of(orders: Vec<Value>) -> Value {
    let columns = vec![
        column(1, "n", "long"),
        column(2, "s", "string"),
        column(3, "d", "double"),
    ];
    let mut metadata = metadata(columns, &[]);
    let unsorted = json!({"order-id": 0, "fields": []});
    metadata["sort-orders"] = [vec![unsorted], orders].concat().into();
    metadata
}

/// By `n`, nulls first, then by `s` downwards, nulls last.
fn by_both() -> Value {
    sorted_by(1, &[(1, "asc", "nulls-first"), (2, "desc", "nulls-last")])
}

const BOTH: &str = "ORDER BY n NULLS FIRST, s DESC NULLS LAST";

fn numbered(from: i64, rows: i64) -> Vec<Row> {
    (from..from + rows).map(|n| (Some(n), Some("a"))).collect()
}

async fn plan(table: &Table, sql: &str) -> String {
    let plan = table.plan(sql).await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

/// Whether a query's plan sorts.
async fn sorts(table: &Table, sql: &str) -> bool {
    let plan = plan(table, sql).await;
    plan.contains("SortExec")
}

#[tokio::test]
async fn what_the_files_are_sorted_by_is_not_sorted_again() {
    let lake = Lake::new();
    let files = vec![
        sorted_file(&lake, "b", Some(1), &numbered(100, 50)),
        sorted_file(&lake, "a", Some(1), &numbered(0, 50)),
        sorted_file(&lake, "c", Some(1), &numbered(25, 100)),
    ];
    let table = lake.table(metadata_of(vec![by_both()]), files);
    for sql in [
        &format!("SELECT n, s FROM t {BOTH}"),
        &format!("SELECT s, n FROM t WHERE s = 'a' AND n > 20 {BOTH}"),
        "SELECT n FROM t ORDER BY n NULLS FIRST",
        &format!("SELECT n + 1 AS m, n, s FROM t {BOTH} LIMIT 7"),
        "SELECT s, row_number() OVER (ORDER BY n NULLS FIRST, s DESC NULLS LAST) AS r FROM t",
    ] {
        assert!(
            !sorts(&table, sql).await,
            "{sql}: {}",
            plan(&table, sql).await
        );
    }
    for sql in [
        "SELECT n, s FROM t ORDER BY n NULLS LAST",
        "SELECT n, s FROM t ORDER BY n DESC",
        "SELECT n, s FROM t ORDER BY s DESC NULLS LAST",
        "SELECT n, s FROM t ORDER BY n NULLS FIRST, s",
    ] {
        assert!(sorts(&table, sql).await, "{sql}");
    }
    let mut expected: Vec<i64> = (0..50).chain(100..150).chain(25..125).collect();
    expected.sort_unstable();
    let expected: Vec<String> = expected.iter().map(i64::to_string).collect();
    let sql = "SELECT n FROM t ORDER BY n NULLS FIRST";
    assert_eq!(table.rows(sql).await, expected);
    assert_eq!(table.rows(&format!("{sql} LIMIT 7")).await, expected[..7]);
    // Nobody wants the order here: the files stay where they balance best.
    let counted = plan(&table, "SELECT sum(n) FROM t").await;
    assert!(!counted.contains("output_ordering"), "{counted}");
}

#[tokio::test]
async fn files_that_follow_each_other_share_streams_and_others_are_merged() {
    let lake = Lake::new();
    let follow = |count: i64| -> Vec<DataFile> {
        let files = (0..count).rev();
        let file = |at| sorted_file(&lake, &format!("f{at}"), Some(1), &numbered(at * 10, 10));
        files.map(file).collect()
    };
    let many = lake.table(metadata_of(vec![by_both()]), follow(100));
    let sql = format!("SELECT n, s FROM t {BOTH}");
    assert!(!sorts(&many, &sql).await);
    let text = plan(&many, &sql).await;
    assert!(text.contains("4 groups"), "{text}");
    assert_eq!(
        many.rows("SELECT n FROM t ORDER BY n NULLS FIRST")
            .await
            .len(),
        1000
    );
    // Where each overlaps all others, there is a limit to what is merged.
    let overlapping = |count: usize| -> Vec<DataFile> {
        let files = 0..count;
        let rows = numbered(0, 10);
        let file = |at| sorted_file(&lake, &format!("o{at}"), Some(1), &rows);
        files.map(file).collect()
    };
    let some = lake.table(metadata_of(vec![by_both()]), overlapping(20));
    assert!(!sorts(&some, &sql).await);
    let too_many = lake.table(metadata_of(vec![by_both()]), overlapping(40));
    assert!(sorts(&too_many, &sql).await);
    assert_eq!(some.rows(&sql).await[..20], vec!["0 a"; 20]);
}

#[tokio::test]
async fn no_order_is_believed_that_not_every_file_names_and_arrow_does_not_share() {
    let lake = Lake::new();
    let rows = numbered(0, 10);
    let by = |fields: &[(i32, &str, &str)]| {
        let orders = vec![by_both(), sorted_by(2, fields)];
        (metadata_of(orders), Some(2))
    };
    let first = ("asc", "nulls-first");
    let wanted = format!("SELECT n, s FROM t {BOTH}");
    let table = |(metadata, order), other| {
        let files = vec![
            sorted_file(&lake, "a", order, &rows),
            sorted_file(&lake, "b", other, &rows),
        ];
        lake.table(metadata, files)
    };
    let good = || (metadata_of(vec![by_both()]), Some(1));
    assert!(!sorts(&table(good(), Some(1)), &wanted).await);
    for other in [None, Some(0), Some(7)] {
        assert!(sorts(&table(good(), other), &wanted).await, "{other:?}");
    }
    // Orders that begin alike are good for what they begin with.
    let both = table(
        by(&[(1, first.0, first.1), (2, "asc", "nulls-last")]),
        Some(1),
    );
    assert!(sorts(&both, &wanted).await);
    assert!(!sorts(&both, "SELECT n FROM t ORDER BY n NULLS FIRST").await);
    let float = table(by(&[(3, first.0, first.1)]), Some(2));
    assert!(sorts(&float, "SELECT d FROM t ORDER BY d NULLS FIRST").await);
    let (mut metadata, order) = by(&[(1, first.0, first.1)]);
    metadata["sort-orders"][2]["fields"][0]["transform"] = "truncate[10]".into();
    let truncated = table((metadata, order), Some(2));
    assert!(sorts(&truncated, "SELECT n FROM t ORDER BY n NULLS FIRST").await);
    let dropped = table(by(&[(9, first.0, first.1), (1, first.0, first.1)]), Some(2));
    assert!(sorts(&dropped, "SELECT n FROM t ORDER BY n NULLS FIRST").await);
}

#[tokio::test]
async fn a_file_that_is_not_in_the_order_that_it_names_fails_the_query() {
    let lake = Lake::new();
    let mut rows = numbered(0, 30);
    rows.swap(14, 15);
    let table = lake.table(
        metadata_of(vec![by_both()]),
        vec![sorted_file(&lake, "a", Some(1), &rows)],
    );
    let error = table.run(&format!("SELECT n, s FROM t {BOTH}")).await;
    let error = PlannerError::from(error.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Internal);
    let text = error.to_string();
    assert!(
        text.contains("data/a.parquet") && text.contains("sort order"),
        "{text}"
    );
    assert!(
        text.contains("SET landfast.use_sort_orders = 'off'"),
        "{text}"
    );
    assert_eq!(
        table.rows("SELECT count(*) FROM t WHERE n >= 0").await,
        ["30"]
    );
}

#[tokio::test]
async fn an_order_is_checked_by_columns_that_nobody_asks_for_too() {
    let lake = Lake::new();
    let mut rows = numbered(0, 30);
    rows.swap(14, 15);
    let table = lake.table(
        metadata_of(vec![by_both()]),
        vec![sorted_file(&lake, "a", Some(1), &rows)],
    );
    for partitions in [1, 4] {
        for sql in [
            "SELECT s FROM t ORDER BY n NULLS FIRST",
            "SELECT s FROM t ORDER BY n NULLS FIRST LIMIT 20",
            "SELECT n + 1 AS m FROM t ORDER BY n NULLS FIRST",
            &format!("SELECT n FROM t {BOTH}"),
        ] {
            let found = table.run_in(partitions, sql).await;
            let error = found.expect_err(sql).to_string();
            assert!(error.contains("sort order"), "{sql}: {error}");
        }
    }
}

#[tokio::test]
async fn an_order_that_a_file_is_not_in_costs_a_sort_where_orders_are_not_used() {
    let lake = Lake::new();
    let mut rows = numbered(0, 30);
    rows.swap(14, 15);
    let files = vec![sorted_file(&lake, "a", Some(1), &rows)];
    let context = ScanContext {
        sort_orders: false,
        ..ScanContext::clone(&lake.context(PlacementMode::Nearest))
    };
    let table = lake.table_in(
        std::sync::Arc::new(context),
        metadata_of(vec![by_both()]),
        files,
    );
    let sql = "SELECT n FROM t ORDER BY n NULLS FIRST";
    assert!(sorts(&table, sql).await);
    let expected: Vec<String> = (0..30).map(|n: i64| n.to_string()).collect();
    assert_eq!(table.rows(sql).await, expected);
}

#[tokio::test]
async fn a_file_that_is_listed_twice_is_read_twice_in_order_too() {
    let lake = Lake::linked(Duration::ZERO);
    let mut large = wide_file(&lake, &file("large"), 0, 4000);
    large.sort_order_id = Some(1);
    // Cut, the files are more than are merged; whole, they are not.
    let small = (0..27).map(|at| sorted_file(&lake, &format!("s{at}"), Some(1), &numbered(0, 10)));
    let mut files: Vec<DataFile> = small.collect();
    files.extend([large.clone(), large]);
    let table = lake.table(metadata_of(vec![by_both()]), files);
    let sql = "SELECT n, octet_length(s) AS bytes FROM t ORDER BY n NULLS FIRST";
    let cut = plan(&table, "SELECT n, s FROM t").await;
    assert!(cut.matches("large.parquet:").count() > 5, "{cut}");
    assert!(!sorts(&table, sql).await, "{}", plan(&table, sql).await);
    let found = table.rows(sql).await;
    assert_eq!(found.len(), 2 * 4000 + 27 * 10);
    let counted = table.rows("SELECT count(*), count(s) FROM t").await;
    assert_eq!(counted, ["8270 8270"]);
    assert_eq!(found[8268..], ["3999 4096", "3999 4096"]);
}

/// 100 files of ten rows, `n` from 0 to 999, and `v`, which is least where `n` is 100 and more, and grows with `n` within
/// the first ten rows, those up to the hundredth, and the rest.
fn numbered_with_values(lake: &Lake) -> Table {
    let value = |n: i64| match n {
        ..10 => n + 100,
        10..100 => n + 500,
        _ => n - 100,
    };
    let files = (0..100_i64).map(|at| {
        let rows = at * 10..at * 10 + 10;
        let columns = vec![
            (
                field(1, "n", DataType::Int64),
                longs(rows.clone().map(Some)),
            ),
            (field(2, "s", DataType::Utf8), texts([Some("a"); 10])),
            (
                field(3, "v", DataType::Int64),
                longs(rows.map(value).map(Some)),
            ),
        ];
        let mut data = lake.write(&file(&format!("f{at:02}")), &batch(columns), 0, vec![]);
        data.sort_order_id = Some(1);
        data
    });
    let columns = vec![
        column(1, "n", "long"),
        column(2, "s", "string"),
        column(3, "v", "long"),
    ];
    let mut metadata = metadata(columns, &[]);
    let unsorted = json!({"order-id": 0, "fields": []});
    metadata["sort-orders"] = json!([unsorted, sorted_by(1, &[(1, "asc", "nulls-first")])]);
    lake.table(metadata, files.collect())
}

#[tokio::test]
async fn the_first_rows_of_many_files_are_those_that_come_first() {
    let lake = Lake::new();
    let table = numbered_with_values(&lake);
    let first: Vec<String> = (0..120).map(|n: i64| n.to_string()).collect();
    for partitions in [1, 2, 4, 16] {
        for limit in [1, 3, 25, 120] {
            for condition in ["", "WHERE s = 'a'"] {
                let sql =
                    format!("SELECT n FROM t {condition} ORDER BY n NULLS FIRST LIMIT {limit}");
                let found = table.rows_in(partitions, &sql).await;
                assert_eq!(found, first[..limit], "{partitions} {sql}");
            }
            // Whichever they are, their numbers are those that they have among all rows.
            let numbered = format!(
                "SELECT n, row_number() OVER (ORDER BY n NULLS FIRST) AS r FROM t LIMIT {limit}"
            );
            let sql = format!(
                "SELECT count(*), count(CASE WHEN r <> n + 1 THEN 1 END) FROM ({numbered})"
            );
            let found = table.rows_in(partitions, &sql).await;
            assert_eq!(found, [format!("{limit} 0")], "{partitions} {sql}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_of_the_first_rows_is_not_asked_of_rows_before_them() {
    let lake = Lake::new();
    let table = numbered_with_values(&lake);
    let first = "SELECT n, v FROM t ORDER BY n NULLS FIRST LIMIT 100";
    let filtered = "SELECT n, v FROM t WHERE s = 'a' ORDER BY n NULLS FIRST LIMIT 100";
    let joined = "SELECT n, v FROM t JOIN (VALUES ('a')) w(s) ON t.s = w.s \
         ORDER BY n NULLS FIRST LIMIT 100";
    let computed = "SELECT n, v + 0 AS v FROM t ORDER BY n NULLS FIRST LIMIT 100";
    for partitions in [1, 4] {
        for first in [first, filtered, joined, computed] {
            let of = |sql: &str| sql.replace("x0", &format!("({first}) x"));
            let rows = async |sql: &str| table.rows_in(partitions, &of(sql)).await;
            let sql = "SELECT x.n, x.v FROM x0 ORDER BY x.v LIMIT 3";
            assert_eq!(rows(sql).await, ["0 100", "1 101", "2 102"], "{first}");
            let sql = "SELECT x.n, x.v FROM x0 ORDER BY x.v DESC LIMIT 2";
            assert_eq!(rows(sql).await, ["99 599", "98 598"], "{first}");
            let sql = "SELECT x.n FROM x0 JOIN (VALUES (0), (103), (599), (899)) k(v) ON x.v = k.v ORDER BY x.n + 0";
            assert_eq!(rows(sql).await, ["3", "99"], "{first}");
            let sql =
                "SELECT count(*) FROM x0 WHERE x.v IN (SELECT v FROM t WHERE n >= 190 AND n < 205)";
            assert_eq!(rows(sql).await, ["5"], "{first}");
            let sql = "SELECT min(x.v), max(x.n) FROM x0";
            assert_eq!(rows(sql).await, ["100 99"], "{first}");
        }
    }
}

#[tokio::test]
async fn files_written_before_a_promotion_and_ranges_of_one_file_keep_their_order() {
    let lake = Lake::new();
    let old = batch(vec![(
        field(1, "n", DataType::Int32),
        ints((0..30).map(Some)),
    )]);
    let mut old = lake.write(&file("old"), &old, 0, vec![]);
    old.sort_order_id = Some(1);
    let large = sorted_file(&lake, "large", Some(1), &numbered(5, 5000));
    let gone: Vec<u64> = (0..5000).filter(|at| at % 3 == 0).collect();
    let vectors = vectors(&lake, &file("v.puffin"), &[(&file("large"), &gone)]);
    let table = lake.table_with_deletes(metadata_of(vec![by_both()]), vec![old, large], vectors);
    let sql = "SELECT n FROM t ORDER BY n NULLS FIRST";
    assert!(!sorts(&table, sql).await);
    let mut expected: Vec<i64> = (0..5000)
        .filter(|at| at % 3 != 0)
        .map(|at| at + 5)
        .chain(0..30)
        .collect();
    expected.sort_unstable();
    let found = table.rows(sql).await;
    assert_eq!(
        found,
        expected.iter().map(i64::to_string).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_limit_over_sorted_files_reads_their_beginnings() {
    let lake = Lake::new();
    let table = lake.table(
        metadata_of(vec![by_both()]),
        vec![sorted_file(&lake, "a", Some(1), &numbered(0, 2000))],
    );
    let sql = "SELECT n FROM t ORDER BY n NULLS FIRST LIMIT 3";
    assert_eq!(table.rows(sql).await, ["0", "1", "2"]);
    let text = plan(&table, sql).await;
    assert!(
        !text.contains("SortExec") && text.contains("limit=3"),
        "{text}"
    );
}

fn value() -> impl Strategy<Value = Row> {
    let texts = prop_oneof![
        Just(None),
        Just(Some("a")),
        Just(Some("b")),
        Just(Some("\u{1f951}"))
    ];
    (proptest::option::of(-3_i64..6), texts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn rows_come_in_the_order_that_is_asked_for(
        files in proptest::collection::vec(proptest::collection::vec(value(), 1..25), 1..6),
        descending in proptest::array::uniform2(any::<bool>()),
        nulls_first in proptest::array::uniform2(any::<bool>()),
        limit in proptest::option::of(0_usize..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lake = Lake::new();
            let key = |row: &Row| {
                let number = row.0.map(|n| if descending[0] { -n } else { n });
                let text = row.1.map(|text| {
                    let bytes = text.bytes().map(i16::from);
                    // No text is another's beginning.
                    bytes.map(|byte| if descending[1] { -byte } else { byte }).collect::<Vec<_>>()
                });
                (
                    (number.is_some() == nulls_first[0], number),
                    (text.is_some() == nulls_first[1], text),
                )
            };
            let word = |at: usize| {
                let direction = if descending[at] { "desc" } else { "asc" };
                (direction, if nulls_first[at] { "first" } else { "last" })
            };
            let nulls = [0, 1].map(|at| format!("nulls-{}", word(at).1));
            let order = sorted_by(1, &[(1, word(0).0, &nulls[0]), (2, word(1).0, &nulls[1])]);
            let written = files.iter().enumerate().map(|(at, rows)| {
                let mut rows = rows.clone();
                rows.sort_by_key(key);
                sorted_file(&lake, &format!("f{at}"), Some(1), &rows)
            });
            let table = lake.table(metadata_of(vec![order]), written.collect());
            let [a, b] = [0, 1].map(|at| format!("{} NULLS {}", word(at).0, word(at).1));
            let limited = limit.map_or(String::new(), |limit| format!(" LIMIT {limit}"));
            let sql = format!("SELECT n, s FROM t ORDER BY n {a}, s {b}{limited}");
            let mut all: Vec<Row> = files.concat();
            all.sort_by_key(key);
            all.truncate(limit.unwrap_or(usize::MAX));
            let expected: Vec<String> = all.iter().map(|(n, s)| {
                let n = n.map_or("∅".to_owned(), |n| n.to_string());
                format!("{n} {}", s.unwrap_or("∅"))
            }).collect();
            prop_assert_eq!(table.rows(&sql).await, expected);
            // Of a column that is null all through a file there are no bounds, and where files follow each other without
            // any the engine sorts again. Up to four files have a stream each.
            let bounded = files.len() <= 4 || files.iter().all(|rows| {
                rows.iter().any(|row| row.0.is_some()) && rows.iter().any(|row| row.1.is_some())
            });
            prop_assert!(limit == Some(0) || !bounded || !sorts(&table, &sql).await);
            Ok(())
        })?;
    }
}
