//! `[[catalog]]` exactly as it is written; see [`super::raw`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[[catalog]]`: a member of the namespace.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCatalog {
    pub(crate) name: String,
    pub(crate) kind: RawCatalogKind,
    #[serde(default = "default_member_timeout_ms")]
    pub(crate) timeout_ms: u64,
    pub(crate) uri: Option<String>,
    pub(crate) warehouse: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) auth: Option<RawAuth>,
    #[serde(default)]
    pub(crate) header: Vec<RawHeader>,
    pub(crate) url: Option<String>,
    pub(crate) url_file: Option<PathBuf>,
    pub(crate) url_env: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) password_env: Option<String>,
    pub(crate) catalog_name: Option<String>,
    pub(crate) create_tables: Option<bool>,
    #[serde(default)]
    pub(crate) table: Vec<RawFolder>,
}

fn default_member_timeout_ms() -> u64 {
    10_000
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawCatalogKind {
    Rest,
    Sql,
    Folders,
}

/// `[[catalog.table]]`: a table that no catalog knows, by its folder.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFolder {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) location: String,
}

/// `[catalog.auth]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAuth {
    pub(crate) kind: RawAuthKind,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) token_env: Option<String>,
    pub(crate) token_uri: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret_file: Option<PathBuf>,
    pub(crate) client_secret_env: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) credential: Option<String>,
    pub(crate) credential_file: Option<PathBuf>,
    pub(crate) user_project: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawAuthKind {
    None,
    Bearer,
    Oauth2,
    Google,
}

/// `[[catalog.header]]`: an extra header sent to a REST catalog.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHeader {
    pub(crate) name: String,
    pub(crate) value_file: Option<PathBuf>,
    pub(crate) value_env: Option<String>,
    pub(crate) value: Option<String>,
}
