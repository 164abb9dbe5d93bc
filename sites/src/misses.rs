//! What reads found a site not to have: a bounded memory that fades.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock;
use crate::id::CanonicalUri;

/// How long a miss is remembered. A copy that arrives in the meantime is found by the next listing, or after this.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// The most that is remembered; the oldest goes first.
const ENTRIES_MAX: usize = 100_000;

type Key = (usize, CanonicalUri);

/// (site, file) pairs that were seen lately, oldest first. Every key in the map is at the back of the queue at
/// least once, with the time of its latest note.
#[derive(Debug)]
pub(crate) struct Remembered {
    for_: Duration,
    entries_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    at: HashMap<Key, Instant>,
    order: VecDeque<(Instant, Key)>,
}

impl Remembered {
    /// For misses.
    pub(crate) fn misses() -> Self {
        Self::new(REMEMBERED_FOR, ENTRIES_MAX)
    }

    pub(crate) fn new(for_: Duration, entries_max: usize) -> Self {
        Self {
            for_,
            entries_max,
            state: Mutex::default(),
        }
    }

    pub(crate) fn note(&self, site: usize, uri: &CanonicalUri) {
        let now = clock::now();
        let key = (site, uri.clone());
        let mut state = self.state.lock();
        state.at.insert(key.clone(), now);
        state.order.push_back((now, key));
        while let Some((at, _)) = state.order.front() {
            // Keys that were noted again leave old notes behind, hence the second bound.
            let over =
                state.at.len() > self.entries_max || state.order.len() > 2 * self.entries_max;
            if !over && now.duration_since(*at) < self.for_ {
                break;
            }
            if let Some((at, key)) = state.order.pop_front()
                && state.at.get(&key) == Some(&at)
            {
                state.at.remove(&key);
            }
        }
    }

    pub(crate) fn forget(&self, site: usize, uri: &CanonicalUri) {
        let mut state = self.state.lock();
        if !state.at.is_empty() {
            state.at.remove(&(site, uri.clone()));
        }
    }

    /// Forgets what was noted before `then`.
    pub(crate) fn forget_before(&self, site: usize, uri: &CanonicalUri, then: Instant) {
        let mut state = self.state.lock();
        if state.at.is_empty() {
            return;
        }
        let key = (site, uri.clone());
        if state.at.get(&key).is_some_and(|at| *at < then) {
            state.at.remove(&key);
        }
    }

    pub(crate) fn has(&self, site: usize, uri: &CanonicalUri) -> bool {
        let state = self.state.lock();
        if state.at.is_empty() {
            return false;
        }
        state
            .at
            .get(&(site, uri.clone()))
            .is_some_and(|at| clock::since(*at) < self.for_)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(n: usize) -> CanonicalUri {
        format!("gs://b/{n}").into()
    }

    #[test]
    fn a_miss_is_forgotten_after_its_time_and_when_it_is_taken_back() {
        let misses = Remembered::new(Duration::from_secs(60), 10);
        misses.note(0, &uri(1));
        misses.note(1, &uri(2));
        assert!(misses.has(0, &uri(1)) && !misses.has(1, &uri(1)));
        misses.forget(1, &uri(2));
        assert!(!misses.has(1, &uri(2)));
        clock::advance(Duration::from_secs(60));
        assert!(!misses.has(0, &uri(1)));
    }

    #[test]
    fn the_memory_is_bounded_also_when_one_file_is_missed_again_and_again() {
        let misses = Remembered::new(Duration::from_secs(60), 10);
        for n in 0..1000 {
            misses.note(0, &uri(n));
            misses.note(0, &uri(0));
        }
        let state = misses.state.lock();
        assert!(state.at.len() <= 10 && state.order.len() <= 20);
        drop(state);
        assert!(misses.has(0, &uri(0)) && misses.has(0, &uri(999)) && !misses.has(0, &uri(500)));
    }
}
