//! Values of an answer as JSON, written the same way whoever answered.
//!
//! Every value is a string, NULL is null: whole numbers in decimal, decimals with their scale, `true` and `false`, dates
//! `2024-01-31`, times `13:05:06.000123`, timestamps `2024-01-31T13:05:06.000123` (nine digits for nanoseconds; `Z` at the
//! end of those with a time zone), binary and UUIDs in lower-case hexadecimal. A list is an array, a struct an object, a
//! map an array of pairs, ordered by the text of the keys.

use anyhow::{Context, Result, anyhow, bail};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, Time64NanosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// The rows of a batch, rendered.
///
/// # Errors
/// When a column's type is none that a table can have.
pub fn rendered_rows(batch: &RecordBatch) -> Result<Vec<Vec<Value>>> {
    (0..batch.num_rows())
        .map(|row| {
            let values = batch.columns().iter().map(|column| rendered(column, row));
            values.collect()
        })
        .collect()
}

/// One value, rendered.
///
/// # Errors
/// When its type is none that a table can have.
pub fn rendered(array: &ArrayRef, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::List(_) => list(&array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(_, _) => list(&array.as_fixed_size_list().value(row))?,
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let pairs = fields.iter().zip(columns).map(|(field, column)| {
                Ok::<_, anyhow::Error>((field.name().clone(), rendered(column, row)?))
            });
            Value::Object(pairs.collect::<Result<_>>()?)
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let pairs = (0..entries.len()).map(|entry| {
                let (key, value) = (entries.column(0), entries.column(1));
                Ok::<_, anyhow::Error>(json!([rendered(key, entry)?, rendered(value, entry)?]))
            });
            by_key(pairs.collect::<Result<_>>()?)
        }
        DataType::Dictionary(_, value) => {
            let plain = cast(&array.slice(row, 1), value).context("unpack a dictionary")?;
            rendered(&plain, 0)?
        }
        DataType::RunEndEncoded(_, value) => {
            let plain = cast(&array.slice(row, 1), value.data_type()).context("unpack runs")?;
            rendered(&plain, 0)?
        }
        _ => Value::String(text(array, row)?),
    })
}

/// An expected value as [`rendered`] would write it for a column of this type: numbers of a float column may be written in
/// several ways (`1e3`, `1000.0`), and pairs of a map in any order.
///
/// # Errors
/// When it is no value of the type.
pub fn expected(value: &Value, data_type: &DataType) -> Result<Value> {
    Ok(match (data_type, value) {
        (_, Value::Null) => Value::Null,
        (DataType::Float64, Value::String(text)) => float64(parsed(text)?).into(),
        (DataType::Float32, Value::String(text)) => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "an engine may write the nearest double of what the table has as a float"
            )]
            let single = parsed(text)? as f32;
            float32(single).into()
        }
        (
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _),
            Value::Array(values),
        ) => {
            let values = values.iter().map(|value| expected(value, item.data_type()));
            Value::Array(values.collect::<Result<_>>()?)
        }
        (DataType::Struct(fields), Value::Object(values)) => {
            let pairs = values.iter().map(|(name, value)| {
                let field = fields.iter().find(|field| field.name() == name);
                let field = field.ok_or_else(|| anyhow!("the struct has no field {name}"))?;
                Ok((name.clone(), expected(value, field.data_type())?))
            });
            Value::Object(pairs.collect::<Result<_>>()?)
        }
        (DataType::Map(entries, _), Value::Array(pairs)) => {
            let DataType::Struct(fields) = entries.data_type() else {
                bail!("a map of {}", entries.data_type());
            };
            let pairs = pairs.iter().map(|pair| {
                let [key, value] = pair.as_array().map_or(&[][..], Vec::as_slice) else {
                    bail!("an expected map has {pair} in the place of a pair");
                };
                Ok(json!([
                    expected(key, fields[0].data_type())?,
                    expected(value, fields[1].data_type())?
                ]))
            });
            by_key(pairs.collect::<Result<_>>()?)
        }
        (DataType::Dictionary(_, item), value) => expected(value, item)?,
        (DataType::RunEndEncoded(_, item), value) => expected(value, item.data_type())?,
        (_, Value::String(text)) => Value::String(text.clone()),
        (data_type, value) => bail!("{value} is expected of a column of type {data_type}"),
    })
}

