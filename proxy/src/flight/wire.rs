//! What goes over the wire by default: the Arrow types that every released driver reads.
//!
//! View types, dictionaries, run-end encoding, list views, 16-bit floats and the narrow decimals become what they
//! stand for, and result fields carry no metadata (`REMARKS` there would replace JDBC's column label). One function
//! makes the schema, and every path that tells a schema uses it, so that all of them tell the same one.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;

/// A cast that can't be made exactly is an error, never a null.
const EXACT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow::util::display::FormatOptions::new(),
};

/// The schema that clients see of `schema`.
pub(super) fn wire_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(wire_fields(schema.fields())))
}

fn wire_fields(fields: &Fields) -> Fields {
    fields.iter().map(wire_field).collect()
}

fn wire_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(
        field.name(),
        wire_type(field.data_type()),
        field.is_nullable(),
    ))
}

fn wire_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Dictionary(_, values) => wire_type(values),
        DataType::RunEndEncoded(_, values) => wire_type(values.data_type()),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => DataType::List(wire_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(wire_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(wire_fields(fields)),
        DataType::Map(entries, sorted) => DataType::Map(wire_field(entries), *sorted),
        DataType::Union(fields, mode) => DataType::Union(
            fields
                .iter()
                .map(|(id, field)| (id, wire_field(field)))
                .collect(),
            *mode,
        ),
        other => other.clone(),
    }
}

/// Turns batches of one schema into batches of its wire schema.
#[derive(Debug)]
pub(super) struct WireCast {
    wire: SchemaRef,
    /// Whether each column has to be cast, and not only renamed.
    casts: Box<[bool]>,
}

impl WireCast {
    /// Refuses a schema with a type that no cast takes to its wire type.
    pub(super) fn new(from: &Schema, wire: SchemaRef) -> Result<Self, ArrowError> {
        if from.fields().len() != wire.fields().len() {
            return Err(ArrowError::SchemaError(format!(
                "a result of {} columns does not fit a schema of {}",
                from.fields().len(),
                wire.fields().len()
            )));
        }
        let casts = from
            .fields()
            .iter()
            .zip(wire.fields())
            .map(|(from, to)| match from.data_type() == to.data_type() {
                true => Ok(false),
                false if can_cast_types(from.data_type(), to.data_type()) => Ok(true),
                false => Err(ArrowError::CastError(format!(
                    "column `{}` is a {}, which can't be sent to clients",
                    from.name(),
                    from.data_type()
                ))),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { wire, casts })
    }

    /// The schema of what comes out.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.wire
    }

    /// Casts one batch. Columns that are what they should be are handed through.
    pub(super) fn cast(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = batch
            .columns()
            .iter()
            .zip(self.wire.fields())
            .zip(&self.casts)
            .map(|((column, field), cast)| match cast {
                true => cast_with_options(column, field.data_type(), &EXACT),
                false => Ok(ArrayRef::clone(column)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.wire.clone(), columns, &options)
    }
}
