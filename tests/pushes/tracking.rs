//! Client-side caching, step by step.

use crate::common::Server;
use crate::stage::Stage;

#[test]
fn readers_are_told_once_when_a_key_changes() {
    Stage::new(&[]).play(
        "A3
         A CLIENT TRACKING ON
         A GET k
         A MGET k j
         B SET k 1
         B SET k 2
         B SET j 1
         A GET k
         A SET k mine
         A GET k
         B DEL k
         A GET k
         B SET other 1
         B SELECT 5
         B SET k 5
         A GET k
         B SWAPDB 0 5
         B SET k 6
         A EXISTS a b c
         B MSET c 1 a 1
         A LRANGE l 0 -1
         B RPUSH l x
         A GET k
         A HGETALL h
         B FLUSHDB
         B FLUSHALL
         A GET k
         A CLIENT TRACKING OFF
         B SET k 1
         A CLIENT TRACKING ON
         B SET k 2
         A GET k
         A RESET
         B SET k 3
         A CLIENT TRACKINGINFO",
    );
}

#[test]
fn transactions_and_renames_invalidate_in_the_oracles_order() {
    Stage::new(&[]).play(
        "A3
         A CLIENT TRACKING ON
         A MGET a b c
         B MULTI
         B SET b 1
         B SET a 1
         B SET b 2
         B EXEC
         A MGET a b c d
         B RENAME a d
         A MGET a d
         B COPY b a
         A MGET a b
         B DEL b a
         A MULTI
         A GET a
         A SET b 1
         A GET b
         A SET a 1
         A EXEC
         A GETDEL a
         A GET b
         A GETEX b EX 100
         A EXPIRE b 50",
    );
}

#[test]
fn modes_choose_what_is_tracked() {
    let mut stage = Stage::new(&[]);
    stage.play(
        "A3
         A CLIENT TRACKING ON OPTIN
         A GET a
         B SET a 1
         A CLIENT CACHING YES
         A GET a
         A GET b
         B SET a 2
         B SET b 2
         A CLIENT CACHING YES
         A MULTI
         A GET a
         A GET b
         A EXEC
         A GET c
         B MSET a 3 b 3 c 3
         A CLIENT CACHING YES
         A CLIENT CACHING NO
         A CLIENT TRACKINGINFO
         A PING
         A CLIENT TRACKINGINFO",
    );
    stage.play(
        "A3
         A CLIENT TRACKING ON OPTOUT
         A GET a
         A CLIENT CACHING NO
         A GET b
         B MSET a 1 b 1
         A GET b
         B MSET a 2 b 2",
    );
    stage.play(
        "A3
         A CLIENT TRACKING ON NOLOOP
         A GET a
         A SET a 1
         B SET a 2
         A GET a
         B SET a 3
         A CLIENT TRACKING ON
         A GET a
         A SET a 4",
    );
}

#[test]
fn prefixes_are_broadcast() {
    let mut stage = Stage::new(&[]);
    stage.play(
        "A3
         C3
         A CLIENT TRACKING ON BCAST PREFIX a PREFIX b
         C CLIENT TRACKING ON BCAST NOLOOP
         A CLIENT TRACKINGINFO
         C CLIENT TRACKINGINFO
         B SET a 1
         B SET ab 1
         B SET c 1
         B MSET b2 1 a2 1 b1 1 a1 1 c1 1
         A SET a own
         C SET a own
         B MULTI
         B INCR n
         B SET a1 x
         B INCR n
         B EXEC
         B DEL a b none
         B FLUSHDB
         A CLIENT TRACKING ON BCAST PREFIX ab
         A CLIENT TRACKING ON BCAST PREFIX d
         A CLIENT TRACKING ON
         A CLIENT TRACKING ON BCAST PREFIX x PREFIX xy
         B SET d 1
         A CLIENT TRACKING OFF
         B SET a 1
         C.
         B SET a 2
         B INFO nothing",
    );
}

