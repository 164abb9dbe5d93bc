//! Asking an issuer for its keys: within a time, a size, and where the configuration sends us.

use std::time::Duration;

use reqwest::{Certificate, Client, Url, redirect};
use serde::Deserialize;

use super::OidcSpec;

/// To open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest discovery document, and the largest key set.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// Fetches the keys of one issuer.
#[derive(Debug)]
pub(super) struct Fetcher {
    http: Client,
    issuer: String,
    jwks_uri: Option<Url>,
    allow_http: bool,
}

/// What of a discovery document is read.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    pub(super) fn new(spec: &OidcSpec) -> Result<Self, String> {
        crate::install_crypto();
        let mut http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(spec.timeout))
            .timeout(spec.timeout)
            // Keys come from where the configuration says, or from nowhere.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("landfast/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &spec.ca_file {
            let name = file.display();
            let pem = std::fs::read(file).map_err(|error| format!("reading {name}: {error}"))?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|certificates| !certificates.is_empty())
                .ok_or_else(|| format!("{name} holds no certificates"))?;
            for certificate in certificates {
                http = http.add_root_certificate(certificate);
            }
        }
        let jwks_uri = match &spec.jwks_uri {
            Some(uri) => Some(address(uri, spec.allow_http)?),
            None => None,
        };
        address(&spec.issuer, spec.allow_http)?;
        Ok(Self {
            http: http.build().map_err(|error| error.to_string())?,
            issuer: spec.issuer.clone(),
            jwks_uri,
            allow_http: spec.allow_http,
        })
    }

    /// The issuer's key set, as it stands there.
    pub(super) async fn key_set(&self) -> Result<Vec<u8>, String> {
        let uri = match &self.jwks_uri {
            Some(uri) => uri.clone(),
            None => self.discover().await?,
        };
        self.get(uri).await
    }

    /// Where the discovery document says that the keys are (OpenID Connect Discovery 1.0, section 4).
    async fn discover(&self) -> Result<Url, String> {
        let uri = format!(
            "{}/.well-known/openid-configuration",
            self.issuer.trim_end_matches('/')
        );
        let document = self.get(address(&uri, self.allow_http)?).await?;
        let document: Discovery = serde_json::from_slice(&document)
            .map_err(|error| format!("{uri} is no discovery document: {error}"))?;
        if document.issuer != self.issuer {
            return Err(format!(
                "{uri} speaks for the issuer {:?}; write `issuer` letter by letter as there",
                document.issuer
            ));
        }
        address(&document.jwks_uri, self.allow_http)
    }

    async fn get(&self, uri: Url) -> Result<Vec<u8>, String> {
        let failed = |error: reqwest::Error| format!("{uri}: {}", innermost(&error));
        let mut answer = self.http.get(uri.clone()).send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(format!("{uri} answers {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > DOCUMENT_BYTES_MAX {
                return Err(format!(
                    "{uri} is larger than the {DOCUMENT_BYTES_MAX} bytes that are read"
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// An address that keys may come from.
fn address(text: &str, allow_http: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if allow_http => Ok(url),
        "http" => Err(format!(
            "{text} is plain HTTP, where keys could be swapped on the way: use https, or set `allow_http = true` for a test"
        )),
        other => Err(format!("{text} is neither https nor http but {other}")),
    }
}

/// The innermost cause: the outer ones only say that there is one.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
