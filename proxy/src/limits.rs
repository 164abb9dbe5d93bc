//! How much at once, and for how long: the bounds of the service, and deadlines.

use std::time::Duration;

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
    /// Bytes that they and the parameters bound to them may take together (estimated).
    pub prepared_bytes: usize,
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
            queued_queries: 1000,
            queue_timeout: Duration::from_secs(60),
            query_timeout: Duration::from_secs(3600),
            stalled_queries: 256,
            stream_idle: Duration::from_secs(300),
            statement_bytes: 1 << 20,
            parameter_bytes: 1 << 20,
            parameter_rows: 10_000,
            prepared_statements: 10_000,
            prepared_bytes: 256 << 20,
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

/// What one user, or one address, may have of something that all have together: a quarter.
pub(crate) fn share_of_one(all: usize) -> usize {
    all.div_ceil(4)
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

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
