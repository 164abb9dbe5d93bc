//! Listing watched roots, in the background and on demand.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::InventoryLimits;
use super::files::{Collecting, Files};
use super::watched::{AtSite, Roots, Watched};
use crate::clock;
use crate::listing::ListEntry;
use crate::rules::ListingPlace;
use crate::sites::Shared;

/// Listings that run at once, over all roots and sites.
const LISTINGS_AT_ONCE: usize = 8;

/// A root that is too large is looked at again after this many periods: each look pages through all it may have.
const TOO_LARGE_PERIODS: u32 = 10;

/// Periods shorter than this would be nothing but listing.
const REFRESH_MIN: Duration = Duration::from_millis(100);

/// What lists.
#[derive(Debug)]
pub(super) struct Lister {
    shared: Arc<Shared>,
    limits: InventoryLimits,
    turns: Semaphore,
}

enum Outcome {
    Files(Files),
    TooLarge(String),
    Failed(String),
}

impl Lister {
    pub(super) fn new(shared: Arc<Shared>, limits: InventoryLimits) -> Self {
        Self {
            shared,
            limits,
            turns: Semaphore::new(LISTINGS_AT_ONCE),
        }
    }

    /// Starts the background listing of a root, once.
    pub(super) fn start(
        self: &Arc<Self>,
        runtime: &Handle,
        roots: &Arc<Roots>,
        watched: &Arc<Watched>,
    ) {
        if !watched.is_started_now() {
            return;
        }
        for at in 0..watched.sites.len() {
            // Weak while it sleeps: whoever drops the inventory or evicts the root ends the task.
            let (lister, roots) = (Arc::downgrade(self), Arc::downgrade(roots));
            let task = runtime.spawn(keep_listing(lister, roots, Arc::downgrade(watched), at));
            watched.adopt(task.abort_handle());
        }
    }

    /// Lists a root at one site now; gives the time until it should be listed again.
    pub(super) async fn list(&self, roots: &Roots, watched: &Watched, at: usize) -> Duration {
        let at_site = &watched.sites[at];
        let _alone = at_site.busy.lock().await;
        let Ok(_turn) = self.turns.acquire().await else {
            return at_site.refresh;
        };
        let began = clock::now();
        let outcome = self.collect(at_site).await;
        let mut periods = 1;
        match outcome {
            Outcome::Files(files) => {
                {
                    let mut state = at_site.state.lock();
                    state.files = Some(Arc::new(files));
                    state.listed_at = Some(began);
                    state.error = None;
                }
                if !roots.make_room(watched) {
                    periods = TOO_LARGE_PERIODS;
                    let max = self.limits.files_max;
                    forget(
                        at_site,
                        format!("the inventory has room for {max} files, and this root needs more"),
                    );
                }
            }
            Outcome::TooLarge(error) => {
                periods = TOO_LARGE_PERIODS;
                forget(at_site, error);
            }
            // What was listed before is still the best guess.
            Outcome::Failed(error) => {
                let site = &self.shared.ids[at_site.site];
                tracing::warn!(%site, root = %watched.root, error, "a site could not be listed");
                at_site.state.lock().error = Some(error);
            }
        }
        at_site.ended.send_modify(|ended| *ended += 1);
        at_site.refresh.max(REFRESH_MIN) * periods
    }

    async fn collect(&self, at_site: &AtSite) -> Outcome {
        let mut files = Collecting::new(self.limits.files_per_root_max);
        for (index, place) in at_site.places.iter().enumerate() {
            let mut entries = match self.shared.entries(at_site.site, &place.place) {
                Ok(entries) => entries,
                Err(failure) => return Outcome::Failed(failure.to_string()),
            };
            while let Some(entry) = self.shared.next_entry(at_site.site, &mut entries).await {
                let ListEntry { key, size, .. } = match entry {
                    Ok(entry) => entry,
                    Err(failure) => return Outcome::Failed(failure.to_string()),
                };
                let key = place.key_under_root(&key);
                if key.is_empty() || shadowed(&at_site.places, index, &key) {
                    continue;
                }
                if !files.add(&key, size) {
                    let max = self.limits.files_per_root_max;
                    return Outcome::TooLarge(format!(
                        "it has more than {max} files, which the inventory does not keep"
                    ));
                }
            }
        }
        Outcome::Files(files.finish())
    }
}

/// Whether a longer rule keeps this key in another place.
fn shadowed(places: &[ListingPlace], index: usize, key: &str) -> bool {
    let longer = |p: &&ListingPlace| p.under.len() > places[index].under.len();
    places.iter().filter(longer).any(|p| p.covers(key))
}

fn forget(at_site: &AtSite, error: String) {
    let mut state = at_site.state.lock();
    state.files = None;
    state.listed_at = None;
    state.error = Some(error);
}

async fn keep_listing(lister: Weak<Lister>, roots: Weak<Roots>, watched: Weak<Watched>, at: usize) {
    let mut round = 0u64;
    loop {
        let pause = {
            let (Some(lister), Some(roots), Some(watched)) =
                (lister.upgrade(), roots.upgrade(), watched.upgrade())
            else {
                return;
            };
            if roots.is_idle(&watched) {
                roots.remove(&watched);
                return;
            }
            let pause = lister.list(&roots, &watched, at).await;
            jittered(pause, &watched.root, at, round)
        };
        tokio::time::sleep(pause).await;
        round += 1;
    }
}

/// Up to a tenth more or less, so that the roots of one start-up don't stay in step.
fn jittered(pause: Duration, root: &impl Hash, at: usize, round: u64) -> Duration {
    let mut hasher = DefaultHasher::new();
    (root, at, round).hash(&mut hasher);
    let share = (hasher.finish() % 1000) as f64 / 1000.0;
    pause.mul_f64(0.9 + 0.2 * share)
}
