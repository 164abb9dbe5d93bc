//! The columns of many tables at once, for listings: what is known is given at once, what isn't is looked up for a
//! while, and what was not confirmed lately is looked up again when nobody waits.
//!
//! Tables' metadata is megabytes where their columns are a few hundred bytes: only those are kept here, so that a listing
//! of thousands of tables asks nobody. A member that is down leaves what is known of its tables as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::datatypes::{Field, Schema, SchemaRef};
use futures::{StreamExt, stream};
use landfast_catalog::{CatalogName, MemberStatus, Namespace, Reading, SchemaName, TableName};
use landfast_sites::{CanonicalUri, ReadLog};
use moka::future::Cache;

use super::catalog_entries::{SYSTEM_CATALOG, TableEntry, TableKind};
use super::temporary::Temporary;
use super::{Engine, information_schema};
use crate::access::{Access, TableAccess};
use crate::types::arrow_schema;

/// As many tables as these are looked up as a query would: whoever asks for one table wants it as it is now.
const FEW: usize = 32;
/// How long looking up few may take, whatever hangs.
const FEW_TIME: Duration = Duration::from_secs(5);
/// How long looking up many may take in the foreground; the rest follows in the background.
const LOOK_UPS_TIME: Duration = Duration::from_secs(30);
/// How many at the same time.
const LOOK_UPS_AT_ONCE: usize = 32;
/// Of what nobody waits for, how many at the same time.
const REFRESHES_AT_ONCE: usize = 4;
/// What was confirmed within this time is not looked up again.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// The oldest pointer that counts as known.
const KNOWN: Duration = Duration::from_secs(24 * 60 * 60);
/// What a column takes in memory, its name aside.
const COLUMN_BYTES: usize = 192;
/// What an entry takes besides its columns.
const ENTRY_BYTES: usize = 320;

/// The columns of tables, as they were last seen, weighed in bytes.
#[derive(Debug)]
pub struct TableColumns {
    namespace: Arc<Namespace>,
    known: Cache<TableName, Known>,
    /// Whether a look-up in the background is under way: one is enough.
    refreshing: AtomicBool,
}

/// Columns, and the metadata file that has them.
#[derive(Debug, Clone)]
struct Known {
    metadata: CanonicalUri,
    schema: SchemaRef,
}

