//! Default values as JSON (the Iceberg specification's "JSON single-value serialization"), read exactly or not at all.
//!
//! The parser drops a default that it can't make sense of, and a column without a default reads as null: a wrong answer.

use chrono::{DateTime, NaiveDateTime};
use iceberg::spec::{Literal, PrimitiveLiteral, PrimitiveType, Struct, Type};
use serde_json::Value;

/// A default's value; none where it is no value of the type, or can't be held exactly.
pub(crate) fn literal(default: &Value, of: &Type) -> Option<Literal> {
    match of {
        Type::Primitive(primitive) => self::primitive(default, primitive),
        // A struct's default is the empty object: its fields take their own.
        Type::Struct(inner) => {
            let empty = default.as_object().is_some_and(serde_json::Map::is_empty);
            let nothing = inner.fields().iter().map(|_| None);
            empty.then(|| Literal::Struct(Struct::from_iter(nothing)))
        }
        Type::List(list) => {
            let of = &list.element_field.field_type;
            let items = default.as_array()?.iter().map(|item| nullable(item, of));
            Some(Literal::List(items.collect::<Option<_>>()?))
        }
        Type::Map(map) => {
            let (keys, values) = (default.get("keys")?, default.get("values")?);
            let (keys, values) = (keys.as_array()?, values.as_array()?);
            let pairs = keys.iter().zip(values).map(|(key, value)| {
                let key = literal(key, &map.key_field.field_type)?;
                Some((key, nullable(value, &map.value_field.field_type)?))
            });
            let pairs = pairs.collect::<Option<Vec<_>>>()?;
            (keys.len() == values.len()).then(|| Literal::Map(pairs.into_iter().collect()))
        }
    }
}

fn nullable(value: &Value, of: &Type) -> Option<Option<Literal>> {
    match value {
        Value::Null => Some(None),
        value => literal(value, of).map(Some),
    }
}

fn primitive(default: &Value, of: &PrimitiveType) -> Option<Literal> {
    use PrimitiveType as P;
    let value = match of {
        P::TimestampNs => PrimitiveLiteral::Long(nanoseconds(default.as_str()?)?),
        P::TimestamptzNs | P::Timestamptz => {
            let at = DateTime::parse_from_rfc3339(default.as_str()?).ok()?;
            PrimitiveLiteral::Long(match of {
                P::Timestamptz => exact_microseconds(at.naive_utc())?,
                _ => at.timestamp_nanos_opt()?,
            })
        }
        P::Timestamp => {
            let at = NaiveDateTime::parse_from_str(default.as_str()?, "%Y-%m-%dT%H:%M:%S%.f");
            PrimitiveLiteral::Long(exact_microseconds(at.ok()?)?)
        }
        P::Decimal { precision, scale } => {
            PrimitiveLiteral::Int128(unscaled(default.as_str()?, *precision, *scale)?)
        }
        // A text holds what JSON has no number for.
        P::Float => PrimitiveLiteral::Float((float(default)? as f32).into()),
        P::Double => PrimitiveLiteral::Double(float(default)?.into()),
        _ => {
            let of = Type::Primitive(of.clone());
            return Literal::try_from_json(default.clone(), &of).ok().flatten();
        }
    };
    Some(Literal::Primitive(value))
}

fn nanoseconds(text: &str) -> Option<i64> {
    let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    at.and_utc().timestamp_nanos_opt()
}

