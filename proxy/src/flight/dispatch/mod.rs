//! Every call, command and action of Flight and Flight SQL, decoded and shaped once for whatever answers them.
//!
//! A [`Dispatcher`] takes the protocol apart: which command a descriptor or a ticket holds, which request an action
//! carries, how each result is packed. What the answers are, a [`Backend`] says, one method for each of them. What a
//! backend leaves out is refused as not offered. Messages that `arrow-flight` lacks are in [`messages`].
//!
//! # Invariants
//! - A call is looked at only after the backend has said who sent it.
//! - No handler here knows SQL, sessions or tables: this folder can serve any backend, and Arrow's own integration
//!   scenarios run against one with canned answers.

mod action;
mod backend;
mod command;
pub mod messages;
mod put;
mod refusal;
mod service;
mod shapes;

pub use action::ActionKind;
pub use backend::Backend;
pub use put::Put;
pub use refusal::Refusal;
pub(super) use shapes::{FOREIGN_KEYS, PRIMARY_KEYS, not_a_listing};
pub use shapes::{listing_schema, sql_info_batch};

use arrow_flight::{FlightData, FlightInfo, HandshakeRequest, HandshakeResponse, PutResult};
use futures::stream::BoxStream;
use tonic::{Response, Status};

/// What a call is answered with: a body and the headers in front of it, or an error.
pub type Answer<T> = Result<Response<T>, Status>;

/// Messages on their way.
pub type Messages<T> = BoxStream<'static, Result<T, Status>>;

/// What a client sends in a Handshake.
pub type HandshakeRequests = Messages<HandshakeRequest>;

/// What a Handshake answers with.
pub type HandshakeStream = Messages<HandshakeResponse>;

/// Flights, as ListFlights gives them.
pub type InfoStream = Messages<FlightInfo>;

/// Data on its way, in either direction.
pub type FlightStream = Messages<FlightData>;

/// What a DoPut answers with.
pub type PutStream = Messages<PutResult>;

/// What a DoAction answers with.
pub type ActionStream = Messages<arrow_flight::Result>;

/// Serves the protocol, and asks a backend for each answer.
#[derive(Debug)]
pub struct Dispatcher<B> {
    backend: B,
}

impl<B: Backend> Dispatcher<B> {
    /// Serves `backend`.
    pub fn new(backend: B) -> Self {
        Self { backend }
    }
}
