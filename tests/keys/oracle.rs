//! Every option, edge and error of the keys commands, with the replies of the real Valkey.

use crate::common::{Client, Server};

/// One command a line. What depends on the clock is left out.
const SCRIPT: &str = r#"
SET a 1
EXPIRE a
EXPIRE nokey abc
EXPIRE nokey 10 FOO
EXPIRE a abc
EXPIRE a abc foo
EXPIRE a 10 NX XX
EXPIRE a 10 NX GT
EXPIRE a 10 NX LT
EXPIRE a 10 GT LT
EXPIRE a 10 NX XX foo
EXPIRE a 1000 NX NX
EXPIRE a 10 XX GT
EXPIRE a 9223372036854775807
EXPIRE a 9223372036854776
EXPIRE a -9223372036854776
EXPIRE nokey 9223372036854775807
PEXPIRE nokey 9223372036854775807
EXPIREAT nokey 9223372036854775807
PEXPIREAT nokey -9223372036854775808
EXPIRE a 99999999999999999999
EXPIRE a +1
EXPIRE a 1.5
EXISTS a
EXPIRE a -9223372036854775
EXISTS a
SET a 1
PEXPIRE a -9223372036854775808
EXISTS a
SET a 1
EXPIREAT a 9223372036854775
PEXPIRETIME a
EXPIRETIME a
PEXPIREAT a 9223372036854775807
PEXPIRETIME a
EXPIRETIME a
PERSIST a
PERSIST a
PERSIST nokey
TTL a
TTL nokey
PTTL nokey
EXPIRETIME a
PEXPIRETIME nokey
EXPIREAT a 33177117420
EXPIRETIME a
PEXPIREAT a 33177117420500 GT
EXPIRETIME a
PEXPIRETIME a
PEXPIREAT a 33177117420499 LT
EXPIRETIME a
PEXPIREAT a 33177117420500 LT
PEXPIREAT a 33177117420400 XX
PEXPIREAT a 33177117420400 NX
PEXPIREAT a 33177117420300 XX LT
PEXPIREAT a 33177117420200 XX GT
PEXPIRETIME a
SET a 2
EXPIRETIME a
EXPIRE a 100 XX
EXPIRE a 100 GT
EXPIRE a 100 LT
EXPIRE a 100 NX
EXPIRE a -1 NX
EXPIRE a -1 GT
EXPIRE a -1 XX
EXISTS a
SET a 1
EXPIRE a 0
EXISTS a a
SET a 1
PEXPIREAT a 1
GET a
RENAME nokey a
RENAME nokey nokey
RENAMENX nokey nokey
SET a 1
PEXPIREAT a 33177117420400
RENAME a a
RENAMENX a a
SET b 2
RENAMENX a b
RENAME a b
PEXPIRETIME b
GET b
RENAMENX b a
PEXPIRETIME a
EXISTS a b
COPY a a
COPY a a FOO
COPY a a DB
COPY a a DB abc
COPY a a DB 0
COPY a a DB 0 REPLACE
COPY nokey nokey
COPY nokey nokey DB 1
COPY nokey d DB abc
COPY a a DB 1
COPY a a DB 1
COPY a a db 1 replace
COPY a d DB 99
COPY a d DB -1
COPY a d DB 4294967296
COPY a d DB 16 FOO
COPY a d DB 99999999999999999999
COPY a d FOO
COPY a d REPLACE REPLACE
PEXPIRETIME d
COPY a d REPLACE DB 2 DB 3
COPY nokey d REPLACE
EXISTS d
COPY a d
MOVE a 0
MOVE nokey 0
MOVE a abc
MOVE a 16
MOVE a -1
MOVE a 4294967296
MOVE a 99999999999999999999
MOVE nokey 1
MOVE nokey abc
MOVE a 1
MOVE a 5
EXISTS a
SELECT 5
GET a
PEXPIRETIME a
MOVE a 5
MOVE a 0
SELECT 0
PEXPIRETIME a
SELECT 3
EXISTS a d
FLUSHDB
DBSIZE
SELECT 1
DBSIZE
SWAPDB a b
SWAPDB 0 b
SWAPDB 0 99
SWAPDB 99 0
SWAPDB 99 abc
SWAPDB -1 0
SWAPDB 4294967296 1
SWAPDB 0 0
SWAPDB 1 9
DBSIZE
SELECT 9
DBSIZE
SELECT 0
DBSIZE
SWAPDB 9 0
EXISTS a d
DBSIZE
FLUSHDB FOO
FLUSHDB ASYNC SYNC
FLUSHALL SYNC SYNC
FLUSHALL FOO BAR
FLUSHALL sync
FLUSHDB Async
DBSIZE
SELECT 9
DBSIZE
SELECT 0
SCAN
SCAN abc
SCAN -1
SCAN -0
SCAN +0
SCAN 00
SCAN 0x0
SCAN 99999999999999999999
SCAN 0 FOO
SCAN abc FOO
SCAN 0 COUNT
SCAN 0 COUNT 0
SCAN 0 COUNT -1
SCAN 0 COUNT abc
SCAN 0 COUNT 1 MATCH
SCAN abc COUNT 0
SCAN 0 COUNT 0 COUNT abc
SCAN 0 TYPE
SCAN 0 TYPE foo
SCAN 0 TYPE foo COUNT abc
SCAN 0 COUNT abc TYPE foo
SCAN 0 TYPE string
SET a 1
SCAN 0
SCAN 0 TYPE foo
SCAN 0 TYPE STRING
SCAN 0 TYPE list
SCAN 0 TYPE set
SCAN 0 TYPE zset
SCAN 0 TYPE hash
SCAN 0 TYPE stream
SCAN 0 TYPE string TYPE list
SCAN 0 TYPE none
SCAN 0 COUNT 9223372036854775807
SCAN 0 COUNT 9223372036854775808
SCAN 0 NOVALUES
SCAN 0 NOSCORES
SCAN 0 SLOT 5
SCAN 0 MATCH a MATCH b
SCAN 0 MATCH a
SCAN 0 match * count 5
SCAN 0 COUNT 5 FOO
SCAN 18446744073709551616
KEYS
KEYS * a
KEYS *
KEYS a
KEYS ?
KEYS b
KEYS [^a]
RANDOMKEY
RANDOMKEY a
DBSIZE
DBSIZE a
DEL
DEL a a b
UNLINK
UNLINK a
RANDOMKEY
OBJECT
OBJECT FOO
OBJECT FOO a
OBJECT ENCODING
OBJECT ENCODING a
OBJECT ENCODING a b
OBJECT FREQ a
OBJECT IDLETIME a
OBJECT REFCOUNT a
OBJECT HELP
OBJECT HELP foo
SET a 1
OBJECT FREQ a
OBJECT IDLETIME a
OBJECT REFCOUNT a
OBJECT ENCODING a
object encoding a
SET a 01
OBJECT ENCODING a
OBJECT REFCOUNT a
TYPE a
TYPE nokey
TYPE
TOUCH a b a
TOUCH
EXISTS a a a b
EXISTS
UNLINK a a b
"#;

