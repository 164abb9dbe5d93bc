//! Tables without a catalog: the newest whole metadata file of a folder is where each stands.

use std::sync::Arc;
use std::time::Duration;

use landfast_catalog::{
    CatalogError, CatalogErrorKind, CatalogName, FolderSpec, FoldersSpec, MemberKind, MemberSpec,
    Namespace, NamespaceSpec, Reading, TableSnapshot,
};
use landfast_sites::{CanonicalUri, ReadLog};
use serde_json::{Value, json};

use crate::lake::{HandClock, Lake, Shape, table_name};

/// A folder that a test writes to, followed as `lake.shop.orders`.
struct Folder {
    lake: Lake,
    clock: Arc<HandClock>,
    namespace: Arc<Namespace>,
    document: Value,
}

fn member(location: &str) -> MemberSpec {
    let name = table_name("orders");
    let folder = FolderSpec {
        schema: name.schema,
        table: name.table,
        location: CanonicalUri::new(location),
    };
    MemberSpec {
        name: name.catalog,
        kind: MemberKind::Folders(FoldersSpec {
            tables: vec![folder],
        }),
        timeout: Duration::from_secs(20),
    }
}

impl Folder {
    async fn new() -> Self {
        let lake = Lake::new();
        let written = lake.table("orders", Shape::default()).await;
        let uri = written.metadata.as_str();
        let document = serde_json::from_slice(&lake.get("cloud", uri)).unwrap();
        std::fs::remove_file(lake.path("cloud", uri)).unwrap();
        let clock = HandClock::new();
        let spec = NamespaceSpec::new(vec![member("gs://lake/orders/")]);
        let namespace = Namespace::with_clock(spec, lake.sites.clone(), clock.clone()).unwrap();
        Self {
            lake,
            clock,
            namespace,
            document,
        }
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        let uri = format!("gs://lake/orders/metadata/{file}");
        self.lake.put("cloud", &uri, bytes);
    }

    /// Writes a metadata file that says which it is.
    fn commit(&self, file: &str) {
        self.commit_as(file, |_| {});
    }

    fn commit_as(&self, file: &str, edit: impl FnOnce(&mut Value)) {
        let mut document = self.document.clone();
        document["properties"]["file"] = json!(file);
        edit(&mut document);
        self.write(file, document.to_string().as_bytes());
    }

    async fn read(&self, reading: Reading) -> Result<Arc<TableSnapshot>, CatalogError> {
        let log = ReadLog::new();
        self.namespace
            .resolve(&table_name("orders"), reading, &log)
            .await
    }

    /// The file that the table stands at.
    async fn stands(&self) -> String {
        let table = self.read(Reading::STRONG).await.unwrap();
        table.metadata.properties()["file"].clone()
    }
}

#[tokio::test]
async fn a_folder_is_followed_as_its_writer_commits() {
    let folder = Folder::new().await;
    folder.commit("v9.metadata.json");
    assert_eq!(folder.stands().await, "v9.metadata.json");
    let table = folder.read(Reading::STRONG).await.unwrap();
    let files = folder.namespace.files(&table, &ReadLog::new()).await;
    assert_eq!(files.unwrap().count(), 3);
    folder.commit("v10.metadata.json");
    // Within its time a pointer serves; after it, and strongly at once, the folder is listed again.
    let minute = Reading::bounded(Duration::from_secs(60));
    let bounded = folder.read(minute).await.unwrap();
    assert_eq!(bounded.metadata.properties()["file"], "v9.metadata.json");
    folder.clock.pass(Duration::from_secs(61));
    let bounded = folder.read(minute).await.unwrap();
    assert_eq!(bounded.metadata.properties()["file"], "v10.metadata.json");
    folder.commit("00011-5f8d.metadata.json");
    assert_eq!(folder.stands().await, "00011-5f8d.metadata.json");
    let old = folder
        .namespace
        .resolve_pinned(&table.pin(), &ReadLog::new())
        .await;
    assert_eq!(
        old.unwrap().metadata.properties()["file"],
        "v9.metadata.json"
    );
}

#[tokio::test]
async fn a_name_that_is_used_again_stands_for_what_was_written_last() {
    let folder = Folder::new().await;
    let write = |file: &str, writing: &str| {
        folder.commit_as(file, |document| {
            document["properties"]["writing"] = json!(writing);
        });
    };
    let writing = || async {
        let table = folder.read(Reading::STRONG).await.unwrap();
        table.metadata.properties()["writing"].clone()
    };
    write("v5.metadata.json", "first");
    assert_eq!(writing().await, "first");
    write("v6.metadata.json", "lost by a restore");
    assert_eq!(writing().await, "lost by a restore");
    let old = folder.read(Reading::STRONG).await.unwrap();
    let lost = "gs://lake/orders/metadata/v6.metadata.json";
    // A copy of it stays at a nearer site.
    folder.lake.copy_near(lost);
    std::fs::remove_file(folder.lake.path("cloud", lost)).unwrap();
    assert_eq!(writing().await, "first");
    write("v6.metadata.json", "after the restore");
    assert_eq!(writing().await, "after the restore");
    let pinned = folder
        .namespace
        .resolve_pinned(&old.pin(), &ReadLog::new())
        .await
        .unwrap();
    assert_eq!(pinned.snapshot_id(), old.snapshot_id());
}

