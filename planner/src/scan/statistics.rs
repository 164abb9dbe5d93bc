//! What manifests say of columns, as DataFusion's statistics. Two sets, for two uses:
//!
//! - *per file*: bounds that let a join's or TopK's dynamic filter leave the file out before it is opened. DataFusion
//!   takes `Exact` min = max with no nulls for a constant and puts it in the column's place, so only bounds that are
//!   values may be `Exact`; text and binary may be cut short and never are.
//! - *per scan*: what may answer `COUNT(*)`, `MIN` and `MAX` without reading, and estimates for the join order.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use iceberg::spec::{NestedFieldRef, PrimitiveLiteral, PrimitiveType, Schema};
use landfast_catalog::{ColumnMetrics, DataFile, WantedColumn};

use crate::types::scalar;

/// Statistics of single files are made for at most so many columns of so many files, multiplied: they cost memory, and
/// help only dynamic filters.
const PER_FILE_VALUES_MAX: usize = 500_000;

/// Makes the statistics of one scan.
#[derive(Debug)]
pub(super) struct StatisticsMaker<'a> {
    fields: &'a [NestedFieldRef],
    /// Positions of the columns that the query touches; the others' statistics nobody asks for.
    wanted: Vec<usize>,
}

impl<'a> StatisticsMaker<'a> {
    pub(super) fn new(schema: &'a Schema, wanted: Option<&[usize]>) -> Self {
        let fields = schema.as_struct().fields();
        let wanted = wanted.map_or_else(|| (0..fields.len()).collect(), <[usize]>::to_vec);
        Self { fields, wanted }
    }

    /// Whether so many files get statistics of their own.
    pub(super) fn per_file(&self, files: usize) -> bool {
        files.saturating_mul(self.fields.len()) <= PER_FILE_VALUES_MAX
    }

    /// One file's statistics: bounds that every value keeps to.
    pub(super) fn of_file(&self, file: &DataFile) -> Arc<Statistics> {
        let mut columns = vec![ColumnStatistics::new_unknown(); self.fields.len()];
        for at in &self.wanted {
            if let (Some(metrics), Some(of)) =
                (file.column(self.fields[*at].id), self.primitive(*at))
            {
                columns[*at] = column(metrics, of, Use::File);
            }
        }
        Arc::new(Statistics {
            num_rows: exact(file.rows),
            total_byte_size: size(file),
            column_statistics: columns,
        })
    }

    /// The columns whose totals [`StatisticsMaker::of_scan`] wants.
    pub(super) fn columns(&self) -> Vec<WantedColumn> {
        let wanted = self.wanted.iter();
        let columns =
            wanted.filter_map(|at| Some((self.fields.get(*at)?.id, self.primitive(*at)?)));
        columns.map(|(id, of)| (id, of.clone())).collect()
    }

    /// Of at most so many files single statistics are made.
    pub(super) fn files_max(&self) -> usize {
        PER_FILE_VALUES_MAX / self.fields.len().max(1)
    }

    /// What may be claimed of all the files together.
    pub(super) fn of_scan(&self, totals: &Totals) -> Statistics {
        let mut columns = vec![ColumnStatistics::new_unknown(); self.fields.len()];
        for at in &self.wanted {
            let (Some(field), Some(of)) = (self.fields.get(*at), self.primitive(*at)) else {
                continue;
            };
            let mut known = totals.columns.iter().flatten();
            if let Some(metrics) = known.find(|metrics| metrics.field_id == field.id) {
                columns[*at] = column(metrics, of, Use::Scan);
            }
        }
        Statistics {
            num_rows: exact(totals.rows),
            total_byte_size: Precision::Inexact(
                usize::try_from(totals.bytes).unwrap_or(usize::MAX),
            ),
            column_statistics: columns,
        }
    }

    fn primitive(&self, at: usize) -> Option<&'a PrimitiveType> {
        self.fields.get(at)?.field_type.as_primitive_type()
    }
}

