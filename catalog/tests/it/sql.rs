//! SQL catalogs in SQLite, beside what others write into the same database.

use std::sync::Arc;
use std::time::Duration;

use landfast_catalog::{
    CatalogError, CatalogErrorKind, CatalogName, MemberKind, MemberSpec, Namespace, NamespaceSpec,
    Reading, SchemaName, SqlSpec,
};
use landfast_sites::{CanonicalUri, ReadLog};
use secrecy::SecretString;
use sqlx::sqlite::SqlitePool;

use crate::lake::{Lake, Shape, table_name};

/// The lake's own SQLite catalog, mounted as `lake`.
pub(crate) fn member(lake: &Lake) -> MemberSpec {
    named("lake", lake, true)
}

fn named(name: &str, lake: &Lake, create_tables: bool) -> MemberSpec {
    MemberSpec {
        name: CatalogName::new(name).unwrap(),
        kind: MemberKind::Sql(SqlSpec {
            url: SecretString::from(format!("sqlite://{}?mode=rwc", lake.database().display())),
            catalog_name: "default".into(),
            create_tables,
        }),
        timeout: Duration::from_secs(20),
    }
}

async fn pool(lake: &Lake) -> SqlitePool {
    SqlitePool::connect(&format!("sqlite://{}?mode=rwc", lake.database().display()))
        .await
        .unwrap()
}

/// Registers a table in `shop`, made where it is missing.
pub(crate) async fn register(
    _lake: &Lake,
    namespace: &Namespace,
    table: &str,
    metadata: &CanonicalUri,
) {
    let name = table_name(table);
    match namespace.create_schema(&name.catalog, &name.schema).await {
        Ok(()) | Err(CatalogError::Exists { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    namespace.register_table(&name, metadata).await.unwrap();
}

/// Writes a table's row as another engine would, unchecked.
pub(crate) async fn insert(lake: &Lake, namespace: &Namespace, table: &str, metadata: &str) {
    insert_as(lake, namespace, table, metadata, "TABLE").await;
}

/// As [`insert`], of either kind of row.
pub(crate) async fn insert_as(
    lake: &Lake,
    namespace: &Namespace,
    name: &str,
    metadata: &str,
    kind: &str,
) {
    // The first call makes the tables.
    namespace
        .probe(&CatalogName::new("lake").unwrap())
        .await
        .unwrap();
    sqlx::query("INSERT INTO iceberg_tables VALUES ('default', 'shop', $1, $2, NULL, $3)")
        .bind(name)
        .bind(metadata)
        .bind(kind)
        .execute(&pool(lake).await)
        .await
        .unwrap();
}

fn namespace_with(lake: &Lake, create_tables: bool) -> Arc<Namespace> {
    Namespace::new(
        NamespaceSpec::new(vec![named("lake", lake, create_tables)]),
        lake.sites.clone(),
    )
    .unwrap()
}

fn lake_name() -> CatalogName {
    CatalogName::new("lake").unwrap()
}

fn schema_name(name: &str) -> SchemaName {
    SchemaName::new(name).unwrap()
}

#[tokio::test]
async fn schemas_and_tables_come_and_go() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let namespace = namespace_with(&lake, true);
    let shop = schema_name("shop");
    assert!(namespace.schemas(&lake_name()).await.unwrap().is_empty());
    register(&lake, &namespace, "orders", &written.metadata).await;
    assert_eq!(
        namespace.schemas(&lake_name()).await.unwrap(),
        std::slice::from_ref(&shop)
    );
    assert_eq!(
        namespace.tables(&lake_name(), &shop).await.unwrap(),
        ["orders"]
    );
    let again = namespace
        .register_table(&table_name("orders"), &written.metadata)
        .await
        .unwrap_err();
    assert_eq!(again.kind(), CatalogErrorKind::Exists);
    let full = namespace
        .drop_schema(&lake_name(), &shop)
        .await
        .unwrap_err();
    assert_eq!(full.kind(), CatalogErrorKind::NotEmpty);
    namespace.drop_table(&table_name("orders")).await.unwrap();
    assert!(
        namespace
            .tables(&lake_name(), &shop)
            .await
            .unwrap()
            .is_empty()
    );
    let gone = namespace
        .drop_table(&table_name("orders"))
        .await
        .unwrap_err();
    assert_eq!(gone.kind(), CatalogErrorKind::NotFound);
    namespace.drop_schema(&lake_name(), &shop).await.unwrap();
    assert!(namespace.schemas(&lake_name()).await.unwrap().is_empty());
    let missing = namespace
        .drop_schema(&lake_name(), &shop)
        .await
        .unwrap_err();
    assert_eq!(missing.kind(), CatalogErrorKind::NotFound);
    assert!(
        lake.path("cloud", written.metadata.as_str()).exists(),
        "files are never dropped"
    );
}

#[tokio::test]
async fn a_database_without_iceberg_type_is_read_and_written_and_never_altered() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let pool = pool(&lake).await;
    let old = "CREATE TABLE iceberg_tables (catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL, \
               table_name VARCHAR(255) NOT NULL, metadata_location VARCHAR(1000), \
               previous_metadata_location VARCHAR(1000), PRIMARY KEY (catalog_name, table_namespace, table_name))";
    let properties = "CREATE TABLE iceberg_namespace_properties (catalog_name VARCHAR(255) NOT NULL, \
                      namespace VARCHAR(255) NOT NULL, property_key VARCHAR(255) NOT NULL, \
                      property_value VARCHAR(1000) NOT NULL, PRIMARY KEY (catalog_name, namespace, property_key))";
    for statement in [old, properties] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    sqlx::query("INSERT INTO iceberg_tables VALUES ('default', 'shop', 'orders', $1, NULL)")
        .bind(written.metadata.as_str())
        .execute(&pool)
        .await
        .unwrap();
    let namespace = namespace_with(&lake, true);
    let table = namespace
        .resolve(&table_name("orders"), Reading::STRONG, &ReadLog::new())
        .await
        .unwrap();
    assert_eq!(table.metadata_location, written.metadata);
    namespace
        .register_table(&table_name("more"), &written.metadata)
        .await
        .unwrap();
    assert_eq!(
        namespace
            .tables(&lake_name(), &schema_name("shop"))
            .await
            .unwrap(),
        ["more", "orders"]
    );
    assert!(
        namespace
            .probe(&lake_name())
            .await
            .unwrap()
            .contains("without iceberg_type")
    );
    let columns: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pragma_table_info('iceberg_tables')")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(columns, 5);
    // Somebody else migrates it while we run: views are told apart from then on.
    sqlx::query("ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type) \
         VALUES ('default', 'shop', 'a_view', 'gs://lake/v', 'VIEW')")
        .execute(&pool)
        .await
        .unwrap();
    let fresh = namespace_with(&lake, false);
    assert_eq!(
        fresh
            .tables(&lake_name(), &schema_name("shop"))
            .await
            .unwrap(),
        ["more", "orders"]
    );
    namespace.drop_table(&table_name("more")).await.unwrap();
    assert_eq!(
        namespace
            .tables(&lake_name(), &schema_name("shop"))
            .await
            .unwrap(),
        ["orders"]
    );
}

#[tokio::test]
async fn a_view_is_no_table_and_is_not_dropped_as_one() {
    let lake = Lake::new();
    let namespace = namespace_with(&lake, true);
    namespace
        .create_schema(&lake_name(), &schema_name("shop"))
        .await
        .unwrap();
    sqlx::query("INSERT INTO iceberg_tables VALUES ('default', 'shop', 'a_view', 'gs://lake/v', NULL, 'VIEW')")
        .execute(&pool(&lake).await)
        .await
        .unwrap();
    assert!(
        namespace
            .tables(&lake_name(), &schema_name("shop"))
            .await
            .unwrap()
            .is_empty()
    );
    let error = namespace
        .resolve(&table_name("a_view"), Reading::STRONG, &ReadLog::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::NotFound);
    assert!(namespace.drop_table(&table_name("a_view")).await.is_err());
    assert_eq!(
        namespace
            .drop_schema(&lake_name(), &schema_name("shop"))
            .await
            .unwrap_err()
            .kind(),
        CatalogErrorKind::NotEmpty
    );
}

#[tokio::test]
async fn tables_are_not_made_unasked_and_the_error_says_how_to_ask() {
    let lake = Lake::new();
    let namespace = namespace_with(&lake, false);
    let error = namespace.schemas(&lake_name()).await.unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Invalid);
    assert!(
        error.to_string().contains("create_tables = true"),
        "{error}"
    );
}

