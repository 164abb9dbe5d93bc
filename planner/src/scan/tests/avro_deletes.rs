//! Delete files in Avro.

use arrow::datatypes::DataType;
use landfast_catalog::{DataFile, DeleteContent, DeleteFile, DeleteFormat};
use landfast_sites::CanonicalUri;
use serde_json::{Value, json};

use super::delete_files::delete_file;
use super::lake::*;
use crate::{ErrorKind, PlannerError};

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}")
}

fn long(n: i64) -> Vec<u8> {
    let mut value = ((n << 1) ^ (n >> 63)) as u64;
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [long(text.len() as i64), text.as_bytes().to_vec()].concat()
}

fn present(value: Option<Vec<u8>>) -> Vec<u8> {
    match value {
        Some(value) => [long(1), value].concat(),
        None => long(0),
    }
}

/// A file of these fields, and of rows that are encoded already, some to a block.
fn avro(fields: &Value, rows: &[Vec<u8>], block_rows: usize) -> Vec<u8> {
    let schema = json!({"type": "record", "name": "table", "fields": fields}).to_string();
    let mut bytes = b"Obj\x01".to_vec();
    bytes.extend([long(1), text("avro.schema"), text(&schema), long(0)].concat());
    bytes.extend([7; 16]);
    for rows in rows.chunks(block_rows) {
        let block = rows.concat();
        bytes.extend([long(rows.len() as i64), long(block.len() as i64), block].concat());
        bytes.extend([7; 16]);
    }
    bytes
}

fn optional(id: i32, name: &str, of: impl Into<Value>) -> Value {
    json!({"name": name, "type": ["null", of.into()], "default": null, "field-id": id})
}

fn path_and_position() -> Value {
    json!([
        {"name": "file_path", "type": "string", "field-id": 2_147_483_546},
        {"name": "pos", "type": "long", "field-id": 2_147_483_545},
        {"name": "row", "type": ["null", {"type": "map", "values": "int"}]}
    ])
}

fn put(lake: &Lake, name: &str, content: DeleteContent, bytes: &[u8]) -> DeleteFile {
    let id = lake.put(&file(name), bytes);
    DeleteFile {
        format: DeleteFormat::Avro,
        ..delete_file(id, content, 1)
    }
}

fn positions(lake: &Lake, rows: &[(&str, i64)]) -> DeleteFile {
    let rows: Vec<Vec<u8>> = rows
        .iter()
        .map(|(path, at)| [text(path), long(*at), long(0)].concat())
        .collect();
    let bytes = avro(&path_and_position(), &rows, 100);
    put(
        lake,
        "p.avro",
        DeleteContent::Positions { of: None },
        &bytes,
    )
}

fn keys(lake: &Lake, ids: &[i32], bytes: &[u8]) -> DeleteFile {
    let field_ids = ids.into();
    put(lake, "k.avro", DeleteContent::Equality { field_ids }, bytes)
}

/// Rows with `n`, `s` and `w`, a struct of `a` and `b`.
fn rows_of(lake: &Lake, rows: i64) -> DataFile {
    let names: Vec<String> = (0..rows).map(|n| format!("text {n}")).collect();
    let columns = vec![
        (
            field(1, "n", DataType::Int32),
            ints((0..rows).map(|n| Some(n as i32))),
        ),
        (
            field(2, "s", DataType::Utf8),
            texts(names.iter().map(|text| Some(text.as_str()))),
        ),
    ];
    lake.write(&file("f.parquet"), &batch(columns), 0, vec![])
}

fn table(lake: &Lake, data: DataFile, deletes: Vec<DeleteFile>) -> Table {
    let columns = vec![column(1, "n", "long"), column(2, "s", "string")];
    lake.table_with_deletes(metadata(columns, &[]), vec![data], deletes)
}

#[tokio::test]
async fn positions_in_avro_of_many_blocks_are_deleted_and_read_once() {
    let lake = Lake::new();
    let uri = file("f.parquet");
    let gone: Vec<(&str, i64)> = (0..20_000)
        .filter(|n| n % 2 == 1)
        .map(|n| (uri.as_str(), n))
        .chain([("gs://lake/elsewhere.parquet", 0)])
        .collect();
    let table = table(&lake, rows_of(&lake, 20_000), vec![positions(&lake, &gone)]);
    let counted = "SELECT count(*), min(n), max(n) FROM t WHERE n >= 0";
    assert_eq!(table.rows(counted).await, ["10000 0 19998"]);
    remove(&lake.path("cloud", &file("p.avro")));
    assert_eq!(
        table.rows(counted).await,
        ["10000 0 19998"],
        "from the cache"
    );
}

#[tokio::test]
async fn keys_in_avro_are_null_where_they_are_and_of_the_type_that_the_column_has_now() {
    let lake = Lake::new();
    // The column became a long; its name in the file means nothing.
    let fields = json!([optional(2, "n", "string"), optional(1, "s", "int")]);
    let row =
        |s: Option<&str>, n: Option<i64>| [present(s.map(text)), present(n.map(long))].concat();
    let rows = [
        row(Some("text 3"), Some(3)),
        row(Some("text 4"), Some(5)),
        row(None, None),
        row(None, Some(6)),
    ];
    let deletes = keys(&lake, &[1, 2], &avro(&fields, &rows, 2));
    let table = table(&lake, rows_of(&lake, 8), vec![deletes]);
    let left = table.rows("SELECT n FROM t ORDER BY n").await;
    assert_eq!(left, ["0", "1", "2", "4", "5", "6", "7"]);
}

