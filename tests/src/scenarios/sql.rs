//! `flight_sql` and `flight_sql:extension`: every command of Flight SQL once, with and without a transaction.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::SqlInfoDataBuilder;
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedSubstraitPlanRequest,
    ActionEndSavepointRequest, ActionEndTransactionRequest, Any, Command,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementQuery,
    CommandStatementSubstraitPlan, CommandStatementUpdate, ProstMessageExt, SqlInfo,
    SqlSupportedTransaction, SubstraitPlan, TicketStatementQuery,
};
use arrow_flight::{CancelStatus, FlightDescriptor, FlightInfo, SchemaResult, Ticket};
use bytes::Bytes;
use futures::TryStreamExt;
use landfast_proxy::flight::dispatch::messages::CreatePreparedStatementResult;
use landfast_proxy::flight::dispatch::{
    ActionKind, Answer, Backend, FlightStream, Put, listing_schema, sql_info_batch,
};
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Response, Status};

use super::{Anybody, flow, info, schema_bytes};

/// Rows that an update changes.
pub const UPDATED: i64 = 10_000;
/// Rows that an update in a transaction changes.
pub const UPDATED_IN_TRANSACTION: i64 = 15_000;
/// Rows that a prepared update changes.
pub const UPDATED_PREPARED: i64 = 20_000;
/// Rows that a prepared update in a transaction changes.
pub const UPDATED_PREPARED_IN_TRANSACTION: i64 = 25_000;
/// The transaction.
pub const TRANSACTION: &str = "transaction_id";
/// The savepoint.
pub const SAVEPOINT: &str = "savepoint_id";
/// The savepoint's name.
pub const SAVEPOINT_NAME: &str = "savepoint_name";
/// Ends a handle's name in a transaction.
const IN_TRANSACTION: &str = " WITH TXN";

/// The plan that stands for every Substrait plan.
pub fn plan() -> SubstraitPlan {
    SubstraitPlan {
        plan: Bytes::from_static(b"plan"),
        version: "version".to_owned(),
    }
}

/// What every query gives, by whether it runs in a transaction.
pub fn rows_schema(in_transaction: bool) -> SchemaRef {
    let field = match in_transaction {
        false => Field::new("id", DataType::Int64, true),
        true => Field::new("pkey", DataType::Int32, true),
    };
    let metadata = [
        ("TABLE_NAME", "test"),
        ("IS_AUTO_INCREMENT", "1"),
        ("IS_CASE_SENSITIVE", "0"),
        ("TYPE_NAME", "type_test"),
        ("SCHEMA_NAME", "schema_test"),
        ("IS_SEARCHABLE", "1"),
        ("CATALOG_NAME", "catalog_test"),
        ("PRECISION", "100"),
        ("REMARKS", "test column"),
    ];
    let metadata: HashMap<_, _> = metadata
        .map(|(key, value)| (format!("ARROW:FLIGHT:SQL:{key}"), value.to_owned()))
        .into();
    Arc::new(Schema::new(vec![field.with_metadata(metadata)]))
}

/// The values of the codes that `flight_sql:extension` asks for.
pub fn sql_infos() -> SqlInfoDataBuilder {
    let mut infos = SqlInfoDataBuilder::new();
    infos.append(SqlInfo::FlightSqlServerSql, false);
    infos.append(SqlInfo::FlightSqlServerSubstrait, true);
    infos.append(SqlInfo::FlightSqlServerSubstraitMinVersion, "min_version");
    infos.append(SqlInfo::FlightSqlServerSubstraitMaxVersion, "max_version");
    infos.append(
        SqlInfo::FlightSqlServerTransaction,
        SqlSupportedTransaction::Savepoint as i32,
    );
    infos.append(SqlInfo::FlightSqlServerCancel, true);
    infos.append(SqlInfo::FlightSqlServerStatementTimeout, 42i32);
    infos.append(SqlInfo::FlightSqlServerTransactionTimeout, 7i32);
    infos
}

/// Answers each command as the scenarios want it, and refuses every other.
pub(super) struct Canned;

fn wrong(what: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("another {what} than the scenario's"))
}

fn expect(holds: bool, what: impl std::fmt::Display) -> Result<(), Status> {
    if holds { Ok(()) } else { Err(wrong(what)) }
}

