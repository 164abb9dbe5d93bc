//! Google Cloud Storage, and stores that speak its API.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use object_store::ObjectStore;
use object_store::gcp::GoogleCloudStorageBuilder;

use super::connector::Connector;
use super::{Opener, cannot_open, client_options, retry};
use crate::credentials::{GoogleCredential, GoogleTokens, StoreTokens, google_tokens};
use crate::error::SitesError;
use crate::id::SiteId;
use crate::spec::{GcsSpec, Timeouts};

const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";

/// Opens buckets of one GCS service. All of them share one token.
#[derive(Debug)]
pub(super) struct Gcs {
    site: SiteId,
    endpoint: Option<String>,
    tokens: Option<Arc<dyn GoogleTokens>>,
    headers: HeaderMap,
    timeouts: Timeouts,
    connector: Connector,
}

impl Gcs {
    pub(super) fn new(
        site: &SiteId,
        spec: &GcsSpec,
        timeouts: Timeouts,
    ) -> Result<Self, SitesError> {
        let tokens = match &spec.credential {
            GoogleCredential::Anonymous => None,
            credential => Some(google_tokens(credential, &[SCOPE])?),
        };
        let mut headers = HeaderMap::new();
        if let Some(project) = &spec.user_project {
            let value = HeaderValue::from_str(project).map_err(|_| {
                SitesError::config(format!("site `{site}`: `user_project` is no project id"))
            })?;
            headers.insert("x-goog-user-project", value);
        }
        let endpoint = spec
            .endpoint
            .as_ref()
            .map(|e| e.trim_end_matches('/').to_owned());
        Ok(Self {
            site: site.clone(),
            endpoint,
            tokens,
            headers,
            timeouts,
            connector: Connector::here(),
        })
    }
}

impl Opener for Gcs {
    fn open(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, SitesError> {
        let allow_http = self
            .endpoint
            .as_ref()
            .is_some_and(|e| e.starts_with("http://"));
        let options =
            client_options(self.timeouts, allow_http).with_default_headers(self.headers.clone());
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(bucket)
            .with_client_options(options)
            .with_http_connector(self.connector.clone())
            .with_retry(retry(self.timeouts));
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_base_url(endpoint);
        }
        // Without credentials the builder would look for some in the environment, even for unsigned requests.
        builder = builder.with_credentials(Arc::new(StoreTokens::new(self.tokens.clone())));
        if self.tokens.is_none() {
            builder = builder.with_skip_signature(true);
        }
        let what = format!("bucket `{bucket}` of {}", self.describe());
        let store = builder
            .build()
            .map_err(|e| cannot_open(&self.site, &what, &e))?;
        Ok(Arc::new(store))
    }

    fn describe(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("gcs at {endpoint}"),
            None => "gcs".to_owned(),
        }
    }
}
