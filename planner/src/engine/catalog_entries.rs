//! What there is: catalogs, schemas and tables, Landfast's own among them, for metadata commands and listings.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use landfast_catalog::ListingWarning;
use landfast_sites::ReadLog;

use super::conform::statement_schema;
use super::tables::{Resolved, ResolvedSnapshots, Resolving, SYSTEM_SCHEMA};
use super::temporary::Temporary;
use super::views::Within;
use super::{Engine, information_schema};
use crate::access::Access;
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
    /// A table of the asker's session.
    Temporary,
}

impl TableKind {
    /// The kind as JDBC names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::System => "SYSTEM TABLE",
            Self::View => "VIEW",
            Self::Temporary => "LOCAL TEMPORARY",
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
    /// The catalogs that `asker` may see, sorted, `landfast` among them.
    pub fn catalogs(&self, asker: &Asker) -> Vec<String> {
        self.catalogs_seen(&self.access(asker))
    }

    fn catalogs_seen(&self, access: &Access) -> Vec<String> {
        let mut all: Vec<String> = self
            .namespace
            .catalogs()
            .iter()
            .filter(|catalog| access.sees_catalog(catalog))
            .map(ToString::to_string)
            .collect();
        all.push(SYSTEM_CATALOG.to_string());
        all.sort();
        all
    }

    /// Everything that `asker` may see, the tables of their session among it. A member that is slow or down holds up nothing: it shows among the warnings.
    pub async fn entries(&self, asker: &Asker) -> CatalogEntries {
        let access = self.access(asker);
        let listing = self.namespace.listing().await;
        let catalogs = self.catalogs_seen(&access);
        let mut schemas: Vec<(String, String)> = listing
            .schemas
            .iter()
            .filter(|(catalog, schema)| access.sees_schema(catalog, schema))
            .map(|(catalog, schema)| (catalog.to_string(), schema.to_string()))
            .collect();
        let mut tables: Vec<TableEntry> = listing
            .entries
            .iter()
            .filter(|entry| access.sees_table(entry))
            .map(|entry| TableEntry {
                catalog: entry.catalog.to_string(),
                schema: entry.schema.to_string(),
                table: entry.table.clone(),
                kind: TableKind::Table,
            })
            .collect();
        let views = listing.views.iter().filter(|view| access.sees_table(view));
        tables.extend(views.map(|view| TableEntry {
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
                .filter(|(table, _)| access.reads_system_table(table))
                .map(|(table, _)| own(SYSTEM_CATALOG, SYSTEM_SCHEMA, table)),
        );
        for table in self.temporary_of(asker).all() {
            let name = table.full_name();
            schemas.push((name.catalog.to_string(), name.schema.to_string()));
            tables.push(TableEntry {
                catalog: name.catalog.to_string(),
                schema: name.schema.to_string(),
                table: name.table.clone(),
                kind: TableKind::Temporary,
            });
        }
        schemas.sort();
        schemas.dedup();
        tables.sort();
        tables.dedup();
        CatalogEntries {
            catalogs,
            schemas,
            tables,
            warnings: listing
                .warnings
                .into_iter()
                .filter(|warning| access.sees_catalog(&warning.catalog))
                .collect(),
        }
    }

    /// The columns of each of these tables that `asker` may read, in their order; none of one whose columns can't be had now. Of few tables they
    /// are as old as sessions accept by default; of many, as they were last seen, and looked up again behind the scenes.
    pub async fn table_schemas(
        &self,
        tables: Vec<TableEntry>,
        asker: &Asker,
    ) -> Vec<(TableEntry, Option<SchemaRef>)> {
        let access = self.access(asker);
        let temporary = self.temporary_of(asker);
        let found = self
            .columns_of(tables, &access, &temporary, &ReadLog::new())
            .await;
        let found = found.into_iter();
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
        access: &Access,
        temporary: &Temporary,
    ) -> Result<Arc<Resolved>> {
        let log = ReadLog::new();
        let how = Resolving {
            settings,
            access,
            pins: &[],
            log: &log,
            resolved: &ResolvedSnapshots::default(),
            within: Within::default(),
            temporary,
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
