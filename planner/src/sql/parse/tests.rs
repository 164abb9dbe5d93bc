use proptest::prelude::*;

use super::*;
use crate::ErrorKind;
use crate::sql::statement::QueryKind;

fn parsed(text: &str) -> Result<Statement> {
    parse(text, 1 << 20)
}

fn refused(text: &str) -> PlannerError {
    match parsed(text) {
        Ok(_) => panic!(
            "{} was let through",
            text.chars().take(200).collect::<String>()
        ),
        Err(error) => error,
    }
}

#[test]
fn queries_of_every_form_pass() {
    for text in [
        "SELECT 1",
        "select 1;",
        "(SELECT 1)",
        "VALUES (1, 'a'), (2, 'b')",
        "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n",
        "SELECT 1 UNION ALL SELECT 2 INTERSECT SELECT 3 EXCEPT SELECT 4",
        "FROM t SELECT a",
        "SELECT a FROM t ORDER BY a OFFSET 2 ROWS FETCH FIRST 3 ROWS ONLY",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE VERBOSE WITH a AS (SELECT 1) SELECT * FROM a",
        "DESCRIBE cat.s.t",
        "DESC t",
        "DESCRIBE SELECT 1",
        "SHOW CATALOGS",
        "SHOW CATALOGS LIKE 'l%'",
        "SHOW SCHEMAS",
        "SHOW SCHEMAS IN lake LIKE 't%'",
        "SHOW SCHEMAS FROM lake",
        "SHOW TABLES",
        "SHOW TABLES IN lake.tpch LIKE '%item'",
        "SHOW TABLES FROM tpch",
        "SHOW COLUMNS FROM lake.tpch.orders",
        "SHOW ALL",
        "SHOW landfast.freshness",
        "SHOW TIME ZONE",
        "SELECT * FROM generate_series(1, 5)",
        "SELECT * FROM unnest([1, 2])",
    ] {
        let statement = parsed(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(!statement.is_update(), "{text}");
    }
}

#[test]
fn commands_of_the_list_pass() {
    for text in [
        "SET landfast.freshness = 'bounded 60s'",
        "SET landfast.placement TO origin",
        "SET TIME ZONE 'Europe/Berlin'",
        "SET landfast.catalog = DEFAULT",
        "RESET landfast.freshness",
        "RESET ALL",
        "USE lake.tpch",
        "USE lake",
        "CALL landfast.register_table('lake.tpch.t', 'gs://lake/t/metadata/1.metadata.json')",
        "CALL landfast.register_table(?, ?)",
        "CALL landfast.unregister_table('lake.tpch.t')",
        "CREATE SCHEMA lake.x",
        "CREATE SCHEMA IF NOT EXISTS lake.\"a.b\"",
        "DROP SCHEMA lake.x",
        "DROP SCHEMA IF EXISTS lake.x RESTRICT",
        "DROP TABLE lake.x.t",
        "DROP TABLE IF EXISTS t",
    ] {
        let statement = parsed(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(statement.is_update(), "{text}");
    }
}

#[test]
fn everything_else_is_refused_by_name() {
    for text in [
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc'",
        "CREATE EXTERNAL TABLE t (a int) STORED AS CSV LOCATION 's3://b/k' OPTIONS ('x' 'y')",
        "CREATE TABLE t (a int)",
        "CREATE TABLE t AS SELECT 1",
        "CREATE OR REPLACE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE FUNCTION f() RETURNS int AS 'x'",
        "CREATE DATABASE d",
        "CREATE INDEX i ON t (a)",
        "CREATE USER u",
        "CREATE SECRET s",
        "COPY t TO '/tmp/x.parquet'",
        "COPY (SELECT 1) TO '/tmp/x.csv' STORED AS CSV",
        "COPY t FROM '/etc/passwd'",
        "INSERT INTO t VALUES (1)",
        "INSERT OVERWRITE t SELECT 1",
        "REPLACE INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "DELETE FROM t WHERE a IN (SELECT 1) LIMIT 1",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
        "TRUNCATE TABLE t",
        "ALTER TABLE t ADD COLUMN b int",
        "DROP VIEW v",
        "DROP FUNCTION f",
        "DROP DATABASE d",
        "DROP TABLE t CASCADE",
        "DROP SCHEMA s CASCADE",
        "DROP TABLE a, b",
        "DROP TABLE t PURGE",
        "PREPARE p AS SELECT 1",
        "PREPARE p(int) AS SELECT $1",
        "EXECUTE p(1)",
        "DEALLOCATE p",
        "BEGIN",
        "COMMIT",
        "START TRANSACTION",
        "GRANT SELECT ON t TO u",
        "VACUUM t",
        "ATTACH DATABASE 'x' AS y",
        "INSTALL httpfs",
        "LOAD 'x'",
        "PRAGMA x",
        "KILL 1",
        "ANALYZE TABLE t COMPUTE STATISTICS",
        "EXPLAIN INSERT INTO t VALUES (1)",
        "EXPLAIN ANALYZE COPY t TO '/tmp/x'",
        "EXPLAIN ANALYZE DELETE FROM t",
        "EXPLAIN VERBOSE CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/'",
        "EXPLAIN EXPLAIN SELECT 1",
        "EXPLAIN SET x = 1",
        "EXPLAIN (FORMAT JSON) SELECT 1",
        "EXPLAIN FORMAT TREE SELECT 1",
        "DESCRIBE INSERT INTO t VALUES (1)",
        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
        "WITH a AS (SELECT 1) DELETE FROM t",
        "SELECT 1 INTO t",
        "SELECT * INTO t FROM s",
        "SELECT * FROM read_parquet('/etc/x')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM parquet_metadata('/etc/x')",
        "SELECT * FROM metadata_cache()",
        "SELECT * FROM statistics_cache()",
        "SELECT * FROM (SELECT * FROM arrow_file('/x'))",
        "SELECT (SELECT count(*) FROM read_csv('/x'))",
        "SELECT * FROM LATERAL glob('/x')",
        "SELECT * FROM TABLE(glob('/x'))",
        "SHOW CREATE TABLE t",
        "SHOW FUNCTIONS",
        "SHOW TABLES WHERE x = 1",
        "SET SESSION AUTHORIZATION root",
        "SET ROLE x",
        "SET (a, b) = (1, 2)",
        "SET a = 1, b = 2",
        "SET x = (SELECT 1)",
        "SET TRANSACTION READ ONLY",
        "CALL system.anything('x')",
        "CALL landfast.register_table('one')",
        "CALL landfast.register_table((SELECT 1), 'x')",
        "CREATE SCHEMA AUTHORIZATION x",
        "CREATE SCHEMA s WITH (location = '/x')",
    ] {
        let error = refused(text);
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Unsupported | ErrorKind::InvalidArgument | ErrorKind::NotFound
            ),
            "{text}: {error:?}"
        );
    }
    assert!(
        refused("INSERT INTO t VALUES (1)")
            .to_string()
            .starts_with("INSERT is not supported")
    );
    assert!(
        refused("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/'")
            .to_string()
            .contains("register_table")
    );
    assert!(
        refused("EXPLAIN ANALYZE COPY t TO 'x'")
            .to_string()
            .contains("COPY")
    );
}

