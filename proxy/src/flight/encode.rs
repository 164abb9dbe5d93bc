//! Batches to Flight messages: 1–2 MiB each, never above 4 MiB but for a single larger row.
//!
//! A batch is cut before it is cast, so that views become plain strings only for the rows of one message: what is
//! sliced is never sent whole, and no offset overflows however large a batch's strings are. Each message's bytes are
//! copied once, from the arrays into the message; views and dictionaries that are sent as such are compacted before. Of
//! compressed results it is the compressed messages that have these sizes, as far as earlier rows tell.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow_flight::FlightData;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};

use landfast_planner::{Compression, WireTypes};

use super::compact::{compact_batch, held, shares_buffers};
use super::wire::WireCast;

/// What a message should weigh.
pub(super) const MESSAGE_TARGET_BYTES: usize = 1_792 * 1024;
/// What a message of more than one row may weigh: gRPC's usual limit, less its own few bytes.
pub(super) const MESSAGE_MAX_BYTES: usize = 4 * 1024 * 1024 - 1024;
/// Cuts fall on multiples of this many rows where they can, so that validity bitmaps are copied bytewise.
const ROWS_ALIGNED: usize = 64;

/// What one message's rows may weigh before they are compressed.
const UNCOMPRESSED_MAX_BYTES: usize = 16 * 1024 * 1024;
/// No result is taken to become smaller than this part of itself.
const RATIO_MIN: f64 = 1.0 / 16.0;

/// Encodes the batches of one result.
pub(super) struct Encoder {
    cast: WireCast,
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    options: IpcWriteOptions,
    context: IpcWriteContext,
    compresses: bool,
    scale: Scale,
    /// Whether slices hold buffers that are not theirs alone.
    shares_buffers: bool,
    /// What messages weighed of late, as a part of what their rows do; one unless they are compressed.
    ratio: f64,
    /// Whether it was learnt from any message.
    learnt: bool,
}

impl Encoder {
    pub(super) fn new(cast: WireCast) -> Self {
        let mut context = IpcWriteContext::default();
        context.set_reserve_scratch(true);
        let mut fields = cast.schema().fields().iter();
        Self {
            compresses: false,
            scale: Scale::of(cast.types()),
            shares_buffers: fields.any(|field| shares_buffers(field.data_type())),
            cast,
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(false),
            options: IpcWriteOptions::default(),
            context,
            ratio: 1.0,
            learnt: false,
        }
    }

    /// One whose messages are compressed.
    pub(super) fn compressed(cast: WireCast, with: Compression) -> Result<Self, ArrowError> {
        let codec = match with {
            Compression::None => None,
            Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
            Compression::Zstd => Some(CompressionType::ZSTD),
        };
        Ok(Self {
            compresses: codec.is_some(),
            options: IpcWriteOptions::default().try_with_compression(codec)?,
            ..Self::new(cast)
        })
    }

    /// The message that opens the stream; it is sent even when no batch follows.
    pub(super) fn schema_message(&mut self) -> FlightData {
        // Told to this tracker, so that the dictionaries that follow have the ids that the schema gives them.
        self.dictionaries = DictionaryTracker::new(false);
        let schema = self.generator.schema_to_bytes_with_dictionary_tracker(
            self.cast.schema(),
            &mut self.dictionaries,
            &self.options,
        );
        schema.into()
    }

    /// About what a batch will weigh on the wire, before it is compressed.
    pub(super) fn weight(&self, batch: &RecordBatch) -> usize {
        self.scale.batch(batch)
    }

    /// Whether what it learns from one message changes how many rows go into the next.
    pub(super) fn learns(&self) -> bool {
        self.compresses
    }

    /// What rows weigh that make a message of the size it should have.
    pub(super) fn rows_target_bytes(&self) -> usize {
        let target = (MESSAGE_TARGET_BYTES as f64 / self.ratio) as usize;
        target.min(UNCOMPRESSED_MAX_BYTES)
    }

    /// How many rows of `batch` go into one message.
    pub(super) fn rows_per_message(&self, batch: &RecordBatch) -> usize {
        let rows = batch.num_rows();
        let messages = self.weight(batch).div_ceil(self.rows_target_bytes()).max(1);
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
        let weight = self.scale.flat_columns(batch);
        let most = (MESSAGE_MAX_BYTES as f64 / self.ratio) as usize;
        if rows > 1 && weight > most.min(UNCOMPRESSED_MAX_BYTES) {
            return self.halves(batch, out);
        }
        let mut wire = self.cast.cast(batch)?;
        if self.shares_buffers {
            wire = compact_batch(&wire)?;
            if rows > 1 && largest_dictionary(&wire) > MESSAGE_MAX_BYTES {
                return self.halves(batch, out);
            }
        }
        let (dictionaries, message) = self.generator.encode(
            &wire,
            &mut self.dictionaries,
            &self.options,
            &mut self.context,
        )?;
        // Once encoded they count as sent, whatever becomes of the rows.
        out.extend(dictionaries.into_iter().map(FlightData::from));
        let encoded = message.ipc_message.len() + message.arrow_data.len();
        self.learn(weight, encoded);
        if rows > 1 && encoded > MESSAGE_MAX_BYTES {
            return self.halves(batch, out);
        }
        out.push(message.into());
        Ok(())
    }

