//! Commands: what changes the session or a catalog.

use arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use landfast_catalog::{CatalogError, CatalogErrorKind, CatalogName, SchemaName, TableName};
use landfast_sites::{CanonicalUri, ReadLog};

use super::show::joined;
use super::tables::{ResolvedSnapshots, Resolving};
use super::target::idents;
use super::temporary::Temporary;
use super::views::Within;
use super::{Engine, SYSTEM_CATALOG};
use crate::access::{Access, Action};
use crate::placement::PlacementMode;
use crate::settings::{KeyError, SessionSettings, SettingValue};
use crate::sql::Command;
use crate::sql::refuse::place;
use crate::sql::statement::{Argument, CommandKind};
use crate::{Asker, PlannerError, Result};

/// What a command did.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct CommandOutcome {
    /// How many rows it changed; none where it changes no rows.
    pub affected: Option<i64>,
    /// Rows that it gives; none as a rule.
    pub batch: Option<RecordBatch>,
    /// The session's new settings, if it changed them.
    pub settings: Option<SessionSettings>,
}

/// Whether this asker may run such a command on anything at all.
pub(super) fn check_granted(
    command: &Command,
    access: &Access,
    temporary: &Temporary,
) -> Result<()> {
    let granted = match &command.kind {
        CommandKind::Set { .. } | CommandKind::Reset { .. } | CommandKind::Use { .. } => true,
        // Whose queries somebody may cancel is decided where the queries are known.
        CommandKind::CancelQuery { .. } => true,
        CommandKind::RegisterTable { .. } => {
            access.may_call("register_table") && access.may_somewhere(Action::RegisterTable)
        }
        CommandKind::UnregisterTable { .. } => {
            access.may_call("unregister_table") && access.may_somewhere(Action::DropTable)
        }
        CommandKind::CreateSchema { .. } => access.may_somewhere(Action::CreateSchema),
        CommandKind::DropSchema { .. } => access.may_somewhere(Action::DropSchema),
        // The tables of their session are everybody's own.
        CommandKind::DropTable { name, .. } => {
            access.may_somewhere(Action::DropTable) || temporary.named(name)?.is_some()
        }
    };
    match granted {
        true => Ok(()),
        false => Err(PlannerError::denied(format!(
            "{} is granted neither to {} nor to the role {}",
            command.name(),
            access.principal(),
            access.role().as_str()
        ))),
    }
}

/// An action that is not granted on something that the asker may see.
fn not_granted(action: Action, on: impl std::fmt::Display, access: &Access) -> PlannerError {
    PlannerError::denied(format!(
        "{} may not {} {on}",
        access.principal(),
        action.as_str().replace('_', " ")
    ))
}

impl Engine {
    pub(super) fn set(
        &self,
        key: &str,
        value: &str,
        settings: &SessionSettings,
        access: &Access,
    ) -> Result<CommandOutcome> {
        let mut new = settings.clone();
        let value = SettingValue::Text(value.to_string());
        self.set_seen(&mut new, key, &value, access)?;
        Ok(CommandOutcome {
            settings: Some(new),
            ..CommandOutcome::default()
        })
    }

    /// Sets one setting, wherever it comes from: `SET`, a session option, a header. No value takes it back to what
    /// sessions start with. On an error nothing has changed.
    ///
    /// # Errors
    /// A key or a value that there is not, catalogs and sites included: an error now rather than in every query to come.
    pub fn set_option(
        &self,
        settings: &mut SessionSettings,
        key: &str,
        value: &SettingValue,
        asker: &Asker,
    ) -> Result<(), KeyError> {
        self.set_seen(settings, key, value, &self.access(asker))
    }

    fn set_seen(
        &self,
        settings: &mut SessionSettings,
        key: &str,
        value: &SettingValue,
        access: &Access,
    ) -> Result<(), KeyError> {
        let mut new = settings.clone();
        new.set_option(key, value, &self.defaults)?;
        if new.catalog != settings.catalog
            && let Some(catalog) = &new.catalog
        {
            // In its own spelling.
            let written = Ident::new(catalog.as_str());
            let found = self.names.catalog(&written, access);
            new.catalog = Some(found.map_err(KeyError::Value)?);
        }
        if let PlacementMode::Site(site) = &new.placement
            && new.placement != settings.placement
        {
            let sites = self.sites.ids();
            if !sites.contains(site) {
                let names: Vec<String> = sites.iter().map(|site| format!("'{site}'")).collect();
                return Err(KeyError::Value(PlannerError::invalid(format!(
                    "landfast.placement can't be '{site}': it is 'nearest', 'origin' or one of the sites {}",
                    names.join(", ")
                ))));
            }
        }
        *settings = new;
        Ok(())
    }

    pub(super) fn reset(
        &self,
        key: Option<&str>,
        settings: &SessionSettings,
    ) -> Result<CommandOutcome> {
        let new = match key {
            Some(key) => {
                let mut new = settings.clone();
                new.reset(key, &self.defaults)?;
                new
            }
            None => self.defaults.clone(),
        };
        Ok(CommandOutcome {
            settings: Some(new),
            ..CommandOutcome::default()
        })
    }