/// The query with its clauses put where the tree has them.
fn tree(text: &str) -> String {
    match parsed(text) {
        Ok(Statement::Query(query)) => match query.kind {
            QueryKind::Rows(ast) | QueryKind::Explain { query: ast, .. } => ast.to_string(),
            other => panic!("{text}: {other:?}"),
        },
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_version_is_understood_in_every_spelling() {
    for (text, wanted) in [
        ("SELECT * FROM t FOR VERSION AS OF 3", "t VERSION AS OF 3"),
        (
            "SELECT * FROM t FOR SYSTEM_VERSION AS OF 3",
            "t VERSION AS OF 3",
        ),
        (
            "SELECT * FROM t for version as of 'a b'",
            "t VERSION AS OF 'a b'",
        ),
        ("SELECT * FROM t VERSION AS OF 3", "t VERSION AS OF 3"),
        ("SELECT * FROM t VERSION AS OF 'v'", "t VERSION AS OF 'v'"),
        (
            "SELECT * FROM t FOR VERSION AS OF (3) x",
            "t x VERSION AS OF 3",
        ),
        (
            "SELECT * FROM t FOR SYSTEM_TIME AS OF '2026-01-01'",
            "t TIMESTAMP AS OF '2026-01-01'",
        ),
        (
            "SELECT * FROM t FOR TIMESTAMP AS OF DATE '2026-01-01'",
            "t TIMESTAMP AS OF '2026-01-01'",
        ),
        (
            "SELECT * FROM t TIMESTAMP AS OF '2026-01-01'",
            "t TIMESTAMP AS OF '2026-01-01'",
        ),
        (
            "SELECT * FROM t FOR TIMESTAMP AS OF TIMESTAMP '2026-01-01 10:00:00'",
            "t TIMESTAMP AS OF '2026-01-01 10:00:00'",
        ),
        (
            "SELECT * FROM t FOR TIMESTAMP AS OF TIMESTAMP WITH TIME ZONE '2026-01-01 10:00:00+01:00' AS x",
            "t AS x TIMESTAMP AS OF '2026-01-01 10:00:00+01:00'",
        ),
        (
            "SELECT * FROM t FOR TIMESTAMP AS OF CAST('2026-01-01 10:00:00' AS DATE)",
            "t TIMESTAMP AS OF '2026-01-01'",
        ),
        (
            "SELECT * FROM t FOR TIMESTAMP AS OF '2026-01-01 10:00'::timestamp WHERE a = 1",
            "t TIMESTAMP AS OF '2026-01-01 10:00:00' WHERE a = 1",
        ),
        (
            "SELECT * FROM c.s.\"T\" /* then */ FOR VERSION /* the */ AS OF 3 -- now",
            "c.s.\"T\" VERSION AS OF 3",
        ),
        (
            "SELECT * FROM a FOR VERSION AS OF 1 JOIN b FOR VERSION AS OF 2 y ON a.x = y.x",
            "a VERSION AS OF 1 JOIN b y VERSION AS OF 2 ON a.x = y.x",
        ),
        (
            "EXPLAIN SELECT * FROM (SELECT * FROM t VERSION AS OF 3, u)",
            "(SELECT * FROM t VERSION AS OF 3, u)",
        ),
    ] {
        assert_eq!(tree(text), format!("SELECT * FROM {wanted}"), "{text}");
    }
}

#[test]
fn words_of_versions_that_are_names_stay_names() {
    for text in [
        "SELECT version AS of FROM t",
        "SELECT a, timestamp AS of FROM t",
        "SELECT version, timestamp FROM t AS version",
        "SELECT * FROM version",
        "SELECT before, at FROM t AS at",
        "SELECT a AS of FROM t",
    ] {
        assert_eq!(tree(text), text);
    }
}

#[test]
fn a_version_is_honoured_or_refused_with_its_place() {
    for (text, column) in [
        (
            "SELECT * FROM t AT (TIMESTAMP => '2026-01-01'::timestamp)",
            17,
        ),
        ("SELECT * FROM t BEFORE (STATEMENT => 'x')", 17),
        ("SELECT * FROM t AT (VERSION => 3)", 17),
        (
            "SELECT * FROM t FOR SYSTEM_TIME BETWEEN '2026-01-01' AND '2026-01-02'",
            17,
        ),
        ("SELECT * FROM t FOR SYSTEM_TIME ALL", 17),
        (
            "SELECT * FROM t FOR APPLICATION_TIME AS OF '2026-01-01'",
            17,
        ),
        ("SELECT * FROM t x FOR VERSION AS OF 3", 19),
        ("SELECT * FROM (SELECT 1) FOR VERSION AS OF 3", 26),
        ("SELECT * FROM range(1, 3) FOR VERSION AS OF 3", 27),
        ("SELECT * FROM range FOR VERSION AS OF 3 (1, 3)", 15),
        (
            "SELECT * FROM t FOR VERSION AS OF 3 FOR VERSION AS OF 4",
            37,
        ),
        ("SELECT * FROM FOR VERSION AS OF 3", 0),
        ("SELECT a FOR VERSION AS OF 3", 10),
        ("SELECT * FROM t WHERE a FOR VERSION AS OF 3", 25),
        ("FOR VERSION AS OF 3", 1),
        ("SHOW TABLES FROM t FOR VERSION AS OF 3", 20),
        ("SELECT * FROM t FOR VERSION AS OF ?", 35),
        ("SELECT * FROM t FOR TIMESTAMP AS OF $1", 37),
        ("SELECT * FROM t FOR VERSION AS OF -3", 36),
        ("SELECT * FROM t FOR VERSION AS OF 3.5", 35),
        ("SELECT * FROM t FOR VERSION AS OF 99999999999999999999", 35),
        ("SELECT * FROM t FOR VERSION AS OF ''", 35),
        ("SELECT * FROM t FOR VERSION AS OF main", 35),
        ("SELECT * FROM t FOR VERSION AS OF 'a' || 'b'", 35),
        ("SELECT * FROM t FOR TIMESTAMP AS OF 1700000000", 37),
        ("SELECT * FROM t FOR TIMESTAMP AS OF now()", 37),
        ("SELECT * FROM t FOR TIMESTAMP AS OF 'yesterday'", 37),
        (
            "SELECT * FROM a JOIN t FOR SYSTEM_TIME AS OF now() ON a.x = t.x",
            46,
        ),
        ("SELECT * FROM t FOR VERSION AS OF", 0),
        ("DROP TABLE t FOR VERSION AS OF 3", 14),
    ] {
        let error = refused(text);
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Unsupported | ErrorKind::InvalidArgument
            ),
            "{text}: {error}"
        );
        let at = error.position().map_or(0, |at| at.column);
        assert!(at == column || column == 0, "{text}: {at}: {error}");
    }
}

