//! Objects that are not the files they should be: one object at one site each, never the site.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock;
use crate::id::{CanonicalUri, SiteId};

/// The most that is kept; the oldest goes first. Forgetting is safe: every read verifies the size again.
const ENTRIES_MAX: usize = 10_000;

/// After this long an object is looked at again, in case somebody repaired it.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// A replica whose size is not the one that the metadata records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it is.
    pub site: SiteId,
    /// The file it should be.
    pub uri: CanonicalUri,
    /// The size that the metadata records.
    pub expected_bytes: u64,
    /// The size that it has.
    pub found_bytes: u64,
}

#[derive(Debug)]
struct Entry {
    expected: u64,
    found: u64,
    at: Instant,
}

/// The quarantined objects, by site index and URI.
#[derive(Debug, Default)]
pub(crate) struct Quarantine(Mutex<HashMap<(usize, CanonicalUri), Entry>>);

impl Quarantine {
    pub(crate) fn put(&self, site: usize, uri: &CanonicalUri, expected: u64, found: u64) {
        let mut entries = self.0.lock();
        let key = (site, uri.clone());
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&key) {
            let oldest = entries
                .iter()
                .min_by_key(|(_, e)| e.at)
                .map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                entries.remove(&oldest);
            }
        }
        entries.insert(
            key,
            Entry {
                expected,
                found,
                at: clock::now(),
            },
        );
    }

    /// The size that the object was found to have, where that is not the wanted one.
    pub(crate) fn found(
        &self,
        site: usize,
        uri: &CanonicalUri,
        wanted: Option<u64>,
    ) -> Option<u64> {
        let entries = self.0.lock();
        if entries.is_empty() {
            return None;
        }
        let entry = entries.get(&(site, uri.clone()))?;
        (clock::since(entry.at) < LOOK_AGAIN_AFTER && wanted != Some(entry.found))
            .then_some(entry.found)
    }

    /// The object was seen to be what it should be, in a listing that began `then`.
    pub(crate) fn release_before(&self, site: usize, uri: &CanonicalUri, then: Instant) {
        let mut entries = self.0.lock();
        if entries.is_empty() {
            return;
        }
        let key = (site, uri.clone());
        if entries.get(&key).is_some_and(|entry| entry.at < then) {
            entries.remove(&key);
        }
    }

    pub(crate) fn list(&self, sites: &[SiteId]) -> Vec<Quarantined> {
        let entries = self.0.lock();
        let mut list: Vec<Quarantined> = entries
            .iter()
            .map(|((site, uri), entry)| Quarantined {
                site: sites[*site].clone(),
                uri: uri.clone(),
                expected_bytes: entry.expected,
                found_bytes: entry.found,
            })
            .collect();
        list.sort_by(|a, b| (&a.site, &a.uri).cmp(&(&b.site, &b.uri)));
        list
    }

    pub(crate) fn count(&self, site: usize) -> usize {
        self.0.lock().keys().filter(|(at, _)| *at == site).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_stays_quarantined_for_the_size_it_lacks_until_it_is_looked_at_again() {
        let quarantine = Quarantine::default();
        let uri = CanonicalUri::new("gs://b/a");
        quarantine.put(1, &uri, 10, 9);
        assert_eq!(quarantine.found(1, &uri, Some(10)), Some(9));
        assert_eq!(quarantine.found(1, &uri, None), Some(9));
        assert_eq!(
            quarantine.found(1, &uri, Some(9)),
            None,
            "another snapshot may record the size it has"
        );
        assert_eq!(
            quarantine.found(0, &uri, Some(10)),
            None,
            "another site's copy is another object"
        );
        clock::advance(LOOK_AGAIN_AFTER);
        assert_eq!(quarantine.found(1, &uri, Some(10)), None);
    }

    #[test]
    fn the_quarantine_is_bounded() {
        let quarantine = Quarantine::default();
        for n in 0..ENTRIES_MAX + 5 {
            quarantine.put(0, &format!("gs://b/{n}").into(), 1, 2);
        }
        assert_eq!(quarantine.count(0), ENTRIES_MAX);
    }
}