/// Whether it runs in the transaction that there is.
fn in_transaction(id: Option<&Bytes>) -> Result<bool, Status> {
    match id {
        Some(id) if !id.is_empty() => expect(id == TRANSACTION, "transaction").map(|()| true),
        _ => Ok(false),
    }
}

fn handle(words: &str, in_transaction: bool) -> String {
    let within = if in_transaction { IN_TRANSACTION } else { "" };
    format!("{words}{within} HANDLE")
}

/// Whether a handle for one of these is of a transaction.
fn told_apart(given: &Bytes, words: &[&str]) -> Result<bool, Status> {
    let kinds = words
        .iter()
        .flat_map(|words| [(words, false), (words, true)]);
    let mut known = kinds.map(|(words, within)| (handle(words, within), within));
    known
        .find(|(handle, _)| given == handle.as_bytes())
        .map(|(_, within)| within)
        .ok_or_else(|| wrong(format!("handle ({given:?})")))
}

fn substrait(plan: &CommandStatementSubstraitPlan) -> Result<bool, Status> {
    expect(plan.plan == Some(self::plan()), "plan")?;
    in_transaction(plan.transaction_id.as_ref())
}

fn ticket(handle: String) -> Vec<u8> {
    TicketStatementQuery {
        statement_handle: handle.into(),
    }
    .as_any()
    .encode_to_vec()
}

fn told(schema: &Schema) -> Answer<SchemaResult> {
    let schema = schema_bytes(schema)?;
    Ok(Response::new(SchemaResult { schema }))
}

fn no_rows(schema: SchemaRef) -> Answer<FlightStream> {
    Ok(Response::new(flow(schema, vec![])))
}

fn shape(command: &Command) -> Result<SchemaRef, Status> {
    listing_schema(command).map_err(Status::from)
}

/// Refuses a listing command with other arguments than the scenario's.
fn expect_listing(command: &Command) -> Result<(), Status> {
    let is = |given: &Option<String>, expected: &str| given.as_deref() == Some(expected);
    match command {
        Command::CommandGetDbSchemas(command) => expect(
            is(&command.catalog, "catalog")
                && is(
                    &command.db_schema_filter_pattern,
                    "db_schema_filter_pattern",
                ),
            "GetDbSchemas",
        ),
        Command::CommandGetTables(command) => expect(
            is(&command.catalog, "catalog")
                && is(
                    &command.db_schema_filter_pattern,
                    "db_schema_filter_pattern",
                )
                && is(&command.table_name_filter_pattern, "table_filter_pattern")
                && command.table_types == ["table", "view"]
                && command.include_schema,
            "GetTables",
        ),
        Command::CommandGetPrimaryKeys(command) => expect(
            is(&command.catalog, "catalog")
                && is(&command.db_schema, "db_schema")
                && command.table == "table",
            "GetPrimaryKeys",
        ),
        Command::CommandGetExportedKeys(command) => expect(
            is(&command.catalog, "catalog")
                && is(&command.db_schema, "db_schema")
                && command.table == "table",
            "GetExportedKeys",
        ),
        Command::CommandGetImportedKeys(command) => expect(
            is(&command.catalog, "catalog")
                && is(&command.db_schema, "db_schema")
                && command.table == "table",
            "GetImportedKeys",
        ),
        Command::CommandGetCrossReference(command) => expect(
            is(&command.pk_catalog, "pk_catalog")
                && is(&command.pk_db_schema, "pk_db_schema")
                && command.pk_table == "pk_table"
                && is(&command.fk_catalog, "fk_catalog")
                && is(&command.fk_db_schema, "fk_db_schema")
                && command.fk_table == "fk_table",
            "GetCrossReference",
        ),
        _ => Ok(()),
    }
}

#[tonic::async_trait]
impl Backend for Canned {
    type Caller = Anybody;

    async fn receive(&self, _: &MetadataMap, _: &Extensions) -> Result<Anybody, Status> {
        Ok(())
    }

    fn actions(&self) -> &[ActionKind] {
        &ActionKind::ALL
    }

    async fn statement_info(
        &self,
        (): Anybody,
        query: CommandStatementQuery,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        expect(query.query == "SELECT STATEMENT", "statement")?;
        let within = in_transaction(query.transaction_id.as_ref())?;
        let ticket = ticket(handle("SELECT STATEMENT", within));
        info(&rows_schema(within), descriptor, [ticket]).map(Response::new)
    }

