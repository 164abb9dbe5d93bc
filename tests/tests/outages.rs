//! What answers when the cloud is out of reach, and what never gives a wrong row when a copy is not what it should be.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where and stops"
)]

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor,
    FlightInfo,
};
use landfast_tests::clients::{Adbc, Rows};
use landfast_tests::landfast::{Landfast, OPERATOR, PASSWORD, READER};
use landfast_tests::reverse::{Fault, Seen};
use landfast_tests::stores::block_on;
use landfast_tests::world::World;
use prost::Message;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// The world, for one test at a time: they spoil it.
fn world() -> MutexGuard<'static, World> {
    static WORLD: OnceLock<Mutex<World>> = OnceLock::new();
    let world = WORLD.get_or_init(|| Mutex::new(World::start().unwrap()));
    let world = world.lock().unwrap_or_else(PoisonError::into_inner);
    world.heal();
    world
}

fn client(world: &World, landfast: &Landfast) -> Adbc {
    let mut client = Adbc::to(landfast);
    client
        .ask(&json!({ "do": "open_duckdb", "database": world.lake.duckdb() }))
        .unwrap();
    client
}

/// DuckDB's answer.
fn expected(client: &mut Adbc, sql: &str) -> Vec<Value> {
    let answer = client
        .ask(&json!({ "do": "expected", "sql": sql }))
        .unwrap();
    answer["rows"].as_array().unwrap().clone()
}

fn as_values(rows: Rows) -> Vec<Value> {
    rows.rows.into_iter().map(Value::from).collect()
}

const SUPPLIERS: &str = "select s_nationkey, count(*), sum(s_acctbal) from {} group by s_nationkey order by s_nationkey";
const RECENT_ORDERS: &str = "select o_orderpriority, count(*), sum(o_totalprice) from {} where o_orderdate >= date '1996-01-01' \
     group by o_orderpriority order by o_orderpriority";

/// What must answer without any cloud.
fn on_prem_answers(client: &mut Adbc) {
    for (sql, table, original) in [
        (SUPPLIERS, "plant.tpch.supplier", "supplier"),
        // Registered on-prem too, of record in the cloud: all its metadata is here, and the files this asks for.
        (RECENT_ORDERS, "plant.mirror.orders", "orders"),
        (
            "select r_regionkey, r_name from {} order by r_regionkey",
            "plant.mirror.region",
            "region",
        ),
    ] {
        let want = expected(client, &sql.replace("{}", original));
        assert_eq!(
            as_values(client.query(&sql.replace("{}", table))),
            want,
            "{table}"
        );
    }
    let join = "select n_name, count(*) from {supplier}, {nation} where s_nationkey = n_nationkey \
                group by n_name order by n_name";
    let want = expected(
        client,
        &join
            .replace("{supplier}", "supplier")
            .replace("{nation}", "nation"),
    );
    let ours = join
        .replace("{supplier}", "plant.tpch.supplier")
        .replace("{nation}", "plant.tpch.nation");
    assert_eq!(as_values(client.query(&ours)), want);
}

/// What must answer without any cloud, beside what must not.
fn on_prem_answers_and_the_rest_says_what_is_missing(client: &mut Adbc) {
    on_prem_answers(client);
    // Planned, but these years' files are in the cloud.
    let refusal = client.refused(
        "select sum(o_totalprice) from plant.mirror.orders where o_orderdate < date '1994-01-01'",
    );
    assert!(refusal.message.contains("gcp"), "{}", refusal.message);
    // Not even planned.
    let refusal = client.refused("select count(*) from plant.mirror.part");
    assert!(refusal.message.contains("gcp"), "{}", refusal.message);
    // Its catalog is in the cloud.
    let refusal = client.refused("select count(*) from lake.tpch.supplier");
    assert!(refusal.message.contains("lake"), "{}", refusal.message);
}

