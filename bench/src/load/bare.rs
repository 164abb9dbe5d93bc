//! arrow-flight's own encoder behind the smallest server there can be: what Landfast's DoGet is measured against.
//!
//! It serves the results of Landfast's engine, in process, in the types that Landfast sends. `held` results are computed
//! once and served from memory; others are computed for each DoGet, as Landfast does.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use serde_json::json;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use crate::in_process::InProcess;
use crate::protocol::Engine as _;

/// A ticket that begins with this is of a result that is held; the statement follows.
const HELD: &str = "held:";

type Answer<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

struct Bare {
    engine: InProcess,
    held: HashMap<String, (SchemaRef, Vec<RecordBatch>)>,
}

/// Serves until standard input ends, results of the statements in `hold` from memory. Says its port as the first line.
pub(crate) async fn serve(engine: InProcess, hold: Vec<String>) -> anyhow::Result<()> {
    let mut bare = Bare {
        engine,
        held: HashMap::new(),
    };
    for sql in hold {
        let (schema, batches) = bare.made(&sql).await?;
        let batches = batches.try_collect().await?;
        bare.held.insert(sql, (schema, batches));
    }
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let mut out = std::io::stdout();
    writeln!(out, "{}", json!({ "ready": true, "port": port }))?;
    out.flush()?;
    let ended = async {
        // An error ends it as well.
        let read = || std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        tokio::task::spawn_blocking(read).await.ok();
    };
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .tcp_nodelay(true)
        .add_service(FlightServiceServer::new(bare))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), ended)
        .await?;
    Ok(())
}

impl Bare {
    /// A statement's result in the types that Landfast sends.
    async fn made(
        &self,
        sql: &str,
    ) -> anyhow::Result<(
        SchemaRef,
        impl Stream<Item = Result<RecordBatch, FlightError>> + Send + use<>,
    )> {
        let stream = self.engine.start(sql).await?;
        let schema = plain_schema(&stream.schema());
        let to = schema.clone();
        let batches = stream.map(move |batch| {
            let batch = batch.map_err(|error| FlightError::ExternalError(Box::new(error)))?;
            Ok(plain(&batch, &to)?)
        });
        Ok((schema, batches))
    }
}

fn plain_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let of = match field.data_type() {
            DataType::Utf8View => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            of => of.clone(),
        };
        Field::new(field.name(), of, field.is_nullable())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn plain(batch: &RecordBatch, to: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(to.fields());
    let columns = columns.map(
        |(column, field)| match column.data_type() == field.data_type() {
            true => Ok(column.clone()),
            false => cast(column, field.data_type()),
        },
    );
    RecordBatch::try_new(to.clone(), columns.collect::<Result<_, _>>()?)
}

#[tonic::async_trait]
impl FlightService for Bare {
    type HandshakeStream = Answer<HandshakeResponse>;
    type ListFlightsStream = Answer<FlightInfo>;
    type DoGetStream = Answer<FlightData>;
    type DoPutStream = Answer<PutResult>;
    type DoExchangeStream = Answer<FlightData>;
    type DoActionStream = Answer<arrow_flight::Result>;
    type ListActionsStream = Answer<ActionType>;

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let ticket = request.into_inner().ticket;
        let sql = std::str::from_utf8(&ticket).map_err(|error| unusable(&error))?;
        let messages = match sql.strip_prefix(HELD) {
            Some(sql) => {
                let held = self
                    .held
                    .get(sql)
                    .ok_or_else(|| Status::not_found("not held"))?;
                let batches: Vec<_> = held.1.iter().cloned().map(Ok).collect();
                let encoder = FlightDataEncoderBuilder::new().with_schema(held.0.clone());
                encoder.build(futures::stream::iter(batches)).boxed()
            }
            None => {
                let made = self.made(sql).await;
                let (schema, batches) = made.map_err(|error| unusable(&error))?;
                let encoder = FlightDataEncoderBuilder::new().with_schema(schema);
                encoder.build(batches).boxed()
            }
        };
        Ok(Response::new(Box::pin(messages.map_err(Status::from))))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(only_do_get())
    }

    async fn list_flights(
        &self,
        _: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(only_do_get())
    }

    async fn get_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Err(only_do_get())
    }

    async fn poll_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        Err(only_do_get())
    }

    async fn get_schema(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        Err(only_do_get())
    }

    async fn do_put(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        Err(only_do_get())
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(only_do_get())
    }

    async fn do_action(
        &self,
        _: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        Err(only_do_get())
    }

    async fn list_actions(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        Err(only_do_get())
    }
}

fn unusable(error: &dyn std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

fn only_do_get() -> Status {
    Status::unimplemented("a bare server has DoGet alone")
}
