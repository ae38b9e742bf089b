//! A connection: its commands, its state, and the reasons for its end.

mod common;

use std::time::{Duration, Instant};

use common::{Client, Server, Value, assert_same_replies};

/// The value of a field in a line of CLIENT LIST.
fn field(line: &str, name: &str) -> String {
    let prefix = format!("{name}=");
    let found = line.split_ascii_whitespace().find_map(|field| field.strip_prefix(&prefix));
    found.unwrap_or_else(|| panic!("no {name} in {line:?}")).to_owned()
}

/// The lines of CLIENT LIST, without the client that asks.
fn list(client: &mut Client) -> Vec<String> {
    client.run("CLIENT LIST SKIPME yes").text().lines().map(str::to_owned).collect()
}

fn id(client: &mut Client) -> i64 {
    client.run("CLIENT ID").integer()
}

/// The request of some words.
fn request(words: &str) -> Vec<u8> {
    let words: Vec<_> = words.split_ascii_whitespace().collect();
    let mut request = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
    request.into_bytes()
}

#[test]
fn ping_answers_pong_in_either_form_of_request() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert!(client.run("PING").is("PONG"));
    assert_eq!(client.run("PING hello").text(), "hello");
    client.write(b"PING\r\n\r\n\n  \r\nPING hi\n");
    assert!(client.read().is("PONG"));
    assert_eq!(client.read().text(), "hi");
    assert_eq!(client.run("PING a b").error(), "ERR wrong number of arguments for 'ping' command");
}

#[test]
fn connection_commands_answer_as_the_oracle_does() {
    let (ours, oracle) = (Server::start(&[]), Server::oracle(&[]));
    for greeting in ["PING", "HELLO 3 FOO"] {
        assert_same_replies(
            &ours,
            &oracle,
            [
                greeting,
                "HELLO 4",
                "HELLO 1",
                "HELLO x",
                "HELLO 3 AUTH a",
                "HELLO 3 AUTH foo bar",
                "HELLO|3|SETNAME|a b",
                "HELLO 3 SETNAME",
                "AUTH",
                "AUTH a",
                "AUTH a b",
                "AUTH default b",
                "AUTH a b c",
                "SELECT 16",
                "SELECT -1",
                "SELECT a",
                "SELECT 99999999999999",
                "SELECT",
                "SELECT 1 2",
                "SELECT 15",
                "ECHO",
                "ECHO a b",
                "ECHO a",
                "CLIENT",
                "CLIENT FOO",
                "CLIENT ID a",
                "CLIENT GETNAME",
                "CLIENT SETNAME",
                "CLIENT|SETNAME|a b",
                "CLIENT|SETNAME|",
                "CLIENT SETNAME é",
                "CLIENT SETNAME abc",
                "CLIENT GETNAME",
                "CLIENT|SETNAME|",
                "CLIENT GETNAME",
                "CLIENT SETINFO",
                "CLIENT SETINFO a b",
                "CLIENT SETINFO lib-name redis",
                "CLIENT SETINFO LIB-VER 1.0",
                "CLIENT|SETINFO|lib-name|a b",
                "CLIENT|SETINFO|lib-ver|a b",
                "CLIENT REPLY",
                "CLIENT REPLY a",
                "CLIENT REPLY on",
                "CLIENT NO-EVICT",
                "CLIENT NO-EVICT x",
                "CLIENT NO-EVICT on",
                "CLIENT NO-TOUCH x",
                "CLIENT NO-TOUCH on",
                "CLIENT NO-TOUCH on off",
                "CLIENT CAPA",
                "CLIENT CAPA x redirect",
                "CLIENT IMPORT-SOURCE on",
                "CLIENT IMPORT-SOURCE off",
                "CLIENT CACHING",
                "CLIENT CACHING yes",
                "CLIENT GETREDIR",
                "CLIENT TRACKINGINFO",
                "CLIENT UNBLOCK a",
                "CLIENT UNBLOCK 1 x",
                "CLIENT UNBLOCK a x",
                "CLIENT UNBLOCK 999 ERROR",
                "CLIENT UNPAUSE",
                "CLIENT PAUSE",
                "CLIENT PAUSE a",
                "CLIENT PAUSE a b",
                "CLIENT PAUSE -1",
                "CLIENT PAUSE 1 a",
                "CLIENT PAUSE 99999999999999999999",
                "CLIENT PAUSE 9223372036854775807",
                "CLIENT HELP a",
                "FOO a b",
                "RESET x",
                "RESET",
                "CLIENT GETNAME",
            ],
        );
    }
}

