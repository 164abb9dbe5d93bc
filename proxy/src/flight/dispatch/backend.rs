//! What answers the protocol's calls.

use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedSubstraitPlanRequest,
    ActionEndSavepointRequest, ActionEndTransactionRequest, Command, CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementSubstraitPlan, CommandStatementUpdate, TicketStatementQuery,
};
use arrow_flight::{
    Action, CancelStatus, Criteria, FlightDescriptor, FlightEndpoint, FlightInfo, PollInfo,
    SchemaResult, Ticket,
};
use bytes::Bytes;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Response, Status};

use super::messages::{
    CloseStatus, CreatePreparedStatementResult, GetSessionOptionsResult, SetSessionOptionsRequest,
    SetSessionOptionsResult,
};
use super::{
    ActionKind, ActionStream, Answer, FlightStream, HandshakeRequests, HandshakeStream, InfoStream,
    Put, PutStream, Refusal,
};

const POLL: &str = "PollFlightInfo is not offered: use GetFlightInfo";
const SUBSTRAIT: &str = "Substrait plans are not offered: send SQL";

/// Answers the protocol's calls, one method for each call, command and action.
///
/// Every answer is a whole response, so that a backend writes what headers it likes. What is left out is refused as
/// not offered, to those who may ask at all; an action is offered by being in [`Self::actions`] as well.
#[tonic::async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Whoever sent a call.
    type Caller: Send + Sync + 'static;

    /// Says who sent a call, or refuses it. Each call but Handshake begins here.
    ///
    /// `connection` has what the transport knows, such as the peer's address and certificates.
    async fn receive(
        &self,
        headers: &MetadataMap,
        connection: &Extensions,
    ) -> Result<Self::Caller, Status>;

    /// Says who sent an action, as [`Self::receive`] does; an action that closes may be sent by who closed before.
    async fn receive_action(
        &self,
        headers: &MetadataMap,
        connection: &Extensions,
        action: &str,
    ) -> Result<Self::Caller, Status> {
        let _ = action;
        self.receive(headers, connection).await
    }

    /// The status for what the dispatcher refuses.
    fn refuse(&self, caller: &Self::Caller, refusal: Refusal) -> Status {
        let _ = caller;
        refusal.into()
    }

    /// The response around what the dispatcher answers by itself.
    fn respond<T>(&self, caller: &Self::Caller, body: T) -> Response<T> {
        let _ = caller;
        Response::new(body)
    }

    /// The actions of the protocol that are offered, in the order in which ListActions names them.
    fn actions(&self) -> &[ActionKind] {
        &[]
    }

    /// Refuses a part of the protocol.
    fn not_offered<T>(&self, caller: &Self::Caller, text: &str) -> Answer<T> {
        Err(self.refuse(caller, Refusal::not_offered(text)))
    }

    /// Handshake: tells a client how to say who it is from now on.
    async fn handshake(
        &self,
        headers: &MetadataMap,
        connection: &Extensions,
        requests: HandshakeRequests,
    ) -> Answer<HandshakeStream> {
        let _ = requests;
        let caller = self.receive(headers, connection).await?;
        self.not_offered(&caller, "Handshake is not offered")
    }

    /// ListFlights.
    async fn list_flights(&self, caller: Self::Caller, criteria: Criteria) -> Answer<InfoStream> {
        let _ = criteria;
        self.not_offered(&caller, "ListFlights is not offered")
    }

    /// GetFlightInfo of a statement.
    async fn statement_info(
        &self,
        caller: Self::Caller,
        query: CommandStatementQuery,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        let _ = (query, descriptor);
        self.not_offered(&caller, "statements are not offered")
    }

    /// PollFlightInfo of a statement.
    async fn statement_poll(
        &self,
        caller: Self::Caller,
        query: CommandStatementQuery,
        descriptor: FlightDescriptor,
    ) -> Answer<PollInfo> {
        let _ = (query, descriptor);
        self.not_offered(&caller, POLL)
    }

    /// GetSchema of a statement.
    async fn statement_schema(
        &self,
        caller: Self::Caller,
        query: CommandStatementQuery,
    ) -> Answer<SchemaResult> {
        let _ = query;
        self.not_offered(&caller, "statements are not offered")
    }

    /// DoGet of a ticket for a statement or a Substrait plan; `ticket` has it byte by byte.
    async fn statement_get(
        &self,
        caller: Self::Caller,
        handle: TicketStatementQuery,
        ticket: Ticket,
    ) -> Answer<FlightStream> {
        let _ = (handle, ticket);
        self.not_offered(&caller, "statements are not offered")
    }

    /// GetFlightInfo of a Substrait plan.
    async fn substrait_info(
        &self,
        caller: Self::Caller,
        plan: CommandStatementSubstraitPlan,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        let _ = (plan, descriptor);
        self.not_offered(&caller, SUBSTRAIT)
    }

    /// PollFlightInfo of a Substrait plan.
    async fn substrait_poll(
        &self,
        caller: Self::Caller,
        plan: CommandStatementSubstraitPlan,
        descriptor: FlightDescriptor,
    ) -> Answer<PollInfo> {
        let _ = (plan, descriptor);
        self.not_offered(&caller, POLL)
    }

    /// GetSchema of a Substrait plan.
    async fn substrait_schema(
        &self,
        caller: Self::Caller,
        plan: CommandStatementSubstraitPlan,
    ) -> Answer<SchemaResult> {
        let _ = plan;
        self.not_offered(&caller, SUBSTRAIT)
    }

    /// GetFlightInfo of a prepared statement.
    async fn prepared_info(
        &self,
        caller: Self::Caller,
        query: CommandPreparedStatementQuery,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        let _ = (query, descriptor);
        self.not_offered(&caller, "prepared statements are not offered")
    }

    /// PollFlightInfo of a prepared statement.
    async fn prepared_poll(
        &self,
        caller: Self::Caller,
        query: CommandPreparedStatementQuery,
        descriptor: FlightDescriptor,
    ) -> Answer<PollInfo> {
        let _ = (query, descriptor);
        self.not_offered(&caller, POLL)
    }

    /// GetSchema of a prepared statement.
    async fn prepared_schema(
        &self,
        caller: Self::Caller,
        query: CommandPreparedStatementQuery,
    ) -> Answer<SchemaResult> {
        let _ = query;
        self.not_offered(&caller, "prepared statements are not offered")
    }

    /// DoGet of a prepared statement, where the command is the ticket.
    async fn prepared_get(
        &self,
        caller: Self::Caller,
        query: CommandPreparedStatementQuery,
    ) -> Answer<FlightStream> {
        let _ = query;
        let refusal = Refusal::malformed(
            "CommandPreparedStatementQuery is not fetched as a flight: GetFlightInfo gives its ticket",
        );
        Err(self.refuse(&caller, refusal))
    }

    /// GetFlightInfo of a command that lists what there is, such as GetTables.
    async fn listing_info(
        &self,
        caller: Self::Caller,
        command: Command,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        let _ = (command, descriptor);
        self.not_offered(&caller, "the command is not offered")
    }

    /// PollFlightInfo of a command that lists what there is, such as GetTables.
    async fn listing_poll(
        &self,
        caller: Self::Caller,
        command: Command,
        descriptor: FlightDescriptor,
    ) -> Answer<PollInfo> {
        let _ = (command, descriptor);
        self.not_offered(&caller, POLL)
    }

    /// GetSchema of a command that lists what there is, such as GetTables.
    async fn listing_schema(&self, caller: Self::Caller, command: Command) -> Answer<SchemaResult> {
        let _ = command;
        self.not_offered(&caller, "the command is not offered")
    }

    /// DoGet of a command that lists what there is.
    async fn listing_get(&self, caller: Self::Caller, command: Command) -> Answer<FlightStream> {
        let _ = command;
        self.not_offered(&caller, "the command is not offered")
    }

    /// GetFlightInfo of a descriptor that holds no command of Flight SQL.
    async fn plain_info(
        &self,
        caller: Self::Caller,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        Err(self.refuse(&caller, Refusal::of_plain(&descriptor.cmd)))
    }

    /// PollFlightInfo of a descriptor that holds no command of Flight SQL.
    async fn plain_poll(
        &self,
        caller: Self::Caller,
        descriptor: FlightDescriptor,
    ) -> Answer<PollInfo> {
        Err(self.refuse(&caller, Refusal::of_plain(&descriptor.cmd)))
    }

    /// GetSchema of a descriptor that holds no command of Flight SQL.
    async fn plain_schema(
        &self,
        caller: Self::Caller,
        descriptor: FlightDescriptor,
    ) -> Answer<SchemaResult> {
        Err(self.refuse(&caller, Refusal::of_plain(&descriptor.cmd)))
    }

    /// DoGet of a ticket that is none of Flight SQL.
    async fn plain_get(&self, caller: Self::Caller, ticket: Ticket) -> Answer<FlightStream> {
        Err(self.refuse(&caller, Refusal::of_plain(&ticket.ticket)))
    }

    /// DoPut of a statement that changes something: how many rows it changed.
    async fn update(&self, caller: Self::Caller, update: CommandStatementUpdate) -> Answer<i64> {
        let _ = update;
        self.not_offered(&caller, "updates are not offered")
    }

    /// DoPut of a Substrait plan that changes something: how many rows it changed.
    async fn substrait_update(
        &self,
        caller: Self::Caller,
        plan: CommandStatementSubstraitPlan,
    ) -> Answer<i64> {
        let _ = plan;
        self.not_offered(&caller, SUBSTRAIT)
    }

    /// DoPut of parameters for a prepared statement: the handle to use from now on.
    async fn bind(
        &self,
        caller: Self::Caller,
        query: CommandPreparedStatementQuery,
        put: Put,
    ) -> Answer<Bytes> {
        let _ = (query, put);
        self.not_offered(&caller, "prepared statements are not offered")
    }

    /// DoPut that executes a prepared statement: how many rows it changed.
    async fn prepared_update(
        &self,
        caller: Self::Caller,
        update: CommandPreparedStatementUpdate,
        put: Put,
    ) -> Answer<i64> {
        let _ = (update, put);
        self.not_offered(&caller, "prepared statements are not offered")
    }

    /// DoPut of rows into a table: how many there were.
    async fn ingest(
        &self,
        caller: Self::Caller,
        ingest: CommandStatementIngest,
        put: Put,
    ) -> Answer<i64> {
        let _ = (ingest, put);
        self.not_offered(&caller, "bulk ingestion is not offered")
    }

    /// DoPut to a descriptor that holds no command of Flight SQL.
    async fn plain_put(&self, caller: Self::Caller, put: Put) -> Answer<PutStream> {
        Err(self.refuse(&caller, Refusal::of_plain(&put.descriptor.cmd)))
    }

    /// DoExchange.
    async fn exchange(&self, caller: Self::Caller, messages: FlightStream) -> Answer<FlightStream> {
        let _ = messages;
        self.not_offered(&caller, "DoExchange is not offered")
    }

    /// CreatePreparedStatement.
    async fn prepare(
        &self,
        caller: Self::Caller,
        request: ActionCreatePreparedStatementRequest,
    ) -> Answer<CreatePreparedStatementResult> {
        let _ = request;
        self.not_offered(&caller, "prepared statements are not offered")
    }

    /// CreatePreparedSubstraitPlan.
    async fn prepare_substrait(
        &self,
        caller: Self::Caller,
        request: ActionCreatePreparedSubstraitPlanRequest,
    ) -> Answer<CreatePreparedStatementResult> {
        let _ = request;
        self.not_offered(&caller, SUBSTRAIT)
    }

    /// ClosePreparedStatement.
    async fn close_prepared(
        &self,
        caller: Self::Caller,
        request: ActionClosePreparedStatementRequest,
    ) -> Answer<()> {
        let _ = request;
        self.not_offered(&caller, "prepared statements are not offered")
    }

    /// BeginTransaction: the transaction's id.
    async fn begin_transaction(&self, caller: Self::Caller) -> Answer<Bytes> {
        self.not_offered(&caller, "transactions are not offered")
    }

    /// EndTransaction.
    async fn end_transaction(
        &self,
        caller: Self::Caller,
        request: ActionEndTransactionRequest,
    ) -> Answer<()> {
        let _ = request;
        self.not_offered(&caller, "transactions are not offered")
    }

    /// BeginSavepoint: the savepoint's id.
    async fn begin_savepoint(
        &self,
        caller: Self::Caller,
        request: ActionBeginSavepointRequest,
    ) -> Answer<Bytes> {
        let _ = request;
        self.not_offered(&caller, "savepoints are not offered")
    }

    /// EndSavepoint.
    async fn end_savepoint(
        &self,
        caller: Self::Caller,
        request: ActionEndSavepointRequest,
    ) -> Answer<()> {
        let _ = request;
        self.not_offered(&caller, "savepoints are not offered")
    }

    /// CancelFlightInfo, and CancelQuery, which is its older name.
    async fn cancel(&self, caller: Self::Caller, info: FlightInfo) -> Answer<CancelStatus> {
        let _ = info;
        self.not_offered(&caller, "cancelling is not offered: drop the stream")
    }

    /// RenewFlightEndpoint: the endpoint with a later expiration time.
    async fn renew(
        &self,
        caller: Self::Caller,
        endpoint: FlightEndpoint,
    ) -> Answer<FlightEndpoint> {
        let _ = endpoint;
        self.not_offered(&caller, "renewing endpoints is not offered")
    }

    /// SetSessionOptions: an error for each option that was not set.
    async fn set_session_options(
        &self,
        caller: Self::Caller,
        request: SetSessionOptionsRequest,
    ) -> Answer<SetSessionOptionsResult> {
        let _ = request;
        self.not_offered(&caller, "session options are not offered")
    }

    /// GetSessionOptions.
    async fn session_options(&self, caller: Self::Caller) -> Answer<GetSessionOptionsResult> {
        self.not_offered(&caller, "session options are not offered")
    }

    /// CloseSession.
    async fn close_session(&self, caller: Self::Caller) -> Answer<CloseStatus> {
        self.not_offered(&caller, "closing sessions is not offered")
    }

    /// DoAction of an action that the protocol does not name.
    async fn plain_action(&self, caller: Self::Caller, action: Action) -> Answer<ActionStream> {
        let refusal = Refusal::not_offered(format!(
            "there is no action `{}`: ListActions names those there are",
            action.r#type
        ));
        Err(self.refuse(&caller, refusal))
    }
}
