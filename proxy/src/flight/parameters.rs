//! The rows of parameters that a client binds, from a DoPut and into a ticket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, UnionArray};
use arrow::buffer::Buffer;
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use tonic::Status;

use super::fault::Fault;
use super::incoming::{self, Incoming};
use crate::limits::{LimitError, Limits};

/// Rows of bound parameters; each row is one execution.
#[derive(Clone, Debug)]
pub(super) struct Parameters {
    rows: RecordBatch,
    /// What they take in memory.
    bytes: usize,
}

impl Parameters {
    /// Reads what a client puts. A stream without a schema, or with one without columns, binds nothing: drivers send
    /// both for statements that take no parameters.
    pub(super) async fn receive(
        messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
        limits: &Limits,
    ) -> Result<Option<Self>, Fault> {
        let max = limits.parameter_bytes;
        let received = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&received);
        let mut incoming = Incoming::default();
        let bounded = messages
            // A message with a descriptor only (or with metadata of the client's own) carries no data.
            .try_filter(|message| std::future::ready(!message.data_header.is_empty()))
            .map(move |message| {
                let message = message.map_err(FlightError::from)?;
                let more = message.data_header.len() + message.data_body.len();
                if count.fetch_add(more, Ordering::Relaxed) + more > max {
                    return Err(FlightError::ExternalError(Box::new(LimitError::TooLarge {
                        what: "the bound parameters",
                        found: format!("more than {max} bytes"),
                        max,
                    })));
                }
                let mut message = incoming.look_through(message)?;
                // The rows would hold the whole message by a part of it, and that is not what was counted.
                message.data_body = Bytes::copy_from_slice(&message.data_body);
                Ok(message)
            });
        let batches: Vec<RecordBatch> = FlightRecordBatchStream::new_from_flight_data(bounded)
            .try_collect()
            .await
            .map_err(unreadable)?;
        let Some(first) = batches.first().filter(|batch| batch.num_columns() > 0) else {
            return Ok(None);
        };
        let rows = concat_batches(&first.schema(), &batches).map_err(unreadable)?;
        let rows = without_unions(rows)?;
        if rows.num_rows() > limits.parameter_rows {
            return Err(LimitError::TooLarge {
                what: "the bound parameters",
                found: format!("{} rows", rows.num_rows()),
                max: limits.parameter_rows,
            }
            .into());
        }
        Ok(Some(Self::new(rows, received.load(Ordering::Relaxed))))
    }

    /// Rows that were made from so many bytes: arrays may be parts of these, and keep them as a whole.
    fn new(rows: RecordBatch, from: usize) -> Self {
        let sizes = rows.columns().iter().map(|column| {
            let data = column.to_data();
            data.get_slice_memory_size()
                .unwrap_or_else(|_| data.get_array_memory_size())
        });
        let bytes = from.max(sizes.sum());
        Self { rows, bytes }
    }

    /// About what they take in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many executions they are for.
    pub(super) fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// One row, as a batch.
    pub(super) fn row(&self, at: usize) -> RecordBatch {
        self.rows.slice(at, 1)
    }

    /// All rows as an IPC stream.
    pub(super) fn to_bytes(&self) -> Result<Bytes, Fault> {
        batches_to_bytes(&self.rows.schema(), std::slice::from_ref(&self.rows))
    }

    /// Rows from an IPC stream that [`Self::to_bytes`] made.
    pub(super) fn from_bytes(bytes: &Bytes) -> Result<Option<Self>, Fault> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let (schema, batches) = batches_from_bytes(bytes)?;
        let rows = concat_batches(&schema, &batches).map_err(Fault::internal)?;
        Ok(Some(Self::new(rows, bytes.len())))
    }
}

/// Batches as an IPC stream.
pub(super) fn batches_to_bytes(schema: &Schema, batches: &[RecordBatch]) -> Result<Bytes, Fault> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema).map_err(Fault::internal)?;
    for batch in batches {
        writer.write(batch).map_err(Fault::internal)?;
    }
    Ok(writer.into_inner().map_err(Fault::internal)?.into())
}

