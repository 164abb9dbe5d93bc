//! The scenarios of one call each: `ordered`, `do_exchange:echo`, `location:reuse_connection`, `poll_flight_info` and
//! `app_metadata_flight_info_endpoint`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, PollInfo, Ticket};
use futures::{StreamExt, TryStreamExt};
use landfast_proxy::flight::dispatch::{Answer, Backend, FlightStream};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Response, Status};

use super::{Anybody, flow, info, number};

/// Three endpoints whose order matters.
pub(super) struct Ordered;

#[tonic::async_trait]
impl Backend for Ordered {
    type Caller = Anybody;

    async fn receive(&self, _: &MetadataMap, _: &Extensions) -> Result<Anybody, Status> {
        Ok(())
    }

    async fn plain_info(&self, (): Anybody, descriptor: FlightDescriptor) -> Answer<FlightInfo> {
        let ordered = descriptor.cmd == "ordered";
        let tickets = ["1", "2", "3"].map(|ticket| ticket.as_bytes().to_vec());
        let info = info(&number(DataType::Int32), descriptor, tickets)?;
        Ok(Response::new(info.with_ordered(ordered)))
    }

    async fn plain_get(&self, (): Anybody, ticket: Ticket) -> Answer<FlightStream> {
        let unit = match &ticket.ticket[..] {
            b"1" => 1,
            b"2" => 10,
            b"3" => 100,
            _ => return Err(Status::invalid_argument("there are three tickets")),
        };
        let numbers = Int32Array::from(vec![unit, 2 * unit, 3 * unit]);
        let schema = number(DataType::Int32);
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(numbers)])
            .map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(flow(schema, vec![batch])))
    }
}

/// Gives back what it gets.
pub(super) struct Echo;

#[tonic::async_trait]
impl Backend for Echo {
    type Caller = Anybody;

    async fn receive(&self, _: &MetadataMap, _: &Extensions) -> Result<Anybody, Status> {
        Ok(())
    }

    async fn exchange(&self, (): Anybody, messages: FlightStream) -> Answer<FlightStream> {
        let echoed = messages.map_ok(|mut message| {
            message.flight_descriptor = None;
            message
        });
        Ok(Response::new(echoed.boxed()))
    }
}

/// An endpoint on the connection that there is.
pub(super) struct ReuseConnection;

#[tonic::async_trait]
impl Backend for ReuseConnection {
    type Caller = Anybody;

    async fn receive(&self, _: &MetadataMap, _: &Extensions) -> Result<Anybody, Status> {
        Ok(())
    }

    async fn plain_info(&self, (): Anybody, descriptor: FlightDescriptor) -> Answer<FlightInfo> {
        let endpoint = FlightEndpoint::new()
            .with_ticket(Ticket::new("reuse"))
            .with_location("arrow-flight-reuse-connection://?");
        let info = info(&Schema::empty(), descriptor, [])?.with_endpoint(endpoint);
        Ok(Response::new(info))
    }
}

/// A query that is asked about twice.
pub(super) struct Polled;

#[tonic::async_trait]
impl Backend for Polled {
    type Caller = Anybody;

    async fn receive(&self, _: &MetadataMap, _: &Extensions) -> Result<Anybody, Status> {
        Ok(())
    }

    async fn plain_poll(&self, (): Anybody, descriptor: FlightDescriptor) -> Answer<PollInfo> {
        let done = descriptor.cmd == "poll";
        let ticket = b"long-running query".to_vec();
        let info = info(&number(DataType::UInt32), descriptor, [ticket])?;
        let expires = prost_types::Timestamp::from(SystemTime::now() + Duration::from_secs(10));
        Ok(Response::new(PollInfo {
            info: Some(info),
            flight_descriptor: (!done).then(|| FlightDescriptor::new_cmd("poll")),
            progress: Some(if done { 1.0 } else { 0.1 }),
            expiration_time: (!done).then_some(expires),
        }))
    }
}

/// What is asked comes back as metadata of the flight and of its endpoint.
pub(super) struct AppMetadata;

#[tonic::async_trait]
impl Backend for AppMetadata {
    type Caller = Anybody;

    async fn receive(&self, _: &MetadataMap, _: &Extensions) -> Result<Anybody, Status> {
        Ok(())
    }

    async fn plain_info(&self, (): Anybody, descriptor: FlightDescriptor) -> Answer<FlightInfo> {
        let metadata = descriptor.cmd.clone();
        let endpoint = FlightEndpoint::new().with_app_metadata(metadata.clone());
        let info = info(&number(DataType::UInt32), descriptor, [])?
            .with_endpoint(endpoint)
            .with_app_metadata(metadata);
        Ok(Response::new(info))
    }
}
