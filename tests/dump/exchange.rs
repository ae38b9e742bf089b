//! Values of every type and encoding move between this server and the oracle.

use crate::common::{Client, Server};
use crate::content::{content, encoding};
use crate::samples::{self, KEY};

fn dump(client: &mut Client) -> Vec<u8> {
    client.command(&[&b"DUMP"[..], KEY]).bytes().to_vec()
}

fn restore(client: &mut Client, payload: &[u8], what: &str) {
    let reply = client.command(&[&b"RESTORE"[..], KEY, b"0", payload, b"REPLACE"]);
    assert!(reply.is("OK"), "{what}: {reply}");
}

/// Makes every sample on one server and moves it to the other. Where that restores it as well, both
/// keep it the same way.
fn move_all(from: &mut Client, to: &mut Client) {
    for sample in samples::all() {
        sample.make(from);
        let original = content(from, KEY);
        let payload = dump(from);
        for client in [&mut *from, &mut *to] {
            restore(client, &payload, &sample.name);
            assert_eq!(content(client, KEY), original, "{}", sample.name);
        }
        assert_eq!(encoding(to, KEY), encoding(from, KEY), "{}", sample.name);
    }
}

#[test]
fn what_valkey_dumps_is_restored_here() {
    let (server, oracle) = (Server::start(&[]), Server::oracle(&[]));
    move_all(&mut oracle.connect(), &mut server.connect());
}

#[test]
fn what_is_dumped_here_is_restored_by_valkey() {
    let (server, oracle) = (Server::start(&[]), Server::oracle(&[]));
    move_all(&mut server.connect(), &mut oracle.connect());
}

#[test]
fn without_compression_the_dumps_of_both_are_the_same() {
    let options = ["--rdbcompression", "no"];
    let (server, oracle) = (Server::start(&options), Server::oracle(&options));
    let (mut ours, mut theirs) = (server.connect(), oracle.connect());
    for sample in samples::all().iter().filter(|sample| sample.is_fixed) {
        sample.make(&mut ours);
        sample.make(&mut theirs);
        assert_eq!(dump(&mut ours), dump(&mut theirs), "{}", sample.name);
    }
}

#[test]
fn the_serialized_length_is_the_length_of_the_dump() {
    /// The type before the value, and version and checksum behind it.
    const ENVELOPE: usize = 1 + 2 + 8;
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    for sample in samples::all() {
        sample.make(&mut client);
        let about = client.command(&[&b"DEBUG"[..], b"OBJECT", KEY]).text();
        let length = format!(" serializedlength:{} ", dump(&mut client).len() - ENVELOPE);
        assert!(about.contains(&length), "{}: {about}, not {length}", sample.name);
    }
}

/// What is dumped, restored and dumped again has not changed, whatever this server knows of it.
#[test]
fn a_restored_value_is_dumped_as_it_came() {
    let options = ["--rdbcompression", "no"];
    let (server, oracle) = (Server::start(&options), Server::oracle(&options));
    let (mut ours, mut theirs) = (server.connect(), oracle.connect());
    for sample in samples::all().iter().filter(|sample| sample.is_fixed) {
        sample.make(&mut theirs);
        let payload = dump(&mut theirs);
        restore(&mut ours, &payload, &sample.name);
        assert_eq!(dump(&mut ours), payload, "{}", sample.name);
    }
}
