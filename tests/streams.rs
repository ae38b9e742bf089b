//! Properties of streams that the differential tests of replies cannot show.

mod common;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Ending, Server, Value};

/// Setup before a client waits. Both streams have one entry, and a group to which it was delivered.
const SETUP: &[&str] =
    &["FLUSHALL", "XADD s 1-1 a b", "XGROUP CREATE s g $", "XADD t 5-1 a b", "XGROUP CREATE t g 0"];

/// A command that waits, and the commands of other clients meanwhile.
const WAITS: &[(&str, &[&str])] = &[
    ("XREAD BLOCK 0 STREAMS s $", &["XADD s 2-1 a b", "XADD s 3-1 a b"]),
    ("XREAD BLOCK 0 STREAMS nothing +", &["XADD nothing 1-1 a b"]),
    ("XREAD BLOCK 0 STREAMS nothing $", &["XADD nothing 1-1 a b"]),
    ("XREAD BLOCK 0 STREAMS nothing s $ $", &["XADD s 2-1 a b"]),
    ("XREAD BLOCK 0 STREAMS s s 1-1 3-1", &["XADD s 5-1 a b"]),
    ("XREAD BLOCK 0 STREAMS s s 7-1 3-1", &["XADD s 5-1 a b"]),
    (
        "XREAD BLOCK 0 STREAMS s $",
        &["GET x", "XGROUP CREATE s h 0", "XSETID s 9", "XADD t 9-1 a b"],
    ),
    ("XREAD BLOCK 0 STREAMS s $", &["DEL s", "XADD s 1-1 a b", "XADD s 3-1 a b"]),
    ("XREAD BLOCK 0 STREAMS s $", &["SET s x", "DEL s", "XADD s 3-1 a b"]),
    ("XREAD BLOCK 0 STREAMS s $", &["RENAME t s"]),
    ("XREAD BLOCK 0 COUNT 1 STREAMS s 1-1", &["XADD s MAXLEN 0 5-1 a b", "XADD s 6-1 a b"]),
    ("XREAD BLOCK 20 STREAMS s $", &[]),
    ("XREADGROUP GROUP g c BLOCK 20 STREAMS s >", &[]),
    ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", &["XADD s 2-1 a b", "XPENDING s g"]),
    ("XREADGROUP GROUP g c BLOCK 0 NOACK STREAMS s >", &["XADD s 2-1 a b", "XPENDING s g"]),
    ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", &["XGROUP SETID s g 0"]),
    ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", &["XGROUP SETID s g 0", "XADD s 5-1 a b"]),
    (
        "XREADGROUP GROUP g c BLOCK 0 STREAMS s >",
        &["XGROUP DELCONSUMER s g c", "XADD s 5-1 a b", "XPENDING s g"],
    ),
    ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", &["XGROUP DESTROY s g"]),
    ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", &["DEL s"]),
    ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", &["SET s x"]),
    ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", &["RENAME t s"]),
    ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", &["RENAME s u"]),
    ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", &["FLUSHALL"]),
    // No client accesses the key when it has expired.
    ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", &["PEXPIRE s 20", "BLPOP nothing 0.5"]),
    ("XREAD BLOCK 0 STREAMS s $", &["PEXPIRE s 20", "BLPOP nothing 0.5", "XADD s 3-1 a b"]),
    (
        "XREADGROUP GROUP g c BLOCK 0 STREAMS s >",
        &[
            "CONFIG SET maxmemory-policy allkeys-random maxmemory 1",
            "SET x y",
            "CONFIG SET maxmemory-policy noeviction maxmemory 0",
        ],
    ),
    ("XREADGROUP GROUP g c BLOCK 0 STREAMS s 0", &[]),
];

