//! What we hand to a client and want back unchanged and unread: sealed with ChaCha20-Poly1305 (RFC 8439), a key per purpose.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;

/// The first byte of what is sealed: how.
const VERSION: u8 = 1;

/// Bytes before the payload.
const HEAD_BYTES: usize = 1 + NONCE_LEN;

/// A keyed hash for one purpose: a signature made for one purpose is none for another.
pub(crate) fn mac(key: &[u8], purpose: &str) -> Hmac<Sha256> {
    keyed(&derived(key, purpose))
}

/// A key for one purpose.
fn derived(key: &[u8], purpose: &str) -> [u8; 32] {
    let mut derive = keyed(key);
    derive.update(purpose.as_bytes());
    derive.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so this can't fail; an empty key would still only weaken what is signed.
    <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap_or_else(|_| unreachable!("any length"))
}

/// Seals payloads for one purpose and opens what it sealed.
#[derive(Clone)]
pub(super) struct Sealer {
    key: LessSafeKey,
}

impl Sealer {
    pub(super) fn new(key: &[u8], purpose: &str) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &derived(key, purpose))
            .unwrap_or_else(|_| unreachable!("as long as a key is"));
        Self {
            key: LessSafeKey::new(key),
        }
    }

    /// The version, a nonce, and the payload that only this sealer can read. The nonce is random, because proxies that
    /// share a key share no counter: of four thousand million payloads, two have the same one with a probability of
    /// less than one in four thousand million.
    pub(super) fn seal(&self, payload: &[u8]) -> Bytes {
        let nonce = rand::random::<[u8; NONCE_LEN]>();
        let tag_bytes = CHACHA20_POLY1305.tag_len();
        let mut sealed = Vec::with_capacity(HEAD_BYTES + payload.len() + tag_bytes);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(payload);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from([VERSION]), &mut sealed[HEAD_BYTES..])
            .unwrap_or_else(|_| unreachable!("shorter than 256 GiB"));
        sealed.extend_from_slice(tag.as_ref());
        sealed.into()
    }

    /// The payload, when this sealer sealed exactly it.
    pub(super) fn open(&self, sealed: &Bytes) -> Option<Bytes> {
        let (head, hidden) = sealed.split_at_checked(HEAD_BYTES)?;
        let (version, nonce) = head.split_first()?;
        if *version != VERSION {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut hidden = hidden.to_vec();
        let payload = self
            .key
            .open_in_place(nonce, Aad::from([*version]), &mut hidden);
        let length = payload.ok()?.len();
        hidden.truncate(length);
        Some(hidden.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_can_be_read_by_the_same_key_for_the_same_purpose_alone() {
        let sealer = Sealer::new(b"key", "purpose");
        let payload = b"gs://lake/secret/metadata.json";
        let sealed = sealer.seal(payload);
        let shown = sealed.windows(6).any(|part| part == b"secret");
        assert!(!shown, "nobody else reads it");
        assert_ne!(sealer.seal(payload), sealed, "nor sees it again");
        assert_eq!(sealer.open(&sealed).unwrap(), &payload[..]);
        let twin = Sealer::new(b"key", "purpose");
        assert_eq!(twin.open(&sealed).unwrap(), &payload[..]);
        for stranger in [
            Sealer::new(b"other", "purpose"),
            Sealer::new(b"key", "other"),
        ] {
            assert_eq!(stranger.open(&sealed), None);
        }
    }

    #[test]
    fn what_is_sealed_is_taken_as_a_whole_or_not_at_all() {
        let sealer = Sealer::new(b"key", "purpose");
        for payload in [&b"payload"[..], b""] {
            let sealed = sealer.seal(payload);
            assert_eq!(sealer.open(&sealed).unwrap(), payload);
            for at in 0..sealed.len() {
                let mut changed = sealed.to_vec();
                changed[at] ^= 1;
                assert_eq!(sealer.open(&changed.into()), None, "byte {at}");
                assert_eq!(sealer.open(&sealed.slice(..at)), None, "{at} bytes");
            }
            let longer: Bytes = [&sealed[..], b"x"].concat().into();
            assert_eq!(sealer.open(&longer), None);
        }
    }
}
