//! DataFusion's own sqllogictest files, unchanged, over a Flight connection to `landfast serve`.
//!
//! The files come with the crate `datafusion-sqllogictest` of the very version of DataFusion that Landfast is built
//! with; Cargo fetches it once and nothing of it is built. Each file is run on a connection of its own, and every answer
//! is compared with the one in the file: types of columns, values, order. A statement that must fail must fail; the
//! words that DataFusion uses for it are not compared, since Landfast refuses in its own.
//!
//! A file is either run here or stands in `left_out.txt` with the reason. With `LANDFAST_WRITE_LEFT_OUT=1` all files are
//! run, and that list is written anew.

#![allow(
    clippy::unwrap_used,
    reason = "a test that can't set itself up stops there"
)]

mod cells;
mod connection;
mod files;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use landfast_tests::landfast::{Config, Landfast};
use landfast_tests::process::run_dir;

use connection::{Answer, Connection};
use script::{Expected, Record};

/// Fewer would prove little.
const FILES_MIN: usize = 30;

/// Why each file that is not run isn't.
fn left_out_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sqllogictest/left_out.txt")
}

fn left_out() -> BTreeMap<String, String> {
    let text = fs::read_to_string(left_out_file()).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (file, reason) = line.split_once(": ").expect("a file, a colon, the reason");
            (file.to_owned(), reason.to_owned())
        })
        .collect()
}

fn landfast() -> Landfast {
    let lake = run_dir("sqllogictest").unwrap();
    let config = Config::at("here").with(&format!(
        "[[site]]\nname = \"here\"\n[site.store]\nkind = \"file\"\nroot = \"{lake}\"\n\
         [[site.prefix]]\ncanonical = \"gs://lake/\"\norigin = true\n\
         [[catalog]]\nname = \"lake\"\nkind = \"sql\"\nurl = \"sqlite://{lake}/catalog.db?mode=rwc\"\n\
         create_tables = true\n",
        lake = lake.display()
    ));
    Landfast::start(&config).unwrap()
}

#[tokio::test]
async fn datafusions_own_files_give_the_same_answers_over_flight() {
    let folder = files::fetched().unwrap();
    let all: BTreeSet<String> = files::in_folder(&folder).unwrap();
    let writes = std::env::var_os("LANDFAST_WRITE_LEFT_OUT").is_some();
    let left_out = if writes { BTreeMap::new() } else { left_out() };
    let gone: Vec<&String> = left_out
        .keys()
        .filter(|file| !all.contains(*file))
        .collect();
    assert!(
        gone.is_empty(),
        "left_out.txt names files that there are not: {gone:?}"
    );

    let server = tokio::task::spawn_blocking(landfast).await.unwrap();
    let mut ran = 0;
    let mut failed = BTreeMap::new();
    for file in all.iter().filter(|file| !left_out.contains_key(*file)) {
        match run(&server, &folder, file).await {
            Ok(()) => ran += 1,
            Err(why) => drop(failed.insert(file, why)),
        }
    }
    if writes {
        write_left_out(&failed);
        failed.clear();
    }
    let failures: Vec<String> = failed
        .iter()
        .map(|(file, why)| format!("{file}: {why}"))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(ran >= FILES_MIN, "only {ran} files ran");
    landfast_tests::tell(&format!("sqllogictest: {ran} files of {} ran", all.len()));
}

/// Runs one file to its first difference.
async fn run(server: &Landfast, folder: &Path, file: &str) -> Result<(), String> {
    let records = script::read(&folder.join(file)).map_err(|error| error.to_string())?;
    if records.is_empty() {
        return Err("it asks nothing".to_owned());
    }
    let mut connection = Connection::open(&server.uri()).await.unwrap();
    for record in records {
        let answer = connection.run(&record.sql).await;
        differs(&record, answer.map_err(|error| error.to_string()))
            .map_or(Ok(()), |how| Err(format!("line {}: {how}", record.line)))?;
    }
    Ok(())
}

/// How an answer differs from what is expected, if it does.
fn differs(record: &Record, answer: Result<Answer, String>) -> Option<String> {
    let sql = &record.sql;
    let answer = match (answer, &record.expected) {
        (Err(_), Expected::Refused) => return None,
        (Err(error), _) => return Some(format!("{sql}\nis refused: {error}")),
        (Ok(_), Expected::Refused) => return Some(format!("{sql}\nis not refused")),
        (Ok(answer), _) => answer,
    };
    match &record.expected {
        Expected::Ok | Expected::Refused => None,
        Expected::Count(count) => (answer.rows.len() != *count)
            .then(|| format!("{sql}\ngives {} rows, not {count}", answer.rows.len())),
        Expected::Rows {
            types,
            sorted,
            lines,
        } => {
            let mut rows = answer.rows;
            if *sorted {
                rows.sort_unstable();
            }
            let text: Vec<String> = rows
                .iter()
                .map(|row| row.join(" ").trim_end().to_owned())
                .collect();
            let expected: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
            let (text, expected) = (text.join("\n"), expected.join("\n"));
            if !cells::same(&text, &expected) {
                return Some(format!("{sql}\ngives\n{text}\nrather than\n{expected}"));
            }
            (answer.types != *types)
                .then(|| format!("{sql}\nhas the types {}, not {types}", answer.types))
        }
    }
}

fn write_left_out(failed: &BTreeMap<&String, String>) {
    let mut text = String::from(
        "# Files of DataFusion's sqllogictest folder that are not run here, each with the first thing in it that Landfast\n\
         # refuses or answers otherwise. Written by LANDFAST_WRITE_LEFT_OUT=1; see main.rs.\n",
    );
    for (file, why) in failed {
        // The query's id is another one each time.
        let why = why.split(" [query ").next().unwrap_or(why);
        let line: Vec<&str> = why.split_whitespace().collect();
        let mut line = line.join(" ");
        if let Some((cut, _)) = line.char_indices().nth(240) {
            line.truncate(cut);
            line.push('…');
        }
        text.push_str(&format!("{file}: {line}\n"));
    }
    fs::write(left_out_file(), text).unwrap();
}
