//! What `/metrics` says, in Prometheus's text format.
//!
//! Queries are counted as they end. What other parts count themselves (sites, caches, sessions, places) is read from
//! them when somebody asks, so that nothing is counted twice.

use std::sync::Arc;

use landfast_catalog::Namespace;
use landfast_planner::Engine;
use landfast_sites::{ReadClass, Sites};
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::admission::Admission;
use crate::audit::Audit;
use crate::auth::Authenticator;
use crate::connections::Connections;
use crate::queries::{QueryKind, QueryRecord};
use crate::session::Sessions;

/// From a millisecond to a quarter of an hour.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 900.0,
];

/// The parts that count for themselves.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Reads by site.
    pub sites: Arc<Sites>,
    /// The metadata cache.
    pub namespace: Arc<Namespace>,
    /// The memory pool, and the caches of footers, deletes and columns.
    pub engine: Arc<Engine>,
    /// Open sessions.
    pub sessions: Arc<Sessions>,
    /// Running and waiting queries.
    pub admission: Arc<Admission>,
    /// Open connections.
    pub connections: Arc<Connections>,
    /// Who was let in and turned away.
    pub auth: Arc<Authenticator>,
    /// The audit log, if there is one.
    pub audit: Option<Arc<Audit>>,
}

/// The service's counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    queries: IntCounterVec,
    seconds: HistogramVec,
    rows: IntCounter,
    sent_bytes: IntCounter,
    cache_hits: IntCounterVec,
    cache_hit_bytes: IntCounterVec,
    site_requests: IntCounterVec,
    site_bytes: IntCounterVec,
    site_fall_throughs: IntCounterVec,
    running: IntGauge,
    waiting: IntGauge,
    refused: IntCounter,
    sessions: IntGauge,
    connections: IntGauge,
    connections_refused: IntCounter,
    authentications: IntCounterVec,
    audit_lines: IntCounterVec,
    audit_waiting: IntGauge,
    audit_failing: IntGauge,
    pool_bytes: IntGaugeVec,
}

