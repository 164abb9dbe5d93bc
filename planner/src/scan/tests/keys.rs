//! Rows that equality deletes take away.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};
use datafusion::common::stats::Precision;
use datafusion_datasource::source::DataSourceExec;
use iceberg::spec::Literal;
use landfast_catalog::{DataFile, DeleteFile};
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use super::delete_files::*;
use super::lake::*;
use crate::{ErrorKind, PlannerError};

pub(super) fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

/// Columns `k` (whose every tenth value is null), `s` and `v`, 100 rows to a row group.
pub(super) fn rows_of(lake: &Lake, name: &str, from: i64, rows: i64) -> DataFile {
    let text: Vec<String> = (from..from + rows).map(|n| format!("text {n}")).collect();
    let key = |n: i64| (n % 10 != 9).then_some(n);
    let columns = vec![
        (
            field(1, "k", DataType::Int64),
            longs((from..from + rows).map(key)),
        ),
        (
            field(2, "s", DataType::Utf8),
            texts(text.iter().map(|text| Some(text.as_str()))),
        ),
        (
            field(3, "v", DataType::Int64),
            longs((from..from + rows).map(Some)),
        ),
    ];
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100))
        .build();
    lake.write_with(&file(name), &batch(columns), (0, vec![]), properties)
}

fn columns() -> Value {
    metadata(
        vec![
            column(1, "k", "long"),
            column(2, "s", "string"),
            column(3, "v", "long"),
        ],
        &[],
    )
}

pub(super) fn k(values: &[Option<i64>]) -> RecordBatch {
    batch(vec![(
        field(1, "k", DataType::Int64),
        longs(values.iter().copied()),
    )])
}

pub(super) fn table(lake: &Lake, files: Vec<DataFile>, deletes: Vec<DeleteFile>) -> Table {
    lake.table_with_deletes(columns(), files, deletes)
}

