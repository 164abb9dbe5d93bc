use tonic::Code;

use super::*;

const SET: &str = "SET landfast.placement = 'origin'";
const SHOW: &str = "SHOW landfast.placement";

async fn placement(client: &mut Client) -> String {
    let batches = client.rows(SHOW).await.unwrap();
    let last = batches[0].num_columns() - 1;
    arrow::util::display::array_value_to_string(batches[0].column(last.min(1)), 0).unwrap()
}

#[tokio::test]
async fn what_one_session_sets_holds_there_and_nowhere_else() {
    let service = service(Limits::default()).await;
    let (mut one, mut two) = (service.login("bob").await, service.login("bob").await);
    let default = placement(&mut two).await;
    assert_ne!(default, "origin");
    assert_eq!(one.update(SET).await.unwrap(), 0);
    assert_eq!(placement(&mut one).await, "origin");
    assert_eq!(placement(&mut two).await, default);
}

#[tokio::test]
async fn a_get_flight_info_alone_sets_too() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    client.info(SET).await.unwrap();
    assert_eq!(placement(&mut client).await, "origin");
}

#[tokio::test]
async fn a_static_token_alone_cannot_set_and_is_told_how_it_could() {
    let service = service(Limits::default()).await;
    let mut robot = service.robot();
    for refused in [
        robot.update(SET).await.unwrap_err(),
        robot.info(SET).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(
            refused
                .message()
                .contains("adbc.flight.sql.rpc.with_cookie_middleware"),
            "{}",
            refused.message()
        );
        assert!(refused.metadata().contains_key(fault::QUERY_ID_HEADER));
    }
}

#[tokio::test]
async fn a_static_token_with_cookies_is_a_session() {
    let service = service(Limits::default()).await;
    let mut robot = service.robot();
    let answer = robot.info_response(&query("SELECT 1")).await.unwrap();
    let cookie = |headers: &MetadataMap| {
        headers
            .get("set-cookie")
            .unwrap()
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    };
    let first = cookie(answer.metadata());
    let mut session = service.robot().with("cookie", &first);
    let answer = session.info_response(&query(SET)).await.unwrap();
    let second = cookie(answer.metadata());
    assert_ne!(
        first, second,
        "from now on the cookie says that something is kept under it"
    );
    let mut session = service.robot().with("cookie", &second);
    assert_eq!(placement(&mut session).await, "origin");
    assert_ne!(placement(&mut service.robot()).await, "origin");
    let other = service.robot();
    let other = other.info_response_cookie().await;
    let mut other = service.robot().with("cookie", &other);
    assert_ne!(placement(&mut other).await, "origin");
}

