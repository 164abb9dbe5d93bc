//! A SQL catalog: tables in SQLite or PostgreSQL, as PyIceberg's `SqlCatalog` and Iceberg's JDBC catalog keep them.
//!
//! `iceberg_tables` has a row per table (and per view), `iceberg_namespace_properties` one per property of a namespace;
//! an empty namespace has the property `exists`. Databases from before views lack the column `iceberg_type`.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use landfast_sites::CanonicalUri;

use crate::member::{Levels, Member, Pointer, PointerAnswer, ViewAnswer};
use crate::{CatalogError, CatalogName, Result, SchemaName, SqlSpec, TableName};

mod database;

use database::Database;

/// A SQL catalog as a member.
#[derive(Debug)]
pub(crate) struct SqlMember {
    name: CatalogName,
    /// The value of the column `catalog_name`.
    catalog_name: String,
    database: Database,
}

/// Only tables, where the database tells views from them.
const TABLES_ONLY: &str = " AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";

/// Only views, in a database that tells them from tables.
const VIEWS_ONLY: &str = " AND iceberg_type = 'VIEW'";

impl SqlMember {
    pub(crate) fn new(name: CatalogName, spec: &SqlSpec, timeout: Duration) -> Result<Self> {
        let database = Database::new(name.clone(), &spec.url, spec.create_tables, timeout)?;
        Ok(Self {
            name,
            catalog_name: spec.catalog_name.clone(),
            database,
        })
    }

    async fn tables_only(&self) -> Result<&'static str> {
        Ok(if self.database.has_iceberg_type().await? {
            TABLES_ONLY
        } else {
            ""
        })
    }

    async fn namespace_exists(&self, namespace: &str) -> Result<bool> {
        // Compared by prefix rather than with LIKE, whose wildcards and case rules differ between databases.
        let below = format!("{namespace}.");
        let length = i64::try_from(below.chars().count()).unwrap_or(i64::MAX);
        let query = "SELECT 1 FROM iceberg_tables WHERE catalog_name = $1 \
                     AND (table_namespace = $2 OR substr(table_namespace, 1, CAST($4 AS INTEGER)) = $3) \
                     UNION ALL \
                     SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = $1 \
                     AND (namespace = $2 OR substr(namespace, 1, CAST($4 AS INTEGER)) = $3) LIMIT 1";
        let length = length.to_string();
        let found = self
            .database
            .rows_exist(query, &[&self.catalog_name, namespace, &below, &length])
            .await?;
        Ok(found)
    }

    fn without_location(&self, name: &TableName) -> CatalogError {
        CatalogError::Corrupt {
            table: name.clone(),
            reason: format!("the catalog {} has no metadata location for it", self.name),
        }
    }

    fn no_such_schema(&self, schema: SchemaName) -> CatalogError {
        CatalogError::NoSuchSchema {
            catalog: self.name.clone(),
            schema,
            nearest: Vec::new(),
        }
    }
}

