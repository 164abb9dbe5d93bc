//! From the tables that a statement names to what they are, each resolved and pinned once.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};

use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionState;
use futures::FutureExt;
use futures::future::try_join_all;
use landfast_catalog::{AsOf, CatalogError, CatalogName, Pin, TableName, TableSnapshot};
use landfast_sites::ReadLog;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::limited::LimitedTable;
use super::metadata_tables::MetadataTable;
use super::names_wanted::{NamesWanted, TableOfTables};
use super::stack::with_room;
use super::target::Target;
use super::temporary::{Temporary, TemporaryTable, is_temporary};
use super::views::{ViewQuery, Within};
use super::{Engine, SYSTEM_CATALOG, information_schema};
use crate::access::Access;
use crate::error::hushed;
use crate::scan::{LakeTable, METADATA_COLUMNS, ScanContext, with_metadata_columns};
use crate::settings::SessionSettings;
use crate::sql::bind::NamedTable;
use crate::types::arrow_schema;
use crate::{Asker, ErrorKind, PlannerError, Result};

/// The schema of Landfast's own tables.
pub(super) const SYSTEM_SCHEMA: &str = "system";

/// A table that a statement names.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) name: TableName,
    pub(super) schema: SchemaRef,
    pub(super) source: Source,
}

/// A table under one of the names that a statement gives it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) written: NamedTable,
    /// The table's own name, spelled as it is, and what the written one adds to it: `orders@audit`.
    pub(super) called: String,
    pub(super) table: Arc<Resolved>,
}

/// Where a table's rows come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A pinned snapshot.
    Lake(Arc<TableSnapshot>),
    /// A table about a pinned snapshot.
    Metadata(MetadataTable, Arc<TableSnapshot>),
    /// A query.
    View(Arc<ViewQuery>),
    /// What the asker's grants give of a table or a view.
    Limited(Arc<LimitedTable>),
    /// A table of the asker's session.
    Temporary(Arc<TemporaryTable>),
    /// A table of `landfast.system`.
    System,
    /// A table of an `information_schema`; of one catalog, or of all for Landfast's own.
    Information(Option<CatalogName>),
}

/// What resolving needs to know of a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolving<'a> {
    pub(super) settings: &'a SessionSettings,
    /// What the asker may do.
    pub(super) access: &'a Access,
    pub(super) pins: &'a [Pin],
    pub(super) log: &'a ReadLog,
    pub(super) resolved: &'a ResolvedSnapshots,
    pub(super) within: Within<'a>,
    /// The tables of the asker's session.
    pub(super) temporary: &'a Temporary,
}

/// The snapshots that a statement has resolved so far.
#[derive(Debug, Default)]
pub(super) struct ResolvedSnapshots {
    cells: Mutex<BTreeMap<(TableName, AsOf), SnapshotCell>>,
    /// How many views the statement has expanded.
    pub(super) views: AtomicUsize,
}

/// A snapshot, once somebody has resolved it.
type SnapshotCell = Arc<OnceCell<Arc<TableSnapshot>>>;

impl ResolvedSnapshots {
    fn cell(&self, name: &TableName, as_of: &AsOf) -> SnapshotCell {
        let mut all = self.cells.lock();
        Arc::clone(all.entry((name.clone(), as_of.clone())).or_default())
    }
}

impl Engine {
    /// Resolves every table that a query names: each distinct version of a table once, all at the same time.
    pub(super) async fn resolve(
        &self,
        written: &[NamedTable],
        how: Resolving<'_>,
    ) -> Result<Vec<Named>> {
        let targets = written.iter().map(|named| async {
            let target = self.target_named(named, how).await;
            target.map_err(|error| error.at(named.position()))
        });
        let targets = try_join_all(targets).await?;
        let mut distinct: BTreeMap<&Target, usize> = BTreeMap::new();
        let mut firsts = Vec::new();
        for (at, (target, _)) in targets.iter().enumerate() {
            distinct.entry(target).or_insert_with(|| {
                firsts.push(at);
                firsts.len() - 1
            });
        }
        let resolved = firsts.iter().map(|at| async {
            let resolved = self.resolve_one(&targets[*at].0, how).await;
            resolved
                .and_then(|table| self.limited(table, how))
                .map(Arc::new)
                .map_err(|error| error.at(written[*at].position()))
        });
        let resolved = try_join_all(resolved).await?;
        Ok(written
            .iter()
            .zip(&targets)
            .filter_map(|(written, (target, called))| {
                let at = *distinct.get(target)?;
                Some(Named {
                    written: written.clone(),
                    called: called.clone(),
                    table: Arc::clone(resolved.get(at)?),
                })
            })
            .collect())
    }

