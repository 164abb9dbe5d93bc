//! Routed reads: one ordered list of candidates per file, and the next one whenever a site cannot give a batch.
//!
//! A batch of ranges comes from one site alone, so ranges of two objects are never mixed. The size of the object is
//! verified on every request for a file whose size is recorded. Dropping a read's future cancels its requests.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use crate::attempt::{Ejected, Taken, WHOLE_BYTES_MAX, Want};
use crate::coalesce;
use crate::error::SitesError;
use crate::failure::Failure;
use crate::id::{CanonicalUri, FileId};
use crate::route::Route;
use crate::sites::{Shared, Sites};
use crate::spec::Holdings;
use crate::tally::{Meter, ReadClass, ReadLog};

/// First bytes within this many of the link's latencies, and this much more, count as local speed.
const LOCAL_LATENCIES: u32 = 3;
const LOCAL_ALLOWANCE: Duration = Duration::from_millis(20);

/// The most that one range may have: what is recorded of a file may say any length, and each 8 MiB are a request.
const RANGE_BYTES_MAX: u64 = 1 << 40;

impl Sites {
    /// Ranges of a file, in the order they were asked for, all from one site.
    ///
    /// Nearby ranges are read in one request, large ones in several. Whatever a site answers other than the bytes
    /// (nothing, an error, a body that breaks off, another size) sends the whole batch to the next candidate; the
    /// origin is always the last of them.
    pub async fn read_ranges(
        &self,
        file: &FileId,
        route: &Route,
        ranges: &[Range<u64>],
        class: ReadClass,
        log: &ReadLog,
    ) -> Result<Vec<Bytes>, SitesError> {
        check_ranges(file, ranges)?;
        if ranges.iter().all(Range::is_empty) {
            return Ok(vec![Bytes::new(); ranges.len()]);
        }
        self.routed(file, route, Want::Ranges(ranges), class, log)
            .await
    }

    /// The last `bytes` bytes of a file, or all of it where it is shorter.
    pub async fn read_suffix(
        &self,
        file: &FileId,
        route: &Route,
        bytes: u64,
        class: ReadClass,
        log: &ReadLog,
    ) -> Result<Bytes, SitesError> {
        let one = match file.size {
            Some(size) => {
                let range = size.saturating_sub(bytes)..size;
                self.read_ranges(file, route, &[range], class, log).await?
            }
            None => {
                self.routed(file, route, Want::Suffix(bytes), class, log)
                    .await?
            }
        };
        Ok(one.into_iter().next().unwrap_or_default())
    }

    /// A whole file. Where its size is recorded it is verified, and the read is split into several requests.
    pub async fn read_whole(
        &self,
        file: &FileId,
        route: &Route,
        class: ReadClass,
        log: &ReadLog,
    ) -> Result<Bytes, SitesError> {
        let one = match file.size {
            Some(size) if size > WHOLE_BYTES_MAX => {
                return Err(SitesError::Request {
                    uri: file.uri.clone(),
                    reason: format!(
                        "it is recorded with {size} bytes, and files of more than {WHOLE_BYTES_MAX} are not read whole"
                    ),
                });
            }
            Some(size) => {
                let whole = 0..size;
                self.read_ranges(file, route, &[whole], class, log).await?
            }
            None => self.routed(file, route, Want::Whole, class, log).await?,
        };
        Ok(one.into_iter().next().unwrap_or_default())
    }

    /// A file whose size nobody records: each candidate's object is shown to `accept` until it takes one.
    ///
    /// `accept` says in words what is wrong with an object, for the error and the log.
    pub async fn read_accepted<T, A>(
        &self,
        uri: &CanonicalUri,
        route: &Route,
        log: &ReadLog,
        mut accept: impl FnMut(Bytes) -> A + Send,
    ) -> Result<T, SitesError>
    where
        A: Future<Output = Result<T, String>> + Send,
    {
        let file = FileId::new(uri.clone(), None);
        let mut trial = Trial::new(&self.shared, &file, route, ReadClass::Metadata, log)?;
        while let Some(site) = trial.next() {
            let judged = match trial.attempt(site, Want::Whole).await {
                Ok(taken) => {
                    let bytes = taken.ranges.into_iter().next().unwrap_or_default();
                    accept(bytes).await.map_err(Failure::Rejected)
                }
                Err(failure) => Err(failure),
            };
            match judged {
                Ok(value) => return Ok(value),
                Err(failure) => trial.failed(site, failure),
            }
        }
        Err(trial.conclude())
    }

    async fn routed(
        &self,
        file: &FileId,
        route: &Route,
        want: Want<'_>,
        class: ReadClass,
        log: &ReadLog,
    ) -> Result<Vec<Bytes>, SitesError> {
        let mut trial = Trial::new(&self.shared, file, route, class, log)?;
        while let Some(site) = trial.next() {
            match trial.attempt(site, want).await {
                Ok(taken) => return Ok(taken.ranges),
                Err(failure) => trial.failed(site, failure),
            }
        }
        Err(trial.conclude())
    }
}

