//! The watched table roots, and what is known of each at each site.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::files::Files;
use super::{InventoryLimits, RootListing};
use crate::clock;
use crate::id::{CanonicalUri, SiteId};
use crate::prefix::{ancestors, normalised, relative_key};
use crate::rules::ListingPlace;
use crate::sites::Shared;
use crate::spec::Holdings;

/// One watched root.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) root: CanonicalUri,
    key: String,
    /// The sites that may have copies, and are listed.
    pub(super) sites: Vec<AtSite>,
    /// When it was last asked about, on the clock of [`Roots`].
    used: AtomicU64,
    /// The longest time that somebody waited in vain for the first listings.
    waited_ms: AtomicU64,
    started: AtomicBool,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// One root at one site.
#[derive(Debug)]
pub(super) struct AtSite {
    pub(super) site: usize,
    pub(super) refresh: Duration,
    pub(super) places: Vec<ListingPlace>,
    pub(super) state: Mutex<State>,
    /// How many listings ended, well or not.
    pub(super) ended: watch::Sender<u64>,
    /// Held by the one listing that is under way; a lock across awaits, so that listings don't overlap.
    pub(super) busy: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) files: Option<Arc<Files>>,
    /// When the listing behind `files` began.
    pub(super) listed_at: Option<Instant>,
    pub(super) error: Option<String>,
}

/// What the latest listing says about one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListedFile {
    pub(super) size: Option<u64>,
    pub(super) at: Instant,
}

impl Watched {
    /// `None` for a root that is no URI or lies under no prefix.
    pub(super) fn new(shared: &Shared, root: &CanonicalUri) -> Option<Self> {
        let key = normalised(root)?;
        let mut sites = Vec::new();
        for (site, described) in shared.sites.iter().enumerate() {
            let refresh = match described.holdings {
                Holdings::Listed { refresh } | Holdings::ListedNotAlwaysResident { refresh } => {
                    refresh
                }
                Holdings::AssumeAll => continue,
            };
            let places = shared.rules.listing_places(site, root);
            if places.is_empty() {
                continue;
            }
            sites.push(AtSite {
                site,
                refresh,
                places,
                state: Mutex::default(),
                ended: watch::Sender::new(0),
                busy: tokio::sync::Mutex::new(()),
            });
        }
        Some(Self {
            root: root.clone(),
            key,
            sites,
            used: AtomicU64::new(0),
            waited_ms: AtomicU64::new(0),
            started: AtomicBool::new(false),
            tasks: Mutex::default(),
        })
    }

    /// Whether a file lies under this root.
    pub(super) fn covers(&self, uri: &CanonicalUri) -> bool {
        relative_key(&self.root, uri).is_some()
    }

    /// What is listed of a file at a site; `None` where nothing was listed yet.
    pub(super) fn listed(&self, site: usize, uri: &CanonicalUri) -> Option<ListedFile> {
        let at_site = self.sites.iter().find(|s| s.site == site)?;
        let key = relative_key(&self.root, uri)?;
        let (files, at) = {
            let state = at_site.state.lock();
            (Arc::clone(state.files.as_ref()?), state.listed_at?)
        };
        Some(ListedFile {
            size: files.size(&key),
            at,
        })
    }

    pub(super) async fn first_listings(&self) {
        for at_site in &self.sites {
            let mut ended = at_site.ended.subscribe();
            // The sender lives as long as `self`.
            let _ = ended.wait_for(|ended| *ended > 0).await;
        }
    }

    pub(super) fn was_waited_for(&self, at_most: Duration) -> bool {
        at_most <= Duration::from_millis(self.waited_ms.load(Ordering::Relaxed))
    }

