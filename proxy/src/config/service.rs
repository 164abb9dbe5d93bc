//! The sections about the service itself: `[proxy]`, `[admin]`, `[limits]`, `[cache]`, `[defaults]`, `[log]`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfast_catalog::MemberSpec;
use landfast_planner::placement::PlacementMode;
use landfast_planner::{Role, SessionSettings};
use landfast_sites::SitesSpec;
use secrecy::{ExposeSecret, SecretString};

use crate::auth::{NameSource, PeerName};

use super::access::role;
use super::error::{KeyPath, Problem};
use super::raw::{
    RawAdmin, RawCache, RawDefaults, RawLimits, RawLog, RawLogFormat, RawProxy, RawTls,
};
use super::raw_access::{RawClientAuth, RawNameSource};
use super::secrets::SecretKeys;

/// Guessing a shorter one may be worth somebody's while.
const SIGNING_KEY_BYTES_MIN: usize = 32;

/// The PEM files of the server's certificate chain and its private key.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
    /// What clients' certificates are good for; nothing means that none is asked for.
    pub clients: Option<ClientCertificates>,
}

/// Certificates of clients: who signs them, and whom they name.
#[derive(Debug, Clone)]
pub struct ClientCertificates {
    /// The authorities that sign them, as a PEM file.
    pub ca_file: PathBuf,
    /// Lists of those that were revoked, as a PEM file.
    pub crl_file: Option<PathBuf>,
    /// Whether a client must have one.
    pub auth: ClientAuth,
    /// Where a certificate has its holder's name and groups.
    pub name: PeerName,
    /// What a holder may do that no entry names; nothing means that such a certificate alone says nothing.
    pub role: Option<Role>,
}

/// Whether a client must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// A connection without one is refused.
    Required,
    /// A connection without one needs credentials.
    Optional,
}

/// What is refused, queued, spilled or cut off, and when.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Connections of clients that are open at once; a quarter of them from one address.
    pub connections: usize,
    /// Queries that run at once.
    pub concurrent_queries: usize,
    /// Queries that wait for a place; the next one is refused.
    pub queued_queries: usize,
    /// Results whose clients take nothing for the moment, and whose places others have meanwhile.
    pub stalled_queries: usize,
    /// How long one waits for a place.
    pub queue_timeout: Duration,
    /// How long one may run.
    pub query_timeout: Duration,
    /// How long a client may take nothing from a running result.
    pub stream_idle: Duration,
    /// The longest statement.
    pub statement_bytes: usize,
    /// Memory that running queries share.
    pub memory_bytes: usize,
    /// Where they spill beyond that; a directory of the system's when none is given.
    pub spill_dir: Option<PathBuf>,
    /// How much they may spill.
    pub spill_bytes: u64,
    /// Parallel parts of one query.
    pub target_partitions: usize,
    /// Rows of one batch.
    pub batch_rows: usize,
    /// Open sessions.
    pub sessions: usize,
    /// How long a session lives unused.
    pub session_idle: Duration,
    /// What the temporary tables of all sessions may take of the memory.
    pub temporary_bytes: usize,
    /// What those of one session may take.
    pub temporary_session_bytes: usize,
    /// Open prepared statements.
    pub prepared_statements: usize,
    /// Bytes that they and their parameters may take together.
    pub prepared_bytes: usize,
    /// How long one lives unused.
    pub prepared_idle: Duration,
    /// Planned queries whose rows nobody fetched yet.
    pub planned_queries: usize,
    /// What these take in memory, together.
    pub planned_bytes: usize,
    /// How long rows can be fetched after planning.
    pub ticket_ttl: Duration,
    /// How long after planning they can be fetched by tickets that were renewed.
    pub ticket_life: Duration,
    /// Endpoints of one result.
    pub endpoints: usize,
    /// Bytes to read that make an endpoint.
    pub endpoint_bytes: u64,
    /// Rows that make an endpoint.
    pub endpoint_rows: u64,
    /// Finished queries that `landfast.system.queries` remembers.
    pub finished_queries: usize,
    /// The largest request message.
    pub request_bytes: usize,
    /// How long a stop waits for running queries.
    pub drain_timeout: Duration,
    /// The longest that a log-in waits for wrong passwords before it.
    pub login_delay_max: Duration,
}

