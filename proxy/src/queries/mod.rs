//! Every query that runs, and the last ones that ran: what `landfast.system.queries`, the log and the metrics tell.
//!
//! A statement is a [`Query`] from its first word to its last row. Whoever holds it moves it on; dropping it before it
//! ended records that it was cancelled, so nothing can end unrecorded.

mod cancel;
mod record;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use landfast_sites::{ReadLog, Sites};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

pub use cancel::{Canceller, Cancelling};
pub use record::{QueryError, QueryId, QueryKind, QueryRecord, QuerySnapshot, QueryState};

use crate::audit::Audit;
use crate::auth::{Origin, Principal};
use crate::metrics::Metrics;
use crate::session::SessionId;

/// Each query is in exactly one of the first two.
#[derive(Default)]
struct Book {
    open: HashMap<QueryId, Open>,
    /// Oldest first.
    ended: VecDeque<Arc<QueryRecord>>,
    /// Queries whose results may no longer be fetched here, the longest known first.
    called_off: VecDeque<QueryId>,
}

/// A query that has not ended.
#[derive(Clone)]
struct Open {
    record: Arc<Mutex<QueryRecord>>,
    /// The execution whose result it fetches again, if it does.
    again: Option<QueryId>,
    /// Tells whoever runs it to stop.
    stop: CancellationToken,
    /// Tells that it has ended.
    ended: CancellationToken,
}

/// Knows the open queries and the last ones that ended.
pub struct QueryRegistry {
    book: Mutex<Book>,
    kept: usize,
    sites: Arc<Sites>,
    metrics: Arc<Metrics>,
    /// Set once, if there is an audit log.
    audit: OnceLock<Arc<Audit>>,
}

impl std::fmt::Debug for QueryRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryRegistry")
            .field("open", &self.open())
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

impl QueryRegistry {
    /// A registry that remembers the last `kept` queries; `sites` knows what reads cost.
    pub fn new(kept: usize, sites: Arc<Sites>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            book: Mutex::default(),
            kept,
            sites,
            metrics,
            audit: OnceLock::new(),
        })
    }

    /// Records every statement in the audit log from now on; only the first call counts.
    pub fn record_to(&self, audit: Arc<Audit>) {
        drop(self.audit.set(audit));
    }

    /// A statement came in.
    pub fn begin(
        self: &Arc<Self>,
        principal: &Principal,
        origin: &Origin,
        session: Option<&SessionId>,
        statement: &str,
        kind: QueryKind,
    ) -> Query {
        self.begin_again(principal, origin, session, statement, kind, None)
    }

    /// A statement is planned once more, to fetch what `again` gave or a part of it.
    pub fn begin_again(
        self: &Arc<Self>,
        principal: &Principal,
        origin: &Origin,
        session: Option<&SessionId>,
        statement: &str,
        kind: QueryKind,
        again: Option<QueryId>,
    ) -> Query {
        let id = QueryId::new();
        let mut record = QueryRecord::new(id, principal, origin, session.cloned(), statement, kind);
        record.audited = self.audit.get().map(|audit| audit.shown(statement));
        let record = Arc::new(Mutex::new(record));
        let open = Open {
            record: record.clone(),
            again,
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        let stop = open.stop.clone();
        self.book.lock().open.insert(id, open);
        Query {
            registry: self.clone(),
            id,
            record,
            stop,
            since: Instant::now(),
            ended: false,
            reason: "its client gave it up",
        }
    }

    /// Queries that have not ended.
    pub fn open(&self) -> usize {
        self.book.lock().open.len()
    }

    /// The query of this name, as it stands now.
    pub fn find(&self, id: QueryId) -> Option<QueryRecord> {
        let book = self.book.lock();
        match book.open.get(&id).cloned() {
            Some(open) => {
                drop(book);
                Some(open.record.lock().clone())
            }
            None => book
                .ended
                .iter()
                .rev()
                .find(|record| record.id == id)
                .map(|record| (**record).clone()),
        }
    }

    /// All queries that `wanted` takes, oldest first.
    pub fn list(&self, wanted: impl Fn(&QueryRecord) -> bool) -> Vec<QueryRecord> {
        let (open, ended): (Vec<_>, Vec<_>) = {
            let book = self.book.lock();
            (
                book.open.values().cloned().collect(),
                book.ended.iter().cloned().collect(),
            )
        };
        let mut all: Vec<QueryRecord> = ended
            .iter()
            .filter(|record| wanted(record))
            .map(|r| (**r).clone())
            .collect();
        all.extend(
            open.iter()
                .map(|open| open.record.lock().clone())
                .filter(|record| wanted(record)),
        );
        all.sort_by_key(|record| record.id);
        // One that ended between the two looks is in both.
        all.dedup_by_key(|record| record.id);
        all
    }

    /// The last query of a session that has ended: not the one that asks.
    pub fn last_in_session(&self, session: &str) -> Option<QueryRecord> {
        self.list(|record| {
            record.state.is_final()
                && record
                    .session
                    .as_ref()
                    .is_some_and(|id| id.as_str() == session)
        })
        .pop()
    }

    /// What reads cost.
    pub fn sites(&self) -> &Arc<Sites> {
        &self.sites
    }

    fn close(&self, id: QueryId) {
        let mut book = self.book.lock();
        let Some(open) = book.open.remove(&id) else {
            return;
        };
        let record = Arc::new(open.record.lock().clone());
        if self.kept > 0 {
            if book.ended.len() >= self.kept {
                book.ended.pop_front();
            }
            book.ended.push_back(record.clone());
        }
        drop(book);
        open.ended.cancel();
        let usd = self.sites.cost_usd(&record.site_reads());
        self.metrics.query_ended(&record);
        if let Some(audit) = self.audit.get() {
            audit.statement(&record, usd);
        }
        log_ended(&record, usd);
    }
}

