//! Which catalog, schema or table a written name means.
//!
//! What members list is remembered here, so that a query asks no member for names that are known: the list is used at
//! once and asked for again behind the query's back. A name that it does not have is asked for at once, and what this
//! process changed is forgotten. Names that an asker may not see are not there for them: whatever is written is looked
//! for among the others, and unknown to the same words.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Ident;
use landfast_catalog::{CatalogError, CatalogName, Namespace, SchemaName, TableName};
use parking_lot::Mutex;

use super::SYSTEM_CATALOG;
use super::target::heard_by;
use crate::access::Access;
use crate::error::nearest;
use crate::sql::bind::fits;
use crate::sql::refuse::place;
use crate::{PlannerError, Result};

/// How many schemas' tables are remembered.
const SCHEMAS_REMEMBERED: usize = 4096;

/// What members last listed.
#[derive(Debug)]
pub(super) struct Names {
    namespace: Arc<Namespace>,
    schemas: Remembered<CatalogName>,
    tables: Remembered<(CatalogName, SchemaName)>,
}

/// Lists by what they are of; clones share them.
#[derive(Debug)]
struct Remembered<K>(Arc<Mutex<HashMap<K, Arc<[String]>>>>);

impl<K> Default for Remembered<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> Clone for Remembered<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash> Remembered<K> {
    fn get(&self, key: &K) -> Option<Arc<[String]>> {
        self.0.lock().get(key).cloned()
    }

    fn insert(&self, key: K, listed: Arc<[String]>) {
        let mut lists = self.0.lock();
        if lists.len() >= SCHEMAS_REMEMBERED {
            // What is still asked for comes back with the next queries.
            lists.clear();
        }
        lists.insert(key, listed);
    }

    fn forget(&self, gone: impl Fn(&K) -> bool) {
        self.0.lock().retain(|key, _| !gone(key));
    }
}

impl Names {
    pub(super) fn new(namespace: Arc<Namespace>) -> Self {
        Self {
            namespace,
            schemas: Remembered::default(),
            tables: Remembered::default(),
        }
    }

    /// Forgets what was listed of a catalog, since it was just changed.
    pub(super) fn forget(&self, catalog: &CatalogName) {
        self.schemas.forget(|key| key == catalog);
        self.tables.forget(|key| key.0 == *catalog);
    }

    /// The catalog that a written name means, `landfast` among them.
    pub(super) fn catalog(&self, written: &Ident, access: &Access) -> Result<CatalogName> {
        let mut all: Vec<String> = self
            .namespace
            .catalogs()
            .iter()
            .filter(|catalog| access.sees_catalog(catalog))
            .map(ToString::to_string)
            .collect();
        all.push(SYSTEM_CATALOG.to_string());
        let name = choose("catalog", written, &all)?.ok_or_else(|| {
            super::no_such(
                "catalog",
                &written.value,
                nearest(&written.value, all.iter().map(String::as_str)),
            )
            .at(place(written.span))
        })?;
        Ok(CatalogName::new(name)?)
    }

    /// The schema that a written name means; as written, if the member can't be asked.
    pub(super) async fn schema(
        &self,
        catalog: &CatalogName,
        written: &Ident,
        access: &Access,
    ) -> Result<SchemaName> {
        let seen = |name: &str| {
            access.reads_everything()
                || SchemaName::new(name).is_ok_and(|schema| access.sees_schema(catalog, &schema))
        };
        let unknown = |listed: &[String]| {
            let seen = listed.iter().map(String::as_str).filter(|name| seen(name));
            super::no_such(
                "schema",
                &format!("{catalog}.{}", written.value),
                nearest(&written.value, seen),
            )
            .at(place(written.span))
        };
        if let Some(known) = self.schemas.get(catalog)
            && let Some(name) = choose_seen("schema", written, &known, seen)?
        {
            self.ask_again_schemas(catalog);
            return Ok(SchemaName::new(name)?);
        }
        let listed = match self.list_schemas(catalog).await {
            Ok(listed) => listed,
            Err(_) if !seen(&written.value) => return Err(unknown(&[])),
            Err(error) => {
                let name = SchemaName::new(&written.value);
                return name.map_err(|_| heard_by(error, access));
            }
        };
        match choose_seen("schema", written, &listed, seen)? {
            Some(name) => Ok(SchemaName::new(name)?),
            None => Err(unknown(&listed)),
        }
    }

    /// The table that a written name means; as written, if the member can't be asked or does not list it.
    pub(super) async fn table(
        &self,
        catalog: &CatalogName,
        schema: &SchemaName,
        written: &Ident,
        access: &Access,
    ) -> Result<String> {
        let seen = seen_in(catalog, schema, access);
        let key = (catalog.clone(), schema.clone());
        if let Some(known) = self.tables.get(&key)
            && let Some(name) = choose_seen("table", written, &known, &seen)?
        {
            self.ask_again_tables(catalog, schema);
            return Ok(name);
        }
        // What a member does not list may have been made a moment ago: resolving it says.
        let listed = self.list_tables(catalog, schema).await.unwrap_or_default();
        let chosen = choose_seen("table", written, &listed, &seen)?;
        Ok(chosen.unwrap_or_else(|| written.value.clone()))
    }

