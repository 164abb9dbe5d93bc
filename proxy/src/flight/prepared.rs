//! Prepared statements: handles nobody can guess, bound to a principal, ended when idle, so many and so large together.

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
use crate::limits::LimitError;
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

#[derive(Default)]
struct Shelf {
    kept: HashMap<Bytes, Kept>,
    /// What they take together.
    bytes: usize,
}

/// The open prepared statements.
pub(super) struct PreparedStatements {
    open: Mutex<Shelf>,
    max: usize,
    bytes_max: usize,
    idle: Duration,
}

impl PreparedStatements {
    pub(super) fn new(max: usize, bytes_max: usize, idle: Duration) -> Self {
        Self {
            open: Mutex::default(),
            max,
            bytes_max,
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
        let bytes = prepared.bytes();
        let mut open = self.open.lock();
        if open.kept.len() >= self.max || open.bytes + bytes > self.bytes_max {
            open.retain(|kept| kept.used.elapsed() <= self.idle);
        }
        if open.kept.len() >= self.max {
            return Err(LimitError::TooMany {
                what: "prepared statements",
                max: self.max,
            }
            .into());
        }
        self.check_room(open.bytes + bytes)?;
        let handle = Bytes::copy_from_slice(&rand::random::<[u8; 32]>());
        open.bytes += bytes;
        open.kept.insert(
            handle.clone(),
            Kept {
                principal,
                session,
                prepared,
                bytes,
                used: Instant::now(),
            },
        );
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
        let others = open.bytes;
        let kept = self.kept(&mut open, handle, caller)?;
        let others = others - kept.bytes;
        let mut prepared = kept.prepared.clone();
        prepared.bound = bound;
        let bytes = prepared.bytes();
        self.check_room(others + bytes)?;
        kept.prepared = prepared;
        kept.bytes = bytes;
        open.bytes = others + bytes;
        Ok(())
    }

    /// Closes a statement; closing one that is not open is fine.
    pub(super) fn close(&self, handle: &Bytes, principal: &str) {
        let open = &mut *self.open.lock();
        if let Some(kept) = open.kept.get(handle)
            && *kept.principal == *principal
        {
            open.bytes -= kept.bytes;
            open.kept.remove(handle);
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

    fn check_room(&self, bytes: usize) -> Result<(), Fault> {
        if bytes <= self.bytes_max {
            return Ok(());
        }
        Err(LimitError::TooMany {
            what: "bytes of prepared statements and their parameters",
            max: self.bytes_max,
        }
        .into())
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
    fn retain(&mut self, keep: impl Fn(&Kept) -> bool) {
        let bytes = &mut self.bytes;
        self.kept.retain(|_, kept| {
            let stays = keep(kept);
            if !stays {
                *bytes -= kept.bytes;
            }
            stays
        });
    }
}
