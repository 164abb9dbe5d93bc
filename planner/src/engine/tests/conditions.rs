//! What a statement's conditions leave out of a table whose rows are filtered by policy.

use futures::TryStreamExt;

use super::access::reads;
use super::lake::{Lake, lines};
use crate::Role;
use crate::access::Grant;

/// What one query told of itself.
#[derive(Debug, PartialEq)]
struct Told {
    rows: Vec<String>,
    /// Of the scan's summary.
    files_left: u64,
    /// Of data files, from all sites.
    data_bytes: u64,
    data_requests: u64,
    /// Of metadata, from sites and caches.
    metadata_bytes: u64,
}

/// What a query tells in a process that has read nothing yet.
async fn told(grants: Vec<Grant>, text: &str) -> Told {
    let lake = Lake::with_history().await;
    lake.grant(grants);
    let planned = lake.plan(text, None, &[]).await.unwrap();
    let summaries = planned.summaries();
    let batches: Vec<_> = planned.execute().unwrap().try_collect().await.unwrap();
    let mut rows = lines(&batches);
    rows.sort();
    let sites = planned.receipt().sites;
    let sum = |value: fn(&landfast_sites::SiteReads) -> u64| -> u64 {
        sites.iter().map(|site| value(&site.reads)).sum()
    };
    Told {
        rows,
        files_left: summaries
            .iter()
            .map(|scan| scan.files_total - scan.files_pruned)
            .sum(),
        data_bytes: sum(|reads| reads.data.bytes),
        data_requests: sum(|reads| reads.data.requests),
        metadata_bytes: sum(|reads| reads.metadata.bytes),
    }
}

fn by_day() -> Vec<Grant> {
    let filter = Some("day >= DATE '2026-01-15'");
    vec![reads("lake.tpch.events", &[], filter)]
}

#[tokio::test]
async fn conditions_leave_out_files_where_the_filter_takes_whole_partitions() {
    let all = told(by_day(), "SELECT id FROM events").await;
    assert_eq!((all.rows.len(), all.files_left), (4, 2), "{all:?}");
    for (condition, rows, files) in [
        ("id >= 30", vec!["30", "33"], 1),
        ("33 <= id", vec!["33"], 1),
        ("id IN (20, 21)", vec!["20"], 1),
        ("id = 20 OR id = 22", vec!["20", "22"], 1),
        ("id BETWEEN 22 AND 30", vec!["22", "30"], 2),
        ("name = 'n30'", vec!["30"], 1),
        ("day = DATE '2026-01-20'", vec!["20", "22"], 1),
        ("id > 100", vec![], 0),
        ("id < 15", vec![], 0),
        ("id >= 30 AND id + 1 > 31", vec!["33"], 1),
        // Nothing that could be another thing than it seems.
        ("id + 1 > 34", vec![], 2),
        ("abs(id) = 20", vec!["20"], 2),
    ] {
        let text = format!("SELECT id FROM events WHERE {condition}");
        let told = told(by_day(), &text).await;
        assert_eq!(told.rows, rows, "{condition}");
        assert_eq!(told.files_left, files, "{condition}: {told:?}");
        assert_eq!(told.metadata_bytes, all.metadata_bytes, "{condition}");
        if files < 2 {
            assert!(told.data_bytes < all.data_bytes, "{condition}: {told:?}");
        }
    }
    // Nothing is left out by rows that a join finds, and nothing is lost either.
    let join = "SELECT e.id FROM events e JOIN (VALUES (10), (20), (30)) v(x) ON e.id = v.x WHERE e.id > 25";
    let told = told(by_day(), join).await;
    assert_eq!((told.rows, told.files_left), (vec!["30".to_owned()], 1));
}

#[tokio::test]
async fn conditions_leave_out_nothing_where_a_file_may_have_hidden_rows() {
    for filter in [
        "id >= 22",
        "day >= DATE '2026-01-15' AND id <> 20",
        "name IS NOT NULL",
    ] {
        let grants = || vec![reads("lake.tpch.events", &[], Some(filter))];
        let all = told(grants(), "SELECT id, name FROM events").await;
        for condition in ["id = 5", "id = 20", "id = 33", "id > 100", "name = 'n20'"] {
            let text = format!("SELECT id, name FROM events WHERE {condition}");
            let told = told(grants(), &text).await;
            let but_rows = |told: &Told| {
                let Told {
                    files_left,
                    data_bytes,
                    data_requests,
                    metadata_bytes,
                    ..
                } = told;
                (*files_left, *data_bytes, *data_requests, *metadata_bytes)
            };
            assert_eq!(but_rows(&told), but_rows(&all), "{filter}, {condition}");
        }
    }
}

#[tokio::test]
async fn a_column_that_is_hidden_in_some_rows_leaves_out_nothing() {
    let grants = || {
        vec![
            reads("lake.tpch.events", &["id", "day"], None),
            reads(
                "lake.tpch.events",
                &["name"],
                Some("day = DATE '2026-01-20'"),
            ),
        ]
    };
    let all = told(grants(), "SELECT id, name FROM events").await;
    assert_eq!(all.files_left, 3, "{all:?}");
    // 'n30' is hidden, and 'zzz' is nowhere.
    for name in ["n20", "n30", "zzz"] {
        let text = format!("SELECT id, name FROM events WHERE name = '{name}'");
        let told = told(grants(), &text).await;
        assert_eq!(told.rows.len(), usize::from(name == "n20"), "{told:?}");
        assert_eq!(
            (told.files_left, told.data_bytes),
            (3, all.data_bytes),
            "{name}"
        );
    }
    let told = told(grants(), "SELECT id, name FROM events WHERE id = 20").await;
    assert_eq!((told.rows, told.files_left), (vec!["20|n20".to_owned()], 1));
}

#[tokio::test]
async fn what_fails_on_a_hidden_row_does_not_fail_beside_a_condition_that_leaves_out_files() {
    let lake = Lake::with_history().await;
    // 10 and 11 are in a partition that is hidden.
    lake.grant(by_day());
    for (condition, wanted) in [
        ("id < 25 AND 100 / (id - 10) > 0", vec!["20", "22"]),
        ("id < 25 AND 100 / (id - 11) > 0 AND id > 20", vec!["22"]),
        (
            "id <= 22 AND CAST(CASE WHEN id < 15 THEN 'x' ELSE '1' END AS INT) = 1",
            vec!["20", "22"],
        ),
    ] {
        let text = format!("SELECT id FROM events WHERE {condition}");
        assert_eq!(
            lake.rows_as(&text, Role::Reader).await.unwrap(),
            wanted,
            "{text}"
        );
    }
    let text = "SELECT id FROM events WHERE id < 25 AND 100 / (id - 10) > 0";
    assert!(
        lake.rows_as(text, Role::Operator).await.is_err(),
        "it does fail on 10"
    );
}
