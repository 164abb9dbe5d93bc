use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{AsArray, Int32Array, RecordBatch};
use arrow::datatypes::{Int32Type, UInt32Type};
use arrow_flight::{
    BasicAuth, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, Empty, FlightData,
    FlightDescriptor, FlightEndpoint, HandshakeRequest, RenewFlightEndpointRequest,
};
use futures::{TryStreamExt, stream};
use landfast_tests::scenarios::Scenario;
use prost::Message;
use tonic::Code;
use tonic::metadata::MetadataValue;

use crate::client::{Client, client};

#[tokio::test]
async fn a_user_of_the_payload_gets_a_token_in_the_payload() {
    let mut client = client(Scenario::AuthBasicProto).await;
    let refused = client.act("", "").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let shake = |password: &str| {
        let credentials = BasicAuth {
            username: "arrow".into(),
            password: password.into(),
        };
        HandshakeRequest {
            protocol_version: 0,
            payload: credentials.encode_to_vec().into(),
        }
    };
    let wrong = client.flight.handshake(stream::iter([shake("wrong")]));
    assert_eq!(wrong.await.unwrap_err().code(), Code::Unauthenticated);
    let right = client.flight.handshake(stream::iter([shake("flight")]));
    let answers: Vec<_> = right
        .await
        .unwrap()
        .into_inner()
        .try_collect()
        .await
        .unwrap();
    let token = MetadataValue::from_bytes(&answers[0].payload);
    client.headers.insert_bin("auth-token-bin", token);
    assert_eq!(client.act_for_one("", "").await.unwrap(), "arrow");
}

#[tokio::test]
async fn a_header_comes_back_with_the_answer_and_with_the_error() {
    let mut client = client(Scenario::Middleware).await;
    let expected = MetadataValue::from_static("expected value");
    client.headers.insert("x-middleware", expected.clone());
    let failing = client.request(FlightDescriptor::new_cmd(""));
    let error = client.flight.get_flight_info(failing).await.unwrap_err();
    assert_eq!(error.metadata().get("x-middleware"), Some(&expected));
    let passing = client.request(FlightDescriptor::new_cmd("success"));
    let info = client.flight.get_flight_info(passing).await.unwrap();
    assert_eq!(info.metadata().get("x-middleware"), Some(&expected));
    // What the dispatcher refuses by itself goes through the same door.
    let refused = client.request(FlightDescriptor::new_cmd("success"));
    let error = client.flight.poll_flight_info(refused).await.unwrap_err();
    assert_eq!(error.metadata().get("x-middleware"), Some(&expected));
}

#[tokio::test]
async fn ordered_endpoints_give_the_rows_in_their_order() {
    let mut client = client(Scenario::Ordered).await;
    let info = client
        .info(FlightDescriptor::new_cmd("ordered"))
        .await
        .unwrap();
    assert!(info.ordered);
    let mut numbers = Vec::new();
    for endpoint in &info.endpoint {
        assert!(endpoint.location.is_empty());
        for batch in client.get(endpoint).await.unwrap().1 {
            numbers.extend_from_slice(batch.column(0).as_primitive::<Int32Type>().values());
        }
    }
    assert_eq!(numbers, [1, 2, 3, 10, 20, 30, 100, 200, 300]);
    let unordered = client.info(FlightDescriptor::new_cmd("any")).await.unwrap();
    assert!(!unordered.ordered);
}

async fn expiring(client: &mut Client) -> Vec<FlightEndpoint> {
    let descriptor = FlightDescriptor::new_cmd("expiration_time");
    client.info(descriptor).await.unwrap().endpoint
}

#[tokio::test]
async fn endpoints_tell_when_they_expire_and_give_their_rows_until_then() {
    let mut client = client(Scenario::ExpirationTimeDoGet).await;
    let endpoints = expiring(&mut client).await;
    let expire: Vec<_> = endpoints
        .iter()
        .map(|endpoint| endpoint.expiration_time.is_some())
        .collect();
    assert_eq!(expire, [false, true, true]);
    for (endpoint, number) in endpoints.iter().zip(0..) {
        assert!(endpoint.location.is_empty());
        let (_, batches) = client.get(endpoint).await.unwrap();
        let column = batches[0].column(0).as_primitive::<UInt32Type>();
        assert_eq!(column.values(), &[number]);
    }
}

