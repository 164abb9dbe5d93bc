use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, NullArray, RecordBatch,
    StringArray,
};
use arrow::datatypes::Int32Type;

use super::lake::{Lake, shape};
use crate::ErrorKind;

fn row(values: Vec<ArrayRef>) -> RecordBatch {
    let names: Vec<String> = (1..=values.len()).map(|n| format!("${n}")).collect();
    RecordBatch::try_from_iter_with_nullable(
        names
            .into_iter()
            .zip(values)
            .map(|(name, value)| (name, value, true)),
    )
    .unwrap()
}

fn long(value: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

#[tokio::test]
async fn a_parameters_type_follows_from_what_it_stands_beside() {
    let lake = Lake::new().await;
    for (statement, types) in [
        ("SELECT * FROM orders WHERE o_orderkey = ?", vec!["Int64"]),
        (
            "SELECT * FROM orders WHERE o_total BETWEEN ? AND ?",
            vec!["Decimal128(15, 2)", "Decimal128(15, 2)"],
        ),
        (
            "SELECT * FROM orders WHERE o_orderkey IN (?, 2, ?)",
            vec!["Int64", "Int64"],
        ),
        (
            "SELECT * FROM orders WHERE o_comment LIKE ? AND o_orderkey > $1",
            vec![],
        ),
        ("SELECT * FROM orders WHERE o_comment LIKE ?", vec!["Utf8"]),
        (
            "SELECT * FROM orders LIMIT ? OFFSET ?",
            vec!["Int64", "Int64"],
        ),
        (
            "SELECT CAST(? AS date), ?::double",
            vec!["Date32", "Float64"],
        ),
        ("SELECT upper(?)", vec!["Utf8"]),
        ("SELECT abs(?)", vec!["Float64"]),
        ("SELECT ?", vec!["Utf8"]),
        (
            "SELECT * FROM spark WHERE shipdate >= $2 AND linenumber < $1",
            vec!["Int32", "Date32"],
        ),
        (
            "SELECT * FROM orders WHERE EXISTS (SELECT 1 FROM spark WHERE orderkey = ?)",
            vec!["Int64"],
        ),
        (
            "EXPLAIN SELECT * FROM orders WHERE o_orderkey = ?",
            vec!["Int64"],
        ),
        (
            "SELECT * FROM orders WHERE ? <= o_total AND -? < o_orderkey",
            vec!["Decimal128(15, 2)", "Int64"],
        ),
        (
            "SELECT * FROM orders WHERE ? BETWEEN o_orderkey AND 10",
            vec!["Int64"],
        ),
        (
            "SELECT * FROM orders WHERE ? IN (o_orderkey, 2)",
            vec!["Int64"],
        ),
        (
            "SELECT * FROM orders WHERE ? IN (SELECT shipdate FROM spark)",
            vec!["Date32"],
        ),
        ("SELECT * FROM orders WHERE ? LIKE ?", vec!["Utf8", "Utf8"]),
        ("SELECT * FROM orders WHERE o_comment ~ ?", vec!["Utf8"]),
        ("SELECT * FROM orders WHERE ?", vec!["Boolean"]),
        (
            "SELECT * FROM orders WHERE o_orderkey = 1 OR NOT ?",
            vec!["Boolean"],
        ),
        (
            "SELECT o_orderkey + ?, ? * o_total, o_orderkey % ?, 1.5 + ? FROM orders",
            vec!["Int64", "Decimal128(15, 2)", "Int64", "Float64"],
        ),
        (
            "SELECT * FROM orders WHERE o_orderkey = ? + ?",
            vec!["Int64", "Int64"],
        ),
        (
            "SELECT * FROM spark WHERE shipdate >= DATE '2026-01-01' + ? AND shipdate < ? + INTERVAL '1 day'",
            vec!["Interval(MonthDayNano)", "Timestamp(µs)"],
        ),
        (
            "SELECT CASE WHEN ? THEN o_orderkey ELSE ? END FROM orders",
            vec!["Boolean", "Int64"],
        ),
        (
            "SELECT CASE o_comment WHEN ? THEN 1 WHEN ? THEN ? END FROM orders",
            vec!["Utf8", "Utf8", "Int64"],
        ),
        (
            "SELECT coalesce(?, shipdate), nullif(linenumber, ?) FROM spark",
            vec!["Date32", "Int32"],
        ),
        (
            "SELECT substr(o_comment, ?, ?), round(o_total, ?), lower(?) || ? FROM orders",
            vec!["Int64", "Int64", "Int64", "Utf8", "Utf8"],
        ),
        (
            "SELECT sum(o_orderkey) FILTER (WHERE o_comment = ?) FROM orders HAVING count(*) > ?",
            vec!["Utf8", "Int64"],
        ),
        (
            "SELECT * FROM orders JOIN spark ON orderkey = o_orderkey AND linenumber = ?",
            vec!["Int32"],
        ),
        (
            "SELECT TRY_CAST(? AS int), o_orderkey FROM orders WHERE o_orderkey = (SELECT max(orderkey) FROM spark WHERE linenumber < ?)",
            vec!["Utf8", "Int32"],
        ),
        (
            "SELECT abs(?) + 1, upper(?), ? IS NULL",
            vec!["Float64", "Utf8", "Utf8"],
        ),
    ] {
        match lake.describe(statement).await {
            Ok(described) => {
                let found: Vec<String> = described
                    .parameters
                    .fields()
                    .iter()
                    .map(|field| field.data_type().to_string())
                    .collect();
                assert_eq!(found, types, "{statement}");
                assert!(
                    described
                        .parameters
                        .fields()
                        .iter()
                        .all(|field| field.is_nullable())
                );
            }
            Err(error) => assert!(types.is_empty(), "{statement}: {error}"),
        }
    }
}

#[tokio::test]
async fn parameters_come_in_the_order_of_their_numbers() {
    let lake = Lake::new().await;
    let sum = (1..=11)
        .map(|n| format!("${n}::bigint"))
        .rev()
        .collect::<Vec<_>>()
        .join(" || ',' || ");
    let described = lake.describe(&format!("SELECT {sum}")).await.unwrap();
    let names: Vec<&str> = described
        .parameters
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(
        names,
        [
            "$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11"
        ]
    );
    let rows = lake
        .bound(&format!("SELECT {sum}"), &row((1..=11).map(long).collect()))
        .await;
    assert_eq!(rows, ["11,10,9,8,7,6,5,4,3,2,1"]);
}

#[tokio::test]
async fn bound_values_are_used_as_if_they_had_been_written() {
    let lake = Lake::new().await;
    let numbers = "landfast.system.numbers";
    let at_least = format!("SELECT n FROM {numbers} WHERE n >= ? ORDER BY n");
    assert_eq!(lake.bound(&at_least, &row(vec![long(8)])).await, ["8", "9"]);
    assert_eq!(
        lake.bound(&at_least, &row(vec![Arc::new(Int32Array::from(vec![9]))]))
            .await,
        ["9"]
    );
    assert_eq!(
        lake.bound(&at_least, &row(vec![text("9")])).await,
        ["9"],
        "a text that is a number"
    );
    assert_eq!(
        lake.bound(
            &at_least,
            &row(vec![Arc::new(Float64Array::from(vec![7.5]))])
        )
        .await,
        ["8", "9"],
        "a number that the type can't hold is not rounded"
    );
    assert_eq!(
        lake.bound(
            &format!("SELECT n FROM {numbers} WHERE even = $2 AND n < $1 ORDER BY n"),
            &row(vec![long(4), text("yes")])
        )
        .await,
        ["0", "2"]
    );
    assert_eq!(
        lake.bound(
            &format!("SELECT n FROM {numbers} ORDER BY n LIMIT ? OFFSET ?"),
            &row(vec![long(2), long(3)])
        )
        .await,
        ["3", "4"]
    );
    assert_eq!(
        lake.bound("SELECT ?, upper(?)", &row(vec![long(7), text("x")]))
            .await,
        ["7|X"]
    );
}

#[tokio::test]
async fn a_text_is_refused_where_its_parameters_type_would_round_or_cut_it() {
    let lake = Lake::new().await;
    let columns = [
        ("price", "decimal(15, 2)"),
        ("day", "date"),
        ("moment", "timestamp"),
        ("zoned", "timestamptz"),
        ("clock", "time"),
        ("x", "double"),
        ("n", "long"),
    ];
    lake.table("lake.tpch.events", &columns).await;
    let digits = format!("1.{}1", "0".repeat(40));
    for (column, whole, rounded) in [
        (
            "price",
            vec!["1.00", "-1.5", "1.500", "7", ".25", " 3.10 "],
            vec!["1.005", "1.001", "-0.004", &digits],
        ),
        (
            "day",
            vec![
                "2024-01-01",
                "2024-1-1",
                "2024-01-01 00:00:00.000",
                "9999-12-31",
                "0001-01-01",
            ],
            vec![
                "2024-01-01 12:00:00",
                "2024-01-01T00:00:00.0000000001",
                "9999-12-31 00:00:01",
            ],
        ),
        (
            "moment",
            vec![
                "2024-01-01",
                "2024-01-01 12:00:00.123456",
                "2024-01-01T12:00:00.123456000",
            ],
            vec!["2024-01-01 12:00:00.1234561", "9999-12-31 12:00:00.0000001"],
        ),
        (
            "zoned",
            vec!["2024-01-01 12:00:00.123456+02:00"],
            vec!["2024-01-01 12:00:00.123456789+02:00"],
        ),
        (
            "clock",
            vec!["12:00:00", "12:00:00.123456"],
            vec!["12:00:00.1234567"],
        ),
        ("x", vec!["0.1", "1e3"], vec![]),
        ("n", vec!["7"], vec![]),
    ] {
        let sql = format!("SELECT count(*) FROM events WHERE {column} = ?");
        for text in whole {
            assert_eq!(lake.bound(&sql, &row(vec![self::text(text)])).await, ["0"]);
        }
        for text in rounded {
            let values: [ArrayRef; 2] = [
                self::text(text),
                Arc::new(DictionaryArray::<Int32Type>::from_iter([text])),
            ];
            for value in values {
                let error = lake.plan(&sql, Some(&row(vec![value])), &[]).await;
                let error = error.expect_err(text);
                assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}: {error}");
                let said = error.to_string();
                assert!(
                    said.contains("$1") && said.contains("not rounded"),
                    "{said}"
                );
                assert!(!said.contains(text), "{said}");
            }
        }
    }
    let as_decimal = "SELECT count(*) FROM events WHERE price < CAST(? AS decimal(20, 3))";
    let found = lake.bound(as_decimal, &row(vec![text("1.005")])).await;
    assert_eq!(found, ["0"], "the error's own advice");
}

