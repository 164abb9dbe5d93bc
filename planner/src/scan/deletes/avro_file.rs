//! Columns of an Avro delete file, by field id, in the types that the table has now.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Decimal128Builder, FixedSizeBinaryBuilder,
    Float32Builder, Float64Builder, Int32Builder, Int64Builder, NullArray, RecordBatch,
    RecordBatchOptions, StringViewBuilder, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use datafusion::common::{Result, exec_err};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion_physical_expr_adapter::PhysicalExprAdapter;
use landfast_catalog::{AvroFault, AvroField, AvroFile, AvroTaker, AvroType, AvroUnit, AvroValue};
use landfast_sites::CanonicalUri;

use super::corrupt;
use super::rows::{BATCH_ROWS, RowsWanted};
use crate::scan::columns::{FileColumns, FileSchema};
use crate::types::FIELD_ID_KEY;

/// What the fixed fields of a batch take at most: a null takes as much as a value there.
const FIXED_BYTES_MAX: usize = 64 << 20;

/// Gives the columns of a whole delete file, batch by batch, each with how many bytes its block takes.
///
/// # Errors
/// The file is no Avro file, has no such columns, or `each` fails.
pub(super) fn read(
    uri: &CanonicalUri,
    bytes: &[u8],
    wanted: &RowsWanted<'_>,
    each: &mut dyn FnMut(&[ArrayRef], usize) -> Result<()>,
) -> Result<()> {
    let file = AvroFile::open(bytes).map_err(|reason| corrupt(uri, reason))?;
    let fields: Vec<FieldRef> = file.fields().iter().map(arrow_field).collect();
    let inferred = Arc::new(Schema::new(fields));
    wanted.refuse_positions(uri, &inferred)?;
    let schema = FileSchema {
        inferred: &inferred,
        in_nanos: None,
    };
    let resolved = FileColumns::resolve(
        uri,
        wanted.columns,
        schema,
        wanted.mapping,
        wanted.absentees,
    );
    let fields = wanted.columns.fields().iter().enumerate();
    let columns: Result<Vec<Arc<dyn PhysicalExpr>>> = fields
        .map(|(at, field)| resolved.rewrite(Arc::new(Column::new(field.name(), at))))
        .collect();
    let columns = columns.map_err(|error| corrupt(uri, error.strip_backtrace()))?;

    let mut roots: Vec<usize> = columns
        .iter()
        .flat_map(collect_columns)
        .map(|column| column.index())
        .collect();
    roots.sort_unstable();
    roots.dedup();
    let read = Arc::new(resolved.file_schema().project(&roots)?);
    let columns: Result<Vec<Arc<dyn PhysicalExpr>>> = columns
        .into_iter()
        .map(|column| reassign_expr_columns(column, &read))
        .collect();
    let found = roots.iter().filter_map(|at| file.fields().get(*at));
    let found = found.collect::<Vec<_>>();
    let rows_max = rows_max(
        found
            .iter()
            .map(|field| fixed_bytes(&field.of))
            .fold(0, usize::saturating_add),
    );
    let rows_max = rows_max.map_err(|reason| corrupt(uri, reason))?;
    let mut rows = Rows {
        uri,
        read,
        found: found.into_iter().map(Values::of).collect(),
        columns: columns?,
        rows_max,
        gathered: 0,
        each,
    };
    match file.rows(&mut rows) {
        Ok(()) => rows.give(0),
        Err(AvroFault::Taker(error)) => Err(error),
        Err(AvroFault::Malformed(reason)) => Err(corrupt(uri, reason)),
    }
}

/// Gathers rows to batches.
struct Rows<'a> {
    uri: &'a CanonicalUri,
    /// The columns of the file that are needed.
    read: Arc<Schema>,
    found: Vec<Values>,
    /// What is wanted, made of these.
    columns: Vec<Arc<dyn PhysicalExpr>>,
    /// Rows of a batch.
    rows_max: usize,
    gathered: usize,
    each: &'a mut dyn FnMut(&[ArrayRef], usize) -> Result<()>,
}

impl AvroTaker for Rows<'_> {
    type Error = DataFusionError;

    fn row(&mut self, row: &[AvroValue<'_>], block_bytes: usize) -> Result<()> {
        for values in &mut self.found {
            let pushed = values.push(row);
            pushed.map_err(|error| corrupt(self.uri, error.strip_backtrace()))?;
        }
        self.gathered += 1;
        if self.gathered < self.rows_max {
            return Ok(());
        }
        self.give(block_bytes)
    }
}

