use std::path::Path;
use std::time::Duration;

use crate::id::FileId;
use crate::inventory::Holding;
use crate::link::{Link, LinkSpec};
use crate::sites::Sites;
use crate::spec::{FileSpec, Holdings, SimulatedLink, SiteSpec, SitesSpec, StoreSpec, Timeouts};
use crate::tally::{ReadClass, ReadLog};
use crate::testing::{file, mapping, route, site, uri};

fn write(root: &Path, at: &str, bytes: &[u8]) {
    let path = root.join(at);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// `origin` and `near` as directories, with two buckets and one canonical directory.
fn sites(root: &Path, simulated: Option<SimulatedLink>) -> std::sync::Arc<Sites> {
    let spec = |name: &str, origin: bool| SiteSpec {
        id: site(name),
        store: StoreSpec::File(FileSpec {
            root: root.join(name),
        }),
        mappings: vec![
            mapping("gs://lake/", None, origin),
            mapping("gs://other/", None, origin),
            mapping(
                &format!("file://{}/plain", root.join("origin").display()),
                Some("plain"),
                origin,
            ),
        ],
        holdings: Holdings::Listed {
            refresh: Duration::from_secs(3600),
        },
        simulated,
        timeouts: Timeouts::default(),
    };
    let link = Link {
        latency: Duration::from_millis(40),
        bandwidth_bytes_per_s: 1 << 30,
        usd_per_gib: 0.0,
    };
    let links = vec![LinkSpec {
        from: site("origin"),
        to: site("near"),
        link,
    }];
    Sites::new(SitesSpec {
        sites: vec![spec("origin", true), spec("near", false)],
        links,
        reader: site("near"),
    })
    .unwrap()
}

async fn read(sites: &Sites, at: &FileId, names: &[&str]) -> String {
    let log = ReadLog::new();
    let bytes = sites
        .read_whole(at, &route(names), ReadClass::Data, &log)
        .await
        .unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn keys_with_percent_signs_and_blanks_name_the_files_that_are_so_called() {
    let dir = tempfile::tempdir().unwrap();
    let keys = [
        "t/d=2026%3A01/a b.parquet",
        "t/ü%20/100%.parquet",
        "t/d=2026:01/a#x.parquet",
        "t/+&=?.parquet",
    ];
    for name in ["origin", "near"] {
        for key in keys {
            write(dir.path(), &format!("{name}/lake/{key}"), key.as_bytes());
        }
    }
    let sites = sites(dir.path(), None);
    let root = uri("gs://lake/t");
    sites
        .inventory()
        .ready(&root, Duration::from_secs(20))
        .await;
    for key in keys {
        let at = file(&format!("gs://lake/{key}"), key.len() as u64);
        assert_eq!(read(&sites, &at, &["near"]).await, key);
        assert_eq!(
            sites.inventory().holding(&site("near"), &at, &root),
            Holding::Held,
            "{key}"
        );
    }
    // The encoded spelling is another file, and there is none.
    let encoded = FileId::new(uri("gs://lake/t/d=2026%253A01/a b.parquet"), None);
    sites
        .read_whole(
            &encoded,
            &route(&["near"]),
            ReadClass::Data,
            &ReadLog::new(),
        )
        .await
        .unwrap_err();
    let listed = sites.list(&site("near"), &root, 100).await.unwrap();
    let mut listed: Vec<String> = listed.into_iter().map(|l| l.uri.to_string()).collect();
    listed.sort();
    let mut expected = keys.map(|key| format!("gs://lake/{key}"));
    expected.sort();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn one_key_in_two_buckets_is_two_files() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "origin/lake/t/a", b"of lake");
    write(dir.path(), "origin/other/t/a", b"another");
    write(dir.path(), "near/lake/t/a", b"of lake");
    let sites = sites(dir.path(), None);
    // A miss in one bucket says nothing about the other.
    for _ in 0..2 {
        assert_eq!(
            read(&sites, &file("gs://lake/t/a", 7), &["near"]).await,
            "of lake"
        );
        assert_eq!(
            read(&sites, &file("gs://other/t/a", 7), &["near"]).await,
            "another"
        );
    }
    sites
        .inventory()
        .ready(&uri("gs://lake/t"), Duration::from_secs(20))
        .await;
    sites
        .inventory()
        .ready(&uri("gs://other/t"), Duration::from_secs(20))
        .await;
    let holding = |at: &str, root: &str| {
        sites
            .inventory()
            .holding(&site("near"), &file(at, 7), &uri(root))
    };
    assert_eq!(holding("gs://lake/t/a", "gs://lake/t"), Holding::Held);
    assert_eq!(holding("gs://other/t/a", "gs://other/t"), Holding::Absent);
}

#[tokio::test]
async fn all_spellings_of_a_path_read_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "near/plain/a b%3A", b"plain");
    let sites = sites(dir.path(), None);
    let path = dir.path().join("origin/plain/a b%3A");
    for spelling in ["file:", "file://", ""] {
        assert_eq!(
            read(
                &sites,
                &file(&format!("{spelling}{}", path.display()), 5),
                &["near"]
            )
            .await,
            "plain"
        );
    }
}

#[tokio::test]
async fn many_ranges_of_one_file_come_from_one_opened_file() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = crate::testing::pattern(3 << 20);
    write(dir.path(), "near/lake/t/a", &bytes);
    for simulated in [
        None,
        Some(SimulatedLink {
            latency: Duration::from_millis(1),
            bandwidth_bytes_per_s: None,
        }),
    ] {
        let sites = sites(dir.path(), simulated);
        let log = ReadLog::new();
        let ranges = [0..10, 2_000_000..2_000_100, 1_000_000..1_100_000];
        let near = route(&["near"]);
        let at = file("gs://lake/t/a", 3 << 20);
        let read = sites
            .read_ranges(&at, &near, &ranges, ReadClass::Data, &log)
            .await
            .unwrap();
        for (range, read) in ranges.iter().zip(&read) {
            assert!(read[..] == bytes[range.start as usize..range.end as usize]);
        }
        let reads = log.snapshot()[0].data;
        assert_eq!(reads.requests, 3);
        assert_eq!(reads.bytes, 100_110);
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_yet_falls_through_and_is_found_when_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "origin/lake/t/a", b"origin's");
    let sites = sites(dir.path(), None);
    let at = file("gs://lake/t/a", 8);
    assert_eq!(read(&sites, &at, &["near"]).await, "origin's");
    let report = sites.probe(&site("near")).await.unwrap();
    assert!(
        !report.is_ok() && report.to_string().contains("FAILED"),
        "{report}"
    );
    write(dir.path(), "near/lake/t/a", b"near one");
    assert_eq!(read(&sites, &at, &["near"]).await, "near one");
    let report = sites.probe(&site("near")).await.unwrap();
    assert!(report.is_ok(), "{report}");
}
