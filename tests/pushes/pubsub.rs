//! Channels, patterns, shard channels and keyspace events, step by step.

use crate::common::Server;
use crate::stage::Stage;

#[test]
fn subscriptions_and_messages_are_the_oracles_in_both_protocols() {
    let mut stage = Stage::new(&[]);
    for a in ["A SUBSCRIBE a b", "A3"] {
        stage.play(&format!(
            "{a}
             A SUBSCRIBE a b
             A PSUBSCRIBE a* ?
             A SSUBSCRIBE a
             A SUBSCRIBE b c
             B PUBLISH a one
             B PUBLISH ab two
             B PUBLISH none three
             B SPUBLISH a four
             B SPUBLISH b five
             B PUBLISH a ''
             B PUBSUB CHANNELS nothing*
             B PUBSUB CHANNELS c*
             B PUBSUB NUMSUB a b none
             B PUBSUB NUMPAT
             B PUBSUB SHARDCHANNELS
             B PUBSUB SHARDNUMSUB a b
             C PSUBSCRIBE a*
             B PUBSUB NUMPAT
             B PUBSUB NUMSUB a
             B PUBLISH a six
             A PING
             A PING text
             A PING too many
             A GET a
             A NOSUCH
             A CLIENT ID x
             A UNSUBSCRIBE a none a
             A PUNSUBSCRIBE ?
             B PUBLISH a seven
             A UNSUBSCRIBE
             A SUNSUBSCRIBE b
             A SUNSUBSCRIBE
             A PUNSUBSCRIBE
             A UNSUBSCRIBE
             A GET a
             B PUBSUB CHANNELS *
             B PUBLISH a eight"
        ));
    }
}

#[test]
fn a_resp3_client_may_do_anything_while_it_is_subscribed() {
    Stage::new(&[]).play(
        "A3
         A SUBSCRIBE a
         A PUBLISH a to-myself
         A SET k v
         A MULTI
         A PUBLISH a in-transaction
         A GET k
         A SUBSCRIBE b
         A PUBLISH b to-the-new-one
         A UNSUBSCRIBE b
         A PUBLISH b to-nobody
         A EXEC
         A RESET
         A PUBLISH a after-reset
         A GET k
         A HELLO 2
         A SUBSCRIBE a
         A HELLO 3
         A GET k
         A HELLO 2
         A GET k
         A RESET
         A GET k",
    );
}

#[test]
fn subscriptions_in_transactions_are_the_oracles() {
    Stage::new(&[]).play(
        "A MULTI
         A SUBSCRIBE a b
         A PSUBSCRIBE p*
         A EXEC
         B PUBLISH a one
         B PUBLISH pp two
         B MULTI
         B PUBLISH a three
         B SET k v
         B PUBLISH pp four
         B EXEC
         B MULTI
         B PUBLISH a five
         B DISCARD",
    );
}

#[test]
fn keyspace_events_are_announced_in_the_order_of_the_changes() {
    let mut stage = Stage::new(&[]);
    for classes in ["KEA", "K$", "Elgx", "KEn", "KEm", "A", "KEAmn", "Ezsht"] {
        stage.play(&format!(
            "A3
             A PSUBSCRIBE __key*
             B SUBSCRIBE __keyevent@0__:set __keyspace@0__:k
             C CONFIG SET notify-keyspace-events {classes}
             C SET k 1
             C GET none
             C GETDEL k
             C RPUSH l a b c
             C LPOP l 3
             C HSET h a 1 b 2
             C HDEL h a b
             C SADD s a
             C SREM s a
             C ZADD z 1 a
             C ZREM z a
             C XADD x 1-1 a b
             C XDEL x 1-1
             C MSET k 1 j 2
             C RENAME k m
             C COPY m n
             C EXPIRE m 100
             C PERSIST m
             C SELECT 3
             C SET k 3
             C MOVE k 0
             C SELECT 0
             C MULTI
             C SET k 5
             C PUBLISH __keyspace@0__:k own
             C INCR k
             C DEL k j
             C EXEC
             A SET k own
             C SORT none STORE k
             C FLUSHALL"
        ));
    }
}

#[test]
fn a_client_that_is_gone_is_no_subscriber() {
    Stage::new(&[]).play(
        "A SUBSCRIBE a
         A PSUBSCRIBE a*
         A SSUBSCRIBE a
         B PUBSUB NUMSUB a
         A.
         B PUBSUB NUMSUB a
         B PUBSUB NUMPAT
         B PUBSUB SHARDNUMSUB a
         B PUBLISH a x",
    );
}

#[test]
fn client_list_and_info_count_subscriptions() {
    let server = Server::start(&[]);
    let (mut a, mut b) = (server.connect(), server.connect());
    let id = a.run("CLIENT ID").integer();
    for words in ["SUBSCRIBE a", "SUBSCRIBE b", "PSUBSCRIBE p", "SSUBSCRIBE s"] {
        a.run(words);
    }
    let line = b.run(&format!("CLIENT LIST ID {id}")).text();
    assert!(line.contains(" flags=P ") && line.contains(" sub=2 psub=1 ssub=1 "), "{line}");
    let info = b.run("INFO").text();
    for field in
        ["pubsub_channels:2", "pubsub_patterns:1", "pubsubshard_channels:1", "pubsub_clients:1"]
    {
        assert!(info.contains(&format!("{field}\r\n")), "{field}");
    }
}

#[test]
fn a_subscriber_that_reads_nothing_is_ended_at_its_limit_and_costs_nobody_else() {
    let limit = "1mb 0 0";
    let server = Server::start(&["--client-output-buffer-limit", &format!("pubsub {limit}")]);
    let (mut slow, mut quick, mut publisher) =
        (server.connect(), server.connect(), server.connect());
    slow.run("SUBSCRIBE c");
    quick.run("SUBSCRIBE c");
    // What the system's buffers hold comes on top.
    let message = "x".repeat(100_000);
    for _ in 0..200 {
        publisher.command(&["PUBLISH", "c", &message]).integer();
        assert_eq!(quick.read().elements()[2].bytes().len(), message.len());
    }
    server.wait_for_log("scheduled to be closed ASAP for overcoming of output buffer limits");
    assert_eq!(publisher.run("PUBSUB NUMSUB c").elements()[1].integer(), 1);
    let info = publisher.run("INFO stats").text();
    assert!(info.contains("client_output_buffer_limit_disconnections:1\r\n"), "{info}");
    slow.discard_to_end();
}

#[test]
fn without_replies_a_client_still_hears_of_its_subscriptions() {
    for server in [Server::start(&[]), Server::oracle(&[])] {
        let (mut client, mut publisher) = (server.connect(), server.connect());
        client.run("HELLO 3");
        client.send(&["CLIENT", "REPLY", "OFF"]);
        client.send(&["GET", "a"]);
        assert_eq!(client.run("SUBSCRIBE c").to_string(), ">[\"subscribe\", \"c\", (integer) 1]");
        assert_eq!(publisher.run("PUBLISH c m").integer(), 1);
        assert_eq!(client.read().to_string(), ">[\"message\", \"c\", \"m\"]");
        let last = client.run("UNSUBSCRIBE c");
        assert_eq!(last.to_string(), ">[\"unsubscribe\", \"c\", (integer) 0]");
    }
}
