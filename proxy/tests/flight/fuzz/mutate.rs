//! Changing valid inputs: bytes at random, protobuf by its fields, SQL by its words.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Numbers that tend to be handled wrongly.
const EDGES: &[u64] = &[
    0,
    1,
    127,
    128,
    255,
    256,
    65_535,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];
/// How deep changes go into nested messages.
const DEPTH_MAX: usize = 24;
/// How large an input may grow; more is what the limit on messages is for.
const BYTES_MAX: usize = 200_000;

/// Bytes with some of them changed, cut out, doubled or put in.
pub(super) fn bytes(rng: &mut StdRng, input: &[u8]) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=out.len());
        let end = (at + rng.random_range(0..16)).min(out.len());
        match rng.random_range(0..6) {
            0 if at < out.len() => out[at] ^= 1 << rng.random_range(0..8),
            1 if at < out.len() => out[at] = rng.random(),
            2 => drop(out.drain(at..end)),
            3 => {
                let part = out[at..end].to_vec();
                out.splice(at..at, part);
            }
            4 => out.truncate(at),
            _ => {
                let random: Vec<u8> = (0..rng.random_range(1..9)).map(|_| rng.random()).collect();
                out.splice(at..at, random);
            }
        }
    }
    out
}

/// One field of a message.
#[derive(Clone)]
enum Value {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(Vec<u8>),
    Fixed32([u8; 4]),
}

#[derive(Clone)]
struct Field {
    number: u64,
    value: Value,
}

/// A message with one of its fields changed, at any depth; bytes that are no message are changed as such. What stands
/// in `others` can get in as the value of a field.
pub(super) fn message(rng: &mut StdRng, input: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    change_message(rng, input, others, 0)
}

fn change_message(rng: &mut StdRng, input: &[u8], others: &[Vec<u8>], depth: usize) -> Vec<u8> {
    let Some(mut fields) = read(input).filter(|fields| !fields.is_empty() && depth < DEPTH_MAX)
    else {
        return text_or_bytes(rng, input);
    };
    let at = rng.random_range(0..fields.len());
    match rng.random_range(0..12) {
        0 => drop(fields.remove(at)),
        1 => {
            let again = fields[at].clone();
            fields.push(again);
        }
        2 => fields[at].number = rng.random_range(1..20),
        3 => {
            let other = rng.random_range(0..fields.len());
            fields.swap(at, other);
        }
        4 => {
            let value = others.choose(rng).cloned().unwrap_or_default();
            fields[at].value = Value::Bytes(value);
        }
        5 => fields[at].value = Value::Varint(*EDGES.choose(rng).unwrap_or(&0)),
        6 => return bytes(rng, input),
        _ => {
            fields[at].value = match &fields[at].value {
                Value::Varint(number) => Value::Varint(match rng.random() {
                    true => *EDGES.choose(rng).unwrap_or(&0),
                    false => number.wrapping_add(rng.random_range(0..4)).wrapping_sub(2),
                }),
                Value::Fixed64(_) => Value::Fixed64(rng.random()),
                Value::Fixed32(_) => Value::Fixed32(rng.random()),
                Value::Bytes(inner) => Value::Bytes(change_message(rng, inner, others, depth + 1)),
            }
        }
    }
    let out = written(&fields);
    if out.len() > BYTES_MAX {
        bytes(rng, input)
    } else {
        out
    }
}

fn text_or_bytes(rng: &mut StdRng, input: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(input) {
        Ok(text) if text.contains(' ') && rng.random_range(0..4) > 0 => {
            statement(rng, text, &[]).into_bytes()
        }
        _ => bytes(rng, input),
    }
}

fn read(mut input: &[u8]) -> Option<Vec<Field>> {
    let mut fields = vec![];
    while !input.is_empty() {
        let key = varint(&mut input)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut input)?),
            1 => Value::Fixed64(take(&mut input, 8)?.try_into().ok()?),
            2 => {
                let length = usize::try_from(varint(&mut input)?).ok()?;
                Value::Bytes(take(&mut input, length)?.to_vec())
            }
            5 => Value::Fixed32(take(&mut input, 4)?.try_into().ok()?),
            _ => return None,
        };
        let number = key >> 3;
        if number == 0 {
            return None;
        }
        fields.push(Field { number, value });
    }
    Some(fields)
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(taken)
}

