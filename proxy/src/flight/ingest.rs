//! Rows that a client puts into a table (CommandStatementIngest): one of its session, held in memory.
//!
//! The rows are received and charged first, and are then put into the table, all at once: an upload that fails, is
//! cancelled or is given up leaves the table as it was. An upload that waits for its client has no place among the
//! running queries; what it holds is bounded by what temporary tables may take.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use futures::{StreamExt, TryStreamExt};
use landfast_planner::{
    IfMissing, IfThere, SYSTEM_CATALOG, SessionTables, TEMPORARY_SCHEMA, Upload,
};
use tonic::{Response, Status};

use super::Core;
use super::caller::Caller;
use super::dispatch::{FlightStream, Put};
use super::fault::Fault;
use super::incoming::{self, Incoming};
use super::service::no_transaction;
use super::stream::called_off;
use crate::admission::Stage;
use crate::limits::{Deadline, LimitError};
use crate::queries::{Query, QueryKind};

impl Core {
    /// Puts rows into a table of the caller's session; how many there were.
    pub(super) async fn ingest_rows(
        &self,
        mut caller: Caller,
        ingest: CommandStatementIngest,
        put: Put,
    ) -> Result<Response<i64>, Status> {
        let query = self.begin(&caller, &shown(&ingest), QueryKind::Command);
        let id = query.id();
        match self.ingested(&mut caller, &ingest, put, query).await {
            Ok(rows) => Ok(caller.respond(rows, Some(id))),
            Err(fault) => Err(caller.refuse(&fault, Some(id))),
        }
    }

    async fn ingested(
        &self,
        caller: &mut Caller,
        ingest: &CommandStatementIngest,
        put: Put,
        query: Query,
    ) -> Result<i64, Fault> {
        query.may_be_stopped();
        let uploaded = tokio::select! {
            biased;
            () = query.stop().cancelled() => Err(called_off()),
            uploaded = self.uploaded(caller, ingest, put) => uploaded,
        };
        let uploaded = uploaded.and_then(|upload| match query.goes_through() {
            true => Ok(upload),
            false => Err(called_off()),
        });
        let upload = match uploaded {
            Ok(upload) => upload,
            Err(fault) => {
                query.fail(fault.label(), &fault.to_string());
                return Err(fault);
            }
        };
        let committing = self.cpu.spawn(async move { upload.commit() });
        to_its_end(query, async { Ok(committing.await.map_err(died)??) }).await
    }

    /// Receives what is to be put into the table.
    async fn uploaded(
        &self,
        caller: &mut Caller,
        ingest: &CommandStatementIngest,
        put: Put,
    ) -> Result<Upload, Fault> {
        let wanted = Wanted::of(ingest)?;
        let deadline = Deadline::after(self.limits.query_timeout, caller.timeout);
        // Nothing new begins while the server is too busy or shuts down.
        let asker = &caller.principal.name;
        let admitted = deadline.bound(self.admission.admit(asker, Stage::New));
        drop(admitted.await??);
        let (tables, cookie) = self.reception.sessions.tables(
            &caller.session,
            &caller.principal,
            self.engine.temporary_tables(),
        )?;
        caller.set_cookie = cookie.or(caller.set_cookie.take());
        let idle = self.limits.stream_idle;
        let receiving = received(put.into_messages(), tables, wanted, idle);
        let receiving = self.cpu.spawn(receiving);
        deadline.bound(receiving).await?.map_err(died)?
    }
}

/// Puts the rows into the table and that on record, as a whole, whether or not the client is still there.
pub(super) async fn to_its_end(
    query: Query,
    committed: impl Future<Output = Result<usize, Fault>> + Send + 'static,
) -> Result<i64, Fault> {
    let task = tokio::spawn(async move {
        match committed.await {
            Ok(rows) => {
                let rows = i64::try_from(rows).unwrap_or(i64::MAX);
                query.finish_command(Some(rows));
                Ok(rows)
            }
            Err(fault) => {
                query.fail(fault.label(), &fault.to_string());
                Err(fault)
            }
        }
    });
    task.await.map_err(died)?
}

fn died(error: impl std::fmt::Display) -> Fault {
    Fault::internal(format!("the upload ended unexpectedly: {error}"))
}

/// What the command is called among statements.
fn shown(ingest: &CommandStatementIngest) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut name = quoted(&ingest.table);
    for of in [&ingest.schema, &ingest.catalog].into_iter().flatten() {
        name = format!("{}.{name}", quoted(of));
    }
    let temporary = if ingest.temporary { "TEMPORARY " } else { "" };
    format!("INGEST INTO {temporary}{name}")
}

/// What a client wants done with its rows.
#[derive(Debug)]
struct Wanted {
    table: String,
    missing: IfMissing,
    there: IfThere,
}

