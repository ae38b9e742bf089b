//! `supervised`: what the process tells systemd or upstart.

use nix::sys::signal::{Signal, raise};
use sd_notify::NotifyState;

use crate::config::{Settings, Supervised, system_text};
use crate::log;

/// The supervisor that started the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Supervisor {
    Systemd,
    Upstart,
}

/// The supervisor that the settings and the environment agree on.
fn supervisor(settings: &Settings) -> Option<Supervisor> {
    let has = |name| std::env::var_os(name).is_some();
    let (found, missing) = match settings.supervised {
        Supervised::No => return None,
        Supervised::Auto => {
            let upstart = has("UPSTART_JOB").then_some(Supervisor::Upstart);
            return upstart.or_else(|| has("NOTIFY_SOCKET").then_some(Supervisor::Systemd));
        }
        Supervised::Systemd => (
            has("NOTIFY_SOCKET").then_some(Supervisor::Systemd),
            "systemd supervision requested or auto-detected, but NOTIFY_SOCKET not found!",
        ),
        Supervised::Upstart => (
            has("UPSTART_JOB").then_some(Supervisor::Upstart),
            "upstart supervision requested, but UPSTART_JOB not found!",
        ),
    };
    if found.is_none() {
        log::warning(missing);
    }
    found
}

/// Tells the supervisor that the server is ready.
pub fn ready(settings: &Settings) {
    match supervisor(settings) {
        Some(Supervisor::Systemd) => {
            notify(&[NotifyState::Status("Ready to accept connections"), NotifyState::Ready]);
        }
        Some(Supervisor::Upstart) => {
            log::notice("supervised by upstart, will stop to signal readiness");
            // It continues the process.
            let _ = raise(Signal::SIGSTOP);
        }
        None => {}
    }
}

/// Tells the supervisor that the server ends.
pub fn stopping(settings: &Settings) {
    if supervisor(settings) == Some(Supervisor::Systemd) {
        notify(&[NotifyState::Stopping]);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        let reason = system_text(&error);
        log::warning(format_args!("Can't send notification to systemd: {reason}"));
    }
}
