//! Hashes with fields that have expired and that nothing has removed yet.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use crate::families::hash;
use crate::grammar::Syntax;
use crate::mirrored_servers;
use crate::pair::{CONNECTIONS, Pair, Step, script};
use crate::pools::KEYS;
use crate::shrink::{Bench, shrink};
use crate::wire::{Outcome, Wire};

/// Counters that every one of these commands must change alike.
const COUNTERS: &[&str] = &[
    "rdb_changes_since_last_save",
    "expired_keys",
    "expired_fields",
    "keyspace_hits",
    "keyspace_misses",
];

#[test]
fn expired_fields_are_passed_over_replaced_and_counted_alike() {
    let mut pair = mirrored_servers();
    // A scan takes each server as many calls as its own table has it.
    let commands = hash::COMMANDS.iter().filter(|entry| entry.name != "hscan");
    let syntaxes: Vec<_> = commands.map(Syntax::new).collect();
    for seed in 0..40 {
        pair.reset();
        configure(&pair);
        let before = Counters::of_both(&pair);
        let mut rng = StdRng::seed_from_u64(seed);
        let steps = round(&syntaxes, &mut rng);
        if let Some(difference) = pair.execute(&steps) {
            let shortest = shrink(&mut pair, &steps[..=difference.step]);
            panic!(
                "seed {seed}\n{}\nvalkey:  {}\nverbena: {}\n({})",
                script(&shortest),
                difference.oracle,
                difference.subject,
                difference.reason
            );
        }
        let [oracle, subject] = Counters::of_both(&pair);
        assert_eq!(
            oracle.since(&before[0]),
            subject.since(&before[1]),
            "seed {seed}: counters of valkey and verbena"
        );
        let difference = pair.verify_journal().map(|difference| difference.reason);
        assert_eq!(difference, None, "seed {seed}: the journal\n{}", script(&steps));
    }
}

/// Nothing is removed but by the commands.
fn configure(pair: &Pair) {
    let (mut oracle, mut subject) = pair.connect();
    for wire in [&mut oracle, &mut subject] {
        for words in [&[&b"DEBUG"[..], b"SET-ACTIVE-EXPIRE", b"0"][..], &[b"CONFIG", b"RESETSTAT"]]
        {
            let outcome = wire.command(words);
            assert!(outcome.reply().is_some_and(|reply| reply.text == b"OK"), "{outcome}");
        }
    }
}

fn round(syntaxes: &[Syntax], rng: &mut StdRng) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..8 {
        let connection = rng.random_range(0..CONNECTIONS);
        for _ in 0..40 {
            let syntax = syntaxes
                .choose_weighted(rng, |syntax| syntax.entry.weight)
                .expect("commands that can be called");
            let words = syntax.call(rng);
            steps.push(Step::Command { connection, words, rule: syntax.entry.rule });
        }
        let mut keys: Vec<_> = KEYS[..5].iter().map(|key| key.to_vec()).collect();
        keys.shuffle(rng);
        keys.truncate(3);
        steps.push(Step::ExpireFields { keys });
    }
    steps
}

/// What INFO says of the counters, and of database 0 but for how far off expiries are.
#[derive(Debug, PartialEq)]
struct Counters {
    numbers: BTreeMap<String, i64>,
    database: String,
}

impl Counters {
    fn read(wire: &mut Wire) -> Counters {
        let Outcome::Reply(info) = wire.command(&[b"INFO", b"everything"]) else {
            panic!("INFO gets a reply")
        };
        let text = String::from_utf8_lossy(&info.text);
        let lines: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let number = |name: &&str| (name.to_string(), lines[name].parse().expect("a number"));
        let database = lines.get("db0").copied().unwrap_or_default().split(',');
        Counters {
            numbers: COUNTERS.iter().map(number).collect(),
            database: database.filter(|part| !part.starts_with("avg_ttl")).collect(),
        }
    }

    fn of_both(pair: &Pair) -> [Counters; 2] {
        let (mut oracle, mut subject) = pair.connect();
        [&mut oracle, &mut subject].map(Counters::read)
    }

    /// What was counted since `before`.
    fn since(mut self, before: &Counters) -> Counters {
        self.numbers.iter_mut().for_each(|(name, number)| *number -= before.numbers[name]);
        self
    }
}
