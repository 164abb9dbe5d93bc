//! The configuration file exactly as it is written: every key, its type and its default, and nothing checked yet.
//!
//! `config/landfast.toml` documents each key where it stands; a test holds its commented defaults against the ones here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::raw_access::{RawAudit, RawCertificate, RawClientAuth, RawNameSource, RawOidc};
use super::raw_catalog::RawCatalog;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConfig {
    pub(crate) proxy: RawProxy,
    #[serde(default)]
    pub(crate) admin: RawAdmin,
    #[serde(default)]
    pub(crate) limits: RawLimits,
    #[serde(default)]
    pub(crate) cache: RawCache,
    #[serde(default)]
    pub(crate) defaults: RawDefaults,
    #[serde(default)]
    pub(crate) log: RawLog,
    #[serde(default)]
    pub(crate) authorization: RawAuthorization,
    #[serde(default)]
    pub(crate) user: Vec<RawUser>,
    #[serde(default)]
    pub(crate) token: Vec<RawToken>,
    #[serde(default)]
    pub(crate) certificate: Vec<RawCertificate>,
    #[serde(default)]
    pub(crate) oidc: Vec<RawOidc>,
    pub(crate) audit: Option<RawAudit>,
    #[serde(default)]
    pub(crate) site: Vec<RawSite>,
    #[serde(default)]
    pub(crate) link: Vec<RawLink>,
    #[serde(default)]
    pub(crate) catalog: Vec<RawCatalog>,
}

/// `[proxy]`: where this proxy stands and where it listens.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProxy {
    pub(crate) site: String,
    #[serde(default = "default_listen")]
    pub(crate) listen: String,
    #[serde(default)]
    pub(crate) insecure: bool,
    pub(crate) advertise: Option<String>,
    pub(crate) signing_key_file: Option<PathBuf>,
    pub(crate) signing_key_env: Option<String>,
    pub(crate) users_file: Option<PathBuf>,
    #[serde(default = "default_reload_ms")]
    pub(crate) reload_ms: u64,
    pub(crate) tls: Option<RawTls>,
}

fn default_reload_ms() -> u64 {
    5_000
}

fn default_listen() -> String {
    "127.0.0.1:31337".to_owned()
}

impl Default for RawProxy {
    fn default() -> Self {
        Self {
            site: String::new(),
            listen: default_listen(),
            insecure: false,
            advertise: None,
            signing_key_file: None,
            signing_key_env: None,
            users_file: None,
            reload_ms: default_reload_ms(),
            tls: None,
        }
    }
}

/// `[proxy.tls]`: PEM files.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTls {
    pub(crate) cert_file: PathBuf,
    pub(crate) key_file: PathBuf,
    pub(crate) client_ca_file: Option<PathBuf>,
    pub(crate) client_crl_file: Option<PathBuf>,
    pub(crate) client_auth: Option<RawClientAuth>,
    pub(crate) client_name: Option<RawNameSource>,
    pub(crate) client_groups: Option<bool>,
    pub(crate) client_role: Option<RawRole>,
}

/// `[admin]`: health and metrics over plain HTTP; absent means none.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAdmin {
    pub(crate) listen: Option<String>,
}

/// `[limits]`: what is refused, queued, spilled or cut off, and when.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawLimits {
    pub(crate) connections: usize,
    pub(crate) concurrent_queries: usize,
    pub(crate) queued_queries: usize,
    pub(crate) stalled_queries: usize,
    pub(crate) queue_timeout_ms: u64,
    pub(crate) query_timeout_ms: u64,
    pub(crate) stream_idle_ms: u64,
    pub(crate) statement_bytes: usize,
    pub(crate) memory_bytes: usize,
    pub(crate) spill_dir: Option<PathBuf>,
    pub(crate) spill_bytes: u64,
    pub(crate) target_partitions: usize,
    pub(crate) batch_rows: usize,
    pub(crate) sessions: usize,
    pub(crate) session_idle_ms: u64,
    pub(crate) temporary_bytes: usize,
    pub(crate) temporary_session_bytes: usize,
    pub(crate) prepared_statements: usize,
    pub(crate) prepared_bytes: usize,
    pub(crate) prepared_idle_ms: u64,
    pub(crate) planned_queries: usize,
    pub(crate) planned_bytes: usize,
    pub(crate) ticket_ttl_ms: u64,
    pub(crate) ticket_life_ms: u64,
    pub(crate) endpoints: usize,
    pub(crate) endpoint_bytes: u64,
    pub(crate) endpoint_rows: u64,
    pub(crate) finished_queries: usize,
    pub(crate) request_bytes: usize,
    pub(crate) drain_timeout_ms: u64,
    pub(crate) login_delay_ms_max: u64,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            concurrent_queries: 16,
            queued_queries: 1000,
            stalled_queries: 256,
            queue_timeout_ms: 30_000,
            query_timeout_ms: 3_600_000,
            stream_idle_ms: 300_000,
            statement_bytes: 1_048_576,
            memory_bytes: 4_294_967_296,
            spill_dir: None,
            spill_bytes: 53_687_091_200,
            target_partitions: 0,
            batch_rows: 16_384,
            sessions: 10_000,
            session_idle_ms: 3_600_000,
            temporary_bytes: 1_073_741_824,
            temporary_session_bytes: 268_435_456,
            prepared_statements: 10_000,
            prepared_bytes: 268_435_456,
            prepared_idle_ms: 3_600_000,
            planned_queries: 1_000,
            planned_bytes: 268_435_456,
            ticket_ttl_ms: 3_600_000,
            ticket_life_ms: 86_400_000,
            endpoints: 8,
            endpoint_bytes: 67_108_864,
            endpoint_rows: 4_000_000,
            finished_queries: 1_000,
            request_bytes: 67_108_864,
            drain_timeout_ms: 30_000,
            login_delay_ms_max: 10_000,
        }
    }
}

