//! Every byte arrives, in both directions, in whatever pieces it travels.

use std::io::{Read, Write};
use std::time::Duration;

use crate::common::Value;
use crate::peer::Stage;

fn noise(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(len as u64);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

#[test]
fn long_values_go_both_ways() {
    let stage = Stage::new(&["--tls-auth-clients", "no"]);
    let mut client = stage.connect();
    for len in [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 70_000, 1 << 20, 10 << 20] {
        let value = noise(len);
        assert!(client.command(&[b"SET", b"key", &value[..]]).is("OK"));
        assert!(client.command(&["GET", "key"]).bytes() == value, "{len}");
        assert!(stage.plain().command(&["GET", "key"]).bytes() == value, "{len}");
    }
}

#[test]
fn pipelines_are_answered_in_order() {
    let stage = Stage::new(&[]);
    let mut client = stage.connect();
    let count = 20_000;
    let mut requests = Vec::new();
    for number in 0..count {
        requests.extend_from_slice(format!("*2\r\n$4\r\nECHO\r\n$5\r\n{number:05}\r\n").as_bytes());
    }
    for piece in requests.chunks(60_000) {
        client.write(piece);
    }
    for number in 0..count {
        assert_eq!(client.read(), Value::Bulk(format!("{number:05}").into_bytes()));
    }
}

#[test]
fn requests_may_come_in_records_of_a_byte_each() {
    let stage = Stage::new(&[]);
    let mut peer = stage.peer();
    let mut records = Vec::new();
    for byte in b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\nGET key\r\n" {
        // Some of them are empty.
        peer.0.conn.writer().write_all(&[]).unwrap();
        peer.0.conn.writer().write_all(&[*byte]).unwrap();
        peer.0.conn.write_tls(&mut records).unwrap();
    }
    for piece in records.chunks(7) {
        peer.0.sock.write_all(piece).unwrap();
    }
    assert_eq!(peer.read_line().unwrap(), "+OK");
    assert_eq!([peer.read_line().unwrap(), peer.read_line().unwrap()], ["$5", "value"]);
}

#[test]
fn messages_reach_subscribers_that_are_silent() {
    let stage = Stage::new(&["--io-threads", "2"]);
    let mut subscribers: Vec<_> = (0..4).map(|_| stage.connect()).collect();
    for subscriber in &mut subscribers {
        subscriber.run("SUBSCRIBE news");
    }
    let mut publisher = stage.connect();
    let long = noise(200_000);
    for number in 0..200 {
        let message = if number % 50 == 0 { &long[..] } else { b"short" };
        assert_eq!(publisher.command(&[&b"PUBLISH"[..], b"news", message]).integer(), 4);
    }
    for subscriber in &mut subscribers {
        for number in 0..200 {
            let message = subscriber.read();
            let expected = if number % 50 == 0 { &long[..] } else { b"short" };
            assert!(message.elements()[2].bytes() == expected, "{number}");
        }
    }
}

#[test]
fn blocked_clients_are_served() {
    let stage = Stage::new(&[]);
    let (mut waiting, mut other) = (stage.connect(), stage.connect());
    let id = waiting.run("CLIENT ID").integer();
    waiting.send(&["BLPOP", "list", "0"]);
    other.wait_until_blocked(id);
    other.run("RPUSH list a");
    assert_eq!(waiting.read().elements()[1].bytes(), b"a");
}

/// Records of the protocol itself are no requests, and yet cost the worker time.
#[test]
fn a_client_that_changes_its_keys_without_end_is_ended() {
    let stage = Stage::new(&["--io-threads", "1"]);
    let mut other = stage.connect();
    let mut peer = stage.peer();
    let mut records = Vec::new();
    for _ in 0..1000 {
        peer.0.conn.refresh_traffic_keys().unwrap();
        peer.0.conn.write_tls(&mut records).unwrap();
    }
    // The server may end the connection before it has read them all.
    let _ = peer.0.sock.write_all(&records);
    assert!(peer.read_line().is_err());
    assert!(other.run("PING").is("PONG"));
}

#[test]
fn a_client_that_does_not_read_costs_itself_alone() {
    let stage = Stage::new(&["--client-output-buffer-limit", "normal 20mb 0 0"]);
    let mut lazy = stage.peer();
    let mut other = stage.connect();
    other.command(&[&b"SET"[..], b"long", &noise(1 << 20)]);
    for _ in 0..64 {
        if lazy.write_all(b"GET long\r\n").and_then(|()| lazy.flush()).is_err() {
            break;
        }
    }
    stage.server.wait_for_log("overcoming of output buffer limits");
    assert!(other.run("PING").is("PONG"));
    let mut rest = Vec::new();
    lazy.0.sock.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The stream is cut off in the middle of a reply, and the client can tell.
    assert!(lazy.read_to_end(&mut rest).is_err());
}

#[test]
fn bytes_are_counted_as_the_client_sees_them() {
    let stage = Stage::new(&[]);
    let mut client = stage.connect();
    client.run("PING");
    let line = client.run("CLIENT INFO").text();
    // "*1\r\n$4\r\nPING\r\n" and "*2\r\n$6\r\nCLIENT\r\n$4\r\nINFO\r\n"; "+PONG\r\n".
    assert!(line.contains(" tot-net-in=40 tot-net-out=7 "), "{line}");
}
