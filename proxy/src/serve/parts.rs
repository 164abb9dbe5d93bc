//! The parts of the service, each made from the one below it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use landfast_catalog::{Namespace, NamespaceSpec};
use landfast_planner::{Engine, EngineSpec};
use landfast_sites::Sites;
use secrecy::ExposeSecret;

use crate::admin::AdminSources;
use crate::admission::Admission;
use crate::audit::{Audit, AuditTarget};
use crate::auth::{AuthSpec, Authenticator};
use crate::config::Config;
use crate::connections::Connections;
use crate::cpu::CpuRuntime;
use crate::error::ProxyError;
use crate::flight::{FlightSpec, FlightSql};
use crate::limits::Limits;
use crate::metrics::{Metrics, Sources};
use crate::queries::QueryRegistry;
use crate::session::{SessionLimits, Sessions};
use crate::system::SystemCatalog;

/// How long a stop waits for the audit log to be written.
const AUDIT_CLOSE: Duration = Duration::from_secs(5);

/// What a running service is made of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Parts {
    /// Where the bytes are.
    pub sites: Arc<Sites>,
    /// What each table is.
    pub namespace: Arc<Namespace>,
    /// Plans and runs statements.
    pub engine: Arc<Engine>,
    pub(super) admission: Arc<Admission>,
    pub(super) connections: Arc<Connections>,
    pub(super) flight: FlightSql,
    pub(super) sessions: Arc<Sessions>,
    metrics: Arc<Metrics>,
    pub(super) auth: Arc<Authenticator>,
    pub(super) audit: Option<Arc<Audit>>,
}

impl Parts {
    /// Makes all parts. Nothing connects anywhere yet.
    pub(super) fn assemble(config: &Config) -> Result<Self, ProxyError> {
        let sites = Sites::new(config.sites.clone())?;
        let namespace = namespace(config, &sites)?;
        let engine = Engine::new(engine_spec(config, &sites, &namespace))?;
        if let Some(file) = &config.policy {
            engine.set_policy(file.policy.clone());
        }

        let limits = limits(config);
        let admission = Admission::new(&limits);
        let metrics = Metrics::new().map_err(|e| ProxyError::Service(e.to_string()))?;
        let signing_key = signing_key(config);
        let sessions = Arc::new(Sessions::new(
            SessionLimits {
                sessions_max: config.limits.sessions,
                idle: config.limits.session_idle,
            },
            config.defaults.clone(),
            &signing_key,
        ));
        let queries = QueryRegistry::new(
            config.limits.finished_queries,
            Arc::clone(&sites),
            Arc::clone(&metrics),
        );
        engine.set_system_tables(SystemCatalog::new(
            Arc::clone(&sites),
            Arc::clone(&namespace),
            Arc::clone(&queries),
        ));
        let auth = authenticator(config)?;
        let audit = audit(config)?;
        if let Some(audit) = &audit {
            queries.record_to(Arc::clone(audit));
        }
        let flight = FlightSql::new(FlightSpec {
            engine: Arc::clone(&engine),
            auth: Arc::clone(&auth),
            audit: audit.clone(),
            sessions: Arc::clone(&sessions),
            queries,
            admission: Arc::clone(&admission),
            cpu: Arc::new(CpuRuntime::new().map_err(ProxyError::Terminal)?),
            limits,
            signing_key,
            advertise: config.advertise.clone(),
        })
        .map_err(|e| ProxyError::Service(e.to_string()))?;
        Ok(Self {
            sites,
            namespace,
            engine,
            admission,
            connections: Connections::new(config.limits.connections),
            flight,
            sessions,
            metrics,
            auth,
            audit,
        })
    }

    /// Writes what the audit log still has to write.
    pub(super) async fn close_audit(&self) {
        if let Some(audit) = self.audit.clone() {
            // The task can't be cancelled, and ends by itself.
            drop(tokio::task::spawn_blocking(move || audit.close(AUDIT_CLOSE)).await);
        }
    }

