//! `--latency` and `--latency-history`: how long PING takes.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::format::Style;
use super::options::Options;
use super::session::Session;
use crate::tools::client::{Client, Value};

/// The pause between two PINGs.
pub const PAUSE: Duration = Duration::from_millis(10);

/// The duration of a line of the history, by default.
const HISTORY: Duration = Duration::from_secs(15);

/// Milliseconds, as redis-cli shows them.
struct Samples {
    began: Instant,
    count: u64,
    min: u64,
    max: u64,
    total: u64,
}

impl Samples {
    fn new() -> Samples {
        Samples { began: Instant::now(), count: 0, min: u64::MAX, max: 0, total: 0 }
    }

    fn add(&mut self, latency: u64) {
        self.count += 1;
        self.min = self.min.min(latency);
        self.max = self.max.max(latency);
        self.total += latency;
    }

    fn mean(&self) -> f64 {
        self.total as f64 / self.count.max(1) as f64
    }

    fn line(&self, style: Style) -> String {
        let Samples { count, min, max, .. } = self;
        let mean = self.mean();
        match style {
            Style::Csv => format!("{min},{max},{mean:.2},{count}"),
            Style::Json | Style::QuotedJson => {
                format!(
                    "{{\"min\": {min}, \"max\": {max}, \"avg\": {mean:.2}, \"count\": {count}}}"
                )
            }
            Style::Raw | Style::Terminal => format!("{min} {max} {mean:.2} {count}"),
        }
    }
}

/// How long one PING takes.
pub async fn ping(client: &mut Client) -> io::Result<Duration> {
    let start = Instant::now();
    match client.call(&["PING"]).await? {
        Value::Error(text) => Err(io::Error::other(String::from_utf8_lossy(&text).into_owned())),
        _ => Ok(start.elapsed()),
    }
}

/// Measures until it is interrupted, if the output is a terminal; else for a second (or `-i`), for one
/// line.
pub async fn run(options: &Options, session: &mut Session) -> io::Result<()> {
    let style = session.format.style;
    let Some(client) = session.client().await else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let mut out = io::stdout();
    let watched = out.is_terminal() && style == Style::Terminal;
    let default = if options.latency_history { HISTORY } else { Duration::from_secs(1) };
    let interval = options.interval.unwrap_or(default);
    let mut samples = Samples::new();
    loop {
        samples.add(ping(client).await?.as_millis() as u64);
        let over = samples.began.elapsed() > interval;
        if watched {
            write!(
                out,
                "\x1b[0G\x1b[2Kmin: {}, max: {}, avg: {:.2} ({} samples)",
                samples.min,
                samples.max,
                samples.mean(),
                samples.count
            )?;
            if over && options.latency_history {
                writeln!(out, " -- {:.2} seconds range", samples.began.elapsed().as_secs_f64())?;
                samples = Samples::new();
            }
            out.flush()?;
        } else if over {
            writeln!(out, "{}", samples.line(style))?;
            out.flush()?;
            if !options.latency_history {
                return Ok(());
            }
            samples = Samples::new();
        }
        tokio::time::sleep(PAUSE).await;
    }
}
