//! How often somebody was let in or turned away.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{AuthError, Method};

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthOutcome {
    /// Let in.
    Ok,
    /// Turned away.
    Refused,
    /// Sent away before the password was looked at, for wrong ones before.
    Slowed,
    /// Could not be checked: too many at once, or an issuer that is down.
    Unavailable,
}

impl AuthOutcome {
    const ALL: [Self; 4] = [Self::Ok, Self::Refused, Self::Slowed, Self::Unavailable];

    /// What an attempt's error comes down to.
    pub fn of(error: Option<&AuthError>) -> Self {
        match error {
            None => Self::Ok,
            Some(AuthError::Slowed { .. }) => Self::Slowed,
            Some(
                AuthError::Busy | AuthError::Changed | AuthError::Failed | AuthError::IssuerDown,
            ) => Self::Unavailable,
            Some(
                AuthError::Missing
                | AuthError::BadPassword
                | AuthError::BadToken
                | AuthError::RefusedToken(_)
                | AuthError::Malformed(_),
            ) => Self::Refused,
        }
    }

    /// A short stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Slowed => "slowed",
            Self::Unavailable => "unavailable",
        }
    }
}

/// How often one method had one outcome.
#[derive(Clone, Copy, Debug)]
pub struct AuthCount {
    /// The method.
    pub method: Method,
    /// The outcome.
    pub outcome: AuthOutcome,
    /// How often.
    pub count: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts([[AtomicU64; 4]; 5]);

impl Counts {
    pub(super) fn note(&self, method: Method, error: Option<&AuthError>) {
        self.0[method as usize][AuthOutcome::of(error) as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn all(&self) -> Vec<AuthCount> {
        let of = |method: Method| {
            AuthOutcome::ALL.map(|outcome| AuthCount {
                method,
                outcome,
                count: self.0[method as usize][outcome as usize].load(Ordering::Relaxed),
            })
        };
        Method::ALL.into_iter().flat_map(of).collect()
    }
}