#[tokio::test]
async fn a_half_written_file_is_passed_over_until_it_is_whole() {
    let folder = Folder::new().await;
    folder.commit("v1.metadata.json");
    assert_eq!(folder.stands().await, "v1.metadata.json");
    let half = &folder.document.to_string().into_bytes()[..200];
    folder.write("v2.metadata.json", half);
    folder.write("v3.metadata.json", b"");
    assert_eq!(folder.stands().await, "v1.metadata.json");
    assert_eq!(folder.stands().await, "v1.metadata.json");
    folder.commit("v2.metadata.json");
    assert_eq!(folder.stands().await, "v2.metadata.json");
    folder.commit("v3.metadata.json");
    assert_eq!(folder.stands().await, "v3.metadata.json");
}

#[tokio::test]
async fn a_whole_file_that_cannot_be_read_is_refused_rather_than_an_older_one_shown() {
    let folder = Folder::new().await;
    folder.commit("v1.metadata.json");
    folder.commit_as("v2.metadata.json", |document| {
        document["format-version"] = json!(4);
    });
    let error = folder.read(Reading::STRONG).await.unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Unsupported);
    assert!(error.to_string().contains("format version 4"), "{error}");
}

#[tokio::test]
async fn a_hint_that_is_behind_or_names_nothing_holds_nobody_up() {
    let folder = Folder::new().await;
    folder.commit("v1.metadata.json");
    for hint in ["1", "77", "", "no number"] {
        folder.write("version-hint.text", hint.as_bytes());
        assert_eq!(folder.stands().await, "v1.metadata.json", "{hint:?}");
    }
    folder.write("version-hint.text", b"1");
    folder.commit("v2.metadata.json");
    assert_eq!(folder.stands().await, "v2.metadata.json");
}

#[tokio::test]
async fn a_newer_file_of_another_table_waits_until_the_hint_leads_to_it() {
    let folder = Folder::new().await;
    folder.commit("v1.metadata.json");
    folder.write("version-hint.text", b"1");
    folder.commit_as("v2.metadata.json", |document| {
        document["table-uuid"] = json!("00000000-0000-0000-0000-00000000000a");
    });
    assert_eq!(folder.stands().await, "v1.metadata.json");
    assert_eq!(folder.stands().await, "v1.metadata.json");
    folder.write("version-hint.text", b"2 ");
    assert_eq!(folder.stands().await, "v2.metadata.json");
}

#[tokio::test]
async fn a_folder_without_metadata_says_where_it_looked() {
    let folder = Folder::new().await;
    let error = folder.read(Reading::STRONG).await.unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Corrupt);
    let text = error.to_string();
    assert!(
        text.contains("gs://lake/orders/metadata has no metadata file"),
        "{text}"
    );
    folder.write("v1.metadata.json", b"{");
    folder.clock.pass(Duration::from_secs(1));
    let text = folder.read(Reading::STRONG).await.unwrap_err().to_string();
    assert!(
        text.contains("gs://lake/orders/metadata/v1.metadata.json: "),
        "{text}"
    );
    let catalog = CatalogName::new("lake").unwrap();
    let probe = folder.namespace.probe(&catalog).await.unwrap_err();
    assert_eq!(probe.kind(), CatalogErrorKind::Corrupt);
}

#[tokio::test]
async fn folders_are_listed_and_only_read() {
    let folder = Folder::new().await;
    folder.commit("v1.metadata.json");
    let (name, uri) = (
        table_name("orders"),
        CanonicalUri::new("gs://lake/orders/metadata/v1.metadata.json"),
    );
    let namespace = &folder.namespace;
    let listing = namespace.listing().await;
    assert_eq!(listing.entries, std::slice::from_ref(&name));
    assert_eq!(
        listing.schemas,
        [(name.catalog.clone(), name.schema.clone())]
    );
    assert!(listing.warnings.is_empty(), "{:?}", listing.warnings);
    assert!(
        namespace
            .probe(&name.catalog)
            .await
            .unwrap()
            .contains("1 tables")
    );
    let other = landfast_catalog::SchemaName::new("other").unwrap();
    for refused in [
        namespace.drop_table(&name).await,
        namespace.register_table(&table_name("b"), &uri).await,
        namespace.create_schema(&name.catalog, &other).await,
        namespace.drop_schema(&name.catalog, &name.schema).await,
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), CatalogErrorKind::Unsupported);
        assert!(error.to_string().contains("only read"), "{error}");
    }
    let missing = namespace
        .resolve(&table_name("order"), Reading::STRONG, &ReadLog::new())
        .await
        .unwrap_err();
    assert_eq!(missing.nearest(), ["orders"]);
}

#[tokio::test]
async fn a_copy_of_a_folder_says_nothing_about_what_is_newest() {
    let folder = Folder::new().await;
    folder.commit("v1.metadata.json");
    folder
        .lake
        .put("near", "gs://lake/orders/metadata/v2.metadata.json", b"{}");
    assert_eq!(folder.stands().await, "v1.metadata.json");
}

#[test]
fn a_folder_under_no_prefix_is_refused_by_name() {
    let lake = Lake::new();
    let spec = NamespaceSpec::new(vec![member("s3://elsewhere/orders")]);
    let error = Namespace::new(spec, lake.sites.clone()).unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Invalid);
    assert!(error.to_string().contains("shop.orders"), "{error}");
}
