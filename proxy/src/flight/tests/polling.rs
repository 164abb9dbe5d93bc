use tonic::Code;

use super::*;
use crate::admission::Stage;
use crate::queries::QueryState;

fn descriptor(sql: &str) -> FlightDescriptor {
    FlightDescriptor::new_cmd(query(sql).as_any().encode_to_vec())
}

/// One query at once, and polls that wait for nothing.
fn one_at_once() -> Limits {
    Limits {
        concurrent_queries: 1,
        poll_wait: Duration::ZERO,
        ..Limits::default()
    }
}

/// Polls until there is no descriptor any more.
async fn polled(client: &mut Client, mut poll: PollInfo) -> Result<FlightInfo, Status> {
    while let Some(descriptor) = poll.flight_descriptor {
        tokio::task::yield_now().await;
        poll = client.poll(descriptor).await?;
    }
    assert_eq!(poll.progress, Some(1.0));
    Ok(poll.info.unwrap())
}

#[tokio::test]
async fn a_poll_of_what_is_planned_soon_has_everything_at_once() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let poll = client.poll(descriptor("SELECT 7 AS n")).await.unwrap();
    assert_eq!(poll.flight_descriptor, None);
    assert_eq!(poll.progress, Some(1.0));
    let info = poll.info.unwrap();
    assert_eq!(info.flight_descriptor, Some(descriptor("SELECT 7 AS n")));
    let rows = client.fetch(ticket(&info)).await.unwrap().1;
    assert_eq!(column(&rows, "n"), ["7"]);
    let listing = arrow_flight::sql::CommandGetCatalogs {};
    let listing = FlightDescriptor::new_cmd(listing.as_any().encode_to_vec());
    let poll = client.poll(listing).await.unwrap();
    assert_eq!(poll.flight_descriptor, None);
    client.fetch(ticket(&poll.info.unwrap())).await.unwrap();
    let refused = client.poll(descriptor("SELECT 1 +")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = client.poll(FlightDescriptor::new_cmd("x")).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_query_that_waits_is_polled_by_its_asker_until_it_is_planned_and_runs_once() {
    let service = service(one_at_once()).await;
    let place = service
        .admission
        .admit(&Arc::from("somebody"), Stage::New)
        .await
        .unwrap();
    let mut bob = service.login("bob").await;
    let mut ann = service.login("ann").await;
    let first = bob.poll(descriptor("SELECT 8 AS n")).await.unwrap();
    let info = first.info.clone().unwrap();
    assert!(info.endpoint.is_empty());
    assert_eq!(first.progress, Some(0.0));
    assert!(first.expiration_time.is_some());
    let retry = first.flight_descriptor.clone().unwrap();
    let second = bob.poll(retry.clone()).await.unwrap();
    assert!(second.info.unwrap().endpoint.is_empty());
    let refused = ann.poll(retry.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut changed = retry.clone();
    let mut bytes = retry.cmd.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    changed.cmd = bytes.into();
    let refused = bob.poll(changed).await.unwrap_err();
    assert_ne!(refused.code(), Code::Ok);

    drop(place);
    let info = polled(&mut bob, first).await.unwrap();
    let rows = bob.fetch(ticket(&info)).await.unwrap().1;
    assert_eq!(column(&rows, "n"), ["8"]);
    let again = bob.poll(retry).await.unwrap();
    assert_eq!(again.info, Some(info), "polled again it is the same");
    let records = service.queries.list(|r| r.statement == "SELECT 8 AS n");
    assert_eq!(records.len(), 1);
}

#[tokio::test]
async fn a_query_that_is_polled_is_cancelled_by_what_the_poll_said() {
    let service = service(one_at_once()).await;
    let place = service
        .admission
        .admit(&Arc::from("somebody"), Stage::New)
        .await
        .unwrap();
    let mut client = service.login("bob").await;
    let poll = client.poll(descriptor("SELECT 9")).await.unwrap();
    let status = client.cancel(&poll.info.unwrap()).await.unwrap();
    assert_eq!(status, CancelStatus::Cancelled);
    let record = service.queries.list(|r| r.statement == "SELECT 9").pop();
    assert_eq!(record.unwrap().state, QueryState::Cancelled);
    let gone = client.poll(poll.flight_descriptor.unwrap()).await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
    drop(place);
}

#[tokio::test]
async fn a_command_that_is_polled_runs_once_and_its_result_is_recorded() {
    let service = service(one_at_once()).await;
    let place = service
        .admission
        .admit(&Arc::from("somebody"), Stage::New)
        .await
        .unwrap();
    let mut client = service.login("ann").await;
    let sql = "CREATE SCHEMA lake.polled";
    let poll = client.poll(descriptor(sql)).await.unwrap();
    let retry = poll.flight_descriptor.clone().unwrap();
    client.poll(retry.clone()).await.unwrap();
    drop(place);
    let info = polled(&mut client, poll).await.unwrap();
    client.poll(retry).await.unwrap();
    for _ in 0..2 {
        client.fetch(ticket(&info)).await.unwrap();
    }
    let records = service.queries.list(|r| r.statement == sql);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].state, QueryState::Finished);
}

#[tokio::test]
async fn a_setting_made_by_a_poll_holds_and_an_error_is_told_to_each_poll() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let set = descriptor("SET landfast.freshness = 'strong'");
    client.poll(set).await.unwrap();
    let shown = client.rows("SHOW landfast.freshness").await.unwrap();
    assert_eq!(shown[0].num_rows(), 1);
    assert!(column(&shown, "value").contains(&"strong".to_owned()));
    let refused = client.poll(descriptor("SELECT * FROM lake.no.table")).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn what_a_client_sends_with_a_poll_counts_in_what_is_kept_for_it() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    // A field of no message that we know: it goes back with the descriptor.
    let mut padded = descriptor("SELECT 7 AS n").cmd.to_vec();
    prost::encoding::bytes::encode(99, &vec![0u8; 1 << 20], &mut padded);
    let padded = FlightDescriptor::new_cmd(padded);
    let poll = client.poll(padded.clone()).await.unwrap();
    assert_eq!(poll.info.unwrap().flight_descriptor, Some(padded.clone()));
    let kept = service.core.polls.bytes();
    assert!(kept > 1 << 20, "{kept}");
    let statement = "x".repeat(100 * 1024);
    let long = descriptor(&format!("SELECT length('{statement}')"));
    client.poll(long).await.unwrap();
    let tickets = Limits::default().endpoints_max * statement.len();
    assert!(service.core.polls.bytes() > kept + tickets);
    let mut both = padded;
    both.path = vec!["x".to_owned()];
    let refused = client.poll(both).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}
