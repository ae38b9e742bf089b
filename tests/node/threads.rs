//! `io-threads` while the server runs, and the processors of threads.

use crate::common::{Client, Server};
use crate::{state, wait_until};

/// The ids of the server's threads of that name.
fn threads(server: &Server, name: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let ids = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
    ids.filter(|id| state(server, &format!("task/{id}/comm")).trim() == name).collect()
}

/// How often the one thread of that name has slept.
fn sleeps(server: &Server, name: &str) -> u64 {
    wait_until("the thread has its name", || threads(server, name).len() == 1);
    let id = &threads(server, name)[0];
    let status = state(server, &format!("task/{id}/status"));
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

/// The worker, of so many, that serves a client.
fn worker(server: &Server, client: &mut Client, workers: usize) -> usize {
    let names: Vec<String> = (0..workers).map(|index| format!("io_thd_{index}")).collect();
    let before: Vec<u64> = names.iter().map(|name| sleeps(server, name)).collect();
    for _ in 0..50 {
        assert!(client.run("PING").is("PONG"));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let slept = |index: &usize| sleeps(server, &names[*index]) - before[*index];
    (0..workers).max_by_key(slept).unwrap()
}

#[test]
fn workers_are_started_while_the_server_runs_and_get_connections() {
    let server = Server::start(&[]);
    let mut first = server.connect();
    assert_eq!(worker(&server, &mut first, 1), 0);
    assert!(first.run("CONFIG SET io-threads 3").is("OK"));
    let mut clients: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    let mut workers: Vec<usize> =
        clients.iter_mut().map(|client| worker(&server, client, 3)).collect();
    workers.sort_unstable();
    assert_eq!(workers, [1, 2]);
    assert_eq!(first.run("CONFIG GET io-threads").elements()[1].text(), "3");

    // The surplus ones keep their clients and get no others.
    assert!(first.run("CONFIG SET io-threads 1").is("OK"));
    for client in &mut clients {
        assert!(client.run("SET a b").is("OK"));
    }
    let mut more: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    assert!(more.iter_mut().all(|client| worker(&server, client, 3) == 0));
    drop(clients);
    assert!(first.run("CONFIG SET io-threads 2").is("OK"));
    assert_eq!(threads(&server, "io_thd_1").len(), 1, "it is there still");
    assert_eq!(worker(&server, &mut server.connect(), 3), 1);
}

#[test]
fn workers_join_while_transactions_have_the_keyspace_to_themselves() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for (count, words) in [(2, "SWAPDB 0 1"), (5, "FLUSHALL"), (9, "SET a b")] {
        assert!(client.run("MULTI").is("OK"));
        client.run(words);
        client.run(&format!("CONFIG SET io-threads {count}"));
        client.run("SET a b");
        let replies = client.run("EXEC");
        assert!(replies.elements().iter().all(|reply| reply.is("OK")), "{replies}");
    }
    let mut clients: Vec<Client> = (0..9).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.run("GET a").text(), "b");
        assert!(client.run("FLUSHALL").is("OK"));
        assert!(client.run("SET a b PX 20").is("OK"));
    }
    wait_until("active expiry goes on", || client.run("DBSIZE").integer() == 0);
    for wrong in ["0", "257", "x"] {
        assert!(
            client.run(&format!("CONFIG SET io-threads {wrong}")).error().contains("io-threads")
        );
    }
}

#[test]
fn threads_run_on_the_processors_that_are_named() {
    let assert_limited = |server: &Server, name: &str| {
        // A thread that begins names itself, and then limits itself.
        wait_until(&format!("{name} is limited to processor 0"), || {
            threads(server, name).first().is_some_and(|id| {
                let status = state(server, &format!("task/{id}/status"));
                let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
                line.unwrap().trim() == "0"
            })
        });
    };
    let server = Server::start(&["--server-cpulist", "0"]);
    assert_limited(&server, "io_thd_0");
    assert_limited(&server, "verbena-server");
    assert!(server.connect().run("CONFIG SET io-threads 2").is("OK"));
    assert_limited(&server, "io_thd_1");
    let server = Server::start(&["--bio-cpulist", "0"]);
    let mut client = server.connect();
    let members: Vec<String> = (0..1000).map(|member| format!("member:{member}")).collect();
    client.run(&format!("SADD big {}", members.join(" ")));
    client.run("UNLINK big");
    assert_limited(&server, "bio_lazy_free");
    let server = Server::start(&["--server-cpulist", "x-y"]);
    server.wait_for_log("A thread can't be limited to the processors x-y");
}
