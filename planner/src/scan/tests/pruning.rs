//! Partitions: every transform, every spec, and null.

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use iceberg::spec::{Datum, Transform};
use iceberg::transform::create_transform_function;
use landfast_catalog::DataFile;

use super::lake::*;

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

/// One row a file, in the partition that the transform gives it, and without bounds: only the partition prunes.
fn partitioned(lake: &Lake, transform: Transform, rows: &[Option<i64>]) -> Vec<DataFile> {
    let function = create_transform_function(&transform).unwrap();
    let each = rows.iter().enumerate().map(|(at, row)| {
        let image = row.and_then(|row| function.transform_literal(&Datum::long(row)).unwrap());
        let rows = batch(vec![(field(1, "n", DataType::Int64), longs([*row]))]);
        let mut file = lake.write(
            &file(&format!("f{at}")),
            &rows,
            0,
            vec![image.and_then(value)],
        );
        file.columns = Box::default();
        file
    });
    each.collect()
}

#[tokio::test]
async fn every_transform_of_a_number_prunes_and_loses_nothing() {
    let rows = [
        Some(-11),
        Some(-10),
        Some(-1),
        Some(0),
        Some(9),
        Some(10),
        Some(11),
        Some(12345),
        None,
    ];
    let filters = [
        "n = 10",
        "n < 10",
        "n <= 9",
        "n > 9",
        "n >= 10",
        "n <> 10",
        "n IN (-1, 12345)",
        "n NOT IN (0, 9)",
        "n BETWEEN -10 AND 0",
        "n IS NULL",
        "n IS NOT NULL",
        "NOT (n > 0 OR n < -5)",
        "n = 77",
        "n < -11",
    ];
    for (transform, text) in [
        (Transform::Identity, "identity"),
        (Transform::Bucket(5), "bucket[5]"),
        (Transform::Truncate(10), "truncate[10]"),
    ] {
        let lake = Lake::new();
        let files = partitioned(&lake, transform, &rows);
        let metadata = metadata(vec![column(1, "n", "long")], &[&[(1, "p", text)]]);
        let table = lake.table(metadata.clone(), files.clone());
        let mut unpruned = metadata;
        unpruned["partition-specs"][0]["fields"][0]["transform"] = "void".into();
        let whole = lake.table(unpruned, files);
        for filter in filters {
            let sql = format!("SELECT n FROM t WHERE {filter} ORDER BY n");
            assert_eq!(
                table.rows(&sql).await,
                whole.rows(&sql).await,
                "{text}: {filter}"
            );
        }
        assert!(
            table.files_read("SELECT n FROM t WHERE n = 10").await < 6,
            "{text}"
        );
        assert_eq!(
            table.files_read("SELECT n FROM t WHERE n IS NULL").await,
            1,
            "{text}"
        );
        assert_eq!(whole.files_read("SELECT n FROM t WHERE n = 10").await, 9);
    }
}

#[tokio::test]
async fn calendar_transforms_prune_on_both_sides_of_1970() {
    let hour = 3_600_000_000_i64;
    let times = [
        -8760 * hour - 1,
        -25 * hour,
        -hour,
        -1,
        0,
        1,
        hour,
        23 * hour,
        24 * hour,
        40_000 * hour,
    ];
    for (transform, text) in [
        (Transform::Year, "year"),
        (Transform::Month, "month"),
        (Transform::Day, "day"),
        (Transform::Hour, "hour"),
    ] {
        let lake = Lake::new();
        let function = create_transform_function(&transform).unwrap();
        let files: Vec<DataFile> = times
            .iter()
            .enumerate()
            .map(|(at, time)| {
                let image = function
                    .transform_literal(&Datum::timestamp_micros(*time))
                    .unwrap();
                let column: ArrayRef =
                    std::sync::Arc::new(TimestampMicrosecondArray::from(vec![*time]));
                let rows = batch(vec![(
                    field(1, "at", DataType::Timestamp(TimeUnit::Microsecond, None)),
                    column,
                )]);
                let mut file = lake.write(
                    &file(&format!("f{at}")),
                    &rows,
                    0,
                    vec![image.and_then(value)],
                );
                file.columns = Box::default();
                file
            })
            .collect();
        let metadata = metadata(vec![column(1, "at", "timestamp")], &[&[(1, "p", text)]]);
        let table = lake.table(metadata, files);
        for (at, time) in times.iter().enumerate() {
            let literal = format!("arrow_cast({time}, 'Timestamp(Microsecond, None)')");
            for (op, expected) in [
                ("=", 1),
                ("<", at),
                ("<=", at + 1),
                (">", times.len() - at - 1),
                (">=", times.len() - at),
            ] {
                let sql = format!("SELECT at FROM t WHERE at {op} {literal}");
                assert_eq!(
                    table.rows(&sql).await.len(),
                    expected,
                    "{text}: at {op} {time}"
                );
            }
        }
        let first = table
            .files_read("SELECT at FROM t WHERE at < TIMESTAMP '1969-01-01 00:00:00'")
            .await;
        assert!(first < times.len() as u64, "{text}: {first}");
    }
}

