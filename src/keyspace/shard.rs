//! One shard: the entries of its slots, in every database, and those who observe them.
//!
//! Nothing outside the keyspace changes a shard: a [`Unit`](super::Unit) does, which is where the
//! observers are told.

use std::sync::{Arc, LazyLock};

use super::parked::ParkedClients;
use super::tracked::TrackedKeys;
use super::watched::WatchedKeys;
use super::{Expired, NEVER, Position, Swept, Table};
use crate::table::{NoteExpiry, Tables};
use crate::value::Entry;

/// A consumer that must see entries as they were before they change: a snapshot that has not passed
/// them yet.
pub trait BeforeWrite: Send + Sync {
    /// The entry is about to be changed or removed. Called with its shard locked, before every such
    /// change of an entry in database `db`, perhaps several times within one command. Not before active expiry
    /// removes fields that have expired: with or without them the entry says the same. An entry all of whose
    /// fields have expired may go without a call.
    fn before_write(&self, db: usize, entry: &Entry);

    /// A key that has no entry in database `db` is about to get one: if it had one when the observer came,
    /// that was handed over. Called with its shard locked.
    fn before_insert(&self, db: usize, key: &[u8]);
}

/// The observers of one shard.
#[derive(Default)]
pub(super) struct Observers {
    pub parked: ParkedClients,
    pub watched: WatchedKeys,
    pub tracked: Option<TrackedKeys>,
    pub before_write: Option<Arc<dyn BeforeWrite>>,
}

impl Observers {
    fn is_empty(&self) -> bool {
        self.parked.is_empty()
            && self.watched.is_empty()
            && self.tracked.as_ref().is_none_or(TrackedKeys::is_empty)
            && self.before_write.is_none()
    }
}

/// The entries of a shard's slots. The fields that most commands need come first: with the lock, they
/// are one cache line.
#[derive(Default)]
#[repr(C)]
pub struct Shard {
    /// `None` while there are none: a command then pays for one comparison.
    observers: Option<Box<Observers>>,
    tables: Tables<Entry>,
}

static NO_ENTRIES: LazyLock<Table> = LazyLock::new(Table::default);

impl Shard {
    /// An empty shard that tells `note` of its earliest expiry.
    pub(super) fn new(note: NoteExpiry) -> Shard {
        Shard { tables: Tables::new(Some(note)), ..Shard::default() }
    }

    /// The table of database `db`.
    #[inline]
    pub fn table(&self, db: usize) -> &Table {
        self.tables.get(db).unwrap_or_else(|| &NO_ENTRIES)
    }

    /// The tables that may have entries, and their databases.
    pub fn tables(&self) -> impl Iterator<Item = (usize, &Table)> {
        self.tables.iter()
    }

    /// The table of database `db`, to be changed by a unit, which has told the observers.
    #[inline]
    pub(super) fn table_mut(&mut self, db: usize) -> &mut Table {
        self.tables.get_mut(db)
    }

    /// Takes an entry out of database `db`, for a unit that has told the observers.
    #[inline]
    pub(super) fn remove(&mut self, db: usize, position: Position) -> Entry {
        let entry = self.tables.get_mut(db).remove(position);
        self.tables.release(db);
        entry
    }

    #[inline]
    pub(super) fn is_observed(&self) -> bool {
        self.observers.is_some()
    }

    pub(super) fn observers(&self) -> Option<&Observers> {
        self.observers.as_deref()
    }

    pub(super) fn observers_mut(&mut self) -> Option<&mut Observers> {
        self.observers.as_deref_mut()
    }

    /// What clients track of the shard's keys, if they do.
    pub(super) fn tracked_mut(&mut self) -> Option<&mut TrackedKeys> {
        self.observers_mut()?.tracked.as_mut()
    }

    /// Adds observers, or takes them away.
    pub(super) fn observe<R>(&mut self, change: impl FnOnce(&mut Observers) -> R) -> R {
        let observers = self.observers.get_or_insert_default();
        let result = change(observers);
        if observers.is_empty() {
            self.observers = None;
        }
        result
    }

    /// The parked clients of the shard, if there are any.
    pub fn parked(&self) -> Option<&ParkedClients> {
        self.observers().map(|observers| &observers.parked).filter(|parked| !parked.is_empty())
    }

    /// Keys that clients watch.
    pub fn watched_keys(&self) -> usize {
        self.observers().map_or(0, |observers| observers.watched.count())
    }

    /// Tells who must see the entries of database `db` before they change that all of them will.
    pub(super) fn before_all(&self, db: usize) {
        if let Some(observer) = self.observers().and_then(|all| all.before_write.as_ref()) {
            self.table(db).iter().for_each(|entry| observer.before_write(db, entry));
        }
    }

    /// Tells them of an entry that is out of its table already, unchanged.
    pub(super) fn before_removal(&self, db: usize, entry: &Entry) {
        if let Some(observer) = self.observers().and_then(|all| all.before_write.as_ref()) {
            observer.before_write(db, entry);
        }
    }

    /// Tells them that the keys of database `from` are about to get entries in database `to`, all of whose
    /// entries they have seen.
    pub(super) fn before_all_move(&self, from: usize, to: usize) {
        if let Some(observer) = self.observers().and_then(|all| all.before_write.as_ref()) {
            self.table(from).iter().for_each(|entry| observer.before_insert(to, entry.key()));
        }
    }

    /// Exchanges two databases.
    pub(super) fn swap(&mut self, a: usize, b: usize) {
        self.tables.swap(a, b);
    }

    /// Takes everything out of database `db`.
    pub(super) fn take(&mut self, db: usize) -> Table {
        self.tables.take(db)
    }

    /// Removes expired entries and items, with so much effort in each database: see
    /// [`Table::expire_some`]. Says also when something expires next.
    pub(super) fn expire_some(
        &mut self,
        now: i64,
        effort: usize,
        mut each: impl FnMut(usize, Expired<'_, Entry>),
    ) -> (Swept, i64) {
        let (mut all, mut next) = (Swept::default(), NEVER);
        self.tables.change_each(|db, table| {
            let swept = table.expire_some(now, effort, |expired| each(db, expired));
            all.buckets += swept.buckets;
            all.volatile += swept.volatile;
            all.expired += swept.expired;
            next = next.min(table.next_expiry());
        });
        (all, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::Key;
    use crate::value::entry::Value;

    #[test]
    fn databases_are_exchanged_whole() {
        let mut shard = Shard::default();
        let key = Key::new(b"a");
        shard.table_mut(0).insert(key.hash, Entry::new(b"a", Value::Int(1), None));
        shard.swap(0, 5);
        assert_eq!((shard.table(0).len(), shard.table(5).len(), shard.table(9).len()), (0, 1, 0));
        assert_eq!(shard.tables().map(|(db, _)| db).collect::<Vec<_>>(), [0, 5]);
    }
}
