//! `expiration_time:…`: endpoints that expire, are renewed and cancelled.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::DataType;
use arrow_flight::{CancelStatus, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use landfast_proxy::flight::dispatch::{ActionKind, Answer, Backend, FlightStream};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Response, Status};

use super::{Anybody, flow, info, number};

/// What a renewed endpoint lives for.
const RENEWED: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Endpoint {
    expires: Option<SystemTime>,
    fetched: bool,
    cancelled: bool,
}

/// One flight of three endpoints: one that is fetched once and does not expire, and two that do.
#[derive(Default)]
pub(super) struct Expiring {
    endpoints: Mutex<Vec<Endpoint>>,
}

impl Expiring {
    fn endpoints(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ticket is an endpoint's number and some words.
fn index(ticket: &[u8], count: usize) -> Result<usize, Status> {
    let text = String::from_utf8_lossy(ticket);
    let number = text
        .split(':')
        .next()
        .and_then(|number| number.parse().ok());
    number
        .filter(|number| *number < count)
        .ok_or_else(|| Status::invalid_argument(format!("no such flight: {text}")))
}

fn ticket_of(endpoint: &FlightEndpoint) -> &[u8] {
    let ticket = endpoint.ticket.as_ref();
    ticket.map_or(&[], |ticket| &ticket.ticket)
}

#[tonic::async_trait]
impl Backend for Expiring {
    type Caller = Anybody;

    async fn receive(&self, _: &MetadataMap, _: &Extensions) -> Result<Anybody, Status> {
        Ok(())
    }

    fn actions(&self) -> &[ActionKind] {
        &[
            ActionKind::CancelFlightInfo,
            ActionKind::RenewFlightEndpoint,
        ]
    }

    async fn plain_info(&self, (): Anybody, descriptor: FlightDescriptor) -> Answer<FlightInfo> {
        let now = SystemTime::now();
        let lives = [None, Some(5), Some(6)];
        let mut endpoints = self.endpoints();
        endpoints.clear();
        let mut info = info(&number(DataType::UInt32), descriptor, [])?;
        for (index, seconds) in lives.into_iter().enumerate() {
            let expires = seconds.map(|seconds| now + Duration::from_secs(seconds));
            let words = match seconds {
                Some(seconds) => format!("{index}: {seconds} seconds"),
                None => format!("{index}: No expiration time"),
            };
            let mut endpoint = FlightEndpoint::new().with_ticket(Ticket::new(words));
            endpoint.expiration_time = expires.map(Into::into);
            info = info.with_endpoint(endpoint);
            endpoints.push(Endpoint {
                expires,
                ..Endpoint::default()
            });
        }
        Ok(Response::new(info))
    }

    async fn plain_get(&self, (): Anybody, ticket: Ticket) -> Answer<FlightStream> {
        let mut endpoints = self.endpoints();
        let index = index(&ticket.ticket, endpoints.len())?;
        let endpoint = &mut endpoints[index];
        if endpoint.cancelled {
            return Err(Status::invalid_argument("the flight was cancelled"));
        }
        match endpoint.expires {
            None if endpoint.fetched => {
                return Err(Status::invalid_argument("the flight is fetched once"));
            }
            Some(expires) if expires < SystemTime::now() => {
                return Err(Status::invalid_argument("the flight has expired"));
            }
            _ => endpoint.fetched = true,
        }
        let schema = number(DataType::UInt32);
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let column = Arc::new(UInt32Array::from(vec![index]));
        let batch = RecordBatch::try_new(schema.clone(), vec![column])
            .map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(flow(schema, vec![batch])))
    }

    async fn cancel(&self, (): Anybody, info: FlightInfo) -> Answer<CancelStatus> {
        let mut endpoints = self.endpoints();
        let mut status = CancelStatus::Unspecified;
        for endpoint in &info.endpoint {
            let count = endpoints.len();
            match index(ticket_of(endpoint), count).map(|index| &mut endpoints[index]) {
                Ok(known) if !known.cancelled => {
                    known.cancelled = true;
                    if status == CancelStatus::Unspecified {
                        status = CancelStatus::Cancelled;
                    }
                }
                _ => status = CancelStatus::NotCancellable,
            }
        }
        Ok(Response::new(status))
    }

    async fn renew(&self, (): Anybody, endpoint: FlightEndpoint) -> Answer<FlightEndpoint> {
        let mut endpoints = self.endpoints();
        let index = index(ticket_of(&endpoint), endpoints.len())?;
        let expires = SystemTime::now() + RENEWED;
        endpoints[index].expires = Some(expires);
        let words = String::from_utf8_lossy(ticket_of(&endpoint)).into_owned();
        let mut renewed =
            endpoint.with_ticket(Ticket::new(format!("{words}: renewed (+ 10 seconds)")));
        renewed.expiration_time = Some(expires.into());
        Ok(Response::new(renewed))
    }
}
