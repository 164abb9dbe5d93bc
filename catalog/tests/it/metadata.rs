//! Metadata, manifest lists and manifests: what is read, from where, and what is refused.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use iceberg::spec::{
    DataFileFormat, Literal, ManifestStatus, PrimitiveLiteral, PrimitiveType, Struct,
};
use landfast_catalog::{
    CatalogError, CatalogErrorKind, DataFile, DeleteContent, DeleteIndex, ManifestFiles,
    ManifestListing, Namespace, NamespaceSpec, Reading, SnapshotFiles, TableSnapshot, WantedColumn,
    decode_bound,
};
use landfast_sites::{CanonicalUri, ReadLog};
use serde_json::json;

use crate::lake::{Lake, Shape, UUID, Written, table_name};
use crate::sql::{member, register};

/// The columns of the lake's tables.
const WANTED: [WantedColumn; 3] = [
    (1, PrimitiveType::Long),
    (2, PrimitiveType::String),
    (3, PrimitiveType::Date),
];

/// The lake's namespace with one table in it.
async fn namespace_of(lake: &Lake, written: &Written) -> Arc<Namespace> {
    let namespace =
        Namespace::new(NamespaceSpec::new(vec![member(lake)]), lake.sites.clone()).unwrap();
    register(lake, &namespace, "orders", &written.metadata).await;
    namespace
}

async fn resolve(namespace: &Namespace) -> Result<Arc<TableSnapshot>, CatalogError> {
    namespace
        .resolve(&table_name("orders"), Reading::STRONG, &ReadLog::new())
        .await
}

async fn files(namespace: &Namespace) -> Result<Arc<SnapshotFiles>, CatalogError> {
    let table = resolve(namespace).await?;
    namespace.files(&table, &ReadLog::new()).await
}

/// A table written in this shape, resolved and planned.
async fn planned(shape: Shape) -> Result<Arc<SnapshotFiles>, CatalogError> {
    let lake = Lake::new();
    let written = lake.table("orders", shape).await;
    files(&*namespace_of(&lake, &written).await).await
}

fn feature(error: &CatalogError) -> &str {
    match error {
        CatalogError::Unsupported { table, feature } if *table == table_name("orders") => feature,
        other => panic!("{other:?} is no refusal of the table"),
    }
}

#[tokio::test]
async fn a_v2_table_gives_its_live_files_with_inherited_numbers_and_metrics() {
    let files = planned(Shape::default()).await.unwrap();
    assert_eq!((files.count(), files.rows(), files.bytes()), (3, 60, 6_000));
    let found: Vec<DataFile> = files.files(&WANTED).collect();
    let paths: Vec<&str> = found.iter().map(|file| file.id.uri.as_str()).collect();
    assert_eq!(
        paths,
        [
            "gs://lake/orders/data/0-0.parquet",
            "gs://lake/orders/data/0-1.parquet",
            "gs://lake/orders/data/1-0.parquet"
        ]
    );
    let numbers: Vec<i64> = found.iter().map(|file| file.sequence_number).collect();
    assert_eq!(
        numbers,
        [7, 5, 7],
        "an added file inherits, a kept one keeps its own"
    );
    let file = &found[0];
    assert_eq!(*file.split_offsets, [4, 50]);
    let id = file.column(1).unwrap();
    assert_eq!(
        (id.lower.clone(), id.upper.clone()),
        (
            Some(PrimitiveLiteral::Long(1)),
            Some(PrimitiveLiteral::Long(10))
        )
    );
    assert_eq!(
        (id.value_count, id.null_count, id.size_bytes),
        (Some(10), Some(0), Some(80))
    );
    assert_eq!(file.column(2).unwrap().null_count, Some(1));
    assert!(file.column(3).is_none());
}

#[tokio::test]
async fn a_v1_table_is_read_with_sequence_number_0() {
    let shape = Shape {
        format_version: 1,
        ..Shape::default()
    };
    let files = planned(shape).await.unwrap();
    assert_eq!(files.count(), 3);
    assert!(files.files(&[]).all(|file| file.sequence_number == 0));
}