#[test]
fn with_the_cloud_cut_on_prem_tables_answer_and_the_rest_name_what_is_missing() {
    let world = world();
    world.gcp.line.stop();
    world.rest_line.stop();
    // Started without a cloud: nothing it needs may be there.
    let landfast = Landfast::start(&world.config()).unwrap();
    let mut client = client(&world, &landfast);
    on_prem_answers_and_the_rest_says_what_is_missing(&mut client);

    let listed = client
        .query("select table_name from information_schema.tables where table_catalog = 'plant'");
    assert!(
        listed.texts("table_name").contains(&"supplier".to_owned()),
        "{listed:?}"
    );
    let (status, body) = landfast.admin("/readyz").unwrap();
    assert_eq!(status, 200, "queries are still accepted: {body}");
}

#[test]
fn tables_that_answered_before_the_cut_answer_after_it_and_after_its_end() {
    let world = world();
    let landfast = Landfast::start(&world.config()).unwrap();
    let mut client = client(&world, &landfast);
    let whole = "select count(*), sum(o_totalprice) from plant.mirror.orders";
    let before = client.query(whole);
    world.gcp.line.stop();
    world.rest_line.stop();
    on_prem_answers_and_the_rest_says_what_is_missing(&mut client);
    world.heal();
    assert_eq!(client.query(whole), before, "the cloud is back");
}

#[test]
fn a_cloud_that_swallows_every_request_holds_up_no_on_prem_query() {
    let world = world();
    world.gcp.line.take_seen();
    world.gcp.line.fail("/", Fault::Hang);
    world.rest_line.fail("/", Fault::Hang);
    let landfast = Landfast::start(&world.config()).unwrap();
    let mut client = client(&world, &landfast);
    on_prem_answers(&mut client);
    let asked: Vec<String> = world
        .gcp
        .line
        .take_seen()
        .into_iter()
        .map(|seen| seen.path)
        .collect();
    assert_eq!(
        asked,
        Vec::<String>::new(),
        "the cloud was asked for what is here"
    );
}

#[test]
fn a_replica_of_the_wrong_size_is_never_read_and_is_reported() {
    let world = world();
    let sql = "select c_mktsegment, count(*), sum(c_acctbal) from lake.tpch.customer group by c_mktsegment order by 1";
    let customers = world.hot.list("lake/wh/tpch/customer/data").unwrap();
    let (key, _) = customers.first().unwrap();
    let whole = world.hot.get(key).unwrap();

    for listed_before in [true, false] {
        world.hot.put(key, whole.clone()).unwrap();
        if !listed_before {
            world.hot.put(key, &whole[..whole.len() - 7]).unwrap();
        }
        let landfast = Landfast::start(&world.config()).unwrap();
        let mut client = client(&world, &landfast);
        let want = expected(&mut client, &sql.replace("lake.tpch.", ""));
        if listed_before {
            // The inventory has seen the right size; the bytes change behind its back.
            client.query("select c_custkey from lake.tpch.customer limit 1");
            world
                .hot
                .put(key, [whole.as_slice(), b"grown"].concat())
                .unwrap();
        }
        assert_eq!(as_values(client.query(sql)), want);
        let quarantined =
            client.query("select quarantined from landfast.system.sites where site = 'dc-east'");
        assert_eq!(
            quarantined.only(),
            &json!(1),
            "listed before: {listed_before}"
        );
    }
    world.hot.put(key, whole).unwrap();
}

#[test]
fn a_copy_that_breaks_off_in_the_middle_is_finished_from_elsewhere() {
    let world = world();
    let landfast = Landfast::start(&world.config()).unwrap();
    let mut client = client(&world, &landfast);
    let sql = "select sum(c_acctbal), count(*), max(c_name) from lake.tpch.customer";
    let want = expected(&mut client, &sql.replace("lake.tpch.", ""));
    for fault in [Fault::CutAfter(100), Fault::Status(503), Fault::Status(404)] {
        world.heal();
        world.east.line.fail("customer", fault);
        assert_eq!(as_values(client.query(sql)), want, "{fault:?}");
    }
}

