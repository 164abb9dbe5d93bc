//! The shape of a parsed query: how deep and how wide it may be.
//!
//! Planning, optimising and dropping a tree take stack in proportion to its depth, and a chain such as `a OR b OR …`
//! parses into a tree as deep as it is long. Chains of AND and OR, which tools generate by the thousand, are balanced;
//! whatever is still too deep is refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, LimitClause, Query, TableFactor, Value, VisitMut, VisitorMut,
};

use crate::{PlannerError, Result};

/// How deep expressions and queries may nest, together.
const DEPTH_MAX: usize = 250;
/// What nests no deeper, and has no more relations and SELECTs, is planned on the stack that there is.
const DEPTH_SHALLOW: usize = 12;
/// How many relations a statement may name.
const RELATIONS_MAX: usize = 500;
/// How many SELECTs it may hold.
const SELECTS_MAX: usize = 500;
/// Chains longer than this are balanced; shorter ones keep the shape they were written in.
const CHAIN_MAX: usize = 16;

/// Balances long chains, writes FETCH FIRST as LIMIT, and refuses what nests too deep or names too much.
///
/// Gives whether planning the query takes a stack of its own.
pub(super) fn tame(query: &mut Query) -> Result<bool> {
    let mut shaper = Shaper {
        depth: 0,
        deepest: 0,
        relations: 0,
        selects: 0,
    };
    match query.visit(&mut shaper) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => {
            let sizes = [shaper.deepest, shaper.relations, shaper.selects];
            Ok(sizes.into_iter().any(|size| size > DEPTH_SHALLOW))
        }
    }
}

struct Shaper {
    depth: usize,
    deepest: usize,
    relations: usize,
    selects: usize,
}

impl Shaper {
    /// Whether what is flat as text, such as `a[1][2]`, would become a tree that is too deep.
    fn flat_but_deep(&self, expr: &Expr) -> bool {
        let links = match expr {
            Expr::CompoundFieldAccess { access_chain, .. } => access_chain.len(),
            Expr::CompoundIdentifier(parts) => parts.len(),
            _ => 0,
        };
        self.depth + links > DEPTH_MAX
    }

    fn deeper(&mut self) -> ControlFlow<PlannerError> {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        if self.depth > DEPTH_MAX {
            return ControlFlow::Break(PlannerError::exhausted(format!(
                "the statement nests deeper than {DEPTH_MAX} levels"
            )));
        }
        ControlFlow::Continue(())
    }
}

impl VisitorMut for Shaper {
    type Break = PlannerError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<PlannerError> {
        fetch_to_limit(query);
        self.deeper()
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<PlannerError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(
        &mut self,
        _select: &mut datafusion::sql::sqlparser::ast::Select,
    ) -> ControlFlow<PlannerError> {
        self.selects += 1;
        if self.selects > SELECTS_MAX {
            return ControlFlow::Break(PlannerError::exhausted(format!(
                "the statement holds more than {SELECTS_MAX} SELECTs"
            )));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, _factor: &mut TableFactor) -> ControlFlow<PlannerError> {
        self.relations += 1;
        if self.relations > RELATIONS_MAX {
            return ControlFlow::Break(PlannerError::exhausted(format!(
                "the statement names more than {RELATIONS_MAX} relations"
            )));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<PlannerError> {
        balance(expr);
        if self.flat_but_deep(expr) {
            self.depth = DEPTH_MAX;
        }
        self.deeper()
    }

    fn post_visit_expr(&mut self, _expr: &mut Expr) -> ControlFlow<PlannerError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// `FETCH FIRST n ROWS ONLY` is the standard's LIMIT; the engine knows only the latter. Forms that mean more stay, and
/// are refused where clauses are.
fn fetch_to_limit(query: &mut Query) {
    let plain = query
        .fetch
        .as_ref()
        .is_some_and(|fetch| !fetch.with_ties && !fetch.percent);
    if !plain {
        return;
    }
    let offset = match &query.limit_clause {
        None => None,
        Some(LimitClause::LimitOffset {
            limit: None,
            offset,
            limit_by,
        }) if limit_by.is_empty() => offset.clone(),
        Some(_) => return,
    };
    let quantity = query.fetch.take().and_then(|fetch| fetch.quantity);
    let one = || Expr::Value(Value::Number("1".to_string(), false).into());
    query.limit_clause = Some(LimitClause::LimitOffset {
        limit: Some(quantity.unwrap_or_else(one)),
        offset,
        limit_by: Vec::new(),
    });
}

/// Rebuilds a long chain of one of AND and OR as a balanced tree; both are associative, whatever their operands.
fn balance(expr: &mut Expr) {
    let op = match expr {
        Expr::BinaryOp {
            op: op @ (BinaryOperator::And | BinaryOperator::Or),
            ..
        } => op.clone(),
        _ => return,
    };
    if chain_depth(expr, &op) <= CHAIN_MAX {
        return;
    }
    let mut operands = take_chain(expr, &op);
    *expr = build(&mut operands.drain(..), &op);
}

/// How deep the chain of this operator goes along its left spine, which is how chains parse.
fn chain_depth(expr: &Expr, op: &BinaryOperator) -> usize {
    let mut depth = 0;
    let mut current = expr;
    while let Expr::BinaryOp {
        left, op: found, ..
    } = current
    {
        if found != op {
            break;
        }
        depth += 1;
        current = left;
    }
    depth
}

fn take_chain(expr: &mut Expr, op: &BinaryOperator) -> Vec<Expr> {
    let mut operands = Vec::new();
    let mut pending = vec![std::mem::replace(expr, Expr::Value(Value::Null.into()))];
    while let Some(next) = pending.pop() {
        match next {
            Expr::BinaryOp {
                left,
                op: found,
                right,
            } if found == *op => {
                pending.push(*right);
                pending.push(*left);
            }
            other => operands.push(other),
        }
    }
    operands
}

fn build(operands: &mut dyn ExactSizeIterator<Item = Expr>, op: &BinaryOperator) -> Expr {
    fn part(
        operands: &mut dyn ExactSizeIterator<Item = Expr>,
        count: usize,
        op: &BinaryOperator,
    ) -> Expr {
        if count <= 1 {
            return operands.next().unwrap_or(Expr::Value(Value::Null.into()));
        }
        let left = part(operands, count / 2, op);
        let right = part(operands, count - count / 2, op);
        // Nested, so that mixed chains keep their meaning when the query is written out again.
        Expr::Nested(Box::new(Expr::BinaryOp {
            left: Box::new(left),
            op: op.clone(),
            right: Box::new(right),
        }))
    }
    let count = operands.len();
    part(operands, count, op)
}
