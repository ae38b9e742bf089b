//! What other threads ask of the control thread.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Settings;

/// The listeners, as a change of the settings needs them.
pub trait Listening {
    /// Listens where `new` says instead of where `old` does, or leaves everything as it was and returns
    /// the reason for the log.
    fn change(&mut self, old: &Arc<Settings>, new: &Arc<Settings>) -> Result<(), String>;
}

/// Work on the thread that has the listeners.
pub type Work = Box<dyn FnOnce(&mut dyn Listening) + Send>;

/// What other threads ask of the control thread.
pub enum ControlRequest {
    /// Run this, with the listeners.
    Run(Work),
    /// These settings are in force now.
    Adjust(Arc<Settings>),
    /// End the server; the text says who asked. `now` waits for no client to read its replies.
    Shutdown { by: String, now: bool },
    /// End the server in good order, and execute the program again after this time.
    Restart(Duration),
}
