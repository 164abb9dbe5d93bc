//! What a policy gives: names, columns and rows, and nothing that tells of the others.

use futures::TryStreamExt;
use serde_json::json;

use super::lake::{Lake, asker, lines};
use crate::access::{AccessPolicy, Action, Glob, Grant, Grantee, NamePattern, RowFilter};
use crate::engine::{PlanRequest, PlannedQuery};
use crate::{ErrorKind, PlannerError, QueryStatement, Result, Role, Statement};

/// A grant of reading to `ada`.
pub(super) fn reads(on: &str, columns: &[&str], rows: Option<&str>) -> Grant {
    Grant {
        to: vec![Grantee::User("ada".to_string())],
        on: vec![NamePattern::parse(on).unwrap()],
        actions: [Action::Select].into(),
        columns: (!columns.is_empty()).then(|| columns.iter().map(ToString::to_string).collect()),
        rows: rows.map(|text| RowFilter::parse(text).unwrap()),
        ..Grant::default()
    }
}

impl Lake {
    /// Readers have these grants alone, and operators may do everything.
    pub(super) fn grant(&self, grants: impl IntoIterator<Item = Grant>) {
        let grants = grants.into_iter().collect();
        self.engine
            .set_policy(AccessPolicy::new(grants, &[Role::Operator]));
    }

    pub(super) async fn plan_as(&self, text: &str, role: Role) -> Result<PlannedQuery> {
        let Statement::Query(statement) = self.engine.parse(text)? else {
            panic!("{text} is no query")
        };
        self.plan_statement(&statement, role).await
    }

    /// The same for a statement that was parsed.
    pub(super) async fn plan_statement(
        &self,
        statement: &QueryStatement,
        role: Role,
    ) -> Result<PlannedQuery> {
        let asker = asker(role);
        let request = PlanRequest {
            statement,
            parameters: None,
            settings: &self.settings,
            asker: &asker,
            pins: &[],
            now_unix_ns: None,
            query_id: "q",
        };
        self.engine.plan(request).await
    }

    /// Sorted rows, or what went wrong.
    pub(super) async fn rows_as(&self, text: &str, role: Role) -> Result<Vec<String>> {
        let planned = self.plan_as(text, role).await?;
        let batches: Vec<_> = planned
            .execute()?
            .try_collect()
            .await
            .map_err(PlannerError::from)?;
        let mut lines = lines(&batches);
        lines.sort();
        Ok(lines)
    }
}

