//! Keyspace events: what happened to which key, for who wants to know.
//!
//! A command records its events, and they are delivered after it, outside its locks. The
//! configuration (`notify-keyspace-events`) says which classes of events there are; while nobody
//! listens none is recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::config::KeyspaceEvents;

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyspaceEvent {
    pub db: usize,
    /// `set`, `del`, `expired` …
    pub name: &'static str,
    pub key: Box<[u8]>,
}

/// Called with each event, on the thread on which it happened.
pub type Listener = Arc<dyn Fn(&KeyspaceEvent) + Send + Sync>;

/// Who listens.
#[derive(Default)]
pub struct Events {
    has_listeners: AtomicBool,
    listeners: ArcSwap<Vec<Listener>>,
    changes: Mutex<()>,
}

impl Events {
    pub fn listen(&self, listener: Listener) {
        let _changes = self.changes.lock();
        let mut all = Vec::clone(&self.listeners.load());
        all.push(listener);
        self.listeners.store(Arc::new(all));
        self.has_listeners.store(true, Ordering::Release);
    }

    /// Whether an event of that name is to be delivered.
    #[inline]
    pub fn wants(&self, classes: KeyspaceEvents, name: &str) -> bool {
        !classes.is_empty() && self.has_listeners.load(Ordering::Acquire) && classes.include(name)
    }

    #[cold]
    pub fn deliver(&self, events: &[KeyspaceEvent]) {
        let listeners = self.listeners.load();
        events.iter().for_each(|event| listeners.iter().for_each(|listener| listener(event)));
    }
}
