use futures::TryStreamExt;

use super::lake::{Lake, shape};
use crate::ErrorKind;

#[tokio::test]
async fn queries_give_their_rows_with_one_schema_on_every_path() {
    let lake = Lake::new().await;
    assert_eq!(lake.rows("SELECT 1").await, ["1"]);
    assert_eq!(lake.rows("VALUES (1, 'a'), (2, NULL)").await, ["1|a", "2|"]);
    assert_eq!(
        lake.rows("SELECT count(*), max(o_total) FROM orders").await,
        ["0|"]
    );
    assert_eq!(
        lake.rows("SELECT even, sum(n) AS S, count(*) FROM landfast.system.numbers GROUP BY EVEN ORDER BY s").await,
        ["yes|20|5", "no|25|5"]
    );
    assert_eq!(
        lake.rows("SELECT a.n FROM landfast.system.numbers a JOIN landfast.system.numbers b USING (N) WHERE n > 8").await,
        ["9"]
    );
    assert_eq!(
        lake.rows("SELECT n FROM landfast.system.numbers ORDER BY n DESC FETCH FIRST 2 ROWS ONLY")
            .await,
        ["9", "8"]
    );
    assert_eq!(
        lake.rows("SELECT principal FROM landfast.system.whoami")
            .await,
        ["ada"]
    );
    assert_eq!(
        lake.rows("SELECT sum(value) FROM generate_series(1, 4)")
            .await,
        ["10"]
    );
    assert_eq!(
        lake.rows("SELECT x FROM unnest([3, 4]) AS u(x) ORDER BY X")
            .await,
        ["3", "4"]
    );
    assert_eq!(
        lake.rows("WITH RECURSIVE f(N, M) AS (SELECT 1, 1 UNION ALL SELECT n + 1, m * (n + 1) FROM f WHERE n < 5) SELECT max(M) FROM f")
            .await,
        ["120"]
    );
    assert_eq!(
        lake.rows(
            "SELECT n FROM landfast.system.numbers o WHERE n = (SELECT max(i.n) FROM landfast.system.numbers i WHERE i.even = o.even) ORDER BY 1"
        )
        .await,
        ["8", "9"]
    );
    assert_eq!(
        lake.rows("SELECT 1 WHERE EXISTS (SELECT 1 FROM orders)")
            .await,
        [] as [&str; 0]
    );
}

#[tokio::test]
async fn a_decimal_meets_a_number_as_it_is_written_and_any_other_double_as_a_double() {
    let lake = Lake::new().await;
    for (compared, rows) in [
        ("d + 0.79 = 7.79", vec!["7"]),
        ("d + 123456.79 = 123463.79", vec!["7"]),
        ("123463.79 >= d + 123456.79 AND d > 5", vec!["6", "7"]),
        ("d + 9999992.99 >= 9999999.99", vec!["7", "8", "9"]),
        ("d - 9999999.99 < -9999997.99", vec!["0", "1"]),
        (
            "d / 100 BETWEEN 0.06 - 0.01 AND 0.06 + 0.01",
            vec!["5", "6", "7"],
        ),
        ("d + 123456.79 IN (123463.79, 123464.79, 5)", vec!["7", "8"]),
        (
            "CASE d + 123456.79 WHEN 123463.79 THEN true ELSE false END",
            vec!["7"],
        ),
        ("d + 1234567890123456.78 = 1234567890123463.78", vec!["7"]),
        (
            "d + 18446744073709551617 > 18446744073709551624",
            vec!["8", "9"],
        ),
        ("d = CAST(n AS DOUBLE) AND n > 7", vec!["8", "9"]),
        ("d < CAST(n AS DOUBLE) * 1e300 AND n < 3", vec!["1", "2"]),
        ("d < CAST('NaN' AS DOUBLE) AND n < 2", vec!["0", "1"]),
        ("d > 6.5e0", vec!["7", "8", "9"]),
        ("CAST(n AS DOUBLE) / 10 = 0.7", vec!["7"]),
        ("n * 0.5 BETWEEN 1.25 AND 2", vec!["3", "4"]),
    ] {
        let text = format!(
            "SELECT n FROM (SELECT n, CAST(n AS DECIMAL(20, 2)) AS d FROM landfast.system.numbers) WHERE {compared} ORDER BY n"
        );
        assert_eq!(lake.rows(&text).await, rows, "{text}");
    }
    assert_eq!(
        lake.rows("SELECT arrow_typeof(19.99), arrow_typeof(1.5 + 1), arrow_typeof(1)")
            .await,
        ["Float64|Float64|Int64"]
    );
}

