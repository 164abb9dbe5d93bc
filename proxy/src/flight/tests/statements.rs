use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::sql::{ActionClosePreparedStatementRequest, DoPutPreparedStatementResult};
use tonic::Code;

use super::*;

const QUERIES: &[&str] = &[
    "SELECT 1 AS a, 'x' AS b, NULL AS c",
    "SELECT count(*), min(value), max(value) FROM generate_series(1, 10)",
    "SELECT value % 3 AS g, sum(value), avg(value) FROM generate_series(1, 100) GROUP BY 1 ORDER BY 1",
    "SELECT arrow_cast('x', 'Dictionary(Int32, Utf8)') AS d, arrow_cast('x', 'LargeUtf8') AS l, [1, 2] AS i",
    "SELECT * FROM (VALUES (1, 'a'), (2, NULL)) AS t(n, s) WHERE n > 5",
    "SHOW CATALOGS",
    "EXPLAIN SELECT 1",
    "SELECT * FROM landfast.system.sites",
    "SELECT * FROM landfast.system.queries",
    "SELECT * FROM landfast.system.tables",
    "SELECT * FROM landfast.system.table_details",
];

#[tokio::test]
async fn every_path_tells_the_same_schema() {
    let service = service(Limits::default()).await;
    let mut client = service.login("ann").await;
    for sql in QUERIES {
        let told = client.schema(&query(sql)).await.unwrap();
        let handle = client.prepare(sql).await.unwrap();
        let dataset =
            arrow_ipc::convert::try_schema_from_ipc_buffer(&handle.dataset_schema).unwrap();
        assert_eq!(dataset, told, "Prepare: {sql}");
        let handle = handle.prepared_statement_handle;
        assert_eq!(
            client.schema(&prepared(&handle)).await.unwrap(),
            told,
            "GetSchema: {sql}"
        );
        for info in [
            client.info(sql).await.unwrap(),
            client
                .info_response(&prepared(&handle))
                .await
                .unwrap()
                .into_inner(),
        ] {
            let (stream, batches) = client.fetch(ticket(&info)).await.unwrap();
            assert_eq!(*stream, told, "DoGet: {sql}");
            assert!(
                batches.iter().all(|batch| *batch.schema() == told),
                "batches: {sql}"
            );
            assert_eq!(
                info.try_decode_schema().unwrap(),
                told,
                "GetFlightInfo: {sql}"
            );
        }
        for field in told.fields() {
            let decimal = field.data_type().is_decimal();
            assert_eq!(field.metadata().is_empty(), !decimal, "{sql}: {field}");
            assert!(
                !field.data_type().to_string().contains("View"),
                "{sql}: {field}"
            );
        }
    }
}

#[tokio::test]
async fn a_ticket_can_be_redeemed_again_but_by_nobody_else_and_not_once_changed() {
    let service = service(Limits::default()).await;
    let (mut ann, mut bob) = (service.login("ann").await, service.login("bob").await);
    let info = ann.info("SELECT 42 AS n").await.unwrap();
    assert!(!info.app_metadata.is_empty());
    for _ in 0..3 {
        let (_, batches) = ann.fetch(ticket(&info)).await.unwrap();
        assert_eq!(column(&batches, "n"), ["42"]);
    }
    let other = bob.fetch(ticket(&info)).await.unwrap_err();
    assert_eq!(other.code(), Code::PermissionDenied);
    let bytes = ticket(&info).ticket;
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        assert!(ann.fetch(Ticket::new(changed)).await.is_err(), "byte {at}");
    }
}

async fn bind(
    client: &mut Client,
    handle: &Bytes,
    rows: RecordBatch,
) -> Result<DoPutPreparedStatementResult, Status> {
    let descriptor = FlightDescriptor::new_cmd(prepared(handle).as_any().encode_to_vec());
    let messages: Vec<FlightData> = FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor))
        .build(futures::stream::iter([Ok(rows)]))
        .try_collect()
        .await
        .unwrap();
    let request = client.request(futures::stream::iter(messages));
    let mut results = client.flight.do_put(request).await?.into_inner();
    let answer = results.message().await?.unwrap().app_metadata;
    Ok(DoPutPreparedStatementResult::decode(answer).unwrap())
}

/// One row with a text of so many bytes.
fn long_text(bytes: usize) -> RecordBatch {
    let text = StringArray::from(vec!["x".repeat(bytes)]);
    RecordBatch::try_from_iter([("1", Arc::new(text) as ArrayRef)]).unwrap()
}

