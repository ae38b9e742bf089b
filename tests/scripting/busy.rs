//! A script that runs for long: what others are told, and how they end it.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::{Client, Server, Value};

/// The words of a command.
fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

const OPTIONS: &[&str] = &["--busy-reply-threshold", "50", "--unixsocket", "s"];

const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until the answer is that a script runs.
fn wait_until_busy(client: &mut Client) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = client.run("GET x");
        if matches!(&reply, Value::Error(_)) {
            return reply;
        }
        assert!(Instant::now() < deadline, "nothing is busy");
    }
}

/// Starts a script on a connection of its own.
fn start(server: &Server, script: &str) -> Client {
    let mut client = server.connect();
    client.send(&["EVAL", script, "0"]);
    client
}

const FOREVER: &str = "while true do end";

#[test]
fn a_script_is_killed_from_any_connection() {
    for threads in ["1", "3"] {
        let server = Server::start(&[OPTIONS, &["--io-threads", threads]].concat());
        // Connections to all workers, and one of another transport.
        let mut others: Vec<Client> = (0..6).map(|_| server.connect()).collect();
        others.push(Client::unix(&Path::new(server.dir()).join("s")));
        others.iter_mut().for_each(|client| assert!(client.run("PING").is("PONG")));
        for killer in 0..others.len() {
            let mut script = start(&server, FOREVER);
            for client in &mut others {
                let busy = wait_until_busy(client);
                assert_eq!(
                    busy.error(),
                    "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN \
                     NOSAVE."
                );
                assert!(client.run("FUNCTION KILL").error().starts_with("BUSY"));
                // What needs no key is answered.
                assert!(client.run("MULTI").is("OK") && client.run("DISCARD").is("OK"));
            }
            // New connections are taken, too.
            assert!(server.connect().run("PING").error().starts_with("BUSY"));
            assert!(others[killer].run("SCRIPT KILL").is("OK"));
            let error = script.read();
            assert!(error.error().contains("Script killed by user with SCRIPT KILL"), "{error:?}");
            others.iter_mut().for_each(|client| assert!(client.run("PING").is("PONG")));
        }
        assert!(others[0].run("SCRIPT KILL").error().starts_with("NOTBUSY"));
    }
}

#[test]
fn nothing_that_a_script_does_keeps_it_from_being_killed() {
    let server = Server::start(OPTIONS);
    let mut client = server.connect();
    let scripts = [
        "while true do pcall(function() while true do end end) end",
        "local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
        "while true do redis.pcall('get', 'x') end",
        "local co = coroutine.wrap(function() while true do end end) co()",
        "return string.find(string.rep('a', 5000), string.rep('a*', 100) .. 'b')",
        "local t = {} for i = 1, 1000000 do t[i] = i end table.sort(t, function() return true end) while true do end",
        "while true do string.rep('x', 1000000) end",
        "xpcall(function() while true do end end, function() while true do end end)",
    ];
    for script in scripts {
        let mut running = start(&server, script);
        wait_until_busy(&mut client);
        assert!(client.run("SCRIPT KILL").is("OK"), "{script}");
        assert!(running.read().error().contains("killed by user"), "{script}");
        assert!(client.run("PING").is("PONG"), "{script}");
    }
}

#[test]
fn a_script_that_has_written_is_not_killed() {
    let server = Server::start(OPTIONS);
    let mut client = server.connect();
    let script = "redis.call('set', 'x', 1) local t = os.clock() while os.clock() < t + 0.5 do end \
                  redis.call('incr', 'x') return 'done'";
    let mut running = start(&server, script);
    wait_until_busy(&mut client);
    assert!(client.run("SCRIPT KILL").error().starts_with("UNKILLABLE"));
    assert!(client.run("SHUTDOWN").error().starts_with("BUSY"));
    assert_eq!(running.read().text(), "done");
    assert_eq!(client.run("GET x").text(), "2");
    // One that has not written so far can be killed until it does.
    let script = "while os.clock() < 1e9 do end redis.call('set', 'x', 1)";
    let mut running = start(&server, script);
    wait_until_busy(&mut client);
    assert!(client.run("SCRIPT KILL").is("OK"));
    running.read().error();
    assert_eq!(client.run("GET x").text(), "2");
}

