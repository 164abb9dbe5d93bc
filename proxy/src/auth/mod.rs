//! Who is asking: users with passwords, static bearer tokens, and the development mode that asks nobody.
//!
//! A [`Principal`] is a name, a role and groups. This module knows neither Flight nor sessions: it turns credentials into a
//! principal, at the same cost whether or not the name exists.

mod credentials;
mod password;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use landfast_planner::{Groups, Role};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

pub use credentials::{CredentialError, Credentials};
pub use password::{PasswordError, hash_password};

use password::PasswordGate;

/// The name everybody has in insecure mode who does not give one.
pub const ANONYMOUS: &str = "anonymous";

/// How long a password that was right may be taken as right without hashing it again.
///
/// Clients that send Basic credentials with every request would otherwise pay for argon2 each time.
const VERIFIED_FOR: Duration = Duration::from_secs(60);

/// A user who logs in with a name and a password.
#[derive(Clone, Debug)]
pub struct User {
    /// The name, also the principal's.
    pub name: String,
    /// An argon2 hash in PHC form (`$argon2id$…`).
    pub password_hash: String,
    /// What the user may do.
    pub role: Role,
    /// The groups the user belongs to.
    pub groups: Groups,
}

/// A bearer token that never changes, known by its SHA-256.
#[derive(Clone, Debug)]
pub struct StaticToken {
    /// SHA-256 of the token's bytes.
    pub sha256: [u8; 32],
    /// The principal's name.
    pub principal: String,
    /// What the principal may do.
    pub role: Role,
    /// The groups the principal belongs to.
    pub groups: Groups,
}

/// What an [`Authenticator`] is made of.
#[derive(Clone, Debug, Default)]
pub struct AuthSpec {
    /// Users with passwords.
    pub users: Vec<User>,
    /// Static bearer tokens.
    pub tokens: Vec<StaticToken>,
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

/// Why somebody was turned away. Texts are safe for a client: none says which part was wrong.
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
    /// The header could not be read.
    #[error("{0}")]
    Malformed(#[from] CredentialError),
    /// Too many passwords are being checked at once.
    #[error("too many log-ins at once: try again in a moment")]
    Busy,
    /// The check itself failed.
    #[error("the password could not be checked")]
    Failed,
}

/// Turns credentials into principals.
pub struct Authenticator {
    users: HashMap<String, User>,
    tokens: Vec<StaticToken>,
    insecure: bool,
    gate: PasswordGate,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("users", &self.users.len())
            .field("tokens", &self.tokens.len())
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Checks that every password hash can be read, and builds the authenticator.
    pub fn new(spec: AuthSpec) -> Result<Self, PasswordError> {
        for user in &spec.users {
            password::check_hash(&user.name, &user.password_hash)?;
        }
        Ok(Self {
            gate: PasswordGate::new(
                spec.users.first().map(|user| user.password_hash.as_str()),
                VERIFIED_FOR,
            )?,
            users: spec
                .users
                .into_iter()
                .map(|user| (user.name.clone(), user))
                .collect(),
            tokens: spec.tokens,
            insecure: spec.insecure,
        })
    }

    /// Whether nobody is asked.
    pub fn insecure(&self) -> bool {
        self.insecure
    }

    /// Who comes without any credentials: nobody, except in insecure mode.
    pub fn without_credentials(&self) -> Result<Principal, AuthError> {
        if self.insecure {
            Ok(self.anyone(ANONYMOUS))
        } else {
            Err(AuthError::Missing)
        }
    }

    /// Checks a name and a password. Hashing runs on a blocking thread, a few at a time.
    pub async fn password(&self, name: &str, password: &str) -> Result<Principal, AuthError> {
        if self.insecure {
            return Ok(self.anyone(if name.is_empty() { ANONYMOUS } else { name }));
        }
        let user = self.users.get(name);
        let right = self
            .gate
            .verify(name, password, user.map(|user| user.password_hash.as_str()))
            .await?;
        match user {
            Some(user) if right => Ok(Principal {
                name: user.name.as_str().into(),
                role: user.role,
                groups: user.groups.clone(),
            }),
            _ => Err(AuthError::BadPassword),
        }
    }

    /// Checks a static bearer token against every configured one, in time that does not tell which came close.
    pub fn static_token(&self, token: &str) -> Result<Principal, AuthError> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = u32::MAX;
        for (index, known) in (0u32..).zip(&self.tokens) {
            found.conditional_assign(&index, known.sha256.ct_eq(&digest));
        }
        match self.tokens.get(found as usize) {
            Some(token) => Ok(Principal {
                name: token.principal.as_str().into(),
                role: token.role,
                groups: token.groups.clone(),
            }),
            None if self.insecure => Ok(self.anyone(ANONYMOUS)),
            None => Err(AuthError::BadToken),
        }
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
mod tests;
