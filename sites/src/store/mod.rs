//! Opening a site's store: one client per bucket or container, made when it is first asked for.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use parking_lot::Mutex;

use crate::error::SitesError;
use crate::id::SiteId;
use crate::spec::{SimulatedLink, StoreSpec, Timeouts};

mod azure;
mod connector;
mod file;
mod gcs;
mod s3;
mod simulated;

use simulated::{Simulated, Wire};

/// One kind of store; `open` makes the client of one bucket.
pub(crate) trait Opener: fmt::Debug + Send + Sync {
    fn open(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, SitesError>;

    /// What it is, for a person: the kind and the address, never a credential.
    fn describe(&self) -> String;

    /// Whether objects are files that can be opened once and read at many places.
    fn is_directory(&self) -> bool {
        false
    }
}

/// A site's store: its clients by bucket, behind the simulated link where there is one.
#[derive(Debug)]
pub(crate) struct Stores {
    opener: Box<dyn Opener>,
    wire: Option<Arc<Wire>>,
    open: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Stores {
    pub(crate) fn new(opener: Box<dyn Opener>, simulated: Option<SimulatedLink>) -> Self {
        Self {
            opener,
            wire: simulated.map(|link| Arc::new(Wire::new(link))),
            open: Mutex::default(),
        }
    }

    pub(crate) fn bucket(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, SitesError> {
        let mut open = self.open.lock();
        if let Some(store) = open.get(bucket) {
            return Ok(Arc::clone(store));
        }
        let store = self.opener.open(bucket)?;
        let store = match &self.wire {
            Some(wire) => Arc::new(Simulated::new(store, Arc::clone(wire))) as Arc<dyn ObjectStore>,
            None => store,
        };
        open.insert(bucket.to_owned(), Arc::clone(&store));
        Ok(store)
    }

    pub(crate) fn describe(&self) -> String {
        self.opener.describe()
    }

    /// Whether a file can be opened once for many ranges; not through a simulated link, where each is a request.
    pub(crate) fn is_directory(&self) -> bool {
        self.wire.is_none() && self.opener.is_directory()
    }
}

/// The opener of a configured store.
pub(crate) fn opener(
    site: &SiteId,
    store: &StoreSpec,
    timeouts: Timeouts,
) -> Result<Box<dyn Opener>, SitesError> {
    Ok(match store {
        StoreSpec::Gcs(spec) => Box::new(gcs::Gcs::new(site, spec, timeouts)?),
        StoreSpec::S3(spec) => Box::new(s3::S3::new(site, spec, timeouts)),
        StoreSpec::Azure(spec) => Box::new(azure::Azure::new(site, spec, timeouts)),
        StoreSpec::File(spec) => Box::new(file::Directory::new(site, spec)),
    })
}

fn client_options(timeouts: Timeouts, allow_http: bool) -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(timeouts.connect)
        .with_timeout(timeouts.request)
        .with_allow_http(allow_http)
}

/// A failed request is tried again soon or not at all: the next site is the better second attempt.
fn retry(timeouts: Timeouts) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(500),
            base: 2.0,
        },
        max_retries: timeouts.retries as usize,
        retry_timeout: timeouts.request,
    }
}

/// A builder's own words are shown: they speak of the configuration, and hold neither keys nor what a store answered.
fn cannot_open(site: &SiteId, what: &str, error: &object_store::Error) -> SitesError {
    let why = match (crate::failure::io_kind(error), error) {
        (Some(kind), _) => kind.to_string(),
        (None, object_store::Error::Generic { source, .. }) => source.to_string(),
        (None, error) => error.to_string(),
    };
    // The base64 decoder would show the character that it stumbled over.
    let why = match why.split_once("Invalid Access Key") {
        Some(_) => "the access key is no base64".to_owned(),
        None => why,
    };
    SitesError::config(format!("site `{site}`: {what} cannot be opened: {why}"))
}
