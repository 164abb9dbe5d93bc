use arrow_flight::sql::{ActionCancelQueryRequest, ActionCancelQueryResult};
use arrow_flight::{FlightEndpoint, RenewFlightEndpointRequest};
use tonic::Code;

use super::lake::with_data_out_of_reach;
use super::streams::{LONG, all_ended};
use super::*;
use crate::queries::{QueryRecord, QueryState};

/// Needs the rows of a file, which metadata can't answer.
const FAR: &str = "SELECT sum(l_extendedprice * l_discount) FROM lake.tpch.lineitem";

fn record(service: &Service, statement: &str) -> QueryRecord {
    let mut found = service.queries.list(|r| r.statement == statement);
    assert_eq!(found.len(), 1, "{statement}");
    found.remove(0)
}

/// Begins to fetch and waits until the query runs.
async fn running(
    service: &Service,
    client: &mut Client,
    info: &FlightInfo,
) -> tonic::Streaming<FlightData> {
    let mut stream = client.get(ticket(info)).await.unwrap();
    stream.message().await.unwrap().unwrap();
    while service.admission.running() == 0 {
        tokio::task::yield_now().await;
    }
    stream
}

async fn end_of(mut stream: tonic::Streaming<FlightData>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a cancelled result must not look whole"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn a_running_query_is_cancelled_by_its_flight_info_and_its_client_is_told() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let info = client.info(LONG).await.unwrap();
    let stream = running(&service, &mut client, &info).await;
    assert_eq!(client.cancel(&info).await.unwrap(), CancelStatus::Cancelled);
    assert_eq!(
        service.queries.open(),
        0,
        "it has ended when the answer comes"
    );
    assert_eq!(service.admission.running(), 0);
    assert_eq!(end_of(stream).await.code(), Code::Cancelled);
    let record = record(&service, LONG);
    assert_eq!(record.state, QueryState::Cancelled);
    assert_eq!(record.error.unwrap().text, "cancelled by bob");
    assert_eq!(client.cancel(&info).await.unwrap(), CancelStatus::Cancelled);
    let refused = client.fetch(ticket(&info)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Cancelled, "not planned again");
}

#[tokio::test]
async fn a_planned_query_is_cancelled_before_it_is_fetched_by_the_older_action_too() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let info = client.info("SELECT 1").await.unwrap();
    let request = ActionCancelQueryRequest {
        info: info.encode_to_vec().into(),
    };
    let body = client
        .act("CancelQuery", request.as_any().encode_to_vec())
        .await
        .unwrap();
    let any = Any::decode(body.unwrap()).unwrap();
    let result: ActionCancelQueryResult = any.unpack().unwrap().unwrap();
    assert_eq!(result.result, CancelStatus::Cancelled as i32);
    assert_eq!(record(&service, "SELECT 1").state, QueryState::Cancelled);
    assert_eq!(service.core.planned.count(), 0);
    let refused = client.fetch(ticket(&info)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Cancelled);
}