    async fn statement_schema(
        &self,
        (): Anybody,
        query: CommandStatementQuery,
    ) -> Answer<SchemaResult> {
        expect(query.query == "SELECT STATEMENT", "statement")?;
        told(&rows_schema(in_transaction(query.transaction_id.as_ref())?))
    }

    async fn statement_get(
        &self,
        (): Anybody,
        handle: TicketStatementQuery,
        _: Ticket,
    ) -> Answer<FlightStream> {
        let within = told_apart(&handle.statement_handle, &["SELECT STATEMENT", "PLAN"])?;
        no_rows(rows_schema(within))
    }

    async fn substrait_info(
        &self,
        (): Anybody,
        plan: CommandStatementSubstraitPlan,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        let within = substrait(&plan)?;
        let ticket = ticket(handle("PLAN", within));
        info(&rows_schema(within), descriptor, [ticket]).map(Response::new)
    }

    async fn substrait_schema(
        &self,
        (): Anybody,
        plan: CommandStatementSubstraitPlan,
    ) -> Answer<SchemaResult> {
        told(&rows_schema(substrait(&plan)?))
    }

    async fn prepared_info(
        &self,
        (): Anybody,
        query: CommandPreparedStatementQuery,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        let words = ["SELECT PREPARED STATEMENT", "PLAN"];
        let within = told_apart(&query.prepared_statement_handle, &words)?;
        let ticket = descriptor.cmd.to_vec();
        info(&rows_schema(within), descriptor, [ticket]).map(Response::new)
    }

    async fn prepared_schema(
        &self,
        (): Anybody,
        query: CommandPreparedStatementQuery,
    ) -> Answer<SchemaResult> {
        let words = ["SELECT PREPARED STATEMENT", "PLAN"];
        told(&rows_schema(told_apart(
            &query.prepared_statement_handle,
            &words,
        )?))
    }

    async fn prepared_get(
        &self,
        (): Anybody,
        query: CommandPreparedStatementQuery,
    ) -> Answer<FlightStream> {
        let words = ["SELECT PREPARED STATEMENT", "PLAN"];
        no_rows(rows_schema(told_apart(
            &query.prepared_statement_handle,
            &words,
        )?))
    }

    async fn listing_info(
        &self,
        (): Anybody,
        command: Command,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        expect_listing(&command)?;
        let ticket = descriptor.cmd.to_vec();
        let schema = shape(&command)?;
        info(&schema, descriptor, [ticket]).map(Response::new)
    }

    async fn listing_schema(&self, (): Anybody, command: Command) -> Answer<SchemaResult> {
        let schema = shape(&command)?;
        told(&schema)
    }

    async fn listing_get(&self, (): Anybody, command: Command) -> Answer<FlightStream> {
        let schema = shape(&command)?;
        match command {
            // `flight_sql` asks for two codes and reads the schema alone; the values are `flight_sql:extension`'s.
            Command::CommandGetSqlInfo(command) if command.info.len() != 2 => {
                let infos = sql_infos().build();
                let built = infos.and_then(|infos| infos.record_batch(command.info));
                let built = built.map_err(|error| Status::internal(error.to_string()))?;
                let batch = sql_info_batch(&built);
                let batch = batch.map_err(|error| Status::internal(error.to_string()))?;
                Ok(Response::new(flow(schema, vec![batch])))
            }
            _ => no_rows(schema),
        }
    }

    async fn update(&self, (): Anybody, update: CommandStatementUpdate) -> Answer<i64> {
        expect(update.query == "UPDATE STATEMENT", "statement")?;
        Ok(Response::new(
            match in_transaction(update.transaction_id.as_ref())? {
                false => UPDATED,
                true => UPDATED_IN_TRANSACTION,
            },
        ))
    }

    async fn substrait_update(
        &self,
        (): Anybody,
        plan: CommandStatementSubstraitPlan,
    ) -> Answer<i64> {
        Ok(Response::new(match substrait(&plan)? {
            false => UPDATED,
            true => UPDATED_IN_TRANSACTION,
        }))
    }

