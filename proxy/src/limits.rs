//! How much at once, and for how long: admission of queries, deadlines, and the other bounds of the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The service's bounds. Every one of them has an error of its own when it is met.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Queries planned or running at once.
    pub concurrent_queries: usize,
    /// Queries that wait for a place; more are refused at once.
    pub queued_queries: usize,
    /// How long a query waits for a place.
    pub queue_timeout: Duration,
    /// How long one statement may be planned, and how long one result may take from first to last batch.
    pub query_timeout: Duration,
    /// Results at once whose clients take nothing for the moment, and whose places others have meanwhile.
    pub stalled_queries: usize,
    /// A client that takes nothing from a running result, or sends no rows of an upload, for this long loses it.
    pub stream_idle: Duration,
    /// Bytes of one statement's text.
    pub statement_bytes: usize,
    /// Bytes of the parameters bound to one statement.
    pub parameter_bytes: usize,
    /// Rows of parameters bound to one statement.
    pub parameter_rows: usize,
    /// Prepared statements open at once, all sessions together.
    pub prepared_statements: usize,
    /// A prepared statement that nobody used for this long is closed.
    pub prepared_idle: Duration,
    /// Planned queries kept for their DoGet.
    pub planned_queries: usize,
    /// Bytes those plans may take together (estimated).
    pub planned_bytes: usize,
    /// How long a planned query is kept.
    pub planned_ttl: Duration,
    /// How long a ticket may be redeemed, also when its plan is no longer kept.
    pub ticket_ttl: Duration,
    /// How long after it was first given out a ticket can be made to last by renewing it.
    pub ticket_life: Duration,
    /// Endpoints of one result.
    pub endpoints_max: usize,
    /// Bytes that are read for one endpoint, at least, where a result has several.
    pub endpoint_bytes: u64,
    /// Rows that make an endpoint, however few bytes they take.
    pub endpoint_rows: u64,
    /// How long a poll waits for news.
    pub poll_wait: Duration,
    /// Bytes of one ticket.
    pub ticket_bytes: usize,
    /// Bytes of one received message.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent_queries: 64,
            queued_queries: 256,
            queue_timeout: Duration::from_secs(60),
            query_timeout: Duration::from_secs(3600),
            stalled_queries: 256,
            stream_idle: Duration::from_secs(300),
            statement_bytes: 1 << 20,
            parameter_bytes: 1 << 20,
            parameter_rows: 10_000,
            prepared_statements: 10_000,
            prepared_idle: Duration::from_secs(3600),
            planned_queries: 1_000,
            planned_bytes: 256 << 20,
            planned_ttl: Duration::from_secs(60),
            ticket_ttl: Duration::from_secs(3600),
            ticket_life: Duration::from_secs(24 * 3600),
            endpoints_max: 8,
            endpoint_bytes: 64 << 20,
            endpoint_rows: 4_000_000,
            poll_wait: Duration::from_secs(2),
            ticket_bytes: 2 << 20,
            message_bytes: 64 << 20,
        }
    }
}

/// Which limit was met; texts are for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// No place in the queue.
    #[error("the server is busy: {running} queries run and {queued} wait; try again later")]
    QueueFull {
        /// Queries that may run at once.
        running: usize,
        /// Queries that may wait.
        queued: usize,
    },
    /// Waited too long for a place.
    #[error("the server is busy: no place for this query within {waited_ms} ms; try again later")]
    QueueTimeout {
        /// How long it waited.
        waited_ms: u64,
    },
    /// The server is stopping.
    #[error("the server is shutting down and takes no new queries: connect again")]
    Draining,
    /// The query took too long.
    #[error("the query took longer than the {limit_ms} ms it was given")]
    Deadline {
        /// The time it was given.
        limit_ms: u64,
    },
    /// The client stopped reading.
    #[error("the client took no data for {idle_ms} ms, so the query was ended")]
    StreamIdle {
        /// For how long.
        idle_ms: u64,
    },
    /// The client stopped sending.
    #[error(
        "the client sent no rows for {idle_ms} ms, so its upload was ended and its table is as it was"
    )]
    UploadIdle {
        /// For how long.
        idle_ms: u64,
    },
    /// Something is larger than it may be.
    #[error("{what} has {found}, and at most {max} are allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is, with its unit.
        found: String,
        /// The limit.
        max: usize,
    },
    /// There are too many of something.
    #[error("too many {what} (at most {max}): close some that are no longer needed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

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
    places: Arc<Semaphore>,
    stalled: Arc<Semaphore>,
    stalled_max: usize,
    queue: Arc<Semaphore>,
    concurrent: usize,
    queued: usize,
    timeout: Duration,
    draining: AtomicBool,
    refused: AtomicU64,
}

