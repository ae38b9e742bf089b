//! Commands on several keys are atomic, whatever shards the keys are in.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Client, Server, Value};

const ROUNDS: usize = 300;
const BATCH: usize = 50;

/// Runs commands in batches, so that two connections' commands meet often.
fn pipeline(client: &mut Client, commands: &[Vec<String>]) -> Vec<Value> {
    commands.iter().for_each(|command| client.send(command));
    commands.iter().map(|_| client.read()).collect()
}

fn words(line: String) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// Runs `check` over and over on a connection of its own until the writers are done.
fn while_writing(
    server: &Server,
    writers: &[&(dyn Fn(Client) + Sync)],
    check: impl Fn(&mut Client) + Sync,
) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            writers.iter().map(|write| scope.spawn(|| write(server.connect()))).collect();
        let checker = scope.spawn(|| {
            let mut client = server.connect();
            let mut checks = 0;
            while !done.load(Ordering::Relaxed) || checks < 10 {
                check(&mut client);
                checks += 1;
            }
        });
        let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        done.store(true, Ordering::Relaxed);
        outcomes.into_iter().for_each(|outcome| outcome.unwrap());
        checker.join().unwrap();
    });
}

#[test]
fn a_renamed_key_is_under_exactly_one_of_its_names() {
    let server = Server::start_mirrored(&["--io-threads", "4"]);
    let mut client = server.connect();
    for token in 0..8 {
        client.run(&format!("SET left:{token} {token}"));
    }
    let rename = |from: &'static str, to: &'static str| {
        move |mut client: Client| {
            for round in 0..ROUNDS * BATCH / 8 {
                let commands: Vec<_> = (0..8)
                    .map(|n| (n + round) % 8)
                    .map(|token| words(format!("RENAME {from}:{token} {to}:{token}")))
                    .collect();
                for reply in pipeline(&mut client, &commands) {
                    assert!(reply.is("OK") || reply.error() == "ERR no such key", "{reply}");
                }
            }
        }
    };
    let (there, back) = (rename("left", "right"), rename("right", "left"));
    while_writing(&server, &[&there, &back], |client| {
        let commands: Vec<_> =
            (0..BATCH).map(|n| words(format!("EXISTS left:{0} right:{0}", n % 8))).collect();
        for reply in pipeline(client, &commands) {
            assert_eq!(reply.integer(), 1);
        }
        assert_eq!(client.run("DBSIZE").integer(), 8);
        assert_eq!(client.run("KEYS *").elements().len(), 8);
    });
    for token in 0..8 {
        let (left, right) =
            (client.run(&format!("GET left:{token}")), client.run(&format!("GET right:{token}")));
        let value = if left == Value::Null { right } else { left };
        assert_eq!(value.text(), token.to_string(), "the value came along");
    }
    server.assert_mirrored();
}

#[test]
fn tokens_survive_every_way_of_moving_them() {
    const TOKENS: usize = 20;
    let server = Server::start_mirrored(&["--io-threads", "4"]);
    let mut client = server.connect();
    for token in 0..TOKENS {
        client.run(&format!("SET token:{token} {token}"));
    }
    // RENAMENX, MOVE and SWAPDB never make or lose a key; COPY … REPLACE and DEL act on others only.
    let shuffle = |seed: usize| {
        move |mut client: Client| {
            let mut state = seed as u64;
            let mut draw = |below: usize| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33) as usize % below
            };
            for _ in 0..ROUNDS {
                let commands: Vec<_> = (0..BATCH)
                    .map(|_| {
                        let (a, b) = (draw(TOKENS), draw(TOKENS));
                        words(match draw(20) {
                            0 => format!("SWAPDB {} {}", draw(3), draw(3)),
                            1 => format!("SELECT {}", draw(3)),
                            2 => format!("COPY token:{a} copy:{b} REPLACE"),
                            3 => format!("DEL copy:{a} copy:{b}"),
                            4..=9 => format!("MOVE token:{a} {}", draw(3)),
                            10..=14 => format!("RENAMENX token:{a} other:{a}"),
                            _ => format!("RENAMENX other:{a} token:{a}"),
                        })
                    })
                    .collect();
                pipeline(&mut client, &commands);
            }
        }
    };
    let writers = [shuffle(1), shuffle(2), shuffle(3), shuffle(4)];
    let writers: Vec<&(dyn Fn(Client) + Sync)> = writers.iter().map(|write| write as _).collect();
    while_writing(&server, &writers, |client| {
        // SCAN and RANDOMKEY are in the way of nothing and harm nothing.
        client.run("SCAN 0 COUNT 100");
        client.run("RANDOMKEY");
    });
    let mut values: Vec<usize> = Vec::new();
    for db in 0..3 {
        client.run(&format!("SELECT {db}"));
        for key in client.run("KEYS *").elements() {
            if !key.text().starts_with("copy:") {
                values.push(client.command(&["GET", &key.text()]).text().parse().unwrap());
            }
        }
    }
    values.sort_unstable();
    assert_eq!(values, (0..TOKENS).collect::<Vec<_>>());
    server.assert_mirrored();
}

#[test]
fn a_deletion_of_several_keys_is_seen_whole() {
    let server = Server::start_mirrored(&["--io-threads", "4"]);
    let names = ["a", "b", "c", "d", "e"];
    let write = |mut client: Client| {
        for _ in 0..ROUNDS {
            let mut commands: Vec<_> =
                names.iter().rev().map(|name| words(format!("SET {name} 1"))).collect();
            commands.push(words(format!("DEL {}", names.join(" "))));
            assert_eq!(pipeline(&mut client, &commands)[5], Value::Integer(5));
        }
    };
    // They are set from the last to the first and deleted together: whoever sees the first sees all.
    while_writing(&server, &[&write], |client| {
        let first = client.run("EXISTS a e e e e").integer();
        assert!([0, 4, 5].contains(&first), "the first without the last: {first}");
    });
    server.assert_mirrored();
}
