//! Substrait plans over Flight: planned and pinned once, carried in tickets, prepared, polled, and refused.

use arrow_flight::sql::{
    ActionCreatePreparedSubstraitPlanRequest, CommandStatementSubstraitPlan, SubstraitPlan,
};
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::SessionContext;
use datafusion_substrait::logical_plan::producer::to_substrait_plan;
use tonic::Code;

use super::access::bob;
use super::lake::{sibling, with_rows};
use super::*;

const TABLES: [&str; 8] = [
    "customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier",
];

const QUERIES: [&str; 10] = [
    include_str!("../../../../bench/queries/q01.sql"),
    include_str!("../../../../bench/queries/q03.sql"),
    include_str!("../../../../bench/queries/q04.sql"),
    include_str!("../../../../bench/queries/q06.sql"),
    include_str!("../../../../bench/queries/q07.sql"),
    include_str!("../../../../bench/queries/q11.sql"),
    include_str!("../../../../bench/queries/q12.sql"),
    include_str!("../../../../bench/queries/q13.sql"),
    include_str!("../../../../bench/queries/q18.sql"),
    include_str!("../../../../bench/queries/q22.sql"),
];

const ORDERED: &str = "SELECT o_orderkey, o_comment FROM orders WHERE o_totalprice > 100000 ORDER BY o_orderkey LIMIT 20";

fn command(plan: Bytes) -> CommandStatementSubstraitPlan {
    CommandStatementSubstraitPlan {
        plan: Some(SubstraitPlan {
            plan,
            version: "0.85.0".into(),
        }),
        transaction_id: None,
    }
}

/// Somebody else's planner, which knows the columns of the tables.
struct Producer(SessionContext);

impl Producer {
    async fn of(client: &mut Client) -> Self {
        let context = SessionContext::new();
        for name in TABLES {
            let all = query(&format!("SELECT * FROM lake.tpch.{name}"));
            let schema = client.schema(&all).await.unwrap();
            let table = Arc::new(EmptyTable::new(Arc::new(schema)));
            // One who knows but capitals calls it by those.
            let shouted = format!("\"{}\"", name.to_uppercase());
            for name in [name, &shouted] {
                context.register_table(name, table.clone()).unwrap();
            }
        }
        Self(context)
    }

    async fn plan(&self, sql: &str) -> Bytes {
        let state = self.0.state();
        let plan = state.create_logical_plan(sql).await.unwrap();
        // Its producer has no words for queries that depend on others; the optimiser makes joins of them.
        let made = to_substrait_plan(&plan, &state);
        let made = made.or_else(|_| to_substrait_plan(&state.optimize(&plan)?, &state));
        made.unwrap().encode_to_vec().into()
    }
}

fn in_tpch(client: Client) -> Client {
    client
        .with("landfast.catalog", "lake")
        .with("landfast.schema", "tpch")
}

fn text(batches: &[RecordBatch]) -> String {
    arrow::util::pretty::pretty_format_batches(batches)
        .unwrap()
        .to_string()
}

#[tokio::test]
async fn a_plan_gives_the_rows_that_its_query_gives_with_one_schema_on_every_path() {
    let service = with_rows(Limits::default()).await;
    let mut client = in_tpch(service.login("bob").await);
    let producer = Producer::of(&mut client).await;
    let mut with_some = 0;
    for sql in QUERIES {
        let plan = command(producer.plan(sql).await);
        let told = client.schema(&plan).await.unwrap();
        let info = client.info_response(&plan).await.unwrap().into_inner();
        assert_eq!(info.clone().try_decode_schema().unwrap(), told, "{sql}");
        let (stream, batches) = client.fetch(ticket(&info)).await.unwrap();
        assert_eq!(*stream, told, "{sql}");
        let want = client.rows(sql).await.unwrap();
        assert_eq!(text(&batches), text(&want), "{sql}");
        with_some += usize::from(want.iter().any(|batch| batch.num_rows() > 0));
    }
    // So few rows that two queries may find none.
    assert!(with_some >= QUERIES.len() - 2, "{with_some}");
}

