//! **Where are a file's bytes, and how does one get them?**
//!
//! A *site* stores bytes, a *link* says what reading it costs, prefix *rules* say which site keeps which canonical
//! URI where, the *inventory* says what a site really holds, and a *routed read* takes a file's ranges from the
//! first candidate that has them.
//!
//! # Invariants
//! - A file's identity is its canonical URI as written, everywhere. Rules, not identities, see through spellings.
//! - Every mapped prefix has exactly one origin. Only the origin's word makes a file missing.
//! - A batch of ranges comes from one object at one site; no answer is spliced from two.
//! - An object whose size contradicts the recorded one gives no byte to anybody.
//! - The inventory is a hint: when it is wrong a read takes longer, and nothing else.
//! - No lock is held across an `await`, except the one whose purpose is that one caller fetches a token for all.
//! - No text that leaves this crate holds a credential, a request's URL or a store's response body.
//!
//! # What it doesn't know
//! Iceberg, SQL, tables beyond the URI of their root, Flight, who is asking, and which site is best for a query:
//! `landfast_planner` places files, this crate does as it is told and falls through where it must.

mod attempt;
mod budget;
mod clock;
mod coalesce;
mod credentials;
mod error;
mod failure;
mod health;
mod id;
mod inventory;
mod link;
mod listing;
mod misses;
mod prefix;
mod quarantine;
mod route;
mod routed;
mod rules;
mod sites;
mod spec;
mod store;
mod tally;
#[cfg(test)]
mod testing;

pub use credentials::{GoogleCredential, GoogleTokens, google_tokens, install_crypto_provider};
pub use error::{SitesError, SitesErrorKind};
pub use health::{HealthState, SiteHealth};
pub use id::{CanonicalUri, FileId, Scheme, SiteId, UriLocation};
pub use inventory::{Holding, Inventory, InventoryLimits, RootListing};
pub use link::{Link, LinkSpec};
pub use listing::{Listed, PrefixProbe, ProbeReport};
pub use quarantine::Quarantined;
pub use route::Route;
pub use sites::Sites;
pub use spec::{
    AzureCredential, AzureSpec, FileSpec, GcsSpec, Holdings, MappingSpec, S3Credential, S3Spec,
    SimulatedLink, SiteSpec, SitesSpec, StoreSpec, Timeouts,
};
pub use tally::{CacheHits, ReadClass, ReadLog, Reads, SiteReads};
