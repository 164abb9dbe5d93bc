//! A plain client of Flight, which sends what it is told to.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::ProstMessageExt;
use arrow_flight::{
    Action, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, PutResult, Ticket,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use landfast_tests::scenarios::{Scenario, Served, serve};
use prost::Message;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Response};

/// A client of a scenario's server, which lives as long as the client.
pub(crate) struct Client {
    pub(crate) flight: FlightServiceClient<Channel>,
    /// Sent with each call.
    pub(crate) headers: MetadataMap,
    _served: Served,
}

pub(crate) async fn client(scenario: Scenario) -> Client {
    let served = serve(scenario).await.unwrap();
    let address = format!("http://127.0.0.1:{}", served.port());
    let channel = Channel::from_shared(address).unwrap();
    Client {
        flight: FlightServiceClient::new(channel.connect().await.unwrap()),
        headers: MetadataMap::new(),
        _served: served,
    }
}

/// A command of Flight SQL in a descriptor.
pub(crate) fn command(command: &impl ProstMessageExt) -> FlightDescriptor {
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

impl Client {
    pub(crate) fn request<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        *request.metadata_mut() = self.headers.clone();
        request
    }

    pub(crate) async fn info(
        &mut self,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Status> {
        let request = self.request(descriptor);
        Ok(self.flight.get_flight_info(request).await?.into_inner())
    }

    pub(crate) async fn schema(&mut self, descriptor: FlightDescriptor) -> Result<Schema, Status> {
        let request = self.request(descriptor);
        let result = self.flight.get_schema(request).await?.into_inner();
        Ok(Schema::try_from(result).unwrap())
    }

    /// The schema and the rows of an endpoint.
    pub(crate) async fn get(
        &mut self,
        endpoint: &FlightEndpoint,
    ) -> Result<(Arc<Schema>, Vec<RecordBatch>), Status> {
        let ticket: Ticket = endpoint.ticket.clone().unwrap();
        let request = self.request(ticket);
        let messages = self.flight.do_get(request).await?.into_inner();
        let mut stream =
            FlightRecordBatchStream::new_from_flight_data(messages.map_err(FlightError::from));
        let mut batches = vec![];
        while let Some(batch) = stream.try_next().await? {
            batches.push(batch);
        }
        Ok((stream.schema().unwrap().clone(), batches))
    }

    /// Puts a descriptor, and batches where there are any.
    pub(crate) async fn put(
        &mut self,
        descriptor: FlightDescriptor,
        batches: Vec<RecordBatch>,
    ) -> Result<Vec<PutResult>, Status> {
        let messages: Vec<FlightData> = match batches.is_empty() {
            true => vec![FlightData::new().with_descriptor(descriptor)],
            false => FlightDataEncoderBuilder::new()
                .with_flight_descriptor(Some(descriptor))
                .build(stream::iter(batches.into_iter().map(Ok)))
                .try_collect()
                .await
                .unwrap(),
        };
        let request = self.request(stream::iter(messages));
        let results = self.flight.do_put(request).await?.into_inner();
        results.try_collect().await
    }

    /// An action's results, with the headers in front of them.
    pub(crate) async fn act(
        &mut self,
        name: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Vec<Bytes>>, Status> {
        let request = self.request(Action::new(name, body));
        let (headers, results, extensions) = self.flight.do_action(request).await?.into_parts();
        let bodies = results.map(|result| Ok::<_, Status>(result?.body));
        Ok(Response::from_parts(
            headers,
            bodies.try_collect().await?,
            extensions,
        ))
    }

    /// The one result of an action.
    pub(crate) async fn act_for_one(
        &mut self,
        name: &str,
        body: impl Into<Bytes>,
    ) -> Result<Bytes, Status> {
        let mut bodies = self.act(name, body).await?.into_inner();
        assert_eq!(bodies.len(), 1, "{name}");
        Ok(bodies.remove(0))
    }
}
