//! [`Reach`]: which values of its key columns a delete file may have, by what its manifest entry records.

use std::cmp::Ordering;
use std::mem::size_of_val;

use iceberg::spec::{PrimitiveLiteral, PrimitiveType};

use super::DeleteFile;
use crate::bound::{compare_bounds, decode_bound};
use crate::{ColumnMetrics, DataFile};

/// What a manifest entry records of one column of a delete file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpan {
    /// The column's field id.
    pub field_id: i32,
    /// No value is less than this (in Iceberg's single-value form; text and binary may be cut short).
    pub lower: Option<Box<[u8]>>,
    /// No value is greater than this (text and binary may be cut short, and then are rounded up).
    pub upper: Option<Box<[u8]>>,
    /// Null values.
    pub null_count: Option<u64>,
}

impl ColumnSpan {
    /// What this holds in memory, in bytes, beside itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let bounds = [&self.lower, &self.upper].into_iter().flatten();
        bounds.map(|bound| size_of_val::<[u8]>(bound)).sum()
    }
}

/// The values that one or several delete files may have in each of a key's columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reach(Box<[ColumnReach]>);

#[derive(Debug, Clone, PartialEq)]
struct ColumnReach {
    field_id: i32,
    lower: Option<PrimitiveLiteral>,
    upper: Option<PrimitiveLiteral>,
    may_null: bool,
    only_null: bool,
    /// Bounds leave NaN out.
    may_nan: bool,
}

impl Reach {
    /// Of one delete file whose key's columns have these types today. Nothing is known of a column without a type.
    pub(super) fn of(file: &DeleteFile, key: &[(i32, Option<PrimitiveType>)]) -> Self {
        let columns = key.iter().map(|(field_id, of)| {
            let span = file.spans.iter().find(|span| span.field_id == *field_id);
            let nulls = span.and_then(|span| span.null_count);
            let bound = |bytes: Option<&[u8]>| decode_bound(bytes?, of.as_ref()?);
            ColumnReach {
                field_id: *field_id,
                lower: bound(span.and_then(|span| span.lower.as_deref())),
                upper: bound(span.and_then(|span| span.upper.as_deref())),
                may_null: nulls != Some(0),
                only_null: nulls.is_some_and(|nulls| nulls >= file.rows),
                may_nan: matches!(of, Some(PrimitiveType::Float | PrimitiveType::Double)),
            }
        });
        Self(columns.collect())
    }

    /// Of these and others, of the same columns.
    pub(super) fn and(&self, other: &Self) -> Self {
        let both = self.0.iter().zip(&other.0);
        Self(both.map(|(one, other)| one.and(other)).collect())
    }

    /// Whether a data file may have a row with one of the keys. Where its columns' metrics weren't asked for, it may.
    pub(super) fn meets(&self, data: &DataFile) -> bool {
        let mut columns = self.0.iter();
        columns.all(|column| match data.column(column.field_id) {
            Some(metrics) => column.meets(metrics),
            None => true,
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let text = |bound: &Option<PrimitiveLiteral>| match bound {
            Some(PrimitiveLiteral::String(text)) => text.len(),
            Some(PrimitiveLiteral::Binary(bytes)) => bytes.len(),
            _ => 0,
        };
        let bounds = self.0.iter();
        let bounds = bounds.map(|column| text(&column.lower) + text(&column.upper));
        size_of_val::<[ColumnReach]>(&self.0) + bounds.sum::<usize>()
    }
}

impl ColumnReach {
    fn and(&self, other: &Self) -> Self {
        // What has no values has no bounds to widen.
        if self.only_null || other.only_null {
            let (rest, nulls) = if self.only_null {
                (other, self)
            } else {
                (self, other)
            };
            return Self {
                may_null: rest.may_null || nulls.may_null,
                ..rest.clone()
            };
        }
        let outer = |one: &Option<PrimitiveLiteral>, other: &Option<PrimitiveLiteral>, beyond| {
            let (one, other) = (one.as_ref()?, other.as_ref()?);
            let order = compare_bounds(one, other)?;
            Some(if order == beyond { one } else { other }.clone())
        };
        Self {
            field_id: self.field_id,
            lower: outer(&self.lower, &other.lower, Ordering::Less),
            upper: outer(&self.upper, &other.upper, Ordering::Greater),
            may_null: self.may_null || other.may_null,
            only_null: false,
            may_nan: self.may_nan || other.may_nan,
        }
    }

    fn meets(&self, data: &ColumnMetrics) -> bool {
        if self.may_null && data.null_count != Some(0) {
            return true;
        }
        let data_is_null = data.null_count.is_some() && data.null_count == data.value_count;
        if self.only_null || data_is_null {
            return false;
        }
        if self.may_nan && data.nan_count != Some(0) {
            return true;
        }
        let before = |one: &Option<PrimitiveLiteral>, other: &Option<PrimitiveLiteral>| {
            let (Some(one), Some(other)) = (one, other) else {
                return false;
            };
            compare_bounds(one, other) == Some(Ordering::Less)
        };
        !before(&self.upper, &data.lower) && !before(&data.upper, &self.lower)
    }
}
