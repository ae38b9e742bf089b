//! The process: its title, its score where memory runs out, its supervisor, its sockets.

use std::process::{Command, Stdio};

use crate::common::{Client, Server};
use crate::{state, wait_until};

fn title(server: &Server) -> String {
    state(server, "cmdline").trim_end_matches('\0').to_owned()
}

#[test]
fn the_title_follows_its_template() {
    let server = Server::start(&["--unixsocket", "s.sock"]);
    let port = server.port();
    assert!(title(&server).ends_with(&format!("verbena-server *:{port}")), "{}", title(&server));
    let mut client = server.connect();
    let template =
        "TEST {title} {listen-addr} {port} {tls-port} {unixsocket} {config-file} {server-mode}.";
    assert!(client.command(&["CONFIG", "SET", "proc-title-template", template]).is("OK"));
    let shown = title(&server);
    assert!(shown.starts_with("TEST /"), "{shown}");
    let end = format!("verbena-server *:{port} {port} 0 s.sock - .");
    assert!(shown.ends_with(&end), "{shown}");
    let error = client.command(&["CONFIG", "SET", "proc-title-template", "{nope}"]);
    assert!(error.error().contains("template format is invalid"), "{error}");
    // A title that is too long is cut, and the environment stays.
    let long = "x".repeat(100_000);
    assert!(client.command(&["CONFIG", "SET", "proc-title-template", &long]).is("OK"));
    let shown = title(&server);
    assert!(shown.len() > 20 && shown.bytes().all(|byte| byte == b'x'), "{shown}");
    assert!(client.run("PING").is("PONG"));

    let server = Server::start(&["--set-proc-title", "no"]);
    assert!(title(&server).contains("\0--set-proc-title\0no"), "{}", title(&server));
}

#[test]
fn the_score_where_memory_runs_out_is_adjusted_and_restored() {
    let score = |server: &Server| -> i32 { state(server, "oom_score_adj").trim().parse().unwrap() };
    let server = Server::start(&[]);
    let mut client = server.connect();
    let base = score(&server);
    let mut set = |words: &[&str]| {
        let reply = client.command(&[&["CONFIG", "SET"], words].concat());
        assert!(reply.is("OK"), "{words:?}: {reply}");
    };
    set(&["oom-score-adj-values", "10 20 30"]);
    assert_eq!(score(&server), base);
    set(&["oom-score-adj", "yes"]);
    assert_eq!(score(&server), base + 10);
    set(&["oom-score-adj-values", "15 20 30"]);
    assert_eq!(score(&server), base + 15);
    set(&["oom-score-adj", "absolute", "oom-score-adj-values", &format!("{} 1 1", base + 40)]);
    assert_eq!(score(&server), base + 40);
    set(&["oom-score-adj", "no"]);
    assert_eq!(score(&server), base);
    let server =
        Server::start(&["--oom-score-adj", "relative", "--oom-score-adj-values", "7", "8", "9"]);
    assert_eq!(score(&server), base + 7);
}

#[test]
fn a_score_that_the_system_refuses_leaves_everything_as_it_was() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    // Only absolute scores below -1000 are refused to everybody, and those are clamped: a privileged server can
    // set all others.
    let reply = client.command(&["CONFIG", "SET", "oom-score-adj-values", "-2001 0 0"]);
    assert!(reply.error().contains("must be between -2000 and 2000"), "{reply}");
    let reply = client.command(&[
        "CONFIG",
        "SET",
        "oom-score-adj-values",
        "-1000 0 0",
        "oom-score-adj",
        "absolute",
    ]);
    let privileged = reply.is("OK");
    if !privileged {
        let text = "ERR CONFIG SET failed (possibly related to argument 'oom-score-adj-values') - Failed \
                    to set current oom_score_adj. Check server logs.";
        assert_eq!(reply.error(), text);
        server.wait_for_log("Unable to write oom_score_adj: Permission denied");
    }
    let value = client.run("CONFIG GET oom-score-adj").elements()[1].text();
    assert_eq!(value, if privileged { "absolute" } else { "no" });
}

#[test]
fn connections_work_over_mptcp() {
    let server = Server::start(&["--mptcp", "yes"]);
    let mut client = server.connect();
    assert!(client.run("PING").is("PONG"));
    assert_eq!(client.run("CONFIG GET mptcp").elements()[1].text(), "yes");
}

#[test]
fn upstart_is_told_by_a_stop_that_the_server_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_verbena-server"))
        .current_dir(dir.path())
        .args(["--port", "0", "--unixsocket", "s", "--supervised", "auto"])
        .env("UPSTART_JOB", "verbena")
        .env_remove("NOTIFY_SOCKET")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    let stopped = || std::fs::read_to_string(&stat).unwrap().contains(") T ");
    wait_until("the process is stopped", stopped);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
    assert!(Client::unix(&dir.path().join("s")).run("PING").is("PONG"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_log_file_that_was_moved_away_is_begun_again() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let dir = tempfile::tempdir().unwrap();
    let (socket, log) = (dir.path().join("s"), dir.path().join("log"));
    drop(server);
    let mut child = Command::new(env!("CARGO_BIN_EXE_verbena-server"))
        .current_dir(dir.path())
        .args(["--port", "0", "--unixsocket", "s", "--logfile", "log"])
        .args(["--enable-debug-command", "yes", "--crash-log-enabled", "yes"])
        .spawn()
        .unwrap();
    let ready = || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("Ready to accept"));
    wait_until("the server is ready", ready);
    std::fs::rename(&log, dir.path().join("old")).unwrap();
    let mut client = Client::unix(&socket);
    assert!(client.run("DEBUG LOG moved").is("OK"));
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.ends_with("# DEBUG LOG: moved\n"), "{text}");
    client.write(b"DEBUG SEGFAULT\r\n");
    client.expect_closed();
    child.wait().unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("BUG REPORT START") && text.contains("BUG REPORT END"), "{text}");
}
