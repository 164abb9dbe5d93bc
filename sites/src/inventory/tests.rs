use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Holding, InventoryLimits};
use crate::clock;
use crate::id::FileId;
use crate::spec::Holdings;
use crate::tally::{ReadClass, ReadLog};
use crate::testing::{Fault, Setting, World, file, mapping, pattern, route, site, uri};

const ROOT: &str = "gs://lake/t";
const A: &str = "gs://lake/t/data/a.parquet";
const B: &str = "gs://lake/t/data/b.parquet";
const LISTED: Holdings = Holdings::Listed {
    refresh: Duration::from_secs(3600),
};
const SOON: Duration = Duration::from_secs(20);

fn holding(world: &World, name: &str, file: &FileId) -> Holding {
    world
        .sites
        .inventory()
        .holding(&site(name), file, &uri(ROOT))
}

#[tokio::test]
async fn what_is_listed_is_held_and_what_is_not_is_absent() {
    let world = World::new(LISTED);
    world.put(&["dc-east"], "t/data/a.parquet", b"12345").await;
    let inventory = world.sites.inventory();
    assert_eq!(
        holding(&world, "dc-east", &file(A, 5)),
        Holding::Unknown,
        "nobody has looked yet"
    );
    inventory.ready(&uri(ROOT), SOON).await;
    assert_eq!(holding(&world, "dc-east", &file(A, 5)), Holding::Held);
    assert_eq!(holding(&world, "dc-east", &file(B, 5)), Holding::Absent);
    assert_eq!(holding(&world, "dc-west", &file(A, 5)), Holding::Absent);
    assert_eq!(
        holding(&world, "gcp", &file(B, 5)),
        Holding::Held,
        "the origin always counts as holding"
    );
    assert_eq!(
        holding(&world, "dc-east", &file("gs://lake/elsewhere/a", 5)),
        Holding::Unknown
    );
    let listings = inventory.listings();
    let east = listings.iter().find(|l| l.site == site("dc-east")).unwrap();
    assert_eq!(
        (east.files, east.bytes, &east.error),
        (Some(1), Some(5), &None)
    );
    assert!(
        listings.iter().all(|l| l.site != site("gcp")),
        "an origin is not listed"
    );
}

#[tokio::test]
async fn a_listed_replica_of_another_size_is_quarantined_until_a_later_listing_shows_it_repaired() {
    let world = World::new(LISTED);
    world.put(&["dc-east"], "t/data/a.parquet", b"1234").await;
    let inventory = world.sites.inventory();
    inventory.ready(&uri(ROOT), SOON).await;
    assert_eq!(holding(&world, "dc-east", &file(A, 5)), Holding::Absent);
    let quarantined = world.sites.quarantined();
    assert_eq!(
        (quarantined[0].expected_bytes, quarantined[0].found_bytes),
        (5, 4)
    );
    world.put(&["dc-east"], "t/data/a.parquet", b"12345").await;
    clock::advance(Duration::from_secs(1));
    inventory.refresh(&uri(ROOT)).await;
    assert_eq!(holding(&world, "dc-east", &file(A, 5)), Holding::Held);
    assert!(world.sites.quarantined().is_empty());
}

#[tokio::test]
async fn a_full_mirror_is_believed_until_a_read_finds_a_file_missing() {
    let world = World::new(Holdings::AssumeAll);
    world.put(&["gcp"], "t/data/a.parquet", b"12345").await;
    assert_eq!(holding(&world, "dc-east", &file(A, 5)), Holding::Held);
    let log = ReadLog::new();
    world
        .sites
        .read_whole(&file(A, 5), &route(&["dc-east"]), ReadClass::Data, &log)
        .await
        .unwrap();
    assert_eq!(holding(&world, "dc-east", &file(A, 5)), Holding::Absent);
    assert_eq!(holding(&world, "dc-east", &file(B, 5)), Holding::Held);
}

#[tokio::test]
async fn a_miss_counts_until_a_later_listing_shows_the_file() {
    let world = World::new(LISTED);
    world
        .put(&["gcp", "dc-east"], "t/data/a.parquet", b"12345")
        .await;
    let inventory = world.sites.inventory();
    inventory.ready(&uri(ROOT), SOON).await;
    world.stores["dc-east"].remove("t/data/a.parquet").await;
    clock::advance(Duration::from_secs(1));
    world
        .sites
        .read_whole(
            &file(A, 5),
            &route(&["dc-east"]),
            ReadClass::Data,
            &ReadLog::new(),
        )
        .await
        .unwrap();
    assert_eq!(holding(&world, "dc-east", &file(A, 5)), Holding::Absent);
    world.put(&["dc-east"], "t/data/a.parquet", b"12345").await;
    clock::advance(Duration::from_secs(1));
    inventory.refresh(&uri(ROOT)).await;
    assert_eq!(holding(&world, "dc-east", &file(A, 5)), Holding::Held);
}

