//! Bearer tokens of OpenID Connect providers: JSON Web Tokens, checked against keys that the issuer publishes.
//!
//! A token is taken when a configured issuer signed it, for us, and it is neither old nor early. Signatures are checked
//! with ring, which TLS uses already; the format itself (RFC 7515, RFC 7519) is small enough to read here, strictly.
//!
//! # Invariants
//! - Nothing that a token says is believed before its signature is checked, but the names of its issuer, algorithm and
//!   key, which only choose what it is checked with.
//! - An algorithm is one of a list and fits its key: never `none`, never one with a shared secret.
//! - A flood of unknown keys asks the issuer at most once per interval.

mod claims;
mod fetch;
mod jws;
mod keys;
#[cfg(test)]
pub(crate) mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use landfast_planner::Role;

pub use jws::Algorithm;

use super::{AuthError, Principal};
use keys::{KeyCache, Keys, KeysError};

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// An issuer whose tokens are taken.
#[derive(Clone, Debug, PartialEq)]
pub struct OidcSpec {
    /// The issuer, letter by letter as its tokens and its discovery document name it.
    pub issuer: String,
    /// A token must be made for one of these.
    pub audiences: Vec<String>,
    /// Where the keys are; without it, the discovery document says so.
    pub jwks_uri: Option<String>,
    /// Whether plain HTTP is spoken with the issuer.
    pub allow_http: bool,
    /// Authorities to trust besides the system's, as a PEM file.
    pub ca_file: Option<PathBuf>,
    /// The algorithms that are taken.
    pub algorithms: Vec<Algorithm>,
    /// The claim that is the principal's name.
    pub user_claim: String,
    /// Set before each user's name.
    pub user_prefix: String,
    /// The claim that lists the principal's groups.
    pub groups_claim: Option<String>,
    /// Set before each group's name.
    pub groups_prefix: String,
    /// The role of everybody who comes from this issuer.
    pub role: Role,
    /// Members of one of these groups (as the token has them) are engineers.
    pub engineer_groups: Vec<String>,
    /// Members of one of these groups (as the token has them) are operators.
    pub operator_groups: Vec<String>,
    /// How far the issuer's clock may be from ours.
    pub clock_skew: Duration,
    /// How long one request to the issuer may take.
    pub timeout: Duration,
    /// Keys this old are fetched anew while they are still used.
    pub refresh: Duration,
    /// Keys that could not be fetched anew for this long are used no more.
    pub keep: Duration,
    /// The shortest time between two requests to the issuer.
    pub interval: Duration,
}

impl OidcSpec {
    /// An issuer and an audience, and the defaults of `config/landfast.toml` for the rest.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: vec![audience.into()],
            jwks_uri: None,
            allow_http: false,
            ca_file: None,
            algorithms: Algorithm::ALL.to_vec(),
            user_claim: "sub".to_owned(),
            user_prefix: String::new(),
            groups_claim: None,
            groups_prefix: String::new(),
            role: Role::Reader,
            engineer_groups: Vec::new(),
            operator_groups: Vec::new(),
            clock_skew: Duration::from_secs(60),
            timeout: Duration::from_secs(5),
            refresh: Duration::from_secs(3600),
            keep: Duration::from_secs(24 * 3600),
            interval: Duration::from_secs(30),
        }
    }
}

/// Why a token was not taken; texts are safe for a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRefusal {
    /// It can't be read.
    #[error("it is no signed JSON Web Token")]
    Malformed,
    /// Its algorithm is not one that is taken.
    #[error("its signature algorithm is not accepted")]
    Algorithm,
    /// The issuer publishes no such key.
    #[error("its issuer publishes no key that fits it")]
    UnknownKey,
    /// Its signature does not fit.
    #[error("its signature is wrong")]
    Signature,
    /// Its time is over.
    #[error("it has expired: get a new one")]
    Expired,
    /// Its time has not come.
    #[error("it is not valid yet: compare the clocks")]
    Early,
    /// It was made for somebody else.
    #[error("it was made for another audience")]
    Audience,
    /// A claim that is needed is missing, or is not what it should be.
    #[error("its claim `{0}` is missing or not usable")]
    Claim(String),
}

