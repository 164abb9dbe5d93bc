//! Messages with data of a client's, looked through before they are decoded.
//!
//! The decoder takes for granted what a well-meant writer writes: where a schema lacks a part, a buffer lies outside of
//! the message or a size is not what it says, it panics, or allocates what it is told. What is let through here it
//! decodes, or refuses with an error. Types that no parameter has, and compressed messages, are refused by name.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::{DataType, FieldRef, Fields, UnionMode as ArrowUnionMode};
use arrow_flight::FlightData;
use arrow_flight::error::FlightError;
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::{
    DateUnit, Endianness, Field, FieldNode, IntervalUnit, MessageHeader, MetadataVersion,
    Precision, RecordBatch, Schema, TimeUnit, Type, UnionMode, root_as_message,
};
use bytes::Bytes;

use super::fault::Fault;
use crate::limits::LimitError;

/// Rows that one message may claim to have; what is really taken is less.
const ROWS_MAX: i64 = i32::MAX as i64;

/// Bytes that the dictionaries of one stream may take together: the decoder holds the last of each until the stream
/// ends, whether or not any rows come.
const DICTIONARY_BYTES_MAX: usize = 64 << 20;

/// Type ids of unions are numbers below this.
const UNION_CHILDREN_MAX: usize = 128;
/// Bytes of an offset: of a dense union's, which begin on multiples of it, a list's or a text's.
const OFFSET_BYTES: usize = 4;
/// Bytes of an offset of a large list or text.
const LARGE_OFFSET_BYTES: usize = 8;
/// Bytes of a view.
const VIEW_BYTES: usize = 16;

/// Looks through the messages of one stream.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    fields: Option<Fields>,
    /// Each dictionary of the schema, by its id.
    dictionaries: HashMap<i64, Dictionary>,
    /// What the dictionaries take together.
    dictionary_bytes: usize,
}

/// One dictionary of a schema.
#[derive(Debug)]
struct Dictionary {
    values: DataType,
    /// What the last one that came takes.
    bytes: usize,
}

/// Why a message is refused.
type Unsound = String;

impl Incoming {
    /// Refuses a message that can't be decoded, and dictionaries beyond what they may take.
    pub(super) fn look_through(
        &mut self,
        mut message: FlightData,
    ) -> Result<FlightData, FlightError> {
        self.look(&mut message).map_err(FlightError::DecodeError)?;
        if self.dictionary_bytes > DICTIONARY_BYTES_MAX {
            return Err(FlightError::ExternalError(Box::new(LimitError::TooLarge {
                what: "what was sent",
                found: format!("dictionaries of {} bytes", self.dictionary_bytes),
                max: DICTIONARY_BYTES_MAX,
            })));
        }
        Ok(message)
    }

