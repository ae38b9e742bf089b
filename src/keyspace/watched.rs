//! The keys of one shard that clients watch (WATCH), and what a change of a key does to the watches.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rapidhash::fast::RandomState;

/// One client's watches: whether a key that it watches was changed. Shared by all of its watches.
#[derive(Debug, Default)]
pub struct WatchState {
    changed: AtomicBool,
    /// A key was changed by itself, which ends all watches of the client: they are of no use any more.
    /// (As in Valkey, another database in the place of the key's does not end them.)
    ended: AtomicBool,
}

impl WatchState {
    /// Whether a watched key was changed. Certain only while the shards of the watched keys are locked.
    pub fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    /// Whether the watches have ended by that.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn mark_changed(&self) {
        self.changed.store(true, Ordering::Release);
    }

    /// Forgets that. There must be no watch left.
    pub fn reset(&self) {
        self.changed.store(false, Ordering::Release);
        self.ended.store(false, Ordering::Release);
    }
}

/// One client's watch of one key.
struct Watch {
    state: Arc<WatchState>,
    /// The key had expired, and was not removed yet, when the watch began: for the client it was not
    /// there, so its removal is no change.
    expired: bool,
}

/// The watched keys of one shard.
#[derive(Default)]
pub struct WatchedKeys {
    /// By database.
    keys: HashMap<usize, HashMap<Box<[u8]>, Vec<Watch>, RandomState>, RandomState>,
}

impl WatchedKeys {
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Keys with watches that have not ended.
    pub fn count(&self) -> usize {
        let is_used = |watches: &&Vec<Watch>| watches.iter().any(|w| !w.state.is_ended());
        self.keys.values().flat_map(|keys| keys.values()).filter(is_used).count()
    }

    /// Watches a key. `expired`: an entry is there whose time is over.
    pub fn add(&mut self, db: usize, key: &[u8], state: &Arc<WatchState>, expired: bool) {
        let watches = self.keys.entry(db).or_default().entry(key.into()).or_default();
        watches.push(Watch { state: state.clone(), expired });
    }

    /// Ends a client's watch of a key.
    pub fn remove(&mut self, db: usize, key: &[u8], state: &Arc<WatchState>) {
        let Some(keys) = self.keys.get_mut(&db) else { return };
        let Some(watches) = keys.get_mut(key) else { return };
        watches.retain(|watch| !Arc::ptr_eq(&watch.state, state));
        if watches.is_empty() {
            keys.remove(key);
        }
        if keys.is_empty() {
            self.keys.remove(&db);
        }
    }

    /// Whether the client's watch of a key began when that had expired.
    pub fn began_expired(&self, db: usize, key: &[u8], state: &Arc<WatchState>) -> bool {
        let watches = self.keys.get(&db).and_then(|keys| keys.get(key));
        let mut own = watches.into_iter().flatten().filter(|w| Arc::ptr_eq(&w.state, state));
        own.next().is_some_and(|watch| watch.expired)
    }

    /// A key was changed; `exists` says whether it has an entry now.
    pub fn touch(&mut self, db: usize, key: &[u8], exists: bool) {
        let watches = self.keys.get_mut(&db).and_then(|keys| keys.get_mut(key));
        for watch in watches.into_iter().flatten() {
            if watch.expired && !exists {
                watch.expired = false;
            } else {
                watch.state.mark_changed();
                watch.state.ended.store(true, Ordering::Release);
            }
        }
    }

    /// Database `db` gets other contents. `before` and `after` say of a key whether the old and the new
    /// contents have it, and whether it has expired there.
    pub fn replace_database(
        &mut self,
        db: usize,
        before: impl Fn(&[u8]) -> Presence,
        after: impl Fn(&[u8]) -> Presence,
    ) {
        for (key, watches) in self.keys.get_mut(&db).into_iter().flatten() {
            let (before, after) = (before(key), after(key));
            if before == Presence::Absent && after == Presence::Absent {
                continue;
            }
            for watch in watches {
                match after {
                    // For the client, the key was not there before, and is not there now.
                    Presence::Absent if watch.expired => watch.expired = false,
                    Presence::Expired if watch.expired => {}
                    Presence::Expired if before == Presence::Absent => watch.expired = true,
                    _ => watch.state.mark_changed(),
                }
            }
        }
    }
}

/// How a key is in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Absent,
    /// It has an entry whose time is over.
    Expired,
    Present,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(expired: bool) -> (WatchedKeys, Arc<WatchState>) {
        let (mut keys, state) = (WatchedKeys::default(), Arc::default());
        keys.add(0, b"a", &state, expired);
        (keys, state)
    }

    #[test]
    fn a_change_is_noted_for_the_key_and_database_alone() {
        let (mut keys, state) = watched(false);
        keys.touch(1, b"a", true);
        keys.touch(0, b"b", true);
        assert!(!state.is_changed());
        keys.touch(0, b"a", false);
        assert!(state.is_changed());
    }

    #[test]
    fn the_removal_of_a_key_that_had_expired_is_no_change() {
        let (mut keys, state) = watched(true);
        keys.touch(0, b"a", false);
        assert!(!state.is_changed());
        keys.touch(0, b"a", true);
        assert!(state.is_changed());
    }

    #[test]
    fn another_database_in_its_place_is_a_change_where_the_client_could_see_one() {
        use Presence::{Absent, Expired, Present};
        for (expired, before, after, changed) in [
            (false, Absent, Absent, false),
            (false, Present, Absent, true),
            (false, Absent, Present, true),
            (false, Present, Present, true),
            (false, Absent, Expired, false),
            (true, Expired, Absent, false),
            (true, Expired, Expired, false),
            (true, Expired, Present, true),
        ] {
            let (mut keys, state) = watched(expired);
            keys.replace_database(0, |_| before, |_| after);
            assert_eq!(state.is_changed(), changed, "{expired} {before:?} {after:?}");
        }
    }

    #[test]
    fn an_ended_watch_leaves_nothing() {
        let (mut keys, state) = watched(false);
        keys.remove(0, b"a", &state);
        keys.touch(0, b"a", true);
        assert!(keys.is_empty() && !state.is_changed());
    }
}