#[test]
fn another_client_is_told_in_its_place() {
    let mut stage = Stage::new(&[]);
    stage.play(
        "D SUBSCRIBE __redis__:invalidate
         A CLIENT TRACKING ON REDIRECT @D
         A CLIENT GETREDIR
         A CLIENT TRACKINGINFO
         A GET k
         B SET k 1
         A GET k
         B FLUSHALL
         D UNSUBSCRIBE
         A GET k
         B SET k 2
         D HELLO 3 SETNAME D
         A GET k
         B SET k 3
         E3
         E CLIENT TRACKING ON REDIRECT @D BCAST
         B SET k 4
         D.
         B SET k 5
         A GET k
         B SET k 6
         A CLIENT TRACKINGINFO
         E CLIENT TRACKINGINFO
         E CLIENT TRACKING ON REDIRECT @A BCAST
         E CLIENT TRACKINGINFO
         E GET k",
    );
    stage.play(
        "A CLIENT TRACKING ON REDIRECT 0
         A CLIENT TRACKING ON REDIRECT x
         A CLIENT TRACKING ON REDIRECT 999999
         A CLIENT TRACKING ON REDIRECT
         A CLIENT TRACKING ON PREFIX
         A CLIENT TRACKING ON REDIRECT @A REDIRECT @A
         A CLIENT TRACKING ON PREFIX a
         A CLIENT TRACKING ON OPTIN OPTOUT
         A CLIENT TRACKING ON OPTIN BCAST
         A CLIENT TRACKING maybe
         A CLIENT TRACKING
         A CLIENT TRACKING OFF OPTIN OPTOUT
         A CLIENT CACHING YES
         A CLIENT TRACKING ON
         A CLIENT CACHING YES
         A CLIENT TRACKING ON OPTIN
         A CLIENT TRACKING ON OPTOUT
         A CLIENT TRACKING ON
         A CLIENT TRACKINGINFO",
    );
}

#[test]
fn expired_and_evicted_keys_are_no_longer_cached() {
    let server = Server::start(&["--io-threads", "4"]);
    let (mut reader, mut writer) = (server.connect(), server.connect());
    reader.run("HELLO 3");
    reader.run("CLIENT TRACKING ON");
    writer.run("SET k 1 PX 20");
    assert_eq!(reader.run("GET k").text(), "1");
    assert_eq!(reader.read().to_string(), ">[\"invalidate\", [\"k\"]]");
    writer.run("SET k 1");
    assert_eq!(reader.run("GET k").text(), "1");
    writer.run("CONFIG SET maxmemory-policy allkeys-lru");
    writer.run("CONFIG SET maxmemory 1");
    assert_eq!(reader.read().to_string(), ">[\"invalidate\", [\"k\"]]");
}

#[test]
fn no_more_keys_are_remembered_than_the_limit_says() {
    let server = Server::start(&["--io-threads", "4", "--tracking-table-max-keys", "100"]);
    let mut reader = server.connect();
    reader.run("HELLO 3");
    reader.run("CLIENT TRACKING ON");
    let mut told = 0;
    for i in 0..1000 {
        reader.send(&["GET", &format!("key {i}")]);
        while reader.read() != crate::common::Value::Null {
            told += 1;
        }
    }
    reader.send(&["PING"]);
    while !reader.read().is("PONG") {
        told += 1;
    }
    assert_eq!(told, 900);
    let info = reader.run("INFO stats").text();
    assert!(info.contains("tracking_total_keys:100\r\n"), "{info}");
    assert!(info.contains("tracking_total_items:100\r\n"), "{info}");
}

#[test]
fn a_lower_limit_forgets_keys_at_once() {
    let server = Server::start(&["--io-threads", "4"]);
    let (mut reader, mut other) = (server.connect(), server.connect());
    reader.run("HELLO 3");
    reader.run("CLIENT TRACKING ON");
    (0..250).for_each(|i| drop(reader.run(&format!("GET key{i}"))));
    other.run("CONFIG SET tracking-table-max-keys 1");
    for _ in 0..249 {
        assert_eq!(reader.read().elements()[0].text(), "invalidate");
    }
    assert!(reader.run("PING").is("PONG"), "one is left");
}

#[test]
fn a_client_hears_of_evicted_keys_before_the_reply_to_the_command_that_needed_room() {
    let server = Server::start(&["--io-threads", "1", "--maxmemory-policy", "volatile-random"]);
    let mut client = server.connect();
    client.run("HELLO 3");
    client.run("CLIENT TRACKING ON");
    client.run("SETEX volatile 10000 x");
    client.run("GET volatile");
    client.run("CONFIG SET maxmemory 1");
    client.send(&["GETBIT", "big", "0"]);
    assert_eq!(client.read().to_string(), ">[\"invalidate\", [\"volatile\"]]");
    assert_eq!(client.read().integer(), 0);
}