#[tokio::test]
async fn only_its_asker_and_operators_cancel_a_query_and_none_that_has_ended() {
    let service = service(Limits::default()).await;
    let mut bob = service.login("bob").await;
    let mut ann = service.login("ann").await;
    let mut olga = service.login("olga").await;
    let info = bob.info("SELECT 2").await.unwrap();
    let refused = ann.cancel(&info).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(olga.cancel(&info).await.unwrap(), CancelStatus::Cancelled);

    let info = bob.info("SELECT 3").await.unwrap();
    bob.fetch(ticket(&info)).await.unwrap();
    all_ended(&service).await;
    let ended = bob.cancel(&info).await.unwrap();
    assert_eq!(ended, CancelStatus::NotCancellable);
    let info = ann.info("CREATE SCHEMA lake.done").await.unwrap();
    let ran = ann.cancel(&info).await.unwrap();
    assert_eq!(ran, CancelStatus::NotCancellable);

    let mut forged = info.clone();
    let mut bytes = ticket(&info).ticket.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    forged.endpoint[0].ticket = Some(Ticket::new(bytes));
    let refused = ann.cancel(&forged).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let nothing = ann.cancel(&FlightInfo::new()).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_procedure_cancels_ones_own_queries_and_for_operators_everybodys() {
    let service = service(Limits::default()).await;
    let mut bob = service.login("bob").await;
    let mut ann = service.login("ann").await;
    let mut olga = service.login("olga").await;
    let info = bob.info(LONG).await.unwrap();
    let stream = running(&service, &mut bob, &info).await;
    let id = record(&service, LONG).id;
    let call = format!("CALL landfast.cancel('{id}')");
    let refused = ann.update(&call).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "as if there were none");
    assert_eq!(olga.update(&call).await.unwrap(), 1);
    assert_eq!(end_of(stream).await.code(), Code::Cancelled);
    assert_eq!(
        olga.update(&call).await.unwrap(),
        0,
        "it was cancelled before"
    );
    let told = record(&service, LONG).error.unwrap().text;
    assert_eq!(told, "cancelled by olga");

    bob.info("SELECT 4").await.unwrap();
    let id = record(&service, "SELECT 4").id;
    let call = format!("CALL landfast.cancel('{id}')");
    assert_eq!(bob.update(&call).await.unwrap(), 1);
    let refused = bob.update("CALL landfast.cancel('x')").await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    bob.rows("SELECT 5").await.unwrap();
    all_ended(&service).await;
    let id = record(&service, "SELECT 5").id;
    let call = format!("CALL landfast.cancel('{id}')");
    let refused = bob.update(&call).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_query_that_waits_for_a_site_ends_when_its_stream_is_dropped_or_it_is_cancelled() {
    let service = with_data_out_of_reach(Limits::default()).await;
    let mut client = service.login("bob").await;
    let info = client.info(FAR).await.unwrap();
    drop(running(&service, &mut client, &info).await);
    all_ended(&service).await;
    assert_eq!(service.admission.running(), 0);
    assert_eq!(record(&service, FAR).state, QueryState::Cancelled);

    let again = format!("{FAR} WHERE l_quantity > 1");
    let info = client.info(&again).await.unwrap();
    let stream = running(&service, &mut client, &info).await;
    assert_eq!(client.cancel(&info).await.unwrap(), CancelStatus::Cancelled);
    assert_eq!(service.admission.running(), 0);
    assert_eq!(end_of(stream).await.code(), Code::Cancelled);
}

#[tokio::test]
async fn a_deadline_ends_a_query_that_waits_for_a_site() {
    let limits = Limits {
        query_timeout: Duration::from_millis(700),
        ..Limits::default()
    };
    let service = with_data_out_of_reach(limits).await;
    let mut client = service.login("bob").await;
    let error = client.rows(FAR).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:?}");
    all_ended(&service).await;
    assert_eq!(record(&service, FAR).state, QueryState::Failed);
}

#[tokio::test]
async fn a_result_that_is_fetched_again_is_cancelled_with_its_query() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let info = client.info(LONG).await.unwrap();
    drop(running(&service, &mut client, &info).await);
    all_ended(&service).await;
    let stream = running(&service, &mut client, &info).await;
    assert_eq!(client.cancel(&info).await.unwrap(), CancelStatus::Cancelled);
    assert_eq!(service.queries.open(), 0);
    assert_eq!(end_of(stream).await.code(), Code::Cancelled);
}

#[tokio::test]
async fn an_endpoint_is_renewed_for_whom_it_was_made() {
    let limits = Limits {
        ticket_ttl: Duration::from_secs(60),
        ..Limits::default()
    };
    let service = service(limits).await;
    let mut bob = service.login("bob").await;
    let mut ann = service.login("ann").await;
    let info = bob.info("SELECT 6 AS n").await.unwrap();
    let renew = |endpoint: &FlightEndpoint| {
        let request = RenewFlightEndpointRequest::new(endpoint.clone());
        request.encode_to_vec()
    };
    // An end is told in whole milliseconds.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let body = renew(&info.endpoint[0]);
    let renewed = bob.act("RenewFlightEndpoint", body.clone()).await.unwrap();
    let renewed = FlightEndpoint::decode(renewed.unwrap()).unwrap();
    let end = |endpoint: &FlightEndpoint| {
        let end = endpoint.expiration_time.unwrap();
        (end.seconds, end.nanos)
    };
    assert!(end(&renewed) > end(&info.endpoint[0]));
    assert_eq!(renewed.location, info.endpoint[0].location);
    let rows = bob.fetch(renewed.ticket.clone().unwrap()).await.unwrap().1;
    assert_eq!(column(&rows, "n"), ["6"]);
    let refused = ann.act("RenewFlightEndpoint", body).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
