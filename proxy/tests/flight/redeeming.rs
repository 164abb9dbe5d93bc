//! Who may redeem a ticket or a prepared handle, where, and until when.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};
use tonic::Code;

use crate::house::{Client, House, KEY, PRINCIPALS, TABLES, prepared, query, tickets};

const ROWS: &str = "SELECT count(*) AS n FROM fixtures.spark.types";

/// What a ticket that is not ours, or not any more what we made, is answered with.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument | Code::PermissionDenied | Code::NotFound | Code::Unimplemented
    )
}

async fn ticket(client: &mut Client, sql: &str) -> bytes::Bytes {
    let info = client.info(&query(sql)).await.unwrap();
    tickets(&info).remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_changed_in_any_byte_is_refused() {
    let house = House::new();
    let service = house.serve(KEY, "").await;
    let mut ann = service.client("ann").await;
    let good = ticket(&mut ann, ROWS).await;
    for at in 0..good.len() {
        for mask in [0x01, 0x10, 0x80, 0xff] {
            let mut changed = good.to_vec();
            changed[at] ^= mask;
            let refused = ann.fetch(changed).await;
            let status = refused.expect_err(&format!("byte {at} with mask {mask:#x}"));
            assert!(
                is_refusal(status.code()),
                "byte {at} with mask {mask:#x}: {status:?}"
            );
        }
    }
    let (_, batches) = ann.fetch(good).await.unwrap();
    assert_eq!(batches[0].num_rows(), 1, "the one we were given is good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_handle_changed_in_any_byte_is_unknown() {
    let house = House::new();
    let service = house.serve(KEY, "").await;
    let mut ann = service.client("ann").await;
    let good = ann.prepare(ROWS).await.unwrap().prepared_statement_handle;
    for at in 0..good.len() {
        for mask in [0x01, 0x10, 0x80, 0xff] {
            let mut changed = good.to_vec();
            changed[at] ^= mask;
            for refused in [
                ann.info(&prepared(&changed)).await.map(drop),
                ann.schema(&prepared(&changed)).await.map(drop),
            ] {
                let code = refused.expect_err(&format!("byte {at}")).code();
                assert_eq!(code, Code::NotFound, "byte {at} with mask {mask:#x}");
            }
        }
    }
    ann.info(&prepared(&good)).await.unwrap();
}

#[test]
fn nobody_can_redeem_what_somebody_else_was_given() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let house = House::new();
    let service = runtime.block_on(house.serve(KEY, ""));
    let clients = PRINCIPALS.map(|name| runtime.block_on(service.client(name)));
    let statement = prop_oneof![
        (0..TABLES.len()).prop_map(|at| {
            let (schema, table) = TABLES[at];
            format!("SELECT * FROM fixtures.{schema}.{table}")
        }),
        any::<i32>().prop_map(|n| format!("SELECT {n} AS n")),
        any::<u8>().prop_map(|n| format!("SELECT * FROM generate_series(0, {n})")),
    ];
    let pair = (0..PRINCIPALS.len(), 1..PRINCIPALS.len())
        .prop_map(|(from, further)| (from, (from + further) % PRINCIPALS.len()));
    runner(48)
        .run(&(statement, pair), |(sql, (from, to))| {
            runtime.block_on(async {
                let (mut owner, mut other) = (clients[from].clone(), clients[to].clone());
                let given = ticket(&mut owner, &sql).await;
                let handle = owner.prepare(&sql).await.unwrap().prepared_statement_handle;
                // Before and after its owner has redeemed it.
                for _ in 0..2 {
                    let status = other.fetch(given.clone()).await.unwrap_err();
                    prop_assert_eq!(status.code(), Code::PermissionDenied);
                    let status = other.info(&prepared(&handle)).await.unwrap_err();
                    prop_assert_eq!(status.code(), Code::NotFound);
                    let status = other.schema(&prepared(&handle)).await.unwrap_err();
                    prop_assert_eq!(status.code(), Code::NotFound);
                    owner.fetch(given.clone()).await.unwrap();
                    owner.info(&prepared(&handle)).await.unwrap();
                }
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_past_its_time_is_refused() {
    let house = House::new();
    let service = house.serve(KEY, "ticket_ttl_ms = 1").await;
    let mut ann = service.client("ann").await;
    let info = ann.info(&query(ROWS)).await.unwrap();
    let ends = info.endpoint[0].expiration_time.unwrap();
    let ends = SystemTime::try_from(ends).unwrap();
    while SystemTime::now() <= ends + Duration::from_millis(1) {
        tokio::task::yield_now().await;
    }
    let status = ann.fetch(tickets(&info).remove(0)).await.unwrap_err();
    assert!(status.message().contains("expired"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_honoured_by_every_proxy_with_the_same_key_and_by_no_other() {
    let house = House::new();
    let (one, two, stranger) = (
        house.serve(KEY, "").await,
        house.serve(KEY, "").await,
        house
            .serve("another key, as long as it has to be", "")
            .await,
    );
    let sql = "SELECT * FROM fixtures.pyiceberg.all_types ORDER BY 1";
    let info = one.client("ann").await.info(&query(sql)).await.unwrap();
    let given = tickets(&info).remove(0);
    let (there, rows) = two.client("ann").await.fetch(given.clone()).await.unwrap();
    let (here, same) = one.client("ann").await.fetch(given.clone()).await.unwrap();
    assert_eq!((here, same), (there.clone(), rows));
    assert_eq!(*there, info.try_decode_schema().unwrap());
    let status = two
        .client("bob")
        .await
        .fetch(given.clone())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let status = stranger.client("ann").await.fetch(given).await.unwrap_err();
    assert!(is_refusal(status.code()), "{status:?}");
}

/// The same cases each time.
pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, rng)
}