#[tokio::test]
async fn a_table_upgraded_to_v2_is_read_with_the_list_that_it_had_as_v1() {
    let upgrade = |document: &mut serde_json::Value| {
        document["format-version"] = json!(2);
        document["last-sequence-number"] = json!(0);
    };
    let files = planned(Shape {
        format_version: 1,
        edit: upgrade,
        ..Shape::default()
    })
    .await
    .unwrap();
    assert_eq!(files.count(), 3);
}

#[tokio::test]
async fn manifests_can_be_chosen_by_their_summaries_before_any_is_read() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let namespace = namespace_of(&lake, &written).await;
    let table = resolve(&namespace).await.unwrap();
    let log = ReadLog::new();
    let listing = namespace.manifests(&table, &log).await.unwrap();
    let counts: Vec<_> = listing
        .manifests
        .iter()
        .map(|manifest| (manifest.files, manifest.rows))
        .collect();
    assert_eq!(counts, [(Some(2), Some(30)), (Some(1), Some(30))]);
    let day = &listing.manifests[0].partitions.as_ref().unwrap()[0];
    assert_eq!(
        day.lower_bound.as_ref().unwrap().as_ref(),
        19_000_i32.to_le_bytes()
    );
    let read = requests(&log);
    let one = namespace
        .load(&table, &listing.manifests[1..], &log)
        .await
        .unwrap();
    assert_eq!((one.count(), one.rows()), (1, 30));
    assert!(requests(&log) > read);
}

fn requests(log: &ReadLog) -> u64 {
    log.snapshot()
        .iter()
        .map(|reads| reads.metadata.requests)
        .sum()
}

#[tokio::test]
async fn what_is_cached_is_not_read_again_and_counts_as_a_hit() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let namespace = namespace_of(&lake, &written).await;
    files(&namespace).await.unwrap();
    let log = ReadLog::new();
    let table = namespace
        .resolve(&table_name("orders"), Reading::STRONG, &log)
        .await
        .unwrap();
    namespace.files(&table, &log).await.unwrap();
    assert_eq!(requests(&log), 0);
    let hits = log.cache_hits();
    assert_eq!(hits.hits, 4, "metadata, list and two manifests");
    assert!(hits.bytes > 0 && namespace.cache_stats().hits >= 4);
}

#[tokio::test]
async fn a_new_snapshot_costs_only_its_list_and_its_new_manifests() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let namespace = namespace_of(&lake, &written).await;
    files(&namespace).await.unwrap();
    let grown = Shape {
        manifests: vec![vec![10, 20], vec![30], vec![40]],
        version: 2,
        ..Shape::default()
    };
    let grown = lake.table("orders", grown).await;
    namespace.drop_table(&table_name("orders")).await.unwrap();
    register(&lake, &namespace, "orders", &grown.metadata).await;
    // Registering read the metadata.
    let before = namespace.cache_stats().misses;
    let log = ReadLog::new();
    let table = namespace
        .resolve(&table_name("orders"), Reading::STRONG, &log)
        .await
        .unwrap();
    assert_eq!(namespace.files(&table, &log).await.unwrap().count(), 4);
    let read = namespace.cache_stats().misses - before;
    assert_eq!(read, 2, "the list and one manifest");
    assert_eq!(
        requests(&log),
        4,
        "each is asked for near by, and read afar"
    );
}