pub(super) async fn numbers(table: &Table, sql: &str) -> Vec<i64> {
    let rows = table.rows(sql).await;
    rows.iter().map(|row| row.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_null_key_deletes_nulls_and_a_key_need_not_be_asked_for() {
    let lake = Lake::new();
    let table = table(
        &lake,
        vec![rows_of(&lake, "f", 0, 300)],
        vec![keys(
            &lake,
            &file("d"),
            &k(&[None, Some(3), Some(250), Some(999)]),
        )],
    );
    let left: Vec<i64> = (0..300)
        .filter(|n| n % 10 != 9 && ![3, 250].contains(n))
        .collect();
    assert_eq!(numbers(&table, "SELECT v FROM t ORDER BY v").await, left);
    assert_eq!(numbers(&table, "SELECT k FROM t ORDER BY k").await, left);
    let count = left.len();
    let counted = table
        .rows("SELECT count(*), count(k), min(v), max(s) FROM t")
        .await;
    assert_eq!(counted, [format!("{count} {count} 0 text 98")]);
    assert_eq!(
        table.rows("SELECT count(*) FROM t").await,
        [count.to_string()]
    );
    assert_eq!(table.rows("SELECT 1 FROM t").await.len(), count);
    for limit in [1, 90, 200, 1000] {
        let found = numbers(&table, &format!("SELECT v FROM t LIMIT {limit}")).await;
        assert_eq!(found.len(), count.min(limit));
        assert!(found.iter().all(|n| left.contains(n)));
    }
    let filtered = numbers(
        &table,
        "SELECT v FROM t WHERE v BETWEEN 245 AND 255 ORDER BY v LIMIT 7",
    )
    .await;
    assert_eq!(filtered, [245, 246, 247, 248, 251, 252, 253]);
    assert!(
        numbers(&table, "SELECT v FROM t WHERE k = 3")
            .await
            .is_empty()
    );
    assert!(
        numbers(&table, "SELECT v FROM t WHERE k IS NULL")
            .await
            .is_empty()
    );
    assert_eq!(
        table
            .rows("SELECT s, k + v FROM t WHERE v < 5 ORDER BY v")
            .await,
        ["text 0 0", "text 1 2", "text 2 4", "text 4 8"]
    );
}

#[tokio::test]
async fn a_key_deletes_older_files_alone() {
    let lake = Lake::new();
    let files = vec![
        data_at(1, rows_of(&lake, "one", 0, 5)),
        data_at(2, rows_of(&lake, "two", 0, 5)),
        data_at(3, rows_of(&lake, "three", 0, 5)),
    ];
    let deletes = vec![
        at(2, keys(&lake, &file("d2"), &k(&[Some(0), Some(1)]))),
        at(3, keys(&lake, &file("d3"), &k(&[Some(1), Some(2)]))),
        at(1, keys(&lake, &file("d1"), &k(&[Some(4)]))),
    ];
    let table = table(&lake, files, deletes);
    let left = numbers(&table, "SELECT v FROM t ORDER BY v").await;
    assert_eq!(left, [0, 0, 1, 2, 3, 3, 3, 4, 4, 4]);
}

#[tokio::test]
async fn several_keys_vectors_and_positions_work_together() {
    let lake = Lake::new();
    let both = batch(vec![
        (field(1, "k", DataType::Int64), longs([Some(5), Some(6)])),
        (
            field(2, "s", DataType::Utf8),
            texts([Some("text 5"), Some("text 7")]),
        ),
    ]);
    let text = batch(vec![(
        field(2, "s", DataType::Utf8),
        texts([Some("text 12"), None]),
    )]);
    let mut deletes = vec![
        keys(&lake, &file("d1"), &k(&[Some(1)])),
        keys(&lake, &file("d2"), &both),
        keys(&lake, &file("d3"), &text),
        positions(&lake, &file("p"), &[(&file("g"), 1)]),
    ];
    deletes.extend(vectors(&lake, &file("v.puffin"), &[(&file("f"), &[0, 2])]));
    let files = vec![rows_of(&lake, "f", 0, 9), rows_of(&lake, "g", 10, 4)];
    let table = table(&lake, files, deletes);
    let left = numbers(&table, "SELECT v FROM t ORDER BY v").await;
    assert_eq!(left, [3, 4, 6, 7, 8, 10, 13]);
    assert_eq!(table.rows("SELECT count(*) FROM t").await, ["7"]);
}

#[tokio::test]
async fn keys_of_a_partition_stay_in_it_and_those_of_an_unpartitioned_spec_reach_all() {
    let lake = Lake::new();
    let of = |part: i32| vec![Some(Literal::int(part))];
    let write = |name: &str, part: i32, from: i64| {
        let columns = vec![
            (
                field(1, "k", DataType::Int64),
                longs((from..from + 5).map(Some)),
            ),
            (field(4, "part", DataType::Int32), ints([Some(part); 5])),
        ];
        lake.write(&file(name), &batch(columns), 1, of(part))
    };
    let metadata = metadata(
        vec![column(1, "k", "long"), column(4, "part", "int")],
        &[&[], &[(4, "part", "identity")]],
    );
    let deletes = vec![
        within(1, of(1), keys(&lake, &file("d1"), &k(&[Some(1)]))),
        within(1, of(2), keys(&lake, &file("d2"), &k(&[Some(2)]))),
        keys(&lake, &file("d3"), &k(&[Some(3)])),
    ];
    let files = vec![write("one", 1, 0), write("two", 2, 0)];
    let table = lake.table_with_deletes(metadata, files, deletes);
    assert_eq!(
        table.rows("SELECT part, k FROM t ORDER BY part, k").await,
        ["1 0", "1 2", "1 4", "2 0", "2 1", "2 4"]
    );
    assert_eq!(
        table
            .rows("SELECT k FROM t WHERE part = 2 ORDER BY k")
            .await,
        ["0", "1", "4"]
    );
}

/// A table whose schema was another one before: `was` is schema 0, `is` schema 1.
fn evolved(was: Vec<Value>, is: Vec<Value>) -> Value {
    let mut metadata = metadata(was, &[]);
    metadata["schemas"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "struct", "schema-id": 1, "fields": is}));
    metadata["current-schema-id"] = json!(1);
    metadata
}

