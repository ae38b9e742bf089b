//! Replay: what a journal has recorded is repeated, from an append-only file, from a primary's stream.
//!
//! The commands go the one way that all commands go ([`call`]), without the checks that concern clients.
//! Commands that were recorded together are one unit again. Nothing expires by the replay's own clock:
//! the journal says what has expired.

use std::fmt;

use smallvec::SmallVec;

use super::admission;
use super::call::{Env, Local, call, settle};
use super::table::{CommandTable, Registered, keys_of, table};
use super::{Caller, CommandError, Flags, Identity, Origin, Scope};
use crate::keyspace::journal::Record;
use crate::keyspace::{JOURNAL_THREAD, Key, Section, ShardSet, Unit};
use crate::resp::{Args, Limits, Protocol, ProtocolError, Reply, RequestParser};
use crate::state::{ClientRecord, Server, unix_milliseconds};

/// Whatever was recorded was accepted once.
const LIMITS: Limits = Limits { multibulk: i64::MAX, bulk: i64::MAX, unauthenticated: false };

/// Bytes of a reply that are kept to see whether it is an error.
const REPLY: usize = 256;

/// Why a record could not be repeated. What stands before it in its batch has been repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayError {
    /// Which record of the batch, from 0.
    pub record: usize,
    pub reason: ReplayFailure,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayFailure {
    /// It is no request.
    Protocol(ProtocolError),
    /// It is not exactly one request.
    Incomplete,
    /// Its database does not exist here.
    NoSuchDatabase,
    /// There is no such command, or it does not take so many arguments.
    Unknown(CommandError),
    /// It concerns the transaction of a client: a batch is one without it.
    Transaction,
    /// The command's reply, an error.
    Reply(Vec<u8>),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: ", self.record)?;
        match &self.reason {
            ReplayFailure::Protocol(error) => write!(f, "{error}"),
            ReplayFailure::Incomplete => f.write_str("not exactly one request"),
            ReplayFailure::NoSuchDatabase => f.write_str("there is no such database"),
            ReplayFailure::Unknown(error) => f.write_str(&String::from_utf8_lossy(error.text())),
            ReplayFailure::Transaction => f.write_str("a command of a client's transaction"),
            ReplayFailure::Reply(text) => f.write_str(&String::from_utf8_lossy(text)),
        }
    }
}

impl std::error::Error for ReplayError {}

/// Repeats records, one batch after the other.
pub struct Replay {
    local: Local,
    commands: &'static CommandTable,
    /// The number of the thread, among those that enter the keyspace.
    thread: usize,
    caller: Caller,
    /// One for each record of the longest batch so far.
    parsers: Vec<RequestParser>,
}

/// A record that was parsed.
struct Step<'a> {
    db: usize,
    found: &'static Registered,
    args: Args<'a>,
    keys: SmallVec<[Key<'a>; 2]>,
}

impl Replay {
    /// A replay into a server. Only one thread may have one at a time: it enters the keyspace as the thread
    /// whose number follows those of the workers.
    pub fn new(server: &'static Server) -> Replay {
        let record = ClientRecord::unlisted(unix_milliseconds());
        let caller = Caller {
            origin: Origin::Replay,
            ..Caller::of(record, Identity::unrestricted(&server.acl))
        };
        Replay {
            local: Local::new(server, JOURNAL_THREAD),
            commands: table(),
            thread: JOURNAL_THREAD,
            caller,
            parsers: Vec::new(),
        }
    }

