//! REST catalogs: configuration, paging, tokens, failures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use landfast_catalog::{
    CatalogErrorKind, CatalogName, MemberSpec, MemberStatus, Namespace, NamespaceSpec, Reading,
    RestAuth, RestSpec, SchemaName, TableName,
};
use landfast_sites::{CanonicalUri, GoogleCredential, ReadLog};
use secrecy::SecretString;
use serde_json::json;

use crate::lake::{HandClock, Lake, Shape, table_name};
use crate::rest_double::{Reply, RestDouble, Seen};

fn of(lake: &Lake, members: Vec<MemberSpec>) -> Arc<Namespace> {
    Namespace::new(NamespaceSpec::new(members), lake.sites.clone()).unwrap()
}

fn lake_name() -> CatalogName {
    CatalogName::new("lake").unwrap()
}

fn schema_name(name: &str) -> SchemaName {
    SchemaName::new(name).unwrap()
}

fn oauth() -> RestSpec {
    let auth = RestAuth::OAuth2 {
        token_uri: None,
        client_id: "landfast".into(),
        client_secret: SecretString::from("hunter2 & co"),
        scope: None,
    };
    RestSpec {
        auth,
        ..RestSpec::default()
    }
}

/// Answers a listing without namespaces.
fn empty(seen: &Seen) -> Option<Reply> {
    (seen.path() == "/v1/namespaces").then(|| Reply::ok(json!({"namespaces": []})))
}

#[tokio::test]
async fn warehouse_prefix_overrides_and_headers_are_honoured() {
    let double = RestDouble::start(|seen| match seen.path() {
        "/v1/config" => Some(Reply::ok(json!({
            "defaults": {"prefix": "theirs", "header.x-theirs": "d"},
            "overrides": {"prefix": "main%7Cwh", "header.x-set": "o"},
        }))),
        "/v1/main%7Cwh/namespaces" => Some(Reply::ok(json!({"namespaces": []}))),
        _ => None,
    })
    .await;
    let spec = RestSpec {
        warehouse: Some("gs://lake/wh".into()),
        prefix: Some("ours".into()),
        headers: BTreeMap::from([("X-Ours".into(), SecretString::from("mine"))]),
        ..RestSpec::default()
    };
    let lake = Lake::new();
    let namespace = of(&lake, vec![double.member(spec)]);
    assert!(namespace.schemas(&lake_name()).await.unwrap().is_empty());
    let seen = double.seen();
    assert!(
        seen[0].is("GET", "/v1/config?warehouse=gs%3A%2F%2Flake%2Fwh"),
        "{seen:?}"
    );
    assert_eq!(seen[0].header("x-ours"), Some("mine"));
    let names = ["x-ours", "x-theirs", "x-set"].map(|name| seen[1].header(name));
    assert_eq!(names, [Some("mine"), Some("d"), Some("o")]);
    assert!(
        namespace
            .probe(&lake_name())
            .await
            .unwrap()
            .contains("main%7Cwh")
    );
}