#[tokio::test]
async fn a_name_that_is_not_granted_is_unknown_to_the_same_words() {
    let lake = Lake::with_history().await;
    lake.rows("SELECT count(*) FROM events").await;
    lake.grant([
        reads("lake.tpch.orders", &[], None),
        reads("lake.a.b.*", &[], None),
    ]);
    // (hidden, unknown), of the same length.
    for (hidden, unknown) in [
        ("lake.tpch.events", "lake.tpch.xxents"),
        ("lake.tpch.EVENTS", "lake.tpch.XXENTS"),
        ("lake.tpch.\"events\"", "lake.tpch.\"xxents\""),
        ("tpch.events", "tpch.xxents"),
        ("events", "xxents"),
        ("\"events$files\"", "\"xxents$files\""),
        ("\"events@audit\"", "\"xxents@audit\""),
        ("lake.\"Mixed\".t", "lake.\"Xixed\".t"),
        ("landfast.system.numbers", "landfast.system.xxmbers"),
    ] {
        for statement in [
            "SELECT * FROM {}",
            "DESCRIBE {}",
            "SELECT 1 FROM {} AS t WHERE t.x = 1",
        ] {
            let text = |name: &str| statement.replace("{}", name);
            let error = lake.error(&text(hidden)).await;
            let wanted = lake.error(&text(unknown)).await;
            let plain = |error: &PlannerError| {
                let text = error.to_string().to_lowercase();
                text.replace("xxents", "events")
                    .replace("xixed", "mixed")
                    .replace("xxmbers", "numbers")
            };
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            assert_eq!(plain(&error), plain(&wanted), "{hidden}");
        }
    }
    let error = lake.error("SELECT * FROM lake.tpch.order").await;
    assert!(error.to_string().contains("nearest: orders"), "{error}");
    let error = lake.error("SELECT * FROM lake.tpch.event").await;
    assert!(!error.to_string().contains("events"), "{error}");
    // Pins of a plan that was allowed are no way around.
    lake.grant([reads("lake.tpch.*", &[], None)]);
    let before = lake.plan("SELECT id FROM events", None, &[]).await.unwrap();
    assert!(lake.engine.still_allows(&before, &asker(Role::Reader)));
    lake.grant([reads("lake.tpch.orders", &[], None)]);
    assert!(!lake.engine.still_allows(&before, &asker(Role::Reader)));
    let again = lake
        .plan("SELECT id FROM events", None, &before.pins())
        .await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn listings_show_granted_names_and_columns() {
    let lake = Lake::with_history().await;
    lake.grant([
        reads("lake.tpch.events", &["id", "name"], Some("id > 1")),
        reads("lake.a.b.*", &["y"], None),
        Grant {
            system_tables: vec![Glob::parse("who*").unwrap()],
            ..reads("other", &[], None)
        },
    ]);
    assert_eq!(
        lake.rows("SHOW TABLES IN lake.tpch").await,
        ["lake|tpch|events|TABLE"]
    );
    assert_eq!(
        lake.rows("SHOW SCHEMAS IN lake").await,
        ["lake|a.b", "lake|information_schema", "lake|tpch"]
    );
    let listed = "SELECT table_name FROM landfast.information_schema.tables \
                  WHERE table_schema <> 'information_schema' ORDER BY 1";
    assert_eq!(lake.rows(listed).await, ["deep", "events", "whoami"]);
    let columns = "SELECT table_name, column_name FROM lake.information_schema.columns \
                   WHERE table_schema <> 'information_schema' ORDER BY 1, 2";
    assert_eq!(
        lake.rows(columns).await,
        ["deep|y", "events|id", "events|name"]
    );
    assert_eq!(
        lake.rows("DESCRIBE events").await,
        ["id|BIGINT|YES", "name|VARCHAR|YES"]
    );
    assert_eq!(
        lake.rows("SELECT * FROM landfast.system.whoami").await,
        ["ada"]
    );
    lake.grant([]);
    assert_eq!(lake.rows("SHOW CATALOGS").await, ["landfast"]);
    assert_eq!(lake.rows("SHOW TABLES").await, Vec::<String>::new());
}

#[tokio::test]
async fn columns_that_are_not_granted_are_not_there() {
    let lake = Lake::with_history().await;
    lake.grant([reads("lake.tpch.events", &["id", "day"], None)]);
    let all = "SELECT * FROM events WHERE id >= 30 ORDER BY id";
    assert_eq!(lake.rows(all).await, ["30|2026-01-30", "33|2026-01-30"]);
    assert_eq!(
        lake.rows("SELECT count(*), min(id), max(day) FROM events")
            .await,
        ["6|10|2026-01-30"]
    );
    for (hidden, unknown) in [("name", "xxxx"), ("e.name", "e.xxxx"), ("_file", "_xxxx")] {
        for clause in [
            "SELECT {} FROM events e",
            "SELECT 1 FROM events e ORDER BY {}",
            "SELECT id FROM events e WHERE {} = 1",
        ] {
            let text = |name: &str| clause.replace("{}", name);
            let error = lake.error(&text(hidden)).await.to_string();
            let wanted = lake.error(&text(unknown)).await.to_string();
            let plain = wanted.replace("_xxxx", "_file").replace("xxxx", "name");
            assert_eq!(error, plain, "{hidden}");
        }
    }
    assert!(
        !lake
            .error("SELECT nam FROM events")
            .await
            .to_string()
            .contains("name")
    );
    let natural = "SELECT count(*) FROM events NATURAL JOIN (SELECT 'zzz' AS name, 20 AS id) AS v";
    assert_eq!(lake.rows(natural).await, ["1"]);
    for about in ["events$files", "events$snapshots", "events$partitions"] {
        let error = lake.error(&format!("SELECT * FROM \"{about}\"")).await;
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    }
    for explain in [
        "EXPLAIN",
        "EXPLAIN VERBOSE",
        "EXPLAIN ANALYZE",
        "EXPLAIN ANALYZE VERBOSE",
    ] {
        let told = lake
            .rows(&format!("{explain} SELECT id FROM events WHERE id > 10"))
            .await
            .join("\n");
        assert!(
            !told.contains("parquet") && !told.contains("files=") && !told.contains("name"),
            "{told}"
        );
        assert!(told.contains("lake.tpch.events"), "{told}");
    }
    // A grant on the whole table beside it gives all that.
    lake.grant([
        reads("lake.tpch.events", &["id"], None),
        reads("lake.tpch.*", &[], None),
    ]);
    assert_eq!(
        lake.rows("SELECT count(*) FROM \"events$files\"").await,
        ["3"]
    );
    assert_eq!(
        lake.rows("SELECT count(DISTINCT _file) FROM events WHERE name IS NULL")
            .await,
        ["3"]
    );
}

#[tokio::test]
async fn rows_that_are_not_granted_are_in_no_count_and_no_error() {
    let lake = Lake::with_history().await;
    lake.grant([reads(
        "lake.tpch.events",
        &[],
        Some("id >= 22 AND current_user = 'ada' AND NOT is_member('x')"),
    )]);
    for (text, wanted) in [
        (
            "SELECT id, name FROM events ORDER BY id",
            vec!["22|", "30|n30", "33|"],
        ),
        (
            "SELECT count(*), min(id), max(id), count(name) FROM events",
            vec!["3|22|33|1"],
        ),
        ("SELECT id FROM events ORDER BY id LIMIT 1", vec!["22"]),
        ("SELECT id FROM events WHERE id < 22", vec![]),
        // What fails on a hidden row does not fail.
        (
            "SELECT id FROM events WHERE 1 / (CASE WHEN id = 10 THEN 0 ELSE 1 END) = 1 ORDER BY id",
            vec!["22", "30", "33"],
        ),
        ("SELECT sum(1 / (id - 20)) FROM events", vec!["0"]),
        (
            "SELECT CAST(CASE WHEN id = 20 THEN name ELSE '7' END AS INT) AS n FROM events LIMIT 1",
            vec!["7"],
        ),
        (
            "SELECT e.id FROM events e JOIN (VALUES (10), (22)) v(x) ON e.id = v.x",
            vec!["22"],
        ),
        (
            "SELECT x FROM (VALUES (20), (30)) v(x) WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.id = v.x)",
            vec!["20"],
        ),
        ("SELECT count(*) FROM events a, events b", vec!["9"]),
        (
            "SELECT day, count(*) FROM events GROUP BY day ORDER BY day",
            vec!["2026-01-20|1", "2026-01-30|2"],
        ),
        (
            "WITH RECURSIVE r(n) AS (SELECT 22 UNION ALL SELECT r.n + 8 FROM r JOIN events e ON e.id = r.n) SELECT max(n) FROM r",
            vec!["38"],
        ),
    ] {
        assert_eq!(lake.rows(text).await, wanted, "{text}");
    }
    // What fails on a row that is seen still does.
    let error = lake.error("SELECT 1 / (id - 22) FROM events").await;
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    let error = lake.error("SELECT _pos FROM events").await;
    assert!(error.to_string().contains("_pos"), "{error}");
}

#[tokio::test]
async fn neither_a_plan_nor_a_receipt_tells_whether_a_hidden_row_was_hit() {
    let lake = Lake::with_history().await;
    lake.grant([reads("lake.tpch.events", &[], Some("id >= 22"))]);
    // 20 is in a file with a row that is seen; 10 is in a file without one; 5 and 21 are nowhere.
    lake.rows("SELECT * FROM events").await;
    for condition in ["id = {}", "id IN ({}, 7)", "id = {} OR name = 'x'"] {
        let mut told = Vec::new();
        for id in ["5", "10", "20", "21"] {
            let condition = condition.replace("{}", id);
            let text = format!("SELECT id FROM events WHERE {condition}");
            let planned = lake.plan(&text, None, &[]).await.unwrap();
            let batches: Vec<_> = planned.execute().unwrap().try_collect().await.unwrap();
            assert!(lines(&batches).is_empty());
            let receipt = planned.receipt();
            let explained = lake.rows(&format!("EXPLAIN {text}")).await.join("\n");
            assert!(
                explained.contains("Fence: table=lake.tpch.events"),
                "{explained}"
            );
            let analyzed = lake
                .rows(&format!("EXPLAIN ANALYZE {text}"))
                .await
                .join("\n");
            for text in [&explained, &analyzed] {
                let hidden = ["parquet", "files=", "id >= 22"];
                assert!(!hidden.iter().any(|hidden| text.contains(hidden)), "{text}");
            }
            assert!(
                analyzed.contains("output_rows=3") && !analyzed.contains("output_rows=6"),
                "{analyzed}"
            );
            told.push(receipt.bytes());
        }
        told.dedup();
        assert_eq!(told.len(), 1, "bytes tell: {told:?}");
    }
    // The filter itself does prune: the file of 10 and 11 is not read.
    lake.grant([reads(
        "lake.tpch.events",
        &[],
        Some("day >= DATE '2026-01-15'"),
    )]);
    let planned = lake.plan("SELECT id FROM events", None, &[]).await.unwrap();
    let summaries = planned.summaries();
    assert_eq!(
        summaries
            .iter()
            .map(|scan| scan.files_pruned)
            .collect::<Vec<_>>(),
        [1]
    );
    assert_eq!(lake.rows("SELECT count(*) FROM events").await, ["4"]);
}

#[tokio::test]
async fn a_cell_is_null_where_no_grant_gives_both_its_row_and_its_column() {
    let lake = Lake::with_history().await;
    lake.grant([
        reads("lake.tpch.events", &["id"], Some("id < 25")),
        reads("lake.tpch.events", &["name", "day"], Some("id >= 20")),
    ]);
    assert_eq!(
        lake.rows("SELECT * FROM events ORDER BY day, id NULLS LAST, name")
            .await,
        [
            "20|n20|2026-01-20",
            "22||2026-01-20",
            "|n30|2026-01-30",
            "||2026-01-30",
            "10||",
            "11||"
        ]
    );
    assert_eq!(
        lake.rows("SELECT count(*), count(id), count(day) FROM events")
            .await,
        ["6|4|4"]
    );
}

#[tokio::test]
async fn a_policy_that_does_not_fit_denies_the_table_and_says_no_more() {
    let lake = Lake::with_history().await;
    for (columns, rows) in [
        (vec![], Some("gone = 1")),
        (vec![], Some("id")),
        (vec![], Some("random() > 0.5")),
        (vec![], Some("sum(id) > 1")),
        (vec!["gone"], None),
    ] {
        lake.grant([reads("lake.tpch.events", &columns, rows)]);
        let error = lake.error("SELECT count(*) FROM events").await;
        assert_eq!(
            error.kind(),
            ErrorKind::FailedPrecondition,
            "{rows:?}: {error}"
        );
        assert!(!error.to_string().contains("gone"), "{error}");
    }
    lake.grant([reads(
        "lake.tpch.events",
        &[],
        Some("CAST(coalesce(name, '1') AS INT) = 1"),
    )]);
    let error = lake.error("SELECT count(*) FROM events").await;
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    assert!(
        !error.to_string().contains("n20") && !error.to_string().contains("n30"),
        "{error}"
    );
}

#[tokio::test]
async fn an_older_version_gives_the_columns_that_are_granted_today() {
    let lake = Lake::with_history().await;
    // What was called `name` then is `day` today.
    lake.register_history("lake.tpch.moved", |document| {
        document["schemas"][0]["fields"][1]["name"] = json!("name");
    })
    .await;
    lake.grant([reads("lake.tpch.moved", &["id", "name"], None)]);
    let first = "SELECT * FROM moved FOR VERSION AS OF 'first' ORDER BY 1";
    assert_eq!(lake.rows(first).await, ["10", "11"]);
    lake.grant([reads("lake.tpch.moved", &["id"], Some("name IS NULL"))]);
    assert_eq!(lake.rows("SELECT count(*) FROM moved").await, ["4"]);
    let error = lake.error(first).await;
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    lake.grant([reads("lake.tpch.moved", &["id"], Some("id < 11"))]);
    assert_eq!(lake.rows(first).await, ["10"]);
}

#[tokio::test]
async fn commands_need_grants_of_their_own() {
    let lake = Lake::with_history().await;
    let may = |on: &str, actions: &[Action], procedures: &[&str]| Grant {
        actions: actions.iter().copied().collect(),
        procedures: procedures
            .iter()
            .map(|name| Glob::parse(name).unwrap())
            .collect(),
        ..reads(on, &[], None)
    };
    lake.grant([
        reads("lake.tpch.orders", &[], None),
        may(
            "lake.staging*",
            &[Action::CreateSchema, Action::DropTable],
            &["unregister_table"],
        ),
        may("lake.tpch.twin", &[Action::DropTable], &[]),
    ]);
    let kind = async |text: &str| {
        let done = lake.run_as(text, Role::Reader, None).await;
        done.err().map(|error| error.kind())
    };
    let (denied, unknown) = (Some(ErrorKind::PermissionDenied), Some(ErrorKind::NotFound));
    assert_eq!(kind("CREATE SCHEMA lake.staging_1").await, None);
    assert_eq!(kind("CREATE SCHEMA lake.prod").await, denied);
    assert_eq!(kind("CREATE SCHEMA other.staging").await, unknown);
    assert_eq!(
        kind("DROP SCHEMA lake.staging_1").await,
        denied,
        "nobody may drop"
    );
    assert_eq!(kind("DROP TABLE lake.tpch.orders").await, denied);
    assert_eq!(kind("DROP TABLE lake.tpch.events").await, unknown);
    assert_eq!(kind("DROP TABLE IF EXISTS lake.tpch.events").await, None);
    assert_eq!(
        kind("CALL landfast.unregister_table('lake.tpch.events')").await,
        unknown
    );
    assert_eq!(
        kind("CALL landfast.register_table('lake.staging_1.t', 'gs://x')").await,
        denied
    );
    // What may be dropped and not read is there, and no more.
    assert_eq!(
        lake.error("SELECT * FROM lake.tpch.twin").await.kind(),
        ErrorKind::PermissionDenied
    );
    assert_eq!(kind("DROP TABLE lake.tpch.twin").await, None);
    assert_eq!(kind("USE lake.tpch").await, None);
    assert_eq!(kind("USE lake.\"Mixed\"").await, unknown);
    lake.rows_as("SELECT count(*) FROM events", Role::Operator)
        .await
        .unwrap();
}

/// Numbers that look drawn and are the same each time.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

const COLUMNS: [&str; 3] = ["id", "name", "day"];
const FILTERS: [&str; 6] = [
    "id > 15",
    "name IS NOT NULL",
    "day = DATE '2026-01-20'",
    "id % 2 = 0 OR name = 'n30'",
    "id IN (11, 22, 33)",
    "day < DATE '2026-01-25' AND NOT (name = 'x')",
];
const STATEMENTS: [&str; 16] = [
    "SELECT * FROM {}",
    "SELECT count(*) FROM {}",
    "SELECT min(id), max(id), count(id) FROM {}",
    "SELECT max(day), count(name) FROM {}",
    "SELECT id FROM {} WHERE id > 15 AND id < 32",
    "SELECT name FROM {} WHERE name LIKE 'n%' OR day IS NULL",
    "SELECT day, count(*) FROM {} GROUP BY day",
    "SELECT 100 / (id - 15) FROM {} WHERE id <> 15",
    "SELECT a.id, b.id FROM {} a JOIN {} b ON a.id = b.id WHERE a.id >= 20",
    "SELECT a.day FROM {} a WHERE a.id IN (SELECT b.id FROM {} b WHERE b.id < 30)",
    "SELECT DISTINCT name IS NULL AS none FROM {}",
    "SELECT id, row_number() OVER (ORDER BY id DESC) FROM {}",
    "SELECT x FROM (VALUES (10), (20), (30)) v(x) LEFT JOIN {} e ON e.id = v.x WHERE e.id IS NULL",
    "SELECT count(*) FROM (SELECT * FROM {} UNION ALL SELECT * FROM {}) u",
    "SELECT id FROM {} ORDER BY id LIMIT 2",
    "SELECT CAST(substr(name, 2) AS INT) FROM {} WHERE name IS NOT NULL",
];

#[tokio::test]
async fn whatever_is_asked_of_a_limited_table_is_what_a_view_of_its_part_gives() {
    let lake = Lake::with_history().await;
    let mut drawn = Drawn(7);
    let (mut rows, mut refused) = (0, 0);
    for case in 0..160 {
        let grants: Vec<(Vec<&str>, Option<&str>)> = (0..=drawn.below(3))
            .map(|_| {
                let kept = drawn.below(8);
                let columns = COLUMNS
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| kept & (1 << at) > 0);
                let columns: Vec<&str> = columns.map(|(_, name)| *name).collect();
                (columns, FILTERS.get(drawn.below(8)).copied())
            })
            .collect();
        let statement = STATEMENTS[drawn.below(STATEMENTS.len())];
        lake.grant(
            grants
                .iter()
                .map(|(columns, rows)| reads("lake.tpch.events", columns, *rows)),
        );
        // The same as a query over the whole table: a row that some grant gives, and a cell that some grant gives.
        let any = |column: Option<&str>| {
            let of = grants.iter().filter(|(columns, _)| {
                columns.is_empty() || column.is_none_or(|column| columns.contains(&column))
            });
            let texts: Vec<String> = of
                .map(|(_, rows)| format!("({})", rows.unwrap_or("true")))
                .collect();
            (!texts.is_empty()).then(|| texts.join(" OR "))
        };
        let cells: Vec<String> = COLUMNS
            .iter()
            .filter_map(|name| {
                Some(format!(
                    "CASE WHEN {} THEN {name} END AS {name}",
                    any(Some(name))?
                ))
            })
            .collect();
        let part = format!(
            "(SELECT {} FROM events WHERE {})",
            cells.join(", "),
            any(None).unwrap()
        );
        let numbered = |text: &str| {
            let mut out = String::new();
            for (at, piece) in text.split("{}").enumerate() {
                match at {
                    0 => {}
                    // A subquery needs a name where the statement gives it none.
                    _ if piece.starts_with(" a")
                        || piece.starts_with(" b")
                        || piece.starts_with(" e") =>
                    {
                        out.push_str(&part)
                    }
                    _ => out.push_str(&format!("{part} AS t{at}")),
                }
                out.push_str(piece);
            }
            out
        };
        let limited = lake
            .rows_as(&statement.replace("{}", "events"), Role::Reader)
            .await;
        let wanted = lake.rows_as(&numbered(statement), Role::Operator).await;
        match (limited, wanted) {
            (Ok(limited), Ok(wanted)) => {
                rows += limited.len();
                assert_eq!(limited, wanted, "case {case}: {statement} under {grants:?}");
            }
            (Err(error), Err(wanted)) => {
                refused += 1;
                assert_eq!(
                    error.kind(),
                    wanted.kind(),
                    "case {case}: {error} and {wanted}"
                );
            }
            (limited, wanted) => {
                panic!("case {case}: {statement} under {grants:?}: {limited:?}, not {wanted:?}")
            }
        }
    }
    assert!(
        rows > 100 && refused > 10,
        "{rows} rows, {refused} refused: the cases say too little"
    );
}
