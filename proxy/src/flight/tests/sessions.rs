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
