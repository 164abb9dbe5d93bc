//! Tables that Spark, Iceberg's Java API, Trino and PyIceberg wrote are read as those engines read them.
//!
//! Every fixture of `tests/fixtures/` is registered with one Landfast, and every query is asked over Flight SQL. All
//! differences of an engine's fixtures are reported together.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where and stops"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use arrow::array::RecordBatch;
use landfast_proxy::client::{Client, Endpoint, Login};
use landfast_tests::fixtures::{Fixture, PREFIXES, home, lake, with_table};
use landfast_tests::landfast::{Config, Landfast};
use landfast_tests::process::run_dir;
use landfast_tests::stores::block_on;

/// What is not read yet: the fixture (`*` for all of them), words of the query (none for all of them), and why. Each such
/// query must fail, or the entry comes off the list.
const NOT_YET: &[(&str, &str, &str)] = &[
    ("*", "FOR VERSION AS OF", "time travel"),
    ("*", "FOR TIMESTAMP AS OF", "time travel"),
    (
        "pyiceberg_all_types",
        "TIME '13:05:06.000123'",
        "a literal has nanoseconds, the column microseconds, and nothing brings them together",
    ),
    (
        "pyiceberg_odd_partitions",
        "",
        "the Avro reader refuses letters beyond ASCII in the name of a partition field",
    ),
];

/// Engines whose fixtures are read here.
const ENGINES: [&str; 4] = ["spark", "java", "trino", "pyiceberg"];

/// What all fixtures together may weigh.
const FIXTURES_BYTES_MAX: u64 = 8 << 20;

#[test]
fn tables_that_spark_wrote_are_read_as_spark_reads_them() {
    check("spark");
}

#[test]
fn tables_that_icebergs_own_java_api_wrote_are_read_as_the_engines_read_them() {
    check("java");
}

#[test]
fn tables_that_trino_wrote_are_read_as_trino_reads_them() {
    check("trino");
}

#[test]
fn tables_that_pyiceberg_wrote_are_read_as_pyiceberg_reads_them() {
    check("pyiceberg");
}

#[test]
fn every_table_of_the_fixtures_has_answers_and_they_are_small() {
    let mut asked = BTreeSet::new();
    for engine in ENGINES {
        for fixture in Fixture::of(engine).unwrap() {
            let metadata = fixture.metadata_file().unwrap();
            asked.insert(metadata.parent().and_then(Path::parent).unwrap().to_owned());
        }
    }
    let (mut unasked, mut bytes) = (Vec::new(), 0);
    for engine in ENGINES {
        for table in entries(&lake().join(engine)) {
            if !asked.contains(&table) {
                unasked.push(table);
            }
        }
    }
    let mut folders = vec![home()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else {
                bytes += fs::metadata(&path).unwrap().len();
            }
        }
    }
    assert!(
        unasked.is_empty(),
        "no answer file names the metadata of {unasked:?}"
    );
    assert!(
        bytes <= FIXTURES_BYTES_MAX,
        "all fixtures together are {bytes} bytes"
    );
}

#[test]
fn what_is_listed_as_not_read_yet_exists() {
    let fixtures: Vec<Fixture> = ENGINES
        .iter()
        .flat_map(|engine| Fixture::of(engine).unwrap())
        .collect();
    for listed in NOT_YET {
        let asked = fixtures.iter().any(|fixture| {
            let mut statements = fixture.queries.iter().map(|answered| &answered.sql);
            statements.any(|sql| is_listed(listed, &fixture.table, sql))
        });
        assert!(asked, "no fixture has a query like {listed:?}");
    }
}

fn is_listed((table, words, _): &(&str, &str, &str), fixture: &str, sql: &str) -> bool {
    (*table == "*" || *table == fixture) && sql.contains(words)
}

/// Asks every query of an engine's fixtures, and panics with all differences.
fn check(engine: &str) {
    let landfast = landfast();
    let fixtures = Fixture::of(engine).unwrap();
    let mut report = String::new();
    let mut queries = 0;
    block_on(async {
        let endpoint = Endpoint::new(&landfast.uri(), None).unwrap();
        let mut client = Client::connect(&endpoint, Login::Nobody).await.unwrap();
        let made = client
            .query(&format!("CREATE SCHEMA IF NOT EXISTS fixtures.{engine}"))
            .await;
        made.unwrap_or_else(|error| panic!("CREATE SCHEMA: {error}"));
        for fixture in &fixtures {
            queries += fixture.queries.len() + fixture.refused.len();
            let outcomes = outcomes(&mut client, engine, fixture).await;
            judge(fixture, &outcomes, &mut report);
        }
    });
    assert!(
        report.is_empty(),
        "{} fixtures by {engine}, {queries} statements:\n{report}",
        fixtures.len()
    );
}

