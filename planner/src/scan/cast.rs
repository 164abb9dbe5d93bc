//! From what a file has to what the table says, for one value: promoted types are cast, and nested types are rebuilt
//! by field id, so that a renamed, moved, added or dropped field inside a struct reads as it should.

use std::fmt::{self, Display, Formatter};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, MapArray, RecordBatch,
    StructArray,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, Schema, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

use crate::types::field_id;

/// How a file's value becomes the table's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Conversion {
    /// It is the same already, to the last bit of its type.
    Same,
    /// A promoted or differently encoded primitive: one to one, and in the same order.
    Cast,
    /// A time in a finer unit than the table's: what is finer is cut off, downwards on both sides of 1970. No bounds of
    /// the file's values are compared through it.
    Floor,
    /// The children of the table's struct.
    Struct(Vec<Child>),
    /// The element's conversion.
    List(Box<Conversion>),
    /// The key's and the value's conversion.
    Map(Box<(Conversion, Conversion)>),
}

/// Where a field of a struct comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Child {
    /// From this position in the file's struct.
    At(usize, Conversion),
    /// The file lacks it: the same everywhere.
    Constant(ScalarValue),
}

/// Plans the conversion from `file` (its fields carry ids) to `table`. `actual` is the type that the reader yields,
/// which differs from `file`'s in metadata where ids came from a name mapping.
/// `absent` gives the value of a field that the file lacks.
///
/// # Errors
/// Says which field can't be read, when the types don't fit together or a required field is missing.
pub(super) fn conversion(
    file: &Field,
    actual: &DataType,
    table: &Field,
    absent: &dyn Fn(&Field) -> Result<ScalarValue>,
) -> Result<Conversion> {
    if actual == table.data_type() {
        return Ok(Conversion::Same);
    }
    match (file.data_type(), actual, table.data_type()) {
        (DataType::Struct(file), DataType::Struct(actual), DataType::Struct(wanted)) => {
            let children = wanted
                .iter()
                .map(|wanted| struct_child(file, actual, wanted, absent));
            Ok(Conversion::Struct(children.collect::<Result<_>>()?))
        }
        (DataType::List(file), DataType::List(actual), DataType::List(wanted)) => {
            same_id(file, wanted)?;
            Ok(Conversion::List(Box::new(conversion(
                file,
                actual.data_type(),
                wanted,
                absent,
            )?)))
        }
        (DataType::Map(file, _), DataType::Map(actual, _), DataType::Map(wanted, _)) => {
            let ([key, value], [actual_key, actual_value], [wanted_key, wanted_value]) =
                (entries(file)?, entries(actual)?, entries(wanted)?);
            same_id(key, wanted_key)?;
            same_id(value, wanted_value)?;
            Ok(Conversion::Map(Box::new((
                conversion(key, actual_key.data_type(), wanted_key, absent)?,
                conversion(value, actual_value.data_type(), wanted_value, absent)?,
            ))))
        }
        (_, from, to) if is_finer(from, to) => Ok(Conversion::Floor),
        (_, from, to) if can_cast(from, to) => Ok(Conversion::Cast),
        (_, from, to) => exec_err!(
            "field '{}' is {from} in the file and {to} in the table",
            table.name()
        ),
    }
}

fn struct_child(
    file: &Fields,
    actual: &Fields,
    wanted: &Field,
    absent: &dyn Fn(&Field) -> Result<ScalarValue>,
) -> Result<Child> {
    let id = field_id(wanted);
    match file
        .iter()
        .position(|field| id.is_some() && field_id(field) == id)
    {
        Some(at) => Ok(Child::At(
            at,
            conversion(&file[at], actual[at].data_type(), wanted, absent)?,
        )),
        None => Ok(Child::Constant(absent(wanted)?)),
    }
}

/// An element, key or value of another id is another column: nothing says that its values are meant. One without an id
/// is its list's or map's only one. (Lists of two levels lose their element's id on the way through Arrow.)
fn same_id(file: &Field, wanted: &Field) -> Result<()> {
    let name = file.name();
    match (field_id(file), field_id(wanted)) {
        (Some(file), Some(wanted)) if file != wanted => {
            exec_err!(
                "what the file nests as '{name}' has field id {file}, and the table's has {wanted}"
            )
        }
        _ => Ok(()),
    }
}

fn entries(map: &Field) -> Result<[&FieldRef; 2]> {
    match map.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => Ok([&fields[0], &fields[1]]),
        other => exec_err!("a map whose entries are {other}"),
    }
}

/// The promotions that Iceberg allows, and the encodings that Parquet writers use for one and the same Iceberg type.
fn can_cast(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        // The type `unknown`, which any other may follow.
        (T::Null, _) => true,
        (T::Int8 | T::Int16 | T::UInt8 | T::UInt16, T::Int32) => true,
        (T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16 | T::UInt32, T::Int64) => true,
        (T::Float16 | T::Float32, T::Float64) | (T::Float16, T::Float32) => true,
        // Digits that the file declares and the table doesn't have are checked value by value.
        (
            T::Decimal32(_, places)
            | T::Decimal64(_, places)
            | T::Decimal128(_, places)
            | T::Decimal256(_, places),
            T::Decimal128(_, wanted),
        ) => places == wanted,
        (T::Date32, T::Timestamp(_, None)) => true,
        (T::Timestamp(..), T::Timestamp(..)) => true,
        (T::Time32(_) | T::Time64(_), T::Time64(TimeUnit::Microsecond)) => true,
        (T::Utf8 | T::LargeUtf8 | T::Binary | T::BinaryView, T::Utf8View) => true,
        (T::Binary | T::LargeBinary | T::FixedSizeBinary(_), T::BinaryView) => true,
        (T::Dictionary(_, values), to) => values.as_ref() == to || can_cast(values, to),
        _ => false,
    }
}

