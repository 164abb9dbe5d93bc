//! `[[user]]`, `[[token]]`, `[[certificate]]` and `[[oidc]]`: who may come, and as what.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use argon2::password_hash::PasswordHash;
use landfast_planner::{Groups, Role};

use crate::auth::{Access, CertificateEntry, StaticToken, User};

use super::error::{ConfigError, KeyPath, Problem};
use super::raw::{RawConfig, RawRole, RawToken, RawUser};
use super::raw_access::{RawAccess, RawCertificate};
use super::{oidc, position, with_suggestion};

/// Where it stands who may come: in the configuration itself, and in files that it names.
#[derive(Debug, Clone, Default)]
pub struct AccessSource {
    here: RawAccess,
    base: PathBuf,
    users_file: Option<PathBuf>,
}

impl AccessSource {
    pub(super) fn new(raw: &RawConfig, base: &Path) -> Self {
        Self {
            here: RawAccess {
                user: raw.user.clone(),
                token: raw.token.clone(),
                certificate: raw.certificate.clone(),
                oidc: raw.oidc.clone(),
            },
            base: base.to_owned(),
            users_file: raw.proxy.users_file.as_ref().map(|file| base.join(file)),
        }
    }

    /// Who may come now. Reads the files again.
    ///
    /// # Errors
    /// When a file can't be read, or says something that can't be.
    pub fn read(&self) -> Result<Access, ConfigError> {
        self.checked().map_err(|problem| ConfigError::Invalid {
            file: None,
            line: None,
            key: None,
            what: problem.what,
        })
    }

    pub(super) fn checked(&self) -> Result<Access, Problem> {
        let root = KeyPath::root();
        let mut access = access(&self.here, &self.base)?;
        let Some(file) = &self.users_file else {
            return Ok(access);
        };
        let at = root.key("proxy").key("users_file");
        let refused = |error: ConfigError| at.problem(error.to_string());
        let more = read_file(file).map_err(refused)?;
        let twice =
            |name: &str| at.problem(format!("`{name}` stands here and in {}", file.display()));
        for user in &more.users {
            if access.users.iter().any(|known| known.name == user.name) {
                return Err(twice(&user.name));
            }
        }
        for entry in &more.certificates {
            if access
                .certificates
                .iter()
                .any(|known| known.subject == entry.subject)
            {
                return Err(twice(&entry.subject));
            }
        }
        for spec in &more.issuers {
            if access
                .issuers
                .iter()
                .any(|known| known.issuer == spec.issuer)
            {
                return Err(twice(&spec.issuer));
            }
        }
        access.users.extend(more.users);
        access.tokens.extend(more.tokens);
        access.certificates.extend(more.certificates);
        access.issuers.extend(more.issuers);
        Ok(access)
    }
}

/// Reads a file of users, tokens, certificates and issuers; paths in it are relative to its own directory.
fn read_file(file: &Path) -> Result<Access, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    let raw: RawAccess = toml::from_str(&text).map_err(|e| ConfigError::Invalid {
        file: Some(file.to_owned()),
        line: e.span().map(|span| position::line_of(&text, span.start)),
        key: e.span().and_then(|span| position::path_at(&text, &span)),
        what: with_suggestion(e.message()),
    })?;
    let base = file.parent().unwrap_or(Path::new(""));
    access(&raw, base).map_err(|problem| {
        let (line, key) = position::describe(&text, &problem.path);
        ConfigError::Invalid {
            file: Some(file.to_owned()),
            line,
            key: Some(key),
            what: problem.what,
        }
    })
}

fn access(raw: &RawAccess, base: &Path) -> Result<Access, Problem> {
    let root = KeyPath::root();
    Ok(Access {
        users: users(&raw.user, &root.key("user"))?,
        tokens: tokens(&raw.token, &root.key("token"), base)?,
        certificates: certificates(&raw.certificate, &root.key("certificate"))?,
        issuers: oidc::issuers(&raw.oidc, &root.key("oidc"), base)?,
    })
}