/// Batches from an IPC stream of ours. It takes no more memory than its bytes do, whatever lengths stand in them.
pub(super) fn batches_from_bytes(bytes: &Bytes) -> Result<(Arc<Schema>, Vec<RecordBatch>), Fault> {
    let mut decoder = StreamDecoder::new();
    let mut rest = Buffer::from(bytes.clone());
    let mut batches = Vec::new();
    while let Some(batch) = decoder.decode(&mut rest).map_err(Fault::internal)? {
        batches.push(batch);
    }
    decoder.finish().map_err(Fault::internal)?;
    let schema = decoder.schema();
    let schema = schema.ok_or_else(|| Fault::internal("an IPC stream without a schema"))?;
    Ok((schema, batches))
}

/// Each union replaced by the values it holds: drivers that know no parameter's type bind a union of every type they have.
/// To cast such a union would make NULLs of what is in another child than the one that the cast chooses.
fn without_unions(rows: RecordBatch) -> Result<RecordBatch, Fault> {
    let schema = rows.schema();
    let is_union = |field: &Field| matches!(field.data_type(), DataType::Union(..));
    if rows.num_rows() == 0 || !schema.fields().iter().any(|field| is_union(field)) {
        return Ok(rows);
    }
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        let column = match column.as_union_opt() {
            Some(union) => held(field.name(), union)?,
            None => ArrayRef::clone(column),
        };
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(unreadable)
}

/// The values of a union whose rows are all of one type.
fn held(name: &str, union: &UnionArray) -> Result<ArrayRef, Fault> {
    let ids = union.type_ids();
    if ids.iter().any(|id| *id != ids[0]) {
        return Err(Fault::malformed(format!(
            "the bound parameter {name} is of several types: bind one type in all rows"
        )));
    }
    let values = union.child(ids[0]);
    match union.offsets() {
        Some(offsets) => {
            take(values, &Int32Array::new(offsets.clone(), None), None).map_err(unreadable)
        }
        None => Ok(ArrayRef::clone(values)),
    }
}

