//! An issuer's keys, kept and fetched anew: when they are old, and when a token names one that is not among them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use serde::Deserialize;

use super::OidcSpec;
use super::fetch::Fetcher;
use super::jws::{Algorithm, Key, RawKey};

/// Keys of one set that are looked at.
const KEYS_MAX: usize = 100;

/// The keys of an issuer at one time.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

/// Why there are no keys to check with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeysError {
    /// The issuer can't be asked, and what it said before is too old or was never heard.
    Unreachable,
}

#[derive(Deserialize)]
struct RawKeySet {
    keys: Vec<serde_json::Value>,
}

impl Keys {
    /// Reads a key set (RFC 7517, section 5). Keys of a kind that we don't know are left out, as it says.
    fn read(text: &[u8]) -> Result<Self, String> {
        let set: RawKeySet =
            serde_json::from_slice(text).map_err(|error| format!("it is no key set: {error}"))?;
        if set.keys.len() > KEYS_MAX {
            return Err(format!(
                "it holds {} keys, and at most {KEYS_MAX} are read",
                set.keys.len()
            ));
        }
        let keys: Vec<Key> = set
            .keys
            .into_iter()
            .filter_map(|key| Key::new(serde_json::from_value::<RawKey>(key).ok()?))
            .collect();
        if keys.is_empty() {
            return Err("it holds no public key that checks signatures in a known way".to_owned());
        }
        Ok(Self(keys))
    }

    /// The keys that may have signed a token with this algorithm under this name.
    pub(super) fn fitting<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| key.fits(kid, algorithm))
    }

    /// Whether there is any such key.
    pub(super) fn any(&self, kid: Option<&str>, algorithm: Algorithm) -> bool {
        self.fitting(kid, algorithm).next().is_some()
    }
}

#[derive(Debug, Default)]
struct Known {
    keys: Option<(Arc<Keys>, Instant)>,
    /// When the issuer was last asked, whatever came of it.
    asked: Option<Instant>,
}

/// The keys of one issuer.
#[derive(Debug, Clone)]
pub(super) struct KeyCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    fetcher: Fetcher,
    issuer: String,
    refresh: Duration,
    keep: Duration,
    interval: Duration,
    known: RwLock<Known>,
    /// Held by the one that asks the issuer; the others wait for what it hears.
    asking: Arc<tokio::sync::Mutex<()>>,
}

impl KeyCache {
    pub(super) fn new(spec: &OidcSpec) -> Result<Self, String> {
        Ok(Self {
            shared: Arc::new(Shared {
                fetcher: Fetcher::new(spec)?,
                issuer: spec.issuer.clone(),
                refresh: spec.refresh,
                keep: spec.keep,
                interval: spec.interval,
                known: RwLock::default(),
                asking: Arc::default(),
            }),
        })
    }

    /// Keys among which there is one that fits, asking the issuer where that may help; the keys there are where it does
    /// not.
    pub(super) async fn fitting(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<Keys>, KeysError> {
        let seen = match self.shared.usable() {
            Some((keys, age)) if keys.any(kid, algorithm) => {
                if age > self.shared.refresh {
                    self.refresh_behind();
                }
                return Ok(keys);
            }
            other => other.map(|(keys, _)| keys),
        };
        let turn = Arc::clone(&self.shared.asking).lock_owned().await;
        // Whoever had the turn before may have brought what we need.
        if let Some((keys, _)) = self.shared.usable()
            && !seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &keys))
            && keys.any(kid, algorithm)
        {
            return Ok(keys);
        }
        if self.shared.may_ask() {
            let shared = Arc::clone(&self.shared);
            let asked = tokio::spawn(async move {
                // In a task of its own: a client that goes away does not cut the answer off.
                let _turn = turn;
                shared.ask().await
            });
            // What went wrong is logged there; older keys may still do.
            drop(asked.await);
        }
        self.shared
            .usable()
            .map(|(keys, _)| keys)
            .ok_or(KeysError::Unreachable)
    }

    /// Asks the issuer now, whatever is known.
    pub(super) async fn probe(&self) -> Result<usize, String> {
        let _turn = Arc::clone(&self.shared.asking).lock_owned().await;
        self.shared.ask().await.map(|keys| keys.0.len())
    }

    /// Old keys are fetched anew while requests go on with them.
    fn refresh_behind(&self) {
        let shared = Arc::clone(&self.shared);
        if !shared.may_ask() {
            return;
        }
        tokio::spawn(async move {
            let Ok(_turn) = shared.asking.try_lock() else {
                return;
            };
            if shared.may_ask() {
                drop(shared.ask().await);
            }
        });
    }
}

impl Shared {
    /// The keys and their age, unless they are too old to use.
    fn usable(&self) -> Option<(Arc<Keys>, Duration)> {
        let known = self.known.read();
        let (keys, since) = known.keys.as_ref()?;
        let age = since.elapsed();
        (age <= self.keep).then(|| (Arc::clone(keys), age))
    }

    fn may_ask(&self) -> bool {
        self.known
            .read()
            .asked
            .is_none_or(|asked| asked.elapsed() >= self.interval)
    }

    /// Asks the issuer, and keeps what it says. Whoever calls this holds the turn.
    async fn ask(&self) -> Result<Arc<Keys>, String> {
        // Noted before the answer: whoever gives up waiting has asked all the same.
        self.known.write().asked = Some(Instant::now());
        let heard = match self.fetcher.key_set().await {
            Ok(text) => Keys::read(&text),
            Err(error) => Err(error),
        };
        match heard {
            Ok(keys) => {
                let keys = Arc::new(keys);
                self.known.write().keys = Some((Arc::clone(&keys), Instant::now()));
                Ok(keys)
            }
            Err(error) => {
                tracing::warn!(target: "landfast::auth", issuer = %self.issuer, %error, "the issuer's keys could not be fetched");
                Err(error)
            }
        }
    }
}