#[test]
fn the_filters_of_client_list_and_kill_are_the_oracles() {
    let (ours, oracle) = (Server::start(&[]), Server::oracle(&[]));
    let filters = [
        "",
        "TYPE x",
        "TYPE",
        "TYPE primary",
        "TYPE slave",
        "TYPE pubsub",
        "ID",
        "ID a",
        "ID 0",
        "ID -1",
        "ID 99",
        "ID 99 a",
        "ID 99 TYPE normal",
        "ID SKIPME yes",
        "ID 9223372036854775808",
        "USER foo",
        "NOT-USER default",
        "NOT-USER x",
        "ADDR x",
        "LADDR x",
        "SKIPME",
        "SKIPME x",
        "MAXAGE 0",
        "MAXAGE 100",
        "MAXAGE -1",
        "MAXAGE a",
        "FLAGS z",
        "FLAGS Nz",
        "FLAGS eT",
        "FLAGS bcdeirtuxABEIMNOPRSTU",
        "NOT-FLAGS z",
        "NOT-FLAGS N",
        "NAME foo",
        "IDLE 0",
        "IDLE 100",
        "IDLE a",
        "LIB-NAME x",
        "LIB-VER x",
        "DB 99",
        "DB a",
        "DB -1",
        "DB 99999999999",
        "NOT-DB x",
        "NOT-DB 99",
        "NOT-DB 0",
        "CAPA r",
        "CAPA x",
        "NOT-CAPA x",
        "IP 1.1.1.1",
        "IP x",
        "NOT-IP 127.0.0.1",
        "FOO",
        "FOO bar",
        "NOT-TYPE normal",
        "NOT-TYPE x",
        "NOT-ID",
        "NOT-ID x",
        "NOT-ID 0",
        "NOT-SKIPME yes",
        "NOT-MAXAGE 1",
        "NOT-IDLE 1",
        "TYPE normal TYPE pubsub",
        "TYPE normal ID",
        "DB 0 DB 1",
        "NAME a NOT-NAME a",
        "a",
        "a b",
        "a b c",
    ];
    let commands: Vec<_> = filters
        .iter()
        .flat_map(|filter| {
            let list = format!("CLIENT LIST SKIPME yes {filter}");
            [list, format!("CLIENT LIST {filter}"), format!("CLIENT KILL {filter}")]
        })
        .map(|command| command.trim_end().to_owned())
        .filter(|command| command != "CLIENT LIST")
        .collect();
    assert_same_replies(&ours, &oracle, commands.iter().map(String::as_str));
}

#[test]
fn filters_find_the_clients_that_they_describe() {
    let server = Server::start(&["--io-threads", "2"]);
    let (mut a, mut b, mut c) = (server.connect(), server.connect(), server.connect());
    let (ida, idb, idc) = (id(&mut a), id(&mut b), id(&mut c));
    for command in ["CLIENT SETNAME anna", "CLIENT SETINFO LIB-NAME lib", "SELECT 3"] {
        assert!(a.run(command).is("OK"));
    }
    for command in ["CLIENT NO-EVICT on", "CLIENT NO-TOUCH on", "CLIENT CAPA redirect"] {
        assert!(b.run(command).is("OK"));
    }
    let mut found = |filter: &str| -> Vec<i64> {
        let lines = c.run(&format!("CLIENT LIST {filter}")).text();
        lines.lines().map(|line| field(line, "id").parse().unwrap()).collect()
    };
    let addr = field(&b.run("CLIENT INFO").text(), "addr");
    for (filter, expected) in [
        (format!("ID {idc} {ida}"), vec![ida, idc]),
        (format!("ID {ida} ID {idb}"), vec![ida, idb]),
        (format!("NOT-ID {ida} NOT-ID {idb}"), vec![idc]),
        (format!("ID {ida} NOT-ID {ida}"), vec![]),
        (format!("ADDR {addr}"), vec![idb]),
        (format!("NOT-ADDR {addr}"), vec![ida, idc]),
        (format!("LADDR 127.0.0.1:{}", server.port()), vec![ida, idb, idc]),
        ("NAME anna".into(), vec![ida]),
        ("NOT-NAME anna".into(), vec![idb, idc]),
        ("NAME bert NAME anna".into(), vec![ida]),
        ("LIB-NAME lib".into(), vec![ida]),
        ("DB 3".into(), vec![ida]),
        ("NOT-DB 3".into(), vec![idb, idc]),
        ("FLAGS Te".into(), vec![idb]),
        ("FLAGS N".into(), vec![ida, idc]),
        ("NOT-FLAGS eN".into(), vec![ida, idb, idc]),
        ("CAPA r".into(), vec![idb]),
        ("IP 127.0.0.1 SKIPME yes".into(), vec![ida, idb]),
        ("TYPE normal USER default".into(), vec![ida, idb, idc]),
    ] {
        let mut expected = expected;
        expected.sort();
        assert_eq!(found(&filter), expected, "{filter}");
    }
}

