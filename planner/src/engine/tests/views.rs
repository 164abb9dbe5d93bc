use serde_json::{Value, json};
use sqlx::Connection;

use super::lake::{Lake, lines, shape};
use crate::ErrorKind;

impl Lake {
    /// Puts a view into `lake.tpch`: queries by dialect, and what it is recorded to give.
    pub(super) async fn view(
        &self,
        name: &str,
        queries: &[(&str, &str)],
        columns: &[(&str, &str)],
    ) {
        self.view_with(name, queries, columns, |_| {}).await;
    }

    async fn view_with(
        &self,
        name: &str,
        queries: &[(&str, &str)],
        columns: &[(&str, &str)],
        edit: impl FnOnce(&mut Value),
    ) {
        let queries = queries
            .iter()
            .map(|(dialect, sql)| json!({"type": "sql", "dialect": dialect, "sql": sql}));
        let fields = columns
            .iter()
            .enumerate()
            .map(|(at, (name, of))| json!({"id": at, "name": name, "required": false, "type": of}));
        let mut version = json!({
            "version-id": 1, "timestamp-ms": 1, "schema-id": 0, "summary": {},
            "default-namespace": ["tpch"], "representations": queries.collect::<Vec<_>>(),
        });
        edit(&mut version);
        let document = json!({
            "view-uuid": uuid::Uuid::new_v4(), "format-version": 1, "location": "gs://lake/views",
            "current-version-id": 1, "versions": [version],
            "schemas": [{"type": "struct", "schema-id": 0, "fields": fields.collect::<Vec<_>>()}],
            "version-log": [{"timestamp-ms": 1, "version-id": 1}],
        });
        let dir = self.store().join("lake/views");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(format!("{name}.json")), document.to_string()).unwrap();
        let database = self.store().parent().unwrap().join("catalog.db");
        let url = format!("sqlite://{}", database.display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query("INSERT INTO iceberg_tables VALUES ('lake', 'tpch', ?, ?, NULL, 'VIEW')")
            .bind(name)
            .bind(format!("gs://lake/views/{name}.json"))
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// Gives a view a second version, beside the first or in its place.
    async fn replace_view(&self, name: &str, sql: &str, beside: bool) {
        let dir = self.store().join("lake/views");
        let document = std::fs::read_to_string(dir.join(format!("{name}.json"))).unwrap();
        let mut document: Value = serde_json::from_str(&document).unwrap();
        let mut version = document["versions"][0].clone();
        version["version-id"] = json!(2);
        version["representations"][0]["sql"] = json!(sql);
        let versions = document["versions"].as_array_mut().unwrap();
        if !beside {
            versions.clear();
        }
        versions.push(version);
        document["current-version-id"] = json!(2);
        let file = format!("{name}-{beside}.json");
        std::fs::write(dir.join(&file), document.to_string()).unwrap();
        let database = self.store().parent().unwrap().join("catalog.db");
        let url = format!("sqlite://{}", database.display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let moved = "UPDATE iceberg_tables SET metadata_location = ? WHERE table_name = ?";
        sqlx::query(moved)
            .bind(format!("gs://lake/views/{file}"))
            .bind(name)
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_view_is_its_query_in_its_own_schema_with_its_recorded_columns() {
    let mut lake = Lake::with_history().await;
    lake.view(
        "totals",
        &[
            ("spark", "SELEKT"),
            (
                "landfast",
                "SELECT id, upper(name), 7 FROM events WHERE id > 10",
            ),
        ],
        &[("Id", "long"), ("who", "string"), ("seven", "int")],
    )
    .await;
    lake.view(
        "more",
        &[("trino", "SELECT sum(\"Id\") AS s FROM lake.tpch.totals")],
        &[("s", "long")],
    )
    .await;
    lake.settings.schema = None;
    let described = lake
        .describe("SELECT * FROM lake.tpch.Totals")
        .await
        .unwrap();
    assert_eq!(
        shape(&described.schema),
        ["Id:Int64?", "who:Utf8View?", "seven:Int32"]
    );
    assert_eq!(
        lake.rows("SELECT id, t.WHO FROM tpch.totals t WHERE who IS NOT NULL ORDER BY id")
            .await,
        ["20|N20", "30|N30"]
    );
    assert_eq!(
        lake.rows("SELECT totals.id FROM tpch.totals ORDER BY 1 LIMIT 1")
            .await,
        ["11"]
    );
    assert_eq!(lake.rows("SELECT m.s FROM tpch.more m").await, ["116"]);
    assert_eq!(
        lake.rows("DESCRIBE tpch.totals").await,
        ["Id|BIGINT|YES", "who|VARCHAR|YES", "seven|INTEGER|NO"]
    );
    // Nobody writes the view's own scope into the statement's: its tables' names are unknown there.
    let error = lake.error("SELECT events.id FROM tpch.totals").await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn a_view_and_a_table_in_one_statement_are_of_one_snapshot_which_is_pinned() {
    let mut lake = Lake::with_history().await;
    lake.view(
        "all_events",
        &[("landfast", "SELECT id FROM events")],
        &[("id", "long")],
    )
    .await;
    lake.view(
        "first_events",
        &[(
            "landfast",
            "SELECT id FROM events FOR VERSION AS OF 'first'",
        )],
        &[("id", "long")],
    )
    .await;
    let text = "SELECT (SELECT count(*) FROM all_events) AS a, (SELECT count(*) FROM events) AS b, \
                (SELECT count(*) FROM first_events) AS c";
    let planned = lake.plan(text, None, &[]).await.unwrap();
    let pins = planned.pins();
    let of_tables = pins.iter().filter(|pin| pin.is_of_table());
    assert_eq!((of_tables.count(), pins.len()), (2, 4), "{pins:?}");
    let again = lake.plan(text, None, &pins).await.unwrap();
    assert_eq!(again.pins(), pins);
    let batches = futures::TryStreamExt::try_collect::<Vec<_>>(again.execute().unwrap());
    assert_eq!(lines(&batches.await.unwrap()), ["6|6|2"]);
    // What the pins don't hold was not read when the query was planned.
    let error = lake
        .plan("SELECT * FROM orders, events", None, &pins)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    let told = lake.rows("EXPLAIN SELECT * FROM all_events").await;
    assert!(
        told.iter().any(|line| line.contains("all_events")),
        "{told:?}"
    );
    lake.settings.set("landfast.as_of", "ref audit").unwrap();
    assert_eq!(lake.rows(text).await, ["4|4|2"]);
}

#[tokio::test]
async fn a_view_that_is_replaced_stays_as_it_was_for_whoever_pinned_it() {
    let mut lake = Lake::with_history().await;
    lake.view(
        "some",
        &[("landfast", "SELECT id FROM events WHERE id > 10")],
        &[("id", "long")],
    )
    .await;
    lake.view(
        "outer",
        &[("landfast", "SELECT id FROM some")],
        &[("id", "long")],
    )
    .await;
    lake.settings.set("landfast.freshness", "strong").unwrap();
    let text = "SELECT count(*) FROM outer";
    let pins = lake.plan(text, None, &[]).await.unwrap().pins();
    let before = lake.rows(text).await;
    let rows = async || {
        let planned = lake.plan(text, None, &pins).await?;
        let batches = futures::TryStreamExt::try_collect::<Vec<_>>(planned.execute()?);
        Ok::<_, crate::PlannerError>(lines(&batches.await.unwrap()))
    };
    lake.replace_view("some", "SELECT id FROM events WHERE id > 20", true)
        .await;
    assert_ne!(lake.rows(text).await, before);
    assert_eq!(rows().await.unwrap(), before);
    // Its metadata no longer has the version.
    lake.replace_view("some", "SELECT id FROM events WHERE id > 20", false)
        .await;
    let error = rows().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    assert!(error.to_string().contains("some"), "{error}");
}

#[tokio::test]
async fn views_are_listed_as_views_whether_they_run_or_not() {
    let lake = Lake::with_history().await;
    lake.view(
        "a_view",
        &[("landfast", "SELECT id FROM events")],
        &[("id", "long")],
    )
    .await;
    lake.view(
        "b_view",
        &[("spark", "SELECT id FROM events")],
        &[("id", "long")],
    )
    .await;
    assert_eq!(
        lake.rows("SHOW TABLES LIKE '%view'").await,
        ["lake|tpch|a_view|VIEW", "lake|tpch|b_view|VIEW"]
    );
    assert_eq!(
        lake.rows("SELECT table_name, table_type FROM lake.information_schema.tables WHERE table_name LIKE '%view' ORDER BY 1").await,
        ["a_view|VIEW", "b_view|VIEW"]
    );
    assert_eq!(
        lake.rows("SELECT table_name FROM lake.information_schema.views ORDER BY 1")
            .await,
        ["a_view", "b_view"]
    );
    assert_eq!(
        lake.rows("SELECT table_name, column_name, data_type FROM lake.information_schema.columns WHERE table_name LIKE '%view' ORDER BY 1").await,
        ["a_view|id|BIGINT", "b_view|id|BIGINT"]
    );
    let error = lake.error("SELECT * FROM b_view").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("lake.tpch.b_view"), "{error}");
    assert!(error.to_string().contains("written for spark"), "{error}");
}

#[tokio::test]
async fn a_view_that_cannot_be_relied_on_is_refused() {
    let lake = Lake::with_history().await;
    lake.view(
        "fine",
        &[("landfast", "SELECT id FROM events")],
        &[("id", "long")],
    )
    .await;
    for (name, dialect, sql, columns, wanted) in [
        (
            "changed",
            "landfast",
            "SELECT id, day FROM events",
            &[("id", "long")][..],
            "1 columns are recorded",
        ),
        (
            "retyped",
            "landfast",
            "SELECT day FROM events",
            &[("day", "long")],
            "recorded as BIGINT",
        ),
        (
            "itself",
            "landfast",
            "SELECT id FROM itself",
            &[("id", "long")],
            "reads itself",
        ),
        (
            "writes",
            "landfast",
            "DROP TABLE events",
            &[("id", "long")],
            "no query",
        ),
        (
            "asks",
            "landfast",
            "SELECT id FROM events WHERE id = ?",
            &[("id", "long")],
            "parameters",
        ),
        (
            "hints",
            "landfast",
            "SELECT id FROM events TABLESAMPLE (1 ROWS)",
            &[("id", "long")],
            "TABLESAMPLE",
        ),
        (
            "divides",
            "trino",
            "SELECT id / 2 AS id FROM events",
            &[("id", "long")],
            "in Trino",
        ),
        (
            "gone",
            "landfast",
            "SELECT id FROM nowhere",
            &[("id", "long")],
            "nowhere",
        ),
    ] {
        lake.view(name, &[(dialect, sql)], columns).await;
        let error = lake.error(&format!("SELECT * FROM {name}")).await;
        assert!(error.to_string().contains(wanted), "{name}: {error}");
        assert!(
            error.to_string().contains(&format!("lake.tpch.{name}")),
            "{name}: {error}"
        );
        assert!(
            lake.describe(&format!("SELECT * FROM {name}"))
                .await
                .is_err(),
            "{name}"
        );
    }
    for text in [
        "SELECT * FROM fine FOR VERSION AS OF 11",
        "SELECT * FROM \"fine@audit\"",
        "SELECT * FROM \"fine$files\"",
    ] {
        let error = lake.error(text).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}: {error}");
        assert_eq!(
            error.position().map(|at| at.column),
            Some(15),
            "{text}: {error}"
        );
    }
    assert!(lake.run("DROP TABLE fine").await.is_err());
}

#[tokio::test]
async fn views_upon_views_are_bounded() {
    let lake = Lake::with_history().await;
    lake.view(
        "v0",
        &[("landfast", "SELECT id FROM events")],
        &[("id", "long")],
    )
    .await;
    for n in 1..=18 {
        let sql = format!("SELECT id FROM v{}", n - 1);
        lake.view(&format!("v{n}"), &[("landfast", &sql)], &[("id", "long")])
            .await;
    }
    assert_eq!(lake.rows("SELECT count(*) FROM v15").await, ["6"]);
    let error = lake.error("SELECT count(*) FROM v18").await;
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    lake.view(
        "w0",
        &[("landfast", "SELECT id FROM events")],
        &[("id", "long")],
    )
    .await;
    for n in 1..=10 {
        let sql = format!("SELECT a.id FROM w{0} a JOIN w{0} b ON a.id = b.id", n - 1);
        lake.view(&format!("w{n}"), &[("landfast", &sql)], &[("id", "long")])
            .await;
    }
    let error = lake.error("SELECT count(*) FROM w10").await;
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
}

#[tokio::test]
async fn a_views_catalog_may_have_another_name_where_it_was_written() {
    let lake = Lake::with_history().await;
    lake.view_with(
        "elsewhere",
        &[(
            "landfast",
            "SELECT e.id FROM prod.tpch.events e JOIN tpch.events f ON e.id = f.id",
        )],
        &[("id", "long")],
        |version| version["default-catalog"] = json!("prod"),
    )
    .await;
    assert_eq!(lake.rows("SELECT count(*) FROM elsewhere").await, ["6"]);
}