#[tokio::test]
async fn a_root_is_listed_once_however_many_queries_ask_for_it() {
    let world = World::new(LISTED);
    let inventory = world.sites.inventory();
    for _ in 0..100 {
        inventory.watch(&uri(ROOT));
        inventory.ready(&uri("gs://lake/t/"), SOON).await;
    }
    assert_eq!(world.stores["dc-east"].lists.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_root_with_too_many_files_is_unknown_rather_than_wrong() {
    let limits = InventoryLimits {
        files_per_root_max: 2,
        ..InventoryLimits::default()
    };
    let world = World::with(
        LISTED,
        Setting {
            limits,
            ..Setting::default()
        },
    );
    for key in ["a", "b", "c"] {
        world
            .put(&["dc-east"], &format!("t/data/{key}.parquet"), b"12345")
            .await;
    }
    world.sites.inventory().ready(&uri(ROOT), SOON).await;
    assert_eq!(holding(&world, "dc-east", &file(A, 5)), Holding::Unknown);
    assert_eq!(holding(&world, "dc-west", &file(A, 5)), Holding::Absent);
    let listings = world.sites.inventory().listings();
    assert!(listings.iter().any(|l| {
        l.error
            .as_ref()
            .is_some_and(|e| e.contains("more than 2 files"))
    }));
}

#[tokio::test]
async fn the_least_recently_used_roots_make_room_for_new_ones() {
    let limits = InventoryLimits {
        roots_max: 2,
        files_max: 3,
        ..InventoryLimits::default()
    };
    let world = World::with(
        LISTED,
        Setting {
            limits,
            ..Setting::default()
        },
    );
    for (root, files) in [("a", 1), ("b", 1), ("c", 1), ("d", 3)] {
        for n in 0..files {
            world.put(&["dc-east"], &format!("{root}/{n}"), b"1").await;
        }
    }
    let inventory = world.sites.inventory();
    let roots = |inventory: &super::Inventory| {
        let mut roots: Vec<String> = inventory
            .listings()
            .iter()
            .map(|l| l.root.to_string())
            .collect();
        roots.dedup();
        roots
    };
    for root in ["a", "b", "c"] {
        inventory
            .ready(&uri(&format!("gs://lake/{root}")), SOON)
            .await;
        clock::advance(Duration::from_secs(1));
    }
    assert_eq!(
        roots(inventory),
        ["gs://lake/b", "gs://lake/c"],
        "by number"
    );
    inventory.ready(&uri("gs://lake/d"), SOON).await;
    assert_eq!(roots(inventory), ["gs://lake/d"], "by files");
    assert_eq!(
        inventory.holding(
            &site("dc-east"),
            &file("gs://lake/d/2", 1),
            &uri("gs://lake/d")
        ),
        Holding::Held
    );
}

#[tokio::test]
async fn a_listing_that_fails_keeps_what_was_listed_before() {
    let world = World::new(LISTED);
    world.put(&["dc-east"], "t/data/a.parquet", b"12345").await;
    let inventory = world.sites.inventory();
    inventory.ready(&uri(ROOT), SOON).await;
    world.stores["dc-east"].set(Some(Fault::Refuses503));
    inventory.refresh(&uri(ROOT)).await;
    assert_eq!(holding(&world, "dc-east", &file(A, 5)), Holding::Held);
    let east = inventory
        .listings()
        .into_iter()
        .find(|l| l.site == site("dc-east"))
        .unwrap();
    assert_eq!(
        east.error.as_deref(),
        Some("the store answered with HTTP status 503")
    );
}

#[tokio::test]
async fn listings_that_hang_hold_up_nobody_and_end_with_the_sites() {
    let world = World::new(LISTED);
    world.stores["dc-east"].hang_listings();
    let inventory = world.sites.inventory();
    inventory.ready(&uri(ROOT), Duration::from_millis(1)).await;
    assert_eq!(holding(&world, "dc-east", &file(A, 5)), Holding::Unknown);
    {
        let root = uri(ROOT);
        let again = inventory.ready(&root, Duration::from_millis(1));
        futures::pin_mut!(again);
        assert!(
            futures::poll!(again).is_ready(),
            "what was waited for in vain is not waited for again"
        );
    }
    let shared = Arc::downgrade(&world.sites.shared);
    drop(world);
    // The aborted tasks are dropped when the runtime next looks at them.
    while shared.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_longer_rule_below_a_root_is_listed_in_its_own_place() {
    let more = vec![mapping(
        "gs://lake/t/data/hot/",
        Some("lake/elsewhere"),
        false,
    )];
    let world = World::with(
        LISTED,
        Setting {
            more,
            ..Setting::default()
        },
    );
    world.put(&["dc-east"], "elsewhere/a", b"12345").await;
    world.put(&["dc-east"], "t/data/hot/shadowed", b"1").await;
    world.put(&["dc-east"], "t/data/cold", b"1").await;
    world.sites.inventory().ready(&uri(ROOT), SOON).await;
    assert_eq!(
        holding(&world, "dc-east", &file("gs://lake/t/data/hot/a", 5)),
        Holding::Held
    );
    assert_eq!(
        holding(&world, "dc-east", &file("gs://lake/t/data/hot/shadowed", 1)),
        Holding::Absent
    );
    assert_eq!(
        holding(&world, "dc-east", &file("gs://lake/t/data/cold", 1)),
        Holding::Held
    );
    let at = file("gs://lake/t/data/hot/a", 5);
    let (east, log) = (route(&["dc-east"]), ReadLog::new());
    assert_eq!(
        world
            .sites
            .read_whole(&at, &east, ReadClass::Data, &log)
            .await
            .unwrap(),
        "12345"
    );
    assert_eq!(log.snapshot().len(), 1, "only dc-east was asked");
}

#[tokio::test]
async fn a_listed_file_that_may_not_be_resident_is_held_once_a_read_came_back_at_local_speed() {
    let holdings = Holdings::ListedNotAlwaysResident {
        refresh: Duration::from_secs(3600),
    };
    // A link slow enough that even a busy machine reads memory faster.
    let world = World::with(
        holdings,
        Setting {
            latency_ms: 300,
            ..Setting::default()
        },
    );
    world
        .put(&["dc-east"], "t/data/a.parquet", &pattern(1000))
        .await;
    world
        .put(&["dc-east"], "t/data/b.parquet", &pattern(1000))
        .await;
    world.sites.inventory().ready(&uri(ROOT), SOON).await;
    assert_eq!(
        world
            .sites
            .inventory()
            .holding(&site("dc-east"), &file(A, 1000), &uri("gs://lake/u")),
        Holding::Absent,
        "what nobody listed is no better"
    );
    let read = async |at: &str| {
        let file = file(at, 1000);
        world
            .sites
            .read_whole(
                &file,
                &route(&["dc-east"]),
                ReadClass::Data,
                &ReadLog::new(),
            )
            .await
            .unwrap()
    };
    // A fetched file takes longer than the link explains; the configured latency to dc-east is 301 ms.
    world.stores["dc-east"].set(Some(Fault::Slow(Duration::from_millis(1000))));
    read(A).await;
    assert_eq!(holding(&world, "dc-east", &file(A, 1000)), Holding::Absent);
    world.stores["dc-east"].set(None);
    read(A).await;
    assert_eq!(holding(&world, "dc-east", &file(A, 1000)), Holding::Held);
    // And a file that is asked about is looked at in the background, or it would never be read there.
    assert_eq!(holding(&world, "dc-east", &file(B, 1000)), Holding::Absent);
    while holding(&world, "dc-east", &file(B, 1000)) == Holding::Absent {
        tokio::task::yield_now().await;
    }
    assert_eq!(holding(&world, "dc-east", &file(B, 1000)), Holding::Held);
}

#[tokio::test]
async fn metadata_goes_to_near_sites_first_and_to_those_without_it_last() {
    let world = World::new(LISTED);
    let names = |at: &str| {
        let route = world.sites.route(&uri(at));
        route
            .sites()
            .iter()
            .map(|s| s.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let metadata = "gs://lake/t/metadata/v1.json";
    assert_eq!(
        names(metadata),
        ["dc-east", "gcp", "dc-west"],
        "nothing is known: near sites are worth asking"
    );
    world.put(&["dc-west"], "t/metadata/v1.json", b"{}").await;
    world.sites.inventory().ready(&uri(ROOT), SOON).await;
    assert_eq!(names(metadata), ["dc-west", "gcp", "dc-east"]);
}
