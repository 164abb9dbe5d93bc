//! One remembered answer of a member, and how old it may be.

use std::future::Future;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::{CatalogError, CatalogErrorKind, Clock, Result};

/// An answer, and when the question was put.
#[derive(Debug, Clone)]
pub(crate) struct Known<T> {
    pub(crate) value: T,
    /// When the load that gave it began: whatever was committed before then is in it.
    pub(crate) began: Instant,
    /// Which of the slot's loads gave it, counted from 1.
    load: u64,
}

/// How old a remembered answer may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Age {
    /// Asked after the caller came.
    FromNow,
    /// Asked this long before the caller came, at most.
    AtMost(Duration),
}

/// Remembers the last good answer to one question and lets one caller at a time ask it.
///
/// An answer is stored with the time at which its load *began*. A load that began before [`Slot::forget`] is not stored.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    state: Mutex<State<T>>,
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State<T> {
    known: Option<Known<T>>,
    /// Whether `known` may still be given to those who ask for an age.
    expired: bool,
    /// The last failure and when it came, until the next success.
    failed: Option<(Instant, CatalogError)>,
    generation: u64,
    /// How many loads have begun.
    loads: u64,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        let state = State {
            known: None,
            expired: false,
            failed: None,
            generation: 0,
            loads: 0,
        };
        Self {
            state: Mutex::new(state),
            flight: tokio::sync::Mutex::new(()),
        }
    }
}

