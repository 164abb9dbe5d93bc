//! From text to exactly one statement of the allow-list.
//!
//! The first words decide whether a statement may run at all, before it is parsed: so what is refused is refused by
//! name, in every spelling of it that some dialect or engine knows.

use std::sync::Arc;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, TokenizerError};

use super::build::statement;
use super::dialect::BoundedDialect;
use super::refuse::place;
use super::statement::Statement;
use super::travel;
use crate::error::Position;
use crate::{PlannerError, Result};

/// How deep the parser itself may go; brackets and sub-queries count.
const PARSER_DEPTH_MAX: usize = 100;
/// How many parameters one statement takes.
const PARAMETERS_MAX: usize = 1000;
/// How many words and signs that can nest one statement may hold: each could be a level of the tree before it is tamed.
const NESTING_TOKENS_MAX: usize = 20_000;
/// The stack that parsing gets: enough for a tree as deep as [`NESTING_TOKENS_MAX`], committed only as it is used.
const PARSER_STACK_BYTES: usize = 64 << 20;

/// What the user is told who wants to write.
const WRITES: &str = "Landfast reads tables and does not write them yet; write with another Iceberg engine, and the \
                      next query sees it";

/// Parses exactly one statement of at most `bytes_max` bytes.
pub(crate) fn parse(text: &str, bytes_max: usize) -> Result<Statement> {
    if text.len() > bytes_max {
        return Err(PlannerError::exhausted(format!(
            "the statement is {} bytes long, and {bytes_max} are allowed",
            text.len()
        )));
    }
    // Parsing, taming and dropping an untamed tree take stack by its depth; what leaves here is tame.
    stacker::grow(PARSER_STACK_BYTES, || parse_here(text))
}

fn parse_here(text: &str) -> Result<Statement> {
    let dialect = GenericDialect {};
    let mut tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| tokenizer_error(&error))?;
    let parameters = number_parameters(&mut tokens)?;
    let words: Vec<&TokenWithSpan> = tokens
        .iter()
        .filter(|token| !is_blank(&token.token))
        .collect();
    allowed(&words)?;
    no_deep_nesting(&words)?;
    let start = words.first().and_then(|token| place(token.span));
    let dialect = BoundedDialect::of_tokens(tokens.len());
    let (tokens, clauses) = travel::take(&dialect, tokens)?;
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(PARSER_DEPTH_MAX)
        .with_tokens_with_locations(tokens);
    let ast = parser
        .parse_statement()
        .map_err(|error| match dialect.is_spent() {
            true => hard_to_parse(),
            false => parser_error(error),
        })?;
    let mut ended = false;
    while parser.consume_token(&Token::SemiColon) {
        ended = true;
    }
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let text = if ended {
            "a request holds exactly one statement, and another follows".to_string()
        } else {
            format!(
                "the statement should end before {:?}",
                rest.token.to_string()
            )
        };
        return Err(PlannerError::invalid(text).at(place(rest.span)));
    }
    statement(ast, Arc::from(text), parameters, start, clauses)
}

fn is_blank(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_) | Token::EOF)
}

/// Gives each `?` its number, in the order of the text, and counts parameters.
fn number_parameters(tokens: &mut [TokenWithSpan]) -> Result<usize> {
    let (mut questions, mut highest) = (0usize, 0usize);
    let mut dollars = false;
    for token in tokens {
        let at = place(token.span);
        let Token::Placeholder(name) = &mut token.token else {
            continue;
        };
        if name == "?" {
            questions += 1;
            *name = format!("${questions}");
            highest = highest.max(questions);
        } else {
            dollars = true;
            let number = name[1..]
                .parse::<usize>()
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| {
                    PlannerError::invalid(format!(
                        "parameter {name} has no number: write ? or $1, $2, …"
                    ))
                    .at(at)
                })?;
            *name = format!("${number}");
            highest = highest.max(number);
        }
        if questions > 0 && dollars {
            return Err(PlannerError::invalid(
                "a statement numbers its parameters with ? or with $1, not both",
            )
            .at(at));
        }
        if highest > PARAMETERS_MAX {
            return Err(PlannerError::exhausted(format!(
                "a statement takes at most {PARAMETERS_MAX} parameters"
            ))
            .at(at));
        }
    }
    Ok(highest)
}

