//! Canned answers for Arrow's own integration scenarios, served by Landfast's dispatcher.
//!
//! Arrow tests its implementations against one another by scenarios: a server gives the answers that a scenario is
//! made of, and a client checks what arrives. Here the server is [`Dispatcher`] over one small [`Backend`] for each
//! scenario, so that what is proved is the dispatcher: how commands are told apart, and how replies are packed. What
//! each answer is, is read from the client's source at the version that [`crate::parts`] pins.

mod access;
mod expiring;
mod flights;
pub mod ingesting;
mod sessions;
pub mod sql;
mod uploads;

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::FlightServiceServer;
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket};
use arrow_ipc::writer::IpcWriteOptions;
use futures::{StreamExt, TryStreamExt, stream};
use landfast_proxy::flight::dispatch::{Backend, Dispatcher, FlightStream};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// A scenario of Arrow's integration tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "these are Arrow's own names")]
pub enum Scenario {
    AuthBasicProto,
    Middleware,
    Ordered,
    ExpirationTimeDoGet,
    ExpirationTimeListActions,
    ExpirationTimeCancelFlightInfo,
    ExpirationTimeRenewFlightEndpoint,
    DoExchangeEcho,
    LocationReuseConnection,
    SessionOptions,
    PollFlightInfo,
    AppMetadataFlightInfoEndpoint,
    FlightSql,
    FlightSqlExtension,
    FlightSqlIngestion,
    /// The one without a name: what is put under a path comes back as it was.
    Uploads,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::AuthBasicProto,
        Self::Middleware,
        Self::Ordered,
        Self::ExpirationTimeDoGet,
        Self::ExpirationTimeListActions,
        Self::ExpirationTimeCancelFlightInfo,
        Self::ExpirationTimeRenewFlightEndpoint,
        Self::DoExchangeEcho,
        Self::LocationReuseConnection,
        Self::SessionOptions,
        Self::PollFlightInfo,
        Self::AppMetadataFlightInfoEndpoint,
        Self::FlightSql,
        Self::FlightSqlExtension,
        Self::FlightSqlIngestion,
        Self::Uploads,
    ];

    /// Its name in Arrow's programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::AuthBasicProto => "auth:basic_proto",
            Self::Middleware => "middleware",
            Self::Ordered => "ordered",
            Self::ExpirationTimeDoGet => "expiration_time:do_get",
            Self::ExpirationTimeListActions => "expiration_time:list_actions",
            Self::ExpirationTimeCancelFlightInfo => "expiration_time:cancel_flight_info",
            Self::ExpirationTimeRenewFlightEndpoint => "expiration_time:renew_flight_endpoint",
            Self::DoExchangeEcho => "do_exchange:echo",
            Self::LocationReuseConnection => "location:reuse_connection",
            Self::SessionOptions => "session_options",
            Self::PollFlightInfo => "poll_flight_info",
            Self::AppMetadataFlightInfoEndpoint => "app_metadata_flight_info_endpoint",
            Self::FlightSql => "flight_sql",
            Self::FlightSqlExtension => "flight_sql:extension",
            Self::FlightSqlIngestion => "flight_sql:ingestion",
            Self::Uploads => "",
        }
    }
}

/// A running server of one scenario; dropping it ends it.
#[derive(Debug)]
pub struct Served {
    port: u16,
    _task: AbortOnDropHandle<()>,
}

impl Served {
    /// The port of the loopback address that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Serves a scenario on a free port.
///
/// # Errors
/// When no port is to be had.
pub async fn serve(scenario: Scenario) -> Result<Served> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("listen on a free port")?;
    let port = listener.local_addr().context("tell the port")?.port();
    let task = match scenario {
        Scenario::AuthBasicProto => run(listener, access::BasicProto),
        Scenario::Middleware => run(listener, access::Middleware),
        Scenario::Ordered => run(listener, flights::Ordered),
        Scenario::ExpirationTimeDoGet
        | Scenario::ExpirationTimeListActions
        | Scenario::ExpirationTimeCancelFlightInfo
        | Scenario::ExpirationTimeRenewFlightEndpoint => {
            run(listener, expiring::Expiring::default())
        }
        Scenario::DoExchangeEcho => run(listener, flights::Echo),
        Scenario::LocationReuseConnection => run(listener, flights::ReuseConnection),
        Scenario::SessionOptions => run(listener, sessions::Options::default()),
        Scenario::PollFlightInfo => run(listener, flights::Polled),
        Scenario::AppMetadataFlightInfoEndpoint => run(listener, flights::AppMetadata),
        Scenario::FlightSql | Scenario::FlightSqlExtension => run(listener, sql::Canned),
        Scenario::FlightSqlIngestion => run(listener, ingesting::Ingesting),
        Scenario::Uploads => run(listener, uploads::Uploads::new(port)),
    };
    Ok(Served {
        port,
        _task: AbortOnDropHandle::new(task),
    })
}

fn run<B: Backend>(listener: TcpListener, backend: B) -> tokio::task::JoinHandle<()> {
    let service = FlightServiceServer::new(Dispatcher::new(backend));
    let serving = Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            crate::tell(&format!("the server of a scenario ended: {error}"));
        }
    })
}

/// The mark of this module's servers: nobody is asked who they are.
type Anybody = ();

/// Batches as a DoGet gives them, the schema first.
fn flow(schema: SchemaRef, batches: Vec<RecordBatch>) -> FlightStream {
    FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .build(stream::iter(batches.into_iter().map(Ok)))
        .map_err(Status::from)
        .boxed()
}

/// A FlightInfo whose endpoints have these tickets and no locations.
fn info(
    schema: &Schema,
    descriptor: FlightDescriptor,
    tickets: impl IntoIterator<Item = Vec<u8>>,
) -> Result<FlightInfo, Status> {
    let info = FlightInfo::new()
        .with_descriptor(descriptor)
        .try_with_schema(schema)
        .map_err(|error| Status::internal(error.to_string()))?;
    Ok(tickets.into_iter().fold(info, |info, ticket| {
        info.with_endpoint(FlightEndpoint::new().with_ticket(Ticket::new(ticket)))
    }))
}

/// A schema as GetSchema gives it.
fn schema_bytes(schema: &Schema) -> Result<bytes::Bytes, Status> {
    let options = IpcWriteOptions::default();
    let message = IpcMessage::try_from(SchemaAsIpc::new(schema, &options));
    let IpcMessage(bytes) = message.map_err(|error| Status::internal(error.to_string()))?;
    Ok(bytes)
}

/// A schema of one column that is not null.
fn number(data_type: arrow::datatypes::DataType) -> SchemaRef {
    let field = arrow::datatypes::Field::new("number", data_type, false);
    Arc::new(Schema::new(vec![field]))
}
