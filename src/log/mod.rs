//! The server's log: one line per message, in the shapes that Valkey writes.
//!
//! `PID:ROLE DD Mon YYYY HH:MM:SS.mmm LEVEL message`, with a level of `.` (debug), `-` (verbose),
//! `*` (notice) or `#` (warning), is the usual one. The file is opened for each line, so that it may
//! be moved away at any time; the log is for rare events.

mod syslog;

use std::fmt::{Display, Write as _};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};

use jiff::Zoned;
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use crate::config::{LogFormat, LogLevel, LogTimestamp, Settings};
use syslog::Syslog;

static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Notice as u8);

static TARGET: Mutex<Target> = Mutex::new(Target {
    file: String::new(),
    format: LogFormat::Legacy,
    timestamp: LogTimestamp::Legacy,
    zone: None,
    syslog: None,
});

struct Target {
    /// Empty is the standard output.
    file: String,
    format: LogFormat,
    timestamp: LogTimestamp,
    /// The system's time zone, read once.
    zone: Option<TimeZone>,
    syslog: Option<Syslog>,
}

/// Logs as `settings` say from now on. Fails if the log file can't be written.
pub fn configure(settings: &Settings) -> std::io::Result<()> {
    if !settings.logfile.is_empty() {
        OpenOptions::new().append(true).create(true).open(&settings.logfile)?;
    }
    let mut target = TARGET.lock();
    target.file.clone_from(&settings.logfile);
    target.format = settings.log_format;
    target.timestamp = settings.log_timestamp_format;
    // These parameters can't be changed.
    if settings.syslog_enabled && target.syslog.is_none() {
        target.syslog = Some(Syslog::new(&settings.syslog_ident, settings.syslog_facility));
    }
    LEVEL.store(settings.loglevel as u8, Ordering::Relaxed);
    Ok(())
}

/// Logs a message that only a developer of the server needs.
pub fn debug(message: impl Display) {
    write(LogLevel::Debug, message);
}

/// Logs a message that is seldom useful.
pub fn verbose(message: impl Display) {
    write(LogLevel::Verbose, message);
}

/// Logs a message that is useful in production.
pub fn notice(message: impl Display) {
    write(LogLevel::Notice, message);
}

/// Logs a message that needs attention.
pub fn warning(message: impl Display) {
    write(LogLevel::Warning, message);
}

/// A notice of several lines, written as they are.
pub fn raw(text: &str) {
    if is_logged(LogLevel::Notice) {
        TARGET.lock().append(text);
    }
}

fn is_logged(level: LogLevel) -> bool {
    level as u8 >= LEVEL.load(Ordering::Relaxed)
}

fn write(level: LogLevel, message: impl Display) {
    if !is_logged(level) {
        return;
    }
    let mut target = TARGET.lock();
    let zone = target.zone.get_or_insert_with(TimeZone::system).clone();
    let now = jiff::Timestamp::now().to_zoned(zone);
    let (process, message) = (std::process::id(), message.to_string());
    let line = target.line(level, &now, process, &message);
    target.append(&line);
    if let Some(syslog) = &mut target.syslog {
        syslog.send(level, &now, process, &message);
    }
}

impl Target {
    fn append(&self, text: &str) {
        // A log that cannot be written has no other place for its errors.
        let _ = if self.file.is_empty() {
            std::io::stdout().write_all(text.as_bytes())
        } else {
            let file = OpenOptions::new().append(true).create(true).open(&self.file);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
        };
    }

    fn line(&self, level: LogLevel, now: &Zoned, pid: u32, message: &str) -> String {
        let time = self.timestamp(now);
        match self.format {
            LogFormat::Legacy => {
                let mark = match level {
                    LogLevel::Debug => '.',
                    LogLevel::Verbose => '-',
                    LogLevel::Notice => '*',
                    LogLevel::Warning | LogLevel::Nothing => '#',
                };
                format!("{pid}:M {time} {mark} {message}\n")
            }
            LogFormat::Logfmt => {
                let level = level.name();
                // A value in quotes can't contain any.
                let message = message.replace('"', "'").replace(['\n', '\r'], " ");
                format!(
                    "pid={pid} role=primary timestamp=\"{time}\" level={level} message=\"{message}\"\n"
                )
            }
            LogFormat::Json => {
                let (level, message) = (level.name(), escaped(message));
                format!(
                    "{{\"pid\":{pid},\"role\":\"primary\",\"timestamp\":\"{time}\",\
                     \"level\":\"{level}\",\"message\":\"{message}\"}}\n"
                )
            }
        }
    }

    fn timestamp(&self, now: &Zoned) -> String {
        match self.timestamp {
            LogTimestamp::Legacy => now.strftime("%d %b %Y %H:%M:%S%.3f").to_string(),
            LogTimestamp::Iso8601 => now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
            LogTimestamp::Milliseconds => now.timestamp().as_millisecond().to_string(),
        }
    }
}

/// The inside of a JSON string.
fn escaped(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\\' => json.extend(['\\', char]),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            char if char < ' ' => {
                let _ = write!(json, "\\u{:04x}", char as u32);
            }
            char => json.push(char),
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: LogFormat, timestamp: LogTimestamp) -> String {
        let target = Target { file: String::new(), format, timestamp, zone: None, syslog: None };
        let now = jiff::Timestamp::from_millisecond(1_795_369_228_033).unwrap();
        let now = now.to_zoned(TimeZone::fixed(jiff::tz::offset(2)));
        target.line(LogLevel::Notice, &now, 42, "a \"b\"\n")
    }

    #[test]
    fn lines_have_valkeys_shapes() {
        assert_eq!(
            line(LogFormat::Legacy, LogTimestamp::Legacy),
            "42:M 22 Nov 2026 19:40:28.033 * a \"b\"\n\n"
        );
        assert_eq!(
            line(LogFormat::Logfmt, LogTimestamp::Milliseconds),
            "pid=42 role=primary timestamp=\"1795369228033\" level=notice message=\"a 'b' \"\n"
        );
        assert_eq!(
            line(LogFormat::Json, LogTimestamp::Iso8601),
            "{\"pid\":42,\"role\":\"primary\",\"timestamp\":\"2026-11-22T19:40:28.033+02:00\",\
             \"level\":\"notice\",\"message\":\"a \\\"b\\\"\\n\"}\n"
        );
    }
}