#[tokio::test]
async fn null_binds_to_every_type() {
    let lake = Lake::new().await;
    let null = || -> ArrayRef { Arc::new(NullArray::new(1)) };
    assert_eq!(
        lake.bound("SELECT ? IS NULL, ?::int + 1", &row(vec![null(), null()]))
            .await,
        ["true|"]
    );
    assert_eq!(
        lake.bound(
            "SELECT count(*) FROM landfast.system.numbers WHERE n = ?",
            &row(vec![null()])
        )
        .await,
        ["0"]
    );
    let unbound: ArrayRef = Arc::new(Int64Array::from(vec![None::<i64>]));
    assert_eq!(
        lake.bound("SELECT coalesce(?, 'none')", &row(vec![unbound]))
            .await,
        ["none"]
    );
}

#[tokio::test]
async fn the_schema_does_not_depend_on_what_is_bound() {
    let lake = Lake::new().await;
    let statement = "SELECT ? AS a, n + ? AS b FROM landfast.system.numbers LIMIT 1";
    let described = lake.describe(statement).await.unwrap();
    assert_eq!(shape(&described.schema), ["a:Utf8?", "b:Int64?"]);
    for values in [
        vec![text("x"), long(1)],
        vec![long(1), Arc::new(Int32Array::from(vec![1])) as ArrayRef],
    ] {
        let planned = lake.plan(statement, Some(&row(values)), &[]).await.unwrap();
        assert_eq!(planned.schema(), described.schema);
    }
}

#[tokio::test]
async fn wrong_bindings_are_refused() {
    let lake = Lake::new().await;
    let statement = "SELECT n FROM landfast.system.numbers WHERE n = ?";
    for bad in [
        RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())),
        row(vec![long(1), long(2)]),
        row(vec![text("x")]),
        row(vec![
            Arc::new(arrow::array::BinaryArray::from(vec![&b"x"[..]])) as ArrayRef,
        ]),
    ] {
        let error = lake.plan(statement, Some(&bad), &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    let error = lake.plan(statement, None, &[]).await.unwrap_err();
    assert!(error.to_string().contains("1 parameters"), "{error}");
    let two =
        RecordBatch::try_from_iter([("$1", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])
            .unwrap();
    assert!(lake.plan(statement, Some(&two), &[]).await.is_err());
}
