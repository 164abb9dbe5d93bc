//! The one tree `catalog.schema.table`, and where each of its tables stands.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use landfast_sites::{CanonicalUri, ReadLog, Sites, SitesErrorKind};

use crate::member::folders::FoldersMember;
use crate::member::rest::RestMember;
use crate::member::sql::SqlMember;
use crate::member::{Levels, Member, Pointer};
use crate::metadata::MetadataReader;
use crate::name::check_parts;
use crate::{
    CatalogError, CatalogName, Clock, MemberKind, MemberSpec, MonotonicClock, NamespaceSpec,
    Result, SchemaName, TableName,
};

mod listing;
mod mount;
mod nearest;
mod pointer;
mod slot;
mod view;

pub use listing::{Listing, ListingWarning};

use mount::Mount;
use nearest::nearest;
use slot::Age;

/// Whether a member answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberStatus {
    /// Nobody asked it yet.
    Untried,
    /// It answered the last question.
    Up,
    /// It didn't answer the last question, or denied us.
    Down,
}

impl MemberStatus {
    /// The status as one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Untried => "untried",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// How a member does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberState {
    /// Its catalog name.
    pub name: CatalogName,
    /// `rest`, `sqlite`, `postgres` or `folders`.
    pub kind: &'static str,
    /// Whether it answers.
    pub status: MemberStatus,
    /// What went wrong last, if nothing succeeded since.
    pub last_error: Option<String>,
}

/// What the metadata cache did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Look-ups that found what they wanted.
    pub hits: u64,
    /// Look-ups that had to read.
    pub misses: u64,
    /// What is cached now, in bytes, nearly.
    pub bytes: u64,
    /// How many things are cached now, nearly.
    pub entries: u64,
}

/// All members under their catalog names, and what was learnt from them. Built once, used by everybody.
pub struct Namespace {
    pub(crate) mounts: BTreeMap<CatalogName, Arc<Mount>>,
    pub(crate) sites: Arc<Sites>,
    pub(crate) reader: MetadataReader,
    pub(crate) clock: Arc<dyn Clock>,
    listing_age_max: Duration,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("catalogs", &self.catalogs())
            .finish_non_exhaustive()
    }
}

impl Namespace {
    /// Mounts the members. Connects to none of them.
    ///
    /// # Errors
    /// `Invalid` for two catalogs of one name (case aside), the reserved name, or a member's configuration that can't
    /// be right.
    pub fn new(spec: NamespaceSpec, sites: Arc<Sites>) -> Result<Arc<Self>> {
        Self::with_clock(spec, sites, Arc::new(MonotonicClock))
    }

    /// As [`Namespace::new`], measuring ages by another clock.
    pub fn with_clock(
        spec: NamespaceSpec,
        sites: Arc<Sites>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let mut members: Vec<(MemberSpec, Box<dyn Member>)> = Vec::new();
        for member in spec.members {
            let built = build(&member, &sites, &clock)?;
            members.push((member, built));
        }
        Self::of_members(
            members,
            spec.metadata_cache_bytes,
            spec.listing_age_max,
            sites,
            clock,
        )
    }

    fn of_members(
        members: Vec<(MemberSpec, Box<dyn Member>)>,
        metadata_cache_bytes: u64,
        listing_age_max: Duration,
        sites: Arc<Sites>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let mut mounts: BTreeMap<CatalogName, Arc<Mount>> = BTreeMap::new();
        for (spec, member) in members {
            let name = spec.name;
            if name.is_reserved() {
                return Err(CatalogError::invalid(format!(
                    "the catalog name {name} is reserved for Landfast's own tables: mount this catalog under another name"
                )));
            }
            if let Some(other) = mounts
                .keys()
                .find(|other| other.as_str().eq_ignore_ascii_case(name.as_str()))
            {
                return Err(CatalogError::invalid(format!(
                    "the catalog name {name} is used twice (the other one is {other}): names must differ in more than case"
                )));
            }
            if spec.timeout.is_zero() {
                return Err(CatalogError::invalid(format!(
                    "the catalog {name} has a time-out of 0"
                )));
            }
            let mount = Mount::new(name.clone(), member, spec.timeout, clock.clone());
            mounts.insert(name, Arc::new(mount));
        }
        let reader = MetadataReader::new(sites.clone(), metadata_cache_bytes);
        Ok(Arc::new(Self {
            mounts,
            sites,
            reader,
            clock,
            listing_age_max,
        }))
    }

    /// The sites that metadata and data are read from.
    pub fn sites(&self) -> &Arc<Sites> {
        &self.sites
    }

