//! From the tables that a statement names to what they are, each resolved and pinned once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use futures::future::try_join_all;
use landfast_catalog::{CatalogName, Pin, SchemaName, TableName, TableSnapshot};
use landfast_sites::ReadLog;

use super::{Engine, SYSTEM_CATALOG, information_schema};
use crate::error::nearest;
use crate::scan::{LakeTable, ScanContext};
use crate::settings::SessionSettings;
use crate::sql::bind::fits;
use crate::sql::refuse::place;
use crate::types::arrow_schema;
use crate::{Asker, PlannerError, Result};

/// The schema of Landfast's own tables.
pub(super) const SYSTEM_SCHEMA: &str = "system";

/// A table that a statement names.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) name: TableName,
    pub(super) schema: SchemaRef,
    pub(super) source: Source,
}

/// Where a table's rows come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A pinned snapshot.
    Lake(Arc<TableSnapshot>),
    /// A table of `landfast.system`.
    System,
    /// A table of an `information_schema`; of one catalog, or of all for Landfast's own.
    Information(Option<CatalogName>),
}

/// What resolving needs to know of a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolving<'a> {
    pub(super) settings: &'a SessionSettings,
    pub(super) pins: &'a [Pin],
    pub(super) log: &'a ReadLog,
}

impl Engine {
    /// Resolves every table that a query names: each distinct table once, all at the same time.
    pub(super) async fn resolve(
        &self,
        written: &[ObjectName],
        how: Resolving<'_>,
    ) -> Result<Vec<(ObjectName, Arc<Resolved>)>> {
        let names = try_join_all(written.iter().map(|name| self.table_named(name, how))).await?;
        let mut distinct: BTreeMap<TableName, usize> = BTreeMap::new();
        let mut firsts = Vec::new();
        for (at, name) in names.iter().enumerate() {
            if !distinct.contains_key(name) {
                distinct.insert(name.clone(), firsts.len());
                firsts.push(at);
            }
        }
        let resolved = try_join_all(firsts.iter().map(|at| async {
            let at = *at;
            let position = written[at]
                .0
                .first()
                .and_then(|part| part.as_ident())
                .and_then(|ident| place(ident.span));
            self.resolve_one(&names[at], how)
                .await
                .map(Arc::new)
                .map_err(|error| error.at(position))
        }))
        .await?;
        Ok(written
            .iter()
            .zip(&names)
            .filter_map(|(written, name)| {
                Some((
                    written.clone(),
                    Arc::clone(resolved.get(*distinct.get(name)?)?),
                ))
            })
            .collect())
    }

    /// The table that a name of one, two or three parts (or more, for nested schemas) means.
    pub(super) async fn table_named(
        &self,
        written: &ObjectName,
        how: Resolving<'_>,
    ) -> Result<TableName> {
        let parts = idents(written)?;
        let (catalog, schema, table) = self.with_defaults(&parts, how.settings)?;
        let mut pinned = how.pins.iter().filter(|pin| {
            fits(&catalog, pin.table.catalog.as_str())
                && fits(&schema, pin.table.schema.as_str())
                && fits(&table, &pin.table.table)
        });
        if let (Some(pin), None) = (pinned.next(), pinned.next()) {
            return Ok(pin.table.clone());
        }
        let catalog = self.names.catalog(&catalog)?;
        if fits(&schema, information_schema::NAME) {
            return named(
                catalog,
                SchemaName::new(information_schema::NAME)?,
                &table,
                &information_schema::TABLES,
            );
        }
        if catalog.as_str() == SYSTEM_CATALOG {
            if !fits(&schema, SYSTEM_SCHEMA) {
                return Err(super::no_such(
                    "schema",
                    &format!("{catalog}.{}", schema.value),
                    vec![
                        SYSTEM_SCHEMA.to_string(),
                        information_schema::NAME.to_string(),
                    ],
                )
                .at(place(schema.span)));
            }
            let tables: Vec<&str> = self
                .system_table_schemas()
                .iter()
                .map(|(name, _)| *name)
                .collect();
            return named(catalog, SchemaName::new(SYSTEM_SCHEMA)?, &table, &tables);
        }
        let schema = self.names.schema(&catalog, &schema).await?;
        let table = self.names.table(&catalog, &schema, &table).await?;
        Ok(TableName::new(catalog, schema, table)?)
    }

    /// Fills in what a name leaves out.
    pub(super) fn with_defaults(
        &self,
        parts: &[Ident],
        settings: &SessionSettings,
    ) -> Result<(Ident, Ident, Ident)> {
        let exact = |name: &str| Ident::with_quote('"', name);
        match parts {
            [] => Err(PlannerError::invalid("a table's name is empty")),
            [table] => match (
                self.default_catalog(settings),
                self.default_schema(settings),
            ) {
                (Some(catalog), Some(schema)) => Ok((
                    exact(catalog.as_str()),
                    exact(schema.as_str()),
                    table.clone(),
                )),
                _ => Err(self.unqualified(table)),
            },
            [schema, table] => {
                let catalog = match self.default_catalog(settings) {
                    Some(catalog) => catalog.to_string(),
                    None if fits(schema, information_schema::NAME) => SYSTEM_CATALOG.to_string(),
                    None => {
                        return Err(PlannerError::invalid(format!(
                            "there is no default catalog for {}.{}: write catalog.schema.table, or SET landfast.catalog",
                            schema.value, table.value
                        ))
                        .at(place(schema.span)));
                    }
                };
                Ok((exact(&catalog), schema.clone(), table.clone()))
            }
            [catalog, schema, table] => Ok((catalog.clone(), schema.clone(), table.clone())),
            [catalog, levels @ .., table] => {
                // A nested schema, written without its quotes.
                let quoted = levels.iter().any(|level| level.quote_style.is_some());
                let joined = levels
                    .iter()
                    .map(|level| level.value.as_str())
                    .collect::<Vec<_>>()
                    .join(".");
                let schema = Ident {
                    value: joined,
                    quote_style: if quoted { Some('"') } else { None },
                    span: levels[0].span,
                };
                Ok((catalog.clone(), schema, table.clone()))
            }
        }
    }

