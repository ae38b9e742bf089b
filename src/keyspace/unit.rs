//! An execution unit: the locks that a command, a transaction or a maintenance task holds, and the one
//! door through which it changes entries.
//!
//! Every change of an entry, for whatever [`Reason`], is one of the operations here. They tell those who
//! must see an entry before it changes ([`BeforeWrite`]), and afterwards the watches, the parked clients,
//! the listeners to keyspace events and the journal. Tables cannot be changed in any other way.
//!
//! A unit is settled once, by the layer above: parked clients are served, the journal is committed, then
//! the locks are released ([`Unit::finish`]), then events are delivered.

mod notices;

use std::cell::Cell;
use std::sync::Arc;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::big_reader::ExclusiveGuard;
use super::journal::Records;
use super::shard::{BeforeWrite, Observers, Shard};
use super::tracked::TrackedKeys;
use super::watched::Presence;
use super::{Expired, Key, Keyspace, Position, SHARDS, Swept, Table, shard_of};
use crate::config::KeyspaceEvents;
use crate::table::Slot;
use crate::value::Entry;
use crate::value::entry::Value;

use notices::Pending;
pub use notices::{Invalidation, KeyspaceEvent, Notice, ReadyKey};

/// Why an entry is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A command removes it, and records that itself.
    Command,
    /// Its time is over.
    Expired,
    /// The memory was needed.
    Evicted,
}

impl Reason {
    /// The keyspace event of a removal that no command asked for.
    fn event(self) -> Option<&'static str> {
        match self {
            Reason::Command => None,
            Reason::Expired => Some("expired"),
            Reason::Evicted => Some("evicted"),
        }
    }
}

/// Those who listen to what a unit does.
#[derive(Clone, Copy, Debug)]
pub struct Listeners {
    /// The classes of keyspace events that are wanted; empty if nobody listens.
    pub events: KeyspaceEvents,
    /// The journal has a sink.
    pub journal: bool,
}

/// An execution unit. See the module's documentation.
pub struct Unit<'k> {
    keyspace: &'k Keyspace,
    shards: Shards<'k>,
    /// Milliseconds of Unix time, the same for the whole unit.
    pub now: i64,
    /// Changes of the data: what `rdb_changes_since_last_save` counts.
    pub changes: u64,
    /// Keys and hash fields that were removed because their time was over.
    pub expired_keys: u64,
    pub expired_fields: u64,
    wanted: KeyspaceEvents,
    /// What is to be told when the unit is settled; `None` while there is nothing.
    notices: Pending,
    records: Option<Box<Records>>,
}

/// The shards that a unit holds.
pub(super) enum Shards<'k> {
    None,
    One(usize, MutexGuard<'k, Shard>),
    Many {
        /// In ascending order of the shards.
        guards: Guards<'k>,
        /// The index of the one that was asked for last, and will be again.
        latest: Cell<usize>,
    },
    /// One shard at a time, as they are asked for; never more than one.
    Each(Option<(usize, MutexGuard<'k, Shard>)>),
    /// The whole keyspace, without any lock of a shard.
    All(
        #[expect(dead_code, reason = "keeps others out as long as the unit exists")]
        ExclusiveGuard<'k>,
    ),
}

/// Locked shards, each with its index.
type Guards<'k> = SmallVec<[(usize, MutexGuard<'k, Shard>); 4]>;

/// The position of a shard among the locked ones; `latest` is tried first, and set to it.
///
/// # Panics
/// If it is not locked: the command has not declared the key.
#[inline]
fn position(guards: &Guards<'_>, latest: &Cell<usize>, shard: usize) -> usize {
    if guards[latest.get()].0 != shard {
        let found = guards.binary_search_by_key(&shard, |(index, _)| *index);
        latest.set(found.expect("the unit holds the key's shard"));
    }
    latest.get()
}

impl Listeners {
    /// Nobody listens.
    pub const NONE: Listeners = Listeners { events: KeyspaceEvents(0), journal: false };
}

impl<'k> Unit<'k> {
    /// The unit that has the whole keyspace.
    pub(super) fn exclusive(
        keyspace: &'k Keyspace,
        alone: ExclusiveGuard<'k>,
        now: i64,
        listeners: Listeners,
    ) -> Self {
        Unit::new(keyspace, Shards::All(alone), now, listeners)
    }

