//! Queries of other engines, as views keep them: which of their words mean here what they mean there.
//!
//! A query that parses in two dialects need not give the same rows in both: division, casts, literals, functions and the
//! order of nulls differ. Of Trino's dialect, what is known to mean the same is let through; all else is refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, DateTimeField, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, OrderBy, OrderByKind, Query, Value, VisitMut, VisitorMut,
    WindowType,
};

use crate::{PlannerError, Result};

/// Trino's functions that have one meaning in both engines, whatever their arguments are.
const TRINO_FUNCTIONS: [&str; 13] = [
    "abs",
    "coalesce",
    "count",
    "dense_rank",
    "length",
    "lower",
    "max",
    "min",
    "nullif",
    "rank",
    "row_number",
    "sum",
    "upper",
];

/// Refuses what may mean something else in Trino, and says what it leaves unsaid.
///
/// # Errors
/// `Unsupported`, naming the first thing that can't be relied on.
pub(crate) fn trino(query: &mut Query) -> Result<()> {
    match query.visit(&mut Trino) {
        ControlFlow::Break(what) => Err(PlannerError::unsupported(format!(
            "{what} may mean something else in Trino than here"
        ))),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Trino;

impl Trino {
    /// Nulls come last in Trino, whichever way the rest is sorted.
    fn order(&self, nulls_first: &mut Option<bool>) {
        nulls_first.get_or_insert(false);
    }

    fn order_by(&self, order_by: Option<&mut OrderBy>) -> ControlFlow<String> {
        match order_by.map(|order| &mut order.kind) {
            Some(OrderByKind::Expressions(orders)) => {
                for order in orders {
                    self.order(&mut order.options.nulls_first);
                }
                ControlFlow::Continue(())
            }
            Some(OrderByKind::All(_)) => ControlFlow::Break("ORDER BY ALL".to_owned()),
            None => ControlFlow::Continue(()),
        }
    }

    fn function(&self, function: &mut Function) -> ControlFlow<String> {
        let name = function.name.to_string().to_lowercase();
        if !TRINO_FUNCTIONS.contains(&name.as_str()) {
            return ControlFlow::Break(format!("the function {name}"));
        }
        let plain = function.null_treatment.is_none() && function.within_group.is_empty();
        let clauses = match &function.args {
            FunctionArguments::List(list) => list.clauses.is_empty(),
            FunctionArguments::None => true,
            FunctionArguments::Subquery(_) => false,
        };
        if !plain || !clauses {
            return ControlFlow::Break(format!("a clause within {name}(…)"));
        }
        match &mut function.over {
            Some(WindowType::WindowSpec(spec)) => {
                if spec.window_frame.is_some() {
                    return ControlFlow::Break("a window's frame".to_owned());
                }
                for order in &mut spec.order_by {
                    self.order(&mut order.options.nulls_first);
                }
                ControlFlow::Continue(())
            }
            Some(WindowType::NamedWindow(_)) => ControlFlow::Break("a named window".to_owned()),
            None => ControlFlow::Continue(()),
        }
    }
}

/// `concat(a, b, …)` as `(a || b || …)`.
fn concatenated(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let named = function.name.to_string().eq_ignore_ascii_case("concat");
    let plain = function.over.is_none()
        && function.filter.is_none()
        && list.clauses.is_empty()
        && list.duplicate_treatment.is_none();
    if !named || !plain {
        return None;
    }
    let args: Option<Vec<Expr>> = list
        .args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect();
    let joined = args?.into_iter().reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::StringConcat,
        right: Box::new(right),
    })?;
    Some(Expr::Nested(Box::new(joined)))
}

