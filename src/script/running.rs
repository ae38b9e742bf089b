//! The script that others are told of, since it has run for long, and how they end it.

use std::sync::atomic::{AtomicBool, Ordering};
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

/// The script that runs for long, if there is one.
#[derive(Default)]
pub struct Running {
    script: Mutex<Option<RunningScript>>,
    killed: AtomicBool,
}

impl Running {
    /// Others are told of this script from now on.
    pub fn show(&self, script: RunningScript) {
        self.killed.store(false, Ordering::Relaxed);
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

    /// Whether somebody has asked that the script end which was shown.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Has the script end that was shown.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
    }
}
