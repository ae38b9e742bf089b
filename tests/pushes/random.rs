//! Random commands at several connections, whose replies and messages are compared with the real Valkey's
//! after each: `VERBENA_PUSH_STEPS` says how many (50,000 otherwise), `VERBENA_PUSH_SEED` with which seed
//! they begin. Two tests share them, which run at the same time.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::stage::Stage;

/// Steps between two fresh starts.
const ROUND: usize = 500;

const CONNECTIONS: &[char] = &['A', 'B', 'C', 'D', 'E'];

const KEYS: &[&str] = &["a", "ab", "b", "c", "l", "h"];

const CHANNELS: &[&str] =
    &["a", "ab", "b", "__keyevent@0__:set", "__keyspace@0__:a", "__redis__:invalidate"];

const PATTERNS: &[&str] = &["*", "a*", "?", "__key*", "__keyevent@0__:*"];

/// The commands, each with how likely it is. `K`, `C`, `P` and `@` stand for a key, a channel, a pattern and
/// the id of a client.
const COMMANDS: &[(u32, &str)] = &[
    (6, "SUBSCRIBE C"),
    (2, "SUBSCRIBE C C C"),
    (4, "PSUBSCRIBE P"),
    (3, "SSUBSCRIBE C"),
    (5, "UNSUBSCRIBE C"),
    (2, "UNSUBSCRIBE"),
    (3, "PUNSUBSCRIBE P"),
    (2, "PUNSUBSCRIBE"),
    (2, "SUNSUBSCRIBE C"),
    (1, "SUNSUBSCRIBE"),
    (12, "PUBLISH C m"),
    (5, "SPUBLISH C m"),
    (2, "PUBSUB NUMSUB C C"),
    (2, "PUBSUB NUMPAT"),
    (1, "PUBSUB SHARDNUMSUB C"),
    (30, "SET K v"),
    (30, "GET K"),
    (8, "MGET K K K"),
    (6, "MSET K v K w"),
    (6, "DEL K"),
    (2, "DEL K K"),
    (4, "RPUSH l x"),
    (3, "LPOP l"),
    (3, "HSET h f v"),
    (3, "HGETALL h"),
    (2, "HDEL h f"),
    (2, "GETDEL K"),
    (2, "RENAME K K"),
    (2, "COPY K K"),
    (2, "APPEND K x"),
    (2, "EXPIRE K 1000"),
    (1, "PERSIST K"),
    (2, "TYPE K"),
    (1, "FLUSHALL"),
    (1, "FLUSHDB"),
    (1, "SWAPDB 0 1"),
    (2, "SELECT 0"),
    (1, "SELECT 1"),
    (5, "MULTI"),
    (8, "EXEC"),
    (1, "DISCARD"),
    (12, "HELLO 3 SETNAME n"),
    (3, "HELLO 2 SETNAME n"),
    (6, "RESET"),
    (8, "CLIENT TRACKING ON"),
    (3, "CLIENT TRACKING ON NOLOOP"),
    (3, "CLIENT TRACKING ON OPTIN"),
    (3, "CLIENT TRACKING ON OPTOUT"),
    (3, "CLIENT TRACKING ON BCAST"),
    (3, "CLIENT TRACKING ON BCAST PREFIX a"),
    (2, "CLIENT TRACKING ON BCAST PREFIX b PREFIX c NOLOOP"),
    (4, "CLIENT TRACKING ON REDIRECT @"),
    (2, "CLIENT TRACKING ON REDIRECT @ BCAST"),
    (6, "CLIENT TRACKING OFF"),
    (3, "CLIENT CACHING YES"),
    (3, "CLIENT CACHING NO"),
    (2, "CLIENT TRACKINGINFO"),
    (2, "CLIENT GETREDIR"),
    (3, "CONFIG SET notify-keyspace-events KEA"),
    (2, "CONFIG SET notify-keyspace-events Kg$"),
    (2, "CONFIG SET notify-keyspace-events ''"),
    (1, "NOSUCH"),
    (1, "PING text"),
];

/// A random command.
fn command(random: &mut StdRng) -> Vec<String> {
    let (_, line) =
        COMMANDS.choose_weighted(random, |(weight, _)| *weight).expect("some command is likely");
    let words = line.split(' ').map(|word| match word {
        "K" => KEYS.choose(random).expect("a key").to_string(),
        "C" => CHANNELS.choose(random).expect("a channel").to_string(),
        "P" => PATTERNS.choose(random).expect("a pattern").to_string(),
        "@" => format!("@{}", CONNECTIONS.choose(random).expect("a client")),
        other => other.to_owned(),
    });
    words.collect()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn random_commands_reach_the_same_clients_in_the_same_order() {
    play(0);
}

#[test]
fn more_random_commands_reach_the_same_clients_in_the_same_order() {
    play(1);
}

/// Plays one half of the steps, with seeds of its own.
fn play(half: u64) {
    let steps = number("VERBENA_PUSH_STEPS", 50_000) as usize / 2;
    let first_seed = number("VERBENA_PUSH_SEED", 1) + half * steps.div_ceil(ROUND) as u64;
    let mut stage = Stage::new(&[]);
    let mut arrived = BTreeSet::new();
    for (seed, _) in (first_seed..).zip((0..steps).step_by(ROUND)) {
        let mut random = StdRng::seed_from_u64(seed);
        stage.clear();
        let mut played = Vec::new();
        // All are there from the beginning, so that ids can be named.
        for name in CONNECTIONS {
            stage.step(*name, &["PING"]).expect("both answer");
        }
        let mut queueing = BTreeSet::new();
        for _ in 0..ROUND {
            let actor = *CONNECTIONS.choose(&mut random).expect("a connection");
            let command = command(&mut random);
            // What a transaction has changed before it subscribes its client to something, turns tracking on
            // or off, or changes the protocol, may be told otherwise: see docs/COMPATIBILITY.md.
            let changes_form = command[0] == "HELLO"
                || command[0].ends_with("SUBSCRIBE")
                || command.join(" ").starts_with("CLIENT TRACKING O");
            if changes_form && queueing.contains(&actor) {
                continue;
            }
            match command[0].as_str() {
                "MULTI" => drop(queueing.insert(actor)),
                "EXEC" | "DISCARD" | "RESET" => drop(queueing.remove(&actor)),
                _ => {}
            }
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            played.push(format!("{actor} {}", words.join(" ")));
            match stage.step(actor, &words) {
                Ok(all) => arrived.extend(all.into_values().flatten().map(|value| kind(&value))),
                Err([theirs, ours]) => panic!(
                    "seed {seed}, step {}: {}\nValkey: {theirs:#?}\nours: {ours:#?}\nafter:\n{}",
                    played.len(),
                    played[played.len() - 1],
                    played[played.len().saturating_sub(100)..].join("\n")
                ),
            }
        }
    }
    for kind in ["message", "pmessage", "smessage", "invalidate"] {
        assert!(steps < 5000 || arrived.contains(kind), "no {kind} was compared");
    }
}

/// The first word of a message.
fn kind(value: &str) -> String {
    value.split('"').nth(1).unwrap_or_default().to_owned()
}
