//! A snapshot without a copy of the memory: who sees entries before they change, and takes the others in the order
//! of the tables, has the data of the moment when it began, whatever is written meanwhile.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use verbena::command::{Caller, Env, Local, Scope, admission, call, keys_of, settle, table};
use verbena::config::Settings;
use verbena::keyspace::{
    BeforeWrite, JOURNAL_THREAD, Key, Listeners, SHARDS, Section, Unit, shard_of,
};
use verbena::rdb::{self, Writer};
use verbena::resp::{OwnedArgs, Protocol, Reply};
use verbena::state::{ClientRecord, Server, unix_milliseconds};
use verbena::value::Entry;

const THREADS: usize = 4;
const KEYS: usize = 3000;
const DATABASES: usize = 4;

/// Commands of each writer between two looks at whether the snapshot is complete.
const BATCH: usize = 10;

/// Writes that happen between two shards of the walk.
const PACE: usize = 20;

/// Values by database and key: the expiry, and what DUMP says.
type Data = BTreeMap<(usize, Vec<u8>), (Option<i64>, Vec<u8>)>;

fn value(entry: &Entry) -> (Option<i64>, Vec<u8>) {
    let mut out = Writer::new(false);
    rdb::save(entry, &mut out);
    (entry.expiry(), out.into_bytes())
}

/// Where an entry comes in the order of its table.
fn position(key: &[u8]) -> u64 {
    u64::from((Key::new(key).hash as u32).reverse_bits())
}

#[derive(Default)]
struct Snapshot {
    shards: Vec<Mutex<Part>>,
    handed_over: AtomicUsize,
}

/// The snapshot of one shard.
#[derive(Default)]
struct Part {
    /// Where the walk is in each database.
    passed: HashMap<usize, u64>,
    /// Keys that the walk is to leave out where it comes to them: they were handed over, or are new.
    settled: HashSet<(usize, Vec<u8>)>,
    taken: Data,
}

impl Part {
    fn is_to_come(&self, db: usize, key: &[u8]) -> bool {
        position(key) >= self.passed.get(&db).copied().unwrap_or(0)
    }
}

impl Snapshot {
    fn part(&self, key: &[u8]) -> &Mutex<Part> {
        &self.shards[shard_of(Key::new(key).slot)]
    }
}

impl BeforeWrite for Snapshot {
    fn before_write(&self, db: usize, entry: &Entry) {
        let key = entry.key();
        let mut part = self.part(key).lock().unwrap();
        if part.is_to_come(db, key) && part.settled.insert((db, key.to_vec())) {
            part.taken.insert((db, key.to_vec()), value(entry));
            self.handed_over.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn before_insert(&self, db: usize, key: &[u8]) {
        let mut part = self.part(key).lock().unwrap();
        if part.is_to_come(db, key) {
            part.settled.insert((db, key.to_vec()));
        }
    }
}

/// Takes what was not handed over, a bucket at a time, and no faster than others write.
fn walk(server: &'static Server, snapshot: &Snapshot, written: &AtomicUsize) {
    for shard in 0..SHARDS {
        while written.load(Ordering::Relaxed) < shard * PACE {
            thread::yield_now();
        }
        let mut is_complete = false;
        while !is_complete {
            let entered = server.keyspace.enter(JOURNAL_THREAD);
            let shards = &shard.into();
            let mut unit = entered.unit_of_shards(shards, 0, Listeners::NONE);
            is_complete = true;
            unit.visit(shard, |tables| {
                let mut part = snapshot.shards[shard].lock().unwrap();
                for (db, table) in tables.tables() {
                    let at = part.passed.get(&db).copied().unwrap_or(0);
                    let Ok(cursor) = u32::try_from(at) else { continue };
                    let mut found = Vec::new();
                    let next = table.scan(cursor, |entry| found.push(entry));
                    for entry in found {
                        let key = (db, entry.key().to_vec());
                        if position(entry.key()) >= at && !part.settled.contains(&key) {
                            part.taken.insert(key, value(entry));
                        }
                    }
                    part.passed.insert(db, next.map_or(u64::MAX, u64::from));
                    is_complete &= next.is_none();
                }
            });
        }
        // Databases that had no entries then have new ones only.
        let mut part = snapshot.shards[shard].lock().unwrap();
        part.passed.extend((0..DATABASES).map(|db| (db, u64::MAX)));
    }
}

/// A thread's way to run commands.
struct Runner {
    server: &'static Server,
    thread: usize,
    caller: Caller,
    state: u64,
}

impl Runner {
    fn new(server: &'static Server, thread: usize) -> Runner {
        let record = ClientRecord::unlisted(unix_milliseconds());
        let caller = Caller::new(record, &server.acl);
        Runner { server, thread, caller, state: thread as u64 + 1 }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.state >> 33) as usize % below
    }

    fn run(&mut self, words: &str) {
        let (server, caller) = (self.server, &mut self.caller);
        let mut owned = OwnedArgs::default();
        let range = owned.push_words(words.split(' ').map(str::as_bytes));
        let args = owned.args(range);
        let found = table().resolve(args).expect("a command");
        let keys = keys_of(found, args);
        let settings = server.config.load();
        let local = Local::new(server, self.thread);
        let env = Env { local: &local, settings: &settings };
        let now = unix_milliseconds();
        let mut work = |mut unit: Unit<'static>| {
            let mut out = Reply::new(&mut [], Protocol::Resp2);
            call(&env, &mut unit, caller, found, &keys, args, &mut out);
            settle(&env, &mut unit, caller);
        };
        match admission::scope(found, args) {
            Scope::Exclusive => {
                work(server.keyspace.exclusive(Section::default(), now, Listeners::NONE));
            }
            _ => work(server.keyspace.enter(self.thread).unit(&keys, now, Listeners::NONE)),
        }
    }

