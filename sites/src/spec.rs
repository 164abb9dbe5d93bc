//! What the configuration says about sites, as plain data; `Sites::new` validates it as a whole.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::credentials::GoogleCredential;
use crate::id::SiteId;
use crate::link::LinkSpec;

/// All sites, the links to them, and where the reader stands.
#[derive(Debug, Clone)]
pub struct SitesSpec {
    /// Every site, in any order.
    pub sites: Vec<SiteSpec>,
    /// What reading costs. A site reads its own store for nothing unless a link says otherwise.
    pub links: Vec<LinkSpec>,
    /// The site that this process runs at.
    pub reader: SiteId,
}

/// One site: a name, a store, and what the store keeps where.
#[derive(Debug, Clone)]
pub struct SiteSpec {
    /// The site's name.
    pub id: SiteId,
    /// How its bytes are reached.
    pub store: StoreSpec,
    /// Which canonical prefixes it keeps, and where; the longest match wins.
    pub mappings: Vec<MappingSpec>,
    /// How this process learns which files the site holds.
    pub holdings: Holdings,
    /// Added latency and a bandwidth cap, for the demo, tests and benchmarks.
    pub simulated: Option<SimulatedLink>,
    /// Limits of one request.
    pub timeouts: Timeouts,
}

/// One prefix rule of a site.
#[derive(Debug, Clone)]
pub struct MappingSpec {
    /// The canonical prefix, for example `gs://lake/hot/`; it matches on whole path segments.
    pub prefix: String,
    /// The place in this site's store: `bucket/key/prefix` (gcs, s3), `container/key/prefix` (azure), or a path
    /// under the store's root (file). `None` is the same bucket and key as the prefix; for a `file:` prefix it is
    /// the file itself, which must then lie under the store's root.
    pub at: Option<String>,
    /// Whether this site is the site of record of the prefix. Every prefix has exactly one.
    pub origin: bool,
}

/// How this process learns which files a site holds. An origin mapping always counts as holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holdings {
    /// By listing the mapped prefix in the background, again after every `refresh` (± a tenth).
    Listed {
        /// The time from one listing to the next.
        refresh: Duration,
    },
    /// As `Listed`, but what is listed may have to be fetched first (global folders, cache-backed stores): a file
    /// counts as held only once a read of it has come back at local speed.
    ListedNotAlwaysResident {
        /// The time from one listing to the next.
        refresh: Duration,
    },
    /// A full mirror that someone else keeps, corrected by what reads find.
    AssumeAll,
}

/// A link that is slower than the one the process really has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulatedLink {
    /// Added to every request before its first byte.
    pub latency: Duration,
    /// Shared by all requests of the store at once.
    pub bandwidth_bytes_per_s: Option<u64>,
}

/// Limits of one request to a store, fit for failing over rather than for waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To open a connection.
    pub connect: Duration,
    /// For a whole request, its body included; larger reads are split into several requests.
    pub request: Duration,
    /// Further attempts after a failed one, at the same site.
    pub retries: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(500),
            request: Duration::from_secs(30),
            retries: 1,
        }
    }
}

/// How a site's bytes are reached.
#[derive(Debug, Clone)]
pub enum StoreSpec {
    /// Google Cloud Storage, or a store that speaks its API.
    Gcs(GcsSpec),
    /// S3, or a store that speaks its API.
    S3(S3Spec),
    /// Azure Blob Storage or ADLS.
    Azure(AzureSpec),
    /// A directory, for example an NFS mount.
    File(FileSpec),
}

/// A store that speaks the GCS API.
#[derive(Debug, Clone)]
pub struct GcsSpec {
    /// The service's base URL; `None` is Google's own. Plain `http` is allowed, for stores inside the building.
    pub endpoint: Option<String>,
    /// Who asks.
    pub credential: GoogleCredential,
    /// The project that pays for requests, sent as `x-goog-user-project`.
    pub user_project: Option<String>,
}

/// A store that speaks the S3 API.
#[derive(Debug, Clone)]
pub struct S3Spec {
    /// The service's URL; `None` is AWS in `region`.
    pub endpoint: Option<String>,
    /// The region; `None` is what the environment says, else `us-east-1`.
    pub region: Option<String>,
    /// `endpoint/bucket/key` rather than `bucket.endpoint/key`.
    pub path_style: bool,
    /// Who asks.
    pub credential: S3Credential,
    /// Whether plain `http` is allowed.
    pub allow_http: bool,
}

/// Who asks an S3 store.
#[derive(Debug, Clone)]
pub enum S3Credential {
    /// An access key.
    Static {
        /// The key's id.
        access_key_id: String,
        /// The key.
        secret: SecretString,
        /// The token of a temporary key.
        session_token: Option<SecretString>,
    },
    /// The environment's keys, else a web identity, a container's or an instance's role. Profile files are not read.
    DefaultChain,
    /// Nobody: requests are not signed.
    Anonymous,
}

/// A store that speaks the Azure Blob API.
#[derive(Debug, Clone)]
pub struct AzureSpec {
    /// The storage account's name.
    pub account: String,
    /// The account's URL; `None` is `https://ACCOUNT.blob.core.windows.net`. For Azurite it ends in the account's name.
    pub endpoint: Option<String>,
    /// Who asks.
    pub credential: AzureCredential,
    /// Whether plain `http` is allowed.
    pub allow_http: bool,
}

/// Who asks an Azure store.
#[derive(Debug, Clone)]
pub enum AzureCredential {
    /// The account's key, in base64 as Azure shows it.
    Key(SecretString),
    /// A shared access signature: the query string, with or without its `?`.
    Sas(SecretString),
    /// A service principal with a secret.
    ClientSecret {
        /// The directory's id.
        tenant: String,
        /// The application's id.
        client_id: String,
        /// The application's secret.
        secret: SecretString,
    },
    /// The identity of the machine that the process runs on.
    ManagedIdentity {
        /// Which user-assigned identity; `None` is the system-assigned one.
        client_id: Option<String>,
    },
    /// Nobody: requests are not signed.
    Anonymous,
}

/// A directory as a store.
#[derive(Debug, Clone)]
pub struct FileSpec {
    /// The directory that every `at` is relative to.
    pub root: PathBuf,
}
