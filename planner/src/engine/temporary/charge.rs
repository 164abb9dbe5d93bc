//! What temporary tables cost: bytes of a session, of all sessions, and of the memory that queries share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};

use crate::{PlannerError, Result};

/// Bounds of temporary tables.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct TemporaryLimits {
    /// Bytes of one session's tables.
    pub(in crate::engine) session_bytes_max: usize,
    /// Bytes of all sessions' tables.
    pub(in crate::engine) bytes_max: usize,
}

/// The room that the tables of all sessions have together.
#[derive(Debug)]
pub(super) struct Room {
    limits: TemporaryLimits,
    /// Of nothing; charges are made of it.
    root: MemoryReservation,
    used: AtomicUsize,
}

impl Room {
    pub(super) fn new(limits: TemporaryLimits, pool: &Arc<dyn MemoryPool>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            root: MemoryConsumer::new("temporary tables").register(pool),
            used: AtomicUsize::new(0),
        })
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// Bytes that are charged until this is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    room: Arc<Room>,
    /// What the session has used.
    session: Arc<AtomicUsize>,
    bytes: usize,
    reservation: MemoryReservation,
}

impl Charge {
    /// Of nothing.
    pub(super) fn new(room: &Arc<Room>, session: &Arc<AtomicUsize>) -> Self {
        Self {
            room: Arc::clone(room),
            session: Arc::clone(session),
            bytes: 0,
            reservation: room.root.new_empty(),
        }
    }

    /// The bytes that it stands for.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charges so many bytes more, or none.
    ///
    /// # Errors
    /// `ResourceExhausted`, naming the limit that is met.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<()> {
        let limits = &self.room.limits;
        if !take(&self.session, bytes, limits.session_bytes_max) {
            return Err(PlannerError::exhausted(format!(
                "a session's temporary tables may take {} bytes together, and these rows would take more: drop some \
                 tables, or send fewer rows",
                limits.session_bytes_max
            )));
        }
        if !take(&self.room.used, bytes, limits.bytes_max) {
            self.session.fetch_sub(bytes, Ordering::Relaxed);
            return Err(PlannerError::exhausted(format!(
                "the temporary tables of all sessions may take {} bytes together, and these rows would take more: try \
                 again later, or send fewer rows",
                limits.bytes_max
            )));
        }
        if self.reservation.try_grow(bytes).is_err() {
            self.session.fetch_sub(bytes, Ordering::Relaxed);
            self.room.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(PlannerError::exhausted(format!(
                "there is no memory for {bytes} bytes of a temporary table: running queries have it; try again later, \
                 or send fewer rows"
            )));
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Charges exactly so many bytes.
    ///
    /// # Errors
    /// As [`Self::grow`], where that is more than before.
    pub(super) fn resize(&mut self, bytes: usize) -> Result<()> {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            return self.grow(more);
        }
        let less = self.bytes - bytes;
        self.bytes = bytes;
        self.session.fetch_sub(less, Ordering::Relaxed);
        self.room.used.fetch_sub(less, Ordering::Relaxed);
        self.reservation.shrink(less);
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.session.fetch_sub(self.bytes, Ordering::Relaxed);
        self.room.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Adds to what is used, unless that would be more than there may be.
fn take(used: &AtomicUsize, bytes: usize, max: usize) -> bool {
    let grown = |now: usize| now.checked_add(bytes).filter(|then| *then <= max);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
        .is_ok()
}
