//! One keyspace, served over TCP and over RDMA at the same time: needs an RDMA device, real or in software.
#![cfg(feature = "rdma")]

mod common;

use std::process::Command;
use std::rc::Rc;

use bytes::Bytes;
use common::rdma::{Held, SMALL, block_on, connect, device_ip, pattern, start, target};
use common::{Server, Value as Reply};
use verbena::tools::client::{Client, Value, encode};
use verbena_transport::RdmaClientOptions;

/// Runs one command, written with spaces between its arguments.
async fn run(client: &mut Client, words: &str) -> Value {
    client.call(&words.split(' ').collect::<Vec<_>>()).await.unwrap()
}

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

fn bulk(bytes: &[u8]) -> Value {
    Value::Bulk(bytes.to_vec())
}

/// Compares two byte strings, without showing megabytes of them.
fn assert_same(got: &[u8], expected: &[u8], what: &str) {
    let differ = got.iter().zip(expected).position(|(a, b)| a != b);
    assert!(
        got.len() == expected.len() && differ.is_none(),
        "{what}: {} bytes where {} are due, the first difference at {differ:?}",
        got.len(),
        expected.len()
    );
}

fn redis_cli(server: &Server, args: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &server.port().to_string()])
        .args(args)
        .output()
        .expect("redis-cli is installed (Debian's redis-tools)");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn redis_cli_over_tcp_and_an_rdma_client_share_their_keys() {
    let server = start(&[]);
    block_on(async {
        let mut rdma = connect(&server, &RdmaClientOptions::default()).await;
        assert_eq!(redis_cli(&server, &["SET", "from-tcp", "hello"]), "OK");
        assert_eq!(run(&mut rdma, "GET from-tcp").await, bulk(b"hello"));
        assert_eq!(run(&mut rdma, "SET from-rdma world").await, ok());
        assert_eq!(redis_cli(&server, &["GET", "from-rdma"]), "world");
        assert_eq!(run(&mut rdma, "APPEND from-tcp !").await, Value::Integer(6));
        assert_eq!(redis_cli(&server, &["GET", "from-tcp"]), "hello!");
        assert_eq!(run(&mut rdma, "GET nothing").await, Value::Null);
        let wrong = run(&mut rdma, "GET").await.as_error().unwrap();
        assert_eq!(wrong, "ERR wrong number of arguments for 'get' command");
        // Errors and databases are the connection's own.
        assert_eq!(run(&mut rdma, "SELECT 5").await, ok());
        assert_eq!(run(&mut rdma, "GET from-tcp").await, Value::Null);
        assert_eq!(run(&mut rdma, "SELECT 0").await, ok());
        assert_eq!(redis_cli(&server, &["DBSIZE"]), "2");
    });
}

#[test]
fn protected_mode_turns_a_client_from_elsewhere_away_in_words() {
    // The device's address is not the loopback one.
    let server = Server::start_with_rdma(device_ip(), &[]);
    block_on(async {
        let mut client = connect(&server, &SMALL).await;
        let denied = client.receive().await.unwrap().as_error().unwrap();
        assert!(denied.starts_with("DENIED Running in protected mode"), "{denied}");
        client.receive().await.expect_err("the connection is closed");
    });
}

