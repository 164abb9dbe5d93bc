//! The one place where what went wrong becomes a gRPC status.
//!
//! No match here has a wildcard: a new kind of error must be given its code before anything compiles. Texts are cut
//! short, because status messages travel in headers (8 KB, often percent-encoded, hold them all).

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use landfast_planner::{ErrorKind, PlannerError};

use super::ticket::TicketError;
use crate::audit::AuditDown;
use crate::auth::AuthError;
use crate::limits::LimitError;
use crate::queries::QueryId;
use crate::session::SessionError;

/// The response header, and trailer of an error, that names the query.
pub(crate) const QUERY_ID_HEADER: &str = "landfast-query-id";

/// The longest text of a status, in bytes.
const TEXT_BYTES_MAX: usize = 2_000;

/// Everything a request can fail with.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Planner(#[from] PlannerError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Audit(#[from] AuditDown),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// The request breaks the protocol.
    #[error("{0}")]
    Malformed(String),
    /// A prepared statement that is closed, expired or somebody else's.
    #[error("the prepared statement is closed or has expired: prepare it again")]
    NoSuchStatement,
    /// A prepared statement over tables of a session that is not the caller's.
    #[error(
        "the prepared statement reads temporary tables of another session: prepare it in the session that has the tables"
    )]
    OtherSession,
    /// A query that is not known here, or that somebody else asked.
    #[error("the query is not known here: it ended long ago, or was asked elsewhere")]
    NoSuchQuery,
    /// A part of the protocol that is not offered.
    #[error("{0}")]
    Unimplemented(String),
    #[error("{0}")]
    Internal(String),
}

impl Fault {
    pub(super) fn malformed(text: impl Into<String>) -> Self {
        Self::Malformed(text.into())
    }

    pub(super) fn unimplemented(text: impl Into<String>) -> Self {
        Self::Unimplemented(text.into())
    }

    pub(super) fn internal(text: impl std::fmt::Display) -> Self {
        Self::Internal(text.to_string())
    }

    /// The gRPC code.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Planner(error) => planner_code(error.kind()),
            Self::Auth(error) => match error {
                AuthError::Missing
                | AuthError::BadPassword
                | AuthError::BadToken
                | AuthError::RefusedToken(_)
                | AuthError::Malformed(_) => Code::Unauthenticated,
                AuthError::Busy | AuthError::Slowed { .. } => Code::ResourceExhausted,
                AuthError::IssuerDown | AuthError::Changed => Code::Unavailable,
                AuthError::Failed => Code::Internal,
            },
            Self::Audit(AuditDown) => Code::Unavailable,
            Self::Session(error) => match error {
                SessionError::NoSession | SessionError::Expired => Code::FailedPrecondition,
                SessionError::TooMany | SessionError::TooManyOfOne { .. } => {
                    Code::ResourceExhausted
                }
            },
            Self::Limit(error) => match error {
                LimitError::QueueFull { .. }
                | LimitError::QueueTimeout { .. }
                | LimitError::TooMany { .. } => Code::ResourceExhausted,
                LimitError::Draining => Code::Unavailable,
                LimitError::Deadline { .. } => Code::DeadlineExceeded,
                LimitError::StreamIdle { .. } | LimitError::UploadIdle { .. } => Code::Aborted,
                LimitError::TooLarge { .. } => Code::InvalidArgument,
            },
            Self::Ticket(error) => match error {
                TicketError::NotOurs => Code::InvalidArgument,
                TicketError::Expired | TicketError::Old => Code::FailedPrecondition,
                TicketError::OtherPrincipal => Code::PermissionDenied,
                TicketError::TooLarge { .. } => Code::InvalidArgument,
            },
            Self::Malformed(_) => Code::InvalidArgument,
            Self::NoSuchStatement | Self::NoSuchQuery => Code::NotFound,
            Self::OtherSession => Code::FailedPrecondition,
            Self::Unimplemented(_) => Code::Unimplemented,
            Self::Internal(_) => Code::Internal,
        }
    }

    /// A short stable label, for the query's record and the metrics.
    pub(super) fn label(&self) -> &'static str {
        label(self.code())
    }

    /// The status a client gets. The query's id stands in the text, for people, and in a header, for programs.
    pub(super) fn status(&self, query: Option<QueryId>) -> Status {
        let text = self.to_string();
        let mut text = beginning(&text).to_owned();
        if let Some(query) = query {
            text.push_str(&format!(" [query {query}]"));
        }
        if self.code() == Code::Internal {
            tracing::error!(target: "landfast::flight", query_id = query.map(|id| id.to_string()), error = %self, "internal error");
        }
        let mut status = Status::new(self.code(), text);
        if let Some(query) = query
            && let Ok(value) = MetadataValue::try_from(query.to_string())
        {
            status.metadata_mut().insert(QUERY_ID_HEADER, value);
        }
        status
    }
}

fn planner_code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Deadline => Code::DeadlineExceeded,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::Internal => Code::Internal,
    }
}

fn label(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

fn beginning(text: &str) -> &str {
    match (0..=TEXT_BYTES_MAX)
        .rev()
        .find(|at| text.is_char_boundary(*at))
    {
        Some(end) if text.len() > TEXT_BYTES_MAX => &text[..end],
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_its_query_in_text_and_header_and_stays_short() {
        let id = QueryId::new();
        let status = Fault::malformed("é".repeat(5_000)).status(Some(id));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().len() < TEXT_BYTES_MAX + 100);
        assert!(status.message().ends_with(&format!("[query {id}]")));
        assert_eq!(
            status
                .metadata()
                .get(QUERY_ID_HEADER)
                .unwrap()
                .to_str()
                .unwrap(),
            id.to_string()
        );
    }

    #[test]
    fn errors_of_the_planner_keep_their_kind() {
        for (error, code) in [
            (PlannerError::invalid("x"), Code::InvalidArgument),
            (PlannerError::not_found("x", vec![]), Code::NotFound),
            (PlannerError::denied("x"), Code::PermissionDenied),
            (PlannerError::exhausted("x"), Code::ResourceExhausted),
            (PlannerError::unavailable("x"), Code::Unavailable),
            (PlannerError::internal("x"), Code::Internal),
        ] {
            assert_eq!(Fault::from(error).code(), code);
        }
    }

    #[test]
    fn limits_say_whether_to_wait_or_to_change_the_request() {
        assert_eq!(
            Fault::from(LimitError::QueueFull {
                running: 1,
                queued: 1
            })
            .code(),
            Code::ResourceExhausted
        );
        assert_eq!(Fault::from(LimitError::Draining).code(), Code::Unavailable);
        assert_eq!(
            Fault::from(LimitError::Deadline { limit_ms: 1 }).code(),
            Code::DeadlineExceeded
        );
    }
}
