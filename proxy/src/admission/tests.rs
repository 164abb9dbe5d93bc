use super::*;

fn ann() -> Arc<str> {
    Arc::from("ann")
}

fn bob() -> Arc<str> {
    Arc::from("bob")
}

fn admission(concurrent: usize, queued: usize, timeout: Duration) -> Arc<Admission> {
    Admission::new(&Limits {
        concurrent_queries: concurrent,
        queued_queries: queued,
        queue_timeout: timeout,
        ..Limits::default()
    })
}

#[tokio::test]
async fn queries_beyond_the_limit_wait_and_those_beyond_the_queue_are_refused() {
    let admission = admission(1, 1, Duration::from_secs(600));
    let first = admission.admit(&ann(), Stage::New).await.unwrap();
    let waiting = tokio::spawn({
        let admission = admission.clone();
        async move { admission.admit(&ann(), Stage::New).await }
    });
    tokio::task::yield_now().await;
    assert_eq!((admission.running(), admission.waiting()), (1, 1));
    assert_eq!(
        admission.admit(&ann(), Stage::New).await.unwrap_err(),
        LimitError::QueueFull {
            running: 1,
            queued: 1
        }
    );
    drop(first);
    let second = waiting.await.unwrap().unwrap();
    assert_eq!((admission.running(), admission.waiting()), (1, 0));
    drop(second);
    assert_eq!((admission.running(), admission.refused()), (0, 1));
}

#[tokio::test]
async fn a_query_waits_no_longer_than_it_may() {
    let admission = admission(1, 1, Duration::ZERO);
    let _running = admission.admit(&ann(), Stage::New).await.unwrap();
    assert!(matches!(
        admission.admit(&ann(), Stage::New).await,
        Err(LimitError::QueueTimeout { .. })
    ));
    assert_eq!(admission.waiting(), 0);
}

#[tokio::test]
async fn draining_refuses_new_queries_lets_begun_ones_finish_and_waits_for_them() {
    let admission = admission(2, 2, Duration::from_secs(600));
    let running = admission.admit(&ann(), Stage::New).await.unwrap();
    assert!(
        !admission.drain(Duration::ZERO).await,
        "one is still running"
    );
    assert_eq!(
        admission.admit(&ann(), Stage::New).await.unwrap_err(),
        LimitError::Draining
    );
    drop(admission.admit(&ann(), Stage::Continued).await.unwrap());
    drop(running);
    assert!(admission.drain(Duration::from_secs(600)).await);
}

#[tokio::test]
async fn a_stalled_query_lends_its_place_and_comes_back_in_turn() {
    let admission = Admission::new(&Limits {
        concurrent_queries: 1,
        queued_queries: 1,
        stalled_queries: 1,
        ..Limits::default()
    });
    let stalled = admission
        .admit(&ann(), Stage::New)
        .await
        .unwrap()
        .stall()
        .unwrap();
    assert_eq!((admission.running(), admission.stalled()), (0, 1));
    let other = admission.admit(&ann(), Stage::New).await.unwrap();
    let other = other.stall().expect_err("one may be stalled, and one is");
    let mut resumes = Box::pin(stalled.resume());
    assert!(futures::poll!(&mut resumes).is_pending());
    assert!(
        !admission.drain(Duration::ZERO).await,
        "a stalled one has not ended"
    );
    drop(other);
    drop(resumes.await.unwrap());
    assert_eq!((admission.running(), admission.stalled()), (0, 0));
    assert!(admission.drain(Duration::from_secs(600)).await);
}

/// A statement that waits, and then holds its place until it is told.
fn waits(
    admission: &Arc<Admission>,
    asker: &Arc<str>,
) -> tokio::task::JoinHandle<Result<Permit, LimitError>> {
    let (admission, asker) = (admission.clone(), asker.clone());
    tokio::spawn(async move { admission.admit(&asker, Stage::New).await })
}

