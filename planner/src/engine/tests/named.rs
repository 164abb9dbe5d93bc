use super::lake::{Lake, shape};
use crate::{ErrorKind, Position};

#[tokio::test]
async fn names_match_whatever_their_case_and_say_how_they_are_spelled() {
    let lake = Lake::new().await;
    for text in [
        "SELECT ORDERKEY, LineNumber FROM spark",
        "SELECT s.orderkey, s.LINENUMBER FROM LAKE.TPCH.SPARK s",
        "SELECT spark.orderKey, \"lineNumber\" FROM tpch.\"Spark\"",
        "SELECT tpch.spark.orderKey, lake.tpch.spark.linenumber FROM lake.tpch.SPARK",
        "WITH w AS (SELECT * FROM spark) SELECT orderkey, linenumber FROM W",
    ] {
        let described = lake
            .describe(text)
            .await
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(
            shape(&described.schema),
            ["orderKey:Int64", "lineNumber:Int32?"],
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_nested_schema_is_one_name_in_quotes_or_its_levels() {
    let lake = Lake::new().await;
    for text in [
        "SELECT y FROM lake.\"a.b\".deep",
        "SELECT Y FROM LAKE.A.B.DEEP",
        "SELECT deep.y FROM \"a.b\".deep",
    ] {
        let described = lake
            .describe(text)
            .await
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(shape(&described.schema), ["y:Float64?"], "{text}");
    }
}

#[tokio::test]
async fn a_name_that_fits_two_tables_is_refused_until_it_is_quoted() {
    let lake = Lake::new().await;
    let error = lake.error("SELECT * FROM Twin").await;
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.to_string().contains("\"TWIN\" or \"twin\""),
        "{error}"
    );
    assert_eq!(
        error.position(),
        Some(Position {
            line: 1,
            column: 15
        })
    );
    lake.describe("SELECT a FROM \"twin\"").await.unwrap();
    lake.describe("SELECT a FROM \"TWIN\"").await.unwrap();
    lake.describe("SELECT x.a, y.a FROM \"TWIN\" x, \"twin\" y")
        .await
        .unwrap();
}

#[tokio::test]
async fn an_unknown_name_is_not_found_and_comes_with_the_nearest() {
    let lake = Lake::new().await;
    let error = lake.error("SELECT *\nFROM ordrs").await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("orders"), "{error}");
    assert_eq!(error.position(), Some(Position { line: 2, column: 6 }));
    let error = lake.error("SELECT * FROM lake.tcph.orders").await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.nearest(), ["tpch"]);
    let error = lake.error("SELECT * FROM laek.tpch.orders").await;
    assert_eq!(error.nearest(), ["lake"]);
    let error = lake
        .error("SELECT o_orderkey,\n  o_coment FROM orders")
        .await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.nearest(), ["o_comment"]);
    assert_eq!(error.position(), Some(Position { line: 2, column: 3 }));
    let error = lake.error("SELECT \"orderkey\" FROM spark").await;
    assert_eq!(error.nearest(), ["orderKey"], "{error}");
    let error = lake.error("SELECT * FROM landfast.system.nubmers").await;
    assert_eq!(error.nearest(), ["numbers"]);
    let error = lake.error("SELECT nosuchfunction(1)").await;
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

#[tokio::test]
async fn a_bare_name_without_a_default_schema_says_where_there_is_one() {
    let mut lake = Lake::new().await;
    lake.settings.schema = None;
    let error = lake.error("SELECT * FROM orders").await;
    assert!(error.to_string().contains("SET landfast.schema"), "{error}");
    assert!(
        lake.describe("SELECT * FROM tpch.orders").await.is_ok(),
        "the only catalog is the default one"
    );
}

#[tokio::test]
async fn a_table_named_twice_is_one_snapshot() {
    let lake = Lake::new().await;
    let planned = lake
        .plan(
            "SELECT * FROM orders a, lake.tpch.orders b, tpch.ORDERS c, (SELECT * FROM spark) d",
            None,
            &[],
        )
        .await
        .unwrap();
    let pinned: Vec<String> = planned
        .pins()
        .iter()
        .map(|pin| pin.table.to_string())
        .collect();
    assert_eq!(pinned.len(), 2, "{pinned:?}");
    assert!(pinned[1].ends_with("orders"), "{pinned:?}");
}

#[tokio::test]
async fn pins_decide_which_snapshot_is_read_whatever_the_catalog_says_now() {
    let lake = Lake::new().await;
    let pins = lake
        .plan("SELECT * FROM orders", None, &[])
        .await
        .unwrap()
        .pins();
    lake.run("DROP TABLE orders").await.unwrap();
    assert_eq!(
        lake.error("SELECT * FROM orders").await.kind(),
        ErrorKind::NotFound
    );
    let again = lake
        .plan("SELECT * FROM orders", None, &pins)
        .await
        .unwrap();
    assert_eq!(again.pins(), pins);
}
