//! The configuration: what the file, the command line and CONFIG SET decide.
//!
//! [`settings`] is the table of all parameters: one row each makes the typed field of [`Settings`]
//! and everything that CONFIG, the file and the command line need to know of it.

mod choice;
mod command_line;
mod file;
mod parameter;
mod replace;
mod rewrite;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};

pub use choice::*;
pub use command_line::{Request, Startup, parse};
pub use file::LoadError;
pub use parameter::{Kind, Mutability, Parameter, Refusal, Source, format_memory, parse_memory};
pub use replace::replace_file;
pub use rewrite::{Written, rewrite};
pub use settings::{PARAMETERS, Settings, find};

pub use crate::words::quoted;

/// The settings of a running server.
pub struct Config {
    settings: ArcSwap<Settings>,
    file: Option<PathBuf>,
    changing: Mutex<()>,
}

impl Config {
    /// `file` is the configuration file, which CONFIG REWRITE changes.
    pub fn new(settings: Settings, file: Option<PathBuf>) -> Self {
        Config { settings: ArcSwap::from_pointee(settings), file, changing: Mutex::new(()) }
    }

    pub fn load(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// For threads that read the settings often: see [`arc_swap::Cache`].
    pub fn shared(&self) -> &ArcSwap<Settings> {
        &self.settings
    }

    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Starts a change; nobody else can change the settings until the result is dropped.
    pub fn change(&self) -> Change<'_> {
        Change { config: self, _alone: self.changing.lock() }
    }
}

/// The right to replace the settings.
pub struct Change<'a> {
    config: &'a Config,
    _alone: MutexGuard<'a, ()>,
}

impl Change<'_> {
    /// Puts these settings in force.
    pub fn store(&self, settings: Arc<Settings>) {
        self.config.settings.store(settings);
    }
}

/// A system error's text as C programs word it, without Rust's `(os error 2)`.
pub fn system_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_owned()
}