#[tokio::test]
async fn askers_who_wait_get_places_in_turn_however_many_statements_one_of_them_has() {
    let admission = admission(1, 100, Duration::from_secs(600));
    let mut running = admission.admit(&ann(), Stage::New).await.unwrap();
    let mut of_ann = VecDeque::new();
    for _ in 0..5 {
        of_ann.push_back(waits(&admission, &ann()));
        tokio::task::yield_now().await;
    }
    let mut of_bob = VecDeque::new();
    for _ in 0..2 {
        of_bob.push_back(waits(&admission, &bob()));
        tokio::task::yield_now().await;
    }
    assert_eq!(admission.waiting(), 7);
    for turn in ["ann", "bob", "ann", "bob", "ann", "ann", "ann"] {
        drop(running);
        let next = match turn {
            "ann" => of_ann.pop_front(),
            _ => of_bob.pop_front(),
        };
        running = next.unwrap().await.unwrap().unwrap();
        assert_eq!(&*running.asker, turn);
    }
    drop(running);
    assert_eq!((admission.running(), admission.waiting()), (0, 0));
}

#[tokio::test]
async fn in_a_full_line_the_newest_of_the_asker_with_most_gives_way_to_others() {
    let admission = admission(1, 3, Duration::from_secs(600));
    let running = admission.admit(&ann(), Stage::New).await.unwrap();
    let mut of_ann = vec![];
    for _ in 0..3 {
        of_ann.push(waits(&admission, &ann()));
        tokio::task::yield_now().await;
    }
    let full = LimitError::QueueFull {
        running: 1,
        queued: 3,
    };
    assert_eq!(admission.admit(&ann(), Stage::New).await.unwrap_err(), full);
    let of_bob = waits(&admission, &bob());
    assert_eq!(of_ann.pop().unwrap().await.unwrap().unwrap_err(), full);
    assert_eq!(admission.waiting(), 3);
    // With two of ann's and one of bob's, one more of bob's would only turn the tables.
    assert_eq!(admission.admit(&bob(), Stage::New).await.unwrap_err(), full);
    assert_eq!(admission.refused(), 3);
    drop(running);
    let first = of_ann.remove(0).await.unwrap().unwrap();
    drop(first);
    drop(of_bob.await.unwrap().unwrap());
    drop(of_ann.remove(0).await.unwrap().unwrap());
    assert_eq!((admission.running(), admission.waiting()), (0, 0));
}

#[tokio::test]
async fn whoever_gives_up_waiting_leaves_the_line_and_takes_no_place_along() {
    let admission = admission(1, 3, Duration::from_secs(600));
    let running = admission.admit(&ann(), Stage::New).await.unwrap();
    let mut gives_up = Box::pin(async { admission.admit(&bob(), Stage::New).await });
    assert!(futures::poll!(&mut gives_up).is_pending());
    let mut too_late = Box::pin(async { admission.admit(&bob(), Stage::New).await });
    assert!(futures::poll!(&mut too_late).is_pending());
    assert_eq!(admission.waiting(), 2);
    drop(gives_up);
    assert_eq!(admission.waiting(), 1);
    // The place is handed over, and its taker goes before taking it.
    drop(running);
    assert_eq!((admission.running(), admission.waiting()), (1, 0));
    drop(too_late);
    assert_eq!(admission.running(), 0);
    drop(admission.admit(&ann(), Stage::New).await.unwrap());
}

#[tokio::test]
async fn a_stop_is_told_of_a_stalled_query_whose_client_went_away() {
    let admission = admission(1, 1, Duration::from_secs(600));
    let stalled = admission.admit(&ann(), Stage::New).await.unwrap();
    let stalled = stalled.stall().unwrap();
    let mut drained = Box::pin(admission.drain(Duration::from_secs(600)));
    assert!(futures::poll!(&mut drained).is_pending());
    drop(stalled);
    assert!(drained.await);
}
