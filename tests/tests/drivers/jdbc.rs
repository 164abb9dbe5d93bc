//! The stock JDBC driver: the newest, and older ones for sites that don't upgrade. `tests/clients/jdbc` drives each through
//! everything in one run.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use landfast_tests::drivers;
use landfast_tests::findings::Findings;
use landfast_tests::identities::{CERTIFIED, ISSUED, Identities};
use landfast_tests::landfast::{PASSWORD, READER};
use landfast_tests::parts::Parts;
use landfast_tests::served::{TOKEN, fixture};
use serde_json::Value;

use crate::{findings, landfast};

/// The tables whose values are read, in the order in which the program gets them.
const TABLES: [(&str, &str); 3] = [
    ("pyiceberg", "pyiceberg_all_types"),
    ("java", "java_nanoseconds"),
    ("java", "java_uuid_time_fixed"),
];

/// What a version found, in one run for all tests.
fn found(version: &'static str) -> &'static Findings {
    static FOUND: [(&str, OnceLock<Findings>); 3] = [
        ("18.3.0", OnceLock::new()),
        ("17.0.0", OnceLock::new()),
        ("15.0.2", OnceLock::new()),
    ];
    let (_, found) = FOUND.iter().find(|(known, _)| *known == version).unwrap();
    found.get_or_init(|| {
        let landfast = landfast();
        let mut java = Command::new(Parts::get().java());
        let (programs, driver) = (
            drivers::java_programs().unwrap(),
            drivers::jdbc(version).unwrap(),
        );
        java.args([
            "--add-opens=java.base/java.nio=ALL-UNNAMED",
            "-Duser.timezone=UTC",
            "-cp",
        ]);
        java.arg(format!("{}:{}", programs.display(), driver.display()));
        java.arg("Drive");
        java.arg(format!(
            "jdbc:arrow-flight-sql://127.0.0.1:{}",
            landfast.port()
        ));
        java.args([READER, PASSWORD]);
        java.arg(landfast.certificate()).arg(TOKEN);
        java.env("DOCUMENTED_URLS", documented_urls().join("\n"));
        let identities = Identities::get();
        java.env("OIDC_TOKEN", identities.token(3600).unwrap());
        java.env("EXPIRED_OIDC_TOKEN", identities.token(-3600).unwrap());
        java.env("CLIENT_CERTIFICATE", identities.certificate());
        java.env("CLIENT_KEY", identities.certificate_key());
        for (_, table) in TABLES {
            java.arg(format!("select * from lake.types.{table} order by id"));
        }
        findings(&format!("JDBC {version}"), &mut java)
    })
}

/// The URLs of `docs/clients.md` with this proxy in the place of the example's.
fn documented_urls() -> Vec<String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/clients.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let landfast = landfast();
    let here = format!("127.0.0.1:{}", landfast.port());
    let roots = landfast.certificate().display().to_string();
    let identities = Identities::get();
    let certificate = identities.certificate().display().to_string();
    let key = identities.certificate_key().display().to_string();
    let urls = docs
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("jdbc:arrow-flight-sql://lake."));
    urls.map(|url| {
        url.replace("lake.example.net:31337", &here)
            .replace("token=…", &format!("token={TOKEN}"))
            .replace(
                "user=ada&password=…",
                &format!("user={READER}&password={}", PASSWORD.replace(' ', "%20")),
            )
            .replace("/path/ca.pem", &roots)
            .replace("/path/client.pem", &certificate)
            .replace("/path/client.key", &key)
    })
    .collect()
}

#[test]
fn jdbc_18_3_is_driven_through_everything() {
    everything(found("18.3.0"), "18.3.0");
}

#[test]
fn jdbc_17_0_is_driven_through_everything() {
    everything(found("17.0.0"), "17.0.0");
}

#[test]
fn jdbc_15_0_is_driven_through_everything() {
    everything(found("15.0.2"), "15.0.2");
}

fn everything(found: &Findings, version: &str) {
    found.are(&[("driver", version)]);
    dbeaver(found, version);
    connections(found, version);
    metadata(found);
    listings(found, version);
    values(found);
    parameters(found);
    statements(found);
    refusals(found);
    cancelled(found);
}