    async fn bind(
        &self,
        (): Anybody,
        query: CommandPreparedStatementQuery,
        put: Put,
    ) -> Answer<Bytes> {
        let handle = query.prepared_statement_handle;
        told_apart(&handle, &["SELECT PREPARED STATEMENT", "PLAN"])?;
        let messages = put.into_messages().map_err(FlightError::from);
        let rows = FlightRecordBatchStream::new_from_flight_data(messages);
        let rows: Vec<_> = rows.try_collect().await.map_err(Status::from)?;
        let expected = rows_schema(false);
        expect(
            rows.iter().all(|rows| rows.schema() == expected) && rows.len() == 1,
            "row of parameters",
        )?;
        Ok(Response::new(handle))
    }

    async fn prepared_update(
        &self,
        (): Anybody,
        update: CommandPreparedStatementUpdate,
        _: Put,
    ) -> Answer<i64> {
        let words = ["UPDATE PREPARED STATEMENT", "PLAN"];
        let within = told_apart(&update.prepared_statement_handle, &words)?;
        Ok(Response::new(match within {
            false => UPDATED_PREPARED,
            true => UPDATED_PREPARED_IN_TRANSACTION,
        }))
    }

    async fn prepare(
        &self,
        (): Anybody,
        request: ActionCreatePreparedStatementRequest,
    ) -> Answer<CreatePreparedStatementResult> {
        let words = ["SELECT PREPARED STATEMENT", "UPDATE PREPARED STATEMENT"];
        expect(words.contains(&request.query.as_str()), "statement")?;
        let within = in_transaction(request.transaction_id.as_ref())?;
        Ok(Response::new(CreatePreparedStatementResult {
            prepared_statement_handle: handle(&request.query, within).into(),
            is_update: Some(request.query.starts_with("UPDATE")),
            ..Default::default()
        }))
    }

    async fn prepare_substrait(
        &self,
        (): Anybody,
        request: ActionCreatePreparedSubstraitPlanRequest,
    ) -> Answer<CreatePreparedStatementResult> {
        expect(request.plan == Some(plan()), "plan")?;
        let within = in_transaction(request.transaction_id.as_ref())?;
        Ok(Response::new(CreatePreparedStatementResult {
            prepared_statement_handle: handle("PLAN", within).into(),
            ..Default::default()
        }))
    }

    async fn close_prepared(
        &self,
        (): Anybody,
        request: ActionClosePreparedStatementRequest,
    ) -> Answer<()> {
        let words = [
            "SELECT PREPARED STATEMENT",
            "UPDATE PREPARED STATEMENT",
            "PLAN",
        ];
        told_apart(&request.prepared_statement_handle, &words)?;
        Ok(Response::new(()))
    }

    async fn begin_transaction(&self, (): Anybody) -> Answer<Bytes> {
        Ok(Response::new(Bytes::from_static(TRANSACTION.as_bytes())))
    }

    async fn end_transaction(
        &self,
        (): Anybody,
        request: ActionEndTransactionRequest,
    ) -> Answer<()> {
        expect(request.transaction_id == TRANSACTION, "transaction")?;
        expect((1..=2).contains(&request.action), "end of a transaction")?;
        Ok(Response::new(()))
    }

    async fn begin_savepoint(
        &self,
        (): Anybody,
        request: ActionBeginSavepointRequest,
    ) -> Answer<Bytes> {
        expect(request.transaction_id == TRANSACTION, "transaction")?;
        expect(request.name == SAVEPOINT_NAME, "savepoint")?;
        Ok(Response::new(Bytes::from_static(SAVEPOINT.as_bytes())))
    }

    async fn end_savepoint(&self, (): Anybody, request: ActionEndSavepointRequest) -> Answer<()> {
        expect(request.savepoint_id == SAVEPOINT, "savepoint")?;
        expect((1..=2).contains(&request.action), "end of a savepoint")?;
        Ok(Response::new(()))
    }

    async fn cancel(&self, (): Anybody, info: FlightInfo) -> Answer<CancelStatus> {
        let [endpoint] = &info.endpoint[..] else {
            return Err(wrong("number of endpoints"));
        };
        let ticket = endpoint.ticket.clone().unwrap_or_default().ticket;
        let any = Any::decode(ticket).map_err(|_| wrong("ticket"))?;
        let ticket: Option<TicketStatementQuery> = any.unpack().map_err(|_| wrong("ticket"))?;
        expect(
            ticket.is_some_and(|ticket| ticket.statement_handle == "PLAN HANDLE"),
            "ticket",
        )?;
        Ok(Response::new(CancelStatus::Cancelled))
    }
}
