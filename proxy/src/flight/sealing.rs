//! What we hand to a client and want back unchanged: signed with HMAC-SHA256, a key per purpose.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of a signature.
const MAC_BYTES: usize = 32;

/// A keyed hash for one purpose: a signature made for one purpose is none for another.
pub(crate) fn mac(key: &[u8], purpose: &str) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so this can't fail; an empty key would still only weaken what is signed.
    let keyed = |key: &[u8]| {
        <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap_or_else(|_| unreachable!("any length"))
    };
    let mut derive = keyed(key);
    derive.update(purpose.as_bytes());
    keyed(&derive.finalize().into_bytes())
}

/// Seals payloads for one purpose and opens what it sealed.
#[derive(Clone)]
pub(super) struct Sealer {
    mac: Hmac<Sha256>,
}

impl Sealer {
    pub(super) fn new(key: &[u8], purpose: &str) -> Self {
        Self {
            mac: mac(key, purpose),
        }
    }

    /// The signature, then the payload.
    pub(super) fn seal(&self, payload: &[u8]) -> Bytes {
        let mut mac = self.mac.clone();
        mac.update(payload);
        let signature = mac.finalize().into_bytes();
        let mut sealed = Vec::with_capacity(MAC_BYTES + payload.len());
        sealed.extend_from_slice(&signature);
        sealed.extend_from_slice(payload);
        sealed.into()
    }

    /// The payload, when this sealer signed exactly it. The comparison takes the same time wherever they differ.
    pub(super) fn open(&self, sealed: &Bytes) -> Option<Bytes> {
        let (signature, payload) = sealed.split_at_checked(MAC_BYTES)?;
        let mut mac = self.mac.clone();
        mac.update(payload);
        mac.verify_slice(signature).ok()?;
        Some(sealed.slice(MAC_BYTES..))
    }
}
