//! The keys of one shard that clients have read and may have cached (CLIENT TRACKING): their names, in
//! whichever database, since an invalidation names no database.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rapidhash::fast::RandomState;

/// A client that is told when keys change that it has read. It stands in the lists of keys for longer than
/// it wants that, until these are next used.
pub struct Tracker {
    /// The client's id.
    pub id: u64,
    active: AtomicBool,
    /// It wants to be told of the keys that it has read.
    reads: AtomicBool,
    /// The layer above finds there whom to tell.
    pub target: Box<dyn Any + Send + Sync>,
}

impl Tracker {
    /// One that is not active yet.
    pub fn new(id: u64, target: Box<dyn Any + Send + Sync>) -> Arc<Tracker> {
        Arc::new(Tracker {
            id,
            active: AtomicBool::new(false),
            reads: AtomicBool::new(false),
            target,
        })
    }

    /// Whether the client still wants to be told.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// The client wants to be told from now on: of the keys that it has read, or of others alone.
    pub fn begin(&self, reads: bool) {
        self.reads.store(reads, Ordering::Release);
        self.active.store(true, Ordering::Release);
    }

    /// The client no longer wants to be told.
    pub fn end(&self) {
        self.active.store(false, Ordering::Release);
    }

    /// Whether it wants to be told of the keys that it has read.
    fn wants_reads(&self) -> bool {
        self.is_active() && self.reads.load(Ordering::Acquire)
    }
}

/// Keys that are tracked, in all shards, and the clients' shares in them.
#[derive(Default)]
pub struct TrackedTotals {
    keys: AtomicUsize,
    items: AtomicUsize,
}

impl TrackedTotals {
    /// Tracked keys.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Pairs of a tracked key and a client that has read it.
    pub fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }
}

/// Clients of one key from which a set tells whether one is among them.
const INDEXED: usize = 32;

/// The clients that have read one key.
#[derive(Default)]
struct Readers {
    all: Vec<Arc<Tracker>>,
    /// Addresses of the trackers in `all`, if they are many.
    index: Option<HashSet<usize, RandomState>>,
}

impl Readers {
    /// Adds a client. False if it is there already.
    fn add(&mut self, tracker: &Arc<Tracker>) -> bool {
        let address = |tracker: &Arc<Tracker>| Arc::as_ptr(tracker).addr();
        let is_new = match &mut self.index {
            Some(index) => index.insert(address(tracker)),
            None => !self.all.iter().any(|known| Arc::ptr_eq(known, tracker)),
        };
        if is_new {
            self.all.push(tracker.clone());
            if self.all.len() == INDEXED {
                self.index = Some(self.all.iter().map(address).collect());
            }
        }
        is_new
    }
}

/// The tracked keys of one shard.
pub struct TrackedKeys {
    keys: HashMap<Box<[u8]>, Readers, RandomState>,
    totals: Arc<TrackedTotals>,
    /// Every change of a key is of interest: some client has asked for those of all keys with a prefix.
    pub broadcasts: bool,
}

impl TrackedKeys {
    pub(super) fn new(totals: Arc<TrackedTotals>) -> Self {
        TrackedKeys { keys: HashMap::default(), totals, broadcasts: false }
    }

    /// Whether nobody is to be told of anything.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.broadcasts
    }

    /// A client has read a key.
    pub fn add(&mut self, key: &[u8], tracker: &Arc<Tracker>) {
        let added = match self.keys.get_mut(key) {
            Some(readers) => readers.add(tracker),
            None => {
                self.totals.keys.fetch_add(1, Ordering::Relaxed);
                self.keys.entry(key.into()).or_default().add(tracker)
            }
        };
        self.totals.items.fetch_add(added.into(), Ordering::Relaxed);
    }

    /// A key has changed: takes the clients that have read it and still want to be told.
    pub fn take(&mut self, key: &[u8]) -> Vec<Arc<Tracker>> {
        self.keys.remove(key).map(|readers| self.forget(readers)).unwrap_or_default()
    }

    /// Takes some key, and the clients that have read it.
    pub fn take_any(&mut self) -> Option<(Box<[u8]>, Vec<Arc<Tracker>>)> {
        let key = self.keys.keys().next()?.clone();
        let readers = self.take(&key);
        Some((key, readers))
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        for (_, readers) in std::mem::take(&mut self.keys) {
            self.forget(readers);
        }
    }

    fn forget(&mut self, readers: Readers) -> Vec<Arc<Tracker>> {
        self.totals.keys.fetch_sub(1, Ordering::Relaxed);
        self.totals.items.fetch_sub(readers.all.len(), Ordering::Relaxed);
        readers.all.into_iter().filter(|reader| reader.wants_reads()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readers_of_a_key_are_taken_once_and_counted() {
        let totals = Arc::<TrackedTotals>::default();
        let mut tracked = TrackedKeys::new(totals.clone());
        let new = |id| {
            let tracker = Tracker::new(id, Box::new(()));
            tracker.begin(true);
            tracker
        };
        let readers: Vec<_> = (0..3 * INDEXED as u64).map(new).collect();
        for _ in 0..2 {
            readers.iter().for_each(|reader| tracked.add(b"a", reader));
        }
        tracked.add(b"b", &readers[0]);
        assert_eq!((totals.keys(), totals.items()), (2, readers.len() + 1));
        let taken = tracked.take(b"a");
        assert!(taken.iter().map(|reader| reader.id).eq(0..3 * INDEXED as u64));
        assert!(tracked.take(b"a").is_empty() && !tracked.is_empty());
        let (key, taken) = tracked.take_any().unwrap();
        assert_eq!((&*key, taken.len()), (&b"b"[..], 1));
        assert!(tracked.is_empty() && tracked.take_any().is_none());
        tracked.add(b"c", &readers[1]);
        tracked.clear();
        assert_eq!((totals.keys(), totals.items(), tracked.is_empty()), (0, 0, true));
    }
}
