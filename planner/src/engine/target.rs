//! Which version of which table a name means.
//!
//! A name may also mean a table about the table (`"orders$files"`). A version stands in a clause, in the name itself (`"orders@audit"`, for tools that can only write names) or in the
//! session's settings, in this order. A real table whose name has a `@` or a `$` is found before anything is read into it.

use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use landfast_catalog::{AsOf, CatalogError, CatalogName, Pin, SchemaName, TableName};

use super::metadata_tables::MetadataTable;
use super::tables::{Resolving, SYSTEM_SCHEMA};
use super::temporary::TEMPORARY_SCHEMA;
use super::{Engine, SYSTEM_CATALOG, information_schema};
use crate::access::Access;
use crate::error::{Position, hushed, in_general, nearest};
use crate::settings::SessionSettings;
use crate::sql::bind::{NamedTable, fits};
use crate::sql::refuse::place;
use crate::sql::version::Version;
use crate::{ErrorKind, PlannerError, Result};

/// A version of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) name: TableName,
    pub(super) as_of: AsOf,
    /// What is read of the table, if not its rows.
    pub(super) metadata: Option<MetadataTable>,
    /// Whether it is a view.
    pub(super) is_view: bool,
    /// Whether the version is the session's, and not the statement's.
    by_setting: bool,
}

impl Target {
    fn current(name: TableName, metadata: Option<MetadataTable>) -> Self {
        Self {
            name,
            as_of: AsOf::Current,
            metadata,
            is_view: false,
            by_setting: false,
        }
    }

    /// Whether nothing was asked for that a view has not.
    pub(super) fn may_be_view(&self) -> bool {
        self.metadata.is_none() && (self.by_setting || self.as_of == AsOf::Current)
    }

    /// An error in finding the version says who asked for it, if the statement doesn't show it.
    pub(super) fn blame(&self, error: PlannerError, settings: &SessionSettings) -> PlannerError {
        match settings.show("landfast.as_of") {
            Ok(asked) if self.by_setting => error.with_note(&format!(
                "asked for by the setting landfast.as_of = '{asked}'"
            )),
            _ => error,
        }
    }
}

/// A name as it is written, with what it leaves out filled in.
struct Written {
    catalog: Ident,
    schema: Ident,
    table: Ident,
}

/// What follows a table's name within a name.
#[derive(Debug, Clone)]
enum Suffix {
    /// `@` and a version.
    Version(Version),
    /// `$` and a table about the table.
    Metadata(MetadataTable),
}

/// What a name was found to mean.
enum Found {
    /// A table of a catalog, and what its name asks for beyond it.
    Lake(TableName, Option<Suffix>),
    /// A view of a catalog, and what its name asks for beyond it.
    View(TableName, Option<Suffix>),
    /// A table that Landfast has about itself or a catalog; it has no versions.
    Own(TableName),
}

impl NamedTable {
    /// Where it stands in the statement.
    pub(super) fn position(&self) -> Option<Position> {
        let first = self.name.0.first().and_then(|part| part.as_ident());
        first.and_then(|ident| place(ident.span))
    }
}

