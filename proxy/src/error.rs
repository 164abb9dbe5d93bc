//! What can keep the program from doing what it was told, each said in one or few lines.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::client::ClientError;
use crate::config::ConfigError;

/// Why a command, or the start of the service, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The sites can't be set up.
    #[error("sites: {0}")]
    Sites(#[from] landfast_sites::SitesError),
    /// The catalogs can't be set up, or refused something.
    #[error("catalogs: {0}")]
    Catalog(#[from] landfast_catalog::CatalogError),
    /// The engine can't be set up.
    #[error("engine: {0}")]
    Planner(#[from] landfast_planner::PlannerError),
    /// Users can't be set up.
    #[error("users: {0}")]
    Users(String),
    /// An address can't be listened on.
    #[error("{what}: can't listen on {address}: {reason}")]
    Listen {
        /// What would have listened.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not, and what to do.
        reason: String,
    },
    /// A certificate or a key can't be used.
    #[error("TLS: {}: {reason}", file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file or a directory can't be read or written.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The server that a client command talks to refused or can't be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Standard input or output broke.
    #[error("{0}")]
    Terminal(#[from] std::io::Error),
    /// The command line asks for what can't be.
    #[error("{0}")]
    Usage(String),
    /// The service stopped because of a fault.
    #[error("the service stopped: {0}")]
    Service(String),
    /// The demo's lake can't be made.
    #[error("demo: {0}")]
    Demo(String),
    /// A check found something down; what it is was printed before.
    #[error("{failed} of {all} checks failed")]
    Check {
        /// How many failed.
        failed: usize,
        /// How many there were.
        all: usize,
    },
}

impl ProxyError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ProxyErrorKind {
        match self {
            Self::Config(_) | Self::Usage(_) | Self::Users(_) | Self::Tls { .. } => {
                ProxyErrorKind::Configuration
            }
            Self::Sites(_) | Self::Catalog(_) | Self::Planner(_) | Self::Check { .. } => {
                ProxyErrorKind::Parts
            }
            Self::Listen { .. } | Self::File { .. } | Self::Terminal(_) => ProxyErrorKind::System,
            Self::Client(_) => ProxyErrorKind::Remote,
            Self::Service(_) | Self::Demo(_) => ProxyErrorKind::Service,
        }
    }
}

/// Whom a failure concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyErrorKind {
    /// Whoever wrote the configuration or the command line.
    Configuration,
    /// A site, a catalog or the engine.
    Parts,
    /// This machine: addresses, files, the terminal.
    System,
    /// The server at the other end.
    Remote,
    /// The service itself.
    Service,
}