#[tokio::test]
async fn manifests_are_looked_at_in_order_cached_or_not_until_enough_is_seen() {
    let lake = Lake::new();
    let many = Shape {
        manifests: (1..=40).map(|rows| vec![rows, 1]).collect(),
        ..Shape::default()
    };
    let written = lake.table("orders", many).await;
    for cache_bytes in [0, 20_000, 1 << 24] {
        let mut spec = NamespaceSpec::new(vec![member(&lake)]);
        spec.metadata_cache_bytes = cache_bytes;
        let namespace = Namespace::new(spec, lake.sites.clone()).unwrap();
        if cache_bytes == 0 {
            register(&lake, &namespace, "orders", &written.metadata).await;
        }
        let table = resolve(&namespace).await.unwrap();
        let log = ReadLog::new();
        let listing = namespace.manifests(&table, &log).await.unwrap();
        let rows = Arc::new(|files: &ManifestFiles| files.rows_total());
        for enough in [1, 7, usize::MAX] {
            let mut seen = Vec::new();
            let mut take = |rows| {
                seen.push(rows);
                if seen.len() >= enough {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            };
            namespace
                .visit(&table, &listing.manifests, &log, &rows, &mut take)
                .await
                .unwrap();
            let expected: Vec<u64> = (2..=41).take(enough).collect();
            assert_eq!(seen, expected, "with a cache of {cache_bytes} bytes");
        }
    }
}

#[tokio::test]
async fn queries_that_come_at_once_read_each_file_once() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let namespace = namespace_of(&lake, &written).await;
    let before = namespace.cache_stats().misses;
    let all = futures::future::join_all((0..20).map(|_| files(&namespace))).await;
    assert!(all.into_iter().all(|files| files.unwrap().count() == 3));
    // Registering read the metadata already.
    assert_eq!(namespace.cache_stats().misses - before, 3);
}

#[tokio::test]
async fn gzip_metadata_is_read() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&lake.get("cloud", written.metadata.as_str()))
        .unwrap();
    let uri = "gs://lake/orders/metadata/00002-b.gz.metadata.json";
    lake.put("cloud", uri, &gzip.finish().unwrap());
    let written = Written {
        metadata: CanonicalUri::new(uri),
        ..written
    };
    assert_eq!(
        files(&*namespace_of(&lake, &written).await)
            .await
            .unwrap()
            .count(),
        3
    );
}

#[tokio::test]
async fn a_planned_table_is_planned_while_its_origin_is_gone() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    lake.copy_near(written.metadata.as_str());
    lake.copy_near(&written.list);
    written
        .manifests
        .iter()
        .for_each(|manifest| lake.copy_near(manifest));
    lake.lose("cloud");
    assert_eq!(
        files(&*namespace_of(&lake, &written).await)
            .await
            .unwrap()
            .count(),
        3
    );
}

#[tokio::test]
async fn a_torn_copy_of_the_metadata_falls_through_to_the_origin() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let whole = lake.get("cloud", written.metadata.as_str());
    lake.put("near", written.metadata.as_str(), &whole[..whole.len() / 2]);
    assert_eq!(
        files(&*namespace_of(&lake, &written).await)
            .await
            .unwrap()
            .count(),
        3
    );
}

#[tokio::test]
async fn a_copy_of_another_tables_metadata_is_not_taken_where_the_identity_is_known() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let namespace = namespace_of(&lake, &written).await;
    let pin = resolve(&namespace).await.unwrap().pin();
    let other = String::from_utf8(lake.get("cloud", written.metadata.as_str())).unwrap();
    let other = other.replace(UUID, "00000000-1111-2222-3333-444444444444");
    lake.put("near", written.metadata.as_str(), other.as_bytes());
    // Another process, with nothing cached.
    let namespace =
        Namespace::new(NamespaceSpec::new(vec![member(&lake)]), lake.sites.clone()).unwrap();
    let table = namespace
        .resolve_pinned(&pin, &ReadLog::new())
        .await
        .unwrap();
    assert_eq!(table.uuid.to_string(), UUID);
    lake.put("cloud", written.metadata.as_str(), other.as_bytes());
    let namespace =
        Namespace::new(NamespaceSpec::new(vec![member(&lake)]), lake.sites.clone()).unwrap();
    assert!(
        namespace
            .resolve_pinned(&pin, &ReadLog::new())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_torn_copy_of_the_manifest_list_falls_through_wherever_it_was_cut() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let whole = lake.get("cloud", &written.list);
    for length in [0, 3, 200, whole.len() - 17, whole.len() - 1] {
        lake.put("near", &written.list, &whole[..length]);
        let namespace =
            Namespace::new(NamespaceSpec::new(vec![member(&lake)]), lake.sites.clone()).unwrap();
        if length == 0 {
            register(&lake, &namespace, "orders", &written.metadata).await;
        }
        assert_eq!(
            files(&namespace).await.unwrap().count(),
            3,
            "cut at {length}"
        );
    }
}

