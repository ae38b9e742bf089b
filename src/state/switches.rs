//! What DEBUG can turn off.

use std::sync::atomic::{AtomicBool, Ordering};

/// A part of the server that is on unless DEBUG turned it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// The removal of expired keys that nobody asks for.
    ActiveExpiry,
    /// Whatever is done at regular times.
    PeriodicTasks,
    /// The check of a payload's checksum (RESTORE).
    Checksums,
    /// The refusal of commands that scripts may not call.
    ScriptDenials,
}

const COUNT: usize = Switch::ScriptDenials as usize + 1;

/// The positions of all switches.
#[derive(Default)]
pub struct Switches {
    off: [AtomicBool; COUNT],
}

impl Switches {
    pub fn set(&self, switch: Switch, on: bool) {
        self.off[switch as usize].store(!on, Ordering::Relaxed);
    }

    pub fn is_on(&self, switch: Switch) -> bool {
        !self.off[switch as usize].load(Ordering::Relaxed)
    }
}
