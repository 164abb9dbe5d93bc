//! What metadata may answer, and what it may not.

use arrow::datatypes::DataType;
use iceberg::spec::{Datum, PrimitiveLiteral};
use landfast_sites::ReadClass;

use super::lake::*;

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

#[tokio::test]
async fn a_count_and_the_bounds_of_numbers_are_answered_without_reading() {
    let lake = Lake::new();
    let a = lake.write(
        &file("a"),
        &batch(vec![(
            field(1, "n", DataType::Int64),
            longs([Some(3), None]),
        )]),
        0,
        vec![],
    );
    let b = lake.write(
        &file("b"),
        &batch(vec![(field(1, "n", DataType::Int64), longs([Some(8)]))]),
        0,
        vec![],
    );
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), vec![a, b]);
    assert_eq!(
        table
            .rows("SELECT count(*), count(n), min(n), max(n) FROM t")
            .await,
        ["3 2 3 8"]
    );
    assert!(
        table.context.log.snapshot().is_empty(),
        "{:?}",
        table.context.log.snapshot()
    );
    assert_eq!(table.context.log.cache_hits_of(ReadClass::Data).hits, 0);
}

#[tokio::test]
async fn bounds_of_text_that_were_cut_short_answer_nothing() {
    let lake = Lake::new();
    let long_text = "the same sixteen letters, and then some";
    let a = batch(vec![(
        field(1, "s", DataType::Utf8),
        texts([Some(long_text)]),
    )]);
    let mut a = lake.write(&file("a"), &a, 0, vec![]);
    // A writer that doesn't round its upper bounds up: the two bounds are one.
    set(&mut a, 1, |column| column.upper.clone_from(&column.lower));
    let table = lake.table(metadata(vec![column(1, "s", "string")], &[]), vec![a]);
    assert_eq!(
        table.rows("SELECT min(s), max(s) FROM t").await,
        [format!("{long_text} {long_text}")]
    );
    assert_eq!(table.rows("SELECT s FROM t").await, [long_text]);
}

#[tokio::test]
async fn text_bounds_prune_and_never_lose_a_row() {
    let lake = Lake::new();
    let write = |name: &str, text: &str| {
        lake.write(
            &file(name),
            &batch(vec![(field(1, "s", DataType::Utf8), texts([Some(text)]))]),
            0,
            vec![],
        )
    };
    let files = vec![
        write("a", "apple pie with a long name"),
        write("b", "banana"),
        write("c", "cherry"),
    ];
    let table = lake.table(metadata(vec![column(1, "s", "string")], &[]), files);
    assert_eq!(
        table
            .rows("SELECT s FROM t WHERE s > 'apple pie with a l'")
            .await
            .len(),
        3
    );
    assert_eq!(
        table
            .rows("SELECT s FROM t WHERE s >= 'banana' AND s < 'c'")
            .await,
        ["banana"]
    );
    assert_eq!(
        table
            .files_read("SELECT s FROM t WHERE s >= 'banana' AND s < 'c'")
            .await,
        1
    );
    assert_eq!(
        table
            .files_read("SELECT s FROM t WHERE s LIKE 'apple%name'")
            .await,
        1
    );
    assert_eq!(
        table
            .rows("SELECT s FROM t WHERE s LIKE 'apple%name'")
            .await
            .len(),
        1
    );
    assert_eq!(
        table
            .files_read("SELECT s FROM t WHERE s = 'apple pie with a long name'")
            .await,
        1
    );
    assert_eq!(
        table
            .rows("SELECT s FROM t WHERE s = 'apple pie with a long name'")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn a_column_of_one_number_and_nan_is_no_constant() {
    let lake = Lake::new();
    let rows = || {
        batch(vec![(
            field(1, "x", DataType::Float64),
            doubles([Some(5.0), Some(f64::NAN)]),
        )])
    };
    let counted = lake.write(&file("counted"), &rows(), 0, vec![]);
    let mut uncounted = lake.write(&file("uncounted"), &rows(), 0, vec![]);
    set(&mut uncounted, 1, |column| column.nan_count = None);
    for known in [counted, uncounted] {
        let table = lake.table(metadata(vec![column(1, "x", "double")], &[]), vec![known]);
        assert_eq!(
            table.rows("SELECT x FROM t ORDER BY x").await,
            ["5.0", "NaN"]
        );
        assert_eq!(
            table.rows("SELECT count(*) FROM t WHERE x = 5.0").await,
            ["1"]
        );
        assert_eq!(table.rows("SELECT x FROM t WHERE x <> 5.0").await, ["NaN"]);
        assert_eq!(table.rows("SELECT max(x) FROM t").await, ["NaN"]);
    }
}

#[tokio::test]
async fn nan_is_greater_than_any_number_wherever_the_bounds_end() {
    let lake = Lake::new();
    let a = batch(vec![(
        field(1, "x", DataType::Float64),
        doubles([Some(1.0), Some(f64::NAN)]),
    )]);
    let a = lake.write(&file("a"), &a, 0, vec![]);
    let b = batch(vec![(
        field(1, "x", DataType::Float64),
        doubles([Some(2.0)]),
    )]);
    let b = lake.write(&file("b"), &b, 0, vec![]);
    let table = lake.table(metadata(vec![column(1, "x", "double")], &[]), vec![a, b]);
    assert_eq!(table.rows("SELECT x FROM t WHERE x > 100.0").await, ["NaN"]);
    assert_eq!(table.files_read("SELECT x FROM t WHERE x > 100.0").await, 1);
    assert_eq!(table.files_read("SELECT x FROM t WHERE x < 1.5").await, 1);
    assert_eq!(
        table.rows("SELECT x FROM t ORDER BY x DESC LIMIT 1").await,
        ["NaN"]
    );
    assert_eq!(
        table.rows("SELECT x FROM t WHERE NOT (x < 100.0)").await,
        ["NaN"]
    );
}

#[tokio::test]
async fn zeros_of_either_sign_are_told_apart_as_datafusion_tells_them() {
    let lake = Lake::new();
    let a = batch(vec![(
        field(1, "x", DataType::Float64),
        doubles([Some(-0.0), Some(0.0)]),
    )]);
    let mut a = lake.write(&file("a"), &a, 0, vec![]);
    // A writer that holds the two for equal may record either for both.
    set(&mut a, 1, |column| {
        column.lower = Some(Datum::double(0.0).literal().clone())
    });
    set(&mut a, 1, |column| {
        column.upper = Some(Datum::double(0.0).literal().clone())
    });
    let table = lake.table(metadata(vec![column(1, "x", "double")], &[]), vec![a]);
    assert_eq!(
        table.rows("SELECT x FROM t ORDER BY x").await,
        ["-0.0", "0.0"]
    );
    assert_eq!(table.rows("SELECT min(x) FROM t").await, ["-0.0"]);
    assert_eq!(table.files_read("SELECT x FROM t WHERE x < 0.0").await, 1);
}

#[tokio::test]
async fn bounds_of_a_promoted_column_are_promoted_too() {
    let lake = Lake::new();
    let old = batch(vec![(
        field(1, "n", DataType::Int32),
        ints([Some(5), Some(5)]),
    )]);
    let old = lake.write(&file("old"), &old, 0, vec![]);
    assert_eq!(old.columns[0].lower, Some(PrimitiveLiteral::Int(5)));
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), vec![old]);
    assert_eq!(
        table
            .rows("SELECT min(n), arrow_typeof(min(n)) FROM t")
            .await,
        ["5 Int64"]
    );
    assert_eq!(
        table.rows("SELECT n, arrow_typeof(n) FROM t LIMIT 1").await,
        ["5 Int64"]
    );
    assert_eq!(table.files_read("SELECT n FROM t WHERE n > 5").await, 0);
}

