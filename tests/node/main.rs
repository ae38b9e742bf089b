//! The server as a process and a node of its system: crashes, ends, threads, titles.

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod crash;
mod end;
mod process;
mod threads;

/// Options of a server that can be told to fail.
const DEBUGGED: [&str; 4] = ["--enable-debug-command", "yes", "--io-threads", "2"];

/// The state of the process in one of its files in `/proc`.
fn state(server: &common::Server, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{}/{file}", server.pid())).unwrap()
}

/// Waits until `holds`, which something that the test did brings about.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
