//! `[[site]]` and `[[link]]`: where bytes are and what reading them costs.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use landfast_sites::{
    CanonicalUri, Holdings, Link, LinkSpec, MappingSpec, SimulatedLink, SiteId, SiteSpec,
    SitesSpec, Timeouts,
};

use super::error::{KeyPath, Problem};
use super::nearest;
use super::raw::{RawConfig, RawHoldings, RawLink, RawPrefix, RawSimulate, RawSite};
use super::store;

pub(super) fn sites(raw: &RawConfig, base: &Path) -> Result<SitesSpec, Problem> {
    let root = KeyPath::root();
    if raw.site.is_empty() {
        return Err(root.problem("no [[site]]: say at least where the tables' files are"));
    }
    let at = root.key("site");
    let mut sites = Vec::with_capacity(raw.site.len());
    for (index, site) in raw.site.iter().enumerate() {
        let here = at.index(index);
        let spec = one_site(site, &here, base)?;
        if sites.iter().any(|s: &SiteSpec| s.id == spec.id) {
            return Err(here
                .key("name")
                .problem(format!("two sites are named `{}`", site.name)));
        }
        sites.push(spec);
    }
    check_origins(&raw.site, &at)?;
    let reader = known(&raw.proxy.site, &root.key("proxy").key("site"), &sites)?;
    let links = links(&raw.link, &root.key("link"), &sites)?;
    for site in &sites {
        let found = links.iter().any(|l| l.from == site.id && l.to == reader);
        if site.id != reader && !found {
            return Err(root.key("link").problem(format!(
                "no link from `{from}` to `{reader}`, where this proxy stands: add a [[link]] with from = \"{from}\", to = \"{reader}\", latency_ms and bandwidth_mbit_per_s",
                from = site.id
            )));
        }
    }
    Ok(SitesSpec {
        sites,
        links,
        reader,
    })
}

/// The site of that name, or an error that tells the nearest one.
fn known(name: &str, at: &KeyPath, sites: &[SiteSpec]) -> Result<SiteId, Problem> {
    if let Some(site) = sites.iter().find(|s| s.id.as_str() == name) {
        return Ok(site.id.clone());
    }
    let hint = match nearest(name, sites.iter().map(|s| s.id.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let names: Vec<&str> = sites.iter().map(|s| s.id.as_str()).collect();
            format!("there are: {}", names.join(", "))
        }
    };
    Err(at.problem(format!("no [[site]] is named `{name}`; {hint}")))
}

fn one_site(raw: &RawSite, at: &KeyPath, base: &Path) -> Result<SiteSpec, Problem> {
    let id = SiteId::new(&raw.name).map_err(|e| at.key("name").problem(e.to_string()))?;
    if raw.prefix.is_empty() {
        return Err(at.problem(
            "no [[site.prefix]]: say which canonical prefixes this site keeps, or take the site out",
        ));
    }
    if raw.inventory_refresh_ms == 0 {
        return Err(at.key("inventory_refresh_ms").problem("must be at least 1"));
    }
    if raw.connect_timeout_ms == 0 || raw.request_timeout_ms == 0 {
        let key = if raw.connect_timeout_ms == 0 {
            "connect_timeout_ms"
        } else {
            "request_timeout_ms"
        };
        return Err(at.key(key).problem("must be at least 1"));
    }
    let refresh = Duration::from_millis(raw.inventory_refresh_ms);
    Ok(SiteSpec {
        id,
        store: store::store(&raw.store, &at.key("store"), base)?,
        mappings: mappings(&raw.prefix, &at.key("prefix"))?,
        holdings: match raw.holdings {
            RawHoldings::Listed => Holdings::Listed { refresh },
            RawHoldings::ListedNotResident => Holdings::ListedNotAlwaysResident { refresh },
            RawHoldings::All => Holdings::AssumeAll,
        },
        simulated: raw
            .simulate
            .as_ref()
            .map(|s| simulated(s, &at.key("simulate")))
            .transpose()?,
        timeouts: Timeouts {
            connect: Duration::from_millis(raw.connect_timeout_ms),
            request: Duration::from_millis(raw.request_timeout_ms),
            retries: raw.retries,
        },
    })
}

