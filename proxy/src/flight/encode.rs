//! Batches to Flight messages: 1–2 MiB each, never above 4 MiB but for a single larger row.
//!
//! A batch is cut before it is cast, so that views become plain strings only for the rows of one message: what is
//! sliced is never sent whole, and no offset overflows however large a batch's strings are. Each message's bytes are
//! copied once, from the arrays into the message.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow_flight::{FlightData, SchemaAsIpc};
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};

use super::wire::WireCast;

/// What a message should weigh.
pub(super) const MESSAGE_TARGET_BYTES: usize = 1_792 * 1024;
/// What a message of more than one row may weigh: gRPC's usual limit, less its own few bytes.
pub(super) const MESSAGE_MAX_BYTES: usize = 4 * 1024 * 1024 - 1024;
/// Cuts fall on multiples of this many rows where they can, so that validity bitmaps are copied bytewise.
const ROWS_ALIGNED: usize = 64;

/// Encodes the batches of one result.
pub(super) struct Encoder {
    cast: WireCast,
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl Encoder {
    pub(super) fn new(cast: WireCast) -> Self {
        let mut context = IpcWriteContext::default();
        context.set_reserve_scratch(true);
        Self {
            cast,
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(false),
            options: IpcWriteOptions::default(),
            context,
        }
    }

    /// The message that opens the stream; it is sent even when no batch follows.
    pub(super) fn schema_message(&self) -> FlightData {
        SchemaAsIpc::new(self.cast.schema(), &self.options).into()
    }

    /// How many rows of `batch` go into one message.
    pub(super) fn rows_per_message(batch: &RecordBatch) -> usize {
        let rows = batch.num_rows();
        let messages = wire_bytes(batch).div_ceil(MESSAGE_TARGET_BYTES).max(1);
        if messages == 1 {
            return rows.max(1);
        }
        let even = rows.div_ceil(messages);
        even.next_multiple_of(ROWS_ALIGNED).min(rows).max(1)
    }

    /// Encodes some rows; usually into one message, into more when rows are uneven in size. No rows make no message.
    pub(super) fn encode(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<FlightData>,
    ) -> Result<(), ArrowError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        if rows > 1 && flat_bytes(batch) > MESSAGE_MAX_BYTES {
            return self.halves(batch, out);
        }
        let wire = self.cast.cast(batch)?;
        let (dictionaries, message) = self.generator.encode(
            &wire,
            &mut self.dictionaries,
            &self.options,
            &mut self.context,
        )?;
        debug_assert!(
            dictionaries.is_empty(),
            "the wire profile has no dictionaries"
        );
        if rows > 1 && message.ipc_message.len() + message.arrow_data.len() > MESSAGE_MAX_BYTES {
            return self.halves(batch, out);
        }
        out.push(message.into());
        Ok(())
    }

    fn halves(&mut self, batch: &RecordBatch, out: &mut Vec<FlightData>) -> Result<(), ArrowError> {
        let half = batch.num_rows() / 2;
        self.encode(&batch.slice(0, half), out)?;
        self.encode(&batch.slice(half, batch.num_rows() - half), out)
    }
}

/// About what a batch will weigh on the wire.
fn wire_bytes(batch: &RecordBatch) -> usize {
    batch
        .columns()
        .iter()
        .map(|column| flat(column).unwrap_or_else(|| nested(column)))
        .sum()
}

/// What the columns weigh whose weight can be told exactly and cheaply.
fn flat_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().filter_map(flat).sum()
}

fn flat(column: &arrow::array::ArrayRef) -> Option<usize> {
    let rows = column.len();
    let validity = if column.null_count() > 0 {
        rows.div_ceil(8)
    } else {
        0
    };
    let values = match column.data_type() {
        DataType::Utf8View => column.as_string_view().total_bytes_len() + 4 * (rows + 1),
        DataType::BinaryView => column.as_binary_view().total_bytes_len() + 4 * (rows + 1),
        DataType::Null => 0,
        DataType::Boolean => rows.div_ceil(8),
        DataType::Float16 => 4 * rows,
        DataType::Decimal32(..) | DataType::Decimal64(..) => 16 * rows,
        DataType::Utf8 | DataType::Binary | DataType::LargeUtf8 | DataType::LargeBinary => {
            column.to_data().get_slice_memory_size().ok()?
        }
        other => other.primitive_width()? * rows,
    };
    Some(values + validity)
}

/// Nested columns are weighed as they are held: too much for a slice, so only ever asked of a whole batch.
fn nested(column: &arrow::array::ArrayRef) -> usize {
    match column.data_type() {
        // Each row may repeat any of the values.
        DataType::Dictionary(_, _) | DataType::RunEndEncoded(_, _) => {
            column.get_array_memory_size().max(column.len() * 16)
        }
        _ => column
            .to_data()
            .get_slice_memory_size()
            .unwrap_or_else(|_| column.get_array_memory_size()),
    }
}

#[cfg(test)]
mod tests;
