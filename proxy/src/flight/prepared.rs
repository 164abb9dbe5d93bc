//! Prepared statements: handles nobody can guess, bound to a principal, ended when idle, so many and so large together,
//! and a quarter of that for one principal.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use landfast_planner::{Statement, WireTypes};
use parking_lot::Mutex;

use super::caller::Caller;
use super::fault::Fault;
use super::parameters::Parameters;
use super::statement::Asking;
use crate::limits::{LimitError, share_of_one};
use crate::session::SessionId;

/// About what a prepared statement takes in memory, its text and its parameters aside.
const STATEMENT_BYTES: usize = 4 * 1024;
/// About what one column of its rows takes.
const COLUMN_BYTES: usize = 256;

/// A prepared statement, as it is used.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) statement: Arc<Statement>,
    /// What clients see of its rows.
    pub(super) schema: SchemaRef,
    /// What the last DoPut bound.
    pub(super) bound: Option<Parameters>,
    /// The types that its rows were said to have.
    pub(super) types: WireTypes,
    /// Whether it reads tables of its session, which no other session has.
    pub(super) reads_temporary: bool,
}

impl Prepared {
    /// About what it takes in memory.
    fn bytes(&self) -> usize {
        let bound = self.bound.as_ref().map_or(0, Parameters::bytes);
        STATEMENT_BYTES + self.statement.bytes() + COLUMN_BYTES * self.schema.fields().len() + bound
    }

    /// The statement as it is executed.
    pub(super) fn asking(self) -> Asking {
        Asking {
            statement: self.statement,
            parameters: self.bound,
            types: Some(self.types),
        }
    }
}

struct Kept {
    principal: Arc<str>,
    session: Option<SessionId>,
    prepared: Prepared,
    bytes: usize,
    used: Instant,
}

/// How many statements, and what they take.
#[derive(Clone, Copy, Default)]
struct Tally {
    count: usize,
    bytes: usize,
}

impl Tally {
    fn of(kept: &Kept) -> Self {
        Self {
            count: 1,
            bytes: kept.bytes,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            bytes: self.bytes + other.bytes,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            count: self.count - other.count,
            bytes: self.bytes - other.bytes,
        }
    }
}

#[derive(Default)]
struct Shelf {
    kept: HashMap<Bytes, Kept>,
    all: Tally,
    /// None is nought.
    by_principal: HashMap<Arc<str>, Tally>,
}

/// The open prepared statements.
pub(super) struct PreparedStatements {
    open: Mutex<Shelf>,
    max: Tally,
    max_of_one: Tally,
    idle: Duration,
}

impl PreparedStatements {
    pub(super) fn new(max: usize, bytes_max: usize, idle: Duration) -> Self {
        Self {
            open: Mutex::default(),
            max: Tally {
                count: max,
                bytes: bytes_max,
            },
            max_of_one: Tally {
                count: share_of_one(max),
                bytes: share_of_one(bytes_max),
            },
            idle,
        }
    }

    /// Opens a statement for a principal; the handle is 256 random bits.
    pub(super) fn open(
        &self,
        principal: Arc<str>,
        session: Option<SessionId>,
        prepared: Prepared,
    ) -> Result<Bytes, Fault> {
        let kept = Kept {
            bytes: prepared.bytes(),
            principal,
            session,
            prepared,
            used: Instant::now(),
        };
        let mut open = self.open.lock();
        if self.room(&open, &kept.principal, Tally::of(&kept)).is_err() {
            open.retain(|kept| kept.used.elapsed() <= self.idle);
            self.room(&open, &kept.principal, Tally::of(&kept))?;
        }
        let handle = Bytes::copy_from_slice(&rand::random::<[u8; 32]>());
        open.put(handle.clone(), kept);
        Ok(handle)
    }

    /// The statement of a handle. Somebody else's is as unknown as one that never was; one that reads tables of a session
    /// is for that session alone.
    pub(super) fn find(&self, handle: &Bytes, caller: &Caller) -> Result<Prepared, Fault> {
        let mut open = self.open.lock();
        let kept = self.kept(&mut open, handle, caller)?;
        Ok(kept.prepared.clone())
    }

