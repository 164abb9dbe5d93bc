//! How old a pointer may be, and what happens while its member is out of reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use landfast_catalog::{
    CatalogError, CatalogErrorKind, Freshness, Namespace, NamespaceSpec, Reading, RestSpec,
};
use landfast_sites::ReadLog;
use serde_json::json;

use crate::lake::{HandClock, Lake, Shape, table_name};
use crate::rest_double::{Reply, RestDouble};

const TABLE: &str = "/v1/namespaces/shop/tables/orders";

/// A member with one table, which can be taken down, over a clock that the test moves.
struct Scene {
    _lake: Lake,
    namespace: Arc<Namespace>,
    clock: Arc<HandClock>,
    double: RestDouble,
    down: Arc<AtomicBool>,
}

impl Scene {
    /// `load_takes` is how long the member thinks about each question, by the test's clock.
    async fn new(load_takes: Duration) -> Self {
        let (lake, clock) = (Lake::new(), HandClock::new());
        let written = lake.table("orders", Shape::default()).await;
        let document: serde_json::Value =
            serde_json::from_slice(&lake.get("cloud", written.metadata.as_str())).unwrap();
        let down = Arc::new(AtomicBool::new(false));
        let (is_down, ticking) = (down.clone(), clock.clone());
        let double = RestDouble::start(move |seen| {
            if is_down.load(Ordering::SeqCst) {
                return Some(Reply::Nothing(503));
            }
            ticking.pass(load_takes);
            let answer =
                json!({"metadata-location": written.metadata.as_str(), "metadata": document});
            (seen.path() == TABLE).then(|| Reply::ok(answer))
        })
        .await;
        let spec = NamespaceSpec::new(vec![double.member(RestSpec::default())]);
        let namespace = Namespace::with_clock(spec, lake.sites.clone(), clock.clone()).unwrap();
        Self {
            _lake: lake,
            namespace,
            clock,
            double,
            down,
        }
    }

    async fn read(&self, reading: Reading) -> Result<(Duration, bool), CatalogError> {
        let table = self
            .namespace
            .resolve(&table_name("orders"), reading, &ReadLog::new())
            .await?;
        Ok((table.pointer_age(), table.stale))
    }

    fn loads(&self) -> usize {
        self.double.count("GET", TABLE)
    }
}

fn bounded(seconds: u64, stale_allowed: bool) -> Reading {
    Reading {
        freshness: Freshness::Bounded(Duration::from_secs(seconds)),
        stale_allowed,
    }
}

#[tokio::test]
async fn a_bounded_read_asks_again_once_its_time_is_over() {
    let scene = Scene::new(Duration::ZERO).await;
    scene.read(bounded(60, false)).await.unwrap();
    scene.clock.pass(Duration::from_secs(60));
    assert_eq!(
        scene.read(bounded(60, false)).await.unwrap(),
        (Duration::from_secs(60), false)
    );
    assert_eq!(scene.loads(), 1);
    scene.clock.pass(Duration::from_secs(1));
    assert_eq!(
        scene.read(bounded(60, false)).await.unwrap(),
        (Duration::ZERO, false)
    );
    assert_eq!(
        scene.loads(),
        2,
        "a quiet table is fresh again once it is confirmed"
    );
}

#[tokio::test]
async fn age_counts_from_when_the_validation_began() {
    let scene = Scene::new(Duration::from_secs(30)).await;
    let (age, _) = scene.read(bounded(60, false)).await.unwrap();
    // The configuration and the table: each took 30 s, and what was committed meanwhile may be missing.
    assert_eq!(age, Duration::from_secs(60));
    scene.clock.pass(Duration::from_secs(1));
    scene.read(bounded(60, false)).await.unwrap();
    assert_eq!(scene.loads(), 2);
}

#[tokio::test]
async fn a_strong_read_always_asks_and_readers_at_once_share_one_question() {
    let scene = Scene::new(Duration::ZERO).await;
    scene.read(Reading::STRONG).await.unwrap();
    scene.clock.pass(Duration::from_millis(1));
    let all = futures::future::join_all((0..10).map(|_| scene.read(Reading::STRONG))).await;
    assert!(all.iter().all(Result::is_ok));
    // The first reader's question, and one more for all who came after it was put: it may have missed what they must see.
    assert!((2..=3).contains(&scene.loads()), "{}", scene.loads());
}