#[tokio::test]
async fn keys_written_before_a_promotion_and_a_rename_still_delete() {
    let lake = Lake::new();
    let old = batch(vec![
        (
            field(1, "was", DataType::Int32),
            ints([Some(1), Some(2), Some(3)]),
        ),
        (
            field(2, "v", DataType::Int64),
            longs([Some(1), Some(2), Some(3)]),
        ),
    ]);
    let new = batch(vec![
        (
            field(1, "is", DataType::Int64),
            longs([Some(1), Some(2), Some(4)]),
        ),
        (
            field(2, "v", DataType::Int64),
            longs([Some(11), Some(12), Some(14)]),
        ),
    ]);
    let old_key = batch(vec![(field(1, "was", DataType::Int32), ints([Some(1)]))]);
    let new_key = batch(vec![(field(1, "is", DataType::Int64), longs([Some(2)]))]);
    let table = lake.table_with_deletes(
        evolved(
            vec![column(1, "was", "int"), column(2, "v", "long")],
            vec![column(1, "is", "long"), column(2, "v", "long")],
        ),
        vec![
            lake.write(&file("old"), &old, 0, vec![]),
            lake.write(&file("new"), &new, 0, vec![]),
        ],
        vec![
            keys(&lake, &file("d1"), &old_key),
            keys(&lake, &file("d2"), &new_key),
        ],
    );
    assert_eq!(numbers(&table, "SELECT v FROM t ORDER BY v").await, [3, 14]);
}

#[tokio::test]
async fn a_key_that_the_table_dropped_is_read_as_the_table_had_it() {
    let lake = Lake::new();
    let data = batch(vec![
        (
            field(1, "k", DataType::Int32),
            ints([Some(1), Some(2), None]),
        ),
        (
            field(2, "v", DataType::Int64),
            longs([Some(1), Some(2), Some(3)]),
        ),
    ]);
    let since = batch(vec![(field(2, "v", DataType::Int64), longs([Some(4)]))]);
    let key = batch(vec![(field(1, "k", DataType::Int32), ints([Some(2)]))]);
    let table = lake.table_with_deletes(
        evolved(
            vec![column(1, "k", "long"), column(2, "v", "long")],
            vec![column(2, "v", "long"), column(3, "k", "string")],
        ),
        vec![
            lake.write(&file("f"), &data, 0, vec![]),
            lake.write(&file("g"), &since, 0, vec![]),
        ],
        vec![keys(&lake, &file("d"), &key)],
    );
    assert_eq!(
        numbers(&table, "SELECT v FROM t ORDER BY v").await,
        [1, 3, 4]
    );
    assert_eq!(
        table.rows("SELECT * FROM t ORDER BY v").await,
        ["1 ∅", "3 ∅", "4 ∅"]
    );
    let plan = table.plan("SELECT * FROM t").await.unwrap();
    assert_eq!(plan.schema().fields().len(), 2);
}

#[tokio::test]
async fn a_key_that_the_table_dropped_and_was_partitioned_by_is_refused() {
    let lake = Lake::new();
    let without = batch(vec![(field(2, "v", DataType::Int64), longs([Some(1)]))]);
    let key = batch(vec![(field(1, "k", DataType::Int32), ints([Some(2)]))]);
    let mut metadata = evolved(
        vec![column(1, "k", "int"), column(2, "v", "long")],
        vec![column(2, "v", "long")],
    );
    metadata["partition-specs"] = json!([
        {"spec-id": 0, "fields": []},
        {"spec-id": 1, "fields": [{"source-id": 1, "field-id": 1000, "name": "k", "transform": "identity"}]},
    ]);
    metadata["last-partition-id"] = json!(1000);
    let table = lake.table_with_deletes(
        metadata,
        vec![lake.write(&file("f"), &without, 0, vec![])],
        vec![keys(&lake, &file("d"), &key)],
    );
    let error = table.error("SELECT v FROM t").await;
    assert!(
        error.contains("column k, which was dropped and which the table is or was partitioned by"),
        "{error}"
    );
}

