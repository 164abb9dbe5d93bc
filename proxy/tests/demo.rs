//! The demo, at a tiny scale, in this process: what it reads from where, by the receipts.

#![allow(
    clippy::unwrap_used,
    reason = "a test that can't make its lake stops there"
)]

use std::collections::BTreeMap;
use std::path::Path;

use landfast_proxy::demo::{Comparison, DemoArgs, House, HouseState, compare, run};
use landfast_proxy::{config, serve};

const SCALE_FACTOR: f64 = 0.01;

async fn make(dir: &Path) -> House {
    let house = House::open(dir, SCALE_FACTOR).unwrap();
    assert_eq!(house.state(), &HouseState::Missing("there is none yet"));
    house.build().await.unwrap();
    House::open(dir, SCALE_FACTOR).unwrap()
}

fn query<'a>(comparisons: &'a [Comparison], words: &str) -> &'a Comparison {
    comparisons
        .iter()
        .find(|c| c.query.title.contains(words))
        .unwrap()
}

fn sites(bytes: &BTreeMap<String, u64>) -> Vec<&str> {
    bytes
        .iter()
        .filter(|(_, bytes)| **bytes > 0)
        .map(|(site, _)| site.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_reads_each_file_from_its_nearest_copy_and_answers_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let house = make(dir.path()).await;
    assert_eq!(house.state(), &HouseState::Ready);
    let config = config::parse(&house.config("127.0.0.1:0".parse().unwrap()), house.dir()).unwrap();
    let running = serve::start(config).await.unwrap();
    // An answer that differs between the placements would be an error here.
    let comparisons = compare(running.flight_addr()).await.unwrap();
    running.shutdown().await.unwrap();

    for comparison in &comparisons {
        let title = comparison.query.title;
        assert!(comparison.origin.rows > 0, "{title}");
        assert_eq!(sites(&comparison.origin.bytes), ["gcp"], "{title}");
        assert!(comparison.origin.usd > 0.0, "{title}");
        assert!(comparison.nearest.usd < comparison.origin.usd, "{title}");
        let bytes = |bytes: &BTreeMap<String, u64>| bytes.values().sum::<u64>();
        assert_eq!(
            bytes(&comparison.origin.bytes),
            bytes(&comparison.nearest.bytes),
            "{title}"
        );
    }
    let nearest = |words| sites(&query(&comparisons, words).nearest.bytes);
    assert_eq!(nearest("1997"), ["dc-east"]);
    assert_eq!(nearest("discounts"), ["dc-west"]);
    assert_eq!(nearest("late orders"), ["dc-east", "dc-west"]);
    assert_eq!(nearest("pricing summary"), ["dc-east", "dc-west", "gcp"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_after_its_report_and_a_second_start_uses_the_lake_again() {
    let dir = tempfile::tempdir().unwrap();
    let args = DemoArgs {
        scale_factor: 0.001,
        dir: dir.path().join("lake"),
        listen: "127.0.0.1:0".parse().unwrap(),
        exit: true,
    };
    let mut first = Vec::new();
    run(args.clone(), &mut first).await.unwrap();
    let first = String::from_utf8(first).unwrap();
    assert!(first.contains("Making a lake"), "{first}");
    assert!(
        first.contains("The answers are the same, row by row."),
        "{first}"
    );
    assert!(first.contains("Nearest copies: "), "{first}");

    let mark = std::fs::metadata(args.dir.join("catalog.db"))
        .unwrap()
        .modified()
        .unwrap();
    let mut second = Vec::new();
    run(args.clone(), &mut second).await.unwrap();
    let second = String::from_utf8(second).unwrap();
    assert!(second.contains("Using the lake"), "{second}");
    assert_eq!(
        std::fs::metadata(args.dir.join("catalog.db"))
            .unwrap()
            .modified()
            .unwrap(),
        mark
    );
}
