//! The comparison of two servers' data, which proves replays, notices every difference that there can be.

mod common;

use common::datasets::{assert_equal, difference};
use common::{Client, Server};

/// Data of every type, in several databases.
const DATA: &[&str] = &[
    "SET text some",
    "SET number 12",
    "SET short-lived x PXAT 4102444800000",
    "RPUSH list a b c",
    "SADD set x y z",
    "SADD numbers 1 2 3",
    "HSET hash f v g w",
    "HPEXPIREAT hash 4102444800000 FIELDS 1 f",
    "ZADD zset 1 a 2.5 b",
    "XADD stream 1-1 f v",
    "XADD stream 1-2 f v",
    "XGROUP CREATE stream readers 0",
    "XREADGROUP GROUP readers one COUNT 1 STREAMS stream >",
    "XCLAIM stream readers one 0 1-1 TIME 1700000000000 RETRYCOUNT 3",
    "PFADD sketch a b c",
    "SETBIT bits 100 1",
    "SELECT 9",
    "SET text other",
    "SELECT 0",
];

/// Changes of which each makes the data another.
const CHANGES: &[&str] = &[
    "SET text other",
    "SET new x",
    "DEL number",
    "SET number 012",
    "PERSIST short-lived",
    "PEXPIREAT short-lived 4102444800001",
    "PEXPIREAT text 4102444800000",
    "LSET list 1 x",
    "RPUSH list d",
    "SADD set v",
    "SREM set x",
    "SADD numbers 4",
    "HSET hash g other",
    "HSET hash new v",
    "HDEL hash f",
    "HPERSIST hash FIELDS 1 f",
    "HPEXPIREAT hash 4102444800001 FIELDS 1 f",
    "ZADD zset 1.5 a",
    "ZREM zset b",
    "XADD stream 1-3 f v",
    "XDEL stream 1-2",
    "XSETID stream 5-0",
    "XACK stream readers 1-1",
    "XGROUP CREATE stream others 0",
    "XGROUP CREATECONSUMER stream readers two",
    "XGROUP SETID stream readers 0",
    "XCLAIM stream readers one 0 1-1 TIME 1700000000001 RETRYCOUNT 3",
    "XCLAIM stream readers one 0 1-1 TIME 1700000000000 RETRYCOUNT 4",
    "PFADD sketch d",
    "SETBIT bits 101 1",
    "MOVE list 3",
    "RENAME list other",
    "SWAPDB 9 10",
    "FLUSHALL",
];

fn fill(client: &mut Client) {
    client.run("FLUSHALL");
    DATA.iter().for_each(|words| drop(client.run(words)));
}

#[test]
fn equal_data_are_equal_and_every_change_is_noticed() {
    let options = ["--enable-debug-command", "yes"];
    let (one, other) = (Server::start(&options), Server::start(&options));
    for protocol in ["2", "3"] {
        let (mut a, mut b) = (one.connect(), other.connect());
        for client in [&mut a, &mut b] {
            client.run(&format!("HELLO {protocol}"));
            fill(client);
        }
        assert_equal(&mut a, &mut b);
        for change in CHANGES {
            fill(&mut b);
            let reply = b.run(change);
            assert!(difference(&mut a, &mut b).is_some(), "{change} ({reply}) was not noticed");
        }
        fill(&mut b);
        assert_equal(&mut a, &mut b);
    }
}