#[tokio::test]
async fn a_key_column_that_a_file_lacks_has_its_default_or_null() {
    let lake = Lake::new();
    let data = || vec![(field(2, "v", DataType::Int64), longs([Some(1), Some(2)]))];
    let old = batch(data());
    let mut with = data();
    with.push((field(5, "x", DataType::Int32), ints([Some(7), Some(8)])));
    let new = batch(with);
    let one = |value: Option<i32>| batch(vec![(field(5, "x", DataType::Int32), ints([value]))]);
    let left = async |default: Option<i32>, key: Option<i32>, name: &str| {
        let mut x = column(5, "x", "int");
        if let Some(default) = default {
            x["initial-default"] = json!(default);
        }
        let mut metadata = metadata(vec![column(2, "v", "long"), x], &[]);
        metadata["format-version"] = json!(3);
        metadata["next-row-id"] = json!(0);
        let files = vec![
            lake.write(&file(&format!("old{name}")), &old, 0, vec![]),
            lake.write(&file(&format!("new{name}")), &new, 0, vec![]),
        ];
        let deletes = vec![keys(&lake, &file(&format!("d{name}")), &one(key))];
        let table = lake.table_with_deletes(metadata, files, deletes);
        numbers(&table, "SELECT v FROM t ORDER BY v").await
    };
    assert_eq!(left(None, None, "a").await, [1, 2]);
    assert_eq!(left(None, Some(7), "b").await, [1, 2, 2]);
    assert_eq!(left(Some(8), Some(8), "c").await, [1]);
    assert_eq!(left(Some(8), None, "d").await, [1, 1, 2, 2]);
}

#[tokio::test]
async fn a_key_may_be_a_field_of_a_struct() {
    let lake = Lake::new();
    let of = |values: &[Option<i64>], extra: bool| {
        let mut fields = vec![field(11, "a", DataType::Int64)];
        let mut arrays = vec![longs(values.iter().copied())];
        if extra {
            fields.push(field(12, "b", DataType::Int64));
            arrays.push(longs(values.iter().map(|_| Some(0))));
        }
        let nulls = values
            .iter()
            .map(|value| value != &Some(-1))
            .collect::<Vec<_>>();
        let fields = arrow::datatypes::Fields::from(fields);
        let array = arrow::array::StructArray::new(fields.clone(), arrays, Some(nulls.into()));
        let column: (Field, arrow::array::ArrayRef) = (
            field(10, "s", DataType::Struct(fields)),
            std::sync::Arc::new(array),
        );
        column
    };
    let data = batch(vec![
        of(&[Some(1), Some(2), None, Some(-1)], true),
        (
            field(2, "v", DataType::Int64),
            longs([Some(1), Some(2), Some(3), Some(4)]),
        ),
    ]);
    let of_struct =
        json!({"type": "struct", "fields": [column(11, "a", "long"), column(12, "b", "long")]});
    let columns = || {
        metadata(
            vec![column(10, "s", of_struct.clone()), column(2, "v", "long")],
            &[],
        )
    };
    let left = async |key: Option<i64>, name: &str| {
        let mut delete = keys(
            &lake,
            &file(&format!("d{name}")),
            &batch(vec![of(&[key], false)]),
        );
        delete.content = landfast_catalog::DeleteContent::Equality {
            field_ids: [11].into(),
        };
        let files = vec![lake.write(&file(&format!("f{name}")), &data, 0, vec![])];
        let table = lake.table_with_deletes(columns(), files, vec![delete]);
        numbers(&table, "SELECT v FROM t ORDER BY v").await
    };
    assert_eq!(left(Some(2), "a").await, [1, 3, 4]);
    assert_eq!(left(None, "b").await, [1, 2]);
}

