//! Properties of hashes that the differential tests of replies cannot show.

mod common;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use common::{Client, Server};

/// Sets so many fields of `key`, which have so many milliseconds to live.
fn fill(client: &mut Client, key: &str, fields: usize, ttl: i64) {
    for first in (0..fields).step_by(1000) {
        let pairs: Vec<_> = (first..fields.min(first + 1000)).map(|n| n.to_string()).collect();
        let (ttl, count) = (ttl.to_string(), pairs.len().to_string());
        let mut words = vec!["HSETEX", key, "PX", &ttl, "FIELDS", &count];
        words.extend(pairs.iter().flat_map(|field| [field.as_str(), "value"]));
        client.send(&words);
        assert_eq!(client.read().integer(), 1);
    }
}

/// Waits until the command, which must not remove anything itself, gets this integer.
fn wait_for(client: &mut Client, command: &str, expected: i64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = client.run(command).integer();
        if answer == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{command}: {answer} instead of {expected}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn info(client: &mut Client, field: &str) -> String {
    let text = client.run("INFO everything").text();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().to_owned()
}

#[test]
fn expired_fields_and_empty_hashes_are_removed_in_the_background() {
    for workers in ["1", "3"] {
        let server = Server::start(&["--io-threads", workers]);
        let mut client = server.connect();
        fill(&mut client, "goes", 20_000, 300);
        fill(&mut client, "shrinks", 5000, 300);
        client.run("HSET shrinks a 1 b 2");
        fill(&mut client, "stays", 100, 1_000_000);
        client.run("HSET packed a 1");
        let keyspace = info(&mut client, "db0");
        assert!(keyspace.starts_with("keys=4,expires=0,"), "{keyspace}");
        assert!(keyspace.ends_with(",keys_with_volatile_items=3"), "{keyspace}");
        wait_for(&mut client, "HLEN goes", 0);
        wait_for(&mut client, "DBSIZE", 3);
        wait_for(&mut client, "HLEN shrinks", 2);
        assert_eq!(client.run("HLEN stays").integer(), 100);
        assert_eq!(info(&mut client, "expired_fields"), "25000");
        assert_eq!(info(&mut client, "expired_keys"), "0");
        let keyspace = info(&mut client, "db0");
        assert!(keyspace.ends_with(",keys_with_volatile_items=1"), "{keyspace}");
        // Regardless of the hash's place and of its own expiry.
        fill(&mut client, "moved", 10, 200);
        client.run("EXPIRE moved 1000");
        client.run("MOVE moved 7");
        client.run("SELECT 7");
        client.run("RENAME moved renamed");
        client.run("COPY renamed copy");
        wait_for(&mut client, "DBSIZE", 0);
    }
}

#[test]
fn fields_whose_expiry_is_removed_or_postponed_stay() {
    let server = Server::start(&["--io-threads", "2"]);
    let mut client = server.connect();
    fill(&mut client, "h", 100, 150);
    client.run("HPERSIST h FIELDS 2 0 1");
    client.run("HEXPIRE h 1000 FIELDS 2 2 3");
    client.run("HSET h 4 new");
    client.run("HINCRBY h n 1");
    wait_for(&mut client, "HLEN h", 6);
    // The next earliest expiry is known all the same.
    client.run("HPEXPIRE h 50 FIELDS 1 3");
    wait_for(&mut client, "HLEN h", 5);
    client.run("HPEXPIRE h 50 FIELDS 5 0 1 2 4 n");
    wait_for(&mut client, "EXISTS h", 0);
}

#[test]
fn expiry_of_a_big_hash_does_not_delay_other_clients() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    fill(&mut client, "{h}", 200_000, 1);
    assert_eq!(client.run("HLEN {h}").integer(), 200_000);
    client.run("DEBUG SET-ACTIVE-EXPIRE 1");
    let mut served = 0;
    while client.run("EXISTS {h}").integer() == 1 {
        // The same shard.
        client.run("GET {h}other");
        served += 1;
    }
    // At most one request is served meanwhile if the hash is removed in one step.
    assert!(served > 100, "{served} requests were served meanwhile");
}

#[test]
fn a_scan_sees_every_field_that_stays() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    fill(&mut client, "h", 3000, 1_000_000);
    let (mut cursor, mut seen, mut step) = ("0".to_owned(), HashSet::new(), 3000);
    loop {
        let reply = client.run(&format!("HSCAN h {cursor} COUNT 20 NOVALUES"));
        let [next, fields] = reply.elements() else { panic!("a cursor and fields") };
        seen.extend(fields.elements().iter().map(|field| field.text()));
        cursor = next.text();
        if cursor == "0" {
            break;
        }
        // The hash grows at first, then it shrinks.
        if step < 6000 {
            fill_from(&mut client, step, 200);
            step += 200;
        } else {
            client.run(&format!("HDEL h {}", step - 4000));
            step += 1;
        }
    }
    let stayed = (0..2000).chain(step.min(3000)..3000);
    assert!(stayed.into_iter().all(|field| seen.contains(&field.to_string())));
}

fn fill_from(client: &mut Client, first: usize, count: usize) {
    let fields: String = (first..first + count).map(|n| format!(" {n} value")).collect();
    client.run(&format!("HSET h{fields}"));
}
