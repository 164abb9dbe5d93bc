//! The file's own shape, continued: issuers, certificates, a file of users, and the audit log.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::raw::{RawRole, RawToken, RawUser};

/// The file that `[proxy] users_file` names: those who may come, read again when it changes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAccess {
    #[serde(default)]
    pub(crate) user: Vec<RawUser>,
    #[serde(default)]
    pub(crate) token: Vec<RawToken>,
    #[serde(default)]
    pub(crate) certificate: Vec<RawCertificate>,
    #[serde(default)]
    pub(crate) oidc: Vec<RawOidc>,
}

/// `[[certificate]]`: whom a client certificate stands for.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCertificate {
    pub(crate) subject: String,
    pub(crate) principal: Option<String>,
    #[serde(default)]
    pub(crate) role: RawRole,
    #[serde(default)]
    pub(crate) groups: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawClientAuth {
    #[default]
    Required,
    Optional,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RawNameSource {
    #[default]
    CommonName,
    SanDns,
    SanEmail,
    SanUri,
}

/// `[[oidc]]`: an issuer whose tokens are taken.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawOidc {
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) jwks_uri: Option<String>,
    #[serde(default)]
    pub(crate) allow_http: bool,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) algorithms: Option<Vec<String>>,
    #[serde(default = "default_user_claim")]
    pub(crate) user_claim: String,
    #[serde(default)]
    pub(crate) user_prefix: String,
    pub(crate) groups_claim: Option<String>,
    #[serde(default)]
    pub(crate) groups_prefix: String,
    #[serde(default)]
    pub(crate) role: RawRole,
    #[serde(default)]
    pub(crate) engineer_groups: Vec<String>,
    #[serde(default)]
    pub(crate) operator_groups: Vec<String>,
    #[serde(default = "default_clock_skew_ms")]
    pub(crate) clock_skew_ms: u64,
    #[serde(default = "default_timeout_ms")]
    pub(crate) timeout_ms: u64,
    #[serde(default = "default_keys_refresh_ms")]
    pub(crate) keys_refresh_ms: u64,
    #[serde(default = "default_keys_keep_ms")]
    pub(crate) keys_keep_ms: u64,
    #[serde(default = "default_keys_interval_ms")]
    pub(crate) keys_interval_ms: u64,
}

fn default_user_claim() -> String {
    "sub".to_owned()
}

fn default_clock_skew_ms() -> u64 {
    60_000
}

fn default_timeout_ms() -> u64 {
    5_000
}

fn default_keys_refresh_ms() -> u64 {
    3_600_000
}

fn default_keys_keep_ms() -> u64 {
    86_400_000
}

fn default_keys_interval_ms() -> u64 {
    30_000
}

/// `[audit]`: the audit log; absent means none.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAudit {
    pub(crate) file: PathBuf,
    #[serde(default = "default_redact_literals")]
    pub(crate) redact_literals: bool,
    #[serde(default)]
    pub(crate) on_failure: RawOnFailure,
    #[serde(default = "default_queue_lines")]
    pub(crate) queue_lines: usize,
}

fn default_redact_literals() -> bool {
    true
}

fn default_queue_lines() -> usize {
    8_192
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawOnFailure {
    #[default]
    Refuse,
    Drop,
}
