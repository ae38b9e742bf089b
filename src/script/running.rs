//! The script that others are told of, since it has run for long, and how they end it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptKind {
    /// A script of EVAL.
    Script,
    /// A function.
    Function,
}

/// A script that has run for long.
#[derive(Clone, Debug)]
pub struct RunningScript {
    pub kind: ScriptKind,
    /// The function's name, or the script's digest.
    pub name: String,
    /// The command that runs it.
    pub command: Vec<Box<[u8]>>,
    pub since: Instant,
    /// It has called a command that may change data, so it can't be ended halfway.
    pub has_written: bool,
}

/// Why a running script is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// SCRIPT KILL or FUNCTION KILL.
    Killed,
    /// The server ends.
    Shutdown,
}

const GOES_ON: u8 = 0;
const KILLED: u8 = 1;
const SHUTDOWN: u8 = 2;

/// The script that runs for long, if there is one.
#[derive(Default)]
pub struct Running {
    script: Mutex<Option<RunningScript>>,
    stop: AtomicU8,
}

impl Running {
    /// Others are told of this script from now on.
    pub fn show(&self, script: RunningScript) {
        self.stop.store(GOES_ON, Ordering::Relaxed);
        *self.script.lock() = Some(script);
    }

    /// The script that was shown has ended.
    pub fn end(&self) {
        *self.script.lock() = None;
    }

    /// The script that was shown has called a command that may change data.
    pub fn note_write(&self) {
        if let Some(script) = &mut *self.script.lock() {
            script.has_written = true;
        }
    }

    /// The script, as it was shown.
    pub fn get(&self) -> Option<RunningScript> {
        self.script.lock().clone()
    }

    /// Why the script that was shown is to end; `None` if it may go on.
    pub fn stopped(&self) -> Option<Stopped> {
        match self.stop.load(Ordering::Acquire) {
            KILLED => Some(Stopped::Killed),
            SHUTDOWN => Some(Stopped::Shutdown),
            _ => None,
        }
    }

    /// Has the script end that was shown.
    pub fn stop(&self, why: Stopped) {
        let why = match why {
            Stopped::Killed => KILLED,
            Stopped::Shutdown => SHUTDOWN,
        };
        self.stop.fetch_max(why, Ordering::AcqRel);
    }
}
