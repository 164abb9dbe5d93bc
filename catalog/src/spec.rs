//! What a namespace is made of: plain, validated configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use landfast_sites::{CanonicalUri, GoogleCredential};
use secrecy::SecretString;

use crate::{CatalogName, SchemaName};

/// Everything a [`crate::Namespace`] is built from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NamespaceSpec {
    /// The members, each under its own catalog name.
    pub members: Vec<MemberSpec>,
    /// How much parsed metadata, manifest lists and manifests are kept in memory, in bytes.
    pub metadata_cache_bytes: u64,
    /// How long a member's listing of schemas and tables is used before it is asked again.
    pub listing_age_max: Duration,
}

impl NamespaceSpec {
    /// A namespace of these members, with 256 MiB of cached metadata and listings asked for again after 2 s.
    pub fn new(members: Vec<MemberSpec>) -> Self {
        Self {
            members,
            metadata_cache_bytes: 256 << 20,
            listing_age_max: Duration::from_secs(2),
        }
    }
}

/// An Iceberg catalog, and the name it is mounted under.
#[derive(Debug, Clone)]
pub struct MemberSpec {
    /// The catalog name in the namespace.
    pub name: CatalogName,
    /// What kind of catalog it is, and how to reach it.
    pub kind: MemberKind,
    /// How long one request to it may take.
    pub timeout: Duration,
}

/// The kinds of Iceberg catalogs that can be members.
#[derive(Debug, Clone)]
pub enum MemberKind {
    /// An Iceberg REST catalog.
    Rest(RestSpec),
    /// Tables in a SQL database, as PyIceberg and Iceberg's JDBC catalog keep them.
    Sql(SqlSpec),
    /// Tables that no catalog knows, each in its folder.
    Folders(FoldersSpec),
}

/// Tables that are followed in their folders: the newest metadata file is where each stands.
#[derive(Debug, Clone, Default)]
pub struct FoldersSpec {
    /// The tables, each of a name of its own.
    pub tables: Vec<FolderSpec>,
}

/// One table's folder. It has one writer: writers that commit at once need a catalog.
#[derive(Debug, Clone)]
pub struct FolderSpec {
    /// The schema that the table is in.
    pub schema: SchemaName,
    /// The table's own name.
    pub table: String,
    /// The table's base location, where `metadata/` lies.
    pub location: CanonicalUri,
}

/// How to reach an Iceberg REST catalog.
#[derive(Debug, Clone, Default)]
pub struct RestSpec {
    /// The catalog's base address, without `/v1`.
    pub uri: String,
    /// The warehouse to ask `/v1/config` for.
    pub warehouse: Option<String>,
    /// A path prefix, where the catalog's own configuration doesn't hand one out.
    pub prefix: Option<String>,
    /// Who we are.
    pub auth: RestAuth,
    /// Headers for each request; their values never show.
    pub headers: BTreeMap<String, SecretString>,
    /// A PEM file with certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// How a REST catalog is told who we are.
#[derive(Debug, Clone, Default)]
pub enum RestAuth {
    /// It isn't.
    #[default]
    None,
    /// A fixed bearer token.
    Bearer(SecretString),
    /// OAuth2 client credentials; tokens are renewed before they expire.
    OAuth2 {
        /// The token endpoint; without one, the catalog's own `/v1/oauth/tokens`.
        token_uri: Option<String>,
        /// The client's id.
        client_id: String,
        /// The client's secret.
        client_secret: SecretString,
        /// The scope to ask for; Iceberg's convention is `catalog`.
        scope: Option<String>,
    },
    /// A Google access token, as BigLake's catalog wants it.
    Google {
        /// Whose token.
        credential: GoogleCredential,
        /// The project that pays, sent as `x-goog-user-project`.
        user_project: Option<String>,
    },
}

/// How to reach a SQL catalog.
#[derive(Debug, Clone)]
pub struct SqlSpec {
    /// `sqlite://…` (or `sqlite::memory:`), or `postgres://…`.
    pub url: SecretString,
    /// The value of the column `catalog_name`: what the catalog is called in PyIceberg.
    pub catalog_name: String,
    /// Whether the catalog's two tables are created where they are missing.
    pub create_tables: bool,
}

/// How old the pointer to a table's metadata may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// Asked of the member after the query came in.
    Strong,
    /// The last successful validation began at most this long ago.
    Bounded(Duration),
}

/// How one query reads where its tables stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reading {
    /// How old a pointer may be.
    pub freshness: Freshness,
    /// Whether an older pointer (24 h at most) may serve while the member is out of reach; the snapshot says so then.
    pub stale_allowed: bool,
}

impl Reading {
    /// Asks the member, and fails without it.
    pub const STRONG: Self = Self {
        freshness: Freshness::Strong,
        stale_allowed: false,
    };

    /// A pointer confirmed within this time.
    pub fn bounded(age_max: Duration) -> Self {
        Self {
            freshness: Freshness::Bounded(age_max),
            stale_allowed: false,
        }
    }
}
