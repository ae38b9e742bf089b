//! The keyspace: many shards, each with its own lock and one table per database.
//!
//! A key's shard comes from its cluster slot, so keys with one hash tag share a shard. An execution
//! unit ([`Unit`]) locks the shards of its keys in ascending order, runs to completion and unlocks
//! them, so every command and every transaction is atomic. A unit that needs the whole keyspace takes it
//! exclusively, through a [big-reader lock](big_reader::BigReaderLock): each thread enters by a slot of
//! its own, and an exclusive section closes all slots.

pub mod big_reader;
mod entered;
pub mod journal;
mod key;
pub mod parked;
mod schedule;
mod shard;
mod shard_set;
mod tracked;
mod unit;
mod watched;

use std::future::poll_fn;
use std::sync::Arc;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use crate::table;
use crate::value::Entry;
use big_reader::BigReaderLock;
use journal::Journal;

pub use crate::table::{Expired, NEVER, Position, Swept, hash, prefetch};
pub use big_reader::{Busy, Section};
pub use entered::Entered;
pub use key::{Key, SLOTS, slot};
pub use schedule::Schedule;
pub use shard::{BeforeWrite, Shard};
pub use shard_set::ShardSet;
pub use tracked::{TrackedTotals, Tracker};
pub use unit::{EntryMut, Invalidation, KeyspaceEvent, Listeners, Notice, ReadyKey, Reason, Unit};
pub use watched::{Presence, WatchState};

/// The hash table of one database in one shard.
pub type Table = table::Table<Entry>;

/// Shards: a power of two, so many that two workers seldom want the same one and that a shard's
/// table is small, so few that visiting all of them is cheap.
pub const SHARDS: usize = 1024;

/// Worker threads that there may be.
pub const MOST_WORKERS: usize = 256;

/// Threads besides the workers that enter the keyspace.
pub const OTHER_THREADS: usize = 1;

/// The number of the thread that repeats a journal. Those of the workers begin with 0.
pub const JOURNAL_THREAD: usize = MOST_WORKERS;

/// The shard of a cluster slot.
#[inline]
pub fn shard_of(slot: u16) -> usize {
    usize::from(slot) % SHARDS
}

/// All keys of all databases.
pub struct Keyspace {
    /// Locked only by threads that are inside `readers`, or that keep all others outside.
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    readers: BigReaderLock,
    schedule: Arc<Schedule>,
    databases: usize,
    pub journal: Journal,
    /// What clients track, in all shards.
    pub tracked: Arc<TrackedTotals>,
}

impl Keyspace {
    /// An empty keyspace of `databases` databases. It is entered by `workers` worker threads, which are its
    /// expirers, and by [`OTHER_THREADS`] threads whose numbers follow those of all workers that there may be.
    pub fn new(databases: usize, workers: usize) -> Self {
        let schedule = Arc::new(Schedule::new(workers, MOST_WORKERS));
        let shard = |index| {
            let schedule = schedule.clone();
            let note = Arc::new(move |at| schedule.note(index, at));
            Shard::new(note)
        };
        Keyspace {
            shards: (0..SHARDS).map(|index| Mutex::new(shard(index)).into()).collect(),
            readers: BigReaderLock::new(workers, OTHER_THREADS, MOST_WORKERS + OTHER_THREADS),
            schedule,
            databases,
            journal: Journal::default(),
            tracked: Arc::default(),
        }
    }

    /// Adds a worker, unless it was there from the beginning, before it enters. Waits for the end of an exclusive
    /// section.
    pub fn add_worker(&self, number: usize) {
        self.readers.add(number);
        self.schedule.add(number);
    }

    /// When something expires.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub fn databases(&self) -> usize {
        self.databases
    }

    /// Enters as thread number `thread`, which must be the caller's: no exclusive section runs while the
    /// result lives.
    #[inline]
    pub fn enter(&self, thread: usize) -> Entered<'_> {
        self.readers.enter(thread);
        Entered::new(self, thread)
    }

    /// As [`enter`](Self::enter).
    ///
    /// # Errors
    /// If an exclusive section lasts longer than its patience.
    #[inline]
    pub fn enter_unless_busy(&self, thread: usize) -> Result<Entered<'_>, Busy> {
        self.readers.enter_unless_busy(thread)?;
        Ok(Entered::new(self, thread))
    }

    /// As [`enter`](Self::enter), for a task of the thread: it waits without holding up the thread's others
    /// while a section lasts longer than its patience.
    pub async fn enter_when_free(&self, thread: usize) -> Entered<'_> {
        poll_fn(|cx| self.readers.poll_enter(thread, cx)).await;
        Entered::new(self, thread)
    }

    /// A unit that keeps all other threads out. The calling thread must not have entered.
    pub fn exclusive(&self, section: Section, now: i64, listeners: Listeners) -> Unit<'_> {
        Unit::exclusive(self, self.readers.exclusive(section), now, listeners)
    }

    /// As [`exclusive`](Self::exclusive).
    ///
    /// # Errors
    /// If an exclusive section of another thread lasts longer than its patience.
    pub fn exclusive_unless_busy(
        &self,
        section: Section,
        now: i64,
        listeners: Listeners,
    ) -> Result<Unit<'_>, Busy> {
        let alone = self.readers.exclusive_unless_busy(section)?;
        Ok(Unit::exclusive(self, alone, now, listeners))
    }

    /// Whether an exclusive section has lasted longer than its patience.
    pub fn is_busy(&self) -> bool {
        self.readers.is_busy()
    }

    /// Hints that a key of this slot will be looked up soon.
    #[inline]
    pub fn prefetch_shard(&self, slot: u16) {
        prefetch(&*self.shards[shard_of(slot)]);
    }

    /// Hints that these keys (hash and slot) will be looked up soon, in database `db`. The calling
    /// thread must have entered.
    ///
    /// A lookup is three dependent cache misses: shard, bucket, entry. Done for many keys at a time,
    /// step by step, the misses of different keys overlap.
    pub fn prefetch(
        &self,
        _entered: &Entered<'_>,
        db: usize,
        keys: impl Iterator<Item = (u64, u16)> + Clone,
    ) {
        for (_, slot) in keys.clone() {
            self.prefetch_shard(slot);
        }
        for (hash, slot) in keys.clone() {
            if let Some(shard) = self.shards[shard_of(slot)].try_lock() {
                shard.table(db).prefetch_bucket(hash);
            }
        }
        for (hash, slot) in keys {
            if let Some(shard) = self.shards[shard_of(slot)].try_lock() {
                shard.table(db).prefetch_entry(hash);
            }
        }
    }
}
