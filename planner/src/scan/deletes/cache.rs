//! [`DeleteCache`]: what delete files say, kept by weight.

use std::pin::pin;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;
use landfast_sites::CanonicalUri;
use moka::future::Cache;
use roaring::RoaringTreemap;

use super::KeySetId;
use super::keys::KeySet;
use super::positions::{PositionFile, bitmap_bytes};
use crate::error::is_over_budget;

/// What an entry costs besides what it holds: key and bookkeeping.
const ENTRY_BYTES: usize = 512;

/// What delete files say, decoded, weighed in bytes and shared by all queries.
///
/// A delete file never changes, so an entry is known by the file's canonical URI and size. One load at a time per entry;
/// the others wait for it. What is loaded counts against the memory of the query that loads it; what the cache keeps
/// counts against the cache. What is too large to be kept counts against memory for as long as a query holds it.
#[derive(Debug)]
pub struct DeleteCache {
    cache: Cache<Identity, Entry>,
    capacity_bytes: u64,
}

/// What an entry is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// A position delete file.
    Positions { uri: CanonicalUri, size_bytes: u64 },
    /// A blob in a Puffin file.
    Vector {
        uri: CanonicalUri,
        size_bytes: u64,
        offset: u64,
        length: u64,
    },
    /// The keys in an equality delete file, asked for as these fields.
    KeyFile {
        uri: CanonicalUri,
        size_bytes: u64,
        asked: Arc<[FieldRef]>,
    },
    /// The keys in several of them, each with the newest sequence number that deletes it.
    Keys(Arc<KeySetId>),
}

/// What an entry holds.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    Positions(Arc<PositionFile>),
    Vector(Arc<RoaringTreemap>),
    Keys(Arc<KeySet>),
}

impl Kept {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Positions(positions) => positions.heap_bytes(),
            Self::Vector(bitmap) => bitmap_bytes(bitmap),
            Self::Keys(keys) => keys.heap_bytes(),
        }
    }
}

/// What was loaded, and the memory it takes where the cache doesn't keep it.
#[derive(Debug, Clone)]
struct Entry {
    kept: Kept,
    bytes: usize,
    reserved: Option<Arc<MemoryReservation>>,
}

impl DeleteCache {
    /// A cache of at most so many bytes.
    pub fn new(capacity_bytes: u64) -> Self {
        let weigh = |_: &Identity, entry: &Entry| u32::try_from(entry.bytes).unwrap_or(u32::MAX);
        Self {
            cache: Cache::builder()
                .max_capacity(capacity_bytes)
                .weigher(weigh)
                .build(),
            capacity_bytes,
        }
    }

    /// Bytes held, about.
    pub fn held_bytes(&self) -> u64 {
        self.cache.weighted_size()
    }

    /// Delete files, deletion vectors and sets of keys held, about.
    pub fn entries(&self) -> u64 {
        self.cache.entry_count()
    }

    /// The entry, loaded by one caller at a time; `hit` is called where it was there. `reservation` is what the load
    /// itself counts with.
    pub(super) async fn get(
        &self,
        key: Identity,
        reservation: Arc<MemoryReservation>,
        hit: impl FnOnce(),
        load: impl Future<Output = Result<Kept>>,
    ) -> Result<Held> {
        let mut loaded = false;
        let load = async {
            let kept = load.await?;
            let bytes = kept.heap_bytes() + ENTRY_BYTES;
            let fits = u64::try_from(bytes).is_ok_and(|bytes| bytes <= self.capacity_bytes);
            let reserved = if fits {
                None
            } else {
                reservation.try_resize(bytes)?;
                Some(reservation)
            };
            Ok(Entry {
                kept,
                bytes,
                reserved,
            })
        };
        let mut load = pin!(load);
        let entry = loop {
            let noting = async {
                loaded = true;
                load.as_mut().await
            };
            match self.cache.try_get_with(key.clone(), noting).await {
                // Another query loaded it, and may not pay for it: this one may.
                Err::<_, Arc<DataFusionError>>(error)
                    if !loaded && is_over_budget(error.as_ref()) =>
                {
                    continue;
                }
                answer => break answer.map_err(DataFusionError::Shared)?,
            }
        };
        if loaded {
            // Eviction is put off until there is more to do; entries of megabytes shouldn't wait for that.
            self.cache.run_pending_tasks().await;
        } else {
            hit();
        }
        Ok(Held {
            kept: entry.kept,
            _reserved: entry.reserved,
        })
    }
}

/// What an entry holds, and the memory it takes.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) kept: Kept,
    _reserved: Option<Arc<MemoryReservation>>,
}
