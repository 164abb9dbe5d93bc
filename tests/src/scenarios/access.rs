//! `auth:basic_proto` and `middleware`: who calls, and which headers go with the answers.

use arrow::datatypes::Schema;
use arrow_flight::{
    Action, BasicAuth, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeResponse, Ticket,
};
use futures::{StreamExt, stream};
use landfast_proxy::flight::dispatch::{
    ActionStream, Answer, Backend, HandshakeRequests, HandshakeStream, Refusal,
};
use prost::Message;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Extensions, Response, Status};

const USER: &str = "arrow";
const PASSWORD: &str = "flight";
const TOKEN: &str = "auth-token-bin";
const ECHOED: &str = "x-middleware";

/// The user and the password come in the Handshake's payload; the token goes back the same way, and is sent in a
/// binary header from then on.
pub(super) struct BasicProto;

#[tonic::async_trait]
impl Backend for BasicProto {
    type Caller = String;

    async fn receive(&self, headers: &MetadataMap, _: &Extensions) -> Result<String, Status> {
        let token = headers
            .get_bin(TOKEN)
            .and_then(|token| token.to_bytes().ok());
        match token {
            Some(token) if token == USER => Ok(USER.to_owned()),
            _ => Err(Status::unauthenticated("invalid token")),
        }
    }

    async fn handshake(
        &self,
        _: &MetadataMap,
        _: &Extensions,
        mut requests: HandshakeRequests,
    ) -> Answer<HandshakeStream> {
        let Some(request) = requests.next().await.transpose()? else {
            return Err(Status::unauthenticated("no credentials"));
        };
        let given = BasicAuth::decode(request.payload)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if (given.username.as_str(), given.password.as_str()) != (USER, PASSWORD) {
            return Err(Status::unauthenticated("invalid token"));
        }
        let answer = HandshakeResponse {
            protocol_version: 0,
            payload: USER.into(),
        };
        Ok(Response::new(stream::iter([Ok(answer)]).boxed()))
    }

    async fn plain_action(&self, caller: String, _: Action) -> Answer<ActionStream> {
        let result = arrow_flight::Result::new(caller);
        Ok(Response::new(stream::iter([Ok(result)]).boxed()))
    }
}

/// A header of the call comes back with the answer, and with the error.
pub(super) struct Middleware;

/// The value of the header.
pub(super) struct Echoed(Option<MetadataValue<tonic::metadata::Ascii>>);

impl Echoed {
    fn write(&self, headers: &mut MetadataMap) {
        if let Some(value) = &self.0 {
            headers.insert(ECHOED, value.clone());
        }
    }
}

#[tonic::async_trait]
impl Backend for Middleware {
    type Caller = Echoed;

    async fn receive(&self, headers: &MetadataMap, _: &Extensions) -> Result<Echoed, Status> {
        Ok(Echoed(headers.get(ECHOED).cloned()))
    }

    fn refuse(&self, caller: &Echoed, refusal: Refusal) -> Status {
        let mut status = Status::from(refusal);
        caller.write(status.metadata_mut());
        status
    }

    async fn plain_info(&self, caller: Echoed, descriptor: FlightDescriptor) -> Answer<FlightInfo> {
        if descriptor.cmd != "success" {
            let mut status = Status::unknown("unknown");
            caller.write(status.metadata_mut());
            return Err(status);
        }
        let endpoint = FlightEndpoint::new()
            .with_ticket(Ticket::new("foo"))
            .with_location("grpc+tcp://localhost:10010");
        let info = super::info(&Schema::empty(), descriptor, [])?.with_endpoint(endpoint);
        let mut response = Response::new(info);
        caller.write(response.metadata_mut());
        Ok(response)
    }
}