#[tokio::test]
async fn nan_is_nan_the_zeros_differ_and_text_is_bytes() {
    let lake = Lake::new();
    let values = [Some(f64::NAN), Some(0.0), Some(-0.0), Some(1.0), None];
    let words = [Some("ä"), Some("a\u{308}"), Some("a "), Some("a"), Some("")];
    let data = batch(vec![
        (field(1, "x", DataType::Float64), doubles(values)),
        (field(2, "s", DataType::Utf8), texts(words)),
        (field(3, "v", DataType::Int64), longs((0..5).map(Some))),
    ]);
    let of = |key: RecordBatch, name: &str| {
        let columns = vec![
            column(1, "x", "double"),
            column(2, "s", "string"),
            column(3, "v", "long"),
        ];
        let files = vec![lake.write(&file(&format!("f{name}")), &data, 0, vec![])];
        let deletes = vec![keys(&lake, &file(&format!("d{name}")), &key)];
        lake.table_with_deletes(metadata(columns, &[]), files, deletes)
    };
    let doubles = batch(vec![(
        field(1, "x", DataType::Float64),
        doubles([Some(-f64::NAN), Some(-0.0)]),
    )]);
    assert_eq!(
        numbers(&of(doubles, "1"), "SELECT v FROM t ORDER BY v").await,
        [1, 3, 4]
    );
    let words = batch(vec![(
        field(2, "s", DataType::Utf8),
        texts([Some("ä"), Some("a")]),
    )]);
    assert_eq!(
        numbers(&of(words, "2"), "SELECT v FROM t ORDER BY v").await,
        [1, 2, 4]
    );
}

#[tokio::test]
async fn no_expression_sees_a_deleted_row() {
    let lake = Lake::new();
    let table = table(
        &lake,
        vec![rows_of(&lake, "f", 0, 20)],
        vec![keys(&lake, &file("d"), &k(&[Some(5)]))],
    );
    let sql = "SELECT 100 / (v - 5) FROM t WHERE k < 8 ORDER BY v";
    assert_eq!(
        numbers(&table, sql).await,
        [-20, -25, -33, -50, -100, 100, 50]
    );
    let joined = "SELECT v FROM t JOIN (VALUES (4), (5), (6)) AS o(n) ON k = n ORDER BY v";
    assert_eq!(numbers(&table, joined).await, [4, 6]);
    assert_eq!(
        numbers(&table, "SELECT v FROM t ORDER BY v DESC LIMIT 2").await,
        [19, 18]
    );
}

#[tokio::test]
async fn a_thousand_checkpoints_are_one_set_of_keys_that_is_read_once() {
    let lake = Lake::new();
    let deletes: Vec<DeleteFile> = (0..1000)
        .map(|n| {
            at(
                n + 1,
                keys(&lake, &file(&format!("d{n}")), &k(&[Some(n), Some(7)])),
            )
        })
        .collect();
    let files = vec![
        data_at(0, rows_of(&lake, "f", 0, 1500)),
        data_at(500, rows_of(&lake, "g", 0, 1500)),
        data_at(1000, rows_of(&lake, "h", 0, 1500)),
    ];
    let table = table(&lake, files, deletes);
    let left = |from: i64| {
        (0..1500)
            .filter(|n| n % 10 == 9 || !(from..1000).contains(n))
            .count()
    };
    let all = left(0) + (left(500) - 1) + left(1000);
    assert_eq!(
        table.rows("SELECT count(*) FROM t").await,
        [all.to_string()]
    );
    let requests = table.context.log.snapshot()[0].data.requests;
    assert_eq!(
        table.rows("SELECT count(v) FROM t").await,
        [all.to_string()]
    );
    let again = table.context.log.snapshot()[0].data.requests - requests;
    assert!(
        requests > 1000 && again < 100,
        "{requests} requests, then {again}: the keys of 1,000 files were known"
    );
}

#[tokio::test]
async fn counts_and_bounds_of_files_with_equality_deletes_are_estimates() {
    let lake = Lake::new();
    let deletes = vec![keys(&lake, &file("d"), &k(&[Some(0)]))];
    let table = table(&lake, vec![rows_of(&lake, "f", 0, 100)], deletes);
    let plan = table.plan("SELECT v FROM t").await.unwrap();
    let source = plan.downcast_ref::<DataSourceExec>().unwrap().data_source();
    let known = source.partition_statistics(None).unwrap();
    assert_eq!(known.num_rows.is_exact(), Some(false));
    assert_eq!(known.column_statistics.len(), 1);
    assert_eq!(
        known.column_statistics[0].min_value,
        Precision::Inexact(0_i64.into())
    );
}

