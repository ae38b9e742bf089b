//! Properties of the string commands that the differential tests of replies cannot show: atomicity, and
//! replies that show one moment.

mod common;

use std::thread;

use common::Server;

/// Keys of many shards.
const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

#[test]
fn counters_lose_no_increment_of_many_clients() {
    const CLIENTS: usize = 8;
    const EACH: usize = 2000;
    let server = Server::start(&["--io-threads", "4"]);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let mut client = server.connect();
            scope.spawn(move || {
                for _ in 0..EACH / 100 {
                    client.write(
                        "INCR n\r\nINCRBYFLOAT f 0.25\r\nAPPEND s x\r\n".repeat(100).as_bytes(),
                    );
                    (0..300).for_each(|_| drop(client.read()));
                }
            });
        }
    });
    let mut client = server.connect();
    let total = CLIENTS * EACH;
    assert_eq!(client.run("GET n").text(), total.to_string());
    assert_eq!(client.run("GET f").text(), (total / 4).to_string());
    assert_eq!(client.run("STRLEN s").integer(), total as i64);
}

#[test]
fn many_keys_are_set_and_read_as_one() {
    let server = Server::start(&["--io-threads", "4"]);
    let set = |round: usize| {
        let pairs = KEYS.iter().flat_map(|key| [key.to_string(), round.to_string()]);
        ["MSET".to_owned()].into_iter().chain(pairs).collect::<Vec<_>>()
    };
    server.connect().command(&set(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut writer = server.connect();
            scope.spawn(move || (0..2000).for_each(|round| drop(writer.command(&set(round)))));
            let mut reader = server.connect();
            scope.spawn(move || {
                for _ in 0..2000 {
                    let values = reader.run(&format!("MGET {}", KEYS.join(" ")));
                    let values = values.elements();
                    assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
                }
            });
        }
    });
}

#[test]
fn one_of_many_clients_sets_all_the_missing_keys() {
    let server = Server::start(&["--io-threads", "4"]);
    for round in 0..50 {
        server.connect().run(&format!("DEL {}", KEYS.join(" ")));
        let winners: i64 = thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|number| {
                    let mut client = server.connect();
                    scope.spawn(move || {
                        let value = format!("{round}-{number}");
                        let mut keys = KEYS;
                        keys.rotate_left(number);
                        let pairs = keys.map(|key| format!("{key} {value}")).join(" ");
                        client.run(&format!("MSETNX {pairs}")).integer()
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        assert_eq!(winners, 1, "round {round}");
    }
}

/// A long value's reply refers to the stored one while it is sent. Here the replies are more than the
/// sockets hold, so they are still waiting when the value changes.
#[test]
fn a_reply_shows_the_value_as_it_was() {
    const LEN: usize = 4 << 20;
    let server = Server::start(&["--io-threads", "1"]);
    let mut reader = server.connect();
    let mut writer = server.connect();
    assert!(writer.command(&[&b"SET"[..], b"k", &vec![b'a'; LEN]]).is("OK"));
    reader.write("GET k\r\nGETRANGE k 1 -1\r\n".repeat(8).as_bytes());
    let first = reader.read();
    assert_eq!(writer.run("SETRANGE k 0 b").integer(), LEN as i64);
    assert_eq!(writer.run("APPEND k b").integer(), LEN as i64 + 1);
    assert!(writer.command(&[&b"SET"[..], b"k", &vec![b'c'; LEN]]).is("OK"));
    let expected = "a".repeat(LEN);
    assert!(first.text() == expected);
    for number in 1..16 {
        let reply = reader.read().text();
        assert!(reply == expected[number % 2..], "reply {number}");
    }
    assert_eq!(writer.run("GETRANGE k 0 2").text(), "ccc");
}
