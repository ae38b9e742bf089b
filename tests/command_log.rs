//! The command log: SLOWLOG and COMMANDLOG beside the real Valkey's.

mod common;

use common::{Client, Server, Value, assert_same_replies};

/// Logs everything from now on. The call itself is the first that is logged.
const ON: &str = "CONFIG SET slowlog-log-slower-than 0 commandlog-request-larger-than 0 \
                  commandlog-reply-larger-than 0";

const OFF: &str = "CONFIG SET slowlog-log-slower-than -1 commandlog-request-larger-than -1 \
                   commandlog-reply-larger-than -1";

/// Entries of a log, the oldest one first: the size, if it is none of time, the arguments, the client's name.
fn entries(client: &mut Client, log: &str) -> Vec<String> {
    let reply = client.command(&["COMMANDLOG", "GET", "-1", log]);
    let entry = |entry: &Value| {
        let [id, time, value, args, peer, name] = entry.elements() else { panic!("{entry:?}") };
        assert!(id.integer() >= 0 && time.integer() > 1_700_000_000 && value.integer() >= 0);
        assert!(peer.text().starts_with("127.0.0.1:"), "{peer:?}");
        let args: Vec<String> = args.elements().iter().map(Value::text).collect();
        let value = match log {
            "slow" => "time".into(),
            // The reply to it names modules that this server does not have.
            "large-reply" if args[0] == "HELLO" => "any".into(),
            _ => value.integer().to_string(),
        };
        format!("{value} {args:?} {:?}", name.text())
    };
    reply.elements().iter().rev().map(entry).collect()
}

/// The three logs of what `work` does with a connection.
fn logs(server: &Server, work: impl FnOnce(&Server, &mut Client)) -> Vec<Vec<String>> {
    let (mut client, mut other) = (server.connect(), server.connect());
    other.run(OFF);
    for log in ["slow", "large-request", "large-reply"] {
        assert!(other.command(&["COMMANDLOG", "RESET", log]).is("OK"));
    }
    other.run(ON);
    work(server, &mut client);
    other.run(OFF);
    ["slow", "large-request", "large-reply"].map(|log| entries(&mut other, log)).into()
}

fn compare(work: impl Fn(&Server, &mut Client)) {
    let ours = logs(&Server::start(&[]), &work);
    let theirs = logs(&Server::oracle(&[]), &work);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!(ours.len() > 1, "nothing was logged");
        assert_eq!(ours, theirs);
    }
}

#[test]
fn calls_are_logged_with_their_sizes() {
    compare(|_, client| {
        for words in [
            "PING",
            "PiNg word",
            "SET key value",
            "GET key",
            "GET nothing",
            "SET a b c d",
            "GET",
            "NOSUCH command",
            "CONFIG SET",
            "CLIENT SETNAME somebody",
            "INCRBYFLOAT number 1.5",
            "SADD set a b c",
            "SPOP set 10",
            "GEOADD cities -122.33207 47.60621 Seattle",
            "HELLO 3",
            "HGETALL nothing",
            "HELLO 2",
            "RESET",
            "SET key again",
        ] {
            client.run(words);
        }
        client.command(&["SET", "long", &"x".repeat(300_000)]);
        client.run("GET long");
        client.run("MGET key long nothing");
        client.write(b"ping\r\nset  key  value\r\nping \"a b\"\r\n");
        for reply in ["PONG", "OK"] {
            assert!(client.read().is(reply));
        }
        assert_eq!(client.read().text(), "a b");
    });
}

#[test]
fn long_calls_are_cut() {
    compare(|_, client| {
        for arguments in [30, 31, 32, 33, 100] {
            let words = (1..arguments).map(|number| number.to_string());
            client.command(&std::iter::once("DEL".to_owned()).chain(words).collect::<Vec<_>>());
        }
        for length in [127, 128, 129, 1000] {
            client.command(&["SET", "key", &"x".repeat(length)]);
        }
        client.command(&vec!["y".repeat(200); 40]);
        let mut del = vec!["DEL".to_owned()];
        del.extend(vec!["y".repeat(200); 40]);
        client.command(&del);
    });
}

