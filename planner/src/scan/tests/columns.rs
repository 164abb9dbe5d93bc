//! Columns by field id.

use serde_json::json;

use super::lake::*;
use arrow::datatypes::DataType;
use iceberg::spec::Datum;

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

#[tokio::test]
async fn a_renamed_column_reads_what_it_was_written_as() {
    let lake = Lake::new();
    let old = lake.write(
        &file("old"),
        &batch(vec![(
            field(1, "before", DataType::Int64),
            longs([Some(7)]),
        )]),
        0,
        vec![],
    );
    let table = lake.table(metadata(vec![column(1, "after", "long")], &[]), vec![old]);
    assert_eq!(
        table.rows("SELECT after FROM t WHERE after = 7").await,
        ["7"]
    );
}

#[tokio::test]
async fn swapped_names_read_the_columns_that_the_ids_say() {
    let lake = Lake::new();
    let columns = vec![
        (field(1, "a", DataType::Int64), longs([Some(1), Some(2)])),
        (field(2, "b", DataType::Int64), longs([Some(10), Some(20)])),
    ];
    let old = lake.write(&file("old"), &batch(columns), 0, vec![]);
    let table = lake.table(
        metadata(vec![column(2, "a", "long"), column(1, "b", "long")], &[]),
        vec![old],
    );
    assert_eq!(
        table.rows("SELECT a, b FROM t ORDER BY a").await,
        ["10 1", "20 2"]
    );
    assert_eq!(table.rows("SELECT a FROM t WHERE b = 2").await, ["20"]);
    assert_eq!(table.rows("SELECT b FROM t WHERE a > 15").await, ["2"]);
}

#[tokio::test]
async fn swapped_names_of_text_and_binary_columns_read_by_id() {
    let lake = Lake::new();
    let bytes: arrow::array::ArrayRef =
        std::sync::Arc::new(arrow::array::BinaryArray::from_iter_values([&[
            0xff_u8, 0xfe,
        ][..]]));
    let columns = vec![
        (field(1, "a", DataType::Binary), bytes),
        (field(2, "b", DataType::Utf8), texts([Some("x")])),
    ];
    let old = lake.write(&file("old"), &batch(columns), 0, vec![]);
    let table = lake.table(
        metadata(
            vec![column(2, "a", "string"), column(1, "b", "binary")],
            &[],
        ),
        vec![old],
    );
    assert_eq!(table.rows("SELECT a, b FROM t").await, ["x fffe"]);
    assert_eq!(table.rows("SELECT a FROM t WHERE b = X'fffe'").await, ["x"]);
}

#[tokio::test]
async fn a_column_dropped_and_added_again_does_not_read_the_old_one() {
    let lake = Lake::new();
    let columns = vec![
        (field(1, "id", DataType::Int64), longs([Some(1)])),
        (field(2, "price", DataType::Int64), longs([Some(99)])),
    ];
    let old = lake.write(&file("old"), &batch(columns), 0, vec![]);
    let columns = vec![
        (field(1, "id", DataType::Int64), longs([Some(2)])),
        (field(3, "price", DataType::Int64), longs([Some(5)])),
    ];
    let new = lake.write(&file("new"), &batch(columns), 0, vec![]);
    let table = lake.table(
        metadata(
            vec![column(1, "id", "long"), column(3, "price", "long")],
            &[],
        ),
        vec![old, new],
    );
    assert_eq!(
        table.rows("SELECT id, price FROM t ORDER BY id").await,
        ["1 ∅", "2 5"]
    );
    assert_eq!(
        table.rows("SELECT count(*) FROM t WHERE price = 99").await,
        ["0"]
    );
    assert_eq!(
        table.rows("SELECT id FROM t WHERE price IS NULL").await,
        ["1"]
    );
    assert_eq!(
        table.rows("SELECT max(price), count(price) FROM t").await,
        ["5 1"]
    );
}

#[tokio::test]
async fn a_column_added_without_a_write_is_there_and_null() {
    let lake = Lake::new();
    let old = lake.write(
        &file("old"),
        &batch(vec![(field(1, "id", DataType::Int64), longs([Some(1)]))]),
        0,
        vec![],
    );
    let table = lake.table(
        metadata(
            vec![column(1, "id", "long"), column(2, "added", "string")],
            &[],
        ),
        vec![old],
    );
    assert_eq!(table.rows("SELECT * FROM t").await, ["1 ∅"]);
    assert_eq!(
        table.rows("SELECT count(added), count(*) FROM t").await,
        ["0 1"]
    );
    assert_eq!(
        table.rows("SELECT id FROM t WHERE added IS NULL").await,
        ["1"]
    );
}

