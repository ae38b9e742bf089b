//! verbena-cli where the server speaks without being asked, and where there is no command for it.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread::{self, JoinHandle};

use common::tool::{CLI, Dialogue, run, text};
use common::{Client, Server};

const READING: &str =
    "\x1b[1;90mReading messages... (press Ctrl-C to quit or any key to type command)\x1b[0m";

const CTRL_C: &str = "\x03";

/// A server, and a client that publishes.
fn server() -> (Server, Client) {
    let server = Server::start(&[]);
    let client = server.connect();
    (server, client)
}

#[test]
fn messages_are_written_as_they_come_until_the_server_ends() {
    for (line, begun, command, message) in [
        ("subscribe c d", "subscribe\nc\n1\nsubscribe\nd\n2\n", "PUBLISH d x", "message\nd\nx\n"),
        ("-3 subscribe c", "subscribe\nc\n1\n", "PUBLISH c x", "message\nc\nx\n"),
        ("psubscribe c*", "psubscribe\nc*\n1\n", "PUBLISH cc x", "pmessage\nc*\ncc\nx\n"),
        ("ssubscribe c", "ssubscribe\nc\n1\n", "SPUBLISH c x", "smessage\nc\nx\n"),
        (
            "--no-raw -3 ssubscribe c",
            "1) \"ssubscribe\"\n2) \"c\"\n3) (integer) 1\n",
            "SPUBLISH c x",
            "1) \"smessage\"\n2) \"c\"\n3) \"x\"\n",
        ),
        (
            "--csv subscribe c",
            "\"subscribe\",\"c\",1\n",
            "PUBLISH c x",
            "\"message\",\"c\",\"x\"\n",
        ),
        (
            "--json subscribe c",
            "[\"subscribe\",\"c\",1]\n",
            "PUBLISH c x",
            "[\"message\",\"c\",\"x\"]\n",
        ),
        (
            "-r 2 subscribe c",
            "subscribe\nc\n1\nsubscribe\nc\n1\n",
            "PUBLISH c x",
            "message\nc\nx\n",
        ),
    ] {
        let (server, mut client) = server();
        let mut cli = Dialogue::piped(&format!("-p {} {line}", server.port()));
        cli.sees_exactly(begun);
        for _ in 0..3 {
            client.run(command);
            cli.sees_exactly(message);
        }
        drop(server);
        let (rest, status) = cli.ends();
        assert_eq!((&*rest, status.code()), ("Error: Server closed the connection\n", Some(1)));
    }
}

#[test]
fn a_command_that_ends_subscriptions_ends() {
    let (server, _) = server();
    for (line, expected) in [
        ("unsubscribe", "unsubscribe\n\n0\n"),
        ("-3 punsubscribe a b", "punsubscribe\na\n0\npunsubscribe\nb\n0\n"),
        ("sunsubscribe a", "sunsubscribe\na\n0\n"),
    ] {
        let output = run(CLI, &format!("-p {} {line}", server.port()), &[], b"");
        assert_eq!((&*text(&output.stdout), output.status.code()), (expected, Some(0)), "{line}");
    }
}

#[test]
fn commands_of_others_are_written_to_a_monitor() {
    let (server, mut client) = server();
    for options in ["", "-3", "--no-raw"] {
        let mut cli = Dialogue::piped(&format!("-p {} {options} monitor", server.port()));
        cli.sees_exactly("OK\n");
        for command in ["SET a \"b\"", "GET a"] {
            client.run(command);
            let line = cli.sees("\n");
            let words: Vec<String> = command
                .split(' ')
                .map(|word| format!("\"{}\"", word.replace('"', "\\\"")))
                .collect();
            assert!(line.ends_with(&format!("] {}\n", words.join(" "))), "{line}");
        }
    }
}

#[test]
fn commands_and_messages_alternate_on_the_standard_input() {
    let (server, mut client) = server();
    for protocol in ["-2", "-3"] {
        let mut cli = Dialogue::piped(&format!("-p {} {protocol}", server.port()));
        cli.writes("subscribe a b");
        cli.sees_exactly("subscribe\na\n1\nsubscribe\nb\n2\n");
        client.run("PUBLISH b x");
        cli.sees_exactly("message\nb\nx\n");
        cli.writes("psubscribe *");
        cli.sees_exactly("psubscribe\n*\n3\n");
        cli.writes("unsubscribe");
        let ended = cli.sees("\n1\n");
        assert!(
            ended.contains("unsubscribe\na\n") && ended.contains("unsubscribe\nb\n"),
            "{ended}"
        );
        cli.writes("ping");
        cli.sees_exactly(if protocol == "-2" { "pong\n\n" } else { "PONG\n" });
        client.run("PUBLISH b y");
        cli.sees_exactly("pmessage\n*\nb\ny\n");
        cli.writes("reset");
        cli.sees_exactly("RESET\n");
        client.run("PUBLISH b z");
        // An array that looks like a message is a reply, now that nothing is subscribed.
        client.run("DEL l");
        client.run("RPUSH l message b x");
        cli.writes("lrange l 0 -1");
        cli.sees_exactly("message\nb\nx\n");
        cli.writes("echo last");
        cli.sees_exactly("last\n");
        let (rest, status) = cli.ends();
        assert_eq!((&*rest, status.code()), ("", Some(0)));
    }
}

