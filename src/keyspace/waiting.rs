//! Who waits for the keys of one shard.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rapidhash::fast::RandomState;

use crate::blocking::Waiter;

/// The clients that wait for keys of one shard, each key's in the order of their arrival. Takes no
/// memory while there are none.
#[derive(Default)]
pub struct Waiting(Option<Box<Queues>>);

#[derive(Default)]
struct Queues {
    /// By database.
    keys: HashMap<usize, Keys, RandomState>,
    /// Those whose commands use other keys as well.
    movers: usize,
}

type Keys = HashMap<Box<[u8]>, VecDeque<Arc<Waiter>>, RandomState>;

impl Waiting {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a waiter's command, when it is tried, uses keys of other shards too.
    #[inline]
    pub fn has_movers(&self) -> bool {
        self.0.as_ref().is_some_and(|queues| queues.movers > 0)
    }

    /// Whether somebody waits for that key.
    pub fn has(&self, db: usize, key: &[u8]) -> bool {
        self.queue(db, key).is_some()
    }

    /// The keys that are waited for, with their databases.
    pub fn keys(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let dbs = self.0.iter().flat_map(|queues| &queues.keys);
        dbs.flat_map(|(db, keys)| keys.keys().map(|key| (*db, &**key)))
    }

    /// Those who wait for a key.
    pub fn of(&self, db: usize, key: &[u8]) -> Vec<Arc<Waiter>> {
        self.queue(db, key).map(|queue| queue.iter().cloned().collect()).unwrap_or_default()
    }

    /// Tells those who wait for a key that it has expired or was evicted.
    pub fn key_gone(&self, db: usize, key: &[u8]) {
        self.queue(db, key).into_iter().flatten().for_each(|waiter| waiter.key_gone(key));
    }

    fn queue(&self, db: usize, key: &[u8]) -> Option<&VecDeque<Arc<Waiter>>> {
        self.0.as_ref()?.keys.get(&db)?.get(key)
    }

    pub fn add(&mut self, db: usize, key: &[u8], waiter: &Arc<Waiter>) {
        let queues = self.0.get_or_insert_default();
        let queue = queues.keys.entry(db).or_default().entry(key.into()).or_default();
        // A command may name a key twice.
        if !queue.iter().any(|known| Arc::ptr_eq(known, waiter)) {
            queue.push_back(waiter.clone());
            queues.movers += usize::from(waiter.moves());
        }
    }

    pub fn remove(&mut self, db: usize, key: &[u8], waiter: &Arc<Waiter>) {
        let Some(queues) = &mut self.0 else { return };
        let Some(keys) = queues.keys.get_mut(&db) else { return };
        let Some(queue) = keys.get_mut(key) else { return };
        let Some(at) = queue.iter().position(|known| Arc::ptr_eq(known, waiter)) else { return };
        queue.remove(at);
        queues.movers -= usize::from(waiter.moves());
        if queue.is_empty() {
            keys.remove(key);
        }
        if keys.is_empty() {
            queues.keys.remove(&db);
        }
        if queues.keys.is_empty() {
            self.0 = None;
        }
    }
}
