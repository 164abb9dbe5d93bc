//! Initial defaults: what a column is in files that are older than it.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use serde_json::{Value, json};

use super::lake::*;

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

fn with_default(mut column: Value, default: Value) -> Value {
    column["initial-default"] = default;
    column
}

#[tokio::test]
async fn a_column_that_a_file_lacks_is_its_initial_default_whatever_its_type() {
    let defaults = [
        ("boolean", json!(true), "true"),
        ("int", json!(-5), "-5"),
        ("long", json!(5_000_000_000_i64), "5000000000"),
        ("float", json!(1.5), "1.5"),
        ("double", json!(-2.25), "-2.25"),
        ("decimal(9, 2)", json!("14.20"), "14.20"),
        (
            "decimal(38, 4)",
            json!("-9999999999999999999999999999999999.0001"),
            "-9999999999999999999999999999999999.0001",
        ),
        ("date", json!("2007-12-03"), "2007-12-03"),
        ("time", json!("22:31:08.123456"), "22:31:08.123456"),
        (
            "timestamp",
            json!("2007-12-03T10:15:30.123456"),
            "2007-12-03T10:15:30.123456",
        ),
        (
            "timestamptz",
            json!("2007-12-03T10:15:30.123456+00:00"),
            "2007-12-03T10:15:30.123456Z",
        ),
        ("string", json!("iceberg"), "iceberg"),
        (
            "uuid",
            json!("f79c3e09-677c-4bbd-a479-3f349cb785e7"),
            "f79c3e09677c4bbda4793f349cb785e7",
        ),
        ("fixed[3]", json!("0102ff"), "0102ff"),
        ("binary", json!("0102"), "0102"),
    ];
    let lake = Lake::new();
    let old = batch(vec![(field(1, "id", DataType::Int64), longs([Some(1)]))]);
    let old = lake.write(&file("old"), &old, 0, vec![]);
    let mut columns = vec![column(1, "id", "long")];
    for (id, (of, default, _)) in (2..).zip(&defaults) {
        let mut added = with_default(column(id, &format!("c{id}"), *of), default.clone());
        // A write default is for writers.
        added["write-default"] = Value::Null;
        columns.push(added);
    }
    let table = lake.table(v3(metadata(columns, &[])), vec![old]);
    for (id, (of, _, text)) in (2..).zip(&defaults) {
        assert_eq!(
            table.rows(&format!("SELECT c{id} FROM t")).await,
            [*text],
            "{of}"
        );
        assert_eq!(
            table
                .rows(&format!("SELECT id FROM t WHERE c{id} IS NOT NULL"))
                .await,
            ["1"],
            "{of}"
        );
        assert!(
            table
                .rows(&format!("SELECT id FROM t WHERE c{id} IS NULL"))
                .await
                .is_empty(),
            "{of}"
        );
    }
    assert_eq!(
        table
            .rows("SELECT count(c2), min(c4), max(c12) FROM t")
            .await,
        ["1 5000000000 2007-12-03T10:15:30.123456Z"]
    );
}

#[tokio::test]
async fn filters_on_a_default_keep_old_files_and_prune_new_ones() {
    let lake = Lake::new();
    let old = batch(vec![(field(1, "id", DataType::Int64), longs([Some(1)]))]);
    let old = lake.write(&file("old"), &old, 0, vec![]);
    let columns = vec![
        (field(1, "id", DataType::Int64), longs([Some(2), Some(3)])),
        (field(2, "n", DataType::Int64), longs([Some(9), None])),
    ];
    let new = lake.write(&file("new"), &batch(columns), 0, vec![]);
    let mut added = with_default(column(2, "n", "long"), json!(7));
    added["write-default"] = json!(8);
    let table = lake.table(
        v3(metadata(vec![column(1, "id", "long"), added], &[])),
        vec![old, new],
    );
    assert_eq!(
        table.rows("SELECT id, n FROM t ORDER BY id").await,
        ["1 7", "2 9", "3 ∅"]
    );
    assert_eq!(table.rows("SELECT id FROM t WHERE n = 7").await, ["1"]);
    assert_eq!(table.files_read("SELECT id FROM t WHERE n = 7").await, 1);
    assert!(table.rows("SELECT id FROM t WHERE n = 8").await.is_empty());
    assert_eq!(table.rows("SELECT id FROM t WHERE n > 8").await, ["2"]);
    assert_eq!(
        table
            .rows("SELECT count(n), sum(n), min(n), max(n) FROM t")
            .await,
        ["2 16 7 9"]
    );
    assert_eq!(
        table.rows("SELECT n FROM t ORDER BY n LIMIT 1").await,
        ["7"]
    );
}

#[tokio::test]
async fn a_required_column_with_a_default_is_read_from_files_that_lack_it() {
    let lake = Lake::new();
    let old = batch(vec![(field(1, "id", DataType::Int64), longs([Some(1)]))]);
    let old = lake.write(&file("old"), &old, 0, vec![]);
    let added =
        json!({"id": 2, "name": "n", "required": true, "type": "int", "initial-default": 3});
    let table = lake.table(
        v3(metadata(vec![column(1, "id", "long"), added], &[])),
        vec![old],
    );
    assert_eq!(table.rows("SELECT n FROM t WHERE n = 3").await, ["3"]);
}