#[test]
fn clauses_that_the_engine_would_ignore_are_refused() {
    for text in [
        "SELECT * FROM t TABLESAMPLE (10 PERCENT)",
        "SELECT * FROM t TABLESAMPLE BERNOULLI (10)",
        "SELECT * FROM (SELECT 1) TABLESAMPLE (10 ROWS)",
        "SELECT * FROM t WITH (NOLOCK)",
        "SELECT * FROM t USE INDEX (i)",
        "SELECT * FROM t PARTITION (p0)",
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM t FOR SHARE",
        "SELECT * FROM t FOR JSON AUTO",
        "SELECT * FROM t SETTINGS max_threads = 1",
        "SELECT * FROM t FORMAT JSON",
        "SELECT TOP 5 * FROM t",
        "SELECT /*+ BROADCAST(t) */ * FROM t",
        "SELECT a FROM t GROUP BY a WITH ROLLUP",
        "SELECT a FROM t GROUP BY ALL WITH TOTALS",
        "SELECT a FROM t PREWHERE a > 1",
        "SELECT a FROM t CONNECT BY PRIOR a = b",
        "SELECT a FROM t CLUSTER BY a",
        "SELECT a FROM t DISTRIBUTE BY a",
        "SELECT a FROM t SORT BY a",
        "SELECT a FROM t LATERAL VIEW explode(b) x AS y",
        "SELECT * ILIKE '%a' FROM t",
        "SELECT * RENAME (a AS b) FROM t",
        "SELECT quantile(0.5)(a) FROM t",
        "SELECT a FROM t |> WHERE a > 1",
        "SELECT a FROM t ORDER BY a FETCH FIRST 3 ROWS WITH TIES",
        "SELECT a FROM t ORDER BY a FETCH FIRST 3 PERCENT ROWS ONLY",
        "SELECT * FROM generate_series(1, 3) WITH ORDINALITY",
        "SELECT * FROM unnest([1]) WITH OFFSET",
        "SELECT * FROM t PIVOT (sum(a) FOR b IN ('x'))",
        "SELECT @@version",
        "SELECT @x",
        "TABLE t",
        "SELECT * FROM t GLOBAL JOIN u ON t.a = u.a",
        "SELECT EXISTS (SELECT * FROM t TABLESAMPLE (1 ROWS))",
        "WITH \"s.t\" AS (SELECT 1) SELECT * FROM s.t",
        "SELECT sum(a) OVER (w) FROM t WINDOW w AS (ORDER BY b)",
        "SELECT sum(a) OVER (w ROWS 1 PRECEDING) FROM t WINDOW w AS (ORDER BY b)",
        "SELECT sum(a) OVER x FROM t WINDOW w AS (PARTITION BY b), x AS (w ORDER BY c)",
        "SELECT (SELECT 1 + sum(a) OVER (w) FROM t)",
    ] {
        let error = refused(text);
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Unsupported | ErrorKind::InvalidArgument
            ),
            "{text}: {error:?}"
        );
    }
}

