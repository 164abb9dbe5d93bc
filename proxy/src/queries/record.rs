//! What is known of one query.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use landfast_planner::{Groups, Role, TableReceipt};
use landfast_sites::{CacheHits, ReadClass, ReadLog, Reads, SiteId, SiteReads};
use uuid::Uuid;

use crate::auth::{Origin, Principal};
use crate::session::SessionId;

/// The longest part of a statement's text that is kept.
const STATEMENT_KEPT_BYTES: usize = 16 * 1024;

/// Names one execution of one statement. Sorts by time (UUID version 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(Uuid);

impl QueryId {
    /// A fresh one.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for QueryId {
    fn default() -> Self {
        Self::new()
    }
}

impl std::str::FromStr for QueryId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::from_str(text).map(Self)
    }
}

impl std::fmt::Display for QueryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of statement it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKind {
    /// It gives rows.
    Query,
    /// It changes something: SET, CALL, DDL.
    Command,
}

/// Where a query stands. The last three are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryState {
    /// Names are resolved and files placed, or the command runs.
    Planning,
    /// It is planned, and its client has not asked for the rows yet.
    Planned,
    /// Rows are made and sent.
    Running,
    /// All rows were sent.
    Finished,
    /// It ended with an error.
    Failed,
    /// It was given up: by its client, or because nobody fetched it.
    Cancelled,
}

impl QueryState {
    /// A short stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Cancelled)
    }
}

/// A snapshot that a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuerySnapshot {
    /// The table.
    pub table: String,
    /// The snapshot; none for a table without data.
    pub snapshot_id: Option<i64>,
    /// When it was committed, in milliseconds since 1970.
    pub committed_at_ms: Option<i64>,
    /// How old the knowledge was that this is the current one, in milliseconds.
    pub pointer_age_ms: u64,
    /// Whether it was older than the session asked for, the member being out of reach.
    pub stale: bool,
}

impl From<TableReceipt> for QuerySnapshot {
    fn from(read: TableReceipt) -> Self {
        Self {
            table: read.table.to_string(),
            snapshot_id: read.snapshot_id,
            committed_at_ms: read.committed_at_ms,
            pointer_age_ms: u64::try_from(read.pointer_age.as_millis()).unwrap_or(u64::MAX),
            stale: read.stale,
        }
    }
}

/// Why a query ended without all of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// The class of error, a short stable label.
    pub kind: &'static str,
    /// What the client was told.
    pub text: String,
}

/// Everything that is known of one execution of one statement.
#[derive(Clone, Debug)]
pub struct QueryRecord {
    /// Its name.
    pub id: QueryId,
    /// Who asked.
    pub principal: Arc<str>,
    /// What they may do.
    pub role: Role,
    /// The groups they belong to.
    pub groups: Groups,
    /// How and from where they came.
    pub origin: Origin,
    /// In which session, if in one.
    pub session: Option<SessionId>,
    /// The statement's text; its beginning, when it is very long.
    pub statement: String,
    /// The statement as the audit log has it, if there is one.
    pub audited: Option<String>,
    /// What kind of statement.
    pub kind: QueryKind,
    /// Where it stands.
    pub state: QueryState,
    /// When it came in.
    pub received_at: SystemTime,
    /// How long planning took (for a command: running it).
    pub planning: Option<Duration>,
    /// How long it took from the request for its rows to the last of them.
    pub running: Option<Duration>,
    /// When it ended.
    pub ended_at: Option<SystemTime>,
    /// Rows sent so far.
    pub rows: u64,
    /// Messages' bytes sent so far.
    pub sent_bytes: u64,
    /// Rows or things that a command changed, if it can be said.
    pub affected: Option<i64>,
    /// What it reads.
    pub snapshots: Vec<QuerySnapshot>,
    /// Why it ended early.
    pub error: Option<QueryError>,
    /// Whether it may be cancelled: a command may only while it has changed nothing yet, and says so.
    pub(super) stoppable: bool,
    /// Who asked for its end, if somebody did.
    pub(super) cancelled_by: Option<Arc<str>>,
    /// What counts its reads, one for each plan; shared with the query as long as it runs.
    pub(super) logs: Vec<ReadLog>,
}

impl QueryRecord {
    pub(super) fn new(
        id: QueryId,
        principal: &Principal,
        origin: &Origin,
        session: Option<SessionId>,
        statement: &str,
        kind: QueryKind,
    ) -> Self {
        Self {
            id,
            principal: principal.name.clone(),
            role: principal.role,
            groups: principal.groups.clone(),
            origin: origin.clone(),
            session,
            statement: beginning(statement),
            audited: None,
            kind,
            state: QueryState::Planning,
            received_at: SystemTime::now(),
            planning: None,
            running: None,
            ended_at: None,
            rows: 0,
            sent_bytes: 0,
            affected: None,
            snapshots: Vec::new(),
            error: None,
            stoppable: kind == QueryKind::Query,
            cancelled_by: None,
            logs: Vec::new(),
        }
    }

    /// When it came in, in microseconds since 1970.
    pub fn received_at_us(&self) -> i64 {
        micros(self.received_at)
    }

    /// When it ended, in microseconds since 1970.
    pub fn ended_at_us(&self) -> Option<i64> {
        self.ended_at.map(micros)
    }

    /// What it read so far, sorted by site.
    pub fn site_reads(&self) -> Vec<SiteReads> {
        match self.logs.as_slice() {
            [] => Vec::new(),
            [one] => one.snapshot(),
            several => sum(several.iter().flat_map(ReadLog::snapshot)),
        }
    }

    /// What caches gave it.
    pub fn cache_hits(&self, class: ReadClass) -> CacheHits {
        self.logs.iter().map(|log| log.cache_hits_of(class)).fold(
            CacheHits::default(),
            |mut sum, hits| {
                sum.hits += hits.hits;
                sum.bytes += hits.bytes;
                sum
            },
        )
    }
}

fn sum(all: impl Iterator<Item = SiteReads>) -> Vec<SiteReads> {
    let mut by_site: BTreeMap<SiteId, SiteReads> = BTreeMap::new();
    for reads in all {
        match by_site.entry(reads.site.clone()) {
            Entry::Vacant(place) => {
                place.insert(reads);
            }
            Entry::Occupied(mut place) => {
                let sum = place.get_mut();
                add(&mut sum.data, &reads.data);
                add(&mut sum.metadata, &reads.metadata);
            }
        }
    }
    by_site.into_values().collect()
}

fn add(sum: &mut Reads, more: &Reads) {
    let (before, now) = (sum.requests, more.requests);
    sum.first_byte = match (sum.first_byte, more.first_byte) {
        (Some(one), Some(two)) => Some(
            (one.mul_f64(before as f64) + two.mul_f64(now as f64))
                .div_f64((before + now).max(1) as f64),
        ),
        (one, two) => one.or(two),
    };
    sum.requests += more.requests;
    sum.bytes += more.bytes;
    sum.fall_throughs += more.fall_throughs;
}

fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn beginning(statement: &str) -> String {
    if statement.len() <= STATEMENT_KEPT_BYTES {
        return statement.to_owned();
    }
    let end = (0..=STATEMENT_KEPT_BYTES)
        .rev()
        .find(|at| statement.is_char_boundary(*at))
        .unwrap_or(0);
    format!("{}…", &statement[..end])
}
