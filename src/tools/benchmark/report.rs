//! What a test has measured, for people, as CSV and as JSON.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::json;

use super::engine::{Outcome, Snapshot};
use super::open_loop::Sent;
use super::options::Options;
use super::workload::Test;

/// The columns of redis-benchmark, and one more at the end.
const CSV_HEAD: &str = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\
\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\",\"p999_latency_ms\"";

/// Further columns with `--rate`.
const CSV_HEAD_RATE: &str = ",\"rate\",\"unsent\",\"p99_send_delay_ms\"";

/// What stands above all tests.
pub fn head(out: &mut impl Write, options: &Options) -> io::Result<()> {
    match (options.csv, options.rate) {
        (false, _) => Ok(()),
        (true, None) => writeln!(out, "{CSV_HEAD}"),
        (true, Some(_)) => writeln!(out, "{CSV_HEAD}{CSV_HEAD_RATE}"),
    }
}

/// The result of a test, in the form that the options ask for.
pub fn outcome(
    out: &mut impl Write,
    options: &Options,
    test: &Test,
    outcome: &Outcome,
) -> io::Result<()> {
    if options.json {
        return json(out, options, test, outcome);
    }
    let digits = options.precision as usize;
    let latency = |nanoseconds: u64| milliseconds(nanoseconds as f64, digits);
    let latencies = &outcome.latencies;
    let mean = milliseconds(latencies.mean(), digits);
    let at = |quantile| latency(latencies.value_at_quantile(quantile));
    let (min, max) = (latency(latencies.min()), latency(latencies.max()));
    let rate = rate(outcome);
    if options.csv {
        write!(
            out,
            "\"{}\",\"{rate:.2}\",\"{mean}\",\"{min}\",\"{}\",\"{}\",\"{}\",\"{max}\",\"{}\"",
            test.title.replace('"', "\"\""),
            at(0.5),
            at(0.95),
            at(0.99),
            at(0.999),
        )?;
        if let Some((rate, sent)) = open_loop(options, outcome) {
            let delay = latency(sent.delays.value_at_quantile(0.99));
            write!(out, ",\"{rate}\",\"{}\",\"{delay}\"", sent.unsent)?;
        }
        writeln!(out)?;
        return errors(&mut io::stderr(), outcome);
    }
    if options.quiet {
        write!(
            out,
            "{}: {rate:.2} requests per second, p50={} msec, p99={} msec",
            test.title,
            at(0.5),
            at(0.99)
        )?;
        if let Some((rate, sent)) = open_loop(options, outcome) {
            let unsent = sent.unsent;
            write!(out, ", p99.9={} msec, max={max} msec, of {rate} due per second", at(0.999))?;
            write!(out, ", {unsent} could not be sent")?;
        }
        writeln!(out)?;
        return errors(out, outcome);
    }
    writeln!(out, "====== {} ======", test.title)?;
    writeln!(
        out,
        "  {} requests completed in {:.2} seconds",
        latencies.len(),
        outcome.elapsed.as_secs_f64()
    )?;
    writeln!(out, "  {} parallel clients over {}", options.clients, outcome.transport)?;
    writeln!(out, "  {} bytes payload", options.size)?;
    writeln!(out, "  {} requests in a pipeline", options.pipeline)?;
    writeln!(out, "  keep alive: {}", options.keep_alive)?;
    writeln!(out, "  threads: {}", options.threads.min(options.clients))?;
    if let Some((rate, sent)) = open_loop(options, outcome) {
        let at = |quantile| latency(sent.delays.value_at_quantile(quantile));
        writeln!(out, "  open loop: {rate} requests per second were due, at random times")?;
        writeln!(out, "  {} requests were due and could not be sent", sent.unsent)?;
        writeln!(
            out,
            "  sent after they were due (msec): p50={} p99={} max={}",
            at(0.5),
            at(0.99),
            latency(sent.delays.max())
        )?;
    }
    errors(out, outcome)?;
    writeln!(out, "\nLatency by percentile distribution:")?;
    for step in latencies.iter_quantiles(1) {
        writeln!(
            out,
            "{:.3}% <= {} milliseconds (cumulative count {})",
            step.quantile_iterated_to() * 100.0,
            latency(step.value_iterated_to()),
            latencies.count_between(0, step.value_iterated_to())
        )?;
    }
    writeln!(out, "\nSummary:")?;
    writeln!(out, "  throughput summary: {rate:.2} requests per second")?;
    writeln!(out, "  latency summary (msec):")?;
    let columns = ["avg", "min", "p50", "p95", "p99", "p99.9", "max"];
    let values = [mean, min, at(0.5), at(0.95), at(0.99), at(0.999), max];
    writeln!(out, "  {}", columns.map(|name| format!("{name:>10}")).concat())?;
    writeln!(out, "  {}\n", values.map(|value| format!("{value:>10}")).concat())
}