impl<T: Clone> Slot<T> {
    /// The remembered answer if it is young enough, else what `load` gives; `load` gets what is remembered.
    ///
    /// Whoever waits for another's load shares its failure: a member that hangs costs each caller one time-out, not a
    /// queue of them.
    pub(crate) async fn get<F, Fut>(&self, clock: &dyn Clock, age: Age, load: F) -> Result<Known<T>>
    where
        F: FnOnce(Option<T>) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let asked = clock.now();
        let loads = self.state.lock().loads;
        if let Some(known) = self.young(age, asked, loads) {
            return Ok(known);
        }
        let _flight = self.flight.lock().await;
        if let Some(known) = self.young(age, asked, loads) {
            return Ok(known);
        }
        if let Some(error) = self.failed_since(asked) {
            return Err(error);
        }
        let (generation, number, last) = {
            let mut state = self.state.lock();
            state.loads += 1;
            let last = state.known.as_ref().filter(|_| !state.expired);
            let last = last.map(|known| known.value.clone());
            (state.generation, state.loads, last)
        };
        let began = clock.now();
        match load(last).await {
            Ok(value) => {
                let known = Known {
                    value,
                    began,
                    load: number,
                };
                self.store(generation, known.clone());
                Ok(known)
            }
            // What one query may not pay for says nothing of the member, and the next query may pay for it.
            Err(error) if error.kind() == CatalogErrorKind::OverBudget => Err(error),
            Err(error) => {
                let mut state = self.state.lock();
                state.failed = Some((clock.now(), error.clone()));
                Err(error)
            }
        }
    }

    fn store(&self, generation: u64, known: Known<T>) {
        let mut state = self.state.lock();
        state.failed = None;
        if state.generation == generation {
            state.known = Some(known);
            state.expired = false;
        }
    }

    /// The answer if it is as young as asked for. A load counts as begun from now on if it isn't among the `loads` that
    /// had begun when the caller came: numbers have no ties, as clocks do.
    fn young(&self, age: Age, asked: Instant, loads: u64) -> Option<Known<T>> {
        let state = self.state.lock();
        let known = state.known.as_ref().filter(|_| !state.expired)?;
        let young = match age {
            Age::FromNow => known.load > loads,
            Age::AtMost(age_max) => asked.saturating_duration_since(known.began) <= age_max,
        };
        young.then(|| known.clone())
    }

    fn failed_since(&self, asked: Instant) -> Option<CatalogError> {
        let state = self.state.lock();
        state
            .failed
            .as_ref()
            .filter(|(at, _)| *at >= asked)
            .map(|(_, error)| error.clone())
    }

    /// The answer if it is at most this old, without asking.
    pub(crate) fn within(&self, age_max: Duration, now: Instant) -> Option<Known<T>> {
        self.young(Age::AtMost(age_max), now, 0)
    }

    /// The last good answer, however old, expired or not.
    pub(crate) fn known(&self) -> Option<Known<T>> {
        self.state.lock().known.clone()
    }

    /// The last failure, if nothing succeeded since.
    pub(crate) fn failure(&self) -> Option<(Instant, CatalogError)> {
        self.state.lock().failed.clone()
    }

    /// Makes the next caller ask again; the last good answer stays for outages.
    pub(crate) fn expire(&self) {
        let mut state = self.state.lock();
        state.expired = true;
        state.generation += 1;
        state.failed = None;
    }

    /// Forgets the answer altogether.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        state.known = None;
        state.generation += 1;
        state.failed = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    /// A clock that only moves when it is told to.
    #[derive(Debug)]
    struct HandClock(Mutex<Instant>);

    impl Clock for HandClock {
        fn now(&self) -> Instant {
            *self.0.lock()
        }
    }

    fn clock() -> Arc<HandClock> {
        // Away from the clock's own beginning, so that tests can look back.
        Arc::new(HandClock(Mutex::new(
            Instant::now() + Duration::from_secs(3_600),
        )))
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        futures::executor::block_on(work)
    }

    #[test]
    fn what_began_before_a_change_is_not_kept() {
        let (slot, clock) = (Slot::<u32>::default(), clock());
        let load = |_| async {
            // A change through this process while the member thinks.
            slot.forget();
            Ok(1)
        };
        assert_eq!(run(slot.get(&*clock, Age::FromNow, load)).unwrap().value, 1);
        assert!(slot.known().is_none());
        let again = run(slot.get(&*clock, Age::AtMost(Duration::MAX), |_| async { Ok(2) }));
        assert_eq!(again.unwrap().value, 2);
    }

    #[test]
    fn an_expired_answer_is_only_for_outages() {
        let (slot, clock) = (Slot::<u32>::default(), clock());
        run(slot.get(&*clock, Age::FromNow, |_| async { Ok(1) })).unwrap();
        slot.expire();
        let failing = |last: Option<u32>| async move {
            assert_eq!(
                last, None,
                "nobody asks whether an expired answer still holds"
            );
            Err(CatalogError::invalid("down"))
        };
        assert!(run(slot.get(&*clock, Age::AtMost(Duration::MAX), failing)).is_err());
        assert_eq!(slot.known().unwrap().value, 1);
        assert!(slot.failure().is_some());
    }

    #[test]
    fn what_one_caller_may_not_pay_for_is_tried_again_by_the_one_that_waits() {
        let (slot, clock) = (Slot::<u32>::default(), clock());
        let (begun, wait) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
        let poor = slot.get(&*clock, Age::FromNow, |_| async {
            begun.notify_one();
            wait.notified().await;
            let error = landfast_sites::SitesError::OverBudget {
                uri: landfast_sites::CanonicalUri::new("gs://lake/v.json"),
                site: landfast_sites::SiteId::new("cloud").unwrap(),
                usd: 1.0,
                spent_usd: 0.0,
                usd_max: 0.5,
            };
            Err(CatalogError::from(error))
        });
        let rich = async {
            begun.notified().await;
            let read = slot.get(&*clock, Age::FromNow, |_| async { Ok(2) });
            let let_go = async { wait.notify_one() };
            futures::join!(read, let_go).0
        };
        let (poor, rich) = run(async { futures::join!(poor, rich) });
        assert_eq!(poor.unwrap_err().kind(), CatalogErrorKind::OverBudget);
        assert_eq!(rich.unwrap().value, 2);
        assert!(slot.failure().is_none());
    }

    /// What a history of one slot is made of.
    #[derive(Debug, Clone)]
    enum Step {
        Pass(u64),
        Commit,
        Read {
            age_max: Option<u64>,
            load_takes: u64,
            fails: bool,
        },
        Forget,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..50_u64).prop_map(Step::Pass),
            Just(Step::Commit),
            (
                proptest::option::of(0..40_u64),
                0..20_u64,
                proptest::bool::weighted(0.2)
            )
                .prop_map(|(age_max, load_takes, fails)| Step::Read {
                    age_max,
                    load_takes,
                    fails
                }),
            Just(Step::Forget),
        ]
    }

    proptest! {
        /// Whatever happens, a read gives at least what was committed by the time that its age reaches back to.
        #[test]
        fn an_answer_is_never_older_than_asked(steps in proptest::collection::vec(step(), 0..60)) {
            let (slot, clock) = (Slot::<usize>::default(), clock());
            let mut commits = vec![clock.now()];
            for step in steps {
                match step {
                    Step::Pass(seconds) => *clock.0.lock() += Duration::from_secs(seconds),
                    Step::Commit => commits.push(clock.now()),
                    Step::Forget => slot.forget(),
                    Step::Read { age_max, load_takes, fails } => {
                        let asked = clock.now();
                        let age = age_max.map_or(Age::FromNow, |age| Age::AtMost(Duration::from_secs(age)));
                        let newest = commits.len() - 1;
                        let load = |_| async {
                            *clock.0.lock() += Duration::from_secs(load_takes);
                            if fails { Err(CatalogError::invalid("down")) } else { Ok(newest) }
                        };
                        let Ok(known) = run(slot.get(&*clock, age, load)) else { continue };
                        let reach = asked - Duration::from_secs(age_max.unwrap_or(0));
                        let due = commits.iter().rposition(|at| *at < reach || (age_max.is_none() && *at <= reach));
                        prop_assert!(due.is_none_or(|due| known.value >= due));
                    }
                }
            }
        }
    }
}
