use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};

use super::lake::{Lake, asker};
use crate::{ErrorKind, Role};

#[tokio::test]
async fn set_and_reset_give_new_settings_and_touch_nothing_else() {
    let lake = Lake::new().await;
    let new = lake
        .run_as("SET landfast.freshness = 'strong'", Role::Reader, None)
        .await
        .unwrap()
        .settings
        .unwrap();
    assert_eq!(new.show("landfast.freshness").unwrap(), "strong");
    assert_eq!(
        lake.settings.show("landfast.freshness").unwrap(),
        "bounded 60s"
    );
    let new = lake
        .run_as("SET landfast.catalog = 'LAKE'", Role::Reader, None)
        .await
        .unwrap()
        .settings
        .unwrap();
    assert_eq!(new.show("catalog").unwrap(), "lake");
    let reset = lake
        .run_as("RESET ALL", Role::Reader, None)
        .await
        .unwrap()
        .settings
        .unwrap();
    assert_eq!(&reset, lake.engine.defaults());
    for text in [
        "SET datafusion.catalog.location = '/'",
        "SET landfast.catalog = 'nowhere'",
        "SET landfast.placement = 'nowhere'",
        "SET landfast.freshness = 'soon'",
        "SET datafusion.runtime.memory_limit = '1K'",
        "SET datafusion.execution.parquet.pushdown_filters = true",
    ] {
        assert!(lake.run(text).await.is_err(), "{text}");
    }
}

#[tokio::test]
async fn use_sets_the_catalog_and_the_schema() {
    let lake = Lake::new().await;
    let set = |text: &'static str| async {
        lake.run_as(text, Role::Reader, None)
            .await
            .unwrap()
            .settings
            .unwrap()
    };
    let new = set("USE lake.MIXED").await;
    assert_eq!(
        (new.show("catalog").unwrap(), new.show("schema").unwrap()),
        ("lake".into(), "Mixed".into())
    );
    let new = set("USE Lake").await;
    assert_eq!(
        (new.show("catalog").unwrap(), new.show("schema").unwrap()),
        ("lake".into(), String::new())
    );
    assert_eq!(set("USE \"a.b\"").await.show("schema").unwrap(), "a.b");
    assert_eq!(
        lake.run("USE nowhere").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn readers_may_not_change_catalogs_and_engineers_may() {
    let lake = Lake::new().await;
    for text in [
        "CREATE SCHEMA lake.x",
        "DROP SCHEMA lake.x",
        "DROP TABLE orders",
        "CALL landfast.register_table('lake.tpch.t', 'gs://lake/x')",
        "CALL landfast.unregister_table('lake.tpch.orders')",
    ] {
        let error = lake.run_as(text, Role::Reader, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{text}");
        let statement = lake.engine.parse(text).unwrap();
        let error = lake
            .engine
            .describe(&statement, &lake.settings, &asker(Role::Reader))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{text}");
        let described = lake
            .engine
            .describe(&statement, &lake.settings, &asker(Role::Operator))
            .await
            .unwrap();
        assert!(described.is_update && described.schema.fields().is_empty());
    }
    assert!(
        lake.describe("SELECT * FROM orders").await.is_ok(),
        "describing a command has run nothing"
    );
}

#[tokio::test]
async fn what_a_command_changed_is_seen_by_the_next_query() {
    let lake = Lake::new().await;
    assert_eq!(
        lake.error("SELECT * FROM lake.news.t").await.kind(),
        ErrorKind::NotFound
    );
    lake.run("CREATE SCHEMA news").await.unwrap();
    lake.run("CREATE SCHEMA IF NOT EXISTS lake.news")
        .await
        .unwrap();
    assert_eq!(
        lake.run("CREATE SCHEMA lake.news")
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::AlreadyExists
    );
    let uri = lake.metadata("lake.news.t", &[("a", "long")]);
    let row = |values: [&str; 2]| {
        let columns = values.map(|value| Arc::new(StringArray::from(vec![value])) as ArrayRef);
        RecordBatch::try_from_iter(["$1", "$2"].into_iter().zip(columns)).unwrap()
    };
    let call = "CALL landfast.register_table(?, ?)";
    lake.run_as(call, Role::Engineer, Some(&row(["lake.news.t", &uri])))
        .await
        .unwrap();
    assert_eq!(lake.rows("SELECT count(*) FROM lake.news.t").await, ["0"]);
    let error = lake
        .run_as(call, Role::Engineer, Some(&row(["lake.news.t", &uri])))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert_eq!(
        lake.run("DROP SCHEMA lake.news").await.unwrap_err().kind(),
        ErrorKind::FailedPrecondition
    );
    lake.run("CALL landfast.unregister_table('LAKE.News.T')")
        .await
        .unwrap();
    assert_eq!(
        lake.error("SELECT * FROM lake.news.t").await.kind(),
        ErrorKind::NotFound
    );
    lake.run("DROP TABLE IF EXISTS lake.news.t").await.unwrap();
    assert_eq!(
        lake.run("DROP TABLE lake.news.t").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    lake.run("DROP SCHEMA lake.NEWS").await.unwrap();
    lake.run("DROP SCHEMA IF EXISTS lake.news").await.unwrap();
    assert_eq!(
        lake.run("DROP SCHEMA lake.news").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_twin_registered_a_moment_ago_makes_a_name_ambiguous_at_once() {
    let lake = Lake::new().await;
    lake.rows("SELECT count(*) FROM ORDERS").await;
    lake.table("lake.tpch.\"Orders\"", &[("a", "long")]).await;
    assert_eq!(
        lake.error("SELECT count(*) FROM ORDERS").await.kind(),
        ErrorKind::InvalidArgument
    );
}

#[tokio::test]
async fn a_uri_outside_every_prefix_and_landfasts_own_names_are_refused() {
    let lake = Lake::new().await;
    for (text, kind) in [
        (
            "CALL landfast.register_table('lake.tpch.t', 'file:///etc/passwd')",
            ErrorKind::InvalidArgument,
        ),
        (
            "CALL landfast.register_table('lake.tpch.t', '/etc/passwd')",
            ErrorKind::InvalidArgument,
        ),
        (
            "CALL landfast.register_table('lake.tpch.t', 'gs://other/x.metadata.json')",
            ErrorKind::InvalidArgument,
        ),
        (
            "CALL landfast.register_table('a b c', 'gs://lake/x')",
            ErrorKind::InvalidArgument,
        ),
        (
            "CALL landfast.register_table('landfast.system.t', 'gs://lake/x')",
            ErrorKind::PermissionDenied,
        ),
        ("CREATE SCHEMA landfast.x", ErrorKind::PermissionDenied),
        (
            "CREATE SCHEMA lake.INFORMATION_SCHEMA",
            ErrorKind::PermissionDenied,
        ),
        (
            "DROP TABLE landfast.system.numbers",
            ErrorKind::PermissionDenied,
        ),
        (
            "DROP TABLE lake.information_schema.tables",
            ErrorKind::PermissionDenied,
        ),
        ("DROP SCHEMA landfast.system", ErrorKind::PermissionDenied),
    ] {
        let error = lake.run(text).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{text}: {error}");
    }
}
