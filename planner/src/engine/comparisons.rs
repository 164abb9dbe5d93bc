//! Comparisons of values whose types the engine would not make alike, or not exactly.
//!
//! **Decimals with doubles.** The engine would compare both as decimals with fifteen places, and make those of doubles by way of a product that a double
//! can't hold: `amount = 123456.79` finds nothing, and a NaN or 1e20 is an error. So before it sees them, a number of the
//! query's text becomes the decimal that it is written as, arithmetic on such numbers included (`0.06 + 0.01` is 0.07), and
//! against any other double a decimal becomes a double, as in standard SQL.
//!
//! **Times of two units.** A time that a query writes has nanoseconds, a table's has microseconds, and the engine refuses to
//! compare them. A written time that has no more than microseconds becomes one of those; else all become nanoseconds.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Between, Case, Cast, InList};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, cast};

/// Makes what is compared one type; see the module.
#[derive(Debug)]
pub(super) struct ComparedAlike;

impl FunctionRewrite for ComparedAlike {
    fn name(&self) -> &'static str {
        "compared_alike"
    }

    fn rewrite(
        &self,
        expr: Expr,
        schema: &DFSchema,
        _: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        let alike = match &expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
                alike(&[left, right], schema)
            }
            Expr::Between(Between {
                expr, low, high, ..
            }) => alike(&[expr, low, high], schema),
            Expr::InList(InList { expr, list, .. }) => {
                let compared: Vec<&Expr> = std::iter::once(expr.as_ref()).chain(list).collect();
                alike(&compared, schema)
            }
            Expr::Case(Case {
                expr: Some(expr),
                when_then_expr,
                ..
            }) => {
                let whens = when_then_expr.iter().map(|(when, _)| when.as_ref());
                let compared: Vec<&Expr> = std::iter::once(expr.as_ref()).chain(whens).collect();
                alike(&compared, schema)
            }
            _ => None,
        };
        Ok(match alike {
            Some(alike) => Transformed::yes(with_compared(expr, alike)),
            None => Transformed::no(expr),
        })
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator as O;
    matches!(
        op,
        O::Eq
            | O::NotEq
            | O::Lt
            | O::LtEq
            | O::Gt
            | O::GtEq
            | O::IsDistinctFrom
            | O::IsNotDistinctFrom
    )
}

/// The expressions, all decimals or all doubles, where they are a mixture of both.
fn alike(compared: &[&Expr], schema: &DFSchema) -> Option<Vec<Expr>> {
    let types: Option<Vec<DataType>> = compared
        .iter()
        .map(|expr| expr.get_type(schema).ok())
        .collect();
    let types = types?;
    if let Some(times) = times_alike(compared, &types) {
        return Some(times);
    }
    if !types.iter().any(DataType::is_decimal) || !types.iter().any(DataType::is_floating) {
        return None;
    }
    let pairs = || compared.iter().zip(&types);
    let exact: Option<Vec<Expr>> = pairs()
        .map(|(expr, data_type)| match data_type.is_floating() {
            true => as_written(expr),
            false => Some((*expr).clone()),
        })
        .collect();
    Some(exact.unwrap_or_else(|| {
        let doubles = pairs().map(|(expr, data_type)| match data_type.is_decimal() {
            true => cast((*expr).clone(), DataType::Float64),
            false => (*expr).clone(),
        });
        doubles.collect()
    }))
}

const MICROSECONDS: DataType = DataType::Time64(TimeUnit::Microsecond);
const NANOSECONDS: DataType = DataType::Time64(TimeUnit::Nanosecond);

/// The expressions, all times of one unit, where they are times of two.
fn times_alike(compared: &[&Expr], types: &[DataType]) -> Option<Vec<Expr>> {
    let of = |unit: DataType| types.contains(&unit);
    if !of(MICROSECONDS) || !of(NANOSECONDS) {
        return None;
    }
    let pairs = || compared.iter().zip(types);
    let short: Option<Vec<Expr>> = pairs()
        .map(|(expr, data_type)| match *data_type == NANOSECONDS {
            true => in_microseconds(expr),
            false => Some((*expr).clone()),
        })
        .collect();
    Some(short.unwrap_or_else(|| {
        let long = pairs().map(|(expr, data_type)| match *data_type == MICROSECONDS {
            true => cast((*expr).clone(), NANOSECONDS),
            false => (*expr).clone(),
        });
        long.collect()
    }))
}

