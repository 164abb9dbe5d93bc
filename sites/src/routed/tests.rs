use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{SitesError, SitesErrorKind};
use crate::health::HealthState;
use crate::id::FileId;
use crate::spec::Holdings;
use crate::tally::{ReadClass, ReadLog, Reads};
use crate::testing::{Fault, Setting, World, file, pattern, route, site, uri};

const KEY: &str = "t/data/a.parquet";
const URI: &str = "gs://lake/t/data/a.parquet";
const DATA: ReadClass = ReadClass::Data;

fn world() -> World {
    World::new(Holdings::AssumeAll)
}

/// As `world`, but these sites are given up on after a moment.
fn hasty(names: &[&'static str]) -> World {
    World::with(
        Holdings::AssumeAll,
        Setting {
            hasty: names.to_vec(),
            ..Setting::default()
        },
    )
}

async fn read(world: &World, names: &[&str], log: &ReadLog) -> Result<Vec<Bytes>, SitesError> {
    let ranges = [10..20, 500_000..500_100];
    world
        .sites
        .read_ranges(&file(URI, 1_000_000), &route(names), &ranges, DATA, log)
        .await
}

fn expected() -> Vec<Bytes> {
    let bytes = Bytes::from(pattern(1_000_000));
    vec![bytes.slice(10..20), bytes.slice(500_000..500_100)]
}

fn data_of(log: &ReadLog, name: &str) -> Reads {
    log.snapshot()
        .iter()
        .find(|r| r.site == site(name))
        .map(|r| r.data)
        .unwrap_or_default()
}

async fn filled(names: &[&str]) -> World {
    let world = world();
    world.put(names, KEY, &pattern(1_000_000)).await;
    world
}

#[tokio::test]
async fn a_404_at_a_site_falls_through_to_the_origin_and_is_remembered() {
    let world = filled(&["gcp"]).await;
    let log = ReadLog::new();
    for _ in 0..2 {
        assert_eq!(
            read(&world, &["dc-east", "gcp"], &log).await.unwrap(),
            expected()
        );
    }
    assert_eq!(
        data_of(&log, "dc-east").fall_throughs,
        1,
        "the second read goes to the origin first"
    );
    assert_eq!(data_of(&log, "dc-east").bytes, 0);
    let origin = data_of(&log, "gcp");
    assert_eq!(
        (origin.requests, origin.bytes, origin.fall_throughs),
        (2, 2 * 500_090, 0)
    );
    assert!(origin.first_byte.is_some());
}

#[tokio::test]
async fn whatever_a_site_answers_other_than_the_bytes_the_next_one_gives_the_whole_batch() {
    for fault in [
        Fault::Refuses503,
        Fault::Denies,
        Fault::Unauthenticated,
        Fault::Hangs,
        Fault::BreaksOffAfter(7),
    ] {
        let world = hasty(&["dc-east"]);
        world
            .put(&["gcp", "dc-east"], KEY, &pattern(1_000_000))
            .await;
        world.stores["dc-east"].set(Some(fault));
        let log = ReadLog::new();
        assert_eq!(
            read(&world, &["dc-east", "gcp"], &log).await.unwrap(),
            expected(),
            "{fault:?}"
        );
        assert_eq!(data_of(&log, "dc-east").fall_throughs, 1, "{fault:?}");
        assert_eq!(data_of(&log, "gcp").bytes, 500_090, "{fault:?}");
    }
}

#[tokio::test]
async fn bytes_of_a_body_that_broke_off_are_counted_where_they_came_from() {
    let world = filled(&["gcp", "dc-east"]).await;
    world.stores["dc-east"].set(Some(Fault::BreaksOffAfter(7)));
    let log = ReadLog::new();
    read(&world, &["dc-east"], &log).await.unwrap();
    // The near link's gap is small, so the two ranges are two requests, of which the first to fail ends the batch.
    let bytes = data_of(&log, "dc-east").bytes;
    assert!(bytes == 7 || bytes == 14, "{bytes}");
}

#[tokio::test]
async fn a_batch_never_mixes_two_sites() {
    let world = world();
    world.put(&["dc-east"], KEY, &vec![b'e'; 1_000_000]).await;
    world.put(&["gcp"], KEY, &vec![b'g'; 1_000_000]).await;
    world.stores["dc-east"].set(Some(Fault::Refuses503));
    world.stores["dc-east"].only_from(400_000);
    let bytes = read(&world, &["dc-east", "gcp"], &ReadLog::new())
        .await
        .unwrap();
    assert!(
        bytes.iter().all(|b| b.iter().all(|byte| *byte == b'g')),
        "the first range came from dc-east, and is not used"
    );
}

#[tokio::test]
async fn an_object_that_is_replaced_while_a_batch_is_read_gives_nothing_of_either() {
    let world = filled(&["gcp", "dc-east"]).await;
    world.stores["dc-east"].set(Some(Fault::Replaced));
    world.stores["dc-east"].only_from(400_000);
    let log = ReadLog::new();
    assert_eq!(
        read(&world, &["dc-east", "gcp"], &log).await.unwrap(),
        expected()
    );
    assert_eq!(data_of(&log, "dc-east").fall_throughs, 1);
}

#[tokio::test]
async fn a_wrong_sized_replica_is_quarantined_and_reported_and_never_read() {
    let world = filled(&["gcp"]).await;
    world.put(&["dc-east"], KEY, &pattern(1_000_001)).await;
    let log = ReadLog::new();
    for _ in 0..3 {
        assert_eq!(
            read(&world, &["dc-east", "gcp"], &log).await.unwrap(),
            expected()
        );
    }
    let quarantined = world.sites.quarantined();
    assert_eq!(quarantined.len(), 1);
    assert_eq!(
        (
            &quarantined[0].site,
            quarantined[0].expected_bytes,
            quarantined[0].found_bytes
        ),
        (&site("dc-east"), 1_000_000, 1_000_001)
    );
    assert_eq!(
        data_of(&log, "dc-east").fall_throughs,
        1,
        "it is not asked for again"
    );
    let health = world.sites.health();
    let east = health.iter().find(|h| h.id == site("dc-east")).unwrap();
    assert_eq!(
        (east.state, east.quarantined),
        (HealthState::Up, 1),
        "the object is at fault, not the site"
    );
}

#[tokio::test]
async fn a_truncated_replica_that_refuses_the_range_is_quarantined_too() {
    let world = filled(&["gcp"]).await;
    world.put(&["dc-east"], KEY, &pattern(100)).await;
    let bytes = world
        .sites
        .read_ranges(
            &file(URI, 1_000_000),
            &route(&["dc-east"]),
            std::slice::from_ref(&(500_000..500_100)),
            DATA,
            &ReadLog::new(),
        )
        .await
        .unwrap();
    assert_eq!(bytes[0], expected()[1]);
    assert_eq!(world.sites.quarantined()[0].found_bytes, 100);
}

#[tokio::test]
async fn a_wrong_sized_origin_is_an_error_and_not_data() {
    let world = world();
    world.put(&["gcp"], KEY, &pattern(999_999)).await;
    let error = read(&world, &["gcp"], &ReadLog::new()).await.unwrap_err();
    assert_eq!(error.kind(), SitesErrorKind::Corrupt);
    let text = error.to_string();
    assert!(
        text.contains(URI) && text.contains("`gcp`") && text.contains("999999"),
        "{text}"
    );
}

#[tokio::test]
async fn only_the_origins_404_is_a_404() {
    let world = world();
    let error = read(&world, &["dc-east", "gcp"], &ReadLog::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), SitesErrorKind::NotFound);
    world.stores["gcp"].set(Some(Fault::Refuses503));
    let error = read(&world, &["dc-east", "gcp"], &ReadLog::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), SitesErrorKind::Unavailable);
    let text = error.to_string();
    assert!(
        text.contains("missing site `gcp`:") && text.contains("503"),
        "{text}"
    );
}

