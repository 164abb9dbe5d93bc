//! From the tables that a Substrait plan names to what they are.
//!
//! A plan's names were written by a planner, which had them from a user: one may spell them as the catalog does, another
//! knows but capitals. So each is looked for as a quoted name first, and as an unquoted one where that finds nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Ident, ObjectName};

use super::Engine;
use super::logical::Bound;
use super::tables::{Named, Resolving};
use crate::sql::bind::NamedTable;
use crate::substrait::SubstraitPlan;
use crate::{PlannerError, Result};

impl Engine {
    /// Resolves every table of a plan, as a statement's tables are.
    pub(super) async fn bind_plan(
        &self,
        plan: &Arc<SubstraitPlan>,
        how: Resolving<'_>,
    ) -> Result<Bound> {
        let named = |quote: Option<char>| {
            let tables = plan.tables().iter();
            tables.map(|names| named(names, quote)).collect::<Vec<_>>()
        };
        let tables = match self.resolve(&named(Some('"')), how).await {
            // A name that is none of those that were pinned is unknown, too.
            Err(PlannerError::NotFound { .. } | PlannerError::FailedPrecondition { .. }) => {
                self.resolve(&named(None), how).await
            }
            resolved => resolved,
        };
        let tables = tables.map_err(|error| plan.explain(error))?;
        let extended = extended(plan, &tables);
        Ok(Bound::of_plan(Arc::clone(plan), tables, extended))
    }
}

fn named(names: &[String], quote: Option<char>) -> NamedTable {
    let idents = names.iter().map(|name| Ident {
        quote_style: quote,
        ..Ident::new(name)
    });
    NamedTable {
        name: ObjectName::from(idents.collect::<Vec<_>>()),
        version: None,
    }
}

/// The tables of which a plan expects metadata columns beside their own.
fn extended(plan: &SubstraitPlan, tables: &[Named]) -> BTreeSet<usize> {
    let mut extended = BTreeSet::new();
    for (at, (names, named)) in plan.tables().iter().zip(tables).enumerate() {
        let own = &named.table.schema;
        let more = named.table.metadata_columns();
        let expected = plan.columns_of(names);
        let is_more = |name: &&str| {
            own.field_with_name(name).is_err() && more.iter().any(|column| column.name() == name)
        };
        if expected.iter().any(is_more) {
            // However a table is written, the engine sees it once.
            let same = |other: &usize| Arc::ptr_eq(&tables[*other].table, &tables[at].table);
            extended.extend((0..tables.len()).filter(same));
        }
    }
    extended
}
