//! The tests of a filter, run over the columns of a whole manifest at once.
//!
//! Each gives exactly the files that [`Question::may_hold`] would keep one by one; what isn't written in numbers or
//! bytes that compare as they lie is decoded and asked so.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use iceberg::spec::{PrimitiveLiteral, PrimitiveType};
use landfast_catalog::{
    Bounds, ManifestColumn, ManifestFiles, Packed, Sparse, Width, decode_bound,
};

use super::SpecField;
use super::compile::Test;
use super::mask::Mask;
use super::question::{Comparison, Known, Op, Question, Traits, bytes_may_begin};

/// Everything that a test is asked of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns<'a> {
    pub(super) files: &'a ManifestFiles,
    pub(super) spec: &'a [SpecField],
    /// The types that columns have today.
    pub(super) types: &'a BTreeMap<i32, PrimitiveType>,
}

impl Columns<'_> {
    /// The files that may have rows that pass.
    pub(super) fn kept(&self, test: &Test) -> Mask {
        let length = self.files.len();
        match test {
            Test::Unknown => Mask::All,
            Test::Always(passes) => Mask::of(*passes),
            Test::Column(id, question) => match self.partitions(*id, question) {
                Mask::None => Mask::None,
                mask => mask.and(self.bounds(*id, question)),
            },
            Test::All(tests) => {
                let mut all = Mask::All;
                for test in tests {
                    if all == Mask::None {
                        break;
                    }
                    all = all.and(self.kept(test));
                }
                all
            }
            Test::Any(tests) => {
                let mut any = Mask::None;
                for test in tests {
                    if any == Mask::All {
                        break;
                    }
                    any = any.or(self.kept(test), length);
                }
                any
            }
        }
    }

    /// By partition: each tuple is asked once.
    fn partitions(&self, id: i32, question: &Question) -> Mask {
        if !self.spec.iter().any(|field| field.source_id == id) {
            return Mask::All;
        }
        let tuples = self.files.partitions().iter();
        let kept: Vec<bool> = tuples
            .map(|tuple| super::partition_may(self.spec, tuple, id, question))
            .collect();
        if kept.iter().all(|kept| *kept) {
            return Mask::All;
        }
        let codes = self.files.partition_codes();
        Mask::new(codes.len(), |at| {
            kept.get(codes.get(at) as usize).is_none_or(|kept| *kept)
        })
    }

    fn bounds(&self, id: i32, question: &Question) -> Mask {
        let Some(column) = self.files.column(id) else {
            return Mask::All;
        };
        let rows = self.files.rows();
        let length = rows.len();
        match question {
            Question::IsNull => may_null(column, length),
            Question::IsNotNull => not_only_null(column, rows),
            _ => match self.types.get(&id) {
                None => Mask::All,
                Some(of) => match values(column, of, question, length) {
                    Mask::None => Mask::None,
                    mask => mask.and(not_only_null(column, rows)),
                },
            },
        }
    }
}

fn may_null(column: &ManifestColumn, length: usize) -> Mask {
    let nulls = &column.null_counts;
    if nulls.is_whole() && nulls.numbers().greatest() == 0 {
        return Mask::None;
    }
    Mask::new(length, |at| nulls.get(at) != Some(0))
}

fn not_only_null(column: &ManifestColumn, rows: &Packed) -> Mask {
    let nulls = &column.null_counts;
    if nulls.is_absent() || nulls.numbers().greatest() < rows.least().max(1) {
        return Mask::All;
    }
    Mask::new(rows.len(), |at| {
        let rows = rows.get(at);
        rows == 0 || nulls.get(at) != Some(rows)
    })
}

