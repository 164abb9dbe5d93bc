//! Reads of one path by several queries at once.

use std::time::Duration;

use futures::poll;
use landfast_sites::{
    FileSpec, Holdings, MappingSpec, SiteId, SiteSpec, SitesSpec, StoreSpec, Timeouts,
};
use serde_json::json;

use super::*;
use crate::{CatalogErrorKind, CatalogName, SchemaName};

const OLD: &str = "00000000-0000-0000-0000-00000000000a";
const NEW: &str = "00000000-0000-0000-0000-00000000000b";

/// One site, of whose files none is there.
fn reader() -> MetadataReader {
    let site = SiteId::new("cloud").unwrap();
    let spec = SiteSpec {
        id: site.clone(),
        store: StoreSpec::File(FileSpec {
            root: std::env::temp_dir(),
        }),
        mappings: vec![MappingSpec {
            prefix: "gs://lake/".into(),
            at: Some("no-such-lake".into()),
            origin: true,
        }],
        holdings: Holdings::Listed {
            refresh: Duration::from_secs(3_600),
        },
        simulated: None,
        timeouts: Timeouts::default(),
    };
    let sites = Sites::new(SitesSpec {
        sites: vec![spec],
        links: Vec::new(),
        reader: site,
    });
    MetadataReader::new(sites.unwrap(), 1 << 20)
}

fn old_entry() -> Entry {
    let document = json!({
        "format-version": 2, "table-uuid": OLD, "location": "gs://lake/t",
        "last-sequence-number": 0, "last-updated-ms": 1, "last-column-id": 1,
        "current-schema-id": 0, "schemas": [{"type": "struct", "schema-id": 0, "fields": [
            {"id": 1, "name": "n", "required": false, "type": "long"}]}],
        "default-spec-id": 0, "partition-specs": [{"spec-id": 0, "fields": []}],
        "last-partition-id": 999, "default-sort-order-id": 0,
        "sort-orders": [{"order-id": 0, "fields": []}], "properties": {},
    });
    let bytes = document.to_string().into_bytes();
    Entry::Metadata(Parsed {
        value: Arc::new(document::parse(&bytes, None).unwrap()),
        read_bytes: bytes.len() as u64,
    })
}

#[tokio::test]
async fn what_another_query_reads_for_the_table_that_had_the_path_before_is_not_taken() {
    let reader = reader();
    let log = ReadLog::new();
    let name = TableName::new(
        CatalogName::new("lake").unwrap(),
        SchemaName::new("shop").unwrap(),
        "t",
    )
    .unwrap();
    let location = CanonicalUri::new("gs://lake/t/metadata/v1.metadata.json");
    let pointer = Pointer::to_file(location, Some(NEW.parse().unwrap()));
    let key = metadata_key(&pointer);
    // A query for the old table is about to have read its metadata …
    let read = tokio::sync::Notify::new();
    let old = reader.cache.get(key.clone(), &log, async {
        read.notified().await;
        Ok(old_entry())
    });
    let mut old = std::pin::pin!(old);
    assert!(poll!(&mut old).is_pending());
    // … when another one, which finds that metadata cached, waits for the same read.
    reader.cache.put(key, old_entry()).await;
    let new = reader.metadata(&name, &pointer, &log);
    let mut new = std::pin::pin!(new);
    assert!(poll!(&mut new).is_pending());
    read.notify_one();
    let (old, new) = futures::join!(old, new);
    old.unwrap();
    let error = new.unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Corrupt);
    assert!(error.to_string().contains(NEW), "{error}");
}