#[tokio::test]
async fn prepared_statements_and_what_is_bound_to_them_leave_other_users_room() {
    let service = service(Limits {
        prepared_bytes: 4 * 512 * 1024,
        ..Limits::default()
    })
    .await;
    let mut client = service.login("bob").await;
    let sql = "SELECT length(CAST($1 AS VARCHAR)) AS n";
    let open = async |client: &mut Client| {
        let opened = client.prepare(sql).await;
        opened.map(|opened| opened.prepared_statement_handle)
    };
    let (one, two) = (
        open(&mut client).await.unwrap(),
        open(&mut client).await.unwrap(),
    );
    // Bound again and again it is there once.
    for _ in 0..5 {
        let rows = long_text(300 * 1024);
        bind(&mut client, &one, rows).await.unwrap();
    }
    let full = bind(&mut client, &two, long_text(300 * 1024)).await;
    assert_eq!(full.unwrap_err().code(), Code::ResourceExhausted);
    bind(&mut client, &two, long_text(1_000)).await.unwrap();
    let info = client.info_response(&prepared(&one)).await.unwrap();
    let (_, batches) = client.fetch(ticket(info.get_ref())).await.unwrap();
    assert_eq!(column(&batches, "n"), [(300 * 1024).to_string()]);

    let mut ann = service.login("ann").await;
    let mut others = vec![];
    let refused = loop {
        match open(&mut client).await {
            Ok(handle) => others.push(handle),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(
        refused.message().contains("of one user") && refused.message().contains("close some"),
        "{}",
        refused.message()
    );
    let of_ann = open(&mut ann).await.unwrap();
    bind(&mut ann, &of_ann, long_text(300 * 1024))
        .await
        .unwrap();
    for handle in others.into_iter().chain([one]) {
        let request = ActionClosePreparedStatementRequest {
            prepared_statement_handle: handle,
        };
        let body = request.as_any().encode_to_vec();
        client.act("ClosePreparedStatement", body).await.unwrap();
    }
    bind(&mut client, &two, long_text(300 * 1024))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_plan_that_waits_for_its_rows_counts_with_its_parameters() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let handle = client
        .prepare("SELECT length(CAST($1 AS VARCHAR)) AS n")
        .await
        .unwrap()
        .prepared_statement_handle;
    let rows = long_text(300 * 1024);
    bind(&mut client, &handle, rows).await.unwrap();
    client.info_response(&prepared(&handle)).await.unwrap();
    assert!(service.core.planned.bytes() > 300 * 1024);
}

#[tokio::test]
async fn one_row_of_parameters_is_one_execution_and_several_are_concatenated() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let handle = client
        .prepare("SELECT CAST($1 AS BIGINT) * 2 AS twice")
        .await
        .unwrap()
        .prepared_statement_handle;
    for bound in [vec![4], vec![1, 2, 3]] {
        let rows = RecordBatch::try_from_iter([(
            "1",
            Arc::new(Int64Array::from(bound.clone())) as ArrayRef,
        )])
        .unwrap();
        let answer = bind(&mut client, &handle, rows).await.unwrap();
        assert_eq!(answer.prepared_statement_handle.as_ref(), Some(&handle));
        let info = client
            .info_response(&prepared(&handle))
            .await
            .unwrap()
            .into_inner();
        let expected: Vec<String> = bound.iter().map(|n| (n * 2).to_string()).collect();
        // The second time it is planned again, from the ticket alone.
        for _ in 0..2 {
            let (_, batches) = client.fetch(ticket(&info)).await.unwrap();
            assert_eq!(column(&batches, "twice"), expected);
        }
    }
}

#[tokio::test]
async fn a_prepared_statement_is_its_principals_and_closing_it_twice_is_fine() {
    let service = service(Limits::default()).await;
    let (mut ann, mut bob) = (service.login("ann").await, service.login("bob").await);
    let handle = ann
        .prepare("SELECT 1")
        .await
        .unwrap()
        .prepared_statement_handle;
    assert_eq!(
        bob.info_response(&prepared(&handle))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    ann.info_response(&prepared(&handle)).await.unwrap();
    for _ in 0..2 {
        let request = ActionClosePreparedStatementRequest {
            prepared_statement_handle: handle.clone(),
        };
        let action = Action::new("ClosePreparedStatement", request.as_any().encode_to_vec());
        ann.flight.do_action(ann.request(action)).await.unwrap();
    }
    assert_eq!(
        ann.info_response(&prepared(&handle))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn errors_name_the_query_and_keep_their_code() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let unknown = client
        .info("SELECT * FROM lake.nowhere.orders")
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let id = unknown
        .metadata()
        .get(fault::QUERY_ID_HEADER)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    assert!(unknown.message().contains(&id));
    assert_eq!(
        client.info("SELECT 1 +").await.unwrap_err().code(),
        Code::InvalidArgument
    );
    for refused in [
        client.info("SELECT 1 +").await.unwrap_err(),
        client.prepare("SELECT 1 +").await.unwrap_err(),
        client.schema(&query("SELECT nothing")).await.unwrap_err(),
        client.update("SELECT 1 +").await.unwrap_err(),
    ] {
        assert!(
            refused.metadata().contains_key(fault::QUERY_ID_HEADER),
            "{refused:?}"
        );
    }
    let divided = client
        .rows("SELECT 1 / (value - value) FROM generate_series(1, 2)")
        .await
        .unwrap_err();
    assert!(
        divided.metadata().contains_key(fault::QUERY_ID_HEADER),
        "{divided:?}"
    );
    assert_eq!(
        client
            .info("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'")
            .await
            .unwrap_err()
            .code(),
        Code::Unimplemented
    );
    let denied = client.update("CREATE SCHEMA lake.s").await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_handle_that_nobody_used_for_long_has_expired_and_says_so() {
    let service = service(Limits {
        prepared_idle: Duration::ZERO,
        ..Limits::default()
    })
    .await;
    let mut client = service.robot();
    let handle = client.prepare("SELECT 1").await.unwrap();
    let handle = handle.prepared_statement_handle;
    let refused = client.info_response(&prepared(&handle)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(
        refused.message().contains("prepare it again"),
        "{}",
        refused.message()
    );
}
