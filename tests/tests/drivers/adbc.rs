//! ADBC's Flight SQL driver from Python, Go and Rust.

use std::process::Command;
use std::sync::OnceLock;

use landfast_tests::findings::Findings;
use landfast_tests::identities::{CERTIFIED, ISSUED, Identities};
use landfast_tests::landfast::{PASSWORD, READER};
use landfast_tests::parts::Parts;
use landfast_tests::served::{TOKEN, fixture};
use landfast_tests::{drivers, skipped};

use crate::{findings, landfast};

/// What Python's driver found, in one run for all tests.
fn python() -> &'static Findings {
    static FOUND: OnceLock<Findings> = OnceLock::new();
    FOUND.get_or_init(|| {
        let landfast = landfast();
        let mut python = Command::new(Parts::get().python());
        python.arg(Parts::client("adbc_sweep.py"));
        python.args([&landfast.uri(), READER, PASSWORD]);
        python.arg(landfast.certificate()).arg(TOKEN);
        let identities = Identities::get();
        python.env("OIDC_TOKEN", identities.token(3600).unwrap());
        python.env("EXPIRED_OIDC_TOKEN", identities.token(-3600).unwrap());
        python.env("CLIENT_CERTIFICATE", identities.certificate());
        python.env("CLIENT_KEY", identities.certificate_key());
        python
            .env_remove("PYTHONPATH")
            .env("PYTHONUTF8", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        findings("Python's ADBC", &mut python)
    })
}

#[test]
fn adbc_from_python_connects_in_every_way() {
    let found = python();
    found.are(&[
        ("connected by token", "[(42,)]"),
        ("connected by unchecked certificate", "[(42,)]"),
        ("connected by OIDC token", &format!("[('{ISSUED}',)]")),
        ("connected by certificate", &format!("[('{CERTIFIED}',)]")),
        (
            "connected by certificate and user",
            &format!("[('{READER}',)]"),
        ),
        ("headers", "[(25,)]"),
        ("small messages", "60000"),
    ]);
    found.say(&[
        ("connected by wrong token", "UNAUTHENTICATED"),
        ("connected by wrong password", "UNAUTHENTICATED"),
        ("connected by nobody", "UNAUTHENTICATED"),
        ("connected by expired OIDC token", "it has expired"),
        (
            "connected by unknown certificate",
            "failed to verify certificate",
        ),
    ]);
}

#[test]
fn adbc_from_python_lists_objects_at_every_depth() {
    let found = python();
    found.are(&[
        (
            "info",
            concat!(
                "['Landfast', '",
                env!("CARGO_PKG_VERSION"),
                "', 'ADBC Flight SQL Driver - Go']"
            ),
        ),
        (
            "table types",
            "['LOCAL TEMPORARY', 'SYSTEM TABLE', 'TABLE', 'VIEW']",
        ),
        ("objects catalogs", "['lake', 'landfast']"),
        (
            "objects schemas",
            "['lake.information_schema', 'lake.tpch', 'lake.types']",
        ),
        (
            "objects tables",
            "['lake.tpch.nation', 'lake.tpch.orders', 'lake.tpch.part', 'lake.tpch.region']",
        ),
        (
            "objects all",
            "['lake.tpch.nation(n_nationkey, n_name, n_regionkey, n_comment)']",
        ),
        ("objects of nowhere", "[]"),
        (
            "objects column",
            "[(1, 'BIGINT', None), (2, 'BOOLEAN', None)]",
        ),
        (
            "table schema",
            "['n_nationkey', 'n_name', 'n_regionkey', 'n_comment']",
        ),
    ]);
    found.say(&[
        ("objects columns", "lake.tpch.nation(n_nationkey, n_name)"),
        ("table schema of nothing", "NOT_FOUND"),
        ("transactions", "server does not report transaction support"),
    ]);
}

