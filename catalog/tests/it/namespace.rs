//! The one tree: names, collisions, near names.

use std::sync::Arc;
use std::time::Duration;

use landfast_catalog::{
    CatalogErrorKind, CatalogName, MemberKind, MemberSpec, MemberStatus, Namespace, NamespaceSpec,
    Reading, RestSpec, TableName,
};
use landfast_sites::ReadLog;

use crate::lake::{Lake, Shape, table_name};
use crate::sql::{member, register};

fn mounted(lake: &Lake, names: &[&str]) -> Result<Arc<Namespace>, landfast_catalog::CatalogError> {
    let members = names.iter().map(|name| MemberSpec {
        name: CatalogName::new(name).unwrap(),
        ..member(lake)
    });
    Namespace::new(NamespaceSpec::new(members.collect()), lake.sites.clone())
}

#[tokio::test]
async fn the_reserved_name_and_names_that_differ_in_case_only_are_refused() {
    let lake = Lake::new();
    for (names, says) in [
        (vec!["Landfast"], "reserved"),
        (vec!["lake", "LAKE"], "used twice"),
        (vec!["a", "b", "a"], "used twice"),
    ] {
        let error = mounted(&lake, &names).unwrap_err();
        assert_eq!(error.kind(), CatalogErrorKind::Invalid);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_config_that_cannot_be_right_is_refused_before_anything_is_asked() {
    let lake = Lake::new();
    for uri in [
        "",
        "not a uri",
        "ftp://catalog",
        "http://user:secret@catalog/",
    ] {
        let spec = MemberSpec {
            kind: MemberKind::Rest(RestSpec {
                uri: uri.into(),
                ..RestSpec::default()
            }),
            ..member(&lake)
        };
        let error = Namespace::new(NamespaceSpec::new(vec![spec]), lake.sites.clone()).unwrap_err();
        assert_eq!(error.kind(), CatalogErrorKind::Invalid, "{uri}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn unknown_names_come_with_the_nearest_ones() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let namespace = mounted(&lake, &["lake"]).unwrap();
    register(&lake, &namespace, "orders", &written.metadata).await;
    let unknown = |catalog: &str, schema: &str, table: &str| {
        TableName::new(catalog.parse().unwrap(), schema.parse().unwrap(), table).unwrap()
    };
    let log = ReadLog::new();
    for (name, near) in [
        (unknown("lake", "shop", "oders"), "orders"),
        (unknown("lake", "shopp", "orders"), "lake.shop.orders"),
        (unknown("lak", "shop", "orders"), "lake"),
    ] {
        let error = namespace
            .resolve(&name, Reading::STRONG, &log)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), CatalogErrorKind::NotFound);
        assert_eq!(error.nearest(), [near], "{error}");
        assert!(error.to_string().contains(near), "{error}");
    }
}

#[tokio::test]
async fn members_say_how_they_do() {
    let lake = Lake::new();
    let namespace = mounted(&lake, &["lake"]).unwrap();
    assert_eq!(namespace.member_states()[0].status, MemberStatus::Untried);
    namespace.listing().await;
    let state = namespace.member_states().remove(0);
    assert_eq!(
        (state.kind, state.status, state.last_error),
        ("sqlite", MemberStatus::Up, None)
    );
}

#[tokio::test]
async fn what_was_seen_is_known_without_asking_anybody() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let namespace = mounted(&lake, &["lake"]).unwrap();
    register(&lake, &namespace, "orders", &written.metadata).await;
    assert!(namespace.cached_columns(&table_name("orders")).is_none());
    let reading = Reading::bounded(Duration::from_secs(60));
    namespace
        .resolve(&table_name("orders"), reading, &ReadLog::new())
        .await
        .unwrap();
    let table = namespace.cached_columns(&table_name("orders")).unwrap();
    assert_eq!(table.schema().as_struct().fields().len(), 3);
    namespace.drop_table(&table_name("orders")).await.unwrap();
    assert!(namespace.cached_columns(&table_name("orders")).is_none());
}