fn connections(found: &Findings, version: &str) {
    found.are(&[
        ("connected by token", "[42]"),
        ("connected by user again", "[42]"),
        ("connected by unchecked certificate", "[42]"),
        ("connected by OIDC token", &format!("[{ISSUED}]")),
        ("connected by certificate", &format!("[{CERTIFIED}]")),
        // Who comes with a certificate and credentials is who the credentials say.
        ("connected by certificate and user", &format!("[{READER}]")),
    ]);
    catalogs(found, version);
    let documented = documented_urls();
    assert_eq!(documented.len(), 6);
    for at in 0..documented.len() {
        found.are(&[(&format!("connected by documented URL {at}"), "[25]")]);
    }
    for refused in [
        "wrong token",
        "expired OIDC token",
        "nothing",
        "wrong password",
        "unknown certificate",
    ] {
        let said = found.at(&format!("connected by {refused}"));
        assert!(said.starts_with("refused: "), "{refused}: {said}");
        assert!(!said.contains(PASSWORD) && !said.contains(TOKEN), "{said}");
    }
}

/// From 17 on the driver sets `catalog` as an option of the session; before, it is a header of each request.
fn catalogs(found: &Findings, version: &str) {
    for by in ["catalog", "catalog in the URL", "catalog as a setting"] {
        found.say(&[(&format!("connected by {by}"), "landfast.catalog|lake")]);
    }
    let without = found.at("connected by no catalog");
    assert!(without.starts_with("[landfast.catalog|"), "{without}");
    assert!(!without.contains("lake"), "{without}");
    // It ends the session twice, the second time without a channel.
    let closed = match version {
        "15.0.2" => "in peace",
        _ => "refused: Channel shutdown invoked",
    };
    found.are(&[
        ("closed by catalog", closed),
        ("closed by catalog in the URL", closed),
        ("closed by catalog as a setting", "in peace"),
        ("closed by no catalog", "in peace"),
        ("closed by certificate", "in peace"),
    ]);
}

/// What every method of DatabaseMetaData without arguments gives: an answer, and none of them an error but those that the
/// driver has not written.
fn metadata(found: &Findings) {
    let all = found.below("metadata ");
    assert!(all.len() > 140, "only {} methods were asked", all.len());
    let failed: Vec<_> = all
        .iter()
        .filter(|(_, value)| value.starts_with("refused: ") || value.starts_with("thrown: "))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    found.are(&[
        ("metadata getDatabaseProductName", "Landfast"),
        (
            "metadata getDatabaseProductVersion",
            env!("CARGO_PKG_VERSION"),
        ),
        ("metadata getCatalogs", "[lake, landfast]"),
        (
            "metadata getTableTypes",
            "[LOCAL TEMPORARY, SYSTEM TABLE, TABLE, VIEW]",
        ),
        ("metadata getIdentifierQuoteString", "\""),
        ("metadata getSearchStringEscape", "\\u005c"),
        ("metadata getCatalogSeparator", "."),
        ("metadata isCatalogAtStart", "true"),
        ("metadata supportsTransactions", "false"),
        ("metadata supportsSavepoints", "false"),
        ("metadata supportsBatchUpdates", "true"),
        ("metadata supportsGroupBy", "true"),
        ("metadata supportsFullOuterJoins", "true"),
        ("metadata supportsCorrelatedSubqueries", "true"),
        ("metadata supportsUnionAll", "true"),
        ("metadata supportsCatalogsInDataManipulation", "true"),
        ("metadata supportsSchemasInDataManipulation", "true"),
        ("metadata nullsAreSortedAtEnd", "true"),
        ("metadata getMaxStatementLength", "1048576"),
        ("isolation 0", "true"),
        ("isolation 8", "false"),
        ("forward only", "true"),
        ("scrolling", "false"),
        ("read only", "true"),
        ("updatable", "false"),
    ]);
    found.say(&[
        ("metadata getSchemas", "types|lake"),
        ("metadata getSQLKeywords", "EXPLAIN"),
        ("metadata getNumericFunctions", "ROUND"),
        ("metadata getStringFunctions", "SUBSTR"),
        ("metadata getTimeDateFunctions", "DATE_TRUNC"),
        ("metadata getSystemFunctions", "COALESCE"),
    ]);
}

