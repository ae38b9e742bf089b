//! The tools as programs: run to their end, or spoken with.

use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

pub const CLI: &str = env!("CARGO_BIN_EXE_verbena-cli");

/// The time limit for expected output of a program.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a program with the words of `line`, then `more` arguments, and `input` on its standard input.
pub fn run(program: &str, line: &str, more: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(line.split_ascii_whitespace())
        .args(more)
        .env_remove("REDISCLI_AUTH")
        .env_remove("VERBENACLI_AUTH")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} (of redis-tools?): {error}"));
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        // A program that does not read its input to the end is no failure.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A verbena-cli that is spoken with.
pub struct Dialogue {
    child: Child,
    stdin: Option<ChildStdin>,
    output: Receiver<u8>,
}

impl Dialogue {
    /// Over pipes. Errors are part of the output.
    pub fn piped(line: &str) -> Dialogue {
        Dialogue::of(CLI, line)
    }

    /// Another program, over pipes. Errors are part of the output.
    pub fn of(program: &str, line: &str) -> Dialogue {
        let script = format!("exec {program} {line} 2>&1");
        Dialogue::start(Command::new("sh").args(["-c", &script]))
    }

    /// On a terminal.
    pub fn on_terminal(line: &str) -> Dialogue {
        let command = format!("{CLI} {line}");
        Dialogue::start(Command::new("script").args(["-qec", &command, "/dev/null"]))
    }

    fn start(command: &mut Command) -> Dialogue {
        let mut child = command
            .env("TERM", "dumb")
            .env("VERBENACLI_HISTFILE", "/dev/null")
            .env("VERBENACLI_RCFILE", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("script (of bsdutils): {error}"));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            for byte in BufReader::new(stdout).bytes().map_while(Result::ok) {
                if sender.send(byte).is_err() {
                    return;
                }
            }
        });
        Dialogue { child, stdin, output }
    }

    pub fn writes(&mut self, line: &str) {
        self.types(&format!("{line}\n"));
    }

    /// Writes without a line break.
    pub fn types(&mut self, keys: &str) {
        self.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// The output up to `end`, without the carriage returns of a terminal.
    pub fn sees(&mut self, end: &str) -> String {
        let mut seen = Vec::new();
        while !seen.ends_with(end.as_bytes()) {
            match self.output.recv_timeout(PATIENCE) {
                Ok(b'\r') => {}
                Ok(byte) => seen.push(byte),
                Err(error) => panic!("no {end:?} in {:?}: {error}", text(&seen)),
            }
        }
        text(&seen)
    }

    /// Asserts that exactly `expected` is written next.
    pub fn sees_exactly(&mut self, expected: &str) {
        assert_eq!(self.sees(expected), expected);
    }

    /// Ends the input; returns the rest of the output, and how the program ended.
    pub fn ends(&mut self) -> (String, ExitStatus) {
        self.stdin = None;
        let mut rest = Vec::new();
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(byte) => rest.push(byte),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("no end after {:?}", text(&rest)),
            }
        }
        (text(&rest), self.child.wait().unwrap())
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