    /// The table that a written name means; as written, if the member can't be asked, and none if it does not list it.
    pub(super) async fn table_known(
        &self,
        catalog: &CatalogName,
        schema: &SchemaName,
        written: &Ident,
        access: &Access,
    ) -> Result<Option<String>> {
        let seen = seen_in(catalog, schema, access);
        let key = (catalog.clone(), schema.clone());
        if let Some(known) = self.tables.get(&key)
            && let Some(name) = choose_seen("table", written, &known, &seen)?
        {
            self.ask_again_tables(catalog, schema);
            return Ok(Some(name));
        }
        match self.list_tables(catalog, schema).await {
            Ok(listed) => choose_seen("table", written, &listed, &seen),
            Err(_) => Ok(Some(written.value.clone())),
        }
    }

    /// The view that a written name means, if the member lists one.
    pub(super) async fn view(
        &self,
        catalog: &CatalogName,
        schema: &SchemaName,
        written: &Ident,
        access: &Access,
    ) -> Result<Option<String>> {
        // The list of tables was asked for just now, and views come with it.
        let views = self.namespace.views(catalog, schema).await;
        let seen = seen_in(catalog, schema, access);
        choose_seen("view", written, &views.unwrap_or_default(), seen)
    }

    /// The table of exactly such a name that the member lists, if it lists one.
    ///
    /// # Errors
    /// The member can't be asked, so that nobody knows.
    pub(super) async fn table_listed(
        &self,
        catalog: &CatalogName,
        schema: &SchemaName,
        written: &Ident,
        access: &Access,
    ) -> Result<Option<String>> {
        let seen = seen_in(catalog, schema, access);
        let known = self.tables.get(&(catalog.clone(), schema.clone()));
        if let Some(known) = known
            && let Some(name) = choose_seen("table", written, &known, &seen)?
        {
            return Ok(Some(name));
        }
        let listed = self.list_tables(catalog, schema).await;
        let listed = listed.map_err(|error| heard_by(error, access))?;
        choose_seen("table", written, &listed, &seen)
    }

    async fn list_schemas(&self, catalog: &CatalogName) -> Result<Arc<[String]>, CatalogError> {
        let listed: Arc<[String]> = self
            .namespace
            .schemas(catalog)
            .await?
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .into();
        self.schemas.insert(catalog.clone(), Arc::clone(&listed));
        Ok(listed)
    }

    async fn list_tables(
        &self,
        catalog: &CatalogName,
        schema: &SchemaName,
    ) -> Result<Arc<[String]>, CatalogError> {
        let listed: Arc<[String]> = self.namespace.tables(catalog, schema).await?.into();
        self.tables
            .insert((catalog.clone(), schema.clone()), Arc::clone(&listed));
        Ok(listed)
    }

    /// Asks the member behind the query's back; the namespace itself sees to it that this is not done too often.
    fn ask_again_schemas(&self, catalog: &CatalogName) {
        let (namespace, cache, catalog) = (
            Arc::clone(&self.namespace),
            self.schemas.clone(),
            catalog.clone(),
        );
        tokio::spawn(async move {
            if let Ok(listed) = namespace.schemas(&catalog).await {
                cache.insert(
                    catalog,
                    listed
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .into(),
                );
            }
        });
    }

    fn ask_again_tables(&self, catalog: &CatalogName, schema: &SchemaName) {
        let (namespace, cache) = (Arc::clone(&self.namespace), self.tables.clone());
        let (catalog, schema) = (catalog.clone(), schema.clone());
        tokio::spawn(async move {
            if let Ok(listed) = namespace.tables(&catalog, &schema).await {
                cache.insert((catalog, schema), listed.into());
            }
        });
    }
}

/// Which tables of a schema the asker may see.
fn seen_in<'a>(
    catalog: &'a CatalogName,
    schema: &'a SchemaName,
    access: &'a Access,
) -> impl Fn(&str) -> bool + 'a {
    move |name| {
        access.reads_everything()
            || TableName::new(catalog.clone(), schema.clone(), name)
                .is_ok_and(|table| access.sees_table(&table))
    }
}

/// As [`choose`], among the names that are seen.
fn choose_seen(
    what: &str,
    written: &Ident,
    names: &[String],
    seen: impl Fn(&str) -> bool,
) -> Result<Option<String>> {
    let fitting = names.iter().filter(|name| fits(written, name));
    choose_from(what, written, fitting.filter(|name| seen(name)))
}

/// The one name that fits what is written; none if none does, and an error that lists them if several do.
pub(super) fn choose(what: &str, written: &Ident, names: &[String]) -> Result<Option<String>> {
    choose_from(what, written, names.iter())
}

fn choose_from<'a>(
    what: &str,
    written: &Ident,
    names: impl Iterator<Item = &'a String>,
) -> Result<Option<String>> {
    let fitting: Vec<&String> = names.filter(|name| fits(written, name)).collect();
    match fitting.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        several => {
            let shown: Vec<String> = several.iter().map(|name| format!("\"{name}\"")).collect();
            Err(PlannerError::invalid(format!(
                "{what} {} could be {}: write which in quotes",
                written.value,
                shown.join(" or ")
            ))
            .at(place(written.span)))
        }
    }
}
