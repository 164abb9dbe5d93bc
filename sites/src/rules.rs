//! Prefix rules: which sites keep a canonical URI, where, and which one is its origin.
//!
//! Matching is on whole path segments of the normalised location; within a site, and among origins, the longest
//! prefix wins. Every prefix that any site maps is covered by exactly one origin.

use std::path::{Component, Path as FilePath};

use object_store::path::Path;

use crate::error::SitesError;
use crate::id::{CanonicalUri, Scheme, SiteId, UriLocation};
use crate::prefix::Prefix;
use crate::spec::{MappingSpec, SiteSpec, StoreSpec};

/// An object in one site's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The bucket or container; empty for a directory.
    pub(crate) bucket: String,
    /// The raw key. Empty means the whole bucket, and only a prefix may be that.
    pub(crate) path: Path,
}

/// A place to list, and which part of a root it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListingPlace {
    /// The part of the root, as a key under it; empty for all of it.
    pub(crate) under: String,
    pub(crate) place: Place,
}

impl ListingPlace {
    /// The key under the root of an object that is listed with `key` in this place.
    pub(crate) fn key_under_root(&self, key: &str) -> String {
        if key.is_empty() {
            String::new()
        } else {
            join(&self.under, key)
        }
    }

    /// Whether this place keeps what has this key under the root.
    pub(crate) fn covers(&self, key: &str) -> bool {
        self.under.is_empty()
            || key
                .strip_prefix(self.under.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
    }
}

/// The rules of all sites, in the order of the sites.
#[derive(Debug)]
pub(crate) struct Rules {
    sites: Vec<Vec<Rule>>,
}

#[derive(Debug)]
struct Rule {
    prefix: Prefix<'static>,
    written: String,
    bucket: String,
    at: String,
    origin: bool,
}

impl Rules {
    pub(crate) fn new(sites: &[SiteSpec]) -> Result<Self, SitesError> {
        let mut all = Vec::with_capacity(sites.len());
        for site in sites {
            let mut rules: Vec<Rule> = Vec::with_capacity(site.mappings.len());
            for mapping in &site.mappings {
                let rule = Rule::new(site, mapping)?;
                if let Some(same) = rules.iter().find(|r| r.prefix == rule.prefix) {
                    return Err(SitesError::config(format!(
                        "site `{}` maps `{}` twice (also written `{}`)",
                        site.id, mapping.prefix, same.written
                    )));
                }
                rules.push(rule);
            }
            // Longest first, so that the first match is the longest.
            rules.sort_by_key(|r| std::cmp::Reverse(r.prefix.key.len()));
            all.push(rules);
        }
        let rules = Self { sites: all };
        rules.check_origins(sites)?;
        Ok(rules)
    }

    fn check_origins(&self, sites: &[SiteSpec]) -> Result<(), SitesError> {
        for (index, rules) in self.sites.iter().enumerate() {
            for rule in rules {
                let site = &sites[index].id;
                let Some((origin, origin_rule)) = self.origin_rule(&rule.prefix) else {
                    return Err(SitesError::config(format!(
                        "the prefix `{}` of site `{site}` has no origin: exactly one site must map it, or a prefix \
                         above it, with `origin = true`",
                        rule.written
                    )));
                };
                let twin = self.sites.iter().enumerate().find(|(other, theirs)| {
                    *other != index && theirs.iter().any(|r| r.origin && r.prefix == rule.prefix)
                });
                if let (true, Some((other, _))) = (rule.origin, twin) {
                    return Err(SitesError::config(format!(
                        "the prefix `{}` has two origins, `{site}` and `{}`: keep `origin = true` at one",
                        rule.written, sites[other].id
                    )));
                }
                if !rule.origin && origin == index {
                    return Err(SitesError::config(format!(
                        "site `{site}` is the origin of `{}` and maps `{}` below it to another place: say \
                         `origin = true` there too, or leave it out",
                        origin_rule.written, rule.written
                    )));
                }
            }
        }
        Ok(())
    }

    fn origin_rule(&self, prefix: &Prefix<'_>) -> Option<(usize, &Rule)> {
        self.sites
            .iter()
            .enumerate()
            .filter_map(|(index, rules)| {
                let covering = rules.iter().find(|r| r.origin && r.prefix.covers(prefix));
                covering.map(|rule| (index, rule))
            })
            .max_by_key(|(_, rule)| rule.prefix.key.len())
    }

