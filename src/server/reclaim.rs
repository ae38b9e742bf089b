//! Frees what is large on a thread of its own, so that no client waits for it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use crate::keyspace::Table;
use crate::value::{Entry, ValueRef};

/// Allocations from which an entry is freed in the background.
const HEAVY: usize = 64;

/// The queue to the thread, which starts with the first thing that it gets.
#[derive(Default)]
pub struct Reclaimer {
    queue: OnceLock<Option<mpsc::Sender<Garbage>>>,
    objects: Arc<Objects>,
}

#[derive(Default)]
struct Objects {
    pending: AtomicU64,
    freed: AtomicU64,
}

enum Garbage {
    Tables(Vec<Table>),
    Entry(Entry),
}

impl Garbage {
    /// Objects, as INFO counts them.
    fn objects(&self) -> u64 {
        match self {
            Garbage::Tables(tables) => tables.iter().map(|table| table.len() as u64).sum(),
            Garbage::Entry(_) => 1,
        }
    }
}

impl Reclaimer {
    /// Frees an entry: at once if that is quick.
    #[inline]
    pub fn entry(&self, entry: Entry) {
        if entry.allocations() >= HEAVY {
            self.send(Garbage::Entry(entry));
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
            self.send(Garbage::Tables(tables));
        }
    }

    /// `lazyfree_pending_objects` of INFO.
    pub fn pending(&self) -> u64 {
        self.objects.pending.load(Ordering::Relaxed)
    }

    /// `lazyfreed_objects` of INFO.
    pub fn freed(&self) -> u64 {
        self.objects.freed.load(Ordering::Relaxed)
    }

    /// For CONFIG RESETSTAT.
    pub fn reset_freed(&self) {
        self.objects.freed.store(0, Ordering::Relaxed);
    }

    #[cold]
    fn send(&self, garbage: Garbage) {
        self.objects.pending.fetch_add(garbage.objects(), Ordering::Relaxed);
        let queue = self.queue.get_or_init(|| {
            let (sender, receiver) = mpsc::channel();
            let objects = self.objects.clone();
            let thread = std::thread::Builder::new().name("bio_lazy_free".into());
            thread.spawn(move || receiver.into_iter().for_each(|g| free(&objects, g))).ok()?;
            Some(sender)
        });
        // Without a thread it is freed here.
        let unsent = match queue {
            Some(queue) => queue.send(garbage).err().map(|mpsc::SendError(garbage)| garbage),
            None => Some(garbage),
        };
        unsent.into_iter().for_each(|garbage| free(&self.objects, garbage));
    }
}

fn free(objects: &Objects, garbage: Garbage) {
    let done = |count: u64| {
        objects.pending.fetch_sub(count, Ordering::Relaxed);
        objects.freed.fetch_add(count, Ordering::Relaxed);
    };
    match garbage {
        Garbage::Tables(tables) => {
            for table in tables {
                let count = table.len() as u64;
                drop(table);
                done(count);
            }
        }
        Garbage::Entry(entry) => {
            drop(entry);
            done(1);
        }
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
        let reclaimer = Reclaimer::default();
        reclaimer.entry(Entry::new(b"light", Value::Bytes(b"x"), None));
        assert_eq!((reclaimer.pending(), reclaimer.freed()), (0, 0));
        let text = Arc::new(vec![0; 64 << 20]);
        let object = Value::Object(Box::new(Object::Str(text.clone())));
        reclaimer.entry(Entry::new(b"heavy", object, None));
        let mut table = Table::default();
        for number in 0..100 {
            let key = number.to_string();
            let entry = Entry::new(key.as_bytes(), Value::Int(number), None);
            table.insert(Key::new(key.as_bytes()).hash, entry);
        }
        reclaimer.tables(vec![table]);
        while reclaimer.pending() > 0 {
            std::thread::yield_now();
        }
        assert_eq!((reclaimer.freed(), Arc::strong_count(&text)), (101, 1));
    }
}
