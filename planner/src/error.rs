//! What can go wrong between a statement's text and its last batch, classified once.
//!
//! Every text here may be shown to a client: it is short, names what and where, and holds no credentials. The kind
//! is the gRPC code, the metric label and the retry decision; only `proxy` turns it into a code.

mod from_engine;
mod hushed;

pub(crate) use from_engine::is_over_budget;
pub(crate) use hushed::{OF_DATA_FILES, hushed, in_general, silent, without_files};

use std::fmt;

/// The longest text an error carries, in bytes: gRPC headers hold about 8 KB, and the proxy adds to it.
const TEXT_BYTES_MAX: usize = 1000;

/// Where in the statement's text something stands; both count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from one.
    pub line: u64,
    /// The column in characters, from one.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The class of an error. Deliberately exhaustive: a new kind must break the mapping to gRPC codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The statement or a parameter is wrong; asking again won't help.
    InvalidArgument,
    /// A name that does not exist, or that the asker may not see.
    NotFound,
    /// A visible thing the asker's role may not do.
    PermissionDenied,
    /// A statement, clause or table feature that Landfast does not run.
    Unsupported,
    /// A memory, spill or size limit was met.
    ResourceExhausted,
    /// No source is left for something that should be there; asking again may help.
    Unavailable,
    /// The query was cancelled.
    Cancelled,
    /// A time limit was met.
    Deadline,
    /// What should be created is there already.
    AlreadyExists,
    /// The state of the thing forbids it now, e.g. a schema that has tables.
    FailedPrecondition,
    /// A fault of ours or of the data.
    Internal,
}

impl ErrorKind {
    /// A short stable label, for metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::PermissionDenied => "permission_denied",
            Self::Unsupported => "unsupported",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "cancelled",
            Self::Deadline => "deadline",
            Self::AlreadyExists => "already_exists",
            Self::FailedPrecondition => "failed_precondition",
            Self::Internal => "internal",
        }
    }
}

/// An error of the planner. Its display text is safe and short enough for a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlannerError {
    /// The statement or a parameter is wrong.
    #[error("{text}{}", at(position))]
    InvalidArgument {
        /// What is wrong, and what to do.
        text: String,
        /// Where, if it is known.
        position: Option<Position>,
    },
    /// A name that does not exist, or that the asker may not see.
    #[error("{text}{}{}", did_you_mean(nearest), at(position))]
    NotFound {
        /// What was looked for.
        text: String,
        /// The nearest names there are, best first.
        nearest: Vec<String>,
        /// Where, if it is known.
        position: Option<Position>,
    },
    /// The asker's role forbids it.
    #[error("{text}")]
    PermissionDenied {
        /// What is forbidden, and which role may.
        text: String,
    },
    /// Something Landfast does not run.
    #[error("{text}{}", at(position))]
    Unsupported {
        /// What, and what to use instead where there is something.
        text: String,
        /// Where, if it is known.
        position: Option<Position>,
    },
    /// A limit was met.
    #[error("{text}")]
    ResourceExhausted {
        /// Which limit.
        text: String,
    },
    /// No source is left.
    #[error("{text}")]
    Unavailable {
        /// What is out of reach.
        text: String,
    },
    /// The query was cancelled.
    #[error("{text}")]
    Cancelled {
        /// By what.
        text: String,
    },
    /// A time limit was met.
    #[error("{text}")]
    Deadline {
        /// Which.
        text: String,
    },
    /// It is there already.
    #[error("{text}")]
    AlreadyExists {
        /// What is there.
        text: String,
    },
    /// Its state forbids it now.
    #[error("{text}")]
    FailedPrecondition {
        /// What would have to change first.
        text: String,
    },
    /// A fault of ours or of the data.
    #[error("{text}")]
    Internal {
        /// What happened.
        text: String,
    },
}

