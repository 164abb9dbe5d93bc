//! DoPut: updates, and the parameters of prepared statements.

use std::sync::Arc;

use arrow_flight::sql::{Any, Command, DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_flight::{FlightData, PutResult};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use landfast_planner::Statement;
use prost::Message;
use tonic::{Response, Status, Streaming};

use super::Core;
use super::caller::Caller;
use super::fault::Fault;
use super::parameters::Parameters;
use super::service::no_transaction;
use crate::limits::Deadline;
use crate::queries::QueryId;

/// What a DoPut answers with.
pub(super) type PutStream = BoxStream<'static, Result<PutResult, Status>>;

impl Core {
    /// One DoPut: its first message says what it is.
    pub(super) async fn put(
        self: &Arc<Self>,
        mut caller: Caller,
        mut messages: Streaming<FlightData>,
    ) -> Result<Response<PutStream>, Status> {
        let first = messages.message().await?;
        let refuse = |caller: &Caller, fault: Fault| caller.refuse(&fault, None);
        let Some(first) = first else {
            return Err(refuse(&caller, Fault::malformed("nothing was put")));
        };
        let command = put_command(&first).map_err(|fault| refuse(&caller, fault))?;
        let deadline = Deadline::after(self.limits.query_timeout, caller.timeout);
        match command {
            Command::CommandStatementUpdate(update) => {
                let statement = no_transaction(update.transaction_id.as_ref())
                    .and_then(|()| self.parse(&update.query))
                    .map_err(|fault| self.refuse_statement(&caller, &update.query, &fault))?;
                self.update(&mut caller, Arc::new(statement), None).await
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let prepared = self
                    .prepared
                    .find(&update.prepared_statement_handle, &caller.principal.name)
                    .map_err(|fault| refuse(&caller, fault))?;
                let received = self.receive_parameters(&deadline, first, messages).await;
                let parameters = received
                    .map_err(|fault| refuse(&caller, fault))?
                    .or(prepared.bound);
                self.update(&mut caller, prepared.statement, parameters)
                    .await
            }
            Command::CommandPreparedStatementQuery(query) => {
                let handle = query.prepared_statement_handle;
                let principal = caller.principal.name.clone();
                // Known before the parameters are read, so that a closed statement is told as such.
                self.prepared
                    .find(&handle, &principal)
                    .map_err(|fault| refuse(&caller, fault))?;
                let bound = match self.receive_parameters(&deadline, first, messages).await {
                    Ok(parameters) => self.prepared.bind(&handle, &principal, parameters),
                    Err(fault) => Err(fault),
                };
                bound.map_err(|fault| refuse(&caller, fault))?;
                let result = DoPutPreparedStatementResult {
                    prepared_statement_handle: Some(handle),
                };
                Ok(answer(&caller, result.encode_to_vec(), None))
            }
            Command::CommandStatementIngest(_) => Err(refuse(
                &caller,
                Fault::unimplemented(
                    "bulk ingestion is not offered: Landfast reads tables, it does not write them yet",
                ),
            )),
            Command::CommandStatementSubstraitPlan(_) => Err(refuse(
                &caller,
                Fault::unimplemented("Substrait plans are not offered: send SQL"),
            )),
            other => Err(refuse(
                &caller,
                Fault::malformed(format!("{} is not put", short_name(other.type_url()))),
            )),
        }
    }

    async fn update(
        self: &Arc<Self>,
        caller: &mut Caller,
        statement: Arc<Statement>,
        parameters: Option<Parameters>,
    ) -> Result<Response<PutStream>, Status> {
        let (ran, query) = self.run(caller, statement, parameters).await?;
        query.finish_command(Some(ran.affected));
        let result = DoPutUpdateResult {
            record_count: ran.affected,
        };
        Ok(answer(caller, result.encode_to_vec(), Some(ran.id)))
    }

    async fn receive_parameters(
        &self,
        deadline: &Deadline,
        first: FlightData,
        rest: Streaming<FlightData>,
    ) -> Result<Option<Parameters>, Fault> {
        let messages = stream::iter([Ok(first)]).chain(rest);
        deadline
            .bound(Parameters::receive(messages, &self.limits))
            .await?
    }
}

fn put_command(first: &FlightData) -> Result<Command, Fault> {
    let descriptor = first
        .flight_descriptor
        .as_ref()
        .ok_or_else(|| Fault::malformed("the first message of a DoPut has no descriptor"))?;
    super::service::command_of(&descriptor.cmd)
}

fn answer(caller: &Caller, app_metadata: Vec<u8>, query: Option<QueryId>) -> Response<PutStream> {
    let result = PutResult {
        app_metadata: app_metadata.into(),
    };
    caller.respond(stream::iter([Ok(result)]).boxed(), query)
}

/// A message's name without the address in front of it.
pub(super) fn short_name(type_url: &str) -> &str {
    type_url.rsplit(['/', '.']).next().unwrap_or(type_url)
}

/// Reads an [`Any`] as a command.
pub(super) fn unpack(any: Any) -> Result<Command, Fault> {
    Command::try_from(any)
        .map_err(|error| Fault::malformed(format!("the command can't be read: {error}")))
}
