//! What Landfast answers to each call, command and action of the protocol.

use std::sync::Arc;

use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedSubstraitPlanRequest, Command, CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementSubstraitPlan, CommandStatementUpdate, SubstraitPlan, TicketStatementQuery,
};
use arrow_flight::{
    CancelStatus, Criteria, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeResponse,
    IpcMessage, PollInfo, SchemaResult, Ticket,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use landfast_planner::{Statement, substrait_text};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Response, Status};

use super::caller::{Caller, write_header};
use super::dispatch::messages::{
    CloseStatus, CreatePreparedStatementResult, GetSessionOptionsResult, SetSessionOptionsRequest,
    SetSessionOptionsResult,
};
use super::dispatch::{
    ActionKind, Answer, Backend, FlightStream, HandshakeRequests, HandshakeStream, InfoStream, Put,
    Refusal, listing_schema,
};
use super::fault::Fault;
use super::statement::{Asking, ipc_schema};
use super::{Core, catalog};

/// The actions that are offered.
const OFFERED: &[ActionKind] = &[
    ActionKind::CreatePreparedStatement,
    ActionKind::CreatePreparedSubstraitPlan,
    ActionKind::ClosePreparedStatement,
    ActionKind::CancelFlightInfo,
    ActionKind::CancelQuery,
    ActionKind::RenewFlightEndpoint,
    ActionKind::SetSessionOptions,
    ActionKind::GetSessionOptions,
    ActionKind::CloseSession,
];

#[tonic::async_trait]
impl Backend for Arc<Core> {
    type Caller = Caller;

    async fn receive(
        &self,
        headers: &MetadataMap,
        connection: &Extensions,
    ) -> Result<Caller, Status> {
        let received = self.reception.receive(headers, connection).await;
        received.map_err(|refused| refused.status)
    }

    /// Closing a session that is closed is fine.
    async fn receive_action(
        &self,
        headers: &MetadataMap,
        connection: &Extensions,
        action: &str,
    ) -> Result<Caller, Status> {
        let received = self.reception.receive(headers, connection).await;
        received.or_else(|refused| match refused.closed {
            Some(caller) if action == ActionKind::CloseSession.name() => Ok(*caller),
            _ => Err(refused.status),
        })
    }

    fn refuse(&self, caller: &Caller, refusal: Refusal) -> Status {
        caller.refuse(&refusal.into(), None)
    }

    fn respond<T>(&self, caller: &Caller, body: T) -> Response<T> {
        caller.respond(body, None)
    }

    fn actions(&self) -> &[ActionKind] {
        OFFERED
    }

