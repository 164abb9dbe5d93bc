//! The files that filters name by `_file`.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::scan::metadata_columns::FILE;

/// The only files that rows which pass all filters can be in; none where these say nothing of that.
pub(in crate::scan) fn files_named(filters: &[Expr]) -> Option<BTreeSet<String>> {
    filters.iter().map(named).fold(None, both)
}

/// Files that two filters leave, both of which must hold.
fn both(
    one: Option<BTreeSet<String>>,
    other: Option<BTreeSet<String>>,
) -> Option<BTreeSet<String>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.intersection(&other).cloned().collect()),
        (one, other) => one.or(other),
    }
}

fn named(filter: &Expr) -> Option<BTreeSet<String>> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => both(named(left), named(right)),
            Operator::Or => Some(named(left)?.union(&named(right)?).cloned().collect()),
            Operator::Eq if is_file(left) => Some(BTreeSet::from([text(right)?])),
            Operator::Eq if is_file(right) => Some(BTreeSet::from([text(left)?])),
            _ => None,
        },
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) if is_file(expr) => list.iter().map(text).collect(),
        _ => None,
    }
}

fn is_file(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == FILE)
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(Some(text))
            | ScalarValue::Utf8View(Some(text))
            | ScalarValue::LargeUtf8(Some(text)),
            _,
        ) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn files_are_named_by_equality_and_lists_and_what_leaves_others_open_names_none() {
        let named = |filters: &[Expr]| {
            let named = files_named(filters)?;
            Some(named.into_iter().collect::<Vec<_>>().join(" "))
        };
        let is = |file: &str| col(FILE).eq(lit(file));
        let some = |files: &str| Some(files.to_owned());
        assert_eq!(named(&[is("a")]), some("a"));
        assert_eq!(named(&[lit("a").eq(col(FILE))]), some("a"));
        assert_eq!(named(&[is("a").or(is("b"))]), some("a b"));
        assert_eq!(named(&[is("a").or(col("n").eq(lit(1)))]), None);
        assert_eq!(named(&[is("a").and(col("n").eq(lit(1)))]), some("a"));
        let list = || col(FILE).in_list(vec![lit("a"), lit("b")], false);
        assert_eq!(named(&[list()]), some("a b"));
        assert_eq!(named(&[list(), is("b")]), some("b"));
        assert_eq!(named(&[is("a"), is("b")]), some(""));
        assert_eq!(named(&[col(FILE).in_list(vec![lit("a")], true)]), None);
        assert_eq!(
            named(&[col(FILE).not_eq(lit("a")), col(FILE).gt(lit("a"))]),
            None
        );
        assert_eq!(named(&[col("file").eq(lit("a"))]), None);
        assert_eq!(named(&[]), None);
    }
}
