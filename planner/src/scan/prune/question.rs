//! One question about one column, and what is known of the column's values.

use std::cmp::Ordering;

use iceberg::spec::PrimitiveLiteral;
use landfast_catalog::compare_bounds;

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
    let against =
        |bound: Option<&PrimitiveLiteral>| bound.and_then(|bound| compare_bounds(bound, value));
    let pinned = match (known.lower, known.upper) {
        (Some(lower), Some(upper)) => std::ptr::eq(lower, upper),
        _ => false,
    };
    let traits = Traits::of(value);
    Comparison {
        lower: against(known.lower),
        upper: against(known.upper),
        may_nan: known.may_nan && traits.float,
        zero: traits.zero,
        cut: traits.cut && !pinned,
    }
    .may_hold(op)
}

/// What a value is, as far as comparisons care.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traits {
    pub(super) float: bool,
    /// A floating-point zero: either sign is equal here and not to DataFusion, so a tie of zeros allows everything.
    pub(super) zero: bool,
    /// Bounds of its type may be cut short.
    pub(super) cut: bool,
}

impl Traits {
    pub(super) fn of(value: &PrimitiveLiteral) -> Self {
        use PrimitiveLiteral as L;
        Self {
            float: matches!(value, L::Float(_) | L::Double(_)),
            zero: float(value) == Some(0.0),
            cut: matches!(value, L::String(_) | L::Binary(_)),
        }
    }
}

/// How what is known of a column compares with a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparison {
    /// The lower bound against the value; none for one that is absent or incomparable, and then allows everything.
    pub(super) lower: Option<Ordering>,
    /// The upper bound against the value.
    pub(super) upper: Option<Ordering>,
    /// Whether NaN may be among the values.
    pub(super) may_nan: bool,
    /// See [`Traits::zero`].
    pub(super) zero: bool,
    /// Whether the bounds may be cut short, so that equal ones don't say that all values are this one.
    pub(super) cut: bool,
}

impl Comparison {
    #[inline]
    pub(super) fn may_hold(self, op: Op) -> bool {
        let Self {
            lower,
            upper,
            may_nan,
            zero,
            cut,
        } = self;
        let not_above = lower.is_none_or(Ordering::is_le);
        let not_below = upper.is_none_or(Ordering::is_ge);
        match op {
            Op::Lt => lower.is_none_or(|order| order.is_lt() || (order.is_eq() && zero)),
            Op::LtEq => not_above,
            Op::Gt => may_nan || upper.is_none_or(|order| order.is_gt() || (order.is_eq() && zero)),
            Op::GtEq => may_nan || not_below,
            Op::Eq => not_above && not_below,
            Op::NotEq => {
                let is = |order| order == Some(Ordering::Equal);
                may_nan || cut || zero || !is(lower) || !is(upper)
            }
        }
    }
}

fn prefix_may(prefix: &[u8], known: &Known<'_>) -> bool {
    bytes_may_begin(
        prefix,
        known.lower.and_then(bytes),
        known.upper.and_then(bytes),
    )
}

/// Whether a value between the bounds may begin so.
pub(super) fn bytes_may_begin(prefix: &[u8], lower: Option<&[u8]>, upper: Option<&[u8]>) -> bool {
    upper.is_none_or(|upper| upper >= prefix)
        && lower.is_none_or(|lower| lower <= prefix || lower.starts_with(prefix))
}

fn bytes(value: &PrimitiveLiteral) -> Option<&[u8]> {
    match value {
        PrimitiveLiteral::String(text) => Some(text.as_bytes()),
        PrimitiveLiteral::Binary(bytes) => Some(bytes),
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