impl Shared {
    /// Learns from a read whether the site had the file or fetched it first, where that is the question.
    fn note_speed(&self, site: usize, uri: &CanonicalUri, first_byte: Option<Duration>) {
        let described = &self.sites[site];
        if let Holdings::ListedNotAlwaysResident { .. } = described.holdings
            && let Some(first_byte) = first_byte
        {
            match first_byte <= described.link.latency * LOCAL_LATENCIES + LOCAL_ALLOWANCE {
                true => self.resident.note(site, uri),
                false => self.resident.forget(site, uri),
            }
        }
    }

    /// Reads a range from one site for no query's sake, to learn how fast it comes.
    pub(crate) async fn look_at(&self, site: usize, file: &FileId, range: Range<u64>) {
        let log = ReadLog::new();
        let route = Route::new(Vec::new());
        if let Ok(trial) = Trial::new(self, file, &route, ReadClass::Data, &log)
            && !self.health.is_ejected(site)
        {
            // A failure is no news: the file goes on not to count as held.
            let _ = trial.attempt(site, Want::Ranges(&[range])).await;
        }
    }
}

fn check_ranges(file: &FileId, ranges: &[Range<u64>]) -> Result<(), SitesError> {
    let end = file.size.unwrap_or(u64::MAX);
    let long = |range: &&Range<u64>| range.end.saturating_sub(range.start) > RANGE_BYTES_MAX;
    if let Some(range) = ranges.iter().find(long) {
        return Err(SitesError::Request {
            uri: file.uri.clone(),
            reason: format!(
                "bytes {} to {} were asked for, more than {RANGE_BYTES_MAX} at once",
                range.start, range.end
            ),
        });
    }
    match ranges.iter().find(|r| r.start > r.end || r.end > end) {
        None => Ok(()),
        Some(range) => Err(SitesError::Request {
            uri: file.uri.clone(),
            reason: format!(
                "bytes {} to {} were asked for, of {end}",
                range.start, range.end
            ),
        }),
    }
}

/// One file's way through its candidates.
struct Trial<'a> {
    shared: &'a Shared,
    file: &'a FileId,
    origin: usize,
    /// Those still to be tried, the next one last.
    left: Vec<usize>,
    /// Those whose turn was waited for in vain, and that are tried once more after all others.
    waited: Vec<usize>,
    failures: Vec<(usize, Failure)>,
    class: ReadClass,
    log: &'a ReadLog,
}

impl<'a> Trial<'a> {
    fn new(
        shared: &'a Shared,
        file: &'a FileId,
        route: &Route,
        class: ReadClass,
        log: &'a ReadLog,
    ) -> Result<Self, SitesError> {
        let uri = &file.uri;
        let origin = shared.rules.origin(uri)?;
        let mut candidates = Vec::with_capacity(route.sites().len() + 1);
        for site in route.sites() {
            candidates.push(shared.index(site)?);
        }
        if !candidates.contains(&origin) {
            candidates.push(origin);
        }
        let mut failures = Vec::new();
        let quarantined = |site: usize| {
            let found = shared.quarantine.found(site, uri, file.size);
            found.filter(|_| site != origin)
        };
        // Without a size nobody knows whether the copy is wrong, or whoever recorded another size for it.
        candidates.retain(|site| match quarantined(*site) {
            Some(found) if file.size.is_some() => {
                failures.push((*site, Failure::Quarantined { found }));
                false
            }
            _ => true,
        });
        // Last come those, then the sites that lately had no such file, and before them those that don't answer.
        candidates.sort_by_key(|site| {
            let missed = *site != origin && shared.misses.has(*site, uri);
            let doubted = quarantined(*site).is_some();
            (doubted, missed, shared.health.is_ejected(*site))
        });
        candidates.reverse();
        Ok(Self {
            shared,
            file,
            origin,
            left: candidates,
            waited: Vec::new(),
            failures,
            class,
            log,
        })
    }

    fn next(&mut self) -> Option<usize> {
        self.left.pop()
    }

