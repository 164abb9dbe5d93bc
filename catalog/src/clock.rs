//! The clock that ages are measured by: monotonic, and replaceable in tests.

use std::fmt::Debug;
use std::time::Instant;

/// Says what time it is. Never goes back.
pub trait Clock: Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Instant;
}

/// The machine's monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}
