//! How large a query's expressions become once they are written out.
//!
//! The optimiser replaces a column that is computed below by what it is computed from, for one when it moves a filter
//! down. Where each level uses the one below twice, a text of some hundred letters becomes millions of terms.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as EngineResult};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::{PlannerError, Result};

/// Terms that one expression may have once it is written out.
const TERMS_MAX: u64 = 50_000;

/// Refuses a plan in which an expression would be larger than that.
///
/// # Errors
/// `ResourceExhausted`.
pub(super) fn check_expansion(plan: &LogicalPlan) -> Result<()> {
    let largest = Measure::default().of(plan)?;
    if largest <= TERMS_MAX {
        return Ok(());
    }
    Err(PlannerError::exhausted(format!(
        "an expression has more than {TERMS_MAX} terms once its columns are written out: compute less from the columns \
         of sub-queries, or from each of them less often"
    )))
}

#[derive(Default)]
struct Measure {
    largest: u64,
}

impl Measure {
    fn of(mut self, plan: &LogicalPlan) -> EngineResult<u64> {
        self.columns(plan)?;
        Ok(self.largest)
    }

    /// The terms of each column that a plan gives.
    fn columns(&mut self, plan: &LogicalPlan) -> EngineResult<Vec<u64>> {
        let inputs = plan.inputs();
        let mut below = Vec::with_capacity(inputs.len());
        for input in &inputs {
            below.push(self.columns(input)?);
        }
        let known: Vec<(&DFSchema, &[u64])> = inputs
            .iter()
            .zip(&below)
            .map(|(input, terms)| (input.schema().as_ref(), terms.as_slice()))
            .collect();
        let mut own = Vec::new();
        plan.apply_expressions(|expr| {
            let terms = self.terms(expr, &known)?;
            own.push(terms);
            Ok(TreeNodeRecursion::Continue)
        })?;
        self.largest = own.iter().copied().fold(self.largest, u64::max);
        let given = plan.schema().fields().len();
        let all = below.iter().flatten().copied();
        Ok(match plan {
            LogicalPlan::Projection(_) if own.len() == given => own,
            // Filters on its groups are moved through it; those on what it gathers are not.
            LogicalPlan::Aggregate(aggregate) => {
                let groups = aggregate.group_expr.len();
                let largest = own.iter().take(groups).copied().max().unwrap_or(1);
                vec![largest; given]
            }
            LogicalPlan::Union(_) => (0..given)
                .map(|at| {
                    below
                        .iter()
                        .filter_map(|terms| terms.get(at))
                        .copied()
                        .max()
                })
                .map(|terms| terms.unwrap_or(1))
                .collect(),
            _ if all.clone().count() == given => all.collect(),
            // Some columns are its own, or are left out: each may be the largest.
            _ => vec![all.max().unwrap_or(1); given],
        })
    }

    /// The terms of an expression over these inputs. What it asks of sub-queries is measured by itself.
    fn terms(&mut self, expr: &Expr, known: &[(&DFSchema, &[u64])]) -> EngineResult<u64> {
        let mut terms = 0_u64;
        expr.apply(|part| {
            let of_it = match part {
                Expr::Column(column) => known
                    .iter()
                    .find_map(|(schema, terms)| terms.get(schema.maybe_index_of_column(column)?))
                    .copied()
                    .unwrap_or(1),
                Expr::ScalarSubquery(query) => self.within(&query.subquery)?,
                Expr::Exists(exists) => self.within(&exists.subquery.subquery)?,
                Expr::InSubquery(within) => self.within(&within.subquery.subquery)?,
                _ => 1,
            };
            terms = terms.saturating_add(of_it);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(terms)
    }

    fn within(&mut self, plan: &LogicalPlan) -> EngineResult<u64> {
        self.columns(plan)?;
        Ok(1)
    }
}
