//! What a backend leaves out is refused as not offered, and what breaks the protocol as malformed.

use arrow_flight::sql::{
    ActionBeginTransactionRequest, Any, CommandGetCatalogs, CommandPreparedStatementUpdate,
    CommandStatementIngest, CommandStatementQuery, CommandStatementSubstraitPlan,
    CommandStatementUpdate, ProstMessageExt,
};
use arrow_flight::{Criteria, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest};
use futures::stream;
use landfast_proxy::flight::dispatch::ActionKind;
use landfast_tests::scenarios::Scenario;
use prost::Message;
use tonic::Code;

use crate::client::{client, command};

#[tokio::test]
async fn every_call_that_a_backend_leaves_out_is_not_offered() {
    // This one answers DoExchange and nothing else.
    let mut client = client(Scenario::DoExchangeEcho).await;
    let commands = [
        command(&CommandStatementQuery::default()),
        command(&CommandStatementSubstraitPlan::default()),
        command(&CommandGetCatalogs {}),
    ];
    for descriptor in commands {
        let refused = client.info(descriptor.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{descriptor}");
        let refused = client.schema(descriptor.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{descriptor}");
        let poll = client.request(descriptor.clone());
        let refused = client.flight.poll_flight_info(poll).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{descriptor}");
    }
    for descriptor in [
        command(&CommandStatementUpdate::default()),
        command(&CommandStatementSubstraitPlan::default()),
        command(&CommandPreparedStatementUpdate::default()),
        command(&CommandStatementIngest::default()),
    ] {
        let refused = client.put(descriptor.clone(), vec![]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{descriptor}");
    }
    for kind in ActionKind::ALL {
        let refused = client.act(kind.name(), "").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{kind:?}");
    }
    let refused = client.act("Nonsense", "").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let refused = client.flight.list_flights(Criteria::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
    let shake = stream::iter([HandshakeRequest::default()]);
    let refused = client.flight.handshake(shake).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn what_breaks_the_protocol_is_malformed() {
    let mut client = client(Scenario::FlightSql).await;
    let unknown_bytes = FlightDescriptor::new_cmd("\u{1}");
    let empty = FlightDescriptor::new_cmd("");
    let misplaced = command(&CommandStatementUpdate::default());
    for descriptor in [unknown_bytes, empty, misplaced] {
        let refused = client.info(descriptor.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{descriptor}");
    }
    let nothing = client.request(stream::iter(Vec::<FlightData>::new()));
    let refused = client.flight.do_put(nothing).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let undescribed = client.request(stream::iter([FlightData::new()]));
    let refused = client.flight.do_put(undescribed).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let another = ActionBeginTransactionRequest {}.as_any().encode_to_vec();
    let cut = Any {
        type_url: "type.googleapis.com/arrow.flight.protocol.sql.ActionEndTransactionRequest"
            .into(),
        value: vec![0x0a, 0x20].into(),
    };
    for (action, body) in [
        ("EndTransaction", another),
        ("EndTransaction", cut.encode_to_vec()),
        ("CreatePreparedStatement", vec![0xff]),
        ("CancelFlightInfo", vec![]),
        ("RenewFlightEndpoint", vec![]),
        ("SetSessionOptions", vec![0xff]),
    ] {
        let refused = client.act(action, body).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{action}");
    }
    let elsewhere = Any {
        type_url: "type.googleapis.com/somebody.elses.Command".into(),
        value: FlightInfo::new().encode_to_vec().into(),
    };
    let refused = client
        .info(FlightDescriptor::new_cmd(elsewhere.encode_to_vec()))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}
