use landfast_catalog::AsOf;

use super::history::NOONS;
use super::lake::{Lake, lines, shape};
use crate::{ErrorKind, Position};

const ALL: &str = "SELECT id FROM events";

#[tokio::test]
async fn a_snapshot_a_time_a_branch_and_a_tag_are_read_as_they_were() {
    let lake = Lake::with_history().await;
    for (clause, wanted) in [
        ("", vec!["10", "11", "20", "22", "30", "33"]),
        ("FOR VERSION AS OF 11", vec!["10", "11"]),
        (
            "FOR SYSTEM_VERSION AS OF 22 AS e",
            vec!["10", "11", "20", "22"],
        ),
        ("VERSION AS OF 'audit'", vec!["10", "11", "20", "22"]),
        ("FOR VERSION AS OF 'first'", vec!["10", "11"]),
        (
            "FOR VERSION AS OF 'main'",
            vec!["10", "11", "20", "22", "30", "33"],
        ),
        (
            "FOR TIMESTAMP AS OF TIMESTAMP '2026-01-20 12:00:00'",
            vec!["10", "11", "20", "22"],
        ),
        (
            "FOR TIMESTAMP AS OF '2026-01-20 11:59:59.999'",
            vec!["10", "11"],
        ),
        (
            "FOR SYSTEM_TIME AS OF DATE '2026-01-21'",
            vec!["10", "11", "20", "22"],
        ),
        (
            "TIMESTAMP AS OF '2026-01-20T13:00:00+01:00'",
            vec!["10", "11", "20", "22"],
        ),
        (
            "FOR TIMESTAMP AS OF '2036-01-01'",
            vec!["10", "11", "20", "22", "30", "33"],
        ),
    ] {
        let text = format!("{ALL} {clause} ORDER BY id");
        assert_eq!(lake.rows(&text).await, wanted, "{text}");
    }
}

#[tokio::test]
async fn a_branch_has_the_tables_columns_and_a_snapshot_its_own() {
    let lake = Lake::with_history().await;
    let own = ["id:Int64?", "day:Date32?"];
    let now = ["id:Int64?", "name:Utf8View?", "day:Date32?"];
    for (name, wanted) in [
        ("events", now.as_slice()),
        ("events FOR VERSION AS OF 11", &own),
        ("events FOR VERSION AS OF 'first'", &own),
        ("events TIMESTAMP AS OF '2026-01-11'", &own),
        ("events FOR VERSION AS OF 'audit'", &now),
        ("events FOR VERSION AS OF 22", &now),
        ("\"events@first\"", &own),
    ] {
        let described = lake
            .describe(&format!("SELECT * FROM {name}"))
            .await
            .unwrap();
        assert_eq!(shape(&described.schema), wanted, "{name}");
        let shown = lake.rows(&format!("DESCRIBE {name}")).await;
        assert_eq!(shown.len(), wanted.len(), "{name}: {shown:?}");
        let shown = lake.rows(&format!("SHOW COLUMNS FROM {name}")).await;
        assert_eq!(shown.len(), wanted.len(), "{name}: {shown:?}");
    }
    let error = lake
        .error("SELECT name FROM events FOR VERSION AS OF 11")
        .await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn two_versions_of_a_table_stand_in_one_statement() {
    let lake = Lake::with_history().await;
    let text = "SELECT now.id FROM events now LEFT JOIN events FOR VERSION AS OF 22 AS was ON now.id = was.id \
                WHERE was.id IS NULL ORDER BY 1";
    assert_eq!(lake.rows(text).await, ["30", "33"]);
    let text = "SELECT e.id, lake.tpch.events.name FROM events FOR VERSION AS OF 11 e, events ORDER BY 1, events.id";
    assert_eq!(lake.rows(text).await[..2], ["10|", "10|"]);
    let text = "WITH old AS (SELECT id FROM events FOR VERSION AS OF 'first') \
                SELECT count(*) AS a, (SELECT count(*) FROM \"events@audit\") AS b, (SELECT count(*) FROM events) AS c FROM OLD";
    assert_eq!(lake.rows(text).await, ["2|4|6"]);
    let error = lake
        .error("SELECT events.id FROM events, events FOR VERSION AS OF 11")
        .await;
    assert!(error.to_string().contains("could be"), "{error}");
    let planned = lake.plan(text, None, &[]).await.unwrap();
    let as_of: Vec<AsOf> = planned.pins().into_iter().map(|pin| pin.as_of).collect();
    assert_eq!(
        as_of,
        [
            AsOf::Current,
            AsOf::Ref("audit".into()),
            AsOf::Ref("first".into())
        ]
    );
    let snapshots: Vec<Option<i64>> = planned
        .receipt()
        .snapshots
        .iter()
        .map(|table| table.snapshot_id)
        .collect();
    assert_eq!(snapshots, [Some(33), Some(22), Some(11)]);
}

#[tokio::test]
async fn a_pinned_version_is_read_again_by_its_pin() {
    let mut lake = Lake::with_history().await;
    lake.settings
        .set("landfast.as_of", "timestamp 2026-01-21")
        .unwrap();
    let text = "SELECT count(*) AS a, (SELECT count(*) FROM \"events@first\") AS b FROM events, events FOR VERSION AS OF 22 e";
    let pins = lake.plan(text, None, &[]).await.unwrap().pins();
    assert_eq!(pins.len(), 3);
    lake.run("DROP TABLE events").await.unwrap();
    let again = lake.plan(text, None, &pins).await.unwrap();
    assert_eq!(again.pins(), pins);
    let batches = futures::TryStreamExt::try_collect::<Vec<_>>(again.execute().unwrap());
    assert_eq!(lines(&batches.await.unwrap()), ["16|2"]);
    assert!(lake.plan(text, None, &[]).await.is_err());
}

#[tokio::test]
async fn a_version_in_a_name_is_read_unless_a_table_has_that_name() {
    let lake = Lake::with_history().await;
    for (name, count) in [
        ("\"events@11\"", "2"),
        ("\"events@audit\"", "4"),
        ("events@audit", "4"),
        ("EVENTS@22", "4"),
        ("lake.tpch.\"events@main\" AS e", "6"),
    ] {
        let text = format!("SELECT count(*) FROM {name}");
        assert_eq!(lake.rows(&text).await, [count], "{text}");
    }
    assert_eq!(
        lake.rows("SELECT \"events@11\".id FROM \"events@11\" ORDER BY 1")
            .await,
        ["10", "11"]
    );
    lake.table("lake.tpch.\"events@11\"", &[("real", "long")])
        .await;
    let described = lake.describe("SELECT * FROM \"events@11\"").await.unwrap();
    assert_eq!(shape(&described.schema), ["real:Int64"]);
    let listed = lake.rows("SHOW TABLES LIKE '%@%'").await;
    assert_eq!(listed, ["lake|tpch|events@11|TABLE"]);
    let both = "SELECT * FROM \"events@11\", events FOR VERSION AS OF 11";
    let described = lake.describe(both).await.unwrap();
    assert_eq!(
        shape(&described.schema),
        ["real:Int64", "id:Int64?", "day:Date32?"]
    );
    let error = lake
        .error("SELECT * FROM \"events@audit\" FOR VERSION AS OF 11")
        .await;
    assert!(error.to_string().contains("two versions"), "{error}");
    let error = lake.run("DROP TABLE \"events@audit\"").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(lake.rows("SELECT count(*) FROM events").await, ["6"]);
}

#[tokio::test]
async fn a_version_that_is_not_there_says_what_is() {
    let lake = Lake::with_history().await;
    let error = lake
        .error("SELECT *\nFROM events FOR VERSION AS OF 12")
        .await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("12"), "{error}");
    assert_eq!(error.position(), Some(Position { line: 2, column: 6 }));
    let error = lake.error("SELECT * FROM events@aduit").await;
    assert!(error.to_string().contains("audit, first, main"), "{error}");
    let error = lake
        .error("SELECT * FROM events FOR TIMESTAMP AS OF '2025-12-31'")
        .await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    for text in [
        "SELECT * FROM landfast.system.numbers FOR VERSION AS OF 1",
        "SELECT * FROM information_schema.tables FOR TIMESTAMP AS OF '2026-01-01'",
        "DESCRIBE landfast.system.numbers FOR VERSION AS OF 1",
    ] {
        let error = lake.error(text).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}: {error}");
        assert!(error.to_string().contains("no versions"), "{text}: {error}");
    }
}