#[tokio::test]
async fn an_origin_out_of_reach_is_named_together_with_the_replicas_that_failed() {
    let world = hasty(&["gcp"]);
    world
        .put(&["gcp", "dc-west"], KEY, &pattern(1_000_000))
        .await;
    world.stores["gcp"].set(Some(Fault::Hangs));
    world.stores["dc-west"].set(Some(Fault::Refuses503));
    let error = read(&world, &["dc-east", "dc-west"], &ReadLog::new())
        .await
        .unwrap_err();
    let SitesError::Unavailable { missing, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        missing,
        &[site("dc-west"), site("gcp")],
        "dc-east answered, it just has no copy"
    );
}

#[tokio::test]
async fn a_route_without_the_origin_gets_it_as_its_last_resort() {
    let world = filled(&["gcp"]).await;
    assert_eq!(
        read(&world, &[], &ReadLog::new()).await.unwrap(),
        expected()
    );
    assert_eq!(
        read(&world, &["dc-west"], &ReadLog::new()).await.unwrap(),
        expected()
    );
}

#[tokio::test]
async fn whatever_the_route_every_site_is_asked_once_at_most_in_its_order_and_the_origin_surely() {
    let names = ["dc-east", "dc-west", "gcp"];
    let mut routes: Vec<Vec<&str>> = vec![vec![]];
    for _ in 0..names.len() {
        let longer = routes
            .iter()
            .flat_map(|route| names.map(|name| [route.as_slice(), &[name]].concat()));
        routes.extend(longer.collect::<Vec<_>>());
    }
    for names in routes {
        let world = world();
        let order = route(&names);
        let error = world
            .sites
            .read_whole(&file(URI, 10), &order, DATA, &ReadLog::new())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), SitesErrorKind::NotFound, "{names:?}");
        for (name, store) in &world.stores {
            let asked = order.sites().contains(&site(name)) || *name == "gcp";
            assert_eq!(store.gets(), usize::from(asked), "{name} of {names:?}");
        }
        let log = ReadLog::new();
        let world = filled(&["dc-east", "dc-west", "gcp"]).await;
        read(&world, &names, &log).await.unwrap();
        let first = order.first().cloned().unwrap_or_else(|| site("gcp"));
        assert_eq!(
            log.snapshot().iter().map(|r| &r.site).collect::<Vec<_>>(),
            [&first],
            "{names:?}"
        );
    }
}

