//! Bounds and partition values as text: as people read them, and as JSON has them.

use std::fmt::Write;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike};
use iceberg::spec::{PrimitiveLiteral, PrimitiveType, Transform};
use serde_json::Value;
use uuid::Uuid;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A value as people read it. Fractions of a second have three, six or nine digits or are left out, like seconds of a
/// whole minute.
pub(super) fn human(value: &PrimitiveLiteral, of: &PrimitiveType) -> Option<String> {
    text(value, of, Style::Human)
}

/// A value of a partition field as people read it: a year, a month, a day, an hour, or as [`human`] has it.
pub(super) fn human_of(
    transform: Transform,
    value: &PrimitiveLiteral,
    of: &PrimitiveType,
) -> Option<String> {
    match (transform, value) {
        (Transform::Year, PrimitiveLiteral::Int(years)) => Some(format!("{:04}", 1970 + years)),
        (Transform::Month, PrimitiveLiteral::Int(months)) => Some(format!(
            "{:04}-{:02}",
            1970 + months.div_euclid(12),
            months.rem_euclid(12) + 1
        )),
        (Transform::Day, PrimitiveLiteral::Int(days)) => date(*days),
        (Transform::Hour, PrimitiveLiteral::Int(hours)) => Some(format!(
            "{}-{:02}",
            date(hours.div_euclid(24))?,
            hours.rem_euclid(24)
        )),
        (Transform::Void, _) => None,
        _ => human(value, of),
    }
}

/// A value as JSON has it.
pub(super) fn json(value: &PrimitiveLiteral, of: &PrimitiveType) -> Option<Value> {
    Some(match value {
        PrimitiveLiteral::Boolean(value) => Value::from(*value),
        PrimitiveLiteral::Int(value) if *of == PrimitiveType::Int => Value::from(*value),
        PrimitiveLiteral::Long(value) if *of == PrimitiveType::Long => Value::from(*value),
        PrimitiveLiteral::Float(value) if value.0.is_finite() => {
            // The shortest digits that give the float back, not those of the double that it equals.
            Value::from(value.0.to_string().parse::<f64>().ok()?)
        }
        PrimitiveLiteral::Double(value) if value.0.is_finite() => Value::from(value.0),
        value => Value::String(text(value, of, Style::Json)?),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Human,
    Json,
}

fn text(value: &PrimitiveLiteral, of: &PrimitiveType, style: Style) -> Option<String> {
    use PrimitiveLiteral as L;
    use PrimitiveType as T;
    Some(match (value, of) {
        (L::Boolean(value), _) => value.to_string(),
        (L::Int(days), T::Date) => date(*days)?,
        (L::Int(value), _) => value.to_string(),
        (L::Long(micros), T::Time) => {
            let nanos = micros.checked_mul(1000)?;
            let seconds = u32::try_from(nanos / NANOS_PER_SECOND).ok()?;
            let rest = u32::try_from(nanos % NANOS_PER_SECOND).ok()?;
            let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, rest)?;
            time_of_day(time, style)
        }
        (L::Long(micros), T::Timestamp | T::Timestamptz) => {
            instant(DateTime::from_timestamp_micros(*micros)?, of, style)
        }
        (L::Long(nanos), T::TimestampNs | T::TimestamptzNs) => {
            instant(DateTime::from_timestamp_nanos(*nanos), of, style)
        }
        (L::Long(value), _) => value.to_string(),
        (L::Float(value), _) => float(f64::from(value.0), &format!("{:e}", value.0)),
        (L::Double(value), _) => float(value.0, &format!("{:e}", value.0)),
        (L::Int128(unscaled), T::Decimal { scale, .. }) => decimal(*unscaled, *scale)?,
        (L::UInt128(value), T::Uuid) => Uuid::from_u128(*value).to_string(),
        (L::String(value), _) => value.clone(),
        (L::Binary(bytes), _) if style == Style::Json => {
            bytes.iter().fold(String::new(), |mut hex, byte| {
                // Writing to a text can't fail.
                let _ = write!(hex, "{byte:02X}");
                hex
            })
        }
        (L::Binary(bytes), _) => base64(bytes),
        _ => return None,
    })
}

fn date(days: i32) -> Option<String> {
    let days = days.checked_add(NaiveDate::from_ymd_opt(1970, 1, 1)?.num_days_from_ce())?;
    let date = NaiveDate::from_num_days_from_ce_opt(days)?;
    Some(date.format("%Y-%m-%d").to_string())
}

fn time_of_day(time: NaiveTime, style: Style) -> String {
    let mut text = time.format("%H:%M").to_string();
    let (second, nanos) = (time.second(), time.nanosecond());
    if style == Style::Json || second > 0 || nanos > 0 {
        // Writing to a text can't fail.
        let _ = write!(text, ":{second:02}");
    }
    if nanos == 0 {
        return text;
    }
    let digits = format!("{nanos:09}");
    let digits = match style {
        Style::Json => digits.trim_end_matches('0'),
        Style::Human if nanos % 1_000_000 == 0 => &digits[..3],
        Style::Human if nanos % 1000 == 0 => &digits[..6],
        Style::Human => &digits,
    };
    format!("{text}.{digits}")
}

fn instant(at: DateTime<chrono::Utc>, of: &PrimitiveType, style: Style) -> String {
    let zoned = matches!(
        of,
        PrimitiveType::Timestamptz | PrimitiveType::TimestamptzNs
    );
    let zone = match style {
        _ if !zoned => "",
        Style::Human => "Z",
        Style::Json => "+00:00",
    };
    let day = at.date_naive().format("%Y-%m-%d");
    format!("{day}T{}{zone}", time_of_day(at.time(), style))
}

/// A number as Java writes it: plain from 0.001 up to ten million, else with an exponent. `scientific` is the shortest
/// form with one.
fn float(value: f64, scientific: &str) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_string();
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let with_point = |text: &str| {
        if text.contains('.') {
            text.to_string()
        } else {
            format!("{text}.0")
        }
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if value != 0.0 && !(-3..7).contains(&exponent) {
        return format!("{}E{exponent}", with_point(mantissa));
    }
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest.replace('.', "")),
        None => ("", mantissa.replace('.', "")),
    };
    let plain = match usize::try_from(exponent) {
        Ok(whole) if digits.len() > whole + 1 => {
            format!("{}.{}", &digits[..=whole], &digits[whole + 1..])
        }
        Ok(whole) => format!("{digits}{}", "0".repeat(whole + 1 - digits.len())),
        Err(_) => {
            let zeros = usize::try_from(-exponent - 1).unwrap_or_default();
            format!("0.{}{digits}", "0".repeat(zeros))
        }
    };
    format!("{sign}{}", with_point(&plain))
}

