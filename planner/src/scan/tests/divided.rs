//! A result divided into shares is the result.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::DataType;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use futures::TryStreamExt;
use landfast_catalog::DataFile;

use super::lake::*;
use crate::scan::divided::{
    Division, DivisionLimits, asks_for_order_or_chance, divide, is_divisible, rows, share,
};
use crate::{ErrorKind, Result};

const LIMITS: DivisionLimits = DivisionLimits {
    shares_max: 3,
    share_bytes: 1,
    share_rows: 1,
};

fn files(lake: &Lake, count: i64) -> Vec<DataFile> {
    (0..count)
        .map(|at| {
            lake.write(
                &format!("{ROOT}/data/{at}.parquet"),
                &batch(vec![(
                    field(1, "n", DataType::Int64),
                    longs((at * 100..at * 100 + 10 + at).map(Some)),
                )]),
                0,
                vec![],
            )
        })
        .collect()
}

fn table(lake: &Lake, files: Vec<DataFile>) -> Table {
    lake.table(metadata(vec![column(1, "n", "long")], &[]), files)
}

async fn numbers(table: &Table, plan: Arc<dyn ExecutionPlan>) -> Vec<i64> {
    // A session reads what it has planned.
    let session = table.session();
    let planned = session.sql("SELECT n FROM t").await.unwrap();
    planned.create_physical_plan().await.unwrap();
    let batches = execute_stream(plan, session.task_ctx()).unwrap();
    let batches: Vec<_> = batches.try_collect().await.unwrap();
    let mut all: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            let column = batch.column(0).as_any();
            let column = column.downcast_ref::<arrow::array::Int64Array>().unwrap();
            column.values().to_vec()
        })
        .collect();
    all.sort_unstable();
    all
}

async fn of_share(
    table: &Table,
    plan: &Arc<dyn ExecutionPlan>,
    number: usize,
    division: &Division,
) -> Result<Vec<i64>> {
    Ok(numbers(table, share(plan, number, division)?).await)
}

#[tokio::test]
async fn the_shares_in_any_order_and_any_number_of_times_are_the_result() {
    let lake = Lake::new();
    let table = table(&lake, files(&lake, 7));
    for sql in [
        "SELECT n FROM t",
        "SELECT n * 2 AS m FROM t WHERE n % 3 = 1",
        "SELECT n FROM t WHERE n > 250 UNION ALL SELECT n + 1 FROM t",
    ] {
        let plan = table.plan(sql).await.unwrap();
        assert!(is_divisible(&plan), "{sql}");
        let division = divide(&plan, (1 << 20, 100), &LIMITS).unwrap();
        assert_eq!(division.shares, 3);
        let mut union = vec![];
        for number in [2, 0, 1] {
            let once = of_share(&table, &plan, number, &division).await.unwrap();
            let again = of_share(&table, &plan, number, &division).await.unwrap();
            assert!(!once.is_empty(), "{sql}");
            assert_eq!(once, again, "{sql}");
            union.extend(once);
        }
        union.sort_unstable();
        assert_eq!(union, numbers(&table, plan).await, "{sql}");
    }
}

#[tokio::test]
async fn planned_again_the_shares_are_the_same_and_other_files_are_other_shares() {
    let lake = Lake::new();
    let mut of_table = files(&lake, 7);
    let sql = "SELECT n FROM t WHERE n >= 0";
    let first = table(&lake, of_table.clone());
    let plan = first.plan(sql).await.unwrap();
    let division = divide(&plan, (1 << 20, 100), &LIMITS).unwrap();
    let wanted = of_share(&first, &plan, 1, &division).await.unwrap();

    // Another process lists the files in another order.
    of_table.reverse();
    let second = table(&lake, of_table.clone());
    let plan = second.plan(sql).await.unwrap();
    let again = of_share(&second, &plan, 1, &division).await.unwrap();
    assert_eq!(again, wanted);

    let fewer = table(&lake, of_table.split_off(1));
    let plan = fewer.plan(sql).await.unwrap();
    let refused = share(&plan, 1, &division).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FailedPrecondition);
    let refused = share(&first.plan(sql).await.unwrap(), 3, &division).unwrap_err();
    assert_eq!(
        refused.kind(),
        ErrorKind::FailedPrecondition,
        "no such share"
    );
}

