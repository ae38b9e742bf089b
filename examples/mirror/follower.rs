//! The replay of one server's journal into another server.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use verbena::command::Replay;
use verbena::config::{KeyspaceEvents, Settings};
use verbena::keyspace::journal::{Batch, Record, Sink};
use verbena::server;
use verbena::state::{Server, unix_milliseconds};

/// How long the replay may take to repeat what was recorded.
const PATIENCE: Duration = Duration::from_secs(50);

/// A server's copy, and how far it is.
pub struct Follower {
    pub primary: &'static Server,
    pub copy: &'static Server,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of the last batch that was repeated.
    sequence: u64,
    records: u64,
    /// What could not be repeated, since this was last asked.
    failures: Vec<String>,
}

/// A batch in memory of its own.
struct Recorded {
    sequence: u64,
    resp: Vec<u8>,
    commands: Vec<(usize, Option<u16>, Range<usize>)>,
}

/// Hands the batches to the thread that repeats them.
struct Feed(mpsc::Sender<Recorded>);

impl Sink for Feed {
    fn append(&self, batch: &Batch<'_>) {
        let mut resp = Vec::new();
        let mut commands = Vec::new();
        for record in batch.records() {
            let start = resp.len();
            resp.extend_from_slice(record.resp);
            commands.push((record.db, record.slot, start..resp.len()));
        }
        let recorded = Recorded { sequence: batch.sequence, resp, commands };
        self.0.send(recorded).expect("the replay runs as long as the process");
    }
}

impl Follower {
    /// Begins to copy a server, which must have no data yet.
    pub fn start(primary: &'static Server) -> io::Result<Follower> {
        let settings = Settings {
            io_threads: 1,
            maxmemory: 0,
            notify_keyspace_events: KeyspaceEvents::default(),
            ..Settings::clone(&primary.config.load())
        };
        let (copy, _) = server::new(settings, None);
        let (sender, batches) = mpsc::channel();
        let progress = Arc::<Progress>::default();
        let replayed = progress.clone();
        let work = move || replay(copy, &batches, &replayed);
        thread::Builder::new().name("replay".into()).spawn(work)?;
        primary.keyspace.journal.attach(Arc::new(Feed(sender)));
        Ok(Follower { primary, copy, progress })
    }

    /// Waits until everything up to batch number `sequence` was repeated. Returns how many records there
    /// were so far, and what could not be repeated since this was last asked.
    pub fn wait_for(&self, sequence: u64) -> (u64, Vec<String>) {
        let state = self.progress.state.lock().unwrap();
        let is_behind = |state: &mut State| state.sequence < sequence;
        let wait = self.progress.changed.wait_timeout_while(state, PATIENCE, is_behind);
        let (mut state, _) = wait.unwrap();
        let mut failures = std::mem::take(&mut state.failures);
        if state.sequence < sequence {
            failures.push(format!("late: only {} batches of {sequence} came", state.sequence));
        }
        (state.records, failures)
    }
}

/// Repeats the batches in the order of their numbers, of which none may be left out.
fn replay(copy: &'static Server, batches: &mpsc::Receiver<Recorded>, progress: &Progress) {
    let mut replay = Replay::new(copy);
    let mut early = BTreeMap::new();
    let mut next = 1;
    for batch in batches {
        early.insert(batch.sequence, batch);
        while let Some(batch) = early.remove(&next) {
            next += 1;
            let failure = repeat(&mut replay, &batch);
            let mut state = progress.state.lock().unwrap();
            state.sequence = batch.sequence;
            state.records += batch.commands.len() as u64;
            state.failures.extend(failure);
            drop(state);
            progress.changed.notify_all();
        }
    }
}

/// Repeats one batch; why it could not be done.
fn repeat(replay: &mut Replay, batch: &Recorded) -> Option<String> {
    let record = |(db, slot, resp): &(usize, Option<u16>, Range<usize>)| Record {
        db: *db,
        slot: *slot,
        targets: Default::default(),
        resp: &batch.resp[resp.clone()],
    };
    let records: Vec<Record<'_>> = batch.commands.iter().map(record).collect();
    let error = replay.batch(&records, unix_milliseconds()).err()?;
    let words = String::from_utf8_lossy(records[error.record].resp);
    // Every second line of the request is a length.
    let words: Vec<&str> = words.split("\r\n").skip(2).step_by(2).collect();
    let name = words.first().copied().unwrap_or_default().to_lowercase();
    Some(format!("replay-{name}: {error}: {words:?}"))
}