#[tokio::test]
async fn files_of_several_specs_are_pruned_each_by_its_own() {
    let lake = Lake::new();
    let rows = |n: i64, s: &str| {
        batch(vec![
            (field(1, "n", DataType::Int64), longs([Some(n)])),
            (field(2, "s", DataType::Utf8), texts([Some(s)])),
        ])
    };
    let mut by_number = lake.write(
        &file("by_number"),
        &rows(1, "x"),
        0,
        vec![value(Datum::long(1))],
    );
    let mut by_text = lake.write(
        &file("by_text"),
        &rows(1, "y"),
        1,
        vec![value(Datum::string("y"))],
    );
    let mut by_none = lake.write(&file("by_none"), &rows(2, "z"), 2, vec![]);
    for known in [&mut by_number, &mut by_text, &mut by_none] {
        known.columns = Box::default();
    }
    let specs: &[&[(i32, &str, &str)]] = &[&[(1, "n", "identity")], &[(2, "s", "identity")], &[]];
    let columns = vec![column(1, "n", "long"), column(2, "s", "string")];
    let table = lake.table(metadata(columns, specs), vec![by_number, by_text, by_none]);
    assert_eq!(
        table.rows("SELECT s FROM t WHERE n = 1 ORDER BY s").await,
        ["x", "y"]
    );
    assert_eq!(table.files_read("SELECT s FROM t WHERE n = 2").await, 2);
    assert_eq!(table.rows("SELECT s FROM t WHERE n = 2").await, ["z"]);
    assert_eq!(table.files_read("SELECT n FROM t WHERE s = 'z'").await, 2);
    assert_eq!(table.rows("SELECT n FROM t WHERE s = 'z'").await, ["2"]);
    let (_, scans) = table.run("SELECT n FROM t WHERE n = 2").await.unwrap();
    assert_eq!(
        (scans[0].manifests_total, scans[0].manifests_pruned),
        (3, 1)
    );
}

#[tokio::test]
async fn a_partition_of_a_dropped_column_prunes_nothing() {
    let lake = Lake::new();
    let rows = batch(vec![(field(1, "n", DataType::Int64), longs([Some(1)]))]);
    let old = lake.write(&file("old"), &rows, 1, vec![value(Datum::long(5))]);
    let specs: &[&[(i32, &str, &str)]] = &[&[], &[(9, "gone", "identity")]];
    let table = lake.table(metadata(vec![column(1, "n", "long")], specs), vec![old]);
    assert_eq!(table.rows("SELECT n FROM t WHERE n = 1").await, ["1"]);
}