    /// A unit that holds nothing, for commands that touch no entry.
    pub fn without_shards(keyspace: &'k Keyspace, now: i64) -> Self {
        Unit::new(keyspace, Shards::None, now, Listeners::NONE)
    }

    #[inline(always)]
    pub(super) fn new(
        keyspace: &'k Keyspace,
        shards: Shards<'k>,
        now: i64,
        listeners: Listeners,
    ) -> Self {
        Unit {
            keyspace,
            shards,
            now,
            changes: 0,
            expired_keys: 0,
            expired_fields: 0,
            wanted: listeners.events,
            notices: Pending::default(),
            records: listeners.journal.then(Box::default),
        }
    }

    pub fn keyspace(&self) -> &'k Keyspace {
        self.keyspace
    }

    /// Whether it has the whole keyspace to itself.
    #[inline]
    pub fn is_exclusive(&self) -> bool {
        matches!(self.shards, Shards::All(_))
    }

    // --- The shards ---

    /// The shard of that index, which the unit holds, to be read.
    ///
    /// # Panics
    /// If the unit does not hold it.
    #[inline]
    fn held(&self, shard: usize) -> &Shard {
        match &self.shards {
            Shards::None => panic!("the unit holds no shard"),
            Shards::One(index, guard) => {
                debug_assert_eq!(*index, shard, "the unit holds the key's shard");
                guard
            }
            Shards::Many { guards, latest } => &guards[position(guards, latest, shard)].1,
            Shards::Each(held) => match held {
                Some((index, guard)) if *index == shard => guard,
                _ => panic!("the unit holds another shard"),
            },
            Shards::All(_) => {
                // SAFETY: the unit holds its keyspace's big-reader lock exclusively, and nobody outside
                // that lock reads or locks a shard. The shard is borrowed as the unit is, and there is
                // one such unit at a time, since it owns the guard.
                unsafe { &*self.keyspace.shards[shard].data_ptr() }
            }
        }
    }

    /// The shard of that index, to be changed. A unit of one shard at a time takes it.
    ///
    /// # Panics
    /// If the unit holds other shards.
    #[inline]
    fn shard_mut(&mut self, shard: usize) -> &mut Shard {
        match &mut self.shards {
            Shards::None => panic!("the unit holds no shard"),
            Shards::One(index, guard) => {
                debug_assert_eq!(*index, shard, "the command declared this key");
                guard
            }
            Shards::Many { guards, latest } => {
                let at = position(guards, latest, shard);
                &mut guards[at].1
            }
            Shards::Each(held) => {
                if held.as_ref().is_none_or(|(index, _)| *index != shard) {
                    // Before another is locked: nobody may wait for one shard with another in hand
                    // unless it is a lower one.
                    *held = None;
                    *held = Some((shard, self.keyspace.shards[shard].lock()));
                }
                &mut held.as_mut().expect("it was just locked").1
            }
            Shards::All(_) => {
                // SAFETY: as in `held`; the unit is borrowed mutably.
                unsafe { &mut *self.keyspace.shards[shard].data_ptr() }
            }
        }
    }

    /// Works on one shard, to be read. Units of one shard at a time, and exclusive ones, may visit any.
    pub fn visit<R>(&mut self, shard: usize, work: impl FnOnce(&Shard) -> R) -> R {
        work(self.shard_mut(shard))
    }

    /// The table of database `db` with the keys of `slot`, which the unit holds.
    #[inline]
    pub fn table(&self, db: usize, slot: u16) -> &Table {
        self.held(shard_of(slot)).table(db)
    }

    /// Hints that these keys (hash and slot) will be looked up soon in database `db`: their buckets,
    /// then their entries, so that the misses of different keys overlap.
    pub fn prefetch(&self, db: usize, keys: impl Iterator<Item = (u64, u16)> + Clone) {
        for (hash, slot) in keys.clone() {
            self.table(db, slot).prefetch_bucket(hash);
        }
        for (hash, slot) in keys {
            self.table(db, slot).prefetch_entry(hash);
        }
    }

    /// Hints that a key will be looked up in database `db`.
    #[inline]
    pub fn prefetch_bucket(&self, db: usize, key: &Key<'_>) {
        self.table(db, key.slot).prefetch_bucket(key.hash);
    }

    /// Whether serving the clients that wait for the keys of these shards may use keys of others.
    #[inline]
    pub fn parked_use_other_keys(&self) -> bool {
        let uses = |shard: &Shard| shard.parked().is_some_and(|parked| parked.use_other_keys());
        match &self.shards {
            Shards::One(_, guard) => uses(guard),
            Shards::Many { guards, .. } => guards.iter().any(|(_, guard)| uses(guard)),
            Shards::None | Shards::Each(_) | Shards::All(_) => false,
        }
    }

    // --- Reading ---

    /// The position of a key's entry in database `db`, whether or not it has expired.
    #[inline]
    pub fn find(&self, db: usize, key: &Key<'_>) -> Option<Position> {
        self.table(db, key.slot).find(key.hash, key.bytes)
    }

    /// How a key is in database `db`.
    pub fn presence(&self, db: usize, key: &Key<'_>) -> Presence {
        presence(self.table(db, key.slot), key, self.now)
    }

    /// Notes how an entry was used last (see [`value::access`](crate::value::access)). That is no
    /// change of the data.
    #[inline]
    pub fn note_access(&mut self, db: usize, slot: u16, position: Position, access: u32) {
        self.shard_mut(shard_of(slot)).table_mut(db).get_mut(position).set_access(access);
    }

    // --- The door: what changes entries ---

    /// An entry to be changed in its place. The caller says with [`modified`](Self::modified) that it
    /// did so.
    #[inline]
    pub fn entry_mut(&mut self, db: usize, slot: u16, position: Position) -> EntryMut<'_> {
        let shard = self.shard_mut(shard_of(slot));
        if shard.is_observed() {
            before_write(shard, db, position);
        }
        EntryMut { table: shard.table_mut(db), position }
    }

    /// Adds an entry under a key that has none.
    #[inline]
    pub fn insert(&mut self, db: usize, key: &Key<'_>, entry: Entry) {
        let shard = self.shard_mut(shard_of(key.slot));
        if let Some(Observers { before_write: Some(observer), .. }) = shard.observers() {
            observer.before_insert(db, key.bytes);
        }
        shard.table_mut(db).insert(key.hash, entry);
        if shard.is_observed() {
            self.after_write(db, key);
        }
        self.event(db, "new", key.bytes);
    }

    /// Removes an entry.
    #[inline]
    pub fn remove(
        &mut self,
        db: usize,
        key: &Key<'_>,
        position: Position,
        reason: Reason,
    ) -> Entry {
        let shard = self.shard_mut(shard_of(key.slot));
        let observed = shard.is_observed();
        if observed {
            before_write(shard, db, position);
        }
        let entry = shard.remove(db, position);
        if observed {
            self.after_write(db, key);
        }
        if reason != Reason::Command {
            if let Some(observers) = self.shard_mut(shard_of(key.slot)).observers() {
                observers.parked.key_gone(db, key.bytes);
            }
            self.note_removal(db, key, reason);
        }
        entry
    }

    /// An entry that was got with [`entry_mut`](Self::entry_mut) has been changed.
    #[inline]
    pub fn modified(&mut self, db: usize, key: &Key<'_>) {
        if self.shard_mut(shard_of(key.slot)).is_observed() {
            self.after_write(db, key);
        }
    }

    /// Removes expired entries and items from one shard, with so much effort in each database (see
    /// [`Table::expire_some`]), and brings the schedule up to date. The removed entries are handed to
    /// `free`.
    pub fn expire_some(&mut self, shard: usize, effort: usize, free: impl FnMut(Entry)) -> Swept {
        let mut removed = Removed::default();
        let now = self.now;
        let (swept, next) =
            self.shard_mut(shard).expire_some(now, effort, |db, expired| match expired {
                Expired::Element(entry) => removed.expired.push((db, entry)),
                Expired::Items(entry, items) => removed.items.push((db, entry.key().into(), items)),
                Expired::Vacant(entry) => removed.vacant.push((db, entry)),
            });
        if swept.expired > 0 {
            self.note_expired(removed, free);
        }
        self.keyspace.schedule.set_due(shard, next);
        swept
    }

    fn note_expired(&mut self, removed: Removed, mut free: impl FnMut(Entry)) {
        for (db, key, fields) in removed.items {
            let key = Key::new(&key);
            self.expired_fields += fields.len() as u64;
            self.modified(db, &key);
            self.event(db, "hexpired", key.bytes);
            if let Some(records) = &mut self.records {
                let command = [&b"HDEL"[..], key.bytes];
                let fields = fields.iter().map(|field| &**field);
                records.push_for_all(db, Some(key.slot), Chain(command.into_iter(), fields));
            }
        }
        // Of the fields' entries that go with them, only the event is still to be told: HDEL removes
        // the key too. Nothing is left of them that a snapshot could take.
        for (db, entry) in removed.vacant {
            let key = Key::new(entry.key());
            self.after_removal(db, &key);
            self.event(db, "del", key.bytes);
            free(entry);
        }
        for (db, entry) in removed.expired {
            let key = Key::new(entry.key());
            self.shard_mut(shard_of(key.slot)).before_removal(db, &entry);
            self.after_removal(db, &key);
            self.note_removal(db, &key, Reason::Expired);
            free(entry);
        }
    }

    /// Tells the observers of a key whose entry is out of its table already.
    fn after_removal(&mut self, db: usize, key: &Key<'_>) {
        let shard = self.shard_mut(shard_of(key.slot));
        if let Some(observers) = shard.observers_mut() {
            observers.watched.touch(db, key.bytes, false);
            observers.parked.key_gone(db, key.bytes);
            self.invalidate(key);
        }
    }

    /// Takes everything out of database `db`, or out of all of them. The unit must be exclusive.
    pub fn flush(&mut self, db: Option<usize>) -> Vec<Table> {
        let dbs = db.map_or(0..self.keyspace.databases, |db| db..db + 1);
        let now = self.now;
        let mut taken = Vec::new();
        for shard in 0..SHARDS {
            let shard = self.exclusive_shard(shard);
            for db in dbs.clone() {
                shard.before_all(db);
                let table = shard.take(db);
                if let Some(observers) = shard.observers_mut() {
                    let before = |key: &[u8]| presence(&table, &Key::new(key), now);
                    observers.watched.replace_database(db, before, |_| Presence::Absent);
                }
                if !table.is_empty() {
                    taken.push(table);
                }
            }
        }
        self.every_key_ready();
        self.invalidate_all();
        taken
    }

    /// Notes that all keys have changed, in whichever database: nobody remembers which was read.
    fn invalidate_all(&mut self) {
        for shard in 0..SHARDS {
            self.shard_mut(shard).tracked_mut().into_iter().for_each(TrackedKeys::clear);
        }
        self.note_invalid(Invalidation::All);
    }

    /// Exchanges two databases. The unit must be exclusive.
    pub fn swap(&mut self, a: usize, b: usize) {
        let now = self.now;
        for shard in 0..SHARDS {
            let shard = self.exclusive_shard(shard);
            if shard.is_observed() {
                shard.before_all(a);
                shard.before_all(b);
                shard.before_all_move(a, b);
                shard.before_all_move(b, a);
            }
            shard.swap(a, b);
            if !shard.is_observed() || a == b {
                continue;
            }
            // The observers are put aside, since the tables are looked at meanwhile.
            let mut watched = shard.observe(|observers| std::mem::take(&mut observers.watched));
            for (db, other) in [(a, b), (b, a)] {
                let before = |key: &[u8]| presence(shard.table(other), &Key::new(key), now);
                let after = |key: &[u8]| presence(shard.table(db), &Key::new(key), now);
                watched.replace_database(db, before, after);
            }
            shard.observe(|observers| observers.watched = watched);
        }
        self.every_key_ready();
    }

    fn exclusive_shard(&mut self, shard: usize) -> &mut Shard {
        assert!(self.is_exclusive(), "the unit has the keyspace to itself");
        self.shard_mut(shard)
    }

    /// Counts an entry that is no longer there for a reason of the server's own, and tells the listeners
    /// of it.
    #[cold]
    fn note_removal(&mut self, db: usize, key: &Key<'_>, reason: Reason) {
        self.expired_keys += u64::from(reason == Reason::Expired);
        if let Some(event) = reason.event() {
            self.event(db, event, key.bytes);
        }
        if let Some(records) = &mut self.records {
            records.push_for_all(db, Some(key.slot), [&b"UNLINK"[..], key.bytes].into_iter());
        }
    }

    #[cold]
    fn after_write(&mut self, db: usize, key: &Key<'_>) {
        let exists = self.find(db, key).is_some();
        let shard = self.shard_mut(shard_of(key.slot));
        let Some(observers) = shard.observers_mut() else { return };
        observers.watched.touch(db, key.bytes, exists);
        let (parked, tracked) = (observers.parked.has(db, key.bytes), observers.tracked.is_some());
        if tracked {
            self.invalidate(key);
        }
        if parked {
            self.note_ready(db, key.slot, key.bytes);
        }
    }

    /// Has `observer` see every entry of a shard before it changes, or takes the observer away.
    pub fn observe_writes(&mut self, shard: usize, observer: Option<Arc<dyn BeforeWrite>>) {
        self.shard_mut(shard).observe(|observers| observers.before_write = observer);
    }

    /// Commits the journal's records, and releases the locks. The notices that are to be delivered are
    /// handed to `queue` before that, so that units which touched the same key queue them in their order. Returns the keys that have changed, where clients have
    /// asked for changes of all keys with a prefix.
    #[inline]
    pub fn finish(&mut self, queue: impl FnOnce(Vec<Notice>)) -> Option<Vec<Box<[u8]>>> {
        if let Some(records) = self.records.take()
            && !records.is_empty()
        {
            self.keyspace.journal.commit(&records);
        }
        let mut changed = None;
        if self.notices.is_some()
            && let Some(notices) = self.notices.take()
        {
            if !notices.posts.is_empty() {
                queue(notices.posts);
            }
            if !notices.changed.is_empty() {
                changed = Some(notices.changed);
            }
        }
        self.shards = Shards::None;
        changed
    }
}

