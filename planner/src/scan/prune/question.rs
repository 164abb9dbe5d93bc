//! One question about one column, and what is known of the column's values.

use std::cmp::Ordering;

use iceberg::spec::PrimitiveLiteral;

/// A comparison of a column with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

impl Op {
    /// The comparison that holds when this one doesn't, null aside.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Eq => Self::NotEq,
            Self::NotEq => Self::Eq,
            Self::Lt => Self::GtEq,
            Self::LtEq => Self::Gt,
            Self::Gt => Self::LtEq,
            Self::GtEq => Self::Lt,
        }
    }

    /// The comparison with its sides exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::LtEq => Self::GtEq,
            Self::Gt => Self::Lt,
            Self::GtEq => Self::LtEq,
            same => same,
        }
    }
}

/// Is there a value for which this holds?
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Question {
    Compare(Op, PrimitiveLiteral),
    In(Vec<PrimitiveLiteral>),
    IsNull,
    IsNotNull,
    StartsWith(Prefix),
}

/// What a string or binary value begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefix(pub(super) String);

/// What is known of a column's values in a file, a partition or a manifest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// No value is less.
    pub(super) lower: Option<&'a PrimitiveLiteral>,
    /// No value is greater, NaN aside.
    pub(super) upper: Option<&'a PrimitiveLiteral>,
    pub(super) may_null: bool,
    pub(super) only_null: bool,
    /// Whether NaN may be among the values. DataFusion takes NaN to be greater than any number.
    pub(super) may_nan: bool,
}

impl<'a> Known<'a> {
    /// Nothing but null.
    pub(super) fn null() -> Self {
        Self {
            lower: None,
            upper: None,
            may_null: true,
            only_null: true,
            may_nan: false,
        }
    }

    /// One value, and no null.
    pub(super) fn exactly(value: &'a PrimitiveLiteral) -> Self {
        let may_nan = match value {
            PrimitiveLiteral::Float(v) => v.is_nan(),
            PrimitiveLiteral::Double(v) => v.is_nan(),
            _ => false,
        };
        Self {
            lower: Some(value),
            upper: Some(value),
            may_null: false,
            only_null: false,
            may_nan,
        }
    }
}

impl Question {
    /// Whether a value may be there for which the answer is yes. `true` whenever that can't be excluded.
    pub(super) fn may_hold(&self, known: &Known<'_>) -> bool {
        match self {
            Self::IsNull => known.may_null,
            _ if known.only_null => false,
            Self::IsNotNull => true,
            Self::Compare(op, value) => compare_may(*op, value, known),
            Self::In(values) => values.iter().any(|value| compare_may(Op::Eq, value, known)),
            Self::StartsWith(prefix) => prefix_may(prefix.0.as_bytes(), known),
        }
    }
}

fn compare_may(op: Op, value: &PrimitiveLiteral, known: &Known<'_>) -> bool {
    let may_nan = known.may_nan && is_float(value);
    let below = || {
        side_may(known.lower, value, |lower, zero| {
            lower.is_lt() || (lower.is_eq() && zero)
        })
    };
    let above = || {
        may_nan
            || side_may(known.upper, value, |upper, zero| {
                upper.is_gt() || (upper.is_eq() && zero)
            })
    };
    let not_above = || side_may(known.lower, value, |lower, _| lower.is_le());
    let not_below = || may_nan || side_may(known.upper, value, |upper, _| upper.is_ge());
    match op {
        Op::Lt => below(),
        Op::LtEq => not_above(),
        Op::Gt => above(),
        Op::GtEq => not_below(),
        Op::Eq => not_above() && side_may(known.upper, value, |upper, _| upper.is_ge()),
        Op::NotEq => may_nan || !is_only(value, known),
    }
}

/// Whether a bound allows it; an absent or incomparable one does. Zeros of either sign are equal here and not to
/// DataFusion, so a tie of zeros allows everything.
fn side_may(
    bound: Option<&PrimitiveLiteral>,
    value: &PrimitiveLiteral,
    allows: impl Fn(Ordering, bool) -> bool,
) -> bool {
    match bound.and_then(|bound| compare(bound, value)) {
        Some(order) => allows(order, is_float_zero(value)),
        None => true,
    }
}

/// Whether the values are all exactly this one. Text and binary are never said to be: their bounds may be cut short.
fn is_only(value: &PrimitiveLiteral, known: &Known<'_>) -> bool {
    let cut = matches!(
        value,
        PrimitiveLiteral::String(_) | PrimitiveLiteral::Binary(_)
    );
    let is = |bound: Option<&PrimitiveLiteral>| {
        bound.and_then(|bound| compare(bound, value)) == Some(Ordering::Equal)
    };
    let pinned = match (known.lower, known.upper) {
        (Some(lower), Some(upper)) => std::ptr::eq(lower, upper),
        _ => false,
    };
    (!cut || pinned) && !is_float_zero(value) && is(known.lower) && is(known.upper)
}

fn prefix_may(prefix: &[u8], known: &Known<'_>) -> bool {
    let upper_allows = known
        .upper
        .and_then(bytes)
        .is_none_or(|upper| upper >= prefix);
    let lower_allows = known
        .lower
        .and_then(bytes)
        .is_none_or(|lower| lower <= prefix || lower.starts_with(prefix));
    upper_allows && lower_allows
}

fn bytes(value: &PrimitiveLiteral) -> Option<&[u8]> {
    match value {
        PrimitiveLiteral::String(text) => Some(text.as_bytes()),
        PrimitiveLiteral::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

/// Compares values of one type, or of a type and the type that it was promoted to. `None` for NaN and for values that
/// don't compare; so for UUIDs, whose bounds some writers order by signed halves.
pub(super) fn compare(left: &PrimitiveLiteral, right: &PrimitiveLiteral) -> Option<Ordering> {
    use PrimitiveLiteral as L;
    match (left, right) {
        (L::Boolean(l), L::Boolean(r)) => Some(l.cmp(r)),
        (L::Int128(l), L::Int128(r)) => Some(l.cmp(r)),
        (L::Int(_) | L::Long(_), L::Int(_) | L::Long(_)) => {
            Some(integer(left)?.cmp(&integer(right)?))
        }
        (L::Float(_) | L::Double(_), L::Float(_) | L::Double(_)) => {
            float(left)?.partial_cmp(&float(right)?)
        }
        (L::String(l), L::String(r)) => Some(l.as_bytes().cmp(r.as_bytes())),
        (L::Binary(l), L::Binary(r)) => Some(l.cmp(r)),
        _ => None,
    }
}

fn integer(value: &PrimitiveLiteral) -> Option<i64> {
    match value {
        PrimitiveLiteral::Int(v) => Some(i64::from(*v)),
        PrimitiveLiteral::Long(v) => Some(*v),
        _ => None,
    }
}

fn float(value: &PrimitiveLiteral) -> Option<f64> {
    match value {
        PrimitiveLiteral::Float(v) => Some(f64::from(v.0)),
        PrimitiveLiteral::Double(v) => Some(v.0),
        _ => None,
    }
}

fn is_float(value: &PrimitiveLiteral) -> bool {
    matches!(
        value,
        PrimitiveLiteral::Float(_) | PrimitiveLiteral::Double(_)
    )
}

fn is_float_zero(value: &PrimitiveLiteral) -> bool {
    float(value) == Some(0.0)
}