#[tokio::test]
async fn keys_within_records_are_null_where_the_record_is() {
    let lake = Lake::new();
    let inner = json!({"type": "record", "name": "inner", "fields": [
        {"name": "list", "type": {"type": "array", "items": "long"}}, optional(12, "b", "long")]});
    let fields = json!([optional(10, "w", inner)]);
    let there = |b: Option<i64>| [long(1), long(0), present(b.map(long))].concat();
    let bytes = avro(&fields, &[there(Some(7)), there(None)], 1);
    let only_null = avro(&fields, &[long(0)], 1);

    let nested = |values: &[Option<i64>]| {
        let child = std::sync::Arc::new(field(12, "b", DataType::Int64));
        let of = DataType::Struct(vec![child].into());
        let DataType::Struct(fields) = of.clone() else {
            unreachable!()
        };
        let array =
            arrow::array::StructArray::new(fields, vec![longs(values.iter().copied())], None);
        batch(vec![(field(10, "w", of), std::sync::Arc::new(array) as _)])
    };
    let columns = metadata(
        vec![column(
            10,
            "w",
            json!({"type": "struct", "fields": [
                {"id": 12, "name": "b", "required": false, "type": "long"}]}),
        )],
        &[],
    );
    for (bytes, left) in [(bytes, "1"), (only_null, "2")] {
        let data = lake.write(
            &file("w.parquet"),
            &nested(&[Some(7), None, Some(8)]),
            0,
            vec![],
        );
        let deletes = keys(&lake, &[12], &bytes);
        let table = lake.table_with_deletes(columns.clone(), vec![data], vec![deletes]);
        assert_eq!(
            table.rows("SELECT count(*) FROM t WHERE true").await,
            [left]
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_delete_file_in_avro_is_said_and_names_it() {
    let lake = Lake::new();
    let refused = async |delete: DeleteFile| {
        let table = table(&lake, rows_of(&lake, 10), vec![delete]);
        let error = PlannerError::from(table.run("SELECT * FROM t").await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Internal);
        let text = error.to_string();
        assert!(text.contains(".avro"), "{text}");
        text
    };
    let one = || positions(&lake, &[("a", 3)]);
    assert!(one().id.uri == CanonicalUri::new(file("p.avro")));
    let of = DeleteContent::Positions { of: None };
    let cut = |by: usize| {
        let good = std::fs::read(lake.path("cloud", &file("p.avro"))).unwrap();
        good[..good.len() - by].to_vec()
    };
    let text = refused(put(&lake, "cut.avro", of.clone(), &cut(20))).await;
    assert!(text.contains("ends within"), "{text}");
    let text = refused(put(&lake, "none.avro", of.clone(), b"PAR1")).await;
    assert!(text.contains("no Avro file"), "{text}");
    let text = refused(positions(&lake, &[("a", -1)])).await;
    assert!(text.contains("position -1"), "{text}");
    let number = json!([{"name": "file_path", "type": "long", "field-id": 2_147_483_546},
        {"name": "pos", "type": "long", "field-id": 2_147_483_545}]);
    let bytes = avro(&number, &[[long(1), long(1)].concat()], 1);
    let text = refused(put(&lake, "typed.avro", of, &bytes)).await;
    assert!(text.contains("Int64"), "{text}");
    let nameless = avro(&json!([{"name": "n", "type": "int"}]), &[long(1)], 1);
    let text = refused(keys(&lake, &[1], &nameless)).await;
    assert!(text.contains("no field ids"), "{text}");
    let other = avro(&json!([optional(2, "s", "string")]), &[long(0)], 1);
    let text = refused(keys(&lake, &[1], &other)).await;
    assert!(text.contains("lacks the field of id 1"), "{text}");
    let listed = json!([optional(1, "n", json!({"type": "array", "items": "int"}))]);
    let text = refused(keys(&lake, &[1], &avro(&listed, &[long(0)], 1))).await;
    assert!(text.contains("'0'"), "{text}");
}

/// Keys of `n` and of `a` within `w`, beside which a fixed field lies that is null and that nobody asks for.
fn beside_a_fixed(lake: &Lake, length: u32, rows: i64) -> Table {
    let data = rows_of(lake, 10);
    let fixed = json!({"type": "fixed", "name": "wide", "size": length});
    let inner = json!({"type": "record", "name": "w", "fields": [
        optional(4, "a", "int"), optional(5, "b", fixed),
    ]});
    let fields = json!([optional(3, "w", inner), optional(1, "n", "int")]);
    let row = |n: i64| {
        let within = [present(Some(long(n))), present(None)].concat();
        [present(Some(within)), present(Some(long(n)))].concat()
    };
    let rows: Vec<Vec<u8>> = (0..rows).map(row).collect();
    let deletes = vec![keys(lake, &[1, 4], &avro(&fields, &rows, 100))];
    let within = json!({"type": "struct", "fields": [column(4, "a", "int")]});
    let columns = vec![
        column(1, "n", "long"),
        column(2, "s", "string"),
        column(3, "w", within),
    ];
    lake.table_with_deletes(metadata(columns, &[]), vec![data], deletes)
}

#[tokio::test]
async fn a_fixed_field_of_a_gigabyte_is_refused_before_any_row_is_read() {
    let lake = Lake::new();
    let table = beside_a_fixed(&lake, 1 << 30, 2);
    let error = table.error("select n from t").await;
    assert!(
        error.contains("fixed fields of 1073741824 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn wide_fixed_fields_are_read_in_batches_of_few_rows() {
    let lake = Lake::new();
    let table = beside_a_fixed(&lake, 1 << 20, 200);
    // No row of the file has a `w`, so none has a deleted key.
    let rows = table.rows("select n from t order by n limit 2").await;
    assert_eq!(rows, ["0", "1"]);
}