/// The expired entries and items of one round.
#[derive(Default)]
struct Removed {
    expired: Vec<(usize, Entry)>,
    items: Vec<(usize, Box<[u8]>, Vec<Box<[u8]>>)>,
    vacant: Vec<(usize, Entry)>,
}

/// Two iterators in turn, whose common length is known.
struct Chain<A, B>(A, B);

impl<T, A: ExactSizeIterator<Item = T>, B: ExactSizeIterator<Item = T>> Iterator for Chain<A, B> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.next().or_else(|| self.1.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.0.len() + self.1.len();
        (len, Some(len))
    }
}

impl<T, A: ExactSizeIterator<Item = T>, B: ExactSizeIterator<Item = T>> ExactSizeIterator
    for Chain<A, B>
{
}

#[cold]
fn before_write(shard: &mut Shard, db: usize, position: Position) {
    let Some(Observers { before_write: Some(observer), .. }) = shard.observers() else { return };
    observer.before_write(db, shard.table(db).get(position));
}

fn presence(table: &Table, key: &Key<'_>, now: i64) -> Presence {
    match table.find(key.hash, key.bytes).map(|position| table.get(position).expiry()) {
        None => Presence::Absent,
        Some(Some(at)) if at <= now => Presence::Expired,
        Some(_) => Presence::Present,
    }
}

