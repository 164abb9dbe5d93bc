//! The format of the files: records of one statement each, with what is expected of it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// What the files call this engine in `skipif` and `onlyif`.
const ENGINE: &str = "DataFusion";

/// One statement and what must come of it.
#[derive(Debug)]
pub(crate) struct Record {
    /// The line that it starts at.
    pub(crate) line: usize,
    pub(crate) sql: String,
    pub(crate) expected: Expected,
}

/// What must come of a statement.
#[derive(Debug)]
pub(crate) enum Expected {
    /// It runs, whatever it gives.
    Ok,
    /// It runs and gives or changes so many rows.
    Count(usize),
    /// It fails. The files have DataFusion's words for why.
    Refused,
    /// It gives these rows.
    Rows {
        /// A letter for each column.
        types: String,
        sorted: bool,
        lines: Vec<String>,
    },
}

/// The records of a file and of those that it includes.
pub(crate) fn read(path: &Path) -> Result<Vec<Record>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let mut lines = text.lines().enumerate();
    let (mut records, mut skips) = (vec![], false);
    while let Some((at, line)) = lines.next() {
        if line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let expected = match words[..] {
            [] | ["subtest", _] => continue,
            ["halt"] => break,
            ["skipif", engine] => {
                skips |= engine.eq_ignore_ascii_case(ENGINE);
                continue;
            }
            ["onlyif", engine] => {
                skips |= !engine.eq_ignore_ascii_case(ENGINE);
                continue;
            }
            ["include", pattern] => {
                records.extend(included(path, pattern)?);
                continue;
            }
            ["statement", "ok"] => Expected::Ok,
            ["statement", "count", count] => Expected::Count(count.parse()?),
            ["statement" | "query", "error", ..] => Expected::Refused,
            ["query", types, ref rest @ ..] => Expected::Rows {
                types: types.to_owned(),
                sorted: match rest {
                    [] | ["nosort", ..] => false,
                    ["rowsort", ..] => true,
                    ["valuesort", ..] => bail!("line {}: it sorts values", at + 1),
                    // A label.
                    _ => false,
                },
                lines: vec![],
            },
            _ => bail!(
                "line {}: it says `{line}`, which is not understood here",
                at + 1
            ),
        };
        let (sql, has_more) = statement(&mut lines);
        let expected = match (expected, has_more) {
            (Expected::Rows { types, sorted, .. }, true) => Expected::Rows {
                types,
                sorted,
                lines: rows(&mut lines),
            },
            (Expected::Refused, true) => {
                message(&mut lines);
                Expected::Refused
            }
            (expected, _) => expected,
        };
        if !std::mem::take(&mut skips) {
            records.push(Record {
                line: at + 1,
                sql,
                expected,
            });
        }
    }
    Ok(records)
}

/// The records of included files, in the order of their names.
fn included(path: &Path, pattern: &str) -> Result<Vec<Record>> {
    let folder = path.parent().context("a file has a folder")?;
    let Some((start, end)) = pattern.split_once('*') else {
        return read(&folder.join(pattern));
    };
    let whole = folder.join(start);
    let (folder, start) = match start.ends_with('/') {
        true => (whole.as_path(), ""),
        false => (
            whole.parent().context("a pattern has a folder")?,
            start.rsplit('/').next().unwrap_or_default(),
        ),
    };
    let mut names = vec![];
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(start) && name.ends_with(end) {
            names.push(name);
        }
    }
    names.sort();
    let mut records = vec![];
    for name in names {
        records.extend(read(&folder.join(name))?);
    }
    Ok(records)
}

/// The lines of a statement, and whether what is expected follows.
fn statement<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>) -> (String, bool) {
    let mut sql = vec![];
    for (_, line) in lines {
        match line {
            "" => break,
            "----" => return (sql.join("\n"), true),
            line => sql.push(line),
        }
    }
    (sql.join("\n"), false)
}

fn rows<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>) -> Vec<String> {
    let rows = lines
        .map(|(_, line)| line)
        .take_while(|line| !line.is_empty());
    rows.map(str::to_owned).collect()
}

/// Reads over an error message, which two empty lines end.
fn message<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>) {
    let mut empty = 0;
    for (_, line) in lines {
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty == 2 {
            break;
        }
    }
}