#[test]
fn reads_can_be_sent_to_other_threads() {
    fn sent<T: Send>(_: &T) {}
    let world = world();
    let (id, route, log) = (file(URI, 1), route(&[]), ReadLog::new());
    sent(&world.sites.read_ranges(&id, &route, &[], DATA, &log));
    sent(&world.sites.read_suffix(&id, &route, 1, DATA, &log));
    sent(
        &world
            .sites
            .read_accepted(&id.uri, &route, &log, |_| async { Ok::<_, String>(()) }),
    );
    sent(&world.sites.list(&site("gcp"), &id.uri, 1));
    sent(&world.sites.inventory().refresh(&id.uri));
}

#[tokio::test]
async fn a_site_that_keeps_failing_is_tried_last_and_not_never() {
    let world = filled(&["gcp", "dc-east"]).await;
    let east = &world.stores["dc-east"];
    east.set(Some(Fault::Refuses503));
    for _ in 0..5 {
        read(&world, &["dc-east", "gcp"], &ReadLog::new())
            .await
            .unwrap();
    }
    let asked = east.gets();
    for _ in 0..5 {
        read(&world, &["dc-east", "gcp"], &ReadLog::new())
            .await
            .unwrap();
    }
    assert_eq!(
        east.gets(),
        asked,
        "a site that is down costs a query nothing"
    );
    assert!(!world.sites.is_up(&site("dc-east")));
    // Now it is back, and the origin is gone.
    east.set(None);
    world.stores["gcp"].set(Some(Fault::Refuses503));
    assert_eq!(
        read(&world, &["dc-east", "gcp"], &ReadLog::new())
            .await
            .unwrap(),
        expected()
    );
    assert!(
        world.sites.is_up(&site("dc-east")),
        "its answer brings it back"
    );
}

