//! A reverse proxy before a server: counts requests, and fails on demand.
//!
//! "Stopped" is meant literally: every open connection breaks and no new one is served, so what lies behind is as
//! unreachable as a site whose line was cut, and the proxy can prove when: it knows how many reads it answered before
//! and how many it broke after.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::gate::{Fuse, Gate, GatedListener};
use self::tokens::Guard;
use crate::stores::runtime;

mod gate;
mod tokens;

pub use self::tokens::OAuth2;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// This status, and nothing forwarded.
    Status(u16),
    /// The connection breaks after this many body bytes.
    CutAfter(usize),
    /// Not answered until the proxy is healed; then the connection breaks.
    Hang,
    /// Answered after this long.
    Delay(Duration),
}

/// A request that came by.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query, as sent.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: HashMap<String, String>,
}

impl Seen {
    /// Whether a data file is read, or a part of one.
    pub fn is_read(&self) -> bool {
        // Clients may write the dot as %2E.
        let object = self.path.split('?').next().unwrap_or_default();
        self.method == "GET" && object.ends_with("parquet")
    }
}

/// A running reverse proxy; see the module.
#[derive(Debug)]
pub struct Reverse {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    gate: Gate,
    guard: Guard,
    state: Mutex<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    rules: Vec<(String, Fault)>,
    /// Ends what hangs; replaced when it has.
    hung: CancellationToken,
    seen: Vec<Seen>,
    /// Stops before the read that comes after this many more.
    reads_left: Option<u64>,
    /// Reads let through since [`Reverse::stop_after_reads`].
    reads_served: u64,
    /// Requests that hang now.
    hanging: u64,
}

/// A request that hangs, until it is answered or given up by who sent it.
struct Hanging(Arc<Shared>);

impl Hanging {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.state().hanging += 1;
        Self(Arc::clone(shared))
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.state().hanging -= 1;
    }
}