fn certificates(raw: &[RawCertificate], at: &KeyPath) -> Result<Vec<CertificateEntry>, Problem> {
    let mut subjects = BTreeSet::new();
    raw.iter()
        .enumerate()
        .map(|(index, entry)| {
            let at = at.index(index);
            if entry.subject.is_empty() {
                return Err(at.key("subject").problem("is empty"));
            }
            if !subjects.insert(&entry.subject) {
                return Err(at.key("subject").problem(format!(
                    "two [[certificate]] entries are for `{}`",
                    entry.subject
                )));
            }
            let principal = entry.principal.as_ref().unwrap_or(&entry.subject);
            if principal.is_empty() {
                return Err(at.key("principal").problem("is empty"));
            }
            Ok(CertificateEntry {
                subject: entry.subject.clone(),
                principal: principal.clone(),
                role: role(entry.role),
                groups: groups(&entry.groups, &at.key("groups"))?,
            })
        })
        .collect()
}

fn users(raw: &[RawUser], at: &KeyPath) -> Result<Vec<User>, Problem> {
    let mut names = BTreeSet::new();
    raw.iter()
        .enumerate()
        .map(|(index, user)| {
            let at = at.index(index);
            if user.name.is_empty() || user.name.contains(':') {
                return Err(at
                    .key("name")
                    .problem("a user's name is not empty and has no colon"));
            }
            if !names.insert(&user.name) {
                return Err(at
                    .key("name")
                    .problem(format!("two users are named `{}`", user.name)));
            }
            let is_argon2 = PasswordHash::new(&user.password_hash)
                .is_ok_and(|hash| hash.algorithm.as_str().starts_with("argon2"));
            if !is_argon2 {
                return Err(at.key("password_hash").problem(
                    "is no argon2 hash in PHC form ($argon2id$…); `landfast user hash` makes one",
                ));
            }
            Ok(User {
                name: user.name.clone(),
                password_hash: user.password_hash.clone(),
                role: role(user.role),
                groups: groups(&user.groups, &at.key("groups"))?,
            })
        })
        .collect()
}

fn tokens(raw: &[RawToken], at: &KeyPath, base: &Path) -> Result<Vec<StaticToken>, Problem> {
    raw.iter()
        .enumerate()
        .map(|(index, token)| {
            let at = at.index(index);
            let (text, key) = match (&token.sha256, &token.sha256_file) {
                (Some(text), None) => (text.clone(), "sha256"),
                (None, Some(file)) => {
                    let path = base.join(file);
                    let text = std::fs::read_to_string(&path).map_err(|e| {
                        at.key("sha256_file")
                            .problem(format!("{} can't be read: {e}", path.display()))
                    })?;
                    (text, "sha256_file")
                }
                _ => return Err(at.problem("give one of `sha256` and `sha256_file`")),
            };
            // `sha256sum` writes the digest, two blanks and a name.
            let digest = text.split_whitespace().next().unwrap_or_default();
            let sha256 = hex_digest(digest).ok_or_else(|| {
                at.key(key)
                    .problem("is no SHA-256: 64 hexadecimal digits are wanted, of the token without a line end")
            })?;
            Ok(StaticToken {
                principal: token.principal.clone(),
                role: role(token.role),
                groups: groups(&token.groups, &at.key("groups"))?,
                sha256,
            })
        })
        .collect()
}

fn hex_digest(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(digest)
}

fn groups(raw: &[String], at: &KeyPath) -> Result<Groups, Problem> {
    match raw.iter().position(|name| name.trim().is_empty()) {
        Some(index) => Err(at.index(index).problem("a group's name is not empty")),
        None => Ok(Groups::new(raw)),
    }
}

pub(super) fn role(raw: RawRole) -> Role {
    match raw {
        RawRole::Reader => Role::Reader,
        RawRole::Engineer => Role::Engineer,
        RawRole::Operator => Role::Operator,
    }
}
