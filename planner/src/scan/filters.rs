//! The filters that reached a scan, and what to do with each when a file is opened.
//!
//! Measured (TPC-H, local files): evaluating a query's own filters inside the Parquet reader costs more than it saves,
//! and so do dynamic filters that became look-ups in a large hash table; dynamic filters that are bounds, short lists
//! or a TopK's threshold save much. So the latter are evaluated while reading, and everything prunes row groups. A filter
//! that asks for given values of a column with a bloom filter leaves few rows, or none, and so does one that is narrow
//! beside the bounds of what is read: it is evaluated before the other columns are read, unless a round trip more takes
//! longer than they do.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, DynamicFilterTracking, InListExpr, IsNotNullExpr, IsNullExpr, Literal,
    NotExpr,
};
use datafusion::physical_expr::utils::{Guarantee, LiteralGuarantee, split_conjunction};
use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;
use datafusion_datasource_parquet::can_expr_be_pushed_down_with_schemas;

use self::dynamic::Dynamic;
use self::long_list::LongList;
use super::source::all_of;

mod dynamic;
mod long_list;
mod rare;

type Filter = Arc<dyn PhysicalExpr>;

/// Minima and maxima are asked about each value of a list up to this many (DataFusion's own bound); a longer one leaves
/// nothing out that the bounds beside it don't, and costs a walk over all its values.
const LIST_ASKED_OF_STATISTICS: usize = 20;

/// Turns off the dynamic filters that are unsound. Those of aggregates leave out an aggregate that has no bound yet (its
/// column was null so far, or another partition is about to set it): `max(a), min(b)` then loses rows that only `min(b)`
/// needs.
pub(crate) fn keep_sound_dynamic_filters(options: &mut ConfigOptions) {
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
}

/// Filters on the table's columns, one conjunct each.
#[derive(Debug, Clone, Default)]
pub(super) struct Filters {
    /// The query's own: whoever pushed them evaluates them again.
    fixed: Vec<Filter>,
    /// Those that joins, aggregates and TopK tighten while the query runs.
    dynamic: Vec<Arc<Dynamic>>,
}

/// A filter of the query's own that may well leave few rows, and can't fail.
#[derive(Debug)]
pub(super) struct Selective {
    pub(super) filter: Filter,
    /// The positions of its columns in the table's schema.
    pub(super) columns: Vec<usize>,
}

/// What the Parquet reader does with the filters for one file.
#[derive(Debug, Default)]
pub(super) struct OpenedFilters {
    /// Evaluated on rows while they are read. When there are any, they are all that the reader is given.
    pub(super) rows: Vec<Filter>,
    /// Used to leave row groups out.
    pub(super) prune: Vec<Filter>,
}

impl Filters {
    /// These and more.
    pub(super) fn with(&self, filters: Vec<Filter>, table: &SchemaRef) -> Self {
        let mut kept = self.clone();
        for filter in filters.iter().flat_map(split_conjunction) {
            if !DynamicFilterTracking::classify(filter).contains_dynamic_filter() {
                kept.fixed.push(Arc::clone(filter));
            } else if can_expr_be_pushed_down_with_schemas(filter, table) {
                kept.dynamic.push(Arc::new(Dynamic::new(filter)));
            }
        }
        kept
    }

    /// The query's own alone.
    pub(super) fn without_dynamic(self) -> Self {
        Self {
            dynamic: Vec::new(),
            ..self
        }
    }

    /// Whether there is a filter that says more when a file is opened than it said when the scan was planned.
    pub(super) fn may_tighten(&self) -> bool {
        !self.dynamic.is_empty()
    }

    /// Those of the query's own that ask columns of the table for given values.
    pub(super) fn asking(&self, table: &SchemaRef) -> Vec<Selective> {
        let safe = self.fixed.iter().filter(|filter| cannot_fail(filter));
        let asking = safe.map(|filter| {
            let known = LiteralGuarantee::analyze(filter).into_iter();
            let of_values = known.filter(|known| known.guarantee == Guarantee::In);
            Selective {
                filter: Arc::clone(filter),
                columns: of_values
                    .filter_map(|known| table.index_of(&known.column.name).ok())
                    .collect(),
            }
        });
        asking.filter(|asking| !asking.columns.is_empty()).collect()
    }

    fn each(&self) -> impl Iterator<Item = &Filter> {
        let dynamic = self.dynamic.iter().map(|dynamic| dynamic.filter());
        self.fixed.iter().chain(dynamic)
    }

    /// All as one expression.
    pub(super) fn all(&self) -> Option<Filter> {
        let both: Vec<Filter> = self.each().map(Arc::clone).collect();
        all_of(&both)
    }

