//! Guessing passwords is slowed, and nobody is locked out.
//!
//! Wrong guesses are counted by user name, by address, and by the two together. After a few, each further guess waits
//! before it is checked, twice as long each time, up to a bound. An address waits in turn, so that guessing in parallel
//! gains nothing. A name alone only waits a little: whoever guesses a name from elsewhere can hold its owner up, but
//! not shut them out. And an address from which the name came in before owes nothing for what others did.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::arrival::network;

/// Wrong guesses of one name from one address that cost nothing.
const FREE_OF_PAIR: u32 = 3;
/// Wrong guesses from one address, or of one name, that cost nothing: several people may sit behind an address.
const FREE_OF_ONE: u32 = 20;
/// The first wait; each further wrong guess doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait for what was guessed of a name elsewhere.
const NAME_WAIT_MAX: Duration = Duration::from_secs(1);
/// Wrong guesses are forgotten after this long without another.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);
/// Guesses that wait at once; more are sent away.
const WAITING_MAX: usize = 4_096;
/// Guesses of one address that wait at once, so that a few addresses can't take all places: many people may sit behind
/// one, and log in at the same time.
const WAITING_OF_ADDRESS_MAX: u32 = 512;
/// The same where wrong guesses are paid for.
const WAITING_OWING_MAX: u32 = 32;
/// Entries of one generation of one table; two generations are kept.
const ENTRIES_MAX: usize = 16_384;

/// What to do with a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Check it now; [`Ledger::finish`] must follow.
    Check,
    /// Ask again after this long, or as soon as another guess was checked.
    Wait(Duration),
    /// Send it away; it may come again after this long.
    Refuse(Duration),
}

/// Who guesses, as the tables know them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guess {
    name: u64,
    address: u64,
    pair: u64,
    /// When it came in.
    since: Instant,
    /// Whether it has a place where guesses wait.
    waits: bool,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    /// The guess was not looked at.
    Unchecked,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    failures: u32,
    last: Option<Instant>,
    /// Guesses being checked now.
    checking: u32,
    /// Guesses that wait.
    waiting: u32,
    /// A guess was right before.
    proven: bool,
}

impl Entry {
    /// What still has to pass of the wait that the wrong guesses cost.
    fn owed(&self, free: u32, longest: Duration, now: Instant) -> Duration {
        let Some(last) = self.last.filter(|_| self.failures >= free) else {
            return Duration::ZERO;
        };
        wait_after(self.failures - free, longest)
            .saturating_sub(now.saturating_duration_since(last))
    }

    /// Guesses that may be checked at once: as many as are still free, and then one by one.
    fn places(&self, free: u32) -> u32 {
        free.saturating_sub(self.failures).max(1)
    }

    fn forget(&mut self, now: Instant) {
        if self
            .last
            .is_some_and(|last| now.saturating_duration_since(last) > FORGOTTEN)
        {
            self.failures = 0;
            self.last = None;
        }
    }

    fn finish(&mut self, verdict: Verdict, now: Instant) {
        self.checking = self.checking.saturating_sub(1);
        if verdict == Verdict::Wrong {
            self.failures = self.failures.saturating_add(1);
            self.last = Some(now);
        }
    }
}

fn wait_after(doublings: u32, longest: Duration) -> Duration {
    FIRST_WAIT
        .checked_mul(1 << doublings.min(20))
        .unwrap_or(longest)
        .min(longest)
}

/// Entries by key, in two generations: when the younger is full it becomes the older one, and what nobody asked for in
/// the meantime is gone.
#[derive(Debug, Default)]
struct Table {
    young: HashMap<u64, Entry>,
    old: HashMap<u64, Entry>,
}

impl Table {
    /// What is known of a key by now. Asking about one that is not known takes no room.
    fn look(&mut self, key: u64, now: Instant) -> Entry {
        if !self.young.contains_key(&key) && !self.old.contains_key(&key) {
            return Entry::default();
        }
        let entry = self.entry(key);
        entry.forget(now);
        *entry
    }

    fn entry(&mut self, key: u64) -> &mut Entry {
        if !self.young.contains_key(&key) {
            // Taken out before the older generation goes.
            let known = self.old.remove(&key).unwrap_or_default();
            if self.young.len() >= ENTRIES_MAX {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key, known);
        }
        self.young.entry(key).or_default()
    }
}

/// Who guessed wrong, and how often. Knows no clock.
#[derive(Debug)]
pub(super) struct Ledger {
    names: Table,
    addresses: Table,
    pairs: Table,
    longest: Duration,
}

