//! The catalog commands: what there is, by the shapes that the protocol gives.

mod keys;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow_flight::sql::{
    Command, CommandGetCatalogs, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTableTypes,
    CommandGetTables,
};
use futures::{StreamExt, stream};
use landfast_catalog::{Reading, TableName, TableSnapshot};
use landfast_planner::access::TableAccess;
use landfast_planner::{Asker, TableEntry, TableKind};
use landfast_sites::ReadLog;

use super::Core;
use super::caller::Caller;
use super::dispatch::{FOREIGN_KEYS, FlightStream, not_a_listing};
use super::fault::Fault;
use super::stream::{messages_of, whole};
use super::xdbc::type_info;
use crate::limits::Deadline;
use tables::{Pattern, Wanted};

/// Parts of a listing of tables that are made at once.
const PARTS_AT_ONCE: usize = 4;
/// Tables whose keys are looked up at once.
const LOOKED_UP_AT_ONCE: usize = 16;
/// How old the pointer to a table may be when its keys are told.
const POINTER_AGE_MAX: Duration = Duration::from_secs(60);

/// The result of a catalog command.
pub(super) async fn result(
    core: &Arc<Core>,
    caller: &Caller,
    command: Command,
) -> Result<FlightStream, Fault> {
    let deadline = Deadline::after(core.limits.query_timeout, caller.timeout);
    if let Command::CommandGetTables(command) = command {
        return deadline
            .bound(tables(core, &caller.asker(), command))
            .await?;
    }
    let batch = deadline.bound(batch(core, caller, command)).await??;
    whole(&batch.schema(), &[batch])
}

async fn batch(core: &Core, caller: &Caller, command: Command) -> Result<RecordBatch, Fault> {
    match command {
        Command::CommandGetCatalogs(_) => catalogs(core, &caller.asker()),
        Command::CommandGetDbSchemas(command) => schemas(core, &caller.asker(), command).await,
        Command::CommandGetTableTypes(_) => table_types(),
        Command::CommandGetSqlInfo(command) => core.info.batch(command.info),
        Command::CommandGetXdbcTypeInfo(command) => type_info(command.data_type),
        Command::CommandGetPrimaryKeys(command) => {
            primary_keys(core, &caller.asker(), command).await
        }
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => Ok(RecordBatch::new_empty(FOREIGN_KEYS.clone())),
        other => Err(not_a_listing(&other).into()),
    }
}

fn catalogs(core: &Core, asker: &Asker) -> Result<RecordBatch, Fault> {
    let mut builder = CommandGetCatalogs {}.into_builder();
    for catalog in core.engine.catalogs(asker) {
        builder.append(catalog);
    }
    builder.build().map_err(Fault::internal)
}

async fn schemas(
    core: &Core,
    asker: &Asker,
    command: CommandGetDbSchemas,
) -> Result<RecordBatch, Fault> {
    let pattern = command
        .db_schema_filter_pattern
        .as_deref()
        .map(Pattern::new);
    let mut builder = CommandGetDbSchemas::default().into_builder();
    for (catalog, schema) in core.engine.entries(asker).await.schemas {
        if command
            .catalog
            .as_deref()
            .is_none_or(|wanted| wanted == catalog)
            && pattern
                .as_ref()
                .is_none_or(|pattern| pattern.matches(&schema))
        {
            builder.append(catalog, schema);
        }
    }
    builder.build().map_err(Fault::internal)
}

fn table_types() -> Result<RecordBatch, Fault> {
    let mut builder = CommandGetTableTypes {}.into_builder();
    for kind in [
        TableKind::Table,
        TableKind::System,
        TableKind::View,
        TableKind::Temporary,
    ] {
        builder.append(kind.as_str());
    }
    builder.build().map_err(Fault::internal)
}