#[test]
fn adbc_from_python_reads_binds_and_shares_out_results() {
    let found = python();
    found.are(&[
        (
            "types",
            "['int64', 'bool', 'int32', 'float', 'double', 'decimal128(9, 2)', 'decimal128(18, 4)', 'decimal128(38, 10)', \
             'date32[day]', 'time64[us]', 'timestamp[us]', 'timestamp[us, tz=UTC]', 'string', 'fixed_size_binary[16]', \
             'fixed_size_binary[4]', 'binary', 'list<element: int32>', 'map<string, double>', \
             'struct<a: int32, b: list<element: string>>', 'list<element: map<string, struct<x: double, y: date32[day]>>>']",
        ),
        ("description", "([('n_name', 'string')], 25, 0)"),
        ("one", "(('ALGERIA',), 1)"),
        ("many", "[('ARGENTINA',), ('BRAZIL',)]"),
        ("rest", "22"),
        ("no more", "None"),
        ("schema", "['n_name']"),
        ("prepared", "['int32', 'int32', 'int32', 'string']"),
        ("bound int", "['GERMANY']"),
        ("bound text", "['GERMANY']"),
        ("bound null", "['CHINA']"),
        ("bound by number", "['GERMANY']"),
        ("bound limit", "['CHINA', 'EGYPT']"),
        ("bound decimal", "[1]"),
        ("bound date", "[4]"),
        ("bound time", "[4]"),
        ("bound timestamp", "[4]"),
        ("bound timestamp with zone", "[4]"),
        ("bound float", "[1]"),
        ("bound boolean", "[1, 4]"),
        ("bound bytes", "[1]"),
        ("bound rows", "['CANADA', 'GERMANY', 'INDONESIA']"),
        ("update", "origin"),
        ("reader", "150000"),
        ("partitions", "(True, ['o_orderkey'], 150000)"),
        ("several endpoints", "(1, True, 150000, [True, True])"),
        ("partition read elsewhere", "25"),
        ("empty", "0"),
        ("queue of one", "150000"),
        ("several open", "True"),
    ]);
    found.say(&[
        ("bound too few", "2 parameters, and 1 are bound"),
        ("execute many queries", "run it as a query"),
        (
            "partition read by another",
            "the ticket was given to somebody else",
        ),
    ]);
}

#[test]
fn adbc_from_python_sends_plans_that_other_engines_made() {
    let found = python();
    assert_eq!(found.at("substrait of ibis"), found.at("same in SQL"));
    found.say(&[("substrait of ibis", "('AFRICA', ")]);
    found.are(&[
        ("substrait prepared", "True"),
        ("substrait ordered", "True"),
    ]);
    found.say(&[
        ("substrait update", "INVALID_ARGUMENT"),
        ("substrait update", "run it as a query"),
        // DuckDB's plans leave out which columns a projection gives, and so mean others than they should.
        ("substrait of duckdb", "INVALID_ARGUMENT"),
        ("substrait of duckdb", "made by DuckDB"),
    ]);
}

#[test]
fn adbc_from_python_is_refused_with_a_status_and_stops_what_it_leaves() {
    let found = python();
    found.say(&[
        ("refused syntax", "ProgrammingError INVALID_ARGUMENT"),
        ("refused unknown", "ProgrammingError NOT_FOUND"),
        ("refused unknown", "nearest: nation"),
        ("refused write", "NotSupportedError NOT_IMPLEMENTED"),
        ("refused cast", "ProgrammingError INVALID_ARGUMENT"),
        ("cancelled", "refused: OperationalError CANCELLED"),
        ("fetch timed out", "refused: "),
        ("query timed out", "refused: "),
        ("update timed out", "refused: "),
    ]);
    for late in ["fetch timed out", "query timed out", "update timed out"] {
        let said = found.at(late);
        assert!(
            said.contains("TIMEOUT") || said.contains("DeadlineExceeded"),
            "{late}: {said}"
        );
    }
    found.are(&[
        ("state of cancelled", "cancelled"),
        ("closed in the middle", "(1,)"),
        ("state of closed", "cancelled"),
        ("still well", "[(42,)]"),
    ]);
    assert!(
        ["cancelled", "failed"].contains(&found.at("state of timed")),
        "{}",
        found.at("state of timed")
    );
}