#[tokio::test]
async fn a_schema_that_does_not_exist_takes_no_table() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let namespace = namespace_with(&lake, true);
    namespace
        .create_schema(&lake_name(), &schema_name("shops"))
        .await
        .unwrap();
    let error = namespace
        .register_table(&table_name("orders"), &written.metadata)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::NotFound);
    let error = namespace
        .tables(&lake_name(), &schema_name("shop"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::NotFound);
}

#[tokio::test]
async fn a_nested_namespace_is_one_schema_and_another_catalogs_rows_are_not_ours() {
    let lake = Lake::new();
    let namespace = namespace_with(&lake, true);
    namespace
        .create_schema(&lake_name(), &schema_name("a.b_c"))
        .await
        .unwrap();
    let pool = pool(&lake).await;
    for row in [
        "('default', 'x.y.z', 't', 'gs://lake/t', NULL, NULL)",
        "('other', 'hidden', 't', 'm', NULL, NULL)",
    ] {
        sqlx::query(&format!("INSERT INTO iceberg_tables VALUES {row}"))
            .execute(&pool)
            .await
            .unwrap();
    }
    let listing = namespace.listing().await;
    let schemas: Vec<&str> = listing
        .schemas
        .iter()
        .map(|(_, schema)| schema.as_str())
        .collect();
    assert_eq!(schemas, ["a.b_c", "x.y.z"]);
    assert_eq!(listing.entries[0].to_string(), "lake.\"x.y.z\".t");
    assert!(listing.warnings.is_empty(), "{:?}", listing.warnings);
}

#[tokio::test]
async fn metadata_outside_all_prefixes_is_not_registered() {
    let lake = Lake::new();
    let namespace = namespace_with(&lake, true);
    namespace
        .create_schema(&lake_name(), &schema_name("shop"))
        .await
        .unwrap();
    for uri in [
        "gs://elsewhere/t/metadata/a.metadata.json",
        "/etc/passwd",
        "file:///etc/passwd",
    ] {
        let error = namespace
            .register_table(&table_name("t"), &CanonicalUri::new(uri))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), CatalogErrorKind::Invalid, "{error}");
    }
    let error = namespace
        .register_table(
            &table_name("t"),
            &CanonicalUri::new("gs://lake/none.metadata.json"),
        )
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Invalid, "{error}");
    assert!(
        error.to_string().contains("gs://lake/none.metadata.json"),
        "{error}"
    );
    lake.put("cloud", "gs://lake/text.metadata.json", b"hello");
    let error = namespace
        .register_table(
            &table_name("t"),
            &CanonicalUri::new("gs://lake/text.metadata.json"),
        )
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Corrupt, "{error}");
    assert!(namespace.listing().await.entries.is_empty());
}
