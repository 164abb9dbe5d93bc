//! Tables that live in a session: put there by its client, held in memory, seen there alone, gone with the session.
//!
//! A statement reads the tables as they are when it is planned; replacing or dropping one changes no answer that is on
//! its way. What tables hold is charged to the memory that queries share, and bounded for each session and for all.
//!
//! # Invariants
//! - A change happens as a whole or not at all: rows are received and charged first, and are then seen at once.
//! - A charge lives as long as the last table or plan that has its rows.
//! - Nobody needs a grant for the tables of their own session, and nobody has one for another's.

mod charge;
mod columns;
mod named;
mod upload;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::sql::sqlparser::ast::Ident;
use landfast_catalog::{AsOf, CatalogName, Pin, SchemaName, TableName};
use landfast_sites::CanonicalUri;
use parking_lot::Mutex;
use uuid::Uuid;

pub(super) use charge::TemporaryLimits;
use charge::{Charge, Room};
pub use upload::{IfMissing, IfThere, Upload};

use super::SYSTEM_CATALOG;
use crate::sql::bind::fits;
use crate::{ErrorKind, PlannerError, Result};

/// The schema that temporary tables are in, in Landfast's own catalog.
pub const TEMPORARY_SCHEMA: &str = "temporary";

/// Tables of one session.
const TABLES_MAX: usize = 256;

/// Tables by their names.
type Tables = BTreeMap<String, Arc<TemporaryTable>>;

/// The temporary tables of every session that has any.
#[derive(Debug)]
pub struct TemporarySpace {
    room: Arc<Room>,
    sessions: Mutex<HashMap<String, Arc<SessionTables>>>,
}

impl TemporarySpace {
    pub(super) fn new(limits: TemporaryLimits, pool: &Arc<dyn MemoryPool>) -> Arc<Self> {
        Arc::new(Self {
            room: Room::new(limits, pool),
            sessions: Mutex::default(),
        })
    }

    /// The tables of the session of this name, which has none yet if it is not known. They are there until
    /// [`SessionTables::end`].
    pub fn open(self: &Arc<Self>, session: &str) -> Arc<SessionTables> {
        let mut sessions = self.sessions.lock();
        let tables = sessions.entry(session.to_owned()).or_insert_with(|| {
            Arc::new(SessionTables {
                session: session.to_owned(),
                space: Arc::downgrade(self),
                room: Arc::clone(&self.room),
                used: Arc::default(),
                state: Mutex::default(),
            })
        });
        Arc::clone(tables)
    }

    /// Bytes that the tables of all sessions hold, and plans that still read what was in them.
    pub fn used_bytes(&self) -> usize {
        self.room.used()
    }

    fn find(&self, session: Option<&str>) -> Option<Arc<SessionTables>> {
        self.sessions.lock().get(session?).cloned()
    }

    /// The tables of a session as they are now.
    pub(super) fn now(&self, session: Option<&str>) -> Temporary {
        let session = self.find(session);
        session.map_or_else(Temporary::default, |session| {
            Temporary(Arc::clone(&session.state.lock().tables))
        })
    }

    /// Drops the table of exactly this name; whether there was one.
    pub(super) fn drop_table(&self, session: Option<&str>, name: &str) -> bool {
        self.find(session)
            .is_some_and(|session| session.drop_table(name))
    }
}

/// The temporary tables of one session.
#[derive(Debug)]
pub struct SessionTables {
    session: String,
    space: Weak<TemporarySpace>,
    room: Arc<Room>,
    /// Bytes that they take.
    used: Arc<AtomicUsize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tables: Arc<Tables>,
    ended: bool,
}

impl SessionTables {
    /// Drops all tables, with the session. Uploads that are under way fail.
    pub fn end(&self) {
        let gone = {
            let mut state = self.state.lock();
            state.ended = true;
            std::mem::take(&mut state.tables)
        };
        // Freed without a lock: that may be much.
        drop(gone);
        if let Some(space) = self.space.upgrade() {
            let mut sessions = space.sessions.lock();
            // Another may have been opened under the name.
            if sessions
                .get(&self.session)
                .is_some_and(|kept| std::ptr::eq(Arc::as_ptr(kept), self))
            {
                sessions.remove(&self.session);
            }
        }
    }

    fn charge(&self) -> Charge {
        Charge::new(&self.room, &self.used)
    }