    async fn resolve_one(&self, target: &Target, how: Resolving<'_>) -> Result<Resolved> {
        let name = &target.name;
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
        if is_temporary(name) {
            let table = how.temporary.get(&name.table);
            let table =
                table.ok_or_else(|| super::no_such("table", &name.to_string(), Vec::new()))?;
            return Ok(Resolved {
                name: name.clone(),
                schema: Arc::clone(table.schema()),
                source: Source::Temporary(Arc::clone(table)),
            });
        }
        if name.catalog.as_str() == SYSTEM_CATALOG {
            let schema = self
                .system_table_schemas()
                .into_iter()
                .find(|(table, _)| *table == name.table && how.access.reads_system_table(table))
                .map(|(_, schema)| schema)
                .ok_or_else(|| super::no_such("table", &name.to_string(), Vec::new()))?;
            return Ok(Resolved {
                name: name.clone(),
                schema,
                source: Source::System,
            });
        }
        if target.is_view {
            return self.view(name, how).await;
        }
        let snapshot = match self.snapshot(target, how).await {
            // A view that was made a moment ago is not listed yet.
            Err(error @ PlannerError::NotFound { .. }) if target.may_be_view() => {
                let reading = how.settings.reading();
                return match self.namespace.view(name, reading, how.log).await {
                    Ok(Some(_)) => self.view(name, how).await,
                    _ => Err(error),
                };
            }
            found => found?,
        };
        let (schema, source) = match target.metadata {
            None => (arrow_schema(snapshot.schema())?, Source::Lake(snapshot)),
            Some(table) => (table.schema(&snapshot)?, Source::Metadata(table, snapshot)),
        };
        Ok(Resolved {
            name: name.clone(),
            schema,
            source,
        })
    }

    /// The snapshot of a table that the pins hold; without pins, the one that it stands at. A statement resolves it once,
    /// in however many ways it names it.
    async fn snapshot(&self, target: &Target, how: Resolving<'_>) -> Result<Arc<TableSnapshot>> {
        let cell = how.resolved.cell(&target.name, &target.as_of);
        let found = cell.get_or_try_init(|| async {
            let same = |pin: &&Pin| {
                pin.is_of_table() && pin.table == target.name && pin.as_of == target.as_of
            };
            if let Some(pin) = how.pins.iter().find(same) {
                let resolved = self.namespace.resolve_pinned(pin, how.log).await;
                return resolved.map_err(|error| self.unread(error, &target.name, how.access));
            }
            if !how.pins.is_empty() {
                return Err(PlannerError::of_kind(
                    ErrorKind::FailedPrecondition,
                    format!(
                        "the query reads {}, which it did not when it was planned: a view has changed, run it again",
                        target.name
                    ),
                ));
            }
            let (reading, as_of) = (how.settings.reading(), &target.as_of);
            let resolved = self
                .namespace
                .resolve_as_of(&target.name, as_of, reading, how.log)
                .await;
            resolved.map_err(|error| match error {
                // In the words that a name gets which the asker may not see.
                CatalogError::NoSuchTable { .. } | CatalogError::NoSuchSchema { .. } => {
                    self.no_such_table(&target.name, how.access)
                }
                other => {
                    let seen = self.unread(other, &target.name, how.access);
                    target.blame(seen, how.settings)
                }
            })
        });
        Ok(Arc::clone(found.await?))
    }

