//! MONITOR, step by step.

use crate::common::Server;
use crate::stage::Stage;

#[test]
fn every_command_is_shown_as_the_oracle_shows_it() {
    let mut stage = Stage::new(&[]);
    for b in ["B PING", "B3"] {
        stage.play(&format!(
            "{b}
             A MONITOR
             B SET k v\\x00\"\u{e9}
             B GET
             B NOSUCH
             B GET k
             B MULTI
             B SET k 2
             B GET k
             B EXEC
             B AUTH secret
             B AUTH user secret
             B HELLO 3 AUTH user secret SETNAME x
             B CONFIG GET hz
             B CLIENT LIST ID 1
             B SELECT 4
             B GET k
             B SELECT 0
             B EXISTS ''
             C MONITOR
             B GET k
             A GET k
             A SET k v
             A ECHO text
             A PUBLISH c m
             A RESET
             B GET k
             A GET k
             B MULTI
             B MONITOR
             B EXEC"
        ));
    }
}

#[test]
fn a_monitor_that_reads_nothing_is_ended_at_its_limit() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let (mut slow, mut client) = (server.connect(), server.connect());
    slow.run("MONITOR");
    let text = "x".repeat(100_000);
    for _ in 0..200 {
        client.command(&["ECHO", &text]);
    }
    server.wait_for_log("scheduled to be closed ASAP for overcoming of output buffer limits");
    slow.discard_to_end();
    assert!(client.run("PING").is("PONG"));
}
