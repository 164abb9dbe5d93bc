//! A directory as a store, for example an NFS mount.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use super::{Opener, cannot_open};
use crate::error::SitesError;
use crate::id::SiteId;
use crate::spec::FileSpec;

/// Opens a directory. It must exist when it is first read, not when the process starts: a mount may come later.
#[derive(Debug)]
pub(super) struct Directory {
    site: SiteId,
    root: PathBuf,
}

impl Directory {
    pub(super) fn new(site: &SiteId, spec: &FileSpec) -> Self {
        Self {
            site: site.clone(),
            root: spec.root.clone(),
        }
    }
}

impl Opener for Directory {
    fn open(&self, _bucket: &str) -> Result<Arc<dyn ObjectStore>, SitesError> {
        let store = LocalFileSystem::new_with_prefix(&self.root)
            .map_err(|e| cannot_open(&self.site, &self.describe(), &e))?;
        Ok(Arc::new(store))
    }

    fn describe(&self) -> String {
        format!("directory {}", self.root.display())
    }

    fn is_directory(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
