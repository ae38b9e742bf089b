//! SCAN's guarantee, and RANDOMKEY's.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Client, Server};

/// Scans once; how often each key came.
fn scan(client: &mut Client, options: &str) -> HashMap<String, usize> {
    let mut seen = HashMap::new();
    let mut cursor = String::from("0");
    loop {
        let reply = client.run(&format!("SCAN {cursor} {options}"));
        let [next, keys] = reply.elements() else { panic!("{reply}") };
        for key in keys.elements() {
            *seen.entry(key.text()).or_default() += 1;
        }
        cursor = next.text();
        assert!(cursor.parse::<u64>().unwrap() < 1 << 53);
        if cursor == "0" {
            return seen;
        }
    }
}

fn fill(client: &mut Client, prefix: &str, range: std::ops::Range<usize>) {
    for n in range.clone() {
        client.send(&["SET", &format!("{prefix}{n}"), "1"]);
    }
    range.for_each(|_| assert!(client.read().is("OK")));
}

fn remove(client: &mut Client, prefix: &str, range: std::ops::Range<usize>) {
    for n in range.clone() {
        client.send(&["DEL", &format!("{prefix}{n}")]);
    }
    range.for_each(|_| _ = client.read().integer());
}

#[test]
fn a_scan_of_a_still_database_returns_every_key_once() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert!(scan(&mut client, "").is_empty());
    fill(&mut client, "key:", 0..5000);
    fill(&mut client, "{tag}", 0..3000);
    for count in [1, 7, 10, 100, 1_000_000] {
        let seen = scan(&mut client, &format!("COUNT {count}"));
        assert_eq!(seen.len(), 8000, "COUNT {count}");
        assert!(seen.values().all(|times| *times == 1));
    }
    assert_eq!(scan(&mut client, "MATCH key:1?").len(), 10);
    assert_eq!(scan(&mut client, "MATCH {tag}* COUNT 50").len(), 3000);
    assert_eq!(scan(&mut client, "MATCH {tag}17").len(), 1);
    assert_eq!(scan(&mut client, "TYPE string COUNT 1000").len(), 8000);
    assert_eq!(scan(&mut client, "TYPE hash COUNT 1000").len(), 0);
    client.run("SELECT 3");
    assert!(scan(&mut client, "").is_empty());
}

#[test]
fn a_few_keys_come_with_one_call() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    fill(&mut client, "key:", 0..10);
    let reply = client.run("SCAN 0");
    assert_eq!(reply.elements()[0].text(), "0");
    assert_eq!(reply.elements()[1].elements().len(), 10);
}

/// COUNT bounds the work of one call, whether or not the keys match.
#[test]
fn a_call_visits_about_as_many_keys_as_asked_for() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    fill(&mut client, "key:", 0..20_000);
    for count in [1, 10, 100, 1000] {
        let reply = client.run(&format!("SCAN 0 COUNT {count}"));
        let found = reply.elements()[1].elements().len();
        // The last bucket is returned whole.
        assert!((count..count + 40).contains(&found), "{found} keys with COUNT {count}");
        let reply = client.run(&format!("SCAN 0 MATCH none* COUNT {count}"));
        assert_ne!(reply.elements()[0].text(), "0");
        assert!(reply.elements()[1].elements().is_empty());
    }
}

#[test]
fn keys_that_stay_are_all_returned_while_others_come_and_go() {
    let server = Server::start(&["--io-threads", "4"]);
    let mut client = server.connect();
    fill(&mut client, "stays:", 0..3000);
    fill(&mut client, "{tag}stays:", 0..1000);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (number, prefix) in ["{tag}churn:", "churn:", "other:"].into_iter().enumerate() {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                let mut client = server.connect();
                // Tables grow to many times their size and shrink again.
                let size = [4000, 20_000, 100][number];
                while !done.load(Ordering::Relaxed) {
                    fill(&mut client, prefix, 0..size);
                    remove(&mut client, prefix, 0..size);
                }
            });
        }
        for round in 0..40 {
            let count = [1, 10, 50, 200][round % 4];
            let seen = scan(&mut client, &format!("COUNT {count}"));
            for n in 0..3000 {
                assert!(seen.contains_key(&format!("stays:{n}")), "stays:{n}, COUNT {count}");
            }
            for n in 0..1000 {
                assert!(seen.contains_key(&format!("{{tag}}stays:{n}")), "COUNT {count}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn any_number_is_a_cursor() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    fill(&mut client, "key:", 0..2000);
    for cursor in [1, 1023, 1024, (1 << 42) - 1, 1 << 42, u64::MAX / 3, u64::MAX] {
        let mut cursor = cursor.to_string();
        let mut calls = 0;
        while cursor != "0" {
            let reply = client.run(&format!("SCAN {cursor} COUNT 100"));
            cursor = reply.elements()[0].text();
            calls += 1;
            assert!(calls < 200, "a scan ends wherever it begins");
        }
    }
}

#[test]
fn randomkey_draws_every_key_alike() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.run("RANDOMKEY"), crate::common::Value::Null);
    // Half of the keys in one shard, the others spread over many.
    fill(&mut client, "{tag}", 0..50);
    fill(&mut client, "key:", 0..50);
    let mut drawn: HashMap<String, usize> = HashMap::new();
    for _ in 0..10_000 {
        client.send(&["RANDOMKEY"]);
    }
    for _ in 0..10_000 {
        *drawn.entry(client.read().text()).or_default() += 1;
    }
    assert_eq!(drawn.len(), 100);
    // Each is expected 100 times; ten standard deviations are 100.
    assert!(drawn.values().all(|times| *times < 200), "{drawn:?}");
    let tagged: usize = drawn.iter().filter(|(k, _)| k.starts_with("{tag}")).map(|(_, n)| n).sum();
    assert!((4500..5500).contains(&tagged), "{tagged} of 10000 in the shard that has half");
}

#[test]
fn expired_keys_are_never_returned() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    fill(&mut client, "stays:", 0..5);
    for round in 0..20 {
        fill(&mut client, "goes:", 0..200);
        // They expire before the next command is executed, and before any expiry cycle.
        let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let at = (at.as_millis() + 3).to_string();
        for n in 0..200 {
            client.send(&["PEXPIREAT", &format!("goes:{n}"), &at]);
        }
        (0..200).for_each(|_| _ = client.read());
        std::thread::sleep(std::time::Duration::from_millis(4));
        let keys: HashSet<String> = match round % 3 {
            0 => client.run("KEYS *").elements().iter().map(|key| key.text()).collect(),
            1 => scan(&mut client, "").into_keys().collect(),
            _ => (0..50).map(|_| client.run("RANDOMKEY").text()).collect(),
        };
        assert!(keys.iter().all(|key| key.starts_with("stays:")), "{keys:?}");
    }
}
