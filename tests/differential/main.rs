//! The replies of verbena-server compared with those of the real Valkey 9.1.2, byte for byte: random
//! commands in RESP2 and RESP3, from fixed seeds here, from fresh ones by `scripts/differential`.
//!
//! A difference is reported with the shortest sequence of commands found that shows it.

#![expect(clippy::result_large_err, reason = "a difference ends the test, whatever its size")]

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod compare;
mod coverage;
mod families;
mod field_expiry;
mod grammar;
mod missing;
mod pair;
mod pools;
mod rounds;
mod scripted;
mod shrink;
mod sketches;
mod transactions;
mod users;
mod wire;

use std::str::FromStr;
use std::time::{Duration, Instant};

use common::Server;
use pair::Pair;
use rounds::{Rounds, SingleCommands};

/// Seeds that every run of the tests uses, and steps from each.
const SEEDS: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const STEPS: usize = 25_000;

/// What both servers are started with, so that they behave alike, and so that collections outgrow their
/// compact encodings soon.
#[rustfmt::skip]
const OPTIONS: &[&str] = &[
    "--save", "",
    "--appendonly", "no",
    "--enable-debug-command", "yes",
    "--hash-max-listpack-entries", "8",
    "--list-max-listpack-size", "7",
    // No fewer than in a listpack: which one is outgrown does then not depend on a table's order.
    "--set-max-intset-entries", "16",
    "--set-max-listpack-entries", "12",
    "--set-max-listpack-value", "20",
    "--stream-node-max-bytes", "300",
    "--stream-node-max-entries", "5",
    // What is dumped is compared, and the same bytes can be compressed in many ways.
    "--rdbcompression", "no",
    "--zset-max-listpack-entries", "12",
    "--zset-max-listpack-value", "20",
];

/// As in the options.
const SET_MAX_LISTPACK_VALUE: usize = 20;

fn servers() -> Pair {
    Pair::new(Server::oracle(OPTIONS), Server::start(OPTIONS))
}

/// The subject's journal is replayed, and compared with its data whenever these are compared.
fn mirrored_servers() -> Pair {
    Pair::new(Server::oracle(OPTIONS), Server::start_mirrored(OPTIONS))
}

/// `scripts/differential` sets other seeds, steps and times.
#[test]
fn random_commands_get_the_replies_of_valkey() {
    let first = setting("SEED");
    let steps = setting("STEPS").unwrap_or(STEPS);
    let started = Instant::now();
    let deadline = setting("MINUTES").map(|m: f64| started + Duration::from_secs_f64(m * 60.0));
    let (pair, generator) = match setting::<bool>("SELF") {
        Some(true) => {
            let pair = Pair::new(Server::oracle(OPTIONS), Server::oracle(OPTIONS));
            (pair, SingleCommands::all())
        }
        _ => {
            let pair = mirrored_servers();
            let generator = SingleCommands::of_subject(&pair);
            (pair, generator)
        }
    };
    let mut rounds = Rounds::new(pair, generator);
    match first {
        None => SEEDS.iter().for_each(|&seed| rounds.run(seed, steps, deadline)),
        Some(mut seed) => loop {
            rounds.run(seed, steps, deadline);
            seed += 1;
            if deadline.is_none_or(|deadline| Instant::now() >= deadline) || rounds.has_enough() {
                break;
            }
        },
    }
    println!("{} steps in {:.0?}", rounds.steps(), started.elapsed());
    rounds.bench().replayed.assert_enough(rounds.steps());
    rounds.finish();
}

/// A number that the environment gives, as `VERBENA_DIFFERENTIAL_…`.
pub fn setting<T: FromStr>(name: &str) -> Option<T> {
    let name = format!("VERBENA_DIFFERENTIAL_{name}");
    let value = std::env::var(&name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}: not a number")))
}
