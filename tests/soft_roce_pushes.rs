//! Messages, invalidations and MONITOR over RDMA and TCP at once: needs an RDMA device, real or in software.
#![cfg(feature = "rdma")]

mod common;

use common::rdma::{SMALL, await_that, block_on, connect, start};
use verbena::tools::client::{Client, Value};
use verbena_transport::RdmaClientOptions;

/// Runs one command, written with spaces between its arguments.
async fn run(client: &mut Client, words: &str) -> Value {
    client.call(&words.split(' ').collect::<Vec<_>>()).await.unwrap()
}

fn words(words: &[&str]) -> Vec<Value> {
    words.iter().map(|word| Value::Bulk(word.as_bytes().to_vec())).collect()
}

/// The next message or reply: one that came before the reply to a call was kept apart.
async fn received(client: &mut Client) -> Value {
    match client.next_push() {
        Some(push) => push,
        None => client.receive().await.unwrap(),
    }
}

#[test]
fn messages_cross_between_rdma_and_tcp() {
    let server = start(&["--io-threads", "2", "--notify-keyspace-events", "KEA"]);
    block_on(async {
        let mut over_rdma = connect(&server, &RdmaClientOptions::default()).await;
        let mut resp3 = connect(&server, &SMALL).await;
        let mut publisher = connect(&server, &SMALL).await;
        let mut over_tcp = server.connect();
        run(&mut resp3, "HELLO 3").await;
        run(&mut over_rdma, "SUBSCRIBE c").await;
        resp3.send(&["PSUBSCRIBE", "c*", "__keyevent@0__:set"]);
        resp3.flush().await.unwrap();
        for count in 1..=2 {
            let Value::Push(confirmed) = received(&mut resp3).await else { panic!("a push") };
            assert_eq!(confirmed[2], Value::Integer(count));
        }
        over_tcp.run("SUBSCRIBE c");
        assert_eq!(run(&mut publisher, "PUBLISH c one").await, Value::Integer(3));
        let mut other = server.connect();
        assert_eq!(other.run("PUBLISH c two").integer(), 3);
        other.run("SET k v");
        for text in ["one", "two"] {
            let message = Value::Array(words(&["message", "c", text]));
            assert_eq!(received(&mut over_rdma).await, message);
            let push = Value::Push(words(&["pmessage", "c*", "c", text]));
            assert_eq!(received(&mut resp3).await, push);
            assert_eq!(over_tcp.read().elements()[2].text(), text);
        }
        let event = "__keyevent@0__:set";
        let push = Value::Push(words(&["pmessage", event, event, "k"]));
        assert_eq!(received(&mut resp3).await, push);
        // A client that leaves is no subscriber any more.
        drop(over_rdma);
        await_that("the client over RDMA is gone", || {
            other.run("PUBSUB NUMSUB c").elements()[1].integer() == 1
        })
        .await;
    });
}

#[test]
fn many_messages_arrive_once_in_their_order() {
    const MESSAGES: usize = 500;
    let server = start(&["--io-threads", "2"]);
    block_on(async {
        let mut subscriber = connect(&server, &SMALL).await;
        run(&mut subscriber, "SUBSCRIBE c").await;
        let mut publisher = connect(&server, &RdmaClientOptions::default()).await;
        let tcp = server.connect();
        let from_tcp = std::thread::spawn(move || {
            let mut tcp = tcp;
            for number in 0..MESSAGES {
                tcp.command(&["PUBLISH", "c", &format!("tcp {number}")]);
            }
        });
        // Longer than the receive buffer, all together.
        let long = "x".repeat(1000);
        for number in 0..MESSAGES {
            let text = format!("rdma {number} {long}");
            assert_eq!(publisher.call(&["PUBLISH", "c", &text]).await.unwrap(), Value::Integer(1));
        }
        let mut next = std::collections::HashMap::new();
        for _ in 0..2 * MESSAGES {
            let Value::Array(message) = received(&mut subscriber).await else {
                panic!("a message")
            };
            let Value::Bulk(text) = &message[2] else { panic!("a text") };
            let text = String::from_utf8(text.clone()).unwrap();
            let mut parts = text.split(' ');
            let next = next.entry(parts.next().unwrap().to_owned()).or_insert(0);
            assert_eq!(parts.next().unwrap().parse(), Ok(*next));
            *next += 1;
        }
        from_tcp.join().unwrap();
    });
}

#[test]
fn an_invalidation_follows_the_reply_that_it_is_about() {
    let server = start(&["--io-threads", "2"]);
    block_on(async {
        let mut reader = connect(&server, &SMALL).await;
        let mut writer = server.connect();
        run(&mut reader, "HELLO 3").await;
        run(&mut reader, "CLIENT TRACKING ON").await;
        for round in 0..200 {
            let text = round.to_string();
            writer.command(&["SET", "k", &text]);
            if round > 0 {
                let expected =
                    vec![Value::Bulk(b"invalidate".to_vec()), Value::Array(words(&["k"]))];
                assert_eq!(received(&mut reader).await, Value::Push(expected));
            }
            assert_eq!(run(&mut reader, "GET k").await, Value::Bulk(text.into_bytes()));
        }
    });
}

#[test]
fn monitor_shows_commands_of_both_kinds_of_connections() {
    let server = start(&[]);
    block_on(async {
        let mut monitor = connect(&server, &SMALL).await;
        let mut other = connect(&server, &SMALL).await;
        run(&mut monitor, "MONITOR").await;
        run(&mut other, "SET over rdma").await;
        server.connect().run("SET over tcp");
        for end in ["\"SET\" \"over\" \"rdma\"", "\"SET\" \"over\" \"tcp\""] {
            let Value::Simple(line) = received(&mut monitor).await else { panic!("a line") };
            let line = String::from_utf8(line).unwrap();
            assert!(line.ends_with(end), "{line}");
        }
    });
}

#[test]
fn a_subscriber_that_reads_nothing_is_ended_at_its_limit() {
    let server = start(&["--client-output-buffer-limit", "pubsub 256kb 0 0"]);
    block_on(async {
        let mut slow = connect(&server, &SMALL).await;
        run(&mut slow, "SUBSCRIBE c").await;
        let mut publisher = server.connect();
        let text = "x".repeat(50_000);
        await_that("the subscriber is gone", || {
            publisher.command(&["PUBLISH", "c", &text]).integer() == 0
        })
        .await;
        let info = publisher.run("INFO stats").text();
        assert!(info.contains("client_output_buffer_limit_disconnections:1\r\n"), "{info}");
    });
}