fn compare(ours: &mut Client, theirs: &mut Client, args: &[&[u8]]) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (our, their) = (text(&ours.raw(args)), text(&theirs.raw(args)));
    assert_eq!(our, their, "{:?}", args.iter().map(|arg| text(arg)).collect::<Vec<_>>());
}

#[test]
fn replies_are_those_of_valkey() {
    let (server, oracle) = (Server::start(&[]), Server::oracle(&[]));
    let (mut ours, mut theirs) = (server.connect(), oracle.connect());
    for line in SCRIPT.lines().filter(|line| !line.is_empty()) {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        compare(&mut ours, &mut theirs, &args);
    }
    for args in [
        &[&b"SCAN"[..], b""][..],
        &[b"SCAN", b" 0"],
        &[b"SCAN", b"0 "],
        &[b"SCAN", b"\t\n\x0b\x0c\r 0"],
        &[b"SCAN", b" -1"],
        &[b"SCAN", b"0\0x"],
        &[b"SCAN", b"\x000"],
        &[b"SCAN", b"0", b"TYPE", b"string\0x"],
        &[b"SCAN", b"0", b"TYPE", b"str\0x"],
        &[b"SCAN", b"0", b"TYPE", b"a\r\nb"],
        &[b"EXPIRE", b"a", b"1", b"a\r\nb"],
        &[b"EXPIRE", b"a", b" 1"],
        &[b"FLUSHDB", b""],
        &[b"EXISTS", b"", b"\0"],
    ] {
        compare(&mut ours, &mut theirs, args);
    }
}

