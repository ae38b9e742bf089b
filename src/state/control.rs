//! What other threads ask of the control thread.

use std::sync::Arc;
use std::time::Duration;

use verbena_transport::security::ServerContext;

use crate::config::Settings;

/// The listeners and the workers, as a change of the settings needs them.
pub trait ControlThread {
    /// Listens where `new` says instead of where `old` does, or leaves everything as it was and returns
    /// the reason for the log. `tls` is the configuration that goes with `new`.
    fn listen(
        &mut self,
        old: &Arc<Settings>,
        new: &Arc<Settings>,
        tls: Option<Arc<ServerContext>>,
    ) -> Result<(), String>;

    /// Sees to it that there are so many workers, or returns the reason for the log. Those that have been started
    /// stay.
    fn start_workers(&mut self, count: usize) -> Result<(), String>;
}

/// Work on the control thread.
pub type Work = Box<dyn FnOnce(&mut dyn ControlThread) + Send>;

/// What other threads ask of the control thread.
pub enum ControlRequest {
    /// Run this.
    Run(Work),
    /// These settings are in force now.
    Adjust(Arc<Settings>),
    /// End the server; the text says who asked. `now` waits for no client to read its replies.
    Shutdown { by: String, now: bool },
    /// End the server in good order, and execute the program again after this time.
    Restart(Duration),
}
