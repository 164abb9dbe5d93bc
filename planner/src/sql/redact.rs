//! A statement without its literals, for records that outlive it.
//!
//! What is shown is chosen, not what is hidden: whatever is not known to be harmless becomes `?`. In a statement that can
//! be parsed, names are names; in one that can't, any word may be a literal that lost its quotes, and only SQL's own
//! words are shown; of one that can't even be cut into words, only its length is.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::{ALL_KEYWORDS, Keyword};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::parse::parse;
use crate::substrait::stands_for_a_plan;

/// What stands for a literal.
const HIDDEN: &str = "?";

/// What stands for a statement that can't be read begins so; no statement that can does.
const UNREADABLE: &str = "(a statement of ";

/// The statement without its literals and comments. `bytes_max` is the longest that is looked at.
///
/// Names are shown, in quotes too: a client that mistook them for literals gets an error, and [`hide_names`] and
/// [`hide_quoted`] are for those.
pub fn redact(text: &str, bytes_max: usize) -> String {
    let unreadable = || format!("{UNREADABLE}{} bytes that can't be read)", text.len());
    if text.len() > bytes_max {
        return unreadable();
    }
    if stands_for_a_plan(text) || stands_for_an_upload(text) {
        return text.to_owned();
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else {
        return unreadable();
    };
    let trusted = parse(text, bytes_max).is_ok();
    let mut shown = String::with_capacity(text.len().min(4096));
    let mut scribe = Scribe::default();
    for token in tokens {
        scribe.write(&token, trusted, &mut shown);
    }
    shown.truncate(shown.trim_end().len());
    shown
}

/// The same text with names in quotes hidden too, for statements that failed.
pub fn hide_quoted(redacted: &str) -> String {
    hide(redacted, |part, shown| shown.push_str(part))
}

/// The same text with all names hidden, for statements whose names were not all found: what was meant as a literal, and
/// lost its quotes or was written in the quotes of names, fails as an unknown name. Only SQL's own words are left.
pub fn hide_names(redacted: &str) -> String {
    if redacted.starts_with(UNREADABLE) || stands_for_a_plan(redacted) {
        return redacted.to_owned();
    }
    hide(redacted, hide_words)
}

/// Whether a text is what stands for an upload in records: `INGEST INTO TEMPORARY "t"`. There is nothing but a name in it.
fn stands_for_an_upload(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("INGEST INTO ") else {
        return false;
    };
    let name = rest.strip_prefix("TEMPORARY ").unwrap_or(rest);
    let is_part = |token: &Token| match token {
        Token::Word(word) => word.quote_style == Some('"'),
        Token::Period => true,
        _ => false,
    };
    let tokens = Tokenizer::new(&GenericDialect {}, name).tokenize();
    tokens.is_ok_and(|tokens| !tokens.is_empty() && tokens.iter().all(is_part))
}

fn hide(redacted: &str, bare: impl Fn(&str, &mut String)) -> String {
    let mut shown = String::with_capacity(redacted.len());
    // Every second part stands in quotes; a doubled quote inside only makes one more.
    for (number, part) in redacted.split('"').enumerate() {
        if number % 2 == 1 {
            shown.push_str("\"?\"");
        } else {
            bare(part, &mut shown);
        }
    }
    shown
}

/// Words that are none of SQL's become `?`, and so does what is left of a word that was cut.
fn hide_words(part: &str, shown: &mut String) {
    let in_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '@' | '#');
    let mut rest = part;
    while let Some(first) = rest.chars().next() {
        let is_word = in_word(first);
        let end = rest
            .find(|c: char| in_word(c) != is_word)
            .unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        shown.push_str(if !is_word || is_plain(run) {
            run
        } else {
            HIDDEN
        });
        rest = after;
    }
}

/// Whether a word is one of SQL's, or the number of a parameter.
fn is_plain(word: &str) -> bool {
    let numbered = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit());
    word.strip_prefix('$').is_some_and(numbered)
        || ALL_KEYWORDS
            .binary_search(&word.to_uppercase().as_str())
            .is_ok()
}

