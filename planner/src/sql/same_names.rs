//! Columns of a result that have the same name: `SELECT id, id FROM t`, `SELECT *, id FROM t`, `SELECT 1 AS a, 2 AS a`.
//!
//! SQL lets a result have them and the engine doesn't. So all but the first get a name of their own for the engine, which
//! ends in a mark that no name of a user's has, and the result's schema leaves it out. The same expression written
//! twice is told apart in every SELECT, where its names are bound; different ones of the same name only in the outermost:
//! within a query, nobody could say which of the two is meant.

use std::collections::HashSet;
use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, Select, SelectItem, SetExpr, Visit, Visitor,
};

/// What divides a name from the number that tells it apart.
const MARK: char = '\u{1f}';

/// Gives columns of the outermost SELECT names of their own where the engine would refuse them for their name.
pub(crate) fn tell_apart(query: &mut Query) {
    let mentioned = names_mentioned(query);
    let Some(select) = outermost(query) else {
        return;
    };
    // With one relation, a wildcard's column of some name is the column of that name.
    let alone = matches!(select.from.as_slice(), [only] if only.joins.is_empty());
    let items = &mut select.projection;
    let wildcard = items.iter().any(|item| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    });
    // Beyond the numbers that equal expressions have already.
    let first = items.len() + 1;
    let mut names: HashSet<String> = HashSet::new();
    for (at, item) in items.iter_mut().enumerate() {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let Some(name) = column_name(expr).map(str::to_owned) else {
                    continue;
                };
                if wildcard && (alone || !mentioned.contains(&name)) {
                    *item = SelectItem::ExprWithAlias {
                        expr: expr.clone(),
                        alias: marked(&name, first + at),
                    };
                }
                names.insert(name);
            }
            // Elsewhere in the query, a name that two columns have could mean either.
            SelectItem::ExprWithAlias { alias, .. }
                if !names.insert(alias.value.clone()) && !mentioned.contains(&alias.value) =>
            {
                *alias = marked(&alias.value, first + at);
            }
            _ => {}
        }
    }
}

/// A column's name without what tells it apart.
pub(crate) fn shown(name: &str) -> &str {
    match name.rsplit_once(MARK) {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    }
}

/// A text, such as a plan's, with names as [`shown`] gives them.
pub(crate) fn shown_within(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut parts = text.split(MARK);
    shown.push_str(parts.next().unwrap_or_default());
    for part in parts {
        shown.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    }
    shown
}

/// A name that the engine tells apart from the same with another number.
pub(super) fn marked(name: &str, at: usize) -> Ident {
    Ident::with_quote('"', format!("{name}{MARK}{at}"))
}

/// The name that the engine gives a column that is named by nothing else.
pub(super) fn column_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Identifier(name) => Some(&name.value),
        Expr::CompoundIdentifier(parts) => parts.last().map(|name| name.value.as_str()),
        Expr::Nested(inner) => column_name(inner),
        _ => None,
    }
}

fn outermost(query: &mut Query) -> Option<&mut Select> {
    match query.body.as_mut() {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(inner) => outermost(inner),
        _ => None,
    }
}

/// Every bare name in those clauses of the outermost query that may mean a column of its result.
fn names_mentioned(query: &Query) -> HashSet<String> {
    struct Names(HashSet<String>);
    impl Visitor for Names {
        type Break = Infallible;
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Infallible> {
            if let Expr::Identifier(name) = expr {
                self.0.insert(name.value.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(HashSet::new());
    let ControlFlow::Continue(()) = query.order_by.visit(&mut names);
    match query.body.as_ref() {
        SetExpr::Select(select) => {
            let ControlFlow::Continue(()) = select.distinct.visit(&mut names);
            let ControlFlow::Continue(()) = select.group_by.visit(&mut names);
            let ControlFlow::Continue(()) = select.having.visit(&mut names);
            let ControlFlow::Continue(()) = select.qualify.visit(&mut names);
        }
        SetExpr::Query(inner) => names.0.extend(names_mentioned(inner)),
        _ => {}
    }
    names.0
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn told(text: &str) -> String {
        let mut parsed = Parser::parse_sql(&GenericDialect {}, text).unwrap();
        let Statement::Query(query) = &mut parsed[0] else {
            panic!("{text} is no query");
        };
        tell_apart(query);
        query.to_string().replace(MARK, "^")
    }

    #[test]
    fn the_second_of_two_columns_of_one_name_is_told_apart() {
        for (text, wanted) in [
            ("SELECT 1 AS a, 2 AS a", r#"SELECT 1 AS a, 2 AS "a^4""#),
            ("SELECT a, 2 AS a FROM t", r#"SELECT a, 2 AS "a^4" FROM t"#),
            ("SELECT *, id FROM t", r#"SELECT *, id AS "id^4" FROM t"#),
            (
                "SELECT t.id, t.* FROM t",
                r#"SELECT t.id AS "id^3", t.* FROM t"#,
            ),
            ("(SELECT 1 AS a, 2 AS a)", r#"(SELECT 1 AS a, 2 AS "a^4")"#),
        ] {
            assert_eq!(told(text), wanted);
        }
    }

    #[test]
    fn what_is_told_apart_already_or_could_be_meant_by_an_order_stays() {
        for text in [
            "SELECT a, b AS c, * FROM (SELECT 1 AS a)".replace("a, ", ""),
            "SELECT t.id, u.id FROM t, u".to_string(),
            // Equal expressions were told apart when their names were bound.
            "SELECT id, id, max(a), max(a) FROM t".to_string(),
            "SELECT 1 AS a, 2 AS a ORDER BY a".to_string(),
            "SELECT sum(a) AS x, sum(b) AS x FROM t GROUP BY k HAVING x > 1".to_string(),
            "SELECT a AS x, b AS x FROM t GROUP BY x".to_string(),
            "SELECT DISTINCT ON (x) a AS x, b AS x FROM t".to_string(),
            "SELECT t.*, u.id FROM t JOIN u ON t.id = u.other ORDER BY id".to_string(),
            "SELECT *, id + 1 FROM t".to_string(),
            "SELECT 1, 1 UNION SELECT 2, 2".to_string(),
            "SELECT * FROM (SELECT id, id FROM t)".to_string(),
        ] {
            assert_eq!(told(&text), text);
        }
    }

    #[test]
    fn names_are_shown_without_their_marks() {
        assert_eq!(shown("id\u{1f}12"), "id");
        assert_eq!(shown("id"), "id");
        assert_eq!(shown("id\u{1f}x"), "id\u{1f}x");
        assert_eq!(
            shown_within("Projection: t.id, t.id AS id\u{1f}1, b\u{1f}22"),
            "Projection: t.id, t.id AS id, b"
        );
    }
}
