//! What a policy leaves out is not told by errors, by a session's settings or by older versions either.

use std::sync::Arc;

use futures::TryStreamExt;
use serde_json::{Value, json};
use sqlx::Connection;

use super::access::reads;
use super::history::ROOT;
use super::lake::{Lake, asker, lines};
use crate::access::{AccessPolicy, Grant};
use crate::engine::PlanRequest;
use crate::{ErrorKind, Role, Statement};

/// Holds for days up to 20 January where days begin as in UTC.
const UNTIL_20_JANUARY: &str = "CAST(day AS TIMESTAMP WITH TIME ZONE) <= \
                                CAST('2026-01-20T00:00:00Z' AS TIMESTAMP WITH TIME ZONE)";

impl Lake {
    /// Changes the catalog behind everybody's back.
    async fn catalog(&self, sql: &'static str) {
        let database = self.store().parent().unwrap().join("catalog.db");
        let url = format!("sqlite://{}", database.display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }

    fn remove(&self, uri: &str) {
        let path = self.store().join(uri.trim_start_matches("gs://"));
        std::fs::remove_file(path).unwrap();
    }

    /// The error of a query that fails when it is planned or when it runs.
    async fn error_as(&self, text: &str, role: Role) -> crate::PlannerError {
        match self.rows_as(text, role).await {
            Ok(rows) => panic!("{text} gave {rows:?}"),
            Err(error) => error,
        }
    }
}

#[tokio::test]
async fn what_a_session_sets_changes_no_row_that_a_filter_lets_through() {
    let mut lake = Lake::with_history().await;
    let age = format!("CASE WHEN {UNTIL_20_JANUARY} THEN 'old' ELSE 'new' END");
    lake.view(
        "aged",
        &[("landfast", &format!("SELECT id, {age} AS age FROM events"))],
        &[("id", "long"), ("age", "string")],
    )
    .await;
    for grants in [
        vec![reads("lake.tpch.events", &[], Some(UNTIL_20_JANUARY))],
        // Of a view it is the view's columns that must not change.
        vec![
            reads("lake.tpch.events", &[], None),
            reads("lake.tpch.aged", &[], Some("age = 'old'")),
        ],
    ] {
        let table = if grants.len() == 1 { "events" } else { "aged" };
        lake.grant(grants);
        for zone in ["UTC", "America/New_York", "Asia/Tokyo"] {
            lake.settings.set("landfast.time_zone", zone).unwrap();
            assert_eq!(
                lake.rows(&format!("SELECT id FROM {table} ORDER BY id"))
                    .await,
                ["10", "11", "20", "22"],
                "{table} in {zone}"
            );
        }
    }
    // It does change what a statement says itself.
    lake.grant([reads("lake.tpch.events", &[], None)]);
    lake.settings
        .set("landfast.time_zone", "America/New_York")
        .unwrap();
    let own = format!("SELECT id FROM events WHERE {UNTIL_20_JANUARY} ORDER BY id");
    assert_eq!(lake.rows(&own).await, ["10", "11"]);
}

#[tokio::test]
async fn a_filters_now_is_the_present_whenever_a_query_is_replayed() {
    let lake = Lake::with_history().await;
    let filter = "id > 15 AND now() > TIMESTAMP '2026-01-01 00:00:00'";
    lake.grant([reads("lake.tpch.events", &[], Some(filter))]);
    let text = "SELECT id, date_part('year', now()) AS y FROM events ORDER BY id";
    let Statement::Query(statement) = lake.engine.parse(text).unwrap() else {
        panic!("{text} is no query")
    };
    let asker = asker(Role::Reader);
    let request = PlanRequest {
        statement: &statement,
        parameters: None,
        settings: &lake.settings,
        asker: &asker,
        pins: &[],
        now_unix_ns: Some(0),
        query_id: "q",
    };
    let planned = lake.engine.plan(request).await.unwrap();
    let batches: Vec<_> = planned.execute().unwrap().try_collect().await.unwrap();
    let rows = lines(&batches);
    assert_eq!(rows.len(), 4, "{rows:?}");
    assert!(
        rows.iter()
            .all(|row| row.ends_with("|1970") || row.ends_with("|1970.0")),
        "{rows:?}"
    );
}

#[tokio::test]
async fn an_error_names_files_to_who_may_read_all_of_the_table_alone() {
    for (gone, name) in [
        (format!("{ROOT}/data/22.parquet"), "22.parquet"),
        (format!("{ROOT}/metadata/m1.avro"), "m1.avro"),
        (format!("{ROOT}/metadata/snap-33.avro"), "snap-33.avro"),
    ] {
        let lake = Lake::with_history().await;
        lake.remove(&gone);
        let parts: [(&[&str], Option<&str>); 3] = [
            (&["id", "day"], None),
            (&[], Some("id > 11")),
            (&["id"], Some("id > 11")),
        ];
        for (columns, rows) in parts {
            lake.grant([
                reads("lake.tpch.events", columns, rows),
                reads("lake.tpch.orders", &[], None),
            ]);
            for text in [
                "SELECT id FROM events",
                "SELECT id + 1 AS n FROM events WHERE id > 12 ORDER BY n",
                "SELECT e.id FROM events e JOIN orders o ON e.id = o.o_orderkey UNION ALL SELECT id FROM events",
                "EXPLAIN ANALYZE SELECT sum(id) FROM events",
            ] {
                let error = lake.error_as(text, Role::Reader).await;
                let told = error.to_string();
                assert!(
                    told.contains("lake.tpch.events") || told.contains("a table"),
                    "{text}: {told}"
                );
                for hidden in ["gs://", "parquet", "avro", "here"] {
                    assert!(!told.contains(hidden), "{text}: {told}");
                }
                let error = lake.error_as(text, Role::Operator).await;
                assert!(error.to_string().contains(name), "{text}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_statement_gets_wrong_is_said_of_a_table_with_fewer_columns_too() {
    let lake = Lake::with_history().await;
    lake.grant([reads("lake.tpch.events", &["id", "name"], None)]);
    for (text, wanted) in [
        ("SELECT 1 / (id - 22) FROM events", "division by zero"),
        ("SELECT CAST(name AS INT) FROM events WHERE id = 20", "n20"),
    ] {
        let error = lake.error(text).await;
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().to_lowercase().contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn which_versions_a_table_has_is_told_to_who_may_read_all_of_it_alone() {
    let mut lake = Lake::with_history().await;
    let versions = [
        ("events FOR VERSION AS OF 'nope'", "audit"),
        ("\"events@nope\"", "audit"),
        ("events FOR VERSION AS OF 99", "snapshots"),
        ("events FOR TIMESTAMP AS OF '2020-01-01'", "history"),
    ];
    for grant in [
        reads("lake.tpch.events", &["id"], None),
        reads("lake.tpch.events", &[], Some("id > 11")),
    ] {
        lake.grant([grant]);
        for (version, told) in versions {
            let text = format!("SELECT id FROM {version}");
            let error = lake.error_as(&text, Role::Reader).await;
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            assert!(
                error
                    .to_string()
                    .starts_with("lake.tpch.events has no such version"),
                "{error}"
            );
            let error = lake.error_as(&text, Role::Operator).await;
            assert!(error.to_string().contains(told), "{error}");
        }
        let whole = lake.rows("SELECT count(*) FROM \"events@audit\"").await;
        assert_eq!(whole.len(), 1);
    }
    lake.settings.set("landfast.as_of", "ref nope").unwrap();
    let error = lake.error_as("SELECT id FROM events", Role::Reader).await;
    assert!(!error.to_string().contains("audit"), "{error}");
    assert!(error.to_string().contains("landfast.as_of"), "{error}");
}

fn named(id: i32, name: &str) -> Value {
    json!({"id": id, "name": name, "required": false, "type": "string"})
}

fn record(fields: &[Value]) -> Value {
    json!({"type": "struct", "fields": fields})
}

fn list(of: &Value) -> Value {
    json!({"type": "list", "element-id": 20, "element-required": false, "element": of})
}

fn map(to: &Value) -> Value {
    json!({"type": "map", "key-id": 21, "key": "string", "value-id": 22, "value-required": false, "value": to})
}

#[tokio::test]
async fn a_column_with_a_field_that_was_another_one_is_not_given_in_an_older_version() {
    let lake = Lake::with_history().await;
    let (alias, town) = (named(5, "alias"), named(6, "town"));
    let today = record(&[alias.clone(), town.clone()]);
    let cases = [
        (today.clone(), true),
        (record(&[town.clone(), alias.clone()]), true),
        // A field came since.
        (record(std::slice::from_ref(&alias)), true),
        // What was called so is gone, and another one is.
        (record(&[named(7, "alias"), town.clone()]), false),
        (record(&[named(6, "alias"), named(5, "town")]), false),
        (record(&[alias.clone(), named(6, "secret")]), false),
        (record(&[alias, town, named(8, "secret")]), false),
    ];
    let within: [fn(&Value) -> Value; 3] = [Value::clone, list, map];
    for (nth, within) in within.into_iter().enumerate() {
        for (case, (then, given)) in cases.iter().enumerate() {
            let name = format!("moved_{nth}_{case}");
            lake.engine.set_policy(AccessPolicy::of_roles());
            lake.register_history(&format!("lake.tpch.{name}"), |document| {
                let who =
                    |of: &Value| json!({"id": 4, "name": "who", "required": false, "type": within(of)});
                document["last-column-id"] = json!(30);
                for (schema, of) in [(0, then), (1, &today)] {
                    let fields = document["schemas"][schema]["fields"].as_array_mut();
                    fields.unwrap().push(who(of));
                }
            })
            .await;
            lake.grant([reads(&format!("lake.tpch.{name}"), &["id", "who"], None)]);
            let first = format!("SELECT * FROM {name} FOR VERSION AS OF 'first'");
            let described = lake.describe(&first).await.unwrap();
            assert_eq!(
                described.schema.fields().len(),
                1 + usize::from(*given),
                "{first}: {then}"
            );
            // Nor does a filter decide by it.
            let filter = Some("who IS NULL");
            lake.grant([reads(&format!("lake.tpch.{name}"), &["id"], filter)]);
            assert_eq!(
                lake.describe(&first).await.is_ok(),
                *given,
                "{first}: {then}"
            );
            lake.describe(&format!("SELECT * FROM {name}"))
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_listing_that_a_new_policy_overtakes_does_not_pass_for_one_of_that_policy() {
    let lake = Lake::new().await;
    lake.grant([reads("lake.tpch.orders", &[], None)]);
    let engine = Arc::clone(&lake.engine);
    lake.within_a_listing(move || {
        engine.set_policy(AccessPolicy::new(Vec::<Grant>::new(), &[Role::Operator]));
    });
    let overtaken = lake.plan("SHOW TABLES", None, &[]).await.unwrap();
    assert!(!lake.engine.still_allows(&overtaken, &asker(Role::Reader)));
    let after = lake.plan("SHOW TABLES", None, &[]).await.unwrap();
    assert!(lake.engine.still_allows(&after, &asker(Role::Reader)));
}

#[tokio::test]
async fn why_a_view_cannot_run_is_told_in_the_same_words_whatever_it_is() {
    let lake = Lake::with_history().await;
    let columns = &[("id", "long")][..];
    let views = [
        ("v_dialect", "spark", "SELECT id FROM events"),
        (
            "v_hidden",
            "landfast",
            "SELECT o_orderkey AS id FROM orders",
        ),
        ("v_unknown", "landfast", "SELECT id FROM nowhere"),
        (
            "v_clause",
            "landfast",
            "SELECT id FROM events TABLESAMPLE (1 ROWS)",
        ),
        ("v_column", "landfast", "SELECT secret AS id FROM events"),
        ("v_types", "landfast", "SELECT day AS id FROM events"),
    ];
    for (name, dialect, sql) in views {
        lake.view(name, &[(dialect, sql)], columns).await;
    }
    lake.grant([
        reads("lake.tpch.events", &[], None),
        reads("lake.tpch.v_*", &[], None),
    ]);
    let mut told = Vec::new();
    for (name, ..) in views {
        let error = lake
            .error_as(&format!("SELECT * FROM {name}"), Role::Reader)
            .await;
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        told.push(error.to_string().replace(name, "v"));
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn what_a_catalog_says_when_it_fails_is_for_who_may_read_everything() {
    let mut lake = Lake::with_history().await;
    lake.settings.set("landfast.freshness", "strong").unwrap();
    lake.grant([reads("lake.tpch.events", &[], None)]);
    lake.catalog("ALTER TABLE iceberg_tables RENAME COLUMN metadata_location TO secret")
        .await;
    for text in ["SELECT * FROM events", "SELECT * FROM \"events@audit\""] {
        let error = lake.error_as(text, Role::Operator).await;
        assert!(error.to_string().contains("column"), "{error}");
        let hushed = lake.error_as(text, Role::Reader).await;
        assert_eq!(hushed.kind(), error.kind(), "{hushed}");
        assert!(hushed.to_string().contains("lake"), "{hushed}");
        assert!(!hushed.to_string().contains("column"), "{hushed}");
    }
}
