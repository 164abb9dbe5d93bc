//! The order in which sites are asked for one file.

use std::sync::Arc;

use crate::id::SiteId;

/// The ordered candidates for one file. The origin need not be among them: a read appends it as the last resort.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route(Arc<[SiteId]>);

impl Route {
    /// The candidates in order; a site that is named again is dropped.
    pub fn new(sites: Vec<SiteId>) -> Self {
        let mut ordered: Vec<SiteId> = Vec::with_capacity(sites.len());
        for site in sites {
            if !ordered.contains(&site) {
                ordered.push(site);
            }
        }
        Self(ordered.into())
    }

    /// The candidates in order.
    pub fn sites(&self) -> &[SiteId] {
        &self.0
    }

    /// The site that is asked first.
    pub fn first(&self) -> Option<&SiteId> {
        self.0.first()
    }
}