fn decimal(unscaled: i128, scale: u32) -> Option<String> {
    let scale = usize::try_from(scale).ok()?;
    let digits = format!("{:0>1$}", unscaled.unsigned_abs(), scale + 1);
    let sign = if unscaled < 0 { "-" } else { "" };
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    Some(if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |n: usize| u32::from(chunk.get(n).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * n)) as usize & 63];
            text.push(if n <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use iceberg::spec::Datum;

    use super::*;

    fn of(datum: Datum) -> (String, String) {
        let (value, of) = (datum.literal(), datum.data_type());
        (
            human(value, of).unwrap(),
            json(value, of).unwrap().to_string(),
        )
    }

    #[test]
    fn values_are_written_as_trino_and_the_specification_write_them() {
        for (datum, read, as_json) in [
            (Datum::bool(true), "true", "true"),
            (Datum::int(-7), "-7", "-7"),
            (Datum::long(7), "7", "7"),
            (Datum::date(-1), "1969-12-31", "\"1969-12-31\""),
            (
                Datum::time_micros(46_800_000_000).unwrap(),
                "13:00",
                "\"13:00:00\"",
            ),
            (
                Datum::time_micros(46_806_000_120).unwrap(),
                "13:00:06.000120",
                "\"13:00:06.00012\"",
            ),
            (
                Datum::timestamp_micros(0),
                "1970-01-01T00:00",
                "\"1970-01-01T00:00:00\"",
            ),
            (
                Datum::timestamp_micros(-1),
                "1969-12-31T23:59:59.999999",
                "\"1969-12-31T23:59:59.999999\"",
            ),
            (
                Datum::timestamptz_micros(1_500_000),
                "1970-01-01T00:00:01.500Z",
                "\"1970-01-01T00:00:01.5+00:00\"",
            ),
            (
                Datum::timestamp_nanos(1),
                "1970-01-01T00:00:00.000000001",
                "\"1970-01-01T00:00:00.000000001\"",
            ),
            (Datum::double(1.0), "1.0", "1.0"),
            (Datum::double(-0.0), "-0.0", "-0.0"),
            (Datum::double(0.001), "0.001", "0.001"),
            (Datum::double(0.000_12), "1.2E-4", "0.00012"),
            (Datum::double(123_456.75), "123456.75", "123456.75"),
            (Datum::double(12_345_678.0), "1.2345678E7", "12345678.0"),
            (Datum::double(1e7), "1.0E7", "10000000.0"),
            (Datum::double(-1_000_000.0), "-1000000.0", "-1000000.0"),
            (Datum::double(f64::INFINITY), "Infinity", "\"Infinity\""),
            (Datum::float(0.1), "0.1", "0.1"),
            (Datum::string("a\"b"), "a\"b", "\"a\\\"b\""),
            (Datum::binary(vec![1, 0xff]), "Af8=", "\"01FF\""),
            (Datum::fixed(vec![1, 2, 3]), "AQID", "\"010203\""),
            (
                Datum::decimal_from_str("-0.05").unwrap(),
                "-0.05",
                "\"-0.05\"",
            ),
            (Datum::decimal_from_str("1234").unwrap(), "1234", "\"1234\""),
            (
                Datum::uuid(Uuid::from_u128(1)),
                "00000000-0000-0000-0000-000000000001",
                "\"00000000-0000-0000-0000-000000000001\"",
            ),
        ] {
            assert_eq!(of(datum), (read.to_string(), as_json.to_string()));
        }
    }

    #[test]
    fn partition_values_are_written_by_their_transforms() {
        let int = |n: i32| PrimitiveLiteral::Int(n);
        for (transform, value, read) in [
            (Transform::Year, -1, Some("1969")),
            (Transform::Month, -1, Some("1969-12")),
            (Transform::Month, 648, Some("2024-01")),
            (Transform::Day, 0, Some("1970-01-01")),
            (Transform::Hour, -1, Some("1969-12-31-23")),
            (Transform::Bucket(4), 3, Some("3")),
            (Transform::Void, 3, None),
        ] {
            assert_eq!(
                human_of(transform, &int(value), &PrimitiveType::Int).as_deref(),
                read
            );
        }
    }
}
