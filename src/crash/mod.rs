//! The report of a crash: a deadly signal (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT), a panic, a failed
//! assertion. It goes to the log, in sections whose headings are those of Valkey's report, and ends the
//! process as the failure would have ended it without a report.
//!
//! A signal's handler does what may be done in one: it takes the addresses of the calls in progress and
//! writes numbers. Names, other threads' stacks and the server's state come from a thread that waits for
//! a failure from the beginning ([`reporter`]). If that thread can't go on, since the thread that failed
//! holds what it needs, the report ends with the addresses alone.

mod raw;
mod reporter;
mod signals;
mod stacks;

use std::fmt::Arguments;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::Settings;
use raw::Raw;

pub use reporter::Sources;
pub use signals::give_stack;

/// `crash-log-enabled`
static ENABLED: AtomicBool = AtomicBool::new(false);

/// `use-exit-on-panic`
static EXITS: AtomicBool = AtomicBool::new(false);

/// A failure has been noticed; the first one is reported.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Has failures of the process reported from now on, as `settings` say.
///
/// # Errors
/// If the system has no room for one more thread or pipe.
pub fn install(settings: &Settings, sources: Sources) -> std::io::Result<()> {
    configure(settings);
    raw::open(&settings.logfile)?;
    reporter::start(sources)?;
    signals::install()?;
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("panic");
        let at =
            info.location().map_or_else(String::new, |at| format!(" #{}:{}", at.file(), at.line()));
        die(Failure::Panic(&format!("{text}{at}")));
    }));
    Ok(())
}

/// Puts new settings in force.
pub fn configure(settings: &Settings) {
    ENABLED.store(settings.crash_log_enabled, Ordering::Relaxed);
    EXITS.store(settings.use_exit_on_panic, Ordering::Relaxed);
}

/// A failure that the program itself has noticed.
pub enum Failure<'a> {
    Assertion(&'a str),
    Panic(&'a str),
}

/// Reports a failure and ends the process.
pub fn die(failure: Failure<'_>) -> ! {
    if first() {
        raw::heading();
        match failure {
            Failure::Assertion(text) => {
                raw::line(format_args!("=== ASSERTION FAILED ==="));
                raw::line(format_args!("==> {text}"));
            }
            Failure::Panic(text) => {
                raw::line(format_args!("------------------------------------------------"));
                raw::line(format_args!(
                    "!!! Software Failure. Press left mouse button to continue"
                ));
                raw::line(format_args!("Guru Meditation: {text}"));
            }
        }
        if ENABLED.load(Ordering::Relaxed) {
            reporter::report(stacks::own(None));
        }
        raw::ending();
    }
    if EXITS.load(Ordering::Relaxed) {
        std::process::exit(1);
    }
    signals::abort()
}

/// Ends the process as an allocation does that fails.
pub fn out_of_memory(size: usize) -> ! {
    raw::line(format_args!("Out Of Memory allocating {size} bytes!"));
    die(Failure::Panic(&format!("Verbena aborting for OUT OF MEMORY. Allocating {size} bytes!")))
}

/// Ends the process by SIGSEGV.
pub fn segfault() -> ! {
    signals::raise_segfault()
}

/// Whether the caller's failure is the process's first one. A second one of the same thread, in the report
/// of the first, ends the process; others wait for that.
fn first() -> bool {
    !FAILED.swap(true, Ordering::AcqRel)
}

/// Writes to the log, from any context.
fn write(text: Arguments<'_>) {
    // A log that cannot be written has no other place for its errors.
    let _ = std::fmt::Write::write_fmt(&mut Raw, text);
}