#[tokio::test]
async fn a_copy_of_another_snapshots_list_is_not_taken() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let other = Lake::new();
    let shape = Shape {
        manifests: vec![vec![1]],
        ..Shape::default()
    };
    let fewer = other.table("orders", shape).await;
    // The same snapshot id, but fewer files than the summary says: as if cut off between two blocks.
    lake.put("near", &written.list, &other.get("cloud", &fewer.list));
    assert_eq!(
        files(&*namespace_of(&lake, &written).await)
            .await
            .unwrap()
            .count(),
        3
    );
}

#[tokio::test]
async fn a_summary_with_a_wrong_count_is_no_reason_to_refuse_the_list() {
    let files = planned(Shape {
        summary_files: Some(99),
        ..Shape::default()
    })
    .await
    .unwrap();
    assert_eq!(files.count(), 3);
}

#[tokio::test]
async fn a_damaged_manifest_of_the_right_size_falls_through() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let mut damaged = lake.get("cloud", &written.manifests[0]);
    damaged.iter_mut().for_each(|byte| *byte = 0);
    lake.put("near", &written.manifests[0], &damaged);
    assert_eq!(
        files(&*namespace_of(&lake, &written).await)
            .await
            .unwrap()
            .count(),
        3
    );
}

#[tokio::test]
async fn a_table_without_a_snapshot_has_no_files() {
    let empty = |document: &mut serde_json::Value| {
        document["current-snapshot-id"] = json!(-1);
        document["snapshots"] = json!([]);
        document["snapshot-log"] = json!([]);
    };
    let files = planned(Shape {
        edit: empty,
        ..Shape::default()
    })
    .await
    .unwrap();
    assert_eq!(files.count(), 0);
}

#[tokio::test]
async fn a_snapshot_without_a_schema_id_reads_with_the_tables_current_schema() {
    let lake = Lake::new();
    let edit = |document: &mut serde_json::Value| {
        document["snapshots"][0]
            .as_object_mut()
            .unwrap()
            .remove("schema-id");
        let mut second = document["schemas"][0].clone();
        second["schema-id"] = json!(1);
        second["fields"]
            .as_array_mut()
            .unwrap()
            .push(json!({"id": 4, "name": "new", "required": false, "type": "int"}));
        document["schemas"].as_array_mut().unwrap().push(second);
        document["current-schema-id"] = json!(1);
        document["last-column-id"] = json!(4);
    };
    let written = lake
        .table(
            "orders",
            Shape {
                edit,
                ..Shape::default()
            },
        )
        .await;
    let namespace = namespace_of(&lake, &written).await;
    let table = resolve(&namespace).await.unwrap();
    assert!(table.schema().field_by_name("new").is_some());
    assert_eq!(table.committed_at_ms(), Some(1_700_000_000_000));
}

#[tokio::test]
async fn live_delete_files_are_listed_apart_with_their_sequence_number_and_partition() {
    let lake = Lake::new();
    let shape = Shape {
        deletes: true,
        ..Shape::default()
    };
    let written = lake.table("orders", shape).await;
    let namespace = namespace_of(&lake, &written).await;
    let table = resolve(&namespace).await.unwrap();
    let listing = namespace.manifests(&table, &ReadLog::new()).await.unwrap();
    assert_eq!((listing.manifests.len(), listing.deletes.len()), (2, 1));
    let deletes = namespace
        .delete_files(&table, &listing, &ReadLog::new())
        .await
        .unwrap();
    assert_eq!(deletes.len(), 1);
    assert_eq!(
        deletes[0].id.uri.as_str(),
        "gs://lake/orders/data/deletes.parquet"
    );
    assert_eq!(deletes[0].content, DeleteContent::Positions { of: None });
    let data = namespace.files(&table, &ReadLog::new()).await.unwrap();
    let newest = data.files(&[]).map(|file| file.sequence_number).max();
    assert_eq!(Some(deletes[0].sequence_number), newest);
    let index = DeleteIndex::new(&table, deletes);
    for file in data.files(&[]) {
        let same = file.partition.fields() == [Some(Literal::date(19_000))];
        assert_eq!(!index.of(&file).unwrap().is_empty(), same);
    }
}

