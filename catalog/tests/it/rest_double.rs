//! A REST catalog that says what a test tells it to, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use landfast_catalog::{CatalogName, MemberKind, MemberSpec, RestSpec};
use parking_lot::Mutex;
use rustls::ServerConfig;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// The path and query, encoded as they were sent.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn is(&self, method: &str, target: &str) -> bool {
        self.method == method && self.target == target
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What is answered.
pub(crate) enum Reply {
    Json(u16, Value),
    Tagged(Value, &'static str),
    Nothing(u16),
    /// No answer, ever.
    Hang,
}

impl Reply {
    pub(crate) fn ok(value: Value) -> Self {
        Self::Json(200, value)
    }

    pub(crate) fn error(status: u16, kind: &str, message: &str) -> Self {
        let error =
            serde_json::json!({"error": {"message": message, "type": kind, "code": status}});
        Self::Json(status, error)
    }
}

/// The server. Ends with the test's runtime.
pub(crate) struct RestDouble {
    pub(crate) uri: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl RestDouble {
    /// Starts a server that answers `/v1/config` with nothing in it unless `answer` does.
    pub(crate) async fn start(
        answer: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(answer, None).await
    }

    /// As [`RestDouble::start`], over TLS, as `localhost`.
    pub(crate) async fn start_tls(
        answer: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
        tls: ServerConfig,
    ) -> Self {
        Self::start_with(answer, Some(Arc::new(tls))).await
    }

    async fn start_with(
        answer: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (answer, noted) = (Arc::new(answer), seen.clone());
        let serve = move |request: Request| {
            let (answer, noted) = (answer.clone(), noted.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 1 << 20).await.unwrap();
                let seen = Seen {
                    method: parts.method.to_string(),
                    target: parts.uri.path_and_query().unwrap().to_string(),
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                };
                noted.lock().push(seen.clone());
                let reply = match answer(&seen) {
                    Some(reply) => reply,
                    None if seen.path() == "/v1/config" => {
                        Reply::ok(serde_json::json!({"defaults": {}, "overrides": {}}))
                    }
                    None => Reply::error(404, "NoSuchThing", "not in this test"),
                };
                respond(reply).await
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(serve);
        let uri = match tls {
            None => {
                tokio::spawn(async move { axum::serve(listener, app).await });
                format!("http://{address}")
            }
            Some(tls) => {
                let acceptor = TlsAcceptor::from(tls);
                let listener = TlsListener { listener, acceptor };
                tokio::spawn(async move { axum::serve(listener, app).await });
                format!("https://localhost:{}", address.port())
            }
        };
        Self { uri, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        self.seen
            .lock()
            .iter()
            .filter(|seen| seen.method == method && seen.path() == path)
            .count()
    }

    /// This server as a member named `lake`.
    pub(crate) fn member(&self, spec: RestSpec) -> MemberSpec {
        self.member_within(spec, Duration::from_secs(20))
    }

    pub(crate) fn member_within(&self, spec: RestSpec, timeout: Duration) -> MemberSpec {
        let kind = MemberKind::Rest(RestSpec {
            uri: self.uri.clone(),
            ..spec
        });
        MemberSpec {
            name: CatalogName::new("lake").unwrap(),
            kind,
            timeout,
        }
    }
}

async fn respond(reply: Reply) -> Response {
    let (status, value, etag) = match reply {
        Reply::Json(status, value) => (status, value, None),
        Reply::Tagged(value, etag) => (200, value, Some(etag)),
        Reply::Nothing(status) => {
            return Response::builder()
                .status(status)
                .body(Body::empty())
                .unwrap();
        }
        Reply::Hang => std::future::pending().await,
    };
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    if let Some(etag) = etag {
        response = response.header("etag", etag);
    }
    response.body(Body::from(value.to_string())).unwrap()
}

/// Takes connections whose TLS handshake succeeds.
struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