#[test]
fn subscriptions_of_a_transaction_are_known() {
    let (server, _) = server();
    for (protocol, pong) in [("-2", "pong\n\n"), ("-3", "PONG\n")] {
        let line = format!("-p {} {protocol}", server.port());
        let output = run(CLI, &line, &[], b"multi\nsubscribe a b\nexec\nping\n");
        let expected = format!("OK\nQUEUED\nsubscribe\na\n1\nsubscribe\nb\n2\n{pong}");
        assert_eq!(text(&output.stdout), expected);
    }
}

#[test]
fn pushes_are_shown_as_the_options_say() {
    const LINES: &[u8] = b"client tracking on\nget a\nset a 1\nget a\nflushall\nping\n";
    let (server, _) = server();
    for (options, invalidated, flushed) in [
        ("-3", "", ""),
        ("-3 --show-pushes no", "", ""),
        ("-3 --show-pushes yes", "invalidate\na\n", "invalidate\n\n"),
    ] {
        let output = run(CLI, &format!("-p {} {options}", server.port()), &[], LINES);
        let expected = format!("OK\n\nOK\n{invalidated}1\nOK\n{flushed}PONG\n");
        assert_eq!(text(&output.stdout), expected, "{options}");
    }
}

#[test]
fn a_terminal_shows_messages_until_a_key_is_pressed() {
    let (server, mut client) = server();
    let port = server.port();
    let usual = format!("127.0.0.1:{port}> ");
    let subscribed = format!("127.0.0.1:{port}(subscribed mode)> ");
    let mut cli = Dialogue::on_terminal(&format!("-p {port}"));
    cli.sees_exactly(&usual);
    cli.writes("subscribe c d");
    cli.sees(&format!(
        "1) \"subscribe\"\n2) \"c\"\n3) (integer) 1\n1) \"subscribe\"\n2) \"d\"\n3) (integer) 2\n{READING}"
    ));
    client.run("PUBLISH d x");
    cli.sees_exactly(&format!("\x1b[K1) \"message\"\n2) \"d\"\n3) \"x\"\n{READING}"));
    // Messages wait until the line is complete.
    cli.types("p");
    cli.sees(&subscribed);
    client.run("PUBLISH d y");
    cli.writes("ing");
    cli.sees(&format!("1) \"message\"\n2) \"d\"\n3) \"y\"\n1) \"pong\"\n2) \"\"\n{READING}"));
    cli.writes("get a");
    let refused = "(error) ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\n";
    assert!(cli.sees(READING).contains(refused));
    cli.writes("unsubscribe");
    cli.sees("3) (integer) 0\n");
    cli.sees_exactly(&usual);
    cli.writes("get a");
    cli.sees(&format!("(nil)\n{usual}"));
    cli.writes("psubscribe *");
    cli.sees(READING);
    cli.types(CTRL_C);
    cli.sees("Closing current connection. Ready to reconnect to Verbena server... \n");
    cli.sees_exactly(&usual);
    cli.writes("get a");
    cli.sees(&format!("(nil)\n{usual}"));
}

#[test]
fn a_monitor_on_a_terminal_ends_with_ctrl_c() {
    let (server, mut client) = server();
    let usual = format!("127.0.0.1:{}> ", server.port());
    let mut cli = Dialogue::on_terminal(&format!("-p {}", server.port()));
    cli.sees_exactly(&usual);
    cli.writes("monitor");
    cli.sees("OK\n");
    client.run("GET a");
    cli.sees("\"GET\" \"a\"\n");
    cli.types(CTRL_C);
    cli.sees(&usual);
    cli.writes("get a");
    cli.sees(&format!("(nil)\n{usual}"));
}

#[test]
fn invalidations_are_shown_with_the_next_reply() {
    let (server, mut client) = server();
    let usual = format!("127.0.0.1:{}> ", server.port());
    let mut cli = Dialogue::on_terminal(&format!("-p {} -3", server.port()));
    cli.sees_exactly(&usual);
    for line in ["client tracking on", "get a"] {
        cli.writes(line);
        cli.sees(&usual);
    }
    client.run("SET a 1");
    cli.writes("ping");
    cli.sees_exactly(&format!("ping\n-> invalidate: 'a'\nPONG\n{usual}"));
}

#[test]
fn help_is_printed_with_and_without_a_server() {
    let (server, _) = server();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    for port in [server.port(), free] {
        let help = |topic: &str| {
            let output = run(CLI, &format!("-p {port} {topic}"), &[], b"");
            assert_eq!((text(&output.stderr), output.status.code()), (String::new(), Some(0)));
            text(&output.stdout)
        };
        let expire = "\n  EXPIRE key seconds [NX|XX|GT|LT]\n  summary: Sets the expiration time of a key in \
                      seconds.\n  since: 1.0.0\n  group: generic\n\n";
        assert_eq!(help("help expire"), expire);
        assert_eq!(help("? Expire"), expire);
        assert!(help("HELP config get").starts_with("\n  CONFIG GET parameter [parameter ...]\n"));
        let group = help("help @connection");
        assert!(group.starts_with("\n  AUTH [username] password\n"), "{group}");
        assert!(!group.contains("group:") && group.contains("\n  SELECT index\n"), "{group}");
        assert!(help("help").starts_with("verbena-cli "));
    }
}