#[tokio::test]
async fn a_required_column_that_a_file_lacks_is_an_error_for_whom_it_concerns() {
    let lake = Lake::new();
    let old = lake.write(
        &file("old"),
        &batch(vec![(field(1, "id", DataType::Int64), longs([Some(1)]))]),
        0,
        vec![],
    );
    let required = json!({"id": 2, "name": "needed", "required": true, "type": "long"});
    let table = lake.table(
        metadata(vec![column(1, "id", "long"), required], &[]),
        vec![old],
    );
    assert_eq!(table.rows("SELECT id FROM t").await, ["1"]);
    let error = table.error("SELECT needed FROM t").await;
    assert!(
        error.contains("'needed'") && error.contains("old.parquet"),
        "{error}"
    );
}

#[tokio::test]
async fn reordered_columns_of_old_and_new_files_come_out_alike() {
    let lake = Lake::new();
    let a = (field(1, "a", DataType::Int64), longs([Some(1)]));
    let b = (field(2, "b", DataType::Utf8), texts([Some("one")]));
    let old = lake.write(&file("old"), &batch(vec![a, b]), 0, vec![]);
    let b = (field(2, "b", DataType::Utf8), texts([Some("two")]));
    let a = (field(1, "a", DataType::Int64), longs([Some(2)]));
    let new = lake.write(&file("new"), &batch(vec![b, a]), 0, vec![]);
    let table = lake.table(
        metadata(vec![column(2, "b", "string"), column(1, "a", "long")], &[]),
        vec![old, new],
    );
    assert_eq!(
        table.rows("SELECT * FROM t ORDER BY a").await,
        ["one 1", "two 2"]
    );
}

#[tokio::test]
async fn a_promoted_column_is_compared_in_its_new_type() {
    let lake = Lake::new();
    let old = batch(vec![(
        field(1, "n", DataType::Int32),
        ints((0..3000).map(Some)),
    )]);
    let old = lake.write(&file("old"), &old, 0, vec![]);
    let new = batch(vec![(
        field(1, "n", DataType::Int64),
        longs([Some(3_000_000_000), None]),
    )]);
    let new = lake.write(&file("new"), &new, 0, vec![]);
    let table = lake.table(metadata(vec![column(1, "n", "long")], &[]), vec![old, new]);
    assert_eq!(
        table.rows("SELECT count(*) FROM t WHERE n >= 2990").await,
        ["11"]
    );
    assert_eq!(
        table
            .rows("SELECT count(*) FROM t WHERE n < 3000000000")
            .await,
        ["3000"]
    );
    assert_eq!(
        table
            .rows("SELECT n FROM t WHERE n > 2998 ORDER BY n")
            .await,
        ["2999", "3000000000"]
    );
    assert_eq!(
        table
            .rows("SELECT min(n), max(n), count(n), count(*) FROM t")
            .await,
        ["0 3000000000 3001 3002"]
    );
    assert_eq!(table.files_read("SELECT n FROM t WHERE n > 5000").await, 1);
}

fn plain(name: &str, of: DataType) -> arrow::datatypes::Field {
    arrow::datatypes::Field::new(name, of, true)
}

