//! `verbena-benchmark`: load from many connections, and how long the replies took.
//!
//! [`options`] says what to run, [`workload`] turns it into tests, [`pipeline`] holds a test's
//! requests as bytes that are only patched between sendings, [`engine`] drives the connections,
//! with [`open_loop`] at a rate of their own, [`replies`] counts what comes back, and [`report`]
//! prints it.

mod engine;
mod open_loop;
pub mod options;
mod pipeline;
mod replies;
mod report;
mod workload;

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

use options::Options;
use report::Progress;
use workload::Test;

/// Runs what the options ask for. It fails if a test came to no result.
pub fn run(mut options: Options) -> ExitCode {
    match options.server.prepare() {
        Ok(db) => options.dbnum = db.unwrap_or(options.dbnum),
        Err(text) => {
            eprintln!("verbena-benchmark: {text}");
            return ExitCode::FAILURE;
        }
    }
    match run_tests(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // The reader of our output has gone, as `head` does: nobody is left to tell.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("verbena-benchmark: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_tests(options: &Options) -> io::Result<bool> {
    if options.idle {
        return engine::idle(options).map(|()| true).map_err(io::Error::other);
    }
    let tests = workload::tests(options, &read_last_argument(options)?)?;
    let mut out = io::stdout();
    report::head(&mut out, options)?;
    let mut good = true;
    loop {
        for test in &tests {
            good &= run_test(options, test, &mut out)?;
        }
        if !options.forever {
            return Ok(good);
        }
    }
}

fn run_test(options: &Options, test: &Test, out: &mut io::Stdout) -> io::Result<bool> {
    let watched = io::stderr().is_terminal() && !options.json && !options.csv;
    let mut progress = watched.then(|| Progress::new(&test.title));
    let result = engine::run(options, test, watched, |snapshot| {
        if let Some(progress) = &mut progress {
            progress.show(snapshot);
        }
    });
    if let Some(progress) = progress {
        progress.clear();
    }
    match result {
        Ok(outcome) => {
            report::outcome(out, options, test, &outcome)?;
            out.flush()?;
            Ok(true)
        }
        Err(failure) => {
            out.flush()?;
            eprintln!("{}: {failure}", test.title);
            Ok(false)
        }
    }
}

/// With -x, what stands on the standard input.
fn read_last_argument(options: &Options) -> io::Result<Option<Vec<u8>>> {
    if !options.stdin {
        return Ok(None);
    }
    let mut argument = Vec::new();
    io::stdin().read_to_end(&mut argument)?;
    Ok(Some(argument))
}