#[test]
fn columns_that_were_listed_before_the_cloud_was_cut_are_listed_after_it() {
    let world = world();
    let landfast = Landfast::start(&world.config()).unwrap();
    let mut client = client(&world, &landfast);
    let sql = "select table_catalog, table_name, count(*) from landfast.information_schema.columns \
               where table_catalog in ('lake', 'plant') and table_schema = 'tpch' group by 1, 2 order by 1, 2";
    let before = as_values(client.query(sql));
    assert!(before.len() > 8, "{before:?}");
    world.rest_line.stop();
    world.gcp.line.stop();
    assert_eq!(as_values(client.query(sql)), before);
}

#[test]
fn a_query_that_would_cost_too_much_is_refused_and_one_whose_copies_vanish_is_stopped() {
    let world = world();
    let landfast = Landfast::start(&world.config()).unwrap();
    let mut client = client(&world, &landfast);
    let (cloud, near) = (
        "select max(p_comment), max(p_name), sum(p_retailprice) from lake.tpch.part",
        "select max(c_comment), max(c_address), max(c_name) from lake.tpch.customer",
    );
    for sql in [cloud, near] {
        // Metadata and footers are read now, and cost nothing below.
        client.query(sql);
    }
    client
        .execute("set landfast.max_egress_usd = '0.000000001'")
        .unwrap();
    let usd = "select state, coalesce(error_kind, 'none'), usd <= 0.000000001, fall_throughs from landfast.system.last_query q \
               left join (select query_id, sum(fall_throughs) as fall_throughs from landfast.system.query_reads group by query_id) r \
               on r.query_id = q.query_id";

    world.gcp.line.take_seen();
    let refusal = client.try_query(cloud).unwrap_err();
    assert!(
        refusal.message.contains("estimated")
            && refusal.message.contains("landfast.max_egress_usd"),
        "{}",
        refusal.message
    );
    assert!(
        !world.gcp.line.take_seen().iter().any(Seen::is_read),
        "it was read before it was refused"
    );

    let want = expected(&mut client, &near.replace("lake.tpch.", ""));
    assert_eq!(
        as_values(client.query(near)),
        want,
        "near by it costs nothing"
    );
    world.east.line.fail("customer", Fault::Status(404));
    let refusal = client.try_query(near).unwrap_err();
    assert!(
        refusal
            .message
            .contains("stopped by landfast.max_egress_usd")
            && refusal.message.contains("gcp"),
        "{}",
        refusal.message
    );
    let receipt = as_values(client.query(usd));
    assert_eq!(receipt[0][0], json!("failed"));
    assert_eq!(receipt[0][1], json!("resource_exhausted"));
    assert_eq!(receipt[0][2], json!(true), "{receipt:?}");
    assert!(
        receipt[0][3].as_i64().unwrap() > 0,
        "it left dc-east: {receipt:?}"
    );
    client
        .execute("set landfast.max_egress_usd = 'unlimited'")
        .unwrap();
    assert_eq!(as_values(client.query(near)), want);
}

#[test]
fn keys_with_percent_signs_and_blanks_are_read_as_written_near_and_far() {
    let world = world();
    let mut python = world.iceberg();
    python.ask(
        "create_namespace",
        json!({ "catalog": "lake", "namespace": ["odd"] }),
    );
    let columns = json!({ "id": ["int64", [1, 2, 3]], "at": ["string", ["10:30 am", "10%3A30 am", "ä/ö + ü"]] });
    let written = python.ask(
        "create_table",
        json!({ "catalog": "lake", "table": ["odd", "keys"], "columns": columns,
                "location": "gs://lake/wh/odd keys/%3A/t", "partition": ["at", "identity"] }),
    );
    let files = written["files"].to_string();
    assert!(
        files.contains("%3A") && files.contains("odd keys"),
        "{files}"
    );
    let origin = world.gcp.store.bucket("lake").unwrap();
    let copied = world
        .hot
        .copy_from(&origin, "lake/", |key| key.starts_with("wh/odd keys/"))
        .unwrap();
    assert!(copied.len() > 4, "{copied:?}");

    let landfast = Landfast::start(&world.config()).unwrap();
    let mut client = client(&world, &landfast);
    let sql = "select id, at from lake.odd.keys order by id";
    let want = json!([[1, "10:30 am"], [2, "10%3A30 am"], [3, "ä/ö + ü"]]);
    assert_eq!(Value::from(as_values(client.query(sql))), want);
    let near = client.query(
        "select r.data_bytes > 0 from landfast.system.query_reads r join landfast.system.last_query q \
         on r.query_id = q.query_id where r.site = 'dc-east'",
    );
    assert_eq!(
        near.only(),
        &json!(true),
        "the copies were not found under these keys"
    );
    client.execute("set landfast.placement = 'origin'").unwrap();
    assert_eq!(Value::from(as_values(client.query(sql))), want);
}