#[tokio::test]
async fn delete_files_are_listed_apart_and_read_once() {
    let lake = Lake::new();
    let shape = Shape {
        deletes: true,
        ..Shape::default()
    };
    let written = lake.table("orders", shape).await;
    let namespace = namespace_of(&lake, &written).await;
    let table = resolve(&namespace).await.unwrap();
    assert_eq!(files(&namespace).await.unwrap().count(), 3);
    let log = ReadLog::new();
    let listing = namespace.manifests(&table, &log).await.unwrap();
    assert_eq!((listing.manifests.len(), listing.deletes.len()), (2, 1));
    let deletes = namespace
        .delete_files(&table, &listing, &log)
        .await
        .unwrap();
    let [file] = &*deletes else {
        panic!("{deletes:?}")
    };
    assert_eq!(file.content, DeleteContent::Positions { of: None });
    assert_eq!((file.rows, file.sequence_number, file.spec_id), (1, 7, 0));
    assert_eq!(
        file.id.uri.as_str(),
        "gs://lake/orders/data/deletes.parquet"
    );
    let read = requests(&log);
    let again = namespace
        .delete_files(&table, &listing, &log)
        .await
        .unwrap();
    assert_eq!((again, requests(&log)), (deletes, read));
}

#[tokio::test]
async fn delete_files_are_indexed_once_for_all_queries_of_a_snapshot() {
    let lake = Lake::new();
    let shape = Shape {
        deletes: true,
        ..Shape::default()
    };
    let written = lake.table("orders", shape).await;
    let namespace = namespace_of(&lake, &written).await;
    let table = resolve(&namespace).await.unwrap();
    let log = ReadLog::new();
    let listing = namespace.manifests(&table, &log).await.unwrap();
    let index = || namespace.delete_index(&table, &listing, &log);
    let (first, second) = tokio::join!(index(), index());
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    let read = requests(&log);
    assert!(Arc::ptr_eq(&first, &index().await.unwrap()));
    assert_eq!(requests(&log), read);
    assert_eq!(first.files().len(), 1);
    let none = ManifestListing::default();
    let other = namespace.delete_index(&table, &none, &log).await.unwrap();
    assert!(other.is_empty());
}

#[tokio::test]
async fn entries_are_given_whole_with_what_they_inherit() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let namespace = namespace_of(&lake, &written).await;
    let table = resolve(&namespace).await.unwrap();
    let log = ReadLog::new();
    let listing = namespace.manifests(&table, &log).await.unwrap();
    let manifest = &listing.manifests[0];
    let entries = namespace.entries(&table, manifest, &log).await.unwrap();
    let numbers: Vec<_> = entries
        .iter()
        .map(|entry| (entry.status, entry.snapshot_id, entry.sequence_number))
        .collect();
    let snapshot = table.snapshot_id();
    assert_eq!(
        numbers,
        [
            (ManifestStatus::Added, snapshot, Some(7)),
            (ManifestStatus::Existing, Some(1), Some(5)),
            (ManifestStatus::Deleted, snapshot, Some(3)),
        ]
    );
    let first = &entries[0];
    assert_eq!(first.path.as_str(), "gs://lake/orders/data/0-0.parquet");
    assert_eq!((first.format.as_str(), first.record_count), ("PARQUET", 10));
    assert_eq!(first.file_size_in_bytes, 1_000);
    assert_eq!(
        first.partition,
        Struct::from_iter([Some(Literal::date(19_000))])
    );
    assert_eq!(first.column_sizes, [(1, 80)]);
    let bound = |bounds: &[(i32, Box<[u8]>)], id: i32, of: PrimitiveType| {
        let (_, bytes) = bounds.iter().find(|(known, _)| *known == id)?;
        decode_bound(bytes, &of)
    };
    assert_eq!(
        bound(&first.upper_bounds, 1, PrimitiveType::Long),
        Some(PrimitiveLiteral::Long(10))
    );
    assert_eq!(
        bound(&first.lower_bounds, 2, PrimitiveType::String),
        Some(PrimitiveLiteral::String("a".into()))
    );
    assert_eq!(first.split_offsets, Some(vec![4, 50]));
    assert_eq!(first.key_metadata, None);
}

