//! The cost of an execution.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What an execution cost, as the backend reports it; counted up while it runs.
#[derive(Debug, Default)]
pub struct RunStats {
    pub rows_read: AtomicU64,
    pub bytes_read: AtomicU64,
    /// Time in the backend, in microseconds.
    pub backend_us: AtomicU64,
}

impl RunStats {
    pub fn add(&self, rows_read: u64, bytes_read: u64, elapsed: Duration) {
        self.rows_read.fetch_add(rows_read, Ordering::Relaxed);
        self.bytes_read.fetch_add(bytes_read, Ordering::Relaxed);
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.backend_us.fetch_add(elapsed_us, Ordering::Relaxed);
    }
}