    /// Changes something at random.
    fn write(&mut self) {
        let (k, o, n) = (self.draw(KEYS), self.draw(KEYS), self.draw(100));
        let db = self.draw(DATABASES);
        self.caller.db = db;
        let words = match self.draw(2000) {
            0 => format!("SWAPDB {db} {}", self.draw(DATABASES)),
            1 => "FLUSHDB".into(),
            choice => match choice % 16 {
                0 => format!("DEL {k}"),
                1 => format!("RENAME {k} {o}"),
                2 => format!("COPY {k} {o} REPLACE"),
                3 => format!("MOVE {k} {}", (db + 1) % DATABASES),
                4 => format!("APPEND {k} {n}"),
                5 | 6 => format!("HSET {k} f{n} {o}"),
                7 => format!("SADD {k} {n}"),
                8 => format!("SPOP {k}"),
                9 => format!("ZADD {k} {n} {o}"),
                10 => format!("RPUSH {k} {n}"),
                11 => format!("LPOP {k}"),
                12 => format!("PEXPIRE {k} {}", 1 + n * 100),
                13 => format!("HDEL {k} f{n}"),
                _ => format!("SET {k} {n}"),
            },
        };
        self.run(&words);
    }
}

/// Attaches a snapshot to all shards, and says what the data are at that moment.
fn begin(server: &'static Server) -> (Arc<Snapshot>, Data) {
    let mut snapshot = Snapshot::default();
    snapshot.shards.resize_with(SHARDS, Mutex::default);
    let snapshot = Arc::new(snapshot);
    let mut data = Data::new();
    let mut unit = server.keyspace.exclusive(Section::default(), 0, Listeners::NONE);
    for shard in 0..SHARDS {
        unit.visit(shard, |shard| {
            for (db, table) in shard.tables() {
                let entries = table.iter().map(|entry| ((db, entry.key().to_vec()), value(entry)));
                data.extend(entries);
            }
        });
        unit.observe_writes(shard, Some(snapshot.clone()));
    }
    (snapshot, data)
}

fn end(server: &'static Server) {
    let mut unit = server.keyspace.exclusive(Section::default(), 0, Listeners::NONE);
    (0..SHARDS).for_each(|shard| unit.observe_writes(shard, None));
}

#[test]
fn a_snapshot_is_the_data_of_one_moment() {
    let settings = Settings { io_threads: THREADS, databases: DATABASES, ..Settings::default() };
    let (server, _requests) = verbena::server::new(settings, None);
    let mut first = Runner::new(server, 0);
    (0..4 * KEYS).for_each(|_| first.write());
    for _ in 0..3 {
        let (snapshot, data) = begin(server);
        let (written, is_complete) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                walk(server, &snapshot, &written);
                is_complete.store(true, Ordering::Relaxed);
            });
            for thread in 0..THREADS {
                let (is_complete, written) = (&is_complete, &written);
                scope.spawn(move || {
                    let mut runner = Runner::new(server, thread);
                    while !is_complete.load(Ordering::Relaxed) {
                        (0..BATCH).for_each(|_| runner.write());
                        written.fetch_add(BATCH, Ordering::Relaxed);
                    }
                });
            }
        });
        end(server);
        let parts =
            snapshot.shards.iter().map(|part| std::mem::take(&mut part.lock().unwrap().taken));
        let taken: Data = parts.flatten().collect();
        let handed_over = snapshot.handed_over.load(Ordering::Relaxed);
        assert!(handed_over > 0 && handed_over < taken.len(), "{handed_over} of {}", taken.len());
        let differs = |key: &&(usize, Vec<u8>)| data.get(*key) != taken.get(*key);
        let differences: Vec<_> = data.keys().chain(taken.keys()).filter(differs).collect();
        assert!(differences.is_empty(), "{} of {} differ", differences.len(), data.len());
    }
}

#[test]
fn a_hash_whose_fields_have_all_expired_is_not_handed_over_empty() {
    let settings = Settings { io_threads: 1, databases: DATABASES, ..Settings::default() };
    let (server, _requests) = verbena::server::new(settings, None);
    let mut runner = Runner::new(server, 0);
    let soon = unix_milliseconds() + 1000;
    runner.run("HSET gone a 1 b 2");
    runner.run(&format!("HPEXPIREAT gone {soon} FIELDS 2 a b"));
    runner.run("HSET stays a 1 b 2");
    runner.run(&format!("HPEXPIREAT stays {soon} FIELDS 1 a"));
    runner.run(&format!("SET key value PXAT {soon}"));
    let (snapshot, _) = begin(server);
    let expired: usize = (0..SHARDS)
        .map(|shard| {
            let entered = server.keyspace.enter(0);
            let shards = &shard.into();
            let mut unit = entered.unit_of_shards(shards, soon + 1, Listeners::NONE);
            unit.expire_some(shard, 100, drop).expired
        })
        .sum();
    assert!(expired >= 3, "{expired}");
    walk(server, &snapshot, &AtomicUsize::new(usize::MAX));
    let taken = |key: &str| {
        let part = snapshot.part(key.as_bytes()).lock().unwrap();
        part.taken.get(&(0, key.as_bytes().to_vec())).map(|(expiry, _)| *expiry)
    };
    assert_eq!(taken("gone"), None);
    assert_eq!(taken("stays"), Some(None));
    assert_eq!(taken("key"), Some(Some(soon)));
    end(server);
}
