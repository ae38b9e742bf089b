//! Messages under load: every one arrives once, in its publisher's order, at every subscriber.

use std::collections::BTreeMap;
use std::thread;

use crate::common::{Client, Server};

const PUBLISHERS: usize = 8;
const SUBSCRIBERS: usize = 100;
const MESSAGES: usize = 1500;
/// Requests that a publisher sends together.
const PIPELINE: usize = 50;

/// Reads messages until each publisher's last one has come; how many came by each kind of subscription.
fn read_all(mut subscriber: Client) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut next: BTreeMap<(String, String), usize> = BTreeMap::new();
    let expected = 2 * PUBLISHERS * MESSAGES;
    for _ in 0..expected {
        let message = subscriber.read();
        let elements = message.elements();
        let kind = elements[0].text();
        let text = elements[elements.len() - 1].text();
        let (publisher, number) = text.split_once(' ').expect("a publisher and a number");
        let next = next.entry((kind.clone(), publisher.to_owned())).or_default();
        assert_eq!(number.parse(), Ok(*next), "{kind} of publisher {publisher}");
        *next += 1;
        *counts.entry(kind).or_default() += 1;
    }
    assert!(next.values().all(|next| *next == MESSAGES));
    counts
}

#[test]
fn every_message_arrives_once_in_its_publishers_order() {
    let server = Server::start(&["--io-threads", "4"]);
    let subscribers: Vec<_> = (0..SUBSCRIBERS)
        .map(|number| {
            let mut client = server.connect();
            if number % 2 == 1 {
                client.run("HELLO 3");
            }
            client.run("SUBSCRIBE c");
            client.run("PSUBSCRIBE c*");
            thread::spawn(move || read_all(client))
        })
        .collect();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let mut client = server.connect();
            thread::spawn(move || {
                for start in (0..MESSAGES).step_by(PIPELINE) {
                    for number in start..start + PIPELINE {
                        client.send(&["PUBLISH", "c", &format!("{publisher} {number}")]);
                    }
                    for _ in 0..PIPELINE {
                        assert_eq!(client.read().integer(), 2 * SUBSCRIBERS as i64);
                    }
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    for subscriber in subscribers {
        let counts = subscriber.join().unwrap();
        let all = PUBLISHERS * MESSAGES;
        assert_eq!(counts.get("message"), Some(&all));
        assert_eq!(counts.get("pmessage"), Some(&all));
    }
}

/// The events of one key tell of its changes in their order, whichever workers they came from.
#[test]
fn events_of_a_key_have_the_order_of_its_changes() {
    const WRITERS: usize = 6;
    const WRITES: usize = 2000;
    let server = Server::start(&["--io-threads", "4", "--notify-keyspace-events", "KEA"]);
    let mut subscriber = server.connect();
    subscriber.run("SUBSCRIBE __keyspace@0__:k");
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let mut client = server.connect();
            thread::spawn(move || {
                for _ in 0..WRITES / 20 {
                    // Between them the list is sometimes gone, and then it is new.
                    (0..10).for_each(|_| client.send(&["RPUSH", "k", "x"]));
                    (0..10).for_each(|_| client.send(&["LPOP", "k"]));
                    (0..20).for_each(|_| drop(client.read()));
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let mut last = server.connect();
    last.run("DEL k");
    last.run("SET k end");
    let mut len = 0i64;
    loop {
        let event = subscriber.read().elements()[2].text();
        match event.as_str() {
            "rpush" => len += 1,
            "lpop" => len -= 1,
            "del" => assert_eq!(len, 0, "the list was empty when it was removed"),
            "set" => break,
            other => panic!("an event {other:?}"),
        }
        assert!(len >= 0, "an element was taken that was not there");
    }
    assert_eq!(len, 0);
}
