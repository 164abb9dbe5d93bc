//! Metadata documents as writers of other makes leave them: what is read, and what is refused, alone and by name.

use std::sync::Arc;

use iceberg::spec::Transform;
use landfast_catalog::{
    AsOf, CatalogError, CatalogErrorKind, Namespace, NamespaceSpec, Reading, RestSpec,
    TableSnapshot,
};
use landfast_sites::ReadLog;
use serde_json::{Value, json};

use crate::lake::{Lake, Shape, UUID, table_name};
use crate::rest_double::{Reply, RestDouble};
use crate::sql;

/// The id of the snapshot that [`Lake::table`] writes.
const SNAPSHOT: i64 = 3_055_729_675_574_597_004;

/// Changes a document.
type Edit = fn(&mut Value);

/// A table whose document was edited after it was written.
struct Edited {
    namespace: Arc<Namespace>,
    _lake: Lake,
}

impl Edited {
    async fn new(format_version: u8, edit: impl FnOnce(&mut Value)) -> Self {
        let lake = Lake::new();
        let shape = Shape {
            format_version,
            ..Shape::default()
        };
        let written = lake.table("orders", shape).await;
        let uri = written.metadata.as_str();
        let mut document = serde_json::from_slice(&lake.get("cloud", uri)).unwrap();
        edit(&mut document);
        lake.put("cloud", uri, document.to_string().as_bytes());
        let spec = NamespaceSpec::new(vec![sql::member(&lake)]);
        let namespace = Namespace::new(spec, lake.sites.clone()).unwrap();
        sql::insert(&lake, &namespace, "orders", uri).await;
        Self {
            namespace,
            _lake: lake,
        }
    }

    async fn at(&self, as_of: AsOf) -> Result<Arc<TableSnapshot>, CatalogError> {
        let log = ReadLog::new();
        let name = table_name("orders");
        self.namespace
            .resolve_as_of(&name, &as_of, Reading::STRONG, &log)
            .await
    }

    async fn now(&self) -> Result<Arc<TableSnapshot>, CatalogError> {
        self.at(AsOf::Current).await
    }

    /// The table, and that its files are found.
    async fn read(&self) -> Arc<TableSnapshot> {
        let table = self.now().await.unwrap();
        let files = self.namespace.files(&table, &ReadLog::new()).await.unwrap();
        assert_eq!(files.count(), 3);
        table
    }

    async fn refusal(&self) -> CatalogError {
        let error = self.now().await.unwrap_err();
        assert!(error.to_string().contains("lake.shop.orders"), "{error}");
        error
    }
}

fn columns(table: &TableSnapshot) -> Vec<&str> {
    let fields = table.schema().as_struct().fields().iter();
    fields.map(|field| field.name.as_str()).collect()
}

fn unreadable(table: &TableSnapshot) -> Vec<(&str, i32, &str)> {
    let columns = table.unreadable.iter();
    columns
        .map(|column| (column.name.as_str(), column.id, column.type_name.as_str()))
        .collect()
}

#[tokio::test]
async fn a_v3_table_is_read() {
    let edited = Edited::new(3, |document| {
        document["next-row-id"] = json!(60);
        document["snapshots"][0]["first-row-id"] = json!(0);
        document["snapshots"][0]["added-rows"] = json!(60);
        document["schemas"][0]["fields"][0]["initial-default"] = json!(5);
    })
    .await;
    let table = edited.read().await;
    assert_eq!(table.metadata.next_row_id(), 60);
    let id = table.schema().field_by_name("id").unwrap();
    assert!(id.initial_default.is_some());
}

