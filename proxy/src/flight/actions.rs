//! DoAction: prepared statements are opened and closed here.

use std::sync::Arc;

use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, Any, ProstMessageExt,
};
use arrow_flight::{Action, ActionType, IpcMessage};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use prost::Message;
use tonic::{Response, Status};

use super::Core;
use super::caller::Caller;
use super::fault::Fault;
use super::messages::CreatePreparedStatementResult;
use super::prepared::Prepared;
use super::service::no_transaction;
use super::statement::ipc_schema;
use super::wire::wire_schema;

/// What a DoAction answers with.
pub(super) type ActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;

const CREATE_PREPARED: &str = "CreatePreparedStatement";
const CLOSE_PREPARED: &str = "ClosePreparedStatement";

/// Actions of the protocol that are not offered, so that they are refused as such and not as misspelt.
const NOT_OFFERED: &[&str] = &[
    "BeginSavepoint",
    "BeginTransaction",
    "CancelFlightInfo",
    "CancelQuery",
    "CloseSession",
    "CreatePreparedSubstraitPlan",
    "EndSavepoint",
    "EndTransaction",
    "GetSessionOptions",
    "RenewFlightEndpoint",
    "SetSessionOptions",
];

/// The actions that are offered.
pub(super) fn offered() -> Vec<ActionType> {
    [
        (
            CREATE_PREPARED,
            "Prepares a statement.\nRequest: ActionCreatePreparedStatementRequest\nResponse: ActionCreatePreparedStatementResult",
        ),
        (CLOSE_PREPARED, "Closes a prepared statement.\nRequest: ActionClosePreparedStatementRequest\nResponse: none"),
    ]
    .map(|(name, description)| ActionType { r#type: name.to_owned(), description: description.to_owned() })
    .into()
}

impl Core {
    /// One DoAction.
    pub(super) async fn act(
        self: &Arc<Self>,
        caller: &Caller,
        action: Action,
    ) -> Result<Response<ActionStream>, Status> {
        let results = match action.r#type.as_str() {
            CREATE_PREPARED => return self.create_prepared(caller, &action.body).await,
            CLOSE_PREPARED => {
                unpack::<ActionClosePreparedStatementRequest>(&action.body).map(|request| {
                    self.prepared
                        .close(&request.prepared_statement_handle, &caller.principal.name);
                    vec![]
                })
            }
            known if NOT_OFFERED.contains(&known) => Err(Fault::unimplemented(format!(
                "the action {known} is not offered"
            ))),
            other => Err(Fault::unimplemented(format!(
                "there is no action `{other}`: ListActions names those there are"
            ))),
        };
        let results = results.map_err(|fault| caller.refuse(&fault, None))?;
        Ok(caller.respond(stream::iter(results.into_iter().map(Ok)).boxed(), None))
    }

    async fn create_prepared(
        &self,
        caller: &Caller,
        body: &Bytes,
    ) -> Result<Response<ActionStream>, Status> {
        let request: ActionCreatePreparedStatementRequest =
            unpack(body).map_err(|fault| caller.refuse(&fault, None))?;
        let result = self.prepare(caller, &request).await;
        let result =
            result.map_err(|fault| self.refuse_statement(caller, &request.query, &fault))?;
        Ok(caller.respond(stream::iter([Ok(result)]).boxed(), None))
    }

    /// Prepares a statement: parses and describes it, and runs nothing.
    async fn prepare(
        &self,
        caller: &Caller,
        request: &ActionCreatePreparedStatementRequest,
    ) -> Result<arrow_flight::Result, Fault> {
        no_transaction(request.transaction_id.as_ref())?;
        let statement = Arc::new(self.parse(&request.query)?);
        let described = self.describe(&statement, caller).await?;
        let schema = wire_schema(&described.schema);
        let parameters = wire_schema(&described.parameters);
        let prepared = Prepared {
            statement,
            schema: schema.clone(),
            bound: None,
        };
        let handle = self
            .prepared
            .open(caller.principal.name.clone(), prepared)?;
        let result = CreatePreparedStatementResult {
            prepared_statement_handle: handle,
            // Drivers take a statement whose schema is left out for an update.
            dataset_schema: if schema.fields().is_empty() && described.is_update {
                Bytes::new()
            } else {
                bytes(&schema)
            },
            parameter_schema: bytes(&parameters),
            is_update: Some(described.is_update),
        };
        Ok(arrow_flight::Result::new(result.as_any().encode_to_vec()))
    }
}

fn bytes(schema: &arrow::datatypes::Schema) -> Bytes {
    let IpcMessage(bytes) = ipc_schema(schema);
    bytes
}

fn unpack<M: ProstMessageExt>(body: &Bytes) -> Result<M, Fault> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Fault::malformed(format!("the action's request can't be read: {error}"))
    };
    let any = Any::decode(body.clone()).map_err(|error| unreadable(&error))?;
    any.unpack()
        .map_err(|error| unreadable(&error))?
        .ok_or_else(|| {
            Fault::malformed(format!(
                "the action's request is a {}, not a {}",
                any.type_url,
                M::type_url()
            ))
        })
}
