use std::collections::HashMap;

use axum::routing::post;
use axum::{Json, Router};
use secrecy::ExposeSecret;
use serde_json::json;

use super::*;
use crate::credentials::{GoogleCredential, google_tokens};
use crate::error::SitesErrorKind;

/// A token exchange that gives back what it was shown.
async fn exchange(body: String) -> Json<Value> {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    Json(json!({
        "access_token": format!("for-{}-{}", form["subject_token"], form["scope"]),
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 3600,
    }))
}

#[tokio::test]
async fn a_workload_identity_file_is_exchanged_at_its_own_token_url() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let token_url = format!("http://{}/sts", listener.local_addr().unwrap());
    let app = Router::new().route("/sts", post(exchange));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let dir = tempfile::tempdir().unwrap();
    let subject = dir.path().join("subject");
    std::fs::write(&subject, "workload").unwrap();
    let path = dir.path().join("identity.json");
    let identity = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/pool",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": token_url,
        "credential_source": { "file": subject },
    });
    std::fs::write(&path, identity.to_string()).unwrap();
    let tokens = google_tokens(&GoogleCredential::WorkloadIdentity { path }, &["s1"]).unwrap();
    assert_eq!(
        tokens.token().await.unwrap().expose_secret(),
        "for-workload-s1"
    );
}

#[test]
fn a_file_of_another_kind_is_no_workload_identity() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity.json");
    std::fs::write(&path, r#"{ "type": "service_account" }"#).unwrap();
    let error = workload_identity(&path, &["s"]).unwrap_err();
    assert_eq!(error.kind(), SitesErrorKind::Denied);
    let text = error.to_string();
    assert!(
        text.contains("identity.json") && text.contains("`service_account`"),
        "{text}"
    );
}

#[test]
fn a_service_accounts_key_found_by_default_is_a_service_accounts_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.json");
    let key = include_str!("../service_account/test_key.pem");
    let file = json!({ "type": "service_account", "client_email": "a@b", "private_key": key });
    std::fs::write(&path, file.to_string()).unwrap();
    let tokens = default_at(Some(path), &["s"]).unwrap();
    let text = format!("{tokens:?}");
    assert!(
        text.contains("ServiceAccount") && !text.contains("PRIVATE"),
        "{text}"
    );
}
