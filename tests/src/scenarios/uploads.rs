//! The scenario without a name: batches that are put under a path are acknowledged one by one, and fetched again as
//! they were, with the metadata that came with each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_flight::{FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, PutResult, Ticket};
use futures::{StreamExt, TryStreamExt, stream};
use landfast_proxy::flight::dispatch::{Answer, Backend, FlightStream, Put, PutStream};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Response, Status};

use super::Anybody;

/// Messages by path: the schema first, then the batches.
type Kept = Arc<Mutex<HashMap<String, Vec<FlightData>>>>;

/// Keeps what is put.
pub(super) struct Uploads {
    port: u16,
    kept: Kept,
}

impl Uploads {
    /// Served on this port of the loopback address.
    pub(super) fn new(port: u16) -> Self {
        Self {
            port,
            kept: Kept::default(),
        }
    }
}

fn lock(kept: &Kept) -> MutexGuard<'_, HashMap<String, Vec<FlightData>>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

fn only(descriptor: &FlightDescriptor) -> Result<String, Status> {
    let path = descriptor.path.first().cloned();
    path.ok_or_else(|| Status::invalid_argument("a path is wanted"))
}

#[tonic::async_trait]
impl Backend for Uploads {
    type Caller = Anybody;

    async fn receive(&self, _: &MetadataMap, _: &Extensions) -> Result<Anybody, Status> {
        Ok(())
    }

    async fn plain_put(&self, (): Anybody, put: Put) -> Answer<PutStream> {
        let path = only(&put.descriptor)?;
        lock(&self.kept).insert(path.clone(), Vec::new());
        let kept = self.kept.clone();
        let acknowledged = put.into_messages().try_filter_map(move |mut message| {
            message.flight_descriptor = None;
            let app_metadata = message.app_metadata.clone();
            let mut kept = lock(&kept);
            let messages = kept.entry(path.clone()).or_default();
            // The schema comes first, and is not acknowledged, whatever metadata goes with it.
            let is_batch = !messages.is_empty();
            messages.push(message);
            std::future::ready(Ok(is_batch.then_some(PutResult { app_metadata })))
        });
        Ok(Response::new(acknowledged.boxed()))
    }

    async fn plain_info(&self, (): Anybody, descriptor: FlightDescriptor) -> Answer<FlightInfo> {
        let path = only(&descriptor)?;
        let kept = lock(&self.kept);
        let schema = kept
            .get(&path)
            .and_then(|messages| messages.first())
            .and_then(|first| arrow::datatypes::Schema::try_from(first).ok())
            .ok_or_else(|| Status::not_found(format!("there is no flight {path}")))?;
        let endpoint = FlightEndpoint::new()
            .with_ticket(Ticket::new(path))
            .with_location(format!("grpc+tcp://127.0.0.1:{}", self.port));
        let info = super::info(&schema, descriptor, [])?.with_endpoint(endpoint);
        Ok(Response::new(info))
    }

    async fn plain_get(&self, (): Anybody, ticket: Ticket) -> Answer<FlightStream> {
        let path = String::from_utf8_lossy(&ticket.ticket).into_owned();
        let messages = lock(&self.kept).get(&path).cloned();
        let messages =
            messages.ok_or_else(|| Status::not_found(format!("there is no flight {path}")))?;
        Ok(Response::new(
            stream::iter(messages.into_iter().map(Ok)).boxed(),
        ))
    }
}
