//! What a site's store shows: listings for tests, coverage and the inventory, and the probe of `landfast check`.

use std::time::Duration;

use futures::StreamExt;

use crate::error::SitesError;
use crate::failure::Failure;
use crate::id::{CanonicalUri, SiteId};
use crate::rules::Place;
use crate::sites::{Shared, Sites};

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The canonical URI that the object is a copy of, spelt like the prefix that was listed.
    pub uri: CanonicalUri,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified by its store's clock, in milliseconds since 1970.
    pub modified_ms: i64,
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
                Some(Ok(entry)) => listed.push(Listed {
                    uri: format!("{base}/{}", entry.key).into(),
                    size: entry.size,
                    modified_ms: entry.modified_ms,
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

/// An entry of a listing.
#[derive(Debug)]
pub(crate) struct ListEntry {
    /// Relative to the place that is listed.
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) modified_ms: i64,
}

/// Entries of a listing.
pub(crate) type Entries = futures::stream::BoxStream<'static, Result<ListEntry, Failure>>;

impl Shared {
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
            Ok(ListEntry {
                key: key.strip_prefix('/').unwrap_or(key).to_owned(),
                size: meta.size,
                modified_ms: meta.last_modified.timestamp_millis(),
            })
        });
        Ok(entries.boxed())
    }

    /// The next entry, or a failure if the store stalls.
    pub(crate) async fn next_entry(
        &self,
        site: usize,
        entries: &mut Entries,
    ) -> Option<Result<ListEntry, Failure>> {
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
