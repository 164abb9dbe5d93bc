//! Which version of a table a statement, a name or a setting asks for.

use std::fmt;

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Spanned, TableVersion, TypedString, Value,
};
use landfast_catalog::AsOf;

use super::refuse::place;
use crate::{PlannerError, Result};

/// The version of a table, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Version {
    /// The snapshot of this id.
    Snapshot(i64),
    /// What a branch or tag refers to.
    Ref(String),
    /// What was current at a time: a text with a zone, or one that the session's zone completes.
    Time(String),
}

/// Which of its two meanings a clause's value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// A snapshot's id, a branch or a tag.
    Version,
    /// A time.
    Time,
}

impl Version {
    /// The version that a clause's value means.
    ///
    /// # Errors
    /// `Unsupported` for a parameter or anything that would have to be calculated, `InvalidArgument` for a value that
    /// can't be one.
    pub(super) fn of_value(axis: Axis, value: &Expr) -> Result<Self> {
        let found = match axis {
            Axis::Version => of_version(value),
            Axis::Time => time_text(value).and_then(|text| Self::at_time(&text)),
        };
        found.map_err(|error| error.at(place(value.span())))
    }

    /// The version at a time that is written like this.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no time.
    pub(crate) fn at_time(text: &str) -> Result<Self> {
        let text = text.trim();
        // A time without seconds is one to everybody else.
        let text = match text.len() {
            16 => format!("{text}:00"),
            _ => text.to_string(),
        };
        match millis(&text, "UTC") {
            Some(_) => Ok(Self::Time(text)),
            None => Err(PlannerError::invalid(format!(
                "{text:?} is no time: write '2026-01-31', '2026-01-31 12:00:00' or '2026-01-31 12:00:00+01:00'"
            ))),
        }
    }

    /// What the catalog is asked for; a time without a zone is one of this zone.
    ///
    /// # Errors
    /// `InvalidArgument` for a time that the zone has twice or never.
    pub(crate) fn as_of(&self, zone: &str) -> Result<AsOf> {
        Ok(match self {
            Self::Snapshot(id) => AsOf::Snapshot(*id),
            Self::Ref(name) => AsOf::Ref(name.clone()),
            Self::Time(text) => AsOf::Timestamp(millis(text, zone).ok_or_else(|| {
                PlannerError::invalid(format!(
                    "{zone} has the time {text:?} twice or never: add its offset, such as '{text}+01:00'"
                ))
            })?),
        })
    }

    /// The version as a parsed clause holds it, to travel with its table.
    pub(super) fn to_ast(&self) -> TableVersion {
        match self {
            Self::Snapshot(id) => {
                TableVersion::VersionAsOf(Expr::value(Value::Number(id.to_string(), false)))
            }
            Self::Ref(name) => {
                TableVersion::VersionAsOf(Expr::value(Value::SingleQuotedString(name.clone())))
            }
            Self::Time(text) => {
                TableVersion::TimestampAsOf(Expr::value(Value::SingleQuotedString(text.clone())))
            }
        }
    }

    /// The version that a table's clause asks for.
    ///
    /// # Errors
    /// `Unsupported` for clauses of other kinds.
    pub(crate) fn of_ast(version: &TableVersion) -> Result<Self> {
        match version {
            TableVersion::VersionAsOf(value) => Self::of_value(Axis::Version, value),
            TableVersion::TimestampAsOf(value) => Self::of_value(Axis::Time, value),
            other => Err(PlannerError::unsupported(format!(
                "{other} is not supported: write FOR VERSION AS OF or FOR TIMESTAMP AS OF"
            ))),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot(id) => write!(f, "{id}"),
            Self::Ref(text) | Self::Time(text) => f.write_str(text),
        }
    }
}

fn of_version(value: &Expr) -> Result<Version> {
    match value {
        Expr::Nested(inner) => of_version(inner),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits
                .parse()
                .map(Version::Snapshot)
                .map_err(|_| PlannerError::invalid(format!("{digits} is no snapshot's id"))),
            Value::SingleQuotedString(name) if !name.is_empty() => Ok(Version::Ref(name.clone())),
            Value::Placeholder(_) => Err(parameter()),
            _ => Err(no_version(&value.to_string())),
        },
        other => Err(no_version(&other.to_string())),
    }
}