    /// The catalog names of all members, sorted.
    pub fn catalogs(&self) -> Vec<CatalogName> {
        self.mounts.keys().cloned().collect()
    }

    /// The schemas of one catalog, sorted; a member that is out of reach gives what it last said, if anything.
    pub async fn schemas(&self, catalog: &CatalogName) -> Result<Vec<SchemaName>> {
        let schemas = self.mount(catalog)?.schemas(self.listing_age()).await?;
        Ok(schemas.into_keys().collect())
    }

    /// The tables of one schema, sorted; a member that is out of reach gives what it last said, if anything.
    pub async fn tables(&self, catalog: &CatalogName, schema: &SchemaName) -> Result<Vec<String>> {
        let mount = self.mount(catalog)?;
        let levels = mount.levels(schema, self.listing_age()).await?;
        match mount.relations_of(&levels, self.listing_age()).await {
            Ok(relations) => Ok(relations.tables.to_vec()),
            Err(CatalogError::NoSuchSchema { .. }) => Err(self.no_such_schema(mount, schema)),
            Err(error) => Err(error),
        }
    }

    /// The views of one schema, sorted, as [`Namespace::tables`] gives its tables.
    pub async fn views(&self, catalog: &CatalogName, schema: &SchemaName) -> Result<Vec<String>> {
        let mount = self.mount(catalog)?;
        let levels = mount.levels(schema, self.listing_age()).await?;
        match mount.relations_of(&levels, self.listing_age()).await {
            Ok(relations) => Ok(relations.views.to_vec()),
            Err(CatalogError::NoSuchSchema { .. }) => Err(self.no_such_schema(mount, schema)),
            Err(error) => Err(error),
        }
    }

    /// The whole tree as far as it is known. No member is waited for longer than its time-out or three seconds: what it
    /// last said stands in for it, with a warning.
    pub async fn listing(&self) -> Listing {
        let parts = join_all(
            self.mounts
                .values()
                .map(|mount| mount.add_to_listing(self.listing_age_max)),
        )
        .await;
        merge(parts)
    }

    /// The whole tree as members last said, asking none of them.
    pub fn cached_listing(&self) -> Listing {
        merge(self.mounts.values().map(|mount| mount.listing_now()))
    }

    /// Makes a table of metadata that exists, in a schema that exists.
    ///
    /// # Errors
    /// `Invalid` for a location under no configured prefix, `Corrupt` or `Unsupported` for metadata that doesn't parse
    /// or needs what is not built, `Exists` for a name that is taken.
    pub async fn register_table(
        &self,
        name: &TableName,
        metadata_location: &CanonicalUri,
    ) -> Result<()> {
        let mount = self.mount(&name.catalog)?;
        check_parts(name)?;
        if !self.sites.under_a_prefix(metadata_location) {
            return Err(CatalogError::invalid(format!(
                "{metadata_location} lies under no configured prefix: no site could read it"
            )));
        }
        let log = ReadLog::new();
        match self
            .reader
            .metadata(
                name,
                &Pointer::to_file(metadata_location.clone(), None),
                &log,
            )
            .await
        {
            // Whoever named the file named it wrongly: no catalog is broken.
            Err(CatalogError::Sites(error)) if error.kind() == SitesErrorKind::NotFound => {
                return Err(CatalogError::invalid(error.to_string()));
            }
            read => read?,
        };
        let levels = mount.levels(&name.schema, Age::FromNow).await?;
        let done = mount
            .change(mount.member.register(&levels, name, metadata_location))
            .await;
        self.changed(mount, name).await;
        self.explain(mount, name, done)
    }

    /// Removes a table's entry from its catalog; its files stay.
    pub async fn drop_table(&self, name: &TableName) -> Result<()> {
        let mount = self.mount(&name.catalog)?;
        let levels = mount.levels(&name.schema, Age::FromNow).await?;
        let done = mount.change(mount.member.drop_table(&levels, name)).await;
        self.changed(mount, name).await;
        self.explain(mount, name, done)
    }

    /// Creates a schema; dots in its name separate levels.
    pub async fn create_schema(&self, catalog: &CatalogName, schema: &SchemaName) -> Result<()> {
        let mount = self.mount(catalog)?;
        let levels = Levels::split(schema);
        if levels.as_slice().iter().any(String::is_empty) {
            return Err(CatalogError::invalid(format!(
                "{schema:?} can't be a new schema's name: a level is empty"
            )));
        }
        let schemas = mount.schemas(Age::FromNow).await?;
        if schemas.contains_key(schema) {
            return Err(CatalogError::Exists {
                what: format!("the schema {catalog}.{schema}"),
            });
        }
        let done = mount
            .change(mount.member.create_schema(&levels, schema))
            .await;
        mount.expire_listings();
        done
    }