/// What DBeaver asks, in its order.
fn dbeaver(found: &Findings, version: &str) {
    found.are(&[
        ("dbeaver product", "Landfast true"),
        ("dbeaver terms", "schema procedure catalog"),
        ("dbeaver quoting", "\" \\u005c."),
        ("dbeaver alive", "true false"),
        // The driver has no catalogue of types but an empty one; DBeaver goes by what columns say.
        ("dbeaver types", "0"),
        ("dbeaver catalogs", "[lake, landfast]"),
        ("dbeaver schemas", "[information_schema, tpch, types]"),
        (
            "dbeaver kinds",
            "[LOCAL TEMPORARY, SYSTEM TABLE, TABLE, VIEW]",
        ),
        (
            "dbeaver tables",
            "[nation|TABLE, orders|TABLE, part|TABLE, region|TABLE]",
        ),
        ("dbeaver columns", "25"),
        (
            "dbeaver table columns",
            "[n_nationkey|INTEGER, n_name|VARCHAR, n_regionkey|INTEGER, n_comment|VARCHAR]",
        ),
        ("dbeaver keys", "[0, 0, 0, 0, 0]"),
        ("dbeaver data", "25"),
        ("dbeaver quoted", "5"),
        ("dbeaver count", "1"),
        ("dbeaver filter", "2"),
        ("dbeaver subquery", "1"),
        ("dbeaver plan", "true"),
    ]);
    // Version 18 has not written getObject for timestamps with a zone.
    let getter = if version.starts_with("18") {
        "getString"
    } else {
        "getObject"
    };
    found.are(&[(
        "dbeaver zoned",
        &format!("by {getter}: 2024-02-29 10:00:00.000001"),
    )]);
    // Unless it gets none.
    found.are(&[("zoneless", "by getObject: 2024-02-29 10:00:00.000001")]);
    found.say(&[("zoneless prepared", "93 true 2024-02-29 10:00:00.000001 ")]);
}

fn listings(found: &Findings, version: &str) {
    found.are(&[
        ("schemas", "[lake|types]"),
        ("schemas of nowhere", "[]"),
        (
            "tables",
            "[lake|types|java_nanoseconds|TABLE, lake|types|java_uuid_time_fixed|TABLE]",
        ),
        (
            "tables labels",
            "[TABLE_CAT, TABLE_SCHEM, TABLE_NAME, TABLE_TYPE, REMARKS, TYPE_CAT, TYPE_SCHEM, TYPE_NAME, \
             SELF_REFERENCING_COL_NAME, REF_GENERATION]",
        ),
        ("tables one character", "[spark_types]"),
        ("tables escaped", "[spark_types]"),
        (
            "tables of a type",
            "[java_nanoseconds, java_uuid_time_fixed, pyiceberg_all_types, spark_nested, spark_types]",
        ),
        ("tables of no type", "[]"),
        ("tables of all catalogs", "[lake|spark_nested, lake|spark_types]"),
        (
            "columns by pattern",
            "[pyiceberg_all_types|id, pyiceberg_all_types|items, spark_types|id, spark_types|i]",
        ),
        ("columns of nothing", "[]"),
    ]);
    // The types of java.sql.Types: before 18, a timestamp's zone was not told.
    let zoned = if version.starts_with("18") { 2014 } else { 93 };
    let columns = format!(
        "[id|-5|BIGINT|19|0|0|NO|1, ok|16|BOOLEAN|null|null|1|YES|2, small|4|INTEGER|10|0|1|YES|3, \
         single|6|REAL|null|null|1|YES|4, double|8|DOUBLE|null|null|1|YES|5, d9|3|DECIMAL(9, 2)|9|2|1|YES|6, \
         d18|3|DECIMAL(18, 4)|18|4|1|YES|7, d38|3|DECIMAL(38, 10)|38|10|1|YES|8, day|91|DATE|10|0|1|YES|9, \
         clock|92|TIME|15|6|1|YES|10, naive|93|TIMESTAMP|26|6|1|YES|11, \
         zoned|{zoned}|TIMESTAMP WITH TIME ZONE|26|6|1|YES|12, word|12|VARCHAR|65536|null|1|YES|13, \
         key|-2|BINARY(16)|null|null|1|YES|14, four|-2|BINARY(4)|null|null|1|YES|15, \
         bytes|-3|VARBINARY|65536|null|1|YES|16, items|2003|ARRAY<INTEGER>|null|null|1|YES|17, \
         pairs|2000|MAP<VARCHAR, DOUBLE>|null|null|1|YES|18, \
         pair|2000|STRUCT<a INTEGER, b ARRAY<VARCHAR>>|null|null|1|YES|19, \
         deep|2003|ARRAY<MAP<VARCHAR, STRUCT<x DOUBLE, y DATE>>>|null|null|1|YES|20]"
    );
    found.are(&[("columns", &columns)]);
    for empty in [
        "imported keys",
        "exported keys",
        "cross reference",
        "index info",
        "best row",
        "version columns",
        "table privileges",
        "column privileges",
        "procedures",
        "procedure columns",
        "functions",
        "function columns",
        "pseudo columns",
        "user types",
        "super types",
        "super tables",
        "attributes",
    ] {
        found.are(&[(empty, "[]")]);
    }
    // Of a decimal the result itself tells the digits, too.
    found.are(&[
        ("query 0 column d9 size", "9,2"),
        ("query 0 column d38 size", "38,10"),
        ("query 0 column d38 type", "3"),
        ("query 0 column id type", "-5"),
        ("query 0 column word type", "12"),
        ("query 0 column items type", "2003"),
    ]);
}

