//! What there is: catalogs, schemas and tables, Landfast's own among them, for metadata commands and listings.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use landfast_catalog::ListingWarning;
use landfast_sites::ReadLog;

use super::conform::statement_schema;
use super::tables::{Resolved, ResolvedSnapshots, Resolving, SYSTEM_SCHEMA};
use super::views::Within;
use super::{Engine, information_schema};
use crate::settings::{SessionSettings, WireTypes};
use crate::sql::bind::NamedTable;
use crate::{Asker, Result};

/// The catalog of Landfast's own tables.
pub const SYSTEM_CATALOG: &str = landfast_catalog::RESERVED_CATALOG;

/// What kind of table an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableKind {
    /// A table of the lake.
    Table,
    /// A table that Landfast has about itself or its catalogs.
    System,
    /// A query of a catalog.
    View,
}

impl TableKind {
    /// The kind as JDBC names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::System => "SYSTEM TABLE",
            Self::View => "VIEW",
        }
    }
}

/// A table that is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableEntry {
    /// Its catalog.
    pub catalog: String,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// What kind it is.
    pub kind: TableKind,
}

/// All there is, as far as members answer.
#[derive(Debug, Clone, Default)]
pub struct CatalogEntries {
    /// Catalogs, sorted.
    pub catalogs: Vec<String>,
    /// Catalogs and their schemas, sorted.
    pub schemas: Vec<(String, String)>,
    /// Tables, sorted.
    pub tables: Vec<TableEntry>,
    /// What may be missing or old.
    pub warnings: Vec<ListingWarning>,
}

impl Engine {
    /// The catalogs, sorted, `landfast` among them.
    pub fn catalogs(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .namespace
            .catalogs()
            .iter()
            .map(ToString::to_string)
            .collect();
        all.push(SYSTEM_CATALOG.to_string());
        all.sort();
        all
    }

    /// Everything that `asker` may see. A member that is slow or down holds up nothing: it shows among the warnings.
    pub async fn entries(&self, _asker: &Asker) -> CatalogEntries {
        let listing = self.namespace.listing().await;
        let catalogs = self.catalogs();
        let mut schemas: Vec<(String, String)> = listing
            .schemas
            .iter()
            .map(|(catalog, schema)| (catalog.to_string(), schema.to_string()))
            .collect();
        let mut tables: Vec<TableEntry> = listing
            .entries
            .iter()
            .map(|entry| TableEntry {
                catalog: entry.catalog.to_string(),
                schema: entry.schema.to_string(),
                table: entry.table.clone(),
                kind: TableKind::Table,
            })
            .collect();
        tables.extend(listing.views.iter().map(|view| TableEntry {
            catalog: view.catalog.to_string(),
            schema: view.schema.to_string(),
            table: view.table.clone(),
            kind: TableKind::View,
        }));
        let own = |catalog: &str, schema: &str, table: &str| TableEntry {
            catalog: catalog.to_string(),
            schema: schema.to_string(),
            table: table.to_string(),
            kind: TableKind::System,
        };
        for catalog in &catalogs {
            schemas.push((catalog.clone(), information_schema::NAME.to_string()));
            tables.extend(
                information_schema::TABLES
                    .iter()
                    .map(|table| own(catalog, information_schema::NAME, table)),
            );
        }
        schemas.push((SYSTEM_CATALOG.to_string(), SYSTEM_SCHEMA.to_string()));
        tables.extend(
            self.system_table_schemas()
                .iter()
                .map(|(table, _)| own(SYSTEM_CATALOG, SYSTEM_SCHEMA, table)),
        );
        schemas.sort();
        schemas.dedup();
        tables.sort();
        tables.dedup();
        CatalogEntries {
            catalogs,
            schemas,
            tables,
            warnings: listing.warnings,
        }
    }

    /// The columns of each of these tables, in their order; none of one whose columns can't be had now. Of few tables they
    /// are as old as sessions accept by default; of many, as they were last seen, and looked up again behind the scenes.
    pub async fn table_schemas(
        &self,
        tables: Vec<TableEntry>,
        _asker: &Asker,
    ) -> Vec<(TableEntry, Option<SchemaRef>)> {
        let found = self.columns_of(tables, &ReadLog::new()).await.into_iter();
        found
            .map(|(entry, schema)| {
                (
                    entry,
                    schema.map(|schema| statement_schema(&schema, WireTypes::Compatible)),
                )
            })
            .collect()
    }

    /// A table as a statement names it.
    pub(super) async fn named_table(
        &self,
        named: &NamedTable,
        settings: &SessionSettings,
    ) -> Result<Arc<Resolved>> {
        let log = ReadLog::new();
        let how = Resolving {
            settings,
            pins: &[],
            log: &log,
            resolved: &ResolvedSnapshots::default(),
            within: Within::default(),
        };
        let resolved = self.resolve(std::slice::from_ref(named), how).await?;
        match resolved.first() {
            Some(named) => Ok(Arc::clone(&named.table)),
            None => {
                Err(super::no_such("table", &named.name.to_string(), Vec::new())
                    .at(named.position()))
            }
        }
    }
}