    /// Binds parameters, in place of those bound before. When there is no room for them, those stay.
    pub(super) fn bind(
        &self,
        handle: &Bytes,
        caller: &Caller,
        bound: Option<Parameters>,
    ) -> Result<(), Fault> {
        let mut open = self.open.lock();
        let mut prepared = self.kept(&mut open, handle, caller)?.prepared.clone();
        prepared.bound = bound;
        let bytes = prepared.bytes();
        let Some(before) = open.take(handle) else {
            return Err(Fault::NoSuchStatement);
        };
        let room = self.room(&open, &before.principal, Tally { count: 1, bytes });
        let after = match room {
            Ok(()) => Kept {
                prepared,
                bytes,
                ..before
            },
            Err(_) => before,
        };
        open.put(handle.clone(), after);
        room
    }

    /// Closes a statement; closing one that is not open is fine.
    pub(super) fn close(&self, handle: &Bytes, principal: &str) {
        let open = &mut *self.open.lock();
        if let Some(kept) = open.kept.get(handle)
            && *kept.principal == *principal
        {
            open.take(handle);
        }
    }

    /// Closes all statements that were prepared in a session.
    pub(super) fn close_session(&self, session: &SessionId) {
        self.open
            .lock()
            .retain(|kept| kept.session.as_ref() != Some(session));
    }

    /// Closes what nobody used for long.
    pub(super) fn sweep(&self) {
        self.open
            .lock()
            .retain(|kept| kept.used.elapsed() <= self.idle);
    }

    /// Whether so much more of a principal fits, among all and among their own.
    fn room(&self, open: &Shelf, principal: &str, more: Tally) -> Result<(), Fault> {
        let theirs = open.by_principal.get(principal);
        let theirs = theirs.copied().unwrap_or_default().plus(more);
        let all = open.all.plus(more);
        let (what, max) = if all.count > self.max.count {
            ("prepared statements", self.max.count)
        } else if theirs.count > self.max_of_one.count {
            ("prepared statements of one user", self.max_of_one.count)
        } else if all.bytes > self.max.bytes {
            (
                "bytes of prepared statements and their parameters",
                self.max.bytes,
            )
        } else if theirs.bytes > self.max_of_one.bytes {
            (
                "bytes of one user's prepared statements and their parameters",
                self.max_of_one.bytes,
            )
        } else {
            return Ok(());
        };
        Err(LimitError::TooMany { what, max }.into())
    }

    fn kept<'a>(
        &self,
        open: &'a mut Shelf,
        handle: &Bytes,
        caller: &Caller,
    ) -> Result<&'a mut Kept, Fault> {
        let kept = open
            .kept
            .get_mut(handle)
            .filter(|kept| {
                kept.principal == caller.principal.name && kept.used.elapsed() <= self.idle
            })
            .ok_or(Fault::NoSuchStatement)?;
        if kept.prepared.reads_temporary && kept.session.as_ref() != caller.session.id() {
            return Err(Fault::OtherSession);
        }
        kept.used = Instant::now();
        Ok(kept)
    }
}

impl Shelf {
    fn put(&mut self, handle: Bytes, kept: Kept) {
        let more = Tally::of(&kept);
        self.all = self.all.plus(more);
        let theirs = self.by_principal.entry(kept.principal.clone()).or_default();
        *theirs = theirs.plus(more);
        self.kept.insert(handle, kept);
    }

    fn take(&mut self, handle: &Bytes) -> Option<Kept> {
        let kept = self.kept.remove(handle)?;
        let less = Tally::of(&kept);
        self.all = self.all.minus(less);
        if let Some(theirs) = self.by_principal.get_mut(&kept.principal) {
            *theirs = theirs.minus(less);
            if theirs.count == 0 {
                self.by_principal.remove(&kept.principal);
            }
        }
        Some(kept)
    }

    fn retain(&mut self, keep: impl Fn(&Kept) -> bool) {
        let goes = self.kept.iter().filter(|(_, kept)| !keep(kept));
        let goes: Vec<_> = goes.map(|(handle, _)| handle.clone()).collect();
        for handle in goes {
            self.take(&handle);
        }
    }
}
