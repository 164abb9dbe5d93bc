//! What can be wrong with a configuration file, said with its place.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a configuration was refused: the file, the key and its line where there are any, what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{}: can't be read: {source}", file.display())]
    Unreadable {
        /// The file that was asked for.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file isn't TOML, or has a key, a type or a value that it must not have.
    #[error("{}{}{}{what}", place(file.as_deref()), line_text(*line), key_text(key.as_deref()))]
    Invalid {
        /// The file, or none for a text that came from elsewhere.
        file: Option<PathBuf>,
        /// The line, from 1.
        line: Option<usize>,
        /// The key's path, for example `site[gcp].store.endpoint`.
        key: Option<String>,
        /// What is wrong and what to do.
        what: String,
    },
}

fn place(file: Option<&Path>) -> String {
    file.map_or_else(|| "configuration".to_owned(), |f| f.display().to_string())
}

fn line_text(line: Option<usize>) -> String {
    line.map_or_else(|| ": ".to_owned(), |l| format!(":{l}: "))
}

fn key_text(key: Option<&str>) -> String {
    key.filter(|k| !k.is_empty())
        .map_or_else(String::new, |k| format!("{k}: "))
}

/// One step of a key's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(&'static str),
    Index(usize),
}

/// Where in the file a value stands, from the root down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyPath(Vec<Step>);

impl KeyPath {
    pub(crate) fn root() -> Self {
        Self::default()
    }

    pub(crate) fn key(&self, name: &'static str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(name));
        Self(steps)
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// A problem at this place.
    pub(crate) fn problem(&self, what: impl Into<String>) -> Problem {
        Problem {
            path: self.clone(),
            what: what.into(),
        }
    }
}

/// What a check found, before the file and the line are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) path: KeyPath,
    pub(crate) what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
