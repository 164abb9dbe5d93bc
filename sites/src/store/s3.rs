//! S3, and stores that speak its API.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use secrecy::ExposeSecret;

use super::connector::Connector;
use super::{Opener, cannot_open, client_options, retry};
use crate::error::SitesError;
use crate::id::SiteId;
use crate::spec::{S3Credential, S3Spec, Timeouts};

const REGION: &str = "us-east-1";

/// Opens buckets of one S3 service.
#[derive(Debug)]
pub(super) struct S3 {
    site: SiteId,
    spec: S3Spec,
    timeouts: Timeouts,
    connector: Connector,
}

impl S3 {
    pub(super) fn new(site: &SiteId, spec: &S3Spec, timeouts: Timeouts) -> Self {
        Self {
            site: site.clone(),
            spec: spec.clone(),
            timeouts,
            connector: Connector::here(),
        }
    }

    fn signed(&self, builder: AmazonS3Builder) -> AmazonS3Builder {
        match &self.spec.credential {
            S3Credential::Anonymous => builder.with_skip_signature(true),
            S3Credential::DefaultChain => default_chain(builder, std::env::vars()),
            S3Credential::Static {
                access_key_id,
                secret,
                session_token,
            } => {
                let builder = builder
                    .with_access_key_id(access_key_id)
                    .with_secret_access_key(secret.expose_secret());
                match session_token {
                    Some(token) => builder.with_token(token.expose_secret()),
                    None => builder,
                }
            }
        }
    }
}

impl Opener for S3 {
    fn open(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, SitesError> {
        let mut builder = AmazonS3Builder::new().with_region(REGION);
        builder = self.signed(builder);
        if let Some(region) = &self.spec.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &self.spec.endpoint {
            let endpoint = match self.spec.path_style {
                true => endpoint.trim_end_matches('/').to_owned(),
                false => with_bucket(endpoint, bucket),
            };
            builder = builder.with_endpoint(endpoint);
        }
        let what = format!("bucket `{bucket}` of {}", self.describe());
        let store = builder
            .with_bucket_name(bucket)
            .with_virtual_hosted_style_request(!self.spec.path_style)
            .with_client_options(client_options(self.timeouts, self.spec.allow_http))
            .with_http_connector(self.connector.clone())
            .with_retry(retry(self.timeouts))
            .build()
            .map_err(|e| cannot_open(&self.site, &what, &e))?;
        Ok(Arc::new(store))
    }

    fn describe(&self) -> String {
        match &self.spec.endpoint {
            Some(endpoint) => format!("s3 at {endpoint}"),
            None => "s3".to_owned(),
        }
    }
}

/// The environment's credentials, and only those: its endpoint belongs to no site in particular.
fn default_chain(
    builder: AmazonS3Builder,
    env: impl Iterator<Item = (String, String)>,
) -> AmazonS3Builder {
    use AmazonS3ConfigKey as Key;
    env.filter_map(|(name, value)| {
        let key: Key = name
            .strip_prefix("AWS_")
            .and(Some(name.to_ascii_lowercase()))?
            .parse()
            .ok()?;
        let wanted = matches!(
            key,
            Key::AccessKeyId
                | Key::SecretAccessKey
                | Key::Token
                | Key::Region
                | Key::DefaultRegion
                | Key::WebIdentityTokenFile
                | Key::RoleArn
                | Key::RoleSessionName
                | Key::StsEndpoint
                | Key::ContainerCredentialsRelativeUri
                | Key::ContainerCredentialsFullUri
                | Key::ContainerAuthorizationTokenFile
                | Key::MetadataEndpoint
                | Key::ImdsV1Fallback
        );
        wanted.then_some((key, value))
    })
    .fold(builder, |builder, (key, value)| {
        builder.with_config(key, value)
    })
}

/// `https://host` → `https://bucket.host`.
fn with_bucket(endpoint: &str, bucket: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => format!("https://{bucket}.{endpoint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_chain_takes_credentials_from_the_environment_and_no_endpoint() {
        let env = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_ENDPOINT_URL", "http://elsewhere"),
            ("AWS_REGION", "eu-north-1"),
            ("HOME", "/"),
        ];
        let env = env.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
        let builder = default_chain(AmazonS3Builder::new(), env);
        let value = |key| builder.get_config_value(&key);
        assert_eq!(value(AmazonS3ConfigKey::AccessKeyId).as_deref(), Some("id"));
        assert_eq!(
            value(AmazonS3ConfigKey::Region).as_deref(),
            Some("eu-north-1")
        );
        assert_eq!(value(AmazonS3ConfigKey::Endpoint), None);
    }

    #[test]
    fn a_virtual_hosted_endpoint_gets_the_bucket_before_its_host() {
        assert_eq!(
            with_bucket("http://store.local:9000/", "lake"),
            "http://lake.store.local:9000"
        );
    }
}
