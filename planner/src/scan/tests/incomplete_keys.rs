//! Equality delete files that lack a part of their key, or don't say which of their columns is which.

use arrow::array::{ArrayRef, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use landfast_catalog::{DeleteContent, DeleteFile};
use serde_json::{Value, json};

use super::delete_files::keys;
use super::lake::*;
use crate::{ErrorKind, PlannerError};

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

/// Deletes by these field ids, whatever columns there are.
fn keys_of(lake: &Lake, name: &str, ids: &[i32], columns: &RecordBatch) -> DeleteFile {
    let mut delete = keys(lake, &file(name), columns);
    let field_ids = ids.into();
    delete.content = DeleteContent::Equality { field_ids };
    delete
}

/// A table of the columns `k`, which is 1, null and 3, and `v`, which is 1, 2 and 3, and of one more without values.
fn table(lake: &Lake, more: Value, mapping: bool, delete: DeleteFile) -> Table {
    let rows = batch(vec![
        (
            field(1, "k", DataType::Int64),
            longs([Some(1), None, Some(3)]),
        ),
        (field(2, "v", DataType::Int64), longs((1..4).map(Some))),
    ]);
    let columns = vec![column(1, "k", "long"), column(2, "v", "long"), more];
    let mut metadata = v3(metadata(columns, &[]));
    if mapping {
        let names = json!([{"field-id": 1, "names": ["k"]}, {"field-id": 2, "names": ["v"]}]);
        metadata["properties"] = json!({"schema.name-mapping.default": names.to_string()});
    }
    let data = lake.write(&file("f"), &rows, 0, vec![]);
    lake.table_with_deletes(metadata, vec![data], vec![delete])
}

async fn refused(table: &Table) -> String {
    let error = PlannerError::from(table.run("SELECT v FROM t").await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Internal);
    let text = error.to_string();
    assert!(text.contains("data/d.parquet is corrupt"), "{text}");
    text
}

fn more() -> Value {
    column(3, "x", "int")
}

fn only_v(value: i64) -> RecordBatch {
    batch(vec![(field(2, "v", DataType::Int64), longs([Some(value)]))])
}

#[tokio::test]
async fn a_file_that_lacks_a_column_of_its_key_deletes_no_nulls_but_is_refused() {
    let lake = Lake::new();
    for ids in [&[1][..], &[1, 2]] {
        let delete = keys_of(&lake, "d", ids, &only_v(2));
        let text = refused(&table(&lake, more(), false, delete)).await;
        assert!(text.contains("lacks the field of id 1"), "{text}");
    }
    let delete = keys_of(&lake, "d", &[2], &only_v(2));
    let left = table(&lake, more(), false, delete);
    assert_eq!(left.rows("SELECT v FROM t ORDER BY v").await, ["1", "3"]);
}

#[tokio::test]
async fn a_part_of_a_key_that_has_an_initial_default_need_not_be_in_its_file() {
    let lake = Lake::new();
    let mut seven = more();
    seven["initial-default"] = json!(7);
    let delete = keys_of(&lake, "d", &[2, 3], &only_v(2));
    let table = table(&lake, seven, false, delete);
    assert_eq!(table.rows("SELECT v FROM t ORDER BY v").await, ["1", "3"]);
}

#[tokio::test]
async fn a_key_within_a_struct_that_its_file_lacks_is_refused() {
    let lake = Lake::new();
    let fields = vec![column(11, "a", "long"), column(12, "b", "long")];
    let mut outer = column(10, "w", json!({"type": "struct", "fields": fields}));
    let within = |id: i32| {
        let fields = Fields::from(vec![field(id, "a", DataType::Int64)]);
        let array = StructArray::new(fields.clone(), vec![longs([Some(1)])], None);
        let of: (Field, ArrayRef) = (
            field(10, "w", DataType::Struct(fields)),
            std::sync::Arc::new(array),
        );
        batch(vec![of])
    };
    let delete = keys_of(&lake, "d", &[11], &within(12));
    let text = refused(&table(&lake, outer.clone(), false, delete)).await;
    assert!(text.contains("lacks the field of id 11"), "{text}");
    // The default of the struct is none of its fields'.
    for default in [None, Some(json!({}))] {
        if let Some(default) = default {
            outer["initial-default"] = default;
        }
        let delete = keys_of(&lake, "d", &[11], &only_v(2));
        let text = refused(&table(&lake, outer.clone(), false, delete)).await;
        assert!(text.contains("lacks the field of id 10"), "{text}");
    }
}

#[tokio::test]
async fn a_file_without_field_ids_is_read_by_names_and_refused_where_there_are_none() {
    let lake = Lake::new();
    let nameless = |name: &str| {
        let column = Field::new(name, DataType::Int64, true);
        batch(vec![(column, longs([Some(2)]))])
    };
    let delete = keys_of(&lake, "d", &[1], &nameless("v"));
    let text = refused(&table(&lake, more(), false, delete)).await;
    assert!(text.contains("no field ids"), "{text}");
    let delete = keys_of(&lake, "d", &[2], &nameless("v"));
    let by_name = table(&lake, more(), true, delete);
    assert_eq!(by_name.rows("SELECT v FROM t ORDER BY v").await, ["1", "3"]);
    let delete = keys_of(&lake, "d", &[2], &nameless("other"));
    let text = refused(&table(&lake, more(), true, delete)).await;
    assert!(text.contains("lacks the field of id 2"), "{text}");
}
