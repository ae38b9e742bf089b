//! The configuration: the parameters and their values, the file, the command line.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output, Stdio};

use common::{Client, Server};

/// Runs the server, which is expected to end at once.
fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_verbena-server"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn get(client: &mut Client, name: &str) -> String {
    let reply = client.command(&["CONFIG", "GET", name]);
    reply.elements()[1].text()
}

fn all(client: &mut Client) -> BTreeMap<String, String> {
    let reply = client.command(&["CONFIG", "GET", "*"]);
    let pairs = reply.elements().chunks(2);
    pairs.map(|pair| (pair[0].text(), pair[1].text())).collect()
}

/// Parameters whose values depend on the machine or the moment, or that are this project's own.
const OUR_OWN: [&str; 6] =
    ["dir", "port", "rdma-max-registered-memory", "rdma-poll-us", "save", "syslog-ident"];

#[test]
fn every_parameter_of_valkey_is_there_with_its_default() {
    let ours = all(&mut Server::start(&[]).connect());
    let theirs = all(&mut Server::oracle(&[]).connect());
    for (name, value) in &theirs {
        assert!(ours.contains_key(name), "{name} is missing");
        if !OUR_OWN.contains(&name.as_str()) {
            assert_eq!(&ours[name], value, "{name}");
        }
    }
    let more: BTreeSet<&str> =
        ours.keys().filter(|name| !theirs.contains_key(*name)).map(String::as_str).collect();
    assert_eq!(more, BTreeSet::from(["rdma-max-registered-memory", "rdma-poll-us"]));
}

/// Parameters that CONFIG GET shows only by their exact name.
const HIDDEN: [&str; 16] = [
    "aof-disable-auto-gc",
    "cluster-message-gossip-perc",
    "cluster-ping-interval",
    "debug-context",
    "enable-debug-assert",
    "io-threads-always-active",
    "key-load-delay",
    "loading-process-events-interval-bytes",
    "lua-enable-deprecated-api",
    "lua-enable-insecure-api",
    "min-io-threads-avoid-copy-reply",
    "min-string-size-avoid-copy-reply",
    "min-string-size-avoid-copy-reply-threaded",
    "rdb-key-save-delay",
    "use-exit-on-panic",
    "watchdog-period",
];

#[test]
fn hidden_parameters_are_shown_by_their_exact_name_alone() {
    let (ours, theirs) = (Server::start(&[]), Server::oracle(&[]));
    let (mut ours, mut theirs) = (ours.connect(), theirs.connect());
    let shown = all(&mut ours);
    for name in HIDDEN {
        let reply = ours.command(&["CONFIG", "GET", name]);
        assert_eq!(reply, theirs.command(&["CONFIG", "GET", name]), "{name}");
        assert_eq!(reply.elements().len(), 2, "{name}");
        assert!(!shown.contains_key(name), "{name}");
    }
}

/// Values that distinguish the types and bounds of parameters.
const VALUES: &[&str] = &[
    "",
    "abc",
    "-1",
    "0",
    "1",
    "7",
    "100",
    "513",
    "70000",
    "3000000",
    "1kb",
    "2MB",
    "1k",
    "1%",
    "101%",
    "01",
    "+1",
    "1.5",
    "99999999999999999999",
    "9223372036854775807",
    "yes",
    "No",
    "1 2",
    "1 2 3",
    "a b",
    "normal 1 2 3",
    "normal 1mb 2mb 3 replica 4 5 6",
    "foo 1 2 3",
    "normal 1 2 x",
    "KEA",
    "KEg$lshzxetdmn",
    "100 0",
    "50.123456789",
    "notice",
    "everysec",
    "allkeys-lru",
    "default",
    "save nosave",
    "now force",
    "{title} {port}",
    "{nope}",
    "C",
    "a/b",
    "127.0.0.1",
    "::1",
    "a\"b\\c",
    "local",
    "ip",
    "allchannels",
    "swapdb",
    "json",
    "iso8601",
    "relative",
    "best-effort",
    "panic",
    "optional",
    "CN",
    "relaxed",
    "-2000 0 2000",
    "-2001 0 0",
];

/// Parameters that this test cannot set: they would end the connection or the oracle (Valkey 9.1.2
/// built without TLS crashes when it is turned on), or differ on purpose.
const NOT_COMPARED: [&str; 12] = [
    "bind",
    "cluster-announce-human-nodename",
    "cluster-announce-ip",
    "io-threads",
    "locale-collate",
    "maxclients",
    "port",
    "rdma-bind",
    "rdma-port",
    "tls-cluster",
    "tls-port",
    "tls-replication",
];