#[tokio::test]
async fn a_count_of_a_pruned_partition_is_right_though_the_filter_decides_it() {
    let lake = Lake::new();
    let write = |name: &str, day: i32, rows: i64| {
        let columns = vec![
            (field(1, "id", DataType::Int64), longs((0..rows).map(Some))),
            (
                field(2, "day", DataType::Date32),
                dates((0..rows).map(|_| Some(day))),
            ),
        ];
        lake.write(
            &file(name),
            &batch(columns),
            0,
            vec![value(Datum::date(day))],
        )
    };
    let files = vec![write("a", 10, 2), write("b", 11, 3), write("c", 12, 4)];
    let columns = vec![column(1, "id", "long"), column(2, "day", "date")];
    let table = lake.table(metadata(columns, &[&[(2, "day", "identity")]]), files);
    let sql = "SELECT count(*) FROM t WHERE day >= DATE '1970-01-12'";
    assert_eq!(table.rows(sql).await, ["7"]);
    assert!(
        table.context.log.snapshot().is_empty(),
        "the partitions decide, so nothing need be read"
    );
    assert_eq!(
        table
            .rows("SELECT count(*) FROM t WHERE day >= DATE '1970-01-12' AND id = 1")
            .await,
        ["2"]
    );
    assert_eq!(
        table
            .rows("SELECT id FROM t WHERE day = DATE '1970-01-11' LIMIT 1")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn files_without_metrics_answer_by_being_read() {
    let lake = Lake::new();
    let mut a = lake.write(
        &file("a"),
        &batch(vec![(
            field(1, "n", DataType::Int64),
            longs([Some(3), None]),
        )]),
        0,
        vec![],
    );
    let b = lake.write(
        &file("b"),
        &batch(vec![(field(1, "n", DataType::Int64), longs([Some(8)]))]),
        0,
        vec![],
    );
    a.columns = Box::default();
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), vec![a, b]);
    assert_eq!(
        table.rows("SELECT count(n), min(n), max(n) FROM t").await,
        ["2 3 8"]
    );
    assert_eq!(table.rows("SELECT n FROM t WHERE n < 5").await, ["3"]);
    assert_eq!(
        table.rows("SELECT count(*) FROM t WHERE n IS NULL").await,
        ["1"]
    );
}
