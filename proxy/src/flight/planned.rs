//! Planned queries that wait for their DoGet: bounded in number, bytes and time.
//!
//! Nothing is lost when one has to go: its ticket says how to plan it again, on the same snapshots.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use landfast_planner::{Division, PlannedQuery};
use parking_lot::Mutex;

use super::parameters::Parameters;
use super::run::Run;

/// A planned query.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) principal: Arc<str>,
    pub(super) run: Arc<Run>,
    /// The plan for the first row of parameters.
    pub(super) plan: Arc<PlannedQuery>,
    pub(super) parameters: Option<Parameters>,
    /// How its rows are divided, if they are.
    pub(super) division: Option<Division>,
}

impl Planned {
    /// Whether it has to be kept.
    pub(super) fn need(&self) -> Need {
        if self.run.is_read() {
            Need::Now
        } else if self.run.is_open() {
            Need::Maybe
        } else {
            Need::No
        }
    }
}

/// How much something is needed that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It is used.
    Now,
    /// It may be asked for until it is too old.
    Maybe,
    /// Nobody will ask for it.
    No,
}

struct Kept<T> {
    what: T,
    bytes: usize,
    since: Instant,
}

struct Shelf<T> {
    kept: HashMap<String, Kept<T>>,
    bytes: usize,
}

/// Things kept for a while under names, so many and so large together.
pub(super) struct Waiting<T> {
    shelf: Mutex<Shelf<T>>,
    count_max: usize,
    bytes_max: usize,
    ttl: Duration,
}

impl<T> Waiting<T> {
    pub(super) fn new(count_max: usize, bytes_max: usize, ttl: Duration) -> Self {
        Self {
            shelf: Mutex::new(Shelf {
                kept: HashMap::new(),
                bytes: 0,
            }),
            count_max,
            bytes_max,
            ttl,
        }
    }

    /// Keeps something; older things go when there is no room, and what is too large for all the room is not kept.
    pub(super) fn keep(&self, name: String, what: T, bytes: usize) {
        // What goes is dropped after the lock is given back: dropping a query takes locks of its own.
        let mut gone = Vec::new();
        let mut shelf = self.shelf.lock();
        while !shelf.kept.is_empty()
            && (shelf.kept.len() >= self.count_max || shelf.bytes + bytes > self.bytes_max)
        {
            let oldest = shelf
                .kept
                .iter()
                .min_by_key(|(_, kept)| kept.since)
                .map(|(name, _)| name.clone());
            gone.extend(oldest.and_then(|oldest| shelf.remove(&oldest)));
        }
        if bytes <= self.bytes_max && self.count_max > 0 {
            shelf.bytes += bytes;
            gone.extend(
                shelf
                    .kept
                    .insert(
                        name,
                        Kept {
                            what,
                            bytes,
                            since: Instant::now(),
                        },
                    )
                    .map(|old| old.what),
            );
            drop(shelf);
        } else {
            drop(shelf);
            drop(what);
        }
        drop(gone);
    }

    /// Takes what is kept under a name, if `fits` agrees and it is not too old.
    pub(super) fn take(&self, name: &str, fits: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut shelf = self.shelf.lock();
        let kept = shelf.kept.get(name)?;
        if !fits(&kept.what) || kept.since.elapsed() > self.ttl {
            return None;
        }
        shelf.remove(name)
    }

    /// What `look` makes of what is kept under a name; it counts as new from then on.
    pub(super) fn look<R>(&self, name: &str, look: impl FnOnce(&T) -> Option<R>) -> Option<R> {
        let mut shelf = self.shelf.lock();
        let kept = shelf.kept.get_mut(name)?;
        if kept.since.elapsed() > self.ttl {
            return None;
        }
        let seen = look(&kept.what)?;
        kept.since = Instant::now();
        Some(seen)
    }

    /// How many are kept.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.shelf.lock().kept.len()
    }

    /// What they take together.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.shelf.lock().bytes
    }

    /// Drops what is too old and what nobody needs; what is used stays as if it were new.
    pub(super) fn sweep(&self, need: impl Fn(&T) -> Need) {
        let gone: Vec<T> = {
            let mut shelf = self.shelf.lock();
            let mut old: Vec<String> = Vec::new();
            for (name, kept) in &mut shelf.kept {
                match need(&kept.what) {
                    Need::Now => kept.since = Instant::now(),
                    Need::Maybe if kept.since.elapsed() <= self.ttl => {}
                    Need::Maybe | Need::No => old.push(name.clone()),
                }
            }
            old.iter().filter_map(|name| shelf.remove(name)).collect()
        };
        drop(gone);
    }
}

impl<T> Shelf<T> {
    fn remove(&mut self, name: &str) -> Option<T> {
        let kept = self.kept.remove(name)?;
        self.bytes -= kept.bytes;
        Some(kept.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_there_is_no_room_for_one_more() {
        let waiting = Waiting::new(2, 100, Duration::from_secs(60));
        for name in ["a", "b", "c"] {
            waiting.keep(name.into(), name, 10);
        }
        assert_eq!(waiting.take("a", |_| true), None);
        assert_eq!(waiting.take("b", |_| true), Some("b"));
        waiting.keep("large".into(), "large", 95);
        assert_eq!(
            waiting.take("c", |_| true),
            None,
            "it had to go for the large one"
        );
        assert_eq!(waiting.take("large", |_| true), Some("large"));
        waiting.keep("huge".into(), "huge", 101);
        assert_eq!(waiting.take("huge", |_| true), None);
    }

    #[test]
    fn a_thing_is_taken_once_and_only_by_whom_it_fits() {
        let waiting = Waiting::new(2, 100, Duration::from_secs(60));
        waiting.keep("a".into(), 1, 10);
        assert_eq!(waiting.take("a", |what| *what == 2), None);
        assert_eq!(waiting.take("a", |what| *what == 1), Some(1));
        assert_eq!(waiting.take("a", |_| true), None);
    }

    #[test]
    fn what_is_too_old_is_gone() {
        let waiting = Waiting::new(2, 100, Duration::ZERO);
        let held = Arc::new(());
        waiting.keep("a".into(), held.clone(), 10);
        assert!(waiting.take("a", |_| true).is_none());
        waiting.sweep(|_| Need::Now);
        assert_eq!(Arc::strong_count(&held), 2, "it is used");
        waiting.sweep(|_| Need::Maybe);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn what_nobody_needs_goes_before_it_is_old_and_a_look_makes_it_new() {
        let waiting = Waiting::new(2, 100, Duration::from_secs(60));
        waiting.keep("a".into(), 1, 10);
        assert_eq!(waiting.look("a", |what| Some(*what)), Some(1));
        assert_eq!(waiting.look("a", |_| None::<()>), None);
        assert_eq!(waiting.count(), 1);
        waiting.sweep(|_| Need::No);
        assert_eq!(waiting.count(), 0);
    }
}
