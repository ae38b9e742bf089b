//! The server's life: its messages at start, the clients that it accepts, and its end.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Client, Server};

fn signal(server: &Server, name: &str) {
    let pid = server.pid().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// The value of a field of INFO.
fn info(client: &mut Client, field: &str) -> String {
    let report = client.run("INFO everything").text();
    let line = report.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("INFO has no {field}")).to_owned()
}

#[test]
fn the_log_says_which_kinds_of_listeners_are_ready() {
    let server = Server::start(&["--unixsocket", "s.sock", "--unixsocketperm", "700"]);
    server.wait_for_log("* Ready to accept connections unix");
    let log = server.log();
    assert!(log.contains("* Ready to accept connections tcp"), "{log}");
    let pid = server.pid().to_string();
    for line in log.lines() {
        let (head, rest) = line.split_at(pid.len());
        assert_eq!(head, pid);
        assert!(rest.starts_with(":M "), "{line}");
    }
    let path = server.dir().join("s.sock");
    assert!(Client::unix(&path).run("PING").is("PONG"));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn settings_without_effect_are_logged() {
    let server = Server::start(&["--appendonly", "yes"]);
    server.wait_for_log("# appendonly is set, but this version writes no append-only file.");
    let server = Server::start(&[]);
    assert!(server.connect().run("CONFIG SET appendonly yes").is("OK"));
    server.wait_for_log("# appendonly is set, but this version writes no append-only file.");
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let server = Server::start(&[]);
    let port = server.port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_verbena-server"))
        .args(["--port", &port])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let warning = format!(
        "# Warning: Could not create server TCP listening socket *:{port}: bind: Address already in \
         use"
    );
    assert!(text.contains(&warning), "{text}");
    let failure = format!("# Failed listening on port {port} (tcp), aborting.\n");
    assert!(text.ends_with(&failure), "{text}");
}

#[test]
fn signals_end_the_server_and_leave_nothing_behind() {
    for name in ["-TERM", "-INT"] {
        let mut server = Server::start(&["--unixsocket", "s.sock", "--pidfile", "pid"]);
        let pid = std::fs::read_to_string(server.dir().join("pid")).unwrap();
        assert_eq!(pid, format!("{}\n", server.pid()));
        // The end of the terminal does not end the server.
        signal(&server, "-HUP");
        assert!(server.connect().run("PING").is("PONG"));
        signal(&server, name);
        assert_eq!(server.wait().code(), Some(0));
        assert_eq!(std::fs::read_dir(server.dir()).unwrap().count(), 0);
        server.wait_for_log("ready to exit, bye bye...");
        assert!(server.log().ends_with("ready to exit, bye bye..."), "{}", server.log());
    }
}

#[test]
fn shutdown_ends_the_server_without_a_reply() {
    for words in ["SHUTDOWN", "shutdown nosave", "SHUTDOWN NOW FORCE NOSAVE", "SHUTDOWN SAFE"] {
        let mut server = Server::start(&[]);
        let mut client = server.connect();
        client.write(format!("{words}\r\n").as_bytes());
        client.expect_closed();
        assert_eq!(server.wait().code(), Some(0), "{words}");
    }
    let server = Server::start(&[]);
    let mut client = server.connect();
    for (words, error) in [
        ("SHUTDOWN NOPE", "ERR syntax error"),
        ("SHUTDOWN SAVE NOSAVE", "ERR syntax error"),
        ("SHUTDOWN ABORT NOW", "ERR syntax error"),
        ("SHUTDOWN ABORT", "ERR No shutdown in progress."),
        ("SHUTDOWN FAILOVER", "ERR SHUTDOWN FAILOVER is only supported in cluster mode."),
        ("SHUTDOWN SAVE", "ERR Errors trying to SHUTDOWN. Check logs."),
    ] {
        assert_eq!(client.run(words).error(), error, "{words}");
    }
}

#[test]
fn clients_beyond_the_limit_get_an_error() {
    let server = Server::start(&["--maxclients", "2"]);
    let mut first = server.connect();
    assert!(first.run("PING").is("PONG"));
    let mut second = server.connect();
    assert!(second.run("PING").is("PONG"));
    let refused = server.connect().read_to_end();
    assert_eq!(refused, b"-ERR max number of clients reached\r\n");
    assert_eq!(info(&mut first, "rejected_connections"), "1");
    assert!(first.run("CONFIG SET maxclients 3").is("OK"));
    assert!(server.connect().run("PING").is("PONG"));
}

#[test]
fn idle_clients_are_closed_after_the_timeout() {
    let server = Server::start(&["--timeout", "1"]);
    let mut idle = server.connect();
    assert!(idle.run("PING").is("PONG"));
    let started = Instant::now();
    idle.expect_closed();
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
}

#[test]
fn connections_go_to_the_worker_with_the_fewest() {
    let server = Server::start(&["--io-threads", "3"]);
    let clients: Vec<_> = (0..9)
        .map(|_| {
            let mut client = server.connect();
            assert!(client.run("PING").is("PONG"));
            client
        })
        .collect();
    assert_eq!(info(&mut server.connect(), "connected_clients"), "10");
    drop(clients);
}

#[test]
fn configuration_can_be_read_from_the_standard_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_verbena-server"))
        .args(["--port", "0", "--unixsocket"])
        .arg(tempfile::tempdir().unwrap().path().with_extension("sock"))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"log-format json\n").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        first.starts_with(&format!("{{\"pid\":{},\"role\":\"primary\"", child.id())),
        "{first}"
    );
}

