//! Parquet footers, cached across queries.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use datafusion_datasource_parquet::Int96Coercer;
use futures::FutureExt;
use futures::future::BoxFuture;
use landfast_sites::{CanonicalUri, FileId, ReadClass, ReadLog, Route, Sites};
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use parquet::arrow::async_reader::MetadataFetch;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::columns::FileSchema;
use super::sound_footer::sound;
use crate::error::is_over_budget;

/// What the first request asks for: as a rule the footer and the page index of a file lie within its last 64 KiB.
const FIRST_REQUEST_BYTES: usize = 64 * 1024;

/// A file of at most so many bytes is read whole with the first request: a second one would take longer than its bytes.
pub(super) const WHOLE_FILE_BYTES_MAX: u64 = 256 * 1024;

/// Which part of the cache small files have, which came whole with their footers: 1 in so many bytes.
const WHOLE_FILES_PART: u64 = 8;

/// What an entry costs besides the metadata itself: key, Arrow schema, bookkeeping.
const ENTRY_BYTES: usize = 1024;

/// One file's footer.
#[derive(Debug)]
pub(super) struct Footer {
    /// The metadata, with the page index where the file has one.
    pub(super) metadata: Arc<ParquetMetaData>,
    /// The Arrow schema that the Parquet schema alone gives, with the field ids. An Arrow schema that the writer
    /// embedded is not looked at: it may ask for dictionaries, other zones or large offsets. INT96 timestamps are in
    /// microseconds.
    pub(super) schema: SchemaRef,
    /// The same with INT96 timestamps in nanoseconds, where the file has any.
    pub(super) schema_in_nanos: Option<SchemaRef>,
}

impl Footer {
    /// The file's own schema.
    pub(super) fn file_schema(&self) -> FileSchema<'_> {
        FileSchema {
            inferred: &self.schema,
            in_nanos: self.schema_in_nanos.as_ref(),
        }
    }

    /// The footer that this metadata is.
    pub(super) fn of(metadata: ParquetMetaData) -> Result<Self> {
        let metadata = sound(metadata)?;
        let (schema, schema_in_nanos) = inferred_schemas(&metadata)?;
        Ok(Self {
            metadata: Arc::new(metadata),
            schema: Arc::new(schema),
            schema_in_nanos: schema_in_nanos.map(Arc::new),
        })
    }
}

/// Parquet footers with their page indexes, weighed in bytes and shared by all queries.
///
/// Keyed by canonical URI and size: a file of a snapshot never changes, wherever its copy was read. One load at a time
/// per file; the others wait for it.
///
/// Small files come whole with their footers. They wait here for their reader, so that their columns cost no request of
/// their own; the oldest go when there are too many.
#[derive(Debug)]
pub struct FooterCache {
    cache: Cache<(CanonicalUri, u64), Arc<Footer>>,
    whole: Cache<(CanonicalUri, u64), Bytes>,
}

