//! Random users, made by random rules, have the permissions that they have on Valkey: of every command, by
//! ACL DRYRUN, and of calls that they make.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::coverage::callable;
use crate::grammar::Syntax;
use crate::wire::{Outcome, Wire, Words};
use crate::{servers, setting};

const SEED: u64 = 18;
const STEPS: usize = 50_000;

const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// Names that keys and patterns are made of: those of the pools of keys among them.
const NAMES: &[&str] =
    &["a", "b", "k", "key:1", "key:2", "{t}a", "x*", "channel", "", "longer-than-eight"];

/// Rules for what is no command.
const RULES: &[&str] = &[
    "on",
    "nopass",
    "allkeys",
    "resetkeys",
    "allchannels",
    "resetchannels",
    "alldbs",
    "resetdbs",
    "db=0",
    "db=1,3",
    "db=0,1,2",
    "~*",
    "&*",
    "clearselectors",
    "+@all",
    "-@all",
    "allcommands",
    "nocommands",
    "reset",
    "off",
    "+select|0",
    "+select|1",
    "+get|a",
    "+mget|k",
    "-nope",
    "db=x",
    "%~a",
];

/// Calls that users make, whose replies do not depend on the data.
const CALLS: &[&str] = &[
    "EXISTS %",
    "EXISTS % %",
    "TYPE %",
    "SET % v",
    "SET % v GET",
    "GET %",
    "DEL % %",
    "MSET % 1 % 2",
    "COPY % % REPLACE",
    "RENAME % %",
    "PUBLISH % m",
    "SPUBLISH % m",
    "SELECT #",
    "MOVE % #",
    "SWAPDB # #",
    "COPY % % DB #",
    "MULTI",
    "EXEC",
    "DISCARD",
    "PING",
    "ACL WHOAMI",
    "CLIENT GETNAME",
    "CONFIG GET maxclients",
    "SORT % BY nosort STORE %",
    "SORT % BY w*",
    "OBJECT HELP",
    "WATCH %",
    "UNWATCH",
    "NOPE",
    "GET",
    "FLUSHDB",
    "LMPOP 2 % % LEFT",
    "ZUNIONSTORE % 2 % %",
    "BITFIELD % GET u8 0",
    "BITFIELD % SET u8 0 1",
    "LPUSH % v",
    "BLPOP % 0.001",
];

struct Both {
    oracle: Vec<Wire>,
    subject: Vec<Wire>,
    history: Vec<String>,
}

impl Both {
    /// Runs a command by connection `by` of each, and compares the replies.
    fn run(&mut self, by: usize, words: &[&[u8]]) -> Outcome {
        let line = String::from_utf8_lossy(&words.join(&b' ')).into_owned();
        self.history.push(format!("{by}: {line}"));
        let (a, b) = (self.oracle[by].command(words), self.subject[by].command(words));
        let recent = &self.history[self.history.len().saturating_sub(12)..];
        assert!(a == b, "{}\nvalkey:  {a}\nverbena: {b}", recent.join("\n"));
        a
    }

