//! The harness holds what it promises: without that, no other test means anything.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where and stops"
)]

use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use landfast_tests::catalogs::Postgres;
use landfast_tests::clients::Iceberg;
use landfast_tests::lake::sql_properties;
use landfast_tests::process::free_port;
use landfast_tests::reverse::{Fault, Reverse};
use landfast_tests::stores::{Store, block_on};
use landfast_tests::world::World;
use serde_json::json;

#[test]
fn a_stopped_line_breaks_what_is_open_and_serves_nothing_until_healed() {
    let store = Store::gcs().unwrap();
    let bucket = store.make_bucket("lake").unwrap();
    for key in ["one.parquet", "a b/%3A.parquet"] {
        bucket.put(key, "bytes").unwrap();
        assert_eq!(bucket.get(key).unwrap(), b"bytes");
    }
    bucket.delete("a b/%3A.parquet").unwrap();
    assert_eq!(bucket.list("").unwrap(), [("one.parquet".to_owned(), 5)]);
    let line = Reverse::before(store.endpoint()).unwrap();
    let get = || {
        block_on(async {
            reqwest::get(format!("{}/lake/one.parquet", line.url()))
                .await?
                .bytes()
                .await
        })
    };

    line.stop_after_reads(1);
    assert_eq!(get().unwrap().as_ref(), b"bytes");
    assert!(get().is_err());
    assert_eq!(line.broken(), 1, "the read that stopped it");
    assert!(get().is_err());
    assert!(line.broken() > 1);
    line.heal();
    assert_eq!(get().unwrap().as_ref(), b"bytes");

    line.fail("one", Fault::CutAfter(2));
    assert!(get().is_err(), "the length promised five bytes");
    line.heal();
    line.fail("one", Fault::Status(503));
    assert_eq!(get().unwrap().as_ref(), b"a fault on demand");
}

#[test]
fn a_free_port_answers_nobody_while_other_tests_start_processes() {
    std::thread::scope(|scope| {
        let asker = scope.spawn(|| {
            let answers = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            let ports = (0..2_000).map(|_| free_port().unwrap());
            ports.filter(|&port| answers(port)).count()
        });
        while !asker.is_finished() {
            Command::new("true").status().unwrap();
        }
        assert_eq!(asker.join().unwrap(), 0, "of 2,000 ports answered");
    });
}

#[test]
fn every_server_of_the_world_starts_and_holds_the_lake() {
    let world = World::start().unwrap();
    let files = world
        .gcp
        .store
        .bucket("lake")
        .unwrap()
        .list("wh/tpch/lineitem/data")
        .unwrap();
    assert!(files.len() >= 50, "lineitem has {} files", files.len());
    let copies = world.hot.list("lake/wh/tpch/lineitem/data").unwrap();
    assert!(
        copies.len() > 20 && copies.len() < files.len(),
        "{} copies at dc-east",
        copies.len()
    );
    let mut python = world.iceberg();
    assert_eq!(
        python
            .ask(
                "read",
                json!({ "catalog": "lake", "table": ["tpch", "region"] })
            )
            .as_array()
            .unwrap()
            .len(),
        5
    );
    assert_eq!(
        python
            .ask(
                "read",
                json!({ "catalog": "plant", "table": ["tpch", "nation"] })
            )
            .as_array()
            .unwrap()
            .len(),
        25
    );
    assert_eq!(
        python
            .ask(
                "read",
                json!({ "catalog": "plant", "table": ["mirror", "region"] })
            )
            .as_array()
            .unwrap()
            .len(),
        5
    );
}

#[test]
fn postgresql_serves_a_catalog_to_pyiceberg() {
    let postgres = Postgres::start().unwrap();
    let store = Store::s3().unwrap();
    store.make_bucket("plant").unwrap();
    let io = landfast_tests::lake::iceberg_io("http://127.0.0.1:9", store.endpoint());
    let mut python = Iceberg::start();
    let properties = sql_properties(&postgres.sqlalchemy_url(), "s3://plant/pg", &io);
    python.ask("catalog", json!({ "name": "pg", "properties": properties }));
    python.ask(
        "create_namespace",
        json!({ "catalog": "pg", "namespace": ["a"] }),
    );
    let columns = json!({ "id": ["int64", [1, 2]], "day": ["date", ["2024-02-29", null]] });
    python.ask(
        "create_table",
        json!({ "catalog": "pg", "table": ["a", "t"], "columns": columns }),
    );
    let rows = python.ask("read", json!({ "catalog": "pg", "table": ["a", "t"] }));
    assert_eq!(
        rows,
        json!([{ "id": 1, "day": "2024-02-29" }, { "id": 2, "day": null }])
    );
}

#[test]
fn azurite_serves_where_there_is_node() {
    let Some(azure) = Store::azure().unwrap() else {
        return landfast_tests::skipped("azurite_serves_where_there_is_node", "node (Azurite)");
    };
    let container = azure.make_bucket("ops").unwrap();
    container.put("a b/%3A", "bytes").unwrap();
    assert_eq!(container.list("").unwrap(), [("a b/%3A".to_owned(), 5)]);
}
