//! What a unit has for others: events, invalidations, keys that have become readable; and who waits for them.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::super::journal::Records;
use super::super::parked::Parked;
use super::super::tracked::{TrackedKeys, Tracker};
use super::super::watched::{Presence, WatchState};
use super::super::{Key, SHARDS, shard_of, slot};
use super::Unit;
use crate::config::KeyspaceEvents;

/// Something that happened to a key (a keyspace event), for those who have subscribed to such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyspaceEvent {
    pub db: usize,
    /// `set`, `del`, `expired` …
    pub name: &'static str,
    pub key: Box<[u8]>,
}

/// A key that a parked client waits for and that may be readable now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyKey {
    pub db: usize,
    pub slot: u16,
    pub key: Box<[u8]>,
}

/// Something that a unit has for others, in the order in which it came to be.
pub enum Notice {
    /// With the classes of events that were wanted then.
    Event(KeyspaceEvent, KeyspaceEvents),
    Invalidation(Invalidation),
    /// For the layer above to know.
    Other(Box<dyn Any + Send>),
}

/// Keys that have changed, for clients that may have cached them.
pub enum Invalidation {
    /// A key, and the clients that have read it since it last changed.
    Changed(Box<[u8]>, Vec<Arc<Tracker>>),
    /// A key that has not changed, but is no longer remembered, and the clients that have read it.
    Forgotten(Box<[u8]>, Vec<Arc<Tracker>>),
    /// All keys.
    All,
}

/// What a unit's changes cause for others.
#[derive(Default)]
pub(super) struct Notices {
    pub(super) posts: Vec<Notice>,
    ready: Vec<ReadyKey>,
    /// Keys that have changed, for the clients that have asked for changes of all keys with a prefix.
    pub(super) changed: Vec<Box<[u8]>>,
}

/// The notices of a unit, if there are any. Most units have none, and pay for one comparison when they end:
/// what is to be dropped otherwise is dropped elsewhere.
#[derive(Default)]
pub(super) struct Pending(ManuallyDrop<Option<Box<Notices>>>);

