use tonic::Code;

use super::*;
use crate::queries::QueryState;

pub(super) const LONG: &str = "SELECT value, value * 2 AS twice, concat('text ', value) AS t FROM generate_series(1, 100000000)";

/// Waits until no query is open: their ends are recorded by the tasks that ran them.
pub(super) async fn all_ended(service: &Service) {
    while service.queries.open() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn dropping_the_stream_ends_the_query_and_gives_its_place_back() {
    let service = service(Limits {
        concurrent_queries: 1,
        ..Limits::default()
    })
    .await;
    let mut client = service.login("bob").await;
    let info = client.info(LONG).await.unwrap();
    let mut stream = client.get(ticket(&info)).await.unwrap();
    for _ in 0..3 {
        stream.message().await.unwrap().unwrap();
    }
    assert_eq!(service.admission.running(), 1);
    drop(stream);
    all_ended(&service).await;
    assert_eq!(service.admission.running(), 0);
    let record = service
        .queries
        .list(|record| record.statement == LONG)
        .pop()
        .unwrap();
    assert_eq!(record.state, QueryState::Cancelled);
    assert!(record.rows < 100_000_000);
    client.rows("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn no_message_of_several_rows_is_above_four_mebibytes() {
    let service = service(Limits::default()).await;
    let mut client = service.login("bob").await;
    let sql = "SELECT repeat('x', CAST(value AS INT) * 200) AS t FROM generate_series(1, 2000)";
    let info = client.info(sql).await.unwrap();
    let mut stream = client.get(ticket(&info)).await.unwrap();
    let mut messages = 0;
    while let Some(message) = stream.message().await.unwrap() {
        assert!(
            message.encoded_len() <= 4 << 20,
            "{}",
            message.encoded_len()
        );
        messages += 1;
    }
    assert!(messages > 100, "{messages}");
}

#[tokio::test]
async fn a_client_that_stops_reading_loses_its_place_and_is_told_when_it_reads_on() {
    let limits = Limits {
        stream_idle: Duration::from_millis(50),
        ..Limits::default()
    };
    let service = service(limits).await;
    let mut client = service.login("bob").await;
    let info = client.info(LONG).await.unwrap();
    let mut stream = client.get(ticket(&info)).await.unwrap();
    all_ended(&service).await;
    assert_eq!(service.admission.running(), 0);
    let error = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a cut-off result must not look whole"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::Aborted, "{error:?}");
    assert!(error.metadata().contains_key(fault::QUERY_ID_HEADER));
}

#[tokio::test]
async fn a_client_that_stops_reading_keeps_nobody_waiting_and_can_read_on() {
    let limits = Limits {
        concurrent_queries: 1,
        queued_queries: 2,
        ..Limits::default()
    };
    let service = service(limits).await;
    let mut slow = service.login("bob").await;
    let info = slow.info(LONG).await.unwrap();
    let mut stream = slow.get(ticket(&info)).await.unwrap();
    stream.message().await.unwrap().unwrap();
    // The only place is lent to whoever comes, again and again.
    let mut quick = service.login("ann").await;
    for _ in 0..3 {
        quick.rows("SELECT 1").await.unwrap();
    }
    assert_eq!(service.admission.stalled(), 1);
    for _ in 0..20 {
        stream.message().await.unwrap().unwrap();
    }
    assert_eq!(
        (service.admission.refused(), service.queries.open()),
        (0, 1)
    );
    drop(stream);
    all_ended(&service).await;
    assert_eq!(
        (service.admission.running(), service.admission.stalled()),
        (0, 0)
    );
}

#[tokio::test]
async fn a_query_that_takes_too_long_ends_with_deadline_exceeded() {
    let service = service(Limits {
        query_timeout: Duration::from_millis(400),
        ..Limits::default()
    })
    .await;
    let mut client = service.login("bob").await;
    let sql = "SELECT count(*) FROM generate_series(1, 100000) a JOIN generate_series(1, 1000000) b ON a.value % 7 = b.value % 7";
    let error = client.rows(sql).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:?}");
    all_ended(&service).await;
    assert_eq!(service.admission.running(), 0);
}

#[tokio::test]
async fn a_query_beyond_the_limit_and_the_queue_is_refused_with_its_id() {
    let limits = Limits {
        concurrent_queries: 1,
        queued_queries: 0,
        ..Limits::default()
    };
    let service = service(limits).await;
    let mut client = service.login("bob").await;
    let place = service
        .admission
        .admit(&Arc::from("somebody"), crate::admission::Stage::New)
        .await
        .unwrap();
    let error = client.info("SELECT 1").await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(error.metadata().contains_key(fault::QUERY_ID_HEADER));
    drop(place);
    client.rows("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_plan_that_nobody_fetches_goes_and_its_ticket_still_works() {
    let service = service(Limits {
        planned_queries: 1,
        ..Limits::default()
    })
    .await;
    let mut client = service.login("bob").await;
    let first = client.info("SELECT 1 AS n").await.unwrap();
    client.info("SELECT 2 AS n").await.unwrap();
    let record = service
        .queries
        .list(|record| record.statement == "SELECT 1 AS n")
        .pop()
        .unwrap();
    assert_eq!(record.state, QueryState::Cancelled);
    assert_eq!(
        column(&client.fetch(ticket(&first)).await.unwrap().1, "n"),
        ["1"]
    );
}

#[tokio::test]
async fn statements_and_parameters_that_are_too_large_are_refused() {
    let service = service(Limits {
        statement_bytes: 20,
        ..Limits::default()
    })
    .await;
    let mut client = service.login("bob").await;
    let error = client.info("SELECT 1, 2, 3, 4, 5, 6").await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    client.rows("SELECT 1").await.unwrap();
    assert_eq!(service.core.planned.count(), 0);
}

#[tokio::test]
async fn queries_that_compute_hold_up_nothing_but_queries() {
    let service = service(Limits::default()).await;
    let threads = std::thread::available_parallelism().unwrap().get();
    // As many as the runtime has threads, each of which computes until it is told to stop.
    let (started, mut all_busy) = tokio::sync::mpsc::channel(threads);
    let (told, busy): (Vec<_>, Vec<_>) = (0..threads)
        .map(|_| {
            let started = started.clone();
            let (tell, told) = std::sync::mpsc::channel::<()>();
            let task = service.core.cpu.spawn(async move {
                started.try_send(()).unwrap();
                // An error: who would tell is gone, and that tells it too.
                told.recv().unwrap_err();
            });
            (tell, task)
        })
        .unzip();
    for _ in 0..threads {
        all_busy.recv().await.unwrap();
    }
    // Whoever logs in and asks for what needs no query is answered.
    let mut client = service.login("bob").await;
    let wanted = arrow_flight::sql::CommandGetSqlInfo { info: vec![] };
    let info = client.info_response(&wanted).await.unwrap().into_inner();
    let mut answer = client.get(ticket(&info)).await.unwrap();
    assert!(answer.message().await.unwrap().is_some());
    // And a query waits for a thread, and then runs.
    let mut asking = Box::pin(client.rows("SELECT 1"));
    assert!(futures::poll!(&mut asking).is_pending());
    drop(told);
    for task in busy {
        task.await.unwrap();
    }
    assert_eq!(asking.await.unwrap()[0].num_rows(), 1);
}

/// Batches that are all there.
struct Ready(Vec<RecordBatch>);

impl stream::Parts for Ready {
    fn next<'a>(
        &'a mut self,
        _reading: &'a run::Reading,
    ) -> futures::future::BoxFuture<
        'a,
        Result<Option<datafusion::execution::SendableRecordBatchStream>, fault::Fault>,
    > {
        use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
        let batches = std::mem::take(&mut self.0);
        let schema = batches.first().map(RecordBatch::schema);
        let rows = schema.map(|schema| {
            let stream = futures::stream::iter(batches.into_iter().map(Ok));
            Box::pin(RecordBatchStreamAdapter::new(schema, stream)) as _
        });
        Box::pin(std::future::ready(Ok(rows)))
    }
}

#[tokio::test]
async fn small_batches_go_together_in_messages_of_one_to_two_mebibytes() {
    use arrow::array::{ArrayRef, Int64Array};
    let service = service(Limits::default()).await;
    let batch = |from: i64| {
        let numbers = Int64Array::from_iter_values(from..from + 8_192);
        RecordBatch::try_from_iter([("n", Arc::new(numbers) as ArrayRef)]).unwrap()
    };
    let batches: Vec<RecordBatch> = (0..200).map(|at| batch(at * 8_192)).collect();
    let schema = batches[0].schema();
    let auth = &service.core.reception.auth;
    let (who, method) = auth.password("bob", "bob", None).await.unwrap();
    let origin = crate::auth::Origin {
        method,
        address: None,
        client: None,
    };
    let query = service.queries.begin(
        &who,
        &origin,
        None,
        "SELECT",
        crate::queries::QueryKind::Query,
    );
    let cast = wire::WireCast::new(&schema, schema.clone()).unwrap();
    let bounds = stream::Bounds {
        deadline: crate::limits::Deadline::after(Duration::from_secs(600), None),
        idle: Duration::from_secs(600),
        permit: Arc::new(
            service
                .admission
                .admit(&Arc::from("somebody"), crate::admission::Stage::New)
                .await
                .unwrap(),
        ),
    };
    let stream = stream::start(
        &service.core.cpu,
        Ready(batches),
        encode::Encoder::new(cast),
        run::Run::new(query, 1).read(0),
        bounds,
    );
    let messages: Vec<FlightData> = stream.try_collect().await.unwrap();
    let sizes: Vec<usize> = messages.iter().map(Message::encoded_len).collect();
    assert!(sizes.len() > 5, "{sizes:?}");
    for size in &sizes[1..sizes.len() - 1] {
        assert!((1 << 20..=2 << 20).contains(size), "{sizes:?}");
    }
    all_ended(&service).await;
    assert_eq!(service.queries.list(|_| true)[0].rows, 200 * 8_192);
}