#[test]
fn passwords_are_not_logged() {
    compare(|_, client| {
        for words in [
            "AUTH secret",
            "AUTH default secret",
            "HELLO 2 AUTH default secret SETNAME me",
            "HELLO 2 SETNAME me AUTH default secret",
            "HELLO 2 SETNAME other",
            "CONFIG SET primaryauth secret",
            "CONFIG SET masterauth secret maxmemory 0",
            "CONFIG SET maxmemory 0 PRIMARYUSER me",
            "CONFIG SET masteruser me",
            "CONFIG SET tls-key-file-pass secret",
            "CONFIG SET tls-client-key-file-pass secret",
            "CONFIG SET nosuch parameter requirepass secret",
            "CONFIG GET requirepass",
        ] {
            client.run(words);
        }
    });
}

#[test]
fn a_transaction_is_logged_call_by_call() {
    compare(|_, client| {
        for words in [
            "MULTI",
            "SET key abcdefghijklmnopqrstuvwxyz",
            "GET key",
            "AUTH secret",
            "PING",
            "EXEC",
            "DISCARD",
            "MULTI",
            "SET key",
            "EXEC",
            "WATCH key",
            "UNWATCH",
        ] {
            client.run(words);
        }
    });
}

#[test]
fn a_reply_that_is_not_sent_has_no_bytes() {
    compare(|_, client| {
        client.send(&["CLIENT", "REPLY", "OFF"]);
        client.send(&["GET", "key"]);
        assert!(client.run("CLIENT REPLY ON").is("OK"));
        client.send(&["CLIENT", "REPLY", "SKIP"]);
        client.send(&["GET", "key"]);
        assert!(client.run("PING").is("PONG"));
    });
}

#[test]
fn a_call_that_waits_is_logged_when_it_ends() {
    compare(|server, client| {
        let mut waiting = server.connect();
        let id = waiting.run("CLIENT ID").integer();
        waiting.send(&["BLPOP", "list", "other", "0"]);
        // CLIENT LIST's size is not to be compared.
        client.run(OFF);
        client.wait_until_blocked(id);
        client.run(ON);
        client.run("RPUSH list element more");
        assert_eq!(waiting.read().elements()[1].text(), "element");
        waiting.command(&["BLPOP", "nothing", "0.01"]);
    });
}

#[test]
fn waiting_calls_are_counted_when_they_end() {
    let server = Server::start(&[]);
    let (mut client, mut waiting) = (server.connect(), server.connect());
    let id = waiting.run("CLIENT ID").integer();
    let count = |client: &mut Client| {
        let stats = client.run("INFO commandstats").text();
        let line = stats.lines().find(|line| line.starts_with("cmdstat_blpop:"));
        line.map(|line| {
            let (calls, rest) = line.split_once(",usec=").unwrap();
            let failed = rest.rsplit(',').next().unwrap();
            format!("{calls} {failed}")
        })
    };
    waiting.send(&["BLPOP", "list", "0"]);
    client.wait_until_blocked(id);
    assert_eq!(count(&mut client), None);
    client.run("RPUSH list element");
    waiting.read();
    assert_eq!(count(&mut client).unwrap(), "cmdstat_blpop:calls=1 failed_calls=0");
    client.run("SET text 1");
    waiting.command(&["BLPOP", "text", "0"]);
    assert_eq!(count(&mut client).unwrap(), "cmdstat_blpop:calls=2 failed_calls=1");
    assert_eq!(waiting.run("LATENCY HISTOGRAM blpop").elements()[1].elements()[1].integer(), 2);
}

