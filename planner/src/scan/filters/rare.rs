//! How few rows a query's own filters leave, as far as bounds tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::{ScalarValue, Statistics};
use datafusion::logical_expr::Operator;
use datafusion::logical_expr::interval_arithmetic::{Interval, cardinality_ratio};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};

use super::{Filter, Filters, Selective};

/// Few rows are no more than this part of them.
const RARE: f64 = 1e-3;

/// A column's values.
struct Values {
    /// All that are read lie within.
    bounds: Interval,
    /// What filters leave of the bounds.
    left: Interval,
}

impl Filters {
    /// Those of the query's own that compare columns with values, where they together leave few rows: by the bounds of
    /// all that is read, as if its values were spread evenly between them.
    pub(in crate::scan) fn rare(&self, statistics: &Statistics) -> Vec<Selective> {
        let mut columns: BTreeMap<usize, Values> = BTreeMap::new();
        let mut rare = Vec::new();
        for filter in &self.fixed {
            let Some((column, range)) = range_asked(filter) else {
                continue;
            };
            let Some(bounds) = bounds(statistics, column) else {
                continue;
            };
            let values = columns.entry(column).or_insert_with(|| Values {
                left: bounds.clone(),
                bounds,
            });
            // Where nothing is left there is nothing to read either, and what can't be compared says nothing.
            let Ok(Some(left)) = values.left.intersect(range) else {
                continue;
            };
            values.left = left;
            rare.push(Selective {
                filter: Arc::clone(filter),
                columns: vec![column],
            });
        }
        let parts = columns.values();
        let part: f64 = parts
            .map(|values| cardinality_ratio(&values.bounds, &values.left))
            .product();
        if part <= RARE { rare } else { Vec::new() }
    }
}

/// The column, by its position in the table, and the values that a comparison leaves; the ends count as left.
fn range_asked(filter: &Filter) -> Option<(usize, Interval)> {
    let comparison = filter.downcast_ref::<BinaryExpr>()?;
    let sides = (
        comparison.left().downcast_ref::<Column>(),
        comparison.right().downcast_ref::<Literal>(),
    );
    let mirrored = (
        comparison.right().downcast_ref::<Column>(),
        comparison.left().downcast_ref::<Literal>(),
    );
    let (column, value, op) = match (sides, mirrored) {
        ((Some(column), Some(value)), _) => (column, value.value(), *comparison.op()),
        (_, (Some(column), Some(value))) => (column, value.value(), comparison.op().swap()?),
        _ => return None,
    };
    if value.is_null() {
        return None;
    }
    let open = ScalarValue::try_from(&value.data_type()).ok()?;
    let (low, high) = match op {
        Operator::Eq => (value.clone(), value.clone()),
        Operator::Lt | Operator::LtEq => (open, value.clone()),
        Operator::Gt | Operator::GtEq => (value.clone(), open),
        _ => return None,
    };
    Some((column.index(), Interval::try_new(low, high).ok()?))
}

fn bounds(statistics: &Statistics, column: usize) -> Option<Interval> {
    let known = statistics.column_statistics.get(column)?;
    let (low, high) = (known.min_value.get_value()?, known.max_value.get_value()?);
    if low.is_null() || high.is_null() {
        return None;
    }
    Interval::try_new(low.clone(), high.clone()).ok()
}
