//! What schemas and tables there are: what members last said, asked again when it is old, never waited for too long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use crate::member::Levels;
use crate::namespace::mount::{Mount, Relations};
use crate::namespace::slot::Age;
use crate::{CatalogError, CatalogName, Result, SchemaName, TableName};

/// Namespaces of one member whose tables are asked for at the same time.
const SCHEMAS_AT_ONCE: usize = 8;

/// A whole listing may take this many times the time-out of one call, and goes on in the background for so long.
const TREE_TIMEOUTS: u32 = 20;

/// How long a listing waits for a member that is slow, whatever its time-out: what it last said stands in for it.
const LISTING_PATIENCE: Duration = Duration::from_secs(3);

/// The namespace as far as it is known: what is there, and what could not be listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// All tables, sorted.
    pub entries: Vec<TableName>,
    /// All views, sorted. One that has a table's name is left out: the name stands for the table.
    pub views: Vec<TableName>,
    /// All schemas, sorted, empty ones too.
    pub schemas: Vec<(CatalogName, SchemaName)>,
    /// What is missing or may be old.
    pub warnings: Vec<ListingWarning>,
}

/// Why a part of a [`Listing`] may be missing or old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingWarning {
    /// The member.
    pub catalog: CatalogName,
    /// What happened, in one line.
    pub text: String,
}

impl Mount {
    /// All namespaces of the member, under their schema names. More than one where names collide.
    pub(crate) async fn schemas(&self, age: Age) -> Result<BTreeMap<SchemaName, Vec<Levels>>> {
        let answer = self
            .namespaces
            .get(&*self.clock, age, |_| self.call(self.load_namespaces()))
            .await;
        match (answer, self.namespaces.known()) {
            (Ok(known), _) => Ok(by_schema(&known.value)),
            // A listing is no statement about what a table holds: an old one is better than none.
            (Err(error), Some(known)) if error.is_outage() => Ok(by_schema(&known.value)),
            (Err(error), _) => Err(error),
        }
    }

    /// The tables and views of one namespace.
    pub(crate) async fn relations_of(&self, levels: &Levels, age: Age) -> Result<Arc<Relations>> {
        let slot = self.relations_slot(levels);
        let answer = slot
            .get(&*self.clock, age, |last| self.load_relations(levels, last))
            .await;
        match (answer, slot.known()) {
            (Ok(known), _) => Ok(known.value),
            (Err(error), Some(known)) if error.is_outage() => Ok(known.value),
            (Err(error), _) => {
                // Nobody can fill the memory with names that don't exist.
                if matches!(error, CatalogError::NoSuchSchema { .. }) {
                    self.relations.lock().remove(levels);
                }
                Err(error)
            }
        }
    }

    async fn load_namespaces(&self) -> Result<Arc<[Levels]>> {
        let mut all = self.member.namespaces().await?;
        all.sort();
        all.dedup();
        self.relations
            .lock()
            .retain(|levels, _| all.binary_search(levels).is_ok());
        Ok(all.into())
    }

    /// Asks for tables and views at once. Views that can't be listed leave the tables as they are.
    async fn load_relations(
        &self,
        levels: &Levels,
        last: Option<Arc<Relations>>,
    ) -> Result<Arc<Relations>> {
        let views = tokio::time::timeout(self.timeout, self.member.views(levels));
        let (tables, views) = tokio::join!(self.call(self.member.tables(levels)), views);
        let mut tables = tables?;
        tables.sort();
        tables.dedup();
        let views = views.unwrap_or_else(|_| {
            Err(CatalogError::Unavailable {
                catalog: self.name.clone(),
                reason: self.overdue(),
            })
        });
        let (mut views, views_failed) = match views {
            Ok(views) => (views, None),
            Err(error) => {
                let known = last.map(|last| last.views.clone());
                (known.unwrap_or_default(), Some(error))
            }
        };
        views.sort();
        views.dedup();
        views.retain(|view| tables.binary_search(view).is_err());
        Ok(Arc::new(Relations {
            tables: tables.into(),
            views,
            views_failed,
        }))
    }