    /// Learns how far rows are compressed.
    fn learn(&mut self, weight: usize, encoded: usize) {
        if self.compresses && weight > 64 * 1024 {
            let ratio = encoded as f64 / weight as f64;
            let before = if self.learnt { self.ratio } else { ratio };
            self.ratio = (0.5 * before + 0.5 * ratio).clamp(RATIO_MIN, 1.0);
            self.learnt = true;
        }
    }

    fn halves(&mut self, batch: &RecordBatch, out: &mut Vec<FlightData>) -> Result<(), ArrowError> {
        let half = batch.num_rows() / 2;
        self.encode(&batch.slice(0, half), out)?;
        self.encode(&batch.slice(half, batch.num_rows() - half), out)
    }
}

/// Bytes of the largest dictionary of a batch's columns, at any depth.
fn largest_dictionary(batch: &RecordBatch) -> usize {
    fn of(data: &ArrayData) -> usize {
        let own = match data.data_type() {
            DataType::Dictionary(_, _) => data.child_data().first().map_or(0, |values| {
                values
                    .get_slice_memory_size()
                    .unwrap_or_else(|_| values.get_array_memory_size())
            }),
            _ => 0,
        };
        data.child_data().iter().map(of).fold(own, usize::max)
    }
    let columns = batch.columns().iter();
    columns
        .filter(|column| shares_buffers(column.data_type()))
        .map(|column| of(&column.to_data()))
        .fold(0, usize::max)
}

/// What a string or a value of bytes takes besides its bytes: an offset.
const PLAIN_VALUE_BYTES: usize = 4;
/// And as a view.
const VIEW_BYTES: usize = 16;

/// Weighs arrays as the wire will have them.
#[derive(Clone, Copy)]
struct Scale {
    /// What each value of a view array takes besides its bytes.
    view_bytes: usize,
    /// Whether dictionaries are sent as such.
    dictionaries: bool,
}

impl Scale {
    fn of(types: WireTypes) -> Self {
        let native = types == WireTypes::Native;
        Self {
            view_bytes: if native {
                VIEW_BYTES
            } else {
                PLAIN_VALUE_BYTES
            },
            dictionaries: native,
        }
    }

    /// About what a batch will weigh on the wire.
    fn batch(self, batch: &RecordBatch) -> usize {
        let columns = batch.columns().iter();
        columns.map(|column| self.column(column)).sum()
    }

    /// What the columns weigh whose weight can be told exactly and cheaply.
    fn flat_columns(self, batch: &RecordBatch) -> usize {
        let columns = batch.columns().iter();
        columns.filter_map(|column| self.flat(column)).sum()
    }

    fn column(self, column: &ArrayRef) -> usize {
        self.flat(column).unwrap_or_else(|| self.nested(column))
    }

    fn flat(self, column: &ArrayRef) -> Option<usize> {
        let rows = column.len();
        let values = match column.data_type() {
            DataType::Utf8View => {
                column.as_string_view().total_bytes_len() + self.view_bytes * (rows + 1)
            }
            DataType::BinaryView => {
                column.as_binary_view().total_bytes_len() + self.view_bytes * (rows + 1)
            }
            DataType::Null => 0,
            DataType::Boolean => rows.div_ceil(8),
            DataType::Float16 => 4 * rows,
            DataType::Decimal32(..) | DataType::Decimal64(..) => 16 * rows,
            DataType::Utf8 | DataType::Binary | DataType::LargeUtf8 | DataType::LargeBinary => {
                column.to_data().get_slice_memory_size().ok()?
            }
            other => other.primitive_width()? * rows,
        };
        Some(values + validity(column))
    }

    fn nested(self, column: &ArrayRef) -> usize {
        let rows = column.len();
        let values = match column.data_type() {
            DataType::Struct(_) => {
                let columns = column.as_struct().columns().iter();
                columns.map(|column| self.column(column)).sum()
            }
            DataType::List(_) => {
                let list = column.as_list::<i32>();
                let (_, values) = held(list.offsets(), list.values());
                self.column(&values) + 4 * (rows + 1)
            }
            DataType::Map(_, _) => {
                let map = column.as_map();
                let entries: ArrayRef = Arc::new(map.entries().clone());
                let (_, entries) = held(map.offsets(), &entries);
                self.column(&entries) + 4 * (rows + 1)
            }
            DataType::FixedSizeList(_, _) => self.column(column.as_fixed_size_list().values()),
            DataType::Dictionary(keys, _) if self.dictionaries => {
                let values = column.as_any_dictionary().values();
                self.column(values) + keys.primitive_width().unwrap_or(8) * rows
            }
            // Each row may repeat any of the values.
            DataType::Dictionary(_, _) | DataType::RunEndEncoded(_, _) => {
                column.get_array_memory_size().max(rows * 16)
            }
            _ => column
                .to_data()
                .get_slice_memory_size()
                .unwrap_or_else(|_| column.get_array_memory_size()),
        };
        values + validity(column)
    }
}

fn validity(column: &ArrayRef) -> usize {
    match column.null_count() {
        0 => 0,
        _ => column.len().div_ceil(8),
    }
}

#[cfg(test)]
mod tests;