#[tokio::test]
async fn truncated_text_partitions_prune_by_beginning() {
    let lake = Lake::new();
    let write = |name: &str, text: &str, part: &str| {
        let rows = batch(vec![(field(1, "s", DataType::Utf8), texts([Some(text)]))]);
        let mut file = lake.write(&file(name), &rows, 0, vec![value(Datum::string(part))]);
        file.columns = Box::default();
        file
    };
    let files = vec![
        write("a", "apple", "app"),
        write("b", "apricot", "apr"),
        write("c", "banana", "ban"),
    ];
    let table = lake.table(
        metadata(
            vec![column(1, "s", "string")],
            &[&[(1, "p", "truncate[3]")]],
        ),
        files,
    );
    for (filter, rows, files) in [
        ("s LIKE 'ap%'", 2, 2),
        ("s LIKE 'appl%'", 1, 1),
        ("s = 'apricot'", 1, 1),
        ("s > 'apr'", 2, 2),
        ("s < 'app'", 0, 1),
        ("starts_with(s, 'banan')", 1, 1),
        ("s NOT LIKE 'ap%'", 1, 3),
    ] {
        assert_eq!(
            table
                .rows(&format!("SELECT s FROM t WHERE {filter}"))
                .await
                .len(),
            rows,
            "{filter}"
        );
        assert_eq!(
            table
                .files_read(&format!("SELECT s FROM t WHERE {filter}"))
                .await,
            files,
            "{filter}"
        );
    }
}

#[tokio::test]
async fn a_limit_without_a_filter_takes_only_as_many_files_as_it_needs() {
    let lake = Lake::new();
    let write = |at: i64| {
        let rows = batch(vec![(
            field(1, "n", DataType::Int64),
            longs((at * 10..at * 10 + 10).map(Some)),
        )]);
        lake.write(&file(&format!("f{at}")), &rows, 0, vec![])
    };
    let table = lake.table(
        metadata(vec![column(1, "n", "long")], &[]),
        (0..8).map(write).collect(),
    );
    assert_eq!(table.files_read("SELECT n FROM t LIMIT 15").await, 2);
    assert_eq!(table.rows("SELECT n FROM t LIMIT 15").await.len(), 15);
    assert_eq!(
        table
            .files_read("SELECT n FROM t WHERE n % 2 = 1 LIMIT 3")
            .await,
        8
    );
    assert_eq!(
        table
            .rows("SELECT n FROM t WHERE n >= 75 LIMIT 3")
            .await
            .len(),
        3
    );
    assert_eq!(
        table.rows("SELECT n FROM t ORDER BY n DESC LIMIT 2").await,
        ["79", "78"]
    );
}

#[tokio::test]
async fn booleans_prune_by_partition() {
    let lake = Lake::new();
    let write = |name: &str, flag: bool| {
        let rows = batch(vec![(
            field(1, "flag", DataType::Boolean),
            bools([Some(flag)]),
        )]);
        lake.write(&file(name), &rows, 0, vec![value(Datum::bool(flag))])
    };
    let files = vec![write("yes", true), write("no", false)];
    let table = lake.table(
        metadata(
            vec![column(1, "flag", "boolean")],
            &[&[(1, "flag", "identity")]],
        ),
        files,
    );
    assert_eq!(table.rows("SELECT flag FROM t WHERE flag").await, ["true"]);
    assert_eq!(
        table.rows("SELECT flag FROM t WHERE NOT flag").await,
        ["false"]
    );
    assert_eq!(
        table.files_read("SELECT flag FROM t WHERE NOT flag").await,
        1
    );
}

#[tokio::test]
async fn a_filter_left_to_partitions_fails_where_a_partition_does_not_fit_its_spec() {
    let lake = Lake::new();
    let numbers = batch(vec![(
        field(1, "n", DataType::Int64),
        longs([Some(1), Some(2)]),
    )]);
    let uri = format!("{ROOT}/data/odd.parquet");
    let file = lake.write(&uri, &numbers, 0, vec![]);
    let metadata = metadata(vec![column(1, "n", "long")], &[&[(1, "n", "identity")]]);
    let table = lake.table(metadata, vec![file]);
    for sql in [
        "select n from t where n = 1",
        "select n from t where n > 0 limit 1",
    ] {
        let error = table.error(sql).await;
        assert!(error.contains("the spec has 1 fields"), "{error}");
    }
    assert_eq!(table.rows("select n from t where n % 2 = 0").await, ["2"]);
}