#[async_trait]
impl Member for SqlMember {
    fn kind(&self) -> &'static str {
        self.database.kind()
    }

    async fn namespaces(&self) -> Result<Vec<Levels>> {
        let query = "SELECT table_namespace FROM iceberg_tables WHERE catalog_name = $1 \
                     UNION SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = $1";
        let names: BTreeSet<String> = self
            .database
            .texts(query, &[&self.catalog_name])
            .await?
            .into_iter()
            .flatten()
            .collect();
        Ok(names
            .iter()
            .map(|name| Levels::new(name.split('.').map(str::to_owned).collect()))
            .collect())
    }

    async fn tables(&self, levels: &Levels) -> Result<Vec<String>> {
        let namespace = levels.to_string();
        let query = format!(
            "SELECT table_name FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2{}",
            self.tables_only().await?
        );
        let found = self
            .database
            .texts(&query, &[&self.catalog_name, &namespace])
            .await?;
        if found.is_empty() && !self.namespace_exists(&namespace).await? {
            return Err(self.no_such_schema(SchemaName::new(namespace)?));
        }
        Ok(found.into_iter().flatten().collect())
    }

    async fn views(&self, levels: &Levels) -> Result<Vec<String>> {
        if !self.database.has_iceberg_type().await? {
            return Ok(Vec::new());
        }
        let query = format!(
            "SELECT table_name FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2{VIEWS_ONLY}"
        );
        let values = [self.catalog_name.as_str(), &levels.to_string()];
        let found = self.database.texts(&query, &values).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn view(&self, levels: &Levels, view: &TableName) -> Result<Option<ViewAnswer>> {
        if !self.database.has_iceberg_type().await? {
            return Ok(None);
        }
        let query = format!(
            "SELECT metadata_location FROM iceberg_tables \
             WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3{VIEWS_ONLY}"
        );
        let values = [self.catalog_name.as_str(), &levels.to_string(), &view.table];
        let found = self.database.texts(&query, &values).await?;
        match found.into_iter().next() {
            None => Ok(None),
            Some(None) => Err(self.without_location(view)),
            Some(Some(location)) => Ok(Some(ViewAnswer::At(CanonicalUri::new(location)))),
        }
    }

    async fn pointer(
        &self,
        levels: &Levels,
        table: &TableName,
        _etag: Option<&str>,
    ) -> Result<PointerAnswer> {
        let query = format!(
            "SELECT metadata_location FROM iceberg_tables \
             WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3{}",
            self.tables_only().await?
        );
        let namespace = levels.to_string();
        let found = self
            .database
            .texts(&query, &[&self.catalog_name, &namespace, &table.table])
            .await?;
        match found.into_iter().next() {
            None => Err(CatalogError::NoSuchTable {
                table: table.clone(),
                nearest: Vec::new(),
            }),
            Some(None) => Err(self.without_location(table)),
            Some(Some(location)) => {
                let metadata_location = CanonicalUri::new(location);
                Ok(PointerAnswer::At(
                    Pointer::to_file(metadata_location, None),
                    None,
                ))
            }
        }
    }

    async fn register(
        &self,
        levels: &Levels,
        table: &TableName,
        metadata_location: &CanonicalUri,
    ) -> Result<()> {
        let namespace = levels.to_string();
        if !self.namespace_exists(&namespace).await? {
            return Err(self.no_such_schema(table.schema.clone()));
        }
        let (column, value) = if self.database.has_iceberg_type().await? {
            (", iceberg_type", ", 'TABLE'")
        } else {
            ("", "")
        };
        let query = format!(
            "INSERT INTO iceberg_tables \
             (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location{column}) \
             VALUES ($1, $2, $3, $4, NULL{value})"
        );
        let values = [
            self.catalog_name.as_str(),
            &namespace,
            &table.table,
            metadata_location.as_str(),
        ];
        match self.database.change(&query, &values).await? {
            Some(_) => Ok(()),
            None => Err(CatalogError::Exists {
                what: format!("the table {table}"),
            }),
        }
    }

    async fn drop_table(&self, levels: &Levels, table: &TableName) -> Result<()> {
        let query = format!(
            "DELETE FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3{}",
            self.tables_only().await?
        );
        let namespace = levels.to_string();
        match self
            .database
            .change(&query, &[&self.catalog_name, &namespace, &table.table])
            .await?
        {
            Some(0) => Err(CatalogError::NoSuchTable {
                table: table.clone(),
                nearest: Vec::new(),
            }),
            _ => Ok(()),
        }
    }

    async fn create_schema(&self, levels: &Levels, schema: &SchemaName) -> Result<()> {
        let query = "INSERT INTO iceberg_namespace_properties \
                     (catalog_name, namespace, property_key, property_value) VALUES ($1, $2, 'exists', 'true')";
        match self
            .database
            .change(query, &[&self.catalog_name, &levels.to_string()])
            .await?
        {
            Some(_) => Ok(()),
            None => Err(CatalogError::Exists {
                what: format!("the schema {}.{schema}", self.name),
            }),
        }
    }

    async fn drop_schema(&self, levels: &Levels, schema: &SchemaName) -> Result<()> {
        let namespace = levels.to_string();
        // Views count too: one statement, so that a table made meanwhile is not orphaned.
        let query = "DELETE FROM iceberg_namespace_properties WHERE catalog_name = $1 AND namespace = $2 \
                     AND NOT EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2)";
        let dropped = self
            .database
            .change(query, &[&self.catalog_name, &namespace])
            .await?;
        if dropped != Some(0) {
            return Ok(());
        }
        let tables =
            "SELECT 1 FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2 LIMIT 1";
        if self
            .database
            .rows_exist(tables, &[&self.catalog_name, &namespace])
            .await?
        {
            return Err(CatalogError::NotEmpty {
                catalog: self.name.clone(),
                schema: schema.clone(),
            });
        }
        Err(self.no_such_schema(schema.clone()))
    }

    async fn probe(&self) -> Result<String> {
        let namespaces = self.namespaces().await?.len();
        let columns = if self.database.has_iceberg_type().await? {
            "with iceberg_type"
        } else {
            "without iceberg_type"
        };
        Ok(format!(
            "SQL catalog in {} as {:?} ({columns}): {namespaces} namespaces",
            self.database.kind(),
            self.catalog_name
        ))
    }
}
