//! Conditions of a statement that may get past the fence, to leave out files.
//!
//! Which files are read shows, in bytes and in time. So a condition gets past only
//! - where the policy's filter takes or leaves whole partitions: then every file behind it has rows that are seen and no
//!   others, and what is read of them tells of those alone. Manifests have files of both, and are chosen by the policy's
//!   filter alone; delete files that are of no partition may speak of hidden rows, and let nothing past;
//! - where it compares columns that are handed out as they are with values, and does nothing else: that can't fail.
//!
//! Whoever pushed a condition evaluates it again.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableScan,
};

use super::LakeTable;

/// The filters of the one scan of a plan, where they take or leave whole partitions.
pub(super) fn of_partitions(plan: &LogicalPlan, state: &SessionState) -> Option<Vec<Expr>> {
    let optimized = state.optimize(plan).ok()?;
    let scan = only_scan(&optimized)?;
    let filters = unnormalize_cols(scan.filters.iter().cloned());
    let provider = source_as_provider(&scan.source).ok()?;
    let table = provider.downcast_ref::<LakeTable>()?;
    table.has_whole_partitions(&filters).then_some(filters)
}

/// The scan of a plan that leaves out no row after it.
fn only_scan(plan: &LogicalPlan) -> Option<&TableScan> {
    match plan {
        LogicalPlan::Projection(of) => only_scan(&of.input),
        LogicalPlan::SubqueryAlias(of) => only_scan(&of.input),
        LogicalPlan::TableScan(scan) => scan.fetch.is_none().then_some(scan),
        _ => None,
    }
}

/// Whether a condition on what a plan gives is of a kind that may get past the fence.
pub(super) fn may_pass(condition: &Expr, plan: &LogicalPlan) -> bool {
    let is_value = |value: &Expr, column: &Expr| match (value, column) {
        (Expr::Literal(value, _), Expr::Column(column)) => {
            position(column, plan).is_some_and(|at| {
                let of = plan.schema().field(at).data_type();
                !of.is_nested() && value.data_type() == *of
            })
        }
        _ => false,
    };
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And | Operator::Or => may_pass(left, plan) && may_pass(right, plan),
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq => is_value(right, left) || is_value(left, right),
            _ => false,
        },
        Expr::Not(inner) => may_pass(inner, plan),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => match &**inner {
            Expr::Column(column) => position(column, plan).is_some(),
            _ => false,
        },
        Expr::Between(of) => is_value(&of.low, &of.expr) && is_value(&of.high, &of.expr),
        Expr::InList(of) => of.list.iter().all(|value| is_value(value, &of.expr)),
        _ => false,
    }
}

/// Where a column is among those that a plan hands out as they are.
fn position(column: &Column, plan: &LogicalPlan) -> Option<usize> {
    let LogicalPlan::Projection(projection) = plan else {
        return None;
    };
    let at = plan.schema().index_of_column_by_name(None, &column.name)?;
    matches!(projection.expr.get(at)?, Expr::Column(_)).then_some(at)
}

/// The plan with these conditions over it, its manifests chosen as before.
pub(super) fn passed(
    plan: &LogicalPlan,
    conditions: &[&Expr],
    filters: &[Expr],
) -> Result<LogicalPlan> {
    let guarded = plan.clone().transform_up(|node| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(Transformed::no(node));
        };
        let provider = source_as_provider(&scan.source)?;
        let Some(table) = provider.downcast_ref::<LakeTable>() else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let source = provider_as_source(Arc::new(table.with_manifests_of(filters)));
        Ok(Transformed::yes(LogicalPlan::TableScan(TableScan {
            source,
            ..scan
        })))
    })?;
    let mut guarded = LogicalPlanBuilder::from(guarded.data);
    for condition in conditions {
        let own = (*condition).clone().transform(|expr| {
            let at = match &expr {
                Expr::Column(column) => position(column, plan),
                _ => None,
            };
            Ok(match at {
                Some(at) => {
                    let field = plan.schema().qualified_field(at);
                    Transformed::yes(Expr::Column(Column::from(field)))
                }
                None => Transformed::no(expr),
            })
        })?;
        guarded = guarded.filter(own.data)?;
    }
    guarded.build()
}
