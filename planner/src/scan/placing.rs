//! Placing the files of one scan: what placement asks of sites and inventory, gathered once per query.

use std::collections::HashMap;
use std::time::Duration;

use datafusion::common::Result;
use datafusion::error::DataFusionError;
use landfast_catalog::DataFile;
use landfast_sites::{CanonicalUri, FileId, Link, Route, SiteId, Sites};

use super::split::seconds;
use crate::placement::{Candidate, PlacementInput, PlacementPolicy, place, score, usd};

/// What a footer is taken to have: small beside what columns have, and never nothing.
const FOOTER_BYTES: u64 = 16 * 1024;

/// Footer, then data.
const REQUESTS: u64 = 2;

/// Places files, one after the other.
#[derive(Debug)]
pub(super) struct Placer<'a> {
    sites: &'a Sites,
    policy: &'a PlacementPolicy,
    root: &'a CanonicalUri,
    known: HashMap<SiteId, (Link, bool)>,
    /// The share of all columns that the query reads.
    share: f64,
}

/// One file's place.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) route: Route,
    /// Bytes to read, estimated.
    pub(super) bytes: u64,
    /// What that costs at the first site, in US dollars.
    pub(super) usd: f64,
    /// The first site's score.
    pub(super) seconds: f64,
    /// How long the bytes are on their way from there, and the round trips before them.
    pub(super) moving: Duration,
    pub(super) waiting: Duration,
}

impl<'a> Placer<'a> {
    /// `root` is where the inventory lists the table.
    pub(super) fn new(
        sites: &'a Sites,
        policy: &'a PlacementPolicy,
        root: &'a CanonicalUri,
        share: f64,
    ) -> Self {
        let known = sites.ids().into_iter().map(|site| {
            let (link, healthy) = (*sites.link_to_reader(&site), sites.is_up(&site));
            (site, (link, healthy))
        });
        Self {
            sites,
            policy,
            root,
            known: known.collect(),
            share,
        }
    }

    /// Where to read one file, of which the columns to read take so many bytes, where that is recorded.
    ///
    /// # Errors
    /// No site is the origin of the file's prefix.
    pub(super) fn place(&self, file: &DataFile, column_bytes: Option<u64>) -> Result<Placed> {
        self.place_bytes(&file.id, self.bytes_to_read(file, column_bytes))
    }

    /// Where to read so many bytes of a file.
    ///
    /// # Errors
    /// No site is the origin of the file's prefix.
    pub(super) fn place_bytes(&self, file: &FileId, bytes: u64) -> Result<Placed> {
        let external = |error| DataFusionError::External(Box::new(error));
        let origin = self.sites.origin_of(&file.uri).map_err(external)?;
        let mapped = self.sites.mapped(&file.uri).into_iter();
        let candidates: Vec<Candidate> = mapped
            .filter_map(|site| {
                let (link, healthy) = *self.known.get(&site)?;
                let holding = self.sites.inventory().holding(&site, file, self.root);
                Some(Candidate {
                    site,
                    link,
                    holding,
                    healthy,
                })
            })
            .collect();
        let input = PlacementInput {
            bytes_to_read: bytes,
            requests: REQUESTS,
            candidates: &candidates,
            origin: &origin,
        };
        let route = place(&input, self.policy);
        let first = route.first().and_then(|site| self.known.get(site));
        let (usd, seconds) = first.map_or((0.0, 0.0), |(link, _)| {
            let worth = self.policy.seconds_per_usd;
            (usd(link, bytes), score(link, bytes, REQUESTS, worth))
        });
        let link = first.map(|(link, _)| link);
        Ok(Placed {
            route,
            bytes,
            usd,
            seconds,
            moving: link.map_or(Duration::ZERO, |link| moving(link, bytes)),
            waiting: link.map_or(Duration::ZERO, |link| {
                link.latency.saturating_mul(REQUESTS as u32)
            }),
        })
    }

    /// The columns' recorded sizes, or a share of the file where they aren't recorded; and the footer.
    fn bytes_to_read(&self, file: &DataFile, column_bytes: Option<u64>) -> u64 {
        let size = file.id.size.unwrap_or_default();
        let columns = column_bytes.unwrap_or((size as f64 * self.share) as u64);
        columns.saturating_add(FOOTER_BYTES).min(size)
    }
}

/// How long so many bytes are on their way.
fn moving(link: &Link, bytes: u64) -> Duration {
    seconds(bytes as f64 / link.bandwidth_bytes_per_s.max(1) as f64)
}