impl Metrics {
    /// All counters at nought.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new_custom(Some("landfast".to_owned()), None)?;
        let counters =
            |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
                let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
                registry.register(Box::new(counters.clone()))?;
                Ok(counters)
            };
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "query_seconds",
                "Time by phase: planning, and from the request for rows to the last of them",
            )
            .buckets(SECONDS.to_vec()),
            &["phase"],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let pool_bytes = IntGaugeVec::new(
            Opts::new(
                "memory_bytes",
                "Memory that queries, temporary tables and caches hold",
            ),
            &["pool"],
        )?;
        registry.register(Box::new(pool_bytes.clone()))?;
        Ok(Arc::new(Self {
            queries: counters(
                "queries_total",
                "Statements that ended, by kind and outcome",
                &["kind", "outcome"],
            )?,
            seconds,
            rows: counter("rows_sent_total", "Rows sent to clients")?,
            sent_bytes: counter(
                "sent_bytes_total",
                "Bytes of result messages sent to clients",
            )?,
            cache_hits: counters(
                "cache_hits_total",
                "Reads of ended queries that a cache answered",
                &["class"],
            )?,
            cache_hit_bytes: counters(
                "cache_hit_bytes_total",
                "Bytes that ended queries had from a cache",
                &["class"],
            )?,
            site_requests: counters(
                "site_requests_total",
                "Requests sent to a site",
                &["site", "class"],
            )?,
            site_bytes: counters(
                "site_read_bytes_total",
                "Body bytes received from a site, discarded ones too",
                &["site", "class"],
            )?,
            site_fall_throughs: counters(
                "site_fall_throughs_total",
                "Reads that left a site for the next candidate",
                &["site", "class"],
            )?,
            running: gauge("queries_running", "Queries that hold a place")?,
            waiting: gauge("queries_waiting", "Queries that wait for a place")?,
            refused: counter(
                "queries_refused_total",
                "Queries refused for want of a place",
            )?,
            sessions: gauge("sessions_open", "Sessions that are kept")?,
            connections: gauge("connections_open", "Connections of clients that are open")?,
            connections_refused: counter(
                "connections_refused_total",
                "Connections that were closed as they came in, because too many were open",
            )?,
            authentications: counters(
                "authentications_total",
                "Credentials that were checked, by method and outcome; those of open sessions aside",
                &["method", "outcome"],
            )?,
            audit_lines: counters(
                "audit_lines_total",
                "Lines of the audit log, written and dropped",
                &["outcome"],
            )?,
            audit_waiting: gauge(
                "audit_lines_waiting",
                "Lines of the audit log that wait to be written",
            )?,
            audit_failing: gauge(
                "audit_failing",
                "1 while the audit log can't be written, else 0",
            )?,
            pool_bytes,
            registry,
        }))
    }

    /// Counts a query that ended.
    pub(crate) fn query_ended(&self, record: &QueryRecord) {
        let kind = match record.kind {
            QueryKind::Query => "query",
            QueryKind::Command => "command",
        };
        let outcome = record.error.as_ref().map_or("ok", |error| error.kind);
        self.queries.with_label_values(&[kind, outcome]).inc();
        if let Some(planning) = record.planning {
            self.seconds
                .with_label_values(&["planning"])
                .observe(planning.as_secs_f64());
        }
        if let Some(running) = record.running {
            self.seconds
                .with_label_values(&["running"])
                .observe(running.as_secs_f64());
        }
        self.rows.inc_by(record.rows);
        self.sent_bytes.inc_by(record.sent_bytes);
        for (class, label) in [(ReadClass::Data, "data"), (ReadClass::Metadata, "metadata")] {
            let hits = record.cache_hits(class);
            self.cache_hits
                .with_label_values(&[label])
                .inc_by(hits.hits);
            self.cache_hit_bytes
                .with_label_values(&[label])
                .inc_by(hits.bytes);
        }
    }

    /// Everything, as Prometheus reads it.
    pub fn render(&self, sources: &Sources) -> Result<String, prometheus::Error> {
        for reads in sources.sites.totals() {
            for (reads, site, class) in [
                (&reads.data, &reads.site, "data"),
                (&reads.metadata, &reads.site, "metadata"),
            ] {
                let labels = [site.as_str(), class];
                raise(
                    &self.site_requests.with_label_values(&labels),
                    reads.requests,
                );
                raise(&self.site_bytes.with_label_values(&labels), reads.bytes);
                raise(
                    &self.site_fall_throughs.with_label_values(&labels),
                    reads.fall_throughs,
                );
            }
        }
        self.running.set(gauge(sources.admission.running()));
        self.waiting.set(gauge(sources.admission.waiting()));
        raise(&self.refused, sources.admission.refused());
        self.sessions.set(gauge(sources.sessions.open()));
        self.connections.set(gauge(sources.connections.open()));
        raise(&self.connections_refused, sources.connections.refused());
        for tried in sources.auth.counts() {
            let labels = [tried.method.label(), tried.outcome.label()];
            raise(
                &self.authentications.with_label_values(&labels),
                tried.count,
            );
        }
        if let Some(audit) = &sources.audit {
            let counts = audit.counts();
            raise(
                &self.audit_lines.with_label_values(&["written"]),
                counts.written,
            );
            raise(
                &self.audit_lines.with_label_values(&["dropped"]),
                counts.dropped,
            );
            self.audit_waiting.set(gauge(counts.waiting));
            self.audit_failing.set(i64::from(counts.failing));
        }
        let engine = &sources.engine;
        // They are held in the pool that queries share.
        let temporary = engine.temporary_tables().used_bytes();
        for (pool, bytes) in [
            (
                "queries",
                gauge(engine.memory_used().saturating_sub(temporary)),
            ),
            ("temporary_tables", gauge(temporary)),
            ("footers", gauge(engine.footers().held_bytes())),
            ("deletes", gauge(engine.deletes().held_bytes())),
            ("columns", gauge(engine.table_columns().held_bytes())),
        ] {
            self.pool_bytes.with_label_values(&[pool]).set(bytes);
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Brings a counter up to what its source counted.
fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn gauge(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
