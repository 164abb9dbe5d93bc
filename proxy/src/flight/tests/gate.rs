use std::task::{Context, Poll};

use futures::StreamExt;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::Service as Calls;

use super::*;

/// Sends every call to another method than its own: a message may then take for ever to be sent where one is wanted whole.
#[derive(Clone)]
struct To(&'static str, Channel);

impl Calls<http::Request<Body>> for To {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Calls<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.1.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = format!("/arrow.flight.protocol.FlightService/{}", self.0);
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(path.parse().unwrap());
        *request.uri_mut() = http::Uri::from_parts(parts).unwrap();
        self.1.call(request)
    }
}

/// Begins a message of a megabyte and never ends it.
async fn unfinished(client: &Client, service: &super::Service, method: &'static str) -> Code {
    let begun = FlightData::new().with_data_body(vec![0; 1 << 20]);
    let messages = futures::stream::iter([begun]).chain(futures::stream::pending());
    let mut flight = FlightServiceClient::new(To(method, service.channel.clone()));
    let answer = flight.do_put(client.request(messages));
    tokio::time::timeout(Duration::from_secs(30), answer)
        .await
        .expect("the answer does not wait for the message")
        .expect_err("it is refused")
        .code()
}

#[tokio::test]
async fn whoever_is_not_known_is_refused_before_their_message_is_read() {
    let service = service(Limits::default()).await;
    let nobody = service.nobody();
    let guess = service.nobody().with("authorization", "Bearer guess");
    for method in [
        "GetFlightInfo",
        "PollFlightInfo",
        "GetSchema",
        "DoGet",
        "DoPut",
        "DoAction",
        "ListActions",
        "ListFlights",
        "DoExchange",
        "OfTomorrow",
    ] {
        for client in [&nobody, &guess] {
            let code = unfinished(client, &service, method).await;
            assert_eq!(code, Code::Unauthenticated, "{method}");
        }
    }
}

#[tokio::test]
async fn whoever_closed_their_session_may_close_it_again_and_send_no_more_than_that() {
    let service = service(Limits::default()).await;
    let mut ann = service.login("ann").await;
    ann.act("CloseSession", vec![]).await.unwrap();
    ann.act("CloseSession", vec![]).await.unwrap();
    for (action, bytes) in [("CloseSession", 8 * 1024), ("GetSessionOptions", 0)] {
        let refused = ann.act(action, vec![0; bytes]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{action}");
    }
    let refused = ann.info("SELECT 1").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(
        unfinished(&ann, &service, "GetFlightInfo").await,
        Code::Unauthenticated
    );
}
