//! All sites, seen from where this process stands.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::Semaphore;

use crate::error::SitesError;
use crate::failure::Failure;
use crate::health::{Health, HealthState, SiteHealth};
use crate::id::{CanonicalUri, SiteId};
use crate::inventory::{Holding, Inventory, InventoryLimits};
use crate::link::{Link, links_to_reader};
use crate::misses::Remembered;
use crate::quarantine::{Quarantine, Quarantined};
use crate::route::Route;
use crate::rules::{Place, Rules, known};
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

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The canonical URI that the object is a copy of, spelt like the prefix that was listed.
    pub uri: CanonicalUri,
    /// Its size in bytes.
    pub size: u64,
}

/// What `probe` found out about a site.
#[derive(Debug, Clone)]
pub struct ProbeReport {
    /// The site.
    pub site: SiteId,
    /// Its store, by kind and address.
    pub store: String,
    /// Each mapped prefix, with what asking for one of its objects gave.
    pub prefixes: Vec<PrefixProbe>,
}

/// One prefix of a [`ProbeReport`].
#[derive(Debug, Clone)]
pub struct PrefixProbe {
    /// The canonical prefix as configured.
    pub prefix: String,
    /// Whether the site is its origin.
    pub origin: bool,
    /// How long the store took to answer.
    pub took: Duration,
    /// Whether anything lies under the prefix, or why the store did not say.
    pub outcome: Result<bool, SitesError>,
}

impl ProbeReport {
    /// Whether every prefix could be asked for.
    pub fn is_ok(&self) -> bool {
        self.prefixes.iter().all(|p| p.outcome.is_ok())
    }
}

impl std::fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.site, self.store)?;
        for (index, probe) in self.prefixes.iter().enumerate() {
            let PrefixProbe {
                prefix,
                origin,
                took,
                outcome,
            } = probe;
            f.write_str(if index == 0 { ": " } else { "; " })?;
            write!(f, "{prefix}{}", if *origin { " (origin)" } else { "" })?;
            match outcome {
                Ok(true) => write!(f, " ok in {} ms", took.as_millis())?,
                Ok(false) => write!(f, " ok but empty in {} ms", took.as_millis())?,
                Err(error) => write!(f, " FAILED: {error}")?,
            }
        }
        Ok(())
    }
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
        reads.iter().map(price).sum()
    }

    /// What the whole process read so far, sorted by site.
    pub fn totals(&self) -> Vec<SiteReads> {
        self.shared.totals.snapshot()
    }

    /// Up to `limit` objects that a site keeps under a canonical prefix, as its store shows them now.
    pub async fn list(
        &self,
        site: &SiteId,
        prefix: &CanonicalUri,
        limit: usize,
    ) -> Result<Vec<Listed>, SitesError> {
        let index = self.shared.index(site)?;
        let Some(place) = self.shared.rules.prefix_place(index, prefix)? else {
            return Err(SitesError::config(format!(
                "site `{site}` maps no prefix that covers `{prefix}`"
            )));
        };
        let base = prefix.as_str().trim_end_matches('/');
        let mut listed = Vec::new();
        let mut entries = self
            .shared
            .entries(index, &place)
            .map_err(|f| self.shared.list_error(index, prefix, &f))?;
        while listed.len() < limit {
            match self.shared.next_entry(index, &mut entries).await {
                Some(Ok((key, size))) => listed.push(Listed {
                    uri: format!("{base}/{key}").into(),
                    size,
                }),
                Some(Err(failure)) => return Err(self.shared.list_error(index, prefix, &failure)),
                None => break,
            }
        }
        Ok(listed)
    }

    /// Asks a site's store for one object under each mapped prefix.
    pub async fn probe(&self, site: &SiteId) -> Result<ProbeReport, SitesError> {
        let index = self.shared.index(site)?;
        let mut prefixes = Vec::new();
        for (prefix, origin, place) in self.shared.rules.places(index) {
            let started = std::time::Instant::now();
            let outcome = match place {
                Ok(place) => self.probe_place(index, &prefix, &place).await,
                Err(error) => Err(error),
            };
            prefixes.push(PrefixProbe {
                prefix,
                origin,
                took: started.elapsed(),
                outcome,
            });
        }
        let store = self.shared.sites[index].stores.describe();
        Ok(ProbeReport {
            site: site.clone(),
            store,
            prefixes,
        })
    }

    async fn probe_place(
        &self,
        site: usize,
        prefix: &str,
        place: &Place,
    ) -> Result<bool, SitesError> {
        let refused = |f: &Failure| self.shared.list_error(site, &CanonicalUri::new(prefix), f);
        let mut entries = self.shared.entries(site, place).map_err(|f| refused(&f))?;
        match self.shared.next_entry(site, &mut entries).await {
            Some(Ok(_)) => Ok(true),
            Some(Err(failure)) => Err(refused(&failure)),
            None => Ok(false),
        }
    }
}

/// Entries of a listing: keys relative to the place that is listed, and sizes.
pub(crate) type Entries = futures::stream::BoxStream<'static, Result<(String, u64), Failure>>;

impl Shared {
    pub(crate) fn index(&self, site: &SiteId) -> Result<usize, SitesError> {
        self.ids
            .binary_search(site)
            .map_err(|_| SitesError::UnknownSite {
                site: site.to_string(),
                known: known(&self.ids),
            })
    }

    /// What a site's store has under a place; pages are asked for as the entries are taken.
    pub(crate) fn entries(&self, site: usize, place: &Place) -> Result<Entries, Failure> {
        let store = self.sites[site]
            .stores
            .bucket(&place.bucket)
            .map_err(Failure::Unopened)?;
        let prefix = (!place.path.as_ref().is_empty()).then_some(&place.path);
        let base = place.path.clone();
        let entries = store.list(prefix).map(move |entry| {
            let meta = entry?;
            let key = meta.location.as_ref();
            let key = key.strip_prefix(base.as_ref()).unwrap_or(key);
            Ok((key.strip_prefix('/').unwrap_or(key).to_owned(), meta.size))
        });
        Ok(entries.boxed())
    }

    /// The next entry, or a failure if the store stalls.
    pub(crate) async fn next_entry(
        &self,
        site: usize,
        entries: &mut Entries,
    ) -> Option<Result<(String, u64), Failure>> {
        let within = self.sites[site].timeouts.request;
        match tokio::time::timeout(within, entries.next()).await {
            Ok(entry) => entry,
            Err(_) => Some(Err(Failure::timed_out(within))),
        }
    }

    pub(crate) fn list_error(
        &self,
        site: usize,
        prefix: &CanonicalUri,
        failure: &Failure,
    ) -> SitesError {
        let site = self.ids[site].clone();
        match failure {
            Failure::Unopened(error) => error.clone(),
            Failure::Missing => SitesError::config(format!(
                "site `{site}`: the bucket behind `{prefix}` does not exist"
            )),
            Failure::Denied(_) | Failure::Unauthenticated(_) => SitesError::Denied {
                uri: prefix.clone(),
                site,
                detail: failure.to_string(),
            },
            _ => SitesError::Unavailable {
                uri: prefix.clone(),
                detail: format!("`{site}`: {failure}"),
                missing: vec![site],
            },
        }
    }
}