    /// Repeats the records of a batch as one unit. `now` is the time in milliseconds of Unix time.
    ///
    /// # Errors
    /// Says which record is no command, or was answered with an error. If all are commands, those before it
    /// have been repeated then, and those after it not; otherwise none.
    pub fn batch(&mut self, records: &[Record<'_>], now: i64) -> Result<(), ReplayError> {
        let mut parsers = std::mem::take(&mut self.parsers);
        parsers.resize_with(parsers.len().max(records.len()), RequestParser::default);
        let result = self.parse(records, &mut parsers).and_then(|steps| self.execute(&steps, now));
        if result.is_ok() {
            // Of a request that was not parsed to its end, nothing may be left.
            records.iter().zip(&mut parsers).for_each(|(r, parser)| parser.begin(r.resp.len()));
            self.parsers = parsers;
        }
        result
    }

    fn parse<'a>(
        &self,
        records: &'a [Record<'a>],
        parsers: &'a mut [RequestParser],
    ) -> Result<SmallVec<[Step<'a>; 1]>, ReplayError> {
        let parse = |(record, parser): (&'a Record<'a>, &'a mut RequestParser)| {
            self.parse_one(record, parser)
        };
        let numbered = records.iter().zip(parsers).map(parse).enumerate();
        numbered
            .map(|(record, step)| step.map_err(|reason| ReplayError { record, reason }))
            .collect()
    }

    fn parse_one<'a>(
        &self,
        record: &'a Record<'a>,
        parser: &'a mut RequestParser,
    ) -> Result<Step<'a>, ReplayFailure> {
        let request = parser.parse(record.resp, &LIMITS).map_err(ReplayFailure::Protocol)?;
        let request = request.filter(|request| request.end == record.resp.len());
        let request = request.ok_or(ReplayFailure::Incomplete)?;
        let args = parser.args(record.resp, &request);
        if args.is_empty() {
            return Err(ReplayFailure::Incomplete);
        }
        if record.db >= self.local.server.keyspace.databases() {
            return Err(ReplayFailure::NoSuchDatabase);
        }
        let found = self.commands.resolve(args).map_err(ReplayFailure::Unknown)?;
        found.check_arity(args).map_err(ReplayFailure::Unknown)?;
        if found.command.flags.contains(Flags::NOT_QUEUED) {
            return Err(ReplayFailure::Transaction);
        }
        Ok(Step { db: record.db, found, args, keys: keys_of(found, args) })
    }

    fn execute(&mut self, steps: &[Step<'_>], now: i64) -> Result<(), ReplayError> {
        let server = self.local.server;
        let settings = server.config.load();
        let listeners = server.listeners(&settings);
        let env = Env { local: &self.local, settings: &settings };
        let entered = server.keyspace.enter(self.thread);
        let unit = shards(steps).map(|shards| entered.unit_of_shards(&shards, now, listeners));
        match unit {
            Some(unit) if !unit.parked_use_other_keys() => run(&env, unit, &mut self.caller, steps),
            unit => {
                drop(unit);
                drop(entered);
                let unit = server.keyspace.exclusive(Section::default(), now, listeners);
                run(&env, unit, &mut self.caller, steps)
            }
        }
    }
}

