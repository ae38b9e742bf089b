//! Reports of crashes.

use std::os::unix::process::ExitStatusExt;

use crate::DEBUGGED;
use crate::common::Server;

/// The end of a server that `fail` makes fail: its signal, and its log.
fn crashed(options: &[&str], fail: impl FnOnce(&Server)) -> (Option<i32>, Option<i32>, String) {
    let mut server = Server::start(&[&DEBUGGED, options].concat());
    let mut client = server.connect();
    assert!(client.run("CLIENT SETNAME somebody").is("OK"));
    fail(&server);
    let status = server.wait();
    (status.signal(), status.code(), server.log())
}

/// Sends a request whose only answer is the end of the connection.
fn debug(words: &'static str) -> impl FnOnce(&Server) {
    move |server| {
        let mut client = server.connect();
        client.write(format!("{words}\r\n").as_bytes());
        client.expect_closed();
    }
}

fn assert_in_order(log: &str, parts: &[&str]) {
    let mut rest = log;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("no {part:?} in its place:\n{log}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn a_deadly_signal_leaves_a_report_with_the_calls_of_all_threads() {
    let (signal, _, log) = crashed(&[], debug("DEBUG SEGFAULT"));
    assert_eq!(signal, Some(libc::SIGSEGV));
    assert_in_order(
        &log,
        &[
            "=== VERBENA BUG REPORT START: Cut & paste starting from here ===",
            "crashed by signal: 11",
            "Crashed running the instruction at: 0x",
            "------ REGISTERS ------",
            "------ STACK TRACE ------",
            "io_thd_",
            "command::debug::debug",
            "3/3 expected stacktraces.",
            "------ STACK TRACE DONE ------",
            "------ INFO OUTPUT ------",
            "verbena_version:",
            "------ CLIENT LIST OUTPUT ------",
            "name=*redacted*",
            "------ CONFIG DEBUG OUTPUT ------",
            "io-threads 2",
            "=== VERBENA BUG REPORT END. Make sure to include from START to END. ===",
        ],
    );
    assert_eq!(log.matches("STACK TRACE -").count(), 1, "{log}");
    assert!(!log.contains("somebody"), "{log}");
}

#[test]
fn signals_from_outside_are_reported_with_their_sender() {
    for (name, number) in [("SEGV", 11), ("BUS", 7), ("FPE", 8), ("ILL", 4), ("ABRT", 6)] {
        let (signal, _, log) = crashed(&[], |server| server.signal(name));
        assert_eq!(signal, Some(number));
        assert_in_order(
            &log,
            &[
                &format!("crashed by signal: {number}, si_code: 0"),
                "Killed by PID: ",
                "3/3 expected stacktraces.",
                "BUG REPORT END",
            ],
        );
    }
}

#[test]
fn panics_and_assertions_are_reported_and_end_the_process() {
    for (words, text) in [
        ("DEBUG PANIC", "Guru Meditation: DEBUG PANIC called at Unix time "),
        ("DEBUG ASSERT", "=== ASSERTION FAILED ==="),
        ("DEBUG OOM", "Guru Meditation: Verbena aborting for OUT OF MEMORY."),
    ] {
        let parts = ["BUG REPORT START", text, "command::debug::debug", "BUG REPORT END"];
        let (signal, _, log) = crashed(&[], debug(words));
        assert_eq!(signal, Some(libc::SIGABRT), "{words}");
        assert_in_order(&log, &parts);
        let (signal, code, log) = crashed(&["--use-exit-on-panic", "yes"], debug(words));
        assert_eq!((signal, code), (None, Some(1)), "{words}");
        assert_in_order(&log, &parts);
    }
}

#[test]
fn without_a_crash_log_the_process_ends_silently() {
    let (signal, _, log) = crashed(&["--crash-log-enabled", "no"], debug("DEBUG SEGFAULT"));
    assert_eq!(signal, Some(libc::SIGSEGV));
    assert!(!log.contains("REPORT"), "{log}");
    // The heading of a panic has its reason in it.
    let (signal, _, log) = crashed(&["--crash-log-enabled", "no"], debug("DEBUG PANIC"));
    assert_eq!(signal, Some(libc::SIGABRT));
    assert_in_order(&log, &["Guru Meditation", "BUG REPORT END"]);
    assert!(!log.contains("STACK TRACE"), "{log}");
    let (signal, _, log) = crashed(&[], |server| {
        assert!(server.connect().run("CONFIG SET crash-log-enabled no").is("OK"));
        server.signal("SEGV");
    });
    assert_eq!(signal, Some(libc::SIGSEGV));
    assert!(!log.contains("REPORT"), "{log}");
}

#[test]
fn sigalrm_shows_the_calls_of_all_threads_and_harms_nobody() {
    let server = Server::start(&DEBUGGED);
    let mut client = server.connect();
    client.write(b"DEBUG SLEEP 1\r\n");
    for _ in 0..2 {
        server.signal("ALRM");
        server.wait_for_log("STACK TRACE DONE");
    }
    assert!(client.read().is("OK"));
    assert!(client.run("PING").is("PONG"));
    assert_in_order(&server.log(), &["Received SIGALRM", "3/3 expected stacktraces."]);
    // Nobody has asked for the calls of a thread.
    server.signal("USR2");
    assert!(client.run("PING").is("PONG"));
}
