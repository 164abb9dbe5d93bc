//! Reading the `authorization` header.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Go's client leaves the padding out, Java's and C++'s put it in.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What an `authorization` header says.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user name and a password.
    Basic {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// A bearer token.
    Bearer(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

/// Why an `authorization` header could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The header is not text.
    #[error("the authorization header is not text")]
    NotText,
    /// Neither Basic nor Bearer.
    #[error("the authorization header is neither `Basic` nor `Bearer`")]
    Scheme,
    /// Basic without proper base64 of `user:password`.
    #[error("the Basic authorization header is not base64 of `user:password`")]
    Basic,
}

impl Credentials {
    /// Reads the value of an `authorization` header; schemes are told apart whatever their case (RFC 9110, section 11.1).
    pub fn parse(header: &str) -> Result<Self, CredentialError> {
        let (scheme, rest) = header
            .trim()
            .split_once(' ')
            .ok_or(CredentialError::Scheme)?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Self::Bearer(rest.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(CredentialError::Scheme);
        }
        let decoded = BASE64.decode(rest).map_err(|_| CredentialError::Basic)?;
        let text = String::from_utf8(decoded).map_err(|_| CredentialError::Basic)?;
        let (user, password) = text.split_once(':').ok_or(CredentialError::Basic)?;
        Ok(Self::Basic {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }
}
