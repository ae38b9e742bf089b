//! What is queued, what is refused, and what EXEC and DISCARD say then.

use crate::common::{Server, Value};
use crate::play::{Stage, request};

#[test]
fn a_queue_is_executed_or_discarded() {
    Stage::new(&[]).play_in_both_protocols(
        "A MULTI
         A SET a 1
         A INCR a
         A GET a
         A LRANGE none 0 -1
         A HGETALL none
         A GET none
         A EXEC
         A GET a
         A MULTI
         A DEL a
         A DISCARD
         A GET a
         A MULTI
         A EXEC
         A EXEC
         A DISCARD
         A UNWATCH
         A+ MULTI; SET b 1; RPUSH l x y; EXEC; GET b
         A+ MULTI; SET b 2; DISCARD; GET b; MULTI; GET b; EXEC
         A multi
         A get b
         A exec",
    );
}

#[test]
fn a_command_that_fails_leaves_the_others_as_they_are() {
    Stage::new(&[]).play_in_both_protocols(
        "A SET text abc
         A MULTI
         A SET before 1
         A INCR text
         A LPUSH text x
         A SELECT 99
         A RENAME none other
         A SETRANGE text -1 x
         A HELLO 9
         A CONFIG SET none 1
         A SET after 1
         A EXEC
         A MGET text before after
         A MULTI
         A OBJECT ENCODING none
         A SET k v PX -5
         A XADD s 0-0 f v
         A XREADGROUP GROUP g c STREAMS s >
         A EXEC",
    );
}

/// After each of them, EXEC is refused.
const NOT_QUEUED: &[&str] = &[
    "NOSUCH",
    "NOSUCH a b c",
    "GET",
    "SET a",
    "MULTI",
    "MULTI x",
    "WATCH a",
    "WATCH",
    "UNWATCH x",
    "DISCARD x",
    "RESET x",
    "PING a b",
    "CLIENT NOSUCH",
    "CLIENT",
    "CLIENT REPLY ON",
    "CLIENT REPLY OFF",
    "CLIENT REPLY SKIP",
    "CONFIG",
    "CONFIG NOSUCH",
    "CONFIG GET",
    "OBJECT ENCODING",
    "SHUTDOWN",
    "SHUTDOWN NOSAVE",
    "''",
    "XREAD",
    "EXPIRE a",
];

#[test]
fn what_cannot_be_queued_is_refused_and_so_is_exec() {
    let mut stage = Stage::new(&[]);
    for words in NOT_QUEUED {
        stage.play_in_both_protocols(&format!(
            "A MULTI
             A SET k before
             A {words}
             A?
             A SET k after
             A?
             A EXEC
             A?
             A EXISTS k
             A EXEC
             A MULTI
             A {words}
             A DISCARD
             A PING
             A+ MULTI; {words}; SET k x; EXEC; EXISTS k"
        ));
    }
}

#[test]
fn exec_with_arguments_ends_the_transaction() {
    Stage::new(&[]).play_in_both_protocols(
        "A EXEC x
         A?
         A MULTI
         A SET a 1
         A EXEC x
         A?
         A EXEC
         A GET a
         A WATCH a
         A EXEC x
         A?
         B SET a 2
         A MULTI
         A PING
         A EXEC",
    );
}

#[test]
fn commands_of_the_connection_are_executed_in_their_turn() {
    Stage::new(&[]).play_in_both_protocols(
        "A SET a zero
         A MULTI
         A SELECT 1
         A SET a one
         A CLIENT SETNAME tester
         A CLIENT GETNAME
         A CLIENT NO-TOUCH ON
         A CLIENT NO-EVICT ON
         A ECHO x
         A PING
         A PING y
         A EXEC
         A?
         A GET a
         A SELECT 0
         A GET a
         A MULTI
         A SELECT 2
         A DISCARD
         A?
         A MULTI
         A RESET
         A?
         A EXEC
         A SET b 1
         A MULTI
         A QUIT",
    );
}

#[test]
fn the_protocol_may_change_within() {
    for version in ["2", "3"] {
        let mut stage = Stage::new(&[]);
        stage.play_in_both_protocols(&format!(
            "A HSET h f v
             A: MULTI
             A<
             A HGETALL h
             A CLIENT GETNAME
             A HELLO {version} SETNAME x
             A HGETALL h
             A GET none
             A DISCARD
             A HGETALL h"
        ));
    }
    // HELLO names the server, so only what comes before and after it is compared.
    for server in [Server::oracle(&[]), Server::start(&[])] {
        let mut client = server.connect();
        for words in ["MULTI", "HGETALL h", "HELLO 3", "HGETALL h", "HELLO 2", "HGETALL h"] {
            client.run(words);
        }
        let replies = client.run("EXEC");
        let [first, hello3, second, hello2, third] = replies.elements() else {
            panic!("{replies}")
        };
        assert_eq!((first, third), (&Value::Array(vec![]), &Value::Array(vec![])));
        assert_eq!(second, &Value::Map(vec![]));
        assert!(matches!((hello3, hello2), (Value::Map(_), Value::Array(_))), "{replies}");
    }
}

#[test]
fn requests_arrive_in_any_pieces() {
    let words = ["MULTI", "SET a 1", "PING", "NOSUCH", "EXEC", "MULTI", "SET a 2", "EXEC", "GET a"];
    let requests: Vec<u8> = words.iter().flat_map(|words| request(words)).collect();
    let inline = b"MULTI\r\nSET b 1\r\nGET b\nEXEC\r\n";
    let [theirs, ours] = [Server::oracle(&[]), Server::start(&[])].map(|server| {
        [1, 3, 7, 1000].map(|piece| {
            let mut client = server.connect();
            requests.chunks(piece).for_each(|bytes| client.write(bytes));
            inline.chunks(piece).for_each(|bytes| client.write(bytes));
            (0..words.len() + 4).map(|_| client.read()).collect::<Vec<_>>()
        })
    });
    assert_eq!(ours, theirs);
}

#[test]
fn long_arguments_are_queued_too() {
    for len in [60_000, 70_000, 200_000, 3_000_000] {
        let value = "x".repeat(len);
        let script = format!(
            "A MULTI
             A SET a {value}
             A APPEND a {value}
             A SETRANGE b 5 {value}
             A HSET h {value} f
             A STRLEN a
             A EXEC
             A GET a
             A STRLEN b
             A HKEYS h
             A+ MULTI; SET c {value}; SET d {value}; GET c; EXEC
             A MULTI
             A SET e {value}
             A DISCARD
             A EXISTS e"
        );
        Stage::new(&[]).play(&script);
    }
}

#[test]
fn other_databases_and_the_whole_keyspace_take_part() {
    Stage::new(&[]).play_in_both_protocols(
        "A MSET a 1 b 2
         A MULTI
         A SWAPDB 0 1
         A GET a
         A SELECT 1
         A GET a
         A FLUSHDB
         A DBSIZE
         A SET c 3
         A SWAPDB 0 1
         A SELECT 0
         A KEYS c
         A MOVE c 5
         A COPY b b DB 7
         A FLUSHALL
         A DBSIZE
         A SET last 1
         A EXEC
         A KEYS *
         A MULTI
         A RENAME last first
         A SORT first STORE second
         A KEYS none
         A SCAN 0
         A DBSIZE
         A EXEC",
    );
}