impl Engine {
    /// The version of a table that a statement's name means, and what a statement calls the table: its own name and
    /// what the written one adds.
    pub(super) async fn target_named(
        &self,
        named: &NamedTable,
        how: Resolving<'_>,
    ) -> Result<(Target, String)> {
        let found = match how.temporary.named_in(&named.name, how)? {
            Some(table) => Found::Own(table.full_name().clone()),
            None => {
                let written = self.written(&named.name, how)?;
                self.found(&written, how).await?
            }
        };
        if let Found::Lake(name, _) | Found::View(name, _) = &found
            && !how.access.sees_table(name)
        {
            return Err(self.no_such_table(name, how.access));
        }
        let (name, suffix) = match found {
            Found::Lake(name, suffix) => (name, suffix),
            Found::View(name, None) if named.version.is_none() => {
                let called = name.table.clone();
                let target = Target {
                    is_view: true,
                    ..Target::current(name, None)
                };
                return Ok((target, called));
            }
            Found::View(name, None) => {
                return Err(PlannerError::unsupported(format!(
                    "AS OF after the view {name} is not supported: SET landfast.as_of, or write its query"
                )));
            }
            Found::View(name, Some(_)) => {
                return Err(PlannerError::unsupported(format!(
                    "{name} is a view, and has no versions or tables about it"
                )));
            }
            Found::Own(name) if named.version.is_some() => {
                return Err(PlannerError::unsupported(format!(
                    "AS OF after {name} is not supported: it has no versions"
                )));
            }
            Found::Own(name) => {
                let called = name.table.clone();
                return Ok((Target::current(name, None), called));
            }
        };
        let called = match &suffix {
            None => name.table.clone(),
            Some(Suffix::Version(version)) => format!("{}@{version}", name.table),
            Some(Suffix::Metadata(table)) => format!("{}${}", name.table, table.name()),
        };
        let mut metadata = None;
        let asked = match (suffix, &named.version) {
            (Some(Suffix::Version(version)), Some(_)) => {
                return Err(PlannerError::invalid(format!(
                    "{name} is asked for at two versions, {version} in its name and another after AS OF"
                )));
            }
            (Some(Suffix::Version(version)), None) => Some(version),
            (Some(Suffix::Metadata(table)), asked) => {
                metadata = Some(table);
                if !table.of_a_snapshot() {
                    if asked.is_some() {
                        return Err(PlannerError::unsupported(format!(
                            "AS OF after {called} is not supported: it tells of all versions"
                        )));
                    }
                    return Ok((Target::current(name, metadata), called));
                }
                asked.clone()
            }
            (None, asked) => asked.clone(),
        };
        let by_setting = asked.is_none() && how.settings.as_of.is_some();
        let version = asked.as_ref().or(how.settings.as_of.as_ref());
        let mut target = Target {
            by_setting,
            ..Target::current(name, metadata)
        };
        if let Some(version) = version {
            let as_of = version.as_of(&how.settings.time_zone);
            target.as_of = as_of.map_err(|error| target.blame(error, how.settings))?;
        }
        Ok((target, called))
    }

    /// The table itself that a name of one, two or three parts (or more, for nested schemas) means.
    pub(super) async fn table_named(
        &self,
        name: &ObjectName,
        how: Resolving<'_>,
    ) -> Result<TableName> {
        let written = self.written(name, how)?;
        match self.scope(&written, how).await? {
            Scope::Own(name) => Ok(name),
            Scope::Schema(catalog, schema) => {
                let names = &self.names;
                let table = names.table(&catalog, &schema, &written.table, how.access);
                let name = TableName::new(catalog.clone(), schema.clone(), table.await?)?;
                match how.access.sees_table(&name) {
                    true => Ok(name),
                    false => Err(self.no_such_table(&name, how.access)),
                }
            }
        }
    }

    fn written(&self, name: &ObjectName, how: Resolving<'_>) -> Result<Written> {
        let parts = idents(name)?;
        let (catalog, schema, table) = self.with_defaults(&parts, how.settings, how.access)?;
        Ok(Written {
            catalog,
            schema,
            table,
        })
    }

    /// The table that a name means, and what its name asks for beyond it.
    async fn found(&self, written: &Written, how: Resolving<'_>) -> Result<Found> {
        let split = split(&written.table);
        if let Some(name) = pinned(how.pins, written, &written.table) {
            return Ok(Found::Lake(name, None));
        }
        if let Some((table, Ok(suffix))) = &split
            && let Some(name) = pinned(how.pins, written, table)
        {
            return Ok(Found::Lake(name, Some(suffix.clone())));
        }
        let (catalog, schema) = match self.scope(written, how).await? {
            Scope::Own(name) => return Ok(Found::Own(name)),
            Scope::Schema(catalog, schema) => (catalog, schema),
        };
        let in_schema = |name: String| TableName::new(catalog.clone(), schema.clone(), name);
        let (names, whole, access) = (&self.names, &written.table, how.access);
        let Some((table, suffix)) = split else {
            let known = names.table_known(&catalog, &schema, whole, access);
            if let Some(table) = known.await? {
                return Ok(Found::Lake(in_schema(table)?, None));
            }
            return Ok(match names.view(&catalog, &schema, whole, access).await? {
                Some(view) => Found::View(in_schema(view)?, None),
                // What a member does not list may have been made a moment ago: resolving it says.
                None => Found::Lake(in_schema(whole.value.clone())?, None),
            });
        };
        let listed = names.table_listed(&catalog, &schema, whole, access);
        if let Some(table) = listed.await? {
            return Ok(Found::Lake(in_schema(table)?, None));
        }
        if let Some(view) = names.view(&catalog, &schema, whole, access).await? {
            return Ok(Found::View(in_schema(view)?, None));
        }
        let suffix = Some(suffix?);
        let known = names.table_known(&catalog, &schema, &table, access);
        if let Some(table) = known.await? {
            return Ok(Found::Lake(in_schema(table)?, suffix));
        }
        Ok(match names.view(&catalog, &schema, &table, access).await? {
            Some(view) => Found::View(in_schema(view)?, suffix),
            None => Found::Lake(in_schema(table.value.clone())?, suffix),
        })
    }

