//! What other threads ask of the control thread.

use std::sync::Arc;

use crate::config::Settings;

/// What other threads ask of the control thread.
pub enum ControlRequest {
    /// Listen where `new` says instead of where `old` does; the answer is the reason why not.
    Listen {
        old: Arc<Settings>,
        new: Arc<Settings>,
        answer: std::sync::mpsc::SyncSender<Result<(), String>>,
    },
    /// These settings are in force now.
    Adjust(Arc<Settings>),
    /// End the server; the text says who asked.
    Shutdown(String),
}