/// Memory given to what never changes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CacheSizes {
    /// Table metadata, manifest lists and manifests.
    pub metadata_bytes: u64,
    /// Parquet footers.
    pub footer_bytes: u64,
    /// The columns of tables that listings tell of.
    pub column_bytes: u64,
    /// Decoded delete files.
    pub delete_bytes: u64,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogConfig {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// A level, or directives by module as in `info,landfast_sites=debug`.
    pub level: String,
}

/// Text for people or JSON for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

pub(super) struct Proxy {
    pub(super) listen: SocketAddr,
    pub(super) insecure: bool,
    pub(super) advertise: Option<String>,
    pub(super) signing_key: Option<SecretString>,
    pub(super) tls: Option<TlsFiles>,
    pub(super) reload_every: Duration,
}

pub(super) fn proxy(raw: &RawProxy, at: &KeyPath, base: &Path) -> Result<Proxy, Problem> {
    let listen = address(&raw.listen, &at.key("listen"))?;
    if raw.insecure && !listen.ip().is_loopback() {
        return Err(at.key("insecure").problem(format!(
            "without TLS and authentication only a loopback address may be served, and `listen` is {listen}"
        )));
    }
    if !raw.insecure && raw.tls.is_none() {
        return Err(at.problem(
            "no TLS: give [proxy.tls] with `cert_file` and `key_file`, or set `insecure = true` for a test on this machine",
        ));
    }
    if raw.insecure && raw.tls.is_some() {
        return Err(at
            .key("insecure")
            .problem("[proxy.tls] is given too; keep one of them"));
    }
    if let Some(advertise) = &raw.advertise {
        let known = ["grpc://", "grpc+tcp://", "grpc+tls://"];
        if !known.iter().any(|scheme| advertise.starts_with(scheme)) {
            return Err(at.key("advertise").problem(format!(
                "`{advertise}` is no Flight URI; it starts with grpc+tls:// or grpc://"
            )));
        }
    }
    let tls = match &raw.tls {
        Some(raw) => Some(tls(raw, &at.key("tls"), base)?),
        None => None,
    };
    if raw.reload_ms == 0 {
        return Err(at.key("reload_ms").problem("must be at least 1"));
    }
    let signing_key = SecretKeys {
        file: raw.signing_key_file.as_ref(),
        env: raw.signing_key_env.as_ref(),
        names: ("signing_key_file", "signing_key_env"),
    }
    .read(at, base)?;
    if signing_key
        .as_ref()
        .is_some_and(|key| key.expose_secret().len() < SIGNING_KEY_BYTES_MIN)
    {
        return Err(at.problem(format!(
            "the signing key is too short to be safe: at least {SIGNING_KEY_BYTES_MIN} letters, as from `openssl rand -hex 32`"
        )));
    }
    Ok(Proxy {
        listen,
        insecure: raw.insecure,
        advertise: raw.advertise.clone(),
        signing_key,
        tls,
        reload_every: Duration::from_millis(raw.reload_ms),
    })
}

