//! Which files of a table each site holds, as far as listings and reads have shown.
//!
//! A watched table root is listed in the background at every site that keeps a copy of it, again and again while it
//! is used. Asking is synchronous and cheap; the answer is a hint, and reads correct it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::id::{CanonicalUri, FileId, SiteId};
use crate::misses::Remembered;
use crate::sites::Shared;
use crate::spec::Holdings;

mod files;
mod listing;
mod warmth;
mod watched;

use listing::Lister;
use warmth::Warmth;
use watched::{Roots, Watched};

/// For how long a file counts as resident after a read of it came back at local speed.
const RESIDENT_FOR: Duration = Duration::from_secs(3600);
const RESIDENT_MAX: usize = 200_000;

/// Whether a site holds a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holding {
    /// It does, as far as is known.
    Held,
    /// It does not, or has something else in its place.
    Absent,
    /// Nobody has looked yet, or could.
    Unknown,
}

/// Bounds on what the inventory keeps in memory; a listed file takes 16 bytes per site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InventoryLimits {
    /// Table roots that are watched at once; the least recently used one goes first.
    pub roots_max: usize,
    /// Files of one root at one site; a root with more is not known rather than known wrongly.
    pub files_per_root_max: usize,
    /// Files of all roots at all sites.
    pub files_max: usize,
    /// A root that nobody asked about for this long is no longer listed.
    pub idle: Duration,
}

impl Default for InventoryLimits {
    fn default() -> Self {
        Self {
            roots_max: 4096,
            files_per_root_max: 2_000_000,
            files_max: 8_000_000,
            idle: Duration::from_secs(3600),
        }
    }
}

/// What is known of one watched root at one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootListing {
    /// The table root.
    pub root: CanonicalUri,
    /// The site.
    pub site: SiteId,
    /// How many files it has there; `None` before the first listing came through.
    pub files: Option<u64>,
    /// Their sizes, summed.
    pub bytes: Option<u64>,
    /// How long ago that was listed.
    pub listed_ago: Option<Duration>,
    /// Why the latest listing failed, if it did.
    pub error: Option<String>,
}

/// Which site holds what. Belongs to a [`crate::Sites`]; its background work ends with it.
#[derive(Debug)]
pub struct Inventory {
    shared: Arc<Shared>,
    roots: Arc<Roots>,
    lister: Arc<Lister>,
    warmth: Warmth,
}

pub(crate) fn resident_memory() -> Remembered {
    Remembered::new(RESIDENT_FOR, RESIDENT_MAX)
}

impl Inventory {
    pub(crate) fn new(shared: &Arc<Shared>, limits: InventoryLimits) -> Self {
        Self {
            shared: Arc::clone(shared),
            roots: Arc::new(Roots::new(limits)),
            lister: Arc::new(Lister::new(Arc::clone(shared), limits)),
            warmth: Warmth::new(shared),
        }
    }

    /// Starts, or keeps up, the background listing of a table's files at every site that has copies of it.
    ///
    /// Cheap, for every query. Outside a tokio runtime there is no background, and nothing is started.
    pub fn watch(&self, table_root: &CanonicalUri) {
        self.watched(table_root);
    }

    /// Waits for the first listing of a root at every site, whatever its outcome, for at most so long.
    ///
    /// Where that was waited for in vain it is not waited for again: a site that hangs costs one query, not each.
    pub async fn ready(&self, table_root: &CanonicalUri, at_most: Duration) {
        let Some(watched) = self.watched(table_root) else {
            return;
        };
        if watched.was_waited_for(at_most) {
            return;
        }
        let listed = tokio::time::timeout(at_most, watched.first_listings()).await;
        if listed.is_err() {
            watched.note_waited_for(at_most);
        }
    }

    /// Lists a root at every site now, and returns when that is done.
    pub async fn refresh(&self, table_root: &CanonicalUri) {
        let Some(watched) = self.watched(table_root) else {
            return;
        };
        let listings =
            (0..watched.sites.len()).map(|at| self.lister.list(&self.roots, &watched, at));
        futures::future::join_all(listings).await;
    }

