//! Columns whose files have another type than the table: promoted since, or written in another unit.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, MapArray, RecordBatch, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, TimeUnit};
use arrow::util::pretty::pretty_format_columns;
use datafusion::common::ScalarValue;
use datafusion::prelude::{col, lit};
use serde_json::{Value, json};

use super::lake::*;
use crate::types::arrow_schema;

fn file(name: &str) -> String {
    format!("{ROOT}/data/{name}.parquet")
}

/// A type in a file, and what the table says of the column.
struct Case {
    file: DataType,
    table: Value,
    /// The numbers that the file's values are made of.
    numbers: Vec<Option<i64>>,
}

/// Numbers on both sides of zero, in order, with a null, over several row groups.
fn numbers(step: i64, offset: i64) -> Vec<Option<i64>> {
    let numbers = (-1500..1500).map(|n| Some(n * step + offset));
    numbers.chain([None]).collect()
}

fn cases() -> Vec<Case> {
    let case = |file: DataType, table: &str, numbers: Vec<Option<i64>>| Case {
        file,
        table: json!(table),
        numbers,
    };
    let stamp = |unit, zone: Option<&str>| DataType::Timestamp(unit, zone.map(Into::into));
    let positive = |step: i64| (0..2500_i64).map(|n| Some(n * step)).collect::<Vec<_>>();
    vec![
        case(DataType::Int32, "long", numbers(1, 0)),
        case(DataType::Float32, "double", numbers(1, 0)),
        case(DataType::Decimal128(7, 2), "decimal(9, 2)", numbers(3, 1)),
        case(DataType::Decimal128(7, 2), "decimal(38, 2)", numbers(3, 1)),
        case(
            DataType::Decimal128(18, 4),
            "decimal(20, 4)",
            numbers(1_000_000_007, 0),
        ),
        case(
            DataType::Decimal128(25, 0),
            "decimal(38, 0)",
            numbers(1_000_000_007, 0),
        ),
        // A writer that declares more digits than the table has.
        case(DataType::Decimal128(38, 2), "decimal(9, 2)", numbers(3, 1)),
        case(DataType::Date32, "timestamp", numbers(1, 0)),
        case(DataType::Date32, "timestamp_ns", numbers(1, 0)),
        case(DataType::Int8, "int", (-100..100).map(Some).collect()),
        case(DataType::UInt16, "int", positive(20)),
        case(DataType::UInt32, "long", positive(1_700_000)),
        case(
            stamp(TimeUnit::Millisecond, None),
            "timestamp",
            numbers(1, 0),
        ),
        case(
            stamp(TimeUnit::Millisecond, Some("UTC")),
            "timestamptz",
            numbers(7, 0),
        ),
        case(
            stamp(TimeUnit::Nanosecond, None),
            "timestamp",
            numbers(401, 13),
        ),
        case(
            stamp(TimeUnit::Nanosecond, Some("UTC")),
            "timestamptz",
            numbers(401, 13),
        ),
        case(
            stamp(TimeUnit::Nanosecond, None),
            "timestamp_ns",
            numbers(401, 13),
        ),
        case(
            stamp(TimeUnit::Microsecond, Some("UTC")),
            "timestamptz_ns",
            numbers(401, 13),
        ),
        // The zone is the column's to say, not the file's.
        case(
            stamp(TimeUnit::Microsecond, None),
            "timestamptz",
            numbers(401, 13),
        ),
        case(
            stamp(TimeUnit::Microsecond, Some("UTC")),
            "timestamp",
            numbers(401, 13),
        ),
        case(
            DataType::Time32(TimeUnit::Millisecond),
            "time",
            positive(30_000),
        ),
        case(
            DataType::Time64(TimeUnit::Nanosecond),
            "time",
            positive(1_234_567),
        ),
        case(DataType::Float16, "float", (-500..500).map(Some).collect()),
    ]
}

/// Numbers as values of a type: decimals and times by what they count.
fn values(numbers: &[Option<i64>], of: &DataType) -> ArrayRef {
    let numbers: Int64Array = numbers.iter().copied().collect();
    match of {
        DataType::Decimal128(digits, places) => {
            let unscaled = cast(&numbers, &DataType::Decimal128(38, 0)).unwrap();
            let unscaled = unscaled
                .as_primitive::<arrow::datatypes::Decimal128Type>()
                .clone();
            Arc::new(unscaled.with_precision_and_scale(*digits, *places).unwrap())
        }
        DataType::Int32 | DataType::Date32 | DataType::Time32(_) => {
            cast(&cast(&numbers, &DataType::Int32).unwrap(), of).unwrap()
        }
        of => cast(&numbers, of).unwrap(),
    }
}

