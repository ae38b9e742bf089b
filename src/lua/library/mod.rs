//! Libraries that a script has beside Lua's own.

use super::raw::Stack;

/// The libraries' names among the globals.
pub const NAMES: &[&str] = &[];

/// Adds all of them to the table of globals.
pub fn add_all(_: Stack, _: i32) {}
