//! The journal says all that happens to the data: its replay into an empty server makes the same data, whatever
//! the changes come from, and however many threads make them.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Server};

/// How long expiry and eviction may take.
const PATIENCE: Duration = Duration::from_secs(60);

const CLIENTS: usize = 4;

fn info(client: &mut Client, name: &str) -> u64 {
    let text = client.run("INFO").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no number {name}"))
}

/// Sends the commands in one write, and reads their replies, whatever these are.
fn pipeline(client: &mut Client, commands: &[String]) {
    let text: String = commands.iter().map(|command| format!("{command}\r\n")).collect();
    client.write(text.as_bytes());
    commands.iter().for_each(|_| drop(client.read()));
}

/// Has several clients run batches of commands at the same time; `command` makes one of a client's number,
/// the batch's, and random numbers.
fn stress(
    server: &Server,
    batches: usize,
    command: impl Fn(usize, usize, &mut dyn FnMut(usize) -> usize) -> Vec<String> + Sync,
) {
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (mut client, command) = (server.connect(), &command);
            scope.spawn(move || {
                let mut state = number as u64 + 1;
                let mut draw = |below: usize| {
                    state =
                        state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 33) as usize % below
                };
                for batch in 0..batches {
                    pipeline(&mut client, &command(number, batch, &mut draw));
                }
            });
        }
    });
}

#[test]
fn a_change_that_is_not_journaled_is_noticed() {
    let server = Server::start_mirrored(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    client.run("SET a b");
    server.assert_mirrored();
    // No replica is told of these, in Valkey either.
    client.run("DEBUG POPULATE 1 x");
    let comparison = server.compare_with_journal().expect("a copy");
    assert!(comparison.differences[0].starts_with("missing: a string"), "{comparison:?}");
    assert_eq!((comparison.keys, comparison.differences.len()), (2, 1));
    client.run("FLUSHALL");
    client.run("SET a b");
    server.assert_mirrored();
}

#[test]
fn what_was_evicted_is_gone_from_the_copy() {
    for policy in ["allkeys-lru", "volatile-ttl", "allkeys-random"] {
        let server = Server::start_mirrored(&["--io-threads", "3"]);
        let mut control = server.connect();
        // The copy is in the same process, so it takes its part of the memory.
        let limit = info(&mut control, "used_memory") + (8 << 20);
        control.run(&format!("CONFIG SET maxmemory-policy {policy} maxmemory {limit}"));
        stress(&server, 40, |client, batch, draw| {
            let set = |n: usize| match n % 3 {
                0 => format!("SET {client}:{batch}:{n} {} EX 1000", "x".repeat(draw(1500))),
                1 => format!("HSET h{} f{} {}", draw(50), draw(50), draw(1000)),
                _ => format!("EXPIRE h{} {}", draw(50), 500 + draw(1000)),
            };
            (0..500).map(set).collect()
        });
        assert!(info(&mut control, "evicted_keys") > 1000, "{policy}");
        server.assert_mirrored();
    }
}

#[test]
fn what_has_expired_is_removed_when_the_journal_says_so() {
    let server = Server::start_mirrored(&["--io-threads", "3", "--hz", "100"]);
    let mut control = server.connect();
    stress(&server, 20, |client, batch, draw| {
        let change = |n: usize| match n % 6 {
            0 => format!("SET {client}:{batch}:{n} {n} PX {}", 1 + draw(30)),
            1 => format!("HSET h{} f{} x g{} y", draw(30), draw(9), draw(9)),
            2 => format!("HPEXPIRE h{} {} FIELDS 1 f{}", draw(30), 1 + draw(30), draw(9)),
            3 => format!("PEXPIRE h{} {}", draw(30), 1 + draw(300)),
            4 => format!("INCR {client}:{batch}:{}", draw(n + 1)),
            _ => format!("GET {client}:{batch}:{}", draw(n + 1)),
        };
        (0..300).map(change).collect()
    });
    let deadline = Instant::now() + PATIENCE;
    while info(&mut control, "expired_keys") < 1000 || info(&mut control, "expired_fields") < 10 {
        assert!(Instant::now() < deadline, "nothing expires");
    }
    server.assert_mirrored();
}

/// Commands on a key of each type, with random numbers.
fn any_change(draw: &mut dyn FnMut(usize) -> usize) -> String {
    let (k, o, n) = (draw(8), draw(8), draw(20));
    match draw(24) {
        0 => format!("INCRBY n{k} {n}"),
        1 => format!("INCRBYFLOAT n{k} {n}.25"),
        2 => format!("APPEND s{k} {n}"),
        3 => format!("SETEX s{k} 1000 {n}"),
        4 => format!("GETDEL s{k}"),
        5 => format!("RPUSH l{k} {n} {o}"),
        6 => format!("LPOP l{k} {}", draw(4)),
        7 => format!("LMOVE l{k} l{o} LEFT RIGHT"),
        8 => format!("SADD t{k} {n} {o} x{n}"),
        9 => format!("SPOP t{k} {}", 1 + draw(3)),
        10 => format!("SMOVE t{k} t{o} {n}"),
        11 => format!("SDIFFSTORE t{o} t{k} t{}", draw(8)),
        12 => format!("ZINCRBY z{k} {n}.5 m{o}"),
        13 => format!("ZPOPMIN z{k} {}", draw(3)),
        14 => format!("ZUNIONSTORE z{o} 2 z{k} z{}", draw(8)),
        15 => format!("HINCRBYFLOAT h{k} f{n} 0.5"),
        16 => format!("HEXPIRE h{k} {} FIELDS 1 f{n}", 100 + n),
        17 => format!("XADD x{k} * f {n}"),
        18 => format!("XTRIM x{k} MAXLEN ~ {n}"),
        19 => format!("XGROUP CREATE x{k} g 0 MKSTREAM"),
        20 => format!("XREADGROUP GROUP g c{} COUNT 3 STREAMS x{k} >", draw(2)),
        21 => format!("RENAME s{k} s{o}"),
        22 => format!("MSET s{k} {n} s{o} {n}"),
        _ => format!("DEL s{k} l{o} z{k} t{o}"),
    }
}

#[test]
fn transactions_of_many_clients_are_repeated_whole_and_in_their_order() {
    let server = Server::start_mirrored(&["--io-threads", "4"]);
    stress(&server, 150, |_, batch, draw| {
        let mut commands = Vec::new();
        for _ in 0..20 {
            let queued = (0..1 + draw(5)).map(|_| any_change(draw)).collect::<Vec<_>>();
            if draw(3) == 0 {
                commands.extend(queued);
                continue;
            }
            commands.push("MULTI".into());
            commands.extend(queued);
            commands.push(if draw(20) == 0 { "DISCARD" } else { "EXEC" }.into());
        }
        if batch % 10 == 0 {
            commands.push(format!("SWAPDB {} {}", draw(2), draw(2)));
            commands.push(format!("SELECT {}", draw(2)));
        }
        commands
    });
    server.assert_mirrored();
}
