//! The keyspace: many shards, each with its own lock and one table per database.
//!
//! A key's shard comes from its cluster slot, so keys with one hash tag share a shard. A command
//! locks the shards of its keys in ascending order, runs to completion and unlocks them, so every
//! command is atomic. Whoever needs the whole keyspace to itself takes it exclusively, through a
//! big-reader lock: each worker passes its own [gate](Keyspace::enter), an exclusive section closes
//! all of them.

mod key;
mod schedule;
mod waiting;

use std::sync::Arc;

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use crate::table::{self, Tables};
use crate::value::Entry;

pub use crate::table::{Expired, NEVER, Position, Swept, hash, prefetch};
pub use key::{Key, SLOTS, slot};
pub use schedule::Schedule;
pub use waiting::Waiting;

/// The hash table of one database in one shard.
pub type Table = table::Table<Entry>;

/// Shards: a power of two, so many that two workers seldom want the same one and that a shard's
/// table is small, so few that visiting all of them is cheap.
pub const SHARDS: usize = 1024;

/// The shard of a cluster slot.
#[inline]
pub fn shard_of(slot: u16) -> usize {
    usize::from(slot) % SHARDS
}

/// One shard: the entries of its slots, in every database. What most commands need comes first: with
/// the lock, it is one cache line.
#[derive(Default)]
#[repr(C)]
pub struct Shard {
    /// Who waits for keys of this shard.
    pub waiting: Waiting,
    tables: Tables<Entry>,
}

static NO_ENTRIES: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::default);

impl Shard {
    /// The table of database `db`, to be read.
    #[inline]
    pub fn table(&self, db: usize) -> &Table {
        self.tables.get(db).unwrap_or_else(|| &NO_ENTRIES)
    }

    /// The table of database `db`, to put entries into it or to change those that it has.
    #[inline]
    pub fn table_mut(&mut self, db: usize) -> &mut Table {
        self.tables.get_mut(db)
    }

    /// Takes an entry out of database `db`.
    #[inline]
    pub fn remove(&mut self, db: usize, position: Position) -> Entry {
        let entry = self.tables.get_mut(db).remove(position);
        self.tables.release(db);
        entry
    }

    /// Exchanges two databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        self.tables.swap(a, b);
    }

    /// Takes everything out of database `db`.
    pub fn take(&mut self, db: usize) -> Table {
        self.tables.take(db)
    }

    /// The tables that may have entries, and their databases.
    pub fn tables(&self) -> impl Iterator<Item = (usize, &Table)> {
        self.tables.iter()
    }

    /// Removes what has expired, with so much effort in each database: see [`Table::expire_some`].
    /// Says also when something expires next.
    pub fn expire_some(
        &mut self,
        now: i64,
        effort: usize,
        mut each: impl FnMut(usize, Expired<'_, Entry>),
    ) -> (Swept, i64) {
        let (mut all, mut next) = (Swept::default(), NEVER);
        let Shard { waiting, tables } = self;
        tables.change_each(|db, table| {
            let swept = table.expire_some(now, effort, |expired| {
                if let Expired::Element(entry) = &expired {
                    waiting.key_gone(db, entry.key());
                }
                each(db, expired);
            });
            all.buckets += swept.buckets;
            all.volatile += swept.volatile;
            all.expired += swept.expired;
            next = next.min(table.next_expiry());
        });
        (all, next)
    }
}

/// All keys of all databases.
pub struct Keyspace {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    gates: Box<[CachePadded<Mutex<()>>]>,
    schedule: Arc<Schedule>,
    databases: usize,
}

impl Keyspace {
    /// An empty keyspace of `databases` databases. It is entered by `workers` threads and one more,
    /// the control thread, whose number is `workers`; the workers are its expirers.
    pub fn new(databases: usize, workers: usize) -> Self {
        let schedule = Arc::new(Schedule::new(workers));
        let shard = |index| {
            let schedule = schedule.clone();
            let note = Arc::new(move |at| schedule.note(index, at));
            Shard { tables: Tables::new(Some(note)), ..Shard::default() }
        };
        Keyspace {
            shards: (0..SHARDS).map(|index| Mutex::new(shard(index)).into()).collect(),
            gates: (0..=workers).map(|_| CachePadded::default()).collect(),
            schedule,
            databases,
        }
    }

