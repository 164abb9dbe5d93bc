//! Set operations over inputs whose columns go by position.

use std::collections::BTreeSet;
use std::iter::once;
use std::sync::Arc;

use datafusion::common::{Column, Result as EngineResult, substrait_err};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use substrait::proto::set_rel::SetOp;

/// What these inputs are together, the first of them being the primary one.
pub(super) fn combined(op: SetOp, inputs: Vec<LogicalPlan>) -> EngineResult<LogicalPlan> {
    let mut inputs = inputs.into_iter().map(told_apart);
    let (Some(first), Some(second)) = (inputs.next(), inputs.next()) else {
        return substrait_err!("a set operation has fewer than two inputs");
    };
    let first = first?;
    let mut rest = once(second).chain(inputs);
    match op {
        SetOp::UnionAll => union_all(first, rest),
        SetOp::UnionDistinct => {
            let distinct = |left: LogicalPlan, right: EngineResult<LogicalPlan>| {
                LogicalPlanBuilder::from(left)
                    .union_distinct(right?)?
                    .build()
            };
            rest.try_fold(first, distinct)
        }
        // What is in any of the others.
        SetOp::IntersectionPrimary => match rest.next() {
            Some(second) => LogicalPlanBuilder::intersect(first, union_all(second?, rest)?, false),
            None => Ok(first),
        },
        // What is in all of them.
        SetOp::IntersectionMultiset => rest.try_fold(first, |left, right| {
            LogicalPlanBuilder::intersect(left, right?, false)
        }),
        SetOp::MinusPrimary => rest.try_fold(first, |left, right| {
            LogicalPlanBuilder::except(left, right?, false)
        }),
        other => substrait_err!("the set operation {} is not allowed", other.as_str_name()),
    }
}

fn union_all(
    first: LogicalPlan,
    mut rest: impl Iterator<Item = EngineResult<LogicalPlan>>,
) -> EngineResult<LogicalPlan> {
    rest.try_fold(first, |left, right| {
        LogicalPlanBuilder::from(left).union(right?)?.build()
    })
}

/// The same columns, no two of one name: the columns of two sides that are compared are found by their names alone.
fn told_apart(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    let known: BTreeSet<&str> = schema
        .fields()
        .iter()
        .map(|of| of.name().as_str())
        .collect();
    if known.len() == schema.fields().len() {
        return Ok(plan);
    }
    let mut seen = BTreeSet::new();
    let mut again = 1usize;
    let mut exprs = Vec::with_capacity(schema.fields().len());
    for (qualifier, of) in schema.iter() {
        let column = Expr::Column(Column::from((qualifier, of)));
        if seen.insert(of.name()) {
            exprs.push(column);
            continue;
        }
        let name = loop {
            again += 1;
            let name = format!("{}#{again}", of.name());
            if !known.contains(name.as_str()) {
                break name;
            }
        };
        exprs.push(column.alias(name));
    }
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}