#[tokio::test]
async fn a_plans_ticket_is_redeemed_twice_and_at_another_proxy_by_its_principal_alone() {
    let service = with_rows(Limits::default()).await;
    let other = sibling(&service, Limits::default()).await;
    let mut client = in_tpch(service.login("bob").await);
    let plan = command(Producer::of(&mut client).await.plan(ORDERED).await);
    let info = client.info_response(&plan).await.unwrap().into_inner();
    let want = text(&client.rows(ORDERED).await.unwrap());
    // There, the settings of the ticket count, not those of the connection.
    let mut there = other.login("bob").await;
    for client in [&mut client, &mut there] {
        for _ in 0..2 {
            let (_, batches) = client.fetch(ticket(&info)).await.unwrap();
            assert_eq!(text(&batches), want);
        }
    }
    let mut ann = other.login("ann").await;
    let refused = ann.fetch(ticket(&info)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let records = service
        .queries
        .list(|record| record.statement.starts_with("SUBSTRAIT PLAN sha256:"));
    assert!(!records.is_empty());
}

#[tokio::test]
async fn a_plan_of_names_in_capitals_is_redeemed_where_it_has_to_be_planned_again() {
    let service = with_rows(Limits::default()).await;
    let other = sibling(&service, Limits::default()).await;
    let mut client = in_tpch(service.login("bob").await);
    let shouted = ORDERED.replace("FROM orders", "FROM \"ORDERS\"");
    let plan = command(Producer::of(&mut client).await.plan(&shouted).await);
    let info = client.info_response(&plan).await.unwrap().into_inner();
    let want = text(&client.rows(ORDERED).await.unwrap());
    let mut there = other.login("bob").await;
    let (_, batches) = there.fetch(ticket(&info)).await.unwrap();
    assert_eq!(text(&batches), want);
}

#[tokio::test]
async fn a_plan_gives_the_granted_columns_of_the_granted_rows_and_no_others() {
    let service = with_rows(Limits::default()).await;
    let mut client = in_tpch(service.login("bob").await);
    let producer = Producer::of(&mut client).await;
    let granted = "SELECT o_orderkey FROM orders WHERE o_orderkey < 100 ORDER BY 1";
    let keys = of_two_columns(&producer, granted).await;
    let all = command(producer.plan(granted).await);
    let info = client.info_response(&all).await.unwrap().into_inner();
    let everything = client.fetch(ticket(&info)).await.unwrap().1;
    let unread = client.info_response(&all).await.unwrap().into_inner();

    let limited = "columns = [\"o_orderkey\", \"o_custkey\"]\nrows = \"o_orderkey > 30\"";
    service
        .core
        .engine
        .set_policy(bob("lake.tpch.orders", limited));
    // The plan expects columns that are not there any more.
    for refused in [
        client.info_response(&all).await.unwrap_err(),
        client.schema(&all).await.unwrap_err(),
        client.fetch(ticket(&unread)).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
        assert!(
            refused.message().contains("there is no column"),
            "{refused:?}"
        );
    }
    let info = client.info_response(&keys).await.unwrap().into_inner();
    let (_, batches) = client.fetch(ticket(&info)).await.unwrap();
    let keys = column(&batches, "o_orderkey");
    let want: Vec<String> = column(&everything, "o_orderkey")
        .into_iter()
        .filter(|key| key.parse::<i64>().unwrap() > 30)
        .collect();
    assert!(!want.is_empty());
    assert_eq!(keys, want);
}

/// The plan of a producer who knows but the first two columns of `orders`.
async fn of_two_columns(producer: &Producer, sql: &str) -> CommandStatementSubstraitPlan {
    let whole = producer.0.table_provider("orders").await.unwrap().schema();
    let keys = whole.project(&[0, 1]).unwrap();
    let context = SessionContext::new();
    let table = EmptyTable::new(Arc::new(keys));
    context.register_table("orders", Arc::new(table)).unwrap();
    command(Producer(context).plan(sql).await)
}

#[tokio::test]
async fn a_plan_is_polled_and_prepared_like_a_statement() {
    let service = with_rows(Limits::default()).await;
    let mut client = in_tpch(service.login("bob").await);
    let producer = Producer::of(&mut client).await;
    let want = text(&client.rows(ORDERED).await.unwrap());
    let plan = command(producer.plan(ORDERED).await);
    let descriptor = FlightDescriptor::new_cmd(plan.as_any().encode_to_vec());
    let mut poll = client.poll(descriptor).await.unwrap();
    while let Some(descriptor) = poll.flight_descriptor {
        poll = client.poll(descriptor).await.unwrap();
    }
    let (_, batches) = client.fetch(ticket(&poll.info.unwrap())).await.unwrap();
    assert_eq!(text(&batches), want);

    let request = ActionCreatePreparedSubstraitPlanRequest {
        plan: plan.plan.clone(),
        transaction_id: None,
    };
    let body = client
        .act(
            "CreatePreparedSubstraitPlan",
            request.as_any().encode_to_vec(),
        )
        .await
        .unwrap()
        .unwrap();
    let opened: ActionCreatePreparedStatementResult =
        Any::decode(body).unwrap().unpack().unwrap().unwrap();
    assert!(!opened.dataset_schema.is_empty());
    let handle = opened.prepared_statement_handle;
    for _ in 0..2 {
        let info = client.info_response(&prepared(&handle)).await.unwrap();
        let (_, batches) = client.fetch(ticket(&info.into_inner())).await.unwrap();
        assert_eq!(text(&batches), want);
    }
}

#[tokio::test]
async fn an_update_a_transaction_and_what_is_no_plan_are_refused() {
    let service = with_rows(Limits::default()).await;
    let mut client = in_tpch(service.login("ann").await);
    let plan = command(Producer::of(&mut client).await.plan(ORDERED).await);
    let descriptor = FlightDescriptor::new_cmd(plan.as_any().encode_to_vec());
    let put = client.request(futures::stream::iter([
        FlightData::new().with_descriptor(descriptor)
    ]));
    let mut flight = client.flight.clone();
    let refused = match flight.do_put(put).await {
        Ok(results) => results.into_inner().message().await.unwrap_err(),
        Err(refused) => refused,
    };
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    let in_transaction = CommandStatementSubstraitPlan {
        transaction_id: Some(Bytes::from_static(b"t")),
        ..plan.clone()
    };
    let refused = client.info_response(&in_transaction).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "{refused:?}");
    for nothing in [
        CommandStatementSubstraitPlan::default(),
        command(Bytes::from_static(b"SELECT 1")),
    ] {
        let refused = client.info_response(&nothing).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        let refused = client.schema(&nothing).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    }
    let long = command(vec![0; Limits::default().statement_bytes + 1].into());
    let refused = client.info_response(&long).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert!(refused.message().contains("at most"), "{refused:?}");
}
