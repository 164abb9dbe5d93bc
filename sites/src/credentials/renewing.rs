//! A token that is fetched again before it expires, by one caller at a time.

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::GoogleTokens;
use crate::clock;
use crate::error::SitesError;

/// A token is renewed this long before it expires, or a fifth of its life before where that is less.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// After a renewal that failed, a token that is still valid is used this long before the next try.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// A token is taken to live no longer, whatever its issuer says.
const LIFETIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A token as its issuer gave it.
pub(super) struct Fetched {
    pub(super) token: SecretString,
    pub(super) lifetime: Duration,
}

/// Where tokens come from.
#[async_trait]
pub(super) trait Issuer: fmt::Debug + Send + Sync {
    async fn fetch(&self) -> Result<Fetched, SitesError>;
}

/// The tokens of an [`Issuer`], kept while they are good.
#[derive(Debug)]
pub(super) struct Renewing<I> {
    issuer: I,
    // An async lock, held while a token is fetched: that is what makes one caller fetch for all.
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    token: SecretString,
    renew_at: Instant,
    expires_at: Instant,
}

impl<I: Issuer> Renewing<I> {
    pub(super) fn new(issuer: I) -> Self {
        Self {
            issuer,
            held: Mutex::new(None),
        }
    }
}

#[async_trait]
impl<I: Issuer> GoogleTokens for Renewing<I> {
    async fn token(&self) -> Result<SecretString, SitesError> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|h| clock::now() < h.renew_at) {
            return Ok(held.token.clone());
        }
        let asked_at = clock::now();
        match self.issuer.fetch().await {
            Ok(fetched) => {
                let lifetime = fetched.lifetime.min(LIFETIME_MAX);
                let early = RENEW_BEFORE.min(lifetime / 5);
                let token = fetched.token.clone();
                *held = Some(Held {
                    token: fetched.token,
                    renew_at: asked_at + (lifetime - early),
                    expires_at: asked_at + lifetime,
                });
                Ok(token)
            }
            Err(error) => match held.as_mut().filter(|h| clock::now() < h.expires_at) {
                Some(still) => {
                    tracing::warn!(%error, "a token could not be renewed yet; the one at hand is still valid");
                    still.renew_at = (clock::now() + RETRY_AFTER).min(still.expires_at);
                    Ok(still.token.clone())
                }
                None => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use secrecy::ExposeSecret;

    use super::*;

    #[derive(Debug, Default)]
    struct Counting {
        fetched: AtomicU32,
        broken: AtomicBool,
    }

    #[async_trait]
    impl Issuer for &'static Counting {
        async fn fetch(&self) -> Result<Fetched, SitesError> {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if self.broken.load(Ordering::SeqCst) {
                return Err(SitesError::Credential {
                    what: "test".into(),
                    detail: "down".into(),
                    transient: true,
                });
            }
            let n = self.fetched.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(Fetched {
                token: format!("t{n}").into(),
                lifetime: Duration::from_secs(3600),
            })
        }
    }

    #[derive(Debug)]
    struct Endless;

    #[async_trait]
    impl Issuer for Endless {
        async fn fetch(&self) -> Result<Fetched, SitesError> {
            Ok(Fetched {
                token: "t".into(),
                lifetime: Duration::from_secs(u64::MAX),
            })
        }
    }

    #[tokio::test]
    async fn a_token_that_is_said_to_live_for_ever_is_used() {
        let tokens = Renewing::new(Endless);
        assert_eq!(tokens.token().await.unwrap().expose_secret(), "t");
    }

    fn issuer() -> &'static Counting {
        Box::leak(Box::default())
    }

    async fn text(tokens: &Renewing<&'static Counting>) -> String {
        tokens.token().await.unwrap().expose_secret().to_owned()
    }

    #[tokio::test]
    async fn many_callers_at_once_cause_one_fetch() {
        let issuer = issuer();
        let tokens = Renewing::new(issuer);
        futures::future::join_all((0..20).map(|_| text(&tokens))).await;
        assert_eq!(issuer.fetched.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_it_expires() {
        let tokens = Renewing::new(issuer());
        assert_eq!(text(&tokens).await, "t1");
        clock::advance(Duration::from_secs(3200));
        assert_eq!(text(&tokens).await, "t1");
        clock::advance(Duration::from_secs(101));
        assert_eq!(text(&tokens).await, "t2");
    }

    #[tokio::test]
    async fn a_valid_token_outlives_a_failed_renewal_and_an_expired_one_does_not() {
        let issuer = issuer();
        let tokens = Renewing::new(issuer);
        assert_eq!(text(&tokens).await, "t1");
        issuer.broken.store(true, Ordering::SeqCst);
        clock::advance(Duration::from_secs(3400));
        assert_eq!(text(&tokens).await, "t1");
        clock::advance(Duration::from_secs(201));
        tokens.token().await.unwrap_err();
        issuer.broken.store(false, Ordering::SeqCst);
        assert_eq!(text(&tokens).await, "t2");
    }
}
