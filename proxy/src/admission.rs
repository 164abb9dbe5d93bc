//! Which queries run now: so many at once, and so many others wait, each asker in turn.
//!
//! Whoever asks much waits behind their own statements only: places go round between the askers that wait, and where
//! the line is full, it is the asker with the most in it who is refused.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::limits::{LimitError, Limits, millis};

/// Whether admission is asked for something new or for the rest of something already begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A new statement; refused while draining.
    New,
    /// The result of a statement that was planned before; admitted while draining.
    Continued,
}

/// Lets queries in, so many at once, and lets so many others wait.
///
/// A query that runs holds a place. One whose client takes nothing gives it up until the client reads on (see
/// [`Permit::stall`]): nothing is computed for it meanwhile, and so slow readers keep nobody else from running.
#[derive(Debug)]
pub struct Admission {
    places: Arc<Places>,
    stalled: Arc<Semaphore>,
    stalled_max: usize,
    timeout: Duration,
    draining: AtomicBool,
    refused: AtomicU64,
}

/// The places, and who waits for one.
#[derive(Debug)]
struct Places {
    line: Mutex<Line>,
    concurrent: usize,
    queued: usize,
    /// Told whenever a place was given back and nobody took it, and when one fewer is stalled.
    freed: Notify,
}

/// Somebody waits only while no place is free.
#[derive(Debug, Default)]
struct Line {
    free: usize,
    /// Of each asker who waits, oldest first. None is empty.
    waiting: HashMap<Arc<str>, VecDeque<Waiter>>,
    /// Each asker who waits, once, whose turn is next first.
    turns: VecDeque<Arc<str>>,
    /// Those that wait for their first place, who count against `queued`.
    first: usize,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    /// Whether it waits for its first place; the others are never refused one.
    first: bool,
    tell: oneshot::Sender<Place>,
}

/// One of the places; given back when dropped.
#[derive(Debug)]
struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// A place in the line; left when dropped.
struct Ticket {
    places: Arc<Places>,
    asker: Arc<str>,
    number: u64,
    told: oneshot::Receiver<Place>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.places.line.lock().leave(&self.asker, self.number);
    }
}

impl Line {
    fn join(&mut self, asker: &Arc<str>, first: bool) -> (u64, oneshot::Receiver<Place>) {
        let (tell, told) = oneshot::channel();
        let number = self.next;
        self.next += 1;
        self.first += usize::from(first);
        let own = self.waiting.entry(asker.clone()).or_default();
        if own.is_empty() {
            self.turns.push_back(asker.clone());
        }
        own.push_back(Waiter {
            number,
            first,
            tell,
        });
        (number, told)
    }

    /// Takes one out, if it still waits.
    fn leave(&mut self, asker: &Arc<str>, number: u64) {
        let Some(own) = self.waiting.get_mut(asker) else {
            return;
        };
        if let Some(at) = own.iter().position(|waiter| waiter.number == number)
            && let Some(waiter) = own.remove(at)
        {
            self.first -= usize::from(waiter.first);
            self.tidy(asker);
        }
    }

    /// An asker with nothing left to wait for has no turn.
    fn tidy(&mut self, asker: &Arc<str>) {
        if self.waiting.get(asker).is_some_and(VecDeque::is_empty) {
            self.waiting.remove(asker);
            self.turns.retain(|other| other != asker);
        }
    }

    /// Whose turn it is.
    fn next(&mut self) -> Option<Waiter> {
        let asker = self.turns.pop_front()?;
        let own = self.waiting.get_mut(&asker)?;
        let waiter = own.pop_front()?;
        self.first -= usize::from(waiter.first);
        self.turns.push_back(asker.clone());
        self.tidy(&asker);
        Some(waiter)
    }

    /// Makes room for one more of this asker by refusing the newest of the asker who has most in the line, if that is
    /// not this one. Says whether there is room now.
    fn make_room(&mut self, asker: &Arc<str>) -> bool {
        let of_first = |own: &VecDeque<Waiter>| own.iter().filter(|waiter| waiter.first).count();
        let own = self.waiting.get(asker).map_or(0, of_first);
        let most = self
            .waiting
            .iter()
            .map(|(other, line)| (of_first(line), other))
            .max_by_key(|(count, _)| *count);
        let Some(longest) =
            most.and_then(|(count, other)| (count > own + 1).then(|| other.clone()))
        else {
            return false;
        };
        let newest = self.waiting[&longest]
            .iter()
            .rev()
            .find(|waiter| waiter.first)
            .map(|waiter| waiter.number);
        if let Some(number) = newest {
            self.leave(&longest, number);
        }
        newest.is_some()
    }
}

impl Places {
    /// Hands a place to whose turn it is.
    fn give_back(self: &Arc<Self>) {
        let mut line = self.line.lock();
        while let Some(waiter) = line.next() {
            match waiter.tell.send(Place(self.clone())) {
                Ok(()) => return,
                // Its asker gave up just now. The place is not given back a second time.
                Err(place) => std::mem::forget(place),
            }
        }
        line.free += 1;
        drop(line);
        self.freed.notify_waiters();
    }

    fn full(&self) -> LimitError {
        LimitError::QueueFull {
            running: self.concurrent,
            queued: self.queued,
        }
    }

