//! What was parsed, kept by weight: metadata, manifest lists and manifests, all immutable.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use iceberg::spec::ManifestContentType;
use landfast_sites::{CanonicalUri, ReadClass, ReadLog};
use moka::future::Cache;
use uuid::Uuid;

use crate::member::Source;
use crate::{
    CacheStats, CatalogError, CatalogErrorKind, DeleteFile, DeleteIndex, ManifestFiles,
    ManifestListing, Result, TableDocument, TableName,
};

/// What an entry is known by. Iceberg writes each of these files once; the rest of each key is what the parsed form
/// depends on besides the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Metadata {
        uri: CanonicalUri,
        source: Source,
    },
    List {
        uri: CanonicalUri,
        snapshot_id: i64,
    },
    /// Entries inherit the numbers that the list gives, and have the partition spec that it says.
    Manifest {
        uri: CanonicalUri,
        length: Option<u64>,
        spec_id: i32,
        content: ManifestContentType,
        sequence_number: i64,
        first_row_id: Option<u64>,
    },
    /// The delete files of these manifests, indexed for a table's schema.
    DeleteIndex(Arc<IndexKey>),
}

/// What an index of delete files depends on. Partition specs are only ever added, so the table's identity stands for what
/// they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct IndexKey {
    pub(crate) table: TableName,
    pub(crate) uuid: Uuid,
    pub(crate) location: CanonicalUri,
    pub(crate) schema_id: i32,
    /// Each with the sequence number and the partition spec that its entries have from the list.
    pub(crate) manifests: Box<[(CanonicalUri, i64, i32)]>,
}

/// Something parsed, and how many bytes it was read from.
#[derive(Debug)]
pub(crate) struct Parsed<T> {
    pub(crate) value: Arc<T>,
    pub(crate) read_bytes: u64,
}

impl<T> Clone for Parsed<T> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            read_bytes: self.read_bytes,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Metadata(Parsed<TableDocument>),
    List(Parsed<ManifestListing>),
    Manifest(Parsed<ManifestFiles>),
    Deletes(Parsed<Vec<DeleteFile>>),
    DeleteIndex(Parsed<DeleteIndex>),
}

/// Parsed metadata, bounded by the bytes that it holds in memory.
#[derive(Debug)]
pub(crate) struct MetadataCache {
    entries: Cache<Key, Entry>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl MetadataCache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(weigh)
            .build();
        Self {
            entries,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The entry, loaded by one caller at a time. Hits go to the query's log.
    pub(crate) async fn get(
        &self,
        key: Key,
        log: &ReadLog,
        load: impl Future<Output = Result<Entry>>,
    ) -> Result<Entry> {
        let mut loaded = false;
        let mut load = pin!(load);
        let entry = loop {
            let noting = async {
                loaded = true;
                load.as_mut().await
            };
            match self.entries.try_get_with(key.clone(), noting).await {
                // Another query loaded it, and may not pay for it: this one may.
                Err(error) if !loaded && error.kind() == CatalogErrorKind::OverBudget => continue,
                answer => break answer.map_err(|error: Arc<CatalogError>| (*error).clone())?,
            }
        };
        if loaded {
            // Eviction is put off until there is more to do; entries of megabytes shouldn't wait for that.
            self.entries.run_pending_tasks().await;
            self.misses.fetch_add(1, Ordering::Relaxed);
        } else {
            self.hits.fetch_add(1, Ordering::Relaxed);
            log.record_cache_hit(ReadClass::Metadata, entry.read_bytes());
        }
        Ok(entry)
    }

    /// The entry if it is there, without waiting.
    pub(crate) fn peek(&self, key: &Key) -> Option<Entry> {
        self.entries.get(key).now_or_never().flatten()
    }

    /// As [`MetadataCache::peek`], counted as a hit.
    pub(crate) fn hit(&self, key: &Key, log: &ReadLog) -> Option<Entry> {
        let entry = self.peek(key)?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        log.record_cache_hit(ReadClass::Metadata, entry.read_bytes());
        Some(entry)
    }

    pub(crate) async fn put(&self, key: Key, entry: Entry) {
        self.entries.insert(key, entry).await;
    }

    pub(crate) async fn remove(&self, key: &Key) {
        self.entries.invalidate(key).await;
    }

    pub(crate) fn stats(&self) -> CacheStats {
        // Counts lag behind until pending work is done; work that would have to wait is left for the next time.
        let _ = self.entries.run_pending_tasks().now_or_never();
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.entries.weighted_size(),
            entries: self.entries.entry_count(),
        }
    }
}

impl Entry {
    fn read_bytes(&self) -> u64 {
        match self {
            Self::Metadata(parsed) => parsed.read_bytes,
            Self::List(parsed) => parsed.read_bytes,
            Self::Manifest(parsed) => parsed.read_bytes,
            Self::Deletes(parsed) => parsed.read_bytes,
            Self::DeleteIndex(parsed) => parsed.read_bytes,
        }
    }
}

fn weigh(key: &Key, entry: &Entry) -> u32 {
    let key = match key {
        Key::Metadata { uri, .. } | Key::List { uri, .. } | Key::Manifest { uri, .. } => {
            uri.as_str().len()
        }
        Key::DeleteIndex(key) => {
            let manifests = key.manifests.iter();
            let each = manifests
                .map(|(uri, ..)| uri.as_str().len() + size_of::<(CanonicalUri, i64, i32)>());
            size_of::<IndexKey>() + each.sum::<usize>()
        }
    };
    let heap = match entry {
        // Measured on tables of 100 columns and 1,000 snapshots: maps and names take up to thrice the text.
        Entry::Metadata(parsed) => usize::try_from(parsed.read_bytes)
            .unwrap_or(usize::MAX)
            .saturating_mul(3),
        Entry::List(parsed) => parsed.value.heap_bytes(),
        Entry::Manifest(parsed) => parsed.value.heap_bytes(),
        Entry::Deletes(parsed) => parsed.value.iter().map(DeleteFile::heap_bytes).sum(),
        Entry::DeleteIndex(parsed) => parsed.value.heap_bytes(),
    };
    u32::try_from(heap.saturating_add(key).saturating_add(256)).unwrap_or(u32::MAX)
}
