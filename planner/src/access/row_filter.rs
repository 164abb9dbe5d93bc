//! [`RowFilter`]: which rows of a table a grant gives.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, SetExpr, Value, Visit, VisitMut,
    Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::Access;
use crate::Statement;
use crate::sql::dialect::BoundedDialect;
use crate::sql::statement::QueryKind;

/// The function that stands for the asker's name.
const CURRENT_USER: &str = "current_user";
/// The function that says whether the asker is in a group.
const IS_MEMBER: &str = "is_member";
/// How long a filter may be, in bytes.
const BYTES_MAX: usize = 64 << 10;

/// A condition on one table's rows: `region = 'EU' AND is_member('sales')`.
///
/// It is one SQL expression over the table's own columns, whichever of them a grant gives. `current_user` is the name
/// of who asks, and `is_member('group')` whether they are in a group. It has no queries and no parameters. Whether it
/// fits a table, is found out when the table is read.
#[derive(Debug, Clone)]
pub struct RowFilter {
    text: String,
    expr: Expr,
}

/// Two filters are the same when they are written the same.
impl PartialEq for RowFilter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl RowFilter {
    /// Reads a filter.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() > BYTES_MAX {
            return Err(format!("is longer than {BYTES_MAX} bytes"));
        }
        one_expression(text)?;
        // As a part of a statement it is refused what statements are.
        let statement = crate::sql::parse::parse(&format!("SELECT 1 WHERE {text}"), 2 * BYTES_MAX);
        let statement = statement.map_err(|error| match error {
            crate::PlannerError::InvalidArgument { text, .. }
            | crate::PlannerError::Unsupported { text, .. } => text,
            other => other.to_string(),
        })?;
        let Statement::Query(statement) = statement else {
            return Err("is no condition".to_string());
        };
        if statement.parameters > 0 {
            return Err("has parameters".to_string());
        }
        if statement.deep {
            return Err("nests too deep".to_string());
        }
        let QueryKind::Rows(query) = statement.kind else {
            return Err("is no condition".to_string());
        };
        let SetExpr::Select(select) = *query.body else {
            return Err("is no condition".to_string());
        };
        let expr = select.selection.ok_or("is empty")?;
        if let ControlFlow::Break(what) = expr.visit(&mut Checker) {
            return Err(what);
        }
        Ok(Self {
            text: text.to_string(),
            expr,
        })
    }

    /// The filter as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The condition for this asker: with their name and groups in the place of the functions that ask for them.
    pub(crate) fn of(&self, access: &Access) -> Expr {
        let mut expr = self.expr.clone();
        // Filling in never breaks off.
        let _ = VisitMut::visit(&mut expr, &mut Filler(access));
        expr
    }
}

/// The text is one expression from its start to its end.
fn one_expression(text: &str) -> Result<(), String> {
    // A text has at most as many tokens as letters.
    let dialect = BoundedDialect::of_tokens(text.len());
    let mut parser = Parser::new(&dialect)
        .try_with_sql(text)
        .map_err(|error| error.to_string())?;
    parser.parse_expr().map_err(|error| error.to_string())?;
    match parser.peek_token().token {
        Token::EOF => Ok(()),
        other => Err(format!("should end before {:?}", other.to_string())),
    }
}

/// What a function of ours asks for.
enum Asks {
    CurrentUser,
    IsMember(String),
}

/// Whether an expression is one of our functions, and if it is called rightly.
fn asks(expr: &Expr) -> Option<Result<Asks, String>> {
    let Expr::Function(function) = expr else {
        return None;
    };
    let name = function.name.to_string().to_lowercase();
    let arguments: Vec<&FunctionArg> = match &function.args {
        FunctionArguments::List(list) => list.args.iter().collect(),
        FunctionArguments::None | FunctionArguments::Subquery(_) => Vec::new(),
    };
    match (name.as_str(), arguments.as_slice()) {
        (CURRENT_USER, []) => Some(Ok(Asks::CurrentUser)),
        (IS_MEMBER, [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))]) => {
            match &value.value {
                Value::SingleQuotedString(group) => Some(Ok(Asks::IsMember(group.clone()))),
                _ => Some(Err(format!("{IS_MEMBER}('group') takes a text"))),
            }
        }
        (IS_MEMBER, _) => Some(Err(format!("{IS_MEMBER}('group') takes one text"))),
        _ => None,
    }
}

struct Checker;

impl Visitor for Checker {
    type Break = String;

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<String> {
        ControlFlow::Break("holds a query: a filter looks at one row of its own table".to_string())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        match asks(expr) {
            Some(Err(what)) => ControlFlow::Break(what),
            _ => ControlFlow::Continue(()),
        }
    }
}

struct Filler<'a>(&'a Access);

impl VisitorMut for Filler<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let value = match asks(expr) {
            Some(Ok(Asks::CurrentUser)) => {
                Value::SingleQuotedString(self.0.principal().to_string())
            }
            Some(Ok(Asks::IsMember(group))) => Value::Boolean(self.0.is_member(&group)),
            _ => return ControlFlow::Continue(()),
        };
        *expr = Expr::value(value);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::AccessPolicy;
    use crate::{Asker, Groups, Role};

    fn refused(text: &str) -> String {
        RowFilter::parse(text)
            .err()
            .unwrap_or_else(|| panic!("{text} is taken"))
    }

    #[test]
    fn a_filter_is_one_condition_without_queries_and_parameters() {
        for wrong in [
            "",
            "a =",
            "a = 1; DROP TABLE t",
            "a = 1 GROUP BY a",
            "true) OR (true",
            "a = ?",
            "a = $1",
            "a = 1, b = 2",
            "a = 1 UNION SELECT 1",
            "a = current_user('x')",
        ] {
            refused(wrong);
        }
        assert!(refused("a IN (SELECT b FROM t)").contains("query"));
        assert!(refused("EXISTS (SELECT 1)").contains("query"));
        assert!(
            refused("is_member(a)").contains("text") && refused("is_member()").contains("text")
        );
        for right in [
            "a = 1 -- a comment",
            "(a > 1 AND b LIKE 'x%') OR c IS NULL",
            "true",
        ] {
            RowFilter::parse(right).unwrap();
        }
    }

    #[test]
    fn who_asks_is_a_value_and_never_a_piece_of_sql() {
        let asker = Asker {
            principal: "a\\' OR true --".to_string(),
            groups: Groups::new(["sales"]),
            role: Role::Reader,
            session: None,
        };
        let access = AccessPolicy::default().access(&asker);
        let filter =
            RowFilter::parse("owner = Current_User AND (is_member('sales') OR IS_MEMBER('x'))");
        let mut found = Vec::new();
        struct Values<'a>(&'a mut Vec<Value>);
        impl Visitor for Values<'_> {
            type Break = ();
            fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
                if let Expr::Value(value) = expr {
                    self.0.push(value.value.clone());
                }
                ControlFlow::Continue(())
            }
        }
        let _ = filter.unwrap().of(&access).visit(&mut Values(&mut found));
        assert_eq!(
            found,
            [
                Value::SingleQuotedString(asker.principal),
                Value::Boolean(true),
                Value::Boolean(false)
            ]
        );
    }
}