#[test]
fn exactly_one_statement_is_taken() {
    assert!(refused("").to_string().contains("empty"));
    assert!(refused(" ; -- nothing\n").to_string().contains("empty"));
    let error = refused("SELECT 1; SELECT 2");
    assert!(error.to_string().contains("exactly one"), "{error}");
    assert_eq!(
        error.position(),
        Some(Position {
            line: 1,
            column: 11
        })
    );
    refused("SELECT 1; DROP TABLE t");
    assert!(parsed("SELECT 1 ; ; -- done").is_ok());
}

#[test]
fn a_mistake_comes_with_its_line_and_column() {
    let error = refused("SELECT a\nFROM t\nWHERE a = = 1");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.position().map(|p| p.line), Some(3), "{error}");
    let error = refused("SELECT 'open");
    assert_eq!(
        error.position(),
        Some(Position { line: 1, column: 8 }),
        "{error}"
    );
}

#[test]
fn parameters_are_numbered_by_place_not_by_text() {
    let count = |text: &str| parsed(text).unwrap().parameter_count();
    assert_eq!(count("SELECT 1"), 0);
    assert_eq!(count("SELECT ? + ?"), 2);
    assert_eq!(count("SELECT $2, $10"), 10);
    assert_eq!(count("SELECT '?', \"?\", ? -- ?"), 1);
    refused("SELECT ?, $1");
    refused("SELECT $0");
    refused("SELECT $name");
    refused("SELECT $1001");
    let Statement::Query(query) = parsed("SELECT ? FROM t WHERE a = ? LIMIT ?").unwrap() else {
        panic!()
    };
    let QueryKind::Rows(ast) = query.kind else {
        panic!()
    };
    assert_eq!(ast.to_string(), "SELECT $1 FROM t WHERE a = $2 LIMIT $3");
}

