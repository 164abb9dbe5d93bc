//! A Flight URI and how to reach it.

use std::path::PathBuf;
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use super::ClientError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP/2 windows: with the defaults of 64 KiB, a link of 40 ms carries 1.6 MB/s.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// Where a Flight SQL server listens, and whom to trust there.
#[derive(Debug, Clone)]
pub struct Endpoint {
    url: String,
    http_url: String,
    tls: Option<Tls>,
}

/// What a connection with TLS shows and trusts.
#[derive(Clone)]
struct Tls {
    /// Instead of the system's authorities.
    authority: Option<Certificate>,
    /// The client's own certificate, with its key.
    identity: Option<Identity>,
}

/// PEM files that a client uses.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// Authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// The client's own certificate chain and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Why an address can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Not a Flight URI.
    #[error("`{0}` is no Flight URI; write grpc+tls://host:port, or grpc://host:port without TLS")]
    Uri(String),
    /// A certificate file can't be used.
    #[error("{}: {reason}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// A certificate was given for a connection without TLS.
    #[error("certificates are of no use with {0}, which has no TLS")]
    NoTls(String),
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The identity has a private key.
        f.debug_struct("Tls")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl Tls {
    fn read(files: &TlsFiles) -> Result<Self, EndpointError> {
        let pem = |file: &PathBuf| {
            std::fs::read(file).map_err(|e| EndpointError::Certificate {
                file: file.clone(),
                reason: e.to_string(),
            })
        };
        let authority = files.ca.as_ref().map(&pem).transpose()?;
        let identity = match &files.identity {
            Some((chain, key)) => Some(Identity::from_pem(pem(chain)?, pem(key)?)),
            None => None,
        };
        Ok(Self {
            authority: authority.map(Certificate::from_pem),
            identity,
        })
    }
}

impl Endpoint {
    /// Reads a Flight URI (`grpc+tls://host:port`, `grpc://host:port`) and the files that go with it.
    ///
    /// # Errors
    /// When it is no Flight URI, or a file can't be read.
    pub fn new(url: &str, files: &TlsFiles) -> Result<Self, EndpointError> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| EndpointError::Uri(url.to_owned()))?;
        let with_tls = match scheme {
            "grpc" | "grpc+tcp" => false,
            "grpc+tls" => true,
            _ => return Err(EndpointError::Uri(url.to_owned())),
        };
        let rest = rest.trim_end_matches('/');
        if rest.is_empty() || rest.contains('/') || rest.contains('@') {
            return Err(EndpointError::Uri(url.to_owned()));
        }
        let tls = match with_tls {
            true => Some(Tls::read(files)?),
            false if files.ca.is_some() || files.identity.is_some() => {
                return Err(EndpointError::NoTls(url.to_owned()));
            }
            false => None,
        };
        let http_scheme = if with_tls { "https" } else { "http" };
        Ok(Self {
            url: url.to_owned(),
            http_url: format!("{http_scheme}://{rest}"),
            tls,
        })
    }

    pub(super) async fn connect(&self) -> Result<Channel, ClientError> {
        let failed = |e: tonic::transport::Error| ClientError::Connect {
            url: self.url.clone(),
            reason: deepest(&e),
        };
        let mut endpoint = Channel::from_shared(self.http_url.clone())
            .map_err(|_| EndpointError::Uri(self.url.clone()))?
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .tcp_nodelay(true);
        if let Some(own) = &self.tls {
            crate::install_crypto();
            let mut tls = ClientTlsConfig::new();
            tls = match &own.authority {
                Some(certificate) => tls.ca_certificate(certificate.clone()),
                None => tls.with_native_roots(),
            };
            if let Some(identity) = &own.identity {
                tls = tls.identity(identity.clone());
            }
            endpoint = endpoint.tls_config(tls).map_err(failed)?;
        }
        endpoint.connect().await.map_err(failed)
    }
}

/// The innermost cause: the outer ones only say that there is one.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
