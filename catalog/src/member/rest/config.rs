//! What `/v1/config` hands out, merged with what we were given.

use std::collections::{BTreeMap, HashMap};

use secrecy::SecretString;
use serde::Deserialize;

use crate::RestSpec;

/// The unit separator between the levels of a namespace in a path, unless the catalog names another.
const SEPARATOR: &str = "\u{1f}";

/// The catalog's answer: `defaults` give way to what we were given, `overrides` don't.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ConfigAnswer {
    #[serde(default)]
    pub(super) defaults: HashMap<String, String>,
    #[serde(default)]
    pub(super) overrides: HashMap<String, String>,
    /// What it can be asked, where it says so: `GET /v1/{prefix}/namespaces/{namespace}/views`.
    #[serde(default)]
    pub(super) endpoints: Option<Vec<String>>,
}

/// How to talk to the catalog, once it said so.
#[derive(Debug, Clone)]
pub(super) struct Effective {
    /// The base address, without a slash at its end.
    pub(super) uri: String,
    /// As it stands in paths.
    pub(super) prefix: Option<String>,
    pub(super) separator: String,
    pub(super) headers: BTreeMap<String, SecretString>,
    /// What the catalog can be asked, where it says so.
    endpoints: Option<Vec<String>>,
}

impl Effective {
    /// Whether the catalog can be asked this, as the specification writes it; none where it doesn't say.
    pub(super) fn offers(&self, endpoint: &str) -> Option<bool> {
        let endpoints = self.endpoints.as_ref()?;
        Some(endpoints.iter().any(|offered| offered == endpoint))
    }

    /// Merges, or says why what the catalog hands out can't be used.
    pub(super) fn merge(spec: &RestSpec, base: &str, answer: ConfigAnswer) -> Result<Self, String> {
        let get = |key: &str, ours: Option<&str>| {
            let overridden = answer.overrides.get(key).map(String::as_str);
            overridden
                .or(ours)
                .or_else(|| answer.defaults.get(key).map(String::as_str))
                .map(str::to_owned)
        };
        let uri = get("uri", Some(base)).unwrap_or_else(|| base.to_owned());
        let uri = uri.trim_end_matches('/').to_owned();
        if base.starts_with("https:") && !uri.starts_with("https:") {
            return Err(format!(
                "its configuration leads from TLS to {uri}, where credentials would be readable"
            ));
        }
        let prefix = get("prefix", spec.prefix.as_deref())
            .map(|prefix| prefix.trim_matches('/').to_owned())
            .filter(|prefix| !prefix.is_empty());
        let separator = match get("namespace-separator", None) {
            None => SEPARATOR.to_owned(),
            Some(encoded) => percent_decoded(&encoded).unwrap_or(encoded),
        };
        let mut headers = BTreeMap::new();
        for (from, wins) in [(&answer.defaults, false), (&answer.overrides, true)] {
            for (key, value) in from {
                let Some(name) = key.strip_prefix("header.") else {
                    continue;
                };
                let ours = spec
                    .headers
                    .keys()
                    .any(|ours| ours.eq_ignore_ascii_case(name));
                if wins || !ours {
                    headers.insert(name.to_ascii_lowercase(), SecretString::from(value.clone()));
                }
            }
        }
        for (name, value) in &spec.headers {
            headers
                .entry(name.to_ascii_lowercase())
                .or_insert_with(|| value.clone());
        }
        Ok(Self {
            uri,
            prefix,
            separator,
            headers,
            endpoints: answer.endpoints,
        })
    }
}

/// `%1F` is how the separator is written in a configuration.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn answer(defaults: &[(&str, &str)], overrides: &[(&str, &str)]) -> ConfigAnswer {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        ConfigAnswer {
            defaults: map(defaults),
            overrides: map(overrides),
            endpoints: None,
        }
    }

    #[test]
    fn overrides_win_over_ours_and_ours_over_defaults() {
        let spec = RestSpec {
            prefix: Some("ours".into()),
            headers: BTreeMap::from([("X-A".into(), SecretString::from("ours"))]),
            ..RestSpec::default()
        };
        let merged = Effective::merge(
            &spec,
            "http://c",
            answer(&[("prefix", "d"), ("header.x-a", "d")], &[]),
        )
        .unwrap();
        assert_eq!(merged.prefix.as_deref(), Some("ours"));
        assert_eq!(merged.headers["x-a"].expose_secret(), "ours");
        let merged = Effective::merge(
            &spec,
            "http://c",
            answer(&[], &[("prefix", "/o/"), ("header.X-A", "o")]),
        )
        .unwrap();
        assert_eq!(merged.prefix.as_deref(), Some("o"));
        assert_eq!(merged.headers["x-a"].expose_secret(), "o");
    }

    #[test]
    fn a_separator_of_the_catalogs_own_is_decoded() {
        let merged = Effective::merge(
            &RestSpec::default(),
            "http://c",
            answer(&[], &[("namespace-separator", "%2E")]),
        )
        .unwrap();
        assert_eq!(merged.separator, ".");
        let merged = Effective::merge(&RestSpec::default(), "http://c", answer(&[], &[])).unwrap();
        assert_eq!(merged.separator, "\u{1f}");
    }

    #[test]
    fn a_catalog_that_lists_its_endpoints_offers_those_and_one_that_does_not_may_offer_any() {
        let offers = |endpoints: Option<Vec<String>>| {
            let answer = ConfigAnswer {
                endpoints,
                ..ConfigAnswer::default()
            };
            let merged = Effective::merge(&RestSpec::default(), "http://c", answer).unwrap();
            merged.offers("GET /v1/a")
        };
        assert_eq!(offers(None), None);
        assert_eq!(offers(Some(vec!["GET /v1/b".into()])), Some(false));
        assert_eq!(offers(Some(vec!["GET /v1/a".into()])), Some(true));
    }

    #[test]
    fn a_catalog_cannot_lead_us_away_from_tls() {
        let lead = answer(&[], &[("uri", "http://elsewhere")]);
        assert!(Effective::merge(&RestSpec::default(), "https://c", lead).is_err());
    }
}
