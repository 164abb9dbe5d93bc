//! Nested columns by field id.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use serde_json::json;

use super::lake::*;

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

fn structs(fields: Vec<Field>, columns: Vec<ArrayRef>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(StructArray::new(Fields::from(fields), columns, nulls))
}

#[tokio::test]
async fn renamed_moved_dropped_and_added_fields_of_a_struct_read_by_id() {
    let lake = Lake::new();
    let fields = vec![
        field(2, "x", DataType::Int32),
        field(3, "y", DataType::Utf8),
        field(4, "gone", DataType::Int32),
    ];
    let columns = vec![
        ints([Some(1), None, Some(3)]),
        texts([Some("a"), None, Some("c")]),
        ints([Some(0), None, Some(0)]),
    ];
    let nulls = Some(NullBuffer::from(vec![true, false, true]));
    let whole = structs(fields.clone(), columns, nulls);
    let old = batch(vec![(
        field(1, "s", DataType::Struct(fields.into())),
        whole,
    )]);
    let old = lake.write(&file("old"), &old, 0, vec![]);
    // x became y and a long, y became z, gone is gone and came back as another, and all are in another order.
    let now = json!({"type": "struct", "fields": [
        column(3, "z", "string"), column(2, "y", "long"), column(5, "gone", "int"),
    ]});
    let table = lake.table(metadata(vec![column(1, "s", now)], &[]), vec![old]);
    let rows = table
        .rows("SELECT s['z'], s['y'], s['gone'], s IS NULL FROM t ORDER BY s['y'] NULLS LAST")
        .await;
    assert_eq!(rows, ["a 1 ∅ false", "c 3 ∅ false", "∅ ∅ ∅ true"]);
    assert_eq!(
        table.rows("SELECT s['z'] FROM t WHERE s['y'] > 2").await,
        ["c"]
    );
    assert_eq!(
        table.rows("SELECT s FROM t WHERE s['y'] = 1").await,
        ["{z: a, y: 1, gone: }"]
    );
}

#[tokio::test]
async fn lists_and_maps_of_structs_read_by_id() {
    let lake = Lake::new();
    let inner = vec![field(3, "old", DataType::Int32)];
    let element = field(2, "element", DataType::Struct(inner.clone().into()));
    let values = structs(inner.clone(), vec![ints([Some(1), Some(2), Some(3)])], None);
    let offsets = OffsetBuffer::from_lengths([2, 0, 1]);
    let list = ListArray::new(
        Arc::new(element.clone()),
        offsets,
        values,
        Some(vec![true, false, true].into()),
    );
    let list_field = field(1, "l", DataType::List(Arc::new(element)));

    let entry = vec![
        field(5, "key", DataType::Utf8).with_nullable(false),
        field(
            6,
            "value",
            DataType::Struct(vec![field(7, "old", DataType::Int32)].into()),
        ),
    ];
    let values = structs(
        vec![field(7, "old", DataType::Int32)],
        vec![ints([Some(10), Some(20), Some(30)])],
        None,
    );
    let entries = StructArray::new(
        entry.clone().into(),
        vec![texts([Some("a"), Some("b"), Some("c")]), values],
        None,
    );
    let entries_field = Arc::new(Field::new(
        "key_value",
        DataType::Struct(entry.into()),
        false,
    ));
    let map = MapArray::new(
        Arc::clone(&entries_field),
        OffsetBuffer::from_lengths([1, 1, 1]),
        entries,
        None,
        false,
    );
    let map_field = field(4, "m", DataType::Map(entries_field, false));

    let old = batch(vec![
        (list_field, Arc::new(list) as ArrayRef),
        (map_field, Arc::new(map) as ArrayRef),
    ]);
    let old = lake.write(&file("old"), &old, 0, vec![]);
    let element =
        json!({"type": "struct", "fields": [column(8, "added", "int"), column(3, "now", "long")]});
    let list =
        json!({"type": "list", "element-id": 2, "element-required": false, "element": element});
    let value = json!({"type": "struct", "fields": [column(7, "now", "int")]});
    let map = json!({"type": "map", "key-id": 5, "key": "string", "value-id": 6, "value-required": false, "value": value});
    let table = lake.table(
        metadata(vec![column(1, "l", list), column(4, "m", map)], &[]),
        vec![old],
    );
    let rows = table.rows("SELECT l, m FROM t").await;
    assert_eq!(
        rows,
        [
            "[{added: , now: 1}, {added: , now: 2}] {a: {now: 10}}",
            "∅ {b: {now: 20}}",
            "[{added: , now: 3}] {c: {now: 30}}",
        ]
    );
    assert_eq!(
        table
            .rows("SELECT l[1]['now'] FROM t WHERE l[1]['now'] = 3")
            .await,
        ["3"]
    );
}

#[tokio::test]
async fn nested_columns_as_they_were_written_need_no_conversion() {
    let lake = Lake::new();
    let fields = vec![
        field(2, "x", DataType::Int32),
        field(3, "y", DataType::Utf8),
    ];
    let whole = structs(
        fields.clone(),
        vec![ints([Some(1)]), texts([Some("a")])],
        None,
    );
    let file = lake.write(
        &file("same"),
        &batch(vec![(
            field(1, "s", DataType::Struct(fields.into())),
            whole,
        )]),
        0,
        vec![],
    );
    let now =
        json!({"type": "struct", "fields": [column(2, "x", "int"), column(3, "y", "string")]});
    let table = lake.table(metadata(vec![column(1, "s", now)], &[]), vec![file]);
    assert_eq!(
        table.rows("SELECT s['y'], s FROM t WHERE s['x'] = 1").await,
        ["a {x: 1, y: a}"]
    );
}

#[tokio::test]
async fn a_name_mapping_reaches_into_nested_columns() {
    let lake = Lake::new();
    let fields = vec![
        Field::new("x", DataType::Int32, true),
        Field::new("y", DataType::Utf8, true),
    ];
    let whole = structs(
        fields.clone(),
        vec![ints([Some(1)]), texts([Some("a")])],
        None,
    );
    let imported = batch(vec![(
        Field::new("S", DataType::Struct(fields.into()), true),
        whole,
    )]);
    let imported = lake.write(&file("imported"), &imported, 0, vec![]);
    let now =
        json!({"type": "struct", "fields": [column(3, "x", "string"), column(2, "y", "int")]});
    let mut metadata = metadata(vec![column(1, "s", now)], &[]);
    let mapping = r#"[{"field-id": 1, "names": ["S"], "fields": [
        {"field-id": 2, "names": ["x"]}, {"field-id": 3, "names": ["y"]}]}]"#;
    metadata["properties"] = json!({"schema.name-mapping.default": mapping});
    let table = lake.table(metadata, vec![imported]);
    assert_eq!(table.rows("SELECT s FROM t").await, ["{x: a, y: 1}"]);
}
