//! The tables that Landfast tells about itself in: `landfast.system.*`.
//!
//! Each is a snapshot of the moment it is asked. A user sees their own queries, and those of others where that is granted;
//! tables and catalogs as far as grants give them, and what is stored of a table where all of it may be read.

mod columns;
mod details;
mod lake;
mod queries;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use landfast_catalog::{Namespace, TableName};
use landfast_planner::{
    Access, Asker, ErrorKind, NameColumns, NamesWanted, PlannerError, SystemTables,
};
use landfast_sites::Sites;

use crate::queries::{Canceller, Cancelling, QueryId, QueryRegistry};

/// Each table's name and shape, sorted by name.
pub fn tables() -> Vec<(&'static str, SchemaRef)> {
    vec![
        ("catalogs", lake::catalogs_schema()),
        ("last_query", queries::queries_schema()),
        ("queries", queries::queries_schema()),
        ("query_reads", queries::reads_schema()),
        ("sites", lake::sites_schema()),
        ("table_details", details::schema()),
        ("tables", lake::tables_schema()),
    ]
}

/// What the tables tell about.
#[derive(Debug)]
pub struct SystemCatalog {
    sites: Arc<Sites>,
    namespace: Arc<Namespace>,
    queries: Arc<QueryRegistry>,
}

impl SystemCatalog {
    /// Tables about these.
    pub fn new(
        sites: Arc<Sites>,
        namespace: Arc<Namespace>,
        queries: Arc<QueryRegistry>,
    ) -> Arc<Self> {
        Arc::new(Self {
            sites,
            namespace,
            queries,
        })
    }
}

impl SystemCatalog {
    /// The tables that a query wants to hear of and that its asker may, sorted.
    async fn wanted(
        &self,
        wanted: &NamesWanted,
        granted: impl Fn(&TableName) -> bool,
    ) -> Result<Vec<TableName>, PlannerError> {
        let mut names = self.namespace.listing().await.entries;
        names.retain(granted);
        names.sort();
        wanted.of(names, |name| {
            [
                name.catalog.to_string(),
                name.schema.to_string(),
                name.table.clone(),
            ]
        })
    }
}

#[async_trait]
impl SystemTables for SystemCatalog {
    fn tables(&self) -> Vec<(&'static str, SchemaRef)> {
        tables()
    }

    fn names(&self, table: &str) -> Option<NameColumns> {
        matches!(table, "tables" | "table_details").then_some(["catalog", "schema", "table"])
    }

    async fn rows(
        &self,
        table: &str,
        asker: &Asker,
        access: &Access,
        wanted: &NamesWanted,
    ) -> Result<Vec<RecordBatch>, PlannerError> {
        let batch = match table {
            "catalogs" => lake::catalogs(&self.namespace, access),
            "last_query" => queries::last_query(&self.queries, asker),
            "queries" => queries::queries(&self.queries, access),
            "query_reads" => queries::reads(&self.queries, access),
            "sites" => lake::sites(&self.sites, access),
            "table_details" => {
                let names = self.wanted(wanted, |name| access.reads_whole(name)).await?;
                details::details(&self.namespace, names).await
            }
            "tables" => {
                let names = self.wanted(wanted, |name| access.sees_table(name)).await?;
                lake::tables(&self.namespace, names, access).await
            }
            other => {
                return Err(PlannerError::not_found(
                    format!("no table landfast.system.{other}"),
                    Vec::new(),
                ));
            }
        };
        Ok(vec![batch.map_err(PlannerError::from)?])
    }

    async fn cancel(
        &self,
        query: &str,
        asker: &Asker,
        access: &Access,
    ) -> Result<bool, PlannerError> {
        let by = Canceller {
            principal: &asker.principal,
            access,
        };
        let found = match query.parse::<QueryId>() {
            Ok(id) => self.queries.cancel(id, by).await,
            Err(_) => Cancelling::Unknown,
        };
        match found {
            Cancelling::Cancelled | Cancelling::UnderWay => Ok(true),
            Cancelling::Before => Ok(false),
            Cancelling::NotCancellable => Err(PlannerError::of_kind(
                ErrorKind::FailedPrecondition,
                format!("the query {query} has ended, or changes something and runs to its end"),
            )),
            Cancelling::Unknown => Err(PlannerError::not_found(
                format!("there is no query {query:?}: landfast.system.queries has those there are"),
                Vec::new(),
            )),
        }
    }
}
