//! Lua 5.1 in a sandbox: scripts and functions, without the commands that they call.
//!
//! A [`State`] compiles and runs scripts or libraries of functions. All that they ask of the server goes through
//! a [`Host`]. Errors, replies and results are converted as Valkey does. A state's memory is counted and limited,
//! and a running script asks its host again and again whether it may go on.
//!
//! `raw` has the C interface, and all `unsafe`; `sandbox` makes tables read-only; `library` has the libraries beside Lua's own.

mod api;
mod base;
mod failure;
mod host;
mod libraries;
mod library;
mod pattern;
mod random;
mod raw;
mod register;
mod reply;
mod result;
mod sandbox;
mod state;
mod tables;
mod text;

pub use host::{Function, Host, Interrupt, LogLevel, Registration, ScriptFlags};
pub use random::Sequence;
pub use state::{Kind, LoadError, ScriptError, State};