#[test]
fn a_client_is_listed_with_the_oracles_fields_and_its_own_values() {
    let (server, oracle) = (Server::start(&["--io-threads", "2"]), Server::oracle(&[]));
    let names = |line: String| -> Vec<String> {
        line.split_ascii_whitespace().map(|f| f.split('=').next().unwrap().to_owned()).collect()
    };
    let mut client = server.connect();
    let line = client.run("CLIENT INFO").text();
    assert_eq!(names(line.clone()), names(oracle.connect().run("CLIENT INFO").text()));
    assert_eq!(field(&line, "laddr"), format!("127.0.0.1:{}", server.port()));
    assert_eq!(field(&line, "cmd"), "client|info");
    assert_eq!(field(&line, "tot-net-in"), request("CLIENT INFO").len().to_string());
    assert_eq!((field(&line, "tot-cmds"), field(&line, "tot-net-out")), ("0".into(), "0".into()));
    let fd = format!("/proc/{}/fd/{}", server.pid(), field(&line, "fd"));
    assert!(std::fs::read_link(fd).unwrap().to_str().unwrap().starts_with("socket:"));

    let received = client.raw(&["HELLO", "3", "SETNAME", "me"]).len();
    client.run("SELECT 5");
    client.run("CLIENT SETINFO LIB-NAME x-lib");
    client.run("CLIENT SETINFO LIB-VER 1.2");
    client.run("CLIENT NO-TOUCH on");
    client.run("GET nothing");
    let info = format!("${}\r\n{line}\r\n", line.len());
    // The four OKs and the null.
    let out = info.len() + received + 4 * "+OK\r\n".len() + "_\r\n".len();
    let mut other = server.connect();
    // The other thread counts what it has sent when it has sent it, and the null may come first.
    let deadline = Instant::now() + Duration::from_secs(10);
    let lines = loop {
        let lines = list(&mut other);
        if field(&lines[0], "tot-net-out") == out.to_string() || Instant::now() > deadline {
            break lines;
        }
    };
    assert_eq!(lines.len(), 1);
    for (name, value) in [
        ("tot-net-out", out.to_string().as_str()),
        ("name", "me"),
        ("db", "5"),
        ("resp", "3"),
        ("lib-name", "x-lib"),
        ("lib-ver", "1.2"),
        ("flags", "T"),
        ("cmd", "get"),
        ("tot-cmds", "7"),
        ("user", "default"),
        ("omem", "0"),
        ("events", "r"),
        ("age", "0"),
    ] {
        assert_eq!(field(&lines[0], name), value, "{name}");
    }
    client.run("RESET");
    let line = client.run("CLIENT INFO").text();
    assert_eq!((field(&line, "name"), field(&line, "flags")), (String::new(), "N".into()));
    assert_eq!((field(&line, "db"), field(&line, "resp")), ("0".into(), "2".into()));
    assert_eq!(field(&line, "lib-name"), "x-lib");
}

#[test]
fn a_client_of_a_unix_socket_is_listed_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let server = Server::start(&["--unixsocket", path.to_str().unwrap()]);
    let mut client = Client::unix(&path);
    let line = client.run("CLIENT INFO").text();
    let addr = format!("{}:0", path.display());
    assert_eq!(field(&line, "flags"), "U");
    assert_eq!((field(&line, "addr"), field(&line, "laddr")), (addr.clone(), addr.clone()));
    assert!(server.connect().run(&format!("CLIENT KILL {addr}")).is("OK"));
    client.expect_closed();
}

#[test]
fn bytes_in_a_clients_buffers_are_listed() {
    let server = Server::start(&[]);
    let (mut slow, mut other) = (server.connect(), server.connect());
    let before = b"*2\r\n$3\r\nGET\r\n$100000\r\n";
    slow.write(&[&before[..], b"xxxxxx"].concat());
    let bytes = |other: &mut Client, name| field(&list(other)[0], name).parse::<usize>().unwrap();
    let waiting = |other: &mut Client| bytes(other, "qbuf");
    while waiting(&mut other) < 6 {}
    // What comes before a long argument is parsed.
    assert_eq!((waiting(&mut other), bytes(&mut other, "argv-mem")), (6, before.len()));
    slow.write(&vec![b'x'; 100_000 - 6]);
    slow.write(b"\r\n");
    assert_eq!(slow.read(), Value::Null);
    assert_eq!(waiting(&mut other), 0);
}