/// Every issuer whose tokens are taken.
#[derive(Debug, Default)]
pub(super) struct Issuers {
    all: Vec<Arc<Issuer>>,
}

#[derive(Debug)]
struct Issuer {
    spec: OidcSpec,
    keys: KeyCache,
}

impl Issuers {
    /// These issuers from now on; none is asked yet. One that stays as it is keeps its keys.
    pub(super) fn next(&self, specs: Vec<OidcSpec>) -> Result<Self, OidcError> {
        let all = specs.into_iter().map(|spec| {
            if let Some(same) = self.all.iter().find(|issuer| issuer.spec == spec) {
                return Ok(Arc::clone(same));
            }
            let keys = KeyCache::new(&spec).map_err(|reason| OidcError {
                issuer: spec.issuer.clone(),
                reason,
            })?;
            Ok(Arc::new(Issuer { spec, keys }))
        });
        Ok(Self {
            all: all.collect::<Result<_, _>>()?,
        })
    }

    /// Whose token it is; `None` for what is no token of a configured issuer.
    pub(super) async fn verify(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Option<Result<Principal, AuthError>> {
        let (issuer, token) = self.read(token)?;
        let checked = issuer.verify(&token, now).await;
        if let Err(reason) = &checked {
            tracing::info!(target: "landfast::auth", issuer = %issuer.spec.issuer, %reason, "a token was refused");
        }
        Some(checked)
    }

    /// A token of a configured issuer, taken apart.
    fn read<'a>(&self, token: &'a str) -> Option<(&Issuer, jws::Jws<'a>)> {
        if self.all.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let token = jws::read(token)?;
        let named = claims::issuer(&token.payload)?;
        let issuer = self.all.iter().find(|issuer| issuer.spec.issuer == named)?;
        Some((&**issuer, token))
    }

    /// Asks every issuer for its keys, and says how many it has.
    pub(super) async fn probe(&self) -> Vec<(String, Result<usize, String>)> {
        let mut found = Vec::with_capacity(self.all.len());
        for issuer in &self.all {
            found.push((issuer.spec.issuer.clone(), issuer.keys.probe().await));
        }
        found
    }
}

impl Issuer {
    async fn verify(&self, token: &jws::Jws<'_>, now: SystemTime) -> Result<Principal, AuthError> {
        let algorithm = match token.algorithm {
            Some(algorithm) if self.spec.algorithms.contains(&algorithm) => algorithm,
            _ => return Err(TokenRefusal::Algorithm.into()),
        };
        let kid = token.kid.as_deref();
        let keys = match self.keys.fitting(kid, algorithm).await {
            Ok(keys) => keys,
            Err(KeysError::Unreachable) => return Err(AuthError::IssuerDown),
        };
        self.check(&keys, algorithm, token, now)
    }

    /// Checks a token with keys among which its own is, if the issuer has it.
    fn check(
        &self,
        keys: &Keys,
        algorithm: Algorithm,
        token: &jws::Jws<'_>,
        now: SystemTime,
    ) -> Result<Principal, AuthError> {
        let kid = token.kid.as_deref();
        let mut fitting = keys.fitting(kid, algorithm).peekable();
        if fitting.peek().is_none() {
            return Err(TokenRefusal::UnknownKey.into());
        }
        if !fitting.any(|key| key.verifies(algorithm, token)) {
            return Err(TokenRefusal::Signature.into());
        }
        Ok(claims::principal(&self.spec, &token.payload, now)?)
    }
}

/// An issuer that can't be set up.
#[derive(Debug, thiserror::Error)]
#[error("the issuer {issuer} can't be set up: {reason}")]
pub struct OidcError {
    issuer: String,
    reason: String,
}