/// Questions about values, null aside.
fn values(column: &ManifestColumn, of: &PrimitiveType, question: &Question, length: usize) -> Mask {
    let lower = Side::new(&column.lower, of);
    let upper = Side::new(&column.upper, of);
    let mask = match (lower, upper) {
        (Side::Whole(lower), Side::Whole(upper)) => whole(lower, upper, question, length),
        (Side::Float(lower), Side::Float(upper)) => {
            floats(column, (lower, upper), question, length)
        }
        (Side::Bytes, Side::Bytes) => bytes(column, of, question, length),
        _ => None,
    };
    mask.unwrap_or_else(|| one_by_one(column, of, question, length))
}

/// How one side's bounds can be compared.
#[derive(Debug, Clone, Copy)]
enum Side<'a> {
    /// As whole numbers; none where no file has a bound.
    Whole(Option<&'a Sparse>),
    Float(Option<Floats<'a>>),
    /// As bytes.
    Bytes,
    Decoded,
}

#[derive(Debug, Clone, Copy)]
struct Floats<'a> {
    bits: &'a Sparse,
    double: bool,
}

impl<'a> Side<'a> {
    fn new(bounds: &'a Bounds, of: &PrimitiveType) -> Self {
        use PrimitiveType as T;
        use Width as W;
        let float = |bits, double| Self::Float(Some(Floats { bits, double }));
        match (of, bounds.numbers()) {
            (T::String | T::Binary | T::Fixed(_), _) => Self::Bytes,
            (T::Float | T::Double, None) if bounds.is_absent() => Self::Float(None),
            (T::Float | T::Double, Some((W::Four, bits))) => float(bits, false),
            (T::Double, Some((W::Eight, bits))) => float(bits, true),
            (T::Boolean | T::Uuid | T::Float | T::Double, _) => Self::Decoded,
            (_, None) if bounds.is_absent() => Self::Whole(None),
            (of, Some((width, numbers))) if width.keeps_order(of) => Self::Whole(Some(numbers)),
            _ => Self::Decoded,
        }
    }
}

impl Floats<'_> {
    /// The bound as a number; none for one that is absent or NaN.
    fn get(&self, at: usize) -> Option<f64> {
        let bits = self.bits.get(at)?;
        let value = if self.double {
            f64::from_bits(bits as u64)
        } else {
            f64::from(f32::from_bits(bits as u32))
        };
        Some(value).filter(|value| !value.is_nan())
    }
}

/// Whole numbers. `None` where the question's values aren't such.
fn whole(
    lower: Option<&Sparse>,
    upper: Option<&Sparse>,
    question: &Question,
    length: usize,
) -> Option<Mask> {
    Some(match question {
        Question::Compare(op, value) => {
            let value = whole_number(value)?;
            match op {
                Op::Lt => at_most(lower, value.checked_sub(1)?, length),
                Op::LtEq => at_most(lower, value, length),
                Op::Gt => at_least(upper, value.checked_add(1)?, length),
                Op::GtEq => at_least(upper, value, length),
                Op::Eq => match at_most(lower, value, length) {
                    Mask::None => Mask::None,
                    mask => mask.and(at_least(upper, value, length)),
                },
                Op::NotEq => {
                    let is = |bound: Option<&Sparse>| match bound {
                        Some(bound) => is_exactly(bound, value, length),
                        None => Mask::None,
                    };
                    is(lower).and(is(upper)).not(length)
                }
            }
        }
        Question::In(values) => {
            let values = values.iter().map(whole_number);
            let mut values: Vec<i64> = values.collect::<Option<_>>()?;
            values.sort_unstable();
            between(lower, upper, &values, length)
        }
        Question::StartsWith(_) | Question::IsNull | Question::IsNotNull => return None,
    })
}

fn whole_number(value: &PrimitiveLiteral) -> Option<i64> {
    match value {
        PrimitiveLiteral::Int(v) => Some(i64::from(*v)),
        PrimitiveLiteral::Long(v) => Some(*v),
        PrimitiveLiteral::Int128(v) => i64::try_from(*v).ok(),
        _ => None,
    }
}