    /// The origin of a URI, by index.
    pub(crate) fn origin(&self, uri: &CanonicalUri) -> Result<usize, SitesError> {
        let wanted = Prefix::of(&uri.location()?);
        match self.origin_rule(&wanted) {
            Some((index, _)) => Ok(index),
            None => Err(SitesError::NotMapped { uri: uri.clone() }),
        }
    }

    /// Every site that keeps, or may keep, a URI, by index.
    pub(crate) fn mapped(&self, uri: &CanonicalUri) -> Vec<usize> {
        let Ok(location) = uri.location() else {
            return Vec::new();
        };
        let wanted = Prefix::of(&location);
        let keeps = |rules: &Vec<Rule>| rules.iter().any(|r| r.prefix.covers(&wanted));
        (0..self.sites.len())
            .filter(|index| keeps(&self.sites[*index]))
            .collect()
    }

    /// Whether a rule of the site covers a URI.
    pub(crate) fn maps(&self, site: usize, uri: &CanonicalUri) -> bool {
        let Ok(location) = uri.location() else {
            return false;
        };
        let wanted = Prefix::of(&location);
        self.sites[site].iter().any(|r| r.prefix.covers(&wanted))
    }

    /// Where a site keeps copies of what lies under a root: the place of the rule that covers the root, and those of
    /// rules below it. What the site is the origin of is left out.
    pub(crate) fn listing_places(&self, site: usize, root: &CanonicalUri) -> Vec<ListingPlace> {
        let Ok(location) = root.location() else {
            return Vec::new();
        };
        let wanted = Prefix::of(&location);
        let covering = self.sites[site].iter().find(|r| r.prefix.covers(&wanted));
        let below = self.sites[site]
            .iter()
            .filter(|r| r.prefix != wanted && wanted.covers(&r.prefix));
        let of_root = covering.into_iter().map(|rule| {
            (
                rule,
                String::new(),
                join(&rule.at, rule.prefix.rest(&wanted.key)),
            )
        });
        let of_below = below.map(|rule| {
            (
                rule,
                wanted.rest(&rule.prefix.key).to_owned(),
                rule.at.clone(),
            )
        });
        of_root
            .chain(of_below)
            .filter(|(rule, ..)| !rule.origin)
            .filter_map(|(rule, under, key)| {
                Some(ListingPlace {
                    under,
                    place: rule.place(&key).ok()?,
                })
            })
            .collect()
    }

    /// Where a site keeps a file; `None` when no rule of the site covers it.
    pub(crate) fn place(
        &self,
        site: usize,
        uri: &CanonicalUri,
    ) -> Result<Option<Place>, SitesError> {
        let location = uri.location()?;
        let invalid = |reason: String| SitesError::Uri {
            uri: uri.clone(),
            reason,
        };
        if location.scheme != Scheme::File {
            check_key(location.key).map_err(invalid)?;
        }
        let wanted = Prefix::of(&location);
        let Some(rule) = self.sites[site].iter().find(|r| r.prefix.covers(&wanted)) else {
            return Ok(None);
        };
        let rest = rule.prefix.rest(&wanted.key);
        let key = join(&rule.at, rest);
        if key.is_empty() || location.key.ends_with('/') {
            return Err(invalid("names a directory, not a file".into()));
        }
        rule.place(&key).map(Some).map_err(invalid)
    }

    /// Where a site keeps what lies under a prefix; `None` when no rule of the site covers it.
    pub(crate) fn prefix_place(
        &self,
        site: usize,
        prefix: &CanonicalUri,
    ) -> Result<Option<Place>, SitesError> {
        let wanted = Prefix::of(&prefix.location()?);
        let Some(rule) = self.sites[site].iter().find(|r| r.prefix.covers(&wanted)) else {
            return Ok(None);
        };
        let key = join(&rule.at, rule.prefix.rest(&wanted.key));
        let invalid = |reason: String| SitesError::Uri {
            uri: prefix.clone(),
            reason,
        };
        rule.place(&key).map(Some).map_err(invalid)
    }