#[test]
fn adbc_from_go_queries_binds_lists_and_stops() {
    let Some(program) = drivers::go_program().unwrap() else {
        return skipped("adbc_from_go_queries_binds_lists_and_stops", "Go");
    };
    let landfast = landfast();
    let mut go = Command::new(program);
    go.args([&landfast.uri(), READER, PASSWORD]);
    let found = findings("Go's ADBC", go.arg(landfast.certificate()));
    found.are(&[
        ("nations", "25"),
        ("first nation", "[0 ALGERIA]"),
        ("parameters", "1"),
        ("bound", "[[CANADA] [GERMANY]]"),
        ("orders", "150000"),
        ("set", "origin"),
        ("table schema", "n_name of 4"),
        ("before it is stopped", "true"),
        ("database/sql", "GERMANY"),
    ]);
    found.say(&[
        ("objects catalogs", "lake"),
        ("objects schemas", "tpch"),
        ("objects tables", "nation"),
        ("objects columns", "n_nationkey"),
        ("table types", "[TABLE]"),
        ("info", "Landfast"),
        ("stopped", "ancel"),
        ("late", "eadline"),
        ("database/sql unprepared", "must call Prepare"),
        ("unknown", "nearest: nation"),
        ("wrong password", "Unauthenticated"),
    ]);
    let types = fixture("pyiceberg", "pyiceberg_all_types").unwrap();
    let all = types
        .queries
        .iter()
        .find(|query| query.name == "all rows")
        .unwrap();
    for row in &all.rows {
        let id = row[0].as_str().unwrap();
        for (at, column) in all.columns.iter().enumerate() {
            let value = found.at(&format!("value {id} {at}"));
            match row[at].as_str() {
                // Whole numbers, texts and dates are written as the engine writes them.
                Some(text) if ["id", "ok", "small", "day", "word"].contains(&column.as_str()) => {
                    assert_eq!(value, text, "{column} of {id}");
                }
                None if row[at].is_null() => assert_eq!(value, "(null)", "{column} of {id}"),
                _ => assert_ne!(value, "(null)", "{column} of {id}"),
            }
        }
    }
}

#[test]
fn adbc_from_rust_queries_binds_lists_and_stops() {
    let landfast = landfast();
    let mut rust = Command::new(drivers::rust_program().unwrap());
    rust.arg(drivers::adbc_library().unwrap());
    rust.args([&landfast.uri(), READER, PASSWORD]);
    let found = findings("Rust's ADBC", rust.arg(landfast.certificate()));
    found.are(&[
        ("nations", "25"),
        ("first nation", "ALGERIA"),
        ("parameters", "1"),
        ("bound", "CANADA GERMANY"),
        ("rows of every type", "4"),
        ("set", "origin"),
        ("objects catalogs", "lake"),
        ("objects schemas", "lake.tpch"),
        (
            "objects tables",
            "lake.tpch.nation lake.tpch.orders lake.tpch.part lake.tpch.region",
        ),
        (
            "objects all",
            "lake.tpch.nation.n_nationkey lake.tpch.nation.n_name lake.tpch.nation.n_regionkey lake.tpch.nation.n_comment",
        ),
        ("table schema", "n_name of 4"),
        ("table types", "LOCAL TEMPORARY SYSTEM TABLE TABLE VIEW"),
        ("info", "1"),
    ]);
    found.say(&[
        (
            "types",
            "Int64 Boolean Int32 Float32 Float64 Decimal128(9, 2)",
        ),
        ("cancelled", "ancel"),
        ("unknown", "nearest: nation"),
        ("wrong password", "the user name or the password is wrong"),
    ]);
}
