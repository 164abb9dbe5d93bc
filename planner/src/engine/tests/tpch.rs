//! The 22 TPC-H queries are understood, in any case, with one schema on every path.

use super::lake::Lake;

pub(super) const TABLES: [(&str, &[(&str, &str)]); 8] = [
    (
        "region",
        &[
            ("r_regionkey", "long"),
            ("r_name", "string"),
            ("r_comment", "string"),
        ],
    ),
    (
        "nation",
        &[
            ("n_nationkey", "long"),
            ("n_name", "string"),
            ("n_regionkey", "long"),
            ("n_comment", "string"),
        ],
    ),
    (
        "supplier",
        &[
            ("s_suppkey", "long"),
            ("s_name", "string"),
            ("s_address", "string"),
            ("s_nationkey", "long"),
            ("s_phone", "string"),
            ("s_acctbal", "decimal(15, 2)"),
            ("s_comment", "string"),
        ],
    ),
    (
        "customer",
        &[
            ("c_custkey", "long"),
            ("c_name", "string"),
            ("c_address", "string"),
            ("c_nationkey", "long"),
            ("c_phone", "string"),
            ("c_acctbal", "decimal(15, 2)"),
            ("c_mktsegment", "string"),
            ("c_comment", "string"),
        ],
    ),
    (
        "part",
        &[
            ("p_partkey", "long"),
            ("p_name", "string"),
            ("p_mfgr", "string"),
            ("p_brand", "string"),
            ("p_type", "string"),
            ("p_size", "int"),
            ("p_container", "string"),
            ("p_retailprice", "decimal(15, 2)"),
            ("p_comment", "string"),
        ],
    ),
    (
        "partsupp",
        &[
            ("ps_partkey", "long"),
            ("ps_suppkey", "long"),
            ("ps_availqty", "int"),
            ("ps_supplycost", "decimal(15, 2)"),
            ("ps_comment", "string"),
        ],
    ),
    (
        "orders",
        &[
            ("o_orderkey", "long"),
            ("o_custkey", "long"),
            ("o_orderstatus", "string"),
            ("o_totalprice", "decimal(15, 2)"),
            ("o_orderdate", "date"),
            ("o_orderpriority", "string"),
            ("o_clerk", "string"),
            ("o_shippriority", "int"),
            ("o_comment", "string"),
        ],
    ),
    (
        "lineitem",
        &[
            ("l_orderkey", "long"),
            ("l_partkey", "long"),
            ("l_suppkey", "long"),
            ("l_linenumber", "int"),
            ("l_quantity", "decimal(15, 2)"),
            ("l_extendedprice", "decimal(15, 2)"),
            ("l_discount", "decimal(15, 2)"),
            ("l_tax", "decimal(15, 2)"),
            ("l_returnflag", "string"),
            ("l_linestatus", "string"),
            ("l_shipdate", "date"),
            ("l_commitdate", "date"),
            ("l_receiptdate", "date"),
            ("l_shipinstruct", "string"),
            ("l_shipmode", "string"),
            ("l_comment", "string"),
        ],
    ),
];

pub(super) const QUERIES: [&str; 22] = [
    include_str!("../../../../bench/queries/q01.sql"),
    include_str!("../../../../bench/queries/q02.sql"),
    include_str!("../../../../bench/queries/q03.sql"),
    include_str!("../../../../bench/queries/q04.sql"),
    include_str!("../../../../bench/queries/q05.sql"),
    include_str!("../../../../bench/queries/q06.sql"),
    include_str!("../../../../bench/queries/q07.sql"),
    include_str!("../../../../bench/queries/q08.sql"),
    include_str!("../../../../bench/queries/q09.sql"),
    include_str!("../../../../bench/queries/q10.sql"),
    include_str!("../../../../bench/queries/q11.sql"),
    include_str!("../../../../bench/queries/q12.sql"),
    include_str!("../../../../bench/queries/q13.sql"),
    include_str!("../../../../bench/queries/q14.sql"),
    include_str!("../../../../bench/queries/q15.sql"),
    include_str!("../../../../bench/queries/q16.sql"),
    include_str!("../../../../bench/queries/q17.sql"),
    include_str!("../../../../bench/queries/q18.sql"),
    include_str!("../../../../bench/queries/q19.sql"),
    include_str!("../../../../bench/queries/q20.sql"),
    include_str!("../../../../bench/queries/q21.sql"),
    include_str!("../../../../bench/queries/q22.sql"),
];

#[tokio::test]
async fn the_22_queries_are_planned_and_run_with_one_schema() {
    let lake = Lake::empty(|_| {}).await;
    register(&lake).await;
    for (at, query) in QUERIES.into_iter().enumerate() {
        let batches = lake.batches(query, None).await;
        batches.unwrap_or_else(|error| panic!("query {}: {error}", at + 1));
        let shouted = lake.describe(&shouted(query)).await;
        shouted.unwrap_or_else(|error| panic!("query {} in capitals: {error}", at + 1));
    }
}

/// Makes the tables, without rows.
pub(super) async fn register(lake: &Lake) {
    lake.run("CREATE SCHEMA lake.tpch").await.unwrap();
    for (name, columns) in TABLES {
        lake.table(&format!("lake.tpch.{name}"), columns).await;
    }
}

/// The query in capitals, its texts as they are.
fn shouted(query: &str) -> String {
    let parts = query.split('\'').enumerate();
    parts
        .map(|(at, part)| {
            if at % 2 == 0 {
                part.to_uppercase()
            } else {
                part.to_string()
            }
        })
        .collect::<Vec<_>>()
        .join("'")
}
