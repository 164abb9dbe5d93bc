//! Cancelling queries by their names: by those who asked them, and by whom that is granted to.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use landfast_planner::Access;

use super::{Open, QueryError, QueryId, QueryRegistry, QueryState};

/// How long a query that is told to stop is waited for.
const STOPPING: Duration = Duration::from_secs(1);

/// Queries that are remembered as called off.
const CALLED_OFF_MAX: usize = 10_000;

/// Whoever wants a query cancelled.
#[derive(Clone, Copy, Debug)]
pub struct Canceller<'a> {
    /// Their name.
    pub principal: &'a str,
    /// What they may do: cancelling one's own queries is everybody's, those of others is granted.
    pub access: &'a Access,
}

impl Canceller<'_> {
    /// Whether they may cancel what this principal asked.
    pub fn may(&self, principal: &str) -> bool {
        principal == self.principal || self.access.cancels_queries_of(principal)
    }
}

/// What became of a query that was to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelling {
    /// It ran or waited, and has ended.
    Cancelled,
    /// It was cancelled before.
    Before,
    /// It is told to stop and has not ended yet.
    UnderWay,
    /// It has ended by itself, or it changes something by now and runs to its end.
    NotCancellable,
    /// There is none of this name that the canceller may know of.
    Unknown,
}

impl QueryRegistry {
    /// Cancels a query, and whatever fetches its result again. Its reads have stopped when the answer is `Cancelled`, and
    /// its result can no longer be fetched here.
    pub async fn cancel(&self, id: QueryId, by: Canceller<'_>) -> Cancelling {
        let found: Vec<(QueryId, Open)> = {
            let book = self.book.lock();
            let of = |(other, open): (&QueryId, &Open)| {
                (*other == id || open.again == Some(id)).then(|| (*other, open.clone()))
            };
            book.open.iter().filter_map(of).collect()
        };
        let theirs = |open: &Open| by.may(&open.record.lock().principal);
        let found: Vec<_> = found.into_iter().filter(|(_, open)| theirs(open)).collect();
        if found.is_empty() {
            return self.ended_before(id, by);
        }
        let queries = found.iter().filter(|(_, open)| {
            let mut record = open.record.lock();
            if record.stoppable {
                record.cancelled_by = Some(Arc::from(by.principal));
            }
            record.stoppable
        });
        let queries: Vec<_> = queries.collect();
        if queries.is_empty() {
            return Cancelling::NotCancellable;
        }
        self.call_off(id);
        for (id, open) in &queries {
            self.stop(*id, open, by.principal);
        }
        let all_ended = futures::future::join_all(queries.iter().map(|(_, o)| o.ended.cancelled()));
        match tokio::time::timeout(STOPPING, all_ended).await {
            Ok(_) => Cancelling::Cancelled,
            Err(_) => Cancelling::UnderWay,
        }
    }

    /// Whether the result of an execution may no longer be fetched, because somebody cancelled it.
    pub fn is_called_off(&self, id: QueryId) -> bool {
        self.book.lock().called_off.contains(&id)
    }

    fn stop(&self, id: QueryId, open: &Open, by: &str) {
        let waits = open.record.lock().state == QueryState::Planned;
        open.stop.cancel();
        // Nobody runs one that waits to be fetched, so nobody else would say that it has ended.
        if waits {
            let mut record = open.record.lock();
            if record.state != QueryState::Planned {
                return;
            }
            record.state = QueryState::Cancelled;
            record.ended_at = Some(SystemTime::now());
            record.error = Some(QueryError {
                kind: "cancelled",
                text: format!("cancelled by {by}"),
            });
            drop(record);
            self.close(id);
        }
    }

    fn ended_before(&self, id: QueryId, by: Canceller<'_>) -> Cancelling {
        let record = self.find(id);
        match record.filter(|record| by.may(&record.principal)) {
            None => Cancelling::Unknown,
            Some(record) if record.cancelled_by.is_some() => Cancelling::Before,
            // Its rows may be fetched again, and no longer shall be.
            Some(record) if record.state == QueryState::Cancelled => {
                self.call_off(id);
                Cancelling::Before
            }
            Some(_) => Cancelling::NotCancellable,
        }
    }

    fn call_off(&self, id: QueryId) {
        let called_off = &mut self.book.lock().called_off;
        if called_off.contains(&id) {
            return;
        }
        if called_off.len() >= CALLED_OFF_MAX {
            called_off.pop_front();
        }
        called_off.push_back(id);
    }
}