impl Ledger {
    fn new(longest: Duration) -> Self {
        Self {
            names: Table::default(),
            addresses: Table::default(),
            pairs: Table::default(),
            longest,
        }
    }

    /// What to do with a guess that came in, or waited.
    fn ask(&mut self, guess: &Guess, now: Instant) -> Step {
        let longest = self.longest;
        let pair = self.pairs.look(guess.pair, now);
        let address = self.addresses.look(guess.address, now);
        let name = self.names.look(guess.name, now);
        let mut wait = pair.owed(FREE_OF_PAIR, longest, now);
        let mut full = pair.checking >= pair.places(FREE_OF_PAIR);
        if !pair.proven {
            wait = wait.max(address.owed(FREE_OF_ONE, longest, now));
            full |= address.checking >= address.places(FREE_OF_ONE);
            if name.failures >= FREE_OF_ONE {
                let cost = wait_after(name.failures - FREE_OF_ONE, longest.min(NAME_WAIT_MAX));
                wait = wait.max(cost.saturating_sub(now.saturating_duration_since(guess.since)));
            }
        }
        let waited = now.saturating_duration_since(guess.since);
        if wait.is_zero() && !full {
            self.pairs.entry(guess.pair).checking += 1;
            self.addresses.entry(guess.address).checking += 1;
            self.names.entry(guess.name).checking += 1;
            return Step::Check;
        }
        // A wait that others lengthen again and again ends as well.
        let left = (longest * 2).saturating_sub(waited);
        let places = match wait.is_zero() {
            true => WAITING_OF_ADDRESS_MAX,
            false => WAITING_OWING_MAX,
        };
        if left.is_zero() || (!guess.waits && address.waiting >= places) {
            return Step::Refuse(wait.max(FIRST_WAIT));
        }
        Step::Wait(if wait.is_zero() { left } else { wait.min(left) })
    }

    /// A guess was checked, or given up while it was.
    fn finish(&mut self, guess: &Guess, verdict: Verdict, now: Instant) {
        let pair = self.pairs.entry(guess.pair);
        pair.finish(verdict, now);
        if verdict == Verdict::Right {
            pair.failures = 0;
            pair.last = None;
            pair.proven = true;
        }
        self.addresses.entry(guess.address).finish(verdict, now);
        self.names.entry(guess.name).finish(verdict, now);
    }

    fn waiting(&mut self, guess: &Guess, more: bool) {
        let address = self.addresses.entry(guess.address);
        address.waiting = match more {
            true => address.waiting.saturating_add(1),
            false => address.waiting.saturating_sub(1),
        };
    }
}

/// Slows guessing.
#[derive(Debug)]
pub(super) struct Throttle {
    ledger: Arc<Mutex<Ledger>>,
    /// Told whenever a guess was checked.
    checked: Arc<Notify>,
    waiting: tokio::sync::Semaphore,
    keys: RandomState,
    longest: Duration,
}

/// A guess that was sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slowed {
    /// It may come again after this long.
    pub(super) retry_after: Duration,
}

/// A guess that is being checked. Dropped before it is known to be right, it was wrong.
#[derive(Debug)]
pub(super) struct Checking {
    ledger: Arc<Mutex<Ledger>>,
    checked: Arc<Notify>,
    guess: Option<Guess>,
}

impl Checking {
    /// The guess was right.
    pub(super) fn right(mut self) {
        self.finish(Verdict::Right);
    }

    /// The guess could not be looked at: as if it had not been made.
    pub(super) fn unchecked(mut self) {
        self.finish(Verdict::Unchecked);
    }

    fn finish(&mut self, verdict: Verdict) {
        if let Some(guess) = self.guess.take() {
            self.ledger.lock().finish(&guess, verdict, Instant::now());
            self.checked.notify_waiters();
        }
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        self.finish(Verdict::Wrong);
    }
}

/// Counts a guess that waits, and no longer.
struct Waiting<'a> {
    ledger: &'a Mutex<Ledger>,
    guess: Guess,
}

impl<'a> Waiting<'a> {
    fn new(ledger: &'a Mutex<Ledger>, guess: Guess) -> Self {
        ledger.lock().waiting(&guess, true);
        Self { ledger, guess }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.ledger.lock().waiting(&self.guess, false);
    }
}

