//! Metadata files, read through the sites, parsed off the async threads, and kept.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::TryStreamExt;
use iceberg::spec::Snapshot;
use landfast_sites::{CanonicalUri, FileId, ReadClass, ReadLog, Sites};
use tokio::sync::Semaphore;

use crate::member::{InlineMetadata, Pointer, Source};
use crate::{
    CacheStats, CatalogError, DeleteFile, DeleteIndex, ManifestEntry, ManifestFiles,
    ManifestListing, ManifestSummary, Result, TableDocument, TableName, TableSnapshot, View,
};

mod cache;
mod default_json;
pub(crate) mod document;
mod manifest;
mod manifest_list;
mod repair;
pub(crate) mod schema_json;
mod view;
mod visit;

#[cfg(test)]
mod tests;

use cache::{Entry, IndexKey, Key, MetadataCache, Parsed};
use document::Refusal;
use manifest_list::{Fit, Mismatch};

/// Manifests of one query that are read at the same time.
const MANIFESTS_AT_ONCE: usize = 16;

/// Reads and keeps metadata, manifest lists and manifests.
#[derive(Debug)]
pub(crate) struct MetadataReader {
    sites: Arc<Sites>,
    cache: MetadataCache,
    /// Parsing is work for the processor: no more of it at once than there are processors.
    parsers: Arc<Semaphore>,
}