fn unreadable(error: impl Into<FlightError>) -> Fault {
    incoming::unreadable("the bound parameters", error)
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int64Array, StringArray};
    use arrow::datatypes::Int32Type;
    use arrow_flight::FlightDescriptor;
    use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};

    use super::*;

    async fn receive(
        messages: Vec<FlightData>,
        limits: &Limits,
    ) -> Result<Option<Parameters>, Fault> {
        Parameters::receive(futures::stream::iter(messages.into_iter().map(Ok)), limits).await
    }

    async fn messages(batch: RecordBatch) -> Vec<FlightData> {
        FlightDataEncoderBuilder::new()
            .with_flight_descriptor(Some(FlightDescriptor::new_cmd("c")))
            .with_dictionary_handling(DictionaryHandling::Resend)
            .build(futures::stream::iter([Ok(batch)]))
            .try_collect()
            .await
            .unwrap()
    }

    fn numbers(count: i64) -> RecordBatch {
        RecordBatch::try_from_iter([(
            "1",
            Arc::new(Int64Array::from_iter_values(0..count)) as ArrayRef,
        )])
        .unwrap()
    }

    #[tokio::test]
    async fn a_descriptor_alone_and_a_schema_without_columns_bind_nothing() {
        let limits = Limits::default();
        let alone = FlightData::new().with_descriptor(FlightDescriptor::new_cmd("c"));
        assert!(receive(vec![alone], &limits).await.unwrap().is_none());
        let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
        assert!(
            receive(messages(empty).await, &limits)
                .await
                .unwrap()
                .is_none()
        );
        assert!(receive(vec![], &limits).await.unwrap().is_none());
    }

    #[test]
    fn bytes_that_promise_more_than_they_hold_are_refused_before_memory_is_taken_for_it() {
        // Four bytes that say a message follows, and four that say how long it is: nearly 2 GiB.
        let promised = [0xff, 0xff, 0xff, 0xff, 0xf0, 0xff, 0xff, 0x7f, 0, 0, 0, 0];
        for bytes in [&promised[..], &promised[4..], &promised[..5], b"x"] {
            let bytes = Bytes::copy_from_slice(bytes);
            assert!(Parameters::from_bytes(&bytes).is_err());
        }
        let whole = batches_to_bytes(&numbers(3).schema(), &[numbers(3)]).unwrap();
        let cut = whole.slice(..whole.len() - 12);
        assert!(Parameters::from_bytes(&cut).is_err());
    }

    #[tokio::test]
    async fn rows_come_one_by_one_and_survive_the_way_through_bytes() {
        let parameters = receive(messages(numbers(3)).await, &Limits::default())
            .await
            .unwrap()
            .unwrap();
        let again = Parameters::from_bytes(&parameters.to_bytes().unwrap())
            .unwrap()
            .unwrap();
        assert_eq!(again.len(), 3);
        assert_eq!(again.row(2), parameters.row(2));
        assert_eq!(again.row(2).num_rows(), 1);
    }

    #[tokio::test]
    async fn what_parameters_take_is_known_wherever_they_come_from() {
        let sent = messages(numbers(3)).await;
        let of = |message: &FlightData| message.data_header.len() + message.data_body.len();
        let sent_bytes: usize = sent.iter().map(of).sum();
        let received = receive(sent, &Limits::default()).await.unwrap().unwrap();
        assert_eq!(received.bytes(), sent_bytes);
        let ticket = received.to_bytes().unwrap();
        let again = Parameters::from_bytes(&ticket).unwrap().unwrap();
        assert_eq!(again.bytes(), ticket.len());
    }

    #[tokio::test]
    async fn a_union_of_types_binds_the_values_it_holds() {
        let fields = [(0i8, DataType::Int64), (1, DataType::Utf8)]
            .into_iter()
            .map(|(id, of)| (id, Arc::new(Field::new(id.to_string(), of, true))))
            .collect::<arrow::datatypes::UnionFields>();
        let bound = async |ids: [i8; 2], offsets: [i32; 2]| {
            let children = [
                Arc::new(Int64Array::from(vec![7, 8])) as ArrayRef,
                Arc::new(StringArray::from(vec!["x", "y"])),
            ];
            let union = UnionArray::try_new(
                fields.clone(),
                ids.to_vec().into(),
                Some(offsets.to_vec().into()),
                children.to_vec(),
            );
            let rows = RecordBatch::try_from_iter([("1", Arc::new(union.unwrap()) as ArrayRef)]);
            receive(messages(rows.unwrap()).await, &Limits::default()).await
        };
        let texts = bound([1, 1], [1, 0]).await.unwrap().unwrap();
        assert_eq!(texts.row(0).column(0).as_string::<i32>().value(0), "y");
        assert_eq!(texts.row(1).column(0).as_string::<i32>().value(0), "x");
        let numbers = bound([0, 0], [0, 1]).await.unwrap().unwrap();
        assert_eq!(*numbers.row(1).column(0).data_type(), DataType::Int64);
        assert!(matches!(
            bound([0, 1], [0, 0]).await,
            Err(Fault::Malformed(_))
        ));
    }

    #[tokio::test]
    async fn too_many_rows_or_bytes_are_refused_as_such() {
        let few = Limits {
            parameter_rows: 2,
            ..Limits::default()
        };
        assert!(matches!(
            receive(messages(numbers(3)).await, &few).await,
            Err(Fault::Limit(LimitError::TooLarge { .. }))
        ));
        let small = Limits {
            parameter_bytes: 100,
            ..Limits::default()
        };
        assert!(matches!(
            receive(messages(numbers(3)).await, &small).await,
            Err(Fault::Limit(LimitError::TooLarge { .. }))
        ));
    }

    #[tokio::test]
    async fn dictionaries_count_also_where_no_rows_come() {
        let coded: DictionaryArray<Int32Type> = ["a"; 3].into_iter().collect();
        let rows = RecordBatch::try_from_iter([("1", Arc::new(coded) as ArrayRef)]);
        let mut sent = messages(rows.unwrap()).await;
        assert_eq!(sent.len(), 3, "a schema, a dictionary and rows");
        sent.pop();
        let one = sent[1].data_header.len() + sent[1].data_body.len();
        let limits = Limits {
            parameter_bytes: sent[0].data_header.len() + 2 * one,
            ..Limits::default()
        };
        sent.push(sent[1].clone());
        assert!(receive(sent.clone(), &limits).await.unwrap().is_none());
        sent.push(sent[1].clone());
        assert!(matches!(
            receive(sent, &limits).await,
            Err(Fault::Limit(LimitError::TooLarge { .. }))
        ));
    }

    #[tokio::test]
    async fn rubbish_is_malformed() {
        let rubbish = FlightData::new().with_data_header(vec![1, 2, 3]);
        assert!(matches!(
            receive(vec![rubbish], &Limits::default()).await,
            Err(Fault::Malformed(_))
        ));
    }
}