    fn look(&mut self, data: &mut FlightData) -> Result<(), Unsound> {
        // A message without a header holds a descriptor or metadata alone.
        if data.data_header.is_empty() {
            return Ok(());
        }
        let message = root_as_message(&data.data_header).map_err(|error| error.to_string())?;
        match message.header_type() {
            MessageHeader::Schema => {
                let schema = message.header_as_schema().ok_or("it has no schema")?;
                sound_schema(schema)?;
                let schema = fb_to_schema(schema);
                self.dictionaries.clear();
                self.dictionary_bytes = 0;
                for field in schema.fields() {
                    self.keep_dictionaries(field);
                }
                self.fields = Some(schema.fields);
                Ok(())
            }
            MessageHeader::RecordBatch => {
                let batch = message.header_as_record_batch().ok_or("it has no rows")?;
                let fields = self.fields.as_ref().ok_or("rows came before a schema")?;
                let types = fields.iter().map(|field| field.data_type());
                let has_bitmaps = message.version() < MetadataVersion::V5;
                sound_batch(batch, types, data.data_body.len(), has_bitmaps)
            }
            MessageHeader::DictionaryBatch => {
                let dictionary = message.header_as_dictionary_batch();
                let dictionary = dictionary.ok_or("it has no dictionary")?;
                let known = self.dictionaries.get_mut(&dictionary.id());
                let known = known.ok_or("its dictionary is not in the schema")?;
                if dictionary.isDelta() {
                    return Err(
                        "it is a delta of a dictionary (`isDelta`); send each dictionary whole"
                            .to_owned(),
                    );
                }
                let batch = dictionary.data().ok_or("its dictionary has no values")?;
                let has_bitmaps = message.version() < MetadataVersion::V5;
                let types = std::iter::once(&known.values);
                let bytes = data.data_body.len();
                sound_batch(batch, types, bytes, has_bitmaps)?;
                // The decoder would hold the whole message by a part of it.
                data.data_body = Bytes::copy_from_slice(&data.data_body);
                let before = std::mem::replace(&mut known.bytes, bytes);
                self.dictionary_bytes = self.dictionary_bytes - before + bytes;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn keep_dictionaries(&mut self, field: &FieldRef) {
        match field.data_type() {
            DataType::Dictionary(_, values) => {
                #[expect(
                    deprecated,
                    reason = "nothing else tells a message's dictionaries apart"
                )]
                let id = field.dict_id();
                if let Some(id) = id {
                    let values = values.as_ref().clone();
                    self.dictionaries
                        .insert(id, Dictionary { values, bytes: 0 });
                }
            }
            DataType::List(inner)
            | DataType::LargeList(inner)
            | DataType::FixedSizeList(inner, _)
            | DataType::Map(inner, _) => self.keep_dictionaries(inner),
            DataType::Struct(fields) => {
                for field in fields {
                    self.keep_dictionaries(field);
                }
            }
            DataType::Union(fields, _) => {
                for (_, field) in fields.iter() {
                    self.keep_dictionaries(field);
                }
            }
            _ => {}
        }
    }
}

/// Why a stream of messages could not be read; `what` is what they hold.
pub(super) fn unreadable(what: &str, error: impl Into<FlightError>) -> Fault {
    let error = error.into();
    if let FlightError::ExternalError(inner) = &error
        && let Some(limit) = inner.downcast_ref::<LimitError>()
    {
        return limit.clone().into();
    }
    Fault::malformed(format!("{what} can't be read: {error}"))
}

fn sound_schema(schema: Schema<'_>) -> Result<(), Unsound> {
    if schema.endianness() != Endianness::Little {
        return Err("its numbers are big-endian".to_owned());
    }
    let fields = schema.fields().ok_or("its schema has no columns")?;
    fields.iter().try_for_each(sound_field)
}

fn sound_field(field: Field<'_>) -> Result<(), Unsound> {
    if let Some(dictionary) = field.dictionary() {
        let index = dictionary.indexType().ok_or("a dictionary has no index")?;
        sound_width(index.bitWidth(), &[8, 16, 32, 64])?;
        if field
            .children()
            .is_some_and(|children| !children.is_empty())
        {
            return Err("the values of a dictionary are nested".to_owned());
        }
        known(field.type_type() != Type::Union)?;
    }
    let missing = || {
        format!(
            "the type of column `{}` is not whole",
            field.name().unwrap_or_default()
        )
    };
    match field.type_type() {
        Type::Null
        | Type::Bool
        | Type::Binary
        | Type::BinaryView
        | Type::LargeBinary
        | Type::Utf8
        | Type::Utf8View
        | Type::LargeUtf8 => Ok(()),
        Type::Int => {
            let int = field.type_as_int().ok_or_else(missing)?;
            sound_width(int.bitWidth(), &[8, 16, 32, 64])
        }
        Type::FloatingPoint => {
            let float = field.type_as_floating_point().ok_or_else(missing)?;
            known(
                [Precision::HALF, Precision::SINGLE, Precision::DOUBLE]
                    .contains(&float.precision()),
            )
        }
        Type::FixedSizeBinary => {
            let fixed = field.type_as_fixed_size_binary().ok_or_else(missing)?;
            known(fixed.byteWidth() > 0)
        }
        Type::Date => {
            let date = field.type_as_date().ok_or_else(missing)?;
            known([DateUnit::DAY, DateUnit::MILLISECOND].contains(&date.unit()))
        }
        Type::Time => {
            let time = field.type_as_time().ok_or_else(missing)?;
            known(match time.bitWidth() {
                32 => [TimeUnit::SECOND, TimeUnit::MILLISECOND].contains(&time.unit()),
                64 => [TimeUnit::MICROSECOND, TimeUnit::NANOSECOND].contains(&time.unit()),
                _ => false,
            })
        }
        Type::Timestamp => {
            let timestamp = field.type_as_timestamp().ok_or_else(missing)?;
            known(is_unit(timestamp.unit()))
        }
        Type::Duration => {
            let duration = field.type_as_duration().ok_or_else(missing)?;
            known(is_unit(duration.unit()))
        }
        Type::Interval => {
            let interval = field.type_as_interval().ok_or_else(missing)?;
            known(
                [
                    IntervalUnit::YEAR_MONTH,
                    IntervalUnit::DAY_TIME,
                    IntervalUnit::MONTH_DAY_NANO,
                ]
                .contains(&interval.unit()),
            )
        }
        Type::Decimal => {
            let decimal = field.type_as_decimal().ok_or_else(missing)?;
            let digits_max = match decimal.bitWidth() {
                32 => 9,
                64 => 18,
                128 => 38,
                256 => 76,
                _ => 0,
            };
            let (precision, scale) = (decimal.precision(), decimal.scale());
            known((1..=digits_max).contains(&precision) && scale.abs() <= precision)
        }
        Type::List | Type::LargeList => children(field, 1).map(drop),
        Type::FixedSizeList => {
            let list = field.type_as_fixed_size_list().ok_or_else(missing)?;
            known(list.listSize() >= 0)?;
            children(field, 1).map(drop)
        }
        Type::Map => {
            field.type_as_map().ok_or_else(missing)?;
            let entries = children(field, 1)?;
            known(entries.type_type() == Type::Struct_ && entries.dictionary().is_none())?;
            children(entries, 2).map(drop)
        }
        Type::Struct_ => match field.children() {
            Some(inner) => inner.iter().try_for_each(sound_field),
            None => Ok(()),
        },
        Type::Union => {
            let union = field.type_as_union().ok_or_else(missing)?;
            known([UnionMode::Dense, UnionMode::Sparse].contains(&union.mode()))?;
            let count = field.children().map_or(0, |inner| inner.len());
            if let Some(inner) = field.children() {
                inner.iter().try_for_each(sound_field)?;
            }
            known(count < UNION_CHILDREN_MAX)?;
            let Some(ids) = union.typeIds() else {
                return Ok(());
            };
            let mut seen = HashSet::new();
            let unique = ids
                .iter()
                .all(|id| (0..=127).contains(&id) && seen.insert(id));
            known(unique && ids.len() == count)
        }
        other => Err(format!("columns of type {other:?} are not taken")),
    }
}

/// The first child of a column that must have so many, once all are sound.
fn children(field: Field<'_>, count: usize) -> Result<Field<'_>, Unsound> {
    let inner = field.children().filter(|inner| inner.len() == count);
    let inner = inner.ok_or_else(|| format!("a nested column has not {count} inside"))?;
    inner.iter().try_for_each(sound_field)?;
    Ok(inner.get(0))
}

fn sound_width(bits: i32, widths: &[i32]) -> Result<(), Unsound> {
    known(widths.contains(&bits))
}

fn is_unit(unit: TimeUnit) -> bool {
    [
        TimeUnit::SECOND,
        TimeUnit::MILLISECOND,
        TimeUnit::MICROSECOND,
        TimeUnit::NANOSECOND,
    ]
    .contains(&unit)
}

fn known(known: bool) -> Result<(), Unsound> {
    match known {
        true => Ok(()),
        false => Err("a column's type is not one of Arrow's".to_owned()),
    }
}

fn sound_batch<'a>(
    batch: RecordBatch<'_>,
    types: impl Iterator<Item = &'a DataType>,
    body_bytes: usize,
    unions_have_bitmaps: bool,
) -> Result<(), Unsound> {
    if batch.compression().is_some() {
        return Err("it is compressed; send it without compression".to_owned());
    }
    if !(0..=ROWS_MAX).contains(&batch.length()) {
        return Err("it has an impossible number of rows".to_owned());
    }
    let mut parts = Parts {
        nodes: batch
            .nodes()
            .ok_or("its rows have no columns")?
            .iter()
            .copied()
            .collect(),
        buffers: vec![],
        unions_have_bitmaps,
        variadic: batch.variadicBufferCounts().into_iter().flatten().collect(),
    };
    for buffer in batch.buffers().ok_or("its rows have no buffers")? {
        let start = usize::try_from(buffer.offset()).ok();
        let length = usize::try_from(buffer.length()).ok();
        let ends = start
            .zip(length)
            .and_then(|(start, length)| start.checked_add(length));
        match ends.filter(|end| *end <= body_bytes).and(length) {
            Some(length) => parts.buffers.push((start.unwrap_or(0), length)),
            None => return Err("a buffer lies outside of it".to_owned()),
        }
    }
    // Taken from the end.
    parts.nodes.reverse();
    parts.buffers.reverse();
    parts.variadic.reverse();
    for data_type in types {
        parts.take(data_type)?;
    }
    match parts.variadic.is_empty() {
        true => Ok(()),
        false => Err("it has buffers that belong to no column".to_owned()),
    }
}

/// What of a message belongs to columns that were not looked at yet; the next is the last.
struct Parts {
    nodes: Vec<FieldNode>,
    /// Where they begin, and their sizes.
    buffers: Vec<(usize, usize)>,
    /// Until version 5 of the format, unions had validity like every other column.
    unions_have_bitmaps: bool,
    /// How many buffers each column of views has besides its own.
    variadic: Vec<i64>,
}

impl Parts {
    fn take(&mut self, data_type: &DataType) -> Result<(), Unsound> {
        let node = self.nodes.pop().ok_or("a column is missing")?;
        let (length, nulls) = (node.length(), node.null_count());
        if !(0..=ROWS_MAX).contains(&length) || !(0..=length).contains(&nulls) {
            return Err("a column has an impossible number of rows".to_owned());
        }
        if *data_type == DataType::Null {
            return Ok(());
        }
        if let DataType::Union(fields, mode) = data_type {
            if self.unions_have_bitmaps {
                self.buffer()?;
            }
            let length = usize::try_from(length).map_err(|_| "a length is negative")?;
            let (_, ids) = self.buffer()?;
            let fits = ids >= length
                && match mode {
                    ArrowUnionMode::Sparse => true,
                    ArrowUnionMode::Dense => {
                        let (start, bytes) = self.buffer()?;
                        start % OFFSET_BYTES == 0
                            && bytes % OFFSET_BYTES == 0
                            && bytes / OFFSET_BYTES >= length
                    }
                };
            if !fits {
                return Err("a union is shorter than its column".to_owned());
            }
            return fields
                .iter()
                .try_for_each(|(_, field)| self.take(field.data_type()));
        }
        let (_, validity) = self.buffer()?;
        if nulls > 0 && (validity as u64).saturating_mul(8) < length.unsigned_abs() {
            return Err("a column's validity is shorter than the column".to_owned());
        }
        match data_type {
            DataType::Utf8 | DataType::Binary => {
                self.buffer_of(OFFSET_BYTES)?;
                self.buffer()?;
            }
            DataType::LargeUtf8 | DataType::LargeBinary => {
                self.buffer_of(LARGE_OFFSET_BYTES)?;
                self.buffer()?;
            }
            DataType::Utf8View | DataType::BinaryView => {
                self.buffer_of(VIEW_BYTES)?;
                let more = self
                    .variadic
                    .pop()
                    .ok_or("a column's buffers are not counted")?;
                for _ in 0..u64::try_from(more).map_err(|_| "a count is negative")? {
                    self.buffer()?;
                }
            }
            DataType::List(inner) | DataType::Map(inner, _) => {
                self.buffer_of(OFFSET_BYTES)?;
                self.take(inner.data_type())?;
            }
            DataType::LargeList(inner) => {
                self.buffer_of(LARGE_OFFSET_BYTES)?;
                self.take(inner.data_type())?;
            }
            DataType::Dictionary(keys, _) => {
                self.buffer_of(keys.primitive_width().unwrap_or(1))?;
            }
            DataType::FixedSizeList(inner, _) => self.take(inner.data_type())?,
            DataType::Struct(fields) => {
                for field in fields {
                    self.take(field.data_type())?;
                }
            }
            _ => {
                self.buffer()?;
            }
        }
        Ok(())
    }

    /// A buffer of values of so many bytes each; the decoder panics where one ends within a value.
    fn buffer_of(&mut self, width: usize) -> Result<(), Unsound> {
        match self.buffer()?.1 % width {
            0 => Ok(()),
            _ => Err("a buffer ends within a value".to_owned()),
        }
    }

    fn buffer(&mut self) -> Result<(usize, usize), Unsound> {
        Ok(self.buffers.pop().ok_or("a column's buffer is missing")?)
    }
}

#[cfg(test)]
mod tests;
