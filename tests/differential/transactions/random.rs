//! Random interleavings of connections: what each of them watches, queues, executes and waits for.

use std::collections::BTreeSet;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::group::{CONNECTIONS, Group, Step};
use crate::commands::{Entry, FAMILIES};
use crate::compare::Rule;
use crate::coverage::callable;
use crate::grammar::Syntax;
use crate::pools;
use crate::rounds::Generator;
use crate::wire::Words;

/// Steps that start from empty servers.
const ROUND: usize = 400;

/// Keys that commands named lately: of these, most are watched and changed.
const RECENT: usize = 12;
const WATCHED: usize = 6;

/// Commands that would change what the comparison itself rests on, that take long, or that tell of Valkey's own
/// structures: a value's references from a queue, the memory of a key that has expired and not gone yet.
const LEFT_OUT: &[&str] = &[
    "client unblock",
    "client list",
    "client kill",
    "config rewrite",
    "debug",
    "object refcount",
    "memory usage",
];

/// What is queued in vain, as an error ends the transaction.
const ERRORS: &[&str] =
    &["NOSUCH a b", "GET", "GET a b", "MULTI", "WATCH a", "CLIENT NOSUCH", "UNWATCH a", "SET a"];

/// Commands on a watched key K, another key O, and a database D.
#[rustfmt::skip]
const TOUCHES: &[&str] = &[
    "DEL K", "UNLINK K", "SET K new", "SET K new NX", "SET K new XX", "SET K new GET", "GET K", "TOUCH K",
    "GETDEL K", "GETSET K other", "APPEND K x", "SETRANGE K 0 ''", "SETRANGE K 0 abc", "INCR K",
    "EXPIRE K 1000", "EXPIRE K 1000 NX", "EXPIRE K -1", "EXPIRE K 0 XX", "PEXPIREAT K 1", "PERSIST K",
    "GETEX K PERSIST", "GETEX K EX 1000", "GETEX K", "TTL K", "EXISTS K", "TYPE K", "DUMP K",
    "RENAME K O", "RENAME O K", "RENAMENX K O", "RENAME K K", "COPY K O", "COPY O K REPLACE", "COPY O K",
    "COPY K K DB D", "COPY O K DB D REPLACE", "MOVE K D", "MOVE O D", "SWAPDB D 0", "SWAPDB 1 D", "SWAPDB D D",
    "FLUSHDB", "FLUSHALL", "FLUSHDB ASYNC", "SORT O ALPHA STORE K", "SORT K ALPHA STORE K", "BITOP NOT K O",
    "RPUSH K x y", "LPUSHX K x", "LPOP K", "LMOVE K O LEFT RIGHT", "LMOVE O K LEFT RIGHT", "LTRIM K 0 -1",
    "LTRIM K 1 0", "LREM K 0 none", "SADD K x", "SREM K x", "SREM K none", "SMOVE K O x", "SMOVE O K x",
    "SINTERSTORE K O O", "SUNIONSTORE K K", "HSET K f v", "HDEL K f", "HDEL K none", "HINCRBY K n 0",
    "HEXPIRE K 1000 FIELDS 1 f", "HEXPIRE K 0 FIELDS 1 f", "HPERSIST K FIELDS 1 f", "ZADD K 1 x",
    "ZADD K NX 1 x", "ZADD K XX 2 none", "ZREM K x", "ZINCRBY K 0 x", "ZRANGESTORE K O 0 -1",
    "ZREMRANGEBYRANK K 5 1", "XADD K 7-* f v", "XDEL K 1-1", "XTRIM K MAXLEN 100", "XGROUP CREATE K g 0 MKSTREAM",
    "PFADD K x", "PFADD K", "PFCOUNT K", "PFMERGE K O", "GEOADD K 1 2 x", "SETBIT K 5 0", "BITFIELD K GET u4 0",
    "BITFIELD K SET u4 0 0", "BITFIELD K INCRBY u4 0 0", "MSETNX K 1 O 2", "MSET K 1 O 2", "SELECT D",
    "OBJECT ENCODING K", "DBSIZE",
];

/// Commands that wait, and the pools that their keys are of.
const WAITS: &[(&str, &str)] = &[
    ("BLPOP K 0", "key"),
    ("BRPOP K 0", "key"),
    ("BLMOVE K O LEFT RIGHT 0", "key"),
    ("BLMPOP 0 1 K LEFT COUNT 2", "key"),
    ("BZPOPMIN K 0", "zset"),
    ("BZMPOP 0 1 K MAX", "zset"),
    ("XREAD BLOCK 0 STREAMS K $", "stream"),
    ("XREAD BLOCK 0 STREAMS K 0", "stream"),
    ("XREADGROUP GROUP g c BLOCK 0 STREAMS K >", "stream"),
];

