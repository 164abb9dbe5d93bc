//! Time travel: clauses that ask for a version of a table, in every spelling that some engine has.
//!
//! The parser knows few of them, and not in every dialect. So they are taken out of a statement's words before it is
//! parsed, each with the word before it, which has to be a table's name, and put back into the tree at that name. A
//! clause whose word turns out to be anything else is an error: none is ever lost.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, Query, TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Word};

use super::refuse::place;
use super::version::{Axis, Version};
use crate::error::Position;
use crate::{PlannerError, Result};

/// How many words the value of a clause may have: a cast of a typed literal has a dozen.
const VALUE_TOKENS_MAX: usize = 64;
/// How deep it may nest.
const VALUE_DEPTH_MAX: usize = 8;

/// The clauses of one statement that still wait for their tables.
#[derive(Debug, Default)]
pub(super) struct Clauses(Vec<Clause>);

#[derive(Debug)]
struct Clause {
    /// Where the word before it starts: the last part of the table's name.
    name: Location,
    version: Version,
    at: Option<Position>,
}

/// Takes the clauses out of a statement's words.
///
/// # Errors
/// `Unsupported` for time travel of other kinds, and a clause whose value can't be a version.
pub(super) fn take(
    dialect: &dyn Dialect,
    tokens: Vec<TokenWithSpan>,
) -> Result<(Vec<TokenWithSpan>, Clauses)> {
    let words: Vec<usize> = (0..tokens.len())
        .filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_)))
        .collect();
    let mut clauses = Clauses::default();
    // The first and the last position of each clause in `tokens`.
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let mut nth = 0;
    while nth < words.len() {
        let Some((axis, length)) = head(&tokens, &words, nth)? else {
            nth += 1;
            continue;
        };
        let at = place(tokens[words[nth]].span);
        let Some(name) = nth.checked_sub(1).map(|before| &tokens[words[before]]) else {
            return Err(misplaced(at));
        };
        if !matches!(name.token, Token::Word(_))
            || taken.last().is_some_and(|(_, end)| *end == words[nth - 1])
        {
            return Err(misplaced(at));
        }
        let (version, used) = value(dialect, axis, &tokens, &words[nth + length..], at)?;
        clauses.0.push(Clause {
            name: name.span.start,
            version,
            at,
        });
        taken.push((words[nth], words[nth + length + used - 1]));
        nth += length + used;
    }
    let mut kept = Vec::with_capacity(tokens.len());
    let mut gone = taken.into_iter().peekable();
    for (at, token) in tokens.into_iter().enumerate() {
        while gone.next_if(|(_, end)| *end < at).is_some() {}
        if gone.peek().is_none_or(|(start, _)| at < *start) {
            kept.push(token);
        }
    }
    Ok((kept, clauses))
}

/// What the words from the nth on begin: a clause, and in how many words before its value.
fn head(tokens: &[TokenWithSpan], words: &[usize], nth: usize) -> Result<Option<(Axis, usize)>> {
    let token = |n: usize| words.get(nth + n).map(|at| &tokens[*at].token);
    let word = |n: usize| token(n).map(plain).unwrap_or_default();
    let axis = |name: &str| match name {
        "VERSION" | "SYSTEM_VERSION" => Some(Axis::Version),
        "TIMESTAMP" | "SYSTEM_TIME" => Some(Axis::Time),
        _ => None,
    };
    let refused = || {
        PlannerError::unsupported(
            "this kind of time travel is not supported: write FOR VERSION AS OF or FOR TIMESTAMP AS OF after the \
             table's name",
        )
        .at(place(tokens[words[nth]].span))
    };
    let first = word(0);
    if first == "FOR" {
        let named = word(1);
        let Some(axis) = axis(&named) else {
            return match named.as_str() {
                "APPLICATION_TIME" => Err(refused()),
                _ => Ok(None),
            };
        };
        return match (word(2).as_str(), word(3).as_str()) {
            ("AS", "OF") => Ok(Some((axis, 4))),
            ("FROM" | "BETWEEN" | "ALL" | "CONTAINED", _) => Err(refused()),
            _ => Ok(None),
        };
    }
    if matches!(first.as_str(), "AT" | "BEFORE")
        && token(1) == Some(&Token::LParen)
        && matches!(
            word(2).as_str(),
            "TIMESTAMP" | "OFFSET" | "STATEMENT" | "STREAM" | "VERSION"
        )
        && token(3) == Some(&Token::RArrow)
    {
        return Err(refused());
    }
    let bare = axis(&first).filter(|_| word(1) == "AS" && word(2) == "OF");
    // In a select list these are a column and its alias: then no name stands before them, and no value follows.
    let after_name = nth
        .checked_sub(1)
        .is_some_and(|before| may_be_name(&tokens[words[before]].token));
    Ok(bare
        .filter(|_| after_name && token(3).is_some_and(starts_value))
        .map(|axis| (axis, 3)))
}