    /// `USE catalog.schema`, or the one of them that the name fits: a catalog first.
    pub(super) async fn use_name(
        &self,
        name: &ObjectName,
        settings: &SessionSettings,
        access: &Access,
    ) -> Result<CommandOutcome> {
        let mut new = settings.clone();
        let parts = idents(name)?;
        match parts.as_slice() {
            [one] => match self.names.catalog(one, access) {
                Ok(catalog) => {
                    if new.catalog.as_ref() != Some(&catalog) {
                        new.schema = None;
                    }
                    new.catalog = Some(catalog);
                }
                Err(error) => {
                    let Some(catalog) = self.default_catalog(settings, access) else {
                        return Err(error);
                    };
                    new.schema = Some(self.names.schema(&catalog, one, access).await?);
                    new.catalog = Some(catalog);
                }
            },
            [catalog, levels @ ..] => {
                let catalog = self.names.catalog(catalog, access)?;
                let written = joined(levels);
                let schema = self.names.schema(&catalog, &written, access);
                new.schema = Some(schema.await?);
                new.catalog = Some(catalog);
            }
            [] => return Err(PlannerError::invalid("USE what?")),
        }
        Ok(CommandOutcome {
            settings: Some(new),
            ..CommandOutcome::default()
        })
    }

    /// `CALL landfast.cancel`: one query affected, or none where it was cancelled before.
    pub(super) async fn cancel_query(
        &self,
        query: &Argument,
        arguments: &[String],
        asker: &Asker,
        access: &Access,
    ) -> Result<CommandOutcome> {
        let Some(system) = self.system_tables() else {
            return Err(PlannerError::unsupported("no queries are known here"));
        };
        let query = text(query, arguments)?;
        let cancelled = system.cancel(query, asker, access).await?;
        Ok(CommandOutcome {
            affected: Some(i64::from(cancelled)),
            ..CommandOutcome::default()
        })
    }

    /// `DROP TABLE` of a table of the asker's session.
    pub(super) fn drop_temporary(
        &self,
        name: &ObjectName,
        temporary: &Temporary,
        asker: &Asker,
    ) -> Result<CommandOutcome> {
        if let Some(table) = temporary.named(name)? {
            // One that was dropped a moment ago is as gone as this one.
            let session = asker.session.as_deref();
            self.temporary.drop_table(session, table.name());
        }
        Ok(CommandOutcome::default())
    }

    /// CALL, CREATE and DROP. What they changed is seen by this process's next query.
    pub(super) async fn change_catalog(
        &self,
        kind: &CommandKind,
        arguments: &[String],
        settings: &SessionSettings,
        access: &Access,
    ) -> Result<CommandOutcome> {
        match kind {
            CommandKind::RegisterTable { table, metadata } => {
                let written = text(table, arguments)?;
                let name = self.new_table(written, settings, access).await?;
                let uri = CanonicalUri::new(text(metadata, arguments)?);
                let done = self.namespace.register_table(&name, &uri).await;
                self.names.forget(&name.catalog);
                done.map_err(|error| self.seen_by(error, access))?;
            }
            CommandKind::UnregisterTable { table } => {
                let name = parse_name(text(table, arguments)?)?;
                self.drop_table(&name, false, settings, access).await?;
            }
            CommandKind::DropTable { name, or_ignore } => {
                self.drop_table(name, *or_ignore, settings, access).await?
            }
            CommandKind::CreateSchema { name, or_keep } => {
                let (catalog, schema) = self.schema_named(name, settings, access)?;
                let schema = SchemaName::new(&schema.value)?;
                if !access.may_schema(Action::CreateSchema, &catalog, &schema) {
                    let on = format!("{catalog}.{schema}");
                    return Err(not_granted(Action::CreateSchema, on, access));
                }
                let done = self.namespace.create_schema(&catalog, &schema).await;
                self.names.forget(&catalog);
                let done = unless(*or_keep, CatalogErrorKind::Exists, done);
                done.map_err(|error| self.seen_by(error, access))?;
            }
            CommandKind::DropSchema { name, or_ignore } => {
                let (catalog, written) = self.schema_named(name, settings, access)?;
                let schema = match self.names.schema(&catalog, &written, access).await {
                    Ok(schema) => schema,
                    Err(PlannerError::NotFound { .. }) if *or_ignore => {
                        return Ok(CommandOutcome::default());
                    }
                    Err(error) => return Err(error),
                };
                if !access.may_schema(Action::DropSchema, &catalog, &schema) {
                    let on = format!("{catalog}.{schema}");
                    return Err(not_granted(Action::DropSchema, on, access));
                }
                let done = self.namespace.drop_schema(&catalog, &schema).await;
                self.names.forget(&catalog);
                let done = unless(*or_ignore, CatalogErrorKind::NotFound, done);
                done.map_err(|error| self.seen_by(error, access))?;
            }
            CommandKind::Set { .. }
            | CommandKind::Reset { .. }
            | CommandKind::Use { .. }
            | CommandKind::CancelQuery { .. } => {
                return Err(PlannerError::internal("this is no catalog's business"));
            }
        }
        Ok(CommandOutcome::default())
    }

