//! Secrets come from a file or from the environment, never from the configuration itself.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::error::{KeyPath, Problem};

/// The two keys a secret may come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SecretKeys<'a> {
    pub(crate) file: Option<&'a PathBuf>,
    pub(crate) env: Option<&'a String>,
    /// The names of the keys, `…_file` first.
    pub(crate) names: (&'static str, &'static str),
}

impl SecretKeys<'_> {
    /// The secret, or none when neither key is there. A trailing line end is cut off, nothing else.
    pub(crate) fn read(&self, at: &KeyPath, base: &Path) -> Result<Option<SecretString>, Problem> {
        let (file_key, env_key) = self.names;
        match (self.file, self.env) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(at.key(env_key).problem(format!(
                "`{file_key}` and `{env_key}` are both given; keep one of them"
            ))),
            (Some(file), None) => {
                let path = base.join(file);
                let text = std::fs::read_to_string(&path).map_err(|e| {
                    at.key(file_key).problem(format!(
                        "the secret's file {} can't be read: {e}",
                        path.display()
                    ))
                })?;
                not_empty(&text, &at.key(file_key), &path.display().to_string()).map(Some)
            }
            (None, Some(variable)) => {
                let text = std::env::var(variable).map_err(|e| {
                    let why = match e {
                        std::env::VarError::NotPresent => "is not set",
                        std::env::VarError::NotUnicode(_) => "is not valid UTF-8",
                    };
                    at.key(env_key)
                        .problem(format!("the environment variable `{variable}` {why}"))
                })?;
                not_empty(&text, &at.key(env_key), variable).map(Some)
            }
        }
    }

    /// The secret, which must be there.
    pub(crate) fn require(&self, at: &KeyPath, base: &Path) -> Result<SecretString, Problem> {
        let (file_key, env_key) = self.names;
        self.read(at, base)?
            .ok_or_else(|| at.problem(format!("needs a secret: give `{file_key}` or `{env_key}`")))
    }
}

fn not_empty(text: &str, at: &KeyPath, from: &str) -> Result<SecretString, Problem> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(at.problem(format!("the secret from {from} is empty")));
    }
    Ok(SecretString::from(text.to_owned()))
}
