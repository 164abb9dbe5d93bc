//! Rows put into tables of a session, and what reads them: there, elsewhere, later.

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::sql::{
    CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandStatementIngest, SqlInfo, TableDefinitionOptions, TableExistsOption,
    TableNotExistOption,
};
use futures::{FutureExt, StreamExt};
use tonic::Code;

use super::fault::Fault;
use super::*;
use crate::admission::Stage;
use crate::queries::{Canceller, Cancelling, Query, QueryId, QueryKind, QueryState};

use TableExistsOption as Exists;
use TableNotExistOption as Missing;

fn rows(keys: std::ops::Range<i64>) -> RecordBatch {
    let words = StringArray::from_iter_values(keys.clone().map(|key| format!("word {key}")));
    let columns = [
        (
            "k",
            Arc::new(Int64Array::from_iter_values(keys)) as ArrayRef,
        ),
        ("w", Arc::new(words)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn into(table: &str, missing: Missing, exists: Exists) -> CommandStatementIngest {
    CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: missing as i32,
            if_exists: exists as i32,
        }),
        table: table.into(),
        temporary: true,
        ..CommandStatementIngest::default()
    }
}

fn create(table: &str) -> CommandStatementIngest {
    into(table, Missing::Create, Exists::Fail)
}

async fn messages(command: &CommandStatementIngest, batches: &[RecordBatch]) -> Vec<FlightData> {
    let batches = batches.to_vec();
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    FlightDataEncoderBuilder::new()
        .with_schema(batches[0].schema())
        .with_flight_descriptor(Some(descriptor))
        .build(futures::stream::iter(batches).map(Ok))
        .try_collect()
        .await
        .unwrap()
}

impl Client {
    /// Puts rows, and keeps the cookie that comes with the answer.
    async fn ingest(
        &mut self,
        command: &CommandStatementIngest,
        batches: &[RecordBatch],
    ) -> Result<i64, Status> {
        let messages = messages(command, batches).await;
        self.put(futures::stream::iter(messages)).await
    }

    async fn put(
        &mut self,
        messages: impl futures::Stream<Item = FlightData> + Send + 'static,
    ) -> Result<i64, Status> {
        let answer = self.flight.do_put(self.request(messages)).await?;
        if let Some(cookie) = answer.metadata().get("set-cookie") {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
            self.headers.insert("cookie", cookie.parse().unwrap());
        }
        let result = answer.into_inner().message().await?.unwrap();
        Ok(DoPutUpdateResult::decode(result.app_metadata)
            .unwrap()
            .record_count)
    }

    async fn count(&mut self, table: &str) -> Result<String, Status> {
        let sql = format!("SELECT count(*) AS n FROM {table}");
        Ok(column(&self.rows(&sql).await?, "n").join(""))
    }

    async fn batches_of(&mut self, command: &impl ProstMessageExt) -> Vec<RecordBatch> {
        let info = self.info_response(command).await.unwrap().into_inner();
        self.fetch(ticket(&info)).await.unwrap().1
    }
}

#[tokio::test]
async fn rows_are_put_counted_and_joined_with_the_lakes_in_their_session_alone() {
    let service = lake::with_rows(Limits::default()).await;
    let (mut one, mut other) = (service.login("bob").await, service.login("bob").await);
    let put = one
        .ingest(&create("wanted"), &[rows(0..3), rows(3..5)])
        .await;
    assert_eq!(put.unwrap(), 5);
    let sql = "SELECT n.n_name, t.w FROM lake.tpch.nation n JOIN wanted t ON n.n_nationkey = t.k ORDER BY t.k";
    let joined = one.rows(sql).await.unwrap();
    assert_eq!(
        column(&joined, "w"),
        ["word 0", "word 1", "word 2", "word 3", "word 4"]
    );
    assert_eq!(column(&joined, "n_name")[0], "ALGERIA");
    let elsewhere = other.rows(sql).await.unwrap_err();
    assert_eq!(elsewhere.code(), Code::NotFound);
    other
        .ingest(&create("wanted"), &[rows(0..1)])
        .await
        .unwrap();
    assert_eq!(one.count("landfast.temporary.wanted").await.unwrap(), "5");
    assert_eq!(other.count("wanted").await.unwrap(), "1");
    let sql =
        "SELECT statement, affected FROM landfast.system.queries WHERE statement LIKE 'INGEST%'";
    let told = one.rows(sql).await.unwrap();
    assert_eq!(
        column(&told, "statement")[0],
        "INGEST INTO TEMPORARY \"wanted\""
    );
    assert_eq!(column(&told, "affected"), ["5", "1"]);
}

