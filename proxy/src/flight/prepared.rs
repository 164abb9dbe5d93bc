//! Prepared statements: handles nobody can guess, bound to a principal, ended when idle, so many at once.

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
    used: Instant,
}

/// The open prepared statements.
pub(super) struct PreparedStatements {
    open: Mutex<HashMap<Bytes, Kept>>,
    max: usize,
    idle: Duration,
}

impl PreparedStatements {
    pub(super) fn new(max: usize, idle: Duration) -> Self {
        Self {
            open: Mutex::default(),
            max,
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
        let mut open = self.open.lock();
        if open.len() >= self.max {
            open.retain(|_, kept| kept.used.elapsed() <= self.idle);
        }
        if open.len() >= self.max {
            return Err(LimitError::TooMany {
                what: "prepared statements",
                max: self.max,
            }
            .into());
        }
        let handle = Bytes::copy_from_slice(&rand::random::<[u8; 32]>());
        open.insert(
            handle.clone(),
            Kept {
                principal,
                session,
                prepared,
                used: Instant::now(),
            },
        );
        Ok(handle)
    }

    /// The statement of a handle. Somebody else's is as unknown as one that never was; one that reads tables of a session
    /// is for that session alone.
    pub(super) fn find(&self, handle: &Bytes, caller: &Caller) -> Result<Prepared, Fault> {
        self.with(handle, caller, |prepared| prepared.clone())
    }

    /// Binds parameters, in place of those bound before.
    pub(super) fn bind(
        &self,
        handle: &Bytes,
        caller: &Caller,
        bound: Option<Parameters>,
    ) -> Result<(), Fault> {
        self.with(handle, caller, |prepared| prepared.bound = bound)
    }

    /// Closes a statement; closing one that is not open is fine.
    pub(super) fn close(&self, handle: &Bytes, principal: &str) {
        let mut open = self.open.lock();
        if open
            .get(handle)
            .is_some_and(|kept| *kept.principal == *principal)
        {
            open.remove(handle);
        }
    }

    /// Closes all statements that were prepared in a session.
    pub(super) fn close_session(&self, session: &SessionId) {
        self.open
            .lock()
            .retain(|_, kept| kept.session.as_ref() != Some(session));
    }

    /// Closes what nobody used for long.
    pub(super) fn sweep(&self) {
        self.open
            .lock()
            .retain(|_, kept| kept.used.elapsed() <= self.idle);
    }

    fn with<T>(
        &self,
        handle: &Bytes,
        caller: &Caller,
        use_it: impl FnOnce(&mut Prepared) -> T,
    ) -> Result<T, Fault> {
        let mut open = self.open.lock();
        let kept = open
            .get_mut(handle)
            .filter(|kept| {
                kept.principal == caller.principal.name && kept.used.elapsed() <= self.idle
            })
            .ok_or(Fault::NoSuchStatement)?;
        if kept.prepared.reads_temporary && kept.session.as_ref() != caller.session.id() {
            return Err(Fault::OtherSession);
        }
        kept.used = Instant::now();
        Ok(use_it(&mut kept.prepared))
    }
}