/// Commands whose replies are the same, one a line.
const SCRIPT: &str = "
SLOWLOG
SLOWLOG HELP
SLOWLOG HELP x
SLOWLOG LEN
SLOWLOG LEN x
SLOWLOG GET x
SLOWLOG GET -2
SLOWLOG gEt 1 2
SLOWLOG GET 99999999999999999999
SLOWLOG GET 0
SLOWLOG RESET
SLOWLOG RESET x
SLOWLOG nosuch
COMMANDLOG
COMMANDLOG HELP
COMMANDLOG nosuch
COMMANDLOG GET
COMMANDLOG GET 1
COMMANDLOG GET 1 nosuch
COMMANDLOG GET x nosuch
COMMANDLOG GET -2 slow
COMMANDLOG GET -1 SLOW
COMMANDLOG LEN
COMMANDLOG LEN nosuch
COMMANDLOG LEN Large-Reply
COMMANDLOG RESET
COMMANDLOG RESET nosuch
COMMANDLOG RESET large-request
COMMAND INFO slowlog commandlog
COMMAND DOCS slowlog commandlog
CONFIG SET slowlog-max-len 5
CONFIG SET slowlog-log-slower-than 0
PING
PING
PING
PING
PING
SLOWLOG LEN
CONFIG SET slowlog-log-slower-than -1
SLOWLOG LEN
CONFIG SET slowlog-max-len 2
SLOWLOG LEN
CONFIG SET slowlog-max-len 0
CONFIG SET slowlog-log-slower-than 0
SLOWLOG LEN
CONFIG SET slowlog-max-len 3
SLOWLOG LEN
CONFIG SET slowlog-log-slower-than 1000000
SLOWLOG LEN
COMMANDLOG LEN slow
SLOWLOG RESET
SLOWLOG LEN
SET key aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
CONFIG SET commandlog-reply-larger-than 96
GET key
COMMANDLOG LEN large-reply
CONFIG SET commandlog-reply-larger-than 97
GET key
COMMANDLOG LEN large-reply
CONFIG SET commandlog-request-larger-than 33
SET a 12345
SET a 123456
COMMANDLOG LEN large-request
CONFIG SET commandlog-request-larger-than -1
CONFIG SET commandlog-large-request-max-len 1
COMMANDLOG LEN large-request
CONFIG SET commandlog-large-request-max-len -1
CONFIG SET slowlog-log-slower-than -2
";

#[test]
fn the_commands_reply_as_valkey_does() {
    assert_same_replies(&Server::start(&[]), &Server::oracle(&[]), SCRIPT.lines());
}

#[test]
fn all_workers_share_a_log() {
    let server = Server::start(&["--io-threads", "3"]);
    let mut first = server.connect();
    first.run("SLOWLOG RESET");
    first.run("CONFIG SET slowlog-log-slower-than 0");
    let mut clients: Vec<Client> = (0..6).map(|_| server.connect()).collect();
    for client in &mut clients {
        // A worker takes notice of new settings with its next turn.
        client.run("PING first");
        client.run("PING second");
    }
    first.run("CONFIG SET slowlog-log-slower-than -1");
    let reply = first.run("SLOWLOG GET -1");
    let entries = reply.elements();
    let ids: Vec<i64> = entries.iter().map(|entry| entry.elements()[0].integer()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1] + 1), "{ids:?}");
    let second = entries.iter().filter(|entry| {
        let args = entry.elements()[3].elements();
        args.get(1).is_some_and(|arg| arg.text() == "second")
    });
    assert_eq!(second.count(), clients.len());
}

#[test]
fn a_slow_call_is_logged_with_its_time() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    client.run("CLIENT SETNAME sleeper");
    client.run("CONFIG SET slowlog-log-slower-than 20000");
    client.run("SLOWLOG RESET");
    client.run("DEBUG SLEEP 0.001");
    client.run("DEBUG SLEEP 0.03");
    let reply = client.run("SLOWLOG GET");
    let entry = reply.elements().last().expect("it was slow").elements();
    assert!(entry[2].integer() >= 30_000, "{entry:?}");
    let args: Vec<String> = entry[3].elements().iter().map(Value::text).collect();
    assert_eq!(args, ["DEBUG", "SLEEP", "0.03"]);
    assert_eq!(entry[5].text(), "sleeper");
}