    /// Where a name's table is looked for; the table at once where it is one of Landfast's own.
    async fn scope(&self, written: &Written, how: Resolving<'_>) -> Result<Scope> {
        let (schema, table) = (&written.schema, &written.table);
        let catalog = match self.names.catalog(&written.catalog, how.access) {
            Ok(catalog) => catalog,
            Err(error) => {
                let called = how.within.catalog_called(&written.catalog.value);
                called.ok_or(error)?
            }
        };
        if fits(schema, information_schema::NAME) {
            let schema = SchemaName::new(information_schema::NAME)?;
            return own(catalog, schema, table, &information_schema::TABLES);
        }
        if catalog.as_str() == SYSTEM_CATALOG {
            if fits(schema, TEMPORARY_SCHEMA) {
                // What may be read of them is known already: views see none, and a statement that is planned again sees
                // none but those that it read.
                let seen = !how.within.is_in_view() && how.pins.is_empty();
                let tables = how.temporary.all().filter(|_| seen);
                let tables: Vec<&str> = tables.map(|table| table.name()).collect();
                return own(catalog, SchemaName::new(TEMPORARY_SCHEMA)?, table, &tables);
            }
            if !fits(schema, SYSTEM_SCHEMA) {
                let known = [SYSTEM_SCHEMA, information_schema::NAME];
                return Err(super::no_such(
                    "schema",
                    &format!("{catalog}.{}", schema.value),
                    known.map(ToString::to_string).to_vec(),
                )
                .at(place(schema.span)));
            }
            let tables: Vec<&str> = self
                .system_table_schemas()
                .iter()
                .map(|(name, _)| *name)
                .filter(|name| how.access.reads_system_table(name))
                .collect();
            return own(catalog, SchemaName::new(SYSTEM_SCHEMA)?, table, &tables);
        }
        let schema = self.names.schema(&catalog, schema, how.access).await?;
        Ok(Scope::Schema(catalog, schema))
    }

