//! Views: as REST catalogs send them, and as SQL catalogs point to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use landfast_catalog::{
    CatalogErrorKind, Freshness, MemberSpec, Namespace, NamespaceSpec, Reading, RestSpec,
};
use landfast_sites::ReadLog;
use serde_json::{Value, json};

use crate::lake::{HandClock, Lake, table_name};
use crate::rest_double::{Reply, RestDouble};
use crate::sql;

const VIEWS: &str = "/v1/namespaces/shop/views";

fn of(lake: &Lake, members: Vec<MemberSpec>) -> Arc<Namespace> {
    Namespace::new(NamespaceSpec::new(members), lake.sites.clone()).unwrap()
}

fn view(sql: &str) -> Value {
    json!({
        "view-uuid": "fa6506c3-7681-40c8-86dc-e36561f83385", "format-version": 1, "location": "gs://lake/v",
        "current-version-id": 1,
        "versions": [{"version-id": 1, "schema-id": 0, "timestamp-ms": 1, "summary": {}, "default-namespace": ["shop"],
                      "representations": [{"type": "sql", "sql": sql, "dialect": "spark"}]}],
        "schemas": [{"schema-id": 0, "type": "struct", "fields": [
            {"id": 1, "name": "a", "required": false, "type": "int"}]}],
        "version-log": [{"timestamp-ms": 1, "version-id": 1}]
    })
}

fn loaded(sql: &str) -> Reply {
    Reply::ok(json!({"metadata-location": "gs://lake/v/1.json", "metadata": view(sql)}))
}

/// The namespace `shop` with one table.
fn shop(target: &str) -> Option<Reply> {
    let reply = match target {
        target if target.starts_with("/v1/namespaces?parent=") => json!({"namespaces": []}),
        target if target.starts_with("/v1/namespaces?") => json!({"namespaces": [["shop"]]}),
        target if target.contains("/tables?") => json!({"identifiers": [{"name": "orders"}]}),
        _ => return None,
    };
    Some(Reply::ok(reply))
}

#[tokio::test]
async fn views_are_listed_beside_tables_and_a_tables_name_stands_for_the_table() {
    let double = RestDouble::start(|seen| match seen.target.as_str() {
        "/v1/namespaces/shop/views?pageToken=&pageSize=1000" => Some(Reply::ok(
            json!({"identifiers": [{"name": "z"}, {"name": "orders"}], "next-page-token": "p"}),
        )),
        "/v1/namespaces/shop/views?pageToken=p&pageSize=1000" => {
            Some(Reply::ok(json!({"identifiers": [{"name": "a"}]})))
        }
        target => shop(target),
    })
    .await;
    let lake = Lake::new();
    let listing = of(&lake, vec![double.member(RestSpec::default())])
        .listing()
        .await;
    assert_eq!(listing.entries, [table_name("orders")]);
    assert_eq!(listing.views, [table_name("a"), table_name("z")]);
    assert!(listing.warnings.is_empty(), "{:?}", listing.warnings);
}

#[tokio::test]
async fn a_catalog_that_knows_no_views_has_none_however_it_says_so() {
    for status in [400, 403, 404, 405, 406, 500, 501] {
        let double = RestDouble::start(move |seen| match seen.path() {
            path if path.starts_with(VIEWS) => {
                Some(Reply::error(status, "UnsupportedOperationException", "no"))
            }
            _ => shop(&seen.target),
        })
        .await;
        let lake = Lake::new();
        let namespace = of(&lake, vec![double.member(RestSpec::default())]);
        let listing = namespace.listing().await;
        assert_eq!(listing.entries, [table_name("orders")], "{status}");
        assert!(listing.views.is_empty() && listing.warnings.is_empty());
        let log = ReadLog::new();
        let found = namespace
            .view(&table_name("v"), Reading::STRONG, &log)
            .await;
        assert!(found.unwrap().is_none(), "{status}");
    }
}

#[tokio::test]
async fn a_catalog_is_not_asked_for_views_that_its_endpoints_leave_out() {
    for (endpoints, asked) in [
        (json!(["GET /v1/{prefix}/namespaces"]), 0),
        (
            json!([
                "GET /v1/{prefix}/namespaces/{namespace}/views",
                "GET /v1/{prefix}/namespaces/{namespace}/views/{view}"
            ]),
            1,
        ),
    ] {
        let config = json!({"defaults": {}, "overrides": {}, "endpoints": endpoints});
        let double = RestDouble::start(move |seen| match seen.path() {
            "/v1/config" => Some(Reply::ok(config.clone())),
            VIEWS => Some(Reply::ok(json!({"identifiers": []}))),
            _ => shop(&seen.target),
        })
        .await;
        let lake = Lake::new();
        let namespace = of(&lake, vec![double.member(RestSpec::default())]);
        namespace.listing().await;
        let log = ReadLog::new();
        let found = namespace
            .view(&table_name("v"), Reading::STRONG, &log)
            .await;
        assert!(found.unwrap().is_none());
        assert_eq!(double.count("GET", VIEWS), asked);
        assert_eq!(double.count("GET", &format!("{VIEWS}/v")), asked);
    }
}