    fn table(&self, name: &str) -> Option<Arc<TemporaryTable>> {
        self.state.lock().tables.get(name).cloned()
    }

    /// Changes the tables, all at once: `change` is given what there is under a name, and says what is to be there.
    fn change(
        &self,
        name: &TableName,
        change: impl FnOnce(Option<&Arc<TemporaryTable>>) -> Result<TemporaryTable>,
    ) -> Result<()> {
        let before = {
            let mut state = self.state.lock();
            if state.ended {
                return Err(PlannerError::of_kind(
                    ErrorKind::FailedPrecondition,
                    "the session has ended while the rows came, so they are in no table: connect again",
                ));
            }
            let there = state.tables.get(&name.table);
            if there.is_none() && state.tables.len() >= TABLES_MAX {
                return Err(PlannerError::exhausted(format!(
                    "a session may have {TABLES_MAX} temporary tables, and has as many: drop some"
                )));
            }
            let table = Arc::new(change(there)?);
            let mut tables = Tables::clone(&state.tables);
            tables.insert(name.table.clone(), table);
            std::mem::replace(&mut state.tables, Arc::new(tables))
        };
        drop(before);
        Ok(())
    }

    fn drop_table(&self, name: &str) -> bool {
        let mut state = self.state.lock();
        let mut tables = Tables::clone(&state.tables);
        let gone = tables.remove(name);
        if gone.is_some() {
            state.tables = Arc::new(tables);
        }
        drop(state);
        gone.is_some()
    }
}

/// The tables of a session as they were at one moment; none of who has no session.
#[derive(Debug, Clone, Default)]
pub(super) struct Temporary(Arc<Tables>);

impl Temporary {
    /// The table of exactly this name.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<TemporaryTable>> {
        self.0.get(name)
    }

    /// All of them, sorted by name.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<TemporaryTable>> {
        self.0.values()
    }

    /// The table that a written name means.
    ///
    /// # Errors
    /// `InvalidArgument` where it could be several.
    fn fitting(&self, written: &Ident) -> Result<Option<&Arc<TemporaryTable>>> {
        let mut fitting = self.0.values().filter(|table| fits(written, table.name()));
        match (fitting.next(), fitting.next()) {
            (None, _) => Ok(None),
            (Some(one), None) => Ok(Some(one)),
            (Some(one), Some(other)) => Err(PlannerError::invalid(format!(
                "temporary table {} could be \"{}\" or \"{}\": write which in quotes",
                written.value,
                one.name(),
                other.name()
            ))),
        }
    }
}

/// A table as it was at one time.
#[derive(Debug)]
pub(super) struct TemporaryTable {
    name: TableName,
    schema: SchemaRef,
    rows: Vec<Rows>,
    /// What its columns are charged with.
    columns: Arc<Charge>,
    /// Tells its states apart, of all tables that there ever were, anywhere.
    id: Uuid,
}

impl TemporaryTable {
    /// Its own name.
    pub(super) fn name(&self) -> &str {
        &self.name.table
    }

    pub(super) fn full_name(&self) -> &TableName {
        &self.name
    }

    /// Its columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Its rows.
    pub(super) fn batches(&self) -> Vec<RecordBatch> {
        self.rows.iter().map(|rows| rows.batch.clone()).collect()
    }

    /// Names this state of it in a ticket, which carries none of its rows.
    pub(super) fn pin(&self) -> Pin {
        Pin {
            table: self.name.clone(),
            uuid: self.id,
            metadata_location: CanonicalUri::new(""),
            snapshot_id: None,
            as_of: AsOf::Current,
            view_version: None,
        }
    }
}

/// Some rows of a table, and what they are charged with.
#[derive(Debug, Clone)]
struct Rows {
    batch: RecordBatch,
    charge: Arc<Charge>,
}

/// The full name of a temporary table.
///
/// # Errors
/// `InvalidArgument` for what can't be a table's name.
fn full_name(table: &str) -> Result<TableName> {
    let schema = SchemaName::new(TEMPORARY_SCHEMA)?;
    Ok(TableName::new(
        CatalogName::new(SYSTEM_CATALOG)?,
        schema,
        table,
    )?)
}

/// Whether a table is some session's.
pub(super) fn is_temporary(name: &TableName) -> bool {
    name.catalog.as_str() == SYSTEM_CATALOG && name.schema.as_str() == TEMPORARY_SCHEMA
}