/// Every value as the engine that wrote it has it, by the getter that a program would call.
fn values(found: &Findings) {
    let mut compared = BTreeSet::new();
    for (query, (engine, table)) in TABLES.into_iter().enumerate() {
        let fixture = fixture(engine, table).unwrap();
        let all = fixture
            .queries
            .iter()
            .find(|query| query.name == "all rows")
            .unwrap();
        for (row, values) in all.rows.iter().enumerate() {
            for (column, value) in all.columns.iter().zip(values) {
                let at = format!("query {query} {row} {column}");
                if value.is_null() {
                    found.are(&[(&format!("{at} string"), "null")]);
                    continue;
                }
                let Some((getter, want)) = expected(column, value) else {
                    continue;
                };
                compared.insert(getter);
                found.are(&[(&format!("{at} {getter}"), &want)]);
            }
        }
    }
    let getters = [
        "boolean",
        "bytes",
        "date",
        "decimal",
        "double",
        "float",
        "int",
        "long",
        "string",
        "time",
        "timestamp",
    ];
    assert_eq!(compared, BTreeSet::from(getters));
    found.are(&[
        ("query 0 2 small was null", "true"),
        ("query 0 0 small was null", "false"),
        ("query 0 0 items string", "[1,null,3]"),
        ("query 0 0 items array", "[1, null, 3]"),
        ("query 0 0 pairs string", "{\"z\":1.5,\"a\":null}"),
        ("query 0 0 pair string", "{\"a\":1,\"b\":[\"x\",null]}"),
        (
            "query 0 0 deep string",
            "[[{\"key\":\"k\",\"value\":{\"x\":1.5,\"y\":19723}}],null,[]]",
        ),
        ("query 0 1 items string", "[]"),
    ]);
}

/// The getter for a column, and what it gives for an engine's value; nothing for the columns that are compared literally.
fn expected(column: &str, value: &Value) -> Option<(&'static str, String)> {
    let text = value.as_str()?;
    Some(match column {
        "id" => ("long", text.to_owned()),
        "ok" => ("boolean", text.to_owned()),
        "small" => ("int", text.to_owned()),
        "single" => ("float", java_float(text.parse::<f32>().unwrap())),
        "double" => ("double", java_double(text.parse::<f64>().unwrap())),
        "d9" | "d18" | "d38" => ("decimal", text.to_owned()),
        "day" => ("date", text.to_owned()),
        // The driver has times to the millisecond.
        "clock" | "t" => ("time", text[..12].trim_end_matches(".000").to_owned()),
        "naive" | "zoned" | "ns" | "nsz" => {
            let text = text.trim_end_matches('Z').replace('T', " ");
            let text = text.trim_end_matches('0');
            let zero = if text.ends_with('.') { "0" } else { "" };
            ("timestamp", format!("{text}{zero}"))
        }
        "word" => ("string", text.to_owned()),
        "key" | "four" | "bytes" | "u" | "f" | "d" => ("bytes", text.to_owned()),
        _ => return None,
    })
}

