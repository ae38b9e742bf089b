//! What is refused before it runs, beside the real Valkey: commands that the configuration does not allow.

mod common;

use common::{Server, assert_same_replies, assert_same_reply};

const COMMANDS: &[&str] = &[
    "CONFIG RESETSTAT",
    "DEBUG HELP",
    "DEBUG NOSUCH",
    "DEBUG SLEEP",
    "DEBUG",
    "MODULE",
    "MODULE HELP",
    "MODULE LOAD",
    "MODULE LOAD nosuch",
    "MODULE LOADEX nosuch ARGS a",
    "MODULE UNLOAD",
    "MODULE UNLOAD nosuch",
    "MODULE LIST x",
    "MODULE NOSUCH",
    "COMMAND INFO debug module module|load",
    "MULTI",
    "DEBUG SET-ACTIVE-EXPIRE 1",
    "SET key value",
    "EXEC",
    "MULTI",
    "MODULE LOAD nosuch",
    "EXEC",
    "MULTI",
    "DEBUG",
    "EXEC",
    "MULTI",
    "MODULE HELP",
    "EXEC",
    "GET key",
    "SUBSCRIBE channel",
    "DEBUG SET-ACTIVE-EXPIRE 1",
    "MODULE LOAD nosuch",
    "RESET",
];

/// Calls, refusals and failures of the commands that may be refused, and the counts of errors.
fn statistics(server: &Server) -> Vec<String> {
    let mut client = server.connect();
    let of_interest = |line: &str| {
        ["cmdstat_debug", "cmdstat_module", "cmdstat_exec", "errorstat_"]
            .iter()
            .any(|prefix| line.starts_with(prefix))
    };
    let without_times = |line: &str| {
        line.split(',').filter(|field| !field.starts_with("usec")).collect::<Vec<_>>().join(",")
    };
    let mut client_statistics = |section: &str| -> Vec<String> {
        let text = client.run(&format!("INFO {section}")).text();
        text.lines().filter(|line| of_interest(line)).map(without_times).collect()
    };
    let mut lines = [client_statistics("commandstats"), client_statistics("errorstats")].concat();
    lines.sort();
    lines
}

#[test]
fn debug_and_module_are_refused_as_valkey_refuses_them() {
    for options in [
        &[][..],
        &["--enable-debug-command", "yes"],
        &["--enable-debug-command", "local", "--enable-module-command", "local"],
        &["--enable-module-command", "yes"],
    ] {
        let (ours, theirs) = (Server::start(options), Server::oracle(options));
        assert_same_replies(&ours, &theirs, COMMANDS.iter().copied());
        let statistics = [statistics(&ours), statistics(&theirs)];
        assert_eq!(statistics[0], statistics[1], "{options:?}");
        assert!(statistics[0].len() > 5, "{statistics:?}");
    }
}

#[test]
fn the_password_is_asked_for_first() {
    let options = ["--requirepass", "secret"];
    let (ours, theirs) = (Server::start(&options), Server::oracle(&options));
    let commands =
        ["DEBUG HELP", "DEBUG", "MODULE LOAD x", "MODULE LOAD", "AUTH secret", "DEBUG HELP"];
    assert_same_replies(&ours, &theirs, commands);
}

#[test]
fn a_command_that_is_not_allowed_waits_for_no_pause_and_needs_no_memory() {
    let servers = [Server::start(&[]), Server::oracle(&[])];
    let mut clients = servers.each_ref().map(Server::connect);
    for server in &servers {
        let mut other = server.connect();
        assert!(other.run("CONFIG SET maxmemory 1").is("OK"));
        assert!(other.run("CLIENT PAUSE 3600000 ALL").is("OK"));
    }
    for command in ["DEBUG HELP", "MODULE LOAD x"] {
        assert_same_reply(&mut clients, command);
    }
}

#[test]
fn a_command_that_is_not_allowed_is_not_shown_to_monitors() {
    for server in [Server::start(&[]), Server::oracle(&[])] {
        let (mut client, mut monitor) = (server.connect(), server.connect());
        assert!(monitor.run("MONITOR").is("OK"));
        client.run("DEBUG HELP").error();
        client.run("PING seen");
        assert!(monitor.read().text().ends_with("\"PING\" \"seen\""));
    }
}