/// One execution of one statement, until it ends.
pub struct Query {
    registry: Arc<QueryRegistry>,
    id: QueryId,
    record: Arc<Mutex<QueryRecord>>,
    stop: CancellationToken,
    /// When the present state began.
    since: Instant,
    ended: bool,
    /// What dropping it means.
    reason: &'static str,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Query {
    /// Its name.
    pub fn id(&self) -> QueryId {
        self.id
    }

    /// Tells when it is to be stopped because somebody cancelled it. Whoever runs it then drops it.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Though it is a command, it changes nothing before [`Self::goes_through`], and may be cancelled until then.
    pub fn may_be_stopped(&self) {
        self.record.lock().stoppable = true;
    }

    /// Whether it may change something now; then it is cancelled no more. Not where it was cancelled already.
    #[must_use]
    pub fn goes_through(&self) -> bool {
        let mut record = self.record.lock();
        record.stoppable = false;
        record.cancelled_by.is_none()
    }

    /// It is planned and waits to be fetched; `reads` counts what it reads.
    pub fn planned(&mut self, snapshots: Vec<QuerySnapshot>, reads: ReadLog) {
        let mut record = self.record.lock();
        record.planning = Some(self.since.elapsed());
        record.state = QueryState::Planned;
        record.snapshots = snapshots;
        record.logs.push(reads);
        self.reason = "nobody fetched its rows in time";
    }

    /// A further plan belongs to it, for a further row of parameters.
    pub fn further_reads(&self, reads: ReadLog) {
        self.record.lock().logs.push(reads);
    }

    /// Its rows are asked for.
    pub fn running(&mut self) {
        self.since = Instant::now();
        self.reason = "its client gave it up";
        self.record.lock().state = QueryState::Running;
    }

    /// Part of its rows were sent, and it waits for its client to ask for more.
    pub fn waiting(&mut self) {
        let elapsed = self.since.elapsed();
        self.reason = "its client fetched only a part of its rows";
        let mut record = self.record.lock();
        record.running = Some(record.running.unwrap_or_default() + elapsed);
        record.state = QueryState::Planned;
    }

    /// Some rows are on their way.
    pub fn sent(&self, rows: u64, bytes: u64) {
        let mut record = self.record.lock();
        record.rows += rows;
        record.sent_bytes += bytes;
    }

    /// What its reads have cost so far, in US dollars.
    pub fn usd(&self) -> f64 {
        let reads = self.record.lock().site_reads();
        self.registry.sites.cost_usd(&reads)
    }

    /// All rows were sent.
    pub fn finish(mut self) {
        let elapsed = self.since.elapsed();
        self.end(|record| {
            note_time(record, elapsed);
            record.state = QueryState::Finished;
        });
    }

    /// A command did what it should.
    pub fn finish_command(mut self, affected: Option<i64>) {
        let elapsed = self.since.elapsed();
        self.end(|record| {
            record.state = QueryState::Finished;
            record.planning = Some(elapsed);
            record.affected = affected;
        });
    }

    /// It ended with an error.
    pub fn fail(mut self, kind: &'static str, text: &str) {
        // An error of a query that was told to stop is how it stops.
        if self.record.lock().cancelled_by.is_some() {
            return;
        }
        let elapsed = self.since.elapsed();
        self.end(|record| {
            note_time(record, elapsed);
            record.state = QueryState::Failed;
            record.error = Some(QueryError {
                kind,
                text: text.to_owned(),
            });
        });
    }

    fn end(&mut self, change: impl FnOnce(&mut QueryRecord)) {
        self.ended = true;
        {
            let mut record = self.record.lock();
            // One that was cancelled while it waited has ended already.
            if record.state.is_final() {
                return;
            }
            change(&mut record);
            record.ended_at = Some(SystemTime::now());
        }
        self.registry.close(self.id);
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (elapsed, reason) = (self.since.elapsed(), self.reason);
        self.end(|record| {
            note_time(record, elapsed);
            record.state = QueryState::Cancelled;
            let text = match &record.cancelled_by {
                Some(who) => format!("cancelled by {who}"),
                None => reason.to_owned(),
            };
            record.error = Some(QueryError {
                kind: "cancelled",
                text,
            });
        });
    }
}

fn note_time(record: &mut QueryRecord, elapsed: Duration) {
    match record.state {
        QueryState::Planning => record.planning = Some(elapsed),
        QueryState::Running => {
            record.running = Some(record.running.unwrap_or_default() + elapsed);
        }
        QueryState::Planned | QueryState::Finished | QueryState::Failed | QueryState::Cancelled => {
        }
    }
}

/// One line per query that ended. The statement's text stays out: it may hold what nobody should read in a log.
fn log_ended(record: &QueryRecord, usd: f64) {
    let millis = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64() * 1e3);
    let reads = record.site_reads();
    let by_site: Vec<String> = reads
        .iter()
        .map(|reads| format!("{}={}", reads.site, reads.bytes()))
        .collect();
    tracing::info!(
        target: "landfast::query",
        query_id = %record.id,
        principal = %record.principal,
        kind = match record.kind { QueryKind::Query => "query", QueryKind::Command => "command" },
        state = record.state.label(),
        planning_ms = millis(record.planning),
        running_ms = millis(record.running),
        rows = record.rows,
        read_bytes = by_site.join(" "),
        fall_throughs = reads.iter().map(landfast_sites::SiteReads::fall_throughs).sum::<u64>(),
        usd,
        error = record.error.as_ref().map(|error| error.kind),
        "query ended"
    );
}

#[cfg(test)]
mod tests;