#[test]
fn a_long_statement_is_refused_by_its_length() {
    let error = parse("SELECT 1", 4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
}

#[test]
fn deep_nesting_is_refused_and_never_overflows_the_stack() {
    let deep = [
        format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000)),
        format!("SELECT {} 1", "NOT ".repeat(5000)),
        format!("SELECT {} 1", "- ".repeat(5000)),
        format!("SELECT 1{}", " + 1".repeat(15_000)),
        format!("SELECT 1{}", "::int".repeat(15_000)),
        format!("SELECT 1{}", " IS NULL".repeat(9_000)),
        format!("SELECT a{}", "[1]".repeat(9_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(5_000)),
        format!("SELECT {}1{}", "abs(".repeat(5000), ")".repeat(5000)),
        format!(
            "SELECT * FROM {}t{}",
            "(SELECT * FROM ".repeat(5000),
            ")".repeat(5000)
        ),
        format!(
            "SELECT {}1{}",
            "CASE WHEN true THEN ".repeat(3000),
            " END".repeat(3000)
        ),
        format!("SELECT 1{}", " + 1".repeat(150_000)),
        format!("SELECT * FROM t{}", ", t".repeat(1_000)),
    ];
    for text in deep {
        let error = refused(&text);
        assert!(
            matches!(
                error.kind(),
                ErrorKind::ResourceExhausted | ErrorKind::InvalidArgument
            ),
            "{}…: {error}",
            &text[..20]
        );
    }
}

#[test]
fn an_error_deep_within_nested_expressions_is_told_before_all_ways_to_read_it_were_tried() {
    for (open, close) in [
        ("NOT (", ")"),
        ("NOT ", ""),
        ("CASE WHEN ", " THEN 1 END"),
        ("CAST(", " AS INT)"),
        ("EXTRACT(YEAR FROM ", ")"),
        ("EXISTS (SELECT ", ")"),
        ("INTERVAL (", ")"),
        ("abs(NOT (", "))"),
        ("ARRAY[NOT (", ")]"),
        ("SUBSTRING(CASE ", " WHEN 1 THEN 2 END FROM 1)"),
    ] {
        for from in ["SELECT ", "SELECT * FROM a.b."] {
            let text = format!("{from}{}1 1 1{} LIMIT x", open.repeat(60), close.repeat(60));
            let error = refused(&text);
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::InvalidArgument | ErrorKind::ResourceExhausted
                ),
                "{text}: {error}"
            );
        }
    }
}

