//! Commands that wait for lists and sorted sets: compared with Valkey, and by many clients at once.

mod common;

use std::collections::BTreeSet;
use std::thread;

use common::{Client, Ending, Server, Value};

/// A command that waits, and the commands of other clients meanwhile.
const WAITS: &[(&str, &[&str])] = &[
    ("BLPOP k 0", &["RPUSH k a b c", "LRANGE k 0 -1"]),
    ("BRPOP k 0", &["RPUSH k a b c", "LRANGE k 0 -1"]),
    ("BLPOP j k 0", &["RPUSH k a", "RPUSH j b", "LLEN j"]),
    ("BLPOP k 0", &["SET k x", "DEL k", "RPUSH k a"]),
    ("BLPOP k 0", &["ZADD k 1 a", "DEL k", "LPUSH k a b", "LRANGE k 0 -1"]),
    ("BLPOP k 0", &["RPUSH l a b", "RENAME l k", "LRANGE k 0 -1"]),
    ("BLPOP k 0", &["RPUSH l a b", "COPY l k", "LRANGE k 0 -1"]),
    ("BLPOP k 0", &["RPUSH l b a", "SORT l ALPHA STORE k", "LRANGE k 0 -1"]),
    ("BLPOP k 0", &["RPUSH l a", "LMOVE l k LEFT LEFT", "EXISTS k l"]),
    ("BLPOP k 0", &["SELECT 1", "RPUSH k a", "MOVE k 0", "EXISTS k", "SELECT 0"]),
    ("BLPOP k 0", &["SELECT 1", "RPUSH k a", "SWAPDB 0 1", "EXISTS k", "SELECT 0"]),
    ("BLPOP k 0", &["LPUSHX k a", "GET k"]),
    ("BLPOP k 0.05", &[]),
    ("BLMOVE k l LEFT RIGHT 0", &["RPUSH k a b", "LRANGE l 0 -1", "LRANGE k 0 -1"]),
    ("BLMOVE k l RIGHT LEFT 0", &["SET l x", "RPUSH k a b", "LRANGE k 0 -1"]),
    ("BLMOVE k k LEFT RIGHT 0", &["RPUSH k a b", "LRANGE k 0 -1"]),
    ("BRPOPLPUSH k l 0", &["RPUSH k a b", "LRANGE l 0 -1"]),
    ("BRPOPLPUSH k l 0.05", &[]),
    ("BLMPOP 0 2 j k LEFT COUNT 2", &["RPUSH k a b c", "LRANGE k 0 -1"]),
    ("BLMPOP 0 1 k RIGHT COUNT 10", &["RPUSH k a b c", "EXISTS k"]),
    ("BZPOPMIN k 0", &["ZADD k 2 b 1 a", "ZCARD k"]),
    ("BZPOPMAX k 0", &["ZADD k 2 b 1 a", "ZCARD k"]),
    ("BZPOPMIN k 0", &["ZADD l 1 a", "ZUNIONSTORE k 1 l", "EXISTS k"]),
    ("BZPOPMIN k 0", &["ZADD l 1 a", "ZRANGESTORE k l 0 -1", "EXISTS k"]),
    ("BZPOPMIN k 0", &["ZINCRBY k 3 a", "EXISTS k"]),
    ("BZPOPMIN k 0", &["GEOADD k 1 2 a", "EXISTS k"]),
    ("BZPOPMIN k 0.05", &[]),
    ("BZMPOP 0 2 j k MIN COUNT 2", &["ZADD k 1 a 2 b 3 c", "ZRANGE k 0 -1"]),
    ("BZMPOP 0 1 k MAX", &["ZADD k 1 a 2 b 3 c", "ZRANGE k 0 -1"]),
    ("BZMPOP 0.05 1 k MAX", &[]),
];

/// The replies to all clients, the waiting client last.
fn outcome(server: &Server, protocol: &str, wait: &str, then: &[&str]) -> Vec<Value> {
    let ending = if wait.contains("0.05") { Ending::Timeout } else { Ending::Others };
    common::outcome_of_waiting(server, protocol, &["FLUSHALL"], wait, ending, then)
}