fn no_version(written: &str) -> PlannerError {
    PlannerError::unsupported(format!(
        "{written} is not supported as a version: write a snapshot's id as a number, or a branch or tag in single quotes"
    ))
}

fn parameter() -> PlannerError {
    PlannerError::unsupported(
        "a parameter as a version is not supported, since a statement's columns depend on it: write its value",
    )
}

/// The text of a literal, or of one that is cast to a date or a time.
fn time_text(value: &Expr) -> Result<String> {
    match value {
        Expr::Nested(inner) => time_text(inner),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Ok(text.clone()),
            Value::Placeholder(_) => Err(parameter()),
            _ => Err(no_time(&value.to_string())),
        },
        Expr::TypedString(TypedString {
            data_type, value, ..
        }) => match &value.value {
            Value::SingleQuotedString(text) => typed(text.clone(), data_type),
            other => Err(no_time(&other.to_string())),
        },
        Expr::Cast {
            kind: CastKind::Cast | CastKind::DoubleColon,
            expr,
            data_type,
            array: false,
            format: None,
        } => typed(time_text(expr)?, data_type),
        other => Err(no_time(&other.to_string())),
    }
}

/// A date is the day's first moment, whatever time its text has.
fn typed(text: String, of: &DataType) -> Result<String> {
    match of {
        DataType::Timestamp(..) | DataType::TimestampNtz(_) | DataType::Datetime(_) => Ok(text),
        DataType::Date => match text.trim().get(..10) {
            Some(day) => Ok(day.to_string()),
            None => Ok(text),
        },
        other => Err(no_time(&format!("{other} {text:?}"))),
    }
}

fn no_time(written: &str) -> PlannerError {
    PlannerError::unsupported(format!(
        "{written} is not supported as the time of a version: write TIMESTAMP '2026-01-31 12:00:00', DATE '2026-01-31' \
         or their text"
    ))
}

/// Milliseconds since 1970, cut to whole ones downwards, as snapshots' times have them.
fn millis(text: &str, zone: &str) -> Option<i64> {
    let zone: Tz = zone.parse().ok()?;
    if !text.is_ascii() {
        return None;
    }
    string_to_datetime(&zone, text)
        .ok()
        .map(|time| time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, zone: &str) -> Result<AsOf> {
        Version::at_time(text)?.as_of(zone)
    }

    #[test]
    fn a_time_without_a_zone_is_one_of_the_sessions_zone() {
        for (text, zone, ms) in [
            ("1970-01-01", "UTC", 0),
            ("1970-01-02", "UTC", 86_400_000),
            ("1970-01-01 00:00:01.5", "UTC", 1500),
            ("1970-01-01 00:01", "UTC", 60_000),
            ("1970-01-01T00:00:00.0019", "UTC", 1),
            ("1969-12-31 23:59:59.9999", "UTC", -1),
            ("1970-01-01 01:00:00", "Europe/Berlin", 0),
            ("1970-01-01 01:00:00", "+01:00", 0),
            ("1970-01-01 01:00:00Z", "Europe/Berlin", 3_600_000),
            ("1970-01-01 01:00:00+01:00", "Asia/Tokyo", 0),
            ("1970-01-01 01:00:00 Europe/Berlin", "Asia/Tokyo", 0),
        ] {
            assert_eq!(
                at(text, zone).unwrap(),
                AsOf::Timestamp(ms),
                "{text} {zone}"
            );
        }
    }

    #[test]
    fn a_time_that_is_twice_or_never_is_refused_with_its_zone() {
        for text in ["2026-10-25 02:30:00", "2026-03-29 02:30:00"] {
            let error = at(text, "Europe/Berlin").unwrap_err();
            assert!(error.to_string().contains("Europe/Berlin"), "{error}");
            assert!(at(text, "UTC").is_ok());
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-1-1",
            "1700000000",
            "2026-01-01 25:00:00",
            "2026-01-01 00:00:00 Nowhere/City",
            "2026-01-01 00:00:00 ä",
        ] {
            assert!(at(text, "UTC").is_err(), "{text}");
        }
    }
}