    /// Whether a site holds a file of a watched root.
    ///
    /// The origin always does. Sizes are compared where the file's is recorded: another size is a damaged copy, which
    /// is quarantined. A root that isn't watched, or wasn't listed yet, is unknown.
    pub fn holding(&self, site: &SiteId, file: &FileId, table_root: &CanonicalUri) -> Holding {
        let Ok(index) = self.shared.index(site) else {
            return Holding::Absent;
        };
        self.holding_under(index, file, || {
            let watched = self.roots.get(table_root);
            watched
                .filter(|w| w.covers(&file.uri))
                .or_else(|| self.roots.above(&file.uri))
        })
    }

    /// As `holding`, for a file whose table nobody named.
    pub(crate) fn holding_anywhere(&self, site: usize, uri: &CanonicalUri) -> Holding {
        let file = FileId::new(uri.clone(), None);
        self.holding_under(site, &file, || self.roots.above(uri))
    }

    /// What is known of every watched root at every site, sorted by root and site.
    pub fn listings(&self) -> Vec<RootListing> {
        let mut all: Vec<RootListing> = self
            .roots
            .all()
            .iter()
            .flat_map(|w| w.describe(&self.shared.ids))
            .collect();
        all.sort_by(|a, b| (&a.root, &a.site).cmp(&(&b.root, &b.site)));
        all
    }

    fn holding_under(
        &self,
        site: usize,
        file: &FileId,
        root: impl FnOnce() -> Option<Arc<Watched>>,
    ) -> Holding {
        let shared = &self.shared;
        let uri = &file.uri;
        match shared.rules.origin(uri) {
            Err(_) => return Holding::Absent,
            Ok(origin) if origin == site => return Holding::Held,
            Ok(_) => {}
        }
        if !shared.rules.maps(site, uri) {
            return Holding::Absent;
        }
        let warm_only = match shared.sites[site].holdings {
            Holdings::AssumeAll => {
                let known_absent = shared.quarantine.found(site, uri, file.size).is_some()
                    || shared.misses.has(site, uri);
                return if known_absent {
                    Holding::Absent
                } else {
                    Holding::Held
                };
            }
            Holdings::Listed { .. } => false,
            Holdings::ListedNotAlwaysResident { .. } => true,
        };
        let Some(listed) = root().and_then(|w| w.listed(site, uri)) else {
            let known_absent = shared.quarantine.found(site, uri, file.size).is_some()
                || shared.misses.has(site, uri);
            return if known_absent || warm_only {
                Holding::Absent
            } else {
                Holding::Unknown
            };
        };
        let Some(found) = listed.size else {
            return Holding::Absent;
        };
        if let Some(expected) = file.size.filter(|expected| *expected != found) {
            if shared.quarantine.found(site, uri, file.size).is_none() {
                let id = &shared.ids[site];
                tracing::error!(site = %id, %uri, expected, found, "a listed replica has the wrong size and is quarantined");
                shared.quarantine.put(site, uri, expected, found);
            }
            return Holding::Absent;
        }
        // What reads found counts until a later listing says otherwise.
        shared.misses.forget_before(site, uri, listed.at);
        shared.quarantine.release_before(site, uri, listed.at);
        if shared.misses.has(site, uri) || shared.quarantine.found(site, uri, file.size).is_some() {
            return Holding::Absent;
        }
        if warm_only && !shared.resident.has(site, uri) {
            // Listed is not resident, and reading it there may fetch it from afar.
            self.warmth.find_out(site, uri, found);
            return Holding::Absent;
        }
        Holding::Held
    }

    fn watched(&self, table_root: &CanonicalUri) -> Option<Arc<Watched>> {
        if let Some(watched) = self.roots.get(table_root) {
            return Some(watched);
        }
        let runtime = Handle::try_current().ok()?;
        let watched = self.roots.insert(Watched::new(&self.shared, table_root)?);
        self.lister.start(&runtime, &self.roots, &watched);
        Some(watched)
    }
}

impl Drop for Inventory {
    fn drop(&mut self) {
        self.roots.end();
        self.warmth.end();
    }
}

#[cfg(test)]
mod tests;
