//! Columns of maps, lists and times as Arrow arrays.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Builder, Int64Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::{PlannerError, Result};

/// The type of times: milliseconds, as metadata has them, in UTC.
pub(super) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// Times, in milliseconds since 1970.
pub(super) fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter(values).with_timezone("UTC"))
}

/// The type of maps.
pub(super) fn map_type(key: DataType, value: DataType) -> DataType {
    let entry = Fields::from(vec![
        Field::new("key", key, false),
        Field::new("value", value, true),
    ]);
    DataType::Map(
        Arc::new(Field::new("key_value", DataType::Struct(entry), false)),
        false,
    )
}

fn names() -> Option<MapFieldNames> {
    Some(MapFieldNames {
        entry: "key_value".to_string(),
        key: "key".to_string(),
        value: "value".to_string(),
    })
}

/// Maps of field ids to numbers.
pub(super) fn counts<'a>(maps: impl Iterator<Item = &'a [(i32, u64)]>) -> Result<ArrayRef> {
    let mut builder = MapBuilder::new(names(), Int32Builder::new(), Int64Builder::new());
    for map in maps {
        for (id, count) in map {
            builder.keys().append_value(*id);
            builder.values().append_value(number(*count)?);
        }
        builder.append(true)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// Maps of field ids to texts.
pub(super) fn texts_by_id(maps: impl Iterator<Item = Vec<(i32, String)>>) -> Result<ArrayRef> {
    let mut builder = MapBuilder::new(names(), Int32Builder::new(), StringBuilder::new());
    for map in maps {
        for (id, text) in map {
            builder.keys().append_value(id);
            builder.values().append_value(text);
        }
        builder.append(true)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// Maps of texts to texts.
pub(super) fn texts_by_text(maps: impl Iterator<Item = Vec<(String, String)>>) -> Result<ArrayRef> {
    let mut builder = MapBuilder::new(names(), StringBuilder::new(), StringBuilder::new());
    for map in maps {
        for (key, value) in map {
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        builder.append(true)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// The type of lists.
pub(super) fn list_type(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", item, true)))
}

/// Lists of numbers.
pub(super) fn longs<'a>(lists: impl Iterator<Item = Option<&'a [i64]>>) -> ArrayRef {
    let element = Field::new("element", DataType::Int64, true);
    let mut builder = ListBuilder::new(Int64Builder::new()).with_field(element);
    for list in lists {
        builder.append_option(list.map(|list| list.iter().copied().map(Some)));
    }
    Arc::new(builder.finish())
}

/// Lists of small numbers.
pub(super) fn ints<'a>(lists: impl Iterator<Item = Option<&'a [i32]>>) -> ArrayRef {
    let element = Field::new("element", DataType::Int32, true);
    let mut builder = ListBuilder::new(Int32Builder::new()).with_field(element);
    for list in lists {
        builder.append_option(list.map(|list| list.iter().copied().map(Some)));
    }
    Arc::new(builder.finish())
}

/// A count as SQL's numbers have it.
pub(super) fn number(count: u64) -> Result<i64> {
    i64::try_from(count)
        .map_err(|_| PlannerError::internal(format!("a manifest counts {count} of something")))
}
