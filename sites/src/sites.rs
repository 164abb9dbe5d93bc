//! All sites, seen from where this process stands.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::error::SitesError;
use crate::health::{Health, HealthState, SiteHealth};
use crate::id::{CanonicalUri, SiteId};
use crate::inventory::{Holding, Inventory, InventoryLimits};
use crate::link::{Link, links_to_reader};
use crate::misses::Remembered;
use crate::quarantine::{Quarantine, Quarantined};
use crate::route::Route;
use crate::rules::{Rules, known};
use crate::spec::{Holdings, SitesSpec, Timeouts};
use crate::store::{Opener, Stores, opener};
use crate::tally::{SiteReads, Tally};

/// Requests that one site's store gets at once, all queries together; more wait their turn.
const REQUESTS_AT_ONCE: usize = 64;

/// The sites of a configuration. Built once, shared behind its `Arc`.
#[derive(Debug)]
pub struct Sites {
    pub(crate) shared: Arc<Shared>,
    inventory: Inventory,
}

/// What reads and listings share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ids: Vec<SiteId>,
    pub(crate) sites: Vec<Site>,
    pub(crate) rules: Rules,
    pub(crate) health: Health,
    pub(crate) misses: Remembered,
    pub(crate) quarantine: Quarantine,
    pub(crate) resident: Remembered,
    pub(crate) totals: Tally,
    reader: SiteId,
}

/// One site. `Shared` has them sorted by name; everywhere inside the crate a site is its index there.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) link: Link,
    pub(crate) holdings: Holdings,
    pub(crate) timeouts: Timeouts,
    pub(crate) stores: Stores,
    pub(crate) turns: Semaphore,
}

impl Sites {
    /// Validates a configuration as a whole. Connects to nothing.
    pub fn new(spec: SitesSpec) -> Result<Arc<Self>, SitesError> {
        Self::with_limits(spec, InventoryLimits::default())
    }

    /// As [`Sites::new`], with other bounds on what the inventory keeps in memory.
    pub fn with_limits(spec: SitesSpec, limits: InventoryLimits) -> Result<Arc<Self>, SitesError> {
        let openers = spec
            .sites
            .iter()
            .map(|site| opener(&site.id, &site.store, site.timeouts))
            .collect::<Result<Vec<_>, _>>()?;
        Self::assemble(spec, openers, limits)
    }

    pub(crate) fn assemble(
        spec: SitesSpec,
        openers: Vec<Box<dyn Opener>>,
        limits: InventoryLimits,
    ) -> Result<Arc<Self>, SitesError> {
        let mut paired: Vec<_> = spec.sites.into_iter().zip(openers).collect();
        paired.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        if let Some(pair) = paired.windows(2).find(|pair| pair[0].0.id == pair[1].0.id) {
            return Err(SitesError::config(format!(
                "two sites are named `{}`",
                pair[0].0.id
            )));
        }
        let ids: Vec<SiteId> = paired.iter().map(|(site, _)| site.id.clone()).collect();
        if !ids.contains(&spec.reader) {
            return Err(SitesError::config(format!(
                "this proxy's own site `{}` is none of the configured sites; they are {}",
                spec.reader,
                known(&ids)
            )));
        }
        let links = links_to_reader(&spec.links, &ids, &spec.reader)?;
        let (specs, openers): (Vec<_>, Vec<_>) = paired.into_iter().unzip();
        let rules = Rules::new(&specs)?;
        let sites = specs
            .iter()
            .zip(openers)
            .zip(links)
            .map(|((site, opener), link)| Site {
                link,
                holdings: site.holdings,
                timeouts: site.timeouts,
                stores: Stores::new(opener, site.simulated),
                turns: Semaphore::new(REQUESTS_AT_ONCE),
            });
        let shared = Arc::new(Shared {
            health: Health::new(ids.len()),
            sites: sites.collect(),
            ids,
            rules,
            misses: Remembered::misses(),
            quarantine: Quarantine::default(),
            resident: crate::inventory::resident_memory(),
            totals: Tally::default(),
            reader: spec.reader,
        });
        let inventory = Inventory::new(&shared, limits);
        Ok(Arc::new(Self { shared, inventory }))
    }

    /// The site that this process runs at.
    pub fn reader(&self) -> &SiteId {
        &self.shared.reader
    }

    /// Every site, sorted by name.
    pub fn ids(&self) -> Vec<SiteId> {
        self.shared.ids.clone()
    }

