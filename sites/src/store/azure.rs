//! Azure Blob Storage and ADLS.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use secrecy::ExposeSecret;

use super::connector::Connector;
use super::{Opener, cannot_open, client_options, retry};
use crate::error::SitesError;
use crate::id::SiteId;
use crate::spec::{AzureCredential, AzureSpec, Timeouts};

/// Opens containers of one storage account.
#[derive(Debug)]
pub(super) struct Azure {
    site: SiteId,
    spec: AzureSpec,
    timeouts: Timeouts,
    connector: Connector,
}

impl Azure {
    pub(super) fn new(site: &SiteId, spec: &AzureSpec, timeouts: Timeouts) -> Self {
        Self {
            site: site.clone(),
            spec: spec.clone(),
            timeouts,
            connector: Connector::here(),
        }
    }

    fn signed(&self, builder: MicrosoftAzureBuilder) -> MicrosoftAzureBuilder {
        match &self.spec.credential {
            AzureCredential::Key(key) => builder.with_access_key(key.expose_secret()),
            AzureCredential::Sas(sas) => {
                builder.with_config(AzureConfigKey::SasKey, sas.expose_secret())
            }
            AzureCredential::ClientSecret {
                tenant,
                client_id,
                secret,
            } => {
                builder.with_client_secret_authorization(client_id, secret.expose_secret(), tenant)
            }
            AzureCredential::ManagedIdentity {
                client_id: Some(id),
            } => builder.with_client_id(id),
            AzureCredential::ManagedIdentity { client_id: None } => builder,
            AzureCredential::Anonymous => builder.with_skip_signature(true),
        }
    }
}

impl Opener for Azure {
    fn open(&self, container: &str) -> Result<Arc<dyn ObjectStore>, SitesError> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_account(&self.spec.account)
            .with_container_name(container)
            .with_client_options(client_options(self.timeouts, self.spec.allow_http))
            .with_http_connector(self.connector.clone())
            .with_retry(retry(self.timeouts));
        if let Some(endpoint) = &self.spec.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        let what = format!("container `{container}` of {}", self.describe());
        let store = self
            .signed(builder)
            .build()
            .map_err(|e| cannot_open(&self.site, &what, &e))?;
        Ok(Arc::new(store))
    }

    fn describe(&self) -> String {
        match &self.spec.endpoint {
            Some(endpoint) => format!("azure account `{}` at {endpoint}", self.spec.account),
            None => format!("azure account `{}`", self.spec.account),
        }
    }
}