impl Client {
    async fn info_response_cookie(mut self) -> String {
        let answer = self.info_response(&query("SELECT 1")).await.unwrap();
        let cookie = answer
            .metadata()
            .get("set-cookie")
            .unwrap()
            .to_str()
            .unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

#[tokio::test]
async fn last_query_is_this_sessions() {
    let service = service(Limits::default()).await;
    let (mut one, mut two) = (service.login("bob").await, service.login("bob").await);
    one.rows("SELECT 1 AS mine").await.unwrap();
    two.rows("SELECT 2 AS theirs").await.unwrap();
    let last = one
        .rows("SELECT statement, state, rows FROM landfast.system.last_query")
        .await
        .unwrap();
    assert_eq!(column(&last, "statement"), ["SELECT 1 AS mine"]);
    assert_eq!(
        (column(&last, "state"), column(&last, "rows")),
        (vec!["finished".into()], vec!["1".into()])
    );
}

#[tokio::test]
async fn a_user_sees_their_own_queries_and_an_operator_everybodys() {
    let service = service(Limits::default()).await;
    let (mut bob, mut ann, mut olga) = (
        service.login("bob").await,
        service.login("ann").await,
        service.login("olga").await,
    );
    bob.rows("SELECT 'bobs'").await.unwrap();
    let sql =
        "SELECT count(*) AS n FROM landfast.system.queries WHERE statement = 'SELECT ''bobs'''";
    assert_eq!(column(&bob.rows(sql).await.unwrap(), "n"), ["1"]);
    assert_eq!(column(&ann.rows(sql).await.unwrap(), "n"), ["0"]);
    assert_eq!(column(&olga.rows(sql).await.unwrap(), "n"), ["1"]);
}

#[tokio::test]
async fn headers_are_settings_of_their_request_and_stand_over_the_sessions() {
    let service = service(Limits::default()).await;
    let mut robot = service.robot().with("landfast.placement", "Origin");
    assert_eq!(
        placement(&mut robot).await,
        "origin",
        "no session is needed"
    );
    assert_eq!(placement(&mut service.robot()).await, "nearest");

    let mut session = service.login("bob").await;
    session
        .update("SET landfast.freshness = 'strong'")
        .await
        .unwrap();
    session.update(SET).await.unwrap();
    let mut over = session
        .clone()
        .with("landfast.placement", "here")
        .with("schema", "sales")
        .with("catalog", "LAKE");
    assert_eq!(placement(&mut over).await, "here");
    let all = over.rows("SHOW ALL").await.unwrap();
    let shown: Vec<(String, String)> = column(&all, "name")
        .into_iter()
        .zip(column(&all, "value"))
        .collect();
    for (key, value) in [
        ("landfast.catalog", "lake"),
        ("landfast.schema", "sales"),
        ("landfast.freshness", "strong"),
    ] {
        assert!(shown.contains(&(key.into(), value.into())), "{shown:?}");
    }
    assert_eq!(
        placement(&mut session).await,
        "origin",
        "the session keeps its own"
    );
}

#[tokio::test]
async fn a_wrong_header_is_refused_by_name_on_every_call() {
    let service = service(Limits::default()).await;
    for (name, value, said) in [
        ("landfast.freshness", "soon", "bounded 60s"),
        ("landfast.freshnes", "strong", "landfast.freshness"),
        ("landfast.placement", "mars", "'here'"),
        ("catalog", "lakes", "lake"),
        ("datafusion.catalog.location", "/", "there is no setting"),
    ] {
        let mut client = service.robot().with(name, value);
        let refused = client.info("SELECT 1").await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(
            refused.message().contains(&format!("the header {name}")),
            "{}",
            refused.message()
        );
        assert!(refused.message().contains(said), "{}", refused.message());
        let refused = client.handshake().await.unwrap_err();
        assert!(refused.message().contains(name), "{}", refused.message());
    }
    let mut twice = service
        .robot()
        .with("schema", "a")
        .with("landfast.schema", "a");
    let refused = twice.info("SELECT 1").await.unwrap_err();
    assert!(
        refused.message().contains("more than once"),
        "{}",
        refused.message()
    );
    let mut nobody = service.nobody().with("catalog", "lakes");
    assert_eq!(
        nobody.info("SELECT 1").await.unwrap_err().code(),
        Code::Unauthenticated
    );
}

#[tokio::test]
async fn a_set_that_a_header_would_hide_is_refused() {
    let service = service(Limits::default()).await;
    let mut client = service
        .login("bob")
        .await
        .with("landfast.placement", "here");
    let refused = client.update(SET).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("landfast.placement"),
        "{}",
        refused.message()
    );
    client
        .update("SET landfast.freshness = 'strong'")
        .await
        .unwrap();
    client.update("RESET ALL").await.unwrap();
    assert_eq!(placement(&mut client).await, "here");
}

#[tokio::test]
async fn a_ticket_carries_the_settings_of_the_headers_it_was_asked_for_with() {
    let service = service(Limits::default()).await;
    let mut asked = service.robot().with("landfast.time_zone", "Europe/Berlin");
    let info = asked.info("SHOW landfast.time_zone").await.unwrap();
    // The plan is taken by the first; the second is planned again, from what the ticket holds.
    for _ in 0..2 {
        let (_, rows) = service.robot().fetch(ticket(&info)).await.unwrap();
        assert_eq!(column(&rows, "value"), ["Europe/Berlin"]);
    }
}

#[tokio::test]
async fn a_closed_session_is_gone_with_its_settings_and_statements_and_closing_it_again_is_fine() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    client
        .update("SET landfast.freshness = 'strong'")
        .await
        .unwrap();
    let handle = client.prepare("SELECT 1").await.unwrap();
    for _ in 0..2 {
        let closed = client.act("CloseSession", vec![]).await.unwrap().unwrap();
        let closed = dispatch::messages::CloseSessionResult::decode(closed).unwrap();
        assert_eq!(closed.status(), dispatch::messages::CloseStatus::Closed);
    }
    let refused = client.rows("SELECT 1").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let mut again = service.login("bob").await;
    let refused = again
        .info_response(&prepared(&handle.prepared_statement_handle))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
}