#[tokio::test]
async fn a_session_reads_all_tables_as_of_a_time_or_a_ref() {
    let mut lake = Lake::with_history().await;
    lake.settings
        .set("landfast.as_of", "timestamp 2026-01-15")
        .unwrap();
    assert_eq!(lake.rows("SELECT count(*) FROM events").await, ["2"]);
    assert_eq!(lake.rows("DESCRIBE events").await.len(), 2);
    assert_eq!(
        lake.rows("SELECT count(*) FROM events FOR VERSION AS OF 'main'")
            .await,
        ["6"]
    );
    assert_eq!(
        lake.rows("SELECT count(*) FROM landfast.system.numbers")
            .await,
        ["10"]
    );
    let error = lake.error("SELECT * FROM orders").await;
    assert!(
        error
            .to_string()
            .contains("the setting landfast.as_of = 'timestamp 2026-01-15'"),
        "{error}"
    );
    lake.settings.set("landfast.as_of", "ref audit").unwrap();
    assert_eq!(lake.rows("SELECT count(*) FROM events").await, ["4"]);
    lake.settings.set("landfast.as_of", "current").unwrap();
    assert_eq!(lake.rows("SELECT count(*) FROM events").await, ["6"]);
}

#[tokio::test]
async fn a_time_without_a_zone_is_the_sessions() {
    let mut lake = Lake::with_history().await;
    let text = "SELECT count(*) FROM events FOR TIMESTAMP AS OF '2026-01-20 12:30:00'";
    assert_eq!(lake.rows(text).await, ["4"]);
    lake.settings.set("time_zone", "Europe/Berlin").unwrap();
    assert_eq!(lake.rows(text).await, ["2"]);
    lake.settings
        .set("landfast.as_of", "timestamp 2026-01-20 12:30")
        .unwrap();
    let planned = lake.plan(ALL, None, &[]).await.unwrap();
    assert_eq!(
        planned.pins()[0].as_of,
        AsOf::Timestamp(NOONS[1] - 30 * 60_000)
    );
}

#[tokio::test]
async fn explain_shows_the_version_that_is_read() {
    let lake = Lake::with_history().await;
    let told = lake
        .rows("EXPLAIN SELECT * FROM events FOR VERSION AS OF 22 WHERE id > 20")
        .await;
    assert!(
        told.iter()
            .any(|line| line.contains("snapshot=22") || line.contains("22")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|line| line.contains("events@22")),
        "{told:?}"
    );
}