#[tokio::test]
async fn nullability_and_types_are_stable_and_dictionaries_are_values() {
    let lake = Lake::new().await;
    let described = lake
        .describe("SELECT count(*) AS c, max(o_orderkey) AS m, arrow_cast('x', 'Dictionary(Int32, Utf8)') AS d, o_orderkey FROM orders GROUP BY o_orderkey")
        .await
        .unwrap();
    assert_eq!(
        shape(&described.schema),
        ["c:Int64", "m:Int64?", "d:Utf8", "o_orderkey:Int64"]
    );
    assert!(
        described
            .schema
            .fields()
            .iter()
            .all(|field| field.metadata().is_empty())
    );
    assert_eq!(
        lake.rows("SELECT arrow_cast('x', 'Dictionary(Int32, Utf8)')")
            .await,
        ["x"]
    );
    let union = lake
        .describe("SELECT 1::int AS x UNION ALL SELECT 2::bigint")
        .await
        .unwrap();
    assert_eq!(shape(&union.schema), ["x:Int64"]);
}

#[tokio::test]
async fn a_result_may_have_several_columns_of_one_name() {
    let lake = Lake::new().await;
    for (sql, names, rows) in [
        (
            "SELECT n, N FROM landfast.system.numbers WHERE n > 8",
            "n n",
            "9|9",
        ),
        (
            "SELECT a.n, a.n FROM landfast.system.numbers a WHERE a.n > 8 ORDER BY a.n",
            "n n",
            "9|9",
        ),
        ("SELECT 2 AS two, 1 AS two", "two two", "2|1"),
        (
            "SELECT *, n FROM landfast.system.numbers WHERE n > 8 ORDER BY n",
            "n even n",
            "9|no|9",
        ),
        (
            "SELECT n, * FROM landfast.system.numbers WHERE n > 8",
            "n n even",
            "9|9|no",
        ),
        (
            "SELECT even, count(*), count(*) FROM landfast.system.numbers GROUP BY even HAVING max(n) > 8",
            "even count(*) count(*)",
            "no|5|5",
        ),
        (
            "SELECT DISTINCT even, even FROM landfast.system.numbers ORDER BY even LIMIT 1",
            "even even",
            "no|no",
        ),
        (
            "WITH a AS (SELECT 1 AS x) SELECT x, x, x FROM a",
            "x x x",
            "1|1|1",
        ),
    ] {
        let described = lake.describe(sql).await.unwrap();
        let found: Vec<&str> = described
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        assert_eq!(found.join(" "), names, "{sql}");
        assert_eq!(lake.rows(sql).await, [rows], "{sql}");
    }
    let plan = lake
        .rows("EXPLAIN VERBOSE SELECT n, n FROM landfast.system.numbers")
        .await
        .join("\n");
    assert!(plan.contains("AS n") && !plan.contains('\u{1f}'), "{plan}");
    let error = lake.error("SELECT 2 AS two, 1 AS two ORDER BY two").await;
    assert!(error.to_string().contains("two"), "{error}");
}

#[tokio::test]
async fn sides_of_except_whose_columns_share_a_name_are_refused() {
    let lake = Lake::new().await;
    let from =
        "FROM landfast.system.numbers a LEFT JOIN landfast.system.numbers b ON a.n = b.n - 100";
    for op in ["EXCEPT", "INTERSECT"] {
        for sides in [
            format!("SELECT a.n, b.n {from} {op} SELECT 1, 2"),
            format!("SELECT 1 AS x, 2 AS y {op} SELECT a.n, b.n {from}"),
        ] {
            let error = lake.error(&sides).await;
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{sides}: {error}");
        }
    }
    let told = format!("SELECT a.n AS x, b.n AS y {from} WHERE a.n = 1 EXCEPT SELECT 1, NULL");
    assert_eq!(lake.rows(&told).await, [] as [&str; 0]);
    assert_eq!(
        lake.rows("SELECT n, n FROM landfast.system.numbers WHERE n < 3 EXCEPT SELECT 1, 1")
            .await
            .len(),
        lake.rows("SELECT n FROM landfast.system.numbers WHERE n < 3")
            .await
            .len()
            - 1
    );
}

