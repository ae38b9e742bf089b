//! Faults that a server and its clients survive: peers that break the protocol, processes that are
//! killed, a restart under load. Needs an RDMA device, real or in software.
#![cfg(feature = "rdma")]

mod common;

use std::cell::Cell;
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::Server;
use common::rdma::{
    Held, PATIENCE, SMALL, address, await_that, block_on, connect, device_ip, start, target,
};
use verbena::tools::client::{Client, Value};
use verbena_transport::rdma::protocol::{Control, Region, WorkRequest};
use verbena_transport::rdma::raw::RawPeer;

/// The number of kills: `few` in an ordinary run, a thousand if that is requested.
fn rounds(few: u64) -> u64 {
    std::env::var("VERBENA_TEST_ROUNDS").map_or(few, |n| n.parse().unwrap())
}

/// A number that is scattered like a random one and is the same in every run.
fn scatter(seed: u64) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33
}

async fn ping(client: &mut Client) {
    assert_eq!(client.call(&["PING"]).await.unwrap(), Value::Simple(b"PONG".to_vec()));
}

/// Sends `message` as a peer that speaks verbs directly; the server must end its connection, say why in
/// one line, give everything back, and go on serving the neighbour.
async fn is_turned_away(server: &Server, neighbour: &mut Client, work: WorkRequest, why: &str) {
    let before = Held::by(server.pid());
    let mut peer = RawPeer::connect(address(server)).await.unwrap();
    peer.post(work).unwrap();
    peer.disconnected().await.unwrap();
    drop(peer);
    before.await_return(server).await;
    let log = server.log();
    let said = log.lines().filter(|line| line.contains(why)).collect::<Vec<_>>();
    assert_eq!(said.len(), 1, "{why:?} in\n{log}");
    assert!(said[0].contains(&format!("Closing the connection of {}", device_ip())), "{said:?}");
    ping(neighbour).await;
}

#[test]
fn peers_that_break_the_protocol_are_turned_away_with_one_line_each() {
    let server = start(&["--rdma-rx-size", "65536"]);
    block_on(async {
        let mut neighbour = connect(&server, &SMALL).await;
        ping(&mut neighbour).await;
        let message = |message| WorkRequest::Control { message, signalled: false };
        let mut unknown = Control::Keepalive.encode();
        unknown[..2].copy_from_slice(&77u16.to_be_bytes());
        let region = Region { addr: 4096, length: 0, rkey: 1 };
        let empty = Control::RegisterXferMemory(region).encode();
        let features = Control::SetClientFeature { select: 0, features: 1 << 40 }.encode();
        for (work, why) in [
            (message(unknown), "a control message of opcode 77"),
            (message(empty), "a transfer buffer of 0 bytes"),
            (message(features), "feature bits that were not offered"),
        ] {
            is_turned_away(&server, &mut neighbour, work, why).await;
        }
    });
    assert!(server.connect().run("PING").is("PONG"));
}

