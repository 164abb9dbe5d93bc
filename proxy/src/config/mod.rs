//! The configuration: a TOML file becomes typed values that need no further checking, or one clear error.
//!
//! Unknown keys are refused, secrets come from files or the environment, and every default stands in
//! `config/landfast.toml`. Relative paths are relative to the file's own directory.

mod access;
mod audit;
mod catalogs;
mod error;
mod oidc;
mod policy;
mod position;
mod raw;
mod raw_access;
mod raw_catalog;
mod secrets;
mod service;
mod sites;
mod store;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfast_catalog::MemberSpec;
use landfast_planner::SessionSettings;
use landfast_sites::SitesSpec;
use secrecy::SecretString;

pub use access::AccessSource;
pub use error::ConfigError;
pub use policy::{PolicyFile, load_policy, parse_policy};
pub(crate) use policy::{digest as policy_digest, policy_of, read as read_policy};
pub use service::{
    CacheSizes, ClientAuth, ClientCertificates, Limits, LogConfig, LogFormat, TlsFiles,
};

use crate::audit::AuditSpec;
use crate::auth::{Access, CertificateEntry, OidcSpec, StaticToken, User};
use error::{KeyPath, Problem};
use raw::RawConfig;

/// Everything one proxy needs to know, checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where Flight SQL is served. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// No TLS and no authentication; only on a loopback address.
    pub insecure: bool,
    /// The URI that clients are told to come back to, where it differs from the one they used.
    pub advertise: Option<String>,
    /// Seals tickets and signs cookies; proxies that stand in for each other share it. None means a new one at each start.
    pub signing_key: Option<SecretString>,
    /// The certificate and its key.
    pub tls: Option<TlsFiles>,
    /// Where health and metrics are served, if anywhere.
    pub admin_listen: Option<SocketAddr>,
    /// What is refused, queued, spilled or cut off, and when.
    pub limits: Limits,
    /// Memory given to what never changes.
    pub cache: CacheSizes,
    /// What a new session starts with.
    pub defaults: SessionSettings,
    /// How many seconds of waiting saving one USD is worth.
    pub seconds_per_usd: f64,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Who may log in with a password.
    pub users: Vec<User>,
    /// Who may come with a bearer token.
    pub tokens: Vec<StaticToken>,
    /// Whom client certificates stand for.
    pub certificates: Vec<CertificateEntry>,
    /// Where these three stand, to be read again.
    pub access: AccessSource,
    /// How often files are looked at for changes: certificates, users, tokens.
    pub reload_every: Duration,
    /// Issuers whose tokens are taken.
    pub oidc: Vec<OidcSpec>,
    /// The audit log, if there is one.
    pub audit: Option<AuditSpec>,
    /// Who may do what; without it, each role has its built-in grants.
    pub policy: Option<PolicyFile>,
    /// The sites, the links between them, and the one this proxy stands at.
    pub sites: SitesSpec,
    /// The catalogs of the namespace.
    pub members: Vec<MemberSpec>,
}

impl Config {
    /// Those whom the configuration names.
    pub fn known(&self) -> Access {
        Access {
            users: self.users.clone(),
            tokens: self.tokens.clone(),
            certificates: self.certificates.clone(),
            issuers: self.oidc.clone(),
        }
    }
}

/// Reads and checks a configuration file.
///
/// # Errors
/// When the file can't be read, isn't TOML, has unknown keys, or says something that can't be.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    load_with(path, Overrides::default())
}

/// What the command line says over the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides {
    /// `insecure = true`, whatever the file says about TLS.
    pub insecure: bool,
}

/// As [`load`], with the command line's word over the file's.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, overrides: Overrides) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        file: path.to_owned(),
        source,
    })?;
    let base = path.parent().map(Path::to_owned).unwrap_or_default();
    parse_named(&text, &base, Some(path), overrides)
}

/// Checks a configuration that is already in memory; relative paths in it are relative to `base`.
///
/// # Errors
/// As [`load`], without a file's name.
pub fn parse(text: &str, base: &Path) -> Result<Config, ConfigError> {
    parse_named(text, base, None, Overrides::default())
}