#[test]
fn config_set_answers_as_valkey_does_for_every_parameter() {
    let ours = Server::start(&["--save", "3600 1"]);
    let theirs = Server::oracle(&["--save", "3600 1"]);
    let (mut ours, mut theirs) = (ours.connect(), theirs.connect());
    let mut names = all(&mut theirs);
    names.extend(HIDDEN.map(|name| (name.to_owned(), get(&mut theirs, name))));
    let mut different = Vec::new();
    for name in names.keys().filter(|name| !NOT_COMPARED.contains(&name.as_str())) {
        let asks = |value| {
            let get = ["CONFIG", "GET", name].map(str::to_owned).to_vec();
            let set = ["CONFIG", "SET", name, value].map(str::to_owned).to_vec();
            [set, get].into_iter().take(if OUR_OWN.contains(&name.as_str()) { 1 } else { 2 })
        };
        let requests: Vec<_> = VALUES.iter().copied().flat_map(asks).collect();
        for client in [&mut ours, &mut theirs] {
            requests.iter().for_each(|request| client.send(request));
        }
        for request in &requests {
            let (ours, theirs) = (ours.read(), theirs.read());
            if ours != theirs {
                different.push(format!("{}: {ours} instead of {theirs}", request.join(" ")));
            }
        }
        // Passwords and limits must not affect the following steps.
        for client in [&mut ours, &mut theirs] {
            client.command(&["CONFIG", "SET", name, &names[name]]);
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn config_set_is_all_or_nothing() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for (words, error) in [
        ("CONFIG SET hz", "ERR wrong number of arguments for 'config|set' command"),
        ("CONFIG SET hz 20 timeout", "ERR syntax error"),
        (
            "CONFIG SET hz 20 nope 1",
            "ERR Unknown option or number of arguments for CONFIG SET - 'nope'",
        ),
        (
            "CONFIG SET hz 20 HZ 30",
            "ERR CONFIG SET failed (possibly related to argument 'HZ') - duplicate parameter",
        ),
        (
            "CONFIG SET hz 20 databases 2 nope 1",
            "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable \
             config",
        ),
        (
            "CONFIG SET hz 20 timeout x",
            "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be \
             parsed into an integer",
        ),
        (
            "CONFIG SET hz 20 dir /tmp",
            "ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
        ),
        (
            "CONFIG SET hz 20 bind 192.0.2.1",
            "ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to \
             specified addresses.",
        ),
    ] {
        assert_eq!(client.run(words).error(), error, "{words}");
        assert_eq!(get(&mut client, "hz"), "10", "{words}");
    }
    assert!(client.run("CONFIG SET hz 20 Timeout 5").is("OK"));
    assert_eq!(get(&mut client, "hz"), "20");
    let reply = client.run("CONFIG GET TIMEOUT timeou* hz nope replica-p* slave-p*");
    let words: Vec<String> = reply.elements().iter().map(|word| word.text()).collect();
    let expected = "hz 20 replica-priority 100 slave-priority 100 TIMEOUT 5";
    assert_eq!(words.join(" "), expected);
}

#[cfg(feature = "rdma")]
#[test]
fn rdma_addresses_that_cannot_be_listened_on_are_refused() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let port = client.run("CONFIG GET rdma-port").elements()[1].text();
    assert_eq!(port, "0", "no listener would be opened");
    for names in ["a b c", "192.0.2.1", "127.0.0.1 nope"] {
        assert_eq!(
            client.command(&["CONFIG", "SET", "rdma-bind", names]).error(),
            "ERR CONFIG SET failed (possibly related to argument 'rdma-bind') - Failed to bind to \
             specified addresses for RDMA.",
            "{names}"
        );
        assert_eq!(get(&mut client, "rdma-bind"), "");
    }
    assert!(client.command(&["CONFIG", "SET", "rdma-bind", ""]).is("OK"));
}

#[test]
fn protected_parameters_can_be_opened() {
    let server = Server::start(&["--enable-protected-configs", "local"]);
    let mut client = server.connect();
    assert!(client.run("CONFIG SET dir /tmp dbfilename a.rdb").is("OK"));
    assert_eq!(get(&mut client, "dir"), "/tmp");
    let error = client.run("CONFIG SET dir /nonexistent").error().to_owned();
    assert!(error.ends_with("- No such file or directory"), "{error}");
    let error = client.run("CONFIG SET dbfilename a/b").error().to_owned();
    assert!(error.ends_with("- dbfilename can't be a path, just a filename"), "{error}");
}

#[test]
fn a_new_port_is_listened_on_and_connections_stay() {
    let server = Server::start(&[]);
    let other = Server::start(&[]);
    let mut client = server.connect();
    let taken = other.port().to_string();
    let error = client.command(&["CONFIG", "SET", "port", &taken]).error().to_owned();
    assert!(error.ends_with("- Unable to listen on this port. Check server logs."), "{error}");
    assert!(server.connect().run("PING").is("PONG"), "the old port is still there");

    drop(other);
    assert!(client.command(&["CONFIG", "SET", "port", &taken]).is("OK"));
    assert!(client.run("PING").is("PONG"));
    assert!(Client::tcp(taken.parse().unwrap()).run("PING").is("PONG"));
    let old = std::net::TcpStream::connect(("127.0.0.1", server.port()));
    assert_eq!(old.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);

    assert!(client.run("CONFIG SET bind 127.0.0.1").is("OK"));
    assert!(Client::tcp(taken.parse().unwrap()).run("PING").is("PONG"));
    assert!(client.run("CONFIG SET port 0").is("OK"));
    assert!(client.run("PING").is("PONG"));
    assert!(std::net::TcpStream::connect(("127.0.0.1", taken.parse().unwrap())).is_err());
}

/// The listeners belong to another thread, which answers: the rest of a pipeline waits for that, and a
/// transaction has the answer in its place.
#[test]
fn a_change_of_the_port_is_answered_in_its_turn() {
    let server = Server::start(&["--io-threads", "2"]);
    let mut client = server.connect();
    client.write(b"CONFIG SET port 0\r\nCONFIG GET port\r\nPING\r\n");
    assert!(client.read().is("OK"));
    assert_eq!(client.read().elements()[1].text(), "0");
    assert!(client.read().is("PONG"));
    let port = server.port();
    client.write(format!("MULTI\r\nCONFIG SET port {port}\r\nPING\r\nEXEC\r\n").as_bytes());
    for expected in ["OK", "QUEUED", "QUEUED"] {
        assert!(client.read().is(expected));
    }
    let replies = client.read();
    assert!(replies.elements()[0].is("OK") && replies.elements()[1].is("PONG"), "{replies:?}");
    assert!(server.connect().run("PING").is("PONG"));
    // Of two parameters, none is changed if one cannot be.
    let taken = Server::start(&[]);
    let line = format!("CONFIG SET hz 77 port {}\r\nCONFIG GET hz\r\n", taken.port());
    client.write(line.as_bytes());
    assert!(client.read().error().contains("'port'"));
    assert_ne!(client.read().elements()[1].text(), "77");
}

#[test]
fn settings_of_a_pipeline_hold_for_its_rest() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.write(b"CONFIG SET hz 33\r\nCONFIG GET hz\r\nINFO server\r\n");
    assert!(client.read().is("OK"));
    assert_eq!(client.read().elements()[1].text(), "33");
    assert!(client.read().text().contains("\r\nhz:33\r\n"));
}

