//! `--intrinsic-latency`: how long this machine keeps a busy thread from running. No server takes part.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Measures for so many seconds.
pub fn run(seconds: u64) -> io::Result<()> {
    let mut out = io::stdout();
    let began = Instant::now();
    let whole = Duration::from_secs(seconds);
    let (mut runs, mut worst) = (0u64, Duration::ZERO);
    let mut last = began;
    // A run is the time between two readings of the clock.
    while last - began < whole {
        let now = Instant::now();
        let run = now - last;
        last = now;
        runs += 1;
        if run.as_micros() > worst.as_micros() {
            writeln!(out, "Max latency so far: {} microseconds.", run.as_micros())?;
            out.flush()?;
            // The time that the output takes is no latency.
            last = Instant::now();
        }
        worst = worst.max(run);
    }
    let average = (last - began).as_secs_f64() / runs.max(1) as f64;
    writeln!(
        out,
        "\n{runs} total runs (avg latency: {:.4} microseconds / {:.2} nanoseconds per run).\n\
         Worst run took {:.0}x longer than the average latency.",
        average * 1e6,
        average * 1e9,
        worst.as_secs_f64() / average
    )
}