impl Rows<'_> {
    fn give(&mut self, block_bytes: usize) -> Result<()> {
        let rows = std::mem::take(&mut self.gathered);
        if rows == 0 {
            return Ok(());
        }
        let columns = self.columns(rows);
        let columns = columns.map_err(|error| corrupt(self.uri, error.strip_backtrace()))?;
        (self.each)(&columns, block_bytes)
    }

    fn columns(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        let fields = self.read.fields().iter();
        let found = self.found.iter_mut().zip(fields);
        let found = found.map(|(values, field)| Ok(cast(&values.finish()?, field.data_type())?));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let found = found.collect::<Result<_>>()?;
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.read), found, &options)?;
        let columns = self.columns.iter();
        columns
            .map(|column| column.evaluate(&batch)?.into_array(rows))
            .collect()
    }
}

/// How many rows with so many bytes of fixed fields are a batch.
fn rows_max(fixed_bytes: usize) -> std::result::Result<usize, String> {
    match FIXED_BYTES_MAX.checked_div(fixed_bytes) {
        None => Ok(BATCH_ROWS),
        Some(0) => Err(format!(
            "its rows have fixed fields of {fixed_bytes} bytes, more than {FIXED_BYTES_MAX}"
        )),
        Some(rows) => Ok(rows.min(BATCH_ROWS)),
    }
}

/// What the fixed fields in a value take, there or not.
fn fixed_bytes(of: &AvroType) -> usize {
    match of {
        AvroType::Fixed(length) => *length,
        AvroType::Record(fields) => {
            let each = fields.iter().map(|field| fixed_bytes(&field.of));
            each.fold(0, usize::saturating_add)
        }
        _ => 0,
    }
}

/// The values of one field, gathered.
struct Values {
    slot: usize,
    of: DataType,
    builder: Builder,
}

/// Times are gathered as the numbers that they are.
enum Builder {
    Null(usize),
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    Fixed(FixedSizeBinaryBuilder),
    Decimal(Decimal128Builder),
    Record(Vec<Values>, Vec<bool>),
}