/// Where the bound is at most the value, or absent.
fn at_most(bounds: Option<&Sparse>, value: i64, length: usize) -> Mask {
    let Some(bounds) = bounds else {
        return Mask::All;
    };
    let numbers = bounds.numbers();
    if numbers.greatest() <= value {
        return Mask::All;
    }
    if numbers.least() > value && bounds.is_whole() {
        return Mask::None;
    }
    over(bounds, length, |number| number <= value)
}

/// Where the bound is at least the value, or absent.
fn at_least(bounds: Option<&Sparse>, value: i64, length: usize) -> Mask {
    let Some(bounds) = bounds else {
        return Mask::All;
    };
    let numbers = bounds.numbers();
    if numbers.least() >= value {
        return Mask::All;
    }
    if numbers.greatest() < value && bounds.is_whole() {
        return Mask::None;
    }
    over(bounds, length, |number| number >= value)
}

#[inline]
fn over(bounds: &Sparse, length: usize, passes: impl Fn(i64) -> bool) -> Mask {
    let numbers = bounds.numbers();
    Mask::of_words(length, |word| {
        let from = word * 64;
        let bits = (length - from).min(64);
        let passed = (0..bits).fold(0_u64, |all, at| {
            all | u64::from(passes(numbers.get(from + at))) << at
        });
        passed | !bounds.present_word(word)
    })
}

/// Where the bound is there and is the value.
fn is_exactly(bounds: &Sparse, value: i64, length: usize) -> Mask {
    let numbers = bounds.numbers();
    if value < numbers.least() || value > numbers.greatest() {
        return Mask::None;
    }
    Mask::new(length, |at| bounds.get(at) == Some(value))
}

/// Where one of the values, which are sorted, lies between the bounds.
fn between(lower: Option<&Sparse>, upper: Option<&Sparse>, values: &[i64], length: usize) -> Mask {
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return Mask::None;
    };
    let near = at_most(lower, *last, length).and(at_least(upper, *first, length));
    if near == Mask::None {
        return near;
    }
    let bound = |bounds: Option<&Sparse>, at| bounds.and_then(|bounds| bounds.get(at));
    Mask::new(length, |at| {
        let from = match bound(lower, at) {
            Some(lower) => values.partition_point(|value| *value < lower),
            None => 0,
        };
        values
            .get(from)
            .is_some_and(|value| bound(upper, at).is_none_or(|upper| *value <= upper))
    })
}

fn floats(
    column: &ManifestColumn,
    (lower, upper): (Option<Floats<'_>>, Option<Floats<'_>>),
    question: &Question,
    length: usize,
) -> Option<Mask> {
    let bound = |bounds: &Option<Floats<'_>>, at| bounds.as_ref().and_then(|b| b.get(at));
    let number = |value: &PrimitiveLiteral| match value {
        PrimitiveLiteral::Float(v) => Some(f64::from(v.0)),
        PrimitiveLiteral::Double(v) => Some(v.0),
        _ => None,
    };
    match question {
        Question::Compare(op, value) => {
            let zero = Traits::of(value).zero;
            let value = number(value).filter(|value| !value.is_nan())?;
            let against = |bounds, at| bound(bounds, at).and_then(|b| b.partial_cmp(&value));
            Some(Mask::new(length, |at| {
                Comparison {
                    lower: against(&lower, at),
                    upper: against(&upper, at),
                    may_nan: column.nan_counts.get(at) != Some(0),
                    zero,
                    cut: false,
                }
                .may_hold(*op)
            }))
        }
        Question::In(values) => {
            let values = values.iter().map(number);
            let mut values: Vec<f64> = values.collect::<Option<_>>()?;
            if values.iter().any(|value| value.is_nan()) {
                return None;
            }
            values.sort_unstable_by(f64::total_cmp);
            Some(Mask::new(length, |at| {
                let from = match bound(&lower, at) {
                    Some(lower) => values.partition_point(|value| *value < lower),
                    None => 0,
                };
                values
                    .get(from)
                    .is_some_and(|value| bound(&upper, at).is_none_or(|upper| *value <= upper))
            }))
        }
        Question::StartsWith(_) | Question::IsNull | Question::IsNotNull => None,
    }
}