    async fn attempt(&self, site: usize, want: Want<'_>) -> Result<Taken, Failure> {
        let shared = self.shared;
        let uri = &self.file.uri;
        // A key that cannot be addressed is wrong at every site; it was checked for the origin's sake already.
        let place = shared.rules.place(site, uri).map_err(Failure::Unopened)?;
        let Some(place) = place else {
            return Err(Failure::Missing);
        };
        let link = &shared.sites[site].link;
        let gap = coalesce::gap_bytes(link);
        let charge = self
            .log
            .charge(link.usd_per_gib, || want.bytes(self.file.size, gap))
            .map_err(Failure::OverBudget)?;
        let meter =
            Meter::new(self.class, &shared.ids[site], self.log, &shared.totals).paid(charge);
        let breaker = shared.health.begin(site);
        let ejected = || shared.health.is_ejected_since(&breaker, site);
        // Whoever is tried once more is waited for as if it were the only one.
        let others = !self.left.is_empty() && !self.waited.contains(&site);
        let others = others.then_some(&ejected as Ejected<'_>);
        let taken = shared.sites[site]
            .take(&place, self.file.size, want, (gap, others), &meter)
            .await;
        match &taken {
            // Dropped without a verdict.
            Err(failure) if !failure.is_news() => {}
            Err(failure) if !failure.is_answer() => breaker.failed(&failure.to_string()),
            _ => breaker.answered(),
        }
        if let Ok(taken) = &taken {
            shared.misses.forget(site, uri);
            shared.note_speed(site, uri, taken.first_byte);
        }
        taken
    }

    fn failed(&mut self, site: usize, failure: Failure) {
        let (shared, uri) = (self.shared, &self.file.uri);
        let id = &shared.ids[site];
        match &failure {
            Failure::Missing if site != self.origin => shared.misses.note(site, uri),
            Failure::WrongSize { expected, found } if site != self.origin => {
                tracing::error!(site = %id, %uri, expected, found, "a replica has the wrong size and is quarantined");
                shared.quarantine.put(site, uri, *expected, *found);
            }
            Failure::Missing | Failure::OverBudget(_) => {}
            other => {
                tracing::warn!(site = %id, %uri, failure = %other, "a site could not give a file")
            }
        }
        if let Failure::Missing | Failure::WrongSize { .. } = failure {
            shared.resident.forget(site, uri);
        }
        if !self.left.is_empty() && !matches!(failure, Failure::OverBudget(_)) {
            Meter::new(self.class, id, self.log, &shared.totals).fall_through();
        }
        match failure {
            // It was not asked, and may be the only one that has the file.
            Failure::Waited(_) if !self.waited.contains(&site) => {
                self.waited.push(site);
                self.left.insert(0, site);
            }
            other => self.failures.push((site, other)),
        }
    }

    /// The error of a file that no candidate gave. Only the origin's word makes a file missing.
    fn conclude(mut self) -> SitesError {
        let (shared, uri) = (self.shared, self.file.uri.clone());
        let over = self
            .failures
            .iter()
            .find_map(|(site, failure)| match failure {
                Failure::OverBudget(over) => Some((*site, *over)),
                _ => None,
            });
        if let Some((site, over)) = over {
            return SitesError::OverBudget {
                uri,
                site: shared.ids[site].clone(),
                usd: over.usd,
                spent_usd: over.spent_usd,
                usd_max: over.usd_max,
            };
        }
        let origin = shared.ids[self.origin].clone();
        let at_origin = self
            .failures
            .iter()
            .position(|(site, _)| *site == self.origin);
        let name =
            |(site, failure): &(usize, Failure)| format!("`{}`: {failure}", shared.ids[*site]);
        let all: Vec<String> = self.failures.iter().map(name).collect();
        let detail = all.join("; ");
        let Some((_, failure)) = at_origin.map(|at| self.failures.remove(at)) else {
            return SitesError::Unavailable {
                uri,
                missing: vec![origin],
                detail,
            };
        };
        let others: Vec<String> = self.failures.iter().map(name).collect();
        match failure {
            Failure::Missing => SitesError::NotFound {
                uri,
                origin,
                others: if others.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", others.join("; "))
                },
            },
            Failure::Denied(_) | Failure::Unauthenticated(_) => SitesError::Denied {
                uri,
                site: origin,
                detail,
            },
            Failure::WrongSize { .. } | Failure::Quarantined { .. } | Failure::Rejected(_) => {
                SitesError::Corrupt {
                    uri,
                    site: origin,
                    detail,
                }
            }
            Failure::Unopened(error @ (SitesError::Uri { .. } | SitesError::Credential { .. })) => {
                error
            }
            Failure::Unreachable(_)
            | Failure::Waited(_)
            | Failure::Broken(_)
            | Failure::Unopened(_)
            | Failure::OverBudget(_) => {
                let down =
                    |(site, failure): &(usize, Failure)| (!failure.is_answer()).then_some(*site);
                let mut missing: Vec<usize> = self.failures.iter().filter_map(down).collect();
                missing.push(self.origin);
                missing.sort_unstable();
                missing.dedup();
                let missing = missing
                    .into_iter()
                    .map(|site| shared.ids[site].clone())
                    .collect();
                SitesError::Unavailable {
                    uri,
                    missing,
                    detail,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
