use super::lake::{sibling, with_rows};
use super::*;
use crate::queries::QueryState;

const ROWS: &str = "SELECT l_orderkey, l_linenumber, l_comment FROM lake.tpch.lineitem";

fn divided() -> Limits {
    Limits {
        endpoints_max: 4,
        endpoint_rows: 1_000,
        ..Limits::default()
    }
}

async fn endpoint(client: &mut Client, info: &FlightInfo, at: usize) -> Vec<String> {
    let ticket = info.endpoint[at].ticket.clone().unwrap();
    let (schema, batches) = client.fetch(ticket).await.unwrap();
    let promised = info.clone().try_decode_schema().unwrap();
    assert_eq!(*schema, promised, "one schema for all endpoints");
    lines(&batches)
}

fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let keys = column(batches, "l_orderkey");
    let numbers = column(batches, "l_linenumber");
    let comments = column(batches, "l_comment");
    let rows = keys.iter().zip(&numbers).zip(&comments);
    rows.map(|((key, number), comment)| format!("{key} {number} {comment}"))
        .collect()
}

async fn expected(client: &mut Client) -> Vec<String> {
    let ordered = format!("{ROWS} ORDER BY 1, 2");
    let mut rows = lines(&client.rows(&ordered).await.unwrap());
    rows.sort_unstable();
    rows
}

#[tokio::test]
async fn the_endpoints_of_a_large_result_are_it_in_any_order_and_once_or_twice() {
    let service = with_rows(divided()).await;
    let mut client = service.login("bob").await;
    let want = expected(&mut client).await;
    let info = client.info(ROWS).await.unwrap();
    assert_eq!(info.endpoint.len(), 4);
    assert!(!info.ordered);
    assert_eq!(info.total_records, want.len() as i64);
    let mut union = vec![];
    for at in [3, 1, 0, 2] {
        let mut once = endpoint(&mut client, &info, at).await;
        assert!(!once.is_empty());
        union.extend(once.clone());
        // While the query is open and after it has ended.
        let mut again = endpoint(&mut client, &info, at).await;
        once.sort_unstable();
        again.sort_unstable();
        assert_eq!(once, again);
    }
    union.sort_unstable();
    assert_eq!(union, want);
}

#[tokio::test]
async fn a_query_that_was_read_in_four_is_one_query_with_all_their_reads() {
    let service = with_rows(divided()).await;
    let mut client = service.login("bob").await;
    let info = client.info(ROWS).await.unwrap();
    let of_query = || {
        let mut found = service.queries.list(|record| record.statement == ROWS);
        assert_eq!(found.len(), 1);
        found.remove(0)
    };
    let mut read = 0;
    for at in [2, 0, 3, 1] {
        assert!(!of_query().state.is_final());
        endpoint(&mut client, &info, at).await;
        let bytes = of_query()
            .site_reads()
            .iter()
            .map(|site| site.bytes())
            .sum();
        assert!(bytes > read, "{bytes} after {read}");
        read = bytes;
    }
    streams::all_ended(&service).await;
    let record = of_query();
    assert_eq!(record.state, QueryState::Finished);
    assert_eq!(record.rows, info.total_records as u64);
}

#[tokio::test]
async fn an_endpoint_is_read_at_another_proxy_of_the_federation_as_well() {
    let service = with_rows(divided()).await;
    let other = sibling(&service, divided()).await;
    let mut client = service.login("bob").await;
    let mut there = other.login("bob").await;
    let want = expected(&mut client).await;
    let info = client.info(ROWS).await.unwrap();
    let mut union = endpoint(&mut there, &info, 3).await;
    union.extend(endpoint(&mut client, &info, 0).await);
    union.extend(endpoint(&mut there, &info, 1).await);
    union.extend(endpoint(&mut there, &info, 2).await);
    union.sort_unstable();
    assert_eq!(union, want);
}

