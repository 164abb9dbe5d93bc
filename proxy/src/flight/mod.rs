//! Flight SQL: our own dispatcher over the protocol's messages, and what Landfast answers.
//!
//! A query's way: `gate` asks `caller` who sent a call, `dispatch` receives it and decodes it, `service` has the answer to each
//! command; `statement` plans and pins (GetFlightInfo) and hands out a `ticket`; its DoGet takes the plan from `planned`, or plans again from the ticket, and
//! `stream` sends what `encode` makes of the batches. `command` runs what changes something, exactly once; `ingest` takes rows.
//! `fault` is the one place that knows gRPC codes.
//!
//! # Invariants
//! - A statement has one schema, `wire`'s, on every path: Prepare, GetSchema, GetFlightInfo, DoGet.
//! - Preparing and asking for a schema run nothing; one GetFlightInfo, or one DoPut, is one execution.
//! - A ticket or a handle opens nothing to anybody but the principal it was made for, who is asked again who they are.

mod caller;
mod cancelling;
mod catalog;
mod command;
mod compact;
pub mod dispatch;
mod encode;
mod fault;
mod fetch;
mod gate;
mod incoming;
mod ingest;
mod overrides;
mod parameters;
mod planned;
mod polling;
mod prepared;
mod preparing;
mod run;
pub(crate) mod sealing;
mod service;
mod session_options;
mod sql_info;
mod statement;
mod stream;
mod ticket;
mod wire;
mod xdbc;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use landfast_planner::Engine;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;

use crate::admission::Admission;
use crate::audit::Audit;
use crate::auth::Authenticator;
use crate::cpu::CpuRuntime;
use crate::limits::Limits;
use crate::queries::QueryRegistry;
use crate::session::Sessions;
use caller::Reception;
use dispatch::Dispatcher;
use gate::Gate;
use planned::{Planned, Waiting};
use polling::Polls;
use prepared::PreparedStatements;
use sql_info::ServerInfo;
use ticket::Tickets;

/// How often what is too old is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

/// What a [`FlightSql`] is made of.
#[derive(Debug)]
pub struct FlightSpec {
    /// Plans and runs statements.
    pub engine: Arc<Engine>,
    /// Tells who asks.
    pub auth: Arc<Authenticator>,
    /// Records who did what, if anything does.
    pub audit: Option<Arc<Audit>>,
    /// Keeps what was set.
    pub sessions: Arc<Sessions>,
    /// Knows every query.
    pub queries: Arc<QueryRegistry>,
    /// Lets queries in.
    pub admission: Arc<Admission>,
    /// Where queries are planned and run.
    pub cpu: Arc<CpuRuntime>,
    /// The service's bounds.
    pub limits: Limits,
    /// Seals tickets; the proxies of one federation share it.
    pub signing_key: Vec<u8>,
    /// The address that clients reach this proxy at, as a Flight URI; none means "where you are connected".
    pub advertise: Option<String>,
}

/// What every part of the service uses.
pub(in crate::flight) struct Core {
    engine: Arc<Engine>,
    reception: Reception,
    queries: Arc<QueryRegistry>,
    admission: Arc<Admission>,
    cpu: Arc<CpuRuntime>,
    limits: Limits,
    tickets: Tickets,
    planned: Waiting<Planned>,
    polls: Polls,
    prepared: PreparedStatements,
    info: ServerInfo,
    advertise: Option<String>,
}

/// The Flight SQL service.
#[derive(Clone)]
pub struct FlightSql {
    core: Arc<Core>,
}

impl std::fmt::Debug for FlightSql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlightSql")
            .field("limits", &self.core.limits)
            .finish_non_exhaustive()
    }
}

/// Why the service could not be put together.
#[derive(Debug, thiserror::Error)]
#[error("the Flight SQL service can't start: {0}")]
pub struct FlightError(String);

impl FlightSql {
    /// Puts the service together. Must be called on a tokio runtime: old handles are swept by a task of its own, which
    /// ends with the service.
    pub fn new(spec: FlightSpec) -> Result<Self, FlightError> {
        let limits = spec.limits;
        let core = Arc::new(Core {
            info: ServerInfo::new(&limits).map_err(|fault| FlightError(fault.to_string()))?,
            reception: Reception {
                auth: spec.auth,
                audit: spec.audit,
                sessions: spec.sessions,
                engine: Arc::clone(&spec.engine),
            },
            engine: spec.engine,
            queries: spec.queries,
            admission: spec.admission,
            cpu: spec.cpu,
            tickets: Tickets::new(
                &spec.signing_key,
                limits.ticket_ttl,
                limits.ticket_life,
                limits.ticket_bytes,
            ),
            polls: Polls::new(
                &spec.signing_key,
                limits.planned_queries,
                limits.planned_bytes,
                limits.planned_ttl,
            ),
            planned: Waiting::new(
                limits.planned_queries,
                limits.planned_bytes,
                limits.planned_ttl,
            ),
            prepared: PreparedStatements::new(
                limits.prepared_statements,
                limits.prepared_bytes,
                limits.prepared_idle,
            ),
            advertise: spec.advertise,
            limits,
        });
        tokio::spawn(sweep(Arc::downgrade(&core)));
        Ok(Self { core })
    }

    /// The service as tonic serves it, with our limits on messages. Only who is known gets a message in.
    pub fn into_server(
        self,
    ) -> impl Service<
        http::Request<Body>,
        Response = http::Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + NamedService
    + Clone
    + Send
    + Sync
    + 'static {
        let received_max = self.core.limits.message_bytes;
        let reception = self.core.reception.clone();
        let server = FlightServiceServer::new(Dispatcher::new(self.core))
            .max_decoding_message_size(received_max)
            // What we send is cut to size; a single larger row must still pass.
            .max_encoding_message_size(usize::MAX);
        Gate::new(server, reception)
    }
}

async fn sweep(core: Weak<Core>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(core) = core.upgrade() else { return };
        core.planned.sweep(Planned::need);
        core.polls.sweep();
        core.prepared.sweep();
        core.reception.sessions.sweep();
    }
}