fn tls(raw: &RawTls, at: &KeyPath, base: &Path) -> Result<TlsFiles, Problem> {
    let given = [
        ("client_crl_file", raw.client_crl_file.is_some()),
        ("client_auth", raw.client_auth.is_some()),
        ("client_name", raw.client_name.is_some()),
        ("client_groups", raw.client_groups.is_some()),
        ("client_role", raw.client_role.is_some()),
    ];
    if let (None, Some((key, _))) = (
        &raw.client_ca_file,
        given.into_iter().find(|(_, given)| *given),
    ) {
        return Err(at.key(key).problem(
            "says something about client certificates, and without `client_ca_file` none is asked for",
        ));
    }
    let clients = raw.client_ca_file.as_ref().map(|file| ClientCertificates {
        ca_file: base.join(file),
        crl_file: raw.client_crl_file.as_ref().map(|file| base.join(file)),
        auth: match raw.client_auth.unwrap_or_default() {
            RawClientAuth::Required => ClientAuth::Required,
            RawClientAuth::Optional => ClientAuth::Optional,
        },
        name: PeerName {
            name: match raw.client_name.unwrap_or_default() {
                RawNameSource::CommonName => NameSource::CommonName,
                RawNameSource::SanDns => NameSource::SanDns,
                RawNameSource::SanEmail => NameSource::SanEmail,
                RawNameSource::SanUri => NameSource::SanUri,
            },
            groups: raw.client_groups.unwrap_or_default(),
        },
        role: raw.client_role.map(role),
    });
    Ok(TlsFiles {
        cert_file: base.join(&raw.cert_file),
        key_file: base.join(&raw.key_file),
        clients,
    })
}

pub(super) fn admin(raw: &RawAdmin, at: &KeyPath) -> Result<Option<SocketAddr>, Problem> {
    raw.listen
        .as_deref()
        .map(|text| address(text, &at.key("listen")))
        .transpose()
}

fn address(text: &str, at: &KeyPath) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| {
        at.problem(format!(
            "`{text}` is no address; write an IP address and a port, for example 127.0.0.1:31337 or [::]:31337"
        ))
    })
}

pub(super) fn limits(raw: &RawLimits, at: &KeyPath, base: &Path) -> Result<Limits, Problem> {
    let positive = |value: u64, name: &'static str| {
        if value == 0 {
            Err(at.key(name).problem("must be at least 1"))
        } else {
            Ok(())
        }
    };
    positive(raw.connections as u64, "connections")?;
    positive(raw.concurrent_queries as u64, "concurrent_queries")?;
    positive(raw.query_timeout_ms, "query_timeout_ms")?;
    positive(raw.statement_bytes as u64, "statement_bytes")?;
    positive(raw.batch_rows as u64, "batch_rows")?;
    positive(raw.sessions as u64, "sessions")?;
    positive(raw.session_idle_ms, "session_idle_ms")?;
    positive(raw.prepared_statements as u64, "prepared_statements")?;
    positive(raw.prepared_bytes as u64, "prepared_bytes")?;
    positive(raw.stream_idle_ms, "stream_idle_ms")?;
    positive(raw.prepared_idle_ms, "prepared_idle_ms")?;
    positive(raw.planned_queries as u64, "planned_queries")?;
    positive(raw.planned_bytes as u64, "planned_bytes")?;
    positive(raw.ticket_ttl_ms, "ticket_ttl_ms")?;
    positive(raw.endpoints as u64, "endpoints")?;
    positive(raw.endpoint_bytes, "endpoint_bytes")?;
    positive(raw.endpoint_rows, "endpoint_rows")?;
    if raw.ticket_life_ms < raw.ticket_ttl_ms {
        return Err(at
            .key("ticket_life_ms")
            .problem("is shorter than `ticket_ttl_ms`, so no ticket could ever be renewed"));
    }
    positive(raw.finished_queries as u64, "finished_queries")?;
    if raw.memory_bytes < 16 * 1024 * 1024 {
        return Err(at
            .key("memory_bytes")
            .problem("less than 16 MiB runs no query; give at least 16777216"));
    }
    if raw.request_bytes < raw.statement_bytes {
        return Err(at.key("request_bytes").problem(
            "is smaller than `statement_bytes`, so the longest statement could never arrive",
        ));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Limits {
        connections: raw.connections,
        concurrent_queries: raw.concurrent_queries,
        queued_queries: raw.queued_queries,
        stalled_queries: raw.stalled_queries,
        queue_timeout: Duration::from_millis(raw.queue_timeout_ms),
        query_timeout: Duration::from_millis(raw.query_timeout_ms),
        stream_idle: Duration::from_millis(raw.stream_idle_ms),
        statement_bytes: raw.statement_bytes,
        memory_bytes: raw.memory_bytes,
        spill_dir: raw.spill_dir.as_ref().map(|dir| base.join(dir)),
        spill_bytes: raw.spill_bytes,
        target_partitions: match raw.target_partitions {
            0 => 2 * cores,
            given => given,
        },
        batch_rows: raw.batch_rows,
        sessions: raw.sessions,
        session_idle: Duration::from_millis(raw.session_idle_ms),
        temporary_bytes: raw.temporary_bytes,
        temporary_session_bytes: raw.temporary_session_bytes,
        prepared_statements: raw.prepared_statements,
        prepared_bytes: raw.prepared_bytes,
        prepared_idle: Duration::from_millis(raw.prepared_idle_ms),
        planned_queries: raw.planned_queries,
        planned_bytes: raw.planned_bytes,
        ticket_ttl: Duration::from_millis(raw.ticket_ttl_ms),
        ticket_life: Duration::from_millis(raw.ticket_life_ms),
        endpoints: raw.endpoints,
        endpoint_bytes: raw.endpoint_bytes,
        endpoint_rows: raw.endpoint_rows,
        finished_queries: raw.finished_queries,
        request_bytes: raw.request_bytes,
        drain_timeout: Duration::from_millis(raw.drain_timeout_ms),
        login_delay_max: Duration::from_millis(raw.login_delay_ms_max),
    })
}

