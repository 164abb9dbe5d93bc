//! What one query really read: snapshots and their age, requests and bytes per site, and what that cost.

use std::time::Duration;

use landfast_catalog::{TableName, TableSnapshot};
use landfast_sites::{CacheHits, ReadLog, SiteReads, Sites};

use super::temporary::is_temporary;

/// A query's receipt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Receipt {
    /// The snapshots, sorted by table, and the temporary tables.
    pub snapshots: Vec<TableReceipt>,
    /// What each site gave, sorted by site; sites that were not asked are absent.
    pub sites: Vec<SiteReceipt>,
    /// What caches gave instead.
    pub cache_hits: CacheHits,
}

/// One table of a receipt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TableReceipt {
    /// The table.
    pub table: TableName,
    /// The snapshot; none for a table without data.
    pub snapshot_id: Option<i64>,
    /// When it was committed, in milliseconds since 1970 by its writer's clock.
    pub committed_at_ms: Option<i64>,
    /// How long ago, when the query was planned, the last successful check of the catalog's pointer began.
    pub pointer_age: Duration,
    /// Whether that is longer than the query asked for, its member being out of reach.
    pub stale: bool,
}

impl TableReceipt {
    pub(super) fn of(table: &TableSnapshot) -> Self {
        Self {
            table: table.name.clone(),
            snapshot_id: table.snapshot_id(),
            committed_at_ms: table.committed_at_ms(),
            pointer_age: table.pointer_age(),
            stale: table.stale,
        }
    }

    /// Of a table of the asker's session: it has no snapshots, and no site was read for it.
    pub(super) fn of_temporary(name: &TableName) -> Self {
        Self {
            table: name.clone(),
            snapshot_id: None,
            committed_at_ms: None,
            pointer_age: Duration::ZERO,
            stale: false,
        }
    }
}

/// One site of a receipt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SiteReceipt {
    /// Requests and body bytes received, data and metadata apart.
    pub reads: SiteReads,
    /// What they cost over the configured link, in US dollars.
    pub usd: f64,
}

impl Receipt {
    pub(super) fn new(snapshots: Vec<TableReceipt>, log: &ReadLog, sites: &Sites) -> Self {
        let sites = log
            .snapshot()
            .into_iter()
            .map(|reads| SiteReceipt {
                usd: sites.cost_usd(std::slice::from_ref(&reads)),
                reads,
            })
            .collect();
        Self {
            snapshots,
            sites,
            cache_hits: log.cache_hits(),
        }
    }

    /// Body bytes received from all sites.
    pub fn bytes(&self) -> u64 {
        self.sites.iter().map(|site| site.reads.bytes()).sum()
    }

    /// What all reads cost, in US dollars.
    pub fn usd(&self) -> f64 {
        // An empty sum of floats would be -0.
        let usd = self.sites.iter().map(|site| site.usd);
        usd.fold(0.0, |sum, usd| sum + usd)
    }

    /// Reads that left a site for the next.
    pub fn fall_throughs(&self) -> u64 {
        self.sites
            .iter()
            .map(|site| site.reads.fall_throughs())
            .sum()
    }
}

impl std::fmt::Display for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.sites.is_empty() {
            write!(f, "no site was read")?;
        }
        for (at, site) in self.sites.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            let reads = &site.reads;
            write!(
                f,
                "{newline}site={}, requests={}, data_bytes={}, metadata_bytes={}, fall_throughs={}, usd={:.6}",
                reads.site,
                reads.requests(),
                reads.data.bytes,
                reads.metadata.bytes,
                reads.fall_throughs(),
                site.usd
            )?;
        }
        for read in self
            .snapshots
            .iter()
            .filter(|read| is_temporary(&read.table))
        {
            write!(f, "\ntable={}: held by the session", read.table)?;
        }
        write!(
            f,
            "\ncache: hits={}, bytes={}",
            self.cache_hits.hits, self.cache_hits.bytes
        )
    }
}
