//! DoPut: its first message says what is put.

use arrow_flight::sql::{DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_flight::{FlightData, FlightDescriptor, PutResult};
use bytes::Bytes;
use futures::{StreamExt, stream};
use prost::Message;
use tonic::{Response, Status, Streaming};

use super::command::{Putting, putting};
use super::{Answer, Backend, Dispatcher, FlightStream, PutStream, Refusal};

/// Data that a client puts. The first message has been received; it may carry data of its own.
pub struct Put {
    /// What the first message says it is.
    pub descriptor: FlightDescriptor,
    first: FlightData,
    rest: FlightStream,
}

impl std::fmt::Debug for Put {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Put")
            .field("descriptor", &self.descriptor)
            .finish_non_exhaustive()
    }
}

impl Put {
    /// All messages, the first among them.
    pub fn into_messages(self) -> FlightStream {
        stream::iter([Ok(self.first)]).chain(self.rest).boxed()
    }
}

impl<B: Backend> Dispatcher<B> {
    pub(super) async fn put(
        &self,
        caller: B::Caller,
        mut messages: Streaming<FlightData>,
    ) -> Answer<PutStream> {
        let Some(first) = messages.message().await? else {
            return Err(self
                .backend
                .refuse(&caller, Refusal::malformed("nothing was put")));
        };
        let Some(descriptor) = first.flight_descriptor.clone() else {
            let refusal = Refusal::malformed("the first message of a DoPut has no descriptor");
            return Err(self.backend.refuse(&caller, refusal));
        };
        let putting =
            putting(&descriptor).map_err(|refusal| self.backend.refuse(&caller, refusal))?;
        let put = Put {
            descriptor,
            first,
            rest: messages.boxed(),
        };
        let backend = &self.backend;
        match putting {
            Putting::Update(update) => counted(backend.update(caller, update).await),
            Putting::Substrait(plan) => counted(backend.substrait_update(caller, plan).await),
            Putting::PreparedUpdate(update) => {
                counted(backend.prepared_update(caller, update, put).await)
            }
            Putting::Ingest(ingest) => counted(backend.ingest(caller, ingest, put).await),
            Putting::PreparedQuery(query) => backend.bind(caller, query, put).await.map(|bound| {
                bound.map(|handle| {
                    let result = DoPutPreparedStatementResult {
                        prepared_statement_handle: Some(handle),
                    };
                    one(result.encode_to_vec())
                })
            }),
            Putting::Plain => backend.plain_put(caller, put).await,
        }
    }
}

fn counted(count: Result<Response<i64>, Status>) -> Answer<PutStream> {
    let result = |record_count| one(DoPutUpdateResult { record_count }.encode_to_vec());
    Ok(count?.map(result))
}

fn one(app_metadata: impl Into<Bytes>) -> PutStream {
    let result = PutResult {
        app_metadata: app_metadata.into(),
    };
    stream::iter([Ok(result)]).boxed()
}
