//! A service that runs, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Parts;
use super::reload::Reload;
use crate::error::ProxyError;

/// After the last query, connections get this long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// A service that accepts queries. Dropping it stops it at once, without waiting for queries.
#[derive(Debug)]
pub struct Running {
    flight_addr: SocketAddr,
    admin_addr: Option<SocketAddr>,
    parts: Parts,
    drain_timeout: Duration,
    stop: CancellationToken,
    tasks: Tasks,
    reload: Arc<Reload>,
}

/// What runs until the service ends.
#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) flight: JoinHandle<Result<(), ProxyError>>,
    pub(super) admin: Option<JoinHandle<Result<(), ProxyError>>>,
    pub(super) reload: JoinHandle<()>,
}

impl Running {
    pub(super) fn new(
        flight_addr: SocketAddr,
        admin_addr: Option<SocketAddr>,
        parts: Parts,
        drain_timeout: Duration,
        stop: CancellationToken,
        tasks: Tasks,
        reload: Arc<Reload>,
    ) -> Self {
        Self {
            flight_addr,
            admin_addr,
            parts,
            drain_timeout,
            stop,
            tasks,
            reload,
        }
    }

    /// Where Flight SQL is served, with the real port.
    pub fn flight_addr(&self) -> SocketAddr {
        self.flight_addr
    }

    /// Where health and metrics are served, if they are.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// What the service is made of.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Looks at the files that may have changed, and returns when it has.
    #[cfg(test)]
    pub(super) async fn reload_now(&self) {
        self.reload.look_now().await;
    }

    /// Refuses new queries, lets running ones end for as long as the configuration says, and stops.
    ///
    /// # Errors
    /// When the service had stopped before because of a fault.
    pub async fn shutdown(mut self) -> Result<(), ProxyError> {
        let drained = self.parts.admission.drain(self.drain_timeout).await;
        if !drained {
            tracing::warn!(
                running = self.parts.admission.running(),
                waited_ms = u64::try_from(self.drain_timeout.as_millis()).unwrap_or(u64::MAX),
                "queries still run and are cut off"
            );
        }
        self.stop.cancel();
        let ended = tokio::time::timeout(GOODBYE, &mut self.tasks.flight).await;
        let result = match ended {
            Ok(joined) => flatten(joined),
            // Connections that stay open, or streams that nobody reads: dropping the server closes them.
            Err(_) => {
                self.tasks.flight.abort();
                Ok(())
            }
        };
        if let Some(admin) = self.tasks.admin.take() {
            admin.abort();
        }
        self.parts.close_audit().await;
        tracing::info!(drained, "stopped");
        result
    }

    /// Serves until the process is told to stop (SIGTERM, SIGINT), then shuts down; a second signal stops at once.
    ///
    /// # Errors
    /// When the service stops because of a fault, or signals can't be awaited.
    pub async fn until_stopped(mut self) -> Result<(), ProxyError> {
        let mut signals = Signals::new()?;
        let mut hangups = Hangups::new()?;
        loop {
            tokio::select! {
                ended = &mut self.tasks.flight => return flatten(ended).and(Err(
                    ProxyError::Service("nothing listens any more".to_owned()),
                )),
                () = hangups.next() => {
                    tracing::info!(signal = "SIGHUP", "looking at the files again");
                    self.reload.at_once();
                }
                name = signals.next() => {
                    tracing::info!(signal = name, "stopping");
                    break;
                }
            }
        }
        tokio::select! {
            result = self.shutdown() => result,
            name = signals.next() => {
                tracing::warn!(signal = name, "stopping at once");
                Ok(())
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.flight.abort();
        if let Some(admin) = &self.tasks.admin {
            admin.abort();
        }
        self.tasks.reload.abort();
    }
}

fn flatten(
    joined: Result<Result<(), ProxyError>, tokio::task::JoinError>,
) -> Result<(), ProxyError> {
    match joined {
        Ok(result) => result,
        Err(e) if e.is_cancelled() => Ok(()),
        Err(e) => Err(ProxyError::Service(e.to_string())),
    }
}

/// What tells a process to look at its files again.
struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangups {
    #[cfg(unix)]
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            signal: signal(SignalKind::hangup())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        if self.signal.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    #[cfg(not(unix))]
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}

/// What tells a process to stop.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    #[cfg(not(unix))]
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> &'static str {
        // An error means that no signal can come: wait for ever.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}
