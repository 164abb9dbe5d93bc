//! Placement: which site each file is read from. A pure function of plain data: no runtime, no clock, no I/O.
//!
//! `score = latency · requests + bytes / bandwidth + seconds_per_usd · USD`, lower is better, in seconds. `bytes` is
//! what the query will read of the file, and `requests` how many round trips it makes one after the other.
//!
//! What a site's inventory says of a file decides how its score counts:
//! - *held*: as it is. The origin always counts as holding its files.
//! - *unknown* (never listed, or not known to be resident): plus the round trips of a miss. With even odds that the
//!   file is there, that is exactly the rule "try it first only where a miss costs less than a hit may save".
//! - *absent*: after everything else, and only so that a copy that the last listing did not see can still answer when
//!   all other sites fail.
//!
//! Sites that are ejected (their reads keep failing) come after the healthy ones. Ties go to the site that is known
//! to hold the file, then to the smaller name.

use std::cmp::Ordering;

use landfast_sites::{Holding, Link, Route, SiteId};

const BYTES_PER_GIB: f64 = 1_073_741_824.0;

/// Which site a query prefers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PlacementMode {
    /// The site with the best score.
    #[default]
    Nearest,
    /// The file's site of record, to compare with; the others only where it fails.
    Origin,
    /// This site, as long as its inventory does not say that it lacks the file; the others by their score.
    Site(SiteId),
}

impl PlacementMode {
    /// Whether a query prefers this candidate to all others.
    fn prefers(&self, site: &SiteId, is_origin: bool, absent: bool) -> bool {
        match self {
            Self::Nearest => false,
            Self::Origin => is_origin,
            Self::Site(preferred) => preferred == site && !absent,
        }
    }
}

/// Its name in settings.
impl std::fmt::Display for PlacementMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nearest => "nearest",
            Self::Origin => "origin",
            Self::Site(site) => site.as_str(),
        })
    }
}

/// How a query weighs its reads.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PlacementPolicy {
    /// Which site is preferred.
    pub mode: PlacementMode,
    /// How many seconds of waiting one US dollar of egress is worth.
    pub seconds_per_usd: f64,
}

/// One site that may give a file's bytes.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The site.
    pub site: SiteId,
    /// What reading it from here costs.
    pub link: Link,
    /// Whether it holds the file, as far as is known.
    pub holding: Holding,
    /// Whether its reads succeed as a rule; `false` while it is ejected.
    pub healthy: bool,
}

/// What placement knows of one file.
#[derive(Debug, Clone, Copy)]
pub struct PlacementInput<'a> {
    /// Bytes that the query will read of the file.
    pub bytes_to_read: u64,
    /// Round trips that it makes one after the other (footer, then data).
    pub requests: u64,
    /// Every site that has a rule for the file.
    pub candidates: &'a [Candidate],
    /// The file's site of record; in the route whether or not it is a candidate.
    pub origin: &'a SiteId,
}

/// The sites to try for one file, in order; the origin is always among them.
pub fn place(file: &PlacementInput<'_>, policy: &PlacementPolicy) -> Route {
    let mut ranked: Vec<Ranked<'_>> = file
        .candidates
        .iter()
        .map(|site| Ranked::new(site, file, policy))
        .collect();
    ranked.sort_by(Ranked::compare);
    let mut sites: Vec<SiteId> = ranked
        .into_iter()
        .map(|ranked| ranked.site.clone())
        .collect();
    if !sites.contains(file.origin) {
        sites.push(file.origin.clone());
    }
    Route::new(sites)
}

/// What reading so many bytes over a link costs, in seconds.
pub fn score(link: &Link, bytes: u64, requests: u64, seconds_per_usd: f64) -> f64 {
    let waiting = link.latency.as_secs_f64() * requests.max(1) as f64;
    let moving = bytes as f64 / link.bandwidth_bytes_per_s.max(1) as f64;
    waiting + moving + seconds_per_usd * usd(link, bytes)
}

/// What moving so many bytes over a link costs, in US dollars.
pub fn usd(link: &Link, bytes: u64) -> f64 {
    bytes as f64 / BYTES_PER_GIB * link.usd_per_gib
}

/// A candidate with all that its rank depends on.
struct Ranked<'a> {
    site: &'a SiteId,
    preferred: bool,
    healthy: bool,
    absent: bool,
    score: f64,
    held: bool,
}

impl<'a> Ranked<'a> {
    fn new(candidate: &'a Candidate, file: &PlacementInput<'_>, policy: &PlacementPolicy) -> Self {
        let is_origin = &candidate.site == file.origin;
        let held = is_origin || candidate.holding == Holding::Held;
        let absent = !is_origin && candidate.holding == Holding::Absent;
        let miss = if held {
            0.0
        } else {
            candidate.link.latency.as_secs_f64() * file.requests.max(1) as f64
        };
        let hit = score(
            &candidate.link,
            file.bytes_to_read,
            file.requests,
            policy.seconds_per_usd,
        );
        Self {
            site: &candidate.site,
            preferred: policy.mode.prefers(&candidate.site, is_origin, absent),
            healthy: candidate.healthy,
            absent,
            score: hit + miss,
            held,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        (other.preferred.cmp(&self.preferred))
            .then(self.absent.cmp(&other.absent))
            .then(other.healthy.cmp(&self.healthy))
            .then(self.score.total_cmp(&other.score))
            .then(other.held.cmp(&self.held))
            .then(self.site.cmp(other.site))
    }
}

#[cfg(test)]
mod tests;