#[tokio::test]
async fn a_proxy_whose_link_has_it_cut_files_otherwise_has_the_same_shares() {
    let lakes = [Duration::ZERO, Duration::from_secs(2)].map(Lake::linked);
    let tables = lakes.each_ref().map(|lake| {
        let wide = |at: i64| {
            let uri = format!("{ROOT}/data/{at}.parquet");
            wide_file(lake, &uri, at * 10_000, 3000)
        };
        let columns = vec![column(1, "n", "long"), column(2, "s", "string")];
        lake.table(metadata(columns, &[]), (0..3).map(wide).collect())
    });
    let sql = "SELECT n, s FROM t";
    let here = tables[0].plan(sql).await.unwrap();
    let there = tables[1].plan(sql).await.unwrap();
    let cut = |plan: &Arc<dyn ExecutionPlan>| {
        let text = displayable(plan.as_ref()).indent(false).to_string();
        text.contains(".parquet:0..")
    };
    assert!(cut(&here) && !cut(&there));

    let division = divide(&here, (1 << 20, 100), &LIMITS).unwrap();
    assert_eq!(divide(&there, (1 << 20, 100), &LIMITS), Some(division));
    let mut union = vec![];
    for number in 0..3 {
        let here = of_share(&tables[0], &here, number, &division).await;
        let there = of_share(&tables[1], &there, number, &division).await;
        assert_eq!(here.unwrap(), *there.as_ref().unwrap());
        union.extend(there.unwrap());
    }
    union.sort_unstable();
    let all = (0..3).flat_map(|at| at * 10_000..at * 10_000 + 3000);
    assert_eq!(union, all.collect::<Vec<i64>>());
}

#[tokio::test]
async fn rows_that_belong_together_are_never_divided() {
    let lake = Lake::new();
    let table = table(&lake, files(&lake, 7));
    for sql in [
        "SELECT n FROM t LIMIT 20",
        "SELECT count(*) FROM t WHERE n > 1",
        "SELECT DISTINCT n FROM t",
        "SELECT a.n FROM t a JOIN t b ON a.n = b.n",
        "SELECT n, row_number() OVER () FROM t",
        "SELECT n FROM t UNION ALL SELECT 1",
        "SELECT n FROM t UNION ALL SELECT count(*) FROM t",
    ] {
        let plan = table.plan(sql).await.unwrap();
        assert!(!is_divisible(&plan), "{sql}");
    }
    for (sql, together) in [
        ("SELECT n FROM t", false),
        ("SELECT n FROM t ORDER BY n", true),
        ("SELECT n FROM (SELECT n FROM t ORDER BY n LIMIT 5)", true),
        ("SELECT n FROM t WHERE random() < 0.5", true),
        (
            "SELECT n FROM t WHERE n IN (SELECT n FROM t ORDER BY 1)",
            true,
        ),
    ] {
        let plan = table.session().sql(sql).await.unwrap();
        let plan = plan.logical_plan();
        assert_eq!(asks_for_order_or_chance(plan).unwrap(), together, "{sql}");
    }
}

#[tokio::test]
async fn a_result_is_divided_by_bytes_or_rows_and_into_no_more_shares_than_pieces() {
    let lake = Lake::new();
    let table = table(&lake, files(&lake, 7));
    let plan = table.plan("SELECT n FROM t").await.unwrap();
    assert_eq!(rows(&plan).unwrap().get_value(), Some(&91));
    let limits = DivisionLimits {
        shares_max: 100,
        share_bytes: 1000,
        share_rows: 10,
    };
    let shares = |bytes, rows| divide(&plan, (bytes, rows), &limits).map(|d| d.shares);
    assert_eq!(shares(1999, 19), None);
    assert_eq!(shares(2000, 0), Some(2));
    assert_eq!(shares(0, 39), Some(3));
    assert_eq!(shares(1 << 40, 0), Some(7));
}