#[tokio::test]
async fn what_is_ordered_limited_joined_or_aggregated_has_one_endpoint() {
    let service = with_rows(divided()).await;
    let mut client = service.login("bob").await;
    for (sql, ordered) in [
        ("SELECT * FROM lake.tpch.lineitem ORDER BY l_shipdate", true),
        ("SELECT * FROM lake.tpch.lineitem LIMIT 9000", false),
        (
            "SELECT l_orderkey, count(*) FROM lake.tpch.lineitem GROUP BY l_orderkey",
            false,
        ),
        (
            "SELECT l_comment FROM lake.tpch.lineitem JOIN lake.tpch.orders ON l_orderkey = o_orderkey",
            false,
        ),
        ("SELECT * FROM lake.tpch.nation", false),
    ] {
        let info = client.info(sql).await.unwrap();
        assert_eq!(info.endpoint.len(), 1, "{sql}");
        assert_eq!(info.ordered, ordered, "{sql}");
    }
    let counted = client.info("SELECT n_name FROM lake.tpch.nation").await;
    assert_eq!(counted.unwrap().total_records, 25);
    let filtered = "SELECT n_name FROM lake.tpch.nation WHERE length(n_name) = 5";
    let uncounted = client.info(filtered).await.unwrap();
    assert_eq!(uncounted.total_records, -1);
}

#[tokio::test]
async fn all_endpoints_read_at_once_have_one_place_and_those_never_read_hold_none() {
    let limits = Limits {
        concurrent_queries: 1,
        queued_queries: 0,
        ..divided()
    };
    let service = with_rows(limits).await;
    let mut client = service.login("bob").await;
    let info = client.info(ROWS).await.unwrap();
    let mut streams = vec![];
    for endpoint in &info.endpoint {
        let ticket = endpoint.ticket.clone().unwrap();
        streams.push(client.get(ticket).await.unwrap());
    }
    for stream in &mut streams {
        while stream.message().await.unwrap().is_some() {}
    }
    streams::all_ended(&service).await;
    assert_eq!(service.admission.running(), 0);

    let info = client.info(ROWS).await.unwrap();
    endpoint(&mut client, &info, 1).await;
    while service.admission.running() > 0 {
        tokio::task::yield_now().await;
    }
    client.rows("SELECT 1").await.unwrap();
    let record = service
        .queries
        .list(|record| record.statement == ROWS)
        .pop();
    assert_eq!(record.unwrap().state, QueryState::Planned, "it waits");
}

#[tokio::test]
async fn an_endpoint_that_is_given_up_gives_up_its_query_and_can_be_read_again() {
    let service = with_rows(divided()).await;
    let mut client = service.login("bob").await;
    let info = client.info(ROWS).await.unwrap();
    let mut stream = client.get(ticket(&info)).await.unwrap();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    streams::all_ended(&service).await;
    let record = service
        .queries
        .list(|record| record.statement == ROWS)
        .pop();
    // Its few messages may all have been on their way before it was dropped.
    let state = record.unwrap().state;
    assert!(
        matches!(state, QueryState::Cancelled | QueryState::Planned),
        "{state:?}"
    );
    assert!(!endpoint(&mut client, &info, 0).await.is_empty());
}

#[tokio::test]
async fn now_is_one_moment_for_all_endpoints_here_and_elsewhere() {
    let service = with_rows(divided()).await;
    let other = sibling(&service, divided()).await;
    let mut client = service.login("bob").await;
    let mut there = other.login("bob").await;
    let sql = "SELECT CAST(now() AS VARCHAR) AS moment FROM lake.tpch.lineitem";
    let info = client.info(sql).await.unwrap();
    assert_eq!(info.endpoint.len(), 4);
    let mut moments = vec![];
    for (at, client) in [(0, &mut client), (1, &mut there)] {
        let ticket = info.endpoint[at].ticket.clone().unwrap();
        moments.extend(column(&client.fetch(ticket).await.unwrap().1, "moment"));
    }
    moments.dedup();
    assert_eq!(moments.len(), 1, "{moments:?}");
}