/// What is wrong with what a statement gave, if anything.
struct Outcome<'a> {
    /// The query's name, or the text of what must be refused.
    name: &'a str,
    sql: &'a str,
    /// Whether it must be answered rather than refused.
    answered: bool,
    fault: Option<String>,
}

async fn outcomes<'a>(client: &mut Client, engine: &str, fixture: &'a Fixture) -> Vec<Outcome<'a>> {
    let table = &fixture.table;
    let registered = register(client, engine, fixture).await;
    let mut outcomes = Vec::new();
    for answered in &fixture.queries {
        let fault = match &registered {
            Err(error) => Some(error.clone()),
            Ok(()) => {
                let sql = with_table(&answered.sql, "fixtures", engine, table).unwrap();
                match client.query(&sql).await {
                    Ok((execution, batches)) => answered.difference(&execution.schema, &batches),
                    Err(error) => Some(error.to_string()),
                }
            }
        };
        outcomes.push(Outcome {
            name: &answered.name,
            sql: &answered.sql,
            answered: true,
            fault,
        });
    }
    for refused in &fixture.refused {
        let sql = with_table(&refused.sql, "fixtures", engine, table).unwrap();
        let said = match &registered {
            Err(error) => Err(error.clone()),
            Ok(()) => match client.query(&sql).await {
                Ok((_, batches)) => Ok(batches.iter().map(RecordBatch::num_rows).sum::<usize>()),
                Err(error) => Err(error.to_string()),
            },
        };
        let because = &refused.because;
        let fault = match said {
            Ok(rows) => Some(format!("answered with {rows} rows, and must be refused")),
            Err(error) if error.contains(because) => None,
            Err(error) => Some(format!("refused without saying '{because}': {error}")),
        };
        outcomes.push(Outcome {
            name: &refused.sql,
            sql: &refused.sql,
            answered: false,
            fault,
        });
    }
    outcomes
}

async fn register(client: &mut Client, engine: &str, fixture: &Fixture) -> Result<(), String> {
    if let Err(error) = fixture.metadata_file() {
        return Err(format!("{error:#}"));
    }
    let call = format!(
        "CALL landfast.register_table('fixtures.{engine}.{}', '{}')",
        fixture.table, fixture.metadata
    );
    let registered = client.query(&call).await;
    registered
        .map(|_| ())
        .map_err(|error| format!("not registered: {error}"))
}

/// Adds to the report what is wrong with a fixture and not listed, and what is listed and not wrong.
fn judge(fixture: &Fixture, outcomes: &[Outcome<'_>], report: &mut String) {
    let table = &fixture.table;
    for Outcome {
        name,
        sql,
        answered,
        fault,
    } in outcomes
    {
        let listed = NOT_YET.iter().find(|listed| is_listed(listed, table, sql));
        let _ = match (fault, listed) {
            (Some(fault), None) => writeln!(report, "  {table} · {name}: {fault}"),
            (None, Some(listed)) if *answered => {
                writeln!(
                    report,
                    "  {table} · {name}: right now; take {listed:?} off the list"
                )
            }
            _ => continue,
        };
    }
}

/// One Landfast for all tests: the fixtures are its only site, and a SQL catalog names them.
fn landfast() -> &'static Landfast {
    static LANDFAST: OnceLock<Landfast> = OnceLock::new();
    LANDFAST.get_or_init(|| {
        let database = run_dir("fixtures").unwrap().join("fixtures.db");
        let mut site = format!(
            "[[site]]\nname = \"here\"\n[site.store]\nkind = \"file\"\nroot = \"{}\"\n",
            home().display()
        );
        for prefix in PREFIXES {
            let _ = writeln!(site, "[[site.prefix]]\ncanonical = \"{prefix}\"\nat = \"lake/\"\norigin = true");
        }
        let catalog = format!(
            "[[catalog]]\nname = \"fixtures\"\nkind = \"sql\"\nurl = \"sqlite://{}?mode=rwc\"\ncreate_tables = true\n",
            database.display()
        );
        Landfast::start(&Config::at("here").with(&site).with(&catalog)).unwrap()
    })
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}
