//! Tables of sessions in statements: names, listings, plans that are made again.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use futures::TryStreamExt;
use landfast_catalog::Pin;

use super::lake::{Lake, asker, lines};
use crate::access::{AccessPolicy, Action, Grant, Grantee, NamePattern};
use crate::engine::{CommandOutcome, IfMissing, IfThere, PlanRequest, PlannedQuery, TableKind};
use crate::{Asker, ErrorKind, PlannerError, Result, Role, Statement};

fn of_session(session: &str) -> Asker {
    Asker {
        session: Some(session.to_owned()),
        ..asker(Role::Reader)
    }
}

impl Lake {
    /// Puts rows into a session's table, which is made or replaced.
    fn put(&self, session: &str, table: &str, rows: &[(i64, &str)]) {
        let keys = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
        let words = StringArray::from_iter_values(rows.iter().map(|row| row.1));
        let columns = [("k", Arc::new(keys) as ArrayRef), ("w", Arc::new(words))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let tables = self.engine.temporary_tables().open(session);
        let upload = tables.begin(table, IfMissing::Create, IfThere::Replace, &batch.schema());
        let mut upload = upload.unwrap();
        upload.push(&batch).unwrap();
        upload.commit().unwrap();
    }

    async fn plan_in(&self, session: &str, text: &str, pins: &[Pin]) -> Result<PlannedQuery> {
        let Statement::Query(statement) = self.engine.parse(text)? else {
            panic!("{text} is no query")
        };
        let request = PlanRequest {
            statement: &statement,
            parameters: None,
            settings: &self.settings,
            asker: &of_session(session),
            pins,
            now_unix_ns: None,
            query_id: "q",
        };
        self.engine.plan(request).await
    }

    /// Rows, after checking that the statement was described as it is planned.
    async fn try_rows_in(&self, session: &str, text: &str) -> Result<Vec<String>> {
        let statement = self.engine.parse(text)?;
        let described = self
            .engine
            .describe(&statement, &self.settings, &of_session(session))
            .await?;
        let planned = self.plan_in(session, text, &[]).await?;
        assert_eq!(described.schema, planned.schema(), "{text}");
        let stream = planned.execute()?;
        let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(PlannerError::from)?;
        Ok(lines(&batches))
    }

    async fn rows_in(&self, session: &str, text: &str) -> Vec<String> {
        let rows = self.try_rows_in(session, text).await;
        rows.unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    async fn run_in(&self, session: &str, text: &str) -> Result<CommandOutcome> {
        let Statement::Command(command) = self.engine.parse(text)? else {
            panic!("{text} is no command")
        };
        self.engine
            .run(&command, None, &self.settings, &of_session(session))
            .await
    }
}

#[tokio::test]
async fn a_bare_name_means_the_sessions_table_before_the_lakes_there_and_nowhere_else() {
    let lake = Lake::new().await;
    lake.put("one", "orders", &[(1, "a"), (2, "b")]);
    for name in [
        "orders",
        "ORDERS",
        "temporary.orders",
        "landfast.temporary.orders",
    ] {
        let sql = format!("SELECT k, w FROM {name} ORDER BY k");
        assert_eq!(lake.rows_in("one", &sql).await, ["1|a", "2|b"], "{name}");
    }
    let sql = "SELECT count(*) FROM lake.tpch.orders o LEFT JOIN orders t ON o.o_orderkey = t.k";
    assert_eq!(lake.rows_in("one", sql).await, ["0"]);
    assert_eq!(
        lake.rows_in("other", "SELECT count(*) FROM orders").await,
        ["0"]
    );
    for name in ["landfast.temporary.orders", "temporary.orders"] {
        let sql = format!("SELECT * FROM {name}");
        let unknown = lake.try_rows_in("other", &sql).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound, "{unknown}");
    }
    let near = lake.try_rows_in("one", "SELECT * FROM landfast.temporary.order");
    assert_eq!(near.await.unwrap_err().nearest(), ["orders"]);
    lake.put("one", "Orders", &[]);
    let several = lake.try_rows_in("one", "SELECT * FROM oRders").await;
    assert_eq!(several.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        lake.rows_in("one", "SELECT count(*) FROM \"orders\"").await,
        ["2"]
    );
    let versioned = "SELECT * FROM \"orders\" FOR VERSION AS OF 1";
    let versioned = lake.try_rows_in("one", versioned).await.unwrap_err();
    assert_eq!(versioned.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_temporary_table_is_joined_aggregated_and_aliased_as_any_other() {
    let lake = Lake::new().await;
    lake.put("s", "t", &[(2, "b"), (4, "d"), (99, "z")]);
    let sql = "SELECT n.n, x.w FROM landfast.system.numbers n JOIN t AS x ON n.n = x.k ORDER BY 1";
    assert_eq!(lake.rows_in("s", sql).await, ["2|b", "4|d"]);
    let sql = "SELECT t.w FROM t, temporary.t AS u WHERE t.k = u.k AND t.k > 3 ORDER BY t.k";
    assert_eq!(lake.rows_in("s", sql).await, ["d", "z"]);
    assert_eq!(
        lake.rows_in("s", "SELECT sum(k), max(w) FROM t").await,
        ["105|z"]
    );
    let sql = "WITH t AS (SELECT 7 AS k) SELECT k FROM t";
    assert_eq!(lake.rows_in("s", sql).await, ["7"]);
}

#[tokio::test]
async fn listings_show_a_session_its_own_tables() {
    let lake = Lake::new().await;
    let without = lake.rows_in("s", "SHOW TABLES").await;
    lake.put("s", "t", &[(1, "a")]);
    let shown = lake.rows_in("s", "SHOW TABLES").await;
    assert_eq!(shown.len(), without.len() + 1);
    let line = "landfast|temporary|t|LOCAL TEMPORARY".to_owned();
    assert!(shown.contains(&line));
    let within = lake.rows_in("s", "SHOW TABLES IN landfast.temporary").await;
    assert_eq!(within, std::slice::from_ref(&line));
    assert_eq!(lake.rows_in("other", "SHOW TABLES").await, without);
    assert_eq!(
        lake.rows_in("s", "SHOW SCHEMAS FROM landfast").await,
        [
            "landfast|information_schema",
            "landfast|system",
            "landfast|temporary"
        ]
    );
    let columns = ["k|BIGINT|YES", "w|VARCHAR|YES"];
    assert_eq!(lake.rows_in("s", "DESCRIBE t").await, columns);
    let sql = "SELECT table_name, column_name, data_type FROM landfast.information_schema.columns \
               WHERE table_schema = 'temporary' ORDER BY ordinal_position";
    let told = lake.rows_in("s", sql).await;
    assert_eq!(told, ["t|k|BIGINT", "t|w|VARCHAR"]);
    assert!(lake.rows_in("other", sql).await.is_empty());
    let sql = "SELECT table_name, table_type FROM landfast.information_schema.tables \
               WHERE table_type = 'LOCAL TEMPORARY'";
    assert_eq!(lake.rows_in("s", sql).await, ["t|LOCAL TEMPORARY"]);
    let session = of_session("s");
    let entries = lake.engine.entries(&session).await.tables;
    let own = entries
        .into_iter()
        .filter(|e| e.kind == TableKind::Temporary);
    let schemas = lake.engine.table_schemas(own.collect(), &session);
    let schemas = schemas.await;
    assert_eq!(schemas[0].1.as_ref().unwrap().fields().len(), 2);
}

#[tokio::test]
async fn a_reader_drops_their_own_table_and_no_other() {
    let lake = Lake::new().await;
    lake.put("one", "orders", &[(1, "a")]);
    lake.put("other", "orders", &[(2, "b")]);
    lake.run_in("one", "DROP TABLE orders").await.unwrap();
    assert_eq!(
        lake.rows_in("one", "SELECT count(*) FROM orders").await,
        ["0"]
    );
    assert_eq!(lake.rows_in("other", "SELECT w FROM orders").await, ["b"]);
    // By now the name is the lake's.
    let denied = lake.run_in("one", "DROP TABLE orders").await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
    lake.run_in("other", "DROP TABLE IF EXISTS landfast.temporary.orders")
        .await
        .unwrap();
    let unregister = "CALL landfast.unregister_table('landfast.temporary.orders')";
    lake.put("one", "orders", &[(1, "a")]);
    assert!(lake.run_in("one", unregister).await.is_err());
    assert_eq!(lake.rows_in("one", "SELECT w FROM orders").await, ["a"]);
    assert_eq!(
        lake.rows("SELECT count(*) FROM lake.tpch.orders").await,
        ["0"]
    );
}

#[tokio::test]
async fn one_needs_no_grant_for_ones_own_table_and_gets_none_by_it() {
    let lake = Lake::new().await;
    let grant = Grant {
        to: vec![Grantee::User("ada".to_string())],
        on: vec![NamePattern::parse("lake.a.b.deep").unwrap()],
        actions: [Action::Select].into(),
        ..Grant::default()
    };
    lake.engine
        .set_policy(AccessPolicy::new(vec![grant], &[Role::Operator]));
    lake.put("s", "orders", &[(1, "a")]);
    assert_eq!(lake.rows_in("s", "SELECT w FROM orders").await, ["a"]);
    let sql = "SELECT w FROM orders LEFT JOIN lake.\"a.b\".deep d ON k = d.y";
    assert_eq!(lake.rows_in("s", sql).await, ["a"]);
    let hidden = lake
        .try_rows_in("s", "SELECT * FROM lake.tpch.orders")
        .await;
    assert_eq!(hidden.unwrap_err().kind(), ErrorKind::NotFound);
    lake.run_in("s", "DROP TABLE orders").await.unwrap();
}

#[tokio::test]
async fn planning_again_reads_the_same_state_in_the_same_session_or_is_refused() {
    let lake = Lake::new().await;
    lake.put("s", "orders", &[(1, "a")]);
    let sql =
        "SELECT t.w, o.o_orderkey FROM orders t LEFT JOIN lake.tpch.orders o ON t.k = o.o_orderkey";
    let planned = lake.plan_in("s", sql, &[]).await.unwrap();
    let pins = planned.pins();
    let again = lake.plan_in("s", sql, &pins).await.unwrap();
    assert_eq!(again.pins(), pins);
    let refused = |error: PlannerError| {
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
        assert!(
            error.to_string().contains("temporary table orders"),
            "{error}"
        );
    };
    refused(lake.plan_in("other", sql, &pins).await.unwrap_err());
    assert!(lake.engine.still_allows(&planned, &of_session("s")));
    assert!(!lake.engine.still_allows(&planned, &of_session("other")));
    assert!(!lake.engine.still_allows(&planned, &asker(Role::Reader)));
    lake.put("s", "orders", &[(1, "b")]);
    refused(lake.plan_in("s", sql, &pins).await.unwrap_err());
    let rows = planned.execute().unwrap();
    let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    assert_eq!(
        lines(&rows),
        ["a|"],
        "what was planned reads what was there"
    );
    lake.run_in("s", "DROP TABLE orders").await.unwrap();
    refused(lake.plan_in("s", sql, &pins).await.unwrap_err());
    // A table that came later takes no name from a query that was planned before.
    let sql = "SELECT count(*) FROM orders";
    let pins = lake.plan_in("s", sql, &[]).await.unwrap().pins();
    lake.put("s", "orders", &[(1, "a"), (2, "b")]);
    let again = lake.plan_in("s", sql, &pins).await.unwrap();
    assert_eq!(again.pins(), pins);
}

#[tokio::test]
async fn the_receipt_names_the_table_and_no_site() {
    let lake = Lake::new().await;
    lake.put("s", "t", &[(1, "a")]);
    let planned = lake.plan_in("s", "SELECT * FROM t", &[]).await.unwrap();
    let rows: Vec<RecordBatch> = planned.execute().unwrap().try_collect().await.unwrap();
    assert_eq!(lines(&rows), ["1|a"]);
    let receipt = planned.receipt();
    assert_eq!(receipt.snapshots.len(), 1);
    let table = &receipt.snapshots[0];
    assert_eq!(table.table.to_string(), "landfast.temporary.t");
    assert_eq!((table.snapshot_id, table.stale), (None, false));
    assert!(receipt.sites.is_empty());
    let told = lake.rows_in("s", "EXPLAIN ANALYZE SELECT * FROM t").await;
    assert!(
        told.iter()
            .any(|line| line.contains("landfast.temporary.t")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|line| line.contains("no site was read")),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_view_sees_no_sessions_tables() {
    let lake = Lake::new().await;
    let query = "SELECT o_comment FROM orders";
    lake.view("v", &[("landfast", query)], &[("o_comment", "string")])
        .await;
    lake.put("s", "orders", &[(1, "a")]);
    assert_eq!(lake.rows_in("s", "SELECT count(*) FROM v").await, ["0"]);
    for (sql, reads) in [("SELECT * FROM orders", true), ("SELECT * FROM v", false)] {
        let statement = lake.engine.parse(sql).unwrap();
        let session = of_session("s");
        let described = lake.engine.describe(&statement, &lake.settings, &session);
        assert_eq!(described.await.unwrap().reads_temporary, reads, "{sql}");
    }
    let full = "SELECT * FROM landfast.temporary.orders";
    lake.view(
        "w",
        &[("landfast", full)],
        &[("n", "long"), ("s", "string")],
    )
    .await;
    let statement = lake.engine.parse("SELECT * FROM w").unwrap();
    let session = of_session("s");
    let described = lake.engine.describe(&statement, &lake.settings, &session);
    assert!(described.await.is_err());
}
