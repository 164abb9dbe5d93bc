//! Stack for what nests deep: a runtime's threads have some megabytes, and frames are large in debug builds.

use std::future::poll_fn;

/// The stack that planning a deep statement gets; committed only as it is used.
const DEEP_STACK_BYTES: usize = 64 << 20;

/// What one level of views, with all that is planned within it, takes at most.
const LEVEL_BYTES: usize = 1 << 20;
/// And what it gets where less than that is left.
const LEVELS_STACK_BYTES: usize = 8 << 20;

/// Runs a future on a stack of its own: a deep statement takes more than a runtime's threads have.
pub(super) async fn with_deep_stack<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    poll_fn(move |context| stacker::grow(DEEP_STACK_BYTES, || future.as_mut().poll(context))).await
}

/// Runs one level of a future that nests in itself, on more stack where little is left.
pub(super) async fn with_room<F: Future + Unpin>(mut future: F) -> F::Output {
    poll_fn(move |context| {
        let level = || std::pin::Pin::new(&mut future).poll(context);
        stacker::maybe_grow(LEVEL_BYTES, LEVELS_STACK_BYTES, level)
    })
    .await
}
