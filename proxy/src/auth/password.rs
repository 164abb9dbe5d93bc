//! Argon2: made here, and checked a few at a time on blocking threads.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, SaltString};
use argon2::{Argon2, PasswordVerifier};
use moka::future::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::AuthError;

/// Passwords hashed at once; each takes one thread and tens of megabytes.
const HASHING_AT_ONCE: usize = 4;
/// Passwords waiting to be hashed; more are refused.
const WAITING: usize = 256;
/// Right passwords remembered, as keyed hashes.
const REMEMBERED: u64 = 4_096;

/// Why a password hash is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The configured hash is not an argon2 hash.
    #[error(
        "the password hash of user `{user}` is not an argon2 hash (make one with `landfast user hash`): {reason}"
    )]
    Hash {
        /// Whose hash.
        user: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Hashing failed.
    #[error("the password could not be hashed: {0}")]
    Hashing(String),
}

/// Hashes a password with argon2id and a fresh salt, in PHC form.
pub fn hash_password(password: &str) -> Result<String, PasswordError> {
    let salt = SaltString::generate(&mut OsRng);
    Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| PasswordError::Hashing(error.to_string()))
}

/// Checks that `hash` can be read and is argon2's.
pub(super) fn check_hash(user: &str, hash: &str) -> Result<(), PasswordError> {
    let refused = |reason: String| PasswordError::Hash {
        user: user.to_owned(),
        reason,
    };
    let parsed = PasswordHash::new(hash).map_err(|error| refused(error.to_string()))?;
    if !parsed.algorithm.as_str().starts_with("argon2") {
        return Err(refused(format!("its algorithm is `{}`", parsed.algorithm)));
    }
    if parsed.hash.is_none() {
        return Err(refused("it ends before the hash".to_owned()));
    }
    Ok(())
}

/// Checks passwords, bounded in number; an unknown user costs what a known one costs.
pub(super) struct PasswordGate {
    hashing: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Keyed hashes of name, hash and password that were right a moment ago.
    right: Cache<[u8; 32], ()>,
    key: [u8; 32],
}

impl PasswordGate {
    pub(super) fn new(remember_for: Duration) -> Self {
        Self {
            hashing: Arc::new(Semaphore::new(HASHING_AT_ONCE)),
            waiting: Arc::new(Semaphore::new(HASHING_AT_ONCE + WAITING)),
            right: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(remember_for)
                .build(),
            key: rand::random(),
        }
    }

    /// Takes all places until what is returned is dropped.
    #[cfg(test)]
    pub(super) fn fill(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(HASHING_AT_ONCE + WAITING).unwrap();
        self.waiting.clone().try_acquire_many_owned(all).unwrap()
    }

    /// Whether `password` was right a moment ago.
    pub(super) async fn remembers(&self, name: &str, password: &str, hash: &str) -> bool {
        let fingerprint = self.fingerprint(name, password, hash);
        self.right.get(&fingerprint).await.is_some()
    }

    /// Whether `password` fits `hash`; without a hash the same work is done on `decoy`, and the answer is no.
    pub(super) async fn verify(
        &self,
        name: &str,
        password: &str,
        hash: Option<&str>,
        decoy: &str,
    ) -> Result<bool, AuthError> {
        let known = hash.is_some();
        let hash: Arc<str> = hash.unwrap_or(decoy).into();
        let fingerprint = self.fingerprint(name, password, &hash);
        let _place = self
            .waiting
            .clone()
            .try_acquire_owned()
            .map_err(|_| AuthError::Busy)?;
        let permit = self
            .hashing
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| AuthError::Failed)?;
        let password = secrecy::SecretString::from(password.to_owned());
        let fits = tokio::task::spawn_blocking(move || {
            // The permit ends with the hashing, also when the asker has gone away meanwhile.
            let _permit = permit;
            fits(&hash, &password)
        })
        .await
        .map_err(|_| AuthError::Failed)?;
        let right = fits && known;
        if right {
            self.right.insert(fingerprint, ()).await;
        }
        Ok(right)
    }

    fn fingerprint(&self, name: &str, password: &str, hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.key);
        for part in [name, hash, password] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        digest.finalize().into()
    }
}

fn fits(hash: &str, password: &secrecy::SecretString) -> bool {
    use secrecy::ExposeSecret;
    PasswordHash::new(hash).is_ok_and(|parsed| {
        Argon2::default()
            .verify_password(password.expose_secret().as_bytes(), &parsed)
            .is_ok()
    })
}