#[tokio::test]
async fn expressions_that_double_at_every_level_are_refused_before_they_are_written_out() {
    let lake = Lake::new().await;
    let nested = |levels: usize| {
        let from = "SELECT n AS c FROM landfast.system.numbers".to_string();
        let query = (0..levels).fold(from, |below, _| format!("SELECT c + c AS c FROM ({below})"));
        format!("SELECT count(*) FROM ({query}) WHERE c + c >= 0")
    };
    assert_eq!(lake.rows(&nested(4)).await, ["10"]);
    let error = lake.error(&nested(20)).await;
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    let grouped = (0..20).fold(
        "SELECT n AS c FROM landfast.system.numbers".to_string(),
        |below, _| format!("SELECT c + c AS c FROM ({below}) GROUP BY c + c"),
    );
    let error = lake
        .error(&format!("SELECT * FROM ({grouped}) WHERE c > 1"))
        .await;
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
}

#[tokio::test]
async fn a_plan_runs_once() {
    let lake = Lake::new().await;
    let planned = lake
        .plan("SELECT n FROM landfast.system.numbers", None, &[])
        .await
        .unwrap();
    let rows: usize = planned
        .execute()
        .unwrap()
        .map_ok(|batch| batch.num_rows())
        .try_fold(0, |a, b| async move { Ok(a + b) })
        .await
        .unwrap();
    assert_eq!(rows, 10);
    assert_eq!(planned.execute().err().unwrap().kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn a_query_that_needs_more_memory_than_there_is_fails_by_that_name() {
    let lake = Lake::empty(|spec| spec.memory_limit_bytes = 100_000).await;
    let error = lake
        .error(
            "SELECT value, count(*) FROM generate_series(1, 1000000) GROUP BY value ORDER BY value",
        )
        .await;
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert_eq!(
        lake.engine.memory_used(),
        0,
        "what failed has given everything back"
    );
}

#[tokio::test]
async fn a_query_that_may_spill_finishes_within_its_memory() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::empty(|spec| {
        spec.memory_limit_bytes = 24 << 20;
        spec.spill_dir = Some(dir.path().join("spill"));
        spec.spill_limit_bytes = 1 << 30;
    })
    .await;
    let rows = lake
        .rows("SELECT count(*), min(a), max(b) FROM (SELECT value AS a, repeat('x', 20) || value AS b FROM generate_series(1, 600000) ORDER BY b DESC)")
        .await;
    assert_eq!(rows.len(), 1);
    assert!(rows[0].starts_with("600000|1|"), "{rows:?}");
}

#[tokio::test]
async fn wrong_values_are_the_statements_fault() {
    let lake = Lake::new().await;
    for text in [
        "SELECT 1 / 0",
        "SELECT CAST('x' AS int)",
        "SELECT n + 'x' FROM landfast.system.numbers",
        "SELECT sum(even) FROM landfast.system.numbers",
    ] {
        let error = lake.error(text).await;
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}: {error}");
    }
}

#[tokio::test]
async fn statements_at_the_limits_of_depth_are_planned_without_overflowing() {
    let lake = Lake::new().await;
    let wide: String = (0..3000).map(|n| format!(" OR n = {n}")).collect();
    assert_eq!(
        lake.rows(&format!(
            "SELECT count(*) FROM landfast.system.numbers WHERE n = -1{wide}"
        ))
        .await,
        ["10"]
    );
    assert_eq!(
        lake.rows(&format!("SELECT 1{}", " + 1".repeat(150))).await,
        ["151"]
    );
    let unions = " UNION ALL SELECT 1".repeat(120);
    assert_eq!(
        lake.rows(&format!("SELECT count(*) FROM (SELECT 1{unions})"))
            .await,
        ["121"]
    );
    let nested = format!(
        "{}SELECT 1 AS x{}",
        "SELECT x FROM (".repeat(40),
        ")".repeat(40)
    );
    assert_eq!(lake.rows(&nested).await, ["1"]);
}

#[tokio::test]
async fn now_is_of_the_day_that_it_is_in_the_sessions_time_zone() {
    let mut lake = Lake::new().await;
    // Whatever the time is, in one of them the day is another one than in UTC.
    for zone in ["UTC", "+14:00", "-12:00", "Asia/Tokyo"] {
        lake.settings.set("landfast.time_zone", zone).unwrap();
        let rows = lake
            .rows("SELECT current_date = CAST(now() AS DATE) AS same, now() < to_timestamp('2020-01-01T00:00:00Z') AS before")
            .await;
        assert_eq!(rows, ["true|false"], "{zone}");
    }
}
