//! From a question about a column to one about its partition values.
//!
//! The projected question holds for the partition value of every row for which the original holds. Transforms map null,
//! and only null, to null; truncation and the calendar transforms never change the order of two values.

use iceberg::spec::{Datum, PrimitiveLiteral, PrimitiveType, Transform};
use iceberg::transform::create_transform_function;

use super::question::{Op, Prefix, Question};

/// Microseconds that iceberg's calendar arithmetic is sure to take: about 220,000 years to either side of 1970.
const CALENDAR_MICROS_MAX: i64 = 7_000_000_000_000_000_000;

/// An hour in microseconds.
const HOUR_MICROS: i64 = 3_600_000_000;

/// Days that it is sure to take.
const CALENDAR_DAYS_MAX: i32 = 90_000_000;

/// The question about partition values, or `None` when the transform says nothing about it.
pub(super) fn project(
    question: &Question,
    transform: Transform,
    source: &PrimitiveType,
) -> Option<Question> {
    match transform {
        Transform::Identity => Some(question.clone()),
        Transform::Void | Transform::Unknown => None,
        Transform::Bucket(_) => project_bucket(question, transform, source),
        Transform::Truncate(width) => project_truncate(question, width),
        Transform::Year | Transform::Month | Transform::Day | Transform::Hour => {
            project_calendar(question, transform, source)
        }
    }
}

fn project_bucket(
    question: &Question,
    transform: Transform,
    source: &PrimitiveType,
) -> Option<Question> {
    let bucket = |value: &PrimitiveLiteral| match (value, in_micros(source)) {
        // Buckets of nanoseconds are those of the microseconds that they are in.
        (PrimitiveLiteral::Long(nanos), Some(source)) => {
            let micros = PrimitiveLiteral::Long(nanos.div_euclid(1000));
            apply(&micros, transform, &source)
        }
        _ => apply(value, transform, source),
    };
    match question {
        Question::Compare(Op::Eq, value) => Some(Question::Compare(Op::Eq, bucket(value)?)),
        Question::In(values) => Some(Question::In(
            values.iter().map(bucket).collect::<Option<_>>()?,
        )),
        Question::IsNull | Question::IsNotNull => Some(question.clone()),
        Question::Compare(..) | Question::StartsWith(_) => None,
    }
}

fn project_truncate(question: &Question, width: u32) -> Option<Question> {
    match question {
        Question::StartsWith(Prefix(prefix)) => {
            let kept: String = prefix.chars().take(usize::try_from(width).ok()?).collect();
            Some(Question::StartsWith(Prefix(kept)))
        }
        Question::Compare(op, value) => compare(*op, truncate(value, width)?),
        Question::In(values) => Some(Question::In(
            values
                .iter()
                .map(|value| truncate(value, width))
                .collect::<Option<_>>()?,
        )),
        Question::IsNull | Question::IsNotNull => Some(question.clone()),
    }
}

/// Some writers rounded times before 1970 towards it, one unit too late: what is asked is widened by that unit.
fn project_calendar(
    question: &Question,
    transform: Transform,
    source: &PrimitiveType,
) -> Option<Question> {
    let unit = |value: &PrimitiveLiteral| match (transform, value) {
        (Transform::Day, PrimitiveLiteral::Int(day)) => Some(*day),
        // Not by iceberg: it cuts times of the last second of a day before 1970 off towards it.
        (Transform::Day | Transform::Hour, PrimitiveLiteral::Long(at)) => {
            let hours = at.div_euclid(hour_of(source)?);
            let hours_each = if transform == Transform::Day { 24 } else { 1 };
            i32::try_from(hours.div_euclid(hours_each)).ok()
        }
        _ => match apply(value, transform, source)? {
            PrimitiveLiteral::Int(unit) => Some(unit),
            _ => None,
        },
    };
    let late = |unit: i32| if unit < 0 { unit + 1 } else { unit };
    match question {
        Question::Compare(Op::Eq, value) => {
            let unit = unit(value)?;
            Some(Question::In(vec![
                PrimitiveLiteral::Int(unit),
                PrimitiveLiteral::Int(late(unit)),
            ]))
        }
        Question::Compare(op @ (Op::Lt | Op::LtEq), value) => {
            compare(*op, PrimitiveLiteral::Int(late(unit(value)?)))
        }
        Question::Compare(op, value) => compare(*op, PrimitiveLiteral::Int(unit(value)?)),
        Question::In(values) => {
            let units = values.iter().map(unit).collect::<Option<Vec<i32>>>()?;
            let both = units.into_iter().flat_map(|unit| [unit, late(unit)]);
            Some(Question::In(both.map(PrimitiveLiteral::Int).collect()))
        }
        Question::IsNull | Question::IsNotNull => Some(question.clone()),
        Question::StartsWith(_) => None,
    }
}