pub(super) fn cache(raw: &RawCache) -> CacheSizes {
    CacheSizes {
        metadata_bytes: raw.metadata_bytes,
        footer_bytes: raw.footer_bytes,
        column_bytes: raw.column_bytes,
        delete_bytes: raw.delete_bytes,
    }
}

/// What a new session starts with, and how many seconds saving one USD is worth.
pub(super) fn defaults(
    raw: &RawDefaults,
    at: &KeyPath,
    members: &[MemberSpec],
    sites: &SitesSpec,
) -> Result<(SessionSettings, f64), Problem> {
    if !raw.seconds_per_usd.is_finite() || raw.seconds_per_usd < 0.0 {
        return Err(at
            .key("seconds_per_usd")
            .problem("must be 0 or a positive number"));
    }
    if let Some(catalog) = &raw.catalog
        && !members.iter().any(|m| m.name.as_str() == catalog)
    {
        return Err(at
            .key("catalog")
            .problem(format!("no [[catalog]] is named `{catalog}`")));
    }
    if raw.schema.is_some() && raw.catalog.is_none() {
        return Err(at
            .key("schema")
            .problem("a default schema needs a default `catalog`"));
    }
    let max_egress_usd = raw.max_egress_usd.map(|usd| usd.to_string());
    let mut settings = SessionSettings::default();
    let values = [
        ("freshness", Some(&raw.freshness)),
        ("placement", Some(&raw.placement)),
        ("stale_reads", Some(&raw.stale_reads)),
        ("max_egress_usd", max_egress_usd.as_ref()),
        ("time_zone", Some(&raw.time_zone)),
        ("catalog", raw.catalog.as_ref()),
        ("schema", raw.schema.as_ref()),
    ];
    for (key, value) in values {
        if let Some(value) = value {
            settings
                .set(&format!("landfast.{key}"), value)
                .map_err(|e| at.key(key).problem(e.to_string()))?;
        }
    }
    if let PlacementMode::Site(site) = &settings.placement
        && !sites.sites.iter().any(|known| known.id == *site)
    {
        return Err(at.key("placement").problem(format!(
            "no [[site]] is named `{site}`; write nearest, origin or a site's name"
        )));
    }
    Ok((settings, raw.seconds_per_usd))
}

pub(super) fn log(raw: &RawLog, at: &KeyPath) -> Result<LogConfig, Problem> {
    tracing_subscriber::EnvFilter::try_new(&raw.level).map_err(|e| {
        at.key("level").problem(format!(
            "`{}` is no log level: {e}; write error, warn, info, debug or trace",
            raw.level
        ))
    })?;
    Ok(LogConfig {
        format: match raw.format {
            RawLogFormat::Text => LogFormat::Text,
            RawLogFormat::Json => LogFormat::Json,
        },
        level: raw.level.clone(),
    })
}
