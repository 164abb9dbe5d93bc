//! What time it is for everything that fades or falls due; a test can move it.

use std::time::Instant;

/// Now, on the monotonic clock.
#[cfg(not(test))]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
thread_local! {
    static AHEAD: std::cell::Cell<std::time::Duration> = const { std::cell::Cell::new(std::time::Duration::ZERO) };
}

/// Now, on the monotonic clock, as far ahead as this test's thread has moved it.
#[cfg(test)]
pub(crate) fn now() -> Instant {
    Instant::now() + AHEAD.get()
}

/// Moves this thread's clock on.
#[cfg(test)]
pub(crate) fn advance(by: std::time::Duration) {
    AHEAD.set(AHEAD.get() + by);
}

/// How long ago something was.
pub(crate) fn since(then: Instant) -> std::time::Duration {
    now().saturating_duration_since(then)
}