    async fn drop_table(
        &self,
        written: &ObjectName,
        or_ignore: bool,
        settings: &SessionSettings,
        access: &Access,
    ) -> Result<()> {
        let log = ReadLog::new();
        let how = Resolving {
            settings,
            access,
            pins: &[],
            log: &log,
            resolved: &ResolvedSnapshots::default(),
            within: Within::default(),
            temporary: &Temporary::default(),
        };
        let name = match self.table_named(written, how).await {
            Ok(name) => name,
            Err(PlannerError::NotFound { .. }) if or_ignore => return Ok(()),
            Err(error) => return Err(error),
        };
        ours(&name.catalog, &name.schema)?;
        if !access.may(Action::DropTable, &name) {
            return Err(not_granted(Action::DropTable, &name, access));
        }
        let done = self.namespace.drop_table(&name).await;
        self.names.forget(&name.catalog);
        unless(or_ignore, CatalogErrorKind::NotFound, done)
            .map_err(|error| self.seen_by(error, access))
    }

    /// The name of a table that is to be: its catalog and schema exist, its own name is taken as written.
    async fn new_table(
        &self,
        written: &str,
        settings: &SessionSettings,
        access: &Access,
    ) -> Result<TableName> {
        let parts = idents(&parse_name(written)?)?;
        let (catalog, schema, table) = self.with_defaults(&parts, settings, access)?;
        let catalog = self.names.catalog(&catalog, access)?;
        ours(&catalog, &SchemaName::new(&schema.value)?)?;
        let schema = self.names.schema(&catalog, &schema, access).await?;
        let name = TableName::new(catalog, schema, table.value)?;
        match access.may(Action::RegisterTable, &name) {
            true => Ok(name),
            false => Err(not_granted(Action::RegisterTable, &name, access)),
        }
    }

    /// The catalog and the written name of a schema: `schema`, `catalog.schema`, or the levels of a nested one.
    fn schema_named(
        &self,
        name: &ObjectName,
        settings: &SessionSettings,
        access: &Access,
    ) -> Result<(CatalogName, Ident)> {
        let parts = idents(name)?;
        let (catalog, schema) = match parts.as_slice() {
            [schema] => {
                let catalog = self.default_catalog(settings, access).ok_or_else(|| {
                    PlannerError::invalid(format!(
                        "there is no default catalog for schema {}: write catalog.schema, or SET landfast.catalog",
                        schema.value
                    ))
                    .at(place(schema.span))
                })?;
                (catalog, schema.clone())
            }
            [catalog, levels @ ..] => (self.names.catalog(catalog, access)?, joined(levels)),
            [] => return Err(PlannerError::invalid("a schema's name is empty")),
        };
        ours(&catalog, &SchemaName::new(&schema.value)?)?;
        Ok((catalog, schema))
    }
}

/// Landfast's own catalog and every information_schema are nobody's to change.
fn ours(catalog: &CatalogName, schema: &SchemaName) -> Result<()> {
    if catalog.as_str() == SYSTEM_CATALOG
        || schema
            .as_str()
            .eq_ignore_ascii_case(super::information_schema::NAME)
    {
        return Err(PlannerError::denied(format!(
            "{catalog}.{schema} belongs to Landfast and can't be changed"
        )));
    }
    Ok(())
}

/// IF EXISTS and IF NOT EXISTS: this one failure is none.
fn unless(
    forgiven: bool,
    kind: CatalogErrorKind,
    done: Result<(), CatalogError>,
) -> Result<(), CatalogError> {
    match done {
        Err(error) if forgiven && error.kind() == kind => Ok(()),
        done => done,
    }
}

fn text<'a>(argument: &'a Argument, arguments: &'a [String]) -> Result<&'a str> {
    match argument {
        Argument::Text(text) => Ok(text),
        Argument::Parameter(number) => number
            .checked_sub(1)
            .and_then(|at| arguments.get(at))
            .map(String::as_str)
            .ok_or_else(|| PlannerError::invalid(format!("parameter ${number} is not bound"))),
    }
}

/// A table's name inside a text, by the same rules as in a statement.
fn parse_name(written: &str) -> Result<ObjectName> {
    let bad = || {
        PlannerError::invalid(format!(
            "{written:?} is no table's name: write catalog.schema.table"
        ))
    };
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect)
        .try_with_sql(written)
        .map_err(|_| bad())?;
    let name = parser.parse_object_name(false).map_err(|_| bad())?;
    if parser.peek_token().token != datafusion::sql::sqlparser::tokenizer::Token::EOF {
        return Err(bad());
    }
    Ok(name)
}
