//! The audit log: who did what, when, from where, and what came of it. One JSON object per line.
//!
//! A line is written when a statement has ended, when somebody logged in or was turned away, and when an action was
//! denied. Lines are made where things happen and written by a thread of its own, so that no query waits for a disk.
//! Between the two is a queue of bounded length. What happens when the log can't be written is the operator's choice:
//! new requests are refused until it can be ([`OnFailure::Refuse`]), or lines are dropped and counted.
//!
//! # Invariants
//! - No credential is in a line: no password, no token, no cookie, and no name that is no user's, which may be a password
//!   typed into the wrong field.
//! - Where literals are redacted, a line has nothing of a statement that could be one: see [`landfast_planner::redact`].
//!   Error texts, which may repeat literals, are never in it; their kinds are.

mod line;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use landfast_planner::redact;
use serde::Serialize;

pub use line::{Denied, LogIn};

use crate::auth::AuthOutcome;
use crate::queries::QueryRecord;
use line::{DeniedLine, LogInLine, StatementLine};
use writer::{Message, Target, Writer};

/// The longest part of a statement that a line has.
const STATEMENT_BYTES_MAX: usize = 16 * 1024;
/// The longest statement that is read to redact it; of a longer one only the length is told.
const REDACTED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// A file, which is appended to and may be moved away at any time.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// What happens when lines can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Requests are refused until they can.
    Refuse,
    /// Lines are dropped, and counted.
    Drop,
}

/// What an [`Audit`] is made of.
#[derive(Clone, Debug)]
pub struct AuditSpec {
    /// Where lines go.
    pub target: AuditTarget,
    /// Whether statements are written without their literals.
    pub redact_literals: bool,
    /// What happens when lines can't be written.
    pub on_failure: OnFailure,
    /// How many lines may wait to be written.
    pub queue_lines: usize,
}

/// The audit log can't be written; the text is for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the audit log can't be written, and nothing is done unrecorded: tell the operator, and try again later"
)]
pub struct AuditDown;

/// What became of lines so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditCounts {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were dropped.
    pub dropped: u64,
    /// Lines that wait to be written.
    pub waiting: usize,
    /// Whether the last attempt to write failed.
    pub failing: bool,
}

/// What the writing thread shares with those who make lines.
#[derive(Debug, Default)]
struct Shared {
    written: AtomicU64,
    dropped: AtomicU64,
    waiting: AtomicUsize,
    failing: AtomicBool,
    /// The service ends: nothing is tried again.
    closing: AtomicBool,
}

/// Writes the audit log.
#[derive(Debug)]
pub struct Audit {
    spec: AuditSpec,
    lines: mpsc::Sender<Message>,
    shared: Arc<Shared>,
}

impl Audit {
    /// Opens the log, and starts the thread that writes it.
    ///
    /// # Errors
    /// When the file can't be opened for appending.
    pub fn start(spec: AuditSpec) -> std::io::Result<Arc<Self>> {
        let target = Target::open(&spec.target)?;
        let shared = Arc::<Shared>::default();
        let (sender, receiver) = mpsc::channel();
        let writer = Writer::new(target, receiver, Arc::clone(&shared), spec.on_failure);
        std::thread::Builder::new()
            .name("landfast-audit".to_owned())
            .spawn(move || writer.run())?;
        Ok(Arc::new(Self {
            spec,
            lines: sender,
            shared,
        }))
    }

    /// Whether requests may be served: what they do can be recorded, or need not be.
    pub fn check(&self) -> Result<(), AuditDown> {
        let full = self.shared.waiting.load(Ordering::Relaxed) >= self.spec.queue_lines;
        let down = full || self.shared.failing.load(Ordering::Relaxed);
        match self.spec.on_failure {
            OnFailure::Refuse if down => Err(AuditDown),
            OnFailure::Refuse | OnFailure::Drop => Ok(()),
        }
    }

    /// A statement as a line has it.
    pub fn shown(&self, statement: &str) -> String {
        if self.spec.redact_literals {
            cut(redact(statement, REDACTED_BYTES_MAX))
        } else {
            cut(statement.to_owned())
        }
    }

    /// A statement has ended.
    pub(crate) fn statement(&self, record: &QueryRecord, usd: f64) {
        self.write(&StatementLine::new(record, usd, self.spec.redact_literals));
    }

    /// Somebody logged in, or was turned away.
    pub(crate) fn log_in(&self, attempt: &LogIn<'_>) {
        // Those who are sent away unheard are counted in the metrics: writing each down would help whoever floods us.
        if attempt.outcome != AuthOutcome::Slowed {
            self.write(&LogInLine::new(attempt));
        }
    }

    /// Somebody was denied what is no statement.
    pub(crate) fn denied(&self, denied: &Denied<'_>) {
        self.write(&DeniedLine::new(denied));
    }

    /// What became of lines so far.
    pub fn counts(&self) -> AuditCounts {
        AuditCounts {
            written: self.shared.written.load(Ordering::Relaxed),
            dropped: self.shared.dropped.load(Ordering::Relaxed),
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            failing: self.shared.failing.load(Ordering::Relaxed),
        }
    }

    /// Opens the file anew with the next line, for tools that move or cut it off themselves.
    pub fn reopen(&self) {
        drop(self.lines.send(Message::Reopen));
    }

    /// Waits until what was recorded so far is written, or for so long; whether it is. Blocks the thread.
    pub fn flush(&self, longest: Duration) -> bool {
        let (sender, receiver) = mpsc::channel();
        self.lines.send(Message::Flush(sender)).is_ok() && receiver.recv_timeout(longest).is_ok()
    }

    /// Writes what waits as far as it can be written, for so long at most, and tries nothing again. Blocks the thread.
    pub fn close(&self, longest: Duration) {
        self.shared.closing.store(true, Ordering::Relaxed);
        if !self.flush(longest) {
            tracing::error!(target: "landfast::audit", lines = self.counts().waiting, "audit lines were not written in time");
        }
    }

    fn write(&self, line: &impl Serialize) {
        let waiting = self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        // Where requests are refused, they were before they could make a line: the few that run already are written.
        let full = waiting >= self.spec.queue_lines && self.spec.on_failure == OnFailure::Drop;
        let sent = !full
            && serde_json::to_string(line)
                .is_ok_and(|text| self.lines.send(Message::Line(text)).is_ok());
        if !sent {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > STATEMENT_BYTES_MAX {
        let end = (0..=STATEMENT_BYTES_MAX)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
