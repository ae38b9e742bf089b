//! The log, for a signal's handler: opened, written and closed by system calls alone.

use std::ffi::CString;
use std::fmt::{self, Arguments};
use std::io;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::write;

/// The path of the log; without one it is the standard output.
static PATH: OnceLock<Option<CString>> = OnceLock::new();

/// Names the log file; empty for the standard output. The first name stays: the parameter can't be changed.
pub fn open(path: &str) -> io::Result<()> {
    let path = if path.is_empty() {
        None
    } else {
        // The working directory may be another one by then.
        let path = std::path::absolute(path)?;
        Some(CString::new(path.into_os_string().into_encoded_bytes())?)
    };
    PATH.get_or_init(|| path);
    Ok(())
}

/// Writes to the log, without memory or locks.
pub struct Raw;

impl fmt::Write for Raw {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Some(Some(path)) = PATH.get() else {
            return write_all(rustix::stdio::stdout(), text.as_bytes());
        };
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644));
        write_all(&file.map_err(|_| fmt::Error)?, text.as_bytes())
    }
}

fn write_all(file: impl std::os::fd::AsFd, mut bytes: &[u8]) -> fmt::Result {
    while !bytes.is_empty() {
        match rustix::io::write(&file, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(_) => return Err(fmt::Error),
        }
    }
    Ok(())
}

/// A line of the log, as far as it can be made in a handler.
pub fn line(text: Arguments<'_>) {
    let (process, now) = (std::process::id(), clock_gettime(ClockId::Realtime).tv_sec);
    write(format_args!("{process}:signal-handler ({now}) {text}\n"));
}

/// The report's first line.
pub fn heading() {
    write(format_args!("\n\n=== VERBENA BUG REPORT START: Cut & paste starting from here ===\n"));
}

/// The report's last lines.
pub fn ending() {
    write(format_args!(
        "\n=== VERBENA BUG REPORT END. Make sure to include from START to END. ===\n\n       \
         Please report the crash to the maintainers of Verbena, with what the server was doing.\n"
    ));
}