    /// The token goes where each kind of driver looks for it: into the response's headers and into its payload.
    async fn handshake(
        &self,
        headers: &MetadataMap,
        connection: &Extensions,
        _requests: HandshakeRequests,
    ) -> Answer<HandshakeStream> {
        let welcome = self.reception.welcome(headers, connection).await?;
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
    async fn list_flights(&self, caller: Caller, _criteria: Criteria) -> Answer<InfoStream> {
        Ok(caller.respond(stream::empty().boxed(), None))
    }

    async fn statement_info(
        &self,
        mut caller: Caller,
        query: CommandStatementQuery,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        let parsed = no_transaction(query.transaction_id.as_ref())
            .and_then(|()| self.parse(&query.query))
            .map_err(|fault| self.refuse_statement(&caller, &query.query, &fault))?;
        self.flight_info(&mut caller, Asking::of(parsed), descriptor)
            .await
    }

    async fn statement_poll(
        &self,
        caller: Caller,
        query: CommandStatementQuery,
        descriptor: FlightDescriptor,
    ) -> Answer<PollInfo> {
        let parsed = no_transaction(query.transaction_id.as_ref())
            .and_then(|()| self.parse(&query.query))
            .map_err(|fault| self.refuse_statement(&caller, &query.query, &fault))?;
        self.poll_first(caller, Asking::of(parsed), descriptor)
            .await
    }

    async fn statement_schema(
        &self,
        caller: Caller,
        query: CommandStatementQuery,
    ) -> Answer<SchemaResult> {
        let described = async {
            no_transaction(query.transaction_id.as_ref())?;
            let statement = self.parse(&query.query)?;
            let described = self.describe(&statement, &caller).await?;
            self.described_schema(&caller, &described)
        };
        match described.await {
            Ok(schema) => Ok(tell(&caller, &schema)),
            Err(fault) => Err(self.refuse_statement(&caller, &query.query, &fault)),
        }
    }

    async fn statement_get(
        &self,
        caller: Caller,
        _handle: TicketStatementQuery,
        ticket: Ticket,
    ) -> Answer<FlightStream> {
        self.redeem(&caller, &ticket.ticket).await
    }

    async fn substrait_info(
        &self,
        mut caller: Caller,
        plan: CommandStatementSubstraitPlan,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        let statement = self.substrait(&caller, plan.plan, plan.transaction_id.as_ref())?;
        self.flight_info(&mut caller, Asking::of(statement), descriptor)
            .await
    }

    async fn substrait_poll(
        &self,
        caller: Caller,
        plan: CommandStatementSubstraitPlan,
        descriptor: FlightDescriptor,
    ) -> Answer<PollInfo> {
        let statement = self.substrait(&caller, plan.plan, plan.transaction_id.as_ref())?;
        self.poll_first(caller, Asking::of(statement), descriptor)
            .await
    }

    async fn substrait_schema(
        &self,
        caller: Caller,
        plan: CommandStatementSubstraitPlan,
    ) -> Answer<SchemaResult> {
        let statement = self.substrait(&caller, plan.plan, plan.transaction_id.as_ref())?;
        let described = async {
            let described = self.describe(&statement, &caller).await?;
            self.described_schema(&caller, &described)
        };
        match described.await {
            Ok(schema) => Ok(tell(&caller, &schema)),
            Err(fault) => Err(self.refuse_statement(&caller, statement.text(), &fault)),
        }
    }

    /// No plan that is allowed changes anything: it is refused as a query is that is sent as an update.
    async fn substrait_update(
        &self,
        mut caller: Caller,
        plan: CommandStatementSubstraitPlan,
    ) -> Answer<i64> {
        let statement = self.substrait(&caller, plan.plan, plan.transaction_id.as_ref())?;
        self.run_update(&mut caller, Arc::new(statement), None)
            .await
    }

    async fn prepared_info(
        &self,
        mut caller: Caller,
        query: CommandPreparedStatementQuery,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        let prepared = self
            .prepared
            .find(&query.prepared_statement_handle, &caller)
            .map_err(|fault| caller.refuse(&fault, None))?;
        self.flight_info(&mut caller, prepared.asking(), descriptor)
            .await
    }

    async fn prepared_poll(
        &self,
        caller: Caller,
        query: CommandPreparedStatementQuery,
        descriptor: FlightDescriptor,
    ) -> Answer<PollInfo> {
        let prepared = self
            .prepared
            .find(&query.prepared_statement_handle, &caller)
            .map_err(|fault| caller.refuse(&fault, None))?;
        self.poll_first(caller, prepared.asking(), descriptor).await
    }

    async fn prepared_schema(
        &self,
        caller: Caller,
        query: CommandPreparedStatementQuery,
    ) -> Answer<SchemaResult> {
        let prepared = self
            .prepared
            .find(&query.prepared_statement_handle, &caller)
            .map_err(|fault| caller.refuse(&fault, None))?;
        Ok(tell(&caller, &prepared.schema))
    }

    /// The command is its own ticket, and is authorised again when it is redeemed.
    async fn listing_info(
        &self,
        caller: Caller,
        command: Command,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        let schema = listing_schema(&command).map_err(|refusal| self.refuse(&caller, refusal))?;
        let endpoint = self.endpoint(descriptor.cmd.clone());
        let info = FlightInfo::new()
            .with_descriptor(descriptor)
            .with_endpoint(endpoint)
            .try_with_schema(&schema);
        info.map(|info| caller.respond(info, None))
            .map_err(|error| caller.refuse(&Fault::internal(error), None))
    }

    async fn listing_poll(
        &self,
        caller: Caller,
        command: Command,
        descriptor: FlightDescriptor,
    ) -> Answer<PollInfo> {
        let info = self.listing_info(caller.clone(), command, descriptor);
        Ok(self.poll_done(&caller, info.await?.into_inner()))
    }

    /// A descriptor of ours polls what was polled before.
    async fn plain_poll(&self, caller: Caller, descriptor: FlightDescriptor) -> Answer<PollInfo> {
        if self.polls.execution(&descriptor.cmd).is_none() {
            return Err(self.refuse(&caller, Refusal::of_plain(&descriptor.cmd)));
        }
        self.poll_next(caller, &descriptor).await
    }

    async fn listing_schema(&self, caller: Caller, command: Command) -> Answer<SchemaResult> {
        listing_schema(&command)
            .map(|schema| tell(&caller, &schema))
            .map_err(|refusal| self.refuse(&caller, refusal))
    }

    async fn listing_get(&self, caller: Caller, command: Command) -> Answer<FlightStream> {
        catalog::result(self, &caller, command)
            .await
            .map(|result| caller.respond(result, None))
            .map_err(|fault| caller.refuse(&fault, None))
    }

    async fn update(&self, mut caller: Caller, update: CommandStatementUpdate) -> Answer<i64> {
        let statement = no_transaction(update.transaction_id.as_ref())
            .and_then(|()| self.parse(&update.query))
            .map_err(|fault| self.refuse_statement(&caller, &update.query, &fault))?;
        self.run_update(&mut caller, Arc::new(statement), None)
            .await
    }

    async fn bind(
        &self,
        caller: Caller,
        query: CommandPreparedStatementQuery,
        put: Put,
    ) -> Answer<Bytes> {
        let handle = query.prepared_statement_handle;
        match self.bind_parameters(&caller, &handle, put).await {
            Ok(()) => Ok(caller.respond(handle, None)),
            Err(fault) => Err(caller.refuse(&fault, None)),
        }
    }

    async fn prepared_update(
        &self,
        mut caller: Caller,
        update: CommandPreparedStatementUpdate,
        put: Put,
    ) -> Answer<i64> {
        let found = async {
            let handle = &update.prepared_statement_handle;
            let prepared = self.prepared.find(handle, &caller)?;
            let received = self.receive_parameters(&caller, put).await?;
            Ok((prepared.statement, received.or(prepared.bound)))
        };
        match found.await {
            Ok((statement, parameters)) => {
                self.run_update(&mut caller, statement, parameters).await
            }
            Err(fault) => {
                let fault: Fault = fault;
                Err(caller.refuse(&fault, None))
            }
        }
    }

    async fn ingest(
        &self,
        caller: Caller,
        ingest: CommandStatementIngest,
        put: Put,
    ) -> Answer<i64> {
        self.ingest_rows(caller, ingest, put).await
    }

    async fn prepare(
        &self,
        caller: Caller,
        request: ActionCreatePreparedStatementRequest,
    ) -> Answer<CreatePreparedStatementResult> {
        let prepared = async {
            no_transaction(request.transaction_id.as_ref())?;
            let statement = self.parse(&request.query)?;
            self.open_prepared(&caller, statement).await
        };
        match prepared.await {
            Ok(result) => Ok(caller.respond(result, None)),
            Err(fault) => Err(self.refuse_statement(&caller, &request.query, &fault)),
        }
    }

    async fn prepare_substrait(
        &self,
        caller: Caller,
        request: ActionCreatePreparedSubstraitPlanRequest,
    ) -> Answer<CreatePreparedStatementResult> {
        let transaction = request.transaction_id.as_ref();
        let statement = self.substrait(&caller, request.plan, transaction)?;
        let text = statement.text().to_owned();
        match self.open_prepared(&caller, statement).await {
            Ok(result) => Ok(caller.respond(result, None)),
            Err(fault) => Err(self.refuse_statement(&caller, &text, &fault)),
        }
    }

    async fn close_prepared(
        &self,
        caller: Caller,
        request: ActionClosePreparedStatementRequest,
    ) -> Answer<()> {
        self.prepared
            .close(&request.prepared_statement_handle, &caller.principal.name);
        Ok(caller.respond((), None))
    }

    async fn cancel(&self, caller: Caller, info: FlightInfo) -> Answer<CancelStatus> {
        self.cancel_info(caller, &info).await
    }

    async fn renew(&self, caller: Caller, endpoint: FlightEndpoint) -> Answer<FlightEndpoint> {
        self.renew_endpoint(&caller, endpoint)
    }

    async fn set_session_options(
        &self,
        mut caller: Caller,
        request: SetSessionOptionsRequest,
    ) -> Answer<SetSessionOptionsResult> {
        match self.set_options(&mut caller, request) {
            Ok(result) => Ok(caller.respond(result, None)),
            Err(fault) => Err(caller.refuse(&fault, None)),
        }
    }

    async fn session_options(&self, mut caller: Caller) -> Answer<GetSessionOptionsResult> {
        let options = self.options(&mut caller);
        Ok(caller.respond(options, None))
    }

    async fn close_session(&self, mut caller: Caller) -> Answer<CloseStatus> {
        self.end_session(&mut caller);
        Ok(caller.respond(CloseStatus::Closed, None))
    }
}

impl Core {
    /// The statement that a Substrait plan is, or its refusal, which goes on record.
    fn substrait(
        &self,
        caller: &Caller,
        plan: Option<SubstraitPlan>,
        transaction: Option<&Bytes>,
    ) -> Result<Statement, Status> {
        let plan = plan.map(|plan| plan.plan).unwrap_or_default();
        let parsed = no_transaction(transaction).and_then(|()| self.parse_substrait(&plan));
        parsed.map_err(|fault| self.refuse_statement(caller, &substrait_text(&plan), &fault))
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(text) => Self::Malformed(text),
            Refusal::NotOffered(text) => Self::Unimplemented(text),
        }
    }
}

fn tell(caller: &Caller, schema: &arrow::datatypes::Schema) -> Response<SchemaResult> {
    let IpcMessage(schema) = ipc_schema(schema);
    caller.respond(SchemaResult { schema }, None)
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