impl TableColumns {
    /// Nothing known yet, and at most so many bytes ever.
    pub(super) fn new(namespace: Arc<Namespace>, capacity_bytes: u64) -> Arc<Self> {
        let weigh = |name: &TableName, known: &Known| {
            let columns = known.schema.flattened_fields();
            let names: usize = columns.iter().map(|field| field.name().len()).sum();
            let bytes = ENTRY_BYTES + 2 * name.table.len() + names + COLUMN_BYTES * columns.len();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let known = Cache::builder()
            .max_capacity(capacity_bytes)
            .weigher(weigh)
            .build();
        Arc::new(Self {
            namespace,
            known,
            refreshing: AtomicBool::new(false),
        })
    }

    /// Tables whose columns are held, about.
    pub fn entries(&self) -> u64 {
        self.known.entry_count()
    }

    /// Bytes held, about.
    pub fn held_bytes(&self) -> u64 {
        self.known.weighted_size()
    }

    /// What is known of a table, and whether it was confirmed lately; asks nobody.
    async fn now(&self, name: &TableName, kind: TableKind) -> Option<(SchemaRef, bool)> {
        if kind == TableKind::View {
            let (view, age) = self.namespace.cached_view(name)?;
            return Some((arrow_schema(&view.schema).ok()?, age <= FRESH));
        }
        let kept = self.known.get(name).await;
        let Some((metadata, age)) = self.namespace.cached_pointer(name) else {
            return Some((kept?.schema, false));
        };
        let fresh = age <= FRESH;
        match kept {
            Some(kept) if kept.metadata == metadata => Some((kept.schema, fresh)),
            kept => {
                let Some(table) = self.namespace.cached_columns(name) else {
                    // Its columns are of an earlier state; those of this one have to be read.
                    return Some((kept?.schema, false));
                };
                let schema = arrow_schema(table.schema()).ok()?;
                self.keep(name, metadata, &schema).await;
                Some((schema, fresh))
            }
        }
    }

    /// Looks a table or view up.
    async fn look_up(
        &self,
        name: &TableName,
        kind: TableKind,
        reading: Reading,
        log: &ReadLog,
    ) -> Option<SchemaRef> {
        if kind == TableKind::View {
            let view = self.namespace.view(name, reading, log).await.ok()??;
            return arrow_schema(&view.schema).ok();
        }
        let table = self.namespace.resolve(name, reading, log).await.ok()?;
        if let Some(kept) = self.known.get(name).await
            && kept.metadata == table.metadata_location
        {
            return Some(kept.schema);
        }
        let schema = arrow_schema(table.schema()).ok()?;
        self.keep(name, table.metadata_location.clone(), &schema)
            .await;
        Some(schema)
    }

    async fn keep(&self, name: &TableName, metadata: CanonicalUri, schema: &SchemaRef) {
        let schema = Arc::clone(schema);
        let known = Known { metadata, schema };
        self.known.insert(name.clone(), known).await;
    }

    fn is_down(&self, catalog: &CatalogName) -> bool {
        let states = self.namespace.member_states();
        states
            .iter()
            .any(|member| member.name == *catalog && member.status == MemberStatus::Down)
    }

    /// Looks these up when nobody waits, unless that is under way already.
    fn refresh(self: &Arc<Self>, tables: Vec<(TableName, TableKind)>) {
        if tables.is_empty() || self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let all = Arc::clone(self);
        tokio::spawn(async move {
            let done = Refreshing(all);
            let (columns, log) = (&done.0, &ReadLog::new());
            stream::iter(tables)
                .for_each_concurrent(REFRESHES_AT_ONCE, |(name, kind)| async move {
                    // What can't be looked up now stays as it is known.
                    if !columns.is_down(&name.catalog) {
                        columns
                            .look_up(&name, kind, Reading::bounded(FRESH), log)
                            .await;
                    }
                })
                .await;
        });
    }
}

/// Says that no look-up in the background is under way any more, however it ended.
struct Refreshing(Arc<TableColumns>);

impl Drop for Refreshing {
    fn drop(&mut self) {
        self.0.refreshing.store(false, Ordering::Release);
    }
}

impl Engine {
    /// The granted columns of each of these tables, in their order; none of one whose columns can't be had now. Of few tables they
    /// are as old as sessions accept by default; of many, as they were last seen.
    pub(super) async fn columns_of(
        &self,
        tables: Vec<TableEntry>,
        access: &Access,
        temporary: &Temporary,
        log: &ReadLog,
    ) -> Vec<(TableEntry, Option<SchemaRef>)> {
        let few = tables.len() <= FEW;
        let mut found: Vec<(TableEntry, Option<SchemaRef>)> = Vec::with_capacity(tables.len());
        let (mut missing, mut old) = (Vec::new(), Vec::new());
        for entry in tables {
            let schema = match name_of(&entry) {
                _ if entry.kind == TableKind::Temporary => {
                    let table = temporary.get(&entry.table);
                    table.map(|table| Arc::clone(table.schema()))
                }
                _ if self.is_own(&entry) => self.own_columns(&entry),
                None => None,
                Some(name) => {
                    let known = self.columns.now(&name, entry.kind).await;
                    match &known {
                        // A member that is down would only be waited for.
                        Some(_) if few && !self.columns.is_down(&name.catalog) => {
                            missing.push((found.len(), name, entry.kind));
                        }
                        None => missing.push((found.len(), name, entry.kind)),
                        Some((_, false)) => old.push((name, entry.kind)),
                        Some((_, true)) => {}
                    }
                    known.map(|(schema, _)| schema)
                }
            };
            found.push((entry, schema));
        }
        let reading = if few {
            self.defaults.reading()
        } else {
            Reading::bounded(KNOWN)
        };
        self.look_up(&mut found, &missing, reading, log).await;
        let left = missing
            .into_iter()
            .filter(|(at, ..)| found[*at].1.is_none());
        old.extend(left.map(|(_, name, kind)| (name, kind)));
        self.columns.refresh(old);
        let granted = |(entry, schema): (TableEntry, Option<SchemaRef>)| {
            let schema = schema.map(|schema| granted(&entry, schema, access));
            (entry, schema)
        };
        found.into_iter().map(granted).collect()
    }

