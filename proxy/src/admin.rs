//! Health and metrics over plain HTTP, on an address of their own.
//!
//! `/healthz` says that the process answers. `/readyz` says whether new queries are accepted; sites and catalogs that
//! are down stand in its body and don't change that: the rest of the namespace is still served. `/metrics` is
//! Prometheus's text format.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use landfast_sites::HealthState;
use serde_json::{Value, json};

use crate::metrics::{Metrics, Sources};

/// What the pages are made from.
#[derive(Debug, Clone)]
pub(crate) struct AdminSources {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sources: Sources,
}

/// The three pages.
pub(crate) fn router(sources: AdminSources) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(sources)
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(state): State<AdminSources>) -> impl IntoResponse {
    let ready = !state.sources.admission.draining();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "ready": ready,
        "draining": !ready,
        "running_queries": state.sources.admission.running(),
        "waiting_queries": state.sources.admission.waiting(),
        "sites": sites(&state),
        "catalogs": catalogs(&state),
    });
    (status, Json(body))
}

fn sites(state: &AdminSources) -> Vec<Value> {
    let own = state.sources.sites.reader();
    state
        .sources
        .sites
        .health()
        .into_iter()
        .map(|site| {
            json!({
                "name": site.id.as_str(),
                "own": site.id == *own,
                "state": match site.state {
                    HealthState::Up => "up",
                    HealthState::Suspect => "suspect",
                    HealthState::Down { .. } => "down",
                },
                "last_error": site.last_error,
                "quarantined_files": site.quarantined,
            })
        })
        .collect()
}

fn catalogs(state: &AdminSources) -> Vec<Value> {
    state
        .sources
        .namespace
        .member_states()
        .into_iter()
        .map(|member| {
            json!({
                "name": member.name.as_str(),
                "kind": member.kind,
                "state": member.status.as_str(),
                "last_error": member.last_error,
            })
        })
        .collect()
}

async fn metrics(State(state): State<AdminSources>) -> impl IntoResponse {
    match state.metrics.render(&state.sources) {
        Ok(text) => (
            StatusCode::OK,
            [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
            text,
        ),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            format!("{error}\n"),
        ),
    }
}
