//! Who is asking: users with passwords, bearer tokens, client certificates, and the development mode that asks nobody.
//!
//! A [`Principal`] is a name, a role and groups. This module knows neither Flight nor sessions: it turns credentials into
//! a principal, at the same cost whether or not the name exists. Names from every source are one kind: what `ada` may do,
//! `ada` may do however she came.

mod access;
mod arrival;
mod counts;
mod credentials;
mod oidc;
mod password;
mod throttle;

use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use landfast_planner::{Groups, Role};
use parking_lot::RwLock;

pub use access::{Access, CertificateEntry, StaticToken, User};
pub(crate) use arrival::network;
pub use arrival::{Arrival, CertificateName, NameSource, Origin, PeerName};
pub use counts::{AuthCount, AuthOutcome};
pub use credentials::{CredentialError, Credentials};
pub use oidc::{Algorithm, OidcError, OidcSpec, TokenRefusal};
pub use password::{PasswordError, hash_password};

use access::Known;
use counts::Counts;
use oidc::Issuers;
use password::PasswordGate;
use throttle::{Slowed, Throttle};

/// The name everybody has in insecure mode who does not give one.
pub const ANONYMOUS: &str = "anonymous";

/// How long a password that was right may be taken as right without hashing it again.
///
/// Clients that send Basic credentials with every request would otherwise pay for argon2 each time.
const VERIFIED_FOR: Duration = Duration::from_secs(60);

/// What an [`Authenticator`] is made of.
#[derive(Clone, Debug, Default)]
pub struct AuthSpec {
    /// Who is known here.
    pub access: Access,
    /// What somebody with a certificate may do that no entry names; nothing means that such a certificate alone says
    /// nothing about who comes.
    pub certificate_role: Option<Role>,
    /// The longest that guessing a password is slowed; nought means not at all.
    pub login_delay_max: Duration,
    /// Development mode: nobody is asked, and everybody is an operator.
    pub insecure: bool,
}

/// Somebody who proved who they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The name.
    pub name: Arc<str>,
    /// What they may do.
    pub role: Role,
    /// The groups they belong to.
    pub groups: Groups,
}

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Not at all: nobody is asked.
    Insecure,
    /// By a password.
    Password,
    /// By a token of the configuration.
    Token,
    /// By an issuer's token.
    Oidc,
    /// By a client certificate.
    Certificate,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Insecure,
        Self::Password,
        Self::Token,
        Self::Oidc,
        Self::Certificate,
    ];

    /// A short stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Insecure => "insecure",
            Self::Password => "password",
            Self::Token => "token",
            Self::Oidc => "oidc",
            Self::Certificate => "certificate",
        }
    }
}

