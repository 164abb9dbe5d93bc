//! The service's calls, and what each command is dispatched to.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Any, Command};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, IpcMessage, PollInfo, SchemaResult, Ticket,
};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::actions::{self, ActionStream};
use super::caller::{Caller, write_header};
use super::fault::Fault;
use super::put::{PutStream, short_name, unpack};
use super::statement::ipc_schema;
use super::stream::FlightStream;
use super::wire::wire_schema;
use super::{FlightSql, catalog};

#[tonic::async_trait]
impl FlightService for FlightSql {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = FlightStream;
    type DoPutStream = PutStream;
    type DoExchangeStream = FlightStream;
    type DoActionStream = ActionStream;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    /// The token goes where each kind of driver looks for it: into the response's headers and into its payload.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let welcome = self.core.reception.welcome(request.metadata()).await?;
        let payload = Bytes::from(welcome.token.clone());
        let answer = HandshakeResponse {
            protocol_version: 0,
            payload,
        };
        let mut response = Response::new(stream::iter([Ok(answer)]).boxed());
        write_header(
            response.metadata_mut(),
            "authorization",
            &format!("Bearer {}", welcome.token),
        );
        if let Some(cookie) = welcome.set_cookie {
            write_header(response.metadata_mut(), "set-cookie", &cookie);
        }
        Ok(response)
    }

    /// Flight SQL has no flights to list but those that a client asked for.
    async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        let caller = self.core.reception.receive(request.metadata()).await?;
        Ok(caller.respond(stream::empty().boxed(), None))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let mut caller = self.core.reception.receive(request.metadata()).await?;
        let descriptor = request.into_inner();
        let command = command_of(&descriptor.cmd).map_err(|fault| caller.refuse(&fault, None))?;
        let (statement, parameters) = match command {
            Command::CommandStatementQuery(query) => {
                let parsed = no_transaction(query.transaction_id.as_ref())
                    .and_then(|()| self.core.parse(&query.query));
                (
                    Arc::new(parsed.map_err(|fault| {
                        self.core.refuse_statement(&caller, &query.query, &fault)
                    })?),
                    None,
                )
            }
            Command::CommandPreparedStatementQuery(query) => {
                let found = self
                    .core
                    .prepared
                    .find(&query.prepared_statement_handle, &caller.principal.name);
                let prepared = found.map_err(|fault| caller.refuse(&fault, None))?;
                (prepared.statement, prepared.bound)
            }
            other => return self.catalog_info(&caller, &other, descriptor),
        };
        self.core
            .flight_info(&mut caller, statement, parameters, descriptor)
            .await
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        self.not_offered(request, "PollFlightInfo is not offered: use GetFlightInfo")
            .await
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let caller = self.core.reception.receive(request.metadata()).await?;
        let command = command_of(&request.into_inner().cmd);
        let command = command.map_err(|fault| caller.refuse(&fault, None))?;
        let sql = match &command {
            Command::CommandStatementQuery(query) => Some(query.query.clone()),
            _ => None,
        };
        let schema = self.schema_of(&caller, command).await;
        let schema = schema.map_err(|fault| match sql {
            Some(sql) => self.core.refuse_statement(&caller, &sql, &fault),
            None => caller.refuse(&fault, None),
        })?;
        let IpcMessage(schema) = ipc_schema(&schema);
        Ok(caller.respond(SchemaResult { schema }, None))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let caller = self.core.reception.receive(request.metadata()).await?;
        let ticket = request.into_inner().ticket;
        match command_of(&ticket).map_err(|fault| caller.refuse(&fault, None))? {
            Command::TicketStatementQuery(_) => self.core.redeem(&caller, &ticket).await,
            command => {
                let result = catalog::result(&self.core, &caller, command).await;
                result
                    .map(|result| caller.respond(result, None))
                    .map_err(|fault| caller.refuse(&fault, None))
            }
        }
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let caller = self.core.reception.receive(request.metadata()).await?;
        self.core.put(caller, request.into_inner()).await
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        self.not_offered(request, "DoExchange is not offered").await
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        let caller = self.core.reception.receive(request.metadata()).await?;
        self.core.act(&caller, request.into_inner()).await
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        let caller = self.core.reception.receive(request.metadata()).await?;
        Ok(caller.respond(
            stream::iter(actions::offered().into_iter().map(Ok)).boxed(),
            None,
        ))
    }
}

impl FlightSql {
    /// Refuses a call that is not offered, to those who may ask at all.
    async fn not_offered<B, T>(
        &self,
        request: Request<B>,
        text: &str,
    ) -> Result<Response<T>, Status> {
        let caller = self.core.reception.receive(request.metadata()).await?;
        Err(caller.refuse(&Fault::unimplemented(text), None))
    }

    /// GetFlightInfo of a catalog command: the command is its own ticket, and is authorised again when it is redeemed.
    fn catalog_info(
        &self,
        caller: &Caller,
        command: &Command,
        descriptor: FlightDescriptor,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = catalog::schema(command).map_err(|fault| caller.refuse(&fault, None))?;
        let endpoint = self.core.endpoint(descriptor.cmd.clone());
        let info = FlightInfo::new()
            .with_descriptor(descriptor)
            .with_endpoint(endpoint)
            .try_with_schema(&schema);
        info.map(|info| caller.respond(info, None))
            .map_err(|error| caller.refuse(&Fault::internal(error), None))
    }

    /// The schema of what a command would give. Runs nothing.
    async fn schema_of(&self, caller: &Caller, command: Command) -> Result<SchemaRef, Fault> {
        match command {
            Command::CommandStatementQuery(query) => {
                no_transaction(query.transaction_id.as_ref())?;
                let statement = self.core.parse(&query.query)?;
                Ok(wire_schema(
                    &self.core.describe(&statement, caller).await?.schema,
                ))
            }
            Command::CommandPreparedStatementQuery(query) => {
                let handle = &query.prepared_statement_handle;
                Ok(self
                    .core
                    .prepared
                    .find(handle, &caller.principal.name)?
                    .schema)
            }
            other => catalog::schema(&other),
        }
    }
}

/// The command in a descriptor or a ticket.
pub(super) fn command_of(bytes: &Bytes) -> Result<Command, Fault> {
    if bytes.is_empty() {
        return Err(Fault::malformed(
            "no command: Flight SQL wants one in the descriptor or the ticket",
        ));
    }
    let any = Any::decode(bytes.clone())
        .map_err(|_| Fault::malformed("the command is not one of Flight SQL"))?;
    match unpack(any)? {
        Command::CommandStatementSubstraitPlan(_) => Err(Fault::unimplemented(
            "Substrait plans are not offered: send SQL",
        )),
        Command::Unknown(any) => Err(Fault::unimplemented(format!(
            "the command {} is not offered",
            short_name(&any.type_url)
        ))),
        command => Ok(command),
    }
}

/// Transactions are not offered, so nothing can be part of one.
pub(super) fn no_transaction(id: Option<&Bytes>) -> Result<(), Fault> {
    match id {
        Some(id) if !id.is_empty() => Err(Fault::unimplemented(
            "transactions are not offered: leave the transaction out",
        )),
        _ => Ok(()),
    }
}