#[test]
fn a_password_is_asked_for_as_the_oracle_asks() {
    let options = ["--requirepass", "foobar"];
    let (ours, oracle) = (Server::start(&options), Server::oracle(&options));
    assert_same_replies(
        &ours,
        &oracle,
        [
            "PING",
            "FOO",
            "GET",
            "CLIENT FOO",
            "CLIENT",
            "COMMAND",
            "AUTH",
            "RESET",
            "HELLO",
            "HELLO 3",
            "HELLO 9",
            "HELLO 3 FOO",
            "HELLO 3 SETNAME a",
            "HELLO 3 SETNAME a AUTH default bad",
            "HELLO|3|AUTH|default|foobar|SETNAME|a b",
            "HELLO 3 AUTH default foobar FOO",
            "PING",
            "AUTH bad",
            "AUTH x foobar",
            "AUTH default foobarfoobar",
            "AUTH default foobar",
            "PING",
            "AUTH bad",
            "PING",
            "RESET",
            "PING",
            "AUTH foobar",
            "PING",
        ],
    );
    let mut client = ours.connect();
    let hello = ["HELLO", "3", "AUTH", "default", "bad", "AUTH", "default", "foobar"];
    let Value::Map(fields) = client.command(&hello) else { panic!("HELLO answers with a map") };
    let names: Vec<_> = fields.iter().map(|(name, _)| name.text()).collect();
    assert_eq!(names, ["server", "version", "proto", "id", "mode", "role", "modules"]);
    assert!(client.run("PING").is("PONG"));
}

#[test]
fn hello_has_the_availability_zone_if_one_is_set() {
    let server = Server::start(&["--availability-zone", "here"]);
    let Value::Map(fields) = server.connect().run("HELLO 3") else { panic!("no map") };
    assert_eq!(fields.last().unwrap().1.text(), "here");
    assert_eq!(server.connect().run("HELLO 2").elements().len(), 16);
}

#[test]
fn limits_follow_authentication_within_a_pipeline() {
    let server = Server::start(&["--requirepass", "secret"]);
    for (request, error) in [
        (&b"*11\r\n"[..], "ERR Protocol error: unauthenticated multibulk length"),
        (b"*1\r\n$16385\r\n", "ERR Protocol error: unauthenticated bulk length"),
    ] {
        let mut client = server.connect();
        client.write(request);
        assert_eq!(client.read().error(), error);
        client.expect_closed();
    }
    let long = "x".repeat(20_000);
    let mut client = server.connect();
    client.write(&[request("AUTH secret"), request(&format!("ECHO {long}"))].concat());
    assert!(client.read().is("OK"));
    assert_eq!(client.read().text(), long);
}

#[test]
fn config_set_applies_to_the_rest_of_the_pipeline() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.write(
        &[request("AUTH pw"), request("CONFIG SET requirepass pw"), request("AUTH pw")].concat(),
    );
    assert!(client.read().error().starts_with("ERR AUTH <password> called without any password"));
    assert!(client.read().is("OK"));
    assert!(client.read().is("OK"));
    assert_eq!(server.connect().run("PING").error(), "NOAUTH Authentication required.");
}

#[test]
fn client_reply_suppresses_the_chosen_replies() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for words in [
        "CLIENT REPLY SKIP",
        "PING skipped",
        "PING 1",
        "CLIENT REPLY OFF",
        "PING off",
        "NONSENSE",
        "CLIENT REPLY SKIP",
        "PING off",
        "CLIENT REPLY ON",
        "PING 2",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY SKIP",
        "PING skipped",
        "PING 3",
        "CLIENT REPLY OFF",
        "RESET",
        "PING 4",
    ] {
        client.send(&words.split(' ').collect::<Vec<_>>());
    }
    for expected in ["1", "OK", "2", "3", "RESET", "4"] {
        assert_eq!(client.read().text(), expected);
    }
}

#[test]
fn quit_ends_the_connection_after_its_reply() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.write(&[request("SET a 1"), request("QUIT"), request("SET a 2")].concat());
    assert!(client.read().is("OK"));
    assert!(client.read().is("OK"));
    client.expect_closed();
    assert_eq!(server.connect().run("GET a").text(), "1");
    let mut silent = server.connect();
    silent.send(&["CLIENT", "REPLY", "OFF"]);
    silent.send(&["QUIT"]);
    silent.expect_closed();
}

#[test]
fn a_killed_client_is_removed_at_once_on_any_thread() {
    let server = Server::start(&["--io-threads", "2"]);
    let mut killer = server.connect();
    for _ in 0..20 {
        let mut victims: Vec<_> = (0..4).map(|_| server.connect()).collect();
        let ids: Vec<_> = victims.iter_mut().map(|v| id(v).to_string()).collect();
        assert_eq!(killer.run(&format!("CLIENT KILL ID {}", ids.join(" "))).integer(), 4);
        assert_eq!(list(&mut killer), [""; 0]);
        victims.iter_mut().for_each(Client::expect_closed);
    }
    let mut victim = server.connect();
    victim.run("PING");
    let addr = field(&list(&mut killer)[0], "addr");
    assert!(killer.run(&format!("CLIENT KILL {addr}")).is("OK"));
    victim.expect_closed();
    assert_eq!(killer.run(&format!("CLIENT KILL {addr}")).error(), "ERR No such client");
    assert_eq!(killer.run(&format!("CLIENT KILL ADDR {addr}")).integer(), 0);
}

