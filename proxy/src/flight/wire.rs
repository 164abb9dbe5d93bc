//! What goes over the wire: by default the Arrow types that every released driver reads, and on demand the engine's own, or
//! for one driver no timestamps with a zone.
//!
//! By default, view types, dictionaries, run-end encoding, list views, 16-bit floats and the narrow decimals become what they
//! stand for. Of metadata, result fields carry nothing but the digits of decimals, without which JDBC tells programs that
//! a decimal has none (and no `REMARKS`, which would replace JDBC's column label). One function makes the schema, and
//! every path that tells a schema uses it, so that all of them tell the same one.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use landfast_planner::{Compression, SessionSettings, WireTypes};

/// A cast that can't be made exactly is an error, never a null.
const EXACT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow::util::display::FormatOptions::new(),
};

/// The protocol's keys for the digits of a decimal, all of them and those behind the point.
const PRECISION: &str = "ARROW:FLIGHT:SQL:PRECISION";
const SCALE: &str = "ARROW:FLIGHT:SQL:SCALE";

/// How a session wants its results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WireProfile {
    pub(super) types: WireTypes,
    pub(super) compression: Compression,
}

impl From<&SessionSettings> for WireProfile {
    fn from(settings: &SessionSettings) -> Self {
        Self {
            types: settings.wire_types,
            compression: settings.compression,
        }
    }
}

/// The schema that clients see of `schema` unless they want native types.
pub(super) fn wire_schema(schema: &Schema) -> SchemaRef {
    wire_schema_in(schema, WireTypes::Compatible)
}

fn with_digits(field: FieldRef) -> FieldRef {
    let (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) =
        field.data_type()
    else {
        return field;
    };
    let digits = HashMap::from([
        (PRECISION.to_owned(), precision.to_string()),
        (SCALE.to_owned(), scale.to_string()),
    ]);
    Arc::new(Field::clone(&field).with_metadata(digits))
}

/// The schema that clients see of `schema`.
pub(super) fn wire_schema_in(schema: &Schema, types: WireTypes) -> SchemaRef {
    let of = match types {
        WireTypes::Compatible => wire_type,
        WireTypes::Zoneless => zoneless_type,
        WireTypes::Native => native_type,
    };
    let fields = schema.fields().iter();
    let fields = fields.map(|field| with_digits(field_with(field, of)));
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

type TypeOf = fn(&DataType) -> DataType;

fn fields_with(fields: &Fields, of: TypeOf) -> Fields {
    fields.iter().map(|field| field_with(field, of)).collect()
}

fn field_with(field: &FieldRef, of: TypeOf) -> FieldRef {
    Arc::new(Field::new(
        field.name(),
        of(field.data_type()),
        field.is_nullable(),
    ))
}

/// The type itself, but for lists of other layouts than the usual, whose schemas are not encoded faithfully.
fn native_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(keys, values) => {
            DataType::Dictionary(keys.clone(), Box::new(native_type(values)))
        }
        DataType::RunEndEncoded(ends, values) => DataType::RunEndEncoded(
            field_with(ends, native_type),
            field_with(values, native_type),
        ),
        other => in_nested(other, native_type),
    }
}

/// A nested type with its parts as `of` has them; any other as it is.
fn in_nested(data_type: &DataType, of: TypeOf) -> DataType {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => DataType::List(field_with(item, of)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field_with(item, of), *size),
        DataType::Struct(fields) => DataType::Struct(fields_with(fields, of)),
        DataType::Map(entries, sorted) => DataType::Map(field_with(entries, of), *sorted),
        DataType::Union(fields, mode) => DataType::Union(
            fields
                .iter()
                .map(|(id, field)| (id, field_with(field, of)))
                .collect(),
            *mode,
        ),
        other => other.clone(),
    }
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
        other => in_nested(other, wire_type),
    }
}

/// The same for drivers that can't read a timestamp with a zone: the same moment as a timestamp of UTC without one.
fn zoneless_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, None),
        DataType::Dictionary(_, values) => zoneless_type(values),
        DataType::RunEndEncoded(_, values) => zoneless_type(values.data_type()),
        other => wire_type(&in_nested(other, zoneless_type)),
    }
}

fn is_native(data_type: &DataType) -> bool {
    wire_type(data_type) != *data_type
}

/// Turns batches of one schema into batches of its wire schema.
#[derive(Debug)]
pub(super) struct WireCast {
    wire: SchemaRef,
    /// Whether each column has to be cast, and not only renamed.
    casts: Box<[bool]>,
    types: WireTypes,
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
        let views = wire
            .fields()
            .iter()
            .any(|field| is_native(field.data_type()));
        let types = match views {
            true => WireTypes::Native,
            false => WireTypes::Compatible,
        };
        Ok(Self { wire, casts, types })
    }

    /// Whether there are types in it that only some drivers read.
    pub(super) fn types(&self) -> WireTypes {
        self.types
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