#[tokio::test]
async fn dropping_a_read_ends_its_requests() {
    let world = filled(&["gcp"]).await;
    let gcp = &world.stores["gcp"];
    gcp.set(Some(Fault::Hangs));
    let log = ReadLog::new();
    {
        let read = read(&world, &["gcp"], &log);
        futures::pin_mut!(read);
        assert!(futures::poll!(read.as_mut()).is_pending());
        assert!(gcp.under_way.load(Ordering::SeqCst) > 0);
    }
    assert_eq!(gcp.under_way.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_large_file_is_read_in_several_requests_and_a_small_one_in_one() {
    let world = world();
    let large = pattern(20 << 20);
    world.put(&["dc-east"], KEY, &large).await;
    let log = ReadLog::new();
    let whole = world
        .sites
        .read_whole(&file(URI, 20 << 20), &route(&["dc-east"]), DATA, &log)
        .await
        .unwrap();
    assert!(whole == large);
    assert_eq!(
        (
            data_of(&log, "dc-east").requests,
            data_of(&log, "dc-east").bytes
        ),
        (3, 20 << 20)
    );
}

#[tokio::test]
async fn a_suffix_is_the_end_of_a_file_whether_its_size_is_recorded_or_not() {
    let world = filled(&["dc-east"]).await;
    let bytes = pattern(1_000_000);
    for size in [Some(1_000_000), None] {
        let id = FileId::new(uri(URI), size);
        let read = async |n| {
            world
                .sites
                .read_suffix(&id, &route(&["dc-east"]), n, DATA, &ReadLog::new())
                .await
                .unwrap()
        };
        assert!(read(8).await == bytes[999_992..]);
        assert!(read(2_000_000).await == bytes);
    }
}

#[tokio::test]
async fn ranges_beyond_the_end_are_refused_before_anything_is_asked() {
    let world = world();
    let error = world
        .sites
        .read_ranges(
            &file(URI, 10),
            &route(&[]),
            std::slice::from_ref(&(5..11)),
            DATA,
            &ReadLog::new(),
        )
        .await
        .unwrap_err();
    assert_eq!(error.kind(), SitesErrorKind::Invalid);
    assert_eq!(world.stores["gcp"].gets(), 0);
}

#[tokio::test]
async fn empty_ranges_come_back_empty_and_in_their_places() {
    let world = filled(&["dc-east"]).await;
    let ranges = [7..7, 10..20, 3..3];
    let (id, east, log) = (file(URI, 1_000_000), route(&["dc-east"]), ReadLog::new());
    let read = world
        .sites
        .read_ranges(&id, &east, &ranges, DATA, &log)
        .await
        .unwrap();
    assert_eq!(read, [Bytes::new(), expected()[0].clone(), Bytes::new()]);
}

#[tokio::test]
async fn an_object_that_is_not_accepted_sends_the_read_to_the_next_site() {
    let world = world();
    world
        .put(&["dc-east"], "t/metadata/v1.json", b"{ half")
        .await;
    world.put(&["gcp"], "t/metadata/v1.json", b"{}").await;
    let log = ReadLog::new();
    let at = uri("gs://lake/t/metadata/v1.json");
    let accept = |bytes: Bytes| async move {
        if bytes.ends_with(b"}") {
            Ok(bytes.len())
        } else {
            Err("it ends too early".to_owned())
        }
    };
    let length = world
        .sites
        .read_accepted(&at, &route(&["dc-east"]), &log, accept)
        .await
        .unwrap();
    assert_eq!(length, 2);
    let east = log
        .snapshot()
        .into_iter()
        .find(|r| r.site == site("dc-east"))
        .unwrap();
    assert_eq!(
        (
            east.metadata.bytes,
            east.metadata.fall_throughs,
            east.data.requests
        ),
        (6, 1, 0)
    );
    let none = |_| async { Err::<(), _>("another table's".to_owned()) };
    let error = world
        .sites
        .read_accepted(&at, &route(&["dc-east"]), &log, none)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), SitesErrorKind::Corrupt);
    assert!(error.to_string().contains("another table's"), "{error}");
}

#[tokio::test]
async fn reads_cost_what_their_links_say_and_add_up_in_the_process_totals() {
    let world = world();
    world.put(&["gcp"], KEY, &vec![0; 1 << 20]).await;
    let log = ReadLog::new();
    for _ in 0..2 {
        world
            .sites
            .read_whole(&file(URI, 1 << 20), &route(&["gcp"]), DATA, &log)
            .await
            .unwrap();
    }
    let usd = world.sites.cost_usd(&log.snapshot());
    assert!((usd - 2.0 * 0.08 / 1024.0).abs() < 1e-12, "{usd}");
    world
        .sites
        .read_whole(&file(URI, 1 << 20), &route(&["gcp"]), DATA, &ReadLog::new())
        .await
        .unwrap();
    assert_eq!(world.sites.totals()[0].data.bytes, 3 << 20);
    log.record_cache_hit(DATA, 5);
    log.record_cache_hit(ReadClass::Metadata, 7);
    assert_eq!((log.cache_hits().hits, log.cache_hits().bytes), (2, 12));
}