/// Clients of both kinds count together and pass values to each other.
fn both_at_once(io_threads: &str, poll_us: i64, rounds: u64) {
    const CLIENTS: u64 = 4;
    let server = start(&["--io-threads", io_threads, "--rdma-poll-us", &poll_us.to_string()]);
    let value = |seed: u64| {
        let mut value = seed.to_le_bytes().to_vec();
        value.extend(pattern(seed, (seed % 5000) as usize));
        value
    };
    let check = |value: &[u8]| {
        let seed = u64::from_le_bytes(value[..8].try_into().unwrap());
        assert_same(&value[8..], &pattern(seed, (seed % 5000) as usize), "a value of two writers");
    };
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                for round in 0..rounds {
                    let shared = format!("shared:{}", round % 8);
                    client.command(&["INCR", "counter"]);
                    assert!(
                        client
                            .command(&[b"SET", shared.as_bytes(), &value(number * rounds + round)])
                            .is("OK")
                    );
                    let Reply::Bulk(got) = client.command(&["GET", &shared]) else { panic!() };
                    check(&got);
                    client.command(&["INCRBY", &format!("own:{number}"), "2"]);
                }
            });
        }
        block_on(async {
            let tasks: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let options = RdmaClientOptions { poll_us, ..SMALL };
                    let target = target(&server, &options);
                    tokio::task::spawn_local(async move {
                        let mut client = Client::connect(&target).await.unwrap();
                        for round in 0..rounds {
                            let seed = (CLIENTS + number) * rounds + round;
                            let shared = format!("shared:{}", round % 8);
                            client.send(&["INCR", "counter"]);
                            client.send(&[b"SET", shared.as_bytes(), &value(seed)]);
                            client.send(&["GET", &shared]);
                            client.send(&["INCRBY", &format!("own:{number}"), "3"]);
                            client.flush().await.unwrap();
                            let counted = client.receive().await.unwrap();
                            assert!(matches!(counted, Value::Integer(_)), "{counted:?}");
                            assert_eq!(client.receive().await.unwrap(), ok());
                            check(client.receive().await.unwrap().as_bytes().unwrap());
                            client.receive().await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
    let mut client = server.connect();
    assert_eq!(client.run("GET counter").text(), (2 * CLIENTS * rounds).to_string());
    for number in 0..CLIENTS {
        assert_eq!(client.run(&format!("GET own:{number}")).text(), (5 * rounds).to_string());
    }
}

#[test]
fn both_kinds_of_clients_at_once_on_one_worker() {
    both_at_once("1", 0, 400);
    both_at_once("1", -1, 400);
}

#[test]
fn both_kinds_of_clients_at_once_on_two_workers() {
    both_at_once("2", 0, 400);
    both_at_once("2", 50, 200);
    // Two workers and a client that spin, on as few as two processors.
    both_at_once("2", -1, 100);
}

#[test]
fn both_kinds_of_clients_at_once_on_four_workers() {
    both_at_once("4", 0, 400);
    both_at_once("4", -1, 50);
}

#[test]
fn values_from_nothing_to_64_mib_pass_through_64_kib_buffers() {
    let server = start(&["--rdma-rx-size", "65536"]);
    let edges = [64, 512, 4096, 65_536, 131_072, 262_144, 1 << 20];
    let mut sizes = vec![0, 1, 2];
    sizes.extend(edges.iter().flat_map(|edge| edge - 40..=edge + 1).step_by(3));
    sizes.extend([5_000_000, 64 << 20]);
    block_on(async {
        let mut client = connect(&server, &SMALL).await;
        for (seed, &size) in sizes.iter().enumerate() {
            let value = pattern(seed as u64, size);
            let set = client.call(&[b"SET", &b"value"[..], &value]).await.unwrap();
            assert_eq!(set, ok(), "{size} bytes");
            let got = client.call(&["GET", "value"]).await.unwrap();
            assert_same(got.as_bytes().unwrap(), &value, "over RDMA");
        }
    });
    // TCP reads the values that RDMA wrote.
    let last = sizes.len() - 1;
    let Reply::Bulk(got) = server.connect().command(&["GET", "value"]) else { panic!() };
    assert_same(&got, &pattern(last as u64, sizes[last]), "over TCP");
}

#[test]
fn a_value_written_over_tcp_is_read_by_many_over_rdma_at_once() {
    let server = start(&["--rdma-rx-size", "65536", "--io-threads", "2"]);
    let value = Rc::new(pattern(9, 3_000_000));
    assert!(server.connect().command(&[b"SET", &b"value"[..], &value]).is("OK"));
    block_on(async {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (target, value) = (target(&server, &SMALL), value.clone());
                tokio::task::spawn_local(async move {
                    let mut client = Client::connect(&target).await.unwrap();
                    let got = client.call(&["GET", "value"]).await.unwrap();
                    assert_same(got.as_bytes().unwrap(), &value, "over RDMA");
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn ten_thousand_commands_in_one_pipeline_are_answered_in_order() {
    const DEPTH: usize = 10_000;
    for rx_size in [64 << 10, 1 << 20] {
        let server = start(&["--rdma-rx-size", &rx_size.to_string()]);
        let options = RdmaClientOptions { rx_size, poll_us: 0 };
        block_on(async {
            let mut client = connect(&server, &options).await;
            for i in 0..DEPTH {
                match i % 4 {
                    0 => client.send(&["SET", "key", &i.to_string()]),
                    1 => client.send(&["GET", "key"]),
                    2 => client.send(&["ECHO", &"x".repeat(i % 700)]),
                    _ => client.send(&["NO-SUCH-COMMAND"]),
                }
            }
            // All of it is sent before anything is read: the replies wait in the server.
            client.flush().await.unwrap();
            for i in 0..DEPTH {
                let reply = client.receive().await.unwrap();
                match i % 4 {
                    0 => assert_eq!(reply, ok()),
                    1 => assert_eq!(reply, bulk((i - 1).to_string().as_bytes())),
                    2 => assert_eq!(reply, bulk("x".repeat(i % 700).as_bytes())),
                    _ => assert!(reply.as_error().unwrap().starts_with("ERR unknown command")),
                }
            }
        });
    }
}

#[test]
fn a_pipeline_and_its_replies_move_both_ways_at_once() {
    // More than all buffers on the path hold, in both directions.
    const COUNT: usize = 300;
    let server = start(&["--rdma-rx-size", "65536"]);
    let text = Bytes::from(pattern(3, 100_000));
    block_on(async {
        let mut client = connect(&server, &SMALL).await;
        let mut request = Vec::new();
        encode(&[&b"ECHO"[..], &text], &mut request);
        let request = Bytes::from(request);
        for _ in 0..COUNT {
            client.send_encoded(request.clone());
        }
        for _ in 0..COUNT {
            let reply = client.receive().await.unwrap();
            assert_same(reply.as_bytes().unwrap(), &text, "an echo");
        }
    });
}

#[test]
fn two_hundred_connections_at_once_give_everything_back() {
    const CONNECTIONS: usize = 200;
    let server = start(&["--rdma-rx-size", "65536", "--io-threads", "2"]);
    block_on(async {
        // The completion queues stay for the connections to come.
        for _ in 0..2 {
            drop(work_of_many(&server, CONNECTIONS).await);
            Held::await_none(&server).await;
        }
        let before = Held::by(server.pid());
        let clients = work_of_many(&server, CONNECTIONS).await;
        let during = Held::by(server.pid());
        assert_eq!(during.queue_pairs, CONNECTIONS);
        assert_eq!(during.manager_ids, before.manager_ids + CONNECTIONS);
        assert!(during.registered >= (CONNECTIONS * SMALL.rx_size) as u64, "{during:?}");
        drop(clients);
        before.await_return(&server).await;
    });
    assert!(server.connect().run("PING").is("PONG"));
}

/// So many connections, all of which are open at once and work.
async fn work_of_many(server: &Server, connections: usize) -> Vec<Client> {
    let tasks: Vec<_> = (0..connections)
        .map(|i| {
            let target = target(server, &SMALL);
            tokio::task::spawn_local(async move {
                let mut client = Client::connect(&target).await.unwrap();
                let (key, value) = (format!("key:{i}"), pattern(i as u64, 37 * i));
                for _ in 0..3 {
                    client.call(&[b"SET", key.as_bytes(), &value]).await.unwrap();
                    let got = client.call(&["GET", &key]).await.unwrap();
                    assert_same(got.as_bytes().unwrap(), &value, &key);
                }
                client
            })
        })
        .collect();
    let mut clients = Vec::new();
    for task in tasks {
        clients.push(task.await.unwrap());
    }
    clients
}

#[test]
fn thousands_of_connections_one_after_another_leave_nothing_behind() {
    let rounds = std::env::var("VERBENA_TEST_CONNECTS").map_or(2000, |n| n.parse().unwrap());
    let server = start(&["--rdma-rx-size", "65536", "--io-threads", "2"]);
    block_on(async {
        let connects = async |rounds: usize| {
            let tasks: Vec<_> = (0..4)
                .map(|task| {
                    let target = target(&server, &SMALL);
                    tokio::task::spawn_local(async move {
                        for i in (task..rounds).step_by(4) {
                            let mut client = Client::connect(&target).await.unwrap();
                            match i % 3 {
                                // Some disconnect at once, some without waiting for a reply.
                                0 => {}
                                1 => client.send(&["GET", "key"]),
                                _ => assert_eq!(run(&mut client, "SET key 1").await, ok()),
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            Held::await_none(&server).await;
        };
        connects(50).await;
        let before = Held::by(server.pid());
        connects(rounds).await;
        before.await_return(&server).await;
    });
}
