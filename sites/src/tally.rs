//! Counting what was read, from where: per query and for the whole process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::budget::{Budget, Charge, OverBudget};
use crate::id::SiteId;

/// What a read is for; the two are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadClass {
    /// Rows: data and delete files, their footers too.
    Data,
    /// What says which files there are: metadata.json, manifest lists, manifests.
    Metadata,
}

/// What one query read; clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct ReadLog {
    tally: Arc<Tally>,
    budget: Option<Arc<Budget>>,
}

impl ReadLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty log of reads that may cost so many US dollars together: a read that would cost more is refused.
    pub fn within(usd_max: Option<f64>) -> Self {
        Self {
            tally: Arc::default(),
            budget: usd_max.map(|usd| Arc::new(Budget::new(usd))),
        }
    }

    /// Pays for a batch before it is asked for; nothing where the reads may cost what they like. `bytes` gives the
    /// batch's bytes, where they are known.
    pub(crate) fn charge(
        &self,
        usd_per_gib: f64,
        bytes: impl FnOnce() -> Option<u64>,
    ) -> Result<Option<Charge>, OverBudget> {
        match &self.budget {
            Some(budget) => budget.charge(usd_per_gib, bytes()).map(Some),
            None => Ok(None),
        }
    }

    /// What was read so far, sorted by site; sites that were not asked are absent.
    pub fn snapshot(&self) -> Vec<SiteReads> {
        self.tally.snapshot()
    }

    /// Notes that a cache gave bytes that would have been read otherwise.
    pub fn record_cache_hit(&self, class: ReadClass, bytes: u64) {
        let hits = match class {
            ReadClass::Data => &self.tally.data_hits,
            ReadClass::Metadata => &self.tally.metadata_hits,
        };
        hits.count.fetch_add(1, Ordering::Relaxed);
        hits.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What caches gave, data and metadata together.
    pub fn cache_hits(&self) -> CacheHits {
        let (data, metadata) = (
            self.cache_hits_of(ReadClass::Data),
            self.cache_hits_of(ReadClass::Metadata),
        );
        CacheHits {
            hits: data.hits + metadata.hits,
            bytes: data.bytes + metadata.bytes,
        }
    }

    /// What caches gave of one class.
    pub fn cache_hits_of(&self, class: ReadClass) -> CacheHits {
        let hits = match class {
            ReadClass::Data => &self.tally.data_hits,
            ReadClass::Metadata => &self.tally.metadata_hits,
        };
        CacheHits {
            hits: hits.count.load(Ordering::Relaxed),
            bytes: hits.bytes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn counters(&self, site: &SiteId) -> Arc<SiteCounters> {
        self.tally.counters(site)
    }
}

/// What one site gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteReads {
    /// The site.
    pub site: SiteId,
    /// Reads of data files.
    pub data: Reads,
    /// Reads of metadata.
    pub metadata: Reads,
}

impl SiteReads {
    /// Body bytes of both classes.
    pub fn bytes(&self) -> u64 {
        self.data.bytes + self.metadata.bytes
    }

    /// Requests of both classes.
    pub fn requests(&self) -> u64 {
        self.data.requests + self.metadata.requests
    }

    /// Fall-throughs of both classes.
    pub fn fall_throughs(&self) -> u64 {
        self.data.fall_throughs + self.metadata.fall_throughs
    }
}

/// Counts of one class at one site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reads {
    /// Requests sent; a store's own retries are not seen here.
    pub requests: u64,
    /// Body bytes received, those that were discarded too: gaps between ranges, and bodies that failed half-way.
    pub bytes: u64,
    /// Batches of ranges that left this site for the next candidate.
    pub fall_throughs: u64,
    /// The mean time from sending a request to its first body byte, of the requests that got one.
    pub first_byte: Option<Duration>,
}

/// What caches gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheHits {
    /// How often.
    pub hits: u64,
    /// Bytes that were not read from a site.
    pub bytes: u64,
}

/// The counts behind a [`ReadLog`], and behind the process's totals.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sites: Mutex<BTreeMap<SiteId, Arc<SiteCounters>>>,
    data_hits: Hits,
    metadata_hits: Hits,
}

#[derive(Debug, Default)]
struct Hits {
    count: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    pub(crate) fn counters(&self, site: &SiteId) -> Arc<SiteCounters> {
        let mut sites = self.sites.lock();
        if let Some(counters) = sites.get(site) {
            return Arc::clone(counters);
        }
        Arc::clone(sites.entry(site.clone()).or_default())
    }

    pub(crate) fn snapshot(&self) -> Vec<SiteReads> {
        let sites = self.sites.lock();
        sites
            .iter()
            .map(|(site, counters)| SiteReads {
                site: site.clone(),
                data: counters.data.snapshot(),
                metadata: counters.metadata.snapshot(),
            })
            .collect()
    }
}

#[derive(Debug, Default)]
pub(crate) struct SiteCounters {
    data: Counters,
    metadata: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
    fall_throughs: AtomicU64,
    first_byte_ns: AtomicU64,
    first_bytes: AtomicU64,
}

impl Counters {
    fn snapshot(&self) -> Reads {
        let first_bytes = self.first_bytes.load(Ordering::Relaxed);
        let total_ns = self.first_byte_ns.load(Ordering::Relaxed);
        Reads {
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            fall_throughs: self.fall_throughs.load(Ordering::Relaxed),
            first_byte: total_ns.checked_div(first_bytes).map(Duration::from_nanos),
        }
    }
}

/// Where one batch at one site is counted: the query's log and the process's totals at once.
#[derive(Debug)]
pub(crate) struct Meter {
    class: ReadClass,
    counters: [Arc<SiteCounters>; 2],
    charge: Option<Charge>,
}

impl Meter {
    pub(crate) fn new(class: ReadClass, site: &SiteId, log: &ReadLog, totals: &Tally) -> Self {
        Self {
            class,
            counters: [log.counters(site), totals.counters(site)],
            charge: None,
        }
    }

    /// The same, paid for.
    pub(crate) fn paid(self, charge: Option<Charge>) -> Self {
        Self { charge, ..self }
    }

    fn each(&self, note: impl Fn(&Counters)) {
        for site in &self.counters {
            note(match self.class {
                ReadClass::Data => &site.data,
                ReadClass::Metadata => &site.metadata,
            });
        }
    }

    pub(crate) fn request(&self) {
        self.each(|c| {
            c.requests.fetch_add(1, Ordering::Relaxed);
        });
    }

    pub(crate) fn received(&self, bytes: u64) {
        if let Some(charge) = &self.charge {
            charge.received(bytes);
        }
        self.each(|c| {
            c.bytes.fetch_add(bytes, Ordering::Relaxed);
        });
    }

    pub(crate) fn first_byte(&self, after: Duration) {
        let ns = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        self.each(|c| {
            c.first_byte_ns.fetch_add(ns, Ordering::Relaxed);
            c.first_bytes.fetch_add(1, Ordering::Relaxed);
        });
    }

    pub(crate) fn fall_through(&self) {
        self.each(|c| {
            c.fall_throughs.fetch_add(1, Ordering::Relaxed);
        });
    }
}