    /// A bare table name where no schema is set: the error says where there are tables of that name.
    fn unqualified(&self, table: &Ident) -> PlannerError {
        let listing = self.namespace.cached_listing();
        let same: Vec<String> = listing
            .entries
            .iter()
            .filter(|entry| fits(table, &entry.table))
            .take(3)
            .map(ToString::to_string)
            .collect();
        PlannerError::not_found(
            format!(
                "there is no table {}: no default schema is set (write catalog.schema.table, or SET landfast.schema)",
                table.value
            ),
            same,
        )
        .at(place(table.span))
    }

    async fn resolve_one(&self, name: &TableName, how: Resolving<'_>) -> Result<Resolved> {
        if name.schema.as_str() == information_schema::NAME {
            let schema = information_schema::schema(&name.table)
                .ok_or_else(|| super::no_such("table", &name.to_string(), Vec::new()))?;
            let of = (name.catalog.as_str() != SYSTEM_CATALOG).then(|| name.catalog.clone());
            return Ok(Resolved {
                name: name.clone(),
                schema,
                source: Source::Information(of),
            });
        }
        if name.catalog.as_str() == SYSTEM_CATALOG {
            let schema = self
                .system_table_schemas()
                .into_iter()
                .find(|(table, _)| *table == name.table)
                .map(|(_, schema)| schema)
                .ok_or_else(|| super::no_such("table", &name.to_string(), Vec::new()))?;
            return Ok(Resolved {
                name: name.clone(),
                schema,
                source: Source::System,
            });
        }
        let pin = how.pins.iter().find(|pin| pin.table == *name);
        let snapshot = match pin {
            Some(pin) => self.namespace.resolve_pinned(pin, how.log).await?,
            None => {
                self.namespace
                    .resolve(name, how.settings.reading(), how.log)
                    .await?
            }
        };
        let schema = arrow_schema(snapshot.schema())?;
        Ok(Resolved {
            name: name.clone(),
            schema,
            source: Source::Lake(snapshot),
        })
    }

    /// A table that can be scanned.
    pub(super) async fn provider(
        &self,
        table: &Resolved,
        asker: &Asker,
        context: &Arc<ScanContext>,
    ) -> Result<Arc<dyn TableProvider>> {
        match &table.source {
            Source::Lake(snapshot) => {
                let listing = self.namespace.manifests(snapshot, &context.log).await?;
                let (snapshot, namespace) = (Arc::clone(snapshot), Arc::clone(&self.namespace));
                Ok(Arc::new(LakeTable::listed(
                    snapshot,
                    namespace,
                    listing,
                    Arc::clone(context),
                )?))
            }
            Source::System => {
                let Some(system) = self.system_tables() else {
                    return Ok(Arc::new(EmptyTable::new(Arc::clone(&table.schema))));
                };
                rows(&table.schema, system.rows(&table.name.table, asker).await?)
            }
            Source::Information(of) => {
                let batch = self
                    .information_rows(&table.name.table, of.as_ref(), asker, &context.log)
                    .await?;
                rows(&table.schema, vec![batch])
            }
        }
    }

    pub(super) fn system_table_schemas(&self) -> Vec<(&'static str, SchemaRef)> {
        self.system_tables()
            .map(|system| system.tables())
            .unwrap_or_default()
    }
}

impl Resolved {
    /// A table of the right columns without rows, for finding out what a statement gives.
    pub(super) fn empty(&self) -> Arc<dyn TableProvider> {
        Arc::new(EmptyTable::new(Arc::clone(&self.schema)))
    }

    pub(super) fn snapshot(&self) -> Option<&Arc<TableSnapshot>> {
        match &self.source {
            Source::Lake(snapshot) => Some(snapshot),
            Source::System | Source::Information(_) => None,
        }
    }
}

fn rows(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(
        Arc::clone(schema),
        vec![batches],
    )?))
}

/// The parts of a name; a part that is a function call is none.
pub(super) fn idents(name: &ObjectName) -> Result<Vec<Ident>> {
    name.0
        .iter()
        .map(|part| part.as_ident().cloned())
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| PlannerError::invalid(format!("{name} is no table's name")))
}

fn named(
    catalog: CatalogName,
    schema: SchemaName,
    written: &Ident,
    tables: &[&str],
) -> Result<TableName> {
    let found = tables
        .iter()
        .find(|table| fits(written, table))
        .ok_or_else(|| {
            super::no_such(
                "table",
                &format!("{catalog}.{schema}.{}", written.value),
                nearest(&written.value, tables.iter().copied()),
            )
            .at(place(written.span))
        })?;
    Ok(TableName::new(catalog, schema, *found)?)
}