#[tokio::test]
async fn a_later_format_version_is_refused_by_its_number() {
    for version in [4, 9] {
        let edited = Edited::new(2, |document| document["format-version"] = json!(version)).await;
        let error = edited.refusal().await;
        assert_eq!(error.kind(), CatalogErrorKind::Unsupported);
        assert!(
            error
                .to_string()
                .contains(&format!("format version {version}")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_encrypted_table_is_refused_by_any_sign_of_it() {
    let signs: [Edit; 3] = [
        |document| {
            document["encryption-keys"] =
                json!([{"key-id": "a", "encrypted-key-metadata": "eA=="}]);
        },
        |document| document["properties"]["encryption.key-id"] = json!("a"),
        |document| document["snapshots"][0]["key-id"] = json!("a"),
    ];
    for sign in signs {
        let error = Edited::new(3, sign).await.refusal().await;
        assert_eq!(error.kind(), CatalogErrorKind::Unsupported);
        assert!(error.to_string().contains("encrypted"), "{error}");
    }
}

#[tokio::test]
async fn columns_that_cannot_be_read_are_left_out_of_the_schema_that_the_snapshot_is_read_with() {
    let edited = Edited::new(3, |document| {
        let mut second = document["schemas"][0].clone();
        second["schema-id"] = json!(1);
        let fields = second["fields"].as_array_mut().unwrap();
        fields.push(json!({"id": 4, "name": "doc", "required": false, "type": "variant"}));
        fields.push(json!({"id": 5, "name": "nothing", "required": false, "type": "unknown"}));
        document["schemas"][0]["fields"][1]["type"] = json!("geography");
        document["schemas"].as_array_mut().unwrap().push(second);
        document["current-schema-id"] = json!(1);
        document["last-column-id"] = json!(5);
        document["properties"]["schema.name-mapping.default"] =
            json!("[{\"field-id\": 4, \"names\": [\"doc\"]}]");
        document["sort-orders"] = json!([{"order-id": 1, "fields": [
            {"source-id": 4, "transform": "identity", "direction": "asc", "null-order": "nulls-first"}]}]);
        document["default-sort-order-id"] = json!(1);
        document["statistics"] = json!([{"snapshot-id": SNAPSHOT, "statistics-path": "gs://lake/s.puffin",
            "file-size-in-bytes": 10, "file-footer-size-in-bytes": 5, "blob-metadata": [
                {"type": "apache-datasketches-theta-v1", "snapshot-id": SNAPSHOT, "sequence-number": 1, "fields": [4]}]}]);
    })
    .await;
    let now = edited.read().await;
    assert_eq!(columns(&now), ["id", "name", "day", "nothing"]);
    assert_eq!(unreadable(&now), [("doc", 4, "variant")]);
    assert!(now.unknown.contains(&5));
    assert_eq!(now.metadata.statistics_iter().len(), 1);
    let then = edited.at(AsOf::Snapshot(SNAPSHOT)).await.unwrap();
    assert_eq!(columns(&then), ["id", "day"]);
    assert_eq!(unreadable(&then), [("name", 2, "geography")]);
    let log = ReadLog::new();
    let again = edited
        .namespace
        .resolve_pinned(&then.pin(), &log)
        .await
        .unwrap();
    assert_eq!(
        (columns(&again), unreadable(&again)),
        (columns(&then), unreadable(&then))
    );
}

#[tokio::test]
async fn metadata_that_a_catalog_sends_is_read_like_a_file() {
    let lake = Lake::new();
    let written = lake
        .table(
            "orders",
            Shape {
                format_version: 3,
                ..Shape::default()
            },
        )
        .await;
    let uri = written.metadata.as_str().to_owned();
    let mut document: Value = serde_json::from_slice(&lake.get("cloud", &uri)).unwrap();
    document["schemas"][0]["fields"][1]["type"] = json!("variant");
    lake.put("cloud", &uri, b"nobody reads this");
    let double = RestDouble::start(move |seen| {
        (seen.path() == "/v1/namespaces/shop/tables/orders").then(|| {
            Reply::ok(json!({"metadata-location": uri, "metadata": document, "config": {}}))
        })
    })
    .await;
    let spec = NamespaceSpec::new(vec![double.member(RestSpec::default())]);
    let namespace = Namespace::new(spec, lake.sites.clone()).unwrap();
    let (name, log) = (table_name("orders"), ReadLog::new());
    let table = namespace
        .resolve(&name, Reading::STRONG, &log)
        .await
        .unwrap();
    assert_eq!(columns(&table), ["id", "day"]);
    assert_eq!(namespace.files(&table, &log).await.unwrap().count(), 3);
}

#[tokio::test]
async fn transforms_that_are_not_known_leave_the_table_readable_and_are_not_derived_from() {
    let several =
        json!({"name": "two", "transform": "bucket[4]", "source-ids": [1, 2], "field-id": 1001});
    let with_first = json!({"name": "two", "transform": "bucket[4]", "source-id": 1, "source-ids": [1, 2], "field-id": 1001});
    let one = json!({"name": "one", "transform": "bucket[4]", "source-ids": [1], "field-id": 1001});
    let odd = json!({"name": "odd", "transform": "zorder", "source-id": 1, "field-id": 1001});
    for (field, expected) in [
        (several, Transform::Unknown),
        (with_first, Transform::Unknown),
        (one, Transform::Bucket(4)),
        (odd, Transform::Unknown),
    ] {
        let edited = Edited::new(3, |document| {
            let spec = json!({"spec-id": 1, "fields": [field]});
            document["partition-specs"]
                .as_array_mut()
                .unwrap()
                .push(spec);
            document["default-spec-id"] = json!(1);
        })
        .await;
        let table = edited.read().await;
        let spec = table.metadata.partition_spec_by_id(1).unwrap();
        assert_eq!(
            (spec.fields()[0].transform, spec.fields()[0].source_id),
            (expected, 1)
        );
        assert_eq!(table.default_spec_id, 1);
    }
}

#[tokio::test]
async fn a_partition_column_that_was_dropped_leaves_the_table_readable() {
    for version in [1, 2, 3] {
        let edited = Edited::new(version, |document| {
            let mut second = document["schemas"][0].clone();
            second["schema-id"] = json!(1);
            second["fields"].as_array_mut().unwrap().remove(2);
            document["schemas"].as_array_mut().unwrap().push(second);
            document["current-schema-id"] = json!(1);
            if version == 1 {
                document["partition-specs"][0]["fields"][0]["transform"] = json!("void");
            }
        })
        .await;
        let table = edited.read().await;
        assert_eq!(columns(&table), ["id", "name"]);
        assert_eq!(table.default_spec_id, 0);
        let spec = table.metadata.partition_spec_by_id(0).unwrap();
        assert_eq!(spec.fields()[0].source_id, 3);
    }
}

#[tokio::test]
async fn a_branch_whose_snapshot_is_gone_fails_alone() {
    let edited = Edited::new(2, |document| {
        document["refs"] = json!({
            "main": {"snapshot-id": SNAPSHOT, "type": "branch"},
            "gone": {"snapshot-id": 77, "type": "branch"},
            "kept": {"snapshot-id": SNAPSHOT, "type": "tag", "max-ref-age-ms": 1},
        });
    })
    .await;
    let table = edited.read().await;
    assert_eq!(table.refs.len(), 3);
    let name = |name: &str| AsOf::Ref(name.into());
    assert!(edited.at(name("kept")).await.is_ok() && edited.at(name("main")).await.is_ok());
    let error = edited.at(name("gone")).await.unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::NotFound);
    let text = error.to_string();
    assert!(text.contains("77") && text.contains("\"gone\""), "{text}");
}

#[tokio::test]
async fn what_reading_can_do_without_is_no_reason_to_refuse_a_table() {
    let edits: [(&str, Edit); 9] = [
        ("a default sort order that isn't there", |document| {
            document["default-sort-order-id"] = json!(5);
        }),
        ("an order 0 with fields", |document| {
            document["sort-orders"][0]["fields"] = json!([
                {"source-id": 1, "transform": "identity", "direction": "asc", "null-order": "nulls-first"}]);
        }),
        ("an order by several columns", |document| {
            document["sort-orders"] = json!([{"order-id": 1, "fields": [
                {"source-ids": [1, 2], "transform": "zorder", "direction": "asc", "null-order": "nulls-first"}]}]);
            document["default-sort-order-id"] = json!(1);
        }),
        ("a default spec that isn't there", |document| {
            document["default-spec-id"] = json!(9);
        }),
        ("no summary", |document| {
            document["snapshots"][0]
                .as_object_mut()
                .unwrap()
                .remove("summary");
        }),
        ("a summary without an operation", |document| {
            document["snapshots"][0]["summary"] = json!({"added-files": 3});
        }),
        ("an operation of its own", |document| {
            document["snapshots"][0]["summary"]["operation"] = json!("optimize");
        }),
        ("statistics that lack something", |document| {
            document["statistics"] = json!([{"snapshot-id": SNAPSHOT}]);
            document["partition-statistics"] = json!([{"snapshot-id": SNAPSHOT}]);
        }),
        ("names that differ in case", |document| {
            let fields = document["schemas"][0]["fields"].as_array_mut().unwrap();
            fields.push(json!({"id": 4, "name": "ID", "required": false, "type": "long"}));
        }),
    ];
    for (what, edit) in edits {
        for version in [2, 3] {
            let edited = Edited::new(version, edit).await;
            let table = edited
                .now()
                .await
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(table.snapshot_id(), Some(SNAPSHOT), "{what}");
            edited.read().await;
        }
    }
}

#[tokio::test]
async fn an_old_v1_table_is_read_from_the_little_that_it_says() {
    let edited = Edited::new(1, |document| {
        let document = document.as_object_mut().unwrap();
        for key in [
            "table-uuid",
            "schemas",
            "current-schema-id",
            "partition-specs",
            "default-spec-id",
            "last-partition-id",
            "sort-orders",
            "default-sort-order-id",
            "snapshot-log",
            "metadata-log",
        ] {
            document.remove(key);
        }
        document["snapshots"][0]
            .as_object_mut()
            .unwrap()
            .remove("schema-id");
        let fields = document["partition-spec"].as_array_mut().unwrap();
        fields[0].as_object_mut().unwrap().remove("field-id");
    })
    .await;
    let table = edited.read().await;
    assert!(table.uuid.is_nil());
    let spec = table.metadata.partition_spec_by_id(0).unwrap();
    assert_eq!(spec.fields()[0].field_id, 1_000);
}

#[tokio::test]
async fn a_snapshot_without_a_manifest_list_is_refused_alone() {
    let edited = Edited::new(1, |document| {
        let old = json!({"snapshot-id": 5, "timestamp-ms": 1_600_000_000_000_i64, "manifests": ["gs://lake/m.avro"]});
        document["snapshots"].as_array_mut().unwrap().push(old);
    })
    .await;
    edited.read().await;
    let error = edited.at(AsOf::Snapshot(5)).await.unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Unsupported);
    assert!(error.to_string().contains("snapshot 5"), "{error}");
}

#[tokio::test]
async fn a_document_that_contradicts_itself_is_refused_with_its_file_and_the_reason() {
    let edits: [(&str, Edit); 5] = [
        ("main branch", |document| {
            let mut other = document["snapshots"][0].clone();
            other["snapshot-id"] = json!(5);
            document["snapshots"].as_array_mut().unwrap().push(other);
            document["refs"] = json!({"main": {"snapshot-id": 5, "type": "branch"}});
        }),
        ("lacks last-column-id", |document| {
            document.as_object_mut().unwrap().remove("last-column-id");
        }),
        ("schemas[0]", |document| {
            document["schemas"][0]["fields"][0]["id"] = json!("one")
        }),
        ("current snapshot id 5", |document| {
            document["current-snapshot-id"] = json!(5)
        }),
        ("greater than last sequence number", |document| {
            document["last-sequence-number"] = json!(1);
        }),
    ];
    for (says, edit) in edits {
        let error = Edited::new(2, edit).await.refusal().await;
        assert_eq!(error.kind(), CatalogErrorKind::Corrupt);
        let text = error.to_string();
        assert!(text.contains(says), "{says}: {text}");
        assert!(text.contains("00001-a.metadata.json"), "{text}");
    }
}

#[tokio::test]
async fn metadata_that_is_missing_or_torn_everywhere_names_its_file_and_what_each_site_said() {
    let lake = Lake::new();
    let spec = NamespaceSpec::new(vec![sql::member(&lake)]);
    let namespace = Namespace::new(spec, lake.sites.clone()).unwrap();
    let torn = format!("{{\"format-version\": 2, \"table-uuid\": \"{UUID}\"");
    lake.put("cloud", "gs://lake/torn/v1.metadata.json", torn.as_bytes());
    for table in ["torn", "missing"] {
        let uri = format!("gs://lake/{table}/v1.metadata.json");
        sql::insert(&lake, &namespace, table, &uri).await;
        let (name, log) = (table_name(table), ReadLog::new());
        let error = namespace
            .resolve(&name, Reading::STRONG, &log)
            .await
            .unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), CatalogErrorKind::Corrupt, "{text}");
        assert!(text.contains(&uri) && text.contains("cloud"), "{text}");
    }
}
