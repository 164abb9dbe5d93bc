//! The service over a real channel, on an engine with a SQLite catalog and a directory as its site.

mod access;
mod cancelling;
mod commands;
mod gate;
mod handshake;
mod ingesting;
mod lake;
mod polling;
mod profiles;
mod sessions;
mod shares;
mod statements;
mod streams;
mod substrait;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any,
    CommandPreparedStatementQuery, CommandStatementQuery, CommandStatementUpdate,
    DoPutUpdateResult, ProstMessageExt,
};
use arrow_flight::{
    Action, CancelStatus, FlightData, FlightDescriptor, FlightInfo, PollInfo, Ticket,
};
use bytes::Bytes;
use futures::TryStreamExt;
use landfast_catalog::{CatalogName, MemberKind, MemberSpec, Namespace, NamespaceSpec, SqlSpec};
use landfast_planner::{Engine, EngineSpec, Groups, Role};
use landfast_sites::Sites;
use prost::Message;
use sha2::{Digest, Sha256};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use super::*;
use crate::auth::{Access, AuthSpec, StaticToken, User, hash_password};
use crate::cpu::CpuRuntime;
use crate::metrics::Metrics;
use crate::session::SessionLimits;
use crate::system::SystemCatalog;

/// A running service; it ends with the test's runtime.
struct Service {
    queries: Arc<QueryRegistry>,
    admission: Arc<Admission>,
    core: Arc<Core>,
    channel: Channel,
    _lake: Arc<tempfile::TempDir>,
}

/// One client of it, with the headers that it sends.
#[derive(Clone)]
struct Client {
    flight: FlightServiceClient<Channel>,
    headers: MetadataMap,
}

async fn service(limits: Limits) -> Service {
    let lake = Arc::new(tempfile::tempdir().unwrap());
    let sites = lake::one_site(lake.path());
    service_over(limits, lake, sites, |_| {}).await
}

/// A proxy over a lake that others may be over too, all of one federation.
async fn service_over(
    limits: Limits,
    lake: Arc<tempfile::TempDir>,
    sites: Arc<Sites>,
    change: impl FnOnce(&mut EngineSpec),
) -> Service {
    let namespace = Namespace::new(
        NamespaceSpec::new(vec![MemberSpec {
            name: CatalogName::new("lake").unwrap(),
            kind: MemberKind::Sql(SqlSpec {
                url: format!("sqlite://{}/catalog.db?mode=rwc", lake.path().display()).into(),
                catalog_name: "lake".into(),
                create_tables: true,
            }),
            timeout: Duration::from_secs(30),
        }]),
        sites.clone(),
    )
    .unwrap();
    let mut spec = EngineSpec::new(namespace.clone());
    change(&mut spec);
    let engine = Engine::new(spec).unwrap();
    let queries = QueryRegistry::new(100, sites.clone(), Metrics::new().unwrap());
    engine.set_system_tables(SystemCatalog::new(sites, namespace, queries.clone()));
    let access = Access {
        users: [
            ("ann", Role::Engineer),
            ("bob", Role::Reader),
            ("olga", Role::Operator),
        ]
        .map(|(name, role)| User {
            name: name.into(),
            password_hash: hash_password(name).unwrap(),
            role,
            groups: Groups::default(),
        })
        .into(),
        tokens: vec![StaticToken {
            sha256: Sha256::digest(b"robot-token").into(),
            principal: "robot".into(),
            role: Role::Engineer,
            groups: Groups::default(),
        }],
        ..Access::default()
    };
    let auth = Authenticator::new(AuthSpec {
        access,
        ..AuthSpec::default()
    })
    .unwrap();
    let admission = Admission::new(&limits);
    let flight = FlightSql::new(FlightSpec {
        cpu: Arc::new(CpuRuntime::new().unwrap()),
        sessions: Arc::new(Sessions::new(
            SessionLimits::default(),
            engine.defaults().clone(),
            b"key",
        )),
        engine,
        audit: None,
        auth: Arc::new(auth),
        queries: queries.clone(),
        admission: admission.clone(),
        limits,
        signing_key: b"key".to_vec(),
        advertise: None,
    })
    .unwrap();
    let core = flight.core.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        Server::builder()
            .add_service(flight.into_server())
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let channel = Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    Service {
        queries,
        admission,
        core,
        channel,
        _lake: lake,
    }
}

impl Service {
    /// A client that sends nothing about itself.
    fn nobody(&self) -> Client {
        Client {
            flight: FlightServiceClient::new(self.channel.clone()),
            headers: MetadataMap::new(),
        }
    }

    /// A client that has logged in with its name as its password.
    async fn login(&self, name: &str) -> Client {
        use base64::Engine;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{name}"));
        let mut client = self
            .nobody()
            .with("authorization", &format!("Basic {basic}"));
        let answer = client.handshake().await.unwrap();
        let bearer = answer
            .metadata()
            .get("authorization")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        self.nobody().with("authorization", &bearer)
    }

    /// A client with the static token.
    fn robot(&self) -> Client {
        self.nobody().with("authorization", "Bearer robot-token")
    }
}