/// What the table should say that these values are: arrow's cast, and downwards where a unit is coarser.
fn expected(values: &ArrayRef, of: &DataType) -> ArrayRef {
    use DataType::{Time64, Timestamp};
    match (values.data_type(), of) {
        (Timestamp(TimeUnit::Nanosecond, _), Timestamp(TimeUnit::Microsecond, _))
        | (Time64(TimeUnit::Nanosecond), Time64(TimeUnit::Microsecond)) => {
            let counted = cast(values, &DataType::Int64).unwrap();
            let micros: Int64Array = counted
                .as_primitive::<Int64Type>()
                .unary(|n| n.div_euclid(1000));
            cast(&micros, of).unwrap()
        }
        _ => cast(values, of).unwrap(),
    }
}

fn schema_of(columns: &[Value]) -> arrow::datatypes::SchemaRef {
    let metadata: iceberg::spec::TableMetadata =
        serde_json::from_value(v3(metadata(columns.to_vec(), &[]))).unwrap();
    arrow_schema(metadata.current_schema()).unwrap()
}

#[tokio::test]
async fn every_promotion_is_read_and_compared_in_the_tables_type() {
    for (at, case) in cases().into_iter().enumerate() {
        let lake = Lake::new();
        let columns = vec![column(1, "c", case.table.clone())];
        let schema = schema_of(&columns);
        let of = schema.field(0).data_type().clone();
        let written = values(&case.numbers, &case.file);
        let expected = expected(&written, &of);
        let rows = batch(vec![(field(1, "was", case.file.clone()), written)]);
        let mut old = lake.write(&file("old"), &rows, 0, vec![]);
        if case.file == DataType::Date32 {
            // Manifests' bounds are promoted when a manifest is read; these here are the writer's.
            old.columns = Box::default();
        }
        let table = lake.table(v3(metadata(columns, &[])), vec![old]);
        let session = table.session();
        let memory = RecordBatch::try_from_iter_with_nullable([("c", expected.clone(), true)]);
        session.register_batch("m", memory.unwrap()).unwrap();
        let label = format!("case {at}: {} as {}", case.file, case.table);

        let all = |name: &'static str| {
            let session = session.clone();
            async move {
                let frame = session.table(name).await.unwrap();
                let sorted = frame.sort(vec![col("c").sort(true, false)]).unwrap();
                let batches = sorted.collect().await.unwrap();
                arrow::util::pretty::pretty_format_batches(&batches)
                    .unwrap()
                    .to_string()
            }
        };
        assert_eq!(all("t").await, all("m").await, "{label}");
        for nth in [0, 1000, 1499, expected.len() - 2] {
            let Some(nth) = (nth < expected.len()).then_some(nth) else {
                continue;
            };
            let value = ScalarValue::try_from_array(&expected, nth).unwrap();
            for filter in [
                col("c").eq(lit(value.clone())),
                col("c").lt(lit(value.clone())),
                col("c").gt_eq(lit(value.clone())),
                col("c").not_eq(lit(value.clone())),
                col("c").in_list(vec![lit(value.clone()), lit(value.clone())], false),
            ] {
                let count = |name: &'static str| {
                    let (session, filter) = (session.clone(), filter.clone());
                    async move {
                        let frame = session.table(name).await.unwrap();
                        frame.filter(filter).unwrap().count().await.unwrap()
                    }
                };
                assert_eq!(count("t").await, count("m").await, "{label}: {filter}");
            }
        }
    }
}

#[tokio::test]
async fn every_promotion_is_read_within_structs_lists_and_maps() {
    for (at, case) in cases().into_iter().enumerate() {
        let lake = Lake::new();
        let nested = vec![
            column(
                1,
                "s",
                json!({"type": "struct", "fields": [column(2, "c", case.table.clone())]}),
            ),
            column(
                3,
                "l",
                json!({"type": "list", "element-id": 4, "element-required": false,
                       "element": case.table.clone()}),
            ),
            column(
                5,
                "m",
                json!({"type": "map", "key-id": 6, "key": "string", "value-id": 7,
                       "value-required": false, "value": case.table.clone()}),
            ),
        ];
        let schema = schema_of(&nested);
        let DataType::Struct(of) = schema.field(0).data_type().clone() else {
            panic!("s is a struct");
        };
        let sample: Vec<Option<i64>> = case.numbers.iter().copied().step_by(211).collect();
        let written = values(&sample, &case.file);
        let wanted = expected(&written, of[0].data_type());
        let rows = batch(nest(&written, "was"));
        let old = lake.write(&file("old"), &rows, 0, vec![]);
        let table = lake.table(v3(metadata(nested, &[])), vec![old]);
        let frame = table.session().table("t").await.unwrap();
        let got = frame.collect().await.unwrap();
        let got = arrow::compute::concat_batches(&got[0].schema(), &got).unwrap();
        for (column, (_, wanted)) in nest(&wanted, "c").into_iter().enumerate() {
            let text = |array: &ArrayRef| {
                pretty_format_columns("c", std::slice::from_ref(array))
                    .unwrap()
                    .to_string()
            };
            assert_eq!(
                text(got.column(column)),
                text(&wanted),
                "case {at}: {} as {}",
                case.file,
                case.table
            );
        }
    }
}

