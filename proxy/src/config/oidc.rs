//! `[[oidc]]`: issuers whose tokens are taken.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::auth::{Algorithm, OidcSpec};

use super::access::role;
use super::error::{KeyPath, Problem};
use super::raw_access::RawOidc;

pub(super) fn issuers(
    raw: &[RawOidc],
    at: &KeyPath,
    base: &Path,
) -> Result<Vec<OidcSpec>, Problem> {
    let mut names = BTreeSet::new();
    raw.iter()
        .enumerate()
        .map(|(index, oidc)| {
            let at = at.index(index);
            if !names.insert(&oidc.issuer) {
                return Err(at
                    .key("issuer")
                    .problem(format!("`{}` is given twice", oidc.issuer)));
            }
            issuer(oidc, &at, base)
        })
        .collect()
}

fn issuer(raw: &RawOidc, at: &KeyPath, base: &Path) -> Result<OidcSpec, Problem> {
    address(&raw.issuer, raw.allow_http, &at.key("issuer"))?;
    if let Some(uri) = &raw.jwks_uri {
        address(uri, raw.allow_http, &at.key("jwks_uri"))?;
    }
    if raw.audiences.is_empty() || raw.audiences.iter().any(String::is_empty) {
        return Err(at.key("audiences").problem(
            "give at least one: a token that was made for somebody else must not open this service",
        ));
    }
    if raw.user_claim.is_empty() {
        return Err(at.key("user_claim").problem("is empty"));
    }
    let maps_groups = !raw.engineer_groups.is_empty() || !raw.operator_groups.is_empty();
    if raw.groups_claim.is_none() && maps_groups {
        return Err(at
            .key("groups_claim")
            .problem("is needed where groups give a role"));
    }
    if raw.timeout_ms == 0 {
        return Err(at.key("timeout_ms").problem("must be at least 1"));
    }
    if raw.keys_keep_ms < raw.keys_refresh_ms {
        return Err(at.key("keys_keep_ms").problem(
            "is shorter than `keys_refresh_ms`, so keys would be dropped before they are fetched anew",
        ));
    }
    Ok(OidcSpec {
        issuer: raw.issuer.clone(),
        audiences: raw.audiences.clone(),
        jwks_uri: raw.jwks_uri.clone(),
        allow_http: raw.allow_http,
        ca_file: raw.ca_file.as_ref().map(|file| base.join(file)),
        algorithms: algorithms(raw.algorithms.as_deref(), &at.key("algorithms"))?,
        user_claim: raw.user_claim.clone(),
        user_prefix: raw.user_prefix.clone(),
        groups_claim: raw.groups_claim.clone(),
        groups_prefix: raw.groups_prefix.clone(),
        role: role(raw.role),
        engineer_groups: raw.engineer_groups.clone(),
        operator_groups: raw.operator_groups.clone(),
        clock_skew: Duration::from_millis(raw.clock_skew_ms),
        timeout: Duration::from_millis(raw.timeout_ms),
        refresh: Duration::from_millis(raw.keys_refresh_ms),
        keep: Duration::from_millis(raw.keys_keep_ms),
        interval: Duration::from_millis(raw.keys_interval_ms),
    })
}

fn address(text: &str, allow_http: bool, at: &KeyPath) -> Result<(), Problem> {
    let url = url::Url::parse(text)
        .map_err(|error| at.problem(format!("`{text}` is no URL: {error}")))?;
    match url.scheme() {
        "https" => Ok(()),
        "http" if allow_http => Ok(()),
        "http" => Err(at.problem(
            "is plain HTTP, where keys could be swapped on the way; write https, or set `allow_http = true` for a test",
        )),
        other => Err(at.problem(format!("is no https address but {other}"))),
    }
}

fn algorithms(names: Option<&[String]>, at: &KeyPath) -> Result<Vec<Algorithm>, Problem> {
    let Some(names) = names else {
        return Ok(Algorithm::ALL.to_vec());
    };
    if names.is_empty() {
        return Err(at.problem("is empty, so no token could be taken"));
    }
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            Algorithm::named(name).ok_or_else(|| {
                let known = Algorithm::ALL.map(Algorithm::as_str).join(", ");
                at.index(index)
                    .problem(format!("`{name}` is not taken; one of {known} is"))
            })
        })
        .collect()
}
