//! Every option, edge and error of DUMP and RESTORE, with the replies of the real Valkey.

use crate::common::{Server, payloads};

/// One command a line. `SOUND` is a payload, `CHECKSUM` has a wrong checksum, `VERSION` is of a version
/// that nobody knows, `NOTHING` has no value in it.
const SCRIPT: &str = r#"
SET k 1
DUMP
DUMP k k
DUMP nokey
DUMP k
RESTORE n
RESTORE n 0
RESTORE n 0 SOUND
GET n
RESTORE n 0 SOUND
RESTORE n x CHECKSUM
RESTORE n x CHECKSUM FOO
RESTORE n 0 SOUND REPLACE
RESTORE n 0 SOUND replace Replace REPLACE
RESTORE n x SOUND REPLACE
RESTORE n -1 SOUND REPLACE
RESTORE n 9223372036854775808 SOUND REPLACE
RESTORE n 1.5 SOUND REPLACE
RESTORE n +1 SOUND REPLACE
RESTORE n -1 CHECKSUM REPLACE
RESTORE n 0 CHECKSUM REPLACE
GET n
RESTORE n 0 VERSION REPLACE
RESTORE n 0 NOTHING REPLACE
RESTORE n 0 short REPLACE
RESTORE n 0  REPLACE
RESTORE n 0 NOTHING
GET n
DEL n
RESTORE n 0 CHECKSUM
RESTORE n 0 VERSION
RESTORE n 0 NOTHING
RESTORE n 9223372036854775807 SOUND
EXISTS n
RESTORE n 1 SOUND ABSTTL
EXISTS n
RESTORE n 33177117420000 SOUND ABSTTL
PEXPIRETIME n
RESTORE n 9223372036854775807 SOUND ABSTTL REPLACE
PEXPIRETIME n
RESTORE n 0 SOUND ABSTTL REPLACE
PEXPIRETIME n
RESTORE n 1 SOUND ABSTTL REPLACE
EXISTS n
RESTORE n 0 SOUND IDLETIME
RESTORE n 0 SOUND FREQ
RESTORE n 0 SOUND IDLETIME x
RESTORE n 0 SOUND IDLETIME -1
RESTORE n 0 SOUND IDLETIME 9223372036854775808
RESTORE n 0 SOUND FREQ x
RESTORE n 0 SOUND FREQ -1
RESTORE n 0 SOUND FREQ 256
RESTORE n 0 SOUND FREQ 9223372036854775807
RESTORE n 0 SOUND IDLETIME 1 FREQ 1
RESTORE n 0 SOUND FREQ 1 IDLETIME 1
RESTORE n 0 SOUND FREQ 1 IDLETIME x
RESTORE n 0 SOUND IDLETIME 1 FREQ
RESTORE n 0 SOUND FOO
RESTORE n 0 SOUND REPLACE FOO
RESTORE n 0 SOUND FOO REPLACE
EXISTS n
RESTORE n 0 SOUND idletime 100 IDLETIME 1000
OBJECT FREQ n
RESTORE n 0 SOUND REPLACE FREQ 200
OBJECT FREQ n
OBJECT IDLETIME n
CONFIG SET maxmemory-policy allkeys-lfu
RESTORE n 0 SOUND REPLACE FREQ 200
OBJECT FREQ n
RESTORE n 0 SOUND REPLACE FREQ 0
OBJECT FREQ n
RESTORE n 0 SOUND REPLACE FREQ 255 freq 254
OBJECT FREQ n
RESTORE n 0 SOUND REPLACE IDLETIME 100
OBJECT FREQ n
OBJECT IDLETIME n
RESTORE n 0 SOUND REPLACE
OBJECT FREQ n
CONFIG SET maxmemory-policy noeviction
RESTORE-ASKING a
RESTORE-ASKING a 0 CHECKSUM
RESTORE-ASKING a 0 SOUND
GET a
CONFIG SET rdb-version-check relaxed
RESTORE n 0 VERSION REPLACE
GET n
RESTORE n 0 CHECKSUM REPLACE
COMMAND INFO dump restore restore-asking
COMMAND GETKEYSANDFLAGS RESTORE key 0 payload REPLACE
COMMAND GETKEYSANDFLAGS DUMP key
"#;

fn payload(word: &str) -> Vec<u8> {
    let sound = payloads::sealed(80, b"\0\x05value");
    match word {
        "SOUND" => sound,
        "CHECKSUM" => [&sound[..sound.len() - 1], b"!"].concat(),
        "VERSION" => payloads::sealed(81, b"\0\x01a"),
        "NOTHING" => payloads::sealed(80, b""),
        word => word.as_bytes().to_vec(),
    }
}

#[test]
fn replies_are_those_of_valkey() {
    let (server, oracle) = (Server::start(&[]), Server::oracle(&[]));
    let (mut ours, mut theirs) = (server.connect(), oracle.connect());
    for line in SCRIPT.lines().filter(|line| !line.is_empty()) {
        // Two spaces have an empty word between them.
        let words = line.split(' ').map(payload).collect::<Vec<_>>();
        let (our_reply, their_reply) = (ours.raw(&words), theirs.raw(&words));
        assert_eq!(
            String::from_utf8_lossy(&our_reply),
            String::from_utf8_lossy(&their_reply),
            "{line}"
        );
    }
}

#[test]
fn an_idle_time_is_what_was_said() {
    let (server, oracle) = (Server::start(&[]), Server::oracle(&[]));
    let sound = payload("SOUND");
    for idle in ["0", "100", "16777215", "16777216", "99999999999"] {
        let [ours, theirs] = [&server, &oracle].map(|server| {
            let mut client = server.connect();
            let words: [&[u8]; 7] =
                [b"RESTORE", b"n", b"0", &sound, b"REPLACE", b"IDLETIME", idle.as_bytes()];
            assert!(client.command(&words).is("OK"));
            client.run("OBJECT IDLETIME n").integer()
        });
        assert!(ours.abs_diff(theirs) <= 5, "{idle}: {ours} and {theirs}");
    }
}

#[test]
fn a_restored_list_goes_to_whoever_waits_for_it() {
    let server = Server::start(&[]);
    let (mut waiting, mut client) = (server.connect(), server.connect());
    let id = waiting.run("CLIENT ID").integer();
    waiting.send(&["BLPOP", "list", "0"]);
    let is_blocked = |line: &str| line.contains(" flags=b ");
    while !is_blocked(&client.run(&format!("CLIENT LIST ID {id}")).text()) {}
    let list = payloads::sealed(80, b"\x01\x02\x01a\x01b");
    assert!(client.command(&[&b"RESTORE"[..], b"list", b"0", &list]).is("OK"));
    let popped = waiting.read();
    assert_eq!(
        (popped.elements()[0].text(), popped.elements()[1].text()),
        ("list".into(), "a".into())
    );
    assert_eq!(client.run("LLEN list").integer(), 1);
}
