//! The protocol's calls: who sent each, what it asks for, and which of the backend's answers that is.

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, PollInfo, SchemaResult, Ticket,
};
use futures::{StreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use super::command::{Asked, Fetched, asked, fetched};
use super::{
    ActionStream, Answer, Backend, Dispatcher, FlightStream, HandshakeStream, InfoStream, Messages,
    PutStream,
};

#[tonic::async_trait]
impl<B: Backend> FlightService for Dispatcher<B> {
    type HandshakeStream = HandshakeStream;
    type ListFlightsStream = InfoStream;
    type DoGetStream = FlightStream;
    type DoPutStream = PutStream;
    type DoExchangeStream = FlightStream;
    type DoActionStream = ActionStream;
    type ListActionsStream = Messages<ActionType>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Answer<HandshakeStream> {
        let (headers, connection, requests) = request.into_parts();
        self.backend
            .handshake(&headers, &connection, requests.boxed())
            .await
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Answer<InfoStream> {
        let (caller, criteria) = self.receive(request).await?;
        self.backend.list_flights(caller, criteria).await
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        let (caller, descriptor) = self.receive(request).await?;
        let backend = &self.backend;
        match self.asked(&caller, &descriptor)? {
            Asked::Statement(query) => backend.statement_info(caller, query, descriptor).await,
            Asked::Substrait(plan) => backend.substrait_info(caller, plan, descriptor).await,
            Asked::Prepared(query) => backend.prepared_info(caller, query, descriptor).await,
            Asked::Listing(command) => backend.listing_info(caller, command, descriptor).await,
            Asked::Plain => backend.plain_info(caller, descriptor).await,
        }
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<PollInfo> {
        let (caller, descriptor) = self.receive(request).await?;
        let backend = &self.backend;
        match self.asked(&caller, &descriptor)? {
            Asked::Statement(query) => backend.statement_poll(caller, query, descriptor).await,
            Asked::Substrait(plan) => backend.substrait_poll(caller, plan, descriptor).await,
            Asked::Prepared(query) => backend.prepared_poll(caller, query, descriptor).await,
            Asked::Listing(command) => backend.listing_poll(caller, command, descriptor).await,
            Asked::Plain => backend.plain_poll(caller, descriptor).await,
        }
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        let (caller, descriptor) = self.receive(request).await?;
        let backend = &self.backend;
        match self.asked(&caller, &descriptor)? {
            Asked::Statement(query) => backend.statement_schema(caller, query).await,
            Asked::Substrait(plan) => backend.substrait_schema(caller, plan).await,
            Asked::Prepared(query) => backend.prepared_schema(caller, query).await,
            Asked::Listing(command) => backend.listing_schema(caller, command).await,
            Asked::Plain => backend.plain_schema(caller, descriptor).await,
        }
    }

    async fn do_get(&self, request: Request<Ticket>) -> Answer<FlightStream> {
        let (caller, ticket) = self.receive(request).await?;
        let backend = &self.backend;
        match fetched(&ticket.ticket).map_err(|refusal| backend.refuse(&caller, refusal))? {
            Fetched::Statement(handle) => backend.statement_get(caller, handle, ticket).await,
            Fetched::Prepared(query) => backend.prepared_get(caller, query).await,
            Fetched::Listing(command) => backend.listing_get(caller, command).await,
            Fetched::Plain => backend.plain_get(caller, ticket).await,
        }
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Answer<PutStream> {
        let (caller, messages) = self.receive(request).await?;
        self.put(caller, messages).await
    }

    async fn do_exchange(&self, request: Request<Streaming<FlightData>>) -> Answer<FlightStream> {
        let (caller, messages) = self.receive(request).await?;
        self.backend.exchange(caller, messages.boxed()).await
    }

    async fn do_action(&self, request: Request<Action>) -> Answer<ActionStream> {
        let (headers, connection, action) = request.into_parts();
        let caller = self
            .backend
            .receive_action(&headers, &connection, &action.r#type)
            .await?;
        self.act(caller, action).await
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        let (caller, Empty {}) = self.receive(request).await?;
        let actions = self.action_types().into_iter().map(Ok);
        Ok(self.backend.respond(&caller, stream::iter(actions).boxed()))
    }
}

impl<B: Backend> Dispatcher<B> {
    async fn receive<T>(&self, request: Request<T>) -> Result<(B::Caller, T), Status> {
        let (headers, connection, body) = request.into_parts();
        let caller = self.backend.receive(&headers, &connection).await?;
        Ok((caller, body))
    }

    fn asked(&self, caller: &B::Caller, descriptor: &FlightDescriptor) -> Result<Asked, Status> {
        asked(descriptor).map_err(|refusal| self.backend.refuse(caller, refusal))
    }
}
