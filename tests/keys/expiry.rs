//! What has expired goes away by itself, and a server with nothing to do does nothing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::common::{Client, Server};

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Sets keys with an expiry, in milliseconds of Unix time.
fn fill(client: &mut Client, prefix: &str, count: usize, at: i64) {
    for n in (0..count).step_by(1000) {
        let batch = n..count.min(n + 1000);
        for n in batch.clone() {
            let key = format!("{prefix}{n}");
            client.send(&["SET", &key, "value"]);
            client.send(&["PEXPIREAT", &key, &at.to_string()]);
        }
        for _ in batch {
            assert!(client.read().is("OK"));
            assert_eq!(client.read().integer(), 1);
        }
    }
}

/// Waits until database 0 has `count` keys, asking nothing that would expire one.
fn wait_for(client: &mut Client, count: i64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let size = client.run("DBSIZE").integer();
        if size == count {
            return;
        }
        assert!(Instant::now() < deadline, "{size} keys are left instead of {count}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn expired_keys_go_away_unasked_and_the_others_stay() {
    for workers in ["1", "3"] {
        let server = Server::start(&["--io-threads", workers]);
        let mut client = server.connect();
        fill(&mut client, "stays:", 3000, now() + 1_000_000);
        client.run("SET forever 1");
        fill(&mut client, "goes:", 20_000, now() + 3000);
        fill(&mut client, "{tag}goes:", 5000, now() + 500);
        wait_for(&mut client, 3001);
        // A table that was emptied is watched again.
        fill(&mut client, "again:", 100, now() + 100);
        wait_for(&mut client, 3001);
        client.run("SELECT 7");
        fill(&mut client, "there:", 100, now() + 50);
        client.run("SWAPDB 7 0");
        let mut other = server.connect();
        wait_for(&mut other, 0);
    }
}

#[test]
fn an_expiry_that_is_brought_forward_is_kept() {
    let server = Server::start(&["--io-threads", "2"]);
    let mut client = server.connect();
    fill(&mut client, "key:", 500, now() + 1_000_000);
    for n in 0..250 {
        client.send(&["PEXPIRE", &format!("key:{n}"), "50"]);
    }
    (0..250).for_each(|_| assert_eq!(client.read().integer(), 1));
    wait_for(&mut client, 250);
    client.run("FLUSHALL");
    client.run("SET key:0 1");
    client.run("PEXPIRE key:0 20");
    wait_for(&mut client, 0);
}

#[test]
fn a_key_that_has_expired_is_gone_for_every_command() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for (command, gone) in [
        ("GET a", "(nil)"),
        ("EXISTS a", "(integer) 0"),
        ("TTL a", "(integer) -2"),
        ("PERSIST a", "(integer) 0"),
        ("EXPIRE a 100", "(integer) 0"),
        ("TYPE a", "none"),
        ("RENAME a b", "(error) ERR no such key"),
        ("RENAMENX other a", "(integer) 1"),
        ("COPY a b", "(integer) 0"),
        ("COPY other a", "(integer) 1"),
        ("MOVE a 1", "(integer) 0"),
        ("DEL a", "(integer) 0"),
        ("UNLINK a", "(integer) 0"),
        ("TOUCH a", "(integer) 0"),
        ("OBJECT ENCODING a", "(nil)"),
    ] {
        client.run("FLUSHALL");
        client.run("SET other 1");
        client.run("SET a 1");
        client.run("PEXPIRE a 2");
        std::thread::sleep(Duration::from_millis(3));
        assert_eq!(client.run(command).to_string(), gone, "{command}");
    }
}

#[test]
fn a_flush_frees_a_large_database_without_making_others_wait() {
    let server = Server::start(&["--io-threads", "2"]);
    let mut client = server.connect();
    for mode in ["SYNC", "ASYNC"] {
        fill(&mut client, "key:", 100_000, now() + 1_000_000);
        let started = Instant::now();
        assert!(client.run(&format!("FLUSHALL {mode}")).is("OK"));
        // Freeing takes several times as long.
        let took = started.elapsed();
        assert!(took < Duration::from_millis(200), "{took:?}");
        assert_eq!(client.run("DBSIZE").integer(), 0);
        assert_eq!(client.run("GET key:1").to_string(), "(nil)");
    }
}

/// Times that the workers went to sleep by themselves so far: about as often they woke up.
fn sleeps(server: &Server) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    tasks
        .map(|task| {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let field =
                |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            match field("Name:").trim().starts_with("io_thd") {
                true => field("voluntary_ctxt_switches:").trim().parse::<u64>().unwrap(),
                false => 0,
            }
        })
        .sum()
}

#[test]
fn a_worker_with_nothing_due_does_not_wake_up() {
    let server = Server::start(&["--io-threads", "2"]);
    let mut client = server.connect();
    for (expiring, kept) in [(0, 0), (1000, 0), (1000, 1000)] {
        fill(&mut client, "goes:", expiring, now() + 50);
        fill(&mut client, "stays:", kept, now() + 1_000_000);
        wait_for(&mut client, kept as i64);
        // Let the cycle that is due after the last one pass.
        std::thread::sleep(Duration::from_millis(300));
        let before = sleeps(&server);
        std::thread::sleep(Duration::from_secs(1));
        let wakes = sleeps(&server) - before;
        assert!(wakes <= 4, "{wakes} wakes in a second, {kept} keys have an expiry");
    }
}
