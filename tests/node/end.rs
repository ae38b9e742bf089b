//! How a server ends, and what its clients see of that.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::{Client, Server};
use crate::{DEBUGGED, state, wait_until};

const VALUE: usize = 1 << 20;
const REQUESTS: usize = 40;

/// A client that has asked for more than fits into its socket, and has not read anything.
fn reader(server: &Server) -> Client {
    let mut client = server.connect();
    assert!(client.command(&[&b"SET"[..], b"big", &vec![b'x'; VALUE]]).is("OK"));
    client.write("GET big\r\n".repeat(REQUESTS).as_bytes());
    let mut other = server.connect();
    wait_until("the requests are executed", || {
        let report = other.run("INFO commandstats").text();
        report.contains("cmdstat_get:calls=") && other.run("CLIENT LIST").text().contains("cmd=get")
    });
    client
}

#[test]
fn clients_get_the_replies_to_what_they_have_sent_before_the_end() {
    for ends in ["TERM", "INT"] {
        let mut server = Server::start(&[]);
        let mut client = reader(&server);
        let mut idle = server.connect();
        assert!(idle.run("PING").is("PONG"));
        server.signal(ends);
        for _ in 0..REQUESTS {
            assert_eq!(client.read().bytes().len(), VALUE, "{ends}");
        }
        client.expect_closed();
        idle.expect_closed();
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up_for_long() {
    let ended = |server: &mut Server| {
        let started = Instant::now();
        assert_eq!(server.wait().code(), Some(0));
        started.elapsed()
    };
    let mut server = Server::start(&[]);
    let _client = reader(&server);
    server.signal("TERM");
    assert!(ended(&mut server) < Duration::from_secs(5));

    let mut server = Server::start(&[]);
    let _client = reader(&server);
    let mut other = server.connect();
    other.write(b"SHUTDOWN NOW\r\n");
    other.expect_closed();
    // It did not wait: the log would say so.
    ended(&mut server);
    assert!(server.log().contains("User requested shutdown... (user request from 'id="));
}

#[test]
fn a_second_sigint_ends_the_server_at_once() {
    let mut server = Server::start(&[]);
    let _client = reader(&server);
    server.signal("INT");
    server.wait_for_log("Received SIGINT scheduling shutdown...");
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(1));
    server.wait_for_log("You insist... exiting now.");
}

#[test]
fn blocked_clients_are_closed_at_the_end() {
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    let id = client.run("CLIENT ID").integer();
    client.write(b"BLPOP nothing 0\r\n");
    server.connect().wait_until_blocked(id);
    server.signal("TERM");
    client.expect_closed();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_signal_that_asks_for_a_file_is_refused_unless_it_is_forced() {
    let mut server = Server::start(&["--shutdown-on-sigterm", "save"]);
    server.signal("TERM");
    server.wait_for_log(
        "Errors trying to shut down the server, check the logs for more information.",
    );
    let mut client = server.connect();
    assert!(client.run("PING").is("PONG"));
    assert_eq!(client.run("SHUTDOWN SAVE").error(), "ERR Errors trying to SHUTDOWN. Check logs.");
    assert!(client.command(&["CONFIG", "SET", "shutdown-on-sigterm", "save force now"]).is("OK"));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    client.write(b"SHUTDOWN SAVE FORCE\r\n");
    client.expect_closed();
    assert_eq!(server.wait().code(), Some(0));
}

/// The name of the server's run, if it can be asked now.
fn run_id(server: &Server) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).ok()?;
    stream.write_all(b"INFO server\r\nQUIT\r\n").ok()?;
    let mut report = String::new();
    stream.read_to_string(&mut report).ok()?;
    report.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::to_owned)
}

#[test]
fn debug_starts_the_program_again_in_the_same_process() {
    for words in [
        "DEBUG RESTART",
        "DEBUG RESTART 10",
        "DEBUG CRASH-AND-RECOVER",
        "DEBUG CRASH-AND-RECOVER 10",
    ] {
        let server = Server::start(&DEBUGGED);
        let mut client = server.connect();
        assert!(client.run("SET a b").is("OK"));
        let before = run_id(&server).unwrap();
        client.write(format!("{words}\r\n").as_bytes());
        client.expect_closed();
        wait_until("the program runs again", || run_id(&server).is_some_and(|id| id != before));
        let mut client = server.connect();
        assert_eq!(client.run("DBSIZE").integer(), 0, "{words}");
        assert_eq!(client.run("CONFIG GET io-threads").elements()[1].text(), "2");
        assert!(state(&server, "cmdline").contains("verbena-server"));
    }
    let server = Server::start(&DEBUGGED);
    let error = server.connect().run("DEBUG RESTART x");
    assert_eq!(error.error(), "ERR value is not an integer or out of range");
}