#[test]
fn no_command_of_a_killed_client_runs_after_the_kill() {
    let server = Server::start(&["--io-threads", "2"]);
    let mut killer = server.connect();
    for round in 0..30 {
        let mut victim = server.connect();
        let id = id(&mut victim);
        killer.run(&format!("SET n {round}"));
        // Its replies exceed the sockets' buffers, so it is still executing for a long time.
        let _ = victim.try_write(&request("INCR n").repeat(20_000));
        assert_eq!(killer.run(&format!("CLIENT KILL ID {id}")).integer(), 1);
        let count = killer.run("GET n").text();
        victim.read_to_end();
        assert_eq!(killer.run("GET n").text(), count);
    }
}

#[test]
fn a_client_that_kills_itself_gets_its_reply_first() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let id = id(&mut client);
    let kill = format!("CLIENT KILL ID {id} SKIPME no");
    assert_eq!(client.run(&format!("CLIENT KILL ID {id}")).integer(), 0);
    client.write(&[request(&kill), request("PING")].concat());
    assert_eq!(client.read().integer(), 1);
    client.expect_closed();
}

#[test]
fn a_stream_that_is_no_resp_is_refused_as_the_oracle_refuses_it() {
    let (ours, oracle) = (Server::start(&[]), Server::oracle(&[]));
    let long = |first: &str| [first.as_bytes(), &[b'1'; 70_000]].concat();
    let mut streams: Vec<Vec<u8>> = [
        "*1\r\nPING\r\n",
        "*1\r\n+PING\r\n",
        "*a\r\n",
        "*1\r\n$x\r\n",
        "*1\r\n$-1\r\n",
        "*2147483648\r\n",
        "PING \"a\r\n",
        "PING\r\nPING\r\n*a\r\nPING\r\n",
        "*1\r\n\r$4\r\n",
        "*1\r\n\n$4\r\n",
        "*1\r\n$4\r\nPINGxxPING\r\n",
        "*1\r\n$4xPING\r\n",
        "*+1\r\n$4\r\nPING\r\n",
        "*01\r\n$4\r\nPING\r\n",
        "*\r\nPING\r\n",
        "*1\r\n$\r\nPING\r\n",
        "*1\r\n$536870913\r\n",
        "*1\r\n$4\rxPING\r\n",
        "*0\rx",
        "*1\r\n\u{1}\r\n",
        "*--1\r\n",
        "*-0\r\n",
        "*1\r\n$00\r\n\r\n",
        "ECHO a'b\r\n",
        "ECHO \"a\\\" \r\n",
        // Well-formed requests, whose connection is closed here.
        "*1\r\n$4\r\nPING\r\n*0\r\n*-5\r\nPING\r\nQUIT\r\n",
        "$4\r\nQUIT\r\n",
        "ECHO \"a\"b'c d'\\x41\r\nQUIT\r\n",
        "\"\" \r\nfoo a\rb\r\nQUIT\r\n",
        "FOO \"a\\x41\\n\" b\r\nQUIT\r\n",
    ]
    .iter()
    .map(|stream| stream.as_bytes().to_vec())
    .collect();
    streams.extend([long(""), long("*"), long("*1\r\n$")]);
    streams.extend(
        [&b"ECHO \xff\xfe\r\nQUIT\r\n"[..], b"*2\r\n$3\r\nFOO\r\n$2\r\n\xff\0\r\nQUIT\r\n"]
            .map(<[u8]>::to_vec),
    );
    for stream in streams {
        let answer = |server: &Server| {
            let mut client = server.connect();
            // The server may refuse it before it is sent completely.
            let _ = client.try_write(&stream);
            String::from_utf8_lossy(&client.read_to_end()).into_owned()
        };
        let shown = String::from_utf8_lossy(&stream[..stream.len().min(60)]).into_owned();
        assert_eq!(answer(&ours), answer(&oracle), "{shown:?}");
    }
    let errors = |server: &Server| {
        let stats = server.connect().run("INFO errorstats").text();
        stats.lines().find(|line| line.starts_with("errorstat_ERR")).map(str::to_owned)
    };
    assert_eq!(errors(&ours), errors(&oracle));
}

#[test]
fn http_requests_close_the_connection() {
    let server = Server::start(&[]);
    for stream in [
        "POST / HTTP/1.1\r\nHost: x\r\n\r\nSET evil 1\r\n",
        "host: x\r\nSET evil 1\r\n",
        "PING\r\nPOST x\r\nSET evil 1\r\n",
        "*1\r\n$4\r\nPOST\r\nSET evil 1\r\n",
    ] {
        let mut client = server.connect();
        client.write(stream.as_bytes());
        client.expect_closed();
    }
    assert_eq!(server.connect().run("EXISTS evil").integer(), 0);
    server.wait_for_log("Possible SECURITY ATTACK detected.");
}

