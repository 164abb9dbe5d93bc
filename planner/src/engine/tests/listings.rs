use super::lake::Lake;
use crate::ErrorKind;

#[tokio::test]
async fn show_lists_what_there_is() {
    let lake = Lake::new().await;
    assert_eq!(lake.rows("SHOW CATALOGS").await, ["lake", "landfast"]);
    assert_eq!(lake.rows("SHOW CATALOGS LIKE '%ke'").await, ["lake"]);
    assert_eq!(
        lake.rows("SHOW SCHEMAS IN Lake").await,
        [
            "lake|Mixed",
            "lake|a.b",
            "lake|information_schema",
            "lake|tpch"
        ]
    );
    assert_eq!(
        lake.rows("SHOW SCHEMAS FROM landfast").await,
        ["landfast|information_schema", "landfast|system"]
    );
    let of_tpch = [
        "lake|tpch|Spark|TABLE",
        "lake|tpch|TWIN|TABLE",
        "lake|tpch|orders|TABLE",
        "lake|tpch|twin|TABLE",
    ];
    assert_eq!(lake.rows("SHOW TABLES").await, of_tpch);
    assert_eq!(lake.rows("SHOW TABLES IN lake.TPCH").await, of_tpch);
    assert_eq!(
        lake.rows("SHOW TABLES FROM tpch LIKE '%rders'").await,
        ["lake|tpch|orders|TABLE"]
    );
    assert_eq!(
        lake.rows("SHOW TABLES IN lake.\"a.b\"").await,
        ["lake|a.b|deep|TABLE"]
    );
    assert_eq!(
        lake.rows("SHOW TABLES IN landfast.system").await,
        [
            "landfast|system|about|SYSTEM TABLE",
            "landfast|system|numbers|SYSTEM TABLE",
            "landfast|system|whoami|SYSTEM TABLE"
        ]
    );
    assert_eq!(
        lake.error("SHOW TABLES IN lake.nowhere").await.kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        lake.error("SHOW TABLES IN nowhere").await.kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn describe_tells_columns_of_tables_and_of_queries() {
    let lake = Lake::new().await;
    let columns = [
        "o_orderkey|BIGINT|NO",
        "o_comment|VARCHAR|YES",
        "o_total|DECIMAL(15, 2)|YES",
    ];
    assert_eq!(lake.rows("DESCRIBE ORDERS").await, columns);
    assert_eq!(lake.rows("DESC lake.tpch.orders").await, columns);
    assert_eq!(
        lake.rows("SHOW COLUMNS FROM orders LIKE '%total'").await,
        columns[2..]
    );
    assert_eq!(
        lake.rows("DESCRIBE SELECT count(*) AS c FROM orders").await,
        ["c|BIGINT|NO"]
    );
    assert_eq!(
        lake.rows("DESCRIBE lake.\"a.b\".deep").await,
        ["x|TIMESTAMP WITH TIME ZONE|NO", "y|DOUBLE|YES"]
    );
    assert_eq!(
        lake.rows("DESCRIBE landfast.system.numbers").await,
        ["n|BIGINT|YES", "even|VARCHAR|YES"]
    );
    assert_eq!(
        lake.error("DESCRIBE nothing").await.kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn settings_can_be_shown() {
    let lake = Lake::new().await;
    let one = lake.rows("SHOW landfast.freshness").await;
    assert!(
        one[0].starts_with("landfast.freshness|bounded 60s|"),
        "{one:?}"
    );
    assert!(lake.rows("SHOW TIME ZONE").await[0].starts_with("landfast.time_zone|UTC|"));
    assert!(lake.rows("SHOW ALL").await.len() >= 9);
    assert!(
        lake.error("SHOW landfast.nothing")
            .await
            .to_string()
            .contains("nearest")
    );
}

#[tokio::test]
async fn information_schema_tells_of_every_table_and_a_broken_one_stays_listed() {
    let lake = Lake::new().await;
    lake.table("lake.tpch.broken", &[("a", "long")]).await;
    let file = lake.metadata("lake.tpch.broken", &[("a", "variant-of-tomorrow")]);
    assert!(file.contains("broken"));
    let names = lake
        .rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'tpch' ORDER BY 1")
        .await;
    assert_eq!(names, ["Spark", "TWIN", "broken", "orders", "twin"]);
    let columns = lake
        .rows("SELECT column_name, ordinal_position, data_type, is_nullable, numeric_precision, numeric_scale FROM LAKE.INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'orders' ORDER BY ordinal_position")
        .await;
    assert_eq!(
        columns,
        [
            "o_orderkey|1|BIGINT|NO|64|0",
            "o_comment|2|VARCHAR|YES||",
            "o_total|3|DECIMAL(15, 2)|YES|15|2"
        ]
    );
    assert_eq!(
        lake.rows("SELECT schema_name FROM information_schema.schemata ORDER BY 1")
            .await,
        ["Mixed", "a.b", "information_schema", "tpch"]
    );
    assert_eq!(
        lake.rows("SELECT * FROM information_schema.views").await,
        [] as [&str; 0]
    );
    let all = lake
        .rows("SELECT DISTINCT table_catalog FROM landfast.information_schema.tables ORDER BY 1")
        .await;
    assert_eq!(all, ["lake", "landfast"]);
    assert_eq!(
        lake.error("SELECT * FROM information_schema.df_settings")
            .await
            .kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn metadata_for_drivers_holds_landfasts_own_tables() {
    let lake = Lake::new().await;
    let asker = super::lake::asker(crate::Role::Reader);
    let entries = lake.engine.entries(&asker).await;
    assert_eq!(entries.catalogs, ["lake", "landfast"]);
    assert!(
        entries
            .schemas
            .contains(&("landfast".into(), "system".into()))
    );
    assert!(entries.tables.iter().any(|entry| entry.table == "orders"));
    assert!(entries.warnings.is_empty());
    let spark = entries.tables.iter().find(|entry| entry.table == "Spark");
    let told = lake
        .engine
        .table_schemas(vec![spark.unwrap().clone()], &asker)
        .await;
    let schema = told[0].1.as_ref().unwrap();
    assert_eq!(schema.field(0).name(), "orderKey");
    assert!(schema.field(0).metadata().is_empty());
}

#[tokio::test]
async fn what_a_query_says_of_names_is_known_before_anything_is_looked_up() {
    let lake = Lake::new().await;
    let about = "SELECT \"table\", wanted FROM landfast.system.about";
    for (filter, rows) in [
        ("", vec!["one|3", "three|3", "two|3"]),
        ("WHERE \"table\" = 'one'", vec!["one|1"]),
        (
            "WHERE of = 'lake' AND upper(\"table\") LIKE 'T%'",
            vec!["two|1"],
        ),
        (
            "WHERE \"table\" IN ('one', 'three') OR schema IS NULL",
            vec!["one|2", "three|2"],
        ),
        // Of rows that are made, more is said than of names.
        ("WHERE wanted = 3 AND of <> 'lake'", vec![]),
        (
            "WHERE wanted = 3 OR of <> 'lake'",
            vec!["one|3", "three|3", "two|3"],
        ),
    ] {
        assert_eq!(
            lake.rows(&format!("{about} {filter} ORDER BY 1")).await,
            rows,
            "{filter}"
        );
    }
    let joined = lake
        .rows("SELECT a.wanted, b.wanted FROM landfast.system.about a JOIN landfast.system.about b ON a.\"table\" = b.\"table\" WHERE b.\"table\" = 'two'")
        .await;
    assert_eq!(joined, ["1|1"]);
}

#[tokio::test]
async fn many_tables_are_listed_with_their_columns_and_again_without_asking_anybody() {
    let lake = Lake::new().await;
    for at in 0..40 {
        let columns = [("id", "long"), ("x", "string")];
        lake.table(&format!("lake.tpch.t{at}"), &columns).await;
    }
    let sql = "SELECT count(*), count(DISTINCT table_name) FROM information_schema.columns WHERE table_name LIKE 't__'";
    assert_eq!(lake.rows(sql).await, ["60|30"]);
    let all = "SELECT count(*) FROM information_schema.columns WHERE table_name LIKE 't%' AND column_name = 'x' AND table_schema = 'tpch'";
    assert_eq!(lake.rows(all).await, ["40"]);
    // Whatever is read now fails, and nothing is.
    let store = lake.store();
    std::fs::rename(&store, store.with_extension("gone")).unwrap();
    assert_eq!(lake.rows(all).await, ["40"]);
}

#[tokio::test]
async fn a_table_that_changed_is_listed_as_it_is_now() {
    let lake = Lake::new().await;
    lake.table("lake.tpch.moved", &[("old", "long")]).await;
    let sql = "SELECT column_name FROM information_schema.columns WHERE table_name = 'moved'";
    assert_eq!(lake.rows(sql).await, ["old"]);
    lake.run("DROP TABLE lake.tpch.moved").await.unwrap();
    let uri = lake.metadata("lake.tpch.moved2", &[("new", "long")]);
    lake.run(&format!(
        "CALL landfast.register_table('lake.tpch.moved', '{uri}')"
    ))
    .await
    .unwrap();
    assert_eq!(lake.rows(sql).await, ["new"]);
}
