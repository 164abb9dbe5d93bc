use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use proptest::prelude::*;

use super::*;
use crate::sql::Statement;
use crate::sql::parse::parse;
use crate::sql::statement::QueryKind;

fn query(text: &str) -> Query {
    match parse(text, 1 << 20) {
        Ok(Statement::Query(statement)) => match statement.kind {
            QueryKind::Rows(query) => *query,
            other => panic!("{other:?}"),
        },
        other => panic!("{text}: {other:?}"),
    }
}

fn table(name: &str, columns: &[&str]) -> KnownTable {
    let mut fields: Vec<Field> = columns
        .iter()
        .map(|name| Field::new(*name, DataType::Int64, true))
        .collect();
    if name == "Spark" {
        let inner = Fields::from(vec![Field::new("zipCode", DataType::Int64, true)]);
        let outer = Fields::from(vec![
            Field::new("Address", DataType::Struct(inner), true),
            Field::new("name", DataType::Utf8, true),
            Field::new("NAME", DataType::Utf8, true),
        ]);
        fields.push(Field::new("Customer", DataType::Struct(outer), true));
    }
    KnownTable {
        full: ["lake".to_string(), "tpch".to_string(), name.to_string()],
        stands_as: None,
        schema: Arc::new(Schema::new(fields)),
        metadata_columns: crate::scan::METADATA_COLUMNS.to_vec(),
        unreadable: match name {
            "Twins" => vec![("shape".to_string(), "geometry".to_string())],
            "Spark" => vec![("Customer.Blob".to_string(), "variant".to_string())],
            _ => Vec::new(),
        },
    }
}

fn catalog() -> Vec<KnownTable> {
    vec![
        table("Spark", &["orderKey", "lineNumber", "Comment"]),
        table("orders", &["o_orderkey", "o_comment", "orderkey"]),
        table("Twins", &["key", "KEY", "other"]),
        table("plain", &["a", "b", "key"]),
    ]
}

fn try_bind(text: &str) -> Result<String> {
    let mut query = query(text);
    let mut known = KnownTables::default();
    for named in tables_named(&query)? {
        let last = named.name.0.last().unwrap().as_ident().unwrap().clone();
        let schema = named
            .name
            .0
            .iter()
            .rev()
            .nth(1)
            .and_then(|part| part.as_ident())
            .map(|ident| ident.value.clone());
        if let Some(mut found) = catalog()
            .into_iter()
            .find(|table| scope::fits(&last, &table.full[2]))
        {
            // A schema of another name holds a table of the same one.
            if let Some(schema) = schema.filter(|schema| schema.to_lowercase() != "tpch") {
                found.full[1] = schema;
            }
            found.stands_as = named
                .version
                .as_ref()
                .map(|version| format!("{}@{version}", found.full[2]));
            known.insert(&named, found);
        }
    }
    let mut bound = query.clone();
    let (_, extended) = bind(&mut bound, &known)?;
    if !extended.is_empty() {
        known.extend(extended);
        bound = query.clone();
        bind(&mut bound, &known)?;
    }
    query = bound;
    Ok(query.to_string())
}

