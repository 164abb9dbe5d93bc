//! On which runtime a store's connections live.

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, ReqwestConnector, SpawnedReqwestConnector};
use tokio::runtime::Handle;

/// Makes HTTP clients whose connections are driven by the runtime that the site was set up on, whoever reads: a query
/// that keeps its own runtime busy doesn't hold up another one's bytes, nor the answers to keep-alives.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    /// None where a site was set up outside of a runtime: then each reader drives its own connections.
    home: Option<Handle>,
}

impl Connector {
    /// Connections live on the runtime that this is called on.
    pub(super) fn here() -> Self {
        Self {
            home: Handle::try_current().ok(),
        }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        match &self.home {
            Some(home) => SpawnedReqwestConnector::new(home.clone()).connect(options),
            None => ReqwestConnector::default().connect(options),
        }
    }
}