/// `[cache]`: memory given to what never changes.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawCache {
    pub(crate) metadata_bytes: u64,
    pub(crate) footer_bytes: u64,
    pub(crate) column_bytes: u64,
    pub(crate) delete_bytes: u64,
}

impl Default for RawCache {
    fn default() -> Self {
        Self {
            metadata_bytes: 536_870_912,
            footer_bytes: 268_435_456,
            column_bytes: 134_217_728,
            delete_bytes: 268_435_456,
        }
    }
}

/// `[defaults]`: what a new session starts with.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawDefaults {
    pub(crate) freshness: String,
    pub(crate) placement: String,
    pub(crate) catalog: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) stale_reads: String,
    pub(crate) max_egress_usd: Option<f64>,
    pub(crate) time_zone: String,
    pub(crate) seconds_per_usd: f64,
}

impl Default for RawDefaults {
    fn default() -> Self {
        Self {
            freshness: "bounded 60s".to_owned(),
            placement: "nearest".to_owned(),
            catalog: None,
            schema: None,
            stale_reads: "refuse".to_owned(),
            max_egress_usd: None,
            time_zone: "UTC".to_owned(),
            seconds_per_usd: 100.0,
        }
    }
}

/// `[log]`: what is written to standard error.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawLog {
    pub(crate) format: RawLogFormat,
    pub(crate) level: String,
}

impl Default for RawLog {
    fn default() -> Self {
        Self {
            format: RawLogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawLogFormat {
    Text,
    Json,
}

/// `[authorization]`: who may do what.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAuthorization {
    pub(crate) policy_file: Option<PathBuf>,
}

/// `[[user]]`: a name, an argon2 hash, a role and groups.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawUser {
    pub(crate) name: String,
    pub(crate) password_hash: String,
    #[serde(default)]
    pub(crate) role: RawRole,
    #[serde(default)]
    pub(crate) groups: Vec<String>,
}

/// `[[token]]`: a bearer token known by its SHA-256.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawToken {
    pub(crate) principal: String,
    #[serde(default)]
    pub(crate) role: RawRole,
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) sha256_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawRole {
    #[default]
    Reader,
    Engineer,
    Operator,
}

/// `[[site]]`: a place that stores bytes.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSite {
    pub(crate) name: String,
    pub(crate) store: RawStore,
    #[serde(default)]
    pub(crate) prefix: Vec<RawPrefix>,
    #[serde(default)]
    pub(crate) holdings: RawHoldings,
    #[serde(default = "default_inventory_refresh_ms")]
    pub(crate) inventory_refresh_ms: u64,
    #[serde(default = "default_connect_timeout_ms")]
    pub(crate) connect_timeout_ms: u64,
    #[serde(default = "default_request_timeout_ms")]
    pub(crate) request_timeout_ms: u64,
    #[serde(default = "default_retries")]
    pub(crate) retries: u32,
    pub(crate) simulate: Option<RawSimulate>,
}

fn default_inventory_refresh_ms() -> u64 {
    60_000
}

fn default_connect_timeout_ms() -> u64 {
    500
}

fn default_request_timeout_ms() -> u64 {
    30_000
}

fn default_retries() -> u32 {
    1
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RawHoldings {
    #[default]
    Listed,
    ListedNotResident,
    All,
}

/// `[site.store]`: one struct for all kinds, so that a typo is found at its own line; which keys go with which kind is
/// checked afterwards.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawStore {
    pub(crate) kind: RawStoreKind,
    pub(crate) root: Option<PathBuf>,
    pub(crate) endpoint: Option<String>,
    pub(crate) credential: Option<String>,
    pub(crate) credential_file: Option<PathBuf>,
    pub(crate) user_project: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) path_style: Option<bool>,
    pub(crate) allow_http: Option<bool>,
    pub(crate) access_key_id: Option<String>,
    pub(crate) secret_access_key_file: Option<PathBuf>,
    pub(crate) secret_access_key_env: Option<String>,
    pub(crate) session_token_file: Option<PathBuf>,
    pub(crate) session_token_env: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) key_env: Option<String>,
    pub(crate) sas_file: Option<PathBuf>,
    pub(crate) sas_env: Option<String>,
    pub(crate) tenant_id: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret_file: Option<PathBuf>,
    pub(crate) client_secret_env: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawStoreKind {
    Gcs,
    S3,
    Azure,
    File,
}

/// `[[site.prefix]]`: a canonical prefix and where this site keeps its copy.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPrefix {
    pub(crate) canonical: String,
    pub(crate) at: Option<String>,
    #[serde(default)]
    pub(crate) origin: bool,
}

/// `[site.simulate]`: a slower store than the real one.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSimulate {
    pub(crate) latency_ms: u64,
    pub(crate) bandwidth_bytes_per_s: Option<u64>,
}

/// `[[link]]`: what reading one site from another costs.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLink {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) latency_ms: f64,
    pub(crate) bandwidth_mbit_per_s: f64,
    #[serde(default)]
    pub(crate) usd_per_gib: f64,
}
