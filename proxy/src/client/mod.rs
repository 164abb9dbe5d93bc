//! A small Flight SQL client: what `landfast sql` and the demo speak through.
//!
//! One client is one session. With a user it logs in by Handshake and keeps the token; in any case it sends back the
//! cookies it was given, so that `SET` holds from one statement to the next.

mod endpoint;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    CommandGetSqlInfo, CommandGetTables, CommandStatementQuery, ProstMessageExt,
};
use arrow_flight::{FlightDescriptor, FlightInfo, HandshakeRequest, Ticket};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

pub use endpoint::{Endpoint, EndpointError, TlsFiles};

/// A message may hold a batch of this many bytes.
const MESSAGE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Who the client says it is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Login {
    /// Nobody; right for a proxy in insecure mode.
    #[default]
    Nobody,
    /// A user with a password.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// A bearer token.
    Token(SecretString),
}

/// Why the client failed; the text is one or a few lines for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address can't be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No connection.
    #[error("{url}: no connection: {reason}")]
    Connect {
        /// Where to.
        url: String,
        /// What the transport said.
        reason: String,
    },
    /// The server refused.
    #[error("{} ({})", .0.message(), code_name(.0.code()))]
    Refused(Box<Status>),
    /// The server answered something that can't be read.
    #[error("the server's answer can't be read: {0}")]
    Unreadable(String),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl From<FlightError> for ClientError {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Self::Refused(status),
            other => Self::Unreadable(other.to_string()),
        }
    }
}

fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code::{
        Aborted, AlreadyExists, Cancelled, DataLoss, DeadlineExceeded, FailedPrecondition,
        Internal, InvalidArgument, NotFound, Ok, OutOfRange, PermissionDenied, ResourceExhausted,
        Unauthenticated, Unavailable, Unimplemented, Unknown,
    };
    match code {
        Ok => "OK",
        Cancelled => "CANCELLED",
        Unknown => "UNKNOWN",
        InvalidArgument => "INVALID_ARGUMENT",
        DeadlineExceeded => "DEADLINE_EXCEEDED",
        NotFound => "NOT_FOUND",
        AlreadyExists => "ALREADY_EXISTS",
        PermissionDenied => "PERMISSION_DENIED",
        ResourceExhausted => "RESOURCE_EXHAUSTED",
        FailedPrecondition => "FAILED_PRECONDITION",
        Aborted => "ABORTED",
        OutOfRange => "OUT_OF_RANGE",
        Unimplemented => "UNIMPLEMENTED",
        Internal => "INTERNAL",
        Unavailable => "UNAVAILABLE",
        DataLoss => "DATA_LOSS",
        Unauthenticated => "UNAUTHENTICATED",
    }
}

/// A session with a Flight SQL server.
#[derive(Debug)]
pub struct Client {
    inner: FlightServiceClient<Channel>,
    authorization: Option<MetadataValue<Ascii>>,
    cookies: BTreeMap<String, String>,
}

/// One statement that was sent: its schema, and where its rows are.
#[derive(Debug)]
pub struct Execution {
    /// What the server put beside the plan; Landfast puts the query's id.
    pub app_metadata: Bytes,
    /// The columns.
    pub schema: SchemaRef,
    tickets: Vec<Ticket>,
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When nothing answers there, or the server refuses the log-in.
    pub async fn connect(endpoint: &Endpoint, login: Login) -> Result<Self, ClientError> {
        let channel = endpoint.connect().await?;
        let inner = FlightServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut client = Self {
            inner,
            authorization: None,
            cookies: BTreeMap::new(),
        };
        match login {
            Login::Nobody => client.begin_session().await?,
            Login::Token(token) => {
                client.authorization = Some(header(&format!("Bearer {}", token.expose_secret()))?);
                client.begin_session().await?;
            }
            Login::Password { user, password } => client.handshake(&user, &password).await?,
        }
        Ok(client)
    }

    /// Where the session is kept by a cookie, it comes with the first answer: a `SET` that came before it would be
    /// one of no session. So something that changes nothing is asked first, which every server knows.
    async fn begin_session(&mut self) -> Result<(), ClientError> {
        let about = CommandGetSqlInfo { info: vec![0] };
        match self.command(about.as_any().encode_to_vec()).await {
            Err(ClientError::Refused(status)) if status.code() == tonic::Code::Unimplemented => {
                Ok(())
            }
            answer => answer.map(drop),
        }
    }

