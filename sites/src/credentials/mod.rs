//! Google credentials of all kinds, as tokens that are renewed before they expire.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Once};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::gcp::GcpCredential;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{SitesError, SitesErrorKind};
use crate::failure::TokenFailure;

mod google;
mod renewing;
mod service_account;
mod token_file;

/// Which Google credential to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoogleCredential {
    /// A service account's key file. Tokens come from the file's own `token_uri`.
    ServiceAccountKey {
        /// The JSON file.
        path: PathBuf,
    },
    /// What `GOOGLE_APPLICATION_CREDENTIALS`, gcloud's well-known file or the machine's metadata server gives.
    ApplicationDefault,
    /// A workload identity federation file (`external_account`).
    WorkloadIdentity {
        /// The JSON file.
        path: PathBuf,
    },
    /// A bearer token that someone else keeps fresh in a file; it is read again as it changes.
    TokenFile {
        /// The file with nothing but the token.
        path: PathBuf,
    },
    /// Nobody: requests carry no token.
    Anonymous,
}

/// A source of bearer tokens for Google's APIs.
#[async_trait]
pub trait GoogleTokens: fmt::Debug + Send + Sync {
    /// A token that is valid now and for a while; cheap when one is at hand.
    async fn token(&self) -> Result<SecretString, SitesError>;
}

/// The tokens of a credential, for the given OAuth scopes. Files are read here, so that a missing one is an error
/// at start; nothing is asked of the network before the first token is wanted.
pub fn google_tokens(
    credential: &GoogleCredential,
    scopes: &[&str],
) -> Result<Arc<dyn GoogleTokens>, SitesError> {
    install_crypto_provider();
    Ok(match credential {
        GoogleCredential::ServiceAccountKey { path } => service_account::from_file(path, scopes)?,
        GoogleCredential::ApplicationDefault => google::application_default(scopes)?,
        GoogleCredential::WorkloadIdentity { path } => google::workload_identity(path, scopes)?,
        GoogleCredential::TokenFile { path } => Arc::new(token_file::TokenFile::open(path)?),
        GoogleCredential::Anonymous => {
            return Err(SitesError::Credential {
                what: "`anonymous`".into(),
                detail: "has no token; choose another kind where one is needed".into(),
                transient: false,
            });
        }
    })
}

/// Makes ring the process's cryptography where nothing else is yet; Google's library wants one to be there.
pub fn install_crypto_provider() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // An error means that the application has installed its own, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Feeds tokens to object_store, which by itself knows two of the kinds and ignores a key's `token_uri`.
#[derive(Debug)]
pub(crate) struct StoreTokens {
    tokens: Option<Arc<dyn GoogleTokens>>,
}

impl StoreTokens {
    /// `None` is for unsigned requests.
    pub(crate) fn new(tokens: Option<Arc<dyn GoogleTokens>>) -> Self {
        Self { tokens }
    }
}

#[async_trait]
impl CredentialProvider for StoreTokens {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let bearer = match &self.tokens {
            None => String::new(),
            Some(tokens) => {
                let token = tokens
                    .token()
                    .await
                    .map_err(|e| object_store::Error::Generic {
                        store: "GCS",
                        source: Box::new(TokenFailure {
                            refused: e.kind() != SitesErrorKind::Unavailable,
                            text: e.to_string(),
                        }),
                    })?;
                token.expose_secret().to_owned()
            }
        };
        Ok(Arc::new(GcpCredential { bearer }))
    }
}
