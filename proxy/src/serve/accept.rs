//! Connections as they come in: TCP, then TLS with the certificate that is current, then HTTP/2.
//!
//! Each connection gets the TLS configuration of its own moment, so that certificates change without a restart, and
//! those that are open stay as they are. Handshakes run beside each other, bounded in number and time: a client that
//! says nothing keeps nobody waiting. A connection is counted from the moment that it comes in, and closed at once where there
//! are too many.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::tls::CurrentTls;
use crate::auth::Arrival;
use crate::connections::{Connection, Connections};

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// TLS handshakes at once; further connections wait to be accepted.
const HANDSHAKES_MAX: usize = 512;
/// Connections that wait to be served.
const READY_MAX: usize = 64;
/// After accepting failed, for example for want of file handles.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection that is ready to be served.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    arrival: Arrival,
    _counted: Connection,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Wire {
    type ConnectInfo = Arrival;

    fn connect_info(&self) -> Arrival {
        self.arrival.clone()
    }
}

/// Accepts connections until the stream is dropped.
pub(super) fn connections(
    listener: TcpListener,
    tls: Option<Arc<CurrentTls>>,
    open: Arc<Connections>,
) -> ReceiverStream<io::Result<Wire>> {
    let (sender, ready) = mpsc::channel(READY_MAX);
    tokio::spawn(accept(listener, tls, open, sender));
    ReceiverStream::new(ready)
}

async fn accept(
    listener: TcpListener,
    tls: Option<Arc<CurrentTls>>,
    open: Arc<Connections>,
    sender: mpsc::Sender<io::Result<Wire>>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sender.closed() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(target: "landfast::serve", %error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let counted = match open.admit(address.ip()) {
            Ok(counted) => counted,
            Err(crowded) => {
                open.tell(address.ip(), crowded);
                continue;
            }
        };
        // A connection that ended already is noticed when it is read.
        drop(stream.set_nodelay(true));
        let Some(tls) = tls.clone() else {
            let wire = Wire {
                stream: Stream::Plain(stream),
                arrival: Arrival {
                    address: Some(address),
                    certificate: None,
                },
                _counted: counted,
            };
            if sender.send(Ok(wire)).await.is_err() {
                return;
            }
            continue;
        };
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        let sender = sender.clone();
        tokio::spawn(async move {
            let shaken =
                tokio::time::timeout(HANDSHAKE_TIMEOUT, shake(stream, address, &tls, counted))
                    .await;
            drop(permit);
            match shaken {
                Ok(Ok(wire)) => drop(sender.send(Ok(wire)).await),
                Ok(Err(error)) => {
                    tracing::info!(target: "landfast::serve", peer = %address, %error, "a TLS handshake failed");
                }
                Err(_) => {
                    tracing::info!(target: "landfast::serve", peer = %address, "a TLS handshake took too long");
                }
            }
        });
    }
}

async fn shake(
    stream: TcpStream,
    address: SocketAddr,
    tls: &CurrentTls,
    counted: Connection,
) -> io::Result<Wire> {
    let stream = TlsAcceptor::from(tls.current()).accept(stream).await?;
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| tls.peer_name()?.read(chain.first()?));
    Ok(Wire {
        stream: Stream::Tls(Box::new(stream)),
        arrival: Arrival {
            address: Some(address),
            certificate: certificate.map(Arc::new),
        },
        _counted: counted,
    })
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
