//! Commands line by line: from a person at a terminal, or from the standard input.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::catalog::{Catalog, Command};
use super::editor::{Input, Knowledge, Terminal, preferences_file};
use super::format::Style;
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
        terminal.prompt(shell.session.prompt());
        let input = tokio::select! {
            input = terminal.input() => input,
            () = shell.session.idle() => Input::End,
        };
        let Input::Line(line) = input else { return Ok(ExitCode::SUCCESS) };
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
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 || shell.line(&line).await? == Next::Quit {
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
        if self.knowledge.catalog.get().is_some() || !self.session.is_connected() {
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
                let topic = args[1..].join(&b' ');
                out.write_all(self.help(&String::from_utf8_lossy(&topic)).as_bytes())?;
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

    fn help(&self, topic: &str) -> String {
        let Some(catalog) = self.knowledge.catalog.get() else {
            return format!("{}\nThe server does not describe its commands.\n", general_help());
        };
        if topic.is_empty() {
            return general_help();
        }
        let group = topic.strip_prefix('@').map(str::to_lowercase);
        let upper = topic.to_ascii_uppercase();
        let inside = format!("{upper} ");
        let commands = catalog.commands().iter().filter(|command| match &group {
            Some(group) => command.group == *group,
            None => command.name == upper || command.name.starts_with(&inside),
        });
        let texts: Vec<String> = commands.map(|command| about(command, group.is_none())).collect();
        if texts.is_empty() {
            return format!("There is no help about '{topic}'.\n");
        }
        format!("\n{}\n", texts.join("\n"))
    }
}

/// The synopsis of a command, and its summary.
fn about(command: &Command, with_group: bool) -> String {
    let mut text = format!(
        "  \x1b[1m{}\x1b[0m \x1b[90m{}\x1b[0m\n  \x1b[33msummary:\x1b[0m {}\n  \
         \x1b[33msince:\x1b[0m {}\n",
        command.name,
        command.synopsis(),
        command.summary,
        command.since
    );
    if with_group {
        text.push_str(&format!("  \x1b[33mgroup:\x1b[0m {}\n", command.group));
    }
    text
}

fn general_help() -> String {
    format!(
        "verbena-cli {}
To get help about the server's commands type:
      \"help @<group>\" to get a list of commands in <group>
      \"help <command>\" for help on <command>
      \"help <tab>\" to get a list of possible help topics
      \"quit\" to exit

To connect to another server type \"connect <host> <port>\".
To run a command several times, write the number before it: \"5 incr counter\".

To set verbena-cli preferences:
      \":set hints\" enable online hints
      \":set nohints\" disable online hints
Set your preferences in ~/.verbenaclirc
",
        env!("CARGO_PKG_VERSION")
    )
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
