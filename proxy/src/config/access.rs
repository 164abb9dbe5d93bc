//! `[[user]]` and `[[token]]`: who may come, and as what.

use std::collections::BTreeSet;
use std::path::Path;

use argon2::password_hash::PasswordHash;
use landfast_planner::{Groups, Role};

use crate::auth::{StaticToken, User};

use super::error::{KeyPath, Problem};
use super::raw::{RawRole, RawToken, RawUser};

pub(super) fn users(raw: &[RawUser], at: &KeyPath) -> Result<Vec<User>, Problem> {
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

pub(super) fn tokens(
    raw: &[RawToken],
    at: &KeyPath,
    base: &Path,
) -> Result<Vec<StaticToken>, Problem> {
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

fn role(raw: RawRole) -> Role {
    match raw {
        RawRole::Reader => Role::Reader,
        RawRole::Engineer => Role::Engineer,
        RawRole::Operator => Role::Operator,
    }
}