#[tokio::test]
async fn what_is_wrong_with_an_equality_delete_is_said() {
    let lake = Lake::new();
    let mut broken = keys(&lake, &file("d1"), &k(&[Some(1)]));
    broken.id = lake.put(&file("d1"), b"PAR1, they said");
    let failed = async |delete: DeleteFile| {
        let table = table(&lake, vec![rows_of(&lake, "f", 0, 5)], vec![delete]);
        PlannerError::from(table.run("SELECT v FROM t").await.unwrap_err())
    };
    let error = failed(broken).await;
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().contains("d1"), "{error}");
    let mut unknown = keys(&lake, &file("d2"), &k(&[Some(1)]));
    unknown.content = landfast_catalog::DeleteContent::Equality {
        field_ids: [77].into(),
    };
    let error = failed(unknown).await;
    assert!(error.to_string().contains("id 77"), "{error}");
}

mod any_table {
    use proptest::prelude::*;

    use super::*;

    type Key = (Option<i64>, Option<u8>);

    /// What a random table is made of: files (sequence number, rows), and deletes by key, of either column or both,
    /// and by position (sequence number, file, position).
    #[derive(Debug, Clone)]
    struct Model {
        files: Vec<(i64, Vec<Key>)>,
        keys: Vec<(i64, u8, Vec<Key>)>,
        positions: Vec<(i64, Vec<(usize, u64)>)>,
        vector: Option<(usize, Vec<u64>)>,
    }

    fn model() -> impl Strategy<Value = Model> {
        let key = (
            proptest::option::of(0_i64..6),
            proptest::option::of(0_u8..3),
        );
        let rows = proptest::collection::vec(key.clone(), 1..25);
        (
            proptest::collection::vec((0_i64..4, rows), 1..4),
            proptest::collection::vec(
                (0_i64..5, 0_u8..3, proptest::collection::vec(key, 1..3)),
                0..4,
            ),
            proptest::collection::vec(
                (
                    0_i64..5,
                    proptest::collection::vec((0_usize..3, 0_u64..30), 1..6),
                ),
                0..3,
            ),
            proptest::option::of((0_usize..3, proptest::collection::vec(0_u64..30, 1..6))),
        )
            .prop_map(|(files, keys, positions, vector)| Model {
                files,
                keys,
                positions,
                vector,
            })
    }

    fn name(file: usize) -> String {
        file_name(&format!("f{file}"))
    }

    fn file_name(name: &str) -> String {
        super::file(name)
    }

    fn word(n: u8) -> String {
        format!("word {n}")
    }

    impl Model {
        fn is_gone(&self, file: usize, at: u64, row: &Key) -> bool {
            let data = self.files[file].0;
            let by_key = self.keys.iter().any(|(sequence, which, keys)| {
                *sequence > data
                    && keys.iter().any(|key| match which {
                        0 => key.0 == row.0,
                        1 => key.1 == row.1,
                        _ => key == row,
                    })
            });
            let vector = self.vector.as_ref().filter(|(of, _)| *of == file);
            let by_position = match vector {
                Some((_, positions)) => positions.contains(&at),
                None => self
                    .positions
                    .iter()
                    .any(|(sequence, gone)| *sequence >= data && gone.contains(&(file, at))),
            };
            by_key || by_position
        }

        fn left(&self) -> Vec<(i64, Key)> {
            let mut left = Vec::new();
            for (file, (_, rows)) in self.files.iter().enumerate() {
                for (at, row) in rows.iter().enumerate() {
                    if !self.is_gone(file, at as u64, row) {
                        left.push(((file * 100 + at) as i64, *row));
                    }
                }
            }
            left
        }

