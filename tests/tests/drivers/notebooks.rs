//! pandas, Polars, DuckDB, Ibis and SQLAlchemy, and the statements that Superset sends through it. `tests/clients/notebooks.py`
//! runs the examples of `docs/clients.md` as they stand there.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use landfast_tests::drivers;
use landfast_tests::findings::Findings;
use landfast_tests::landfast::{PASSWORD, READER};
use landfast_tests::parts::Parts;

use crate::{findings, landfast};

fn found() -> &'static Findings {
    static FOUND: OnceLock<Findings> = OnceLock::new();
    FOUND.get_or_init(|| {
        let landfast = landfast();
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/clients.md");
        let mut python = Command::new(drivers::notebooks().unwrap());
        python.arg(Parts::client("notebooks.py"));
        python.args([&landfast.uri(), READER, PASSWORD]);
        python.arg(landfast.certificate()).arg(docs);
        for roots in ["SSL_CERT_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] {
            python.env(roots, landfast.certificate());
        }
        python
            .env_remove("PYTHONPATH")
            .env("PYTHONUTF8", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        findings("notebooks", &mut python)
    })
}

#[test]
fn pandas_reads_frames_of_every_type() {
    let found = found();
    found.are(&[
        (
            "pandas types",
            "['int64', 'object', 'float64', 'float32', 'float64', 'object', 'object', 'object', 'object', 'object', \
             'datetime64[us]', 'datetime64[us, UTC]', 'str', 'object', 'object', 'object', 'object', 'object', 'object', 'object']",
        ),
        (
            "pandas values",
            "[np.int64(1), Decimal('1234567890123456789012345678.0123456789'), datetime.date(1969, 12, 31), \
             datetime.time(23, 59, 59, 999999), Timestamp('1969-12-31 23:59:59.999999'), \
             Timestamp('2024-02-29 10:00:00.000001+0000', tz='UTC'), 'naïve ☃ 𝄞', 'f81d4fae7dec11d0a76500a0c91e6bf6']",
        ),
        (
            "pandas arrow types",
            "['int64[pyarrow]', 'int32[pyarrow]', 'decimal128(9, 2)[pyarrow]', 'timestamp[us, tz=UTC][pyarrow]']",
        ),
        ("pandas empty", "0 ['id', 'word']"),
    ]);
    assert!(
        rows(found.at("pandas snippet")) > 1000,
        "{}",
        found.at("pandas snippet")
    );
    // What pandas itself has not for ADBC.
    found.say(&[
        (
            "pandas parameters",
            "'params' is not implemented for ADBC drivers",
        ),
        (
            "pandas chunks",
            "'chunksize' is not implemented for ADBC drivers",
        ),
        (
            "pandas refused",
            "there is no table lake.tpch.nations; nearest: nation",
        ),
    ]);
}

#[test]
fn polars_reads_frames_of_every_type_in_batches_and_with_parameters() {
    let found = found();
    found.are(&[
        (
            "polars types",
            "[Int64, Boolean, Int32, Float32, Float64, Decimal(precision=9, scale=2), Decimal(precision=18, scale=4), \
             Decimal(precision=38, scale=10), Date, Time, Datetime(time_unit='us', time_zone=None), \
             Datetime(time_unit='us', time_zone='UTC'), String, Binary, Binary, Binary, List(Int32), Map(String, Float64), \
             Struct({'a': Int32, 'b': List(String)}), List(Map(String, Struct({'x': Float64, 'y': Date})))]",
        ),
        (
            "polars values",
            "[1, Decimal('1234567890123456789012345678.0123456789'), datetime.date(1969, 12, 31), \
             datetime.time(23, 59, 59, 999999), datetime.datetime(1969, 12, 31, 23, 59, 59, 999999), \
             datetime.datetime(2024, 2, 29, 10, 0, 0, 1, tzinfo=zoneinfo.ZoneInfo(key='UTC')), 'naïve ☃ 𝄞', \
             [1, None, 3], {'a': 1, 'b': ['x', None]}, [{'k': {'x': 1.5, 'y': datetime.date(2024, 1, 1)}}, None, {}]]",
        ),
        ("polars batches", "150000"),
        ("polars parameters", "GERMANY"),
    ]);
    assert!(rows(found.at("polars snippet").trim_start_matches('(')) > 1000);
    found.say(&[("polars by URI", "no credentials")]);
}