    /// The namespace that a schema name stands for.
    pub(crate) async fn levels(&self, schema: &SchemaName, age: Age) -> Result<Levels> {
        if !schema.as_str().contains('.') {
            return Ok(Levels::split(schema));
        }
        let schemas = match self.schemas(age).await {
            Ok(schemas) => schemas,
            Err(error) if error.is_outage() => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        match schemas.get(schema).map(Vec::as_slice) {
            None | Some([]) => Ok(Levels::split(schema)),
            Some([levels]) => Ok(levels.clone()),
            Some(_) => Err(CatalogError::Conflict {
                reason: collision(&self.name, schema),
            }),
        }
    }

    /// All that this member has, waiting for it no longer than its time-out or [`LISTING_PATIENCE`].
    pub(crate) async fn add_to_listing(self: &Arc<Self>, age_max: Duration) -> Listing {
        let mut warnings = Vec::new();
        if !self.tree_is_young(age_max) {
            let mount = self.clone();
            let flight = self.shared_tree_flight(async move { mount.load_tree(age_max).await });
            if !self.is_held_off() {
                let patience = self.timeout.min(LISTING_PATIENCE);
                let in_time = tokio::time::timeout(patience, flight).await;
                if in_time.is_err() {
                    let ms = patience.as_millis();
                    warnings.push(format!(
                        "listing it takes longer than {ms} ms and goes on; what is known is shown"
                    ));
                }
            }
        }
        let mut listing = self.listing_now();
        let catalog = &self.name;
        listing
            .warnings
            .extend(warnings.into_iter().map(|text| ListingWarning {
                catalog: catalog.clone(),
                text,
            }));
        listing
    }

    fn tree_is_young(&self, age_max: Duration) -> bool {
        let now = self.clock.now();
        let Some(namespaces) = self.namespaces.within(age_max, now) else {
            return false;
        };
        let relations = self.relations.lock();
        let young = |levels| {
            relations
                .get(levels)
                .is_some_and(|slot| slot.within(age_max, now).is_some())
        };
        namespaces.value.iter().all(young)
    }

    async fn load_tree(&self, age_max: Duration) -> Result<()> {
        let age = Age::AtMost(age_max);
        let load = async {
            let known = self
                .namespaces
                .get(&*self.clock, age, |_| self.call(self.load_namespaces()))
                .await?;
            futures::stream::iter(known.value.iter())
                .for_each_concurrent(SCHEMAS_AT_ONCE, |levels| async move {
                    // A failure stays in the slot, where the listing finds it.
                    let slot = self.relations_slot(levels);
                    let _ = slot
                        .get(&*self.clock, age, |last| self.load_relations(levels, last))
                        .await;
                })
                .await;
            Ok(())
        };
        match tokio::time::timeout(self.timeout * TREE_TIMEOUTS, load).await {
            Ok(done) => done,
            Err(_) => Err(CatalogError::Unavailable {
                catalog: self.name.clone(),
                reason: format!(
                    "listing it took longer than {} s",
                    (self.timeout * TREE_TIMEOUTS).as_secs()
                ),
            }),
        }
    }

    /// What the member last said, without asking it.
    pub(crate) fn listing_now(&self) -> Listing {
        let catalog = &self.name;
        let mut listing = Listing::default();
        let mut warn = |text: String| {
            listing.warnings.push(ListingWarning {
                catalog: catalog.clone(),
                text,
            })
        };
        if let Some((_, error)) = self.namespaces.failure() {
            warn(error.to_string());
        }
        let Some(namespaces) = self.namespaces.known() else {
            return listing;
        };
        let relations = self.relations.lock();
        for (schema, levels) in by_schema(&namespaces.value) {
            if levels.len() > 1 {
                warn(collision(catalog, &schema));
                continue;
            }
            listing.schemas.push((catalog.clone(), schema.clone()));
            let Some(slot) = levels.first().and_then(|levels| relations.get(levels)) else {
                continue;
            };
            if let Some((_, error)) = slot.failure() {
                warn(format!("the schema {schema} could not be listed: {error}"));
            }
            let Some(known) = slot.known() else {
                continue;
            };
            let name =
                |name: &String| TableName::new(catalog.clone(), schema.clone(), name.clone());
            for table in known.value.tables.iter() {
                match name(table) {
                    Ok(name) => listing.entries.push(name),
                    Err(error) => warn(format!("a table of {schema} is left out: {error}")),
                }
            }
            for view in &known.value.views {
                match name(view) {
                    Ok(name) => listing.views.push(name),
                    Err(error) => warn(format!("a view of {schema} is left out: {error}")),
                }
            }
            if let Some(error) = &known.value.views_failed {
                warn(format!(
                    "the views of {schema} could not be listed: {error}"
                ));
            }
        }
        listing
    }

    /// Makes listings ask again, after a change through this process.
    pub(crate) fn expire_listings(&self) {
        // What is under way may have asked before the change: nobody joins it any more.
        *self.tree_flight.lock() = None;
        self.namespaces.expire();
        for slot in self.relations.lock().values() {
            slot.expire();
        }
    }
}

fn by_schema(namespaces: &[Levels]) -> BTreeMap<SchemaName, Vec<Levels>> {
    let mut schemas: BTreeMap<SchemaName, Vec<Levels>> = BTreeMap::new();
    for levels in namespaces {
        // A name that can't be a schema's (control characters) can't be asked for either.
        if let Ok(schema) = SchemaName::new(levels.to_string()) {
            schemas.entry(schema).or_default().push(levels.clone());
        }
    }
    schemas
}

fn collision(catalog: &CatalogName, schema: &SchemaName) -> String {
    format!(
        "the catalog {catalog} has more than one namespace that reads {schema:?} when its levels are joined by dots: \
         rename one of them to use either"
    )
}