#[test]
fn an_argument_from_the_standard_input_needs_a_command() {
    for (line, reason) in [
        ("-x", "Unrecognized option or bad number of args for: '-x'\n"),
        ("-X tag", "Unrecognized option or bad number of args for: '-X'\n"),
        ("-x -X tag set a", "Options -x and -X are mutually exclusive.\n"),
    ] {
        let output = run(CLI, line, &[], b"abc");
        assert_eq!((&*text(&output.stderr), output.status.code()), (reason, Some(1)));
    }
}

/// Takes one connection and answers its commands in this order; the thread returns the commands.
fn node(listener: TcpListener, replies: Vec<String>) -> JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let mut commands = Vec::new();
        for reply in replies {
            let count: usize = lines.next().unwrap()[1..].parse().unwrap();
            let words: Vec<String> = (0..count).map(|_| lines.nth(1).unwrap()).collect();
            commands.push(words.join(" "));
            stream.write_all(reply.as_bytes()).unwrap();
        }
        commands
    })
}

#[test]
fn redirections_of_a_cluster_are_followed_where_that_is_wanted() {
    let listen = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    };
    for (error, told) in [("MOVED", &["SET a b"][..]), ("ASK", &["ASKING", "SET a b"])] {
        for (options, host) in [("-c --raw", "127.0.0.1"), ("-c --no-raw", "")] {
            let ((first, port), (second, to)) = (listen(), listen());
            let first = node(first, vec![format!("-{error} 15495 {host}:{to}\r\n")]);
            let second = node(second, vec!["+OK\r\n".to_owned(); told.len()]);
            let output = run(CLI, &format!("-p {port} {options} SET a b"), &[], b"");
            let said = match options {
                "-c --raw" => String::new(),
                _ => format!("-> Redirected to slot [15495] located at 127.0.0.1:{to}\n"),
            };
            assert_eq!(text(&output.stdout), format!("{said}OK\n"), "{}", text(&output.stderr));
            assert_eq!(first.join().unwrap(), ["SET a b"]);
            assert_eq!(second.join().unwrap(), told);
        }
    }
    let (listener, port) = listen();
    let first = node(listener, vec!["-MOVED 15495 127.0.0.1:1\r\n".to_owned()]);
    let output = run(CLI, &format!("-p {port} SET a b"), &[], b"");
    assert_eq!(text(&output.stdout), "MOVED 15495 127.0.0.1:1\n\n");
    first.join().unwrap();
}

#[test]
fn the_hottest_keys_are_found() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lfu"]);
    let mut client = server.connect();
    for key in ["cold", "hot"] {
        client.run(&format!("SET {key} 1"));
    }
    for _ in 0..500 {
        client.run("GET hot");
    }
    let line = format!("-p {} --hotkeys", server.port());
    let output = run(CLI, &line, &[], b"");
    let shown = text(&output.stdout);
    let (_, summary) = shown.split_once("Sampled 2 keys in the keyspace!\n").expect("a summary");
    let keys: Vec<&str> =
        summary.lines().filter_map(|line| Some(line.split_once("keyname: ")?.1)).collect();
    assert_eq!(keys, ["\"hot\"", "\"cold\""], "{shown}");
    client.run("CONFIG SET maxmemory-policy noeviction");
    let output = run(CLI, &line, &[], b"");
    let refused = "Error: ERR An LFU maxmemory policy is not selected";
    assert!(text(&output.stderr).starts_with(refused), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn latency_is_shown_as_a_spectrum_and_without_a_server() {
    let server = Server::start(&[]);
    let mut cli = Dialogue::piped(&format!("-p {} --latency-dist -i 0.1", server.port()));
    assert!(cli.sees(&"-".repeat(45)).is_ascii());
    cli.sees("From 0 to 100%: ");
    for _ in 0..2 {
        cli.sees("\x1b[38;5;0m\x1b[48;5;");
        cli.sees("?\x1b[0m\n");
    }
    let output = run(CLI, "-p 1 --intrinsic-latency 1", &[], b"");
    let shown = text(&output.stdout);
    assert!(shown.starts_with("Max latency so far: "), "{shown}");
    assert!(shown.contains(" total runs (avg latency: "), "{shown}");
    assert!(shown.ends_with("x longer than the average latency.\n"), "{shown}");
}

#[test]
fn a_connection_is_awaited_as_long_as_the_options_say() {
    // A full queue of connections that nobody accepts: the next one waits.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    socket2::SockRef::from(&listener).listen(0).unwrap();
    let _first = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let output = run(CLI, &format!("-p {port} -t 0.2 ping"), &[], b"");
    let late = format!("Could not connect to Verbena at 127.0.0.1:{port}: Connection timed out\n");
    assert_eq!((text(&output.stderr), output.status.code()), (late, Some(1)));
}
