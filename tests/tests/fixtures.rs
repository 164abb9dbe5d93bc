//! Tables that Spark, Iceberg's Java API, Trino and PyIceberg wrote are read as those engines read them, and views too.
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
use landfast_proxy::client::{Client, Endpoint, Login, TlsFiles};
use landfast_tests::catalogs::RestCatalog;
use landfast_tests::fixtures::{Fixture, PREFIXES, home, lake, with_table};
use landfast_tests::landfast::{Config, Landfast};
use landfast_tests::process::run_dir;
use landfast_tests::stores::{Store, block_on};
use serde_json::{Value, json};

/// What is still refused: the engine whose fixtures are, words of the refusal, and what is missing. A wrong answer can't be
/// listed. An entry that refuses nothing any more fails the test until it comes off the list.
const NOT_YET: &[(&str, &str, &str)] = &[
    (
        "views",
        "it is written for spark",
        "views in Spark's dialect",
    ),
    (
        "views",
        "may mean something else in Trino",
        "what Trino takes otherwise",
    ),
];

/// Engines whose fixtures are read here.
const ENGINES: [&str; 4] = ["spark", "java", "trino", "pyiceberg"];

/// What all fixtures together may weigh.
const FIXTURES_BYTES_MAX: u64 = 8 << 20;

#[test]
fn tables_that_spark_wrote_are_read_as_spark_reads_them() {
    check("spark", landfast());
}

#[test]
fn tables_that_icebergs_own_java_api_wrote_are_read_as_the_engines_read_them() {
    check("java", landfast());
}

#[test]
fn tables_that_trino_wrote_are_read_as_trino_reads_them() {
    check("trino", landfast());
}

#[test]
fn tables_that_pyiceberg_wrote_are_read_as_pyiceberg_reads_them() {
    check("pyiceberg", landfast());
}

#[test]
fn files_that_name_the_order_that_they_are_in_are_not_sorted_again_unless_they_shall_be() {
    let fixtures = Fixture::of("java").unwrap();
    let sorted = fixtures
        .iter()
        .find(|fixture| fixture.table == "java_sorted");
    let sorted = sorted.unwrap();
    let endpoint = Endpoint::new(&landfast().uri(), &TlsFiles::default()).unwrap();
    let plans = block_on(async {
        let mut client = Client::connect(&endpoint, Login::Nobody).await.unwrap();
        let make = "CREATE SCHEMA IF NOT EXISTS fixtures.orders";
        client.query(make).await.map(|_| ()).unwrap();
        register(&mut client, "orders", sorted).await.unwrap();
        let mut plans = Vec::new();
        for used in ["on", "off"] {
            let set = format!("SET landfast.use_sort_orders = '{used}'");
            client.query(&set).await.map(|_| ()).unwrap();
            for order in [
                "day DESC NULLS LAST",
                "day DESC NULLS LAST, name NULLS FIRST",
                "day DESC NULLS LAST, name NULLS FIRST LIMIT 3",
                "day DESC NULLS LAST, name NULLS FIRST, id",
                "day, name",
            ] {
                let sql = format!(
                    "EXPLAIN SELECT day, name, id FROM fixtures.orders.java_sorted ORDER BY {order}"
                );
                let (_, told) = client.query(&sql).await.unwrap();
                let text = arrow::util::pretty::pretty_format_batches(&told).unwrap();
                plans.push((used, order, text.to_string()));
            }
        }
        plans
    });
    for (used, order, plan) in plans {
        // By the id as well the files were sorted at first, and then no longer.
        let sorts = used == "off" || order.ends_with("id") || order == "day, name";
        assert_eq!(plan.contains("SortExec"), sorts, "{order}:\n{plan}");
    }
}