    pub(super) fn admin_sources(&self) -> AdminSources {
        AdminSources {
            metrics: Arc::clone(&self.metrics),
            sources: Sources {
                sites: Arc::clone(&self.sites),
                namespace: Arc::clone(&self.namespace),
                engine: Arc::clone(&self.engine),
                sessions: Arc::clone(&self.sessions),
                admission: Arc::clone(&self.admission),
                connections: Arc::clone(&self.connections),
                auth: Arc::clone(&self.auth),
                audit: self.audit.clone(),
            },
        }
    }
}

/// What tells who asks.
pub(crate) fn authenticator(config: &Config) -> Result<Arc<Authenticator>, ProxyError> {
    let auth = Authenticator::new(AuthSpec {
        access: config.known(),
        certificate_role: config
            .tls
            .as_ref()
            .and_then(|tls| tls.clients.as_ref()?.role),
        login_delay_max: config.limits.login_delay_max,
        insecure: config.insecure,
    })
    .map_err(|e| ProxyError::Users(e.to_string()))?;
    Ok(Arc::new(auth))
}

fn audit(config: &Config) -> Result<Option<Arc<Audit>>, ProxyError> {
    let Some(spec) = &config.audit else {
        return Ok(None);
    };
    match Audit::start(spec.clone()) {
        Ok(audit) => Ok(Some(audit)),
        Err(error) => Err(ProxyError::File {
            path: match &spec.target {
                AuditTarget::File(path) => path.clone(),
                AuditTarget::Stdout => PathBuf::from("stdout"),
            },
            reason: format!("the audit log can't be written: {error}"),
        }),
    }
}

/// The namespace alone, for those who serve nothing.
pub(crate) fn namespace(config: &Config, sites: &Arc<Sites>) -> Result<Arc<Namespace>, ProxyError> {
    let mut spec = NamespaceSpec::new(config.members.clone());
    spec.metadata_cache_bytes = config.cache.metadata_bytes;
    Ok(Namespace::new(spec, Arc::clone(sites))?)
}

fn engine_spec(config: &Config, sites: &Arc<Sites>, namespace: &Arc<Namespace>) -> EngineSpec {
    EngineSpec {
        namespace: Arc::clone(namespace),
        sites: Arc::clone(sites),
        memory_limit_bytes: config.limits.memory_bytes,
        spill_dir: Some(spill_dir(config)),
        spill_limit_bytes: config.limits.spill_bytes,
        target_partitions: config.limits.target_partitions,
        batch_size: config.limits.batch_rows,
        footer_cache_bytes: config.cache.footer_bytes,
        column_cache_bytes: config.cache.column_bytes,
        delete_cache_bytes: config.cache.delete_bytes,
        seconds_per_usd: config.seconds_per_usd,
        defaults: config.defaults.clone(),
        statement_bytes_max: config.limits.statement_bytes,
        temporary_bytes: config.limits.temporary_bytes,
        temporary_session_bytes: config.limits.temporary_session_bytes,
    }
}

fn spill_dir(config: &Config) -> PathBuf {
    config
        .limits
        .spill_dir
        .clone()
        .unwrap_or_else(std::env::temp_dir)
}

fn limits(config: &Config) -> Limits {
    let from = &config.limits;
    Limits {
        concurrent_queries: from.concurrent_queries,
        queued_queries: from.queued_queries,
        stalled_queries: from.stalled_queries,
        queue_timeout: from.queue_timeout,
        query_timeout: from.query_timeout,
        stream_idle: from.stream_idle,
        statement_bytes: from.statement_bytes,
        prepared_statements: from.prepared_statements,
        prepared_bytes: from.prepared_bytes,
        prepared_idle: from.prepared_idle,
        planned_queries: from.planned_queries,
        planned_bytes: from.planned_bytes,
        ticket_ttl: from.ticket_ttl,
        ticket_life: from.ticket_life,
        endpoints_max: from.endpoints,
        endpoint_bytes: from.endpoint_bytes,
        endpoint_rows: from.endpoint_rows,
        message_bytes: from.request_bytes,
        ..Limits::default()
    }
}

/// The configured key, or a new one.
fn signing_key(config: &Config) -> Vec<u8> {
    match &config.signing_key {
        Some(key) => key.expose_secret().as_bytes().to_vec(),
        None => rand::random::<[u8; 32]>().to_vec(),
    }
}