fn varint(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for at in 0..10 {
        let byte = *take(input, 1)?.first()?;
        number |= u64::from(byte & 0x7f).checked_shl(7 * at)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn written(fields: &[Field]) -> Vec<u8> {
    let mut out = vec![];
    for field in fields {
        let mut key = |kind| push_varint(&mut out, (field.number << 3) | kind);
        match &field.value {
            Value::Varint(number) => {
                key(0);
                push_varint(&mut out, *number);
            }
            Value::Fixed64(bytes) => {
                key(1);
                out.extend(bytes);
            }
            Value::Bytes(bytes) => {
                key(2);
                push_varint(&mut out, bytes.len() as u64);
                out.extend(bytes);
            }
            Value::Fixed32(bytes) => {
                key(5);
                out.extend(bytes);
            }
        }
    }
    out
}

fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Words that statements are made of besides their own.
const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "HAVING",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "UNION ALL",
    "INTERSECT",
    "EXCEPT",
    "JOIN",
    "LEFT JOIN",
    "FULL JOIN",
    "CROSS JOIN",
    "LATERAL",
    "NATURAL JOIN",
    "ON",
    "USING",
    "WITH",
    "RECURSIVE",
    "AS",
    "VALUES",
    "DISTINCT",
    "ALL",
    "ANY",
    "EXISTS",
    "IN",
    "NOT",
    "AND",
    "OR",
    "IS",
    "NULL",
    "LIKE",
    "ILIKE",
    "SIMILAR TO",
    "BETWEEN",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "TRY_CAST",
    "EXTRACT",
    "INTERVAL",
    "OVER",
    "PARTITION BY",
    "ROWS",
    "RANGE",
    "UNBOUNDED PRECEDING",
    "CURRENT ROW",
    "FILTER",
    "WITHIN GROUP",
    "GROUPING SETS",
    "ROLLUP",
    "CUBE",
    "EXPLAIN",
    "ANALYZE",
    "SHOW",
    "DESCRIBE",
    "SET",
    "RESET",
    "USE",
    "CALL",
    "CREATE",
    "DROP",
    "SCHEMA",
    "TABLE",
    "FOR VERSION AS OF",
    "FOR TIMESTAMP AS OF",
    "FETCH FIRST",
    "QUALIFY",
    "PIVOT",
    "UNNEST",
    "TABLESAMPLE",
    "AT TIME ZONE",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    ";",
    ":",
    "::",
    "+",
    "-",
    "*",
    "/",
    "%",
    "=",
    "<>",
    "<",
    ">=",
    "||",
    "@>",
    "->",
    "$1",
    "$2",
    "$99999999999",
    "?",
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "1e308",
    "1e-400",
    "0.0000000000000000000000000000000000000001",
    "99999999999999999999999999999999999999999",
    "''",
    "'%'",
    "'\\'",
    "'ø'",
    "X'ff'",
    "DATE '9999-12-31'",
    "TIMESTAMP '0001-01-01'",
    "'NaN'::float",
    "NULL::int",
    "INTERVAL '999999999' YEAR",
    "true",
    "false",
    "current_timestamp",
    "count(*)",
    "max",
    "sum",
    "avg",
    "array_agg",
    "lag",
    "ntile",
    "arrow_cast",
    "substr",
    "lpad",
    "regexp_replace",
    "date_trunc",
    "date_bin",
    "to_timestamp",
    "generate_series",
    "make_array",
    "struct",
    "map",
    "unnest",
    "range",
    "power",
    "factorial",
    "decode",
    "concat",
    "split_part",
    "\"",
    "'",
    "--",
    "/*",
    "$$",
];

/// A statement with some words changed, taken out, doubled, nested or put in. Words of `others` can get in.
pub(super) fn statement(rng: &mut StdRng, text: &str, others: &[Vec<u8>]) -> String {
    let mut words = split(text);
    for _ in 0..rng.random_range(1..5) {
        let at = rng.random_range(0..=words.len());
        let end = (at + rng.random_range(0..8)).min(words.len());
        match rng.random_range(0..14) {
            0 => drop(words.drain(at..end)),
            1 => {
                let part = words[at..end].to_vec();
                words.splice(at..at, part);
            }
            2 | 3 if at < words.len() => words[at] = word(rng),
            4 | 5 => words.insert(at, word(rng)),
            6 if at < words.len() => {
                let other = rng.random_range(0..words.len());
                words.swap(at, other);
            }
            7 => {
                let part = words[at..end].join(" ");
                words.splice(at..end, [format!("({part})")]);
            }
            8 => {
                let (open, close) = [
                    ("(", ")"),
                    ("[", "]"),
                    ("CASE WHEN ", " END"),
                    ("NOT (", ")"),
                    ("abs(", ")"),
                ]
                .choose(rng)
                .copied()
                .unwrap_or(("(", ")"));
                let times = many(rng, 20);
                let inner = words[at..end].join(" ");
                words.splice(
                    at..end,
                    [format!(
                        "{}{inner}{}",
                        open.repeat(times),
                        close.repeat(times)
                    )],
                );
            }
            9 => {
                let part = format!("{} ", words[at..end].join(" "));
                words.insert(at, part.repeat(many(rng, part.len())));
            }
            10 | 11 => {
                let other = others
                    .choose(rng)
                    .map(|other| String::from_utf8_lossy(other).into_owned());
                let other = split(&other.unwrap_or_default());
                if !other.is_empty() {
                    let from = rng.random_range(0..other.len());
                    let to = (from + rng.random_range(1..12)).min(other.len());
                    words.splice(at..end, other[from..to].iter().cloned());
                }
            }
            12 => words.truncate(at),
            _ if at < words.len() => {
                words[at] = String::from_utf8_lossy(&bytes(rng, words[at].as_bytes())).into_owned();
            }
            _ => {}
        }
    }
    let mut out = words.join(" ");
    if out.len() > BYTES_MAX {
        let cut = (0..=BYTES_MAX).rev().find(|at| out.is_char_boundary(*at));
        out.truncate(cut.unwrap_or(0));
    }
    out
}

/// A number of repetitions: mostly few, at times as many as an input may hold.
fn many(rng: &mut StdRng, bytes_each: usize) -> usize {
    let most = BYTES_MAX / bytes_each.max(1);
    match rng.random_range(0..8) {
        0 => rng.random_range(1..=most.max(1)),
        1 | 2 => rng.random_range(1..=most.clamp(1, 300)),
        _ => rng.random_range(1..8),
    }
}

fn word(rng: &mut StdRng) -> String {
    WORDS.choose(rng).copied().unwrap_or_default().to_owned()
}

/// Words, quoted texts and signs.
fn split(text: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![];
    let mut letters = text.chars().peekable();
    while let Some(first) = letters.next() {
        if first.is_whitespace() {
            continue;
        }
        let mut word = String::from(first);
        if first.is_alphanumeric() || first == '_' {
            while let Some(next) = letters.next_if(|next| next.is_alphanumeric() || *next == '_') {
                word.push(next);
            }
        } else if matches!(first, '\'' | '"') {
            for next in letters.by_ref() {
                word.push(next);
                if next == first {
                    break;
                }
            }
        }
        words.push(word);
    }
    words
}