impl MetadataReader {
    pub(crate) fn new(sites: Arc<Sites>, cache_bytes: u64) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            sites,
            cache: MetadataCache::new(cache_bytes),
            parsers: Arc::new(Semaphore::new(processors)),
        }
    }

    pub(crate) fn stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// The metadata that a pointer leads to, of the table with its identity where it is known.
    pub(crate) async fn metadata(
        &self,
        table: &TableName,
        pointer: &Pointer,
        log: &ReadLog,
    ) -> Result<Arc<TableDocument>> {
        let key = metadata_key(pointer);
        let document = self.cached_or_read(table, pointer, log).await?;
        if is_of(&document, pointer) {
            return Ok(document);
        }
        // Somebody made a new table at an old path: what is cached is another table's.
        self.cache.remove(&key).await;
        let document = self.cached_or_read(table, pointer, log).await?;
        if is_of(&document, pointer) {
            return Ok(document);
        }
        // Another query was reading it at that moment, for the table that had the path before.
        let (found, wanted) = (document.metadata.uuid(), pointer.uuid.unwrap_or_default());
        Err(CatalogError::Corrupt {
            table: table.clone(),
            reason: format!(
                "{} has the metadata of a table {found}, not of {wanted}",
                pointer.metadata_location
            ),
        })
    }

    async fn cached_or_read(
        &self,
        table: &TableName,
        pointer: &Pointer,
        log: &ReadLog,
    ) -> Result<Arc<TableDocument>> {
        let read = self.read_metadata(table, pointer, log);
        match self.cache.get(metadata_key(pointer), log, read).await? {
            Entry::Metadata(parsed) => Ok(parsed.value),
            _ => Err(mixed_up(table)),
        }
    }

    /// The metadata that a pointer leads to if it is cached.
    pub(crate) fn cached_metadata(&self, pointer: &Pointer) -> Option<Arc<TableDocument>> {
        match self.cache.peek(&metadata_key(pointer))? {
            Entry::Metadata(parsed) => Some(parsed.value),
            _ => None,
        }
    }

    /// Takes the metadata that a member sent along, so that no site need be asked. What doesn't parse is left: reading
    /// the file says why.
    pub(crate) async fn offer(&self, pointer: &Pointer, inline: InlineMetadata) {
        let key = metadata_key(pointer);
        if let Some(Entry::Metadata(known)) = self.cache.peek(&key)
            && pointer
                .uuid
                .is_none_or(|uuid| uuid == known.value.metadata.uuid())
        {
            return;
        }
        let bytes = inline.0;
        let read_bytes = bytes.len() as u64;
        let parsed = self.blocking(move || document::parse_inline(&bytes)).await;
        match parsed {
            Some(Ok(document)) => {
                self.cache
                    .put(
                        key,
                        Entry::Metadata(Parsed {
                            value: Arc::new(document),
                            read_bytes,
                        }),
                    )
                    .await;
            }
            Some(Err(reason)) => {
                tracing::debug!(location = %pointer.metadata_location, ?reason, "the catalog's metadata does not parse");
            }
            None => {}
        }
    }

    async fn read_metadata(
        &self,
        table: &TableName,
        pointer: &Pointer,
        log: &ReadLog,
    ) -> Result<Entry> {
        let (location, uuid) = (&pointer.metadata_location, pointer.uuid);
        let accept = move |bytes: &[u8]| match document::parse(bytes, uuid) {
            // Whole, and no other copy would say anything else.
            Err(Refusal::Damaged(reason)) => Err(reason),
            decided => Ok((decided, bytes.len() as u64)),
        };
        let (decided, read_bytes) = match pointer.source {
            // A copy of what the name stood for before has another size.
            Source::Listed { size, .. } => {
                let file = FileId::new(location.clone(), Some(size));
                let bytes = self.read_sized(&file, log).await?;
                let accepted = self.blocking(move || accept(&bytes)).await;
                let accepted = accepted.ok_or_else(|| stopped(table))?;
                accepted.map_err(|reason| {
                    Refusal::Damaged(reason).into_error(table, location.as_str())
                })?
            }
            Source::File | Source::Sent(_) => self.read_accepted(location, log, accept).await?,
        };
        let metadata = decided.map_err(|refusal| refusal.into_error(table, location.as_str()))?;
        Ok(Entry::Metadata(Parsed {
            value: Arc::new(metadata),
            read_bytes,
        }))
    }

    /// A view's metadata file.
    pub(crate) async fn view(
        &self,
        name: &TableName,
        location: &CanonicalUri,
        log: &ReadLog,
    ) -> Result<View> {
        let wanted = name.clone();
        let accept = move |bytes: &[u8]| match view::parse(bytes, &wanted) {
            Err(Refusal::Damaged(reason)) => Err(reason),
            decided => Ok(decided),
        };
        let decided = self.read_accepted(location, log, accept).await?;
        decided.map_err(|refusal| refusal.into_error(name, location.as_str()))
    }

    /// The view that a member sent.
    pub(crate) async fn inline_view(&self, name: &TableName, sent: Bytes) -> Result<View> {
        let wanted = name.clone();
        let parsed = self
            .blocking(move || view::parse_inline(&sent, &wanted))
            .await
            .ok_or_else(|| stopped(name))?;
        parsed.map_err(|refusal| refusal.into_error(name, "what the catalog sent"))
    }

    /// The data manifests of a table's snapshot.
    pub(crate) async fn manifest_listing(
        &self,
        table: &TableSnapshot,
        log: &ReadLog,
    ) -> Result<Arc<ManifestListing>> {
        let Some(snapshot) = &table.snapshot else {
            return Ok(Arc::default());
        };
        let name = &table.name;
        if snapshot.encryption_key_id().is_some() {
            let feature = "its files are encrypted".to_owned();
            return Err(CatalogError::Unsupported {
                table: name.clone(),
                feature,
            });
        }
        let uri = CanonicalUri::new(snapshot.manifest_list());
        let key = Key::List {
            uri: uri.clone(),
            snapshot_id: snapshot.snapshot_id(),
        };
        let found = self
            .cache
            .get(key, log, self.read_list(name, uri, snapshot, log))
            .await?;
        let Entry::List(parsed) = found else {
            return Err(mixed_up(name));
        };
        Ok(parsed.value)
    }

    async fn read_list(
        &self,
        table: &TableName,
        uri: CanonicalUri,
        snapshot: &Arc<Snapshot>,
        log: &ReadLog,
    ) -> Result<Entry> {
        let miscounted = Arc::new(parking_lot::Mutex::new(false));
        let read = |fit: Fit| {
            let snapshot = snapshot.clone();
            let miscounted = miscounted.clone();
            move |bytes: &[u8]| match manifest_list::parse(bytes, &snapshot, fit) {
                Ok(listing) => Ok((Ok(listing), bytes.len() as u64)),
                Err(Mismatch::Refused(refusal)) => Ok((Err(refusal), bytes.len() as u64)),
                Err(Mismatch::Damaged(reason)) => Err(reason),
                Err(Mismatch::Count(reason)) => {
                    *miscounted.lock() = true;
                    Err(reason)
                }
            }
        };
        let (listing, read_bytes) = match self.read_accepted(&uri, log, read(Fit::Counted)).await {
            Err(error) if *miscounted.lock() => {
                tracing::debug!(%uri, %error, "no copy of a manifest list has the summary's count: the first whole one is taken");
                self.read_accepted(&uri, log, read(Fit::Named)).await?
            }
            read => read?,
        };
        let listing = listing.map_err(|refusal| refusal.into_error(table, uri.as_str()))?;
        Ok(Entry::List(Parsed {
            value: Arc::new(listing),
            read_bytes,
        }))
    }

    /// The live files of manifests, in their order.
    pub(crate) async fn manifest_files(
        &self,
        table: &TableSnapshot,
        manifests: &[ManifestSummary],
        log: &ReadLog,
    ) -> Result<Vec<Arc<ManifestFiles>>> {
        // Collected first: a stream that holds the closure makes the caller's future one that can't change threads.
        let reads: Vec<_> = manifests
            .iter()
            .map(|summary| self.manifest(&table.name, summary, log))
            .collect();
        futures::stream::iter(reads)
            .buffered(MANIFESTS_AT_ONCE)
            .try_collect()
            .await
    }

    /// The live delete files of delete manifests, in their order.
    pub(crate) async fn delete_files(
        &self,
        table: &TableSnapshot,
        manifests: &[ManifestSummary],
        log: &ReadLog,
    ) -> Result<Arc<[DeleteFile]>> {
        let reads: Vec<_> = manifests
            .iter()
            .map(|summary| self.delete_manifest(&table.name, summary, log))
            .collect();
        let each: Vec<Arc<Vec<DeleteFile>>> = futures::stream::iter(reads)
            .buffered(MANIFESTS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(each
            .iter()
            .flat_map(|files| files.iter().cloned())
            .collect())
    }

    /// The live delete files of delete manifests, indexed: once for all queries that need the same manifests.
    pub(crate) async fn delete_index(
        &self,
        table: &TableSnapshot,
        manifests: &[ManifestSummary],
        log: &ReadLog,
    ) -> Result<Arc<DeleteIndex>> {
        let known = manifests.iter();
        let key = Key::DeleteIndex(Arc::new(IndexKey {
            table: table.name.clone(),
            uuid: table.uuid,
            location: table.location.clone(),
            schema_id: table.schema().schema_id(),
            manifests: known
                .map(|manifest| {
                    let uri = manifest.id.uri.clone();
                    (uri, manifest.sequence_number, manifest.spec_id)
                })
                .collect(),
        }));
        let index = async {
            let files = self.delete_files(table, manifests, log).await?;
            let of = table.clone();
            let indexed = self.blocking(move || DeleteIndex::new(&of, files)).await;
            Ok(Entry::DeleteIndex(Parsed {
                value: Arc::new(indexed.ok_or_else(|| stopped(&table.name))?),
                read_bytes: 0,
            }))
        };
        match self.cache.get(key, log, index).await? {
            Entry::DeleteIndex(parsed) => Ok(parsed.value),
            _ => Err(mixed_up(&table.name)),
        }
    }

    /// Every entry of one manifest, which is read anew.
    pub(crate) async fn entries(
        &self,
        table: &TableSnapshot,
        summary: &ManifestSummary,
        log: &ReadLog,
    ) -> Result<Vec<ManifestEntry>> {
        let read = self.read_parsed(&table.name, summary, log, manifest::parse_entries);
        Ok(read.await?.0)
    }

    async fn manifest(
        &self,
        table: &TableName,
        summary: &ManifestSummary,
        log: &ReadLog,
    ) -> Result<Arc<ManifestFiles>> {
        let read = async {
            let read = self.read_parsed(table, summary, log, manifest::parse);
            let (value, read_bytes) = read.await?;
            let value = Arc::new(value);
            Ok(Entry::Manifest(Parsed { value, read_bytes }))
        };
        match self.cache.get(manifest_key(summary), log, read).await? {
            Entry::Manifest(parsed) => Ok(parsed.value),
            _ => Err(mixed_up(table)),
        }
    }

    async fn delete_manifest(
        &self,
        table: &TableName,
        summary: &ManifestSummary,
        log: &ReadLog,
    ) -> Result<Arc<Vec<DeleteFile>>> {
        let read = async {
            let read = self.read_parsed(table, summary, log, manifest::parse_deletes);
            let (value, read_bytes) = read.await?;
            let value = Arc::new(value);
            Ok(Entry::Deletes(Parsed { value, read_bytes }))
        };
        match self.cache.get(manifest_key(summary), log, read).await? {
            Entry::Deletes(parsed) => Ok(parsed.value),
            _ => Err(mixed_up(table)),
        }
    }

    /// Reads a manifest from its nearest copy, or, where that is damaged, from the first that parses; and its length.
    async fn read_parsed<T: Send + 'static>(
        &self,
        table: &TableName,
        summary: &ManifestSummary,
        log: &ReadLog,
        parse: fn(&[u8], &ManifestSummary) -> Result<T, Refusal>,
    ) -> Result<(T, u64)> {
        let uri = &summary.id.uri;
        let bytes = self.read_sized(&summary.id, log).await?;
        let read_bytes = bytes.len() as u64;
        let wanted = summary.clone();
        let parsed = match self.blocking(move || parse(&bytes, &wanted)).await {
            Some(parsed) => parsed,
            None => return Err(stopped(table)),
        };
        let value = match parsed {
            Err(Refusal::Damaged(reason)) => {
                tracing::warn!(%uri, reason, "a manifest of the right size is damaged: other copies are tried");
                let wanted = summary.clone();
                let accept = move |bytes: &[u8]| match parse(bytes, &wanted) {
                    Err(Refusal::Damaged(reason)) => Err(reason),
                    decided => Ok(decided),
                };
                self.read_accepted(uri, log, accept).await?
            }
            decided => decided,
        };
        let value = value.map_err(|refusal| refusal.into_error(table, uri.as_str()))?;
        Ok((value, read_bytes))
    }

    async fn read_sized(&self, file: &FileId, log: &ReadLog) -> Result<Bytes> {
        let route = self.sites.route(&file.uri);
        let read = self
            .sites
            .read_whole(file, &route, ReadClass::Metadata, log);
        Ok(read.await?)
    }

    /// Reads a whole file from the first site whose copy is accepted. The check parses, so it runs on a thread that may
    /// block; the read ends with the query.
    async fn read_accepted<T, F>(&self, uri: &CanonicalUri, log: &ReadLog, accept: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&[u8]) -> std::result::Result<T, String> + Send + Sync + 'static,
    {
        let route = self.sites.route(uri);
        let accept = Arc::new(accept);
        let judge = |bytes: Bytes| {
            let judged = Arc::clone(&accept);
            let judged = self.blocking(move || judged(&bytes));
            async move {
                let stopped = || Err("parsing it was stopped".into());
                judged.await.unwrap_or_else(stopped)
            }
        };
        Ok(self.sites.read_accepted(uri, &route, log, judge).await?)
    }

    /// Runs work for the processor on a thread that may block; none if the process is ending.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = self.parsers.clone().acquire_owned().await.ok()?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .ok()
    }
}

/// A v1 table may have no identity, and then fits all.
fn is_of(document: &TableDocument, pointer: &Pointer) -> bool {
    let found = document.metadata.uuid();
    pointer
        .uuid
        .is_none_or(|wanted| found == wanted || found.is_nil())
}

fn metadata_key(pointer: &Pointer) -> Key {
    Key::Metadata {
        uri: pointer.metadata_location.clone(),
        source: pointer.source.clone(),
    }
}

fn manifest_key(summary: &ManifestSummary) -> Key {
    Key::Manifest {
        uri: summary.id.uri.clone(),
        length: summary.id.size,
        spec_id: summary.spec_id,
        content: summary.content,
        sequence_number: summary.sequence_number,
        first_row_id: summary.first_row_id,
    }
}

fn mixed_up(table: &TableName) -> CatalogError {
    CatalogError::Corrupt {
        table: table.clone(),
        reason: "one path stands for two kinds of metadata file".into(),
    }
}

fn stopped(table: &TableName) -> CatalogError {
    CatalogError::Corrupt {
        table: table.clone(),
        reason: "parsing it was stopped".into(),
    }
}
