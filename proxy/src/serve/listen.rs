//! Addresses.

use std::net::SocketAddr;

use tokio::net::TcpListener;

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