    /// A table that can be scanned.
    pub(super) async fn provider(
        &self,
        table: &Resolved,
        extended: bool,
        asker: &Asker,
        context: &Arc<ScanContext>,
        state: &SessionState,
    ) -> Result<Arc<dyn TableProvider>> {
        match &table.source {
            Source::Lake(snapshot) => {
                let listing = self.namespace.manifests(snapshot, &context.log).await?;
                let (snapshot, namespace) = (Arc::clone(snapshot), Arc::clone(&self.namespace));
                let context = Arc::clone(context);
                let lake = LakeTable::listed(snapshot, namespace, listing, context)?;
                Ok(Arc::new(match extended {
                    true => lake.with_metadata_columns(),
                    false => lake,
                }))
            }
            Source::View(view) => {
                let bound = view.bound();
                let tables = bound.distinct();
                let made = tables.iter().map(|table| {
                    let extended = bound.is_extended(table);
                    with_room(Box::pin(
                        self.provider(table, extended, asker, context, state),
                    ))
                });
                let made = try_join_all(made).await?;
                self.view_provider(view, &made, state)
            }
            Source::Limited(limited) => {
                let inner = limited
                    .inner()
                    .ok_or_else(|| PlannerError::internal("a limited table is of no table"))?;
                let policys = limited.hides_rows().then(|| self.policys_state());
                let state = policys.as_ref().unwrap_or(state);
                let inner = Box::pin(self.provider(inner, false, asker, context, state));
                let inner = with_room(inner).await;
                let inner = inner.map_err(|error| hushed(&error, &table.name))?;
                self.limited_provider(limited, &table.name, inner, state)
            }
            Source::Metadata(of, snapshot) => {
                of.provider(&self.namespace, snapshot, &context.log).await
            }
            Source::Temporary(of) => {
                let rows = MemTable::try_new(Arc::clone(&table.schema), vec![of.batches()])?;
                Ok(Arc::new(rows))
            }
            Source::System => {
                let Some(system) = self.system_tables() else {
                    return Ok(Arc::new(EmptyTable::new(Arc::clone(&table.schema))));
                };
                let (name, system) = (table.name.table.clone(), Arc::clone(system));
                let (asker, access) = (asker.clone(), self.access(asker));
                Ok(Arc::new(TableOfTables {
                    schema: Arc::clone(&table.schema),
                    names: system.names(&name),
                    rows: Arc::new(move |wanted: NamesWanted| {
                        let (name, system) = (name.clone(), Arc::clone(&system));
                        let (asker, access) = (asker.clone(), Arc::clone(&access));
                        async move { system.rows(&name, &asker, &access, &wanted).await }.boxed()
                    }),
                }))
            }
            Source::Information(of) => {
                let (name, of) = (table.name.table.clone(), of.clone());
                let (me, asker, log) = (Weak::clone(&self.me), asker.clone(), context.log.clone());
                Ok(Arc::new(TableOfTables {
                    schema: Arc::clone(&table.schema),
                    names: information_schema::names(&name),
                    rows: Arc::new(move |wanted: NamesWanted| {
                        let (me, name, of) = (Weak::clone(&me), name.clone(), of.clone());
                        let (asker, log) = (asker.clone(), log.clone());
                        async move {
                            let Some(engine) = me.upgrade() else {
                                return Err(PlannerError::internal("the engine is gone"));
                            };
                            let rows =
                                engine.information_rows(&name, of.as_ref(), &asker, &wanted, &log);
                            Ok(vec![rows.await?])
                        }
                        .boxed()
                    }),
                }))
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
    pub(super) fn empty(&self, extended: bool) -> Arc<dyn TableProvider> {
        let schema = match extended {
            true => with_metadata_columns(&self.schema),
            false => Arc::clone(&self.schema),
        };
        Arc::new(EmptyTable::new(schema))
    }

    /// The columns that a table of the lake has beside its own, for who names them.
    pub(super) fn metadata_columns(&self) -> Vec<FieldRef> {
        match self.source {
            Source::Lake(_) => METADATA_COLUMNS.to_vec(),
            // Which file a row came from is for those who may read all of the table.
            Source::Limited(_)
            | Source::Metadata(..)
            | Source::View(_)
            | Source::Temporary(_)
            | Source::System
            | Source::Information(_) => Vec::new(),
        }
    }

    /// Columns that can't be read, with their types.
    pub(super) fn unreadable(&self) -> Vec<(String, String)> {
        match &self.source {
            Source::Lake(snapshot) => snapshot
                .unreadable
                .iter()
                .map(|column| (column.name.clone(), column.type_name.clone()))
                .collect(),
            Source::Limited(_)
            | Source::Metadata(..)
            | Source::View(_)
            | Source::Temporary(_)
            | Source::System
            | Source::Information(_) => Vec::new(),
        }
    }

    /// The table of the asker's session that it is, if it is one. Nothing else reads any.
    pub(super) fn temporary(&self) -> Option<&Arc<TemporaryTable>> {
        match &self.source {
            Source::Temporary(table) => Some(table),
            _ => None,
        }
    }

    /// The snapshots that it reads.
    pub(super) fn snapshots(&self) -> Vec<Arc<TableSnapshot>> {
        match &self.source {
            Source::Lake(snapshot) | Source::Metadata(_, snapshot) => vec![Arc::clone(snapshot)],
            Source::View(view) => {
                let tables = view.bound().distinct().into_iter();
                tables.flat_map(|table| table.snapshots()).collect()
            }
            Source::Limited(limited) => {
                let inner = limited.inner().into_iter();
                inner.flat_map(|table| table.snapshots()).collect()
            }
            Source::Temporary(_) | Source::System | Source::Information(_) => Vec::new(),
        }
    }
}