    /// Looks up what is missing, so many at once and for so long, whatever hangs.
    async fn look_up(
        &self,
        found: &mut [(TableEntry, Option<SchemaRef>)],
        missing: &[(usize, TableName, TableKind)],
        reading: Reading,
        log: &ReadLog,
    ) {
        let columns = &self.columns;
        let look_up = |(at, name, kind): &(usize, TableName, TableKind)| {
            let (at, name, kind) = (*at, name.clone(), *kind);
            async move {
                // Once a member is known to be down, each of its tables would cost a time-out.
                if missing.len() > FEW && columns.is_down(&name.catalog) {
                    return (at, None);
                }
                (at, columns.look_up(&name, kind, reading, log).await)
            }
        };
        let look_ups: Vec<_> = missing.iter().map(look_up).collect();
        let looked_up: Vec<(usize, Option<SchemaRef>)> = stream::iter(look_ups)
            .buffer_unordered(LOOK_UPS_AT_ONCE)
            .take_until(tokio::time::sleep(if missing.len() > FEW {
                LOOK_UPS_TIME
            } else {
                FEW_TIME
            }))
            .collect()
            .await;
        for (at, schema) in looked_up {
            if schema.is_some() {
                found[at].1 = schema;
            }
        }
    }

    /// Whether a table is Landfast's own.
    fn is_own(&self, entry: &TableEntry) -> bool {
        entry.schema == information_schema::NAME || entry.catalog == SYSTEM_CATALOG
    }

    fn own_columns(&self, entry: &TableEntry) -> Option<SchemaRef> {
        if entry.schema == information_schema::NAME {
            return information_schema::schema(&entry.table);
        }
        let own = self.system_table_schemas().into_iter();
        let mut named = own.filter(|(name, _)| *name == entry.table);
        named.next().map(|(_, schema): (_, Arc<Schema>)| schema)
    }
}

/// The columns of a table that the asker may read. One that is null in some of their rows is nullable.
fn granted(entry: &TableEntry, schema: SchemaRef, access: &Access) -> SchemaRef {
    let own = matches!(entry.kind, TableKind::System | TableKind::Temporary);
    if own || access.reads_everything() {
        return schema;
    }
    match name_of(entry).map(|name| access.table(&name)) {
        Some(TableAccess::Read(selection)) if selection.is_whole() => schema,
        Some(TableAccess::Read(selection)) => {
            let fields = schema.fields().iter();
            let seen = fields.filter(|field| selection.has(field.name()));
            let seen = seen.map(|field| {
                let masked = !selection.mask(field.name()).is_empty();
                let nullable = field.is_nullable() || masked;
                Field::clone(field).with_nullable(nullable)
            });
            Arc::new(Schema::new(seen.collect::<Vec<_>>()))
        }
        _ => Arc::new(Schema::empty()),
    }
}

fn name_of(entry: &TableEntry) -> Option<TableName> {
    let catalog = CatalogName::new(&entry.catalog).ok()?;
    let schema = SchemaName::new(&entry.schema).ok()?;
    TableName::new(catalog, schema, entry.table.clone()).ok()
}