impl Throttle {
    /// `longest` is the longest wait; nought means that nobody waits.
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            ledger: Arc::new(Mutex::new(Ledger::new(longest))),
            checked: Arc::default(),
            waiting: tokio::sync::Semaphore::new(WAITING_MAX),
            keys: RandomState::new(),
            longest,
        }
    }

    /// Returns when a guess may be checked. `known` says, each time that it is asked, whether the guess needs no check
    /// any more; then the answer is `None`.
    pub(super) async fn turn<'a>(
        &self,
        name: &str,
        address: Option<IpAddr>,
        known: &(dyn Fn() -> BoxFuture<'a, bool> + Send + Sync),
    ) -> Result<Option<Checking>, Slowed> {
        let mut guess = self.guess(name, address, Instant::now());
        let mut waits: Option<(Waiting<'_>, tokio::sync::SemaphorePermit<'_>)> = None;
        loop {
            if known().await {
                return Ok(None);
            }
            // Made before the ledger is asked, so that no notice is missed.
            let told = self.checked.notified();
            let step = if self.longest.is_zero() {
                Step::Check
            } else {
                self.ledger.lock().ask(&guess, Instant::now())
            };
            match step {
                Step::Check => {
                    return Ok(Some(Checking {
                        ledger: Arc::clone(&self.ledger),
                        checked: Arc::clone(&self.checked),
                        guess: Some(guess).filter(|_| !self.longest.is_zero()),
                    }));
                }
                Step::Refuse(retry_after) => return Err(Slowed { retry_after }),
                Step::Wait(wait) => {
                    if waits.is_none() {
                        let Ok(permit) = self.waiting.try_acquire() else {
                            return Err(Slowed { retry_after: wait });
                        };
                        waits = Some((Waiting::new(&self.ledger, guess), permit));
                        guess.waits = true;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = told => {}
                    }
                }
            }
        }
    }

    fn guess(&self, name: &str, address: Option<IpAddr>, since: Instant) -> Guess {
        let address = address.map(network);
        Guess {
            name: self.keys.hash_one(name),
            address: self.keys.hash_one(address),
            pair: self.keys.hash_one((name, address)),
            since,
            waits: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures::FutureExt;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(10);

    struct Desk {
        ledger: Ledger,
        throttle: Throttle,
        now: Instant,
    }

    impl Desk {
        fn new() -> Self {
            Self {
                ledger: Ledger::new(LONGEST),
                throttle: Throttle::new(LONGEST),
                now: Instant::now(),
            }
        }

        fn guess(&self, name: &str, address: &str) -> Guess {
            self.throttle
                .guess(name, Some(address.parse().unwrap()), self.now)
        }

        /// Guesses once, waiting as long as is asked; the answer is how long that was.
        fn guessed(&mut self, name: &str, address: &str, right: bool) -> Duration {
            let guess = self.guess(name, address);
            let since = self.now;
            loop {
                match self.ledger.ask(&guess, self.now) {
                    Step::Check => break,
                    Step::Wait(wait) => self.now += wait,
                    Step::Refuse(_) => panic!("sent away"),
                }
            }
            let waited = self.now - since;
            let verdict = match right {
                true => Verdict::Right,
                false => Verdict::Wrong,
            };
            self.ledger.finish(&guess, verdict, self.now);
            waited
        }
    }

    #[test]
    fn each_wrong_guess_of_a_name_costs_twice_the_last_up_to_the_bound() {
        let mut desk = Desk::new();
        let waits: Vec<u128> = (0..11)
            .map(|_| desk.guessed("ann", "192.0.2.1", false).as_millis())
            .collect();
        assert_eq!(
            waits,
            [
                0, 0, 0, 250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000
            ]
        );
    }

    #[test]
    fn guessing_in_parallel_gains_nothing() {
        let mut desk = Desk::new();
        let guesses: Vec<Guess> = (0..100).map(|_| desk.guess("ann", "192.0.2.1")).collect();
        let now = desk.now;
        let let_in: Vec<&Guess> = guesses
            .iter()
            .filter(|guess| desk.ledger.ask(guess, now) == Step::Check)
            .collect();
        assert_eq!(let_in.len(), FREE_OF_PAIR as usize);
        for guess in let_in {
            desk.ledger.finish(guess, Verdict::Wrong, now);
        }
        assert_eq!(desk.ledger.ask(&guesses[99], now), Step::Wait(FIRST_WAIT));
        let later = now + FIRST_WAIT;
        assert_eq!(desk.ledger.ask(&guesses[98], later), Step::Check);
        assert!(
            matches!(desk.ledger.ask(&guesses[99], later), Step::Wait(_)),
            "one at a time from here on"
        );
    }

    #[test]
    fn guessing_many_names_from_one_address_is_slowed_as_well() {
        let mut desk = Desk::new();
        let mut waited = Duration::ZERO;
        for number in 0..40 {
            waited += desk.guessed(&format!("user-{number}"), "2001:db8::1", false);
        }
        assert!(waited > Duration::from_secs(100), "{waited:?}");
        assert!(
            desk.guessed("another", "2001:db8::ffff", false) >= LONGEST,
            "the neighbour in its own network is the same one"
        );
        assert_eq!(
            desk.guessed("another", "2001:db8:1::1", false),
            Duration::ZERO
        );
    }

    #[test]
    fn whoever_is_guessed_elsewhere_still_comes_in_and_waits_a_second_at_most() {
        let mut desk = Desk::new();
        assert_eq!(desk.guessed("ann", "198.51.100.1", true), Duration::ZERO);
        for number in 0..200 {
            desk.guessed("ann", &format!("192.0.2.{number}"), false);
        }
        assert_eq!(
            desk.guessed("ann", "198.51.100.1", true),
            Duration::ZERO,
            "an address that ann came from before owes nothing"
        );
        assert_eq!(desk.guessed("ann", "198.51.100.2", true), NAME_WAIT_MAX);
    }

    #[test]
    fn a_right_password_ends_what_its_own_slips_cost_but_pays_for_no_other_names() {
        let mut desk = Desk::new();
        for _ in 0..3 {
            desk.guessed("ann", "192.0.2.1", false);
        }
        assert_eq!(desk.guessed("ann", "192.0.2.1", true), FIRST_WAIT);
        assert_eq!(desk.guessed("ann", "192.0.2.1", false), Duration::ZERO);
        for number in 0..30 {
            desk.guessed(&format!("user-{number}"), "192.0.2.1", false);
            desk.guessed("ann", "192.0.2.1", true);
        }
        assert!(
            desk.guessed("user-31", "192.0.2.1", false) >= Duration::from_secs(5),
            "an account of one's own does not clear the address"
        );
    }

    #[test]
    fn wrong_guesses_are_forgotten_in_time() {
        let mut desk = Desk::new();
        for _ in 0..8 {
            desk.guessed("ann", "192.0.2.1", false);
        }
        desk.now += FORGOTTEN + Duration::from_secs(1);
        assert_eq!(desk.guessed("ann", "192.0.2.1", false), Duration::ZERO);
    }

    #[test]
    fn a_wait_ends_even_when_others_lengthen_it_for_ever() {
        let mut desk = Desk::new();
        for _ in 0..12 {
            desk.guessed("ann", "192.0.2.1", false);
        }
        let patient = desk.guess("ann", "192.0.2.1");
        let mut refused = false;
        for _ in 0..10 {
            match desk.ledger.ask(&patient, desk.now) {
                Step::Refuse(again) => {
                    assert!(again <= LONGEST);
                    refused = true;
                    break;
                }
                Step::Wait(_) => desk.now += LONGEST / 3,
                Step::Check => panic!("it is never its turn"),
            }
            // Another one slips in before.
            let other = desk.guess("ann", "192.0.2.1");
            desk.ledger.finish(&other, Verdict::Wrong, desk.now);
        }
        assert!(refused);
    }

    #[test]
    fn the_tables_stay_bounded_whatever_names_are_tried() {
        let mut desk = Desk::new();
        for _ in 0..5 {
            desk.guessed("ann", "192.0.2.1", false);
        }
        for number in 0..3 * ENTRIES_MAX {
            let guess = desk.guess(&format!("user-{number}"), "198.51.100.1");
            desk.ledger.finish(&guess, Verdict::Wrong, desk.now);
        }
        for table in [
            &desk.ledger.names,
            &desk.ledger.pairs,
            &desk.ledger.addresses,
        ] {
            assert!(table.young.len() <= ENTRIES_MAX && table.old.len() <= ENTRIES_MAX);
        }
        let address = desk.guess("bob", "192.0.2.1").address;
        assert_eq!(
            desk.ledger.addresses.entry(address).failures,
            5,
            "names that one address makes up push no other address out"
        );
    }

    #[test]
    fn guesses_that_are_not_let_in_push_nothing_out_of_the_tables() {
        let mut desk = Desk::new();
        for _ in 0..FREE_OF_ONE {
            desk.guessed("ann", "192.0.2.1", false);
        }
        for number in 0..3 * ENTRIES_MAX {
            let guess = desk.guess(&format!("user-{number}"), "192.0.2.1");
            assert!(matches!(
                desk.ledger.ask(&guess, desk.now),
                Step::Wait(_) | Step::Refuse(_)
            ));
        }
        for table in [&desk.ledger.names, &desk.ledger.pairs] {
            assert_eq!((table.young.len(), table.old.len()), (1, 0));
        }
    }

    #[test]
    fn an_address_takes_few_of_the_places_where_guesses_wait() {
        let mut desk = Desk::new();
        for _ in 0..FREE_OF_ONE {
            desk.guessed("ann", "192.0.2.1", false);
        }
        let waits = |desk: &mut Desk, number: u32| {
            let guess = desk.guess(&format!("user-{number}"), "192.0.2.1");
            let step = desk.ledger.ask(&guess, desk.now);
            if matches!(step, Step::Wait(_)) {
                desk.ledger.waiting(&guess, true);
            }
            step
        };
        for number in 0..WAITING_OWING_MAX {
            assert!(matches!(waits(&mut desk, number), Step::Wait(_)));
        }
        let more = waits(&mut desk, WAITING_OWING_MAX);
        assert!(matches!(more, Step::Refuse(_)));
        let mut earlier = desk.guess("user-0", "192.0.2.1");
        earlier.waits = true;
        assert!(
            matches!(desk.ledger.ask(&earlier, desk.now), Step::Wait(_)),
            "who waits already is not sent away for the newcomer"
        );
        assert_eq!(desk.guessed("bob", "198.51.100.1", true), Duration::ZERO);
    }

    #[test]
    fn many_people_behind_one_address_may_all_come_at_once() {
        let mut desk = Desk::new();
        let now = desk.now;
        let (mut checked, mut waiting) = (Vec::new(), Vec::new());
        for number in 0..FREE_OF_ONE + WAITING_OF_ADDRESS_MAX {
            let mut guess = desk.guess(&format!("user-{number}"), "192.0.2.1");
            match desk.ledger.ask(&guess, now) {
                Step::Check => checked.push(guess),
                Step::Wait(_) => {
                    desk.ledger.waiting(&guess, true);
                    guess.waits = true;
                    waiting.push(guess);
                }
                Step::Refuse(_) => panic!("user-{number} is sent away"),
            }
        }
        assert_eq!(checked.len(), FREE_OF_ONE as usize);
        let more = desk.guess("one too many", "192.0.2.1");
        assert!(matches!(desk.ledger.ask(&more, now), Step::Refuse(_)));
        while let Some(next) = waiting.pop() {
            assert!(
                matches!(desk.ledger.ask(&next, now), Step::Wait(_)),
                "it keeps its place"
            );
            let done = checked.pop().unwrap();
            desk.ledger.finish(&done, Verdict::Right, now);
            assert_eq!(desk.ledger.ask(&next, now), Step::Check);
            desk.ledger.waiting(&next, false);
            checked.push(next);
        }
    }

    #[test]
    fn what_is_asked_for_stays_known_when_the_generations_change() {
        let mut table = Table::default();
        let key = u64::MAX;
        table.entry(key).failures = 7;
        // Its generation becomes the older one, and the younger one is full as well.
        for other in 0..2 * ENTRIES_MAX as u64 - 1 {
            table.entry(other);
        }
        assert_eq!(table.young.len(), ENTRIES_MAX);
        assert!(table.old.contains_key(&key));
        assert_eq!(table.look(key, Instant::now()).failures, 7);
    }

    #[tokio::test]
    async fn a_guess_that_could_not_be_looked_at_costs_nothing() {
        let throttle = Throttle::new(LONGEST);
        let address = Some("192.0.2.1".parse().unwrap());
        for _ in 0..30 {
            let turn = throttle
                .turn("ann", address, &|| ready(false).boxed())
                .await
                .unwrap();
            turn.unwrap().unchecked();
        }
        let guess = throttle.guess("ann", address, Instant::now());
        let step = throttle.ledger.lock().ask(&guess, Instant::now());
        assert_eq!(step, Step::Check);
    }

    #[tokio::test]
    async fn a_guess_that_is_given_up_counts_as_wrong_and_a_known_one_needs_no_turn() {
        let throttle = Throttle::new(LONGEST);
        let address = Some("192.0.2.1".parse().unwrap());
        for _ in 0..3 {
            let turn = throttle
                .turn("ann", address, &|| ready(false).boxed())
                .await
                .unwrap();
            drop(turn);
        }
        let guess = throttle.guess("ann", address, Instant::now());
        assert!(matches!(
            throttle.ledger.lock().ask(&guess, Instant::now()),
            Step::Wait(_)
        ));
        assert!(
            throttle
                .turn("ann", address, &|| ready(true).boxed())
                .await
                .unwrap()
                .is_none()
        );
        let off = Throttle::new(Duration::ZERO);
        for _ in 0..30 {
            drop(
                off.turn("ann", address, &|| ready(false).boxed())
                    .await
                    .unwrap(),
            );
        }
    }
}