#[tokio::test]
async fn each_way_of_making_a_table_does_what_it_says() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let code = |done: Result<i64, Status>| done.map_err(|status| status.code());
    let append = into("t", Missing::Fail, Exists::Append);
    let either = into("t", Missing::Create, Exists::Append);
    let replace = into("t", Missing::Create, Exists::Replace);
    assert_eq!(
        code(client.ingest(&append, &[rows(0..2)]).await),
        Err(Code::NotFound)
    );
    assert_eq!(code(client.ingest(&either, &[rows(0..2)]).await), Ok(2));
    assert_eq!(code(client.ingest(&either, &[rows(0..3)]).await), Ok(3));
    assert_eq!(code(client.ingest(&append, &[rows(0..4)]).await), Ok(4));
    assert_eq!(client.count("t").await.unwrap(), "9");
    assert_eq!(
        code(client.ingest(&create("t"), &[rows(0..1)]).await),
        Err(Code::AlreadyExists)
    );
    assert_eq!(client.count("t").await.unwrap(), "9");
    assert_eq!(code(client.ingest(&replace, &[rows(0..0)]).await), Ok(0));
    assert_eq!(client.count("t").await.unwrap(), "0");
    assert_eq!(client.update("DROP TABLE t").await.unwrap(), 0);
    assert_eq!(client.count("t").await.unwrap_err().code(), Code::NotFound);
    let gone = client.update("DROP TABLE t").await.unwrap_err();
    assert_eq!(
        gone.code(),
        Code::PermissionDenied,
        "by now it is a name of the lake"
    );
}