/// An hour in the unit of a type of timestamps.
fn hour_of(source: &PrimitiveType) -> Option<i64> {
    use PrimitiveType as T;
    match source {
        T::Timestamp | T::Timestamptz => Some(HOUR_MICROS),
        T::TimestampNs | T::TimestamptzNs => Some(HOUR_MICROS * 1000),
        _ => None,
    }
}

/// The type of microseconds for one of nanoseconds.
fn in_micros(source: &PrimitiveType) -> Option<PrimitiveType> {
    match source {
        PrimitiveType::TimestampNs => Some(PrimitiveType::Timestamp),
        PrimitiveType::TimestamptzNs => Some(PrimitiveType::Timestamptz),
        _ => None,
    }
}

/// A comparison with the image of its value, under a transform that keeps order: strictness is lost.
fn compare(op: Op, image: PrimitiveLiteral) -> Option<Question> {
    match op {
        Op::Eq => Some(Question::Compare(Op::Eq, image)),
        Op::Lt | Op::LtEq => Some(Question::Compare(Op::LtEq, image)),
        Op::Gt | Op::GtEq => Some(Question::Compare(Op::GtEq, image)),
        Op::NotEq => None,
    }
}

fn truncate(value: &PrimitiveLiteral, width: u32) -> Option<PrimitiveLiteral> {
    let characters = usize::try_from(width).ok()?;
    if width == 0 {
        return None;
    }
    Some(match value {
        PrimitiveLiteral::Int(v) => {
            PrimitiveLiteral::Int(v.checked_sub(v.rem_euclid(i32::try_from(width).ok()?))?)
        }
        PrimitiveLiteral::Long(v) => {
            PrimitiveLiteral::Long(v.checked_sub(v.rem_euclid(i64::from(width)))?)
        }
        PrimitiveLiteral::Int128(v) => {
            PrimitiveLiteral::Int128(v.checked_sub(v.rem_euclid(i128::from(width)))?)
        }
        PrimitiveLiteral::String(v) => {
            PrimitiveLiteral::String(v.chars().take(characters).collect())
        }
        PrimitiveLiteral::Binary(v) => {
            PrimitiveLiteral::Binary(v.iter().copied().take(characters).collect())
        }
        _ => return None,
    })
}

/// A bucket or calendar transform of one value.
fn apply(
    value: &PrimitiveLiteral,
    transform: Transform,
    source: &PrimitiveType,
) -> Option<PrimitiveLiteral> {
    let calendar = !matches!(transform, Transform::Bucket(_));
    if calendar && !within_calendar(value, source) {
        return None;
    }
    let function = create_transform_function(&transform).ok()?;
    let image = function.transform_literal(&datum(value, source)?).ok()??;
    Some(image.literal().clone())
}

fn within_calendar(value: &PrimitiveLiteral, source: &PrimitiveType) -> bool {
    match (value, source) {
        (PrimitiveLiteral::Int(days), PrimitiveType::Date) => {
            days.abs_diff(0) <= CALENDAR_DAYS_MAX.unsigned_abs()
        }
        (PrimitiveLiteral::Long(micros), _) => {
            micros.abs_diff(0) <= CALENDAR_MICROS_MAX.unsigned_abs()
        }
        _ => false,
    }
}

fn datum(value: &PrimitiveLiteral, of: &PrimitiveType) -> Option<Datum> {
    use PrimitiveLiteral as L;
    let bytes = match value {
        L::Boolean(v) => vec![u8::from(*v)],
        L::Int(v) => v.to_le_bytes().to_vec(),
        L::Long(v) => v.to_le_bytes().to_vec(),
        L::Float(v) => v.0.to_le_bytes().to_vec(),
        L::Double(v) => v.0.to_le_bytes().to_vec(),
        L::String(v) => v.as_bytes().to_vec(),
        L::Binary(v) => v.clone(),
        L::Int128(v) => v.to_be_bytes().to_vec(),
        L::UInt128(v) => v.to_be_bytes().to_vec(),
        L::AboveMax | L::BelowMin => return None,
    };
    Datum::try_from_bytes(&bytes, of.clone()).ok()
}