#[test]
fn frames_of_pandas_and_polars_are_put_into_one_temporary_table() {
    found().are(&[
        ("pandas frame put", "2"),
        ("polars frame put", "1"),
        (
            "frames joined",
            "[('CANADA', None, 'y'), ('GERMANY', 'g', 'x'), ('INDONESIA', 'a label that is longer than a view', 'z')]",
        ),
    ]);
}

#[test]
fn duckdb_and_ibis_work_on_what_they_are_handed_and_on_sql_of_theirs() {
    let found = found();
    let counted = "[('F', 72884), ('O', 73267), ('P', 3849)]";
    found.are(&[
        ("duckdb snippet", counted),
        ("ibis snippet", counted),
        (
            "duckdb types",
            "['BIGINT', 'BOOLEAN', 'INTEGER', 'FLOAT', 'DOUBLE', 'DECIMAL(9,2)', 'DECIMAL(18,4)', 'DECIMAL(38,10)', 'DATE', \
             'TIME', 'TIMESTAMP', 'TIMESTAMP WITH TIME ZONE', 'VARCHAR', 'BLOB', 'BLOB', 'BLOB', 'INTEGER[]', \
             'MAP(VARCHAR, DOUBLE)', 'STRUCT(a INTEGER, b VARCHAR[])', 'MAP(VARCHAR, STRUCT(x DOUBLE, y DATE))[]']",
        ),
        ("duckdb values", "True"),
        (
            "ibis over DuckDB",
            "[{'n_regionkey': 0, 'n': 5}, {'n_regionkey': 1, 'n': 5}, {'n_regionkey': 2, 'n': 5}, {'n_regionkey': 3, 'n': 5}, \
             {'n_regionkey': 4, 'n': 5}]",
        ),
    ]);
}

#[test]
fn sqlalchemy_runs_statements_and_binds_parameters() {
    let found = found();
    found.are(&[
        ("sqlalchemy snippet", "[('GERMANY',)]"),
        ("sqlalchemy table", "[('RUSSIA',), ('UNITED KINGDOM',)]"),
        // The dialect writes NULL for a parameter of text(), but for prepared statements.
        ("sqlalchemy text parameters", "[]"),
    ]);
    let prepared = found.at("sqlalchemy prepared");
    assert!(
        prepared.starts_with("[('GERMANY', 3), ('GERMANY', 3), ('GERMANY', 3), ('ALGERIA', 0), "),
        "{prepared}"
    );
    found.say(&[(
        "sqlalchemy wrong password",
        "the user name or the password is wrong",
    )]);
}

#[test]
fn superset_lists_previews_and_charts_through_sqlalchemy() {
    let found = found();
    found.are(&[
        ("superset test connection", "True"),
        ("superset tables", "['nation', 'orders', 'part', 'region']"),
        ("superset views", "[]"),
        ("superset has table", "(True, False)"),
        ("superset keys", "([], [], [])"),
        ("superset preview", "25"),
        ("superset lab", "25"),
        ("superset chart", "6"),
        ("superset values", "25"),
        ("superset count", "1"),
        ("superset series", "2"),
    ]);
    found.say(&[
        ("superset schemas", "'tpch', 'types'"),
        (
            "superset columns",
            "[('id', 'BIGINT', False), ('ok', 'BOOLEAN', True), ",
        ),
        (
            "superset columns",
            "('d38', 'DECIMAL', True), ('day', 'DATE', True)",
        ),
        (
            "superset columns",
            "('zoned', 'TIMESTAMP', True), ('word', 'TEXT', True)",
        ),
    ]);
    assert!(rows(found.at("superset explain")) > 0);
}

/// The number that a finding begins with.
fn rows(found: &str) -> usize {
    let digits = found.split(|letter: char| !letter.is_ascii_digit()).next();
    digits.unwrap().parse().unwrap()
}