#[tokio::test]
async fn a_file_without_field_ids_is_read_by_name_where_the_table_maps_names() {
    let lake = Lake::new();
    let imported = batch(vec![
        (plain("Old Name", DataType::Int64), longs([Some(4)])),
        (plain("stray", DataType::Int64), longs([Some(0)])),
    ]);
    let imported = lake.write(&file("imported"), &imported, 0, vec![]);
    let columns = vec![column(1, "id", "long"), column(2, "stray", "long")];
    let mut mapped = metadata(columns, &[]);
    mapped["properties"] =
        json!({"schema.name-mapping.default": r#"[{"field-id": 1, "names": ["id", "Old Name"]}]"#});
    let table = lake.table(mapped, vec![imported]);
    assert_eq!(
        table.rows("SELECT id, stray FROM t WHERE id = 4").await,
        ["4 ∅"]
    );
}

#[tokio::test]
async fn a_file_without_field_ids_is_read_by_position_where_the_table_maps_no_names() {
    let lake = Lake::new();
    // Two columns swapped their names since, one was added, and the file has one that the table dropped.
    let imported = batch(vec![
        (plain("a", DataType::Int32), ints([Some(4)])),
        (plain("b", DataType::Utf8), texts([Some("x")])),
        (plain("gone", DataType::Utf8), texts([Some("y")])),
    ]);
    let imported = lake.write(&file("imported"), &imported, 0, vec![]);
    let columns = vec![
        column(2, "a", "string"),
        column(1, "b", "long"),
        column(4, "gone", "string"),
    ];
    let table = lake.table(metadata(columns, &[]), vec![imported]);
    assert_eq!(
        table.rows("SELECT a, b, gone FROM t WHERE b = 4").await,
        ["x 4 ∅"]
    );
    assert_eq!(
        table
            .rows("SELECT b FROM t WHERE a = 'x' AND gone IS NULL")
            .await,
        ["4"]
    );
}

#[tokio::test]
async fn a_file_that_has_an_id_anywhere_is_taken_at_its_word() {
    let lake = Lake::new();
    let partly = batch(vec![
        (plain("id", DataType::Int64), longs([Some(4)])),
        (field(2, "n", DataType::Int64), longs([Some(5)])),
    ]);
    let partly = lake.write(&file("partly"), &partly, 0, vec![]);
    let columns = vec![column(1, "id", "long"), column(2, "n", "long")];
    let mut mapped = metadata(columns.clone(), &[]);
    mapped["properties"] =
        json!({"schema.name-mapping.default": r#"[{"field-id": 1, "names": ["id"]}]"#});
    for metadata in [mapped, metadata(columns, &[])] {
        let table = lake.table(metadata, vec![partly.clone()]);
        assert_eq!(table.rows("SELECT id, n FROM t").await, ["∅ 5"]);
    }
}

#[tokio::test]
async fn a_column_without_ids_is_its_partitions_value_before_its_name_is_looked_at() {
    let lake = Lake::new();
    let imported = batch(vec![
        (plain("id", DataType::Int64), longs([Some(4)])),
        (
            plain("region", DataType::Utf8),
            texts([Some("as the file has it")]),
        ),
    ]);
    let imported = lake.write(
        &file("imported"),
        &imported,
        0,
        vec![value(Datum::string("north"))],
    );
    let columns = vec![column(1, "id", "long"), column(2, "region", "string")];
    let mut mapped = metadata(columns.clone(), &[&[(2, "region", "identity")]]);
    mapped["properties"] = json!({"schema.name-mapping.default":
        r#"[{"field-id": 1, "names": ["id"]}, {"field-id": 2, "names": ["region"]}]"#});
    let unmapped = metadata(columns, &[&[(2, "region", "identity")]]);
    for metadata in [mapped, unmapped] {
        let table = lake.table(metadata, vec![imported.clone()]);
        assert_eq!(table.rows("SELECT id, region FROM t").await, ["4 north"]);
        assert_eq!(
            table.rows("SELECT id FROM t WHERE region = 'north'").await,
            ["4"]
        );
    }
}

#[tokio::test]
async fn identity_partitions_of_every_type_are_constants_where_the_file_lacks_the_column() {
    let of = [
        ("boolean", Datum::bool(true), "true"),
        ("int", Datum::int(-3), "-3"),
        ("long", Datum::long(3), "3"),
        ("float", Datum::float(1.5), "1.5"),
        ("double", Datum::double(-2.5), "-2.5"),
        (
            "decimal(9, 2)",
            Datum::decimal_from_str("12.34").unwrap(),
            "12.34",
        ),
        ("date", Datum::date(1), "1970-01-02"),
        ("time", Datum::time_micros(1).unwrap(), "00:00:00.000001"),
        (
            "timestamp",
            Datum::timestamp_micros(1),
            "1970-01-01T00:00:00.000001",
        ),
        (
            "timestamptz",
            Datum::timestamptz_micros(1),
            "1970-01-01T00:00:00.000001Z",
        ),
        (
            "timestamp_ns",
            Datum::timestamp_nanos(1),
            "1970-01-01T00:00:00.000000001",
        ),
        (
            "timestamptz_ns",
            Datum::timestamptz_nanos(1),
            "1970-01-01T00:00:00.000000001Z",
        ),
        ("string", Datum::string("a b"), "a b"),
        (
            "uuid",
            Datum::uuid_from_str("f79c3e09-677c-4bbd-a479-3f349cb785e7").unwrap(),
            "f79c3e09677c4bbda4793f349cb785e7",
        ),
        ("fixed[2]", Datum::fixed([1, 2]), "0102"),
        ("binary", Datum::binary([1]), "01"),
    ];
    for (of, part, text) in of {
        let lake = Lake::new();
        let rows = |id| batch(vec![(field(1, "id", DataType::Int64), longs([Some(id)]))]);
        let some = lake.write(&file("some"), &rows(1), 0, vec![value(part)]);
        let none = lake.write(&file("none"), &rows(2), 0, vec![None]);
        let columns = vec![column(1, "id", "long"), column(2, "p", of)];
        let table = lake.table(
            v3(metadata(columns, &[&[(2, "p", "identity")]])),
            vec![some, none],
        );
        assert_eq!(
            table.rows("SELECT p, id FROM t ORDER BY id").await,
            [format!("{text} 1"), "∅ 2".to_owned()],
            "{of}"
        );
        assert_eq!(
            table.rows("SELECT id FROM t WHERE p IS NULL").await,
            ["2"],
            "{of}"
        );
        assert_eq!(
            table.rows("SELECT count(p), count(*) FROM t").await,
            ["1 2"],
            "{of}"
        );
    }
}

#[tokio::test]
async fn a_partition_value_from_before_a_promotion_is_promoted() {
    let lake = Lake::new();
    let rows = batch(vec![(field(1, "id", DataType::Int64), longs([Some(1)]))]);
    let old = lake.write(&file("old"), &rows, 0, vec![value(Datum::int(7))]);
    let columns = vec![column(1, "id", "long"), column(2, "p", "long")];
    let table = lake.table(metadata(columns, &[&[(2, "p", "identity")]]), vec![old]);
    assert_eq!(table.rows("SELECT p FROM t WHERE p = 7").await, ["7"]);
}

#[tokio::test]
async fn a_type_that_is_no_promotion_is_refused() {
    let lake = Lake::new();
    let old = lake.write(
        &file("old"),
        &batch(vec![(field(1, "a", DataType::Utf8), texts([Some("1")]))]),
        0,
        vec![],
    );
    let table = lake.table(metadata(vec![column(1, "a", "long")], &[]), vec![old]);
    let error = table.error("SELECT a FROM t").await;
    assert!(
        error.contains("'a'") && error.contains("old.parquet"),
        "{error}"
    );
}

#[tokio::test]
async fn an_identity_partition_column_that_the_file_lacks_is_its_partition_value() {
    let lake = Lake::new();
    let rows = |id| batch(vec![(field(1, "id", DataType::Int64), longs([Some(id)]))]);
    let north = lake.write(
        &file("north"),
        &rows(1),
        0,
        vec![value(Datum::string("north"))],
    );
    let none = lake.write(&file("none"), &rows(2), 0, vec![None]);
    let columns = vec![column(1, "id", "long"), column(2, "region", "string")];
    let table = lake.table(
        metadata(columns, &[&[(2, "region", "identity")]]),
        vec![north, none],
    );
    assert_eq!(
        table.rows("SELECT id, region FROM t ORDER BY id").await,
        ["1 north", "2 ∅"]
    );
    assert_eq!(
        table.rows("SELECT id FROM t WHERE region = 'north'").await,
        ["1"]
    );
    assert_eq!(
        table.rows("SELECT id FROM t WHERE region IS NULL").await,
        ["2"]
    );
    assert_eq!(
        table
            .rows("SELECT region, count(*) FROM t GROUP BY region ORDER BY region NULLS LAST")
            .await,
        ["north 1", "∅ 1"]
    );
    assert_eq!(
        table
            .files_read("SELECT id FROM t WHERE region = 'north'")
            .await,
        1
    );
}

#[tokio::test]
async fn only_the_types_that_iceberg_has_come_out_with_ids_and_nothing_else_in_their_metadata() {
    let nested = json!({"type": "struct", "fields": [column(3, "x", "int")]});
    let list =
        json!({"type": "list", "element-id": 5, "element-required": false, "element": "string"});
    let map = json!({"type": "map", "key-id": 7, "key": "string", "value-id": 8, "value-required": false, "value": "uuid"});
    let primitives = [
        "boolean",
        "int",
        "long",
        "float",
        "double",
        "date",
        "time",
        "timestamp",
        "timestamptz",
        "string",
        "uuid",
        "binary",
        "fixed[3]",
        "decimal(38, 4)",
    ];
    let mut columns = vec![
        column(2, "s", nested),
        column(4, "l", list),
        column(6, "m", map),
    ];
    columns.extend(
        primitives
            .iter()
            .enumerate()
            .map(|(at, of)| column(20 + at as i32, of, *of)),
    );
    let metadata: iceberg::spec::TableMetadata =
        serde_json::from_value(metadata(columns, &[])).unwrap();
    let schema = crate::types::arrow_schema(metadata.current_schema()).unwrap();
    insta::assert_snapshot!(
        schema
            .fields()
            .iter()
            .map(|field| format!("{field:?}\n"))
            .collect::<String>()
    );
}