#[test]
fn blocked_clients_get_valkeys_replies_when_their_keys_change() {
    let (ours, oracle) = (Server::start_mirrored(&[]), Server::oracle(&[]));
    for (wait, then) in WAITS {
        for protocol in ["2", "3"] {
            let expected = outcome(&oracle, protocol, wait, then);
            assert_eq!(outcome(&ours, protocol, wait, then), expected, "{wait}; {then:?}");
        }
        ours.assert_mirrored();
    }
}

/// Where Valkey tries all keys again and fails at the first one: docs/COMPATIBILITY.md.
#[test]
fn a_key_of_another_type_does_not_block_the_other_keys() {
    let server = Server::start_mirrored(&[]);
    let replies = outcome(&server, "2", "BZPOPMIN j k 0", &["RPUSH j a", "ZADD k 1 a", "EXISTS k"]);
    assert_eq!(replies[2], Value::Integer(0));
    assert_eq!(replies[3].elements()[1].text(), "a");
    server.assert_mirrored();
}

/// A client that is blocked in the command `words`.
fn waiting(server: &Server, control: &mut Client, words: &str) -> (Client, i64) {
    let mut client = server.connect();
    let id = client.run("CLIENT ID").integer();
    client.send(&words.split(' ').collect::<Vec<_>>());
    control.wait_until_blocked(id);
    (client, id)
}

#[test]
fn clients_are_served_in_the_order_in_which_they_came() {
    let server = Server::start_mirrored(&["--io-threads", "4"]);
    let mut control = server.connect();
    for (wait, push) in [("BLPOP k 0", "RPUSH k"), ("BZPOPMIN k 0", "ZADD k 1")] {
        let mut clients =
            (0..6).map(|_| waiting(&server, &mut control, wait).0).collect::<Vec<_>>();
        for (number, client) in clients.iter_mut().enumerate() {
            control.run(&format!("{push} {number}"));
            assert_eq!(client.read().elements()[1].text(), number.to_string(), "{wait}");
        }
        assert_eq!(control.run("EXISTS k").integer(), 0);
    }
    server.assert_mirrored();
}

#[test]
fn closed_and_unblocked_clients_take_no_elements() {
    let server = Server::start_mirrored(&["--io-threads", "2"]);
    let mut control = server.connect();
    let (closed, closed_id) = waiting(&server, &mut control, "BLPOP k 0");
    let (mut unblocked, unblocked_id) = waiting(&server, &mut control, "BLPOP k 0");
    let (mut failed, failed_id) = waiting(&server, &mut control, "BLPOP k 0");
    let (mut last, _) = waiting(&server, &mut control, "BLPOP k 0");
    drop(closed);
    while !control.run(&format!("CLIENT LIST ID {closed_id}")).text().is_empty() {}
    assert_eq!(control.run(&format!("CLIENT UNBLOCK {unblocked_id}")).integer(), 1);
    assert_eq!(control.run(&format!("CLIENT UNBLOCK {failed_id} ERROR")).integer(), 1);
    assert!(failed.read().error().starts_with("UNBLOCKED "));
    assert_eq!(unblocked.read_raw(), b"*-1\r\n");
    control.run("RPUSH k a");
    assert_eq!(last.read().elements()[1].text(), "a");
    assert_eq!(control.run("EXISTS k").integer(), 0);
    server.assert_mirrored();
}

#[test]
fn a_chain_of_moves_completes_in_one_step() {
    let server = Server::start_mirrored(&["--io-threads", "4"]);
    let mut control = server.connect();
    let mut clients = (0..5)
        .map(|n| waiting(&server, &mut control, &format!("BLMOVE l{n} l{} LEFT RIGHT 0", n + 1)).0)
        .collect::<Vec<_>>();
    control.run("RPUSH l0 a");
    for client in &mut clients {
        assert_eq!(client.read().text(), "a");
    }
    assert_eq!(control.run("LRANGE l5 0 -1").elements()[0].text(), "a");
    assert_eq!(control.run("EXISTS l0 l1 l2 l3 l4").integer(), 0);
    server.assert_mirrored();
}