#[tokio::test]
async fn a_read_that_would_cost_too_much_is_refused_before_the_dear_site_is_asked() {
    let world = filled(&["dc-east", "gcp"]).await;
    // The gap between the two ranges is read through, and paid for.
    let price = 0.08 * (500_100 - 10) as f64 / (1u64 << 30) as f64;
    let log = ReadLog::within(Some(1.5 * price));
    let both = ["dc-east", "gcp"];
    for _ in 0..3 {
        assert_eq!(
            read(&world, &both, &log).await.unwrap(),
            expected(),
            "near by it costs nothing"
        );
    }
    world.stores["dc-east"].set(Some(Fault::Refuses503));
    assert_eq!(read(&world, &both, &log).await.unwrap(), expected());
    let asked = world.stores["gcp"].gets();
    let error = read(&world, &both, &log).await.unwrap_err();
    assert_eq!(error.kind(), SitesErrorKind::OverBudget);
    assert!(error.to_string().contains("gcp"), "{error}");
    assert_eq!(world.stores["gcp"].gets(), asked, "the dear site was asked");
    assert!(world.sites.cost_usd(&log.snapshot()) <= 1.5 * price);
    let rich = ReadLog::within(None);
    assert_eq!(read(&world, &both, &rich).await.unwrap(), expected());
}

#[tokio::test]
async fn an_unknown_key_shape_is_refused_with_a_reason() {
    let world = world();
    for (bad, why) in [
        ("gs://lake/t//a", "empty segment"),
        ("gs://lake/t/", "directory"),
        ("gs://lake/../a", "addressed"),
    ] {
        let error = world
            .sites
            .read_whole(&file(bad, 1), &route(&["gcp"]), DATA, &ReadLog::new())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), SitesErrorKind::Invalid, "{bad}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let error = world
        .sites
        .read_whole(&file("gs://other/a", 1), &route(&[]), DATA, &ReadLog::new())
        .await
        .unwrap_err();
    assert!(matches!(error, SitesError::NotMapped { .. }), "{error}");
}

#[tokio::test]
async fn a_slow_site_is_still_read_within_its_time_out() {
    let world = filled(&["dc-east"]).await;
    world.stores["dc-east"].set(Some(Fault::Slow(Duration::from_millis(20))));
    let log = ReadLog::new();
    assert_eq!(read(&world, &["dc-east"], &log).await.unwrap(), expected());
    assert!(data_of(&log, "dc-east").first_byte.unwrap() >= Duration::from_millis(20));
}

#[tokio::test]
async fn a_recorded_length_that_no_file_has_is_refused_before_anything_is_asked_for() {
    let world = filled(&["gcp"]).await;
    let (huge, log) = (file(URI, i64::MAX as u64), ReadLog::new());
    let origin = route(&[]);
    let whole = world.sites.read_whole(&huge, &origin, DATA, &log).await;
    let whole = whole.unwrap_err();
    assert_eq!(whole.kind(), SitesErrorKind::Invalid);
    assert!(whole.to_string().contains("9223372036854775807"), "{whole}");
    let all = std::slice::from_ref(&(0..i64::MAX as u64));
    let ranges = world.sites.read_ranges(&huge, &origin, all, DATA, &log);
    assert_eq!(ranges.await.unwrap_err().kind(), SitesErrorKind::Invalid);
    assert_eq!(world.stores["gcp"].gets(), 0);
}

#[tokio::test]
async fn a_copy_that_one_table_has_doubts_about_still_serves_another_that_knows_no_size() {
    let world = filled(&["gcp", "dc-east"]).await;
    let log = ReadLog::new();
    // Somebody's metadata records a length that the file never had: the origin's copy is no better.
    let (wrong, east) = (file(URI, 999), route(&["dc-east"]));
    let first = std::slice::from_ref(&(0..10));
    let read = world.sites.read_ranges(&wrong, &east, first, DATA, &log);
    read.await.unwrap_err();
    world.stores["gcp"].set(Some(Fault::Refuses503));
    let at = uri(URI);
    let accept = |bytes: Bytes| async move { Ok::<_, String>(bytes.len()) };
    let read = world.sites.read_accepted(&at, &east, &log, accept);
    assert_eq!(read.await.unwrap(), 1_000_000);
}

