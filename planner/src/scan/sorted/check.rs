//! Whether rows come in the order that was promised.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array, make_comparator};
use arrow::compute::{LexicographicalComparator, SortColumn, SortOptions, take};
use datafusion::common::Result;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExprs;
use landfast_sites::CanonicalUri;
use parking_lot::Mutex;

use crate::PlannerError;
use crate::scan::steps::BatchStep;
use crate::settings::USE_SORT_ORDERS;

/// Checks the rows of one partition, file after file.
#[derive(Debug)]
pub(in crate::scan) struct OrderCheck {
    /// The order's columns, by position in the batches.
    columns: Vec<(usize, SortOptions)>,
    /// The last row so far: its keys, one value each.
    last: Mutex<Option<Vec<ArrayRef>>>,
}

/// The same while one file is read, which an error names.
#[derive(Debug)]
pub(in crate::scan) struct FileOrderCheck {
    check: Arc<OrderCheck>,
    uri: CanonicalUri,
}

impl OrderCheck {
    /// Checks as much of an order as is left by a projection; none where nothing is.
    pub(in crate::scan) fn new(
        ordering: &LexOrdering,
        projection: &ProjectionExprs,
    ) -> Option<Self> {
        let columns: Vec<_> = left(ordering, projection).collect();
        (!columns.is_empty()).then(|| Self {
            columns,
            last: Mutex::new(None),
        })
    }

    /// The check of one file's rows.
    pub(in crate::scan) fn of_file(self: &Arc<Self>, uri: &CanonicalUri) -> FileOrderCheck {
        FileOrderCheck {
            check: Arc::clone(self),
            uri: uri.clone(),
        }
    }

    /// Whether the rows of a batch are in order, and come after those before it.
    fn follows(&self, batch: &RecordBatch) -> Result<bool> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(true);
        }
        let columns: Vec<SortColumn> = self
            .columns
            .iter()
            .map(|(at, options)| SortColumn {
                values: Arc::clone(batch.column(*at)),
                options: Some(*options),
            })
            .collect();
        let mut last = self.last.lock();
        if let Some(last) = &*last {
            for (last, column) in last.iter().zip(&columns) {
                let options = column.options.unwrap_or_default();
                match make_comparator(last, &column.values, options)?(0, 0) {
                    Ordering::Less => break,
                    Ordering::Equal => {}
                    Ordering::Greater => return Ok(false),
                }
            }
        }
        let compare = LexicographicalComparator::try_new(&columns)?;
        if (1..rows).any(|at| compare.compare(at - 1, at) == Ordering::Greater) {
            return Ok(false);
        }
        // Taken, not sliced: a slice would hold the whole batch.
        let end = UInt64Array::from(vec![rows as u64 - 1]);
        let keys = columns
            .iter()
            .map(|column| Ok(take(&column.values, &end, None)?));
        *last = Some(keys.collect::<Result<_>>()?);
        Ok(true)
    }
}

/// The columns that an order begins with and that a projection leaves, by position among what it gives.
fn left(
    ordering: &LexOrdering,
    projection: &ProjectionExprs,
) -> impl Iterator<Item = (usize, SortOptions)> {
    ordering.iter().map_while(|sorted| {
        let column = sorted.expr.downcast_ref::<Column>()?;
        let place = projection.iter().position(|projected| {
            let own = projected.expr.downcast_ref::<Column>();
            own.is_some_and(|own| own.index() == column.index())
        });
        Some((place?, sorted.options))
    })
}

/// How much of an order can be checked after a projection: so many of its columns.
pub(in crate::scan) fn keys_left(ordering: &LexOrdering, projection: &ProjectionExprs) -> usize {
    left(ordering, projection).count()
}

impl BatchStep for FileOrderCheck {
    fn step(&self, batch: RecordBatch) -> Result<RecordBatch> {
        if self.check.follows(&batch)? {
            return Ok(batch);
        }
        Err(PlannerError::internal(format!(
            "the data file {} is corrupt: its rows are not in the sort order that its manifest entry names \
             (SET {USE_SORT_ORDERS} = 'off' reads it without)",
            self.uri
        ))
        .into())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_expr::PhysicalSortExpr;
    use proptest::prelude::*;

    use super::*;

    fn check(options: &[SortOptions]) -> OrderCheck {
        let names = ["a", "b"];
        let schema = Schema::new(
            names
                .map(|name| Field::new(name, DataType::Int64, true))
                .to_vec(),
        );
        let keys = options.iter().enumerate().map(|(at, options)| {
            PhysicalSortExpr::new(Arc::new(Column::new(names[at], at)), *options)
        });
        let projection = ProjectionExprs::from_indices(&[0, 1], &schema);
        OrderCheck::new(&LexOrdering::new(keys).unwrap(), &projection).unwrap()
    }

    fn batch(rows: &[(Option<i64>, Option<i64>)]) -> RecordBatch {
        let column = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let a = column(rows.iter().map(|row| row.0).collect());
        let b = column(rows.iter().map(|row| row.1).collect());
        RecordBatch::try_from_iter_with_nullable([("a", a, true), ("b", b, true)]).unwrap()
    }

    /// A value's place: nulls at the end where they belong.
    fn place(value: Option<i64>, options: SortOptions) -> (bool, i64) {
        match value {
            None => (!options.nulls_first, 0),
            Some(value) => (
                options.nulls_first,
                if options.descending { -value } else { value },
            ),
        }
    }

    proptest! {
        #[test]
        fn rows_pass_exactly_if_they_are_in_order_however_they_are_cut(
            rows in proptest::collection::vec((proptest::option::of(0_i64..3), proptest::option::of(0_i64..3)), 0..8),
            sorted in any::<bool>(),
            cut in 1_usize..5,
            flags in proptest::array::uniform4(any::<bool>()),
        ) {
            let options = [
                SortOptions { descending: flags[0], nulls_first: flags[1] },
                SortOptions { descending: flags[2], nulls_first: flags[3] },
            ];
            let key = |row: &(Option<i64>, Option<i64>)| (place(row.0, options[0]), place(row.1, options[1]));
            let mut rows = rows;
            if sorted {
                rows.sort_by_key(key);
            }
            let check = check(&options);
            let follow = rows.chunks(cut).all(|rows| check.follows(&batch(rows)).unwrap());
            prop_assert_eq!(follow, rows.is_sorted_by_key(key));
        }
    }
}
