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

use landfast_proxy::client::{Client, Endpoint, Login};
use landfast_tests::fixtures::{Fixture, PREFIXES, home, lake, with_table};
use landfast_tests::landfast::{Config, Landfast};
use landfast_tests::process::run_dir;
use landfast_tests::stores::block_on;

/// What is not read yet: the fixture, the query (`*` for any), and why. Each must fail, or it comes off the list.
const NOT_YET: &[(&str, &str, &str)] = &[];

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
    for (table, query, _) in NOT_YET {
        let fixture = fixtures.iter().find(|fixture| fixture.table == *table);
        let fixture = fixture.unwrap_or_else(|| panic!("there is no fixture {table}"));
        let known = *query == "*"
            || fixture
                .queries
                .iter()
                .any(|answered| answered.name == *query);
        assert!(known, "{table} has no query '{query}'");
    }
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
            let faults = faults(&mut client, engine, fixture).await;
            judge(fixture, faults, &mut report);
        }
    });
    assert!(
        report.is_empty(),
        "{} fixtures by {engine}, {queries} statements:\n{report}",
        fixtures.len()
    );
}

/// A statement (a query's name, or the text of what must be refused) and what is wrong with what it gave.
type Fault = (String, String);

async fn faults(client: &mut Client, engine: &str, fixture: &Fixture) -> Vec<Fault> {
    let table = &fixture.table;
    if let Err(error) = fixture.metadata_file() {
        return vec![("*".to_owned(), format!("{error:#}"))];
    }
    let call = format!(
        "CALL landfast.register_table('fixtures.{engine}.{table}', '{}')",
        fixture.metadata
    );
    let registered = client
        .query(&call)
        .await
        .map(|_| ())
        .map_err(|error| error.to_string());
    let mut faults = Vec::new();
    for answered in &fixture.queries {
        let fault = match &registered {
            Err(error) => Some(format!("not registered: {error}")),
            Ok(()) => {
                let sql = with_table(&answered.sql, "fixtures", engine, table).unwrap();
                match client.query(&sql).await {
                    Ok((execution, batches)) => answered.difference(&execution.schema, &batches),
                    Err(error) => Some(format!("{error}")),
                }
            }
        };
        faults.extend(fault.map(|fault| (answered.name.clone(), fault)));
    }
    for refused in &fixture.refused {
        let sql = with_table(&refused.sql, "fixtures", engine, table).unwrap();
        let said = match &registered {
            Err(error) => Err(error.clone()),
            Ok(()) => match client.query(&sql).await {
                Ok((_, batches)) => Ok(batches.iter().map(|batch| batch.num_rows()).sum::<usize>()),
                Err(error) => Err(error.to_string()),
            },
        };
        let fault = match said {
            Ok(rows) => Some(format!("answered with {rows} rows, and must be refused")),
            Err(error) if error.contains(&refused.because) => None,
            Err(error) => Some(format!(
                "refused without saying '{}': {error}",
                refused.because
            )),
        };
        faults.extend(fault.map(|fault| (refused.sql.clone(), fault)));
    }
    faults
}

/// Adds to the report what is wrong with a fixture and not listed, and what is listed and not wrong.
fn judge(fixture: &Fixture, faults: Vec<Fault>, report: &mut String) {
    let listed = NOT_YET
        .iter()
        .filter(|(table, _, _)| *table == fixture.table);
    for (_, query, why) in listed.clone() {
        let fails = faults
            .iter()
            .any(|(name, _)| *query == "*" || name == query);
        if !fails {
            let _ = writeln!(
                report,
                "  {} · {query}: right now; take it off the list of what is not read yet ({why})",
                fixture.table
            );
        }
    }
    for (name, fault) in faults {
        let known = listed
            .clone()
            .any(|(_, query, _)| *query == "*" || *query == name);
        if !known {
            let _ = writeln!(report, "  {} · {name}: {fault}", fixture.table);
        }
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