#[tokio::test]
async fn pages_are_followed_and_nested_namespaces_are_one_schema() {
    let double = RestDouble::start(|seen| {
        let reply = match seen.target.as_str() {
            "/v1/namespaces?pageToken=&pageSize=1000" => json!({"namespaces": [["a"]], "next-page-token": "p 2"}),
            "/v1/namespaces?pageToken=p+2&pageSize=1000" => json!({"namespaces": [["z"]], "next-page-token": null}),
            "/v1/namespaces?parent=a&pageToken=&pageSize=1000" => json!({"namespaces": [["a", "b"]]}),
            target if target.starts_with("/v1/namespaces?parent=") => json!({"namespaces": []}),
            "/v1/namespaces/a%1Fb/tables?pageToken=&pageSize=1000" => {
                json!({"identifiers": [{"namespace": ["a", "b"], "name": "t1"}], "next-page-token": "q"})
            }
            "/v1/namespaces/a%1Fb/tables?pageToken=q&pageSize=1000" => {
                json!({"identifiers": [{"namespace": ["a", "b"], "name": "t 2"}]})
            }
            target if target.contains("/tables") => json!({"identifiers": []}),
            _ => return None,
        };
        Some(Reply::ok(reply))
    })
    .await;
    let lake = Lake::new();
    let listing = of(&lake, vec![double.member(RestSpec::default())])
        .listing()
        .await;
    let schemas: Vec<&str> = listing
        .schemas
        .iter()
        .map(|(_, schema)| schema.as_str())
        .collect();
    assert_eq!(schemas, ["a", "a.b", "z"]);
    let tables: Vec<String> = listing.entries.iter().map(ToString::to_string).collect();
    assert_eq!(tables, ["lake.\"a.b\".\"t 2\"", "lake.\"a.b\".t1"]);
    assert!(listing.warnings.is_empty(), "{:?}", listing.warnings);
}

#[tokio::test]
async fn pages_that_never_end_are_an_error() {
    let double = RestDouble::start(|seen| {
        (seen.path() == "/v1/namespaces")
            .then(|| Reply::ok(json!({"namespaces": [], "next-page-token": "again"})))
    })
    .await;
    let lake = Lake::new();
    let error = of(&lake, vec![double.member(RestSpec::default())])
        .schemas(&lake_name())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Unavailable);
    assert!(
        error.to_string().contains("page token came twice"),
        "{error}"
    );
}

#[tokio::test]
async fn a_catalog_without_nested_namespaces_is_listed() {
    let double = RestDouble::start(|seen| {
        Some(match seen.target.as_str() {
            target if target.starts_with("/v1/namespaces?parent=") => {
                Reply::error(400, "BadRequest", "no nesting")
            }
            target if target.starts_with("/v1/namespaces?") => {
                Reply::ok(json!({"namespaces": [["shop"]]}))
            }
            target if target.contains("/tables") => {
                Reply::ok(json!({"identifiers": [{"name": "orders"}]}))
            }
            _ => return None,
        })
    })
    .await;
    let lake = Lake::new();
    let listing = of(&lake, vec![double.member(RestSpec::default())])
        .listing()
        .await;
    assert_eq!(listing.entries, [table_name("orders")]);
    assert!(listing.warnings.is_empty(), "{:?}", listing.warnings);
}