fn parse_named(
    text: &str,
    base: &Path,
    file: Option<&Path>,
    overrides: Overrides,
) -> Result<Config, ConfigError> {
    let mut raw = parse_raw(text, file)?;
    if overrides.insecure {
        raw.proxy.insecure = true;
        raw.proxy.tls = None;
    }
    let mut config = typed(&raw, base).map_err(|problem| invalid(text, file, problem))?;
    let policy = raw.authorization.policy_file.as_ref();
    config.policy = policy
        .map(|file| load_policy(&base.join(file)))
        .transpose()?;
    Ok(config)
}

/// A problem with its place in the file.
fn invalid(text: &str, file: Option<&Path>, problem: Problem) -> ConfigError {
    let (line, key) = position::describe(text, &problem.path);
    ConfigError::Invalid {
        file: file.map(PathBuf::from),
        line,
        key: Some(key),
        what: problem.what,
    }
}

fn parse_raw(text: &str, file: Option<&Path>) -> Result<RawConfig, ConfigError> {
    toml::from_str(text).map_err(|e| {
        let span = e.span();
        ConfigError::Invalid {
            file: file.map(PathBuf::from),
            line: span.as_ref().map(|s| position::line_of(text, s.start)),
            key: span.as_ref().and_then(|s| position::path_at(text, s)),
            what: with_suggestion(e.message()),
        }
    })
}

/// Adds the nearest of the names that serde lists, when one is near: the list alone can be long.
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let is_unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let (true, Some(found)) = (is_unknown, quoted.next()) else {
        return message.to_owned();
    };
    let what = if message.starts_with("unknown field") {
        "key"
    } else {
        "value"
    };
    let known: Vec<&str> = quoted.collect();
    match nearest(found, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{found}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{found}`; known here: {}", known.join(", ")),
    }
}

/// The known name that a typo most likely meant.
fn nearest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|k| (strsim::damerau_levenshtein(found, k), k))
        .filter(|(distance, k)| *distance <= (k.len().max(found.len()) / 3).max(1))
        .min()
        .map(|(_, k)| k)
}

fn typed(raw: &RawConfig, base: &Path) -> Result<Config, Problem> {
    let root = KeyPath::root();
    let proxy = service::proxy(&raw.proxy, &root.key("proxy"), base)?;
    let admin_listen = service::admin(&raw.admin, &root.key("admin"))?;
    let source = AccessSource::new(raw, base);
    let known = source.checked()?;
    someone_can_come(&proxy, &known)?;
    let sites = sites::sites(raw, base)?;
    let members = catalogs::members(&raw.catalog, &root.key("catalog"), base)?;
    let (defaults, seconds_per_usd) =
        service::defaults(&raw.defaults, &root.key("defaults"), &members, &sites)?;
    Ok(Config {
        listen: proxy.listen,
        insecure: proxy.insecure,
        advertise: proxy.advertise,
        signing_key: proxy.signing_key,
        tls: proxy.tls,
        admin_listen,
        limits: service::limits(&raw.limits, &root.key("limits"), base)?,
        cache: service::cache(&raw.cache),
        defaults,
        seconds_per_usd,
        log: service::log(&raw.log, &root.key("log"))?,
        users: known.users,
        tokens: known.tokens,
        certificates: known.certificates,
        access: source,
        reload_every: proxy.reload_every,
        oidc: known.issuers,
        audit: audit::audit(raw.audit.as_ref(), &root.key("audit"), base)?,
        policy: None,
        sites,
        members,
    })
}

/// A service that nobody can use is a mistake, and so is an entry for certificates that nobody asks for.
fn someone_can_come(proxy: &service::Proxy, known: &Access) -> Result<(), Problem> {
    let root = KeyPath::root();
    if proxy.insecure {
        return Ok(());
    }
    let clients = proxy.tls.as_ref().and_then(|tls| tls.clients.as_ref());
    if clients.is_none() && !known.certificates.is_empty() {
        return Err(root.key("certificate").problem(
            "certificates are named, and without [proxy.tls] `client_ca_file` none is asked for",
        ));
    }
    let by_certificate =
        clients.is_some_and(|clients| clients.role.is_some() || !known.certificates.is_empty());
    let by_name = !known.users.is_empty() || !known.tokens.is_empty();
    if !by_name && known.issuers.is_empty() && !by_certificate {
        return Err(root.key("proxy").problem(
            "nobody could log in: give a [[user]], a [[token]], an [[oidc]] issuer or a [[certificate]], or set \
             `insecure = true` for a test on this machine",
        ));
    }
    Ok(())
}