fn java_float(value: f32) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        value if value == f32::MIN => "-3.4028235E38".to_owned(),
        value => value.to_string(),
    }
}

fn java_double(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        value if value.is_infinite() => "Infinity".to_owned(),
        value => format!("{value:?}"),
    }
}

fn parameters(found: &Findings) {
    found.are(&[
        (
            "parameters",
            "[4:Int(32, true), 3:Decimal(18, 4, 128), 91:Date(DAY), 12:Utf8]",
        ),
        ("parameters described", "[id]"),
        ("parameters first", "[1, 2, 4]"),
        ("parameters second", "[2]"),
        ("bound boolean", "[1, 4]"),
        ("bound long", "[3]"),
        ("bound int for a bigint", "[3]"),
        ("bound short", "[4]"),
        ("bound string", "[1]"),
        ("bound object", "[1]"),
        ("bound float", "[4]"),
        ("bound double", "[1]"),
        ("bound decimal", "[1]"),
        ("bound bytes", "[1]"),
        ("bound fixed", "[1]"),
        ("bound date", "[4]"),
        ("bound time", "[2]"),
        ("bound timestamp", "[4]"),
        ("bound timestamp with zone", "[1, 4]"),
        ("bound limit", "[2, 3]"),
        ("bound like", "[1]"),
        ("bound in", "[1, 4]"),
        ("bound between", "[4]"),
    ]);
    found.say(&[("batch of a query", "run it as a query")]);
    // The driver gives one count for a batch of a statement without parameters, and has none of statements.
    found.are(&[("batch", "[0]")]);
    found.say(&[(
        "batch of statements",
        "thrown: java.lang.NullPointerException",
    )]);
}

fn statements(found: &Findings) {
    found.are(&[
        ("two open", "100000:5000050000:false"),
        ("max rows", "[1, 2, 3, 4, 5, 6, 7]"),
        ("fetch size", "100000"),
        ("execute a query", "true [1] false -1"),
        ("execute a command", "false 0"),
        ("again", "true [2]"),
        ("by name", "2 x 1 falsetruefalse 1"),
        ("valid", "true"),
        ("auto commit", "true"),
    ]);
    let whole = found.at("one endpoint");
    assert!(whole.starts_with("150000 "), "{whole}");
    found.are(&[("several endpoints", whole)]);
    found.say(&[
        ("empty", "[id, word"),
        ("empty", "] []"),
        ("labels", "One, TWO, "),
        ("labels", "r_name, n_name"),
    ]);
}

fn refusals(found: &Findings) {
    found.say(&[
        ("wrong 0", "SELEC is not supported"),
        ("wrong 0", "(line 1, column 1)"),
        ("wrong 1", "Expected: an expression"),
        ("wrong 2", "there is no table lake.types.spark_typos; nearest: spark_types, spark_nested (line 1, column 15)"),
        ("wrong 3", "there is no column nme (line 1, column 8)"),
        ("wrong 4", "division by zero"),
        ("wrong 5", "Cannot cast string 'x' to value of Int32 type"),
        ("wrong 6", "INSERT is not supported"),
        ("wrong 7", "the statement is empty"),
        ("wrong 8", "exactly one statement"),
    ]);
    for at in 0..9 {
        found.say(&[
            (&format!("wrong {at}"), "refused: "),
            (&format!("wrong {at}"), "[query "),
        ]);
    }
    found.are(&[("right after wrong", "[42]")]);
}

fn cancelled(found: &Findings) {
    found.are(&[
        ("closed in the middle", "closed"),
        ("the canceller", "cancelled"),
        ("state of closed", "cancelled"),
        ("state of cancelled", "cancelled"),
        ("state of timed", "cancelled"),
        ("state of silent", "cancelled"),
    ]);
    found.say(&[
        ("cancelled in the middle", "refused: Statement canceled"),
        ("timed out", "timed out after 1 SECONDS"),
        ("cancelled while waiting", "refused: "),
    ]);
}