    pub(super) fn apply(
        &self,
        f: &mut dyn FnMut(&Filter) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for filter in self.each() {
            if f(filter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    /// Decides for one file, by what the dynamic filters are at this moment. `maybe_nan` are the table's columns whose
    /// statistics in this file say nothing of NaN.
    pub(super) fn open(&self, maybe_nan: &[usize]) -> Result<OpenedFilters> {
        let sound = |filter: &&Filter| sound_on_statistics(filter, maybe_nan);
        let mut opened = OpenedFilters {
            prune: self.fixed.iter().filter(sound).map(Arc::clone).collect(),
            ..OpenedFilters::default()
        };
        for dynamic in &self.dynamic {
            let now = dynamic.now()?;
            if !sound(&&now.filter) {
                continue;
            }
            if now.worth_evaluating {
                opened.rows.push(Arc::clone(&now.filter));
            }
            opened.prune.push(now.filter);
        }
        Ok(opened)
    }

    /// What minima and maxima are asked right now, as one expression.
    pub(super) fn of_statistics(&self, maybe_nan: &[usize]) -> Result<Option<Filter>> {
        asked_of_statistics(&self.open(maybe_nan)?.prune)
    }

    pub(super) fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.all() {
            Some(all) => write!(f, ", predicate={all}"),
            None => Ok(()),
        }
    }
}

impl OpenedFilters {
    /// Evaluates these filters on rows before all others, and then whatever else prunes and can't fail: few rows are left
    /// by then, and the reader leaves pages out only by what it evaluates. Filters that statistics can't decide are not
    /// given to the reader, and so neither are they here.
    pub(super) fn evaluate_first(&mut self, selective: &[&Selective]) {
        let among = |filters: &[Filter], one: &Filter| {
            filters.iter().any(|filter| Arc::ptr_eq(filter, one))
        };
        let mut rows: Vec<Filter> = Vec::new();
        for Selective { filter, .. } in selective {
            if among(&self.prune, filter) && !among(&rows, filter) {
                rows.push(Arc::clone(filter));
            }
        }
        if rows.is_empty() {
            return;
        }
        rows.append(&mut self.rows);
        for filter in &self.prune {
            if !among(&rows, filter) && cannot_fail(filter) {
                rows.push(Arc::clone(filter));
            }
        }
        self.rows = rows;
    }
}

fn is_long(list: &InListExpr) -> bool {
    list.list().len() > LIST_ASKED_OF_STATISTICS
}

/// What these filters are at this moment, without the conjuncts that statistics can't answer.
pub(super) fn asked_of_statistics(filters: &[Filter]) -> Result<Option<Filter>> {
    let mut asked = Vec::new();
    for filter in filters {
        let now = snapshot_physical_expr(Arc::clone(filter))?;
        asked.extend(
            split_conjunction(&now)
                .into_iter()
                .filter(|part| {
                    let list = part.downcast_ref::<InListExpr>();
                    !part.is::<LongList>() && list.is_none_or(|list| !is_long(list))
                })
                .map(Arc::clone),
        );
    }
    Ok(all_of(&asked))
}

/// Whether minima and maxima that leave NaN out may decide the filter. NaN is greater than every number, so only "less
/// than" and "equal to" a number never hold for it. (Anything else about such a column is no ground to leave rows out.)
fn sound_on_statistics(filter: &Filter, maybe_nan: &[usize]) -> bool {
    if maybe_nan.is_empty() {
        return true;
    }
    let mut touched = false;
    let looked = filter.apply(|node| {
        touched |= node
            .downcast_ref::<Column>()
            .is_some_and(|column| maybe_nan.contains(&column.index()));
        Ok(if touched {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    (looked.is_ok() && !touched) || is_false_for_nan(filter)
}

fn is_false_for_nan(filter: &Filter) -> bool {
    let Some(comparison) = filter.downcast_ref::<BinaryExpr>() else {
        return false;
    };
    let a_number = |value: &Filter| {
        value.downcast_ref::<Literal>().is_some_and(|literal| {
            let nan = match literal.value() {
                datafusion::common::ScalarValue::Float32(Some(v)) => v.is_nan(),
                datafusion::common::ScalarValue::Float64(Some(v)) => v.is_nan(),
                _ => true,
            };
            !nan && matches!(
                literal.value().data_type(),
                DataType::Float32 | DataType::Float64
            )
        })
    };
    let (left, right) = (comparison.left(), comparison.right());
    match comparison.op() {
        Operator::Eq | Operator::Lt | Operator::LtEq => {
            left.downcast_ref::<Column>().is_some() && a_number(right)
        }
        _ => false,
    }
}

fn compares(operator: Operator) -> bool {
    use Operator as O;
    matches!(
        operator,
        O::And | O::Or | O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq
    )
}

/// Whether a filter gives an answer for every row: it compares columns and literals, and no more.
pub(super) fn cannot_fail(filter: &Filter) -> bool {
    let Ok(now) = snapshot_physical_expr(Arc::clone(filter)) else {
        return false;
    };
    let mut may_fail = false;
    let looked = now.apply(|node| {
        let compares = node
            .downcast_ref::<BinaryExpr>()
            .is_some_and(|of| compares(*of.op()));
        let known = compares
            || node.is::<Column>()
            || node.is::<Literal>()
            || node.is::<InListExpr>()
            || node.is::<LongList>()
            || node.is::<IsNullExpr>()
            || node.is::<IsNotNullExpr>()
            || node.is::<NotExpr>();
        may_fail |= !known;
        Ok(if may_fail {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    looked.is_ok() && !may_fail
}
