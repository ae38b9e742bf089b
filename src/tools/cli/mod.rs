//! `verbena-cli`: commands from the command line, from a terminal and from the standard input.
//!
//! [`options`] is the command line; [`session`] has the connection; [`format`] writes replies.
//! [`shell`] runs commands line by line, with its [`editor`], the [`catalog`] of the server's commands and
//! the [`help`] about them; [`input`] is the standard input. Of a subscriber, [`subscriptions`] knows the
//! channels, and [`messages`] shows what comes while there is no command. The modes have files of their own: [`pipe`], [`scan`], [`hotkeys`], [`stat`], [`latency`],
//! [`spectrum`], [`intrinsic`]. [`redirection`] is what a node of a cluster answers.

mod catalog;
mod editor;
mod format;
mod help;
mod hotkeys;
mod input;
mod intrinsic;
mod latency;
mod messages;
pub mod options;
mod pipe;
mod redirection;
mod scan;
mod session;
mod shell;
mod spectrum;
mod stat;
mod subscriptions;
mod words;

use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use tokio::runtime::{Builder, LocalOptions};

use options::Options;
use session::{Outcome, Session};

use super::client::Reason;

/// Runs the tool as the options say. The status is that of redis-cli: 1 if there is no connection, or,
/// with `-e`, if the command has failed.
pub fn run(mut options: Options) -> ExitCode {
    let result = prepare(&mut options).and_then(|()| {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(run_mode(&options))
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            match error.kind() {
                // The reason has been shown already, or the output is closed.
                io::ErrorKind::NotConnected | io::ErrorKind::BrokenPipe => {}
                io::ErrorKind::InvalidInput => eprintln!("{error}"),
                _ => eprintln!("Error: {}", Reason(&error)),
            }
            ExitCode::FAILURE
        }
    }
}

/// Completes the options: password, address and database.
fn prepare(options: &mut Options) -> io::Result<()> {
    let on_command_line = options.server.password.is_some()
        || options.server.uri.as_ref().is_some_and(|uri| uri.password.is_some());
    let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
    if let Some(db) = options.server.prepare().map_err(invalid)? {
        options.db = db;
    }
    if options.askpass {
        options.server.password = Some(editor::ask_password().map_err(io::Error::other)?);
    } else if on_command_line && !options.no_auth_warning {
        eprintln!(
            "Warning: Using a password with '-a' or '-u' option on the command line interface may \
             not be safe."
        );
    } else if options.server.password.is_none() {
        let from = |name| std::env::var(name).ok();
        options.server.password = from("VERBENACLI_AUTH").or_else(|| from("REDISCLI_AUTH"));
    }
    Ok(())
}

async fn run_mode(options: &Options) -> io::Result<ExitCode> {
    check_stdin(options)?;
    let mut session = Session::new(options, io::stdout().is_terminal());
    let session = &mut session;
    if options.pipe {
        return Ok(pipe::run(options, session).await);
    }
    if options.scan {
        scan::keys(options, session).await?;
    } else if options.bigkeys {
        scan::biggest(options, session, false).await?;
    } else if options.memkeys || options.memkeys_samples.is_some() {
        scan::biggest(options, session, true).await?;
    } else if options.hotkeys {
        hotkeys::run(options, session).await?;
    } else if options.latency_dist {
        spectrum::run(options, session).await?;
    } else if let Some(seconds) = options.intrinsic_latency {
        intrinsic::run(seconds)?;
    } else if options.stat {
        stat::run(options, session).await?;
    } else if options.latency || options.latency_history {
        latency::run(options, session).await?;
    } else if options.command.is_empty() && options.eval.is_none() {
        return match io::stdin().is_terminal() {
            true => shell::interactive(session).await,
            false => shell::batch(session).await,
        };
    } else {
        return one_command(options, session).await;
    }
    Ok(ExitCode::SUCCESS)
}

async fn one_command(options: &Options, session: &mut Session) -> io::Result<ExitCode> {
    let args = command(options)?;
    if let Some((name, topic)) = args.split_first()
        && (name.eq_ignore_ascii_case(b"help") || name == b"?")
    {
        return shell::help_once(session, topic).await;
    }
    if options.error_status {
        session.write_errors_apart();
    }
    let mut out = io::stdout();
    let mut status = ExitCode::SUCCESS;
    let mut times = 0;
    while options.repeat < 0 || times < options.repeat {
        if let (1.., Some(interval)) = (times, options.interval) {
            tokio::time::sleep(interval).await;
        }
        times += 1;
        let outcome = match session.execute(&args, &mut out).await? {
            Outcome::Streaming => session.stream(&mut out).await?,
            outcome => outcome,
        };
        out.flush()?;
        match outcome {
            Outcome::Disconnected => return Ok(ExitCode::FAILURE),
            Outcome::Failed if options.error_status => status = ExitCode::FAILURE,
            _ => {}
        }
    }
    if session.is_subscribed() {
        session.stream(&mut out).await?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(status)
}

/// An error of the command line, which the user must correct.
fn misused(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Refuses an argument from the standard input where no command takes it.
fn check_stdin(options: &Options) -> io::Result<()> {
    let option = match (options.stdin, &options.stdin_tag) {
        (false, None) => return Ok(()),
        (true, Some(_)) => return Err(misused("Options -x and -X are mutually exclusive.")),
        (true, None) => "-x",
        (false, Some(_)) => "-X",
    };
    if options.command.is_empty() && options.eval.is_none() {
        let text = format!("Unrecognized option or bad number of args for: '{option}'");
        return Err(misused(&text));
    }
    Ok(())
}

/// The arguments of the command, with those from the standard input and from a script's file.
fn command(options: &Options) -> io::Result<Vec<Vec<u8>>> {
    let mut args: Vec<Vec<u8>> =
        options.command.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    if options.quoted_input {
        for arg in &mut args {
            *arg = words::split(arg)
                .and_then(|words| <[_; 1]>::try_from(words).ok())
                .map(|[word]| word)
                .ok_or_else(|| misused("Invalid quoted string"))?;
        }
    }
    if let Some(path) = &options.eval {
        let script = std::fs::read(path).map_err(|error| {
            misused(&format!("Can't open file '{}': {}", path.display(), Reason(&error)))
        })?;
        let comma = args.iter().position(|arg| arg == b",");
        let keys = comma.unwrap_or(args.len());
        if let Some(comma) = comma {
            args.remove(comma);
        }
        args.splice(0..0, [b"EVAL".to_vec(), script, keys.to_string().into_bytes()]);
    }
    if options.stdin || options.stdin_tag.is_some() {
        let mut input = Vec::new();
        io::stdin().read_to_end(&mut input)?;
        match &options.stdin_tag {
            None => args.push(input),
            Some(tag) => {
                let arg = args
                    .iter_mut()
                    .find(|arg| **arg == tag.as_bytes())
                    .ok_or_else(|| misused("Using -X option but stdin tag not match."))?;
                *arg = input;
            }
        }
    }
    Ok(args)
}