/// The shards that the steps need; `None` for the whole keyspace.
fn shards(steps: &[Step<'_>]) -> Option<ShardSet> {
    let mut shards = ShardSet::default();
    for step in steps {
        match admission::scope(step.found, step.args) {
            Scope::Keys => shards.extend(step.keys.iter().map(|key| key.slot)),
            Scope::EveryShard => shards = ShardSet::ALL,
            // Alone it would take one shard at a time, which cannot be done with others locked.
            Scope::Shards if steps.len() == 1 => {}
            Scope::Shards | Scope::Transaction | Scope::Exclusive => return None,
        }
    }
    Some(shards)
}

/// Runs the steps within a unit that has what they need, and settles it.
fn run(
    env: &Env<'_>,
    mut unit: Unit<'static>,
    caller: &mut Caller,
    steps: &[Step<'_>],
) -> Result<(), ReplayError> {
    let repeat = |(record, step): (usize, &Step<'_>)| {
        let reason = repeat(env, &mut unit, caller, step)?;
        Some(ReplayError { record, reason })
    };
    let failed = steps.iter().enumerate().find_map(repeat);
    settle(env, &mut unit, caller);
    failed.map_or(Ok(()), Err)
}

/// Calls one command; its reply if that is an error.
fn repeat(
    env: &Env<'_>,
    unit: &mut Unit<'static>,
    caller: &mut Caller,
    step: &Step<'_>,
) -> Option<ReplayFailure> {
    caller.db = step.db;
    let mut space = [0; REPLY];
    let mut out = Reply::new(&mut space, Protocol::Resp2);
    call(env, unit, caller, step.found, &step.keys, step.args, &mut out);
    let (written, more) = (out.written(), out.into_chunks());
    let mut reply = space[..written].iter().chain(more.iter().flatten());
    if reply.next() != Some(&b'-') {
        return None;
    }
    let text = reply.copied().take_while(|byte| *byte != b'\r');
    Some(ReplayFailure::Reply(text.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::keyspace::Listeners;

    fn server() -> &'static Server {
        let settings = Settings { io_threads: 1, ..Settings::default() };
        Server::new(settings, None, table().for_rules()).0
    }

    fn request(words: &str) -> Vec<u8> {
        let words: Vec<_> = words.split(' ').collect();
        let word = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
        let encoded: String = words.iter().map(word).collect();
        format!("*{}\r\n{encoded}", words.len()).into_bytes()
    }

    /// Repeats commands, each with its database, as one batch.
    fn repeat(replay: &mut Replay, commands: &[(usize, &str)]) -> Result<(), ReplayError> {
        let requests: Vec<_> = commands.iter().map(|(_, words)| request(words)).collect();
        let record = |(at, (db, _)): (usize, &(usize, &str))| Record {
            db: *db,
            slot: None,
            targets: Default::default(),
            resp: &requests[at],
        };
        let records: Vec<_> = commands.iter().enumerate().map(record).collect();
        replay.batch(&records, 1000)
    }

    fn string(server: &'static Server, db: usize, key: &str) -> Option<String> {
        let key = Key::new(key.as_bytes());
        let unit = server.keyspace.exclusive(Section::default(), 0, Listeners::NONE);
        let table = unit.table(db, key.slot);
        let entry = table.get(table.find(key.hash, key.bytes)?);
        let mut digits = itoa::Buffer::new();
        Some(String::from_utf8_lossy(entry.string(&mut digits).ok()?).into_owned())
    }

    #[test]
    fn a_batch_is_one_unit_in_its_databases() {
        let server = server();
        let mut replay = Replay::new(server);
        let commands = [(0, "SET a 1"), (3, "MSET a 2 b 3"), (0, "INCRBY a 4"), (0, "DEL b")];
        assert_eq!(repeat(&mut replay, &commands), Ok(()));
        assert_eq!(string(server, 0, "a").as_deref(), Some("5"));
        assert_eq!(string(server, 3, "b").as_deref(), Some("3"));
        // These need the whole keyspace.
        assert_eq!(repeat(&mut replay, &[(0, "SET b 1"), (3, "FLUSHDB"), (3, "SET c 1")]), Ok(()));
        assert_eq!(repeat(&mut replay, &[(0, "SWAPDB 0 3")]), Ok(()));
        let all = ["a", "b", "c"].map(|key| (string(server, 0, key), string(server, 3, key)));
        let one = || Some("1".to_owned());
        assert_eq!(all, [(None, Some("5".into())), (None, one()), (one(), None)]);
        assert!(server.clients.is_empty(), "a replay is no client");
    }

    #[test]
    fn a_record_that_cannot_be_repeated_is_an_error() {
        let server = server();
        let mut replay = Replay::new(server);
        let reason = |result: Result<(), ReplayError>| result.map_err(|e| (e.record, e.reason));
        let result = repeat(&mut replay, &[(0, "SET a x"), (0, "INCR a"), (0, "SET b x")]);
        let text = b"ERR value is not an integer or out of range".to_vec();
        assert_eq!(reason(result), Err((1, ReplayFailure::Reply(text))));
        assert_eq!((string(server, 0, "a"), string(server, 0, "b")), (Some("x".into()), None));
        // Of a batch with something that is no command nothing is repeated.
        for (words, expected) in [
            ("NOSUCH a", "ERR unknown command 'NOSUCH', with args beginning with: 'a' "),
            ("GET", "ERR wrong number of arguments for 'get' command"),
        ] {
            let result = reason(repeat(&mut replay, &[(0, "SET c x"), (0, words)]));
            assert_eq!(result, Err((1, ReplayFailure::Unknown(expected.into()))));
        }
        let result = reason(repeat(&mut replay, &[(0, "SET c x"), (0, "MULTI"), (0, "EXEC")]));
        assert_eq!(result, Err((1, ReplayFailure::Transaction)));
        let result = reason(repeat(&mut replay, &[(16, "SET c x")]));
        assert_eq!(result, Err((0, ReplayFailure::NoSuchDatabase)));
        assert_eq!(string(server, 0, "c"), None);
        assert_eq!(repeat(&mut replay, &[(0, "SET c x")]), Ok(()));
    }

    #[test]
    fn what_is_not_one_request_is_an_error() {
        let mut replay = Replay::new(server());
        let two = [request("SET a b"), request("SET a b")].concat();
        for (resp, expected) in [
            (&b"*1\r\n$4\r\nPI"[..], ReplayFailure::Incomplete),
            (b"", ReplayFailure::Incomplete),
            (b"*0\r\n", ReplayFailure::Incomplete),
            (&two, ReplayFailure::Incomplete),
            (b"*1\r\n:4\r\n", ReplayFailure::Protocol(ProtocolError::ExpectedBulk(b':'))),
        ] {
            let result =
                replay.batch(&[Record { db: 0, slot: None, targets: Default::default(), resp }], 0);
            assert_eq!(result, Err(ReplayError { record: 0, reason: expected }), "{resp:?}");
            assert_eq!(repeat(&mut replay, &[(0, "SET a b")]), Ok(()), "nothing is left of it");
        }
    }
}