#[tokio::test]
async fn the_actions_for_expiring_endpoints_are_listed() {
    let mut client = client(Scenario::ExpirationTimeListActions).await;
    let listed = client.flight.list_actions(Empty {}).await.unwrap();
    let listed: Vec<_> = listed.into_inner().try_collect().await.unwrap();
    let mut names: Vec<_> = listed.iter().map(|listed| listed.r#type.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["CancelFlightInfo", "RenewFlightEndpoint"]);
}

#[tokio::test]
async fn a_cancelled_flight_gives_no_rows() {
    let mut client = client(Scenario::ExpirationTimeCancelFlightInfo).await;
    let descriptor = FlightDescriptor::new_cmd("expiration_time");
    let info = client.info(descriptor).await.unwrap();
    let request = CancelFlightInfoRequest::new(info.clone()).encode_to_vec();
    let result = client.act_for_one("CancelFlightInfo", request).await;
    let result = CancelFlightInfoResult::decode(result.unwrap()).unwrap();
    assert_eq!(result.status(), CancelStatus::Cancelled);
    for endpoint in &info.endpoint {
        let refused = client.get(endpoint).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_renewed_endpoint_expires_later() {
    let mut client = client(Scenario::ExpirationTimeRenewFlightEndpoint).await;
    for endpoint in expiring(&mut client).await {
        let Some(expires) = endpoint.expiration_time else {
            continue;
        };
        let request = RenewFlightEndpointRequest::new(endpoint).encode_to_vec();
        let renewed = client.act_for_one("RenewFlightEndpoint", request).await;
        let renewed = FlightEndpoint::decode(renewed.unwrap()).unwrap();
        let later = renewed.expiration_time.unwrap();
        let [before, after] = [expires, later].map(|time| SystemTime::try_from(time).unwrap());
        assert!(after > before);
        client.get(&renewed).await.unwrap();
    }
}

fn numbers(numbers: &[i32]) -> RecordBatch {
    let column = Arc::new(Int32Array::from(numbers.to_vec())) as _;
    RecordBatch::try_from_iter([("number", column)]).unwrap()
}

async fn encoded(descriptor: FlightDescriptor, batches: Vec<RecordBatch>) -> Vec<FlightData> {
    let encoder = arrow_flight::encode::FlightDataEncoderBuilder::new();
    let mut messages: Vec<FlightData> = encoder
        .with_flight_descriptor(Some(descriptor))
        .build(stream::iter(batches.into_iter().map(Ok)))
        .try_collect()
        .await
        .unwrap();
    for (message, number) in messages.iter_mut().skip(1).zip(0..) {
        message.app_metadata = format!("{number}").into();
    }
    messages
}

#[tokio::test]
async fn what_is_exchanged_comes_back() {
    let mut client = client(Scenario::DoExchangeEcho).await;
    let descriptor = FlightDescriptor::new_cmd("echo");
    let sent = encoded(descriptor, vec![numbers(&[1, 2]), numbers(&[3])]).await;
    let request = client.request(stream::iter(sent.clone()));
    let echoed = client.flight.do_exchange(request).await.unwrap();
    let echoed: Vec<_> = echoed.into_inner().try_collect().await.unwrap();
    let bodies = |messages: &[FlightData]| -> Vec<_> {
        let parts = messages.iter();
        parts
            .map(|message| {
                (
                    message.data_header.clone(),
                    message.data_body.clone(),
                    message.app_metadata.clone(),
                )
            })
            .collect()
    };
    assert_eq!(bodies(&echoed), bodies(&sent));
}

#[tokio::test]
async fn an_endpoint_on_the_connection_there_is_says_so() {
    let mut client = client(Scenario::LocationReuseConnection).await;
    let info = client
        .info(FlightDescriptor::new_cmd("reuse"))
        .await
        .unwrap();
    let locations: Vec<_> = info.endpoint[0].location.iter().map(|at| &at.uri).collect();
    assert_eq!(info.endpoint.len(), 1);
    assert_eq!(locations, ["arrow-flight-reuse-connection://?"]);
}

#[tokio::test]
async fn a_polled_query_tells_its_progress_until_it_is_done() {
    let mut client = client(Scenario::PollFlightInfo).await;
    let first = client.request(FlightDescriptor::new_cmd("heavy query"));
    let first = client.flight.poll_flight_info(first).await.unwrap();
    let first = first.into_inner();
    assert!((0.0..1.0).contains(&first.progress.unwrap()));
    assert!(first.info.is_some() && first.expiration_time.is_some());
    let second = client.request(first.flight_descriptor.unwrap());
    let second = client.flight.poll_flight_info(second).await.unwrap();
    let second = second.into_inner();
    assert_eq!(second.progress, Some(1.0));
    assert!(second.flight_descriptor.is_none() && second.expiration_time.is_none());
    assert!(second.info.is_some());
}

#[tokio::test]
async fn metadata_goes_with_the_flight_and_with_its_endpoint() {
    let mut client = client(Scenario::AppMetadataFlightInfoEndpoint).await;
    let info = client
        .info(FlightDescriptor::new_cmd("foobar"))
        .await
        .unwrap();
    assert_eq!(info.app_metadata, "foobar");
    assert_eq!(info.endpoint.len(), 1);
    assert_eq!(info.endpoint[0].app_metadata, "foobar");
}

#[tokio::test]
async fn what_is_put_under_a_path_is_acknowledged_and_comes_back() {
    let mut client = client(Scenario::Uploads).await;
    let descriptor = FlightDescriptor::new_path(vec!["floes".into()]);
    let missing = client.info(descriptor.clone()).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let batches = vec![numbers(&[1, 2]), numbers(&[3])];
    let sent = encoded(descriptor.clone(), batches.clone()).await;
    let request = client.request(stream::iter(sent));
    let results = client.flight.do_put(request).await.unwrap();
    let results: Vec<_> = results.into_inner().try_collect().await.unwrap();
    let acknowledged: Vec<_> = results.iter().map(|result| &result.app_metadata).collect();
    assert_eq!(acknowledged, ["0", "1"]);
    let info = client.info(descriptor).await.unwrap();
    let (_, fetched) = client.get(&info.endpoint[0]).await.unwrap();
    assert_eq!(fetched, batches);
}
