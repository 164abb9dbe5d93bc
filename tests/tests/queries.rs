//! The 22 TPC-H queries through the stock Python ADBC driver give DuckDB's answers, wherever the bytes come from.
//!
//! Every mode starts its own proxy, so that nothing is cached from the one before, and says from the receipts
//! (`landfast.system.query_reads`) which sites gave bytes.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where and stops"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use landfast_tests::clients::Adbc;
use landfast_tests::landfast::{Config, Landfast};
use landfast_tests::world::{World, is_at_east};
use serde_json::json;

/// Queries that read one small file or nothing from `dc-east`: there is no "between" to stop it in.
const BARELY_AT_EAST: [u32; 5] = [6, 11, 14, 16, 20];

/// The world, for one test at a time: they spoil it.
fn world() -> MutexGuard<'static, World> {
    static WORLD: OnceLock<Mutex<World>> = OnceLock::new();
    let world = WORLD.get_or_init(|| Mutex::new(World::start().unwrap()));
    let world = world.lock().unwrap_or_else(PoisonError::into_inner);
    world.heal();
    world
}

fn config(world: &World) -> Config {
    world
        .config()
        .with("[defaults]\ncatalog = \"lake\"\nschema = \"tpch\"\n")
}

fn client(world: &World, landfast: &Landfast) -> Adbc {
    let mut client = Adbc::to(landfast);
    let database = world.lake.duckdb();
    client
        .ask(&json!({ "do": "open_duckdb", "database": database }))
        .unwrap();
    client
}

/// Runs a TPC-H query on both sides, and gives what each site gave to it.
fn compare(client: &mut Adbc, number: u32) -> BTreeMap<String, Reads> {
    let answer = client.ask(&json!({ "do": "tpch", "number": number }));
    let answer = answer.unwrap_or_else(|error| panic!("query {number}: {}", error.message));
    assert!(
        answer["difference"].is_null(),
        "query {number}: {}",
        answer["difference"]
    );
    receipt(client)
}

/// What a site gave to a query.
#[derive(Debug)]
struct Reads {
    data_bytes: u64,
    fall_throughs: u64,
}

fn receipt(client: &mut Adbc) -> BTreeMap<String, Reads> {
    let rows = client.query(
        "select r.site, r.data_bytes, r.fall_throughs from landfast.system.query_reads r \
         join landfast.system.last_query q on r.query_id = q.query_id",
    );
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let reads = rows.rows.iter().map(|row| {
        let reads = Reads {
            data_bytes: number(&row[1]),
            fall_throughs: number(&row[2]),
        };
        (row[0].as_str().unwrap().to_owned(), reads)
    });
    reads.collect()
}

/// The sites that gave data.
fn givers(reads: &BTreeMap<String, Reads>) -> BTreeSet<&str> {
    reads
        .iter()
        .filter(|(_, reads)| reads.data_bytes > 0)
        .map(|(site, _)| site.as_str())
        .collect()
}

#[test]
fn tpch_read_from_the_nearest_copies_equals_duckdb() {
    let world = world();
    let landfast = Landfast::start(&config(&world)).unwrap();
    let mut client = client(&world, &landfast);
    for number in 1..=22 {
        let reads = compare(&mut client, number);
        let fell: u64 = reads.values().map(|reads| reads.fall_throughs).sum();
        // Query 2 is the first over part and partsupp, whose metadata is nowhere but in the cloud.
        assert!(
            fell == 0 || number == 2,
            "query {number} left a site that was well: {reads:?}"
        );
        let expected: &[&str] = match number {
            // lineitem from 1992 on; of the other tables a query reads, only some are on-prem.
            1 => &["dc-east", "dc-west", "gcp"],
            // customer and recent orders alone would be at dc-east; older orders are not.
            13 | 22 => &["dc-east", "dc-west", "gcp"],
            // The year 1994 of lineitem, pruned by its partitions.
            6 => &["dc-west"],
            // part, partsupp and supplier.
            16 => &["dc-west", "gcp"],
            _ => continue,
        };
        assert_eq!(
            givers(&reads),
            expected.iter().copied().collect(),
            "query {number}"
        );
    }
}

#[test]
fn tpch_read_from_the_origin_equals_duckdb() {
    let world = world();
    let landfast = Landfast::start(&config(&world)).unwrap();
    let mut client = client(&world, &landfast);
    client.execute("set landfast.placement = 'origin'").unwrap();
    world.east.line.take_seen();
    world.west.line.take_seen();
    for number in 1..=22 {
        let reads = compare(&mut client, number);
        assert_eq!(givers(&reads), ["gcp"].into(), "query {number}");
    }
    let copies_read = [&world.east, &world.west].map(|site| {
        let seen = site.line.take_seen();
        seen.iter().filter(|seen| seen.is_read()).count()
    });
    assert_eq!(
        copies_read,
        [0, 0],
        "the sites saw reads of data that the receipts did not own up to"
    );
}