/// A written time in microseconds, if it has no more than that.
fn in_microseconds(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Literal(ScalarValue::Time64Nanosecond(Some(nanoseconds)), metadata)
            if nanoseconds % 1000 == 0 =>
        {
            let microseconds = ScalarValue::Time64Microsecond(Some(nanoseconds / 1000));
            Some(Expr::Literal(microseconds, metadata.clone()))
        }
        Expr::Cast(Cast { expr, .. }) => {
            let Expr::Literal(text, _) = expr.as_ref() else {
                return None;
            };
            let fraction = text.try_as_str()??.trim().split_once('.');
            let short = fraction.is_none_or(|(_, digits)| digits.len() <= 6);
            short.then(|| cast(expr.as_ref().clone(), MICROSECONDS))
        }
        _ => None,
    }
}

/// Puts what is compared back to where it was.
fn with_compared(expr: Expr, compared: Vec<Expr>) -> Expr {
    let mut compared = compared.into_iter();
    let mut take = |was: &mut Expr| {
        if let Some(next) = compared.next() {
            *was = next;
        }
    };
    let mut expr = expr;
    match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => {
            take(left);
            take(right);
        }
        Expr::Between(Between {
            expr, low, high, ..
        }) => {
            take(expr);
            take(low);
            take(high);
        }
        Expr::InList(InList { expr, list, .. }) => {
            take(expr);
            list.iter_mut().for_each(take);
        }
        Expr::Case(Case {
            expr: Some(expr),
            when_then_expr,
            ..
        }) => {
            take(expr);
            when_then_expr.iter_mut().for_each(|(when, _)| take(when));
        }
        _ => {}
    }
    expr
}

/// The decimal that an expression of the query's numbers alone is, if it is one that has its value exactly.
fn as_written(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Literal(ScalarValue::Float64(Some(number)), metadata) => {
            Some(Expr::Literal(decimal(*number)?, metadata.clone()))
        }
        Expr::Literal(ScalarValue::Int64(Some(_)), _) => Some(expr.clone()),
        Expr::Negative(inner) => Some(Expr::Negative(Box::new(as_written(inner)?))),
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply) =>
        {
            let (left, right) = (as_written(left)?, as_written(right)?);
            Some(Expr::BinaryExpr(BinaryExpr::new(
                Box::new(left),
                *op,
                Box::new(right),
            )))
        }
        _ => None,
    }
}

/// The decimal with the fewest digits that reads as this double: what was written, as that has no more than fifteen.
fn decimal(number: f64) -> Option<ScalarValue> {
    let text = number.is_finite().then(|| number.to_string())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = whole.trim_start_matches(['-', '0']).len() + fraction.len();
    let value: i128 = format!("{whole}{fraction}").parse().ok()?;
    let precision = u8::try_from(digits.max(1))
        .ok()
        .filter(|digits| *digits <= 38)?;
    let scale = i8::try_from(fraction.len()).ok()?;
    Some(ScalarValue::Decimal128(Some(value), precision, scale))
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;
    use proptest::prelude::*;

    use super::decimal;

    #[test]
    fn a_double_is_the_decimal_that_was_written() {
        for (number, value, precision, scale) in [
            (123_456.79, 12_345_679, 8, 2),
            (-0.05, -5, 2, 2),
            (0.0, 0, 1, 0),
            (1e20, 10_i128.pow(20), 21, 0),
            (1e-7, 1, 7, 7),
        ] {
            let want = ScalarValue::Decimal128(Some(value), precision, scale);
            assert_eq!(decimal(number), Some(want), "{number}");
        }
        for number in [f64::NAN, f64::INFINITY, 1e300, 1e-300] {
            assert_eq!(decimal(number), None, "{number}");
        }
    }

    proptest! {
        #[test]
        fn fifteen_digits_come_back_as_they_were_written(digits in 0_i64..1_000_000_000_000_000, scale in 0_usize..16, minus: bool) {
            let padded = format!("{digits:0width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            let text = format!("{}{whole}.{fraction}", if minus { "-" } else { "" });
            let number: f64 = text.parse().unwrap();
            let Some(ScalarValue::Decimal128(Some(value), _, found)) = decimal(number) else {
                panic!("{text} is no decimal");
            };
            let written = i128::from(if minus { -digits } else { digits });
            prop_assert_eq!(value * 10_i128.pow(scale as u32 - found as u32), written);
        }
    }
}