/// Of the password `a b`.
const HASH: &str = "c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65";

#[test]
fn rewrite_keeps_the_file_and_adds_what_changed() {
    let lines = "# mine\nhz 20\n\n  # the end\nsave 5 6\nmaxmemory-policy allkeys-lru\n";
    let server = Server::start_with_file(lines, &[]);
    let mut client = server.connect();
    assert_eq!(get(&mut client, "hz"), "20");
    let request = ["CONFIG", "SET", "hz", "40", "maxmemory", "64mb", "requirepass", "a b"];
    assert!(client.command(&request).is("OK"));
    assert!(client.run("CONFIG REWRITE").is("OK"));
    let file = server.dir().join("server.conf");
    let written = std::fs::read_to_string(&file).unwrap();
    let (port, dir) = (server.port(), server.dir().display());
    assert_eq!(
        written,
        format!(
            "# mine\nhz 40\n\n  # the end\nsave 5 6\nmaxmemory-policy allkeys-lru\n\
             # Generated by CONFIG REWRITE\ndir \"{dir}\"\nmaxmemory 64mb\nport {port}\n\
             requirepass \"a b\"\nuser default on #{HASH} ~* &* +@all\n"
        )
    );
    let left: Vec<_> = std::fs::read_dir(server.dir()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
    assert!(client.run("CONFIG REWRITE").is("OK"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);

    let error = Server::start(&[]).connect().run("CONFIG REWRITE").error().to_owned();
    assert_eq!(error, "ERR The server is running without a config file");
}

#[test]
fn resetstat_counts_from_nothing_again() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.run("GET a");
    client.run("NOPE");
    assert!(client.run("INFO stats").text().contains("\r\nkeyspace_misses:1\r\n"));
    let members: Vec<String> = (0..1000).map(|number| format!("member:{number}")).collect();
    client.run(&format!("SADD set {}", members.join(" ")));
    client.run("UNLINK set");
    while client.run("INFO memory").text().contains("\r\nlazyfreed_objects:0\r\n") {}
    assert!(client.run("CONFIG RESETSTAT").is("OK"));
    let info = client.run("INFO everything").text();
    for field in [
        "keyspace_misses:0",
        "total_error_replies:0",
        "total_connections_received:0",
        "lazyfreed_objects:0",
    ] {
        assert!(info.contains(&format!("\r\n{field}\r\n")), "{field}");
    }
    assert!(!info.contains("cmdstat_get"));
    assert!(!info.contains("errorstat_"));
}

#[test]
fn a_bad_configuration_ends_the_start_with_its_line() {
    for (args, expected) in [
        (
            &["--foo", "bar"][..],
            "Reading the configuration file, at line 2\n>>> 'foo \"bar\"'\n\
             Bad directive or wrong number of arguments\n",
        ),
        (&["--port", "x"], ">>> 'port \"x\"'\nargument couldn't be parsed into an integer\n"),
        (&["--dir", "/nonexistent"], ">>> 'dir \"/nonexistent\"'\nNo such file or directory\n"),
        (
            &["--logfile", "/nonexistent/log"],
            "Can't open the log file: No such file or directory\n",
        ),
    ] {
        let output = run(args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text.starts_with("\n*** FATAL CONFIG FILE ERROR (Version "), "{text}");
        assert!(text.ends_with(expected), "{text}");
    }
    let output = run(&["/nonexistent.conf"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = "# Fatal error, can't open config file '/nonexistent.conf': No such file or \
                    directory\n";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn directives_without_a_meaning_are_taken_from_a_file_alone() {
    let obsolete = "dynamic-hz no\nevents-per-io-thread 0\nsanitize-dump-payload yes\n";
    for mut server in [Server::start_with_file(obsolete, &[]), Server::oracle_with_file(obsolete)] {
        let mut client = server.connect();
        assert_eq!(client.run("CONFIG GET dynamic-hz").elements().len(), 0);
        assert!(client.run("CONFIG SET dynamic-hz yes").error().starts_with("ERR Unknown option"));
        server.kill();
    }
}

#[test]
fn a_banner_with_the_pid_comes_before_the_server_is_ready() {
    for format in ["legacy", "json"] {
        let options = ["--always-show-logo", "yes", "--log-format", format];
        for server in [Server::start(&options), Server::oracle(&options)] {
            let (log, pid) = (server.log(), format!(" PID: {}", server.pid()));
            let (banner, ready) = (log.find(&pid), log.find("Server initialized"));
            assert!(banner.is_some() && banner < ready, "{log}");
            assert!(!log.contains("Running mode="), "{log}");
        }
    }
    assert!(Server::start(&[]).log().contains("Running mode=standalone, port="));
}

#[test]
fn version_and_help_are_printed_without_a_start() {
    for args in [["-v"], ["--version"]] {
        let text = String::from_utf8(run(&args).stdout).unwrap();
        let own = concat!(" verbena=", env!("CARGO_PKG_VERSION"), "\n");
        assert!(text.starts_with("Valkey server v=9.1.2 sha=") && text.ends_with(own), "{text}");
    }
    for args in [["-h"], ["--help"]] {
        let text = String::from_utf8(run(&args).stdout).unwrap();
        assert!(text.starts_with("Usage: verbena-server"), "{text}");
    }
    let output = run(&["--test-memory", "10"]);
    assert_eq!(output.status.code(), Some(1));
}