#[test]
fn views_that_spark_and_trino_made_give_what_they_give_there() {
    let gcs = Store::gcs().unwrap();
    let (rest, catalog) = catalog_with_views(&gcs);
    let landfast = Landfast::start(&with_site(&format!(
        "[[catalog]]\nname = \"fixtures\"\nkind = \"rest\"\nuri = \"{}\"\n",
        rest.uri()
    )));
    check("views", &landfast.unwrap());
    let views = catalog["views"].as_array().unwrap().len();
    assert_eq!(views, Fixture::of("views").unwrap().len());
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

/// Asks every query of an engine's fixtures, and panics with all faults.
fn check(engine: &str, landfast: &Landfast) {
    let fixtures = Fixture::of(engine).unwrap();
    assert!(!fixtures.is_empty(), "there are no fixtures by {engine}");
    let found = block_on(async {
        let endpoint = Endpoint::new(&landfast.uri(), &TlsFiles::default()).unwrap();
        let mut client = Client::connect(&endpoint, Login::Nobody).await.unwrap();
        let make = format!("CREATE SCHEMA IF NOT EXISTS fixtures.{engine}");
        client.query(&make).await.map(|_| ()).unwrap();
        let mut found = Vec::new();
        for fixture in &fixtures {
            found.push(faults(&mut client, engine, fixture).await);
        }
        found
    });
    let listed: Vec<_> = NOT_YET.iter().filter(|(by, _, _)| *by == engine).collect();
    let mut refused = vec![0; listed.len()];
    let mut report = String::new();
    for (fixture, faults) in fixtures.iter().zip(&found) {
        for (name, fault) in faults {
            let text = match fault {
                Fault::Answer(text) => text,
                Fault::Refusal(text) => {
                    if let Some(entry) =
                        listed.iter().position(|(_, words, _)| text.contains(words))
                    {
                        refused[entry] += 1;
                        continue;
                    }
                    text
                }
            };
            let _ = writeln!(report, "  {} · {name}: {text}", fixture.table);
        }
    }
    for (entry, count) in listed.iter().zip(refused) {
        if count == 0 {
            let _ = writeln!(
                report,
                "  nothing is refused any more as {entry:?}: take it off the list"
            );
        }
    }
    let asked = fixtures
        .iter()
        .map(|fixture| fixture.queries.len() + fixture.refused.len());
    assert!(
        report.is_empty(),
        "{} fixtures by {engine}, {} statements:\n{report}",
        fixtures.len(),
        asked.sum::<usize>()
    );
}

/// What is wrong with what a statement gave.
enum Fault {
    /// Other rows than the engine's, or rows where a refusal is due.
    Answer(String),
    /// A refusal where rows are due, or one in other words.
    Refusal(String),
}

/// The faults of a fixture, each with the query's name or the text of what must be refused.
async fn faults(client: &mut Client, engine: &str, fixture: &Fixture) -> Vec<(String, Fault)> {
    let table = name(engine, fixture);
    let registered = register(client, engine, fixture).await;
    let mut faults = Vec::new();
    for answered in &fixture.queries {
        let sql = with_table(&answered.sql, "fixtures", engine, table).unwrap();
        let fault = match (&registered, client.query(&sql).await) {
            (Err(error), _) => Some(Fault::Refusal(error.clone())),
            (Ok(()), Ok((execution, batches))) => answered
                .difference(&execution.schema, &batches)
                .map(Fault::Answer),
            (Ok(()), Err(error)) => Some(Fault::Refusal(error.to_string())),
        };
        faults.extend(fault.map(|fault| (answered.name.clone(), fault)));
    }
    for refused in &fixture.refused {
        let sql = with_table(&refused.sql, "fixtures", engine, table).unwrap();
        let said = match (&registered, client.query(&sql).await) {
            (Err(error), _) => Err(error.clone()),
            (Ok(()), Ok((_, batches))) => Ok(batches.iter().map(RecordBatch::num_rows).sum()),
            (Ok(()), Err(error)) => Err(error.to_string()),
        };
        let because = &refused.because;
        let fault = match said {
            Ok::<usize, _>(rows) => Fault::Answer(format!("{rows} rows, and must be refused")),
            Err(error) if error.contains(because) => continue,
            Err(error) => Fault::Refusal(format!("does not say '{because}': {error}")),
        };
        faults.push((refused.sql.clone(), fault));
    }
    faults
}

/// What a fixture is called in its schema.
fn name<'a>(engine: &str, fixture: &'a Fixture) -> &'a str {
    match engine {
        // Views name each other.
        "views" => fixture.table.trim_start_matches("views_"),
        _ => &fixture.table,
    }
}

async fn register(client: &mut Client, engine: &str, fixture: &Fixture) -> Result<(), String> {
    if let Err(error) = fixture.metadata_file() {
        return Err(format!("{error:#}"));
    }
    if engine == "views" {
        return Ok(());
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

/// A REST catalog with the tables and views of `lake/views/catalog.json`, and what that file says.
fn catalog_with_views(gcs: &Store) -> (RestCatalog, Value) {
    let text = fs::read_to_string(lake().join("views/catalog.json")).unwrap();
    let catalog: Value = serde_json::from_str(&text).unwrap();
    let bucket = gcs.make_bucket("fixtures").unwrap();
    let database = run_dir("views").unwrap().join("rest.db");
    let rest = RestCatalog::start(&database, "gs://fixtures", gcs).unwrap();
    let client = reqwest::Client::new();
    let post = |path: &str, body: &Value| {
        let request = client.post(format!("{}/v1/{path}", rest.uri())).json(body);
        block_on(async {
            let answer = request.send().await.unwrap();
            assert!(
                answer.status().is_success(),
                "{path}: {}",
                answer.text().await.unwrap()
            );
        });
    };
    post("namespaces", &json!({ "namespace": catalog["namespace"] }));
    for (name, metadata) in catalog["tables"].as_object().unwrap() {
        let metadata = metadata.as_str().unwrap();
        let key = metadata.trim_start_matches(PREFIXES[0]);
        bucket
            .put(key, fs::read(lake().join(key)).unwrap())
            .unwrap();
        let body = json!({ "name": name, "metadata-location": metadata });
        post("namespaces/views/register", &body);
    }
    for view in catalog["views"].as_array().unwrap() {
        post("namespaces/views/views", view);
    }
    (rest, catalog)
}

/// One Landfast for all tables: a SQL catalog names them.
fn landfast() -> &'static Landfast {
    static LANDFAST: OnceLock<Landfast> = OnceLock::new();
    LANDFAST.get_or_init(|| {
        let database = run_dir("fixtures").unwrap().join("fixtures.db");
        let config = with_site(&format!(
            "[[catalog]]\nname = \"fixtures\"\nkind = \"sql\"\nurl = \"sqlite://{}?mode=rwc\"\ncreate_tables = true\n",
            database.display()
        ));
        Landfast::start(&config).unwrap()
    })
}

/// A configuration whose only site is the fixtures' folder.
fn with_site(catalog: &str) -> Config {
    let mut site = format!(
        "[[site]]\nname = \"here\"\n[site.store]\nkind = \"file\"\nroot = \"{}\"\n",
        home().display()
    );
    for prefix in PREFIXES {
        let _ = writeln!(
            site,
            "[[site.prefix]]\ncanonical = \"{prefix}\"\nat = \"lake/\"\norigin = true"
        );
    }
    Config::at("here").with(&site).with(catalog)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}