impl FooterCache {
    /// A cache of at most so many bytes.
    pub fn new(capacity_bytes: u64) -> Self {
        let weigh = |_: &(CanonicalUri, u64), footer: &Arc<Footer>| {
            u32::try_from(footer.metadata.memory_size() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        let weigh_whole = |_: &(CanonicalUri, u64), bytes: &Bytes| {
            u32::try_from(bytes.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        let whole_bytes = capacity_bytes / WHOLE_FILES_PART;
        Self {
            cache: Cache::builder()
                .max_capacity(capacity_bytes - whole_bytes)
                .weigher(weigh)
                .build(),
            // The latest is the one that is about to be read, however often others were.
            whole: Cache::builder()
                .max_capacity(whole_bytes)
                .weigher(weigh_whole)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }

    /// Bytes held, about.
    pub fn held_bytes(&self) -> u64 {
        self.cache.weighted_size() + self.whole.weighted_size()
    }

    /// Footers held, about.
    pub fn entries(&self) -> u64 {
        self.cache.entry_count()
    }

    /// Footers held, exactly: what the cache still has to do is done first.
    #[cfg(test)]
    pub(super) async fn held(&self) -> u64 {
        self.cache.run_pending_tasks().await;
        self.cache.entry_count()
    }

    /// The footer of a file, read through `sites` if it isn't here. Its bytes count as data: they are part of a data
    /// file, and a receipt adds up to what data files gave.
    pub(super) async fn get(&self, file: &FileAtSites<'_>) -> Result<Arc<Footer>> {
        let key = (file.id.uri.clone(), file.size);
        if let Some(footer) = self.cache.get(&key).await {
            file.log
                .record_cache_hit(ReadClass::Data, footer.metadata.memory_size() as u64);
            return Ok(footer);
        }
        let mut loaded = false;
        loop {
            let noting = async {
                loaded = true;
                self.load(file).await
            };
            match self.cache.try_get_with(key.clone(), noting).await {
                Ok(footer) => return Ok(footer),
                // Another query loaded it, and may not pay for it: this one may.
                Err(error) if !loaded && is_over_budget(error.as_ref()) => continue,
                Err(error) => return Err(ParquetError::External(Box::new(Shared(error)))),
            }
        }
    }

    /// All bytes of a small file that came with its footer: for the one reader that asks first, so that another query
    /// reads the file where it is placed to.
    pub(super) async fn take_whole(&self, file: &FileAtSites<'_>) -> Option<Bytes> {
        if file.size > WHOLE_FILE_BYTES_MAX {
            return None;
        }
        self.whole.remove(&(file.id.uri.clone(), file.size)).await
    }

    async fn load(&self, file: &FileAtSites<'_>) -> Result<Arc<Footer>> {
        let mut fetch = FooterFetch { file, whole: None };
        let first = if file.size <= WHOLE_FILE_BYTES_MAX {
            usize::try_from(file.size).unwrap_or(FIRST_REQUEST_BYTES)
        } else {
            FIRST_REQUEST_BYTES
        };
        let reader = ParquetMetaDataReader::new()
            .with_prefetch_hint(Some(first))
            .with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = reader.load_and_finish(&mut fetch, file.size).await?;
        if let Some(whole) = fetch.whole {
            let key = (file.id.uri.clone(), file.size);
            self.whole.insert(key, whole).await;
        }
        Ok(Arc::new(Footer::of(metadata)?))
    }
}

/// A file, and all that it takes to read it.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileAtSites<'a> {
    pub(super) sites: &'a Sites,
    pub(super) id: &'a FileId,
    pub(super) size: u64,
    pub(super) route: &'a Route,
    pub(super) log: &'a ReadLog,
}

impl FileAtSites<'_> {
    /// Reads ranges of the file from the first of its sites that gives them.
    pub(super) async fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let read = self
            .sites
            .read_ranges(self.id, self.route, ranges, ReadClass::Data, self.log)
            .await;
        read.map_err(|error| ParquetError::External(Box::new(error)))
    }
}

/// Reads a footer, and keeps the file where that was all of it.
struct FooterFetch<'a> {
    file: &'a FileAtSites<'a>,
    whole: Option<Bytes>,
}

impl MetadataFetch for &mut FooterFetch<'_> {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            let mut read = self.file.read(std::slice::from_ref(&range)).await?;
            let Some(bytes) = read.pop() else {
                let missing = format!("nothing came back for bytes {range:?}");
                return Err(ParquetError::EOF(missing));
            };
            if range == (0..self.file.size) {
                self.whole = Some(bytes.clone());
            }
            Ok(bytes)
        }
        .boxed()
    }
}

/// A failed load that several queries waited for.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Shared(Arc<ParquetError>);

/// INT96 timestamps are read in microseconds, which most tables have: nanoseconds would overflow outside 1677 to 2262.
fn inferred_schemas(metadata: &ParquetMetaData) -> Result<(Schema, Option<Schema>)> {
    let parquet = metadata.file_metadata().schema_descr();
    let schema = parquet_to_arrow_schema(parquet, None)?;
    let coarse = Int96Coercer::new(parquet, &schema, &TimeUnit::Microsecond).coerce();
    Ok(match coarse {
        Some(coarse) => (coarse, Some(schema)),
        None => (schema, None),
    })
}