#[test]
fn a_request_beyond_the_query_buffer_limit_ends_the_connection() {
    let server = Server::start(&["--client-query-buffer-limit", "1mb"]);
    let mut client = server.connect();
    let _ = client.try_write(b"*2\r\n$3\r\nGET\r\n$4000000\r\n");
    let _ = client.try_write(&vec![b'x'; 3_000_000]);
    client.expect_closed();
    server.wait_for_log("Closing client that reached max query buffer length");
    let stats = server.connect().run("INFO stats").text();
    assert!(stats.contains("client_query_buffer_limit_disconnections:1\r\n"));
}

/// As in Valkey, the limit is for what is not parsed yet: arguments that are complete do not count.
#[test]
fn complete_arguments_do_not_count_against_the_query_buffer_limit() {
    let server = Server::start(&["--client-query-buffer-limit", "1048576"]);
    for len in [60_000, 100_000] {
        let mut client = server.connect();
        client.write(b"*32\r\n$5\r\nRPUSH\r\n$1\r\nk\r\n");
        for _ in 0..30 {
            client.write(format!("${len}\r\n{}\r\n", "x".repeat(len)).as_bytes());
        }
        assert_eq!(client.read(), Value::Integer(30), "arguments of {len} bytes");
        assert_eq!(client.run("DEL k"), Value::Integer(1));
    }
}

/// As in Valkey, which looks at it when all of it has arrived, with the end of its line.
#[test]
fn a_long_argument_counts_with_the_end_of_its_line() {
    let server = Server::start(&["--client-query-buffer-limit", "1048576"]);
    let mut client = server.connect();
    assert!(client.command(&["SET", "key", &"x".repeat(1_000_000)]).is("OK"));
    client.write(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1048576\r\n");
    let _ = client.try_write(&[&[b'x'; 1_048_576][..], b"\r\n"].concat());
    client.discard_to_end();
    server.wait_for_log("Closing client that reached max query buffer length");
}

/// Commands that are queued after MULTI wait to be executed, so they count.
#[test]
fn queued_commands_count_against_the_query_buffer_limit() {
    let server = Server::start(&["--client-query-buffer-limit", "1048576"]);
    let mut client = server.connect();
    client.run("MULTI");
    let text = "x".repeat(60_000);
    for _ in 0..15 {
        assert_eq!(client.run(&format!("SET k {text}")), Value::Simple("QUEUED".into()));
    }
    for _ in 0..5 {
        let _ = client.try_write(format!("SET k {text}\r\n").as_bytes());
    }
    client.discard_to_end();
    server.wait_for_log("Closing client that reached max query buffer length");
}

/// A client that takes long to send a long argument is not idle meanwhile.
#[test]
fn a_long_argument_that_arrives_slowly_is_activity() {
    let server = Server::start(&["--timeout", "1"]);
    let mut client = server.connect();
    client.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n");
    // Every piece must come within the time-out, and all of them take longer than that.
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(350));
        client.write(&[b'x'; 10_000]);
    }
    client.write(b"\r\n");
    assert_eq!(client.read(), Value::Simple("OK".into()));
}

/// A protocol error is a reply too, which CLIENT REPLY SKIP leaves out.
#[test]
fn a_protocol_error_whose_reply_is_to_be_skipped_ends_the_connection_in_silence() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.write(b"CLIENT REPLY SKIP\r\n*1\r\n+x\r\n");
    client.expect_closed();
}

