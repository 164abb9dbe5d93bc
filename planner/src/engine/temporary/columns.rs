//! What becomes of the columns that a client sends: the types that the lake's tables have, each value held once.
//!
//! Clients write the same values in many ways (`large_string`, dictionaries, views), and rows of one client are to be
//! appended to those of another and joined with the lake's, so text and binary become views and dictionaries their values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MutableArrayData, make_array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};

use super::charge::Charge;
use crate::{PlannerError, Result};

/// Bytes of a view.
const VIEW_BYTES: usize = 16;
/// What one value may take where all values take the same: a null takes as much, and joins make nulls.
const FIXED_BYTES_MAX: usize = 64 << 10;

/// A value that can't be cast exactly is an error, never a null.
const EXACT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow::util::display::FormatOptions::new(),
};

/// The type that a column is kept in.
///
/// # Errors
/// Why it can't be kept.
pub(super) fn kept_type(of: &DataType) -> Result<DataType, &'static str> {
    let kept = match of {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::BinaryView,
        DataType::Dictionary(_, values) if !matches!(**values, DataType::Dictionary(..)) => {
            return kept_type(values);
        }
        other => kept_within(other)?,
    };
    match fixed_bytes(&kept) > FIXED_BYTES_MAX {
        true => Err("has values of a fixed size of more than 64 KiB: send them as lists or binary"),
        false => Ok(kept),
    }
}

/// What a value of a type takes at least, be it null.
fn fixed_bytes(of: &DataType) -> usize {
    match of {
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or(usize::MAX),
        DataType::FixedSizeList(item, size) => usize::try_from(*size)
            .unwrap_or(usize::MAX)
            .saturating_mul(fixed_bytes(item.data_type()).max(1)),
        DataType::Struct(fields) => {
            let each = fields.iter().map(|field| fixed_bytes(field.data_type()));
            each.fold(0, usize::saturating_add)
        }
        other => other.primitive_width().unwrap_or(VIEW_BYTES),
    }
}

/// The same of what may stand within another.
fn kept_within(of: &DataType) -> Result<DataType, &'static str> {
    Ok(match of {
        DataType::LargeUtf8 => DataType::Utf8,
        DataType::LargeBinary => DataType::Binary,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::List(item) | DataType::LargeList(item) => DataType::List(kept_field(item)?),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(kept_field(item)?, *size),
        DataType::Map(entries, sorted) => DataType::Map(kept_field(entries)?, *sorted),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(kept_field);
            DataType::Struct(fields.collect::<Result<Fields, _>>()?)
        }
        DataType::Utf8View | DataType::BinaryView => {
            return Err("has views within lists or structs: send plain text or binary");
        }
        DataType::Dictionary(..) => {
            return Err("has a dictionary within lists, structs or a dictionary: send its values");
        }
        DataType::Union(..) => {
            return Err("has unions, which are not kept: send a column for each");
        }
        DataType::RunEndEncoded(..) | DataType::ListView(_) | DataType::LargeListView(_) => {
            return Err("has a layout that is not kept: send plain values");
        }
        other => other.clone(),
    })
}

fn kept_field(field: &FieldRef) -> Result<FieldRef, &'static str> {
    let of = kept_within(field.data_type())?;
    Ok(Arc::new(Field::new(field.name(), of, field.is_nullable())))
}

/// Whether values of a kept type may be appended to those of another.
pub(super) fn may_follow(given: &DataType, kept: &DataType) -> bool {
    given.equals_datatype(kept) || (*given == DataType::Null && !kept.is_nested())
}

/// A column of a batch, on its way into a table.
pub(super) struct Incoming {
    column: ArrayRef,
    /// The values of a dictionary, in the type that is kept.
    values: Option<ArrayRef>,
    kept: DataType,
}

impl Incoming {
    /// A column that is kept in this type.
    pub(super) fn new(column: &ArrayRef, kept: &DataType) -> Result<Self> {
        let values = match column.data_type() {
            DataType::Dictionary(..) => {
                let values = column.as_any_dictionary().values();
                Some(cast_with_options(values, kept, &EXACT)?)
            }
            _ => None,
        };
        Ok(Self {
            column: Arc::clone(column),
            values,
            kept: kept.clone(),
        })
    }

    /// So many rows of it, holding no more than themselves. What they take is charged before it is allocated, where it
    /// may be more than was sent.
    pub(super) fn rows(&self, from: usize, count: usize, charge: &mut Charge) -> Result<ArrayRef> {
        let rows = self.column.slice(from, count);
        if *rows.data_type() == DataType::Null && self.kept != DataType::Null {
            charge.grow(count.saturating_mul(fixed_bytes(&self.kept)))?;
            return Ok(new_null_array(&self.kept, count));
        }
        let rows = match &self.values {
            Some(values) => {
                charge.grow(count.saturating_mul(fixed_bytes(&self.kept)))?;
                take(values, rows.as_any_dictionary().keys(), None)?
            }
            None if *rows.data_type() == self.kept => rows,
            None => cast_with_options(&rows, &self.kept, &EXACT)?,
        };
        match &self.kept {
            DataType::Utf8View => {
                let views = rows.as_string_view();
                charge.grow(count * VIEW_BYTES + views.total_buffer_bytes_used())?;
                Ok(Arc::new(views.gc()))
            }
            DataType::BinaryView => {
                let views = rows.as_binary_view();
                charge.grow(count * VIEW_BYTES + views.total_buffer_bytes_used())?;
                Ok(Arc::new(views.gc()))
            }
            _ => copied(&rows),
        }
    }
}

/// The same rows in buffers of their own: those of a message have all of its columns.
fn copied(rows: &ArrayRef) -> Result<ArrayRef> {
    let data = rows.to_data();
    let mut copy = MutableArrayData::new(vec![&data], false, rows.len());
    copy.try_extend(0, 0, rows.len())?;
    Ok(make_array(copy.freeze()))
}

/// Names a column whose type is not kept.
pub(super) fn not_kept(name: &str, of: &DataType, why: &str) -> PlannerError {
    PlannerError::unsupported(format!("column {name:?} of type {of} {why}"))
}