fn list(items: &ArrayRef) -> Result<Value> {
    let items = (0..items.len()).map(|item| rendered(items, item));
    Ok(Value::Array(items.collect::<Result<_>>()?))
}

fn by_key(mut pairs: Vec<Value>) -> Value {
    pairs.sort_by_cached_key(|pair| pair[0].to_string());
    Value::Array(pairs)
}

fn parsed(text: &str) -> Result<f64> {
    text.parse().with_context(|| format!("{text} as a float"))
}

fn float64(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    format!("{value:?}")
}

fn float32(value: f32) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    format!("{value:?}")
}

/// A primitive that is not NULL.
fn text(array: &ArrayRef, row: usize) -> Result<String> {
    Ok(match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).to_string(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).to_string(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float32 => float32(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => float64(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(precision, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            Decimal128Type::format_decimal(value, *precision, *scale)
        }
        DataType::Decimal256(precision, scale) => {
            let value = array.as_primitive::<Decimal256Type>().value(row);
            Decimal256Type::format_decimal(value, *precision, *scale)
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        DataType::Utf8View => array.as_string_view().value(row).to_owned(),
        DataType::Binary => hex(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => hex(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => hex(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => hex(array.as_fixed_size_binary().value(row)),
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(row))?,
        DataType::Time64(TimeUnit::Microsecond) => time(
            array.as_primitive::<Time64MicrosecondType>().value(row) * 1000,
            6,
        )?,
        DataType::Time64(TimeUnit::Nanosecond) => {
            time(array.as_primitive::<Time64NanosecondType>().value(row), 9)?
        }
        DataType::Timestamp(unit, zone) => {
            let instant = match unit {
                TimeUnit::Second => DateTime::from_timestamp(
                    array.as_primitive::<TimestampSecondType>().value(row),
                    0,
                ),
                TimeUnit::Millisecond => DateTime::from_timestamp_millis(
                    array.as_primitive::<TimestampMillisecondType>().value(row),
                ),
                TimeUnit::Microsecond => DateTime::from_timestamp_micros(
                    array.as_primitive::<TimestampMicrosecondType>().value(row),
                ),
                TimeUnit::Nanosecond => Some(DateTime::from_timestamp_nanos(
                    array.as_primitive::<TimestampNanosecondType>().value(row),
                )),
            };
            let instant = instant.ok_or_else(|| anyhow!("a timestamp out of range"))?;
            timestamp(instant, *unit == TimeUnit::Nanosecond, zone.is_some())
        }
        other => bail!("no Iceberg table has values of type {other}"),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn date(days: i32) -> Result<String> {
    let day = NaiveDate::default().checked_add_signed(TimeDelta::days(days.into()));
    let day = day.ok_or_else(|| anyhow!("a date out of range"))?;
    Ok(day.format("%Y-%m-%d").to_string())
}

fn time(nanoseconds: i64, digits: usize) -> Result<String> {
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let seconds = u32::try_from(seconds).context("a time of day")?;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, u32::try_from(rest)?);
    let time = time.ok_or_else(|| anyhow!("a time of day out of range"))?;
    let form = if digits == 9 {
        "%H:%M:%S%.9f"
    } else {
        "%H:%M:%S%.6f"
    };
    Ok(time.format(form).to_string())
}

fn timestamp(instant: DateTime<Utc>, nanoseconds: bool, zoned: bool) -> String {
    let form = if nanoseconds {
        "%Y-%m-%dT%H:%M:%S%.9f"
    } else {
        "%Y-%m-%dT%H:%M:%S%.6f"
    };
    let zone = if zoned { "Z" } else { "" };
    format!("{}{zone}", instant.format(form))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that cannot go on says where and stops"
    )]

    use std::sync::Arc;

    use arrow::array::{
        BinaryViewArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array,
        Float64Array, Int32Array, ListArray, MapBuilder, StringArray, StringBuilder, StructArray,
        Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
    };
    use arrow::datatypes::{Field, Int32Type};

    use super::*;

    fn all(array: impl Array + 'static) -> Vec<Value> {
        let array: ArrayRef = Arc::new(array);
        let rows = (0..array.len()).map(|row| rendered(&array, row).unwrap());
        rows.collect()
    }

    #[test]
    fn every_primitive_is_written_as_the_fixtures_say() {
        assert_eq!(
            all(Int32Array::from(vec![Some(-7), None])),
            [json!("-7"), Value::Null]
        );
        let decimals = Decimal128Array::from(vec![0, -5, 123_456]).with_precision_and_scale(9, 4);
        assert_eq!(all(decimals.unwrap()), ["0.0000", "-0.0005", "12.3456"]);
        assert_eq!(
            all(Date32Array::from(vec![0, -1, 19_753])),
            ["1970-01-01", "1969-12-31", "2024-01-31"]
        );
        assert_eq!(
            all(Time64MicrosecondArray::from(vec![47_106_000_123])),
            ["13:05:06.000123"]
        );
        let moment = 1_706_706_306_000_123;
        assert_eq!(
            all(TimestampMicrosecondArray::from(vec![moment, -1])),
            ["2024-01-31T13:05:06.000123", "1969-12-31T23:59:59.999999"]
        );
        let zoned = TimestampNanosecondArray::from(vec![moment * 1000 + 7]).with_timezone("UTC");
        assert_eq!(all(zoned), ["2024-01-31T13:05:06.000123007Z"]);
        assert_eq!(
            all(BinaryViewArray::from(vec![&b"\x00\xff"[..], &b""[..]])),
            ["00ff", ""]
        );
        let uuids = FixedSizeBinaryArray::try_from_iter([[0xab; 16]].into_iter()).unwrap();
        assert_eq!(all(uuids), ["ab".repeat(16)]);
    }

    #[test]
    fn floats_compare_by_value_however_they_are_written() {
        let doubles = all(Float64Array::from(vec![
            1000.0,
            f64::NAN,
            f64::NEG_INFINITY,
            1e-7,
            -0.0,
        ]));
        let written = ["1e3", "nan", "-inf", "1e-07", "-0.0"];
        for (ours, theirs) in doubles.iter().zip(written) {
            assert_eq!(ours, &expected(&json!(theirs), &DataType::Float64).unwrap());
        }
        let single = all(Float32Array::from(vec![1.1]));
        for theirs in ["1.1", "1.100000023841858"] {
            assert_eq!(
                single[0],
                expected(&json!(theirs), &DataType::Float32).unwrap()
            );
        }
        assert_ne!(
            single[0],
            expected(&json!("1.10001"), &DataType::Float32).unwrap()
        );
        assert!(expected(&json!("one"), &DataType::Float64).is_err());
    }

    #[test]
    fn nested_values_keep_their_shape_and_maps_are_ordered_by_key() {
        let lists =
            ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
        assert_eq!(all(lists), [json!(["1", null]), Value::Null]);
        let fields = vec![
            Field::new("a", DataType::Float64, true),
            Field::new("b", DataType::Utf8, true),
        ];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(vec![1.5])),
            Arc::new(StringArray::from(vec![None::<&str>])),
        ];
        let structs = StructArray::new(fields.into(), columns, None);
        let want = expected(&json!({ "b": null, "a": "15e-1" }), structs.data_type()).unwrap();
        assert_eq!(all(structs), [want]);
        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for key in ["z", "b"] {
            maps.keys().append_value(key);
            maps.values().append_value(key.to_uppercase());
        }
        maps.append(true).unwrap();
        let maps = maps.finish();
        let want = expected(&json!([["z", "Z"], ["b", "B"]]), maps.data_type()).unwrap();
        assert_eq!(want, json!([["b", "B"], ["z", "Z"]]));
        assert_eq!(all(maps), [want]);
    }
}