    /// A free place, or one in the line; the line's bound holds for those who wait for their first place.
    fn take_or_wait(
        self: &Arc<Self>,
        asker: &Arc<str>,
        first: bool,
    ) -> Result<Result<Place, Ticket>, LimitError> {
        let mut line = self.line.lock();
        if line.free > 0 {
            line.free -= 1;
            return Ok(Ok(Place(self.clone())));
        }
        if first && line.first >= self.queued && !line.make_room(asker) {
            return Err(self.full());
        }
        let (number, told) = line.join(asker, first);
        Ok(Err(Ticket {
            places: self.clone(),
            asker: asker.clone(),
            number,
            told,
        }))
    }
}

/// A place among the running queries; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _place: Place,
    asker: Arc<str>,
    places: Arc<Places>,
    stalled: Arc<Semaphore>,
}

/// What a running query has in exchange for its place while its client takes nothing.
#[derive(Debug)]
pub struct Stalled {
    _aside: Aside,
    asker: Arc<str>,
    places: Arc<Places>,
    stalled: Arc<Semaphore>,
}

/// One of those that may be stalled at once.
#[derive(Debug)]
struct Aside {
    counted: Option<OwnedSemaphorePermit>,
    places: Arc<Places>,
}

impl Drop for Aside {
    fn drop(&mut self) {
        drop(self.counted.take());
        self.places.freed.notify_waiters();
    }
}

impl Permit {
    /// Gives the place up until [`Stalled::resume`]. The permit comes back as it is when as many queries are stalled as
    /// may be.
    pub fn stall(self) -> Result<Stalled, Self> {
        match self.stalled.clone().try_acquire_owned() {
            Ok(stalled) => Ok(Stalled {
                _aside: Aside {
                    counted: Some(stalled),
                    places: self.places.clone(),
                },
                asker: self.asker,
                places: self.places,
                stalled: self.stalled,
            }),
            Err(_) => Err(self),
        }
    }
}

impl Stalled {
    /// Waits for a place, in turn with the queries that wait for their first; it is never refused one.
    pub async fn resume(self) -> Result<Permit, LimitError> {
        let place = match self.places.take_or_wait(&self.asker, false)? {
            Ok(place) => place,
            Err(mut ticket) => (&mut ticket.told).await.map_err(|_| LimitError::Draining)?,
        };
        Ok(Permit {
            _place: place,
            asker: self.asker,
            places: self.places,
            stalled: self.stalled,
        })
    }
}

impl Admission {
    /// Admission under these limits.
    pub fn new(limits: &Limits) -> Arc<Self> {
        let concurrent = limits.concurrent_queries.max(1);
        let stalled = limits
            .stalled_queries
            .min(u32::MAX as usize)
            .min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            places: Arc::new(Places {
                line: Mutex::new(Line {
                    free: concurrent,
                    ..Line::default()
                }),
                concurrent,
                queued: limits.queued_queries,
                freed: Notify::new(),
            }),
            stalled: Arc::new(Semaphore::new(stalled)),
            stalled_max: stalled,
            timeout: limits.queue_timeout,
            draining: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        })
    }

    /// Waits for a place: the askers in turn, the statements of one asker in order of arrival. Giving up waiting
    /// (dropping the future) leaves the line.
    ///
    /// # Errors
    /// When the line is full, when it took too long, and for what is new while draining.
    pub async fn admit(&self, asker: &Arc<str>, stage: Stage) -> Result<Permit, LimitError> {
        self.admit_now_or_later(asker, stage)
            .await
            .inspect_err(|_| {
                self.refused.fetch_add(1, Ordering::Relaxed);
            })
    }

    async fn admit_now_or_later(
        &self,
        asker: &Arc<str>,
        stage: Stage,
    ) -> Result<Permit, LimitError> {
        let refused = || stage == Stage::New && self.draining();
        if refused() {
            return Err(LimitError::Draining);
        }
        let mut ticket = match self.places.take_or_wait(asker, true)? {
            Ok(place) => return Ok(self.permit(asker, place)),
            Err(ticket) => ticket,
        };
        let started = Instant::now();
        match tokio::time::timeout(self.timeout, &mut ticket.told).await {
            Ok(Ok(_)) if refused() => Err(LimitError::Draining),
            Ok(Ok(place)) => Ok(self.permit(asker, place)),
            Ok(Err(_)) => Err(self.places.full()),
            Err(_) => Err(LimitError::QueueTimeout {
                waited_ms: millis(started.elapsed()),
            }),
        }
    }

    fn permit(&self, asker: &Arc<str>, place: Place) -> Permit {
        Permit {
            _place: place,
            asker: asker.clone(),
            places: self.places.clone(),
            stalled: self.stalled.clone(),
        }
    }

    /// Queries whose clients take nothing at the moment.
    pub fn stalled(&self) -> usize {
        self.stalled_max - self.stalled.available_permits()
    }

    /// Queries that hold a place now.
    pub fn running(&self) -> usize {
        self.places.concurrent - self.places.line.lock().free
    }

    /// Queries that wait for their first place now.
    pub fn waiting(&self) -> usize {
        self.places.line.lock().first
    }

    /// Queries refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether new queries are refused because the server is stopping.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Stops admitting new queries, and waits until none is running, or until `at_most` has passed.
    /// Says whether the last one ended.
    pub async fn drain(&self, at_most: Duration) -> bool {
        self.draining.store(true, Ordering::Relaxed);
        let ended = async {
            loop {
                let freed = self.places.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                // A stalled one takes a place again before it ends.
                if self.running() == 0 && self.stalled() == 0 {
                    return;
                }
                freed.await;
            }
        };
        tokio::time::timeout(at_most, ended).await.is_ok()
    }
}

#[cfg(test)]
mod tests;
