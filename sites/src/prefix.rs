//! Canonical prefixes in one spelling, and the keys below them.

use std::borrow::Cow;

use crate::id::{CanonicalUri, Scheme, UriLocation};

/// A normalised canonical prefix: the key has no slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix<'a> {
    pub(crate) scheme: Scheme,
    authority: Cow<'a, str>,
    pub(crate) key: Cow<'a, str>,
}

impl<'a> Prefix<'a> {
    /// Copies nothing where the location is written in the usual way: every file of a scan comes by here.
    pub(crate) fn of(location: &UriLocation<'a>) -> Self {
        let key = match location.scheme {
            // POSIX: any number of slashes is one.
            Scheme::File if location.key.contains("//") || location.key.starts_with('/') => {
                let segments: Vec<&str> =
                    location.key.split('/').filter(|s| !s.is_empty()).collect();
                Cow::Owned(segments.join("/"))
            }
            _ => Cow::Borrowed(location.key.strip_suffix('/').unwrap_or(location.key)),
        };
        Self {
            scheme: location.scheme,
            authority: location.authority.clone(),
            key,
        }
    }

    pub(crate) fn into_owned(self) -> Prefix<'static> {
        Prefix {
            scheme: self.scheme,
            authority: Cow::Owned(self.authority.into_owned()),
            key: Cow::Owned(self.key.into_owned()),
        }
    }

    pub(crate) fn covers(&self, other: &Prefix<'_>) -> bool {
        self.scheme == other.scheme
            && self.authority == other.authority
            && (self.key.is_empty()
                || other
                    .key
                    .strip_prefix(self.key.as_ref())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// What follows this prefix in a key that it covers.
    pub(crate) fn rest<'k>(&self, key: &'k str) -> &'k str {
        let rest = &key[self.key.len()..];
        if self.key.is_empty() {
            rest
        } else {
            rest.strip_prefix('/').unwrap_or(rest)
        }
    }
}

/// The normalised relative key of `uri` under `root`, if it lies there; what the inventory knows files by.
pub(crate) fn relative_key<'u>(root: &CanonicalUri, uri: &'u CanonicalUri) -> Option<Cow<'u, str>> {
    // Nearly always both are spelt alike, and then nothing needs taking apart.
    if let Some(rest) = uri.as_str().strip_prefix(root.as_str())
        && let Some(rest) = if root.as_str().ends_with('/') {
            Some(rest)
        } else {
            rest.strip_prefix('/')
        }
        && !rest.is_empty()
        && !rest.starts_with('/')
        && !rest.contains("//")
    {
        return Some(Cow::Borrowed(rest));
    }
    let (root, uri) = (
        Prefix::of(&root.location().ok()?),
        Prefix::of(&uri.location().ok()?),
    );
    let rest = root.covers(&uri).then(|| root.rest(&uri.key))?;
    (!rest.is_empty()).then(|| Cow::Owned(rest.to_owned()))
}

/// A canonical prefix in one spelling, so that all spellings find the same watched root.
pub(crate) fn normalised(uri: &CanonicalUri) -> Option<String> {
    let prefix = Prefix::of(&uri.location().ok()?);
    let mut whole = format!("{:?}:{}", prefix.scheme, prefix.authority);
    if !prefix.key.is_empty() {
        whole.push('/');
        whole.push_str(&prefix.key);
    }
    Some(whole)
}

/// The normalised forms of everything above `uri`, nearest first.
pub(crate) fn ancestors(uri: &CanonicalUri) -> Vec<String> {
    let Some(mut key) = normalised(uri) else {
        return Vec::new();
    };
    let mut above = Vec::new();
    while let Some(cut) = key.rfind('/') {
        key.truncate(cut);
        above.push(key.clone());
    }
    above
}