impl Deref for Pending {
    type Target = Option<Box<Notices>>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Pending {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Drop for Pending {
    #[inline]
    fn drop(&mut self) {
        if self.0.is_some() {
            drop_notices(self.0.take());
        }
    }
}

#[cold]
#[inline(never)]
fn drop_notices(notices: Option<Box<Notices>>) {
    drop(notices);
}

impl Unit<'_> {
    /// Notes that a key has changed, for those who may have cached it.
    pub(super) fn invalidate(&mut self, key: &Key<'_>) {
        let Some(tracked) = self.shard_mut(shard_of(key.slot)).tracked_mut() else { return };
        let (broadcasts, readers) = (tracked.broadcasts, tracked.take(key.bytes));
        if !readers.is_empty() {
            self.note_invalid(Invalidation::Changed(key.bytes.into(), readers));
        }
        if broadcasts {
            self.notices.get_or_insert_default().changed.push(key.bytes.into());
        }
    }

    pub(super) fn note_invalid(&mut self, invalidation: Invalidation) {
        let posts = &mut self.notices.get_or_insert_default().posts;
        posts.push(Notice::Invalidation(invalidation));
    }

    /// Records a keyspace event, if somebody wants it.
    #[inline]
    pub fn event(&mut self, db: usize, name: &'static str, key: &[u8]) {
        if !self.wanted.is_empty() {
            self.push_event(db, name, key);
        }
    }

    #[cold]
    fn push_event(&mut self, db: usize, name: &'static str, key: &[u8]) {
        if self.wanted.include(name) {
            let notices = self.notices.get_or_insert_default();
            let event = KeyspaceEvent { db, name, key: key.into() };
            notices.posts.push(Notice::Event(event, self.wanted));
        }
    }

    /// Has the unit record events of these classes from now on.
    pub fn want_events(&mut self, classes: KeyspaceEvents) {
        self.wanted = classes;
    }

    /// Has the clients that wait for a key tried again, whether or not it was changed.
    pub fn make_ready(&mut self, db: usize, key: &Key<'_>) {
        let parked = self.shard_mut(shard_of(key.slot)).parked();
        if parked.is_some_and(|parked| parked.has(db, key.bytes)) {
            self.note_ready(db, key.slot, key.bytes);
        }
    }

    pub(super) fn note_ready(&mut self, db: usize, slot: u16, key: &[u8]) {
        let ready = &mut self.notices.get_or_insert_default().ready;
        if !ready.iter().any(|known| known.db == db && *known.key == *key) {
            ready.push(ReadyKey { db, slot, key: key.into() });
        }
    }

    pub(super) fn every_key_ready(&mut self) {
        for shard in 0..SHARDS {
            let parked = self.shard_mut(shard).parked();
            let keys: Vec<(usize, Box<[u8]>)> = parked
                .into_iter()
                .flat_map(|parked| parked.keys().map(|(db, key)| (db, key.into())))
                .collect();
            for (db, key) in keys {
                self.note_ready(db, slot(&key), &key);
            }
        }
    }

    /// The journal's records of this unit; `None` while nobody listens.
    #[inline]
    pub fn records(&mut self) -> Option<&mut Records> {
        self.records.as_deref_mut()
    }

    /// Whether there may be something to do for others when the unit is settled: records for the journal,
    /// notices, clients that wait for keys.
    #[inline]
    pub fn concerns_others(&self) -> bool {
        self.records.is_some() || self.notices.is_some()
    }

    /// Whether there is something for the layer above to settle.
    #[inline]
    pub fn has_ready_keys(&self) -> bool {
        self.notices.as_ref().is_some_and(|notices| !notices.ready.is_empty())
    }

    /// Keys that have become readable since this was last asked, in that order.
    pub fn take_ready_keys(&mut self) -> Vec<ReadyKey> {
        self.notices.as_mut().map(|notices| std::mem::take(&mut notices.ready)).unwrap_or_default()
    }

    /// The clients that wait for a key.
    pub fn parked(&mut self, ready: &ReadyKey) -> Vec<Arc<dyn Parked>> {
        let parked = self.shard_mut(shard_of(ready.slot)).parked();
        parked.map(|parked| parked.of(ready.db, &ready.key)).unwrap_or_default()
    }

    /// A client begins to wait for a key.
    pub fn park(&mut self, db: usize, slot: u16, key: &[u8], parked: &Arc<dyn Parked>) {
        self.shard_mut(shard_of(slot)).observe(|observers| observers.parked.add(db, key, parked));
    }

    /// A client no longer waits for a key.
    pub fn unpark(&mut self, db: usize, slot: u16, key: &[u8], parked: &Arc<dyn Parked>) {
        let shard = self.shard_mut(shard_of(slot));
        shard.observe(|observers| observers.parked.remove(db, key, parked));
    }

    /// A client begins to watch a key.
    pub fn watch(&mut self, db: usize, key: &Key<'_>, state: &Arc<WatchState>) {
        let expired = self.presence(db, key) == Presence::Expired;
        let shard = self.shard_mut(shard_of(key.slot));
        shard.observe(|observers| observers.watched.add(db, key.bytes, state, expired));
    }

    /// A client no longer watches a key.
    pub fn unwatch(&mut self, db: usize, slot: u16, key: &[u8], state: &Arc<WatchState>) {
        let shard = self.shard_mut(shard_of(slot));
        shard.observe(|observers| observers.watched.remove(db, key, state));
    }

    /// Whether a watched key has expired since the watch began, and was not removed yet.
    pub fn has_expired_since(&self, db: usize, key: &Key<'_>, state: &Arc<WatchState>) -> bool {
        self.presence(db, key) == Presence::Expired
            && !self
                .held(shard_of(key.slot))
                .observers()
                .is_some_and(|observers| observers.watched.began_expired(db, key.bytes, state))
    }

    /// A client has read a key, and is to be told when that changes.
    pub fn track(&mut self, key: &Key<'_>, tracker: &Arc<Tracker>) {
        let totals = self.keyspace.tracked.clone();
        self.shard_mut(shard_of(key.slot)).observe(|observers| {
            observers
                .tracked
                .get_or_insert_with(|| TrackedKeys::new(totals))
                .add(key.bytes, tracker);
        });
    }

    /// Whether all changes of a shard's keys are noted, for clients that have asked for those of all keys
    /// with a prefix.
    pub fn broadcast_changes(&mut self, shard: usize, broadcasts: bool) {
        let totals = self.keyspace.tracked.clone();
        self.shard_mut(shard).observe(|observers| {
            observers.tracked.get_or_insert_with(|| TrackedKeys::new(totals)).broadcasts =
                broadcasts;
        });
    }

    /// Forgets some tracked key of a shard, as if it had changed. False if there is none.
    pub fn evict_tracked(&mut self, shard: usize) -> bool {
        let taken =
            self.shard_mut(shard).observe(|observers| observers.tracked.as_mut()?.take_any());
        let Some((key, readers)) = taken else { return false };
        self.note_invalid(Invalidation::Forgotten(key, readers));
        true
    }

    /// The unit's notices so far.
    pub fn posts(&mut self) -> Option<&mut Vec<Notice>> {
        self.notices.as_mut().map(|notices| &mut notices.posts)
    }

    /// Has a notice delivered with the unit's events, in their order.
    pub fn post(&mut self, notice: Box<dyn Any + Send>) {
        self.notices.get_or_insert_default().posts.push(Notice::Other(notice));
    }
}