/// Whether both are times, and `from` counts in a finer unit.
fn is_finer(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Timestamp(from, _), DataType::Timestamp(to, _))
        | (DataType::Time64(from), DataType::Time64(to)) => per_second(from) > per_second(to),
        _ => false,
    }
}

fn per_second(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Times in a coarser unit, cut downwards (a cast would cut towards 1970).
fn floored(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let (DataType::Timestamp(from, _) | DataType::Time64(from)) = array.data_type() else {
        return mismatch(array, to);
    };
    let (DataType::Timestamp(unit, _) | DataType::Time64(unit)) = to else {
        return mismatch(array, to);
    };
    let by = per_second(from) / per_second(unit);
    let counted = cast(array, &DataType::Int64)?;
    let counted: Int64Array = counted
        .as_primitive::<Int64Type>()
        .unary(|value| value.div_euclid(by));
    Ok(cast(&counted, to)?)
}

/// Carries out a conversion.
pub(super) fn convert(array: &ArrayRef, how: &Conversion, to: &DataType) -> Result<ArrayRef> {
    match (how, to) {
        (Conversion::Same, _) => Ok(Arc::clone(array)),
        (Conversion::Floor, to) => floored(array, to),
        (Conversion::Cast, to) => {
            let options = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            Ok(cast_with_options(array, to, &options)?)
        }
        (Conversion::Struct(children), DataType::Struct(fields)) => {
            let Some(from) = array.as_struct_opt() else {
                return mismatch(array, to);
            };
            let columns = children
                .iter()
                .zip(fields)
                .map(|(child, field)| match child {
                    Child::At(at, how) => convert(from.column(*at), how, field.data_type()),
                    Child::Constant(value) => constant(value, from),
                });
            let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
            let built = StructArray::try_new_with_length(
                fields.clone(),
                columns,
                from.nulls().cloned(),
                from.len(),
            )?;
            Ok(Arc::new(built))
        }
        (Conversion::List(element), DataType::List(field)) => {
            let Some(from) = array.as_list_opt::<i32>() else {
                return mismatch(array, to);
            };
            let values = convert(from.values(), element, field.data_type())?;
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(field),
                from.offsets().clone(),
                values,
                from.nulls().cloned(),
            )?))
        }
        (Conversion::Map(both), DataType::Map(field, sorted)) => {
            let Some(from) = array.as_map_opt() else {
                return mismatch(array, to);
            };
            let DataType::Struct(fields) = field.data_type() else {
                return mismatch(array, to);
            };
            let [key, value] = entries(field)?;
            let columns = vec![
                convert(from.keys(), &both.0, key.data_type())?,
                convert(from.values(), &both.1, value.data_type())?,
            ];
            let entries = StructArray::try_new(fields.clone(), columns, None)?;
            let (offsets, nulls) = (from.offsets().clone(), from.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(
                Arc::clone(field),
                offsets,
                entries,
                nulls,
                *sorted,
            )?))
        }
        _ => mismatch(array, to),
    }
}

/// A value for each row of a struct, and null where the struct is: whoever reads the field alone doesn't see the struct.
fn constant(value: &ScalarValue, of: &StructArray) -> Result<ArrayRef> {
    let Some(nulls) = of.nulls() else {
        return value.to_array_of_size(of.len());
    };
    let there = BooleanArray::new(nulls.inner().clone(), None);
    let null = ScalarValue::try_new_null(&value.data_type())?;
    Ok(zip(&there, &value.to_scalar()?, &null.to_scalar()?)?)
}

fn mismatch(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    internal_err!(
        "a conversion to {to} was planned for another type than {}",
        array.data_type()
    )
}

/// A nested value, rebuilt by field id.
#[derive(Debug, Clone)]
pub(super) struct ByFieldId {
    input: Arc<dyn PhysicalExpr>,
    how: Arc<Conversion>,
    field: FieldRef,
}

impl ByFieldId {
    pub(super) fn new(input: Arc<dyn PhysicalExpr>, how: Conversion, field: FieldRef) -> Self {
        Self {
            input,
            how: Arc::new(how),
            field,
        }
    }
}

impl Display for ByFieldId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "by_field_id({} as {})", self.input, self.field.name())
    }
}

impl PartialEq for ByFieldId {
    fn eq(&self, other: &Self) -> bool {
        self.input.eq(&other.input) && self.how == other.how && self.field == other.field
    }
}

impl Eq for ByFieldId {}

impl Hash for ByFieldId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.how.hash(state);
        self.field.hash(state);
    }
}

impl PhysicalExpr for ByFieldId {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn nullable(&self, _input_schema: &Schema) -> Result<bool> {
        Ok(self.field.is_nullable())
    }

    fn return_field(&self, _input_schema: &Schema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.input.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(convert(
            &array,
            &self.how,
            self.field.data_type(),
        )?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self {
                input,
                ..self.as_ref().clone()
            })),
            _ => internal_err!("by_field_id has exactly one child"),
        }
    }

    fn fmt_sql(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.input.fmt_sql(f)
    }
}
