//! Which temporary table a written name means, if it means one.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Ident, ObjectName};

use super::super::tables::Resolving;
use super::super::target::idents;
use super::{SYSTEM_CATALOG, TEMPORARY_SCHEMA, Temporary, TemporaryTable, is_temporary};
use crate::sql::bind::fits;
use crate::sql::refuse::place;
use crate::{ErrorKind, PlannerError, Result};

impl Temporary {
    /// The table that a name means: its own, `temporary.t` or `landfast.temporary.t`. A temporary table goes before a
    /// table of the lake.
    ///
    /// # Errors
    /// `InvalidArgument` where it could be several.
    pub(in crate::engine) fn named(
        &self,
        name: &ObjectName,
    ) -> Result<Option<&Arc<TemporaryTable>>> {
        match own_name(&idents(name)?) {
            Some(written) => {
                let found = self.fitting(written);
                found.map_err(|error| error.at(place(written.span)))
            }
            None => Ok(None),
        }
    }

    /// The same for a statement: one that is planned again reads what it read, or nothing. Views see no session's tables.
    ///
    /// # Errors
    /// `FailedPrecondition` where the table is another than when the statement was planned, or another session's.
    pub(in crate::engine) fn named_in(
        &self,
        name: &ObjectName,
        how: Resolving<'_>,
    ) -> Result<Option<Arc<TemporaryTable>>> {
        if how.within.is_in_view() {
            return Ok(None);
        }
        if how.pins.is_empty() {
            return Ok(self.named(name)?.cloned());
        }
        let parts = idents(name)?;
        let Some(written) = own_name(&parts) else {
            return Ok(None);
        };
        let mut pinned = how.pins.iter().filter(|pin| is_temporary(&pin.table));
        let Some(pin) = pinned.find(|pin| fits(written, &pin.table.table)) else {
            return Ok(None);
        };
        match self.get(&pin.table.table) {
            Some(table) if table.id == pin.uuid => Ok(Some(Arc::clone(table))),
            _ => Err(PlannerError::of_kind(
                ErrorKind::FailedPrecondition,
                format!(
                    "the temporary table {} was changed or dropped since the query was planned, or is another \
                     session's: run the query again in the session that has the table",
                    pin.table.table
                ),
            )),
        }
    }
}

/// The part of a name that may be a temporary table's own.
fn own_name(parts: &[Ident]) -> Option<&Ident> {
    match parts {
        [table] => Some(table),
        [schema, table] if fits(schema, TEMPORARY_SCHEMA) => Some(table),
        [catalog, schema, table]
            if fits(catalog, SYSTEM_CATALOG) && fits(schema, TEMPORARY_SCHEMA) =>
        {
            Some(table)
        }
        _ => None,
    }
}