impl PlannerError {
    /// The statement or a parameter is wrong.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::InvalidArgument {
            text: short(text.into()),
            position: None,
        }
    }

    /// The name does not exist; `nearest` are names that do, best first.
    pub fn not_found(text: impl Into<String>, nearest: Vec<String>) -> Self {
        Self::NotFound {
            text: short(text.into()),
            nearest,
            position: None,
        }
    }

    /// The asker's role forbids it.
    pub fn denied(text: impl Into<String>) -> Self {
        Self::PermissionDenied {
            text: short(text.into()),
        }
    }

    /// Landfast does not run this.
    pub fn unsupported(text: impl Into<String>) -> Self {
        Self::Unsupported {
            text: short(text.into()),
            position: None,
        }
    }

    /// A limit was met.
    pub fn exhausted(text: impl Into<String>) -> Self {
        Self::ResourceExhausted {
            text: short(text.into()),
        }
    }

    /// No source is left.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::Unavailable {
            text: short(text.into()),
        }
    }

    /// A fault of ours or of the data.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::Internal {
            text: short(text.into()),
        }
    }

    /// An error of the given kind, for those that carry only a text.
    pub fn of_kind(kind: ErrorKind, text: impl Into<String>) -> Self {
        let text = short(text.into());
        match kind {
            ErrorKind::InvalidArgument => Self::InvalidArgument {
                text,
                position: None,
            },
            ErrorKind::NotFound => Self::NotFound {
                text,
                nearest: Vec::new(),
                position: None,
            },
            ErrorKind::PermissionDenied => Self::PermissionDenied { text },
            ErrorKind::Unsupported => Self::Unsupported {
                text,
                position: None,
            },
            ErrorKind::ResourceExhausted => Self::ResourceExhausted { text },
            ErrorKind::Unavailable => Self::Unavailable { text },
            ErrorKind::Cancelled => Self::Cancelled { text },
            ErrorKind::Deadline => Self::Deadline { text },
            ErrorKind::AlreadyExists => Self::AlreadyExists { text },
            ErrorKind::FailedPrecondition => Self::FailedPrecondition { text },
            ErrorKind::Internal => Self::Internal { text },
        }
    }

    /// The same error, saying where in the statement it is; kinds without a position stay as they are.
    #[must_use]
    pub fn at(mut self, place: Option<Position>) -> Self {
        if let Self::InvalidArgument { position, .. }
        | Self::NotFound { position, .. }
        | Self::Unsupported { position, .. } = &mut self
        {
            *position = position.or(place);
        }
        self
    }

    /// The same error, with a note after its text; kinds that don't speak of the statement stay as they are.
    #[must_use]
    pub(crate) fn with_note(mut self, note: &str) -> Self {
        if let Self::InvalidArgument { text, .. }
        | Self::NotFound { text, .. }
        | Self::Unsupported { text, .. } = &mut self
        {
            *text = short(format!("{text} ({note})"));
        }
        self
    }

    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidArgument { .. } => ErrorKind::InvalidArgument,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::PermissionDenied { .. } => ErrorKind::PermissionDenied,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::ResourceExhausted { .. } => ErrorKind::ResourceExhausted,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Cancelled { .. } => ErrorKind::Cancelled,
            Self::Deadline { .. } => ErrorKind::Deadline,
            Self::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            Self::FailedPrecondition { .. } => ErrorKind::FailedPrecondition,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// Where in the statement's text, if it is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::InvalidArgument { position, .. }
            | Self::NotFound { position, .. }
            | Self::Unsupported { position, .. } => *position,
            _ => None,
        }
    }

    /// The nearest names, best first, when a name was not found.
    pub fn nearest(&self) -> &[String] {
        match self {
            Self::NotFound { nearest, .. } => nearest,
            _ => &[],
        }
    }
}

fn at(position: &Option<Position>) -> String {
    position.map(|p| format!(" ({p})")).unwrap_or_default()
}

fn did_you_mean(nearest: &[String]) -> String {
    if nearest.is_empty() {
        String::new()
    } else {
        format!("; nearest: {}", nearest.join(", "))
    }
}

/// Cuts a text to [`TEXT_BYTES_MAX`] at a character's edge, and says so.
fn short(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let mut cut = TEXT_BYTES_MAX;
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// The names nearest to `wanted`, best first: at most three, and only those that are near.
pub(crate) fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(score, _)| *score >= 0.7)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored
        .into_iter()
        .take(3)
        .map(|(_, name)| name.to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_characters_edge() {
        let error = PlannerError::invalid("ä".repeat(2000));
        let text = error.to_string();
        assert!(
            text.len() <= TEXT_BYTES_MAX + '…'.len_utf8(),
            "{}",
            text.len()
        );
        assert!(text.ends_with('…'));
    }

    #[test]
    fn a_not_found_error_lists_the_nearest_names_and_the_place() {
        let error = PlannerError::not_found(
            "no table orderz",
            nearest("orderz", ["nation", "orders", "ORDERS2"]),
        )
        .at(Some(Position { line: 2, column: 7 }));
        assert_eq!(
            error.to_string(),
            "no table orderz; nearest: orders, ORDERS2 (line 2, column 7)"
        );
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_place_that_is_known_is_not_overwritten() {
        let first = Some(Position { line: 1, column: 1 });
        let error = PlannerError::invalid("x")
            .at(first)
            .at(Some(Position { line: 9, column: 9 }));
        assert_eq!(error.position(), first);
    }
}