/// The replies to all clients, the waiting client last.
fn outcome(server: &Server, protocol: &str, wait: &str, then: &[&str]) -> Vec<Value> {
    let ending = match wait {
        wait if wait.contains("BLOCK 20 ") => Ending::Timeout,
        wait if wait.ends_with(" 0") => Ending::AtOnce,
        _ => Ending::Others,
    };
    common::outcome_of_waiting(server, protocol, SETUP, wait, ending, then)
}

#[test]
fn blocked_readers_get_valkeys_replies_when_their_group_or_key_changes() {
    let (ours, oracle) = (Server::start_mirrored(&[]), Server::oracle(&[]));
    for (wait, then) in WAITS {
        for protocol in ["2", "3"] {
            let expected = outcome(&oracle, protocol, wait, then);
            assert_eq!(outcome(&ours, protocol, wait, then), expected, "{wait}; {then:?}");
        }
        ours.assert_mirrored();
    }
}

/// The error that ends a wait is one of the command that waited.
#[test]
fn an_error_that_ends_a_wait_counts_as_a_failed_call() {
    for server in [Server::oracle(&[]), Server::start(&[])] {
        let (mut control, mut reader) = (server.connect(), server.connect());
        let id = reader.run("CLIENT ID").integer();
        control.run("XGROUP CREATE s g $ MKSTREAM");
        reader.send(&["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">"]);
        control.wait_until_blocked(id);
        assert_eq!(control.run("XGROUP DESTROY s g"), Value::Integer(1));
        assert!(reader.read().error().starts_with("NOGROUP "));
        let stats = control.run("INFO commandstats").text();
        let line = stats.lines().find(|line| line.starts_with("cmdstat_xreadgroup:")).unwrap();
        assert!(line.contains(":calls=1,") && line.ends_with(",failed_calls=1"), "{line}");
    }
}

#[test]
fn added_entries_go_to_one_consumer_in_the_order_of_arrival() {
    let server = Server::start_mirrored(&["--io-threads", "2"]);
    let mut client = server.connect();
    client.run("XGROUP CREATE s g $ MKSTREAM");
    let mut consumers = Vec::new();
    for name in ["first", "second", "third"] {
        let mut consumer = server.connect();
        let id = consumer.run("CLIENT ID").integer();
        let words = ["XREADGROUP", "GROUP", "g", name, "BLOCK", "0", "STREAMS", "s", ">"];
        consumer.send(&words);
        client.wait_until_blocked(id);
        consumers.push(consumer);
    }
    for (number, mut consumer) in consumers.into_iter().enumerate() {
        client.run(&format!("XADD s {number}-1 a b"));
        let reply = consumer.read();
        let entry = &reply.elements()[0].elements()[1].elements()[0];
        assert_eq!(entry.elements()[0].text(), format!("{number}-1"));
    }
    server.assert_mirrored();
}

#[test]
fn ids_of_the_clock_ascend() {
    let server = Server::start_mirrored(&[]);
    let mut client = server.connect();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let before = now();
    let ids = (0..100).map(|_| {
        let text = client.run("XADD s * a b").text();
        let (ms, seq) = text.split_once('-').unwrap();
        (ms.parse::<u64>().unwrap(), seq.parse::<u64>().unwrap())
    });
    let ids = ids.collect::<Vec<_>>();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert!(before <= ids[0].0 && ids[99].0 <= now());
    client.run("XADD s 9999999999999-5 a b");
    assert_eq!(client.run("XADD s * a b").text(), "9999999999999-6");
    server.assert_mirrored();
}

#[test]
fn a_large_stream_is_freed_in_the_background() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for n in 1..=20_000 {
        client.send(&["XADD", "s", &format!("{n}-1"), "field", "some text"]);
    }
    (0..20_000).for_each(|_| drop(client.read()));
    assert_eq!(client.run("XLEN s").integer(), 20_000);
    assert_eq!(client.run("DEL s").integer(), 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !client.run("INFO memory").text().contains("lazyfreed_objects:1") {
        assert!(Instant::now() < deadline, "never freed");
    }
}
