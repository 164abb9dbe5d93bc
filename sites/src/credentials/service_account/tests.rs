use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::*;
use crate::clock;
use crate::credentials::{GoogleCredential, StoreTokens, google_tokens};
use crate::error::SitesErrorKind;
use object_store::CredentialProvider;

/// Made for this test, and of no use anywhere else.
const KEY: &str = include_str!("test_key.pem");

#[derive(Debug, Default)]
struct Endpoint {
    asked: AtomicU32,
    status: Mutex<Option<StatusCode>>,
    forms: Mutex<Vec<HashMap<String, String>>>,
}

async fn token(State(endpoint): State<Arc<Endpoint>>, body: String) -> (StatusCode, Json<Value>) {
    let form = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    endpoint.forms.lock().push(form);
    if let Some(status) = *endpoint.status.lock() {
        return (status, Json(json!({ "error": "secret-detail" })));
    }
    let n = endpoint.asked.fetch_add(1, Ordering::SeqCst) + 1;
    (
        StatusCode::OK,
        Json(
            json!({ "access_token": format!("token-{n}"), "expires_in": 3600, "token_type": "Bearer" }),
        ),
    )
}

/// A token endpoint on a free port, and a key file that names it.
async fn endpoint() -> (Arc<Endpoint>, tempfile::TempDir, GoogleCredential, String) {
    let endpoint = Arc::new(Endpoint::default());
    let app = Router::new()
        .route("/own/token", post(token))
        .with_state(Arc::clone(&endpoint));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let token_uri = format!("http://{}/own/token", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.json");
    let key = json!({
        "type": "service_account",
        "client_email": "reader@project.iam",
        "private_key_id": "k1",
        "private_key": KEY,
        "token_uri": token_uri,
    });
    std::fs::write(&path, key.to_string()).unwrap();
    (
        endpoint,
        dir,
        GoogleCredential::ServiceAccountKey { path },
        token_uri,
    )
}

fn part(jwt: &str, at: usize) -> Value {
    let part = jwt.split('.').nth(at).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn the_keys_own_token_uri_is_asked_with_a_signed_assertion() {
    let (endpoint, _dir, credential, token_uri) = endpoint().await;
    let tokens = google_tokens(&credential, &["scope-a", "scope-b"]).unwrap();
    assert_eq!(tokens.token().await.unwrap().expose_secret(), "token-1");
    let form = endpoint.forms.lock()[0].clone();
    assert_eq!(form["grant_type"], GRANT_TYPE);
    let assertion = &form["assertion"];
    assert_eq!(
        (
            part(assertion, 0)["alg"].as_str(),
            part(assertion, 0)["kid"].as_str()
        ),
        (Some("RS256"), Some("k1"))
    );
    let claims = part(assertion, 1);
    assert_eq!(claims["aud"], token_uri);
    assert_eq!(claims["iss"], "reader@project.iam");
    assert_eq!(claims["scope"], "scope-a scope-b");
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        ASSERTION_LIFETIME_S
    );
    let signature = BASE64_URL_SAFE_NO_PAD
        .decode(assertion.split('.').nth(2).unwrap())
        .unwrap();
    assert_eq!(signature.len(), 256);
}

#[tokio::test]
async fn the_store_gets_one_token_until_shortly_before_it_expires_and_then_a_new_one() {
    let (endpoint, _dir, credential, _) = endpoint().await;
    let store = StoreTokens::new(Some(google_tokens(&credential, &["s"]).unwrap()));
    let bearer = async || store.get_credential().await.unwrap().bearer.clone();
    assert_eq!(
        (bearer().await, bearer().await),
        ("token-1".into(), "token-1".into())
    );
    clock::advance(Duration::from_secs(3250));
    assert_eq!(bearer().await, "token-1");
    clock::advance(Duration::from_secs(60));
    assert_eq!(
        bearer().await,
        "token-2",
        "the old one would be good for 290 seconds more"
    );
    assert_eq!(endpoint.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_refusal_is_told_from_an_endpoint_out_of_reach_and_neither_tells_secrets() {
    let (endpoint, dir, credential, _) = endpoint().await;
    let tokens = google_tokens(&credential, &["s"]).unwrap();
    for (status, kind) in [
        (StatusCode::BAD_REQUEST, SitesErrorKind::Denied),
        (StatusCode::SERVICE_UNAVAILABLE, SitesErrorKind::Unavailable),
    ] {
        *endpoint.status.lock() = Some(status);
        let error = tokens.token().await.unwrap_err();
        assert_eq!(error.kind(), kind);
        let text = error.to_string();
        assert!(
            text.contains("key.json")
                && text.contains("127.0.0.1")
                && text.contains(status.as_str()),
            "{text}"
        );
        assert!(!text.contains("secret-detail"), "{text}");
    }
    // Nobody listens on a port that was just given back.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let path = dir.path().join("elsewhere.json");
    let key = json!({ "client_email": "a@b", "private_key": KEY, "token_uri": format!("http://{free}/t") });
    std::fs::write(&path, key.to_string()).unwrap();
    let tokens = from_file(&path, &["s"]).unwrap();
    assert_eq!(
        tokens.token().await.unwrap_err().kind(),
        SitesErrorKind::Unavailable
    );
}

#[test]
fn a_broken_key_file_is_refused_at_start_without_showing_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.json");
    for (text, why) in [
        ("{ \"private_key\": \"hush\", ".to_owned(), "is no JSON"),
        (
            json!({ "private_key": "hush" }).to_string(),
            "`client_email`",
        ),
        (
            json!({ "client_email": "a", "private_key": "hush" }).to_string(),
            "no PEM",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = from_file(&path, &["s"]).unwrap_err().to_string();
        assert!(
            error.contains(why) && error.contains("key.json") && !error.contains("hush"),
            "{error}"
        );
    }
    let error = from_file(&dir.path().join("none.json"), &["s"])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("none.json") && error.contains("cannot be read"),
        "{error}"
    );
}