/// The values as a struct's field, as lists of one and as maps of one.
fn nest(values: &ArrayRef, name: &str) -> Vec<(Field, ArrayRef)> {
    let of = values.data_type().clone();
    let inner = Fields::from(vec![field(2, name, of.clone())]);
    let structs = StructArray::new(inner.clone(), vec![Arc::clone(values)], None);
    let ones = || OffsetBuffer::from_lengths(vec![1; values.len()]);
    let element = Arc::new(field(4, "element", of.clone()));
    let lists = ListArray::new(Arc::clone(&element), ones(), Arc::clone(values), None);
    let both = Fields::from(vec![
        field(6, "key", DataType::Utf8).with_nullable(false),
        field(7, "value", of),
    ]);
    let keys = texts((0..values.len()).map(|_| Some("k")));
    let entries = StructArray::new(both.clone(), vec![keys, Arc::clone(values)], None);
    let entry = Arc::new(Field::new("key_value", DataType::Struct(both), false));
    let maps = MapArray::new(Arc::clone(&entry), ones(), entries, None, false);
    vec![
        (field(1, "s", DataType::Struct(inner)), Arc::new(structs)),
        (field(3, "l", DataType::List(element)), Arc::new(lists)),
        (field(5, "m", DataType::Map(entry, false)), Arc::new(maps)),
    ]
}

#[tokio::test]
async fn a_decimal_that_the_table_has_no_digits_for_is_an_error_and_no_other_number() {
    let lake = Lake::new();
    let rows = batch(vec![(
        field(1, "c", DataType::Decimal128(38, 2)),
        values(&[Some(12_345)], &DataType::Decimal128(38, 2)),
    )]);
    let old = lake.write(&file("old"), &rows, 0, vec![]);
    let table = lake.table(
        metadata(vec![column(1, "c", "decimal(4, 2)")], &[]),
        vec![old],
    );
    assert!(table.run("SELECT c FROM t").await.is_err());
}

#[tokio::test]
async fn a_decimal_of_another_scale_is_refused() {
    let lake = Lake::new();
    let rows = batch(vec![(
        field(1, "c", DataType::Decimal128(9, 2)),
        values(&[Some(12_345)], &DataType::Decimal128(9, 2)),
    )]);
    let old = lake.write(&file("old"), &rows, 0, vec![]);
    let table = lake.table(
        metadata(vec![column(1, "c", "decimal(9, 3)")], &[]),
        vec![old],
    );
    let error = table.error("SELECT c FROM t").await;
    assert!(
        error.contains("'c'") && error.contains("old.parquet"),
        "{error}"
    );
}

#[tokio::test]
async fn a_date_outside_what_a_timestamp_can_hold_is_an_error() {
    let lake = Lake::new();
    let rows = batch(vec![(
        field(1, "c", DataType::Date32),
        dates([Some(0), Some(2_000_000_000)]),
    )]);
    let mut old = lake.write(&file("old"), &rows, 0, vec![]);
    old.columns = Box::default();
    let table = lake.table(
        v3(metadata(vec![column(1, "c", "timestamp")], &[])),
        vec![old],
    );
    assert!(table.run("SELECT c FROM t").await.is_err());
}

#[tokio::test]
async fn a_promoted_decimal_is_compared_with_a_number_at_its_very_bound() {
    let lake = Lake::new();
    let digits = DataType::Decimal128(9, 2);
    let numbers = [Some(-125), Some(999_999_999), None, Some(-999_999_999)];
    let rows = batch(vec![(
        field(1, "d", digits.clone()),
        values(&numbers, &digits),
    )]);
    let old = lake.write(&file("old"), &rows, 0, vec![]);
    let table = lake.table(
        metadata(vec![column(1, "d", "decimal(18, 2)")], &[]),
        vec![old],
    );
    for (op, number, row) in [
        (">=", "9999999.99", "9999999.99"),
        ("=", "9999999.99", "9999999.99"),
        ("<=", "-9999999.99", "-9999999.99"),
        (">", "9999999.98", "9999999.99"),
    ] {
        let sql = format!("SELECT d FROM t WHERE d {op} CAST('{number}' AS DECIMAL(9, 2))");
        assert_eq!(table.rows(&sql).await, [row], "{op} {number}");
    }
}