/// A client program that writes without end.
fn writer(server: &Server) -> Child {
    Command::new(env!("CARGO_BIN_EXE_verbena-benchmark"))
        .args(["-h", &device_ip().to_string(), "-p", &server.port().to_string(), "--rdma"])
        .args(["-t", "set", "-d", "20000", "-c", "3", "-P", "8", "-n", "100000000", "-q"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn clients_killed_at_any_time_leave_nothing_behind() {
    let server = start(&["--rdma-rx-size", "65536"]);
    let all = rounds(30);
    (0..all).step_by(50).for_each(|first| kill_clients(&server, first..all.min(first + 50)));
}

fn kill_clients(server: &Server, rounds: Range<u64>) {
    block_on(async {
        let mut neighbour = connect(server, &SMALL).await;
        ping(&mut neighbour).await;
        let before = Held::by(server.pid());
        let writes = async |client: &mut Client| {
            let stats = client.call(&["INFO", "commandstats"]).await.unwrap();
            let stats = String::from_utf8(stats.as_bytes().unwrap().to_vec()).unwrap();
            let calls =
                stats.split_once("cmdstat_set:calls=").map(|(_, rest)| rest.split_once(','));
            calls.flatten().map_or(0, |(calls, _)| calls.parse::<u64>().unwrap())
        };
        for round in rounds {
            let written = writes(&mut neighbour).await;
            let mut writer = writer(server);
            let deadline = Instant::now() + PATIENCE;
            while writes(&mut neighbour).await < written + 5 {
                assert!(Instant::now() < deadline, "the writer does not write");
            }
            tokio::time::sleep(Duration::from_micros(scatter(round) % 20_000)).await;
            writer.kill().unwrap();
            writer.wait().unwrap();
        }
        before.await_return(server).await;
    });
}

/// Resources of this process that RDMA clients could leave behind.
fn own() -> (usize, usize, u64) {
    let held = Held::by(std::process::id());
    (held.queue_pairs, held.memory_regions, held.registered)
}

#[test]
fn clients_of_a_server_killed_at_any_time_get_an_error() {
    // One port for all rounds: each server takes the place of the one that was killed.
    let mut server = start(&["--rdma-rx-size", "65536"]);
    let port = server.port();
    for round in 0..rounds(12) {
        block_on(async {
            let done = Rc::new(Cell::new(0));
            let clients: Vec<_> = (0..3)
                .map(|number| {
                    let (target, done) = (target(&server, &SMALL), done.clone());
                    tokio::task::spawn_local(async move {
                        let mut client = Client::connect(&target).await.unwrap();
                        let value = "v".repeat(7000 * number);
                        let end = loop {
                            for _ in 0..4 {
                                client.send(&["SET", "key", &value]);
                            }
                            let replies = async {
                                client.flush().await?;
                                for _ in 0..4 {
                                    client.receive().await?;
                                }
                                std::io::Result::Ok(())
                            };
                            if let Err(end) = replies.await {
                                break end;
                            }
                            done.set(done.get() + 1);
                        };
                        assert_ne!(end.to_string(), "");
                    })
                })
                .collect();
            await_that("the clients work", || done.get() > 3).await;
            tokio::time::sleep(Duration::from_micros(scatter(round) % 20_000)).await;
            server.kill();
            for client in clients {
                client.await.unwrap();
            }
            await_that("the clients let go of everything", || own() == (0, 0, 0)).await;
        });
        server = Server::start_with_rdma_on(
            device_ip(),
            port,
            &["--protected-mode", "no", "--rdma-rx-size", "65536"],
        )
        .expect("the port is free again");
    }
}

/// Counts with INCR until `stop` is set, connecting anew whenever the connection ends. Returns the
/// number of confirmed increments.
async fn counter(target: verbena_transport::Target, stop: Rc<Cell<bool>>) -> u64 {
    let mut counted = 0;
    while !stop.get() {
        let Ok(mut client) = Client::connect(&target).await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        while !stop.get() {
            match client.call(&["INCR", "counter"]).await {
                Ok(Value::Integer(_)) => counted += 1,
                Ok(other) => panic!("{other:?}"),
                Err(_) => break,
            }
        }
    }
    counted
}

#[test]
fn a_server_restarted_under_load_serves_on() {
    let options = ["--protected-mode", "no", "--rdma-rx-size", "65536", "--io-threads", "2"];
    let mut server = start(&options[2..]);
    let port = server.port();
    block_on(async {
        let stop = Rc::new(Cell::new(false));
        let tcp = || verbena_transport::Target::tcp("127.0.0.1", port);
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let target = if number % 2 == 0 { target(&server, &SMALL) } else { tcp() };
                tokio::task::spawn_local(counter(target, stop.clone()))
            })
            .collect();
        let mut watcher = Client::connect(&tcp()).await.unwrap();
        let mut total = 0;
        for _ in 0..3 {
            let mut count = 0;
            while count < 200 {
                let reply = watcher.call(&["GET", "counter"]).await.unwrap();
                count = reply.as_bytes().map_or(0, |b| String::from_utf8_lossy(b).parse().unwrap());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            total += count;
            // The server is stopped while its clients are connected.
            watcher.send(&["SHUTDOWN", "NOSAVE"]);
            watcher.flush().await.unwrap();
            await_that("the server ends", || server.has_ended()).await;
            server = Server::start_with_rdma_on(device_ip(), port, &options).expect("a free port");
            watcher = Client::connect(&tcp()).await.unwrap();
        }
        stop.set(true);
        let mut counted = 0;
        for client in clients {
            counted += client.await.unwrap();
        }
        // Of each client one reply may be lost with each server.
        assert!(counted + 3 * 4 >= total, "{counted} were told, {total} were counted");
    });
}
