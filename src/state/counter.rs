//! Numbers of one thread that any thread reads: counting costs a plain store.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that one thread adds to and any thread reads.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub const fn new() -> Self {
        Counter(AtomicU64::new(0))
    }

    /// Only the owning thread may call this: it is no atomic addition, which would cost more than
    /// the command that it counts.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// May lose an addition that happens at the same time.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A number that one thread sets and any thread reads.
#[derive(Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Only the owning thread may call this.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
