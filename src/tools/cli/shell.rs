//! Commands line by line: from a person at a terminal, or from the standard input.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::catalog::Catalog;
use super::editor::{Input, Knowledge, Terminal, preferences_file};
use super::format::Style;
use super::help::{self, Colours};
use super::input::Lines;
use super::messages::{self, End};
use super::session::{Outcome, Session};
use super::words;
use crate::tools::client::Value;

/// Duration from which a command's time is shown to an interactive user.
const LONG: Duration = Duration::from_millis(500);

/// Whether to read another line.
#[derive(PartialEq)]
enum Next {
    Line,
    Quit,
}

/// Reads lines from an interactive user.
pub async fn interactive(session: &mut Session) -> io::Result<ExitCode> {
    let knowledge = Knowledge::default();
    knowledge.hints.store(true, Ordering::Relaxed);
    let preferences = preferences_file().and_then(|path| std::fs::read_to_string(path).ok());
    for line in preferences.unwrap_or_default().lines() {
        prefer(&knowledge, &line.split_ascii_whitespace().collect::<Vec<_>>());
    }
    let mut terminal = Terminal::new(knowledge.clone()).map_err(io::Error::other)?;
    session.connect().await;
    let mut shell = Shell { session, knowledge, person: true };
    loop {
        shell.learn().await;
        if shell.session.is_subscribed() {
            match messages::show(shell.session).await? {
                End::Key => {}
                End::Interrupted => {
                    shell.unsubscribe().await;
                    continue;
                }
                End::Disconnected => continue,
            }
        }
        terminal.prompt(shell.session.prompt());
        let input = tokio::select! {
            input = terminal.input() => input,
            () = shell.session.idle() => Input::End,
        };
        let line = match input {
            Input::Line(line) => line,
            Input::End if shell.session.is_subscribed() => {
                shell.unsubscribe().await;
                continue;
            }
            Input::End => return Ok(ExitCode::SUCCESS),
        };
        let next = tokio::select! {
            next = shell.line(line.as_bytes()) => Some(next?),
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                None
            }
        };
        match next {
            Some(Next::Line) => {}
            Some(Next::Quit) => return Ok(ExitCode::SUCCESS),
            // The command is still running at the server: only the end of the connection ends it.
            None => {
                println!();
                shell.session.disconnect();
                shell.session.connect().await;
            }
        }
    }
}

/// Reads lines from the standard input, up to its end.
pub async fn batch(session: &mut Session) -> io::Result<ExitCode> {
    session.connect().await;
    let mut shell = Shell { session, knowledge: Knowledge::default(), person: false };
    let mut lines = Lines::new();
    let mut out = io::stdout();
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            broken = shell.session.idle_with_messages(&mut out) => {
                broken?;
                continue;
            }
        };
        let Some(line) = line else { return Ok(ExitCode::SUCCESS) };
        if shell.line(&line).await? == Next::Quit {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

struct Shell<'a> {
    session: &'a mut Session,
    knowledge: Knowledge,
    /// Flushes after each line: an interactive user reads the output as it comes.
    person: bool,
}

impl Shell<'_> {
    /// Asks the server about its commands, once.
    async fn learn(&mut self) {
        // A subscriber that speaks RESP2 may not ask.
        let may_ask = self.session.is_connected() && !self.session.is_subscribed();
        if self.knowledge.catalog.get().is_some() || !may_ask {
            return;
        }
        let Some(client) = self.session.client().await else { return };
        // A server that refuses COMMAND DOCS is used without hints.
        if let Ok(docs @ (Value::Map(_) | Value::Array(_))) =
            client.call(&["COMMAND", "DOCS"]).await
        {
            self.knowledge.catalog.get_or_init(|| Catalog::new(docs));
        }
    }

    /// Ends the subscriptions by ending the connection, and connects again.
    async fn unsubscribe(&mut self) {
        println!("Closing current connection. Ready to reconnect to Verbena server... ");
        self.session.disconnect();
        self.session.connect().await;
    }

    async fn line(&mut self, line: &[u8]) -> io::Result<Next> {
        let mut out = io::stdout();
        let Some(mut args) = words::split(line) else {
            writeln!(out, "Invalid argument(s)")?;
            return Ok(Next::Line);
        };
        let Some(first) = args.first().map(|first| String::from_utf8_lossy(first).to_lowercase())
        else {
            return Ok(Next::Line);
        };
        match (&*first, args.len()) {
            ("quit" | "exit", _) => return Ok(Next::Quit),
            ("help" | "?", _) => {
                self.learn().await;
                help(&self.knowledge, &args[1..], &mut out)?;
            }
            ("clear", 1) if self.person => write!(out, "\x1b[H\x1b[2J")?,
            (":set", _) => {
                let line = String::from_utf8_lossy(line);
                prefer(&self.knowledge, &line.split_ascii_whitespace().collect::<Vec<_>>());
            }
            ("connect", 3) => match String::from_utf8_lossy(&args[2]).parse() {
                Ok(port) => {
                    let host = String::from_utf8_lossy(&args[1]).into_owned();
                    self.session.connect_to(host, port).await;
                }
                Err(_) => writeln!(out, "Invalid port")?,
            },
            _ => {
                // `5 INCR counter` runs the command five times.
                let times = match first.parse::<u64>() {
                    Ok(times) if args.len() > 1 => {
                        args.remove(0);
                        times
                    }
                    _ => 1,
                };
                for _ in 0..times {
                    if !self.command(&args, &mut out).await? {
                        break;
                    }
                }
            }
        }
        out.flush()?;
        Ok(Next::Line)
    }

    /// Runs a command; true if the connection is still open afterwards.
    async fn command(&mut self, args: &[Vec<u8>], out: &mut io::Stdout) -> io::Result<bool> {
        let start = Instant::now();
        let outcome = match self.session.execute(args, out).await? {
            Outcome::Streaming => self.session.stream(out).await?,
            outcome => outcome,
        };
        let elapsed = start.elapsed();
        if self.person && elapsed >= LONG && self.session.format.style == Style::Terminal {
            writeln!(out, "({:.2}s)", elapsed.as_secs_f64())?;
        }
        out.flush()?;
        Ok(outcome != Outcome::Disconnected)
    }
}

/// Writes the help about a topic: as the server has it, or else as this version of Verbena has it.
fn help(knowledge: &Knowledge, topic: &[Vec<u8>], out: &mut io::Stdout) -> io::Result<()> {
    let topic = topic.join(&b' ');
    let catalog = knowledge.catalog.get_or_init(Catalog::built_in);
    let colours = Colours::new(out.is_terminal());
    out.write_all(help::about(&String::from_utf8_lossy(&topic), catalog, &colours).as_bytes())
}

/// Writes the help that the arguments of the command line ask for, and no more.
pub async fn help_once(session: &mut Session, topic: &[Vec<u8>]) -> io::Result<ExitCode> {
    let mut shell = Shell { session, knowledge: Knowledge::default(), person: false };
    if !topic.is_empty() && shell.session.try_connecting().await {
        shell.learn().await;
    }
    help(&shell.knowledge, topic, &mut io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

/// Applies a preference: `:set hints`, `:set nohints`.
fn prefer(knowledge: &Knowledge, words: &[&str]) {
    match words {
        [":set", "hints"] => knowledge.hints.store(true, Ordering::Relaxed),
        [":set", "nohints"] => knowledge.hints.store(false, Ordering::Relaxed),
        [] => {}
        _ => eprintln!("unknown verbena-cli preference '{}'", words.join(" ")),
    }
}
