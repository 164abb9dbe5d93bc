//! Why one attempt at one site failed, classified once, in words that are safe to show.
//!
//! A store's own error texts carry URLs and response bodies, which may hold signatures; none of them is passed on.

use std::error::Error as StdError;

use object_store::client::{HttpError, HttpErrorKind};

use crate::budget::OverBudget;
use crate::error::SitesError;

/// Why an attempt at a site failed.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The site has no such object.
    Missing,
    /// The site knows us and refuses.
    Denied(String),
    /// The site doesn't accept the credentials, or there are none to be had.
    Unauthenticated(String),
    /// The object there is another size than the metadata records.
    WrongSize { expected: u64, found: u64 },
    /// The object there was known to be another size, and was not asked for.
    Quarantined { found: u64 },
    /// Whoever asked for it did not take the object for what it should be.
    Rejected(String),
    /// The site cannot be reached, is overloaded, or took too long.
    Unreachable(String),
    /// The site answered with something else than what was asked for.
    Broken(String),
    /// The site's store cannot be opened as configured.
    Unopened(SitesError),
    /// The site was not asked: other reads had its turns for too long, or it stopped answering meanwhile.
    Waited(String),
    /// The site was not asked: the read would cost more than it may.
    OverBudget(OverBudget),
}

impl Failure {
    /// Whether the site itself answered, whatever it thinks of this one object.
    pub(crate) fn is_answer(&self) -> bool {
        match self {
            // Stores that may not be listed answer 403 for what they don't have.
            Self::Missing
            | Self::Denied(_)
            | Self::WrongSize { .. }
            | Self::Rejected(_)
            | Self::OverBudget(_)
            | Self::Quarantined { .. } => true,
            Self::Unauthenticated(_)
            | Self::Unreachable(_)
            | Self::Broken(_)
            | Self::Unopened(_)
            | Self::Waited(_) => false,
        }
    }

    /// Whether the attempt says anything of how the site does.
    pub(crate) fn is_news(&self) -> bool {
        !matches!(self, Self::Waited(_))
    }

    pub(crate) fn timed_out(after: std::time::Duration) -> Self {
        Self::Unreachable(format!("nothing came for {after:?}"))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("no such object"),
            Self::Denied(text)
            | Self::Unauthenticated(text)
            | Self::Unreachable(text)
            | Self::Broken(text)
            | Self::Waited(text) => f.write_str(text),
            Self::WrongSize { expected, found } => {
                write!(f, "has {found} bytes where {expected} are recorded")
            }
            Self::Quarantined { found } => write!(f, "quarantined, it had {found} bytes"),
            Self::Rejected(text) => write!(f, "not accepted: {text}"),
            Self::Unopened(error) => write!(f, "{error}"),
            Self::OverBudget(over) => write!(f, "not asked: it would cost {:.6} USD", over.usd),
        }
    }
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;
        let text = safe_text(&error);
        match error {
            E::NotFound { .. } => Self::Missing,
            E::PermissionDenied { .. } => Self::Denied(text),
            E::Unauthenticated { .. } => Self::Unauthenticated(text),
            _ => classify_other(&error, text),
        }
    }
}

fn classify_other(error: &object_store::Error, text: String) -> Failure {
    if let Some(token) = find::<TokenFailure>(error) {
        return match token.refused {
            true => Failure::Unauthenticated(text),
            false => Failure::Unreachable(text),
        };
    }
    if let Some(status) = http_status(error) {
        // Listings have no error of their own for these.
        return match status {
            401 => Failure::Unauthenticated(text),
            403 => Failure::Denied(text),
            404 => Failure::Missing,
            408 | 429 | 500..=599 => Failure::Unreachable(text),
            _ => Failure::Broken(text),
        };
    }
    match find::<HttpError>(error).map(HttpError::kind) {
        Some(HttpErrorKind::Connect | HttpErrorKind::Timeout | HttpErrorKind::Request) => {
            Failure::Unreachable(text)
        }
        _ => Failure::Broken(text),
    }
}

/// A token could not be had; travels inside an [`object_store::Error`] from the credential provider to here.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(crate) struct TokenFailure {
    pub(crate) text: String,
    /// Whether somebody said no, rather than nothing.
    pub(crate) refused: bool,
}

/// What a store's error means, without URLs and bodies.
pub(crate) fn safe_text(error: &object_store::Error) -> String {
    use object_store::Error as E;
    if let Some(token) = find::<TokenFailure>(error) {
        return format!("no token: {token}");
    }
    if let Some(status) = http_status(error) {
        return format!("the store answered with HTTP status {status}");
    }
    if let Some(http) = find::<HttpError>(error) {
        return match http.kind() {
            HttpErrorKind::Connect => "the store cannot be connected to",
            HttpErrorKind::Timeout => "the store did not answer in time",
            HttpErrorKind::Request | HttpErrorKind::Interrupted => "the connection broke off",
            HttpErrorKind::Decode => "the store's answer cannot be decoded",
            _ => "the request failed",
        }
        .to_owned();
    }
    if let Some(kind) = io_kind(error) {
        return kind.to_string();
    }
    match error {
        E::NotFound { .. } => "no such object".into(),
        E::PermissionDenied { .. } => "permission denied".into(),
        E::Unauthenticated { .. } => "not authenticated".into(),
        E::Precondition { .. } => "a precondition failed".into(),
        E::InvalidPath { source } => format!("the key cannot be addressed: {source}"),
        E::NotImplemented { operation, .. } => format!("the store cannot do {operation}"),
        _ => "the store's answer is not what was asked for".into(),
    }
}

/// What the operating system said, where it did.
pub(crate) fn io_kind(error: &object_store::Error) -> Option<std::io::ErrorKind> {
    find::<std::io::Error>(error).map(std::io::Error::kind)
}

fn find<'e, T: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The client library keeps the status in a private type; its text is the one way to it.
fn http_status(error: &object_store::Error) -> Option<u16> {
    let text = error.to_string();
    let (_, rest) = text.split_once("non-2xx status code: ")?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn a_server_error_is_unreachable_and_its_text_leaves_the_url_and_body_out() {
        let error = generic(
            "Error performing GET http://h/b/k?sig=secret in 3ms - Server returned non-2xx status code: 503: <secret/>",
        );
        let failure = Failure::from(error);
        assert!(matches!(failure, Failure::Unreachable(_)));
        assert_eq!(
            failure.to_string(),
            "the store answered with HTTP status 503"
        );
    }

    #[test]
    fn a_listing_that_is_refused_is_told_from_one_that_fails() {
        let refused = |status: u16| {
            Failure::from(generic(&format!(
                "Server returned non-2xx status code: {status} No: x"
            )))
        };
        assert!(matches!(refused(401), Failure::Unauthenticated(_)));
        assert!(matches!(refused(403), Failure::Denied(_)));
        assert!(matches!(refused(404), Failure::Missing));
        assert!(matches!(refused(416), Failure::Broken(_)));
    }

    #[test]
    fn an_unknown_error_shows_none_of_its_own_text() {
        assert!(
            !Failure::from(generic("token=abc"))
                .to_string()
                .contains("abc")
        );
    }

    #[test]
    fn a_refused_token_is_a_refusal_and_an_endpoint_out_of_reach_is_a_site_out_of_reach() {
        let failure = |refused| {
            let source = Box::new(TokenFailure {
                text: "the endpoint said no".into(),
                refused,
            });
            Failure::from(object_store::Error::Generic {
                store: "GCS",
                source,
            })
        };
        assert!(matches!(failure(true), Failure::Unauthenticated(_)));
        assert!(matches!(failure(false), Failure::Unreachable(_)));
    }
}