/// Elements that each producer adds.
const EACH: usize = 3_000;

#[test]
fn each_element_is_delivered_exactly_once() {
    let server = Server::start_mirrored(&["--io-threads", "4"]);
    let (producers, consumers) = (3, 5);
    let delivered = thread::scope(|scope| {
        for producer in 0..producers {
            let mut client = server.connect();
            scope.spawn(move || {
                for number in 0..EACH {
                    let key = format!("q{}", number % 3);
                    let reply = client.command(&["RPUSH", &key, &format!("{producer}:{number}")]);
                    assert!(reply.integer() > 0);
                }
            });
        }
        let takers = (0..consumers).map(|consumer| {
            let mut client = server.connect();
            scope.spawn(move || {
                // The clients read the queues in different orders.
                let words =
                    ["BLPOP q0 q1 q2 0", "BRPOP q2 q1 q0 0", "BLMPOP 0 3 q1 q0 q2 LEFT COUNT 3"];
                let words = words[consumer % words.len()];
                let mut taken = Vec::new();
                loop {
                    let reply = client.run(words);
                    let [_, what] = reply.elements() else { panic!("{reply:?}") };
                    let elements = match what {
                        Value::Array(elements) => elements.iter().map(Value::text).collect(),
                        element => vec![element.text()],
                    };
                    let is_over = elements.iter().any(|element| element == "end");
                    taken.extend(elements.into_iter().filter(|element| element != "end"));
                    if is_over {
                        return taken;
                    }
                }
            })
        });
        let takers = takers.collect::<Vec<_>>();
        let mut control = server.connect();
        let total = producers * EACH;
        // All elements have been pushed and taken; then each consumer gets its own end marker.
        let pushed = || {
            let stats = server.connect().run("INFO commandstats").text();
            stats.contains(&format!("cmdstat_rpush:calls={total},"))
        };
        while !pushed() || control.run("EXISTS q0 q1 q2").integer() > 0 {}
        let mut takers = takers;
        let mut delivered = Vec::new();
        while !takers.is_empty() {
            control.run("RPUSH q1 end");
            while !takers.iter().any(|taker| taker.is_finished()) {}
            let at = takers.iter().position(|taker| taker.is_finished()).unwrap();
            delivered.extend(takers.remove(at).join().unwrap());
        }
        delivered
    });
    assert_eq!(delivered.len(), producers * EACH);
    let all = (0..producers).flat_map(|p| (0..EACH).map(move |n| format!("{p}:{n}")));
    assert_eq!(delivered.into_iter().collect::<BTreeSet<_>>(), all.collect::<BTreeSet<_>>());
    server.assert_mirrored();
}

#[test]
fn elements_moved_between_lists_are_neither_lost_nor_duplicated() {
    let server = Server::start_mirrored(&["--io-threads", "4"]);
    let (lists, elements) = (4, 40);
    let mut control = server.connect();
    (0..elements).for_each(|n| drop(control.run(&format!("RPUSH l0 {n}"))));
    thread::scope(|scope| {
        for worker in 0..4 {
            let mut client = server.connect();
            scope.spawn(move || {
                for step in 0..2_000 {
                    let (from, to) = ((worker + step) % lists, (worker * 3 + step * 5 + 1) % lists);
                    let command = if step % 2 == 0 { "LMOVE" } else { "BLMOVE" };
                    let timeout = if step % 2 == 0 { "" } else { " 0.001" };
                    client.run(&format!("{command} l{from} l{to} LEFT RIGHT{timeout}"));
                }
            });
        }
    });
    let mut left = Vec::new();
    for list in 0..lists {
        let reply = control.run(&format!("LRANGE l{list} 0 -1"));
        left.extend(reply.elements().iter().map(|element| element.text().parse::<i32>().unwrap()));
    }
    left.sort_unstable();
    assert_eq!(left, (0..elements).collect::<Vec<_>>());
    server.assert_mirrored();
}