        fn table(&self, lake: &Lake) -> Table {
            let columns = |rows: &[Key]| {
                let words: Vec<Option<String>> = rows.iter().map(|row| row.1.map(word)).collect();
                vec![
                    (
                        field(1, "k", DataType::Int64),
                        longs(rows.iter().map(|row| row.0)),
                    ),
                    (
                        field(2, "s", DataType::Utf8),
                        texts(words.iter().map(|word| word.as_deref())),
                    ),
                ]
            };
            let files = self.files.iter().enumerate().map(|(at, (sequence, rows))| {
                let mut columns = columns(rows);
                let numbers = (0..rows.len()).map(|row| Some((at * 100 + row) as i64));
                columns.push((field(3, "v", DataType::Int64), longs(numbers)));
                let properties = WriterProperties::builder()
                    .set_max_row_group_row_count(Some(7))
                    .build();
                let written = lake.write_with(&name(at), &batch(columns), (0, vec![]), properties);
                data_at(*sequence, written)
            });
            let files = files.collect();
            let mut deletes = Vec::new();
            for (at_file, (sequence, which, rows)) in self.keys.iter().enumerate() {
                let mut columns = columns(rows);
                match which {
                    0 => drop(columns.pop()),
                    1 => drop(columns.remove(0)),
                    _ => {}
                }
                let written = keys(lake, &file_name(&format!("k{at_file}")), &batch(columns));
                deletes.push(at(*sequence, written));
            }
            for (at_file, (sequence, gone)) in self.positions.iter().enumerate() {
                let rows: Vec<(String, i64)> = gone
                    .iter()
                    .map(|(of, at)| (name(*of), *at as i64))
                    .collect();
                let rows: Vec<(&str, i64)> =
                    rows.iter().map(|(of, at)| (of.as_str(), *at)).collect();
                let written = positions(lake, &file_name(&format!("p{at_file}")), &rows);
                deletes.push(at(*sequence, written));
            }
            if let Some((of, gone)) = &self.vector {
                let rows = self
                    .files
                    .get(*of)
                    .map_or(u64::MAX, |(_, rows)| rows.len() as u64);
                let gone: Vec<u64> = gone.iter().copied().filter(|at| *at < rows).collect();
                let gone = gone.as_slice();
                let written = vectors(lake, &file_name("v.puffin"), &[(&name(*of), gone)]);
                deletes.extend(written.into_iter().map(|vector| at(9, vector)));
            }
            table(lake, files, deletes)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_query_sees_exactly_the_rows_that_are_left(model in model(), from in 0_i64..8, limit in 1_usize..30) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let lake = Lake::new();
                let table = model.table(&lake);
                let left = model.left();
                let numbers_of = |rows: &[&(i64, Key)]| rows.iter().map(|row| row.0).collect::<Vec<_>>();
                let all: Vec<&(i64, Key)> = left.iter().collect();
                prop_assert_eq!(numbers(&table, "SELECT v FROM t ORDER BY v").await, numbers_of(&all));
                prop_assert_eq!(table.rows("SELECT count(*) FROM t").await, [left.len().to_string()]);
                let filtered: Vec<_> = left.iter().filter(|row| row.1.0.is_some_and(|k| k >= from)).collect();
                let sql = format!("SELECT v FROM t WHERE k >= {from}");
                prop_assert_eq!(numbers(&table, &format!("{sql} ORDER BY v")).await, numbers_of(&filtered));
                let limited = numbers(&table, &format!("{sql} LIMIT {limit}")).await;
                prop_assert_eq!(limited.len(), filtered.len().min(limit));
                prop_assert!(limited.iter().all(|v| numbers_of(&filtered).contains(v)));
                let words = table.rows("SELECT count(s), count(distinct s) FROM t").await;
                let some = left.iter().filter_map(|row| row.1.1);
                let distinct: std::collections::BTreeSet<u8> = some.clone().collect();
                prop_assert_eq!(words, [format!("{} {}", some.count(), distinct.len())]);
                let top = numbers(&table, "SELECT v FROM t ORDER BY v DESC LIMIT 3").await;
                let mut best = numbers_of(&all);
                best.reverse();
                best.truncate(3);
                prop_assert_eq!(top, best);
                Ok(())
            })?;
        }
    }
}