/// The rate that was asked for, and how it was kept.
fn open_loop<'a>(options: &Options, outcome: &'a Outcome) -> Option<(f64, &'a Sent)> {
    Some((options.rate?, outcome.sent.as_ref()?))
}

fn errors(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    match &outcome.first_error {
        Some(first) => writeln!(out, "  {} error replies, the first: {first}", outcome.errors),
        None => Ok(()),
    }
}

fn json(out: &mut impl Write, options: &Options, test: &Test, outcome: &Outcome) -> io::Result<()> {
    let latencies = &outcome.latencies;
    // Nanoseconds are as fine as it was measured.
    let us = |ns: f64| (ns / 1e3 * 1e3).round() / 1e3;
    let at = |quantile| us(latencies.value_at_quantile(quantile) as f64);
    let mut object = json!({
        "test": test.name(),
        "transport": outcome.transport.name,
        "clients": options.clients,
        "pipeline": options.pipeline,
        "size": options.size,
        "requests": latencies.len(),
        "ops_per_sec": (rate(outcome) * 100.0).round() / 100.0,
        "p50_us": at(0.5),
        "p99_us": at(0.99),
        "p999_us": at(0.999),
        "max_us": us(latencies.max() as f64),
        "min_us": us(latencies.min() as f64),
        "avg_us": us(latencies.mean()),
        "p95_us": at(0.95),
        "threads": options.threads.min(options.clients),
        "seconds": outcome.elapsed.as_secs_f64(),
        "errors": outcome.errors,
    });
    if let Some((rate, sent)) = open_loop(options, outcome) {
        object["rate"] = json!(rate);
        object["unsent"] = json!(sent.unsent);
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let delay = us(sent.delays.value_at_quantile(quantile) as f64);
            object[format!("send_delay_{name}_us")] = json!(delay);
        }
    }
    if let Some(first) = &outcome.first_error {
        object["first_error"] = json!(first);
    }
    writeln!(out, "{object}")
}

/// Requests per second.
fn rate(outcome: &Outcome) -> f64 {
    per_second(outcome.latencies.len(), outcome.elapsed)
}

fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}

fn milliseconds(nanoseconds: f64, digits: usize) -> String {
    format!("{:.digits$}", nanoseconds / 1e6)
}

/// The line that shows a test while it runs, on the standard error.
pub struct Progress<'a> {
    title: &'a str,
    /// Of the snapshot before: time and requests.
    before: (Duration, u64),
    shown: bool,
}

impl<'a> Progress<'a> {
    pub fn new(title: &'a str) -> Self {
        Progress { title, before: (Duration::ZERO, 0), shown: false }
    }

    pub fn show(&mut self, snapshot: Snapshot) {
        let Snapshot { elapsed, latencies } = snapshot;
        let (time, count) = self.before;
        let now = per_second(latencies.len().saturating_sub(count), elapsed.saturating_sub(time));
        eprint!(
            "\r\x1b[K{}: rps={now:.1} (overall: {:.1}) p50={} p99={} max={} msec",
            self.title,
            per_second(latencies.len(), elapsed),
            milliseconds(latencies.value_at_quantile(0.5) as f64, 3),
            milliseconds(latencies.value_at_quantile(0.99) as f64, 3),
            milliseconds(latencies.max() as f64, 3),
        );
        self.before = (elapsed, latencies.len());
        self.shown = true;
    }

    /// Takes the line away.
    pub fn clear(self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