/// Where `embstr` ends and `raw` begins depends on the key as well.
#[test]
fn string_encodings_are_those_of_valkey() {
    let (server, oracle) = (Server::start(&[]), Server::oracle(&[]));
    let (mut ours, mut theirs) = (server.connect(), oracle.connect());
    for key in [1, 2, 8, 31, 32, 33, 60, 111, 112, 200] {
        for value in [0, 1, 11, 44, 45, 50, 51, 52, 78, 79, 80, 82, 83, 105, 106, 111, 112, 113] {
            let (key, value) = (vec![b'k'; key], vec![b'v'; value]);
            compare(&mut ours, &mut theirs, &[b"SET", &key, &value]);
            compare(&mut ours, &mut theirs, &[b"OBJECT", b"ENCODING", &key]);
        }
    }
    // A string that was raw under one name stays so under another.
    let long = [b'l'; 100];
    let steps: [&[&[u8]]; 8] = [
        &[b"SET", b"short", &[b'v'; 44]],
        &[b"RENAME", b"short", &long],
        &[b"OBJECT", b"ENCODING", &long],
        &[b"COPY", &long, b"copy"],
        &[b"OBJECT", b"ENCODING", b"copy"],
        &[b"RENAME", &long, b"short"],
        &[b"OBJECT", b"ENCODING", b"short"],
        &[b"TYPE", b"short"],
    ];
    steps.iter().for_each(|args| compare(&mut ours, &mut theirs, args));
}

#[test]
fn patterns_match_what_valkey_matches() {
    let (server, oracle) = (Server::start(&[]), Server::oracle(&[]));
    let (mut ours, mut theirs) = (server.connect(), oracle.connect());
    let keys: Vec<Vec<u8>> = [
        "a", "b", "ab", "aba", "abc", "-", "^", "]", "[", "\\", "*", "?", "{a}", "{a}b", "x{a}b",
        "", "\0", "a\0b", "\u{ff}", "[a]", "a]", "a-c", "a^", "A",
    ]
    .iter()
    .map(|key| key.as_bytes().to_vec())
    .collect();
    for key in &keys {
        compare(&mut ours, &mut theirs, &[b"SET", key, b"1"]);
    }
    let found = |client: &mut Client, pattern: &[u8]| {
        let reply = client.command(&[b"KEYS", pattern]);
        let mut keys: Vec<_> = reply.elements().iter().map(|key| key.text()).collect();
        keys.sort();
        keys
    };
    // Patterns of the bytes that mean something, in every order.
    let letters = b"a*?[]\\^-b{}";
    let mut state = 1u64;
    for _ in 0..3000 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let mut bits = state >> 20;
        let pattern: Vec<u8> = (0..1 + bits % 8)
            .map(|_| {
                bits /= 13;
                letters[bits as usize % letters.len()]
            })
            .collect();
        assert_eq!(
            found(&mut ours, &pattern),
            found(&mut theirs, &pattern),
            "{:?}",
            String::from_utf8_lossy(&pattern)
        );
    }
}