/// Refuses whatever does not start like a statement of the allow-list.
fn allowed(words: &[&TokenWithSpan]) -> Result<()> {
    let Some(first) = words.iter().find(|token| token.token != Token::SemiColon) else {
        return Err(PlannerError::invalid("the statement is empty"));
    };
    let at = place(first.span);
    let keywords: Vec<Keyword> = words
        .iter()
        .take(8)
        .map(|token| keyword(&token.token))
        .collect();
    let upper = |n: usize| {
        words
            .iter()
            .take(n)
            .map(|token| token.token.to_string().to_uppercase())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let no = |name: String, why: &str| {
        Err(PlannerError::unsupported(format!("{name} is not supported: {why}")).at(at))
    };
    match keywords[0] {
        Keyword::EXPLAIN => {
            let inner = words[1..].iter().position(|token| {
                !matches!(keyword(&token.token), Keyword::ANALYZE | Keyword::VERBOSE)
            });
            match inner.map(|n| words[n + 1]) {
                Some(next) if starts_query(&next.token) => Ok(()),
                Some(next) => no(
                    format!("EXPLAIN … {}", next.token.to_string().to_uppercase()),
                    "EXPLAIN [ANALYZE] [VERBOSE] takes a query",
                ),
                None => Err(PlannerError::invalid("EXPLAIN what?").at(at)),
            }
        }
        Keyword::SET
        | Keyword::RESET
        | Keyword::SHOW
        | Keyword::DESCRIBE
        | Keyword::DESC
        | Keyword::CALL
        | Keyword::USE => Ok(()),
        Keyword::CREATE => match keywords.get(1) {
            Some(Keyword::SCHEMA) => Ok(()),
            Some(Keyword::EXTERNAL) => no(
                upper(3),
                "use CALL landfast.register_table('catalog.schema.table', 'URI')",
            ),
            Some(Keyword::TABLE) | Some(Keyword::OR) | Some(Keyword::TEMPORARY) => {
                no(upper(2), WRITES)
            }
            _ => no(upper(2), "only CREATE SCHEMA is"),
        },
        Keyword::DROP => match keywords.get(1) {
            Some(Keyword::SCHEMA | Keyword::TABLE) => Ok(()),
            _ => no(upper(2), "only DROP SCHEMA and DROP TABLE are"),
        },
        Keyword::INSERT
        | Keyword::UPDATE
        | Keyword::DELETE
        | Keyword::MERGE
        | Keyword::TRUNCATE
        | Keyword::REPLACE
        | Keyword::ALTER => no(upper(1), WRITES),
        Keyword::COPY | Keyword::EXPORT | Keyword::UNLOAD => no(
            upper(1),
            "run a query and let the client write what it gets",
        ),
        Keyword::PREPARE | Keyword::EXECUTE | Keyword::EXEC | Keyword::DEALLOCATE => {
            no(upper(1), "use your driver's prepared statements")
        }
        Keyword::BEGIN
        | Keyword::START
        | Keyword::COMMIT
        | Keyword::ROLLBACK
        | Keyword::SAVEPOINT => no(
            upper(1),
            "each query reads pinned snapshots, and there are no transactions",
        ),
        _ if starts_query(&first.token) => Ok(()),
        _ if matches!(first.token, Token::Word(_)) => no(
            upper(1),
            "Landfast runs queries, EXPLAIN, SHOW, DESCRIBE, SET, RESET, USE, CALL, CREATE SCHEMA and DROP",
        ),
        _ => Err(
            PlannerError::invalid(format!("a statement can't start with {}", first.token)).at(at),
        ),
    }
}

fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

fn starts_query(token: &Token) -> bool {
    *token == Token::LParen
        || matches!(
            keyword(token),
            Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::FROM
        )
}

/// Bounds how deep a tree the parser could build before [`tame`] sees it.
fn no_deep_nesting(words: &[&TokenWithSpan]) -> Result<()> {
    let nesting = words
        .iter()
        .filter(|token| match &token.token {
            Token::Word(word) => word.quote_style.is_none() && word.keyword != Keyword::NoKeyword,
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Comma
            | Token::Period
            | Token::LParen
            | Token::RParen => false,
            _ => true,
        })
        .count();
    if nesting > NESTING_TOKENS_MAX {
        return Err(PlannerError::exhausted(format!(
            "the statement holds {nesting} operators and keywords, and {NESTING_TOKENS_MAX} are allowed"
        )));
    }
    Ok(())
}

fn tokenizer_error(error: &TokenizerError) -> PlannerError {
    PlannerError::invalid(error.message.clone()).at(Some(Position {
        line: error.location.line,
        column: error.location.column,
    }))
}

/// Nobody writes a valid statement that ends here; where the error lies is not known.
fn hard_to_parse() -> PlannerError {
    PlannerError::exhausted(
        "the statement is wrong somewhere within nested expressions, too deep to say where: nest them less",
    )
}

/// The parser's errors hold the place in their text: ` at Line: 1, Column: 5`.
fn parser_error(error: ParserError) -> PlannerError {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            return PlannerError::exhausted(format!(
                "the statement nests deeper than {PARSER_DEPTH_MAX} levels"
            ));
        }
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
    };
    let Some((message, place)) = text.rsplit_once(" at Line: ") else {
        return PlannerError::invalid(text);
    };
    let position = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(Position {
            line: line.parse().ok()?,
            column: column.parse().ok()?,
        })
    });
    match position {
        Some(position) => PlannerError::invalid(message).at(Some(position)),
        None => PlannerError::invalid(text),
    }
}

#[cfg(test)]
mod tests;