#[tokio::test]
async fn without_its_member_a_strong_read_fails_and_a_bounded_one_serves_until_its_time_is_over() {
    let scene = Scene::new(Duration::ZERO).await;
    scene.read(bounded(60, false)).await.unwrap();
    scene.down.store(true, Ordering::SeqCst);
    let error = scene.read(Reading::STRONG).await.unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Unavailable);
    let strong = Reading {
        stale_allowed: true,
        ..Reading::STRONG
    };
    assert!(
        scene.read(strong).await.is_err(),
        "strong is strong, stale reads or not"
    );
    scene.clock.pass(Duration::from_secs(59));
    assert_eq!(
        scene.read(bounded(60, false)).await.unwrap(),
        (Duration::from_secs(59), false)
    );
    scene.clock.pass(Duration::from_secs(2));
    let error = scene.read(bounded(60, false)).await.unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Stale);
    assert!(error.to_string().contains("61 s"), "{error}");
}

#[tokio::test]
async fn where_stale_reads_are_allowed_an_old_pointer_serves_labelled_for_a_day_at_most() {
    let scene = Scene::new(Duration::ZERO).await;
    scene.read(bounded(60, true)).await.unwrap();
    scene.down.store(true, Ordering::SeqCst);
    scene.clock.pass(Duration::from_secs(3_600));
    assert_eq!(
        scene.read(bounded(60, true)).await.unwrap(),
        (Duration::from_secs(3_600), true)
    );
    let asked = scene.loads();
    assert!(scene.read(bounded(60, true)).await.unwrap().1);
    assert_eq!(
        scene.loads(),
        asked,
        "a member that just failed isn't waited for again"
    );
    scene.clock.pass(Duration::from_secs(23 * 3_600));
    assert!(
        scene.read(bounded(60, true)).await.unwrap().1,
        "exactly a day"
    );
    scene.clock.pass(Duration::from_secs(60));
    let error = scene.read(bounded(60, true)).await.unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Stale);
    scene.down.store(false, Ordering::SeqCst);
    scene.clock.pass(Duration::from_secs(60));
    assert_eq!(
        scene.read(bounded(60, true)).await.unwrap(),
        (Duration::ZERO, false)
    );
}

#[tokio::test]
async fn no_bound_is_wider_than_a_day() {
    let scene = Scene::new(Duration::ZERO).await;
    scene.read(bounded(u64::MAX, false)).await.unwrap();
    scene.clock.pass(Duration::from_secs(24 * 3_600 + 1));
    scene.read(bounded(u64::MAX, false)).await.unwrap();
    assert_eq!(scene.loads(), 2);
}

#[tokio::test]
async fn a_change_through_this_process_is_seen_by_its_next_query() {
    let lake = Lake::new();
    let first = lake.table("first", Shape::default()).await;
    let second = lake.table("second", Shape::default()).await;
    let spec = NamespaceSpec::new(vec![crate::sql::member(&lake)]);
    let namespace = Namespace::with_clock(spec, lake.sites.clone(), HandClock::new()).unwrap();
    let name = table_name("orders");
    let at = async || {
        let table = namespace
            .resolve(&name, bounded(60, true), &ReadLog::new())
            .await?;
        Ok::<_, CatalogError>(table.metadata_location.clone())
    };
    crate::sql::register(&lake, &namespace, "orders", &first.metadata).await;
    assert_eq!(at().await.unwrap(), first.metadata);
    namespace.drop_table(&name).await.unwrap();
    assert_eq!(at().await.unwrap_err().kind(), CatalogErrorKind::NotFound);
    assert!(namespace.listing().await.entries.is_empty());
    namespace
        .register_table(&name, &second.metadata)
        .await
        .unwrap();
    assert_eq!(at().await.unwrap(), second.metadata);
    assert_eq!(
        namespace.listing().await.entries,
        std::slice::from_ref(&name)
    );
}