#[test]
fn a_daemon_leaves_the_terminal_and_writes_its_pid() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, pidfile, log) =
        (dir.path().join("s"), dir.path().join("pid"), dir.path().join("log"));
    let status = Command::new(env!("CARGO_BIN_EXE_verbena-server"))
        .current_dir(dir.path())
        .args(["--port", "0", "--unixsocket", "s", "--pidfile", "pid", "--logfile", "log"])
        .args(["--daemonize", "yes", "-"])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let deadline = Instant::now() + Duration::from_secs(20);
    let ready = |text: &str| text.contains("Ready to accept connections unix");
    while !std::fs::read_to_string(&log).is_ok_and(|text| ready(&text)) {
        assert!(Instant::now() < deadline, "the daemon is not ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut client = Client::unix(&socket);
    let pid = std::fs::read_to_string(&pidfile).unwrap();
    assert_eq!(info(&mut client, "process_id"), pid.trim());
    assert_eq!(client.run("CONFIG GET daemonize").elements()[1].text(), "yes");
    client.write(b"SHUTDOWN\r\n");
    client.expect_closed();
}

#[test]
fn systemd_is_notified_when_the_server_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_verbena-server"))
        .current_dir(dir.path())
        .args(["--port", "0", "--unixsocket", "s", "--supervised", "systemd"])
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut message = [0; 200];
    let len = supervisor.recv(&mut message).unwrap();
    let message = String::from_utf8_lossy(&message[..len]).into_owned();
    assert!(message.contains("READY=1\n"), "{message}");
    assert!(Client::unix(&dir.path().join("s")).run("PING").is("PONG"));
    child.kill().unwrap();
    let mut log = String::new();
    child.stdout.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
}

#[test]
fn the_report_has_valkeys_fields_in_its_order() {
    let ours = Server::start(&[]);
    let theirs = Server::oracle(&[]);
    let fields = |server: &Server, section: &str| -> Vec<String> {
        let report = server.connect().command(&["INFO", section]).text();
        let names = report.lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned()));
        names.collect()
    };
    for section in ["server", "clients", "memory", "persistence", "stats", "replication", "cluster"]
    {
        let (ours, theirs) = (fields(&ours, section), fields(&theirs, section));
        let ours: Vec<_> = ours.into_iter().filter(|name| name != "verbena_version").collect();
        assert_eq!(ours, theirs, "{section}");
    }
}

#[test]
fn sections_of_the_report_are_chosen_as_in_valkey() {
    let ours = Server::start(&[]);
    let theirs = Server::oracle(&[]);
    // Sections that only one of the two servers has.
    let own = ["RDMA", "TLS", "Cluster Info"];
    let sections = |server: &Server, words: &str| -> Vec<String> {
        let report = server.connect().run(words).text();
        let titles = report.lines().filter_map(|line| line.strip_prefix("# "));
        titles.filter(|title| !own.contains(title)).map(str::to_owned).collect()
    };
    for words in [
        "INFO",
        "INFO all",
        "INFO EVERYTHING",
        "INFO default",
        "INFO memory server memory",
        "INFO default commandstats",
        "INFO nope",
        "INFO keyspace errorstats",
    ] {
        assert_eq!(sections(&ours, words), sections(&theirs, words), "{words}");
    }
}

#[test]
fn statistics_count_the_commands_of_clients() {
    let server = Server::start(&["--io-threads", "2"]);
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.run("SET a 1");
        client.run("GET a");
        client.run("GET nokey");
        client.run("GET");
        client.run("SELECT 99");
    }
    let client = &mut clients[0];
    client.run("SET b 1 EX 100");
    assert_eq!(info(client, "keyspace_hits"), "4");
    assert_eq!(info(client, "keyspace_misses"), "4");
    assert_eq!(info(client, "errorstat_ERR"), "count=8");
    let calls = |text: String| text.split(',').next().unwrap().to_owned();
    assert_eq!(calls(info(client, "cmdstat_get")), "calls=8");
    assert!(info(client, "cmdstat_get").ends_with("rejected_calls=4,failed_calls=0"));
    assert!(info(client, "cmdstat_select").ends_with("rejected_calls=0,failed_calls=4"));
    assert!(info(client, "db0").starts_with("keys=2,expires=1,avg_ttl="));
    assert!(info(client, "used_memory").parse::<u64>().unwrap() > 100_000);
}

#[test]
fn debug_is_limited_to_the_clients_that_the_settings_allow() {
    let server = Server::start(&[]);
    let error = server.connect().run("DEBUG SLEEP 0").error().to_owned();
    assert!(error.starts_with("ERR DEBUG command not allowed. If the enable-debug-command"));

    let server = Server::start(&["--enable-debug-command", "local", "--io-threads", "2"]);
    let mut client = server.connect();
    let mut other = server.connect();
    assert!(other.run("PING").is("PONG"));
    let started = Instant::now();
    client.write(b"DEBUG SLEEP 0.3\r\n");
    // However long the request takes to arrive, no other client is served before its end.
    assert!(client.read().is("OK"));
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert!(client.run("DEBUG POPULATE 100").is("OK"));
    assert_eq!(client.run("DBSIZE").integer(), 100);
    assert_eq!(client.run("GET key:7").text(), "value:7");
    assert_eq!(client.run("DEBUG OBJECT nokey").error(), "ERR no such key");
    assert!(client.run("DEBUG OBJECT key:7").text().contains("encoding:embstr serializedlength:8"));
}

#[test]
fn the_server_is_ready_at_once() {
    // A busy machine makes single starts slow, but not all of them.
    let best = (0..10).map(|_| {
        let started = Instant::now();
        let _server = Server::start(&["--io-threads", "4"]);
        started.elapsed()
    });
    let best = best.min().unwrap();
    assert!(best < Duration::from_millis(50), "{best:?}");
}
