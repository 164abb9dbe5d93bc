//! Addresses and certificates.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::TcpListener;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::config::TlsFiles;
use crate::error::ProxyError;

/// Listens on an address.
pub(super) async fn listen(
    what: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, ProxyError> {
    TcpListener::bind(address)
        .await
        .map_err(|e| refused(what, address, &e))
}

/// Says now whether an address could be listened on, for those who have long work to do before they listen.
///
/// # Errors
/// When it can't, for example because another program has it.
pub fn check_address(what: &'static str, address: SocketAddr) -> Result<(), ProxyError> {
    std::net::TcpListener::bind(address)
        .map(drop)
        .map_err(|e| refused(what, address, &e))
}

fn refused(what: &'static str, address: SocketAddr, error: &std::io::Error) -> ProxyError {
    let reason = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program has it; take another port, or 0 for any free one".to_owned()
        }
        std::io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    };
    ProxyError::Listen {
        what,
        address,
        reason,
    }
}

/// The certificate and its key, and the certificate's file for errors that concern both.
pub(super) fn tls(files: &TlsFiles) -> Result<(ServerTlsConfig, PathBuf), ProxyError> {
    let certificate = pem(&files.cert_file, "CERTIFICATE")?;
    let key = pem(&files.key_file, "PRIVATE KEY")?;
    let identity = Identity::from_pem(certificate, key);
    Ok((
        ServerTlsConfig::new().identity(identity),
        files.cert_file.clone(),
    ))
}

/// Says whether a certificate and its key can be served.
pub(crate) fn check_tls(files: &TlsFiles) -> Result<(), ProxyError> {
    crate::install_crypto();
    let (config, file) = tls(files)?;
    Server::builder()
        .tls_config(config)
        .map(drop)
        .map_err(|e| unusable(file, &e))
}

pub(super) fn unusable(file: PathBuf, error: &tonic::transport::Error) -> ProxyError {
    ProxyError::Tls {
        file,
        reason: format!(
            "the certificate and the key can't be used together: {}",
            super::deepest(error)
        ),
    }
}

/// A PEM file that has a section of the wanted kind.
fn pem(file: &PathBuf, wanted: &str) -> Result<String, ProxyError> {
    let fault = |reason: String| ProxyError::Tls {
        file: file.clone(),
        reason,
    };
    let text = std::fs::read_to_string(file).map_err(|e| fault(format!("can't be read: {e}")))?;
    let has_section = text
        .lines()
        .any(|line| line.starts_with("-----BEGIN ") && line.contains(wanted));
    if has_section {
        Ok(text)
    } else {
        Err(fault(format!("has no PEM section \"{wanted}\"")))
    }
}
