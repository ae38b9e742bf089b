//! Transactions and the state of connections: who is listed how, who may do what, and what ends early.

use crate::common::{Client, Server};
use crate::play::{Stage, request};

#[test]
fn client_list_and_info_tell_of_transactions() {
    Stage::new(&[]).play_in_both_protocols(
        "A?
         A MULTI
         A?
         A SET a 1
         A?
         A GET a
         A?
         A NOSUCH
         A?
         A EXEC
         A?
         A WATCH a b c
         A?
         A MULTI
         A?
         A PING
         A?
         B SET b 1
         A?
         A EXEC
         A?
         A WATCH a
         B SET a 1
         A?
         A UNWATCH
         A?
         A WATCH a
         B SET a 1
         A MULTI
         A PING
         A?
         A DISCARD
         A?
         A MULTI
         A PING
         A RESET
         A?
         ! watching_clients total_watched_keys connected_clients blocked_clients",
    );
}

#[test]
fn statistics_count_what_was_queued_refused_and_executed() {
    let mut stage = Stage::new(&[]);
    stage.play(
        "A CONFIG RESETSTAT
         A MULTI
         A SET a 1
         A GET a
         A GET none
         A INCR a
         A LPUSH a x
         A EXEC
         A MULTI
         A NOSUCH
         A GET
         A MULTI
         A EXEC
         A MULTI
         A SET a 1
         A DISCARD
         A WATCH a
         B SET a 2
         A MULTI
         A SET a 3
         A EXEC
         A EXEC
         A DISCARD
         A UNWATCH
         ! cmdstat_multi cmdstat_exec cmdstat_discard cmdstat_watch cmdstat_unwatch
         ! cmdstat_set cmdstat_get cmdstat_incr cmdstat_lpush
         ! errorstat_ERR errorstat_EXECABORT errorstat_WRONGTYPE
         ! keyspace_hits keyspace_misses total_error_replies rdb_changes_since_last_save",
    );
}

#[test]
fn without_authentication_nothing_is_queued() {
    let mut stage = Stage::with_password("secret");
    stage.play(
        "A MULTI
         A WATCH a
         A UNWATCH
         A EXEC
         A DISCARD
         A RESET
         A AUTH secret
         A MULTI
         A SET a 1
         A AUTH wrong
         A AUTH secret
         A GET a
         A EXEC
         A MULTI
         A GET a
         A RESET
         A GET a
         A EXEC
         A HELLO 3 AUTH default wrong
         A AUTH secret
         A MULTI
         A CONFIG SET requirepass other
         A GET a
         A EXEC
         A GET a
         B AUTH secret
         B MULTI
         B AUTH other
         B MULTI
         B GET a
         B EXEC
         B CONFIG SET requirepass secret",
    );
}

#[test]
fn reset_ends_everything() {
    Stage::new(&[]).play_in_both_protocols(
        "A SET k 1
         A SELECT 3
         A CLIENT SETNAME tester
         A WATCH k
         A MULTI
         A SET k 2
         A NOSUCH
         A RESET
         A?
         A EXEC
         A GET k
         A MULTI
         A GET k
         A EXEC
         A RESET
         A?",
    );
}

#[test]
fn a_connection_that_ends_leaves_nothing_behind() {
    let mut stage = Stage::new(&[]);
    stage.play(
        "A WATCH k
         A MULTI
         A SET k 1
         A RPUSH l a
         A.
         B EXISTS k l
         ! watching_clients total_watched_keys
         A WATCH k
         A: MULTI
         A.
         B SET k 1
         ! watching_clients total_watched_keys
         A MULTI
         A SET k 2
         A QUIT
         B GET k",
    );
    // Whatever came before the end is executed, if it is whole.
    for server in stage.servers() {
        let mut other = server.connect();
        for (words, expected) in
            [(&["MULTI", "SET k 3"][..], "1"), (&["MULTI", "SET k 4", "EXEC"], "4")]
        {
            let mut client = server.connect();
            let requests: Vec<u8> = words.iter().flat_map(|words| request(words)).collect();
            client.write(&requests);
            client.end_writing();
            let replies = client.read_to_end();
            assert!(replies.starts_with(b"+OK\r\n+QUEUED\r\n"), "{replies:?}");
            assert_eq!(other.run("GET k").text(), expected, "{words:?}");
        }
    }
}

#[test]
fn a_protocol_error_ends_the_transaction_with_the_connection() {
    let [theirs, ours] = [Server::oracle(&[]), Server::start(&[])].map(|server| {
        let broken: [&[u8]; 4] =
            [b"*x\r\n", b"*1\r\n$x\r\n", b"*2\r\n$3\r\nGET\r\n:1\r\n", b"SET \"a\r\n"];
        broken.map(|broken| {
            let mut client = server.connect();
            let start: Vec<u8> =
                ["MULTI", "SET k 1"].iter().flat_map(|words| request(words)).collect();
            client.write(&[&start, broken, &request("EXEC")[..]].concat());
            client.end_writing();
            let replies = String::from_utf8_lossy(&client.read_to_end()).into_owned();
            (replies, server.connect().run("EXISTS k").integer())
        })
    });
    assert_eq!(ours, theirs);
}

/// What comes back for these commands in one write, ended by a PING that is always answered.
fn all_replies(server: &Server, words: &[&str]) -> String {
    let mut client = server.connect();
    let requests: Vec<u8> = words.iter().flat_map(|words| request(words)).collect();
    client.write(&requests);
    client.end_writing();
    String::from_utf8_lossy(&client.read_to_end()).into_owned()
}

