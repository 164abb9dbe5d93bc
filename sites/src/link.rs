//! What reading one site from another costs.

use std::collections::HashMap;
use std::time::Duration;

use crate::error::SitesError;
use crate::id::SiteId;

/// What it costs the reader to get bytes from a store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// From sending a request to its first byte.
    pub latency: Duration,
    /// What all requests together can carry.
    pub bandwidth_bytes_per_s: u64,
    /// The price of 2^30 bytes.
    pub usd_per_gib: f64,
}

impl Link {
    /// What a site pays to read its own store, where no link says otherwise: 1 ms, 10 Gbit/s, nothing.
    pub const OWN_SITE: Self = Self {
        latency: Duration::from_millis(1),
        bandwidth_bytes_per_s: 1_250_000_000,
        usd_per_gib: 0.0,
    };
}

/// A link with its two ends.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkSpec {
    /// The site whose store is read.
    pub from: SiteId,
    /// The site that reads.
    pub to: SiteId,
    /// What that costs.
    pub link: Link,
}

/// The link from each of `sites` to `reader`, in the order of `sites`.
pub(crate) fn links_to_reader(
    links: &[LinkSpec],
    sites: &[SiteId],
    reader: &SiteId,
) -> Result<Vec<Link>, SitesError> {
    let known = |id: &SiteId| sites.contains(id);
    let mut by_ends: HashMap<(&SiteId, &SiteId), Link> = HashMap::new();
    for spec in links {
        let LinkSpec { from, to, link } = spec;
        for end in [from, to] {
            if !known(end) {
                return Err(SitesError::config(format!(
                    "the link from `{from}` to `{to}` names `{end}`, which is no site"
                )));
            }
        }
        if link.bandwidth_bytes_per_s == 0 {
            return Err(SitesError::config(format!(
                "the link from `{from}` to `{to}` has no bandwidth: give it more than 0"
            )));
        }
        if !link.usd_per_gib.is_finite() || link.usd_per_gib < 0.0 {
            return Err(SitesError::config(format!(
                "the link from `{from}` to `{to}` has a price that is negative or no number"
            )));
        }
        if by_ends.insert((from, to), *link).is_some() {
            return Err(SitesError::config(format!(
                "the link from `{from}` to `{to}` is there twice"
            )));
        }
    }
    sites
        .iter()
        .map(|site| match by_ends.get(&(site, reader)) {
            Some(link) => Ok(*link),
            None if site == reader => Ok(Link::OWN_SITE),
            None => Err(SitesError::config(format!(
                "there is no link from `{site}` to `{reader}`: add a [[link]] with from = \"{site}\" and to = \"{reader}\""
            ))),
        })
        .collect()
}