impl Values {
    fn of(field: &AvroField) -> Self {
        let of = arrow_type(&field.of);
        let builder = match &of {
            DataType::Boolean => Builder::Boolean(BooleanBuilder::new()),
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) => {
                Builder::Int(Int32Builder::new())
            }
            DataType::Int64 | DataType::Time64(_) | DataType::Timestamp(..) => {
                Builder::Long(Int64Builder::new())
            }
            DataType::Float32 => Builder::Float(Float32Builder::new()),
            DataType::Float64 => Builder::Double(Float64Builder::new()),
            DataType::Utf8View => Builder::Text(StringViewBuilder::new()),
            DataType::BinaryView => Builder::Bytes(BinaryViewBuilder::new()),
            DataType::FixedSizeBinary(length) => {
                Builder::Fixed(FixedSizeBinaryBuilder::new(*length))
            }
            DataType::Decimal128(..) => {
                Builder::Decimal(Decimal128Builder::new().with_data_type(of.clone()))
            }
            _ => match &field.of {
                AvroType::Record(fields) => {
                    Builder::Record(fields.iter().map(Self::of).collect(), Vec::new())
                }
                _ => Builder::Null(0),
            },
        };
        Self {
            slot: field.slot,
            of,
            builder,
        }
    }

    fn push(&mut self, row: &[AvroValue<'_>]) -> Result<()> {
        use AvroValue as V;
        let value = row.get(self.slot).copied().unwrap_or(V::Null);
        match (&mut self.builder, value) {
            (Builder::Boolean(to), V::Boolean(value)) => to.append_value(value),
            (Builder::Int(to), V::Whole(value)) => match i32::try_from(value) {
                Ok(value) => to.append_value(value),
                Err(_) => return exec_err!("a time of day is {value}"),
            },
            (Builder::Long(to), V::Whole(value)) => to.append_value(value),
            (Builder::Float(to), V::Float(value)) => to.append_value(value),
            (Builder::Double(to), V::Double(value)) => to.append_value(value),
            (Builder::Text(to), V::Text(value)) => to.append_value(value),
            (Builder::Bytes(to), V::Bytes(value)) => to.append_value(value),
            (Builder::Fixed(to), V::Bytes(value)) => to.append_value(value)?,
            (Builder::Decimal(to), V::Decimal(value)) => to.append_value(value),
            (Builder::Record(fields, there), value) => {
                for field in fields {
                    field.push(row)?;
                }
                there.push(value == V::Record);
            }
            (builder, _) => builder.push_null(),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let array: ArrayRef = match &mut self.builder {
            Builder::Null(rows) => Arc::new(NullArray::new(std::mem::take(rows))),
            Builder::Boolean(from) => Arc::new(from.finish()),
            Builder::Int(from) => Arc::new(from.finish()),
            Builder::Long(from) => Arc::new(from.finish()),
            Builder::Float(from) => Arc::new(from.finish()),
            Builder::Double(from) => Arc::new(from.finish()),
            Builder::Text(from) => Arc::new(from.finish()),
            Builder::Bytes(from) => Arc::new(from.finish()),
            Builder::Fixed(from) => Arc::new(from.finish()),
            Builder::Decimal(from) => Arc::new(from.finish()),
            Builder::Record(fields, there) => {
                let there = std::mem::take(there);
                let rows = there.len();
                let columns: Result<Vec<ArrayRef>> = fields.iter_mut().map(Self::finish).collect();
                let DataType::Struct(of) = &self.of else {
                    return Ok(Arc::new(NullArray::new(rows)));
                };
                let nulls = Some(NullBuffer::from(there));
                let of = of.clone();
                Arc::new(StructArray::try_new_with_length(of, columns?, nulls, rows)?)
            }
        };
        Ok(cast(&array, &self.of)?)
    }
}

impl Builder {
    fn push_null(&mut self) {
        match self {
            Self::Null(rows) => *rows += 1,
            Self::Boolean(to) => to.append_null(),
            Self::Int(to) => to.append_null(),
            Self::Long(to) => to.append_null(),
            Self::Float(to) => to.append_null(),
            Self::Double(to) => to.append_null(),
            Self::Text(to) => to.append_null(),
            Self::Bytes(to) => to.append_null(),
            Self::Fixed(to) => to.append_null(),
            Self::Decimal(to) => to.append_null(),
            Self::Record(fields, there) => {
                fields
                    .iter_mut()
                    .for_each(|field| field.builder.push_null());
                there.push(false);
            }
        }
    }
}

fn arrow_field(field: &AvroField) -> FieldRef {
    let id = field.id.map(|id| (FIELD_ID_KEY.to_owned(), id.to_string()));
    let arrow = Field::new(&field.name, arrow_type(&field.of), true);
    Arc::new(arrow.with_metadata(id.into_iter().collect()))
}

fn arrow_type(of: &AvroType) -> DataType {
    let unit = |unit: &AvroUnit| match unit {
        AvroUnit::Millis => TimeUnit::Millisecond,
        AvroUnit::Micros => TimeUnit::Microsecond,
        AvroUnit::Nanos => TimeUnit::Nanosecond,
    };
    match of {
        AvroType::Null => DataType::Null,
        AvroType::Boolean => DataType::Boolean,
        AvroType::Int => DataType::Int32,
        AvroType::Long => DataType::Int64,
        AvroType::Float => DataType::Float32,
        AvroType::Double => DataType::Float64,
        AvroType::Text => DataType::Utf8View,
        AvroType::Bytes => DataType::BinaryView,
        AvroType::Fixed(length) => match i32::try_from(*length) {
            Ok(length) => DataType::FixedSizeBinary(length),
            Err(_) => unread(),
        },
        AvroType::Date => DataType::Date32,
        AvroType::Time(AvroUnit::Millis) => DataType::Time32(TimeUnit::Millisecond),
        AvroType::Time(of) => DataType::Time64(unit(of)),
        AvroType::Timestamp(of) => DataType::Timestamp(unit(of), None),
        AvroType::Decimal { digits, places } => {
            // Of 38 digits at most.
            DataType::Decimal128(*digits, i8::try_from(*places).unwrap_or(i8::MAX))
        }
        AvroType::Record(fields) => DataType::Struct(fields.iter().map(arrow_field).collect()),
        AvroType::Unread => unread(),
    }
}

/// What no column of a key is read as.
fn unread() -> DataType {
    DataType::List(Arc::new(Field::new("unread", DataType::Null, true)))
}