#[test]
fn client_reply_hides_what_it_hides_in_valkey() {
    let scripts: &[&[&str]] = &[
        &["CLIENT REPLY SKIP", "MULTI", "SET a 1", "GET a", "EXEC", "PING"],
        &["MULTI", "CLIENT REPLY SKIP", "SET a 1", "EXEC", "PING"],
        &["CLIENT REPLY OFF", "MULTI", "SET a 2", "EXEC", "CLIENT REPLY ON", "GET a"],
        &[
            "CLIENT REPLY OFF",
            "MULTI",
            "CLIENT REPLY ON",
            "SET a 3",
            "EXEC",
            "CLIENT REPLY ON",
            "GET a",
        ],
        &["CLIENT REPLY OFF", "MULTI", "SET a 4", "DISCARD", "CLIENT REPLY ON", "GET a"],
        &["CLIENT REPLY OFF", "MULTI", "SET a 5", "RESET", "GET a"],
        &["CLIENT REPLY OFF", "WATCH a", "MULTI", "PING", "EXEC", "CLIENT REPLY ON", "PING"],
    ];
    let [theirs, ours] = [Server::oracle(&[]), Server::start(&[])]
        .map(|server| scripts.iter().map(|words| all_replies(&server, words)).collect::<Vec<_>>());
    for ((script, ours), theirs) in scripts.iter().zip(ours).zip(theirs) {
        assert_eq!(ours, theirs, "{script:?}");
    }
}

#[test]
fn a_client_that_is_killed_executes_nothing() {
    for server in [Server::oracle(&[]), Server::start(&[])] {
        let (mut victim, mut admin) = (server.connect(), server.connect());
        let id = victim.run("CLIENT ID").integer();
        for words in ["WATCH w", "MULTI", "SET k 1"] {
            victim.run(words);
        }
        assert_eq!(admin.run(&format!("CLIENT KILL ID {id}")).integer(), 1);
        // The server may have closed the connection already.
        let _ = victim.try_write(&request("EXEC"));
        assert_eq!(victim.read_to_end(), b"");
        assert_eq!(admin.run("EXISTS k").integer(), 0);
        assert!(admin.run("INFO clients").text().contains("watching_clients:0\r\n"));
    }
}

/// Whether a client of that ID is paused or blocked.
fn is_blocked(admin: &mut Client, id: i64) -> bool {
    let line = admin.run(&format!("CLIENT LIST ID {id}")).text();
    let flags = line.split(' ').find_map(|field| field.strip_prefix("flags="));
    flags.is_some_and(|flags| flags.contains('b'))
}

#[test]
fn exec_of_a_write_waits_while_writes_are_paused() {
    for server in [Server::oracle(&[]), Server::start(&["--io-threads", "2"])] {
        let (mut writer, mut reader, mut admin) =
            (server.connect(), server.connect(), server.connect());
        let id = writer.run("CLIENT ID").integer();
        for words in ["MULTI", "GET k", "SET k 1"] {
            writer.run(words);
        }
        assert!(admin.run("CLIENT PAUSE 100000 WRITE").is("OK"));
        for words in ["MULTI", "GET k", "PING"] {
            reader.run(words);
        }
        assert_eq!(reader.run("EXEC").elements().len(), 2);
        writer.send(&["EXEC"]);
        while !is_blocked(&mut admin, id) {}
        assert_eq!(admin.run("EXISTS k").integer(), 0);
        assert!(admin.run("CLIENT UNPAUSE").is("OK"));
        assert_eq!(writer.read().elements().len(), 2);
        assert_eq!(admin.run("GET k").text(), "1");
        // To queue a write is as good as a write.
        assert!(admin.run("CLIENT PAUSE 100000 WRITE").is("OK"));
        assert!(writer.run("MULTI").is("OK"));
        writer.send(&["SET", "k", "2"]);
        while !is_blocked(&mut admin, id) {}
        assert!(admin.run("CLIENT UNPAUSE").is("OK"));
        assert!(writer.read().is("QUEUED"));
        assert_eq!(writer.run("EXEC").elements().len(), 1);
        assert_eq!(admin.run("GET k").text(), "2");
    }
}

#[test]
fn a_watched_key_may_change_while_exec_is_paused() {
    for server in [Server::oracle(&[]), Server::start(&["--io-threads", "2"])] {
        let (mut writer, mut admin) = (server.connect(), server.connect());
        let id = writer.run("CLIENT ID").integer();
        admin.run("SET k v PX 60");
        for words in ["WATCH k", "MULTI", "SET other 1"] {
            writer.run(words);
        }
        assert!(admin.run("CLIENT PAUSE 100000 WRITE").is("OK"));
        writer.send(&["EXEC"]);
        while !is_blocked(&mut admin, id) {}
        while admin.run("EXISTS k").integer() == 1 {}
        assert!(admin.run("CLIENT UNPAUSE").is("OK"));
        assert_eq!(writer.read_raw(), b"*-1\r\n");
    }
}

#[test]
fn no_touch_holds_within_a_transaction() {
    let options = ["--maxmemory-policy", "allkeys-lfu", "--lfu-log-factor", "0"];
    Stage::new(&options).play_in_both_protocols(
        "A SET k v
         A OBJECT FREQ k
         A+ MULTI; GET k; GET k; STRLEN k; OBJECT FREQ k; EXEC
         A OBJECT FREQ k
         A CLIENT NO-TOUCH ON
         A+ MULTI; GET k; TOUCH k; OBJECT FREQ k; EXEC
         A OBJECT FREQ k
         A+ MULTI; CLIENT NO-TOUCH OFF; GET k; EXEC
         A OBJECT FREQ k
         A GET k
         A OBJECT FREQ k",
    );
}
