//! What a line says.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use landfast_planner::{hide_names, hide_quoted};
use landfast_sites::SiteReads;
use serde::Serialize;

use crate::auth::{AuthOutcome, Method, Origin, Principal};
use crate::queries::{QueryKind, QueryRecord, QueryState};

/// Somebody logs in, or is turned away.
#[derive(Clone, Copy, Debug)]
pub struct LogIn<'a> {
    /// Who came in, or which user somebody wanted to be; never a name that is no user's.
    pub name: Option<&'a str>,
    /// Who came in, if anybody did.
    pub principal: Option<&'a Principal>,
    /// How and from where.
    pub origin: &'a Origin,
    /// How it was tried, where nobody came in.
    pub method: Option<Method>,
    /// What came of it.
    pub outcome: AuthOutcome,
}

/// Somebody is denied what is no statement.
#[derive(Clone, Copy, Debug)]
pub struct Denied<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// How and from where they came.
    pub origin: &'a Origin,
    /// The class of error.
    pub error: &'static str,
}

#[derive(Serialize)]
struct Who<'a> {
    principal: Option<&'a str>,
    groups: Vec<&'a str>,
    role: Option<&'static str>,
    method: Option<&'static str>,
    peer: Option<String>,
    client: Option<&'a str>,
}

impl<'a> Who<'a> {
    fn new(principal: &'a Principal, origin: &'a Origin) -> Self {
        Self {
            principal: Some(&principal.name),
            groups: principal.groups.iter().collect(),
            role: Some(principal.role.as_str()),
            method: Some(origin.method.label()),
            ..Self::unknown(origin)
        }
    }

    fn unknown(origin: &'a Origin) -> Self {
        Self {
            principal: None,
            groups: Vec::new(),
            role: None,
            method: None,
            peer: origin.address.map(|address| address.to_string()),
            client: origin.client.as_deref(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct LogInLine<'a> {
    time: String,
    event: &'static str,
    #[serde(flatten)]
    who: Who<'a>,
    outcome: &'static str,
}

impl<'a> LogInLine<'a> {
    pub(super) fn new(attempt: &'a LogIn<'_>) -> Self {
        let who = match attempt.principal {
            Some(principal) => Who::new(principal, attempt.origin),
            None => Who {
                principal: attempt.name,
                method: attempt.method.map(Method::label),
                ..Who::unknown(attempt.origin)
            },
        };
        Self {
            time: written(SystemTime::now()),
            event: "login",
            who,
            outcome: attempt.outcome.label(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct DeniedLine<'a> {
    time: String,
    event: &'static str,
    #[serde(flatten)]
    who: Who<'a>,
    outcome: &'static str,
    error: &'static str,
}

impl<'a> DeniedLine<'a> {
    pub(super) fn new(denied: &'a Denied<'_>) -> Self {
        Self {
            time: written(SystemTime::now()),
            event: "denied",
            who: Who::new(denied.principal, denied.origin),
            outcome: "failed",
            error: denied.error,
        }
    }
}

#[derive(Serialize)]
pub(super) struct StatementLine<'a> {
    /// When it ended.
    time: String,
    event: &'static str,
    query_id: String,
    received: String,
    #[serde(flatten)]
    who: Who<'a>,
    session: Option<&'a str>,
    kind: &'static str,
    statement: String,
    tables: Vec<TableRead<'a>>,
    outcome: &'static str,
    error: Option<&'static str>,
    planning_ms: Option<f64>,
    running_ms: Option<f64>,
    rows: u64,
    sent_bytes: u64,
    affected: Option<i64>,
    receipt: ReceiptLine,
}

#[derive(Serialize)]
struct TableRead<'a> {
    table: &'a str,
    snapshot_id: Option<i64>,
    stale: bool,
}

#[derive(Serialize)]
struct ReceiptLine {
    sites: Vec<SiteLine>,
    usd: f64,
}

#[derive(Serialize)]
struct SiteLine {
    site: String,
    bytes: u64,
    requests: u64,
}

impl<'a> StatementLine<'a> {
    pub(super) fn new(record: &'a QueryRecord, usd: f64, redacted: bool) -> Self {
        let text = record.audited.as_deref().unwrap_or(&record.statement);
        let denied = record
            .error
            .as_ref()
            .is_some_and(|error| error.kind == "permission_denied");
        // Once it is known what a statement reads, its names are names; and what is denied is an action on a name.
        let understood = denied || !record.snapshots.is_empty();
        let statement = match record.state {
            QueryState::Finished => text.to_owned(),
            _ if redacted && understood => hide_quoted(text),
            _ if redacted => hide_names(text),
            _ => text.to_owned(),
        };
        Self {
            time: written(record.ended_at.unwrap_or_else(SystemTime::now)),
            event: "statement",
            query_id: record.id.to_string(),
            received: written(record.received_at),
            who: Who {
                principal: Some(&record.principal),
                groups: record.groups.iter().collect(),
                role: Some(record.role.as_str()),
                method: Some(record.origin.method.label()),
                ..Who::unknown(&record.origin)
            },
            session: record.session.as_ref().map(|session| session.as_str()),
            kind: match record.kind {
                QueryKind::Query => "query",
                QueryKind::Command => "command",
            },
            statement,
            tables: record
                .snapshots
                .iter()
                .map(|read| TableRead {
                    table: &read.table,
                    snapshot_id: read.snapshot_id,
                    stale: read.stale,
                })
                .collect(),
            outcome: record.state.label(),
            error: record.error.as_ref().map(|error| error.kind),
            planning_ms: record.planning.map(millis),
            running_ms: record.running.map(millis),
            rows: record.rows,
            sent_bytes: record.sent_bytes,
            affected: record.affected,
            receipt: ReceiptLine {
                sites: record.site_reads().iter().map(site).collect(),
                usd,
            },
        }
    }
}

fn site(reads: &SiteReads) -> SiteLine {
    SiteLine {
        site: reads.site.to_string(),
        bytes: reads.bytes(),
        requests: reads.data.requests + reads.metadata.requests,
    }
}

fn written(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
