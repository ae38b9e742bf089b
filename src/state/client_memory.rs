//! The memory of all clients, and its limit (`maxmemory-clients`).
//!
//! A client's record remembers how much of it is in the sum. The sum changes where a client's buffers, queue
//! or subscriptions do, so a command of a client that has none of these costs nothing here.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::clients::ClientRecord;
use super::{Attributes, OutboxClass, Server, unix_milliseconds};
use crate::config::{MemoryOrPercent, Settings};
use crate::log;

/// Bytes below which no limit is taken, as in Valkey: nobody could talk to the server.
const LOWEST_LIMIT: u64 = 128 * 1024;

/// A limit that is never reached.
const UNLIMITED: u64 = u64::MAX;

/// The memory of all clients except replicas.
pub struct ClientMemory {
    /// Below zero for the moment in which one thread's subtraction overtakes another's addition before it.
    total: AtomicI64,
    /// The part of it that is not of clients with `NO_EVICT`.
    evictable: AtomicI64,
    limit: AtomicU64,
    /// Held by the thread that evicts.
    evicting: Mutex<()>,
    evicted: AtomicU64,
}

impl Default for ClientMemory {
    fn default() -> Self {
        ClientMemory {
            total: AtomicI64::new(0),
            evictable: AtomicI64::new(0),
            limit: AtomicU64::new(UNLIMITED),
            evicting: Mutex::default(),
            evicted: AtomicU64::new(0),
        }
    }
}

/// The part of one client in the sums.
#[derive(Default)]
pub struct CountedMemory(AtomicU64);

/// The client is gone: it is never counted again.
const GONE: u64 = u64::MAX;

/// The lowest bit of a part says that the client is not evicted.
const PROTECTED: u64 = 1;

impl CountedMemory {
    /// Sets the part, and returns the former one; `None` if the client is gone.
    fn replace(&self, part: u64) -> Option<u64> {
        let alive = |old: u64| (old != GONE).then_some(part);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, alive).ok()
    }
}

/// Bytes of a part, and those of them that can be evicted.
fn bytes(part: u64) -> (i64, i64) {
    let all = (part >> 1) as i64;
    (all, if part & PROTECTED == 0 { all } else { 0 })
}

impl ClientMemory {
    /// Bytes that all clients take, as far as they have been counted.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed).max(0) as u64
    }

    /// Clients that were ended to free memory.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub fn reset_evicted(&self) {
        self.evicted.store(0, Ordering::Relaxed);
    }

    pub(super) fn set_limit(&self, settings: &Settings) {
        let limit = match settings.maxmemory_clients {
            MemoryOrPercent::Bytes(0) => None,
            MemoryOrPercent::Bytes(bytes) => Some(bytes),
            MemoryOrPercent::Percent(_) if settings.maxmemory == 0 => None,
            MemoryOrPercent::Percent(percent) => {
                Some((u128::from(settings.maxmemory) * u128::from(percent) / 100) as u64)
            }
        };
        let limit = limit.map_or(UNLIMITED, |limit| limit.max(LOWEST_LIMIT));
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Whether there is more than the limit, and something that can be evicted.
    fn is_over(&self) -> bool {
        self.total() > self.limit.load(Ordering::Relaxed)
            && self.evictable.load(Ordering::Relaxed) > 0
    }

    /// Counts a client as it is now.
    pub(super) fn count(&self, record: &ClientRecord) {
        let memory = if record.class() == OutboxClass::Replica { 0 } else { record.memory() };
        let protected = record.attributes().contains(Attributes::NO_EVICT);
        let part = memory << 1 | u64::from(protected);
        if let Some(old) = record.counted.replace(part) {
            self.replace(old, part);
        }
    }

    /// Counts a client no longer, for good.
    pub(super) fn forget(&self, record: &ClientRecord) {
        if let Some(old) = record.counted.replace(GONE) {
            self.replace(old, 0);
        }
    }

    fn replace(&self, old: u64, new: u64) {
        let (old, new) = (bytes(old), bytes(new));
        self.total.fetch_add(new.0 - old.0, Ordering::Relaxed);
        self.evictable.fetch_add(new.1 - old.1, Ordering::Relaxed);
    }
}

impl Server {
    /// Takes the limit of `settings`, and ends clients if their memory is above it.
    pub(super) fn limit_client_memory(&self, settings: &Settings) {
        self.clients.memory.set_limit(settings);
        self.evict_clients();
    }

    /// Counts a client's memory, which has changed, and ends clients if it is too much.
    pub fn count_client(&self, record: &ClientRecord) {
        self.clients.memory.count(record);
        if self.clients.memory.is_over() {
            self.evict_clients();
        }
    }

    /// Ends the clients that take the most memory, until all take no more than the limit.
    #[cold]
    fn evict_clients(&self) {
        let memory = &self.clients.memory;
        while memory.is_over() {
            // Another thread goes on until it is enough.
            let Some(_evicting) = memory.evicting.try_lock() else { return };
            let mut evicted = 0;
            for record in self.largest_clients() {
                if !memory.is_over() {
                    break;
                }
                let line = record.line(unix_milliseconds(), &self.command_names);
                log::notice(format_args!("Evicting client: {line}"));
                self.clients.kill(&record);
                evicted += 1;
            }
            memory.evicted.fetch_add(evicted, Ordering::Relaxed);
            if evicted == 0 {
                return;
            }
        }
    }

    /// The clients that may be evicted, those first that take the most memory.
    fn largest_clients(&self) -> Vec<Arc<ClientRecord>> {
        let mut clients: Vec<_> = self.clients.all();
        clients.retain(|record| bytes(record.counted.0.load(Ordering::Relaxed)).1 > 0);
        clients.sort_by_cached_key(|record| std::cmp::Reverse(record.memory()));
        clients
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(clients: MemoryOrPercent, maxmemory: u64) -> u64 {
        let memory = ClientMemory::default();
        memory.set_limit(&Settings {
            maxmemory_clients: clients,
            maxmemory,
            ..Settings::default()
        });
        memory.limit.load(Ordering::Relaxed)
    }

    #[test]
    fn a_percentage_is_one_of_maxmemory() {
        assert_eq!(limit(MemoryOrPercent::Bytes(0), 1 << 30), UNLIMITED);
        assert_eq!(limit(MemoryOrPercent::Percent(7), 0), UNLIMITED);
        assert_eq!(limit(MemoryOrPercent::Percent(7), 6 << 20), (6 << 20) * 7 / 100);
        assert_eq!(limit(MemoryOrPercent::Bytes(1), 0), LOWEST_LIMIT);
        assert_eq!(limit(MemoryOrPercent::Bytes(3_000_000), 0), 3_000_000);
    }

    #[test]
    fn the_sum_is_that_of_the_clients_that_are_there() {
        let memory = ClientMemory::default();
        let (one, two) = (ClientRecord::unlisted(0), ClientRecord::unlisted(0));
        memory.count(&one);
        let fixed = memory.total();
        one.query_memory.set(1000);
        two.send_memory.set(500);
        two.set_attributes(Attributes::NO_EVICT);
        memory.count(&one);
        memory.count(&two);
        assert_eq!(memory.total(), 2 * fixed + 1500);
        assert_eq!(memory.evictable.load(Ordering::Relaxed) as u64, fixed + 1000);
        memory.forget(&one);
        memory.count(&one);
        assert_eq!(memory.total(), fixed + 500);
        assert_eq!(memory.evictable.load(Ordering::Relaxed), 0);
        memory.forget(&two);
        memory.forget(&two);
        assert_eq!(memory.total(), 0);
    }
}
