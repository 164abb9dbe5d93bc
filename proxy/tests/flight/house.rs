//! A whole service over tables that other engines wrote, and clients of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any,
    CommandPreparedStatementQuery, CommandStatementQuery, ProstMessageExt,
};
use arrow_flight::{Action, FlightDescriptor, FlightInfo, Ticket};
use bytes::Bytes;
use futures::TryStreamExt;
use landfast_proxy::serve::Running;
use landfast_proxy::{config, serve};
use prost::Message;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// Who may ask, with tokens of their own; all are readers.
pub(crate) const PRINCIPALS: [&str; 3] = ["ann", "bob", "cid"];

/// What seals tickets where a test does not say otherwise.
pub(crate) const KEY: &str = "a key of more than thirty-two letters";

/// Tables of the catalog `fixtures`, schema and name: together they have every type that is read.
pub(crate) const TABLES: [(&str, &str); 8] = [
    ("pyiceberg", "all_types"),
    ("spark", "types"),
    ("spark", "nested"),
    ("spark", "floats"),
    ("spark", "position_deletes"),
    ("spark", "schema_evolution"),
    ("java", "uuid_time_fixed"),
    ("java", "nanoseconds"),
];

/// A lake that services can be started over: certificates, and the folders of tables.
pub(crate) struct House {
    dir: TempDir,
    certificate: String,
}

impl House {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let certificate = made.cert.pem();
        std::fs::write(dir.path().join("server.pem"), &certificate).unwrap();
        std::fs::write(
            dir.path().join("server.key"),
            made.signing_key.serialize_pem(),
        )
        .unwrap();
        Self { dir, certificate }
    }

    /// Starts a service that signs with `key`; `limits` are lines of that section.
    pub(crate) async fn serve(&self, key: &str, limits: &str) -> Service {
        let key_file = format!("{}.signing", hex(&Sha256::digest(key)[..4]));
        std::fs::write(self.dir.path().join(&key_file), key).unwrap();
        let config = config::parse(&text(&key_file, limits), self.dir.path()).unwrap();
        let running = serve::start(config).await.unwrap();
        let url = format!("https://localhost:{}", running.flight_addr().port());
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.certificate))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap();
        Service {
            _running: running,
            endpoint,
        }
    }
}

fn text(key_file: &str, limits: &str) -> String {
    let lake = fixtures();
    let mut text = format!(
        "[proxy]\nsite = \"here\"\nlisten = \"127.0.0.1:0\"\nsigning_key_file = \"{key_file}\"\n\
         [proxy.tls]\ncert_file = \"server.pem\"\nkey_file = \"server.key\"\n\
         [limits]\n{limits}\n[log]\nlevel = \"error\"\n\
         [[site]]\nname = \"here\"\nholdings = \"all\"\n[site.store]\nkind = \"file\"\nroot = \"{}\"\n\
         [[site.prefix]]\ncanonical = \"gs://fixtures/\"\nat = \"lake/\"\norigin = true\n\
         [[catalog]]\nname = \"fixtures\"\nkind = \"folders\"\n",
        lake.display()
    );
    for (schema, table) in TABLES {
        text.push_str(&format!(
            "[[catalog.table]]\nschema = \"{schema}\"\nname = \"{table}\"\nlocation = \"gs://fixtures/{schema}/{table}\"\n"
        ));
    }
    for name in PRINCIPALS {
        text.push_str(&format!(
            "[[token]]\nprincipal = \"{name}\"\nrole = \"reader\"\nsha256 = \"{}\"\n",
            hex(&Sha256::digest(token(name)))
        ));
    }
    text
}

fn token(principal: &str) -> String {
    format!("the token of {principal}")
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A running service; it ends when it is dropped.
pub(crate) struct Service {
    _running: Running,
    endpoint: Endpoint,
}

impl Service {
    /// A client of this principal, on a connection of its own.
    pub(crate) async fn client(&self, principal: &str) -> Client {
        let channel = self.endpoint.connect().await.unwrap();
        let flight = FlightServiceClient::new(channel).max_decoding_message_size(64 << 20);
        Client {
            flight,
            authorization: format!("Bearer {}", token(principal)),
        }
    }
}

/// One client.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) flight: FlightServiceClient<Channel>,
    authorization: String,
}

impl Client {
    pub(crate) fn request<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        let value = self.authorization.parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        request
    }

    pub(crate) async fn info(&mut self, command: &[u8]) -> Result<FlightInfo, Status> {
        let descriptor = FlightDescriptor::new_cmd(command.to_vec());
        let request = self.request(descriptor);
        Ok(self.flight.get_flight_info(request).await?.into_inner())
    }

    /// The same by PollFlightInfo, polled until everything is there.
    pub(crate) async fn poll(&mut self, command: &[u8]) -> Result<FlightInfo, Status> {
        let mut descriptor = FlightDescriptor::new_cmd(command.to_vec());
        loop {
            let request = self.request(descriptor);
            let poll = self.flight.poll_flight_info(request).await?.into_inner();
            match poll.flight_descriptor {
                Some(next) => descriptor = next,
                None => return Ok(poll.info.unwrap()),
            }
        }
    }

    /// What GetSchema tells.
    pub(crate) async fn schema(&mut self, command: &[u8]) -> Result<Schema, Status> {
        let descriptor = FlightDescriptor::new_cmd(command.to_vec());
        let request = self.request(descriptor);
        let result = self.flight.get_schema(request).await?.into_inner();
        Ok(arrow_ipc::convert::try_schema_from_ipc_buffer(&result.schema).unwrap())
    }

    pub(crate) async fn prepare(
        &mut self,
        sql: &str,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let request = ActionCreatePreparedStatementRequest {
            query: sql.to_owned(),
            transaction_id: None,
        };
        let action = Action::new("CreatePreparedStatement", request.as_any().encode_to_vec());
        let request = self.request(action);
        let mut results = self.flight.do_action(request).await?.into_inner();
        let body = results.message().await?.unwrap().body;
        Ok(Any::decode(body).unwrap().unpack().unwrap().unwrap())
    }

    /// The schema that the stream itself tells, and the rows.
    pub(crate) async fn fetch(
        &mut self,
        ticket: impl Into<Bytes>,
    ) -> Result<(Arc<Schema>, Vec<RecordBatch>), Status> {
        let request = self.request(Ticket::new(ticket));
        let messages = self.flight.do_get(request).await?.into_inner();
        let mut stream =
            FlightRecordBatchStream::new_from_flight_data(messages.map_err(FlightError::from));
        let mut batches = vec![];
        while let Some(batch) = stream.try_next().await.map_err(status_of)? {
            batches.push(batch);
        }
        Ok((stream.schema().unwrap().clone(), batches))
    }
}

fn status_of(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => Status::internal(other.to_string()),
    }
}

/// The command that runs a statement.
pub(crate) fn query(sql: &str) -> Vec<u8> {
    let command = CommandStatementQuery {
        query: sql.to_owned(),
        transaction_id: None,
    };
    command.as_any().encode_to_vec()
}

/// The command that runs a prepared statement.
pub(crate) fn prepared(handle: &[u8]) -> Vec<u8> {
    let command = CommandPreparedStatementQuery {
        prepared_statement_handle: Bytes::copy_from_slice(handle),
    };
    command.as_any().encode_to_vec()
}

/// The tickets of all endpoints.
pub(crate) fn tickets(info: &FlightInfo) -> Vec<Bytes> {
    let ticket = |endpoint: &arrow_flight::FlightEndpoint| endpoint.ticket.clone().unwrap().ticket;
    info.endpoint.iter().map(ticket).collect()
}
