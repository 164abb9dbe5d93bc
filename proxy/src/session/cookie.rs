//! The session cookie: a name, whether settings are kept under it, and a signature bound to the principal.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{SessionId, hex};
use crate::auth::Principal;

/// The cookie's name.
pub const COOKIE_NAME: &str = "landfast_session";

/// What a cookie of ours says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadCookie {
    /// The session it names.
    pub session: SessionId,
    /// Whether something was set in that session.
    pub holds_settings: bool,
}

/// Makes and reads session cookies.
pub struct CookieJar {
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CookieJar")
    }
}

impl CookieJar {
    /// A jar that signs with `key`.
    pub fn new(key: &[u8]) -> Self {
        Self {
            mac: crate::flight::sealing::mac(key, "landfast session cookie"),
        }
    }

    /// The value of a `set-cookie` header.
    pub fn cookie(
        &self,
        session: &SessionId,
        principal: &Principal,
        holds_settings: bool,
    ) -> String {
        let mark = if holds_settings { 's' } else { 'n' };
        let signature = hex(&self
            .signed(session.as_str(), mark, principal)
            .finalize()
            .into_bytes());
        format!(
            "{COOKIE_NAME}={}.{mark}.{signature}; Path=/; HttpOnly",
            session.as_str()
        )
    }

    /// Reads the value of a `cookie` header; `None` unless it holds a cookie of ours for this principal.
    pub fn read(&self, header: &str, principal: &Principal) -> Option<ReadCookie> {
        let value = header
            .split(';')
            .find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))?;
        let value = value.trim_matches('"');
        let mut parts = value.splitn(3, '.');
        let (id, mark, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let mark = match mark {
            "s" => 's',
            "n" => 'n',
            _ => return None,
        };
        let signature = unhex(signature)?;
        self.signed(id, mark, principal)
            .verify_slice(&signature)
            .ok()?;
        Some(ReadCookie {
            session: SessionId(id.into()),
            holds_settings: mark == 's',
        })
    }

    fn signed(&self, id: &str, mark: char, principal: &Principal) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(&(id.len() as u64).to_le_bytes());
        mac.update(id.as_bytes());
        mac.update(&[mark as u8]);
        mac.update(principal.name.as_bytes());
        mac
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}