fn mappings(raw: &[RawPrefix], at: &KeyPath) -> Result<Vec<MappingSpec>, Problem> {
    raw.iter()
        .enumerate()
        .map(|(index, prefix)| {
            let key = at.index(index).key("canonical");
            CanonicalUri::new(prefix.canonical.as_str())
                .location()
                .map_err(|e| key.problem(e.to_string()))?;
            Ok(MappingSpec {
                prefix: prefix.canonical.clone(),
                at: prefix.at.clone(),
                origin: prefix.origin,
            })
        })
        .collect()
}

/// Every canonical prefix has exactly one origin.
fn check_origins(raw: &[RawSite], at: &KeyPath) -> Result<(), Problem> {
    let mut origins: Vec<(String, &str)> = Vec::new();
    for (index, site) in raw.iter().enumerate() {
        for (place, prefix) in site.prefix.iter().enumerate() {
            if !prefix.origin {
                continue;
            }
            let normal = normal_form(&prefix.canonical);
            if let Some((_, other)) = origins.iter().find(|(p, _)| *p == normal) {
                return Err(at
                    .index(index)
                    .key("prefix")
                    .index(place)
                    .key("origin")
                    .problem(format!(
                        "`{}` already has its origin at `{other}`; a prefix has exactly one",
                        prefix.canonical
                    )));
            }
            origins.push((normal, &site.name));
        }
    }
    for (index, site) in raw.iter().enumerate() {
        for (place, prefix) in site.prefix.iter().enumerate() {
            let normal = normal_form(&prefix.canonical);
            // A copy may be narrower than its origin's prefix, and wider than several origins' prefixes.
            let has_origin = origins
                .iter()
                .any(|(origin, _)| normal.starts_with(origin) || origin.starts_with(&normal));
            if !has_origin {
                return Err(at.index(index).key("prefix").index(place).key("canonical").problem(format!(
                    "`{}` has no origin: set `origin = true` in the [[site.prefix]] of the site of record",
                    prefix.canonical
                )));
            }
        }
    }
    Ok(())
}

/// One text for all spellings of a prefix.
fn normal_form(canonical: &str) -> String {
    CanonicalUri::new(canonical).location().map_or_else(
        |_| canonical.to_owned(),
        |l| format!("{:?}://{}/{}", l.scheme, l.authority, l.key),
    )
}

fn simulated(raw: &RawSimulate, at: &KeyPath) -> Result<SimulatedLink, Problem> {
    if raw.bandwidth_bytes_per_s == Some(0) {
        return Err(at
            .key("bandwidth_bytes_per_s")
            .problem("must be at least 1; leave it out for no cap"));
    }
    Ok(SimulatedLink {
        latency: Duration::from_millis(raw.latency_ms),
        bandwidth_bytes_per_s: raw.bandwidth_bytes_per_s,
    })
}

fn links(raw: &[RawLink], at: &KeyPath, sites: &[SiteSpec]) -> Result<Vec<LinkSpec>, Problem> {
    let mut seen = BTreeSet::new();
    raw.iter()
        .enumerate()
        .map(|(index, link)| {
            let at = at.index(index);
            let from = known(&link.from, &at.key("from"), sites)?;
            let to = known(&link.to, &at.key("to"), sites)?;
            if !seen.insert((from.clone(), to.clone())) {
                return Err(at.problem(format!("two links from `{from}` to `{to}`")));
            }
            Ok(LinkSpec {
                from,
                to,
                link: Link {
                    latency: latency(link.latency_ms, &at.key("latency_ms"))?,
                    bandwidth_bytes_per_s: bandwidth(
                        link.bandwidth_mbit_per_s,
                        &at.key("bandwidth_mbit_per_s"),
                    )?,
                    usd_per_gib: not_negative(link.usd_per_gib, &at.key("usd_per_gib"))?,
                },
            })
        })
        .collect()
}

fn latency(ms: f64, at: &KeyPath) -> Result<Duration, Problem> {
    let ms = not_negative(ms, at)?;
    Duration::try_from_secs_f64(ms / 1000.0).map_err(|e| at.problem(e.to_string()))
}

fn bandwidth(mbit_per_s: f64, at: &KeyPath) -> Result<u64, Problem> {
    let bytes_per_s = not_negative(mbit_per_s, at)? * 125_000.0;
    if bytes_per_s < 1.0 {
        return Err(at.problem("must be more than 0"));
    }
    // A float beyond u64 saturates, and is then as good as no limit.
    Ok(bytes_per_s as u64)
}

fn not_negative(value: f64, at: &KeyPath) -> Result<f64, Problem> {
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(at.problem("must be 0 or a positive number"))
    }
}
