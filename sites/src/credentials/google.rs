//! The kinds of credential that Google's own library handles: application default and workload identity.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use google_cloud_auth::credentials::{AccessTokenCredentials, Builder, external_account};
use parking_lot::Mutex;
use secrecy::SecretString;
use serde_json::Value;

use super::{GoogleTokens, service_account};
use crate::clock;
use crate::error::SitesError;

/// Google's library gives up for good after an error that it deems permanent; it is started anew after this long.
const START_ANEW_AFTER: Duration = Duration::from_secs(10);

/// The longest wait for a token.
const TOKEN_WITHIN: Duration = Duration::from_secs(30);

/// Tokens of Google's library, which renews them in the background.
#[derive(Debug)]
struct Library {
    source: Source,
    scopes: Vec<String>,
    // Built at the first use: it starts a task, so there must be a runtime.
    built: Mutex<Option<Built>>,
}

#[derive(Debug)]
enum Source {
    ApplicationDefault,
    WorkloadIdentity(PathBuf),
}

#[derive(Debug)]
struct Built {
    credentials: AccessTokenCredentials,
    failed_at: Option<Instant>,
    generation: u64,
}

pub(super) fn application_default(scopes: &[&str]) -> Result<Arc<dyn GoogleTokens>, SitesError> {
    let named = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
    default_at(named, scopes)
}

fn default_at(
    named: Option<PathBuf>,
    scopes: &[&str],
) -> Result<Arc<dyn GoogleTokens>, SitesError> {
    // A service account's key is no other key for being found this way: its token_uri counts.
    if let Some(path) = named
        && kind_of(&path)?.as_deref() == Some("service_account")
    {
        return service_account::from_file(&path, scopes);
    }
    Ok(Library::tokens(Source::ApplicationDefault, scopes))
}

pub(super) fn workload_identity(
    path: &Path,
    scopes: &[&str],
) -> Result<Arc<dyn GoogleTokens>, SitesError> {
    match kind_of(path)?.as_deref() {
        Some("external_account") => Ok(Library::tokens(
            Source::WorkloadIdentity(path.to_owned()),
            scopes,
        )),
        other => Err(SitesError::Credential {
            what: format!("workload identity file `{}`", path.display()),
            detail: format!(
                "has the type `{}` where `external_account` is needed",
                other.unwrap_or("none")
            ),
            transient: false,
        }),
    }
}

impl Library {
    fn tokens(source: Source, scopes: &[&str]) -> Arc<dyn GoogleTokens> {
        Arc::new(Self {
            source,
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
            built: Mutex::new(None),
        })
    }

    fn build(&self) -> Result<AccessTokenCredentials, SitesError> {
        let scopes = self.scopes.clone();
        let built = match &self.source {
            Source::ApplicationDefault => Builder::default()
                .with_scopes(scopes)
                .build_access_token_credentials(),
            Source::WorkloadIdentity(path) => external_account::Builder::new(read_json(path)?)
                .with_scopes(scopes)
                .build_access_token_credentials(),
        };
        built.map_err(|e| self.error(e.to_string(), false))
    }

    fn credentials(&self) -> Result<(AccessTokenCredentials, u64), SitesError> {
        let mut built = self.built.lock();
        let stale = |b: &Built| {
            b.failed_at
                .is_some_and(|at| clock::since(at) >= START_ANEW_AFTER)
        };
        let generation = match built.as_ref() {
            Some(b) if !stale(b) => return Ok((b.credentials.clone(), b.generation)),
            Some(b) => b.generation + 1,
            None => 0,
        };
        let credentials = self.build()?;
        *built = Some(Built {
            credentials: credentials.clone(),
            failed_at: None,
            generation,
        });
        Ok((credentials, generation))
    }

    fn failed(&self, generation: u64) {
        if let Some(built) = self
            .built
            .lock()
            .as_mut()
            .filter(|b| b.generation == generation)
        {
            built.failed_at.get_or_insert_with(clock::now);
        }
    }

    fn error(&self, detail: String, transient: bool) -> SitesError {
        let what = match &self.source {
            Source::ApplicationDefault => "application default".to_owned(),
            Source::WorkloadIdentity(path) => {
                format!("workload identity file `{}`", path.display())
            }
        };
        SitesError::Credential {
            what,
            detail,
            transient,
        }
    }
}

#[async_trait]
impl GoogleTokens for Library {
    async fn token(&self) -> Result<SecretString, SitesError> {
        let (credentials, generation) = self.credentials()?;
        let answer = tokio::time::timeout(TOKEN_WITHIN, credentials.access_token()).await;
        match answer {
            Ok(Ok(token)) => Ok(token.token.into()),
            Ok(Err(error)) => {
                self.failed(generation);
                Err(self.error(error.to_string(), error.is_transient()))
            }
            Err(_) => Err(self.error(format!("gave no token within {TOKEN_WITHIN:?}"), true)),
        }
    }
}

pub(super) fn read_json(path: &Path) -> Result<Value, SitesError> {
    let refuse = |detail: String| SitesError::Credential {
        what: format!("file `{}`", path.display()),
        detail,
        transient: false,
    };
    let text = std::fs::read_to_string(path).map_err(|e| refuse(format!("cannot be read: {e}")))?;
    // The parser's message would quote the text around the fault.
    serde_json::from_str(&text).map_err(|e| {
        refuse(format!(
            "is no JSON: line {}, column {}",
            e.line(),
            e.column()
        ))
    })
}

fn kind_of(path: &Path) -> Result<Option<String>, SitesError> {
    let json = read_json(path)?;
    Ok(json.get("type").and_then(Value::as_str).map(str::to_owned))
}

#[cfg(test)]
mod tests;