/// An entry in its table, to be changed.
pub struct EntryMut<'a> {
    table: &'a mut Table,
    position: Position,
}

impl EntryMut<'_> {
    #[inline]
    pub fn entry(&self) -> &Entry {
        self.table.get(self.position)
    }

    /// The entry itself. Its expiry is changed only by [`set_expiry`](Self::set_expiry), and items that
    /// may expire only in [`change_items`](Self::change_items).
    #[inline]
    pub fn entry_mut(&mut self) -> &mut Entry {
        self.table.get_mut(self.position)
    }

    /// Replaces the value; the expiry stays.
    #[inline]
    pub fn set_value(&mut self, value: Value<'_>) {
        self.change_items(|entry| entry.set_value(value));
    }

    /// Has a value changed whose items may expire.
    #[inline]
    pub fn change_items<R>(&mut self, work: impl FnOnce(&mut Entry) -> R) -> R {
        let before = self.entry().has_volatile_items();
        let result = work(self.entry_mut());
        self.table.items_changed(self.position, before);
        result
    }

    /// Sets or clears the expiry, in milliseconds of Unix time.
    #[inline]
    pub fn set_expiry(&mut self, expiry: Option<i64>) {
        if expiry.is_some() || self.entry().expiry().is_some() {
            self.table.set_expiry(self.position, expiry);
        }
    }
}
