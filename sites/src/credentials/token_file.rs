//! A bearer token that someone else keeps fresh in a file.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use secrecy::SecretString;

use super::GoogleTokens;
use crate::clock;
use crate::error::SitesError;

/// The file is read again when the token at hand was read longer ago than this.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The token in a file, as fresh as a second ago.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    held: Mutex<(SecretString, Instant)>,
}

impl TokenFile {
    pub(super) fn open(path: &Path) -> Result<Self, SitesError> {
        let text = std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))?;
        let token = token(&text).ok_or_else(|| empty(path))?;
        Ok(Self {
            path: path.to_owned(),
            held: Mutex::new((token, clock::now())),
        })
    }
}

#[async_trait]
impl GoogleTokens for TokenFile {
    async fn token(&self) -> Result<SecretString, SitesError> {
        {
            let held = self.held.lock();
            if clock::since(held.1) < READ_AGAIN_AFTER {
                return Ok(held.0.clone());
            }
        }
        let read = tokio::fs::read_to_string(&self.path).await;
        let fresh = match read {
            Ok(text) => token(&text).ok_or_else(|| empty(&self.path)),
            Err(error) => Err(unreadable(&self.path, &error)),
        };
        let mut held = self.held.lock();
        match fresh {
            Ok(token) => *held = (token, clock::now()),
            // Whoever replaces the file in place leaves it empty for a moment; the store judges the old token.
            Err(error) => {
                tracing::warn!(%error, "keeping the token that was read before");
                held.1 = clock::now();
            }
        }
        Ok(held.0.clone())
    }
}

fn token(text: &str) -> Option<SecretString> {
    let text = text.trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    (!text.is_empty() && text.chars().all(|c| c.is_ascii_graphic())).then(|| text.into())
}

fn unreadable(path: &Path, error: &std::io::Error) -> SitesError {
    SitesError::Credential {
        what: format!("token file `{}`", path.display()),
        detail: format!("cannot be read: {error}"),
        transient: false,
    }
}

fn empty(path: &Path) -> SitesError {
    SitesError::Credential {
        what: format!("token file `{}`", path.display()),
        detail: "holds no token: it must hold one line with nothing else".into(),
        transient: false,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[tokio::test]
    async fn a_token_file_is_read_again_as_it_changes_and_survives_being_empty_for_a_moment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let tokens = TokenFile::open(&path).unwrap();
        let read = async || tokens.token().await.unwrap().expose_secret().to_owned();
        assert_eq!(read().await, "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(read().await, "one", "a second has not passed");
        clock::advance(READ_AGAIN_AFTER);
        assert_eq!(read().await, "two");
        std::fs::write(&path, "").unwrap();
        clock::advance(READ_AGAIN_AFTER);
        assert_eq!(read().await, "two");
    }

    #[test]
    fn an_empty_token_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, " \n").unwrap();
        let error = TokenFile::open(&path).unwrap_err().to_string();
        assert!(
            error.contains("token") && error.contains("holds no token"),
            "{error}"
        );
    }
}