/// Sets options as a client with cookies does; the errors by key, and the client as it goes on.
async fn set_options(
    client: &mut Client,
    options: &[(&str, Option<dispatch::messages::OptionValue>)],
) -> std::collections::BTreeMap<String, dispatch::messages::SessionOptionFault> {
    use dispatch::messages::*;
    let request = SetSessionOptionsRequest {
        session_options: options
            .iter()
            .map(|(name, value)| {
                let option_value = value.clone();
                ((*name).to_owned(), SessionOptionValue { option_value })
            })
            .collect(),
    };
    let action = Action::new("SetSessionOptions", request.encode_to_vec());
    let response = client
        .flight
        .do_action(client.request(action))
        .await
        .unwrap();
    if let Some(cookie) = response.metadata().get("set-cookie") {
        let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
        client.headers.insert("cookie", cookie.parse().unwrap());
    }
    let body = response.into_inner().message().await.unwrap().unwrap().body;
    let result = SetSessionOptionsResult::decode(body).unwrap();
    let errors = result.errors.into_iter();
    errors.map(|(name, error)| (name, error.value())).collect()
}

async fn options(
    client: &mut Client,
) -> std::collections::BTreeMap<String, dispatch::messages::OptionValue> {
    let body = client.act("GetSessionOptions", vec![]).await.unwrap();
    let result = dispatch::messages::GetSessionOptionsResult::decode(body.unwrap()).unwrap();
    let options = result.session_options.into_iter();
    options
        .map(|(name, value)| (name, value.option_value.unwrap()))
        .collect()
}

#[tokio::test]
async fn session_options_have_types_and_each_key_an_error_of_its_own() {
    use dispatch::messages::{OptionValue, SessionOptionFault, StringList};
    let service = service(Limits::default()).await;
    let mut client = service.robot();
    let before = options(&mut client).await;
    assert!(!before.contains_key("catalog"));
    let text = |text: &str| Some(OptionValue::String(text.to_owned()));
    let errors = set_options(
        &mut client,
        &[
            ("catalog", text("LAKE")),
            ("schema", text("sales")),
            ("landfast.compression", text("zstd")),
            (
                "datafusion.execution.target_partitions",
                Some(OptionValue::Int64(3)),
            ),
            (
                "datafusion.optimizer.prefer_hash_join",
                Some(OptionValue::Bool(false)),
            ),
            ("landfast.max_egress_usd", Some(OptionValue::Double(0.5))),
            ("landfast.freshness", text("soon")),
            (
                "landfast.placement",
                Some(OptionValue::StringList(StringList {
                    values: vec!["origin".into()],
                })),
            ),
            ("landfast.nonsense", text("x")),
        ],
    )
    .await;
    let want = [
        ("landfast.freshness", SessionOptionFault::InvalidValue),
        ("landfast.nonsense", SessionOptionFault::InvalidName),
        ("landfast.placement", SessionOptionFault::InvalidValue),
    ];
    assert!(errors.into_iter().eq(want.map(|(k, v)| (k.to_owned(), v))));
    let now = options(&mut client).await;
    for (name, value) in [
        ("catalog", OptionValue::String("lake".into())),
        ("schema", OptionValue::String("sales".into())),
        ("landfast.compression", OptionValue::String("zstd".into())),
        (
            "datafusion.execution.target_partitions",
            OptionValue::Int64(3),
        ),
        (
            "datafusion.optimizer.prefer_hash_join",
            OptionValue::Bool(false),
        ),
        ("landfast.max_egress_usd", OptionValue::Double(0.5)),
    ] {
        assert_eq!(now.get(name), Some(&value), "{name}");
    }
    let errors = set_options(&mut client, &[("catalog", None), ("schema", None)]).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert!(!options(&mut client).await.contains_key("catalog"));
    let unknown = set_options(&mut client, &[("catalog", text("mars"))]).await;
    assert_eq!(unknown["catalog"], SessionOptionFault::InvalidValue);
}

#[tokio::test]
async fn asking_for_options_begins_no_session_and_closing_one_takes_its_cookie_back() {
    use dispatch::messages::OptionValue;
    let service = service(Limits::default()).await;
    let mut client = service.robot();
    let open = service.core.reception.sessions.open();
    let action = Action::new("GetSessionOptions", "");
    let request = client.request(action);
    let response = client.flight.do_action(request).await.unwrap();
    assert!(!response.metadata().contains_key("set-cookie"));
    assert_eq!(service.core.reception.sessions.open(), open);

    let origin = Some(OptionValue::String("origin".into()));
    set_options(&mut client, &[("landfast.placement", origin)]).await;
    assert_eq!(placement(&mut client).await, "origin");
    for _ in 0..2 {
        client.act("CloseSession", vec![]).await.unwrap();
    }
    let told = client.rows("SELECT 1").await.unwrap_err();
    assert_eq!(
        told.code(),
        Code::FailedPrecondition,
        "its settings are gone"
    );
}