/// A place among the running queries; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _place: OwnedSemaphorePermit,
    places: Arc<Semaphore>,
    stalled: Arc<Semaphore>,
}

/// What a running query has in exchange for its place while its client takes nothing.
#[derive(Debug)]
pub struct Stalled {
    _stalled: OwnedSemaphorePermit,
    places: Arc<Semaphore>,
    stalled: Arc<Semaphore>,
}

impl Permit {
    /// Gives the place up until [`Stalled::resume`]. The permit comes back as it is when as many queries are stalled as
    /// may be.
    pub fn stall(self) -> Result<Stalled, Self> {
        match self.stalled.clone().try_acquire_owned() {
            Ok(stalled) => Ok(Stalled {
                _stalled: stalled,
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
        let place = self.places.clone().acquire_owned().await;
        Ok(Permit {
            _place: place.map_err(|_| LimitError::Draining)?,
            places: self.places,
            stalled: self.stalled,
        })
    }
}

impl Admission {
    /// Admission under these limits.
    pub fn new(limits: &Limits) -> Arc<Self> {
        let concurrent = limits.concurrent_queries.clamp(1, u32::MAX as usize);
        let stalled = limits.stalled_queries.min(u32::MAX as usize);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(concurrent)),
            stalled: Arc::new(Semaphore::new(stalled)),
            stalled_max: stalled,
            queue: Arc::new(Semaphore::new(limits.queued_queries)),
            concurrent,
            queued: limits.queued_queries,
            timeout: limits.queue_timeout,
            draining: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        })
    }

    /// Waits for a place, in order of arrival. Giving up waiting (dropping the future) leaves the queue.
    pub async fn admit(&self, stage: Stage) -> Result<Permit, LimitError> {
        self.admit_now_or_later(stage).await.inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    async fn admit_now_or_later(&self, stage: Stage) -> Result<Permit, LimitError> {
        if stage == Stage::New && self.draining() {
            return Err(LimitError::Draining);
        }
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(self.permit(place));
        }
        let _waiting =
            self.queue
                .clone()
                .try_acquire_owned()
                .map_err(|_| LimitError::QueueFull {
                    running: self.concurrent,
                    queued: self.queued,
                })?;
        let started = Instant::now();
        match tokio::time::timeout(self.timeout, self.places.clone().acquire_owned()).await {
            Ok(Ok(_)) if stage == Stage::New && self.draining() => Err(LimitError::Draining),
            Ok(Ok(place)) => Ok(self.permit(place)),
            Ok(Err(_)) => Err(LimitError::Draining),
            Err(_) => Err(LimitError::QueueTimeout {
                waited_ms: millis(started.elapsed()),
            }),
        }
    }

    fn permit(&self, place: OwnedSemaphorePermit) -> Permit {
        Permit {
            _place: place,
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
        self.concurrent - self.places.available_permits()
    }

    /// Queries that wait for a place now.
    pub fn waiting(&self) -> usize {
        self.queued - self.queue.available_permits()
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
        let all = |max: usize| u32::try_from(max).unwrap_or(u32::MAX);
        let ended = async {
            // The stalled ones first: they need places again.
            let _stalled = self.stalled.acquire_many(all(self.stalled_max)).await;
            let _running = self.places.acquire_many(all(self.concurrent)).await;
        };
        tokio::time::timeout(at_most, ended).await.is_ok()
    }
}

/// Until when something must be done: the server's limit, or the client's own when that is sooner.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// From now, `limit` or what the client asked for.
    pub fn after(limit: Duration, asked: Option<Duration>) -> Self {
        let limit = asked.map_or(limit, |asked| asked.min(limit));
        // Beyond some decades a deadline is none.
        let at = Instant::now() + limit.min(Duration::from_secs(30 * 365 * 24 * 3600));
        Self { at, limit }
    }

    /// Runs `work`, for as long as there is time.
    pub async fn bound<T>(&self, work: impl Future<Output = T>) -> Result<T, LimitError> {
        tokio::time::timeout_at(self.at, work)
            .await
            .map_err(|_| self.passed())
    }

