//! Counters of the RDMA backend: cheap to keep, and safe to read from any thread.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Activity of this process's RDMA backend, and the resources that it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RdmaStats {
    /// Connections that exist now, those being set up included.
    pub connections: u64,
    /// Bytes of memory registered with devices now.
    pub registered_bytes: u64,
    /// Work completions handled.
    pub completions: u64,
    /// Calls that polled a completion queue.
    pub polls: u64,
    /// Completion events taken from completion channels: how often a sleeping thread was woken.
    pub events: u64,
}

static REGISTERED: AtomicUsize = AtomicUsize::new(0);
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
static WORKERS: Mutex<Vec<Arc<WorkerCounters>>> = Mutex::new(Vec::new());

/// Bytes that are, or are about to be, registered with a device.
#[derive(Debug)]
pub(super) struct Reservation(usize);

impl Reservation {
    /// Reserves `bytes` if the process then holds no more than `cap`; 0 means no cap.
    pub(super) fn new(bytes: usize, cap: usize) -> io::Result<Self> {
        let within = |held: usize| (cap == 0 || held + bytes <= cap).then_some(held + bytes);
        match REGISTERED.fetch_update(Relaxed, Relaxed, within) {
            Ok(_) => Ok(Reservation(bytes)),
            Err(held) => Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                format!(
                    "RDMA: a connection needs {bytes} bytes of registered memory, and {held} of \
                     the {cap} that rdma-max-registered-memory allows are in use"
                ),
            )),
        }
    }

    /// Splits `bytes` off, for a part that is released by itself.
    pub(super) fn split(&mut self, bytes: usize) -> Reservation {
        self.0 = self.0.checked_sub(bytes).expect("no more than was reserved");
        Reservation(bytes)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        REGISTERED.fetch_sub(self.0, Relaxed);
    }
}

/// Counts one connection for as long as it exists.
#[derive(Debug)]
pub(super) struct ConnectionCount(());

impl ConnectionCount {
    pub(super) fn new() -> Self {
        CONNECTIONS.fetch_add(1, Relaxed);
        ConnectionCount(())
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        CONNECTIONS.fetch_sub(1, Relaxed);
    }
}

/// Counters that one worker thread writes and any thread reads.
#[derive(Debug, Default)]
pub(super) struct WorkerCounters {
    pub(super) completions: Counter,
    pub(super) polls: Counter,
    pub(super) events: Counter,
}

impl WorkerCounters {
    /// Counters that [`stats`] includes from now on.
    pub(super) fn register() -> Arc<Self> {
        let counters = Arc::new(WorkerCounters::default());
        let mut workers = WORKERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        retire(&mut workers);
        workers.push(counters.clone());
        counters
    }
}

/// Adds up the counters whose worker has gone, so that the list does not grow with every thread that
/// ever was; totals stay.
fn retire(workers: &mut Vec<Arc<WorkerCounters>>) {
    let gone = WorkerCounters::default();
    workers.retain(|worker| {
        let kept = Arc::strong_count(worker) > 1;
        if !kept {
            gone.completions.add(worker.completions.get());
            gone.polls.add(worker.polls.get());
            gone.events.add(worker.events.get());
        }
        kept
    });
    if gone.polls.get() > 0 {
        workers.push(Arc::new(gone));
    }
}

/// A counter with one writer: it needs no locked instruction.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The sums of this process.
pub(super) fn stats() -> RdmaStats {
    let workers = WORKERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let sum = |counter: fn(&WorkerCounters) -> &Counter| {
        workers.iter().map(|worker| counter(worker).get()).sum()
    };
    RdmaStats {
        connections: CONNECTIONS.load(Relaxed),
        registered_bytes: REGISTERED.load(Relaxed) as u64,
        completions: sum(|worker| &worker.completions),
        polls: sum(|worker| &worker.polls),
        events: sum(|worker| &worker.events),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test, for the counter is the process's.
    #[test]
    fn reservations_stop_at_the_cap_and_are_given_back() {
        let mut first = Reservation::new(1000, 1500).unwrap();
        let error = Reservation::new(501, 1500).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("rdma-max-registered-memory"), "{error}");
        let part = first.split(400);
        drop(part);
        let second = Reservation::new(900, 1500).unwrap();
        assert_eq!(stats().registered_bytes, 1500);
        drop((first, second));
        assert_eq!(stats().registered_bytes, 0);
        let unlimited = Reservation::new(1 << 40, 0).unwrap();
        drop(unlimited);
    }
}
