//! Arrays that hold no more than their own rows: of views and dictionaries the encoder ships every buffer that is held,
//! however few rows of it are sliced out.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, ListArray, MapArray, RecordBatch,
    RecordBatchOptions, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// A dictionary of no more than so many bytes is sent whole, so that it is sent once for the whole result.
const DICTIONARY_KEPT_BYTES: usize = 64 * 1024;

/// Whether a type holds buffers that slices share.
pub(super) fn shares_buffers(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8View
        | DataType::BinaryView
        | DataType::Dictionary(_, _)
        | DataType::RunEndEncoded(_, _) => true,
        DataType::List(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => {
            shares_buffers(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|f| shares_buffers(f.data_type())),
        DataType::Union(fields, _) => fields.iter().any(|(_, f)| shares_buffers(f.data_type())),
        _ => false,
    }
}

/// The same rows, holding nothing else.
pub(super) fn compact_batch(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(compact);
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

fn compact(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if !shares_buffers(array.data_type()) {
        return Ok(Arc::clone(array));
    }
    Ok(match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        DataType::Dictionary(_, of) => {
            let values = array.as_any_dictionary().values();
            if values.get_array_memory_size() <= DICTIONARY_KEPT_BYTES {
                return Ok(Arc::clone(array));
            }
            cast(&compact(&cast(array, of)?)?, array.data_type())?
        }
        DataType::RunEndEncoded(_, values) => {
            let plain = compact(&cast(array, values.data_type())?)?;
            cast(&plain, array.data_type())?
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let (offsets, values) = held(list.offsets(), list.values());
            let nulls = list.nulls().cloned();
            Arc::new(ListArray::try_new(
                Arc::clone(item),
                offsets,
                compact(&values)?,
                nulls,
            )?)
        }
        DataType::Map(entries, sorted) => {
            let map = array.as_map();
            let all: ArrayRef = Arc::new(map.entries().clone());
            let (offsets, values) = held(map.offsets(), &all);
            let values = compact(&values)?.as_struct().clone();
            let nulls = map.nulls().cloned();
            Arc::new(MapArray::try_new(
                Arc::clone(entries),
                offsets,
                values,
                nulls,
                *sorted,
            )?)
        }
        DataType::FixedSizeList(item, size) => {
            let list = array.as_fixed_size_list();
            let nulls = list.nulls().cloned();
            let values = compact(list.values())?;
            Arc::new(FixedSizeListArray::try_new(
                Arc::clone(item),
                *size,
                values,
                nulls,
            )?)
        }
        DataType::Struct(fields) => {
            let rows = array.as_struct();
            let columns = rows
                .columns()
                .iter()
                .map(compact)
                .collect::<Result<Vec<_>, _>>()?;
            let nulls = rows.nulls().cloned();
            Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?)
        }
        _ => Arc::clone(array),
    })
}

/// The part of a list's values that its rows refer to, and the offsets into it.
pub(super) fn held(
    offsets: &OffsetBuffer<i32>,
    values: &ArrayRef,
) -> (OffsetBuffer<i32>, ArrayRef) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let from = usize::try_from(first).unwrap_or_default();
    let length = usize::try_from(last - first).unwrap_or_default();
    let rebased: Vec<i32> = offsets.iter().map(|offset| offset - first).collect();
    (
        OffsetBuffer::new(rebased.into()),
        values.slice(from, length),
    )
}