#[test]
fn the_same_key_in_two_buckets_is_two_files() {
    let world = world();
    let other = match world.gcp.store.bucket("other") {
        Ok(bucket) if bucket.list("").is_ok() => bucket,
        _ => world.gcp.store.make_bucket("other").unwrap(),
    };
    let mut python = world.iceberg();
    python.ask(
        "create_namespace",
        json!({ "catalog": "lake", "namespace": ["twins"] }),
    );
    for (bucket, values) in [("lake", [1, 2]), ("other", [3, 4])] {
        let columns = json!({ "id": ["int64", values] });
        let path = format!("gs://{bucket}/twins/same.parquet");
        python.ask(
            "create_table_over",
            json!({ "catalog": "lake", "table": ["twins", bucket], "path": path, "columns": columns }),
        );
    }
    let origin = world.gcp.store.bucket("lake").unwrap();
    world
        .hot
        .copy_from(&origin, "lake/", |key| key.starts_with("twins/"))
        .unwrap();
    world
        .hot
        .copy_from(&other, "other/", |key| key.starts_with("twins/"))
        .unwrap();
    let sizes = ["lake", "other"].map(|bucket| {
        world
            .hot
            .get(&format!("{bucket}/twins/same.parquet"))
            .unwrap()
            .len()
    });
    assert_eq!(
        sizes[0], sizes[1],
        "not even the size may tell the two apart"
    );

    // A second prefix of both sites; the sections belong to the site named last.
    let sites = world.sites().replace(
        "[[site.prefix]]\ncanonical = \"gs://lake/\"\norigin = true\n",
        "[[site.prefix]]\ncanonical = \"gs://lake/\"\norigin = true\n\
         [[site.prefix]]\ncanonical = \"gs://other/\"\norigin = true\n",
    );
    let sites = sites.replace(
        "at = \"hot/lake/\"\n",
        "at = \"hot/lake/\"\n[[site.prefix]]\ncanonical = \"gs://other/\"\nat = \"hot/other/\"\n",
    );
    let landfast = Landfast::start(&world.config_with(&sites)).unwrap();
    let mut client = client(&world, &landfast);
    for _ in 0..2 {
        let rows = client.query(
            "select id from lake.twins.lake union all select id from lake.twins.other order by id",
        );
        assert_eq!(Value::from(as_values(rows)), json!([[1], [2], [3], [4]]));
    }
}

/// Waits until `done`, but not for long.
fn soon(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(5), "not soon: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_query_that_is_given_up_or_cancelled_leaves_no_read_at_a_site_that_hangs() {
    let world = world();
    let config = world.config().secured();
    let landfast = Landfast::start(&config).unwrap();
    let user = |name: &str| {
        let mut client = Adbc::start();
        let options = landfast.adbc_options_for(name, PASSWORD);
        client.connect(&landfast.uri(), &options).unwrap();
        client
    };
    let mut operator = user(OPERATOR);
    // These years' files are in the cloud.
    let sql =
        "select sum(o_totalprice) from plant.mirror.orders where o_orderdate < date '1994-01-01'";
    let found = |operator: &mut Adbc, column: &str| {
        let rows = operator.query(&format!(
            "select {column} from landfast.system.queries where statement like '%sum(o_total%' \
             and statement not like '%queries%' order by received_at desc limit 1"
        ));
        rows.texts(column).pop()
    };
    world.gcp.line.fail("parquet", Fault::Hang);

    let mut gone = user(READER);
    gone.begin(sql);
    soon("a read hangs", || world.gcp.line.hanging() > 0);
    drop(gone);
    soon("the reads stop", || world.gcp.line.hanging() == 0);
    soon("the query is told as cancelled", || {
        found(&mut operator, "state").as_deref() == Some("cancelled")
    });

    let mut told = user(READER);
    told.begin(sql);
    soon("a read hangs", || world.gcp.line.hanging() > 0);
    let id = found(&mut operator, "query_id").unwrap();
    operator
        .execute(&format!("CALL landfast.cancel('{id}')"))
        .unwrap();
    soon("the reads stop", || world.gcp.line.hanging() == 0);
    let refusal = told.answer().unwrap_err();
    assert!(refusal.message.contains("cancelled"), "{refusal:?}");
    assert_eq!(found(&mut operator, "state").as_deref(), Some("cancelled"));
}

