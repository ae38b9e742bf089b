//! What a command works with: its caller, its keys, the execution unit, the server.

use std::ops::Deref;

use smallvec::SmallVec;

use super::blocking::{AnsweredLater, Begin, Block, Blocked};
use super::call::Env;
use super::{Caller, CommandError, Origin, Result};
use crate::keyspace::{EntryMut, Key, Position, Reason, Shard, Unit};
use crate::resp::Reply;
use crate::state::{LatencyEvent, LatencyMonitor};
use crate::value::entry::Value;
use crate::value::{Entry, ValueRef, access};

/// The surroundings of one call of a command.
pub struct Cx<'a> {
    env: Env<'a>,
    pub caller: &'a mut Caller,
    /// The call's keys, in the order of the command's key specs; the unit has their shards.
    pub keys: &'a [Key<'a>],
    /// What is locked, and the door to it. Other commands can be called within it.
    pub unit: &'a mut Unit<'static>,
    /// Milliseconds of Unix time, the same for the whole unit.
    pub now: i64,
    expiry_now: i64,
    /// The command may change the data.
    pub(super) writes: bool,
}

impl<'a> Deref for Cx<'a> {
    type Target = Env<'a>;

    #[inline]
    fn deref(&self) -> &Env<'a> {
        &self.env
    }
}