#[tokio::test]
async fn what_is_not_offered_is_refused_with_what_to_do_instead() {
    let service = service(Limits::default()).await;
    let mut client = service.login("ann").await;
    let lasting = CommandStatementIngest {
        temporary: false,
        ..create("t")
    };
    let refused = client.ingest(&lasting, &[rows(0..1)]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    for part in ["comes later", "temporary=True", "\"t\""] {
        assert!(refused.message().contains(part), "{}", refused.message());
    }
    assert!(refused.metadata().contains_key(fault::QUERY_ID_HEADER));
    let mut optional = create("t");
    optional.options.insert("speed".into(), "high".into());
    let refused = client.ingest(&optional, &[rows(0..1)]).await.unwrap_err();
    assert!(refused.message().contains("speed"), "{}", refused.message());
    let within = CommandStatementIngest {
        transaction_id: Some(Bytes::from_static(b"tx")),
        ..create("t")
    };
    let refused = client.ingest(&within, &[rows(0..1)]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let mut robot = service.robot();
    let refused = robot.ingest(&create("t"), &[rows(0..1)]).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("temporary tables would be lost"));
    assert_eq!(service.core.engine.temporary_tables().used_bytes(), 0);
}

#[tokio::test]
async fn an_upload_that_fails_half_way_leaves_the_table_as_it_was() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    client.ingest(&create("t"), &[rows(0..2)]).await.unwrap();
    let held = service.core.engine.temporary_tables().used_bytes();
    let append = into("t", Missing::Fail, Exists::Append);
    let mut broken = messages(&append, &[rows(0..100), rows(0..100)]).await;
    let last = broken.last_mut().unwrap();
    last.data_body = last.data_body.slice(..8);
    let refused = client.put(futures::stream::iter(broken)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let misfit =
        RecordBatch::try_from_iter([("k", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    let refused = client
        .ingest(&append, &[misfit.unwrap()])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("\"w\""), "{}", refused.message());
    let nothing = messages(&append, &[rows(0..1)]).await[0]
        .flight_descriptor
        .clone();
    let nothing = FlightData::new().with_descriptor(nothing.unwrap());
    let refused = client
        .put(futures::stream::iter([nothing]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    // A client that goes away in the middle.
    let some = messages(&append, &[rows(0..100)]).await;
    let never = futures::stream::iter(some).chain(futures::stream::pending());
    let gone = client.put(never);
    assert!(
        tokio::time::timeout(Duration::from_millis(200), gone)
            .await
            .is_err()
    );
    while service.queries.open() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(client.count("t").await.unwrap(), "2");
    while service.core.engine.temporary_tables().used_bytes() > held {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_upload_whose_client_sends_nothing_ends() {
    let service = service(Limits {
        stream_idle: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let mut client = service.login("bob").await;
    let some = messages(&create("t"), &[rows(0..100)]).await;
    let never = futures::stream::iter(some).chain(futures::stream::pending());
    let ended = client.put(never).await.unwrap_err();
    assert_eq!(ended.code(), Code::Aborted);
    assert!(
        ended.message().contains("sent no rows"),
        "{}",
        ended.message()
    );
    assert_eq!(client.count("t").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn limits_of_a_session_and_of_the_proxy_are_told_apart() {
    let lake = Arc::new(tempfile::tempdir().unwrap());
    let sites = lake::one_site(lake.path());
    let service = service_over(Limits::default(), lake, sites, |spec| {
        spec.temporary_session_bytes = 200_000;
        spec.temporary_bytes = 180_000;
    })
    .await;
    let (mut one, mut other) = (service.login("bob").await, service.login("bob").await);
    one.ingest(&create("t"), &[rows(0..4_000)]).await.unwrap();
    let append = into("t", Missing::Fail, Exists::Append);
    let refused = one.ingest(&append, &[rows(0..4_000)]).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(
        refused.message().contains("200000"),
        "{}",
        refused.message()
    );
    let refused = other
        .ingest(&create("t"), &[rows(0..5_000)])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(
        refused.message().contains("180000"),
        "{}",
        refused.message()
    );
    assert_eq!(one.count("t").await.unwrap(), "4000");
}

#[tokio::test]
async fn a_cookies_session_keeps_tables_and_a_closed_one_has_none() {
    let service = service(Limits::default()).await;
    let cookie = service.robot().first_cookie().await;
    let mut client = service.robot().with("cookie", &cookie);
    client.ingest(&create("t"), &[rows(0..2)]).await.unwrap();
    assert_ne!(
        client.headers.get("cookie").unwrap().to_str().unwrap(),
        cookie
    );
    client
        .update("SET landfast.placement = 'origin'")
        .await
        .unwrap();
    assert_eq!(client.count("t").await.unwrap(), "2");
    let mut forgetful = service.robot().with("cookie", &cookie);
    assert_eq!(
        forgetful.count("t").await.unwrap(),
        "2",
        "it is the same session"
    );
    let space = Arc::clone(service.core.engine.temporary_tables());
    assert!(space.used_bytes() > 0);
    client.act("CloseSession", vec![]).await.unwrap();
    service.has_no_tables().await;
    let told = client.count("t").await.unwrap_err();
    assert_eq!(told.code(), Code::FailedPrecondition);
    assert!(told.message().contains("temporary tables are gone"));
    let mut token = service.login("bob").await;
    token.ingest(&create("t"), &[rows(0..2)]).await.unwrap();
    token.act("CloseSession", vec![]).await.unwrap();
    service.has_no_tables().await;
}

impl Service {
    /// Waits for the last plan that read a table to be dropped.
    async fn has_no_tables(&self) {
        while self.core.engine.temporary_tables().used_bytes() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Client {
    async fn first_cookie(mut self) -> String {
        let answer = self.info_response(&query("SELECT 1")).await.unwrap();
        let cookie = answer.metadata().get("set-cookie").unwrap();
        cookie
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    }
}

#[tokio::test]
async fn tickets_are_for_their_session_and_for_the_table_as_it_was() {
    let service = service(Limits::default()).await;
    let (mut one, mut other) = (service.login("bob").await, service.login("bob").await);
    one.ingest(&create("t"), &[rows(0..1_000)]).await.unwrap();
    let info = one.info("SELECT k FROM t").await.unwrap();
    assert_eq!(info.endpoint.len(), 1);
    let bytes = ticket(&info).ticket;
    assert!(bytes.len() < 2_000, "a ticket carries no rows");
    let refused = other.fetch(ticket(&info)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("temporary table t"),
        "{}",
        refused.message()
    );
    for _ in 0..2 {
        let (_, fetched) = one.fetch(ticket(&info)).await.unwrap();
        assert_eq!(
            fetched.iter().map(RecordBatch::num_rows).sum::<usize>(),
            1_000
        );
    }
    let kept = one.info("SELECT k FROM t").await.unwrap();
    let replace = into("t", Missing::Fail, Exists::Replace);
    one.ingest(&replace, &[rows(0..1)]).await.unwrap();
    let (_, fetched) = one.fetch(ticket(&kept)).await.unwrap();
    assert_eq!(
        fetched.iter().map(RecordBatch::num_rows).sum::<usize>(),
        1_000
    );
    let refused = one.fetch(ticket(&kept)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn prepared_statements_and_polls_work_in_their_session_and_are_refused_elsewhere() {
    let service = service(Limits::default()).await;
    let (mut one, mut other) = (service.login("bob").await, service.login("bob").await);
    one.ingest(&create("t"), &[rows(0..10)]).await.unwrap();
    let handle = one.prepare("SELECT w FROM t WHERE k > 7").await.unwrap();
    let handle = prepared(&handle.prepared_statement_handle);
    let info = one.info_response(&handle).await.unwrap().into_inner();
    let (_, fetched) = one.fetch(ticket(&info)).await.unwrap();
    assert_eq!(column(&fetched, "w"), ["word 8", "word 9"]);
    let refused = other.info_response(&handle).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("another session"),
        "{}",
        refused.message()
    );
    assert_eq!(
        other.schema(&handle).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    assert_eq!(one.schema(&handle).await.unwrap().fields().len(), 1);

    let descriptor = FlightDescriptor::new_cmd(query("SELECT * FROM t").as_any().encode_to_vec());
    let mut news = one.poll(descriptor.clone()).await.unwrap();
    while let Some(next) = news.flight_descriptor.take() {
        news = one.poll(next).await.unwrap();
    }
    let info = news.info.unwrap();
    let refused = other.fetch(ticket(&info)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let (_, fetched) = one.fetch(ticket(&info)).await.unwrap();
    assert_eq!(fetched[0].num_rows(), 10);
    assert_eq!(
        other.poll(descriptor).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn metadata_commands_list_a_sessions_tables_to_it_and_say_what_is_offered() {
    let service = service(Limits::default()).await;
    let (mut one, mut other) = (service.login("bob").await, service.login("bob").await);
    one.ingest(&create("t"), &[rows(0..1)]).await.unwrap();
    let tables = CommandGetTables {
        include_schema: true,
        table_types: vec!["LOCAL TEMPORARY".into()],
        ..CommandGetTables::default()
    };
    let listed = one.batches_of(&tables).await;
    assert_eq!(column(&listed, "catalog_name"), ["landfast"]);
    assert_eq!(column(&listed, "db_schema_name"), ["temporary"]);
    assert_eq!(column(&listed, "table_name"), ["t"]);
    assert!(column(&other.batches_of(&tables).await, "table_name").is_empty());
    let schemas = one.batches_of(&CommandGetDbSchemas::default()).await;
    assert!(column(&schemas, "db_schema_name").contains(&"temporary".to_owned()));
    let types = one.batches_of(&CommandGetTableTypes {}).await;
    assert!(column(&types, "table_type").contains(&"LOCAL TEMPORARY".to_owned()));
    let told = CommandGetSqlInfo {
        info: vec![
            SqlInfo::FlightSqlServerBulkIngestion as u32,
            SqlInfo::FlightSqlServerIngestTransactionsSupported as u32,
        ],
    };
    let told = one.batches_of(&told).await;
    assert_eq!(
        column(&told, "value"),
        ["{bool_value=true}", "{bool_value=false}"]
    );
}

#[tokio::test]
async fn a_session_that_nobody_uses_loses_its_tables_without_anybody_asking() {
    let service = service(Limits::default()).await;
    let space = service.core.engine.temporary_tables();
    let limits = SessionLimits {
        idle: Duration::ZERO,
        ..SessionLimits::default()
    };
    let sessions = Sessions::new(limits, service.core.engine.defaults().clone(), b"key");
    let bob = crate::auth::Principal {
        name: "bob".into(),
        role: Role::Reader,
        groups: Groups::default(),
    };
    let (tables, cookie) = sessions.tables(&sessions.fresh(), &bob, space).unwrap();
    let rows = rows(0..10);
    let (missing, there) = (
        landfast_planner::IfMissing::Create,
        landfast_planner::IfThere::Fail,
    );
    let mut upload = tables.begin("t", missing, there, &rows.schema()).unwrap();
    upload.push(&rows).unwrap();
    upload.commit().unwrap();
    assert!(space.used_bytes() > 0);
    sessions.sweep();
    assert_eq!((sessions.open(), space.used_bytes()), (0, 0));
    let late = tables.begin("t", missing, there, &rows.schema()).unwrap();
    assert!(late.commit().is_err(), "the session has ended");
    let told = sessions.by_cookie(&cookie.unwrap(), &bob).unwrap_err();
    assert_eq!(told, crate::session::SessionError::Expired);
}

impl Service {
    /// A command of bob's.
    async fn command(&self, statement: &str) -> Query {
        let auth = &self.core.reception.auth;
        let (who, method) = auth.password("bob", "bob", None).await.unwrap();
        let origin = crate::auth::Origin {
            method,
            address: None,
            client: None,
        };
        let kind = QueryKind::Command;
        self.queries.begin(&who, &origin, None, statement, kind)
    }

    /// Cancels a query of bob's, as bob.
    async fn cancel(&self, id: QueryId) -> Cancelling {
        let bob = landfast_planner::Asker {
            principal: "bob".into(),
            role: Role::Reader,
            groups: Groups::default(),
            session: None,
        };
        let by = Canceller {
            principal: "bob",
            access: &landfast_planner::AccessPolicy::of_roles().access(&bob),
        };
        self.queries.cancel(id, by).await
    }

    /// The only upload there is, by now.
    fn upload(&self) -> Option<QueryId> {
        let found = self.queries.list(|r| r.statement.starts_with("INGEST"));
        found.first().map(|record| record.id)
    }
}

#[tokio::test]
async fn an_upload_is_cancelled_while_it_waits_for_its_turn() {
    let service = service(Limits {
        concurrent_queries: 1,
        ..Limits::default()
    })
    .await;
    let mut client = service.login("bob").await;
    let place = service.admission.admit(&"ann".into(), Stage::New).await;
    let mut uploading = client.clone();
    let upload = tokio::spawn(async move { uploading.ingest(&create("t"), &[rows(0..10)]).await });
    while service.admission.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let id = service.upload().unwrap();
    assert_eq!(service.cancel(id).await, Cancelling::Cancelled);
    assert_eq!(upload.await.unwrap().unwrap_err().code(), Code::Cancelled);
    assert_eq!(service.admission.waiting(), 0);
    let record = service.queries.find(id).unwrap();
    assert_eq!(record.state, QueryState::Cancelled);
    assert_eq!(record.error.unwrap().text, "cancelled by bob");
    drop(place);
    assert_eq!(client.count("t").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn an_upload_is_cancelled_while_its_rows_come() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let some = messages(&create("t"), &[rows(0..100)]).await;
    let never = futures::stream::iter(some).chain(futures::stream::pending());
    let mut uploading = client.clone();
    let upload = tokio::spawn(async move { uploading.put(never).await });
    let space = service.core.engine.temporary_tables();
    while space.used_bytes() == 0 {
        tokio::task::yield_now().await;
    }
    let id = service.upload().unwrap();
    assert_eq!(service.cancel(id).await, Cancelling::Cancelled);
    assert_eq!(upload.await.unwrap().unwrap_err().code(), Code::Cancelled);
    service.has_no_tables().await;
    assert_eq!(client.count("t").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn an_upload_that_goes_through_is_cancelled_no_more_and_one_that_was_cancelled_does_not_go_through()
 {
    let service = service(Limits::default()).await;
    let through = service.command("one").await;
    assert_eq!(
        service.cancel(through.id()).await,
        Cancelling::NotCancellable,
        "it may change something from the beginning"
    );
    through.may_be_stopped();
    assert!(through.goes_through());
    assert_eq!(
        service.cancel(through.id()).await,
        Cancelling::NotCancellable
    );
    assert!(!through.stop().is_cancelled());
    let stopped = service.command("two").await;
    stopped.may_be_stopped();
    let id = stopped.id();
    let (found, ()) = futures::join!(service.cancel(id), async {
        stopped.stop().cancelled().await;
        assert!(!stopped.goes_through());
        drop(stopped);
    });
    assert_eq!(found, Cancelling::Cancelled);
}

#[tokio::test]
async fn what_goes_into_a_table_is_on_record_also_when_its_client_left_meanwhile() {
    let service = service(Limits::default()).await;
    let query = service.command("an upload").await;
    let id = query.id();
    let (commit, committed) = tokio::sync::oneshot::channel();
    let committed = async move { committed.await.map_err(Fault::internal) };
    let left = ingest::to_its_end(query, committed).now_or_never();
    assert!(left.is_none(), "nobody waits for it any more");
    commit.send(7).unwrap();
    while service.queries.open() > 0 {
        tokio::task::yield_now().await;
    }
    let record = service.queries.find(id).unwrap();
    assert_eq!(
        (record.state, record.affected),
        (QueryState::Finished, Some(7))
    );
}
