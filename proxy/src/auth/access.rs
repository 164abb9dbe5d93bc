//! Those whom the configuration names: users, tokens, certificates.

use std::collections::{HashMap, HashSet};

use landfast_planner::{Groups, Role};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::oidc::OidcSpec;
use super::password::{self, PasswordError};
use super::{CertificateName, Principal};

/// A user who logs in with a name and a password.
#[derive(Clone, Debug, PartialEq)]
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

impl User {
    /// Who the user is once the password was right.
    pub(super) fn principal(&self) -> Principal {
        Principal {
            name: self.name.as_str().into(),
            role: self.role,
            groups: self.groups.clone(),
        }
    }
}

/// A bearer token that never changes, known by its SHA-256.
#[derive(Clone, Debug, PartialEq)]
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

/// Whom a client certificate stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateEntry {
    /// The name in the certificate.
    pub subject: String,
    /// The principal's name.
    pub principal: String,
    /// What the principal may do.
    pub role: Role,
    /// The groups the principal belongs to, besides those that the certificate names.
    pub groups: Groups,
}

/// Everybody whom the configuration names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// Users with passwords.
    pub users: Vec<User>,
    /// Static bearer tokens.
    pub tokens: Vec<StaticToken>,
    /// Client certificates.
    pub certificates: Vec<CertificateEntry>,
    /// Issuers whose tokens are taken.
    pub issuers: Vec<OidcSpec>,
}

impl Access {
    /// The users whose password is another in `next`, and those who are not in it: who logged in with a password of
    /// theirs has to do so again.
    pub fn passwords_ended<'a>(&'a self, next: &Self) -> HashSet<&'a str> {
        let stays = |user: &&User| {
            next.users
                .iter()
                .any(|other| other.name == user.name && other.password_hash == user.password_hash)
        };
        let ended = self.users.iter().filter(|user| !stays(user));
        ended.map(|user| user.name.as_str()).collect()
    }
}

/// The same, to be looked up.
pub(super) struct Known {
    users: HashMap<String, User>,
    tokens: Vec<StaticToken>,
    certificates: HashMap<String, CertificateEntry>,
    /// Verified in place of an unknown user's: with a configured user's own parameters, so that the time is the same.
    decoy: String,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known")
            .field("users", &self.users.len())
            .field("tokens", &self.tokens.len())
            .field("certificates", &self.certificates.len())
            .finish_non_exhaustive()
    }
}

impl Known {
    pub(super) fn new(access: Access) -> Result<Self, PasswordError> {
        for user in &access.users {
            password::check_hash(&user.name, &user.password_hash)?;
        }
        let decoy = match access.users.first() {
            Some(user) => user.password_hash.clone(),
            None => password::hash_password("")?,
        };
        Ok(Self {
            users: access
                .users
                .into_iter()
                .map(|user| (user.name.clone(), user))
                .collect(),
            tokens: access.tokens,
            certificates: access
                .certificates
                .into_iter()
                .map(|entry| (entry.subject.clone(), entry))
                .collect(),
            decoy,
        })
    }

    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    pub(super) fn decoy(&self) -> &str {
        &self.decoy
    }

    /// Compares a token with every configured one, in time that does not tell which came close.
    pub(super) fn static_token(&self, token: &str) -> Option<Principal> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = u32::MAX;
        for (index, known) in (0u32..).zip(&self.tokens) {
            found.conditional_assign(&index, known.sha256.ct_eq(&digest));
        }
        self.tokens.get(found as usize).map(|token| Principal {
            name: token.principal.as_str().into(),
            role: token.role,
            groups: token.groups.clone(),
        })
    }

    pub(super) fn certificate(&self, named: &CertificateName) -> Option<Principal> {
        self.certificates.get(&*named.name).map(|entry| Principal {
            name: entry.principal.as_str().into(),
            role: entry.role,
            groups: Groups::new(entry.groups.iter().chain(named.groups.iter())),
        })
    }
}