#[test]
fn a_function_is_shown_and_killed_as_such() {
    let server = Server::start(OPTIONS);
    let mut client = server.connect();
    let library =
        "#!lua name=lib\nredis.register_function('loop', function() while true do end end)";
    client.command(&["FUNCTION", "LOAD", library]);
    let mut running = server.connect();
    running.send(&words("FCALL loop 1 k a"));
    let busy = wait_until_busy(&mut client);
    assert!(busy.error().contains("FUNCTION KILL"), "{busy:?}");
    assert!(client.run("SCRIPT KILL").error().starts_with("BUSY"));
    let stats = client.run("FUNCTION STATS");
    let script = stats.elements()[1].elements();
    assert_eq!(script[1].text(), "loop");
    let command: Vec<String> = script[3].elements().iter().map(Value::text).collect();
    assert_eq!(command, ["FCALL", "loop", "1", "k", "a"]);
    assert!(script[5].integer() >= 50);
    assert!(client.run("FUNCTION KILL").is("OK"));
    assert!(running.read().error().contains("killed by user with FUNCTION KILL"));
    assert!(matches!(client.run("FUNCTION STATS").elements()[1], Value::Null));
}

#[test]
fn the_server_ends_while_a_script_runs() {
    for threads in ["1", "3"] {
        let mut server = Server::start(&[OPTIONS, &["--io-threads", threads]].concat());
        let mut client = server.connect();
        let _running = start(&server, "redis.call('set', 'x', 1) while true do end");
        wait_until_busy(&mut client);
        client.send(&words("SHUTDOWN NOSAVE"));
        assert!(server.wait().success());
    }
}

/// Clients that wait, watch, track or leave while a script runs: nothing waits for its end that need not, and nothing
/// is forgotten.
#[test]
fn clients_come_and_go_while_a_script_runs() {
    for threads in ["1", "3"] {
        let server = Server::start(&[OPTIONS, &["--io-threads", threads, "--hz", "100"]].concat());
        let mut client = server.connect();
        client.run("SET volatile x PX 100");
        let mut waiting = server.connect();
        waiting.send(&words("BLPOP list 0.2"));
        let (mut watching, mut tracking) = (server.connect(), server.connect());
        watching.run("WATCH x");
        tracking.run("HELLO 3");
        tracking.run("CLIENT TRACKING ON");
        tracking.run("GET x");
        let mut running = start(&server, FOREVER);
        wait_until_busy(&mut client);
        drop((watching, tracking));
        // It ends in time, whoever runs.
        assert!(matches!(waiting.read(), Value::Null));
        assert!(client.run("SCRIPT KILL").is("OK"));
        running.read().error();
        let deadline = Instant::now() + PATIENCE;
        while client.run("DBSIZE").integer() > 0
            || client.run("CLIENT LIST").text().lines().count() > 3
        {
            assert!(Instant::now() < deadline, "something is left");
        }
        client.run("RPUSH list a");
        assert_eq!(client.run("LLEN list").integer(), 1, "nobody waits any more");
    }
}

#[test]
fn without_a_threshold_nobody_is_told() {
    let server = Server::start(&["--busy-reply-threshold", "0"]);
    let mut client = server.connect();
    let mut running =
        start(&server, "local t = os.clock() while os.clock() < t + 0.2 do end return 1");
    // Either it has not begun, or this waits for its end.
    assert!(client.run("PING").is("PONG"));
    assert_eq!(running.read().integer(), 1);
}

/// Whether a paused call only reads is told by the engine, which the running script has.
#[test]
fn a_call_that_waits_for_the_end_of_a_pause_waits_for_no_script() {
    for threads in ["1", "3"] {
        let server = Server::start(&[OPTIONS, &["--io-threads", threads]].concat());
        let (mut client, mut paused) = (server.connect(), server.connect());
        let digest = client.command(&["SCRIPT", "LOAD", "return 1"]).text();
        assert!(client.run("CLIENT PAUSE 100000 WRITE").is("OK"));
        let mut running = start(&server, &format!("#!lua flags=no-writes\n{FOREVER}"));
        wait_until_busy(&mut client);
        paused.send(&["EVALSHA", &digest, "0"]);
        // Both are answered, whichever thread has them.
        assert!(server.connect().run("PING").error().starts_with("BUSY"));
        assert!(client.run("SCRIPT KILL").is("OK"));
        running.read().error();
        assert!(client.run("CLIENT UNPAUSE").is("OK"));
        assert_eq!(paused.read().integer(), 1);
    }
}