impl Client {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    fn request<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        *request.metadata_mut() = self.headers.clone();
        request
    }

    async fn handshake(
        &mut self,
    ) -> Result<Response<tonic::Streaming<arrow_flight::HandshakeResponse>>, Status> {
        let request = self.request(futures::stream::iter([
            arrow_flight::HandshakeRequest::default(),
        ]));
        self.flight.handshake(request).await
    }

    async fn info_response(
        &mut self,
        command: &impl ProstMessageExt,
    ) -> Result<Response<FlightInfo>, Status> {
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        self.flight.get_flight_info(self.request(descriptor)).await
    }

    async fn info(&mut self, sql: &str) -> Result<FlightInfo, Status> {
        let command = CommandStatementQuery {
            query: sql.into(),
            transaction_id: None,
        };
        Ok(self.info_response(&command).await?.into_inner())
    }

    async fn get(&mut self, ticket: Ticket) -> Result<tonic::Streaming<FlightData>, Status> {
        Ok(self.flight.do_get(self.request(ticket)).await?.into_inner())
    }

    /// The schema that the stream itself tells, and the rows.
    async fn fetch(&mut self, ticket: Ticket) -> Result<(Arc<Schema>, Vec<RecordBatch>), Status> {
        let messages = self.get(ticket).await?.map_err(FlightError::from);
        let mut stream = FlightRecordBatchStream::new_from_flight_data(messages);
        let mut batches = vec![];
        while let Some(batch) = stream.try_next().await.map_err(status_of)? {
            batches.push(batch);
        }
        Ok((stream.schema().unwrap().clone(), batches))
    }

    /// Runs a query to its end.
    async fn rows(&mut self, sql: &str) -> Result<Vec<RecordBatch>, Status> {
        let info = self.info(sql).await?;
        Ok(self.fetch(ticket(&info)).await?.1)
    }

    /// Runs an update as ADBC does: a descriptor and no schema.
    async fn update(&mut self, sql: &str) -> Result<i64, Status> {
        let command = CommandStatementUpdate {
            query: sql.into(),
            transaction_id: None,
        };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let message = FlightData::new().with_descriptor(descriptor);
        let request = self.request(futures::stream::iter([message]));
        let mut results = self.flight.do_put(request).await?.into_inner();
        let result = results.message().await?.unwrap();
        Ok(DoPutUpdateResult::decode(result.app_metadata)
            .unwrap()
            .record_count)
    }

    async fn poll(&mut self, descriptor: FlightDescriptor) -> Result<PollInfo, Status> {
        let request = self.request(descriptor);
        Ok(self.flight.poll_flight_info(request).await?.into_inner())
    }

    /// The first result of an action, if it has any.
    async fn act(&mut self, name: &str, body: Vec<u8>) -> Result<Option<Bytes>, Status> {
        let request = self.request(Action::new(name, body));
        let mut results = self.flight.do_action(request).await?.into_inner();
        Ok(results.message().await?.map(|result| result.body))
    }

    async fn cancel(&mut self, info: &FlightInfo) -> Result<CancelStatus, Status> {
        let request = arrow_flight::CancelFlightInfoRequest::new(info.clone());
        let body = self
            .act("CancelFlightInfo", request.encode_to_vec())
            .await?;
        let result = arrow_flight::CancelFlightInfoResult::decode(body.unwrap()).unwrap();
        Ok(result.status())
    }

    async fn prepare(&mut self, sql: &str) -> Result<ActionCreatePreparedStatementResult, Status> {
        let request = ActionCreatePreparedStatementRequest {
            query: sql.into(),
            transaction_id: None,
        };
        let action = Action::new("CreatePreparedStatement", request.as_any().encode_to_vec());
        let mut results = self
            .flight
            .do_action(self.request(action))
            .await?
            .into_inner();
        let body = results.message().await?.unwrap().body;
        Ok(Any::decode(body).unwrap().unpack().unwrap().unwrap())
    }

    async fn schema(&mut self, command: &impl ProstMessageExt) -> Result<Schema, Status> {
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let result = self
            .flight
            .get_schema(self.request(descriptor))
            .await?
            .into_inner();
        Ok(arrow_ipc::convert::try_schema_from_ipc_buffer(&result.schema).unwrap())
    }
}

fn ticket(info: &FlightInfo) -> Ticket {
    info.endpoint[0].ticket.clone().unwrap()
}

fn query(sql: &str) -> CommandStatementQuery {
    CommandStatementQuery {
        query: sql.into(),
        transaction_id: None,
    }
}

fn prepared(handle: &Bytes) -> CommandPreparedStatementQuery {
    CommandPreparedStatementQuery {
        prepared_statement_handle: handle.clone(),
    }
}

fn status_of(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => Status::internal(other.to_string()),
    }
}

/// One column of a result, as text.
fn column(batches: &[RecordBatch], name: &str) -> Vec<String> {
    let text = |batch: &RecordBatch| {
        let column = batch.column_by_name(name).unwrap();
        (0..batch.num_rows())
            .map(|row| arrow::util::display::array_value_to_string(column, row).unwrap())
            .collect::<Vec<_>>()
    };
    batches.iter().flat_map(text).collect()
}
