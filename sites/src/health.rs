//! Which sites answer: one breaker per site.
//!
//! A site that failed [`FAILURES_IN_A_ROW`] times is *down*: it is tried last rather than in its turn, so that a
//! black-holed site doesn't cost a connection time-out per file, and rather than never, so that a file's only site
//! is always asked. After a while one read at a time may try it in its turn again. A missing file or a wrong size
//! is an answer, and counts as life.

use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::clock;
use crate::id::SiteId;

const FAILURES_IN_A_ROW: u32 = 5;
const EJECTED_FOR: Duration = Duration::from_secs(30);
const EJECTED_FOR_MAX: Duration = Duration::from_secs(300);

/// How a site is doing, as reads saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteHealth {
    /// The site.
    pub id: SiteId,
    /// Whether it is asked in its turn.
    pub state: HealthState,
    /// The latest failure since it last answered; safe to show.
    pub last_error: Option<String>,
    /// How many of its objects are quarantined.
    pub quarantined: usize,
}

/// The states of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthState {
    /// It answers.
    Up,
    /// Its latest answer was a failure.
    Suspect,
    /// It failed too often in a row, and is tried last.
    Down {
        /// When it first failed.
        since: SystemTime,
    },
}

#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    ejections: u32,
    ejected_until: Option<Instant>,
    probing: bool,
    since: Option<SystemTime>,
    last_error: Option<String>,
}

impl Breaker {
    fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until
            .is_some_and(|until| now < until || self.probing)
    }
}

/// The breakers of all sites, by index.
#[derive(Debug)]
pub(crate) struct Health {
    sites: Vec<Mutex<Breaker>>,
}

impl Health {
    pub(crate) fn new(sites: usize) -> Self {
        Self {
            sites: (0..sites).map(|_| Mutex::default()).collect(),
        }
    }

    /// Whether the site is to be tried after the others.
    pub(crate) fn is_ejected(&self, site: usize) -> bool {
        self.sites[site].lock().is_ejected(clock::now())
    }

    /// Whether an attempt in the site's turn may be given up because the site was ejected since it began.
    pub(crate) fn is_ejected_since(&self, attempt: &Attempt<'_>, site: usize) -> bool {
        attempt.in_turn && self.is_ejected(site)
    }

    /// Starts an attempt. Where the site's time is up, this attempt is its probe.
    pub(crate) fn begin(&self, site: usize) -> Attempt<'_> {
        let mut breaker = self.sites[site].lock();
        let in_turn = breaker.ejected_until.is_none();
        let due = breaker
            .ejected_until
            .is_some_and(|until| clock::now() >= until);
        let probe = due && !breaker.probing;
        if probe {
            breaker.probing = true;
        }
        Attempt {
            breaker: &self.sites[site],
            probe,
            in_turn,
        }
    }

    pub(crate) fn state(&self, site: usize) -> (HealthState, Option<String>) {
        let breaker = self.sites[site].lock();
        let state = match (breaker.ejected_until, breaker.since) {
            (Some(_), Some(since)) => HealthState::Down { since },
            _ if breaker.failures > 0 => HealthState::Suspect,
            _ => HealthState::Up,
        };
        (state, breaker.last_error.clone())
    }
}

/// One attempt at a site; dropped without a verdict (a cancelled read) it leaves the site as it was.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    breaker: &'a Mutex<Breaker>,
    probe: bool,
    /// Whether the site was not ejected when this began.
    in_turn: bool,
}

impl Attempt<'_> {
    /// The site answered, if only to say that it has no such object.
    pub(crate) fn answered(self) {
        let mut breaker = self.breaker.lock();
        let probing = breaker.probing && !self.probe;
        *breaker = Breaker {
            probing,
            ..Breaker::default()
        };
    }

    /// The site did not answer, or not with what was asked for.
    pub(crate) fn failed(self, error: &str) {
        let mut breaker = self.breaker.lock();
        let now = clock::now();
        breaker.failures = breaker.failures.saturating_add(1);
        breaker.last_error = Some(error.to_owned());
        breaker.since.get_or_insert_with(SystemTime::now);
        let eject = match breaker.ejected_until {
            None => breaker.failures >= FAILURES_IN_A_ROW,
            // Attempts that began before the ejection, or as the last resort during it, prolong nothing.
            Some(_) => self.probe,
        };
        if eject {
            breaker.ejections = breaker.ejections.saturating_add(1);
            let pause = EJECTED_FOR
                .saturating_mul(breaker.ejections)
                .min(EJECTED_FOR_MAX);
            breaker.ejected_until = Some(now + pause);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.lock().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(health: &Health, times: u32) {
        for _ in 0..times {
            health.begin(0).failed("time-out");
        }
    }

    #[test]
    fn five_failures_in_a_row_eject_a_site_and_an_answer_brings_it_back() {
        let health = Health::new(1);
        fail(&health, 4);
        assert!(!health.is_ejected(0));
        assert_eq!(health.state(0).0, HealthState::Suspect);
        fail(&health, 1);
        assert!(health.is_ejected(0));
        assert!(matches!(health.state(0).0, HealthState::Down { .. }));
        health.begin(0).answered();
        assert!(!health.is_ejected(0));
        assert_eq!(health.state(0), (HealthState::Up, None));
    }

    #[test]
    fn one_probe_at_a_time_and_a_cancelled_probe_frees_its_place() {
        let health = Health::new(1);
        fail(&health, 5);
        clock::advance(EJECTED_FOR);
        assert!(!health.is_ejected(0), "the probe's turn has come");
        let probe = health.begin(0);
        assert!(health.is_ejected(0), "others still try the site last");
        drop(probe);
        assert!(!health.is_ejected(0));
        health.begin(0).failed("time-out");
        clock::advance(EJECTED_FOR);
        assert!(health.is_ejected(0), "the second ejection lasts longer");
        clock::advance(EJECTED_FOR);
        assert!(!health.is_ejected(0));
    }

    #[test]
    fn failures_during_an_ejection_prolong_nothing() {
        let health = Health::new(1);
        fail(&health, 50);
        clock::advance(EJECTED_FOR);
        assert!(!health.is_ejected(0));
    }
}
