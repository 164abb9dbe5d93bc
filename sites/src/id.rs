//! Names: sites, canonical URIs, files.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::error::SitesError;

/// The name of a site: lower-case letters, digits, `-` and `_`, at most 63 of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(Arc<str>);

impl SiteId {
    /// Checks and keeps a site's name.
    pub fn new(name: &str) -> Result<Self, SitesError> {
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 63 || !name.chars().all(allowed) {
            return Err(SitesError::config(format!(
                "`{name}` cannot be a site's name: use 1 to 63 of a-z, 0-9, `-` and `_`"
            )));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A file's identity: the path exactly as the Iceberg metadata has it.
///
/// Two spellings of one object (`s3://` and `s3a://`) are two identities that meet the same prefix rules.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalUri(Arc<str>);

impl CanonicalUri {
    /// Keeps the string as it is written, always.
    pub fn new(uri: impl Into<Arc<str>>) -> Self {
        Self(uri.into())
    }

    /// The string as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the URI points, with the spellings of one scheme made one.
    pub fn location(&self) -> Result<UriLocation<'_>, SitesError> {
        UriLocation::parse(&self.0).map_err(|reason| SitesError::Uri {
            uri: self.clone(),
            reason,
        })
    }
}

impl fmt::Display for CanonicalUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for CanonicalUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for CanonicalUri {
    fn from(uri: &str) -> Self {
        Self::new(uri)
    }
}

impl From<String> for CanonicalUri {
    fn from(uri: String) -> Self {
        Self::new(uri)
    }
}

/// The families of URI schemes; the spellings within a family name the same objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `gs`.
    Gcs,
    /// `s3`, `s3a`, `s3n`.
    S3,
    /// `abfs`, `abfss`, `wasb`, `wasbs`.
    Azure,
    /// `file:/…`, `file:///…`, or a bare absolute path.
    File,
}

/// A canonical URI taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UriLocation<'a> {
    /// The family of the scheme.
    pub scheme: Scheme,
    /// The bucket, or `container@account-host` with `.dfs.` and `.blob.` hosts made one; empty for files.
    pub authority: Cow<'a, str>,
    /// The key, byte for byte as written: nothing is decoded, encoded or collapsed. No leading slash is part of
    /// it, except that a key may itself begin with one (`gs://b//k` has the key `/k`).
    pub key: &'a str,
}

impl<'a> UriLocation<'a> {
    pub(crate) fn parse(uri: &'a str) -> Result<Self, String> {
        if let Some(key) = uri.strip_prefix('/') {
            return Ok(Self::file(key));
        }
        let Some((scheme, rest)) = uri.split_once(':') else {
            return Err("not a URI: it has no scheme and is no absolute path".into());
        };
        let family = match scheme.to_ascii_lowercase().as_str() {
            "gs" => Scheme::Gcs,
            "s3" | "s3a" | "s3n" => Scheme::S3,
            "abfs" | "abfss" | "wasb" | "wasbs" => Scheme::Azure,
            "file" => return Self::parse_file(rest),
            other => {
                return Err(format!(
                    "unknown scheme `{other}`; known are gs, s3, s3a, s3n, abfs, abfss, wasb, wasbs and file"
                ));
            }
        };
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(format!("`{scheme}:` must be followed by `//`"));
        };
        let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() {
            return Err("the bucket's name is missing".into());
        }
        let authority = match family {
            Scheme::Azure => azure_authority(authority)?,
            _ => Cow::Borrowed(authority),
        };
        Ok(Self {
            scheme: family,
            authority,
            key,
        })
    }

    fn parse_file(rest: &'a str) -> Result<Self, String> {
        if let Some(rest) = rest.strip_prefix("//") {
            let (host, key) = rest
                .split_once('/')
                .ok_or_else(|| "a file's path must be absolute".to_owned())?;
            if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                return Err(format!("files on another host (`{host}`) cannot be read"));
            }
            return Ok(Self::file(key));
        }
        match rest.strip_prefix('/') {
            Some(key) => Ok(Self::file(key)),
            None => Err("a file's path must be absolute".into()),
        }
    }

    fn file(key: &'a str) -> Self {
        Self {
            scheme: Scheme::File,
            authority: Cow::Borrowed(""),
            key,
        }
    }

    /// The bucket or container alone, without the account; empty for files.
    pub fn bucket(&self) -> &str {
        self.authority
            .split_once('@')
            .map_or(self.authority.as_ref(), |(container, _)| container)
    }
}

/// `container@account.dfs.core.windows.net` and `…blob…` are one container; host names have no case.
fn azure_authority(authority: &str) -> Result<Cow<'_, str>, String> {
    match authority.split_once('@') {
        None => Ok(Cow::Borrowed(authority)),
        Some(("", _)) => Err("the container's name is missing".into()),
        Some((_, "")) => Err("the account's host is missing after `@`".into()),
        Some((container, host)) => {
            let host = host.to_ascii_lowercase().replacen(".dfs.", ".blob.", 1);
            Ok(Cow::Owned(format!("{container}@{host}")))
        }
    }
}

/// One file: its identity and, where metadata records it, its size.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FileId {
    /// The path as the metadata has it.
    pub uri: CanonicalUri,
    /// The size in bytes that the metadata records; every read is verified against it.
    pub size: Option<u64>,
}

impl FileId {
    /// A file known by URI and, where there is one, recorded size.
    pub fn new(uri: CanonicalUri, size: Option<u64>) -> Self {
        Self { uri, size }
    }
}