    /// What reading a site costs here. A site that the configuration doesn't have costs what the dearest does.
    pub fn link_to_reader(&self, site: &SiteId) -> &Link {
        let dearest = || {
            let links = self.shared.sites.iter().map(|s| &s.link);
            links
                .max_by(|a, b| a.latency.cmp(&b.latency))
                .unwrap_or(&Link::OWN_SITE)
        };
        match self.shared.index(site) {
            Ok(index) => &self.shared.sites[index].link,
            Err(_) => dearest(),
        }
    }

    /// A site's store in words: its kind and address, never a credential.
    pub fn store_of(&self, site: &SiteId) -> Result<String, SitesError> {
        let index = self.shared.index(site)?;
        Ok(self.shared.sites[index].stores.describe())
    }

    /// The site of record of a file.
    pub fn origin_of(&self, uri: &CanonicalUri) -> Result<SiteId, SitesError> {
        self.shared
            .rules
            .origin(uri)
            .map(|index| self.shared.ids[index].clone())
    }

    /// Every site with a rule for a file, the origin among them, sorted by name.
    pub fn mapped(&self, uri: &CanonicalUri) -> Vec<SiteId> {
        self.shared
            .rules
            .mapped(uri)
            .into_iter()
            .map(|index| self.shared.ids[index].clone())
            .collect()
    }

    /// Whether a URI lies under a configured prefix.
    pub fn under_a_prefix(&self, uri: &CanonicalUri) -> bool {
        self.shared.rules.origin(uri).is_ok()
    }

    /// Which sites hold what.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// How each site is doing, sorted by name.
    pub fn health(&self) -> Vec<SiteHealth> {
        let one = |(index, id): (usize, &SiteId)| {
            let (state, last_error) = self.shared.health.state(index);
            SiteHealth {
                id: id.clone(),
                state,
                last_error,
                quarantined: self.shared.quarantine.count(index),
            }
        };
        self.shared.ids.iter().enumerate().map(one).collect()
    }

    /// Whether a site is asked in its turn; `false` while it is down.
    pub fn is_up(&self, site: &SiteId) -> bool {
        match self.shared.index(site) {
            Ok(index) => !matches!(self.shared.health.state(index).0, HealthState::Down { .. }),
            Err(_) => false,
        }
    }

    /// The replicas that are not what they should be, sorted by site and URI.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.shared.quarantine.list(&self.shared.ids)
    }

    /// The order for metadata, and for any file that nobody placed.
    ///
    /// First the sites believed to hold it, the nearest first, and those of which that is unknown where they are at
    /// most half as far as the origin (a miss there costs little, and is remembered); then the origin; then the
    /// rest, which only an origin out of reach makes worth a try.
    pub fn route(&self, uri: &CanonicalUri) -> Route {
        let shared = &self.shared;
        let Ok(origin) = shared.rules.origin(uri) else {
            return Route::new(Vec::new());
        };
        let far = shared.sites[origin].link.latency;
        let rank = |index: usize| {
            if index == origin {
                return 1;
            }
            match self.inventory.holding_anywhere(index, uri) {
                Holding::Held if shared.sites[index].link.latency <= far => 0,
                Holding::Unknown if shared.sites[index].link.latency <= far / 2 => 0,
                Holding::Held => 2,
                Holding::Unknown => 3,
                Holding::Absent => 4,
            }
        };
        let mut ranked: Vec<(u8, Duration, usize)> = shared
            .rules
            .mapped(uri)
            .into_iter()
            .map(|index| (rank(index), shared.sites[index].link.latency, index))
            .collect();
        ranked.sort();
        Route::new(
            ranked
                .into_iter()
                .map(|(_, _, index)| shared.ids[index].clone())
                .collect(),
        )
    }

    /// The price of reads over the links to here.
    pub fn cost_usd(&self, reads: &[SiteReads]) -> f64 {
        const GIB: f64 = (1u64 << 30) as f64;
        let price =
            |r: &SiteReads| r.bytes() as f64 / GIB * self.link_to_reader(&r.site).usd_per_gib;
        // An empty sum of floats would be -0.
        reads.iter().map(price).fold(0.0, |sum, usd| sum + usd)
    }

    /// What the whole process read so far, sorted by site.
    pub fn totals(&self) -> Vec<SiteReads> {
        self.shared.totals.snapshot()
    }
}

impl Shared {
    pub(crate) fn index(&self, site: &SiteId) -> Result<usize, SitesError> {
        self.ids
            .binary_search(site)
            .map_err(|_| SitesError::UnknownSite {
                site: site.to_string(),
                known: known(&self.ids),
            })
    }
}

#[cfg(test)]
mod tests;