impl VisitorMut for Trino {
    type Break = String;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        self.order_by(query.order_by.as_mut())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        let unsure = |what: &str| ControlFlow::Break(what.to_owned());
        match expr {
            Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::Nested(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::InList { .. }
            | Expr::InSubquery { .. }
            | Expr::Between { .. }
            | Expr::UnaryOp { .. }
            | Expr::Case { .. }
            | Expr::Exists { .. }
            | Expr::Subquery(_) => ControlFlow::Continue(()),
            Expr::BinaryOp { op, .. } => match op {
                BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::StringConcat
                | BinaryOperator::Gt
                | BinaryOperator::Lt
                | BinaryOperator::GtEq
                | BinaryOperator::LtEq
                | BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::And
                | BinaryOperator::Or => ControlFlow::Continue(()),
                other => ControlFlow::Break(format!("the operator {other}")),
            },
            Expr::Like {
                pattern,
                escape_char: None,
                any: false,
                ..
            } => match pattern.as_ref() {
                Expr::Value(value) if matches!(&value.value, Value::SingleQuotedString(text) if !text.contains('\\')) => {
                    ControlFlow::Continue(())
                }
                _ => unsure("this LIKE"),
            },
            Expr::Value(value) => match &value.value {
                Value::Number(digits, false) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                    ControlFlow::Continue(())
                }
                Value::SingleQuotedString(_) | Value::Boolean(_) | Value::Null => {
                    ControlFlow::Continue(())
                }
                other => ControlFlow::Break(format!("the literal {other}")),
            },
            Expr::TypedString(literal) => match literal.data_type {
                DataType::Date => ControlFlow::Continue(()),
                _ => ControlFlow::Break(format!("the literal {literal}")),
            },
            Expr::Cast {
                kind: CastKind::Cast,
                data_type: DataType::Double(_) | DataType::Date,
                format: None,
                ..
            } => ControlFlow::Continue(()),
            Expr::Extract {
                field: DateTimeField::Year | DateTimeField::Month | DateTimeField::Day,
                ..
            } => ControlFlow::Continue(()),
            Expr::Function(function) => match concatenated(function) {
                // Trino writes `||` so. It gives null for a null, and the function of this name here leaves nulls out.
                Some(joined) => {
                    *expr = joined;
                    ControlFlow::Continue(())
                }
                None => self.function(function),
            },
            other => ControlFlow::Break(format!("{other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Statement;
    use crate::sql::parse::parse;
    use crate::sql::statement::QueryKind;

    fn checked(text: &str) -> Result<String> {
        let Ok(Statement::Query(statement)) = parse(text, 1 << 16) else {
            panic!("{text}");
        };
        let QueryKind::Rows(mut query) = statement.kind else {
            panic!("{text}");
        };
        trino(&mut query).map(|()| query.to_string())
    }

    #[test]
    fn what_means_the_same_in_trino_passes_and_nulls_come_last() {
        for text in [
            "SELECT a, upper(b) AS b, count(*) FROM t WHERE a > 3 AND b LIKE 'x%' GROUP BY a, b",
            "SELECT a FROM t WHERE d >= DATE '2026-01-01' AND EXTRACT(YEAR FROM d) = 2026",
            "WITH w AS (SELECT a FROM t) SELECT coalesce(a, 0) FROM w UNION ALL SELECT 1",
            "SELECT CASE WHEN a IN (1, 2) THEN 'x' ELSE b || 'y' END FROM t",
        ] {
            assert_eq!(checked(text).unwrap(), text);
        }
        assert_eq!(
            checked("SELECT concat('a', upper(b), c) FROM t").unwrap(),
            "SELECT ('a' || upper(b) || c) FROM t"
        );
        assert_eq!(
            checked("SELECT a, row_number() OVER (ORDER BY a DESC) FROM t ORDER BY a DESC LIMIT 3")
                .unwrap(),
            "SELECT a, row_number() OVER (ORDER BY a DESC NULLS LAST) FROM t ORDER BY a DESC NULLS LAST LIMIT 3"
        );
    }

    #[test]
    fn what_may_mean_something_else_in_trino_is_refused() {
        for text in [
            "SELECT a / b FROM t",
            "SELECT a % b FROM t",
            "SELECT avg(a) FROM t",
            "SELECT concat(DISTINCT a, b) FROM t",
            "SELECT concat(a, b / 2) FROM t",
            "SELECT substr(a, -1) FROM t",
            "SELECT CAST(a AS varchar) FROM t",
            "SELECT CAST(a AS bigint) FROM t",
            "SELECT TRY_CAST(a AS double) FROM t",
            "SELECT a * 1.5 FROM t",
            "SELECT 1e3 FROM t",
            "SELECT a FROM t WHERE b LIKE 'x\\_%'",
            "SELECT a FROM t WHERE b LIKE c",
            "SELECT date_trunc('month', d) FROM t",
            "SELECT d + INTERVAL '1' DAY FROM t",
            "SELECT TIMESTAMP '2026-01-01 00:00:00' FROM t",
            "SELECT a[1] FROM t",
            "SELECT sum(a) OVER (ORDER BY b ROWS 3 PRECEDING) FROM t",
        ] {
            let error = checked(text).unwrap_err();
            assert!(error.to_string().contains("in Trino"), "{text}: {error}");
        }
    }
}