    /// The places that a site maps, with the prefixes as they were written.
    pub(crate) fn places(&self, site: usize) -> Vec<(String, bool, Result<Place, SitesError>)> {
        let place = |rule: &Rule| {
            rule.place(&rule.at).map_err(|reason| {
                SitesError::config(format!("`at` of `{}`: {reason}", rule.written))
            })
        };
        self.sites[site]
            .iter()
            .map(|r| (r.written.clone(), r.origin, place(r)))
            .collect()
    }
}

impl Rule {
    fn new(site: &SiteSpec, mapping: &MappingSpec) -> Result<Self, SitesError> {
        let refuse = |reason: String| {
            SitesError::config(format!(
                "site `{}`, prefix `{}`: {reason}",
                site.id, mapping.prefix
            ))
        };
        let uri = CanonicalUri::new(mapping.prefix.as_str());
        let location = UriLocation::parse(uri.as_str()).map_err(refuse)?;
        let prefix = Prefix::of(&location).into_owned();
        check_prefix(&prefix.key).map_err(refuse)?;
        let (bucket, at) = match (&mapping.at, &site.store) {
            (Some(at), StoreSpec::File(_)) => (String::new(), at.trim_matches('/').to_owned()),
            (Some(at), _) => split_bucket(at).map_err(refuse)?,
            (None, StoreSpec::File(file)) if prefix.scheme == Scheme::File => (
                String::new(),
                under_root(&file.root, &prefix.key).map_err(refuse)?,
            ),
            (None, StoreSpec::File(_)) => (String::new(), join(location.bucket(), &prefix.key)),
            (None, _) if prefix.scheme == Scheme::File => {
                return Err(refuse(
                    "a `file:` prefix has no bucket: say where it is with `at = \"bucket/key\"`"
                        .into(),
                ));
            }
            (None, _) => (location.bucket().to_owned(), prefix.key.to_string()),
        };
        check_prefix(&at).map_err(refuse)?;
        let rule = Self {
            prefix,
            written: mapping.prefix.clone(),
            bucket,
            at,
            origin: mapping.origin,
        };
        rule.place(&rule.at).map_err(refuse)?;
        Ok(rule)
    }

    fn place(&self, key: &str) -> Result<Place, String> {
        // `Path::parse` keeps a key as it is; `Path::from` would encode `%3A` once more.
        let path = Path::parse(key).map_err(|e| format!("the key cannot be addressed: {e}"))?;
        Ok(Place {
            bucket: self.bucket.clone(),
            path,
        })
    }
}

fn join(at: &str, rest: &str) -> String {
    match (at.is_empty(), rest.is_empty()) {
        (true, _) => rest.to_owned(),
        (_, true) => at.to_owned(),
        _ => format!("{at}/{rest}"),
    }
}

/// Keys whose segments are empty exist in buckets, but the client library drops or refuses them; reading another
/// object in their stead would be worse than an error.
fn check_key(key: &str) -> Result<(), String> {
    let empty = key
        .strip_suffix('/')
        .unwrap_or(key)
        .split('/')
        .any(str::is_empty);
    if empty && !key.is_empty() {
        return Err("the key has an empty segment (`//`), which cannot be addressed; rewrite the table without it".into());
    }
    Ok(())
}

fn check_prefix(key: &str) -> Result<(), String> {
    check_key(key)?;
    if key.split('/').any(|s| s == "." || s == "..") {
        return Err("`.` and `..` are no path segments".into());
    }
    Ok(())
}

fn split_bucket(at: &str) -> Result<(String, String), String> {
    let at = at.trim_end_matches('/');
    let (bucket, key) = at.split_once('/').unwrap_or((at, ""));
    if bucket.is_empty() || bucket.contains(':') {
        return Err(format!(
            "`at = \"{at}\"` must be `bucket` or `bucket/key/prefix`"
        ));
    }
    Ok((bucket.to_owned(), key.to_owned()))
}

fn under_root(root: &FilePath, key: &str) -> Result<String, String> {
    let root_key: Vec<String> = root
        .components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    let root_key = root_key.join("/");
    let rest = match root_key.is_empty() {
        true => Some(key),
        false if root.is_relative() => None,
        false => key.strip_prefix(root_key.as_str()).and_then(|rest| {
            if rest.is_empty() {
                Some("")
            } else {
                rest.strip_prefix('/')
            }
        }),
    };
    rest.map(str::to_owned).ok_or_else(|| {
        format!(
            "it does not lie under the store's root `{}`: say where it is with `at`",
            root.display()
        )
    })
}

/// Names of sites for an error.
pub(crate) fn known(sites: &[SiteId]) -> String {
    let names: Vec<&str> = sites.iter().map(SiteId::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
