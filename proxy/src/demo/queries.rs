//! What the demo asks: questions whose files lie at one site, at two, and at all three.

/// A query of the demo.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DemoQuery {
    /// A few words for the report.
    pub title: &'static str,
    /// The statement; its rows are in a fixed order, and none of its values depends on the order of a sum.
    pub sql: &'static str,
}

/// The queries, in the order of the report.
pub const DEMO_QUERIES: [DemoQuery; 6] = [
    DemoQuery {
        title: "revenue by month of 1997",
        sql: "SELECT date_trunc('month', l_shipdate) AS month,
                     sum(l_extendedprice * (1 - l_discount)) AS revenue, count(*) AS lines
              FROM lineitem
              WHERE l_shipdate >= DATE '1997-01-01' AND l_shipdate < DATE '1998-01-01'
              GROUP BY 1 ORDER BY 1",
    },
    DemoQuery {
        title: "discounts given up, 1996",
        sql: "SELECT sum(l_extendedprice * l_discount) AS revenue
              FROM lineitem
              WHERE l_shipdate >= DATE '1996-01-01' AND l_shipdate < DATE '1997-01-01'
                AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24",
    },
    DemoQuery {
        title: "late orders, 1996 to 1998",
        sql: "SELECT o_orderpriority, count(*) AS orders
              FROM orders
              WHERE o_orderdate >= DATE '1996-07-01'
                AND EXISTS (SELECT 1 FROM lineitem
                            WHERE l_orderkey = o_orderkey AND l_commitdate < l_receiptdate
                              AND l_shipdate >= DATE '1996-07-01')
              GROUP BY o_orderpriority ORDER BY o_orderpriority",
    },
    DemoQuery {
        title: "ten largest open orders",
        sql: "SELECT l_orderkey, sum(l_extendedprice * (1 - l_discount)) AS revenue,
                     o_orderdate, o_shippriority
              FROM customer, orders, lineitem
              WHERE c_mktsegment = 'BUILDING' AND c_custkey = o_custkey AND l_orderkey = o_orderkey
                AND o_orderdate < DATE '1998-03-15' AND o_orderdate >= DATE '1997-06-01'
                AND l_shipdate > DATE '1998-03-15'
              GROUP BY l_orderkey, o_orderdate, o_shippriority
              ORDER BY revenue DESC, o_orderdate, l_orderkey LIMIT 10",
    },
    DemoQuery {
        title: "ship modes, orders of all years",
        sql: "SELECT l_shipmode,
                     sum(CASE WHEN o_orderpriority IN ('1-URGENT', '2-HIGH') THEN 1 ELSE 0 END) AS high,
                     sum(CASE WHEN o_orderpriority NOT IN ('1-URGENT', '2-HIGH') THEN 1 ELSE 0 END) AS low
              FROM orders, lineitem
              WHERE o_orderkey = l_orderkey AND l_shipmode IN ('MAIL', 'SHIP')
                AND l_commitdate < l_receiptdate AND l_shipdate < l_commitdate
              GROUP BY l_shipmode ORDER BY l_shipmode",
    },
    DemoQuery {
        title: "pricing summary of all years",
        sql: "SELECT l_returnflag, l_linestatus, sum(l_quantity) AS quantity,
                     sum(l_extendedprice) AS base_price,
                     sum(l_extendedprice * (1 - l_discount)) AS discounted,
                     avg(l_discount) AS discount, count(*) AS lines
              FROM lineitem
              WHERE l_shipdate <= DATE '1998-09-02'
              GROUP BY l_returnflag, l_linestatus ORDER BY l_returnflag, l_linestatus",
    },
];