    pub(super) fn note_waited_for(&self, at_most: Duration) {
        let ms = u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX);
        self.waited_ms.fetch_max(ms, Ordering::Relaxed);
    }

    pub(super) fn files(&self) -> usize {
        let count = |s: &AtSite| s.state.lock().files.as_ref().map_or(0, |f| f.count());
        self.sites.iter().map(count).sum()
    }

    pub(super) fn describe(&self, ids: &[SiteId]) -> Vec<RootListing> {
        let one = |at_site: &AtSite| {
            let state = at_site.state.lock();
            RootListing {
                root: self.root.clone(),
                site: ids[at_site.site].clone(),
                files: state.files.as_ref().map(|f| f.count() as u64),
                bytes: state.files.as_ref().map(|f| f.bytes()),
                listed_ago: state.listed_at.map(clock::since),
                error: state.error.clone(),
            }
        };
        self.sites.iter().map(one).collect()
    }

    /// `true` for the first caller, whose business it is to start the listing.
    pub(super) fn is_started_now(&self) -> bool {
        !self.started.swap(true, Ordering::Relaxed)
    }

    pub(super) fn adopt(&self, task: AbortHandle) {
        self.tasks.lock().push(task);
    }

    fn end(&self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}

/// All watched roots, the least recently used of which make room.
#[derive(Debug)]
pub(super) struct Roots {
    limits: InventoryLimits,
    began: Instant,
    by_key: Mutex<HashMap<String, Arc<Watched>>>,
}

impl Roots {
    pub(super) fn new(limits: InventoryLimits) -> Self {
        Self {
            limits,
            began: clock::now(),
            by_key: Mutex::default(),
        }
    }

    /// The watched root of this URI, in any of its spellings.
    pub(super) fn get(&self, root: &CanonicalUri) -> Option<Arc<Watched>> {
        self.find(&normalised(root)?)
    }

    /// The nearest watched root above a file.
    pub(super) fn above(&self, uri: &CanonicalUri) -> Option<Arc<Watched>> {
        ancestors(uri).iter().find_map(|key| self.find(key))
    }

    fn find(&self, key: &str) -> Option<Arc<Watched>> {
        let watched = self.by_key.lock().get(key).cloned()?;
        watched.used.store(self.now_ms(), Ordering::Relaxed);
        Some(watched)
    }

    /// Adds a root, or gives the one that another caller added meanwhile.
    pub(super) fn insert(&self, watched: Watched) -> Arc<Watched> {
        watched.used.store(self.now_ms(), Ordering::Relaxed);
        let mut by_key = self.by_key.lock();
        if let Some(there) = by_key.get(&watched.key) {
            return Arc::clone(there);
        }
        while by_key.len() >= self.limits.roots_max.max(1) {
            evict_oldest(&mut by_key, None);
        }
        let watched = Arc::new(watched);
        by_key.insert(watched.key.clone(), Arc::clone(&watched));
        watched
    }

    /// Makes room for what `keep` has just been found to have. `false` when it alone is too much.
    pub(super) fn make_room(&self, keep: &Watched) -> bool {
        let mut by_key = self.by_key.lock();
        loop {
            let files: usize = by_key.values().map(|w| w.files()).sum();
            if files <= self.limits.files_max {
                return true;
            }
            if !evict_oldest(&mut by_key, Some(&keep.key)) {
                return false;
            }
        }
    }

    pub(super) fn is_idle(&self, watched: &Watched) -> bool {
        let used = Duration::from_millis(watched.used.load(Ordering::Relaxed));
        clock::since(self.began).saturating_sub(used) > self.limits.idle
    }

    pub(super) fn remove(&self, watched: &Watched) {
        let mut by_key = self.by_key.lock();
        if by_key
            .get(&watched.key)
            .is_some_and(|there| std::ptr::eq(Arc::as_ptr(there), watched))
        {
            by_key.remove(&watched.key);
        }
        drop(by_key);
        watched.end();
    }

    pub(super) fn all(&self) -> Vec<Arc<Watched>> {
        self.by_key.lock().values().cloned().collect()
    }

    pub(super) fn end(&self) {
        for (_, watched) in self.by_key.lock().drain() {
            watched.end();
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(clock::since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

fn evict_oldest(by_key: &mut HashMap<String, Arc<Watched>>, keep: Option<&str>) -> bool {
    let candidates = by_key.values().filter(|w| Some(w.key.as_str()) != keep);
    let oldest = candidates
        .min_by_key(|w| w.used.load(Ordering::Relaxed))
        .map(|w| w.key.clone());
    match oldest.and_then(|key| by_key.remove(&key)) {
        Some(watched) => {
            watched.end();
            true
        }
        None => false,
    }
}
