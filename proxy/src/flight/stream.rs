//! A result on its way: batches are made and encoded by a task of their own, on the runtime for that, and wait for the
//! client in a small channel.
//!
//! Dropping the stream ends the task at once, and with it the query and its reads. The end of the channel alone is not
//! the end of the result: only a task that says that it sent everything ends the stream without an error.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use datafusion::execution::SendableRecordBatchStream;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use landfast_planner::PlannerError;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::dispatch::FlightStream;
use super::encode::Encoder;
use super::fault::Fault;
use super::wire::WireCast;
use crate::cpu::CpuRuntime;
use crate::limits::{Deadline, LimitError, Permit};
use crate::queries::Query;

/// Messages that wait for the client, of up to two mebibytes each.
const MESSAGES_WAITING: usize = 2;

/// How the task ended; nothing as long as it runs, or when it died.
type Ending = Arc<Mutex<Option<Result<(), Status>>>>;

/// A small result that is all there.
pub(super) fn whole(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<FlightStream, Fault> {
    let cast = WireCast::new(schema, schema.clone()).map_err(Fault::internal)?;
    let mut messages = vec![Encoder::new(cast).schema_message()];
    for batch in batches {
        messages.extend(messages_of(batch)?);
    }
    Ok(futures::stream::iter(messages.into_iter().map(Ok)).boxed())
}

/// The messages of a batch that is as clients are to see it.
pub(super) fn messages_of(batch: &RecordBatch) -> Result<Vec<FlightData>, Fault> {
    let cast = WireCast::new(&batch.schema(), batch.schema()).map_err(Fault::internal)?;
    let mut messages = Vec::new();
    let encoded = Encoder::new(cast).encode(batch, &mut messages);
    encoded.map_err(Fault::internal)?;
    Ok(messages)
}

/// A result as the client reads it.
pub(super) struct ResultStream {
    messages: mpsc::Receiver<FlightData>,
    ending: Ending,
    ended: bool,
    _task: AbortOnDropHandle<()>,
}

impl Stream for ResultStream {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.messages.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(message)) => Poll::Ready(Some(Ok(message))),
            Poll::Ready(None) => {
                self.ended = true;
                let ending = self.ending.lock().take();
                match ending {
                    Some(Ok(())) => Poll::Ready(None),
                    Some(Err(status)) => Poll::Ready(Some(Err(status))),
                    None => {
                        Poll::Ready(Some(Err(Status::internal("the query ended unexpectedly"))))
                    }
                }
            }
        }
    }
}

/// The parts of one result, made one after the other: one part, or one for each row of bound parameters.
pub(super) trait Parts: Send + 'static {
    /// The next part, or nothing after the last.
    fn next<'a>(
        &'a mut self,
        query: &'a Query,
    ) -> BoxFuture<'a, Result<Option<SendableRecordBatchStream>, Fault>>;
}

/// What bounds a result in time and number.
pub(super) struct Bounds {
    pub(super) deadline: Deadline,
    pub(super) idle: Duration,
    /// Given back when the last message was taken over by the channel, or the client was given up.
    pub(super) permit: Permit,
}

/// Starts a result.
pub(super) fn start(
    cpu: &CpuRuntime,
    parts: impl Parts,
    encoder: Encoder,
    mut query: Query,
    bounds: Bounds,
) -> ResultStream {
    let (sender, messages) = mpsc::channel(MESSAGES_WAITING);
    let ending = Ending::default();
    let task = cpu.spawn({
        let ending = ending.clone();
        async move {
            let Bounds {
                deadline,
                idle,
                permit,
            } = bounds;
            query.running();
            let sent = {
                let pump = Pump {
                    sender: &sender,
                    encoder,
                    query: &query,
                    idle,
                };
                match deadline.bound(pump.run(parts)).await {
                    Ok(sent) => sent,
                    Err(late) => Err(late.into()),
                }
            };
            drop(permit);
            *ending.lock() = Some(match sent {
                Ok(()) => {
                    query.finish();
                    Ok(())
                }
                // Nobody is there to hear of it; dropping the query records that it was given up.
                Err(_) if sender.is_closed() => Ok(()),
                Err(fault) => {
                    let status = fault.status(Some(query.id()));
                    query.fail(fault.label(), &fault.to_string());
                    Err(status)
                }
            });
            // The sender goes last: the reader looks for the ending once the channel is at its end.
            drop(sender);
        }
    });
    ResultStream {
        messages,
        ending,
        ended: false,
        _task: task,
    }
}

struct Pump<'a> {
    sender: &'a mpsc::Sender<FlightData>,
    encoder: Encoder,
    query: &'a Query,
    idle: Duration,
}

impl Pump<'_> {
    async fn run(mut self, mut parts: impl Parts) -> Result<(), Fault> {
        self.send(self.encoder.schema_message()).await?;
        let mut messages = Vec::new();
        while let Some(mut batches) = parts.next(self.query).await? {
            while let Some(batch) = batches.next().await {
                let batch = batch.map_err(PlannerError::from)?;
                let step = Encoder::rows_per_message(&batch);
                let mut at = 0;
                while at < batch.num_rows() {
                    let rows = step.min(batch.num_rows() - at);
                    self.encoder
                        .encode(&batch.slice(at, rows), &mut messages)
                        .map_err(PlannerError::from)?;
                    at += rows;
                    let bytes: usize = messages.iter().map(weight).sum();
                    for message in messages.drain(..) {
                        send(self.sender, self.idle, message).await?;
                    }
                    self.query.sent(rows as u64, bytes as u64);
                }
            }
        }
        Ok(())
    }

    async fn send(&self, message: FlightData) -> Result<(), Fault> {
        send(self.sender, self.idle, message).await
    }
}

async fn send(
    sender: &mpsc::Sender<FlightData>,
    idle: Duration,
    message: FlightData,
) -> Result<(), Fault> {
    match tokio::time::timeout(idle, sender.send(message)).await {
        Ok(Ok(())) => Ok(()),
        // Dropping the receiver ends this task as well; whichever comes first, the query was given up.
        Ok(Err(_)) => Err(PlannerError::of_kind(
            landfast_planner::ErrorKind::Cancelled,
            "the client gave the query up",
        )
        .into()),
        Err(_) => {
            let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
            Err(LimitError::StreamIdle { idle_ms }.into())
        }
    }
}

fn weight(message: &FlightData) -> usize {
    message.data_header.len() + message.data_body.len()
}
