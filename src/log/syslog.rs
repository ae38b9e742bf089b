//! `syslog-enabled`: each line of the log, as a message to the system's log.

use std::os::unix::net::UnixDatagram;

use jiff::Zoned;

use crate::config::{LogLevel, SyslogFacility};

/// Where the system's log takes messages.
const SOCKET: &str = "/dev/log";

/// The system's log, as the settings name this process there.
pub struct Syslog {
    ident: String,
    facility: SyslogFacility,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    pub fn new(ident: &str, facility: SyslogFacility) -> Syslog {
        Syslog { ident: ident.to_owned(), facility, socket: None }
    }

    /// Sends a message. A system without a log, or with one that takes nothing now, gets none.
    pub fn send(&mut self, level: LogLevel, now: &Zoned, pid: u32, message: &str) {
        let text = self.text(level, now, pid, message);
        let sent = self.socket.as_ref().is_some_and(|socket| socket.send(text.as_bytes()).is_ok());
        if !sent {
            // The log may have been started, or started again, since.
            self.socket = connect().ok();
            if let Some(socket) = &self.socket {
                let _ = socket.send(text.as_bytes());
            }
        }
    }

    /// A message in the form of RFC 3164.
    fn text(&self, level: LogLevel, now: &Zoned, pid: u32, message: &str) -> String {
        let severity = match level {
            LogLevel::Debug => 7,
            LogLevel::Verbose => 6,
            LogLevel::Notice => 5,
            LogLevel::Warning | LogLevel::Nothing => 4,
        };
        let priority = number(self.facility) * 8 + severity;
        let time = now.strftime("%b %e %H:%M:%S");
        format!("<{priority}>{time} {}[{pid}]: {message}", self.ident)
    }
}

fn connect() -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(SOCKET)?;
    Ok(socket)
}

fn number(facility: SyslogFacility) -> u8 {
    match facility {
        SyslogFacility::User => 1,
        SyslogFacility::Local0 => 16,
        SyslogFacility::Local1 => 17,
        SyslogFacility::Local2 => 18,
        SyslogFacility::Local3 => 19,
        SyslogFacility::Local4 => 20,
        SyslogFacility::Local5 => 21,
        SyslogFacility::Local6 => 22,
        SyslogFacility::Local7 => 23,
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn messages_have_priority_time_ident_and_process() {
        let now = jiff::Timestamp::from_second(1_795_369_228).unwrap().to_zoned(TimeZone::UTC);
        let text = |facility, level| Syslog::new("v", facility).text(level, &now, 42, "hello");
        assert_eq!(
            text(SyslogFacility::Local0, LogLevel::Notice),
            "<133>Nov 22 17:40:28 v[42]: hello"
        );
        assert!(text(SyslogFacility::User, LogLevel::Warning).starts_with("<12>"));
        assert!(text(SyslogFacility::Local7, LogLevel::Debug).starts_with("<191>"));
    }
}
