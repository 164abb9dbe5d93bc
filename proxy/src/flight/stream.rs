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
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use datafusion::execution::SendableRecordBatchStream;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use landfast_planner::PlannerError;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::dispatch::FlightStream;
use super::encode::Encoder;
use super::fault::Fault;
use super::run::Reading;
use super::wire::WireCast;
use crate::admission::{Permit, Stalled};
use crate::cpu::CpuRuntime;
use crate::limits::{Deadline, LimitError};

/// Messages that wait for the client, of up to two mebibytes each.
const MESSAGES_WAITING: usize = 2;
/// How long rows that are too few for a message wait for more.
const LINGER: Duration = Duration::from_millis(5);
/// A client that takes nothing for so long keeps no place among the running queries until it reads on.
const STALLED_AFTER: Duration = Duration::from_millis(250);

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
        reading: &'a Reading,
    ) -> BoxFuture<'a, Result<Option<SendableRecordBatchStream>, Fault>>;
}

/// What bounds a result in time and number.
pub(super) struct Bounds {
    pub(super) deadline: Deadline,
    pub(super) idle: Duration,
    /// Given back when the last message was taken over by the channel, or the client was given up; lent to others as
    /// long as the client takes nothing.
    pub(super) permit: Arc<Permit>,
}

/// Starts a result.
pub(super) fn start(
    cpu: &CpuRuntime,
    parts: impl Parts,
    encoder: Encoder,
    reading: Reading,
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
            reading.running();
            let stop = reading.stop();
            let sent = {
                let pump = Pump {
                    sender: &sender,
                    encoder,
                    reading: &reading,
                    idle,
                    permit: Some(permit),
                };
                // Whichever of the two comes first, the reads have been dropped when this block ends.
                tokio::select! {
                    biased;
                    () = stop.cancelled() => Err(called_off()),
                    sent = deadline.bound(pump.run(parts)) => match sent {
                        Ok(sent) => sent,
                        Err(late) => Err(late.into()),
                    },
                }
            };
            *ending.lock() = Some(match sent {
                Ok(()) => {
                    reading.finish();
                    Ok(())
                }
                // Nobody is there to hear of it; dropping the reading records that it was given up.
                Err(_) if sender.is_closed() => Ok(()),
                Err(fault) => {
                    let status = fault.status(Some(reading.id()));
                    match stop.is_cancelled() {
                        true => reading.cancelled(),
                        false => reading.fail(&fault),
                    }
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

/// What the client of a query is told that somebody cancelled.
pub(super) fn called_off() -> Fault {
    PlannerError::of_kind(
        landfast_planner::ErrorKind::Cancelled,
        "the query was cancelled",
    )
    .into()
}

struct Pump<'a> {
    sender: &'a mpsc::Sender<FlightData>,
    encoder: Encoder,
    reading: &'a Reading,
    idle: Duration,
    /// The query's place; nothing while it is lent.
    permit: Option<Arc<Permit>>,
}

impl Pump<'_> {
    async fn run(mut self, mut parts: impl Parts) -> Result<(), Fault> {
        let schema = self.encoder.schema_message();
        self.send(schema).await?;
        while let Some(mut batches) = parts.next(self.reading).await? {
            let mut held = Held::default();
            loop {
                // Small batches wait for one another, but not for long: what is there is wanted.
                let next = match held.is_empty() {
                    true => Ok(batches.next().await),
                    false => tokio::time::timeout(LINGER, batches.next()).await,
                };
                match next {
                    Ok(Some(batch)) => {
                        let batch = batch.map_err(PlannerError::from)?;
                        let bytes = self.encoder.weight(&batch);
                        held.add(batch, bytes);
                        if held.bytes >= self.encoder.rows_target_bytes() / 4 * 3 {
                            self.send_rows(held.take()).await?;
                        }
                    }
                    Ok(None) => break,
                    Err(_) => self.send_rows(held.take()).await?,
                }
            }
            self.send_rows(held.take()).await?;
        }
        Ok(())
    }

    /// Sends batches as one, cut into messages.
    async fn send_rows(&mut self, held: Vec<RecordBatch>) -> Result<(), Fault> {
        let Some(first) = held.first() else {
            return Ok(());
        };
        let together = match held.len() {
            1 => Ok(first.clone()),
            _ => concat_batches(&first.schema(), &held),
        };
        let batches = match together {
            Ok(batch) => vec![batch],
            // Dictionaries whose values are too many for their keys stay apart.
            Err(_) => held,
        };
        let mut messages = Vec::new();
        for batch in batches {
            let mut step = self.encoder.rows_per_message(&batch);
            let mut at = 0;
            while at < batch.num_rows() {
                if at > 0 && self.encoder.learns() {
                    let rest = batch.slice(at, batch.num_rows() - at);
                    step = self.encoder.rows_per_message(&rest);
                }
                let rows = step.min(batch.num_rows() - at);
                self.encoder
                    .encode(&batch.slice(at, rows), &mut messages)
                    .map_err(PlannerError::from)?;
                at += rows;
                let bytes: usize = messages.iter().map(weight).sum();
                for message in messages.drain(..) {
                    self.send(message).await?;
                }
                self.reading.sent(rows as u64, bytes as u64);
            }
        }
        Ok(())
    }

    async fn send(&mut self, message: FlightData) -> Result<(), Fault> {
        let wait = STALLED_AFTER.min(self.idle);
        if let Ok(room) = tokio::time::timeout(wait, self.sender.reserve()).await {
            room.map_err(|_| given_up())?.send(message);
            return Ok(());
        }
        let stalled = self.lend_place();
        self.room().await?.send(message);
        if let Some(stalled) = stalled {
            self.permit = Some(Arc::new(stalled.resume().await?));
        }
        Ok(())
    }

    /// Gives the place up until the client reads on; not while another share of the same query holds it as well.
    fn lend_place(&mut self) -> Option<Stalled> {
        let permit = Arc::try_unwrap(self.permit.take()?);
        match permit.map(Permit::stall) {
            Ok(Ok(stalled)) => Some(stalled),
            Ok(Err(permit)) => {
                self.permit = Some(Arc::new(permit));
                None
            }
            Err(shared) => {
                self.permit = Some(shared);
                None
            }
        }
    }

    /// Waits for room in the channel, for as long as the query's clients are waited for.
    async fn room(&self) -> Result<mpsc::Permit<'_, FlightData>, Fault> {
        loop {
            let patience = self.reading.patience(self.idle);
            match tokio::time::timeout_at(patience, self.sender.reserve()).await {
                Ok(room) => return room.map_err(|_| given_up()),
                // Its client may have taken another share of it meanwhile.
                Err(_) if self.reading.patience(self.idle) > Instant::now() => {}
                Err(_) => {
                    let idle_ms = u64::try_from(self.idle.as_millis()).unwrap_or(u64::MAX);
                    return Err(LimitError::StreamIdle { idle_ms }.into());
                }
            }
        }
    }
}

/// Dropping the receiver ends the task as well; whichever comes first, the query was given up.
fn given_up() -> Fault {
    PlannerError::of_kind(
        landfast_planner::ErrorKind::Cancelled,
        "the client gave the query up",
    )
    .into()
}

/// Batches that are too small for a message of their own.
#[derive(Default)]
struct Held {
    batches: Vec<RecordBatch>,
    bytes: usize,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    fn add(&mut self, batch: RecordBatch, bytes: usize) {
        if batch.num_rows() > 0 {
            self.bytes += bytes;
            self.batches.push(batch);
        }
    }

    fn take(&mut self) -> Vec<RecordBatch> {
        self.bytes = 0;
        std::mem::take(&mut self.batches)
    }
}

fn weight(message: &FlightData) -> usize {
    message.data_header.len() + message.data_body.len()
}
