use super::lake::{Lake, shape};

#[tokio::test]
async fn explain_tells_scans_and_plans_and_runs_nothing() {
    let lake = Lake::new().await;
    let planned = lake
        .plan(
            "EXPLAIN SELECT * FROM orders WHERE o_orderkey > 3",
            None,
            &[],
        )
        .await
        .unwrap();
    assert_eq!(shape(&planned.schema()), ["plan_type:Utf8", "plan:Utf8"]);
    let rows = lake
        .rows("EXPLAIN SELECT count(*) FROM landfast.system.numbers")
        .await
        .join("\n");
    assert!(
        rows.contains("scans") && rows.contains("logical_plan") && rows.contains("physical_plan"),
        "{rows}"
    );
    let rows = lake.rows("EXPLAIN VERBOSE SELECT 1").await.join("\n");
    assert!(rows.contains("initial_logical_plan"), "{rows}");
}

#[tokio::test]
async fn explain_analyze_runs_the_query_and_tells_what_it_read() {
    let lake = Lake::new().await;
    let rows = lake
        .rows("EXPLAIN ANALYZE SELECT n FROM landfast.system.numbers WHERE n > 6")
        .await
        .join("\n");
    assert!(rows.contains("rows=3"), "{rows}");
    assert!(
        rows.contains("reads")
            && rows.contains("plan with metrics")
            && rows.contains("output_rows"),
        "{rows}"
    );
}

#[tokio::test]
async fn a_receipt_names_the_snapshots_and_the_sites_that_were_read() {
    let lake = Lake::new().await;
    let planned = lake
        .plan("SELECT * FROM orders, spark", None, &[])
        .await
        .unwrap();
    let receipt = planned.receipt();
    let tables: Vec<String> = receipt
        .snapshots
        .iter()
        .map(|table| table.table.table.clone())
        .collect();
    assert_eq!(tables, ["Spark", "orders"]);
    assert!(
        receipt
            .snapshots
            .iter()
            .all(|table| !table.stale && table.snapshot_id.is_none())
    );
    assert_eq!(receipt.usd(), 0.0);
    assert!(receipt.to_string().contains("cache"), "{receipt}");
}
