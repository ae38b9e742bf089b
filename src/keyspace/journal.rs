//! The journal: in order, the commands that repeat every change of the data.
//!
//! An execution unit records its commands while it holds its locks, rewritten to be deterministic, and
//! commits them as one [`Batch`] before it releases them. A batch's sequence number is taken under
//! those locks too, so two batches that touch the same key are numbered in the order in which they
//! changed it, whichever threads they ran on. While no sink is attached nothing is recorded.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

/// A consumer of the journal: an append-only file, replicas.
pub trait Sink: Send + Sync {
    /// Takes a batch. Called with the locks of the batch's keys held, so it must not wait for another
    /// thread that may want one.
    fn append(&self, batch: &Batch<'_>);
}

/// What one execution unit has recorded.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// Ascending in the order of the changes of each key.
    pub sequence: u64,
    records: &'a Records,
}

impl<'a> Batch<'a> {
    /// The commands. More than one are to be repeated as a whole (MULTI, EXEC).
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'a>> + use<'a> {
        let records = self.records;
        records.commands.iter().map(|command| Record {
            db: command.db,
            slot: command.slot,
            targets: command.targets,
            resp: &records.resp[command.resp.clone()],
        })
    }
}

/// One command of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub db: usize,
    /// The cluster slot of its keys; `None` for a command without keys.
    pub slot: Option<u16>,
    /// Who is to repeat it.
    pub targets: Targets,
    /// The command as a RESP array of bulk strings.
    pub resp: &'a [u8],
}

bitflags::bitflags! {
    /// Who is to repeat a command. The numbers are those of a script's `redis.set_repl`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Targets: u8 {
        const APPEND_ONLY_FILE = 1;
        const REPLICAS = 2;
    }
}

impl Default for Targets {
    fn default() -> Self {
        Targets::all()
    }
}

/// The commands that a unit has recorded so far.
#[derive(Debug, Default)]
pub struct Records {
    targets: Targets,
    resp: Vec<u8>,
    commands: Vec<Command>,
    /// Calls that said by themselves what is recorded of them.
    replaced: u64,
}

#[derive(Debug)]
struct Command {
    db: usize,
    slot: Option<u16>,
    targets: Targets,
    resp: Range<usize>,
}

impl Records {
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Who is to repeat the commands that follow.
    pub fn set_targets(&mut self, targets: Targets) {
        self.targets = targets;
    }

    /// Appends a command that everybody is to repeat, whatever a script says.
    pub fn push_for_all<'a>(
        &mut self,
        db: usize,
        slot: Option<u16>,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
    ) {
        let targets = std::mem::take(&mut self.targets);
        self.push(db, slot, args);
        self.targets = targets;
    }

    /// Appends a command.
    pub fn push<'a>(
        &mut self,
        db: usize,
        slot: Option<u16>,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
    ) {
        if self.targets.is_empty() {
            return;
        }
        let start = self.resp.len();
        let mut digits = itoa::Buffer::new();
        let mut header = |resp: &mut Vec<u8>, kind: u8, len: usize| {
            resp.push(kind);
            resp.extend_from_slice(digits.format(len).as_bytes());
            resp.extend_from_slice(b"\r\n");
        };
        header(&mut self.resp, b'*', args.len());
        for arg in args {
            header(&mut self.resp, b'$', arg.len());
            self.resp.extend_from_slice(arg);
            self.resp.extend_from_slice(b"\r\n");
        }
        self.commands.push(Command {
            db,
            slot,
            targets: self.targets,
            resp: start..self.resp.len(),
        });
    }

    /// Notes that the running call records its changes by itself.
    pub fn note_replaced(&mut self) {
        self.replaced += 1;
    }

    /// How many calls have recorded their changes by themselves.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }
}

/// The sinks, and the numbers of the batches.
#[derive(Default)]
pub struct Journal {
    listening: AtomicBool,
    sequence: AtomicU64,
    sinks: ArcSwap<Vec<Arc<dyn Sink>>>,
    changes: Mutex<()>,
}

impl Journal {
    /// Whether units are to record their commands.
    #[inline]
    pub fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// The number of the latest batch; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Adds a sink. It takes part from the next unit on: call this in an exclusive section to know
    /// which data the first batch follows.
    pub fn attach(&self, sink: Arc<dyn Sink>) {
        let _changes = self.changes.lock();
        let mut sinks = Vec::clone(&self.sinks.load());
        sinks.push(sink);
        self.sinks.store(Arc::new(sinks));
        self.listening.store(true, Ordering::Release);
    }

    /// Takes a sink away.
    pub fn detach(&self, sink: &Arc<dyn Sink>) {
        let _changes = self.changes.lock();
        let mut sinks = Vec::clone(&self.sinks.load());
        sinks.retain(|known| !Arc::ptr_eq(known, sink));
        self.listening.store(!sinks.is_empty(), Ordering::Release);
        self.sinks.store(Arc::new(sinks));
    }

    /// Numbers what a unit has recorded, and hands it to the sinks. The unit must still hold its locks.
    #[cold]
    pub fn commit(&self, records: &Records) {
        let sequence = self.sequence.fetch_add(1, Ordering::AcqRel) + 1;
        let batch = Batch { sequence, records };
        self.sinks.load().iter().for_each(|sink| sink.append(&batch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<(u64, usize, Option<u16>, String)>>);

    impl Sink for Seen {
        fn append(&self, batch: &Batch<'_>) {
            let text = |record: Record<'_>| {
                let resp = String::from_utf8(record.resp.to_vec()).unwrap();
                (batch.sequence, record.db, record.slot, resp)
            };
            self.0.lock().extend(batch.records().map(text));
        }
    }

    fn records(words: &[&[&str]]) -> Records {
        let mut records = Records::default();
        for (db, words) in words.iter().enumerate() {
            records.push(db, Some(7), words.iter().map(|word| word.as_bytes()));
        }
        records
    }

    #[test]
    fn batches_are_numbered_and_carry_their_commands_as_resp() {
        let (journal, seen) = (Journal::default(), Arc::new(Seen::default()));
        assert!(!journal.is_listening());
        let sink: Arc<dyn Sink> = seen.clone();
        journal.attach(sink.clone());
        assert!(journal.is_listening());
        journal.commit(&records(&[&["SET", "a", ""], &["DEL", "b"]]));
        journal.commit(&records(&[&["FLUSHALL"]]));
        let expected = [
            (1, 0, Some(7), "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n".to_owned()),
            (1, 1, Some(7), "*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n".to_owned()),
            (2, 0, Some(7), "*1\r\n$8\r\nFLUSHALL\r\n".to_owned()),
        ];
        assert_eq!(*seen.0.lock(), expected);
        journal.detach(&sink);
        assert!(!journal.is_listening());
        assert_eq!(journal.sequence(), 2);
    }
}
