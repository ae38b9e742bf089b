//! The benchmark. See `verbena-benchmark --help`.

use std::process::ExitCode;

use verbena::tools::{benchmark, usage};

fn main() -> ExitCode {
    usage::with_options(benchmark::run)
}