pub struct Interleavings {
    /// As `FAMILIES`: those of strings, of keys, of connections, of the server, then one of each type.
    families: Vec<Vec<Syntax>>,
}

impl Interleavings {
    /// Of the commands that the subject has.
    pub fn of_subject(group: &Group) -> Interleavings {
        let mut subject = group.connect_subject();
        let known: BTreeSet<_> = callable(&mut subject).map(|entry| entry.name).collect();
        let fits = |entry: &&'static Entry| known.contains(entry.name) && can_be_queued(entry);
        let of = |family: &&'static [Entry]| family.iter().filter(fits).map(Syntax::new).collect();
        Interleavings { families: FAMILIES.iter().map(of).collect() }
    }
}

impl Generator for Interleavings {
    type Bench = Group;

    fn round(&mut self, rng: &mut StdRng) -> Vec<Step> {
        let [strings, keys, connection, server, ..] = &self.families[..] else {
            unreachable!("a family for each kind of command")
        };
        let types: Vec<_> = self.families[4..].iter().collect();
        let focus: Vec<_> = types.choose_multiple(rng, 2).copied().collect();
        let mut round = Round {
            rng,
            families: vec![
                (strings, 15),
                (keys, 20),
                (connection, 8),
                (server, 2),
                (focus[0], 30),
                (focus[1], 15),
            ],
            recent: pools::KEYS[..4].iter().map(|key| key.to_vec()).collect(),
            watched: Vec::new(),
            in_multi: [false; CONNECTIONS],
            has_watched: [false; CONNECTIONS],
            members: 0,
            steps: Vec::with_capacity(ROUND + 20),
        };
        round.members = round.rng.random_range(2..=CONNECTIONS);
        while round.steps.len() < ROUND {
            round.turn();
        }
        round.steps.push(Step::Verify);
        round.steps
    }
}

/// Whether the command's replies can be compared wherever it is called.
fn can_be_queued(entry: &Entry) -> bool {
    !LEFT_OUT.contains(&entry.name)
        && !entry.name.starts_with("command")
        && (!entry.rule.is_alone() || matches!(entry.rule, Rule::Waits | Rule::Closes))
}

struct Round<'a> {
    rng: &'a mut StdRng,
    /// Commands, and how often they are called.
    families: Vec<(&'a Vec<Syntax>, u32)>,
    recent: Vec<Vec<u8>>,
    /// Keys that were watched last.
    watched: Vec<Vec<u8>>,
    /// What each connection is likely to be in.
    in_multi: [bool; CONNECTIONS],
    /// Whether a connection's last command outside of a transaction was WATCH.
    has_watched: [bool; CONNECTIONS],
    /// How many connections take part.
    members: usize,
    steps: Vec<Step>,
}