async fn tables(
    core: &Core,
    asker: &Asker,
    command: CommandGetTables,
) -> Result<FlightStream, Fault> {
    let wanted = Wanted::of(&command);
    let entries = core
        .engine
        .entries(asker)
        .await
        .tables
        .into_iter()
        .filter(|entry| wanted.takes(entry));
    let found: Vec<(TableEntry, Option<Arc<Schema>>)> = if command.include_schema {
        core.engine.table_schemas(entries.collect(), asker).await
    } else {
        entries.map(|entry| (entry, None)).collect()
    };
    let mut without = found.iter().filter(|(_, columns)| columns.is_none());
    if command.include_schema
        && let Some((first, _)) = without.next()
    {
        // A table whose columns can't be had stays in the list.
        let others = without.count();
        tracing::warn!(
            target: "landfast::flight",
            others,
            first = format!("{}.{}.{}", first.catalog, first.schema, first.table),
            "tables are listed without columns, which could not be had; landfast.system.tables says why"
        );
    }
    // Thousands of schemas take a while to encode: a part at a time, on every core.
    let opening = whole(&command.clone().into_builder().schema(), &[])?;
    let (cpu, command) = (Arc::clone(&core.cpu), Arc::new(command));
    let parts = stream::iter(tables::parts(&command, found))
        .map(move |part| {
            let command = Arc::clone(&command);
            cpu.spawn(async move { messages_of(&tables::build(&command, &part)?) })
        })
        .buffered(PARTS_AT_ONCE)
        .map(|built| match built {
            Ok(Ok(messages)) => stream::iter(messages.into_iter().map(Ok).collect::<Vec<_>>()),
            Ok(Err(fault)) => stream::iter(vec![Err(fault.status(None))]),
            Err(died) => {
                let fault = Fault::internal(format!("the listing ended unexpectedly: {died}"));
                stream::iter(vec![Err(fault.status(None))])
            }
        })
        .flatten();
    Ok(opening.chain(parts).boxed())
}

/// The identifier fields of the tables of this name. Without a catalog or a schema the name may be that of several. A key
/// is told where all of its columns are granted.
async fn primary_keys(
    core: &Core,
    asker: &Asker,
    command: CommandGetPrimaryKeys,
) -> Result<RecordBatch, Fault> {
    let access = core.engine.access(asker);
    let members = core.engine.namespace().listing().await;
    let mut named: Vec<&TableName> = members
        .entries
        .iter()
        .filter(|name| {
            name.table == command.table
                && access.sees_table(name)
                && command
                    .catalog
                    .as_deref()
                    .is_none_or(|catalog| catalog == name.catalog.as_str())
                && command
                    .db_schema
                    .as_deref()
                    .is_none_or(|schema| schema == name.schema.as_str())
        })
        .collect();
    named.sort();
    let lookups: Vec<_> = named
        .into_iter()
        .map(|name| identifiers(core, name.clone()))
        .collect();
    let found: Vec<_> = stream::iter(lookups)
        .buffered(LOOKED_UP_AT_ONCE)
        .collect()
        .await;
    let granted = |(name, columns): &(TableName, Vec<(String, i32)>)| match access.table(name) {
        TableAccess::Read(selection) => columns.iter().all(|(column, _)| selection.has(column)),
        TableAccess::Named | TableAccess::Hidden => false,
    };
    let found = found.into_iter().flatten().filter(granted);
    keys::primary_keys(&found.collect::<Vec<_>>())
}

async fn identifiers(core: &Core, name: TableName) -> Option<(TableName, Vec<(String, i32)>)> {
    let table = resolved(core, &name).await?;
    Some((name, keys::identifier_columns(table.schema())))
}

/// A table as it was known a while ago at most; none if it can't be read.
async fn resolved(core: &Core, name: &TableName) -> Option<Arc<TableSnapshot>> {
    match core.engine.namespace().cached_columns(name) {
        Some(known) => Some(known),
        None => core
            .engine
            .namespace()
            .resolve(name, Reading::bounded(POINTER_AGE_MAX), &ReadLog::new())
            .await
            .ok(),
    }
}