fn bound(text: &str) -> String {
    try_bind(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    match try_bind(text) {
        Ok(bound) => panic!("{text} became {bound}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn unquoted_columns_match_whatever_their_case() {
    assert_eq!(
        bound("SELECT ORDERKEY, s.linenumber FROM spark s WHERE Comment > 1"),
        r#"SELECT "orderKey", "s"."lineNumber" FROM "Spark" s WHERE "Comment" > 1"#
    );
    assert_eq!(
        bound("SELECT Spark.orderkey FROM SPARK"),
        r#"SELECT "Spark"."orderKey" FROM "Spark""#
    );
    assert_eq!(
        bound("SELECT tpch.spark.orderkey FROM SPARK"),
        r#"SELECT "Spark"."orderKey" FROM "Spark""#
    );
    assert_eq!(
        bound("SELECT spark.orderkey FROM LAKE.Tpch.SPARK"),
        r#"SELECT "lake"."tpch"."Spark"."orderKey" FROM "lake"."tpch"."Spark""#
    );
}

#[test]
fn quoted_columns_match_exactly() {
    assert_eq!(
        bound(r#"SELECT "orderkey" FROM spark"#),
        r#"SELECT "orderkey" FROM "Spark""#
    );
    assert_eq!(
        bound(r#"SELECT "KEY", "key" FROM twins"#),
        r#"SELECT "KEY", "key" FROM "Twins""#
    );
}

#[test]
fn a_name_that_fits_several_is_refused_and_lists_them() {
    let error = refused("SELECT\n  Key FROM twins");
    assert_eq!(
        error,
        r#"Key could be "key" or "KEY": write which in quotes (line 2, column 3)"#
    );
    assert!(refused("SELECT t.key FROM twins t").contains(r#""t"."key" or "t"."KEY""#));
    assert!(refused("SELECT orderkey FROM spark, orders").contains(r#""orderKey" or "orderkey""#));
    assert!(refused("SELECT customer.Name FROM spark").contains(r#""name" or "NAME""#));
    assert!(
        refused("WITH a AS (SELECT 1 x), A AS (SELECT 2 x) SELECT * FROM a")
            .contains(r#""a" or "A""#)
    );
}

#[test]
fn qualifiers_choose_among_columns_that_differ_in_case() {
    assert_eq!(
        bound(
            "SELECT s.ORDERKEY, o.ORDERKEY FROM spark s JOIN orders o ON S.orderkey = O.orderkey"
        ),
        r#"SELECT "s"."orderKey", "o"."orderkey" FROM "Spark" s JOIN "orders" o ON "s"."orderKey" = "o"."orderkey""#
    );
}

#[test]
fn struct_fields_match_whatever_their_case() {
    assert_eq!(
        bound("SELECT customer.address.ZIPCODE, s.CUSTOMER.address FROM spark s"),
        r#"SELECT "Customer"."Address"."zipCode", "s"."Customer"."Address" FROM "Spark" s"#
    );
    assert!(refused("SELECT customer.adress FROM spark").contains("nearest: Address"));
}

#[test]
fn names_of_a_with_query_and_of_a_sub_query_are_what_they_put_out() {
    assert_eq!(
        bound(
            "WITH Agg AS (SELECT orderkey AS K, linenumber FROM spark) SELECT k, LINENUMBER FROM agg WHERE AGG.k > 1"
        ),
        r#"WITH Agg AS (SELECT "orderKey" AS K, "lineNumber" FROM "Spark") SELECT "K", "lineNumber" FROM "Agg" WHERE "Agg"."K" > 1"#
    );
    assert_eq!(
        bound("SELECT x FROM (SELECT orderkey AS X FROM spark) T(Y) WHERE y = 1 AND t.Y = 2"),
        r#"SELECT x FROM (SELECT "orderKey" AS X FROM "Spark") T (Y) WHERE "Y" = 1 AND "T"."Y" = 2"#
    );
    assert_eq!(
        bound("SELECT ORDERKEY FROM (SELECT * FROM spark) q"),
        r#"SELECT "orderKey" FROM (SELECT * FROM "Spark") q"#
    );
    assert_eq!(
        bound(
            "WITH RECURSIVE n(I) AS (SELECT 1 UNION ALL SELECT i + 1 FROM N WHERE i < 5) SELECT i FROM n"
        ),
        r#"WITH RECURSIVE n (I) AS (SELECT 1 UNION ALL SELECT "I" + 1 FROM "n" WHERE "I" < 5) SELECT "I" FROM "n""#
    );
}

#[test]
fn a_with_query_hides_a_table_but_not_from_itself() {
    assert_eq!(
        bound("WITH Plain AS (SELECT A FROM plain) SELECT a FROM PLAIN"),
        r#"WITH Plain AS (SELECT "a" FROM "plain") SELECT "a" FROM "Plain""#
    );
    let names = |text: &str| -> Vec<String> {
        tables_named(&query(text))
            .unwrap()
            .iter()
            .map(|named| named.name.to_string())
            .collect()
    };
    assert_eq!(
        names("WITH plain AS (SELECT a FROM plain) SELECT a FROM plain"),
        ["plain"]
    );
    assert_eq!(
        names("WITH x AS (SELECT 1 a) SELECT a FROM X"),
        [] as [&str; 0]
    );
    assert_eq!(
        names(
            "SELECT (SELECT max(a) FROM one) FROM lake.s.two WHERE x IN (SELECT y FROM \"Three\" UNION SELECT 1 FROM two)"
        ),
        ["lake.s.two", "\"Three\"", "two", "one"]
    );
    assert_eq!(
        names("SELECT * FROM a JOIN (b CROSS JOIN c) ON true, LATERAL (SELECT * FROM d)"),
        ["a", "b", "c", "d"]
    );
    assert_eq!(
        names("SELECT 1 ORDER BY (SELECT max(x) FROM t) LIMIT 1"),
        ["t"]
    );
}

#[test]
fn aliases_serve_where_sql_has_them() {
    assert_eq!(
        bound(
            "SELECT a AS Total, sum(b) AS S FROM plain GROUP BY total HAVING s > 1 ORDER BY TOTAL DESC, s"
        ),
        r#"SELECT "a" AS Total, sum("b") AS S FROM "plain" GROUP BY "Total" HAVING "S" > 1 ORDER BY "Total" DESC, "S""#
    );
    assert_eq!(
        bound("SELECT a AS b FROM plain GROUP BY B ORDER BY B"),
        r#"SELECT "a" AS b FROM "plain" GROUP BY "b" ORDER BY "b""#
    );
    assert_eq!(
        bound("SELECT a FROM plain UNION ALL SELECT b FROM plain ORDER BY A"),
        r#"SELECT "a" FROM "plain" UNION ALL SELECT "b" FROM "plain" ORDER BY "a""#
    );
    assert_eq!(
        bound("SELECT sum(a) OVER (PARTITION BY B ORDER BY KEY) FROM plain"),
        r#"SELECT sum("a") OVER (PARTITION BY "b" ORDER BY "key") FROM "plain""#
    );
    assert_eq!(
        bound("SELECT sum(a) OVER w FROM plain WINDOW w AS (ORDER BY KEY)"),
        r#"SELECT sum("a") OVER w FROM "plain" WINDOW w AS (ORDER BY "key")"#
    );
    assert_eq!(
        bound("SELECT sum(a) OVER W + 1 FROM plain WINDOW W AS (ORDER BY KEY), V AS w"),
        r#"SELECT sum("a") OVER w + 1 FROM "plain" WINDOW w AS (ORDER BY "key"), v AS w"#
    );
    assert_eq!(
        bound(r#"SELECT sum(a) OVER "W" FROM plain WINDOW "W" AS (ORDER BY KEY)"#),
        r#"SELECT sum("a") OVER "W" FROM "plain" WINDOW "W" AS (ORDER BY "key")"#
    );
}

#[test]
fn correlated_names_are_found_outside() {
    assert_eq!(
        bound(
            "SELECT * FROM spark WHERE EXISTS (SELECT 1 FROM plain WHERE A = ORDERKEY AND b = spark.LINENUMBER)"
        ),
        r#"SELECT * FROM "Spark" WHERE EXISTS (SELECT 1 FROM "plain" WHERE "a" = "orderKey" AND "b" = "Spark"."lineNumber")"#
    );
    assert_eq!(
        bound("SELECT * FROM plain p, LATERAL (SELECT P.A + 1 AS c) l WHERE L.C > 1"),
        r#"SELECT * FROM "plain" p, LATERAL (SELECT "p"."a" + 1 AS c) l WHERE "l"."c" > 1"#
    );
}

#[test]
fn a_name_in_two_relations_is_never_taken_from_outside() {
    let error =
        refused("SELECT a FROM plain WHERE EXISTS (SELECT 1 FROM plain p1, plain p2 WHERE a > 1)");
    assert!(error.contains("more than one relation"), "{error}");
    assert!(
        refused(r#"SELECT plain.a FROM s1.plain, s2."plain""#).contains("could be"),
        "two tables of one name in two schemas"
    );
}

#[test]
fn using_and_natural_join_what_is_spelled_alike_only() {
    assert_eq!(
        bound("SELECT KEY FROM plain p JOIN plain q USING (Key) WHERE KEY > 1"),
        r#"SELECT "p"."key" FROM "plain" p JOIN "plain" q USING("key") WHERE "p"."key" > 1"#
    );
    assert!(refused("SELECT 1 FROM spark JOIN orders USING (orderkey)").contains("differ in case"));
    assert!(refused("SELECT 1 FROM spark NATURAL JOIN orders").contains("differ in case"));
    assert!(refused("SELECT 1 FROM plain JOIN twins USING (key)").contains("could be"));
    assert!(refused("SELECT 1 FROM plain p FULL JOIN plain q USING (key)").contains("write ON"));
    assert!(refused("SELECT 1 FROM plain p NATURAL RIGHT JOIN plain q").contains("write ON"));
}

#[test]
fn wildcards_know_what_they_leave_out() {
    assert_eq!(
        bound("SELECT * EXCLUDE (ORDERKEY, Comment), S.* FROM spark s"),
        r#"SELECT * EXCLUDE ("orderKey", "Comment"), "s".* FROM "Spark" s"#
    );
    assert_eq!(
        bound("SELECT * REPLACE (ORDERKEY + 1 AS ORDERKEY) FROM spark"),
        r#"SELECT * REPLACE ("orderKey" + 1 AS "orderKey") FROM "Spark""#
    );
    assert_eq!(
        bound("SELECT ORDERKEY FROM (SELECT * EXCEPT (Comment) FROM spark)"),
        r#"SELECT "orderKey" FROM (SELECT * EXCEPT ("Comment") FROM "Spark")"#
    );
}

#[test]
fn an_expression_that_stands_twice_gets_a_number() {
    assert_eq!(
        bound("SELECT a, A, p.a, 1, 1, count(*), count(*) FROM plain p").replace('\u{1f}', "^"),
        r#"SELECT "a", "a" AS "a^2", "p"."a", 1, 1 AS "1^2", count(*), count(*) AS "count(*)^2" FROM "plain" p"#
    );
}

#[test]
fn fields_after_a_subscript_are_no_columns() {
    assert_eq!(
        bound("SELECT customer['Address'].ORDERKEY FROM spark"),
        r#"SELECT "Customer"['Address']."ORDERKEY" FROM "Spark""#
    );
}

#[test]
fn table_functions_and_values_have_columns_too() {
    assert_eq!(
        bound("SELECT VALUE FROM GENERATE_SERIES(1, 3)"),
        r#"SELECT "value" FROM generate_series(1, 3)"#
    );
    assert_eq!(
        bound("SELECT COLUMN1, t.column2 FROM (VALUES (1, 2)) T"),
        r#"SELECT "column1", "T"."column2" FROM (VALUES (1, 2)) T"#
    );
    assert_eq!(
        bound("SELECT X, A FROM plain CROSS JOIN UNNEST([a]) AS u(x)"),
        r#"SELECT "x", "a" FROM "plain" CROSS JOIN UNNEST(["a"]) AS u (x)"#
    );
}

#[test]
fn a_name_that_nothing_fits_stays_and_its_place_is_known() {
    let mut query = query("SELECT a,\n nope FROM plain");
    let mut known = KnownTables::default();
    known.insert(&tables_named(&query).unwrap()[0], table("plain", &["a"]));
    let (unknown, _) = bind(&mut query, &known).unwrap();
    assert_eq!(query.to_string(), r#"SELECT "a", nope FROM "plain""#);
    assert_eq!(
        unknown.place("there is no column nope"),
        Some(Position { line: 2, column: 2 })
    );
    assert_eq!(unknown.place("there is no column nopes"), None);
}

#[test]
fn semi_joined_relations_are_not_seen_afterwards() {
    assert_eq!(
        bound("SELECT A FROM plain p LEFT SEMI JOIN plain q ON P.A = Q.A WHERE KEY > 1"),
        r#"SELECT "a" FROM "plain" p LEFT SEMI JOIN "plain" q ON "p"."a" = "q"."a" WHERE "key" > 1"#
    );
}

/// A name in some other case.
fn recased(name: &str, seed: u64) -> String {
    name.chars()
        .enumerate()
        .map(|(n, c)| {
            if (seed >> (n % 64)) & 1 == 1 {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

proptest! {
    #[test]
    fn the_case_in_which_names_are_written_makes_no_difference(a in any::<u64>(), b in any::<u64>(), c in any::<u64>()) {
        let text = |one: &str, two: &str, three: &str| {
            format!("WITH w AS (SELECT {one} AS out, {two} FROM {three} x) SELECT w.OUT, {two} FROM w ORDER BY {two}, out")
        };
        let plain = bound(&text("orderKey", "lineNumber", "Spark"));
        let other = bound(&text(&recased("orderKey", a), &recased("lineNumber", b), &recased("Spark", c)));
        prop_assert_eq!(plain, other);
    }
}

#[test]
fn each_version_of_a_table_is_a_relation_of_its_own() {
    assert_eq!(
        bound(
            "SELECT x.a, PLAIN.B FROM plain FOR VERSION AS OF 1, plain FOR VERSION AS OF 'audit' AS x"
        ),
        r#"SELECT "x"."a", "plain@1"."b" FROM "plain@1", "plain@audit" AS x"#
    );
    assert_eq!(
        bound(
            "SELECT tpch.plain.a FROM Tpch.Plain TIMESTAMP AS OF '2026-01-01' JOIN orders ON a = orderkey"
        ),
        r#"SELECT "tpch"."plain@2026-01-01"."a" FROM "tpch"."plain@2026-01-01" JOIN "orders" ON "a" = "orderkey""#
    );
    let error = try_bind("SELECT plain.a FROM plain, plain VERSION AS OF 1").unwrap_err();
    assert!(
        error.to_string().contains("\"plain\" or \"plain@1\"")
            || error.to_string().contains("could be"),
        "{error}"
    );
    let error = try_bind("WITH w AS (SELECT 1) SELECT * FROM w FOR VERSION AS OF 1").unwrap_err();
    assert!(error.to_string().contains("WITH query"), "{error}");
    assert!(error.position().is_some());
}

#[test]
fn metadata_columns_are_there_for_who_names_them() {
    assert_eq!(bound("SELECT * FROM plain"), r#"SELECT * FROM "plain""#);
    assert_eq!(
        bound("SELECT *, _FILE FROM plain"),
        r#"SELECT "plain"."a", "plain"."b", "plain"."key", "_file" FROM "plain""#
    );
    assert_eq!(
        bound("SELECT p.* FROM plain p WHERE p._pos > 1"),
        r#"SELECT "p"."a", "p"."b", "p"."key" FROM "plain" p WHERE "p"."_pos" > 1"#
    );
    assert_eq!(
        bound("SELECT * EXCLUDE (B) FROM plain ORDER BY \"_row_id\""),
        r#"SELECT "plain"."a", "plain"."key" FROM "plain" ORDER BY "_row_id""#
    );
    assert_eq!(
        bound(
            "SELECT * FROM (SELECT a, _last_updated_sequence_number FROM plain) s WHERE s._last_updated_sequence_number = 1"
        ),
        r#"SELECT * FROM (SELECT "a", "_last_updated_sequence_number" FROM "plain") s WHERE "s"."_last_updated_sequence_number" = 1"#
    );
    assert_eq!(
        bound("SELECT * FROM plain p JOIN orders ON a = o_orderkey AND orders._pos = 1"),
        r#"SELECT "p"."a", "p"."b", "p"."key", "orders"."o_orderkey", "orders"."o_comment", "orders"."orderkey" FROM "plain" p JOIN "orders" ON "a" = "o_orderkey" AND "orders"."_pos" = 1"#
    );
    assert_eq!(
        bound("SELECT *, x._pos FROM plain x JOIN plain y USING (A)"),
        r#"SELECT "x"."a", "x"."b", "x"."key", "y"."b", "y"."key", "x"."_pos" FROM "plain" x JOIN "plain" y USING("a")"#
    );
    // What else is called so goes first.
    assert_eq!(
        bound("SELECT a AS _pos FROM plain GROUP BY _pos ORDER BY _pos"),
        r#"SELECT "a" AS _pos FROM "plain" GROUP BY "_pos" ORDER BY "_pos""#
    );
    assert_eq!(
        bound("SELECT _pos FROM plain, (SELECT 1 AS _pos) s"),
        r#"SELECT "_pos" FROM "plain", (SELECT 1 AS _pos) s"#
    );
}

#[test]
fn metadata_columns_that_could_be_several_have_to_be_qualified() {
    for (text, wanted) in [
        ("SELECT _file FROM plain, orders", "qualify"),
        ("SELECT a FROM plain JOIN orders USING (_file)", "write ON"),
        (
            "SELECT plain._pos FROM plain NATURAL JOIN orders",
            "write ON",
        ),
        (
            "SELECT * REPLACE (1 AS a), _pos FROM plain",
            "write the columns",
        ),
        (
            "SELECT *, plain._pos FROM plain, UNNEST([1])",
            "write the columns",
        ),
    ] {
        let error = try_bind(text).unwrap_err();
        assert!(error.to_string().contains(wanted), "{text}: {error}");
    }
}

#[test]
fn a_column_that_cannot_be_read_is_left_out_and_refused_by_its_type() {
    assert_eq!(bound("SELECT * FROM twins"), r#"SELECT * FROM "Twins""#);
    assert_eq!(
        bound("SELECT twins.*, _pos FROM twins"),
        r#"SELECT "Twins"."key", "Twins"."KEY", "Twins"."other", "_pos" FROM "Twins""#
    );
    for text in [
        "SELECT Shape FROM twins",
        "SELECT t.shape FROM twins t",
        "SELECT other FROM twins WHERE shape IS NULL",
        "SELECT other FROM twins ORDER BY shape",
        "SELECT count(shape) FROM twins",
        "SELECT 1 FROM twins a JOIN twins b USING (shape)",
        "SELECT 1 FROM plain WHERE EXISTS (SELECT 1 FROM twins WHERE shape = a)",
        "SELECT shape FROM twins, (SELECT 1 AS shape) s",
    ] {
        let error = try_bind(text).unwrap_err();
        assert!(error.to_string().contains("geometry"), "{text}: {error}");
        assert!(error.position().is_some(), "{text}");
    }
    let error = try_bind("SELECT customer.blob.x FROM spark").unwrap_err();
    assert!(error.to_string().contains("variant"), "{error}");
    let error = try_bind("SELECT customer.nothing FROM spark").unwrap_err();
    assert!(error.to_string().contains("has no field"), "{error}");
}