impl<'a> Cx<'a> {
    pub(super) fn new(
        env: &Env<'a>,
        unit: &'a mut Unit<'static>,
        caller: &'a mut Caller,
        keys: &'a [Key<'a>],
    ) -> Self {
        let now = unit.now;
        let ignores_expiry =
            caller.origin == Origin::Replay || caller.import_source && env.settings.import_mode;
        let expiry_now = if ignores_expiry { i64::MIN } else { now };
        let writes = true;
        Cx { env: *env, caller, keys, unit, now, expiry_now, writes }
    }

    /// The time at which it is judged whether something has expired, in milliseconds of Unix time: now, but
    /// before all times in a replay, where nothing expires unless the journal says so, and for a client that
    /// imports data (CLIENT IMPORT-SOURCE).
    #[inline]
    pub fn expiry_now(&self) -> i64 {
        self.expiry_now
    }

    /// The time up to which an expiry that a command sets removes the key at once: before all times while data
    /// is imported (`import-mode`).
    pub fn removal_now(&self) -> i64 {
        if self.settings.import_mode { i64::MIN } else { self.expiry_now }
    }

    /// Whether the call repeats what a journal says.
    pub fn is_replay(&self) -> bool {
        self.caller.origin == Origin::Replay
    }

    /// The surroundings of a call within this one.
    pub(super) fn env(&self) -> Env<'a> {
        self.env
    }

    /// The first key.
    #[inline]
    pub fn key(&self) -> Key<'a> {
        self.keys[0]
    }

    /// Where the key's entry is; an entry that has expired is removed first.
    #[inline]
    fn position(&mut self, key: &Key<'_>) -> Option<Position> {
        let db = self.caller.db;
        self.position_in(db, key)
    }

    /// While writes wait nothing changes: an expired entry counts as absent, but is not removed either. While
    /// data is imported, only commands that write remove one.
    pub(super) fn may_expire(&self) -> bool {
        self.server.pause.current(self.now).is_none() && (self.writes || !self.settings.import_mode)
    }

    fn position_in(&mut self, db: usize, key: &Key<'_>) -> Option<Position> {
        let table = self.unit.table(db, key.slot);
        let position = table.find(key.hash, key.bytes)?;
        if table.get(position).expiry().is_some_and(|at| at <= self.expiry_now) {
            if self.may_expire() {
                self.expire(db, key, position);
            }
            return None;
        }
        Some(position)
    }

    /// Removes an entry whose time is over.
    #[cold]
    pub(super) fn expire(&mut self, db: usize, key: &Key<'_>, position: Position) {
        let began = LatencyMonitor::begin(self.settings);
        let entry = self.unit.remove(db, key, position, Reason::Expired);
        self.server.lazy_free.entry(entry);
        self.server.latency.end(self.settings, LatencyEvent::ExpireDel, began);
    }

    /// Looks a key up to read it: counts a hit or a miss, and notes the access.
    #[inline]
    pub fn read(&mut self, key: &Key<'_>) -> Option<&Entry> {
        let Some(position) = self.position(key) else {
            self.stats.keyspace_misses.add(1);
            self.event(self.caller.db, "keymiss", key);
            return None;
        };
        self.stats.keyspace_hits.add(1);
        self.note_access(key, position);
        Some(self.unit.table(self.caller.db, key.slot).get(position))
    }

    /// Looks keys up to read their values side by side.
    pub fn read_all(&mut self, keys: &[Key<'_>]) -> SmallVec<[Option<&Entry>; 4]> {
        let exists: SmallVec<[bool; 4]> = keys.iter().map(|key| self.read(key).is_some()).collect();
        keys.iter().zip(exists).map(|(key, exists)| self.found(key).filter(|_| exists)).collect()
    }

    /// The entry of a key that has been looked up before.
    pub fn found(&self, key: &Key<'_>) -> Option<&Entry> {
        let table = self.unit.table(self.caller.db, key.slot);
        table.find(key.hash, key.bytes).map(|position| table.get(position))
    }

    /// Looks up a key that the call has not declared. The command's scope must be
    /// [`Exclusive`](super::Scope::Exclusive). An expired entry is not removed.
    pub fn read_undeclared<R>(
        &mut self,
        key: &Key<'_>,
        work: impl FnOnce(Option<&Entry>) -> R,
    ) -> R {
        let db = self.caller.db;
        let table = self.unit.table(db, key.slot);
        let now = self.expiry_now;
        let is_alive = |at: &Position| table.get(*at).expiry().is_none_or(|at| at > now);
        let Some(position) = table.find(key.hash, key.bytes).filter(is_alive) else {
            self.stats.keyspace_misses.add(1);
            return work(None);
        };
        self.stats.keyspace_hits.add(1);
        self.note_access(key, position);
        work(Some(self.unit.table(db, key.slot).get(position)))
    }

    /// Looks a key up to tell about it: counts a hit or a miss, but is no access. For TTL, TYPE,
    /// OBJECT and the like.
    pub fn inspect(&mut self, key: &Key<'_>) -> Option<&Entry> {
        let Some(position) = self.position(key) else {
            self.stats.keyspace_misses.add(1);
            self.event(self.caller.db, "keymiss", key);
            return None;
        };
        self.stats.keyspace_hits.add(1);
        Some(self.unit.table(self.caller.db, key.slot).get(position))
    }

    /// Looks a key up without a trace: no hit, no miss, no access.
    pub fn peek(&mut self, key: &Key<'_>) -> Option<&Entry> {
        let position = self.position(key)?;
        Some(self.unit.table(self.caller.db, key.slot).get(position))
    }

    /// As [`peek`](Self::peek), whether or not the key's time is over.
    pub fn peek_at_any_time(&mut self, key: &Key<'_>) -> Option<&Entry> {
        let table = self.unit.table(self.caller.db, key.slot);
        let position = table.find(key.hash, key.bytes)?;
        Some(table.get(position))
    }

    /// As [`peek`](Self::peek), in another database than the client's.
    pub fn peek_in(&mut self, db: usize, key: &Key<'_>) -> Option<&Entry> {
        let position = self.position_in(db, key)?;
        Some(self.unit.table(db, key.slot).get(position))
    }

    /// Looks a key up to change it.
    #[inline]
    pub fn write(&mut self, key: &Key<'_>) -> Option<EntryMut<'_>> {
        let position = self.position(key)?;
        self.note_access(key, position);
        Some(self.unit.entry_mut(self.caller.db, key.slot, position))
    }

    /// Looks a key up to change it after it was looked up to read it: that was the access.
    pub fn write_again(&mut self, key: &Key<'_>) -> Option<EntryMut<'_>> {
        let position = self.position(key)?;
        Some(self.unit.entry_mut(self.caller.db, key.slot, position))
    }

    #[inline]
    fn note_access(&mut self, key: &Key<'_>, position: Position) {
        if !self.caller.no_touch {
            let db = self.caller.db;
            let before = self.unit.table(db, key.slot).get(position).access();
            let access = access::again(self.settings, self.now, before);
            self.unit.note_access(db, key.slot, position, access);
        }
    }

    /// Adds an entry under a key that has none.
    pub fn insert(&mut self, key: &Key<'_>, entry: Entry) {
        self.insert_in(self.caller.db, key, entry);
    }

    /// Adds an entry under a key that has none in database `db`.
    pub fn insert_in(&mut self, db: usize, key: &Key<'_>, mut entry: Entry) {
        entry.set_access(access::first(self.settings, self.now));
        self.unit.insert(db, key, entry);
    }

    /// Adds an entry under a key that has none in database `db`: what it remembers of its use stays.
    pub fn insert_used(&mut self, db: usize, key: &Key<'_>, entry: Entry) {
        self.unit.insert(db, key, entry);
    }

    /// Sets a key to a value and clears its expiry, or sets it if one is given.
    #[inline]
    pub fn set(&mut self, key: &Key<'_>, value: Value<'_>, expiry: Option<i64>) {
        let lazy_free = &self.server.lazy_free;
        match self.write(key) {
            Some(entry) if lazy_free.takes_collection(entry.entry()) => {
                self.replace(key, value, expiry);
            }
            Some(mut entry) => {
                entry.set_value(value);
                entry.set_expiry(expiry);
                self.unit.modified(self.caller.db, key);
            }
            None => self.insert(key, Entry::new(key.bytes, value, expiry)),
        }
    }

    /// Puts another entry in a big collection's place, which is freed in the background.
    #[cold]
    fn replace(&mut self, key: &Key<'_>, value: Value<'_>, expiry: Option<i64>) {
        let mut new = Entry::new(key.bytes, value, expiry);
        if let Some(old) = self.remove(key) {
            new.set_access(old.access());
            self.server.lazy_free.entry(old);
        }
        self.unit.insert(self.caller.db, key, new);
    }

    /// Removes a key and returns its entry.
    pub fn remove(&mut self, key: &Key<'_>) -> Option<Entry> {
        self.remove_in(self.caller.db, key)
    }

    /// Removes a key and frees its value, in the background if that takes time. Says whether it was
    /// there.
    pub fn remove_and_free(&mut self, key: &Key<'_>) -> bool {
        let removed = self.remove(key);
        let is_there = removed.is_some();
        removed.into_iter().for_each(|entry| self.server.lazy_free.entry(entry));
        is_there
    }

    /// Removes a key of database `db` and returns its entry.
    pub fn remove_in(&mut self, db: usize, key: &Key<'_>) -> Option<Entry> {
        let position = self.position_in(db, key)?;
        Some(self.unit.remove(db, key, position, Reason::Command))
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
        self.block(self.keys, deadline, blocked, out);
        Ok(())
    }

    /// Has the client wait for any of `keys`, which the command has found unreadable, until
    /// `deadline` in milliseconds of Unix time. It must not have replied. A caller that may not wait gets
    /// the reply of a wait whose time is over.
    pub fn block(
        &mut self,
        keys: &[Key<'_>],
        deadline: Option<i64>,
        blocked: Box<dyn Blocked>,
        out: &mut Reply<'_>,
    ) {
        if !self.caller.may_wait() {
            return blocked.refuse(out);
        }
        let keys = keys.iter().map(|key| (key.slot, key.bytes.into())).collect();
        self.caller.block = Some(Block { deadline, keys, blocked, begin: None });
    }

    /// Has the client wait until the work that `begin` starts has completed the parked call, on whatever
    /// thread. The command must not have replied, and its caller must be one that may wait.
    pub fn answer_later(&mut self, begin: Begin) {
        let blocked = Box::new(AnsweredLater);
        let block = Block { deadline: None, keys: Vec::new(), blocked, begin: Some(begin) };
        self.caller.block = Some(block);
    }

    /// Records that the command changed `key`, and the keyspace event that says how.
    #[inline]
    pub fn changed(&mut self, event: &'static str, key: &Key<'_>) {
        self.changed_by(1, event, key);
    }

    /// Records that the command changed `key` in `count` places, and the keyspace event that says how;
    /// nothing if it is none.
    #[inline]
    pub fn changed_by(&mut self, count: usize, event: &'static str, key: &Key<'_>) {
        if count > 0 {
            self.touched(count, key);
            self.event(self.caller.db, event, key);
        }
    }

    /// Records that the command changed `key` in `count` places, without an event.
    #[inline]
    pub fn touched(&mut self, count: usize, key: &Key<'_>) {
        self.touched_in(self.caller.db, count, key);
    }

    /// As [`touched`](Self::touched), in database `db`.
    #[inline]
    pub fn touched_in(&mut self, db: usize, count: usize, key: &Key<'_>) {
        if count > 0 {
            self.unit.changes += count as u64;
            self.unit.modified(db, key);
        }
    }

    // --- The journal ---

    /// Whether the journal records this unit: rewritten commands need not be built otherwise.
    #[inline]
    pub fn is_journaled(&mut self) -> bool {
        self.unit.records().is_some()
    }

    /// Journals a command in place of the call itself, with the caller's database and the slot of `key`.
    /// A call may be replaced by several commands, in the order of their effects.
    #[cold]
    pub fn journal_as<'w>(
        &mut self,
        key: &Key<'_>,
        words: impl IntoIterator<Item = &'w [u8], IntoIter: ExactSizeIterator>,
    ) {
        let db = self.caller.db;
        if let Some(records) = self.unit.records() {
            records.note_replaced();
            records.push(db, Some(key.slot), words.into_iter());
        }
    }

    /// Journals nothing of the call: what it has changed is journaled already, or needs not be.
    pub fn journal_nothing(&mut self) {
        self.unit.records().into_iter().for_each(|records| records.note_replaced());
    }

    /// Removes the key of a collection that has become empty.
    pub fn remove_emptied(&mut self, key: &Key<'_>) {
        if let Some(entry) = self.remove(key) {
            self.server.lazy_free.entry(entry);
            self.event(self.caller.db, "del", key);
        }
    }

    /// Records a further keyspace event of a change that is counted already, or is counted apart.
    #[inline]
    pub fn event(&mut self, db: usize, event: &'static str, key: &Key<'_>) {
        self.unit.event(db, event, key.bytes);
    }

    /// Reads one shard; the command's scope must be [`Shards`](super::Scope::Shards) or
    /// [`Exclusive`](super::Scope::Exclusive).
    pub fn visit<R>(&mut self, shard: usize, work: impl FnOnce(&Shard) -> R) -> R {
        self.unit.visit(shard, work)
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
