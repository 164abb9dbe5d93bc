//! Numbers that a double can't hold as they are written become decimals.
//!
//! The engine reads a number with a point, or a whole one beyond 64 bits, as a double, which keeps fifteen digits: so one with
//! more of them, and without an exponent, is made a decimal. What is left is rewritten where it meets a decimal: see
//! `engine::comparisons`.

use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, Query, Value, VisitMut, VisitorMut,
};

/// Digits that every double keeps.
const DOUBLE_DIGITS: usize = 15;

/// Digits of the widest decimal that tables have.
const DECIMAL_DIGITS_MAX: usize = 38;

/// Makes decimals of the numbers that a double would round.
pub(crate) fn keep_long_numbers(query: &mut Query) {
    let _: ControlFlow<Infallible> = query.visit(&mut LongNumbers);
}

struct LongNumbers;

impl VisitorMut for LongNumbers {
    type Break = Infallible;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        if let Expr::Value(value) = expr
            && let Value::Number(text, _) = &value.value
            && let Some((text, precision, scale)) = exact(text)
        {
            let mut written = value.clone();
            written.value = Value::SingleQuotedString(text);
            *expr = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(Expr::Value(written)),
                data_type: DataType::Decimal(ExactNumberInfo::PrecisionAndScale(precision, scale)),
                array: false,
                format: None,
            };
        }
        ControlFlow::Continue(())
    }
}

/// The text, precision and scale of the decimal that a number is, where a double would round it.
fn exact(text: &str) -> Option<(String, u64, i64)> {
    let text = text.replace('_', "");
    if text.parse::<u64>().is_ok() || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = whole.trim_start_matches('0').len() + fraction.len();
    let significant = format!("{whole}{fraction}").trim_matches('0').len();
    if significant <= DOUBLE_DIGITS || digits > DECIMAL_DIGITS_MAX {
        return None;
    }
    let (precision, scale) = (digits.try_into().ok()?, fraction.len().try_into().ok()?);
    Some((text, precision, scale))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::keep_long_numbers;

    fn kept(text: &str) -> String {
        let parsed = Parser::parse_sql(&GenericDialect {}, text).unwrap();
        let [Statement::Query(query)] = parsed.as_slice() else {
            panic!("one query expected: {parsed:?}");
        };
        let mut query = query.clone();
        keep_long_numbers(&mut query);
        query.to_string()
    }

    #[test]
    fn a_number_that_a_double_holds_stays_as_it_is() {
        for text in [
            "SELECT 1, -2.5, 0.000001, 123456789012.345, 1e300, 1.234567890123456789e5",
            "SELECT 18446744073709551615, 100000000000000000000000, '1234567890123456.78'",
            "SELECT 1234567890123456789012345678901234567890.5",
        ] {
            assert_eq!(kept(text), text);
        }
    }

    #[test]
    fn a_number_that_a_double_would_round_becomes_a_decimal() {
        assert_eq!(
            kept(
                "SELECT -1234567890123456.78 FROM t WHERE x IN (SELECT 18446744073709551617) AND y > 0.1234567890123456"
            ),
            "SELECT -CAST('1234567890123456.78' AS DECIMAL(18,2)) FROM t WHERE x IN (SELECT CAST('18446744073709551617' AS DECIMAL(20,0))) \
             AND y > CAST('0.1234567890123456' AS DECIMAL(16,16))"
        );
    }
}
