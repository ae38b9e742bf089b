//! The command-line client. See `verbena-cli --help`.

use std::process::ExitCode;

use verbena::tools::{cli, usage};

fn main() -> ExitCode {
    usage::with_options(cli::run)
}