#[test]
fn set_operations_that_count_rows_are_refused() {
    for op in ["EXCEPT ALL", "INTERSECT ALL", "MINUS ALL"] {
        let error = refused(&format!("SELECT 1 {op} SELECT 1"));
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    for op in ["EXCEPT", "INTERSECT", "EXCEPT DISTINCT", "UNION ALL"] {
        assert!(parsed(&format!("SELECT 1 {op} SELECT 1")).is_ok(), "{op}");
    }
}

#[test]
fn valid_nests_are_read() {
    for (open, close, depth) in [
        ("(", ")", 40),
        ("NOT (", ")", 40),
        ("abs(", ")", 40),
        ("coalesce(1, ", ", 2)", 40),
        ("CASE WHEN true THEN ", " ELSE 2 END", 30),
        ("CAST(", " AS INT)", 30),
        ("(SELECT ", ")", 20),
    ] {
        let text = format!("SELECT {}1{}", open.repeat(depth), close.repeat(depth));
        parsed(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn the_bounded_dialect_reads_as_the_generic_one_does() {
    for text in [
        "SELECT `a b`, \"c\", #d, @e FROM t",
        "SELECT * EXCEPT (a) FROM t",
        "SELECT * EXCLUDE (a) FROM t",
        "SELECT * REPLACE (1 AS a) FROM t",
        "SELECT a, b, FROM t",
        "SELECT FROM t",
        "FROM t",
        "SELECT {'a': 1}, MAP {'a': 1}, [1, 2]",
        "SELECT count(*) FILTER (WHERE a > 1) FROM t GROUP BY ROLLUP (a)",
        "SELECT first_value(a IGNORE NULLS) OVER w FROM t WINDOW w AS (PARTITION BY a)",
        "SELECT extract('year' FROM a), f(a => 1), f(a := 1) FROM t",
        "SELECT E'a\\n', U&'\\0061', INTERVAL '1' DAY, a << 2 FROM t LIMIT 1, 2",
        "SELECT /* a /* b */ c */ 1",
        "SELECT * FROM a JOIN b JOIN c ON b.x = c.x ON a.x = b.x",
        "SELECT * FROM (VALUES (1)) AS t(a) LIMIT 1 BY a",
        "SELECT a FROM t |> WHERE a > 1",
        "WITH a (SELECT 1) SELECT 1",
    ] {
        let read = |dialect: &dyn datafusion::sql::sqlparser::dialect::Dialect| {
            Parser::parse_sql(dialect, text).map_err(|error| error.to_string())
        };
        assert_eq!(
            read(&BoundedDialect::of_tokens(text.len())),
            read(&GenericDialect {}),
            "{text}"
        );
    }
}

#[test]
fn a_long_chain_of_conditions_is_balanced_and_keeps_its_order() {
    let text = format!(
        "SELECT * FROM t WHERE a = 0{}",
        (1..5000)
            .map(|n| format!(" OR a = {n}"))
            .collect::<String>()
    );
    let Statement::Query(query) = parsed(&text).unwrap() else {
        panic!()
    };
    let QueryKind::Rows(ast) = query.kind else {
        panic!()
    };
    let numbers: Vec<String> = ast
        .to_string()
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(str::to_string)
        .collect();
    assert_eq!(
        numbers,
        (0..5000).map(|n: i32| n.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn fetch_first_is_a_limit() {
    let Statement::Query(query) =
        parsed("SELECT a FROM t ORDER BY a OFFSET 2 ROWS FETCH NEXT ROW ONLY").unwrap()
    else {
        panic!()
    };
    let QueryKind::Rows(ast) = query.kind else {
        panic!()
    };
    assert_eq!(
        ast.to_string(),
        "SELECT a FROM t ORDER BY a LIMIT 1 OFFSET 2 ROWS"
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        let _ = parsed(&text);
    }

    #[test]
    fn no_words_make_the_parser_panic(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "SELECT", "FROM", "(", ")", ",", "*", "a", "t", "WHERE", "=", "1", "'x'", "AND", "OR", "NOT", "WITH", "AS",
            "UNION", "ALL", "EXPLAIN", "ANALYZE", "SHOW", "TABLES", "SET", "CALL", "?", "$1", ";", "JOIN", "ON", "AT",
            "FOR", "VERSION", "OF", "TIMESTAMP", "SYSTEM_TIME", "FOR VERSION AS OF 1", "VERSION AS OF 'x'", "VALUES", "CASE", "WHEN", "END", "BETWEEN", "IN", "LIKE", "DROP", "CREATE", "SCHEMA",
        ]), 0..30)) {
        let text = words.join(" ");
        if let Ok(Statement::Query(query)) = parsed(&text) {
            prop_assert!(!text.to_uppercase().starts_with("DROP"));
            prop_assert!(!query.text().is_empty());
        }
    }
}