#[tokio::test]
async fn a_table_of_another_file_format_is_refused() {
    let error = planned(Shape {
        file_format: DataFileFormat::Orc,
        ..Shape::default()
    })
    .await
    .unwrap_err();
    assert!(feature(&error).to_lowercase().contains("orc"), "{error}");
}

#[tokio::test]
async fn metadata_that_contradicts_itself_is_refused_alone_with_its_reason() {
    let edit = |document: &mut serde_json::Value| document["current-schema-id"] = json!(77);
    let lake = Lake::new();
    let broken = lake
        .table(
            "broken",
            Shape {
                edit,
                ..Shape::default()
            },
        )
        .await;
    let good = lake.table("orders", Shape::default()).await;
    let namespace = namespace_of(&lake, &good).await;
    crate::sql::insert(&lake, &namespace, "broken", broken.metadata.as_str()).await;
    let error = namespace
        .resolve(&table_name("broken"), Reading::STRONG, &ReadLog::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Corrupt);
    assert!(error.to_string().contains("lake.shop.broken"), "{error}");
    assert_eq!(files(&namespace).await.unwrap().count(), 3);
    assert_eq!(namespace.listing().await.entries.len(), 2);
}

#[tokio::test]
async fn a_pin_reads_the_same_snapshot_after_the_table_moved_on() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    let namespace = namespace_of(&lake, &written).await;
    let pin = resolve(&namespace).await.unwrap().pin();
    let second = lake
        .table(
            "second",
            Shape {
                manifests: vec![vec![1]],
                ..Shape::default()
            },
        )
        .await;
    namespace.drop_table(&table_name("orders")).await.unwrap();
    namespace
        .register_table(&table_name("orders"), &second.metadata)
        .await
        .unwrap();
    let table = namespace
        .resolve_pinned(&pin, &ReadLog::new())
        .await
        .unwrap();
    assert_eq!(
        namespace
            .files(&table, &ReadLog::new())
            .await
            .unwrap()
            .count(),
        3
    );
    assert_eq!(files(&namespace).await.unwrap().count(), 1);
    let gone = landfast_catalog::Pin {
        snapshot_id: Some(1),
        ..pin
    };
    let error = namespace
        .resolve_pinned(&gone, &ReadLog::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::NotFound);
}

#[tokio::test]
async fn a_cache_that_holds_nothing_still_answers_and_one_with_room_stays_within_it() {
    let lake = Lake::new();
    let written = lake.table("orders", Shape::default()).await;
    for cache_bytes in [0, 1_500, 1 << 20] {
        let mut spec = NamespaceSpec::new(vec![member(&lake)]);
        spec.metadata_cache_bytes = cache_bytes;
        let namespace = Namespace::new(spec, lake.sites.clone()).unwrap();
        if cache_bytes == 0 {
            register(&lake, &namespace, "orders", &written.metadata).await;
        }
        for _ in 0..3 {
            assert_eq!(files(&namespace).await.unwrap().count(), 3);
        }
        let stats = namespace.cache_stats();
        assert!(stats.bytes <= cache_bytes, "{stats:?}");
        assert_eq!(stats.hits == 8, cache_bytes == 1 << 20, "{stats:?}");
    }
}