/// Text and binary, compared as they lie.
fn bytes(
    column: &ManifestColumn,
    of: &PrimitiveType,
    question: &Question,
    length: usize,
) -> Option<Mask> {
    let valid = |bytes: &&[u8]| match of {
        PrimitiveType::String => std::str::from_utf8(bytes).is_ok(),
        PrimitiveType::Fixed(length) => bytes.len() as u64 == *length,
        _ => true,
    };
    let plain = |value: &'_ PrimitiveLiteral| match (of, value) {
        (PrimitiveType::String, PrimitiveLiteral::String(text)) => Some(text.clone().into_bytes()),
        (PrimitiveType::Binary | PrimitiveType::Fixed(_), PrimitiveLiteral::Binary(bytes)) => {
            Some(bytes.clone())
        }
        _ => None,
    };
    let mut scratch = (Vec::new(), Vec::new());
    match question {
        Question::Compare(op, value) => {
            let value = plain(value)?;
            let against = |bounds: &Bounds, at, scratch: &mut Vec<u8>| -> Option<Ordering> {
                let bound = bounds.get(at, scratch).filter(valid)?;
                Some(bound.cmp(&value))
            };
            let (needs_lower, needs_upper) = match op {
                // Never decided by bounds that may be cut.
                Op::NotEq => return Some(Mask::All),
                Op::Lt | Op::LtEq => (true, false),
                Op::Gt | Op::GtEq => (false, true),
                Op::Eq => (true, true),
            };
            let unsure = Comparison {
                lower: None,
                upper: None,
                may_nan: false,
                zero: false,
                cut: true,
            };
            Some(Mask::new(length, |at| {
                let mut lower = || Comparison {
                    lower: against(&column.lower, at, &mut scratch.0),
                    ..unsure
                };
                if needs_lower && !lower().may_hold(*op) {
                    return false;
                }
                let mut upper = || Comparison {
                    upper: against(&column.upper, at, &mut scratch.1),
                    ..unsure
                };
                !needs_upper || upper().may_hold(*op)
            }))
        }
        Question::In(values) => {
            let values = values.iter().map(plain);
            let mut values: Vec<Vec<u8>> = values.collect::<Option<_>>()?;
            values.sort_unstable();
            Some(Mask::new(length, |at| {
                let from = match column.lower.get(at, &mut scratch.0).filter(valid) {
                    Some(lower) => values.partition_point(|value| value.as_slice() < lower),
                    None => 0,
                };
                let upper = column.upper.get(at, &mut scratch.1).filter(valid);
                values
                    .get(from)
                    .is_some_and(|value| upper.is_none_or(|upper| value.as_slice() <= upper))
            }))
        }
        Question::StartsWith(prefix) => {
            let prefix = prefix.0.as_bytes();
            Some(Mask::new(length, |at| {
                let lower = column.lower.get(at, &mut scratch.0).filter(valid);
                let upper = column.upper.get(at, &mut scratch.1).filter(valid);
                bytes_may_begin(prefix, lower, upper)
            }))
        }
        Question::IsNull | Question::IsNotNull => None,
    }
}

/// What can't be compared as it lies: each file's bounds are decoded and asked.
fn one_by_one(
    column: &ManifestColumn,
    of: &PrimitiveType,
    question: &Question,
    length: usize,
) -> Mask {
    let mut scratch = Vec::new();
    Mask::new(length, |at| {
        let mut bound = |bounds: &Bounds| decode_bound(bounds.get(at, &mut scratch)?, of);
        let (lower, upper) = (bound(&column.lower), bound(&column.upper));
        question.may_hold(&Known {
            lower: lower.as_ref(),
            upper: upper.as_ref(),
            may_null: true,
            only_null: false,
            may_nan: column.nan_counts.get(at) != Some(0),
        })
    })
}