#[tokio::test]
async fn fields_added_to_a_struct_have_their_defaults_and_an_absent_struct_is_null() {
    let lake = Lake::new();
    let inner = vec![field(2, "x", DataType::Int32)];
    let whole = arrow::array::StructArray::new(
        inner.clone().into(),
        vec![ints([Some(1), None, Some(3)])],
        Some(vec![true, true, false].into()),
    );
    let old = batch(vec![(
        field(1, "s", DataType::Struct(inner.into())),
        std::sync::Arc::new(whole),
    )]);
    let old = lake.write(&file("old"), &old, 0, vec![]);
    let grown = json!({"type": "struct", "fields": [
        column(2, "x", "int"),
        with_default(column(3, "y", "int"), json!(7)),
        column(4, "z", json!({"type": "struct", "fields": [
            with_default(column(5, "q", "string"), json!("d")),
        ]})),
        with_default(
            column(6, "w", json!({"type": "struct", "fields": [
                with_default(column(7, "q", "string"), json!("e")),
                column(8, "r", "int"),
            ]})),
            json!({}),
        ),
    ]});
    let absent = json!({"type": "struct", "fields": [
        with_default(column(10, "a", "int"), json!(1)),
    ]});
    let filled = json!({"type": "struct", "fields": [
        with_default(column(12, "a", "int"), json!(1)),
    ]});
    let columns = vec![
        column(1, "s", grown),
        column(9, "absent", absent),
        with_default(column(11, "filled", filled), json!({})),
    ];
    let table = lake.table(v3(metadata(columns, &[])), vec![old]);
    assert_eq!(
        table.rows("SELECT s, absent, filled FROM t").await,
        [
            "{x: 1, y: 7, z: , w: {q: e, r: }} ∅ {a: 1}",
            "{x: , y: 7, z: , w: {q: e, r: }} ∅ {a: 1}",
            "∅ ∅ {a: 1}",
        ]
    );
    assert_eq!(
        table.rows("SELECT count(*) FROM t WHERE s['y'] = 7").await,
        ["2"]
    );
    assert_eq!(
        table
            .rows("SELECT count(absent), count(filled), count(*) FROM t WHERE filled['a'] = 1")
            .await,
        ["0 3 3"]
    );
}

#[tokio::test]
async fn defaults_of_lists_and_maps_are_what_the_metadata_says() {
    let lake = Lake::new();
    let old = batch(vec![(
        field(1, "id", DataType::Int64),
        longs([Some(1), Some(2)]),
    )]);
    let old = lake.write(&file("old"), &old, 0, vec![]);
    let list =
        json!({"type": "list", "element-id": 3, "element-required": false, "element": "int"});
    let map = json!({"type": "map", "key-id": 5, "key": "string", "value-id": 6, "value-required": false, "value": "int"});
    let columns = vec![
        column(1, "id", "long"),
        with_default(column(2, "l", list.clone()), json!([1, null])),
        with_default(column(4, "m", map), json!({"keys": ["a"], "values": [1]})),
        with_default(
            column(
                7,
                "empty",
                json!({"type": "list", "element-id": 8, "element-required": false, "element": "int"}),
            ),
            json!([]),
        ),
    ];
    let table = lake.table(v3(metadata(columns, &[])), vec![old]);
    assert_eq!(
        table.rows("SELECT l, m, empty FROM t WHERE id = 2").await,
        ["[1, ] {a: 1} []"]
    );
}

#[tokio::test]
async fn a_default_that_was_written_before_a_promotion_is_promoted() {
    let lake = Lake::new();
    let old = batch(vec![(field(1, "id", DataType::Int64), longs([Some(1)]))]);
    let old = lake.write(&file("old"), &old, 0, vec![]);
    let columns = vec![
        column(1, "id", "long"),
        with_default(column(2, "n", "long"), json!(7)),
        with_default(column(3, "x", "double"), json!(1.5)),
        with_default(column(4, "d", "decimal(20, 2)"), json!("1.50")),
    ];
    let table = lake.table(v3(metadata(columns, &[])), vec![old]);
    assert_eq!(table.rows("SELECT n, x, d FROM t").await, ["7 1.5 1.50"]);
}

#[tokio::test]
async fn a_default_within_the_elements_of_a_list_is_there_for_each() {
    let lake = Lake::new();
    let inner = vec![field(3, "x", DataType::Int32)];
    let values =
        arrow::array::StructArray::new(inner.clone().into(), vec![ints([Some(1), Some(2)])], None);
    let element = std::sync::Arc::new(field(2, "element", DataType::Struct(inner.into())));
    let lists = arrow::array::ListArray::new(
        std::sync::Arc::clone(&element),
        arrow::buffer::OffsetBuffer::from_lengths([2]),
        std::sync::Arc::new(values),
        None,
    );
    let old = batch(vec![(
        field(1, "l", DataType::List(element)),
        std::sync::Arc::new(lists),
    )]);
    let old = lake.write(&file("old"), &old, 0, vec![]);
    let element = json!({"type": "struct", "fields": [
        with_default(column(4, "y", "string"), json!("new")), column(3, "x", "long"),
    ]});
    let list =
        json!({"type": "list", "element-id": 2, "element-required": false, "element": element});
    let table = lake.table(v3(metadata(vec![column(1, "l", list)], &[])), vec![old]);
    let frame = table
        .session()
        .sql("SELECT l[2]['y'] FROM t")
        .await
        .unwrap();
    let batches = frame.collect().await.unwrap();
    assert_eq!(batches[0].column(0).as_string_view().value(0), "new");
    assert_eq!(batches[0].column(0).null_count(), 0);
}