/// Why somebody was turned away. Texts are safe for a client: none says which part of a password log-in was wrong.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthError {
    /// No credentials came, and some are needed.
    #[error("no credentials: log in with a user and a password, or send a bearer token")]
    Missing,
    /// The user is unknown or the password is wrong; which of the two is not said.
    #[error("the user name or the password is wrong")]
    BadPassword,
    /// The bearer token is neither a live session's nor a configured one.
    #[error("the bearer token is unknown or has expired: connect again")]
    BadToken,
    /// The bearer token names a configured issuer, and is not taken.
    #[error("the bearer token is not accepted: {0}")]
    RefusedToken(#[from] TokenRefusal),
    /// The issuer of the bearer token can't be asked for its keys.
    #[error("the bearer token's issuer can't be asked for its keys: try again in a moment")]
    IssuerDown,
    /// The header could not be read.
    #[error("{0}")]
    Malformed(#[from] CredentialError),
    /// Too many wrong passwords came.
    #[error("too many failed log-ins: try again in {retry_after_s} s")]
    Slowed {
        /// How long to wait.
        retry_after_s: u64,
    },
    /// Who may come has changed while it was looked at.
    #[error("the users have just changed: log in again")]
    Changed,
    /// Too many passwords are being checked at once.
    #[error("too many log-ins at once: try again in a moment")]
    Busy,
    /// The check itself failed.
    #[error("the password could not be checked")]
    Failed,
}

impl From<Slowed> for AuthError {
    fn from(slowed: Slowed) -> Self {
        Self::Slowed {
            retry_after_s: slowed.retry_after.as_secs() + 1,
        }
    }
}

/// Why an authenticator can't be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthSpecError {
    /// A user's hash is of no use.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// An issuer can't be set up.
    #[error(transparent)]
    Oidc(#[from] OidcError),
}

/// Turns credentials into principals.
pub struct Authenticator {
    /// Swapped as a whole when the configuration's files change.
    known: RwLock<Arc<Known>>,
    /// How often that was.
    generation: AtomicU64,
    issuers: RwLock<Arc<Issuers>>,
    certificate_role: Option<Role>,
    insecure: bool,
    gate: PasswordGate,
    throttle: Throttle,
    counts: Counts,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("known", &self.known.read())
            .field("issuers", &self.issuers())
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Checks that every password hash can be read, and builds the authenticator. No issuer is asked yet.
    pub fn new(spec: AuthSpec) -> Result<Self, AuthSpecError> {
        let issuers = Issuers::default().next(spec.access.issuers.clone())?;
        Ok(Self {
            known: RwLock::new(Arc::new(Known::new(spec.access)?)),
            generation: AtomicU64::new(0),
            issuers: RwLock::new(Arc::new(issuers)),
            certificate_role: spec.certificate_role,
            insecure: spec.insecure,
            gate: PasswordGate::new(VERIFIED_FOR),
            throttle: Throttle::new(spec.login_delay_max),
            counts: Counts::default(),
        })
    }

    /// Knows others from now on. Sessions of who is no longer known end with their next request; issuers that stay as they
    /// are keep their keys.
    pub fn replace(&self, access: Access) -> Result<(), AuthSpecError> {
        let issuers = self.issuers().next(access.issuers.clone())?;
        let known = Arc::new(Known::new(access)?);
        *self.issuers.write() = Arc::new(issuers);
        *self.known.write() = known;
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// How often others were known since the start. Whoever keeps what somebody proved looks whether it is the same as
    /// before the proof: otherwise that may be worth nothing by now.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Whether nobody is asked.
    pub fn insecure(&self) -> bool {
        self.insecure
    }

    /// How often somebody was let in or turned away, by method.
    pub fn counts(&self) -> Vec<AuthCount> {
        self.counts.all()
    }

    /// Asks every issuer for its keys, and says how many it has.
    pub async fn probe_issuers(&self) -> Vec<(String, Result<usize, String>)> {
        self.issuers().probe().await
    }

    /// Who comes without any credentials: the one that the connection's certificate names, or nobody, except in insecure
    /// mode.
    pub fn without_credentials(&self, arrival: &Arrival) -> Result<(Principal, Method), AuthError> {
        if self.insecure {
            return Ok((self.anyone(ANONYMOUS), Method::Insecure));
        }
        let Some(named) = &arrival.certificate else {
            return Err(AuthError::Missing);
        };
        let found = self.certificate(named).ok_or(AuthError::Missing);
        self.counts.note(Method::Certificate, found.as_ref().err());
        Ok((found?, Method::Certificate))
    }

    /// Whom a certificate names, if it names anybody.
    pub fn certificate(&self, named: &CertificateName) -> Option<Principal> {
        let known = self.known();
        known.certificate(named).or_else(|| {
            Some(Principal {
                name: named.name.clone(),
                role: self.certificate_role?,
                groups: named.groups.clone(),
            })
        })
    }

    /// Checks a name and a password that came from an address. Hashing runs on a blocking thread, a few at a time, and
    /// after wrong guesses it waits.
    pub async fn password(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<(Principal, Method), AuthError> {
        if self.insecure {
            let name = if name.is_empty() { ANONYMOUS } else { name };
            return Ok((self.anyone(name), Method::Insecure));
        }
        let checked = self.checked_password(name, password, address).await;
        self.counts.note(Method::Password, checked.as_ref().err());
        Ok((checked?, Method::Password))
    }

    async fn checked_password(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<Principal, AuthError> {
        let known = self.known();
        let user = known.user(name);
        let hash = user.map(|user| user.password_hash.as_str());
        let remembered = || match hash {
            Some(hash) => self.gate.remembers(name, password, hash).boxed(),
            None => ready(false).boxed(),
        };
        let turn = self.throttle.turn(name, address, &remembered).await?;
        let Some(turn) = turn else {
            return user.map(User::principal).ok_or(AuthError::BadPassword);
        };
        let checked = self.gate.verify(name, password, hash, known.decoy());
        match (checked.await, user) {
            (Ok(true), Some(user)) => {
                turn.right();
                Ok(user.principal())
            }
            (Ok(_), _) => Err(AuthError::BadPassword),
            (Err(error), _) => {
                turn.unchecked();
                Err(error)
            }
        }
    }

    /// Checks a bearer token: one of the configuration's, or an issuer's.
    pub async fn bearer(&self, token: &str) -> Result<(Principal, Method), AuthError> {
        if let Some(principal) = self.known().static_token(token) {
            self.counts.note(Method::Token, None);
            return Ok((principal, Method::Token));
        }
        if self.insecure {
            return Ok((self.anyone(ANONYMOUS), Method::Insecure));
        }
        let issuers = self.issuers();
        let Some(checked) = issuers.verify(token, SystemTime::now()).await else {
            self.counts.note(Method::Token, Some(&AuthError::BadToken));
            return Err(AuthError::BadToken);
        };
        self.counts.note(Method::Oidc, checked.as_ref().err());
        Ok((checked?, Method::Oidc))
    }

    /// What is true by now of somebody who proved who they are a while ago: their role and groups may have changed, or
    /// they may be known no more.
    pub fn renew(&self, principal: Principal, method: Method) -> Result<Principal, AuthError> {
        match method {
            Method::Password => self
                .known()
                .user(&principal.name)
                .map(User::principal)
                .ok_or(AuthError::BadToken),
            Method::Insecure | Method::Token | Method::Oidc | Method::Certificate => Ok(principal),
        }
    }

    /// Whether a user of this name may log in with a password. For records, never for answers.
    pub fn is_user(&self, name: &str) -> bool {
        self.known().user(name).is_some()
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read())
    }

    fn issuers(&self) -> Arc<Issuers> {
        Arc::clone(&self.issuers.read())
    }

    fn anyone(&self, name: &str) -> Principal {
        Principal {
            name: name.into(),
            role: Role::Operator,
            groups: Groups::default(),
        }
    }
}

#[cfg(test)]
pub(crate) use oidc::tests as oidc_tests;

#[cfg(test)]
mod tests;
