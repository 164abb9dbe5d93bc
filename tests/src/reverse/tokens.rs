//! Bearer tokens before a server that knows none: fixed ones, and such as expire.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use base64::prelude::{BASE64_STANDARD, Engine};

/// OAuth2 client credentials, and how long a token lives.
#[derive(Clone, Debug)]
pub struct OAuth2 {
    /// The one client's id.
    pub client_id: String,
    /// The one client's secret.
    pub client_secret: String,
    /// How long a token is good for.
    pub lifetime: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Guard {
    state: Mutex<Tokens>,
}

#[derive(Debug, Default)]
struct Tokens {
    fixed: Option<String>,
    oauth2: Option<OAuth2>,
    handed_out: Vec<(String, Instant)>,
    expired_seen: u64,
}

impl Guard {
    pub(super) fn require_bearer(&self, token: &str) {
        self.state().fixed = Some(token.to_owned());
    }

    pub(super) fn require_oauth2(&self, oauth2: OAuth2) {
        self.state().oauth2 = Some(oauth2);
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.handed_out.len() as u64, state.expired_seen)
    }

    /// What to answer without asking upstream; none when the request may pass.
    pub(super) fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Response> {
        let mut state = self.state();
        let is_token_request = path == "/v1/oauth/tokens" || path == "/token";
        if let (Some(oauth2), true, &Method::POST) =
            (state.oauth2.clone(), is_token_request, method)
        {
            return Some(state.hand_out(&oauth2, headers, body));
        }
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if state
            .fixed
            .as_deref()
            .is_some_and(|token| bearer != Some(token))
        {
            return Some(refused());
        }
        if let Some(oauth2) = &state.oauth2 {
            let lifetime = oauth2.lifetime;
            let given = state
                .handed_out
                .iter()
                .find(|(token, _)| bearer == Some(token))
                .map(|(_, when)| *when);
            let expired = given.is_some_and(|when| when.elapsed() > lifetime);
            state.expired_seen += u64::from(expired);
            if given.is_none() || expired {
                return Some(refused());
            }
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, Tokens> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tokens {
    fn hand_out(&mut self, oauth2: &OAuth2, headers: &HeaderMap, body: &[u8]) -> Response {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
        let field = |name: &str| {
            form.iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let assertion = field("grant_type") == Some("urn:ietf:params:oauth:grant-type:jwt-bearer");
        let in_form = field("client_id") == Some(&oauth2.client_id)
            && field("client_secret") == Some(&oauth2.client_secret);
        let basic =
            BASE64_STANDARD.encode(format!("{}:{}", oauth2.client_id, oauth2.client_secret));
        let basic = headers
            .get(header::AUTHORIZATION)
            .is_some_and(|value| *value == format!("Basic {basic}"));
        if !(in_form || basic || (assertion && field("assertion").is_some())) {
            let error = serde_json::json!({ "error": "invalid_client" });
            return json(StatusCode::UNAUTHORIZED, &error);
        }
        let token = format!("token-{}", self.handed_out.len() + 1);
        self.handed_out.push((token.clone(), Instant::now()));
        let seconds = oauth2.lifetime.as_secs();
        let answer = serde_json::json!({ "access_token": token, "token_type": "bearer", "expires_in": seconds });
        json(StatusCode::OK, &answer)
    }
}

fn refused() -> Response {
    let error = serde_json::json!({ "error": { "message": "Not authorized", "type": "NotAuthorizedException", "code": 401 } });
    json(StatusCode::UNAUTHORIZED, &error)
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    let mut answer = Response::new(Body::from(value.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    answer
}
