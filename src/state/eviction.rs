//! Eviction as far as all threads share it: whether the memory in use is above the limit, and since when.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::{Server, unix_milliseconds};
use crate::allocator;
use crate::log;

/// What came of an attempt to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// The memory in use is below the limit.
    Made,
    /// There is more to evict than one command may be held up for. It goes on in the background.
    Later,
    /// There is nothing to evict.
    None,
}

/// Eviction as far as all workers share it.
#[derive(Default)]
pub struct Eviction {
    /// Wakes the worker that evicts in the background.
    pub more: Notify,
    /// Since when the memory in use has been above the limit, in milliseconds of Unix time; 0 if it
    /// is not.
    exceeded_since: AtomicI64,
    /// Milliseconds for which it was, before that.
    exceeded: AtomicU64,
}

impl Eviction {
    /// Has a worker evict what there is to evict, without a command that needs the room.
    pub fn start(&self) {
        self.more.notify_one();
    }

    /// Notes whether the memory in use is above the limit.
    pub fn note(&self, exceeds: bool) {
        if exceeds {
            let now = unix_milliseconds();
            let since = &self.exceeded_since;
            let _ = since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        } else if self.exceeded_since.load(Ordering::Relaxed) != 0 {
            let since = self.exceeded_since.swap(0, Ordering::Relaxed);
            if since != 0 {
                let elapsed = (unix_milliseconds() - since).max(0);
                self.exceeded.fetch_add(elapsed as u64, Ordering::Relaxed);
            }
        }
    }

    /// Milliseconds that the memory in use was above the limit: all in all, and this time.
    pub fn exceeded(&self) -> (u64, u64) {
        let current = match self.exceeded_since.load(Ordering::Relaxed) {
            0 => 0,
            since => (unix_milliseconds() - since).max(0) as u64,
        };
        (self.exceeded.load(Ordering::Relaxed) + current, current)
    }

    /// For CONFIG RESETSTAT.
    pub(super) fn reset_exceeded(&self) {
        self.exceeded.store(0, Ordering::Relaxed);
        self.exceeded_since.store(0, Ordering::Relaxed);
    }
}

impl Server {
    /// Bytes that will be in use when what is being freed in the background is freed.
    pub fn memory_in_use(&self) -> i64 {
        allocator::allocated() as i64 - self.lazy_free.pending_bytes() as i64
    }

    /// Notes a new limit: if the memory in use is above it, eviction starts without waiting for a
    /// command.
    pub fn limit_memory(&self, limit: u64) {
        let used = self.memory_in_use().max(0) as u64;
        if limit > 0 && used > limit {
            log::warning(format_args!(
                "WARNING: the new maxmemory value set via CONFIG SET ({limit}) is smaller than the \
                 current memory usage ({used}). This will result in key eviction and/or the \
                 inability to accept new write commands depending on the maxmemory-policy."
            ));
        }
        self.eviction.start();
    }
}
