//! Transactions and memory: `maxmemory`, the query buffer, and very long queues.

use crate::common::{Client, Server, Value};
use crate::play::{Stage, request};

#[test]
fn exec_is_refused_when_memory_has_run_out_meanwhile() {
    Stage::new(&[]).play_in_both_protocols(
        "A SET a 1
         A MULTI
         A GET a
         A SET b 2
         B CONFIG SET maxmemory 1
         A EXEC
         A?
         A EXEC
         A EXISTS b
         A MULTI
         A GET a
         A SET b 2
         A GET a
         A EXEC
         A MULTI
         A GET a
         A DEL a
         A EXEC
         A WATCH b
         A MULTI
         A SET b 3
         A DISCARD
         A MULTI
         A PING
         A EXEC
         B CONFIG SET maxmemory 0
         A MULTI
         A SET b 4
         A CONFIG SET maxmemory 1
         A SET c 5
         A GET c
         A EXEC
         A GET b
         B CONFIG SET maxmemory 0
         A MULTI
         A SET d 4
         B CONFIG SET maxmemory 1
         B CONFIG SET maxmemory 0
         A EXEC
         ! errorstat_OOM errorstat_EXECABORT",
    );
}

#[test]
fn a_transaction_evicts_what_its_command_would_evict() {
    for server in [Server::oracle(&[]), Server::start(&[])] {
        let mut client = server.connect();
        let value = "x".repeat(1000);
        for n in 0..5000 {
            client.command(&["SET", &format!("old:{n}"), &value]);
        }
        let used = used_memory(&mut client);
        client.run("CONFIG SET maxmemory-policy allkeys-lru");
        client.run(&format!("CONFIG SET maxmemory {}", used - 500_000));
        client.run("MULTI");
        for n in 0..100 {
            client.command(&["SET", &format!("new:{n}"), &value]);
        }
        let replies = client.run("EXEC");
        assert!(replies.elements().iter().all(|reply| reply.is("OK")), "{replies}");
        assert!(client.run("DBSIZE").integer() < 5100);
    }
}

fn info(client: &mut Client, name: &str) -> i64 {
    let info = client.run("INFO everything").text();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name}"))
        .parse()
        .unwrap_or_else(|_| panic!("{name}: {line:?}"))
}

fn used_memory(client: &mut Client) -> i64 {
    info(client, "used_memory")
}

#[test]
fn the_queue_counts_against_the_limit_of_the_query_buffer() {
    let options = ["--client-query-buffer-limit", "1mb"];
    let value = "x".repeat(10_000);
    for server in [Server::oracle(&options), Server::start(&options)] {
        let mut client = server.connect();
        client.run("MULTI");
        let mut queued = 0;
        while client.try_write(&request(&format!("SET k {value}"))).is_ok() {
            match client.read_unless_closed() {
                Some(reply) => assert!(reply.is("QUEUED"), "{reply}"),
                None => break,
            }
            queued += 1;
            assert!(queued < 1000, "the queue grows without limit");
        }
        assert!((95..=110).contains(&queued), "{queued} commands were queued");
        assert_eq!(server.connect().run("EXISTS k").integer(), 0);
    }
}

const LONG: usize = 100_000;

#[test]
fn a_queue_of_100_000_commands_is_executed_and_its_memory_given_back() {
    for server in [Server::oracle(&[]), Server::start(&[])] {
        let (mut client, mut admin) = (server.connect(), server.connect());
        for word in ["EXEC", "DISCARD", "RESET", "a closed connection"] {
            client.run("DEL k");
            let before = used_memory(&mut admin);
            client.write(&request("MULTI"));
            let mut reader = client.reader();
            let queued = std::thread::spawn(move || {
                assert!(reader.read().is("OK"));
                (0..LONG).for_each(|_| assert!(reader.read().is("QUEUED")));
                reader
            });
            let increments = request("INCR k").repeat(1000);
            (0..LONG / 1000).for_each(|_| client.write(&increments));
            let mut reader = queued.join().unwrap();
            let during = used_memory(&mut admin);
            assert!(during > before + LONG as i64 * 16, "{before} bytes, then {during}");
            assert_eq!(admin.run("EXISTS k").integer(), 0);
            match word {
                "EXEC" => {
                    client.write(&request("EXEC"));
                    let replies = reader.read();
                    let numbers = (1..=LONG as i64).map(Value::Integer).collect::<Vec<_>>();
                    assert_eq!(replies.elements(), numbers);
                }
                "a closed connection" => client = server.connect(),
                word => {
                    client.write(&request(word));
                    reader.read();
                }
            }
            drop(reader);
            // Buffers of the connection shrink by and by.
            let is_low = |admin: &mut Client| used_memory(admin) < before + 3_000_000;
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while !is_low(&mut admin) {
                let after = used_memory(&mut admin);
                let late = std::time::Instant::now() >= deadline;
                assert!(!late, "{word}: {before} bytes before, {during} during, {after} after");
            }
        }
    }
}

#[test]
fn client_list_tells_how_much_a_queue_takes() {
    for server in [Server::oracle(&[]), Server::start(&[])] {
        let (mut client, mut admin) = (server.connect(), server.connect());
        let id = client.run("CLIENT ID").integer();
        let mut multi_mem = || {
            let line = admin.run(&format!("CLIENT LIST ID {id}")).text();
            let field = line.split(' ').find_map(|field| field.strip_prefix("multi-mem="));
            field.expect("multi-mem").parse::<i64>().expect("a number")
        };
        assert_eq!(multi_mem(), 0);
        client.run("MULTI");
        let value = "x".repeat(5000);
        client.command(&["SET", "k", &value]);
        let one = multi_mem();
        assert!((5000..7000).contains(&one), "{one}");
        client.command(&["SET", "k", &value]);
        assert!((one + 5000..one + 7000).contains(&multi_mem()), "{}", multi_mem());
        client.run("EXEC");
        assert_eq!(multi_mem(), 0);
    }
}