    /// The error that says the deadline has passed.
    pub fn passed(&self) -> LimitError {
        LimitError::Deadline {
            limit_ms: millis(self.limit),
        }
    }
}

/// Reads a `grpc-timeout` header: up to eight digits and a unit (the gRPC over HTTP/2 specification, "Requests").
pub fn grpc_timeout(header: &str) -> Option<Duration> {
    let (digits, unit) = header.split_at_checked(header.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(concurrent: usize, queued: usize, timeout: Duration) -> Arc<Admission> {
        Admission::new(&Limits {
            concurrent_queries: concurrent,
            queued_queries: queued,
            queue_timeout: timeout,
            ..Limits::default()
        })
    }

    #[tokio::test]
    async fn queries_beyond_the_limit_wait_and_those_beyond_the_queue_are_refused() {
        let admission = admission(1, 1, Duration::from_secs(600));
        let first = admission.admit(Stage::New).await.unwrap();
        let waiting = tokio::spawn({
            let admission = admission.clone();
            async move { admission.admit(Stage::New).await }
        });
        tokio::task::yield_now().await;
        assert_eq!((admission.running(), admission.waiting()), (1, 1));
        assert_eq!(
            admission.admit(Stage::New).await.unwrap_err(),
            LimitError::QueueFull {
                running: 1,
                queued: 1
            }
        );
        drop(first);
        let second = waiting.await.unwrap().unwrap();
        assert_eq!((admission.running(), admission.waiting()), (1, 0));
        drop(second);
        assert_eq!((admission.running(), admission.refused()), (0, 1));
    }

    #[tokio::test]
    async fn a_query_waits_no_longer_than_it_may() {
        let admission = admission(1, 1, Duration::ZERO);
        let _running = admission.admit(Stage::New).await.unwrap();
        assert!(matches!(
            admission.admit(Stage::New).await,
            Err(LimitError::QueueTimeout { .. })
        ));
        assert_eq!(admission.waiting(), 0);
    }

    #[tokio::test]
    async fn draining_refuses_new_queries_lets_begun_ones_finish_and_waits_for_them() {
        let admission = admission(2, 2, Duration::from_secs(600));
        let running = admission.admit(Stage::New).await.unwrap();
        assert!(
            !admission.drain(Duration::ZERO).await,
            "one is still running"
        );
        assert_eq!(
            admission.admit(Stage::New).await.unwrap_err(),
            LimitError::Draining
        );
        drop(admission.admit(Stage::Continued).await.unwrap());
        drop(running);
        assert!(admission.drain(Duration::from_secs(600)).await);
    }

    #[tokio::test]
    async fn a_stalled_query_lends_its_place_and_comes_back_in_turn() {
        let admission = Admission::new(&Limits {
            concurrent_queries: 1,
            queued_queries: 1,
            stalled_queries: 1,
            ..Limits::default()
        });
        let stalled = admission.admit(Stage::New).await.unwrap().stall().unwrap();
        assert_eq!((admission.running(), admission.stalled()), (0, 1));
        let other = admission.admit(Stage::New).await.unwrap();
        let other = other.stall().expect_err("one may be stalled, and one is");
        let mut resumes = Box::pin(stalled.resume());
        assert!(futures::poll!(&mut resumes).is_pending());
        assert!(
            !admission.drain(Duration::ZERO).await,
            "a stalled one has not ended"
        );
        drop(other);
        drop(resumes.await.unwrap());
        assert_eq!((admission.running(), admission.stalled()), (0, 0));
        assert!(admission.drain(Duration::from_secs(600)).await);
    }

    #[tokio::test]
    async fn the_sooner_of_two_deadlines_holds() {
        let deadline = Deadline::after(Duration::from_secs(60), Some(Duration::ZERO));
        assert_eq!(
            deadline.bound(std::future::pending::<()>()).await,
            Err(LimitError::Deadline { limit_ms: 0 })
        );
        let deadline = Deadline::after(Duration::from_secs(60), None);
        assert_eq!(deadline.bound(async { 1 }).await, Ok(1));
    }

    #[test]
    fn grpc_timeouts_are_read_as_the_specification_says() {
        assert_eq!(grpc_timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(grpc_timeout("2S"), Some(Duration::from_secs(2)));
        assert_eq!(grpc_timeout("1H"), Some(Duration::from_secs(3600)));
        for bad in ["", "S", "1", "123456789S", "1x", "-1S", "1.5S"] {
            assert_eq!(grpc_timeout(bad), None, "{bad}");
        }
    }
}