    /// Fills in what a name leaves out.
    pub(super) fn with_defaults(
        &self,
        parts: &[Ident],
        settings: &SessionSettings,
        access: &Access,
    ) -> Result<(Ident, Ident, Ident)> {
        let exact = |name: &str| Ident::with_quote('"', name);
        match parts {
            [] => Err(PlannerError::invalid("a table's name is empty")),
            [table] => match (
                self.default_catalog(settings, access),
                self.default_schema(settings),
            ) {
                (Some(catalog), Some(schema)) => Ok((
                    exact(catalog.as_str()),
                    exact(schema.as_str()),
                    table.clone(),
                )),
                _ => Err(self.unqualified(table, access)),
            },
            [schema, table] => {
                let catalog = match self.default_catalog(settings, access) {
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
    fn unqualified(&self, table: &Ident, access: &Access) -> PlannerError {
        let listing = self.namespace.cached_listing();
        let same: Vec<String> = listing
            .entries
            .iter()
            .filter(|entry| fits(table, &entry.table) && access.sees_table(entry))
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
}

impl Engine {
    /// The error for a table that is not there, or that its asker may not see: names that are near it in its schema, or
    /// else of the same name elsewhere, of those that they may see.
    pub(super) fn no_such_table(&self, name: &TableName, access: &Access) -> PlannerError {
        let listing = self.namespace.cached_listing();
        let seen = || {
            let all = listing.entries.iter().chain(&listing.views);
            all.filter(|entry| access.sees_table(entry))
        };
        let here = seen().filter(|at| at.catalog == name.catalog && at.schema == name.schema);
        let mut near = nearest(&name.table, here.map(|entry| entry.table.as_str()));
        if near.is_empty() {
            let same = seen().filter(|entry| entry.table.eq_ignore_ascii_case(&name.table));
            near = same.take(3).map(ToString::to_string).collect();
        }
        super::no_such("table", &name.to_string(), near)
    }

    /// An error of the catalog, which knows nothing of who asks, with names that they may see alone.
    pub(super) fn seen_by(&self, error: CatalogError, access: &Access) -> PlannerError {
        match error {
            CatalogError::NoSuchTable { table, .. } => self.no_such_table(&table, access),
            CatalogError::NoSuchSchema {
                catalog, schema, ..
            } => super::no_such("schema", &format!("{catalog}.{schema}"), Vec::new()),
            CatalogError::NoSuchCatalog { name, .. } => {
                super::no_such("catalog", &name, Vec::new())
            }
            other => heard_by(other, access),
        }
    }

    /// An error of finding out what a table is, or a view. Who may not read all of it hears nothing of its versions and
    /// its files.
    pub(super) fn unread(
        &self,
        error: CatalogError,
        table: &TableName,
        access: &Access,
    ) -> PlannerError {
        match error {
            CatalogError::NoSuchTable { .. }
            | CatalogError::NoSuchSchema { .. }
            | CatalogError::NoSuchCatalog { .. }
            | CatalogError::Unavailable { .. }
            | CatalogError::Stale { .. }
            | CatalogError::Denied { .. } => self.seen_by(error, access),
            other if access.reads_whole(table) => self.seen_by(other, access),
            CatalogError::NoSuchVersion { .. } | CatalogError::NoSuchSnapshot { .. } => {
                in_general(ErrorKind::NotFound, table)
            }
            other => hushed(&other.into(), table),
        }
    }
}

/// An error of the catalog, with what a member said for those alone who may read everything.
pub(super) fn heard_by(error: CatalogError, access: &Access) -> PlannerError {
    match access.reads_everything() {
        true => error.into(),
        false => error.without_members_words().into(),
    }
}

/// Where a table is looked for.
enum Scope {
    Own(TableName),
    Schema(CatalogName, SchemaName),
}

/// The table that a name such as `orders@audit`, `orders@123` or `orders$files` would mean, and what of it.
fn split(written: &Ident) -> Option<(Ident, Result<Suffix>)> {
    let at = written.value.rfind(['@', '$'])?;
    let (table, suffix) = (&written.value[..at], &written.value[at + 1..]);
    if table.is_empty() || suffix.is_empty() {
        return None;
    }
    let meaning = if written.value[at..].starts_with('$') {
        let known = MetadataTable::named(suffix).map(Suffix::Metadata);
        known.ok_or_else(|| {
            let near = nearest(suffix, MetadataTable::names());
            PlannerError::not_found(
                format!("there is no table {}", written.value),
                near.iter().map(|near| format!("{table}${near}")).collect(),
            )
            .at(place(written.span))
        })
    } else {
        let digits = suffix.bytes().all(|byte| byte.is_ascii_digit());
        Ok(Suffix::Version(match suffix.parse() {
            Ok(id) if digits => Version::Snapshot(id),
            _ => Version::Ref(suffix.to_string()),
        }))
    };
    let table = Ident {
        value: table.to_string(),
        quote_style: written.quote_style,
        span: written.span,
    };
    Some((table, meaning))
}

/// The one table among those pinned that a name fits, whichever its versions are.
fn pinned(pins: &[Pin], written: &Written, table: &Ident) -> Option<TableName> {
    let mut fitting = pins
        .iter()
        .filter(|pin| pin.is_of_table())
        .map(|pin| &pin.table)
        .filter(|name| {
            fits(&written.catalog, name.catalog.as_str())
                && fits(&written.schema, name.schema.as_str())
                && fits(table, &name.table)
        });
    let first = fitting.next()?;
    fitting.all(|other| other == first).then(|| first.clone())
}

/// The parts of a name; a part that is a function call is none.
pub(super) fn idents(name: &ObjectName) -> Result<Vec<Ident>> {
    name.0
        .iter()
        .map(|part| part.as_ident().cloned())
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| PlannerError::invalid(format!("{name} is no table's name")))
}

fn own(
    catalog: CatalogName,
    schema: SchemaName,
    written: &Ident,
    tables: &[&str],
) -> Result<Scope> {
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
    Ok(Scope::Own(TableName::new(catalog, schema, *found)?))
}
