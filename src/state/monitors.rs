//! The clients that are shown every command (MONITOR).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{ClientRecord, OutboxSender};

/// The watching clients. While there are none, a command pays for one load.
#[derive(Default)]
pub struct Monitors {
    is_watched: AtomicBool,
    all: ArcSwap<Vec<Arc<ClientRecord>>>,
    changes: Mutex<()>,
}

impl Monitors {
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// How many clients watch.
    pub fn count(&self) -> usize {
        self.all.load().len()
    }

    /// A client begins to watch, which it has not done so far.
    pub fn add(&self, client: &Arc<ClientRecord>) {
        self.change(|all| all.push(client.clone()));
    }

    /// A client no longer watches.
    pub fn remove(&self, client: &Arc<ClientRecord>) {
        self.change(|all| all.retain(|other| !Arc::ptr_eq(other, client)));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<ClientRecord>>)) {
        let _changes = self.changes.lock();
        let mut all = Vec::clone(&self.all.load());
        change(&mut all);
        self.is_watched.store(!all.is_empty(), Ordering::Relaxed);
        self.all.store(Arc::new(all));
    }

    /// Sends every watching client a line: a status reply, without the `+` that begins it.
    pub fn show(&self, line: Vec<u8>, sender: &mut OutboxSender<'_>) {
        let line = Bytes::from(line);
        self.all.load().iter().for_each(|client| sender.send_bytes(client, b'+', &line));
    }
}