/// What is recorded of several files together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Of each column that is asked for; none where there is no file.
    pub(super) columns: Option<Vec<ColumnMetrics>>,
}

impl Totals {
    /// Of one file.
    pub(super) fn of_file(file: &DataFile, wanted: &[WantedColumn]) -> Self {
        let columns = wanted.iter().map(|(id, _)| {
            let known = file.column(*id).cloned();
            known.unwrap_or_else(|| ColumnMetrics::new(*id))
        });
        Self {
            rows: file.rows,
            bytes: file.id.size.unwrap_or_default(),
            columns: Some(columns.collect()),
        }
    }

    /// Adds other files, of which the same columns were asked for.
    pub(super) fn add(&mut self, other: Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.columns = match (self.columns.take(), other.columns) {
            (None, columns) | (columns, None) => columns,
            (Some(left), Some(right)) => {
                let both = left.into_iter().zip(right);
                Some(both.map(|(left, right)| left.and(right)).collect())
            }
        };
    }
}

/// What statistics are for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    File,
    Scan,
}

fn column(metrics: &ColumnMetrics, of: &PrimitiveType, used: Use) -> ColumnStatistics {
    let null_count = metrics.null_count.map_or(Precision::Absent, exact);
    let (lower, upper) = bounds(metrics, of, used);
    ColumnStatistics {
        null_count,
        min_value: lower,
        max_value: upper,
        ..ColumnStatistics::new_unknown()
    }
}

fn bounds(
    metrics: &ColumnMetrics,
    of: &PrimitiveType,
    used: Use,
) -> (Precision<ScalarValue>, Precision<ScalarValue>) {
    let absent = (Precision::Absent, Precision::Absent);
    let value =
        |bound: &Option<PrimitiveLiteral>| bound.as_ref().and_then(|bound| scalar(bound, of));
    let (lower, upper) = (value(&metrics.lower), value(&metrics.upper));
    let as_is = |bound: Option<ScalarValue>| bound.map_or(Precision::Absent, Precision::Exact);
    let about = |bound: Option<ScalarValue>| bound.map_or(Precision::Absent, Precision::Inexact);
    match of {
        // Cut short, as a rule.
        PrimitiveType::String | PrimitiveType::Binary | PrimitiveType::Fixed(_) => {
            (about(lower), about(upper))
        }
        // Some writers order them by signed halves.
        PrimitiveType::Uuid => absent,
        PrimitiveType::Float | PrimitiveType::Double => {
            if metrics.nan_count != Some(0) || [&lower, &upper].into_iter().flatten().any(is_nan) {
                return absent;
            }
            // Writers differ on which zero is the smaller one.
            let zero = [&lower, &upper].into_iter().flatten().any(is_zero);
            match used {
                Use::Scan if zero => (about(lower), about(upper)),
                _ => (
                    as_is(lower.map(|v| with_zero(v, -0.0))),
                    as_is(upper.map(|v| with_zero(v, 0.0))),
                ),
            }
        }
        _ => (as_is(lower), as_is(upper)),
    }
}

fn exact(count: u64) -> Precision<usize> {
    usize::try_from(count).map_or(Precision::Absent, Precision::Exact)
}

fn size(file: &DataFile) -> Precision<usize> {
    let size = file.id.size.and_then(|size| usize::try_from(size).ok());
    size.map_or(Precision::Absent, Precision::Inexact)
}

fn is_nan(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float32(Some(v)) => v.is_nan(),
        ScalarValue::Float64(Some(v)) => v.is_nan(),
        _ => false,
    }
}

fn is_zero(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float32(Some(v)) => *v == 0.0,
        ScalarValue::Float64(Some(v)) => *v == 0.0,
        _ => false,
    }
}

fn with_zero(value: ScalarValue, zero: f32) -> ScalarValue {
    match value {
        ScalarValue::Float32(Some(0.0)) => ScalarValue::Float32(Some(zero)),
        ScalarValue::Float64(Some(0.0)) => ScalarValue::Float64(Some(f64::from(zero))),
        other => other,
    }
}
