//! Prepared statements are opened and given their parameters here, and updates run.

use std::sync::Arc;

use arrow_flight::IpcMessage;
use bytes::Bytes;
use landfast_planner::Statement;
use tonic::{Response, Status};

use super::Core;
use super::caller::Caller;
use super::dispatch::Put;
use super::dispatch::messages::CreatePreparedStatementResult;
use super::fault::Fault;
use super::parameters::Parameters;
use super::prepared::Prepared;
use super::statement::ipc_schema;
use super::wire::{wire_schema, wire_schema_in};
use crate::limits::Deadline;
use crate::queries::QueryKind;

impl Core {
    /// Prepares a statement: describes it, and runs nothing.
    pub(super) async fn open_prepared(
        &self,
        caller: &Caller,
        statement: Statement,
    ) -> Result<CreatePreparedStatementResult, Fault> {
        let statement = Arc::new(statement);
        let described = self.describe(&statement, caller).await?;
        let types = self.described_types(caller, &described)?;
        let schema = wire_schema_in(&described.schema, types);
        let parameters = wire_schema(&described.parameters);
        let prepared = Prepared {
            statement,
            schema: schema.clone(),
            bound: None,
            types,
            reads_temporary: described.reads_temporary,
        };
        let handle = self.prepared.open(
            caller.principal.name.clone(),
            caller.session.id().cloned(),
            prepared,
        )?;
        Ok(CreatePreparedStatementResult {
            prepared_statement_handle: handle,
            // Drivers take a statement whose schema is left out for an update.
            dataset_schema: if schema.fields().is_empty() && described.is_update {
                Bytes::new()
            } else {
                bytes(&schema)
            },
            parameter_schema: bytes(&parameters),
            is_update: Some(described.is_update),
        })
    }

    /// Binds what is put to a prepared statement.
    pub(super) async fn bind_parameters(
        &self,
        caller: &Caller,
        handle: &Bytes,
        put: Put,
    ) -> Result<(), Fault> {
        // Known before the parameters are read, so that a closed statement is told as such.
        self.prepared.find(handle, caller)?;
        let parameters = self.receive_parameters(caller, put).await?;
        self.prepared.bind(handle, caller, parameters)
    }

    /// The rows of parameters that are put, if any.
    pub(super) async fn receive_parameters(
        &self,
        caller: &Caller,
        put: Put,
    ) -> Result<Option<Parameters>, Fault> {
        Deadline::after(self.limits.query_timeout, caller.timeout)
            .bound(Parameters::receive(put.into_messages(), &self.limits))
            .await?
    }

    /// Runs a command as an update: how many rows it changed.
    pub(super) async fn run_update(
        self: &Arc<Self>,
        caller: &mut Caller,
        statement: Arc<Statement>,
        parameters: Option<Parameters>,
    ) -> Result<Response<i64>, Status> {
        let query = self.begin(caller, statement.text(), QueryKind::Command);
        let (ran, query) = self.run(caller, statement, parameters, query).await?;
        query.finish_command(Some(ran.affected));
        Ok(caller.respond(ran.affected, Some(ran.id)))
    }
}

fn bytes(schema: &arrow::datatypes::Schema) -> Bytes {
    let IpcMessage(bytes) = ipc_schema(schema);
    bytes
}