/// A long argument is received into its final memory, unless most of it has arrived with earlier bytes.
#[test]
fn long_arguments_arrive_in_any_pieces() {
    let server = Server::start(&["--io-threads", "2"]);
    let mut admin = server.connect();
    let text = |seed: usize, len: usize| -> String {
        (0..len).map(|at| char::from(b'a' + ((at * 7 + at / 251 + seed) % 26) as u8)).collect()
    };
    let (one, two, three) = (text(1, 100_000), text(2, 300_001), text(3, 65_536));
    let commands: &[&[&str]] = &[
        &["MSET", "one", &one, "small", "x", "two", &two],
        &["GET", "small"],
        &["BLPOP", "queue", "0"],
        &["SET", "three", &three, "GET"],
        &["APPEND", "three", &one],
        &["SETRANGE", "three", "1", &one],
        &["SETNX", "four", &two],
        &["GETSET", "four", &one],
        &["APPEND", "five", &three],
        &["PSETEX", "six", "100000000", &three],
        &["RPUSH", "list", &one, &two],
        &["HSET", "hash", &two, &one],
        &["GET", &one],
        &["ECHO", &three],
    ];
    let mut stream = Vec::new();
    for command in commands {
        stream.extend(format!("*{}\r\n", command.len()).bytes());
        for word in *command {
            stream.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
        }
    }
    for piece in [30_000, 70_001, 130_000, 65_536, 1_000_000, stream.len()] {
        assert!(admin.run("FLUSHALL").is("OK"));
        let mut client = server.connect();
        let id = id(&mut client);
        let blocked = format!("CLIENT LIST ID {id} FLAGS b");
        let received = |admin: &mut Client| -> usize {
            let line = admin.run(&format!("CLIENT LIST ID {id}")).text();
            field(&line, "tot-net-in").parse().unwrap()
        };
        let before = received(&mut admin);
        let mut reader = client.reader();
        let replies = std::thread::spawn(move || {
            let replies: Vec<_> = (0..14).map(|_| reader.read()).collect();
            (reader, replies)
        });
        assert!(admin.run("CLIENT PAUSE 100000 WRITE").is("OK"));
        for (index, piece) in stream.chunks(piece).enumerate() {
            let so_far = received(&mut admin);
            client.write(piece);
            while received(&mut admin) < so_far + piece.len() {}
            if index == 4 {
                assert!(admin.run("CLIENT UNPAUSE").is("OK"));
            }
        }
        assert_eq!(received(&mut admin), before + stream.len());
        assert!(admin.run("CLIENT UNPAUSE").is("OK"));
        while admin.run(&blocked).text().is_empty() {}
        assert_eq!(admin.run("RPUSH queue pushed").integer(), 1);
        let (_reader, replies) = replies.join().unwrap();
        let texts = [(1, "x"), (7, &two), (13, &three)];
        texts.iter().for_each(|(at, text)| assert_eq!(replies[*at].text(), *text));
        assert!(replies[0].is("OK") && replies[9].is("OK"));
        assert_eq!(replies[2].elements()[1].text(), "pushed");
        assert_eq!((&replies[3], &replies[12]), (&Value::Null, &Value::Null));
        let numbers = [(4, 165_536), (5, 165_536), (6, 1), (8, 65_536), (10, 2), (11, 1)];
        numbers.iter().for_each(|(at, number)| assert_eq!(replies[*at].integer(), *number));

        let changed = format!("{}{one}{}", &three[..1], &one[100_001 - 65_536..]);
        let stored =
            [("one", &one), ("two", &two), ("three", &changed), ("four", &one), ("five", &three)];
        for (key, value) in stored.into_iter().chain([("six", &three)]) {
            assert_eq!(&admin.run(&format!("GET {key}")).text(), value, "{key}");
        }
        assert_eq!(admin.run("LINDEX list 1").text(), two);
        assert_eq!(admin.command(&["HGET", "hash", &two]).text(), one);
    }
}

#[test]
fn invalid_requests_after_a_long_argument_are_refused() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.write(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\n");
    // The argument is detached before the rest arrives.
    let mut other = server.connect();
    while field(&list(&mut other)[0], "argv-mem") == "0" {}
    client.write(&vec![b'x'; 100_002]);
    assert_eq!(client.read().error(), "ERR Protocol error: invalid CRLF in request");
    client.expect_closed();
    assert_eq!(other.run("EXISTS a").integer(), 0);
}

#[test]
fn a_huge_pipeline_is_answered_in_order() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let requests: String = (0..100_000).map(|i| format!("ECHO {i}\r\n")).collect();
    let mut reader = client.reader();
    let writing = std::thread::spawn(move || client.write(requests.as_bytes()));
    for i in 0..100_000 {
        assert_eq!(reader.read().text(), i.to_string());
    }
    writing.join().unwrap();
}

#[test]
fn a_half_closed_connection_still_gets_its_replies() {
    let server = Server::start(&[]);
    let value = "v".repeat(100_000);
    server.connect().command(&["SET", "a", &value]);
    let mut client = server.connect();
    client.write(&request("GET a").repeat(200));
    client.end_writing();
    for _ in 0..200 {
        assert_eq!(client.read().text(), value);
    }
    client.expect_closed();
}

#[test]
fn requests_of_a_peer_that_does_not_read_are_executed() {
    let server = Server::start(&[]);
    let value = "v".repeat(15_000);
    let mut client = server.connect();
    client.command(&["SET", "a", &value]);
    client.write(&[request("GET a").repeat(3000), request("SET done yes")].concat());
    let mut other = server.connect();
    while other.run("EXISTS done").integer() == 0 {}
    let line = &list(&mut other)[0];
    assert_eq!(field(line, "events"), "rw");
    assert!(field(line, "omem").parse::<usize>().unwrap() > 1_000_000);
    for _ in 0..3000 {
        assert_eq!(client.read().text(), value);
    }
    assert!(client.read().is("OK"));
    assert_eq!(field(&list(&mut other)[0], "omem"), "0");
}