    async fn handshake(&mut self, user: &str, password: &SecretString) -> Result<(), ClientError> {
        let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        let mut request = Request::new(futures::stream::iter([HandshakeRequest::default()]));
        request
            .metadata_mut()
            .insert("authorization", header(&format!("Basic {pair}"))?);
        let response = self.inner.handshake(request).await?;
        self.keep_cookies(response.metadata());
        let token = response.metadata().get("authorization").cloned();
        // The answer is read to its end: a server may refuse only there.
        let mut answers = response.into_inner();
        let mut payload = Bytes::new();
        while let Some(answer) = answers.message().await? {
            payload = answer.payload;
        }
        self.authorization = match token {
            Some(token) => Some(token),
            None if !payload.is_empty() => {
                let token = String::from_utf8_lossy(&payload);
                Some(header(&format!("Bearer {token}"))?)
            }
            None => {
                return Err(ClientError::Unreadable(
                    "no token came with the log-in".to_owned(),
                ));
            }
        };
        Ok(())
    }

    /// Sends one statement. A query is planned by this, a command is run; rows come with [`Client::rows`].
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn execute(&mut self, sql: &str) -> Result<Execution, ClientError> {
        let command = CommandStatementQuery {
            query: sql.to_owned(),
            transaction_id: None,
        };
        self.command(command.as_any().encode_to_vec()).await
    }

    /// The tables and views of the namespace, Landfast's own left out: of one catalog, and of schemas like a SQL pattern, where given.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn tables(
        &mut self,
        catalog: Option<String>,
        schema_pattern: Option<String>,
    ) -> Result<Execution, ClientError> {
        let command = CommandGetTables {
            catalog,
            db_schema_filter_pattern: schema_pattern,
            table_name_filter_pattern: None,
            table_types: vec!["TABLE".to_owned(), "VIEW".to_owned()],
            include_schema: false,
        };
        self.command(command.as_any().encode_to_vec()).await
    }

    async fn command(&mut self, command: Vec<u8>) -> Result<Execution, ClientError> {
        let request = self.request(FlightDescriptor::new_cmd(command))?;
        let response = self.inner.get_flight_info(request).await?;
        self.keep_cookies(response.metadata());
        let info: FlightInfo = response.into_inner();
        let app_metadata = info.app_metadata.clone();
        let tickets = info
            .endpoint
            .iter()
            .filter_map(|endpoint| endpoint.ticket.clone())
            .collect();
        // A command without a result has no schema either.
        let schema = if info.schema.is_empty() {
            Schema::empty()
        } else {
            info.try_decode_schema()
                .map_err(|e| ClientError::Unreadable(e.to_string()))?
        };
        Ok(Execution {
            app_metadata,
            schema: schema.into(),
            tickets,
        })
    }

    /// The rows of a statement, as they come.
    ///
    /// # Errors
    /// What the server refuses; once the rows flow, an error is the last item.
    pub async fn rows(
        &mut self,
        execution: &Execution,
    ) -> Result<
        impl futures::Stream<Item = Result<RecordBatch, ClientError>> + Unpin + use<>,
        ClientError,
    > {
        let requests = execution.tickets.iter();
        let requests = requests.map(|ticket| self.request(ticket.clone()));
        let mut requests = requests.collect::<Result<Vec<_>, _>>()?.into_iter();
        let first = match requests.next() {
            Some(request) => {
                let response = self.inner.do_get(request).await?;
                self.keep_cookies(response.metadata());
                Some(Ok::<_, ClientError>(batches(response)))
            }
            None => None,
        };
        // One after the other: what several streams of a connection hold unread, none of them can use.
        let inner = self.inner.clone();
        let others = futures::stream::iter(requests).then(move |request| {
            let mut inner = inner.clone();
            async move { Ok(batches(inner.do_get(request).await?)) }
        });
        Ok(futures::stream::iter(first)
            .chain(others)
            .try_flatten()
            .boxed())
    }

    /// Sends one statement and gathers all its rows; for statements that give few.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn query(&mut self, sql: &str) -> Result<(Execution, Vec<RecordBatch>), ClientError> {
        let execution = self.execute(sql).await?;
        let batches = self.rows(&execution).await?.try_collect().await?;
        Ok((execution, batches))
    }

    fn request<T>(&self, message: T) -> Result<Request<T>, ClientError> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request
                .metadata_mut()
                .insert("authorization", authorization.clone());
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request
                .metadata_mut()
                .insert("cookie", header(&pairs.join("; "))?);
        }
        Ok(request)
    }

    fn keep_cookies(&mut self, metadata: &MetadataMap) {
        let given = metadata.get_all("set-cookie");
        for text in given.iter().filter_map(|value| value.to_str().ok()) {
            let pair = text.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies
                    .insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}

fn batches(
    response: tonic::Response<tonic::Streaming<arrow_flight::FlightData>>,
) -> impl futures::Stream<Item = Result<RecordBatch, ClientError>> + use<> {
    let messages = response.into_inner().map_err(FlightError::from);
    FlightRecordBatchStream::new_from_flight_data(messages).map_err(ClientError::from)
}

fn header(text: &str) -> Result<MetadataValue<Ascii>, ClientError> {
    let mut value: MetadataValue<Ascii> = text.parse().map_err(|_| {
        ClientError::Unreadable(
            "a header of the request has letters that no header may have".to_owned(),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}
