//! A service account's key, exchanged for tokens at the key's own `token_uri` (RFC 7523).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::GoogleTokens;
use super::google::read_json;
use super::renewing::{Fetched, Issuer, Renewing};
use crate::error::SitesError;

const GOOGLE_TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How long an assertion is valid, and how far back it is dated for clocks that differ.
const ASSERTION_LIFETIME_S: u64 = 3600;
const CLOCK_SKEW_S: u64 = 10;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What a token lives when its issuer doesn't say.
const LIFETIME_DEFAULT_S: u64 = 3600;

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    #[serde(deserialize_with = "secret")]
    private_key: SecretString,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

/// One service account at one token endpoint.
struct ServiceAccount {
    path: PathBuf,
    client_email: String,
    key_id: Option<String>,
    key: Arc<dyn SigningKey>,
    token_uri: String,
    scopes: String,
    http: reqwest::Client,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("client_email", &self.client_email)
            .field("token_uri", &self.token_uri)
            .finish_non_exhaustive()
    }
}

pub(super) fn from_file(path: &Path, scopes: &[&str]) -> Result<Arc<dyn GoogleTokens>, SitesError> {
    Ok(Arc::new(Renewing::new(ServiceAccount::load(path, scopes)?)))
}

impl ServiceAccount {
    fn load(path: &Path, scopes: &[&str]) -> Result<Self, SitesError> {
        use secrecy::ExposeSecret;
        let file: KeyFile = serde_json::from_value(read_json(path)?).map_err(|_| {
            refuse(
                path,
                "is no service account's key: `client_email` or `private_key` is missing",
            )
        })?;
        let der = PrivateKeyDer::from_pem_slice(file.private_key.expose_secret().as_bytes())
            .map_err(|_| refuse(path, "`private_key` is no PEM"))?;
        let key = rustls::crypto::ring::default_provider()
            .key_provider
            .load_private_key(der)
            .map_err(|_| refuse(path, "`private_key` is no key that can sign"))?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| refuse(path, "no HTTP client can be made for its token endpoint"))?;
        Ok(Self {
            path: path.to_owned(),
            client_email: file.client_email,
            key_id: file.private_key_id,
            key,
            token_uri: file
                .token_uri
                .unwrap_or_else(|| GOOGLE_TOKEN_URI.to_owned()),
            scopes: scopes.join(" "),
            http,
        })
    }

    fn error(&self, detail: impl Into<String>) -> SitesError {
        refuse(&self.path, detail)
    }

    /// A signed JWT that says: this account asks for these scopes, now.
    fn assertion(&self, now_s: u64) -> Result<String, SitesError> {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.client_email,
            "sub": self.client_email,
            "scope": self.scopes,
            "aud": self.token_uri,
            "iat": now_s.saturating_sub(CLOCK_SKEW_S),
            "exp": now_s.saturating_sub(CLOCK_SKEW_S) + ASSERTION_LIFETIME_S,
        });
        let encode = |json: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signer = self
            .key
            .choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])
            .ok_or_else(|| self.error("`private_key` is no RSA key"))?;
        let signature = signer
            .sign(signed.as_bytes())
            .map_err(|_| self.error("`private_key` could not sign"))?;
        Ok(format!(
            "{signed}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature)
        ))
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(deserialize_with = "secret")]
    access_token: SecretString,
    expires_in: Option<u64>,
}

#[async_trait]
impl Issuer for ServiceAccount {
    async fn fetch(&self) -> Result<Fetched, SitesError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let assertion = self.assertion(now.as_secs())?;
        let form = [
            ("grant_type", GRANT_TYPE),
            ("assertion", assertion.as_str()),
        ];
        // The client's own error text may hold the URL with user information; its kind says enough.
        let unreachable = |e: reqwest::Error| {
            let why = if e.is_timeout() {
                "did not answer in time"
            } else if e.is_connect() {
                "cannot be connected to"
            } else {
                "gave no usable answer"
            };
            self.out_of_reach(why)
        };
        let answer = self
            .http
            .post(&self.token_uri)
            .form(&form)
            .send()
            .await
            .map_err(unreachable)?;
        let status = answer.status();
        if status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS {
            return Err(self.out_of_reach(&format!("answered {status}")));
        }
        if !status.is_success() {
            return Err(self.error(format!(
                "its token endpoint {} answered {status}",
                self.token_host()
            )));
        }
        let answer: TokenAnswer = answer.json().await.map_err(unreachable)?;
        Ok(Fetched {
            token: answer.access_token,
            lifetime: Duration::from_secs(answer.expires_in.unwrap_or(LIFETIME_DEFAULT_S)),
        })
    }
}

impl ServiceAccount {
    fn out_of_reach(&self, why: &str) -> SitesError {
        SitesError::Credential {
            what: format!("service account key `{}`", self.path.display()),
            detail: format!("its token endpoint {} {why}", self.token_host()),
            transient: true,
        }
    }

    fn token_host(&self) -> String {
        let parsed = url::Url::parse(&self.token_uri).ok();
        let host = parsed.as_ref().and_then(|u| u.host_str());
        format!("`{}`", host.unwrap_or("of no host"))
    }
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}

fn refuse(path: &Path, detail: impl Into<String>) -> SitesError {
    SitesError::Credential {
        what: format!("service account key `{}`", path.display()),
        detail: detail.into(),
        transient: false,
    }
}

#[cfg(test)]
mod tests;