    fn line(&mut self, by: usize, line: &str) -> Outcome {
        self.run(by, &line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }
}

#[test]
fn random_users_have_valkeys_permissions() {
    let seed = setting("SEED").unwrap_or(SEED);
    let steps = setting("STEPS").unwrap_or(STEPS);
    let started = Instant::now();
    let mut rng = StdRng::seed_from_u64(seed);
    let pair = servers();
    let (mut oracle, mut subject) = (Vec::new(), Vec::new());
    for _ in 0..=USERS.len() {
        let (a, b) = pair.connect();
        oracle.push(a);
        subject.push(b);
    }
    let mut both = Both { oracle, subject, history: Vec::new() };
    let names = command_names(&mut both);
    let syntaxes: Vec<Syntax> = callable(&mut both.subject[0]).map(Syntax::new).collect();
    let mut step = 0;
    while step < steps {
        let index = rng.random_range(0..USERS.len());
        let (user, client) = (USERS[index], index + 1);
        if rng.random_bool(0.1) {
            both.line(0, &format!("ACL SETUSER {user} reset on nopass"));
        }
        for _ in 0..rng.random_range(1..=4) {
            let rules: Vec<String> =
                (0..rng.random_range(1..=4)).map(|_| rule(&mut rng, &names)).collect();
            let mut words: Vec<&[u8]> = vec![b"ACL", b"SETUSER", user.as_bytes()];
            words.extend(rules.iter().map(String::as_bytes));
            both.run(0, &words);
        }
        both.line(0, &format!("ACL GETUSER {user}"));
        both.line(0, &format!("SELECT {}", rng.random_range(0..3)));
        for _ in 0..20 {
            let call = syntaxes.choose(&mut rng).unwrap().call(&mut rng);
            dry_run(&mut both, user, &call);
            let call: Words = any_call(&mut rng, &names);
            dry_run(&mut both, user, &call);
        }
        both.line(client, &format!("AUTH {user} x"));
        for _ in 0..10 {
            let call = fill(CALLS.choose(&mut rng).unwrap(), &mut rng);
            both.line(client, &call);
        }
        both.line(client, "DISCARD");
        step += 56;
    }
    both.line(0, "ACL LIST");
    println!("{step} steps in {:.0?}", started.elapsed());
}

fn dry_run(both: &mut Both, user: &str, call: &Words) {
    let mut words: Vec<&[u8]> = vec![b"ACL", b"DRYRUN", user.as_bytes()];
    words.extend(call.iter().map(Vec::as_slice));
    both.run(0, &words);
}

/// The names of all commands and subcommands that the subject has.
fn command_names(both: &mut Both) -> Vec<String> {
    let list = both.subject[0].command(&[b"COMMAND", b"LIST"]);
    let names = list.reply().expect("COMMAND LIST").elements.iter();
    let mut names: Vec<String> =
        names.map(|name| String::from_utf8_lossy(&name.text).into_owned()).collect();
    names.sort();
    names
}

fn rule(rng: &mut StdRng, names: &[String]) -> String {
    let name = |rng: &mut StdRng| *NAMES.choose(rng).unwrap();
    let sign = if rng.random_bool(0.7) { '+' } else { '-' };
    match rng.random_range(0..12) {
        0 | 1 => (*RULES.choose(rng).unwrap()).to_owned(),
        2..=4 => format!("{sign}{}", names.choose(rng).unwrap()),
        5 => format!("{sign}@{}", CATEGORIES.choose(rng).unwrap()),
        6 => format!("~{}", pattern(rng)),
        7 => format!("%{}~{}", ["R", "W", "RW", "r", ""].choose(rng).unwrap(), pattern(rng)),
        8 => format!("&{}", pattern(rng)),
        9 => format!("+{}|{}", names.choose(rng).unwrap(), name(rng)),
        10 => {
            let words: Vec<String> = (0..rng.random_range(0..4))
                .map(|_| rule(rng, names))
                .filter(|rule| !rule.starts_with('(') && !rule.contains(' '))
                .collect();
            format!("({})", words.join(" "))
        }
        _ => ">secret".into(),
    }
}

fn pattern(rng: &mut StdRng) -> String {
    let name = NAMES.choose(rng).unwrap();
    match rng.random_range(0..6) {
        0 | 1 => format!("{name}*"),
        2 => (*name).to_owned(),
        3 => format!("*{name}"),
        4 => format!("{name}?"),
        _ => format!("[ak]{name}*"),
    }
}

const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "all",
    "nope",
];

/// A call of any command, with arguments that may make no sense.
fn any_call(rng: &mut StdRng, names: &[String]) -> Words {
    let mut words: Words =
        names.choose(rng).unwrap().split('|').map(|word| word.as_bytes().to_vec()).collect();
    for _ in 0..rng.random_range(0..5) {
        words.push(match rng.random_range(0..6) {
            0 => rng.random_range(-1..4).to_string().into_bytes(),
            1 => WORDS.choose(rng).unwrap().as_bytes().to_vec(),
            _ => key(rng).into_bytes(),
        });
    }
    words
}

const WORDS: &[&str] =
    &["STORE", "BY", "GET", "STREAMS", "COUNT", "DB", "REPLACE", "LEFT", "STOREDIST", "GROUP"];

fn key(rng: &mut StdRng) -> String {
    let name = NAMES.choose(rng).unwrap();
    if rng.random_bool(0.3) {
        format!("{name}{}", rng.random_range(0..10))
    } else {
        (*name).to_owned()
    }
}

/// The call with keys in the places of `%`, and databases in those of `#`.
fn fill(call: &str, rng: &mut StdRng) -> String {
    let words = call.split(' ').map(|word| match word {
        "%" => format!("k{}", key(rng)),
        "#" => rng.random_range(0..3).to_string(),
        word => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}
