//! What a command works with: its keys, the locked data, the client and the server.

use smallvec::SmallVec;

use super::{CommandError, Result};
use crate::blocking::{Block, Blocked};
use crate::config::Settings;
use crate::keyspace::{Exclusive, Key, Locked, Position, SHARDS, Shard, Table, shard_of};
use crate::resp::Reply;
use crate::server::{KeyspaceEvent, Server, WorkerStats};
use crate::session::Client;
use crate::table::Slot;
use crate::value::entry::Value;
use crate::value::{Entry, ValueRef, access};

/// The surroundings of one execution of one command.
pub struct Cx<'a> {
    pub server: &'a Server,
    pub settings: &'a Settings,
    pub stats: &'a WorkerStats,
    pub client: &'a mut Client,
    /// The call's keys, in the order of the command's key specs; their shards are locked.
    pub keys: &'a [Key<'a>],
    pub(crate) locked: Locked<'a>,
    /// Milliseconds of Unix time, the same for the whole command.
    pub now: i64,
    /// There if the command's scope is [`Exclusive`](super::Scope::Exclusive).
    pub(crate) exclusive: Option<&'a Exclusive<'a>>,
    pub effects: Effects,
}

/// What a command causes outside its keys, for the session layer to deliver after it.
#[derive(Default)]
pub struct Effects {
    /// Changes of the data: what `rdb_changes_since_last_save` counts.
    pub changes: u64,
    /// Keys that somebody waits for and that may be readable now: database, slot, key.
    pub ready: Vec<(usize, u16, Box<[u8]>)>,
    pub events: Vec<KeyspaceEvent>,
    /// The client itself wants to wait.
    pub block: Option<Block>,
}

impl Effects {
    /// Whether there is something for [`blocking::settle`](crate::blocking::settle) to do.
    #[inline]
    pub fn concern_others(&self) -> bool {
        !self.ready.is_empty() || self.block.is_some()
    }
}

