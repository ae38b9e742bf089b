//! The clients that wait for the keys of one shard.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rapidhash::fast::RandomState;

/// A client that waits for keys, as the keyspace and the registry of clients know it. Its commands are
/// tried again by the layer above, which finds its own type through [`as_any`](Self::as_any).
pub trait Parked: Send + Sync {
    /// Whether serving it uses other keys than the one that has become readable.
    fn uses_other_keys(&self) -> bool;

    /// Whether it does not go on waiting when its key is gone.
    fn ends_without_key(&self) -> bool;

    /// A key that it waits for has expired or was evicted.
    fn key_gone(&self, key: &[u8]);

    /// Ends the wait as if its time were over. Says whether it had not ended before.
    fn time_out(&self) -> bool;

    /// Ends the wait with an error reply (its text without the leading `-`). Says whether it had not
    /// ended before.
    fn fail(&self, error: &[u8]) -> bool;

    fn as_any(&self) -> &dyn Any;
}

/// The parked clients of one shard, each key's in the order of their arrival.
#[derive(Default)]
pub struct ParkedClients {
    /// By database.
    keys: HashMap<usize, Keys, RandomState>,
    /// Those whose commands use other keys as well.
    using_other_keys: usize,
}

type Keys = HashMap<Box<[u8]>, VecDeque<Arc<dyn Parked>>, RandomState>;

impl ParkedClients {
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a client's command, when it is tried, uses keys of other shards too.
    pub fn use_other_keys(&self) -> bool {
        self.using_other_keys > 0
    }

    /// Whether a client waits for that key.
    pub fn has(&self, db: usize, key: &[u8]) -> bool {
        self.queue(db, key).is_some()
    }

    /// The keys that are waited for, with their databases.
    pub fn keys(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.keys.iter().flat_map(|(db, keys)| keys.keys().map(|key| (*db, &**key)))
    }

    /// The number of keys for which clients wait that do not go on waiting without the key.
    pub fn keys_that_must_exist(&self) -> usize {
        let queues = self.keys.values().flat_map(|keys| keys.values());
        queues.filter(|queue| queue.iter().any(|parked| parked.ends_without_key())).count()
    }

    /// The clients that wait for a key.
    pub fn of(&self, db: usize, key: &[u8]) -> Vec<Arc<dyn Parked>> {
        self.queue(db, key).map(|queue| queue.iter().cloned().collect()).unwrap_or_default()
    }

    /// Tells the clients that wait for a key that it has expired or was evicted.
    pub fn key_gone(&self, db: usize, key: &[u8]) {
        self.queue(db, key).into_iter().flatten().for_each(|parked| parked.key_gone(key));
    }

    fn queue(&self, db: usize, key: &[u8]) -> Option<&VecDeque<Arc<dyn Parked>>> {
        self.keys.get(&db)?.get(key)
    }

    pub fn add(&mut self, db: usize, key: &[u8], parked: &Arc<dyn Parked>) {
        let queue = self.keys.entry(db).or_default().entry(key.into()).or_default();
        // A command may name a key twice.
        if !queue.iter().any(|known| Arc::ptr_eq(known, parked)) {
            queue.push_back(parked.clone());
            self.using_other_keys += usize::from(parked.uses_other_keys());
        }
    }

    pub fn remove(&mut self, db: usize, key: &[u8], parked: &Arc<dyn Parked>) {
        let Some(keys) = self.keys.get_mut(&db) else { return };
        let Some(queue) = keys.get_mut(key) else { return };
        let Some(at) = queue.iter().position(|known| Arc::ptr_eq(known, parked)) else { return };
        queue.remove(at);
        self.using_other_keys -= usize::from(parked.uses_other_keys());
        if queue.is_empty() {
            keys.remove(key);
        }
        if keys.is_empty() {
            self.keys.remove(&db);
        }
    }
}
