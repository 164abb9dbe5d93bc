//! Where one statement of a file ends and the next begins.

/// Cuts `text` at the semicolons that stand outside quotes and comments. Pieces without a word are left out.
pub(super) fn split(text: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let mut rest = text;
    while let Some(end) = end_of_statement(rest) {
        push(&mut statements, &rest[..end]);
        rest = &rest[end + 1..];
    }
    push(&mut statements, rest);
    statements
}

/// Whether `text` ends with a semicolon that ends a statement; what follows it is blank or comment.
pub(super) fn is_complete(text: &str) -> bool {
    let mut rest = text;
    let mut complete = false;
    while let Some(end) = end_of_statement(rest) {
        complete = true;
        rest = &rest[end + 1..];
    }
    complete && is_empty(rest)
}

fn push<'a>(statements: &mut Vec<&'a str>, piece: &'a str) {
    if !is_empty(piece) {
        statements.push(piece.trim());
    }
}

/// What the scanner is inside of.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Code,
    Quote(u8),
    LineComment,
    BlockComment(u32),
}

/// The byte offset of the first semicolon in code.
fn end_of_statement(text: &str) -> Option<usize> {
    scan(text).find_map(|(at, byte, inside)| (inside == Inside::Code && byte == b';').then_some(at))
}

/// Whether there is nothing but blanks and comments.
fn is_empty(text: &str) -> bool {
    !scan(text).any(|(_, byte, inside)| match inside {
        Inside::Code => !byte.is_ascii_whitespace(),
        Inside::Quote(_) => true,
        Inside::LineComment | Inside::BlockComment(_) => false,
    })
}

/// Every byte with what it stands in. A doubled quote closes and opens again, which comes to the same.
fn scan(text: &str) -> impl Iterator<Item = (usize, u8, Inside)> + '_ {
    let bytes = text.as_bytes();
    let mut inside = Inside::Code;
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *bytes.get(at)?;
        let next = bytes.get(at + 1).copied();
        let here = at;
        let (shown, after, step) = match inside {
            Inside::Code => match (byte, next) {
                (b'\'' | b'"', _) => (Inside::Quote(byte), Inside::Quote(byte), 1),
                (b'-', Some(b'-')) => (Inside::LineComment, Inside::LineComment, 2),
                (b'/', Some(b'*')) => (Inside::BlockComment(1), Inside::BlockComment(1), 2),
                _ => (Inside::Code, Inside::Code, 1),
            },
            Inside::Quote(quote) if byte == quote => (inside, Inside::Code, 1),
            Inside::LineComment if byte == b'\n' => (inside, Inside::Code, 1),
            Inside::BlockComment(depth) => match (byte, next) {
                (b'*', Some(b'/')) if depth == 1 => (inside, Inside::Code, 2),
                (b'*', Some(b'/')) => (inside, Inside::BlockComment(depth - 1), 2),
                (b'/', Some(b'*')) => (inside, Inside::BlockComment(depth + 1), 2),
                _ => (inside, inside, 1),
            },
            Inside::Quote(_) | Inside::LineComment => (inside, inside, 1),
        };
        at += step;
        inside = after;
        Some((here, byte, shown))
    })
}

#[cfg(test)]
mod tests {
    use super::{is_complete, split};

    #[test]
    fn a_file_is_cut_at_its_semicolons() {
        assert_eq!(split("SELECT 1; SELECT 2;\n"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(split("SELECT 1"), ["SELECT 1"]);
        assert!(split(" ;; -- nothing;\n/* nor ; here */").is_empty());
    }

    #[test]
    fn a_semicolon_in_quotes_or_a_comment_ends_nothing() {
        assert_eq!(
            split("SELECT ';''', \"a;b\" -- x;y\n, /* ; /* ; */ ; */ 2; SELECT 3"),
            [
                "SELECT ';''', \"a;b\" -- x;y\n, /* ; /* ; */ ; */ 2",
                "SELECT 3"
            ]
        );
    }

    #[test]
    fn an_open_quote_keeps_the_rest() {
        assert_eq!(split("SELECT 'a; b"), ["SELECT 'a; b"]);
        assert!(!is_complete("SELECT 'a;"));
    }

    #[test]
    fn a_statement_is_complete_at_its_semicolon() {
        assert!(is_complete("SELECT 1;"));
        assert!(is_complete("SELECT 1; -- done"));
        assert!(!is_complete("SELECT 1; SELECT"));
        assert!(!is_complete("SELECT 1"));
    }

    #[test]
    fn letters_of_several_bytes_are_kept_whole() {
        assert_eq!(
            split("SELECT 'ä;ß'; SELECT 'ö'"),
            ["SELECT 'ä;ß'", "SELECT 'ö'"]
        );
    }
}