#[tokio::test]
async fn namespaces_that_read_alike_are_an_error_that_names_them_and_hold_up_no_others() {
    let double = RestDouble::start(|seen| {
        Some(match seen.target.as_str() {
            "/v1/namespaces?parent=a&pageToken=&pageSize=1000" => {
                Reply::ok(json!({"namespaces": [["a", "b"]]}))
            }
            target if target.starts_with("/v1/namespaces?parent=") => {
                Reply::ok(json!({"namespaces": []}))
            }
            target if target.starts_with("/v1/namespaces?") => {
                Reply::ok(json!({"namespaces": [["a"], ["a.b"], ["dot.ted"]]}))
            }
            target if target.contains("/tables") => {
                Reply::ok(json!({"identifiers": [{"name": "t"}]}))
            }
            _ => return None,
        })
    })
    .await;
    let lake = Lake::new();
    let namespace = of(&lake, vec![double.member(RestSpec::default())]);
    let error = namespace
        .tables(&lake_name(), &schema_name("a.b"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Conflict);
    assert!(error.to_string().contains("\"a.b\""), "{error}");
    let listing = namespace.listing().await;
    let schemas: Vec<&str> = listing
        .schemas
        .iter()
        .map(|(_, schema)| schema.as_str())
        .collect();
    assert_eq!(schemas, ["a", "dot.ted"]);
    assert_eq!(listing.warnings.len(), 1);
    // A level with a dot in it is asked for as it is.
    assert_eq!(
        namespace
            .tables(&lake_name(), &schema_name("dot.ted"))
            .await
            .unwrap(),
        ["t"]
    );
    assert!(double.count("GET", "/v1/namespaces/dot.ted/tables") > 0);
}

#[tokio::test]
async fn an_oauth2_token_is_renewed_before_it_expires() {
    let tokens = AtomicUsize::new(0);
    let double = RestDouble::start(move |seen| {
        if seen.path() == "/v1/oauth/tokens" {
            let number = tokens.fetch_add(1, Ordering::SeqCst);
            return Some(Reply::ok(
                json!({"access_token": format!("t{number}"), "expires_in": 100}),
            ));
        }
        empty(seen)
    })
    .await;
    let (lake, clock) = (Lake::new(), HandClock::new());
    let spec = NamespaceSpec::new(vec![double.member(oauth())]);
    let namespace = Namespace::with_clock(spec, lake.sites.clone(), clock.clone()).unwrap();
    let mut sent = Vec::new();
    for seconds in [0, 79, 2, 79, 2] {
        clock.pass(Duration::from_secs(seconds));
        namespace.probe(&lake_name()).await.unwrap();
        sent.push(
            double
                .seen()
                .last()
                .unwrap()
                .header("authorization")
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(
        sent,
        [
            "Bearer t0",
            "Bearer t0",
            "Bearer t1",
            "Bearer t1",
            "Bearer t2"
        ]
    );
    let asked = double
        .seen()
        .into_iter()
        .find(|seen| seen.path() == "/v1/oauth/tokens")
        .unwrap();
    assert_eq!(
        asked.body,
        "grant_type=client_credentials&scope=catalog&client_id=landfast&client_secret=hunter2+%26+co"
    );
}

#[tokio::test]
async fn a_token_that_is_said_to_live_for_ever_is_used_and_renewed_within_a_month() {
    let double = RestDouble::start(|seen| {
        if seen.path() == "/v1/oauth/tokens" {
            let answer = json!({"access_token": "t", "expires_in": u64::MAX});
            return Some(Reply::ok(answer));
        }
        empty(seen)
    })
    .await;
    let (lake, clock) = (Lake::new(), HandClock::new());
    let spec = NamespaceSpec::new(vec![double.member(oauth())]);
    let namespace = Namespace::with_clock(spec, lake.sites.clone(), clock.clone()).unwrap();
    for days in [0, 29, 2] {
        clock.pass(Duration::from_secs(days * 24 * 60 * 60));
        namespace.probe(&lake_name()).await.unwrap();
    }
    let asked = double.seen();
    let asked = asked
        .iter()
        .filter(|seen| seen.path() == "/v1/oauth/tokens");
    assert_eq!(asked.count(), 2);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_for_reads_and_changes_alike() {
    let tokens = AtomicUsize::new(0);
    let double = RestDouble::start(move |seen| {
        if seen.path() == "/v1/oauth/tokens" {
            let number = tokens.fetch_add(1, Ordering::SeqCst);
            return Some(Reply::ok(
                json!({"access_token": format!("t{number}"), "expires_in": 3600}),
            ));
        }
        let fresh = seen.header("authorization") == Some("Bearer t2");
        match (seen.method.as_str(), fresh) {
            ("POST", false) => Some(Reply::error(401, "NotAuthorizedException", "expired")),
            ("POST", true) => Some(Reply::ok(json!({"namespace": ["shop"], "properties": {}}))),
            _ if seen.header("authorization") == Some("Bearer t0") => {
                Some(Reply::error(401, "NotAuthorizedException", "expired"))
            }
            _ => empty(seen),
        }
    })
    .await;
    let lake = Lake::new();
    let namespace = of(&lake, vec![double.member(oauth())]);
    namespace
        .create_schema(&lake_name(), &schema_name("shop"))
        .await
        .unwrap();
    assert_eq!(double.count("POST", "/v1/oauth/tokens"), 3);
    assert_eq!(double.count("POST", "/v1/namespaces"), 2);
}

#[tokio::test]
async fn a_renewal_that_fails_is_no_failure_while_the_token_lasts() {
    let down = Arc::new(AtomicBool::new(false));
    let is_down = down.clone();
    let double = RestDouble::start(move |seen| {
        if seen.path() == "/v1/oauth/tokens" {
            let token = Reply::ok(json!({"access_token": "t", "expires_in": 100}));
            return Some(if is_down.load(Ordering::SeqCst) {
                Reply::Nothing(503)
            } else {
                token
            });
        }
        empty(seen)
    })
    .await;
    let (lake, clock) = (Lake::new(), HandClock::new());
    let spec = NamespaceSpec::new(vec![double.member(oauth())]);
    let namespace = Namespace::with_clock(spec, lake.sites.clone(), clock.clone()).unwrap();
    namespace.probe(&lake_name()).await.unwrap();
    down.store(true, Ordering::SeqCst);
    clock.pass(Duration::from_secs(90));
    namespace.probe(&lake_name()).await.unwrap();
    clock.pass(Duration::from_secs(20));
    let error = namespace.probe(&lake_name()).await.unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Unavailable);
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_fixed_token_that_is_refused_is_tried_once_and_never_shown() {
    let double = RestDouble::start(|seen| {
        let said = format!("who is {}?", seen.header("authorization").unwrap());
        Some(Reply::error(401, "NotAuthorizedException", &said))
    })
    .await;
    let lake = Lake::new();
    let auth = RestAuth::Bearer(SecretString::from("s3cr3t-token"));
    let namespace = of(
        &lake,
        vec![double.member(RestSpec {
            auth,
            ..RestSpec::default()
        })],
    );
    let error = namespace.schemas(&lake_name()).await.unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Denied);
    assert!(!error.to_string().contains("s3cr3t"), "{error}");
    assert_eq!(double.seen().len(), 1);
    let state = namespace.member_states().remove(0);
    assert_eq!(state.status, MemberStatus::Down);
    assert!(!format!("{state:?} {namespace:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn a_google_token_goes_with_the_project_that_pays() {
    let double = RestDouble::start(empty).await;
    let lake = Lake::new();
    lake.put("cloud", "gs://lake/token", b"ya29.token\n");
    let credential = GoogleCredential::TokenFile {
        path: lake.path("cloud", "gs://lake/token"),
    };
    let auth = RestAuth::Google {
        credential,
        user_project: Some("billing-project".into()),
    };
    let namespace = of(
        &lake,
        vec![double.member(RestSpec {
            auth,
            ..RestSpec::default()
        })],
    );
    namespace.schemas(&lake_name()).await.unwrap();
    for seen in double.seen() {
        assert_eq!(seen.header("authorization"), Some("Bearer ya29.token"));
        assert_eq!(seen.header("x-goog-user-project"), Some("billing-project"));
    }
}

#[tokio::test]
async fn a_read_that_fails_is_tried_once_more_and_a_change_is_not() {
    let failures = AtomicUsize::new(0);
    let double = RestDouble::start(move |seen| match seen.method.as_str() {
        "POST" => Some(Reply::Nothing(500)),
        _ if seen.path() == "/v1/config" => None,
        _ if failures.fetch_add(1, Ordering::SeqCst) == 0 => Some(Reply::Nothing(502)),
        _ => empty(seen),
    })
    .await;
    let lake = Lake::new();
    let namespace = of(&lake, vec![double.member(RestSpec::default())]);
    assert!(namespace.schemas(&lake_name()).await.unwrap().is_empty());
    assert_eq!(double.count("GET", "/v1/namespaces"), 2);
    let error = namespace
        .create_schema(&lake_name(), &schema_name("shop"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Unknown);
    assert_eq!(double.count("POST", "/v1/namespaces"), 1);
}

#[tokio::test]
async fn a_member_that_hangs_holds_up_nobody_and_what_it_last_said_is_shown() {
    let hang = Arc::new(AtomicBool::new(false));
    let hangs = hang.clone();
    let double = RestDouble::start(move |seen| {
        if hangs.load(Ordering::SeqCst) {
            return Some(Reply::Hang);
        }
        Some(match seen.target.as_str() {
            target if target.starts_with("/v1/namespaces?parent=") => {
                Reply::ok(json!({"namespaces": []}))
            }
            target if target.starts_with("/v1/namespaces?") => {
                Reply::ok(json!({"namespaces": [["shop"]]}))
            }
            target if target.contains("/tables") => {
                Reply::ok(json!({"identifiers": [{"name": "orders"}]}))
            }
            _ => return None,
        })
    })
    .await;
    let lake = Lake::new();
    let clock = HandClock::new();
    let sqlite = MemberSpec {
        name: CatalogName::new("local").unwrap(),
        ..crate::sql::member(&lake)
    };
    let slow = double.member_within(RestSpec::default(), Duration::from_millis(300));
    let spec = NamespaceSpec::new(vec![slow, sqlite]);
    let namespace = Namespace::with_clock(spec, lake.sites.clone(), clock.clone()).unwrap();
    let local = CatalogName::new("local").unwrap();
    namespace
        .create_schema(&local, &schema_name("here"))
        .await
        .unwrap();
    let before = namespace.listing().await;
    assert_eq!(before.entries, [table_name("orders")]);
    assert!(before.warnings.is_empty(), "{:?}", before.warnings);
    hang.store(true, Ordering::SeqCst);
    clock.pass(Duration::from_secs(60));
    namespace
        .create_schema(&local, &schema_name("there"))
        .await
        .unwrap();
    let after = namespace.listing().await;
    assert_eq!(after.entries, before.entries);
    assert_eq!(after.schemas.len(), 3);
    assert!(
        after
            .warnings
            .iter()
            .all(|warning| warning.catalog == lake_name())
    );
    assert!(!after.warnings.is_empty());
    assert_eq!(
        namespace
            .tables(&lake_name(), &schema_name("shop"))
            .await
            .unwrap(),
        ["orders"]
    );
}

#[tokio::test]
async fn a_member_that_never_answered_leaves_the_others_listed_with_a_warning() {
    let double = RestDouble::start(|_| Some(Reply::Hang)).await;
    let lake = Lake::new();
    let sqlite = MemberSpec {
        name: CatalogName::new("local").unwrap(),
        ..crate::sql::member(&lake)
    };
    let slow = double.member_within(RestSpec::default(), Duration::from_millis(50));
    let namespace = of(&lake, vec![slow, sqlite]);
    namespace
        .create_schema(&CatalogName::new("local").unwrap(), &schema_name("here"))
        .await
        .unwrap();
    let listing = namespace.listing().await;
    assert_eq!(listing.schemas.len(), 1);
    assert!(!listing.warnings.is_empty());
    let error = namespace
        .resolve(&table_name("orders"), Reading::STRONG, &ReadLog::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Unavailable);
    assert!(
        error.to_string().contains("no answer within 50 ms"),
        "{error}"
    );
}

/// A catalog with the one table `shop.orders`, whose metadata it sends along.
async fn with_orders(lake: &Lake) -> (RestDouble, CanonicalUri) {
    let written = lake.table("orders", Shape::default()).await;
    let document: serde_json::Value =
        serde_json::from_slice(&lake.get("cloud", written.metadata.as_str())).unwrap();
    let location = written.metadata.as_str().to_owned();
    let double = RestDouble::start(move |seen| {
        if seen.path() != "/v1/namespaces/shop/tables/orders" || seen.method != "GET" {
            return None;
        }
        if seen.header("if-none-match") == Some("\"v1\"") {
            return Some(Reply::Nothing(304));
        }
        let answer = json!({"metadata-location": location, "metadata": document, "config": {}});
        Some(Reply::Tagged(answer, "\"v1\""))
    })
    .await;
    (double, written.metadata)
}

#[tokio::test]
async fn metadata_that_the_catalog_sends_along_is_used_and_asked_for_by_tag_next_time() {
    let lake = Lake::new();
    let (double, location) = with_orders(&lake).await;
    std::fs::remove_file(lake.path("cloud", location.as_str())).unwrap();
    let namespace = of(&lake, vec![double.member(RestSpec::default())]);
    for _ in 0..2 {
        let table = namespace
            .resolve(&table_name("orders"), Reading::STRONG, &ReadLog::new())
            .await
            .unwrap();
        assert_eq!(table.metadata_location, location);
        assert_eq!(
            namespace
                .files(&table, &ReadLog::new())
                .await
                .unwrap()
                .count(),
            3
        );
    }
    let tags: Vec<_> = double
        .seen()
        .iter()
        .filter(|seen| seen.path().ends_with("/orders"))
        .map(|seen| seen.header("if-none-match").map(str::to_owned))
        .collect();
    assert_eq!(tags, [None, Some("\"v1\"".to_owned())]);
}

#[tokio::test]
async fn what_one_catalog_sends_along_is_not_read_for_anothers_table() {
    let lake = Lake::new();
    let (double, location) = with_orders(&lake).await;
    let mut document: serde_json::Value =
        serde_json::from_slice(&lake.get("cloud", location.as_str())).unwrap();
    document["properties"]["sent-by"] = json!("other");
    let location = location.as_str().to_owned();
    let other = RestDouble::start(move |seen| {
        let asked = seen.path() == "/v1/namespaces/shop/tables/orders";
        let answer = json!({"metadata-location": location, "metadata": document, "config": {}});
        asked.then(|| Reply::ok(answer))
    })
    .await;
    let other = MemberSpec {
        name: CatalogName::new("other").unwrap(),
        ..other.member(RestSpec::default())
    };
    let namespace = of(&lake, vec![double.member(RestSpec::default()), other]);
    for (catalog, sent_by) in [("lake", None), ("other", Some("other")), ("lake", None)] {
        let name = TableName {
            catalog: CatalogName::new(catalog).unwrap(),
            ..table_name("orders")
        };
        let table = namespace
            .resolve(&name, Reading::STRONG, &ReadLog::new())
            .await
            .unwrap();
        let found = table.metadata.properties().get("sent-by");
        assert_eq!(found.map(String::as_str), sent_by, "{catalog}");
    }
}

#[tokio::test]
async fn an_unknown_table_or_schema_is_not_found() {
    let double = RestDouble::start(|seen| {
        Some(match seen.path() {
            "/v1/namespaces" => match seen.target.contains("parent=") {
                true => Reply::ok(json!({"namespaces": []})),
                false => Reply::ok(json!({"namespaces": [["shop"]]})),
            },
            "/v1/namespaces/shop/tables" => Reply::ok(json!({"identifiers": [{"name": "orders"}]})),
            "/v1/config" => return None,
            path if path.starts_with("/v1/namespaces/shop/") => {
                Reply::error(404, "NoSuchTableException", "none")
            }
            _ => Reply::error(404, "NoSuchNamespaceException", "none"),
        })
    })
    .await;
    let lake = Lake::new();
    let namespace = of(&lake, vec![double.member(RestSpec::default())]);
    let error = namespace
        .resolve(&table_name("order"), Reading::STRONG, &ReadLog::new())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.nearest()),
        (CatalogErrorKind::NotFound, ["orders".to_owned()].as_slice())
    );
    let error = namespace
        .tables(&lake_name(), &schema_name("shopp"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.nearest()),
        (CatalogErrorKind::NotFound, ["shop".to_owned()].as_slice())
    );
}

#[tokio::test]
async fn tables_are_registered_and_dropped_without_purging() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let double = RestDouble::start(|seen| {
        Some(match (seen.method.as_str(), seen.path()) {
            ("POST", "/v1/namespaces/shop/register") => {
                match seen.body.contains("\"name\":\"taken\"") {
                    true => Reply::error(409, "AlreadyExistsException", "taken"),
                    false => Reply::ok(json!({})),
                }
            }
            ("POST", _) => Reply::error(404, "NoSuchNamespaceException", "no such namespace"),
            ("DELETE", "/v1/namespaces/shop/tables/orders") => Reply::Nothing(204),
            ("DELETE", "/v1/namespaces/shop") => Reply::Nothing(204),
            ("GET", "/v1/namespaces/shop/tables") => {
                Reply::ok(json!({"identifiers": [{"name": "orders"}]}))
            }
            ("GET", "/v1/namespaces") => Reply::ok(json!({"namespaces": [["shop"]]})),
            ("GET", "/v1/namespaces/shop") => Reply::ok(json!({"namespace": ["shop"]})),
            _ => return None,
        })
    })
    .await;
    let namespace = of(&lake, vec![double.member(RestSpec::default())]);
    namespace
        .register_table(&table_name("orders"), &written.metadata)
        .await
        .unwrap();
    let sent: serde_json::Value =
        serde_json::from_str(&double.seen().last().unwrap().body).unwrap();
    assert_eq!(
        sent,
        json!({"name": "orders", "metadata-location": written.metadata.as_str()})
    );
    let taken = namespace
        .register_table(&table_name("taken"), &written.metadata)
        .await
        .unwrap_err();
    assert_eq!(taken.kind(), CatalogErrorKind::Exists);
    namespace.drop_table(&table_name("orders")).await.unwrap();
    let dropped = double
        .seen()
        .into_iter()
        .find(|seen| seen.method == "DELETE")
        .unwrap();
    assert_eq!(
        dropped.target,
        "/v1/namespaces/shop/tables/orders?purgeRequested=false"
    );
    let full = namespace
        .drop_schema(&lake_name(), &schema_name("shop"))
        .await
        .unwrap_err();
    assert_eq!(
        full.kind(),
        CatalogErrorKind::NotEmpty,
        "not every server refuses, so we do"
    );
    assert_eq!(double.count("DELETE", "/v1/namespaces/shop"), 0);
}

#[tokio::test]
async fn a_ca_file_that_holds_no_certificates_is_refused() {
    let lake = Lake::new();
    lake.put("cloud", "gs://lake/ca.pem", b"nothing");
    let double = RestDouble::start(empty).await;
    for file in [
        lake.path("cloud", "gs://lake/ca.pem"),
        lake.path("cloud", "gs://lake/missing.pem"),
    ] {
        let spec = double.member(RestSpec {
            ca_file: Some(file),
            ..RestSpec::default()
        });
        let error = Namespace::new(NamespaceSpec::new(vec![spec]), lake.sites.clone()).unwrap_err();
        assert_eq!(error.kind(), CatalogErrorKind::Invalid);
        assert!(error.to_string().contains(".pem"), "{error}");
    }
}

#[tokio::test]
async fn a_catalog_with_a_certificate_of_its_own_authority_is_trusted_by_ca_file_only() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let double = RestDouble::start_tls(empty, tls).await;
    let lake = Lake::new();
    lake.put("cloud", "gs://lake/ca.pem", made.cert.pem().as_bytes());
    let ca_file = Some(lake.path("cloud", "gs://lake/ca.pem"));
    let trusting = RestSpec {
        ca_file,
        ..RestSpec::default()
    };
    let namespace = of(&lake, vec![double.member(trusting)]);
    assert!(namespace.schemas(&lake_name()).await.unwrap().is_empty());
    let namespace = of(&lake, vec![double.member(RestSpec::default())]);
    let error = namespace.schemas(&lake_name()).await.unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Unavailable);
    assert!(error.to_string().contains("certificate"), "{error}");
}
