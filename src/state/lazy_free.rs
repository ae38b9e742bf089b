//! Frees what is large on a thread of its own, so that no client waits for it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use crate::allocator::ThreadCount;
use crate::keyspace::Table;
use crate::process::affinity;
use crate::random;
use crate::value::{Entry, ValueRef};

/// Allocations from which an entry is freed in the background.
const HEAVY: usize = 64;

/// Elements of a collection, and tables of a database, by which the size of the whole is estimated.
const SAMPLES: usize = 16;

/// The queue to the thread, which starts with the first thing that it gets.
#[derive(Default)]
pub struct LazyFree {
    queue: OnceLock<Option<mpsc::Sender<(Freed, u64)>>>,
    progress: Arc<Progress>,
    /// The processors that the thread may run on: `bio-cpulist`.
    processors: String,
}

/// How far the thread has come.
#[derive(Default)]
struct Progress {
    /// Objects that wait, and those that were freed.
    pending: AtomicU64,
    freed: AtomicU64,
    /// Bytes of all that waits, about, and of what is being freed.
    bytes: AtomicU64,
    current: AtomicU64,
    /// What the thread had allocated (less than nothing: it frees) when it began with that.
    began_at: AtomicI64,
    thread: OnceLock<ThreadCount>,
}

enum Freed {
    Tables(Vec<Table>),
    Entry(Entry),
    /// Scripts and the state that they ran in.
    Scripts(Box<dyn Send>),
}

impl Freed {
    /// Objects, as INFO counts them.
    fn objects(&self) -> u64 {
        match self {
            Freed::Tables(tables) => tables.iter().map(|table| table.len() as u64).sum(),
            Freed::Entry(_) | Freed::Scripts(_) => 1,
        }
    }

    /// About how many bytes it has.
    fn bytes(&self) -> u64 {
        let tables = match self {
            Freed::Tables(tables) => tables,
            Freed::Entry(entry) => return entry.memory(SAMPLES) as u64,
            // It is no memory of the data.
            Freed::Scripts(_) => return 0,
        };
        let (mut bytes, mut entries) = (0, 0);
        for table in tables.iter().step_by(tables.len().div_ceil(SAMPLES)) {
            table.sample(random::next(), false, |entry| {
                bytes += entry.memory(SAMPLES) as u64;
                entries += 1;
            });
        }
        let own: usize = tables.iter().map(Table::memory).sum();
        own as u64 + (bytes * self.objects()).checked_div(entries).unwrap_or(0)
    }
}

impl LazyFree {
    pub fn new(processors: &str) -> Self {
        LazyFree { processors: processors.to_owned(), ..LazyFree::default() }
    }

    /// Frees an entry: at once if that is quick.
    #[inline]
    pub fn entry(&self, entry: Entry) {
        if entry.allocations() >= HEAVY {
            self.send(Freed::Entry(entry));
        }
    }

    /// Whether an entry's value is a collection that is freed in the background. (A long string is
    /// rather overwritten in its place.)
    #[inline]
    pub fn takes_collection(&self, entry: &Entry) -> bool {
        match entry.value() {
            ValueRef::Object(object) => {
                object.as_string().is_none() && entry.allocations() >= HEAVY
            }
            _ => false,
        }
    }

    /// Frees tables and everything in them.
    pub fn tables(&self, tables: Vec<Table>) {
        if !tables.is_empty() {
            self.send(Freed::Tables(tables));
        }
    }

    /// Frees scripts, and the state that they ran in.
    pub fn scripts(&self, scripts: impl Send + 'static) {
        self.send(Freed::Scripts(Box::new(scripts)));
    }

    /// `lazyfree_pending_objects` of INFO.
    pub fn pending(&self) -> u64 {
        self.progress.pending.load(Ordering::Relaxed)
    }

    /// `lazyfreed_objects` of INFO.
    pub fn freed(&self) -> u64 {
        self.progress.freed.load(Ordering::Relaxed)
    }

    /// For CONFIG RESETSTAT.
    pub fn reset_freed(&self) {
        self.progress.freed.store(0, Ordering::Relaxed);
    }

    /// About how many bytes wait to be freed.
    pub fn pending_bytes(&self) -> u64 {
        let Progress { bytes, current, began_at, thread, .. } = &*self.progress;
        let all = bytes.load(Ordering::Relaxed);
        if all == 0 {
            return 0;
        }
        let freed = thread.get().map_or(0, |thread| {
            began_at.load(Ordering::Relaxed).saturating_sub(thread.get()).max(0) as u64
        });
        // What is being freed may have been underestimated.
        all.saturating_sub(freed.min(current.load(Ordering::Relaxed)))
    }

    #[cold]
    fn send(&self, freed: Freed) {
        let bytes = freed.bytes();
        self.progress.pending.fetch_add(freed.objects(), Ordering::Relaxed);
        self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        let queue = self.queue.get_or_init(|| {
            let (sender, receiver) = mpsc::channel::<(Freed, u64)>();
            let (progress, processors) = (self.progress.clone(), self.processors.clone());
            let thread = std::thread::Builder::new().name("bio_lazy_free".into());
            let work = move || {
                affinity::pin(&processors);
                let _ = progress.thread.set(ThreadCount::own());
                receiver.into_iter().for_each(|(freed, bytes)| progress.free(freed, bytes));
            };
            thread.spawn(work).ok()?;
            Some(sender)
        });
        // Without a thread it is freed here.
        let unsent = match queue {
            Some(queue) => queue.send((freed, bytes)).err().map(|mpsc::SendError(unsent)| unsent),
            None => Some((freed, bytes)),
        };
        unsent.into_iter().for_each(|(freed, bytes)| self.progress.free(freed, bytes));
    }
}

impl Progress {
    fn free(&self, freed: Freed, bytes: u64) {
        self.began_at.store(ThreadCount::own().get(), Ordering::Relaxed);
        self.current.store(bytes, Ordering::Relaxed);
        let done = |count: u64| {
            self.pending.fetch_sub(count, Ordering::Relaxed);
            self.freed.fetch_add(count, Ordering::Relaxed);
        };
        match freed {
            Freed::Tables(tables) => {
                for table in tables {
                    let count = table.len() as u64;
                    drop(table);
                    done(count);
                }
            }
            Freed::Entry(entry) => {
                drop(entry);
                done(1);
            }
            Freed::Scripts(scripts) => {
                drop(scripts);
                done(1);
            }
        }
        self.current.store(0, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::Key;
    use crate::value::Object;
    use crate::value::entry::Value;

    #[test]
    fn what_is_heavy_is_freed_by_another_thread_and_counted() {
        let lazy_free = LazyFree::default();
        lazy_free.entry(Entry::new(b"light", Value::Bytes(b"x"), None));
        assert_eq!((lazy_free.pending(), lazy_free.freed()), (0, 0));
        let text = Arc::new(vec![0; 64 << 20]);
        let object = Value::Object(Box::new(Object::Str(text.clone())));
        lazy_free.entry(Entry::new(b"heavy", object, None));
        let mut table = Table::default();
        for number in 0..100 {
            let key = number.to_string();
            let entry = Entry::new(key.as_bytes(), Value::Int(number), None);
            table.insert(Key::new(key.as_bytes()).hash, entry);
        }
        lazy_free.tables(vec![table]);
        while lazy_free.pending_bytes() > 0 {
            std::thread::yield_now();
        }
        assert_eq!((lazy_free.freed(), Arc::strong_count(&text)), (101, 1));
    }
}
