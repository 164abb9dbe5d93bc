//! A signed token as it comes over the wire, and the keys that check it (RFC 7515, RFC 7517, RFC 7518, RFC 8037).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// A signature algorithm with a public key. Those with a shared secret, and `none`, are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS #1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS #1 v1.5 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// RSA PSS with SHA-384.
    Ps384,
    /// RSA PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Its name in a token's header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
    }
}

/// A token taken apart; nothing in it is believed yet.
pub(super) struct Jws<'a> {
    /// `None` for one that is not taken.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) kid: Option<String>,
    /// The claims.
    pub(super) payload: serde_json::Map<String, serde_json::Value>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; we understand none.
    crit: Option<serde_json::Value>,
}

/// Takes a token apart; `None` for what is none.
pub(super) fn read(token: &str) -> Option<Jws<'_>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let payload = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(Jws {
        algorithm: match header.crit {
            None => Algorithm::named(&header.alg),
            Some(_) => None,
        },
        kid: header.kid,
        payload,
        signed: signed.as_bytes(),
        signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
    })
}

/// A public key of an issuer.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A key as a key set has it.
#[derive(Deserialize)]
pub(super) struct RawKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    /// The key, if it is a public one that checks signatures in a way that we know.
    pub(super) fn new(raw: RawKey) -> Option<Self> {
        if raw
            .used_for
            .as_deref()
            .is_some_and(|purpose| purpose != "sig")
        {
            return None;
        }
        if raw
            .key_ops
            .is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
        {
            return None;
        }
        let bytes = |text: &Option<String>| {
            URL_SAFE_NO_PAD
                .decode(text.as_deref()?.trim_end_matches('='))
                .ok()
        };
        let material = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", _) => Material::Rsa {
                n: no_leading_zeros(bytes(&raw.n)?),
                e: no_leading_zeros(bytes(&raw.e)?),
            },
            ("EC", Some("P-256")) => Material::P256(point(&bytes(&raw.x)?, &bytes(&raw.y)?, 32)?),
            ("EC", Some("P-384")) => Material::P384(point(&bytes(&raw.x)?, &bytes(&raw.y)?, 48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&raw.x)?),
            _ => return None,
        };
        let algorithm = match raw.alg.as_deref() {
            None => None,
            Some(name) => Some(Algorithm::named(name)?),
        };
        Some(Self {
            kid: raw.kid,
            algorithm,
            material,
        })
    }

    /// Whether it may be the one that signed with this algorithm under this name. A token without a key's name may be
    /// any key's.
    pub(super) fn fits(&self, kid: Option<&str>, algorithm: Algorithm) -> bool {
        let named = kid.is_none_or(|kid| self.kid.as_deref() == Some(kid));
        let meant = self.algorithm.is_none_or(|only| only == algorithm);
        let kind = match &self.material {
            Material::Rsa { .. } => matches!(
                algorithm,
                Algorithm::Rs256
                    | Algorithm::Rs384
                    | Algorithm::Rs512
                    | Algorithm::Ps256
                    | Algorithm::Ps384
                    | Algorithm::Ps512
            ),
            Material::P256(_) => algorithm == Algorithm::Es256,
            Material::P384(_) => algorithm == Algorithm::Es384,
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        named && meant && kind
    }

    /// Whether it signed the token.
    pub(super) fn verifies(&self, algorithm: Algorithm, token: &Jws<'_>) -> bool {
        let (message, signed) = (token.signed, token.signature.as_slice());
        match &self.material {
            Material::Rsa { n, e } => {
                // ring takes 2048 to 8192 bits.
                let parameters = match algorithm {
                    Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return false,
                };
                RsaPublicKeyComponents { n, e }
                    .verify(parameters, message, signed)
                    .is_ok()
            }
            Material::P256(point) => {
                algorithm == Algorithm::Es256
                    && UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                        .verify(message, signed)
                        .is_ok()
            }
            Material::P384(point) => {
                algorithm == Algorithm::Es384
                    && UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point)
                        .verify(message, signed)
                        .is_ok()
            }
            Material::Ed25519(key) => {
                algorithm == Algorithm::EdDsa
                    && UnparsedPublicKey::new(&signature::ED25519, key)
                        .verify(message, signed)
                        .is_ok()
            }
        }
    }
}

/// Some issuers write a number with the sign's zero before it.
fn no_leading_zeros(bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes[zeros..].to_vec()
}

/// A point of a curve, uncompressed.
fn point(x: &[u8], y: &[u8], size: usize) -> Option<Vec<u8>> {
    if x.len() != size || y.len() != size {
        return None;
    }
    Some([&[4], x, y].concat())
}
