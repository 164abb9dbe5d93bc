//! Who we are to a REST catalog: tokens, renewed before they expire.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use landfast_sites::{GoogleTokens, google_tokens};
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::member::rest::failure::plain;
use crate::{CatalogError, Clock, RestAuth, Result};

/// What a Google token is for.
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// A token is renewed this long before it expires, or when a fifth of its life is left if that is less.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// A token's life where the endpoint doesn't say it.
const LIFE_UNSAID: Duration = Duration::from_secs(60 * 60);

/// A token is taken to live no longer, whatever the endpoint says.
const LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Gives each request its bearer token.
pub(super) enum Authority {
    Nobody,
    Fixed(SecretString),
    OAuth2(Box<OAuth2>),
    Google {
        tokens: Arc<dyn GoogleTokens>,
        user_project: Option<String>,
    },
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Fixed(_) => "Fixed",
            Self::OAuth2(_) => "OAuth2",
            Self::Google { .. } => "Google",
        })
    }
}

/// OAuth2 client credentials (RFC 6749, section 4.4).
pub(super) struct OAuth2 {
    token_uri: String,
    client_id: String,
    client_secret: SecretString,
    scope: String,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    value: SecretString,
    renew_at: Instant,
    expires_at: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<u64>,
}

impl Authority {
    /// `base` is the catalog's address, where its own token endpoint is.
    pub(super) fn new(auth: &RestAuth, base: &str, clock: Arc<dyn Clock>) -> Result<Self> {
        Ok(match auth {
            RestAuth::None => Self::Nobody,
            RestAuth::Bearer(token) => Self::Fixed(token.clone()),
            RestAuth::OAuth2 {
                token_uri,
                client_id,
                client_secret,
                scope,
            } => Self::OAuth2(Box::new(OAuth2 {
                token_uri: token_uri
                    .clone()
                    .unwrap_or_else(|| format!("{base}/v1/oauth/tokens")),
                client_id: client_id.clone(),
                client_secret: client_secret.clone(),
                scope: scope.clone().unwrap_or_else(|| "catalog".to_owned()),
                clock,
                current: Mutex::new(None),
            })),
            RestAuth::Google {
                credential,
                user_project,
            } => Self::Google {
                tokens: google_tokens(credential, &[GOOGLE_SCOPE])?,
                user_project: user_project.clone(),
            },
        })
    }

    /// The token for the next request, if there is one to send.
    pub(super) async fn token(
        &self,
        http: &reqwest::Client,
    ) -> Result<Option<SecretString>, AuthFailure> {
        match self {
            Self::Nobody => Ok(None),
            Self::Fixed(token) => Ok(Some(token.clone())),
            Self::OAuth2(oauth) => oauth.token(http).await.map(Some),
            Self::Google { tokens, .. } => match tokens.token().await {
                Ok(token) => Ok(Some(token)),
                Err(error) => Err(AuthFailure::from_google(&error)),
            },
        }
    }

    /// Forgets a token that was refused; says whether another try can do better.
    pub(super) async fn refused(&self, token: &SecretString) -> bool {
        match self {
            Self::Nobody | Self::Fixed(_) => false,
            Self::OAuth2(oauth) => {
                let mut current = oauth.current.lock().await;
                if current
                    .as_ref()
                    .is_some_and(|known| known.value.expose_secret() == token.expose_secret())
                {
                    *current = None;
                }
                true
            }
            Self::Google { .. } => true,
        }
    }

    /// The project that pays, as BigLake wants to know it.
    pub(super) fn user_project(&self) -> Option<&str> {
        match self {
            Self::Google { user_project, .. } => user_project.as_deref(),
            _ => None,
        }
    }

    /// A secret that no text may show.
    pub(super) fn secret(&self) -> Option<&SecretString> {
        match self {
            Self::Fixed(token) => Some(token),
            Self::OAuth2(oauth) => Some(&oauth.client_secret),
            Self::Nobody | Self::Google { .. } => None,
        }
    }
}

/// Why there is no token.
#[derive(Debug)]
pub(super) enum AuthFailure {
    /// The endpoint is out of reach or fails.
    Unavailable(String),
    /// The endpoint refuses us.
    Denied(String),
}

impl AuthFailure {
    fn from_google(error: &landfast_sites::SitesError) -> Self {
        match error.kind() {
            landfast_sites::SitesErrorKind::Unavailable => Self::Unavailable(error.to_string()),
            _ => Self::Denied(error.to_string()),
        }
    }

    pub(super) fn into_error(self, catalog: &crate::CatalogName) -> CatalogError {
        match self {
            Self::Unavailable(reason) => CatalogError::Unavailable {
                catalog: catalog.clone(),
                reason,
            },
            Self::Denied(reason) => CatalogError::Denied {
                catalog: catalog.clone(),
                reason,
            },
        }
    }
}

impl OAuth2 {
    /// The current token, renewed by one caller at a time when its time comes. A renewal that fails is no failure while
    /// the current token lasts.
    async fn token(&self, http: &reqwest::Client) -> Result<SecretString, AuthFailure> {
        let mut current = self.current.lock().await;
        let now = self.clock.now();
        if let Some(token) = current.as_ref().filter(|token| now < token.renew_at) {
            return Ok(token.value.clone());
        }
        match self.fetch(http, now).await {
            Ok(token) => {
                let value = token.value.clone();
                *current = Some(token);
                Ok(value)
            }
            Err(failure) => match current.as_ref().filter(|token| now < token.expires_at) {
                Some(token) => {
                    tracing::warn!(token_uri = %self.token_uri, ?failure, "a token could not be renewed yet");
                    Ok(token.value.clone())
                }
                None => Err(failure),
            },
        }
    }

    async fn fetch(&self, http: &reqwest::Client, asked: Instant) -> Result<Token, AuthFailure> {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("scope", self.scope.as_str()),
        ];
        if !self.client_id.is_empty() {
            form.push(("client_id", &self.client_id));
        }
        form.push(("client_secret", self.client_secret.expose_secret()));
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let at = format!("the token endpoint {}", self.token_uri);
        let answer = http
            .post(&self.token_uri)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .map_err(|error| AuthFailure::Unavailable(format!("{at}: {}", plain(error))))?;
        let status = answer.status();
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(AuthFailure::Unavailable(format!("{at} answers {status}")));
        }
        if !status.is_success() {
            return Err(AuthFailure::Denied(format!(
                "{at} answers {status}: check client id, secret and scope"
            )));
        }
        let answer: TokenAnswer = answer.json().await.map_err(|_| {
            AuthFailure::Denied(format!("{at} sends an answer without an access token"))
        })?;
        let life = answer.expires_in.map_or(LIFE_UNSAID, Duration::from_secs);
        let life = life.min(LIFE_MAX);
        let early = RENEW_BEFORE.min(life / 5);
        Ok(Token {
            value: answer.access_token.into(),
            renew_at: asked + (life - early),
            expires_at: asked + life,
        })
    }
}