/// All turns of a site, as reads that hang would have them.
fn all_turns(world: &World, name: &str) -> (usize, u32) {
    let index = world.sites.shared.index(&site(name)).unwrap();
    let free = world.sites.shared.sites[index].turns.available_permits();
    (index, u32::try_from(free).unwrap())
}

#[tokio::test]
async fn a_read_waits_no_longer_for_a_turn_than_for_an_answer_where_another_site_has_the_file() {
    let world = hasty(&["dc-east", "gcp"]);
    world
        .put(&["gcp", "dc-east"], KEY, &pattern(1_000_000))
        .await;
    let (east, turns) = all_turns(&world, "dc-east");
    let shared = &world.sites.shared;
    let taken = shared.sites[east].turns.acquire_many(turns).await.unwrap();
    let log = ReadLog::new();
    let read = read(&world, &["dc-east", "gcp"], &log).await;
    assert_eq!(read.unwrap(), expected());
    assert_eq!(data_of(&log, "dc-east").requests, 0);
    assert_eq!(shared.health.state(east), (HealthState::Up, None));
    drop(taken);
}

/// A read that waits for a turn at dc-east, which is ejected meanwhile.
async fn read_while_ejected(world: &World, log: &ReadLog) -> Vec<Bytes> {
    let (east, turns) = all_turns(world, "dc-east");
    let shared = &world.sites.shared;
    let taken = shared.sites[east].turns.acquire_many(turns).await.unwrap();
    let ejected = async {
        // The read has come by now: both are polled in this order, by one task.
        for _ in 0..5 {
            shared.health.begin(east).failed("time-out");
        }
        drop(taken);
    };
    let read = read(world, &["dc-east", "gcp"], log);
    let (read, ()) = futures::join!(read, ejected);
    read.unwrap()
}

#[tokio::test]
async fn a_turn_at_a_site_that_stopped_answering_meanwhile_is_not_taken() {
    let world = filled(&["gcp", "dc-east"]).await;
    let log = ReadLog::new();
    assert_eq!(read_while_ejected(&world, &log).await, expected());
    assert_eq!(world.stores["dc-east"].gets(), 0);
}

#[tokio::test]
async fn a_site_that_was_waited_for_in_vain_is_asked_once_more_when_no_other_gives_the_file() {
    let world = filled(&["gcp", "dc-east"]).await;
    world.stores["gcp"].set(Some(Fault::Refuses503));
    let log = ReadLog::new();
    assert_eq!(read_while_ejected(&world, &log).await, expected());
    assert!(world.stores["gcp"].gets() > 0);
    assert_eq!(data_of(&log, "dc-east").bytes, 110);
}

#[tokio::test]
async fn the_last_try_of_a_site_waits_for_its_turn_as_long_as_it_takes_and_is_the_last() {
    let world = hasty(&["dc-east", "gcp"]);
    world
        .put(&["gcp", "dc-east"], KEY, &pattern(1_000_000))
        .await;
    world.stores["gcp"].set(Some(Fault::Refuses503));
    world.stores["dc-east"].set(Some(Fault::Denies));
    let (east, turns) = all_turns(&world, "dc-east");
    let shared = &world.sites.shared;
    let taken = shared.sites[east].turns.acquire_many(turns).await.unwrap();
    let log = ReadLog::new();
    let freed = async {
        while world.stores["gcp"].gets() == 0 {
            tokio::task::yield_now().await;
        }
        let waits = shared.sites[east].timeouts.request * 2;
        assert_eq!(world.stores["dc-east"].gets(), 0);
        tokio::time::sleep(waits).await;
        drop(taken);
    };
    let read = read(&world, &["dc-east", "gcp"], &log);
    let (read, ()) = futures::join!(read, freed);
    let error = read.unwrap_err();
    assert_eq!(error.kind(), SitesErrorKind::Unavailable);
    assert_eq!(
        error.to_string().matches("`dc-east`: ").count(),
        1,
        "{error}"
    );
    assert!(world.stores["dc-east"].gets() > 0);
}
