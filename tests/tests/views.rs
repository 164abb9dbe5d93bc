//! Views in Apache's REST catalog, made through its API with bodies as engines send them, and read by the catalog crate:
//! over REST, and from the SQL database that the server keeps them in.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where and stops"
)]

use std::time::Duration;

use landfast_catalog::{
    CatalogName, MemberKind, MemberSpec, Namespace, NamespaceSpec, Reading, RestSpec, SchemaName,
    SqlSpec, TableName,
};
use landfast_sites::{
    GcsSpec, GoogleCredential, Holdings, MappingSpec, ReadLog, SiteId, SiteSpec, Sites, SitesSpec,
    StoreSpec, Timeouts,
};
use landfast_tests::catalogs::RestCatalog;
use landfast_tests::process::run_dir;
use landfast_tests::stores::{Store, block_on};
use serde_json::{Value, json};

fn post(uri: &str, path: &str, body: &Value) {
    let url = format!("{uri}/v1/{path}");
    block_on(async {
        let sent = reqwest::Client::new().post(&url).json(body).send().await;
        let answer = sent.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{url}: {status}: {text}");
    });
}

fn schema() -> Value {
    json!({"schema-id": 0, "type": "struct", "fields": [
        {"id": 0, "name": "id", "required": false, "type": "long"},
        {"id": 1, "name": "name", "required": false, "type": "string", "doc": "a comment"},
    ]})
}

/// As Spark's `CREATE VIEW` sends it.
fn spark() -> Value {
    json!({
        "name": "by_spark",
        "schema": schema(),
        "view-version": {
            "version-id": 1, "timestamp-ms": 1_700_000_000_000_i64, "schema-id": 0,
            "summary": {"engine-name": "spark", "engine-version": "3.5.7"},
            "default-catalog": "prod", "default-namespace": ["shop"],
            "representations": [{"type": "sql", "sql": "SELECT id, name FROM orders", "dialect": "spark"}],
        },
        "properties": {"spark.query-column-names": "id,name", "engine_version": "Spark 3.5.7"},
    })
}

/// As Trino's `CREATE VIEW` sends it.
fn trino() -> Value {
    json!({
        "name": "by_trino",
        "schema": schema(),
        "view-version": {
            "version-id": 1, "timestamp-ms": 1_700_000_000_000_i64, "schema-id": 0, "summary": {},
            "default-catalog": "iceberg", "default-namespace": ["shop"],
            "representations": [{"type": "sql", "sql": "SELECT\n  id\n, name\nFROM\n  orders\n", "dialect": "trino"}],
        },
        "properties": {"trino.run-as-owner": "true"},
    })
}

fn sites(store: &Store) -> std::sync::Arc<Sites> {
    let here = SiteId::new("gcp").unwrap();
    let site = SiteSpec {
        id: here.clone(),
        store: StoreSpec::Gcs(GcsSpec {
            endpoint: Some(store.endpoint().to_owned()),
            credential: GoogleCredential::Anonymous,
            user_project: None,
        }),
        mappings: vec![MappingSpec {
            prefix: "gs://lake/".into(),
            at: None,
            origin: true,
        }],
        holdings: Holdings::AssumeAll,
        simulated: None,
        timeouts: Timeouts::default(),
    };
    Sites::new(SitesSpec {
        sites: vec![site],
        links: Vec::new(),
        reader: here,
    })
    .unwrap()
}

#[test]
fn views_that_engines_make_are_listed_and_loaded_over_rest_and_from_the_database() {
    let store = Store::gcs().unwrap();
    store.make_bucket("lake").unwrap();
    let database = run_dir("rest").unwrap().join("rest.db");
    let rest = RestCatalog::start(&database, "gs://lake/wh", &store).unwrap();
    post(
        rest.uri(),
        "namespaces",
        &json!({"namespace": ["shop"], "properties": {}}),
    );
    for view in [spark(), trino()] {
        post(rest.uri(), "namespaces/shop/views", &view);
    }
    let table = json!({"name": "orders", "schema": schema(), "properties": {}});
    post(rest.uri(), "namespaces/shop/tables", &table);

    let over_rest = MemberKind::Rest(RestSpec {
        uri: rest.uri().to_owned(),
        ..RestSpec::default()
    });
    let url = format!("sqlite://{}", database.display());
    let in_database = MemberKind::Sql(SqlSpec {
        url: url.into(),
        catalog_name: "rest_backend".into(),
        create_tables: false,
    });
    for kind in [over_rest, in_database] {
        let said = format!("{kind:?}");
        let catalog = CatalogName::new("lake").unwrap();
        let member = MemberSpec {
            name: catalog.clone(),
            kind,
            timeout: Duration::from_secs(20),
        };
        let namespace = Namespace::new(NamespaceSpec::new(vec![member]), sites(&store)).unwrap();
        let shop = SchemaName::new("shop").unwrap();
        let name = |table: &str| TableName::new(catalog.clone(), shop.clone(), table).unwrap();
        let listing = block_on(namespace.listing());
        assert!(
            listing.warnings.is_empty(),
            "{said}: {:?}",
            listing.warnings
        );
        assert_eq!(listing.entries, [name("orders")], "{said}");
        assert_eq!(
            listing.views,
            [name("by_spark"), name("by_trino")],
            "{said}"
        );
        let log = ReadLog::new();
        let load =
            |table: &str| block_on(namespace.view(&name(table), Reading::STRONG, &log)).unwrap();
        let view = load("by_spark").unwrap();
        assert_eq!(view.representations[0].dialect, "spark");
        assert_eq!(view.representations[0].sql, "SELECT id, name FROM orders");
        assert_eq!(view.default_catalog.as_deref(), Some("prod"));
        assert_eq!(view.default_namespace, ["shop"]);
        assert_eq!(view.properties["spark.query-column-names"], "id,name");
        assert_eq!(view.schema.as_struct().fields().len(), 2);
        let view = load("by_trino").unwrap();
        assert_eq!(view.representations[0].dialect, "trino");
        assert!(
            load("orders").is_none() && load("nothing").is_none(),
            "{said}"
        );
    }
}