fn exact_microseconds(at: NaiveDateTime) -> Option<i64> {
    let at = at.and_utc();
    at.timestamp_subsec_nanos()
        .is_multiple_of(1_000)
        .then(|| at.timestamp_micros())
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// A decimal's digits without its point. The specification also writes a negative scale, as in `2E+20`.
fn unscaled(text: &str, precision: u32, scale: u32) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = i64::from(scale) + exponent - i64::try_from(fraction.len()).ok()?;
    let power = 10_i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?)?;
    let unscaled = if shift >= 0 {
        digits.checked_mul(power)?
    } else {
        (digits % power == 0).then(|| digits / power)?
    };
    let bound = 10_i128.checked_pow(precision)?;
    (unscaled.abs() < bound).then_some(unscaled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(default: &Value, of: &str) -> Option<Literal> {
        let of = serde_json::from_value(json!(of)).unwrap();
        literal(default, &of)
    }

    #[test]
    fn each_type_is_read_as_the_specification_writes_it() {
        let micros = 1_706_706_306_000_123_i64;
        let decimal = |unscaled| Some(Literal::decimal(unscaled));
        for (default, of, expected) in [
            (json!(true), "boolean", Some(Literal::bool(true))),
            (json!(34), "int", Some(Literal::int(34))),
            (json!(34), "long", Some(Literal::long(34))),
            (json!(1.5), "float", Some(Literal::float(1.5))),
            (json!(1), "double", Some(Literal::double(1.0))),
            (
                json!("-Infinity"),
                "double",
                Some(Literal::double(f64::NEG_INFINITY)),
            ),
            (json!("14.20"), "decimal(9, 2)", decimal(1_420)),
            (json!("14.2"), "decimal(9, 2)", decimal(1_420)),
            (json!("-0.05"), "decimal(9, 2)", decimal(-5)),
            (json!("2E+3"), "decimal(9, 2)", decimal(200_000)),
            (
                json!("-99999999999999999999999999999999999999"),
                "decimal(38, 0)",
                decimal(-99_999_999_999_999_999_999_999_999_999_999_999_999),
            ),
            (json!("2024-01-31"), "date", Some(Literal::date(19_753))),
            (
                json!("13:05:06.000123"),
                "time",
                Some(Literal::time(47_106_000_123)),
            ),
            (
                json!("2024-01-31T13:05:06.000123"),
                "timestamp",
                Some(Literal::timestamp(micros)),
            ),
            (
                json!("2024-01-31T13:05:06.000123+00:00"),
                "timestamptz",
                Some(Literal::timestamptz(micros)),
            ),
            (
                json!("2024-01-31T15:05:06.000123+02:00"),
                "timestamptz",
                Some(Literal::timestamptz(micros)),
            ),
            (
                json!("2024-01-31T13:05:06.000123004"),
                "timestamp_ns",
                Some(Literal::long(micros * 1_000 + 4)),
            ),
            (
                json!("2024-01-31T13:05:06.000123004+00:00"),
                "timestamptz_ns",
                Some(Literal::long(micros * 1_000 + 4)),
            ),
            (json!("iceberg"), "string", Some(Literal::string("iceberg"))),
            (
                json!("0001ff"),
                "fixed[3]",
                Some(Literal::fixed([0, 1, 255])),
            ),
            (
                json!("0001ff"),
                "binary",
                Some(Literal::binary(vec![0, 1, 255])),
            ),
        ] {
            assert_eq!(read(&default, of), expected, "{default} as {of}");
        }
    }

    #[test]
    fn what_is_no_value_of_the_type_or_would_be_rounded_is_not_read() {
        for (default, of) in [
            (json!("34"), "int"),
            (json!(3_000_000_000_i64), "int"),
            (json!("14.205"), "decimal(9, 2)"),
            (json!("12345678.00"), "decimal(9, 2)"),
            (json!("1e999"), "decimal(38, 0)"),
            (json!("2024-01-31T13:05:06.0001234"), "timestamp"),
            (json!("2024-01-31T13:05:06"), "timestamptz"),
            (json!("yesterday"), "timestamp_ns"),
            (json!("2999-01-31T13:05:06"), "timestamp_ns"),
            (json!("00"), "fixed[3]"),
            (json!({}), "string"),
        ] {
            assert_eq!(read(&default, of), None, "{default} as {of}");
        }
    }

    proptest! {
        #[test]
        fn a_decimal_is_read_exactly(unscaled in -10_i128.pow(38) + 1..10_i128.pow(38), scale in 0..38_u32) {
            let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale as usize + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
            let sign = if unscaled < 0 { "-" } else { "" };
            let point = if scale == 0 { "" } else { "." };
            let text = format!("{sign}{whole}{point}{fraction}");
            prop_assert_eq!(super::unscaled(&text, 38, scale), Some(unscaled));
        }
    }
}