#[test]
fn a_peer_with_too_much_unread_output_is_closed() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 10mb 0 0"]);
    let mut client = server.connect();
    client.command(&["SET", "a", &"v".repeat(1_000_000)]);
    let _ = client.try_write(&request("GET a").repeat(100));
    server.wait_for_log("for overcoming of output buffer limits");
    client.read_to_end();

    let server = Server::start(&["--client-output-buffer-limit", "normal 0 10mb 1"]);
    let mut client = server.connect();
    client.command(&["SET", "a", &"v".repeat(1_000_000)]);
    client.write(&request("GET a").repeat(100));
    server.wait_for_log("for overcoming of output buffer limits");
    client.read_to_end();
    let stats = server.connect().run("INFO stats").text();
    assert!(stats.contains("client_output_buffer_limit_disconnections:1\r\n"));
}

#[test]
fn a_client_with_endless_requests_does_not_starve_the_others() {
    let server = Server::start(&["--io-threads", "1"]);
    let mut flooder = server.connect();
    let mut reader = flooder.reader();
    let flood = request("PING").repeat(10_000);
    let writing = std::thread::spawn(move || while flooder.try_write(&flood).is_ok() {});
    let reading = std::thread::spawn(move || reader.discard_to_end());
    let mut client = server.connect();
    let mut worst = Duration::ZERO;
    for _ in 0..100 {
        let started = Instant::now();
        assert!(client.run("PING").is("PONG"));
        worst = worst.max(started.elapsed());
    }
    assert!(worst < Duration::from_secs(5), "a PING took {worst:?}");
    assert_eq!(client.run("CLIENT KILL TYPE normal").integer(), 1);
    writing.join().unwrap();
    reading.join().unwrap();
}

#[test]
fn a_pause_delays_the_commands_that_it_covers() {
    let server = Server::start(&["--io-threads", "2"]);
    let (mut admin, mut reader, mut writer) =
        (server.connect(), server.connect(), server.connect());
    assert!(admin.run("CLIENT PAUSE 100000 WRITE").is("OK"));
    writer.write(&[request("GET a"), request("SET a 1"), request("GET a")].concat());
    assert_eq!(writer.read(), Value::Null);
    assert_eq!(reader.run("GET a"), Value::Null);
    assert_eq!(reader.run("SET a").error(), "ERR wrong number of arguments for 'set' command");
    let blocked = |admin: &mut Client| {
        let lines = list(admin);
        let blocked: Vec<_> = lines.iter().filter(|line| field(line, "flags") == "b").collect();
        blocked.iter().map(|line| field(line, "cmd")).collect::<Vec<_>>()
    };
    while blocked(&mut admin) != ["set"] {}
    assert_eq!(reader.run("GET a"), Value::Null);
    assert!(admin.run("CLIENT UNPAUSE").is("OK"));
    assert!(writer.read().is("OK"));
    assert_eq!(writer.read().text(), "1");
    assert!(blocked(&mut admin).is_empty());

    assert!(admin.run("INFO clients").text().contains("paused_reason:none"));
    let started = Instant::now();
    assert!(admin.run("CLIENT PAUSE 300").is("OK"));
    assert!(reader.run("PING").is("PONG"));
    assert!(started.elapsed() >= Duration::from_millis(299), "{:?}", started.elapsed());
}

#[test]
fn expired_keys_are_hidden_but_not_removed_during_a_pause() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert!(client.run("SET a 1 PX 30").is("OK"));
    assert!(client.run("CLIENT PAUSE 100000 WRITE").is("OK"));
    while client.run("GET a") != Value::Null {}
    assert_eq!(client.run("DBSIZE").integer(), 1);
    let info = client.run("INFO clients").text();
    assert!(info.contains("paused_reason:client_pause\r\npaused_actions:write\r\n"));
    assert!(client.run("CLIENT UNPAUSE").is("OK"));
    while client.run("DBSIZE").integer() == 1 {}
}

#[test]
fn a_paused_client_can_leave_or_be_killed() {
    let server = Server::start(&["--io-threads", "2"]);
    let (mut admin, mut leaving, mut victim) =
        (server.connect(), server.connect(), server.connect());
    let id = id(&mut victim);
    assert!(admin.run("CLIENT PAUSE 100000 WRITE").is("OK"));
    leaving.send(&["SET", "a", "1"]);
    victim.send(&["SET", "a", "2"]);
    while list(&mut admin).iter().filter(|line| field(line, "flags") == "b").count() < 2 {}
    drop(leaving);
    while list(&mut admin).len() > 1 {}
    assert_eq!(admin.run(&format!("CLIENT KILL ID {id}")).integer(), 1);
    victim.expect_closed();
    assert!(admin.run("CLIENT UNPAUSE").is("OK"));
    assert_eq!(admin.run("EXISTS a").integer(), 0);
}