#[derive(Default)]
struct Scribe {
    /// The last token was a literal, and nothing came in between.
    after_literal: bool,
    first: Option<Keyword>,
    /// What follows is what SET sets.
    in_value: bool,
}

impl Scribe {
    fn write(&mut self, token: &Token, trusted: bool, shown: &mut String) {
        let glued = std::mem::take(&mut self.after_literal);
        match token {
            // Comments too.
            Token::Whitespace(_) => {
                if !shown.is_empty() && !shown.ends_with(' ') {
                    shown.push(' ');
                }
            }
            Token::Word(word) => {
                self.first.get_or_insert(word.keyword);
                let is_name = trusted && !self.in_value;
                // Digits, and letters right behind them: a literal that was cut in two.
                if glued {
                    self.after_literal = true;
                } else if word.quote_style.is_none()
                    && (is_name || word.keyword != Keyword::NoKeyword)
                {
                    shown.push_str(&word.value);
                } else if is_name {
                    shown.push('"');
                    shown.push_str(&word.value.replace('"', "\"\""));
                    shown.push('"');
                } else {
                    shown.push_str(HIDDEN);
                }
                let assigns = self.first == Some(Keyword::SET) && word.keyword == Keyword::TO;
                self.in_value |= assigns;
            }
            Token::Placeholder(name) => {
                let numbered = name.strip_prefix('$').is_some_and(|number| {
                    number.len() <= 4 && number.bytes().all(|byte| byte.is_ascii_digit())
                });
                shown.push_str(if numbered { name } else { HIDDEN });
            }
            Token::EOF => {}
            other => {
                let sign = other.to_string();
                let harmless = sign.chars().all(|c| c.is_ascii_punctuation())
                    && !sign.contains(['"', '\'', '`', '_']);
                if harmless {
                    shown.push_str(&sign);
                    self.in_value |= self.first == Some(Keyword::SET) && *other == Token::Eq;
                } else {
                    shown.push_str(HIDDEN);
                    self.after_literal = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(text: &str) -> String {
        redact(text, 1 << 20)
    }

    #[test]
    fn what_stands_for_an_upload_or_a_plan_is_shown_as_it_is() {
        for text in [
            r#"INGEST INTO TEMPORARY "t""#,
            r#"INGEST INTO "lake"."s"."a ""b""""#,
        ] {
            assert_eq!(redact(text, 1000), text);
        }
        for text in [
            "INGEST INTO TEMPORARY hush",
            r#"INGEST INTO "t" SELECT 'hush'"#,
        ] {
            let shown = hide_names(&redact(text, 1000));
            assert!(!shown.contains("hush"), "{shown}");
        }
        let plan = crate::substrait_text(b"a plan");
        assert_eq!(hide_names(&redact(&plan, 1000)), plan);
    }

    #[test]
    fn literals_of_every_kind_are_hidden_and_names_stay() {
        for (text, shown) in [
            (
                "SELECT name, 'hush' FROM lake.s.t  WHERE id = 4711 AND n > -1.5e3",
                "SELECT name, ? FROM lake.s.t WHERE id = ? AND n > -?",
            ),
            (
                "select * from \"My Table\" where a = 'hu''sh' -- hush\n or b = $1 /* hush */",
                "select * from \"My Table\" where a = ? or b = $1",
            ),
            (
                "SELECT DATE '2020-02-02', INTERVAL '3 days'",
                "SELECT DATE ?, INTERVAL ?",
            ),
            (
                "SET landfast.freshness = 'hush'",
                "SET landfast.freshness = ?",
            ),
            ("SET landfast.as_of TO hush", "SET landfast.as_of TO ?"),
            (
                "SELECT * FROM t FOR VERSION AS OF 8765309 LIMIT 10",
                "SELECT * FROM t FOR VERSION AS OF ? LIMIT ?",
            ),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    #[test]
    fn literals_that_this_engine_does_not_take_are_hidden_too() {
        for text in [
            "SELECT X'hush'",
            "SELECT E'hu\\'sh'",
            "SELECT N'hush', U&'hush', $$hush$$, $tag$hush$tag$",
            "SELECT q'[hush]', _utf8'hush', B'hush', R'hush'",
            "INSERT INTO t VALUES ('hush', 1)",
            "CREATE USER hush PASSWORD 'hush'",
            "SELECT 1hush",
            "SELECT 1_hush, 0xhush",
        ] {
            let shown = redacted(text);
            assert!(!shown.contains("hush"), "{text}: {shown}");
        }
    }

    #[test]
    fn a_statement_that_is_none_shows_nothing_but_words_of_sql() {
        assert_eq!(
            redacted("SELECT * FROM t WHERE name = hush hush hush"),
            "SELECT * FROM ? WHERE name = ? ? ?"
        );
        assert_eq!(redacted("PASSWORD hush \"hush\""), "PASSWORD ? ?");
        assert_eq!(
            redacted("SELECT 'hush"),
            "(a statement of 12 bytes that can't be read)"
        );
        assert_eq!(
            redact("SELECT 'hush'", 5),
            "(a statement of 13 bytes that can't be read)"
        );
    }

    #[test]
    fn quoted_names_of_a_failed_statement_can_be_hidden_as_well() {
        let shown = redacted("SELECT a FROM t WHERE b = \"hush\" AND \"h\"\"ush\" = \"x\"");
        assert!(shown.contains("hush"));
        assert_eq!(
            hide_quoted(&shown),
            "SELECT a FROM t WHERE b = \"?\" AND \"?\"\"?\" = \"?\""
        );
        assert_eq!(hide_quoted("SELECT \"cut sh"), "SELECT \"?\"");
    }

    #[test]
    fn all_names_of_a_statement_that_was_not_understood_can_be_hidden_as_well() {
        let shown = |text: &str| hide_names(&redacted(text));
        assert_eq!(
            shown("SELECT a, count(*) FROM lake.s.t WHERE name = hush AND b = $1 LIMIT 5"),
            "SELECT ?, count(*) FROM ?.?.? WHERE name = ? AND ? = $1 LIMIT ?"
        );
        assert_eq!(
            shown("SELECT * FROM t WHERE b = hush_4711 OR b = \"hush\" OR b = hüsh OR b = _4711"),
            "SELECT * FROM ? WHERE ? = ? OR ? = \"?\" OR ? = ? OR ? = ?"
        );
        assert_eq!(
            shown("SELECT 'hush"),
            "(a statement of 12 bytes that can't be read)"
        );
        assert_eq!(hide_names("SELECT hush, \"cut hu…"), "SELECT ?, \"?\"");
        assert_eq!(hide_names("SELECT a FROM hus…"), "SELECT ? FROM ?…");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_literal_that_lost_its_quotes_is_left_of_a_statement_that_was_not_understood(
            before in "[ -~äß\n]{0,40}", after in "[ -~äß\n]{0,40}", digits in 1_000_000_000u64..,
        ) {
            for text in [
                format!("SELECT a FROM t WHERE b = kumquat{digits} AND c = 1"),
                format!("SELECT kumquat{digits} {after}"),
                format!("{before} kumquat{digits} {after}"),
            ] {
                let shown = hide_names(&redacted(&text));
                prop_assert!(!shown.contains("kumquat"), "{text} is shown as {shown}");
                prop_assert!(!shown.contains(&digits.to_string()), "{text} is shown as {shown}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_literal_is_left_whatever_stands_around_it(
            before in "[ -~äß\n]{0,40}", after in "[ -~äß\n]{0,40}", quote in 0usize..5, digits in 1_000_000_000u64..,
        ) {
            let secret = format!("kumquat{digits}");
            let literal = match quote {
                0 => format!("'{secret}'"),
                1 => format!("'x{secret}''y'"),
                2 => digits.to_string(),
                3 => format!("$${secret}$$"),
                _ => format!("E'{secret}'"),
            };
            for text in [
                format!("SELECT a FROM t WHERE b = {literal} AND c = 1"),
                format!("{before} {literal} {after}"),
                format!("SELECT {literal} {after}"),
                format!("{before}{literal}"),
            ] {
                let shown = hide_quoted(&redacted(&text));
                prop_assert!(!shown.contains("kumquat"), "{text} is shown as {shown}");
                prop_assert!(!shown.contains(&digits.to_string()), "{text} is shown as {shown}");
            }
        }
    }
}