impl Round<'_> {
    /// Some commands of one connection, or something that happens to it.
    fn turn(&mut self) {
        let connection = self.rng.random_range(0..self.members);
        match self.rng.random_range(0..1000) {
            0..6 => {
                let key = self.recent_key();
                return self.steps.push(Step::WatchExpiring { connection, key });
            }
            6..20 => {
                let key = self.recent_key();
                return self.steps.push(Step::Expired { key });
            }
            20..26 => {
                self.in_multi[connection] = false;
                return self.steps.push(Step::Disconnect { connection });
            }
            26..110 => {
                let with_error = self.rng.random_bool(0.3);
                return self.steps.push(Step::Unblock { connection, with_error });
            }
            110..140 => return self.steps.push(Step::Inspect { connection }),
            _ => {}
        }
        let joins = self.rng.random_bool(0.5);
        for at in 0..self.rng.random_range(1..=6) {
            let (words, rule) = self.command(connection);
            self.steps.push(Step::Command { connection, words, rule, is_joined: joins && at > 0 });
        }
    }

    fn command(&mut self, connection: usize) -> (Words, Rule) {
        if self.in_multi[connection] { self.inside(connection) } else { self.outside(connection) }
    }

    fn inside(&mut self, connection: usize) -> (Words, Rule) {
        let ends = |name: &str| (vec![name.as_bytes().to_vec()], Rule::Exact);
        match self.rng.random_range(0..1000) {
            0..150 => {
                self.in_multi[connection] = false;
                ends("EXEC")
            }
            150..175 => {
                self.in_multi[connection] = false;
                ends("discard")
            }
            175..183 => {
                self.in_multi[connection] = false;
                ends("Reset")
            }
            183..190 => ends("UNWATCH"),
            190..205 => {
                let error = ERRORS.choose(self.rng).expect("errors");
                (split(error), Rule::Exact)
            }
            205..255 => self.waiting(),
            255..500 => self.touch(),
            _ => self.any(true),
        }
    }

    fn outside(&mut self, connection: usize) -> (Words, Rule) {
        // Who watches something means to change something.
        let reach = if std::mem::take(&mut self.has_watched[connection]) { 500 } else { 1000 };
        match self.rng.random_range(0..reach) {
            0..200 => {
                self.in_multi[connection] = true;
                (split("MULTI"), Rule::Exact)
            }
            200..350 => {
                self.has_watched[connection] = true;
                (self.watch(), Rule::Exact)
            }
            350..365 => (split("UNWATCH"), Rule::Exact),
            365..375 => {
                let word = *["EXEC", "DISCARD", "EXEC x", "DISCARD x", "WATCH", "MULTI x", "RESET"]
                    .choose(self.rng)
                    .expect("words");
                (split(word), Rule::Exact)
            }
            375..430 => self.waiting(),
            430..650 => self.touch(),
            _ => self.any(false),
        }
    }

    fn recent_key(&mut self) -> Vec<u8> {
        self.recent.choose(self.rng).expect("a key").clone()
    }

    fn watch(&mut self) -> Words {
        let mut words = vec![b"WATCH".to_vec()];
        for _ in 0..self.rng.random_range(1..4) {
            let key = self.recent_key();
            self.watched.truncate(WATCHED - 1);
            self.watched.insert(0, key.clone());
            words.push(key);
        }
        words
    }

    /// A command on a key that may be watched.
    fn touch(&mut self) -> (Words, Rule) {
        let text = TOUCHES.choose(self.rng).expect("commands");
        let rule = if text.starts_with("TTL") {
            Rule::Near(5)
        } else if text.starts_with("DUMP") {
            Rule::Kind
        } else {
            Rule::Exact
        };
        (self.fill(text, None), rule)
    }

    fn waiting(&mut self) -> (Words, Rule) {
        let (text, pool) = WAITS.choose(self.rng).expect("commands that wait");
        (self.fill(text, Some(pool)), Rule::Waits)
    }

    /// The words of a text, with keys and a database in their places.
    fn fill(&mut self, text: &str, pool: Option<&str>) -> Words {
        let key = |round: &mut Self| match pool {
            Some(pool) if round.rng.random_bool(0.7) => pools::pool(pool)(round.rng),
            _ if round.rng.random_bool(0.6) && !round.watched.is_empty() => {
                round.watched.choose(round.rng).expect("a key").clone()
            }
            _ => round.recent_key(),
        };
        let words = text.split(' ').map(|word| match word {
            "K" | "O" => key(self),
            "D" => pools::pool("db")(self.rng),
            "''" => Vec::new(),
            word => word.as_bytes().to_vec(),
        });
        words.collect()
    }

    /// Any command at all; outside of a transaction none that waits.
    fn any(&mut self, may_wait: bool) -> (Words, Rule) {
        let (family, _) =
            *self.families.choose_weighted(self.rng, |(_, weight)| *weight).expect("families");
        let weight = |syntax: &Syntax| match syntax.entry.rule {
            Rule::Waits if !may_wait => 0,
            _ => syntax.entry.weight,
        };
        let syntax = family.choose_weighted(self.rng, weight).expect("commands");
        let words = syntax.call(self.rng);
        let is_one_of = |names: &[&str]| {
            names.iter().any(|name| words[0].eq_ignore_ascii_case(name.as_bytes()))
        };
        let has_no_key =
            is_one_of(&["client", "config", "select", "hello", "auth", "echo", "ping", "info"]);
        let key_at =
            if is_one_of(&["object", "xgroup", "xinfo", "memory", "bitop"]) { 2 } else { 1 };
        if let Some(key) = words.get(key_at).filter(|_| !has_no_key) {
            let at = self.rng.random_range(0..RECENT);
            match self.recent.get_mut(at) {
                Some(place) => *place = key.clone(),
                None => self.recent.push(key.clone()),
            }
        }
        (words, syntax.entry.rule)
    }
}

fn split(text: &str) -> Words {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}