/// An unquoted word in capitals.
fn plain(token: &Token) -> String {
    match token {
        Token::Word(Word {
            value,
            quote_style: None,
            ..
        }) => value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

fn may_be_name(token: &Token) -> bool {
    let Token::Word(word) = token else {
        return false;
    };
    word.quote_style.is_some()
        || !matches!(
            word.keyword,
            Keyword::SELECT
                | Keyword::DISTINCT
                | Keyword::ALL
                | Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::THEN
                | Keyword::ELSE
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::BETWEEN
        )
}

fn starts_value(token: &Token) -> bool {
    match token {
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::LParen
        | Token::Minus => true,
        Token::Word(word) => !matches!(
            word.keyword,
            Keyword::FROM
                | Keyword::WHERE
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::ORDER
                | Keyword::LIMIT
                | Keyword::OFFSET
                | Keyword::FETCH
                | Keyword::GROUP
                | Keyword::HAVING
                | Keyword::WINDOW
                | Keyword::QUALIFY
                | Keyword::INTO
        ),
        _ => false,
    }
}

/// The version that the words mean, and how many of them it takes.
fn value(
    dialect: &dyn Dialect,
    axis: Axis,
    tokens: &[TokenWithSpan],
    words: &[usize],
    at: Option<Position>,
) -> Result<(Version, usize)> {
    let slice: Vec<TokenWithSpan> = words
        .iter()
        .take(VALUE_TOKENS_MAX)
        .map(|at| tokens[*at].clone())
        .collect();
    let mut parser = Parser::new(dialect)
        .with_recursion_limit(VALUE_DEPTH_MAX)
        .with_tokens_with_locations(slice);
    let expr = parser.parse_expr().map_err(|_| {
        PlannerError::invalid(
            "a version should follow: a snapshot's id, a branch or tag in single quotes, or a time",
        )
        .at(words.first().and_then(|at| place(tokens[*at].span)).or(at))
    })?;
    let version = Version::of_value(axis, &expr).map_err(|error| error.at(at))?;
    Ok((version, parser.index()))
}

fn misplaced(at: Option<Position>) -> PlannerError {
    PlannerError::invalid(
        "AS OF belongs right after the name of a table, before its alias, and once: FROM t FOR VERSION AS OF 1 AS a",
    )
    .at(at)
}

impl Clauses {
    /// Puts each clause at its table.
    pub(super) fn give(&mut self, query: &mut Query) {
        if !self.0.is_empty() {
            let ControlFlow::<()>::Continue(()) = query.visit(self) else {
                return;
            };
        }
    }

    /// The clause of a table that a statement names outside a query.
    pub(super) fn of_name(&mut self, name: &ObjectName) -> Option<Version> {
        let last: &Ident = name.0.last()?.as_ident()?;
        let at = self
            .0
            .iter()
            .position(|clause| clause.name == last.span.start)?;
        Some(self.0.swap_remove(at).version)
    }

    /// All clauses have found their tables.
    ///
    /// # Errors
    /// `InvalidArgument` with the place of one that has not.
    pub(super) fn finish(&self) -> Result<()> {
        match self.0.iter().min_by_key(|clause| clause.at) {
            None => Ok(()),
            Some(clause) => Err(misplaced(clause.at)),
        }
    }
}

impl VisitorMut for Clauses {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, version, .. } = factor
            && let Some(found) = self.of_name(name)
        {
            *version = Some(found.to_ast());
        }
        ControlFlow::Continue(())
    }
}