    /// Drops a schema that has no tables.
    pub async fn drop_schema(&self, catalog: &CatalogName, schema: &SchemaName) -> Result<()> {
        let mount = self.mount(catalog)?;
        let levels = mount.levels(schema, Age::FromNow).await?;
        let done = mount
            .change(mount.member.drop_schema(&levels, schema))
            .await;
        mount.expire_listings();
        match done {
            Err(CatalogError::NoSuchSchema { .. }) => Err(self.no_such_schema(mount, schema)),
            done => done,
        }
    }

    /// Asks a member whether it works, and says so in one line.
    pub async fn probe(&self, catalog: &CatalogName) -> Result<String> {
        let mount = self.mount(catalog)?;
        mount.call(mount.member.probe()).await
    }

    /// How each member does, by what it last answered.
    pub fn member_states(&self) -> Vec<MemberState> {
        self.mounts.values().map(|mount| mount.state()).collect()
    }

    /// What the metadata cache did so far.
    pub fn cache_stats(&self) -> CacheStats {
        self.reader.stats()
    }

    pub(crate) fn listing_age(&self) -> Age {
        Age::AtMost(self.listing_age_max)
    }

    pub(crate) fn mount(&self, catalog: &CatalogName) -> Result<&Arc<Mount>> {
        self.mounts
            .get(catalog)
            .ok_or_else(|| CatalogError::NoSuchCatalog {
                name: catalog.to_string(),
                nearest: nearest(
                    catalog.as_str(),
                    self.mounts.keys().map(CatalogName::as_str),
                ),
            })
    }

    /// After a change through this process, nobody reads what was known before it.
    async fn changed(&self, mount: &Mount, name: &TableName) {
        mount.pointer_slot(&name.schema, &name.table).await.forget();
        mount.expire_listings();
    }

    fn explain(&self, mount: &Mount, name: &TableName, done: Result<()>) -> Result<()> {
        match done {
            Err(CatalogError::NoSuchSchema { .. }) => Err(self.no_such_schema(mount, &name.schema)),
            Err(CatalogError::NoSuchTable { .. }) => Err(self.no_such_table(mount, name)),
            done => done,
        }
    }

    fn no_such_schema(&self, mount: &Mount, schema: &SchemaName) -> CatalogError {
        let listing = mount.listing_now();
        let names = listing.schemas.iter().map(|(_, schema)| schema.as_str());
        CatalogError::NoSuchSchema {
            catalog: mount.name.clone(),
            schema: schema.clone(),
            nearest: nearest(schema.as_str(), names),
        }
    }

    /// Says which names are near a table that doesn't exist: in its schema first, then of the same name elsewhere.
    pub(crate) fn no_such_table(&self, mount: &Mount, name: &TableName) -> CatalogError {
        let listing = mount.listing_now();
        let here = listing
            .entries
            .iter()
            .filter(|entry| entry.schema == name.schema);
        let mut near = nearest(&name.table, here.map(|entry| entry.table.as_str()));
        if near.is_empty() {
            let all = merge(self.mounts.values().map(|mount| mount.listing_now()));
            let same = all
                .entries
                .iter()
                .filter(|entry| entry.table.eq_ignore_ascii_case(&name.table));
            near = same.take(3).map(TableName::to_string).collect();
        }
        CatalogError::NoSuchTable {
            table: name.clone(),
            nearest: near,
        }
    }
}

fn build(spec: &MemberSpec, sites: &Arc<Sites>, clock: &Arc<dyn Clock>) -> Result<Box<dyn Member>> {
    let name = spec.name.clone();
    Ok(match &spec.kind {
        MemberKind::Rest(rest) => {
            Box::new(RestMember::new(name, rest, spec.timeout, clock.clone())?)
        }
        MemberKind::Sql(sql) => Box::new(SqlMember::new(name, sql, spec.timeout)?),
        MemberKind::Folders(folders) => {
            Box::new(FoldersMember::new(name, folders, Arc::clone(sites))?)
        }
    })
}

fn merge(parts: impl IntoIterator<Item = Listing>) -> Listing {
    let mut whole = Listing::default();
    for part in parts {
        whole.entries.extend(part.entries);
        whole.views.extend(part.views);
        whole.schemas.extend(part.schemas);
        whole.warnings.extend(part.warnings);
    }
    whole.entries.sort();
    whole.views.sort();
    whole.schemas.sort();
    whole
}