impl Wanted {
    /// Understands every option of a command, or refuses it by its name.
    fn of(ingest: &CommandStatementIngest) -> Result<Self, Fault> {
        if !ingest.temporary {
            return Err(Fault::unimplemented(format!(
                "rows can't be put into the table {:?}: writing tables of the lake comes later. Put them into a \
                 temporary table, which is the session's own (`temporary`; ADBC in Python: \
                 `adbc_ingest(…, temporary=True)`)",
                ingest.table
            )));
        }
        no_transaction(ingest.transaction_id.as_ref())?;
        if let Some(option) = ingest.options.keys().min() {
            return Err(Fault::unimplemented(format!(
                "there is no option {option:?} for putting rows into a table: leave it out"
            )));
        }
        let place = [
            ("catalog", &ingest.catalog, SYSTEM_CATALOG),
            ("schema", &ingest.schema, TEMPORARY_SCHEMA),
        ];
        for (what, given, ours) in place {
            if let Some(given) = given
                .as_deref()
                .filter(|given| !given.is_empty() && *given != ours)
            {
                return Err(Fault::malformed(format!(
                    "a temporary table can't be in the {what} {given:?}: all are in {SYSTEM_CATALOG}.{TEMPORARY_SCHEMA}, \
                     so leave catalog and schema out"
                )));
            }
        }
        let unsaid = |what: &str| {
            Fault::malformed(format!(
                "`table_definition_options.{what}` doesn't say what to do: give it one of its values"
            ))
        };
        let options = ingest.table_definition_options.unwrap_or_default();
        let missing = match TableNotExistOption::try_from(options.if_not_exist) {
            Ok(TableNotExistOption::Create) => IfMissing::Create,
            Ok(TableNotExistOption::Fail) => IfMissing::Fail,
            Ok(TableNotExistOption::Unspecified) | Err(_) => return Err(unsaid("if_not_exist")),
        };
        let there = match TableExistsOption::try_from(options.if_exists) {
            Ok(TableExistsOption::Fail) => IfThere::Fail,
            Ok(TableExistsOption::Append) => IfThere::Append,
            Ok(TableExistsOption::Replace) => IfThere::Replace,
            Ok(TableExistsOption::Unspecified) | Err(_) => return Err(unsaid("if_exists")),
        };
        Ok(Self {
            table: ingest.table.clone(),
            missing,
            there,
        })
    }
}

/// Receives all rows, of a client that goes on sending.
async fn received(
    messages: FlightStream,
    tables: Arc<SessionTables>,
    wanted: Wanted,
    idle: Duration,
) -> Result<Upload, Fault> {
    let mut incoming = Incoming::default();
    let messages = messages
        // A message with a descriptor only (or with metadata of the client's own) carries no data.
        .try_filter(|message| std::future::ready(!message.data_header.is_empty()))
        .map(move |message| {
            let message = message.map_err(FlightError::from)?;
            incoming.look_through(message)
        });
    let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
    let begin =
        |schema: &SchemaRef| tables.begin(&wanted.table, wanted.missing, wanted.there, schema);
    let mut upload = None;
    loop {
        let next = tokio::time::timeout(idle, batches.next()).await;
        let next = next.map_err(|_| LimitError::UploadIdle {
            idle_ms: u64::try_from(idle.as_millis()).unwrap_or(u64::MAX),
        })?;
        let Some(batch) = next.transpose().map_err(unreadable)? else {
            break;
        };
        let upload = match &mut upload {
            Some(upload) => upload,
            none => none.insert(begin(&batch.schema())?),
        };
        upload.push(&batch)?;
    }
    match (upload, batches.schema()) {
        (Some(upload), _) => Ok(upload),
        (None, Some(schema)) => Ok(begin(schema)?),
        (None, None) => Err(Fault::malformed(
            "neither columns nor rows came for the table: send a schema at least",
        )),
    }
}

fn unreadable(error: FlightError) -> Fault {
    incoming::unreadable("the rows", error)
}

#[cfg(test)]
mod tests {
    use arrow_flight::sql::TableDefinitionOptions;

    use super::*;

    type Change = fn(&mut CommandStatementIngest);

    fn command() -> CommandStatementIngest {
        CommandStatementIngest {
            table_definition_options: Some(TableDefinitionOptions {
                if_not_exist: TableNotExistOption::Create as i32,
                if_exists: TableExistsOption::Append as i32,
            }),
            table: "t".into(),
            temporary: true,
            ..CommandStatementIngest::default()
        }
    }

    #[test]
    fn every_option_is_understood_or_refused_by_its_name() {
        let wanted = Wanted::of(&command()).unwrap();
        assert_eq!(
            (wanted.missing, wanted.there),
            (IfMissing::Create, IfThere::Append)
        );
        let fine: [Change; 3] = [
            |command| command.schema = Some("temporary".into()),
            |command| command.catalog = Some("landfast".into()),
            |command| {
                (command.catalog, command.schema) = (Some(String::new()), Some(String::new()))
            },
        ];
        for change in fine {
            let mut command = command();
            change(&mut command);
            assert!(Wanted::of(&command).is_ok(), "{command:?}");
        }
        let refused: [(Change, &str); 8] = [
            (|command| command.temporary = false, "comes later"),
            (
                |command| command.transaction_id = Some("tx".into()),
                "transaction",
            ),
            (
                |command| drop(command.options.insert("speed".into(), "9".into())),
                "\"speed\"",
            ),
            (
                |command| command.schema = Some("tpch".into()),
                "schema \"tpch\"",
            ),
            (
                |command| command.catalog = Some("lake".into()),
                "catalog \"lake\"",
            ),
            (
                |command| command.table_definition_options = None,
                "if_not_exist",
            ),
            (
                |command| command.table_definition_options.as_mut().unwrap().if_exists = 0,
                "if_exists",
            ),
            (
                |command| {
                    command
                        .table_definition_options
                        .as_mut()
                        .unwrap()
                        .if_not_exist = 9
                },
                "if_not_exist",
            ),
        ];
        for (change, named) in refused {
            let mut command = command();
            change(&mut command);
            let text = Wanted::of(&command).unwrap_err().to_string();
            assert!(text.contains(named), "{text}");
        }
    }

    #[test]
    fn a_table_is_shown_by_the_name_that_it_was_given() {
        let mut command = command();
        command.table = "a\"b".into();
        assert_eq!(shown(&command), "INGEST INTO TEMPORARY \"a\"\"b\"");
        (command.catalog, command.schema) = (Some("lake".into()), Some("tpch".into()));
        command.temporary = false;
        assert_eq!(shown(&command), "INGEST INTO \"lake\".\"tpch\".\"a\"\"b\"");
    }
}