/// How a query that is under way ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    CancelFlightInfo,
    DroppedStream,
    Deadline,
}

#[test]
fn nothing_more_is_read_at_a_site_after_cancel_flight_info_a_dropped_stream_or_a_deadline() {
    let world = world();
    let landfast = Landfast::start(&world.config()).unwrap();
    let url = format!("http://127.0.0.1:{}", landfast.port());
    let url = Endpoint::from_shared(url).unwrap();
    world.gcp.line.fail("parquet", Fault::Hang);
    for end in [End::CancelFlightInfo, End::DroppedStream, End::Deadline] {
        // These years' files are in the cloud.
        let sql = format!(
            "select sum(o_totalprice) from plant.mirror.orders where o_orderdate < date '1994-01-01' -- {end:?}"
        );
        let client = FlightServiceClient::new(block_on(url.connect()).unwrap());
        let (info, fetching) = block_on(begun(client.clone(), &sql, end));
        soon("a read hangs", || world.gcp.line.hanging() > 0);
        match end {
            End::CancelFlightInfo => {
                assert_eq!(
                    block_on(cancelled(client.clone(), info)),
                    CancelStatus::Cancelled
                );
            }
            End::DroppedStream => fetching.abort(),
            End::Deadline => {}
        }
        soon("the reads stop", || world.gcp.line.hanging() == 0);
        if end != End::DroppedStream {
            let refused = block_on(fetching).unwrap().unwrap_err();
            let told = [Code::Cancelled, Code::DeadlineExceeded];
            assert!(told.contains(&refused.code()), "{end:?}: {refused}");
        }
        // Whatever else the proxy does meanwhile, none begins anew.
        world.gcp.line.take_seen();
        for _ in 0..50 {
            let (_, other) = block_on(begun(client.clone(), "select 1", End::DroppedStream));
            block_on(other).unwrap().unwrap();
        }
        let after = world.gcp.line.take_seen();
        let read: Vec<&Seen> = after.iter().filter(|seen| seen.is_read()).collect();
        assert!(read.is_empty(), "{end:?}: {read:?}");
    }
}

/// Plans a statement and begins to fetch all of its rows.
async fn begun(
    mut client: FlightServiceClient<Channel>,
    sql: &str,
    end: End,
) -> (FlightInfo, JoinHandle<Result<(), Status>>) {
    let command = CommandStatementQuery {
        query: sql.to_owned(),
        transaction_id: None,
    };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let info = client.get_flight_info(descriptor).await.unwrap();
    let info = info.into_inner();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let fetching = tokio::spawn(async move {
        let mut request = Request::new(ticket);
        if end == End::Deadline {
            request.set_timeout(Duration::from_secs(2));
        }
        let mut stream = client.do_get(request).await?.into_inner();
        while stream.message().await?.is_some() {}
        Ok(())
    });
    (info, fetching)
}

async fn cancelled(mut client: FlightServiceClient<Channel>, info: FlightInfo) -> CancelStatus {
    let request = CancelFlightInfoRequest::new(info).encode_to_vec();
    let action = Action::new("CancelFlightInfo", request);
    let mut results = client.do_action(action).await.unwrap().into_inner();
    let body = results.message().await.unwrap().unwrap().body;
    CancelFlightInfoResult::decode(body).unwrap().status()
}
