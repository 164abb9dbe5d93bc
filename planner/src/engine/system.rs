//! The tables that the process has about itself.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use super::names_wanted::{NameColumns, NamesWanted};
use crate::{Access, Asker, PlannerError, Result};

/// The tables of `landfast.system`, which whoever runs the engine provides.
#[async_trait]
pub trait SystemTables: Send + Sync {
    /// Their names and schemas; always the same.
    fn tables(&self) -> Vec<(&'static str, SchemaRef)>;

    /// The columns of one of them that name a table of the lake, where its rows are each about one: what a query says of
    /// those columns is known before the rows are made.
    fn names(&self, _table: &str) -> Option<NameColumns> {
        None
    }

    /// The rows of one of them that this asker may see; those about tables that are not wanted may be left out.
    async fn rows(
        &self,
        table: &str,
        asker: &Asker,
        access: &Access,
        wanted: &NamesWanted,
    ) -> Result<Vec<RecordBatch>>;

    /// Cancels a query by its id, and says whether it was this call that did. Whoever may not see the query is told that
    /// there is none.
    async fn cancel(&self, query: &str, asker: &Asker, access: &Access) -> Result<bool> {
        let _ = (asker, access);
        Err(PlannerError::not_found(
            format!("there is no query {query:?}"),
            Vec::new(),
        ))
    }
}