impl<'a> Cx<'a> {
    /// The first key.
    #[inline]
    pub fn key(&self) -> Key<'a> {
        self.keys[0]
    }

    /// The current database's table that `key` belongs to.
    #[inline]
    pub fn table(&mut self, key: &Key<'_>) -> &mut Table {
        let db = self.client.db;
        self.locked.shard(key.slot).table_mut(db)
    }

    /// The table of database `db` that `key` belongs to.
    pub fn table_of(&mut self, db: usize, key: &Key<'_>) -> &mut Table {
        self.locked.shard(key.slot).table_mut(db)
    }

    /// Where the key's entry is; an entry that has expired is removed first.
    #[inline]
    fn position(&mut self, key: &Key<'_>) -> Option<Position> {
        let db = self.client.db;
        self.position_in(db, key)
    }

    /// While writes wait nothing changes: what has expired is not there, but is not removed either.
    pub(super) fn may_expire(&self) -> bool {
        self.server.pause.current(self.now).is_none()
    }

    fn position_in(&mut self, db: usize, key: &Key<'_>) -> Option<Position> {
        let now = self.now;
        let table = self.locked.shard(key.slot).table(db);
        let position = table.find(key.hash, key.bytes)?;
        if table.get(position).expiry().is_some_and(|at| at <= now) {
            if !self.may_expire() {
                return None;
            }
            let expired = self.locked.shard(key.slot).remove(db, position);
            self.server.reclaimer.entry(expired);
            self.ready_in(db, key);
            self.stats.expired_keys.add(1);
            self.event(db, "expired", key);
            return None;
        }
        Some(position)
    }

    /// Looks a key up to read it: counts a hit or a miss, and notes the access.
    #[inline]
    pub fn read(&mut self, key: &Key<'_>) -> Option<&Entry> {
        let Some(position) = self.position(key) else {
            self.stats.keyspace_misses.add(1);
            self.event(self.client.db, "keymiss", key);
            return None;
        };
        self.stats.keyspace_hits.add(1);
        self.note_access(key, position);
        Some(self.table(key).get(position))
    }

    /// Looks keys up to read their values side by side.
    pub fn read_all(&mut self, keys: &[Key<'_>]) -> SmallVec<[Option<&Entry>; 4]> {
        let exists: SmallVec<[bool; 4]> = keys.iter().map(|key| self.read(key).is_some()).collect();
        keys.iter().zip(exists).map(|(key, exists)| self.found(key).filter(|_| exists)).collect()
    }

    /// The entry of a key that has been looked up before.
    pub fn found(&self, key: &Key<'_>) -> Option<&Entry> {
        let table = self.locked.held(key.slot).table(self.client.db);
        table.find(key.hash, key.bytes).map(|position| table.get(position))
    }

    /// Looks up a key that the call has not declared. The command's scope must be
    /// [`Exclusive`](super::Scope::Exclusive).
    pub fn read_undeclared<R>(
        &mut self,
        key: &Key<'_>,
        look: impl FnOnce(Option<&Entry>) -> R,
    ) -> R {
        let (db, now, stats) = (self.client.db, self.now, self.stats);
        let (settings, touches) = (self.settings, !self.client.no_touch);
        self.locked.visit(shard_of(key.slot), |shard| {
            let table = shard.table(db);
            let position = table.find(key.hash, key.bytes);
            let is_alive =
                |at: &Position| table.get(*at).expiry().is_none_or(|expiry| expiry > now);
            let Some(position) = position.filter(is_alive) else {
                stats.keyspace_misses.add(1);
                return look(None);
            };
            stats.keyspace_hits.add(1);
            let entry = shard.table_mut(db).get_mut(position);
            if touches {
                entry.set_access(access::again(settings, now, entry.access()));
            }
            look(Some(entry))
        })
    }

    /// Looks a key up to tell about it: counts a hit or a miss, but is no access. For TTL, TYPE,
    /// OBJECT and the like.
    pub fn inspect(&mut self, key: &Key<'_>) -> Option<&Entry> {
        let Some(position) = self.position(key) else {
            self.stats.keyspace_misses.add(1);
            self.event(self.client.db, "keymiss", key);
            return None;
        };
        self.stats.keyspace_hits.add(1);
        Some(self.table(key).get(position))
    }

    /// Looks a key up without a trace: no hit, no miss, no access.
    pub fn peek(&mut self, key: &Key<'_>) -> Option<&Entry> {
        let position = self.position(key)?;
        Some(self.table(key).get(position))
    }

    /// As [`peek`](Self::peek), in another database than the client's.
    pub fn peek_in(&mut self, db: usize, key: &Key<'_>) -> Option<&Entry> {
        let position = self.position_in(db, key)?;
        Some(self.table_of(db, key).get(position))
    }

    /// Looks a key up to change it.
    #[inline]
    pub fn write(&mut self, key: &Key<'_>) -> Option<EntryMut<'_>> {
        let position = self.position(key)?;
        self.note_access(key, position);
        let db = self.client.db;
        Some(EntryMut { shard: self.locked.shard(key.slot), db, position })
    }

    /// Looks a key up to change it after it was looked up to read it: that was the access.
    pub fn write_again(&mut self, key: &Key<'_>) -> Option<EntryMut<'_>> {
        let position = self.position(key)?;
        let db = self.client.db;
        Some(EntryMut { shard: self.locked.shard(key.slot), db, position })
    }

    #[inline]
    fn note_access(&mut self, key: &Key<'_>, position: Position) {
        if !self.client.no_touch {
            let (settings, now) = (self.settings, self.now);
            let entry = self.table(key).get_mut(position);
            entry.set_access(access::again(settings, now, entry.access()));
        }
    }

    /// Adds an entry under a key that has none.
    pub fn insert(&mut self, key: &Key<'_>, mut entry: Entry) {
        entry.set_access(access::first(self.settings, self.now));
        self.table(key).insert(key.hash, entry);
        self.event(self.client.db, "new", key);
        self.ready(key);
    }

    /// Adds an entry under a key that has none in database `db`.
    pub fn insert_in(&mut self, db: usize, key: &Key<'_>, mut entry: Entry) {
        entry.set_access(access::first(self.settings, self.now));
        self.table_of(db, key).insert(key.hash, entry);
        self.event(db, "new", key);
        self.ready_in(db, key);
    }

    /// Adds an entry under a key that has none in database `db`: what it remembers of its use stays.
    pub fn insert_used(&mut self, db: usize, key: &Key<'_>, entry: Entry) {
        self.table_of(db, key).insert(key.hash, entry);
        self.event(db, "new", key);
        self.ready_in(db, key);
    }

    /// Sets a key to a value and clears its expiry, or sets it if one is given.
    #[inline]
    pub fn set(&mut self, key: &Key<'_>, value: Value<'_>, expiry: Option<i64>) {
        let reclaimer = &self.server.reclaimer;
        match self.write(key) {
            Some(entry) if reclaimer.takes_collection(entry.entry()) => {
                let old = entry.remove();
                let mut new = Entry::new(key.bytes, value, expiry);
                new.set_access(old.access());
                self.table(key).insert(key.hash, new);
                reclaimer.entry(old);
            }
            Some(mut entry) => {
                entry.set_value(value);
                entry.set_expiry(expiry);
                self.ready(key);
            }
            None => self.insert(key, Entry::new(key.bytes, value, expiry)),
        }
    }

    /// Removes a key and returns its entry.
    pub fn remove(&mut self, key: &Key<'_>) -> Option<Entry> {
        let position = self.position(key)?;
        let entry = self.locked.shard(key.slot).remove(self.client.db, position);
        self.ready(key);
        Some(entry)
    }

    /// Removes a key and frees its value, in the background if that takes time. Says whether it was
    /// there.
    pub fn remove_and_reclaim(&mut self, key: &Key<'_>) -> bool {
        let removed = self.remove(key);
        let is_there = removed.is_some();
        removed.into_iter().for_each(|entry| self.server.reclaimer.entry(entry));
        is_there
    }

    /// Removes a key of database `db` and returns its entry.
    pub fn remove_in(&mut self, db: usize, key: &Key<'_>) -> Option<Entry> {
        let position = self.position_in(db, key)?;
        let entry = self.locked.shard(key.slot).remove(db, position);
        self.ready_in(db, key);
        Some(entry)
    }

    /// Notes that a key may have become readable for those who wait for it. What adds or removes an
    /// entry does so by itself.
    #[inline]
    pub fn ready(&mut self, key: &Key<'_>) {
        self.ready_in(self.client.db, key);
    }

    #[inline]
    fn ready_in(&mut self, db: usize, key: &Key<'_>) {
        if !self.locked.shard(key.slot).waiting.is_empty() {
            self.note_ready(db, key);
        }
    }

    #[cold]
    fn note_ready(&mut self, db: usize, key: &Key<'_>) {
        let is_known = |(known_db, _, known): &(usize, u16, Box<[u8]>)| {
            *known_db == db && **known == *key.bytes
        };
        if self.locked.shard(key.slot).waiting.has(db, key.bytes)
            && !self.effects.ready.iter().any(is_known)
        {
            self.effects.ready.push((db, key.slot, key.bytes.into()));
        }
    }

    /// Notes that any key may have become readable; the command's scope must be
    /// [`Exclusive`](super::Scope::Exclusive).
    pub fn everything_ready(&mut self) {
        for shard in 0..SHARDS {
            let keys = self.visit(shard, |shard| {
                let keys = shard.waiting.keys().map(|(db, key)| (db, key.to_vec()));
                keys.collect::<Vec<_>>()
            });
            for (db, key) in keys {
                self.note_ready(db, &Key::new(&key));
            }
        }
    }

    /// Tries the command's keys, and has the client wait for any of them if none has anything. `check`
    /// refuses values of another type: nobody is made to wait for those.
    pub fn first_or_block(
        &mut self,
        deadline: Option<i64>,
        blocked: Box<dyn Blocked>,
        check: impl Fn(&Entry) -> Result,
        out: &mut Reply<'_>,
    ) -> Result {
        for key in self.keys {
            if blocked.attempt(self, key, out)? {
                return Ok(());
            }
            if let Some(entry) = self.peek(key) {
                check(entry)?;
            }
        }
        self.block(self.keys, deadline, blocked);
        Ok(())
    }

    /// Has the client wait for any of `keys`, which the command has found unreadable, until
    /// `deadline` in milliseconds of Unix time. It must not have replied.
    pub fn block(&mut self, keys: &[Key<'_>], deadline: Option<i64>, blocked: Box<dyn Blocked>) {
        let keys = keys.iter().map(|key| (key.slot, key.bytes.into())).collect();
        self.effects.block = Some(Block { deadline, keys, blocked });
    }

    /// Records that the command changed `key`, and the keyspace event that says how.
    #[inline]
    pub fn changed(&mut self, event: &'static str, key: &Key<'_>) {
        self.effects.changes += 1;
        self.event(self.client.db, event, key);
    }

    /// Records an event that is `times` changes; nothing if it is none.
    pub fn changed_times(&mut self, event: &'static str, key: &Key<'_>, times: usize) {
        if times > 0 {
            self.changed(event, key);
            self.effects.changes += times as u64 - 1;
        }
    }

    /// Removes the key of a collection that has become empty.
    pub fn remove_emptied(&mut self, key: &Key<'_>) {
        if let Some(entry) = self.remove(key) {
            self.server.reclaimer.entry(entry);
            self.event(self.client.db, "del", key);
        }
    }

    /// Records a further keyspace event of a change that is counted already, or is counted apart.
    #[inline]
    pub fn event(&mut self, db: usize, event: &'static str, key: &Key<'_>) {
        if self.server.events.wants(self.settings.notify_keyspace_events, event) {
            self.effects.events.push(KeyspaceEvent { db, name: event, key: key.bytes.into() });
        }
    }

    /// Works on one shard; the command's scope must be [`Shards`](super::Scope::Shards) or
    /// [`Exclusive`](super::Scope::Exclusive).
    pub fn visit<R>(&mut self, shard: usize, work: impl FnOnce(&mut Shard) -> R) -> R {
        self.locked.visit(shard, work)
    }

    /// The whole keyspace; the command's scope must be [`Exclusive`](super::Scope::Exclusive).
    pub fn exclusive(&self) -> &'a Exclusive<'a> {
        self.exclusive.expect("the command's scope is exclusive")
    }
}

/// An entry in its table, to be changed.
pub struct EntryMut<'a> {
    shard: &'a mut Shard,
    db: usize,
    position: Position,
}

impl EntryMut<'_> {
    #[inline]
    pub fn entry(&self) -> &Entry {
        self.shard.table(self.db).get(self.position)
    }

    /// The entry itself. Its expiry is changed only by [`set_expiry`](Self::set_expiry), and items that
    /// may expire only in [`change_items`](Self::change_items).
    #[inline]
    pub fn entry_mut(&mut self) -> &mut Entry {
        self.shard.table_mut(self.db).get_mut(self.position)
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
        self.shard.table_mut(self.db).items_changed(self.position, before);
        result
    }

    /// Sets or clears the expiry, in milliseconds of Unix time.
    #[inline]
    pub fn set_expiry(&mut self, expiry: Option<i64>) {
        if expiry.is_some() || self.entry().expiry().is_some() {
            self.shard.table_mut(self.db).set_expiry(self.position, expiry);
        }
    }

    pub fn remove(self) -> Entry {
        self.shard.remove(self.db, self.position)
    }
}

impl Entry {
    /// The string's bytes; an integer is written into `digits`.
    pub fn string<'a>(&'a self, digits: &'a mut itoa::Buffer) -> Result<&'a [u8]> {
        match self.value() {
            ValueRef::Int(number) => Ok(digits.format(number).as_bytes()),
            ValueRef::Bytes(bytes) => Ok(bytes),
            ValueRef::Packed(..) => Err(CommandError::WRONG_TYPE),
            ValueRef::Object(object) => match object.as_string() {
                Some(bytes) => Ok(bytes),
                None => Err(CommandError::WRONG_TYPE),
            },
        }
    }
}
