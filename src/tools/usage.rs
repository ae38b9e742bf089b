//! The command line, read as the tools of Redis and Valkey do: a mistake in it ends with status 1.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use clap::Parser;

/// The options of a tool.
pub trait Usage: Parser {
    /// The command that follows the options.
    fn command_line(&self) -> &[OsString];
}

/// Parses the command line and runs `tool` on it.
pub fn with_options<O: Usage>(tool: fn(O) -> ExitCode) -> ExitCode {
    match O::try_parse() {
        Ok(options) => match unknown_option(options.command_line()) {
            Some(option) => {
                eprintln!("Unrecognized option or bad number of args for: '{option}'");
                ExitCode::FAILURE
            }
            None => tool(options),
        },
        Err(error) => {
            // An error of printing cannot be reported anywhere.
            let _ = error.print();
            if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
    }
}

/// A command may have arguments that begin like options, but it has no such name.
fn unknown_option(command: &[OsString]) -> Option<String> {
    let name = command.first()?;
    name.as_bytes().starts_with(b"-").then(|| name.to_string_lossy().into_owned())
}