impl Reverse {
    /// Puts a proxy before `upstream` (scheme, host and port).
    ///
    /// # Errors
    /// When there is no port left.
    pub fn before(upstream: &str) -> Result<Self> {
        runtime().block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .context("a port for a reverse proxy")?;
            let address = listener.local_addr()?;
            let shared = Arc::new(Shared {
                upstream: upstream.trim_end_matches('/').to_owned(),
                client: reqwest::Client::builder()
                    .redirect(reqwest::redirect::Policy::none())
                    .build()?,
                gate: Gate::default(),
                guard: Guard::default(),
                state: Mutex::default(),
            });
            let app = Router::new()
                .fallback(serve)
                .with_state(Arc::clone(&shared))
                .into_make_service_with_connect_info::<Fuse>();
            let listener = GatedListener::new(listener, shared.gate.clone());
            tokio::spawn(async move { axum::serve(listener, app).await });
            Ok(Self { address, shared })
        })
    }

    /// What clients are told instead of the server's own endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Fails every request whose path contains `part`, until [`Reverse::heal`].
    pub fn fail(&self, part: &str, fault: Fault) {
        self.state().rules.push((part.to_owned(), fault));
    }

    /// Takes all faults back, and serves again if stopped.
    pub fn heal(&self) {
        let mut state = self.state();
        state.rules.clear();
        std::mem::take(&mut state.hung).cancel();
        state.reads_left = None;
        self.shared.gate.open();
    }

    /// Breaks every connection and serves none until [`Reverse::heal`].
    pub fn stop(&self) {
        self.shared.gate.close();
    }

    /// Answers `reads` more reads of objects (GETs of data files), whole; from the next on, nothing: its connection
    /// breaks, and so does every other that asks for anything, until [`Reverse::heal`].
    pub fn stop_after_reads(&self, reads: u64) {
        let mut state = self.state();
        state.reads_left = Some(reads);
        state.reads_served = 0;
    }

    /// Reads of objects that were let through since then.
    pub fn reads_served(&self) -> u64 {
        self.state().reads_served
    }

    /// Requests that hang now: neither answered nor given up.
    pub fn hanging(&self) -> u64 {
        self.state().hanging
    }

    /// Connections and requests that were broken because the proxy was stopped.
    pub fn broken(&self) -> u64 {
        self.shared.gate.broken()
    }

    /// Requests that came by since the last call.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state().seen)
    }

    /// From now on only requests with this bearer token pass; others get 401.
    pub fn require_bearer(&self, token: &str) {
        self.shared.guard.require_bearer(token);
    }

    /// From now on hands out tokens at `/v1/oauth/tokens` (also Google-style, at `/token`) and wants one of them, not
    /// expired, with every other request.
    pub fn require_oauth2(&self, oauth2: OAuth2) {
        self.shared.guard.require_oauth2(oauth2);
    }

    /// How many tokens were handed out, and how many requests came with an expired one.
    pub fn tokens(&self) -> (u64, u64) {
        self.shared.guard.counts()
    }

    fn state(&self) -> MutexGuard<'_, Faults> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Faults> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request; false when it is the one that stops the proxy.
    fn admit(&self, seen: Seen) -> bool {
        let mut state = self.state();
        if self.gate.is_refusing() {
            return false;
        }
        let is_read = seen.is_read();
        state.seen.push(seen);
        match (&mut state.reads_left, is_read) {
            (Some(0), true) => {
                self.gate.refuse();
                false
            }
            (Some(left), true) => {
                *left -= 1;
                state.reads_served += 1;
                true
            }
            _ => true,
        }
    }

    async fn forward(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.upstream))
            .body(body);
        for (name, value) in &headers {
            if name != header::HOST && name != header::CONNECTION {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await?;
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            if name != header::TRANSFER_ENCODING && name != header::CONNECTION {
                response = response.header(name, value);
            }
        }
        Ok(response.body(Body::from(answer.bytes().await?))?)
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(fuse): ConnectInfo<Fuse>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let path = head
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    let seen = Seen {
        method: head.method.to_string(),
        path: path.clone(),
        headers,
    };
    if !shared.admit(seen) {
        shared.gate.count_broken();
        fuse.blow();
        return std::future::pending().await;
    }
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return plain(StatusCode::BAD_REQUEST, "");
    };
    if let Some(answer) = shared
        .guard
        .answer(&head.method, &path, &head.headers, &body)
    {
        return answer;
    }
    let fault = shared
        .state()
        .rules
        .iter()
        .find(|(part, _)| path.contains(part.as_str()))
        .map(|(_, fault)| *fault);
    match fault {
        Some(Fault::Status(status)) => {
            return plain(
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                "a fault on demand",
            );
        }
        Some(Fault::Hang) => {
            let hung = shared.state().hung.clone();
            let hanging = Hanging::new(&shared);
            hung.cancelled().await;
            drop(hanging);
            fuse.blow();
            return std::future::pending().await;
        }
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(Fault::CutAfter(_)) | None => {}
    }
    match shared.forward(head.method, &path, head.headers, body).await {
        Ok(answer) => match fault {
            Some(Fault::CutAfter(bytes)) => cut(answer, bytes).await,
            _ => answer,
        },
        Err(error) => plain(StatusCode::BAD_GATEWAY, &format!("{error:#}")),
    }
}

/// The answer, its length as announced, its connection broken before the end.
async fn cut(answer: Response, bytes: usize) -> Response {
    let (head, body) = answer.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX)
        .await
        .unwrap_or_default();
    let part = whole.slice(..bytes.min(whole.len()));
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let stream = futures::stream::iter([Ok(part), Err(broken)]);
    let mut answer = Response::from_parts(head, Body::from_stream(stream));
    answer
        .headers_mut()
        .insert(header::CONTENT_LENGTH, whole.len().into());
    answer
}

fn plain(status: StatusCode, text: &str) -> Response {
    let mut answer = Response::new(Body::from(text.to_owned()));
    *answer.status_mut() = status;
    answer
}
