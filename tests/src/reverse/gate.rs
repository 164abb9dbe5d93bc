//! Connections that break: all at once when their gate closes, or each when it is told to.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Open or closed, for all connections of one proxy.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Cancelled when the gate closes; replaced when it opens.
    closed: Mutex<CancellationToken>,
    /// Nothing new is served, but what is under way comes to its end.
    refusing: AtomicBool,
    broken: AtomicU64,
}

impl Gate {
    pub(super) fn close(&self) {
        self.token().cancel();
    }

    pub(super) fn refuse(&self) {
        self.inner.refusing.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.inner.refusing.load(Ordering::SeqCst) || self.token().is_cancelled()
    }

    pub(super) fn open(&self) {
        self.inner.refusing.store(false, Ordering::SeqCst);
        let mut token = self
            .inner
            .closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if token.is_cancelled() {
            *token = CancellationToken::new();
        }
    }

    pub(super) fn count_broken(&self) {
        self.inner.broken.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn broken(&self) -> u64 {
        self.inner.broken.load(Ordering::SeqCst)
    }

    fn token(&self) -> CancellationToken {
        self.inner
            .closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Accepts connections while the gate is open, and drops those that come while it is closed.
#[derive(Debug)]
pub(super) struct GatedListener {
    listener: TcpListener,
    gate: Gate,
}

impl GatedListener {
    pub(super) fn new(listener: TcpListener, gate: Gate) -> Self {
        Self { listener, gate }
    }
}

impl axum::serve::Listener for GatedListener {
    type Io = GatedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // An error here is about one connection that is gone already.
            let Ok((stream, peer)) = self.listener.accept().await else {
                continue;
            };
            if self.gate.is_refusing() {
                self.gate.count_broken();
                continue;
            }
            let token = self.gate.token().child_token();
            return (
                GatedStream {
                    stream,
                    closed: Box::pin(token.clone().cancelled_owned()),
                    fuse: Fuse { token },
                },
                peer,
            );
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Breaks one connection.
#[derive(Clone, Debug)]
pub(super) struct Fuse {
    token: CancellationToken,
}

impl Fuse {
    pub(super) fn blow(&self) {
        self.token.cancel();
    }
}

impl Connected<IncomingStream<'_, GatedListener>> for Fuse {
    fn connect_info(stream: IncomingStream<'_, GatedListener>) -> Self {
        stream.io().fuse.clone()
    }
}

/// A connection that fails as soon as its gate closes or its fuse blows.
pub(super) struct GatedStream {
    stream: TcpStream,
    fuse: Fuse,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl GatedStream {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.closed.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for GatedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(context)?;
        Pin::new(&mut this.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for GatedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(context)?;
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