#[test]
fn tpch_with_half_of_the_near_files_deleted_behind_our_back_equals_duckdb() {
    let world = world();
    let landfast = Landfast::start(&config(&world)).unwrap();
    let mut client = client(&world, &landfast);
    // The inventory learns of every file first, and is not refreshed within the test.
    for table in ["lineitem", "orders", "customer", "nation", "region"] {
        client.query(&format!(
            "select count(*) from (select * from {table} limit 1)"
        ));
    }
    let files: Vec<String> = world
        .hot
        .list("lake")
        .unwrap()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let data: Vec<&String> = files.iter().filter(|key| key.contains("/data/")).collect();
    let deleted: Vec<&&String> = data.iter().step_by(2).collect();
    for key in &deleted {
        world.hot.delete(key).unwrap();
    }
    let mut fell = 0;
    let mut from_east = 0;
    for number in 1..=22 {
        let reads = compare(&mut client, number);
        let east = reads.get("dc-east");
        fell += east.map_or(0, |reads| reads.fall_throughs);
        from_east += east.map_or(0, |reads| reads.data_bytes);
        assert!(
            givers(&reads).contains("gcp") || number == 6,
            "query {number}: {reads:?}"
        );
    }
    assert!(
        fell > 0,
        "{} files are gone, and no read left dc-east",
        deleted.len()
    );
    assert!(
        from_east > 0,
        "the other half was not read from dc-east any more"
    );

    let origin = world.gcp.store.bucket("lake").unwrap();
    world.hot.copy_from(&origin, "lake/", is_at_east).unwrap();
}

#[test]
fn tpch_with_the_near_site_stopped_between_its_first_and_its_last_read_equals_duckdb() {
    let world = world();
    for number in 1..=22 {
        world.heal();
        // A fresh proxy each time: nothing cached, and the site not yet known to be down.
        let landfast = Landfast::start(&config(&world)).unwrap();
        let mut client = client(&world, &landfast);
        world.east.line.take_seen();
        let broken_before = world.east.line.broken();
        world.east.line.stop_after_reads(1);
        let reads = compare(&mut client, number);
        let served = world.east.line.reads_served();
        let broken = world.east.line.broken() - broken_before;
        if broken == 0 && BARELY_AT_EAST.contains(&number) {
            continue;
        }
        assert_eq!(
            served, 1,
            "query {number}: the site was to be stopped after its first read"
        );
        assert!(broken > 0, "query {number}: no read came after the first");
        let east = &reads["dc-east"];
        assert!(
            east.data_bytes > 0 && east.fall_throughs > 0,
            "query {number}: {reads:?}"
        );
        let others: BTreeSet<&str> = givers(&reads)
            .into_iter()
            .filter(|site| *site != "dc-east")
            .collect();
        assert!(!others.is_empty(), "query {number}: {reads:?}");
    }
}

#[test]
fn partitions_are_read_in_any_order_twice_and_at_another_proxy() {
    let world = world();
    let key = "[limits]\nendpoint_rows = 1000\nendpoints = 4\n";
    let secret = "a key that both proxies of this federation sign with";
    let config = config(&world).with(key).signed("LANDFAST_KEY", secret);
    let (here, there) = (
        Landfast::start(&config).unwrap(),
        Landfast::start(&config).unwrap(),
    );
    let mut client = client(&world, &here);
    client
        .ask(&json!({ "do": "connect", "uri": there.uri(), "options": there.adbc_options(), "name": "there" }))
        .unwrap();
    let sql = "select o_orderkey, o_comment from orders where o_orderkey > 100";
    let read = client
        .ask(&json!({ "do": "partitions", "sql": sql, "elsewhere": "there" }))
        .unwrap();
    assert_eq!(read["partitions"], 4);
    assert_eq!(read["alike"], true);
    let want = client
        .ask(&json!({ "do": "expected", "sql": format!("{sql} order by 1") }))
        .unwrap();
    assert_eq!(read["rows"], want["rows"]);
    let ordered = client
        .ask(&json!({ "do": "partitions", "sql": format!("{sql} order by 1") }))
        .unwrap();
    assert_eq!(ordered["partitions"], 1);
}