#[tokio::test]
async fn views_that_should_be_there_and_cannot_be_listed_are_a_warning_and_the_tables_stay() {
    let config = json!({"endpoints": ["GET /v1/{prefix}/namespaces/{namespace}/views"]});
    let double = RestDouble::start(move |seen| match seen.path() {
        "/v1/config" => Some(Reply::ok(config.clone())),
        VIEWS => Some(Reply::error(503, "ServiceUnavailable", "later")),
        _ => shop(&seen.target),
    })
    .await;
    let lake = Lake::new();
    let listing = of(&lake, vec![double.member(RestSpec::default())])
        .listing()
        .await;
    assert_eq!(listing.entries, [table_name("orders")]);
    assert!(
        listing.warnings[0].text.contains("the views of shop"),
        "{:?}",
        listing.warnings
    );
}

#[tokio::test]
async fn a_view_is_as_fresh_as_the_query_asks_and_serves_through_an_outage_where_allowed() {
    let down = Arc::new(AtomicBool::new(false));
    let (fails, path) = (down.clone(), format!("{VIEWS}/v"));
    let double = RestDouble::start(move |seen| {
        (seen.path() == format!("{VIEWS}/v")).then(|| {
            if fails.load(Ordering::Relaxed) {
                Reply::error(503, "ServiceUnavailable", "later")
            } else {
                loaded("SELECT a FROM orders")
            }
        })
    })
    .await;
    let (lake, clock) = (Lake::new(), HandClock::new());
    let spec = NamespaceSpec::new(vec![double.member(RestSpec::default())]);
    let namespace = Namespace::with_clock(spec, lake.sites.clone(), clock.clone()).unwrap();
    let ask = async |reading| {
        let log = ReadLog::new();
        namespace.view(&table_name("v"), reading, &log).await
    };
    let minute = Reading::bounded(Duration::from_secs(60));
    let view = ask(minute).await.unwrap().unwrap();
    assert_eq!(view.representations[0].sql, "SELECT a FROM orders");
    ask(minute).await.unwrap().unwrap();
    assert_eq!(double.count("GET", &path), 1);
    ask(Reading::STRONG).await.unwrap().unwrap();
    assert_eq!(double.count("GET", &path), 2);
    clock.pass(Duration::from_secs(61));
    ask(minute).await.unwrap().unwrap();
    assert_eq!(double.count("GET", &path), 3);
    clock.pass(Duration::from_secs(61));
    down.store(true, Ordering::Relaxed);
    let kind = |error: landfast_catalog::CatalogError| error.kind();
    assert_eq!(
        ask(minute).await.map_err(kind),
        Err(CatalogErrorKind::Stale)
    );
    assert_eq!(
        ask(Reading::STRONG).await.map_err(kind),
        Err(CatalogErrorKind::Unavailable)
    );
    let stale = Reading {
        freshness: Freshness::Bounded(Duration::from_secs(60)),
        stale_allowed: true,
    };
    assert!(ask(stale).await.unwrap().is_some());
}

#[tokio::test]
async fn a_view_of_a_sql_catalog_is_read_from_its_metadata_file() {
    let lake = Lake::new();
    let namespace = of(&lake, vec![sql::member(&lake)]);
    let uri = "gs://lake/v/metadata/00000-a.gz.metadata.json";
    lake.put(
        "cloud",
        uri,
        view("SELECT a FROM orders").to_string().as_bytes(),
    );
    sql::insert_as(&lake, &namespace, "v", uri, "VIEW").await;
    sql::insert_as(&lake, &namespace, "t", "gs://lake/t/1.json", "TABLE").await;
    let listing = namespace.listing().await;
    assert_eq!(listing.entries, [table_name("t")]);
    assert_eq!(listing.views, [table_name("v")]);
    let log = ReadLog::new();
    let ask = async |name| {
        namespace
            .view(&table_name(name), Reading::STRONG, &log)
            .await
            .unwrap()
    };
    let view = ask("v").await.unwrap();
    assert_eq!(view.representations[0].dialect, "spark");
    // The file never changes: while the catalog points to it, it is read once.
    lake.put("cloud", uri, b"gone");
    assert_eq!(ask("v").await.unwrap(), view);
    assert!(ask("t").await.is_none(), "a table is no view");
    assert!(ask("nothing").await.is_none());
}
