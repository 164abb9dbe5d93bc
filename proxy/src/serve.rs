//! The whole service, put together in one place: sites → namespace → engine → Flight SQL → TLS and HTTP/2.
//!
//! [`start`] returns once queries are accepted. A stop lets running queries end, for as long as the configuration says.

mod accept;
mod listen;
mod parts;
mod reload;
mod running;
#[cfg(test)]
mod tests;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

pub use listen::check_address;
pub use parts::Parts;
pub(crate) use parts::{authenticator, namespace};
pub use running::Running;
use running::Tasks;
pub(crate) use tls::check_tls;

use crate::admin;
use crate::config::Config;
use crate::error::ProxyError;
use crate::policy;
use reload::Reload;
use tls::CurrentTls;

/// HTTP/2 windows: a client 40 ms away gets at most one window per round trip, and the defaults of 64 KiB would be
/// 1.6 MB/s.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// A client that is gone without a word is noticed by this.
const KEEPALIVE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(30);

/// Streams of one connection, so that one client can't take all memory by opening them: each may carry a whole message.
const STREAMS_PER_CONNECTION: u32 = 128;

/// Starts the service: listens, and returns when queries are accepted. Port 0 takes a free port; the real addresses are
/// in what is returned.
///
/// # Errors
/// When an address is taken, a certificate can't be used, or a part can't be set up. Sites and catalogs that are out of
/// reach don't keep the service from starting.
pub async fn start(config: Config) -> Result<Running, ProxyError> {
    crate::install_crypto();
    if config.insecure && !config.listen.ip().is_loopback() {
        return Err(ProxyError::Usage(format!(
            "without TLS and authentication only a loopback address may be served, not {}",
            config.listen
        )));
    }
    let tls = match &config.tls {
        Some(files) => Some(Arc::new(CurrentTls::load(files)?)),
        None => None,
    };
    let listener = listen::listen("Flight SQL", config.listen).await?;
    let flight_addr = listener.local_addr()?;
    let admin_listener = match config.admin_listen {
        Some(address) => Some(listen::listen("admin", address).await?),
        None => None,
    };
    let admin_addr = admin_listener
        .as_ref()
        .map(tokio::net::TcpListener::local_addr)
        .transpose()?;

    let parts = Parts::assemble(&config)?;
    parts.connections.raise_open_files();
    let stop = CancellationToken::new();

    let reload = Reload::new(
        tls.clone(),
        Arc::clone(&parts.auth),
        Arc::clone(&parts.sessions),
        config.access.clone(),
        config.known(),
        parts.audit.clone(),
        config.reload_every,
    );
    let reload_task = tokio::spawn(Arc::clone(&reload).run());
    if let Some(file) = config.policy.clone() {
        let engine = parts.engine.clone();
        tokio::spawn(policy::follow(file, engine, stop.clone()));
    }

    let mut server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    let flight = parts.flight.clone().into_server();
    let incoming = accept::connections(listener, tls, Arc::clone(&parts.connections));
    let stopped = stop.clone();
    let flight_task = tokio::spawn(async move {
        server
            .add_service(flight)
            .serve_with_incoming_shutdown(incoming, stopped.cancelled_owned())
            .await
            .map_err(|e| ProxyError::Service(deepest(&e)))
    });

    let admin_task = admin_listener.map(|listener| {
        let router = admin::router(parts.admin_sources());
        let stopped = stop.clone();
        tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(stopped.cancelled_owned())
                .await
                .map_err(ProxyError::Terminal)
        })
    });

    tracing::info!(
        flight = %flight_addr,
        admin = admin_addr.map(|a: SocketAddr| a.to_string()),
        site = %parts.sites.reader(),
        insecure = config.insecure,
        "accepting queries"
    );
    Ok(Running::new(
        flight_addr,
        admin_addr,
        parts,
        config.limits.drain_timeout,
        stop,
        Tasks {
            flight: flight_task,
            admin: admin_task,
            reload: reload_task,
        },
        reload,
    ))
}

/// The innermost cause: the outer ones only say that there is one.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