    /// When something expires.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub fn databases(&self) -> usize {
        self.databases
    }

    /// Passes the gate of thread `thread`: no exclusive section runs while the result lives.
    #[inline]
    pub fn enter(&self, thread: usize) -> Entered<'_> {
        Entered { keyspace: self, gate: self.gates[thread].lock() }
    }

    /// Closes every gate. The calling thread must not have passed its own.
    pub fn exclusive(&self) -> Exclusive<'_> {
        Exclusive { _gates: self.gates.iter().map(|gate| gate.lock()).collect() }
    }

    /// Locks one shard. The calling thread must have entered, and must hold no other shard unless
    /// it is a lower one or the thread is alone.
    #[inline]
    pub fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.shards[shard].lock()
    }

    /// Hints that a key of this slot will be looked up soon.
    #[inline]
    pub fn prefetch_shard(&self, slot: u16) {
        prefetch(&*self.shards[shard_of(slot)]);
    }

    /// Hints that these keys (hash and slot) will be looked up soon, in database `db`.
    ///
    /// A lookup is three dependent cache misses: shard, bucket, entry. Done for many keys at a time,
    /// step by step, the misses of different keys overlap.
    pub fn prefetch(&self, db: usize, keys: impl Iterator<Item = (u64, u16)> + Clone) {
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

    /// Locks the shards of `keys`, in ascending order.
    #[inline]
    pub fn lock_keys<'a>(&'a self, keys: &[Key<'_>]) -> Locked<'a> {
        match keys {
            [] => Locked { keyspace: self, guards: Guards::OnDemand(SmallVec::new()) },
            [key] => Locked { keyspace: self, guards: Guards::One(self.lock(shard_of(key.slot))) },
            keys => {
                keys.iter().for_each(|key| self.prefetch_shard(key.slot));
                let mut shards: SmallVec<[usize; 16]> =
                    keys.iter().map(|key| shard_of(key.slot)).collect();
                shards.sort_unstable();
                shards.dedup();
                let guards = shards.iter().map(|&shard| (shard, self.lock(shard))).collect();
                Locked { keyspace: self, guards: Guards::Many { guards, latest: 0 } }
            }
        }
    }

    /// Removes what has expired from one shard, with so much effort in each database (see
    /// [`Table::expire_some`]), and brings the schedule up to date. The calling thread must have
    /// entered.
    pub fn expire_some(
        &self,
        shard: usize,
        now: i64,
        effort: usize,
        each: impl FnMut(usize, Expired<'_, Entry>),
    ) -> Swept {
        let mut locked = self.lock(shard);
        let (swept, next) = locked.expire_some(now, effort, each);
        self.schedule.set_due(shard, next);
        swept
    }

    /// The entries of database `db`, and how many of them have an expiry.
    pub fn count(&self, _exclusive: &Exclusive<'_>, db: usize) -> (usize, usize) {
        (0..SHARDS).fold((0, 0), |(entries, volatile), shard| {
            let shard = self.lock(shard);
            let table = shard.table(db);
            (entries + table.len(), volatile + table.volatile())
        })
    }

    /// Takes everything out of database `db`, or out of all of them.
    pub fn take(&self, _exclusive: &Exclusive<'_>, db: Option<usize>) -> Vec<Table> {
        let dbs = db.map_or(0..self.databases, |db| db..db + 1);
        let take = |shard| {
            let mut shard = self.lock(shard);
            dbs.clone().map(move |db| shard.take(db)).collect::<SmallVec<[Table; 1]>>()
        };
        (0..SHARDS).flat_map(take).filter(|table| !table.is_empty()).collect()
    }

    /// Exchanges two databases.
    pub fn swap(&self, _exclusive: &Exclusive<'_>, a: usize, b: usize) {
        (0..SHARDS).for_each(|shard| self.lock(shard).swap(a, b));
    }

    /// For an exclusive section: locks shards as they are asked for, in any order.
    pub fn lock_on_demand(&self, _exclusive: &Exclusive<'_>) -> Locked<'_> {
        Locked { keyspace: self, guards: Guards::OnDemand(SmallVec::new()) }
    }
}

/// Proof that the thread has passed its gate.
pub struct Entered<'a> {
    keyspace: &'a Keyspace,
    gate: MutexGuard<'a, ()>,
}

impl<'a> Entered<'a> {
    /// Leaves, runs `section` with the whole keyspace to itself, and enters again.
    pub fn exclusively<R>(&mut self, section: impl FnOnce(&Exclusive<'a>) -> R) -> R {
        let keyspace = self.keyspace;
        MutexGuard::unlocked(&mut self.gate, || section(&keyspace.exclusive()))
    }
}

/// Proof that no other thread is in the keyspace.
pub struct Exclusive<'a> {
    _gates: Vec<MutexGuard<'a, ()>>,
}

/// The shards that a command has locked.
pub struct Locked<'a> {
    keyspace: &'a Keyspace,
    guards: Guards<'a>,
}

enum Guards<'a> {
    One(MutexGuard<'a, Shard>),
    Many {
        /// In ascending order of the shards.
        guards: SmallVec<[(usize, MutexGuard<'a, Shard>); 4]>,
        /// The place of the one that was asked for last, and will be again.
        latest: usize,
    },
    /// In the order of use.
    OnDemand(SmallVec<[(usize, MutexGuard<'a, Shard>); 4]>),
}

impl Locked<'_> {
    /// Works on one shard, which is locked for so long unless it is already.
    ///
    /// # Panics
    /// If the command has keys and no exclusive section: waiting for a shard out of order while
    /// others are held would never end.
    pub fn visit<R>(&mut self, shard: usize, work: impl FnOnce(&mut Shard) -> R) -> R {
        let Guards::OnDemand(guards) = &mut self.guards else {
            panic!("a command that visits shards has no keys");
        };
        match guards.iter_mut().find(|(index, _)| *index == shard) {
            Some((_, guard)) => work(guard),
            None => work(&mut self.keyspace.lock(shard)),
        }
    }

    /// Hints that these keys (hash and slot), whose shards must be locked, will be looked up soon in
    /// database `db`: their buckets, then their entries, so that the misses of different keys overlap.
    pub fn prefetch(&self, db: usize, keys: impl Iterator<Item = (u64, u16)> + Clone) {
        for (hash, slot) in keys.clone() {
            self.held(slot).table(db).prefetch_bucket(hash);
        }
        for (hash, slot) in keys {
            self.held(slot).table(db).prefetch_entry(hash);
        }
    }

    /// Hints that a key, whose shard must be locked, will be looked up in database `db`.
    #[inline]
    pub fn prefetch_bucket(&self, db: usize, key: &Key<'_>) {
        self.held(key.slot).table(db).prefetch_bucket(key.hash);
    }

    /// Whether serving those who wait for these shards' keys may take keys of others.
    #[inline]
    pub fn has_movers(&self) -> bool {
        match &self.guards {
            Guards::One(guard) => guard.waiting.has_movers(),
            Guards::Many { guards, .. } => {
                guards.iter().any(|(_, guard)| guard.waiting.has_movers())
            }
            Guards::OnDemand(_) => false,
        }
    }

    /// The shard of `slot`, to be read, which [`shard`](Self::shard) gave before.
    ///
    /// # Panics
    /// If it did not.
    pub fn held(&self, slot: u16) -> &Shard {
        let shard = shard_of(slot);
        let held = match &self.guards {
            Guards::One(guard) => Some(guard),
            Guards::Many { guards, .. } => guards
                .binary_search_by_key(&shard, |(index, _)| *index)
                .ok()
                .map(|index| &guards[index].1),
            Guards::OnDemand(guards) => {
                guards.iter().find(|(index, _)| *index == shard).map(|(_, guard)| guard)
            }
        };
        held.expect("the shard is locked")
    }

    /// The locked shard of `slot`.
    ///
    /// # Panics
    /// If the command has not declared a key of this shard.
    #[inline]
    pub fn shard(&mut self, slot: u16) -> &mut Shard {
        let shard = shard_of(slot);
        match &mut self.guards {
            Guards::One(guard) => guard,
            Guards::Many { guards, latest } => {
                if guards[*latest].0 != shard {
                    *latest = guards
                        .binary_search_by_key(&shard, |(index, _)| *index)
                        .expect("the command declared this key");
                }
                &mut guards[*latest].1
            }
            Guards::OnDemand(guards) => {
                let index = match guards.iter().position(|(index, _)| *index == shard) {
                    Some(index) => index,
                    None => {
                        guards.push((shard, self.keyspace.lock(shard)));
                        guards.len() - 1
                    }
                };
                &mut guards[index].1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn an_exclusive_section_is_alone() {
        let keyspace = Arc::new(Keyspace::new(16, 3));
        let inside = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (keyspace, inside) = (keyspace.clone(), inside.clone());
                std::thread::spawn(move || {
                    for round in 0..2000 {
                        let mut entered = keyspace.enter(thread);
                        inside.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        if round % 10 == thread {
                            let seen = entered.exclusively(|_| {
                                let before = inside.swap(100, Ordering::SeqCst);
                                std::thread::yield_now();
                                (before, inside.swap(0, Ordering::SeqCst))
                            });
                            assert_eq!(seen, (0, 100));
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn databases_are_exchanged_whole() {
        use crate::value::{Entry, entry::Value};
        let mut shard = Shard::default();
        let key = Key::new(b"a");
        shard.table_mut(0).insert(key.hash, Entry::new(b"a", Value::Int(1), None));
        shard.swap(0, 5);
        assert_eq!((shard.table(0).len(), shard.table(5).len(), shard.table(9).len()), (0, 1, 0));
        assert_eq!(shard.tables().map(|(db, _)| db).collect::<Vec<_>>(), [0, 5]);
    }
}
