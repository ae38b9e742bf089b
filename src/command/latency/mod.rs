//! LATENCY: what the latency monitor has seen, and how long commands take.

mod doctor;
mod graph;

use super::info::for_each_command;
use super::table::Registered;
use super::{Command, CommandError, Cx, Flags, Group, Handler, Result};
use crate::resp::{Args, Reply};
use crate::state::{Latencies, LatencyEvent, unix_milliseconds};

const ANY_TIME: Flags = Flags::LOADING.union(Flags::STALE);

const EVERY_NODE: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

const fn row(name: &'static str, arity: i32, run: Handler) -> Command {
    Command {
        name,
        arity,
        flags: ANY_TIME.union(Flags::ADMIN).union(Flags::NOSCRIPT),
        tips: EVERY_NODE,
        group: Group::Server,
        run,
        ..Command::DEFAULT
    }
}

pub const COMMANDS: &[Command] = &[Command {
    name: "latency",
    arity: -2,
    group: Group::Server,
    subcommands: &[
        row("doctor", 2, doctor),
        row("graph", 3, graph),
        Command { flags: ANY_TIME, tips: &[], ..row("help", 2, help) },
        row("histogram", -2, histogram),
        row("history", 3, history),
        row("latest", 2, latest),
        Command {
            tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
            ..row("reset", -2, reset)
        },
    ],
    ..Command::DEFAULT
}];

const HELP: &[&str] = &[
    "LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DOCTOR",
    "    Return a human readable latency analysis report.",
    "GRAPH <event>",
    "    Return an ASCII latency graph for the <event> class.",
    "HISTORY <event>",
    "    Return time-latency samples for the <event> class.",
    "LATEST",
    "    Return the latest latency samples for all events.",
    "RESET [<event> ...]",
    "    Reset latency data of one or more <event> classes.",
    "    (default: reset all data for all event classes)",
    "HISTOGRAM [COMMAND ...]",
    "    Return a cumulative distribution of latencies in the format of a histogram for the specified \
     command names.",
    "    If no commands are specified then all histograms are replied.",
    "HELP",
    "    Print this help.",
];

fn help(_: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    out.lines(HELP);
    Ok(())
}

fn doctor(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let events = cx.server.latency.all();
    let report = doctor::report(&events, cx.settings, unix_milliseconds() / 1000);
    out.verbatim(report.as_bytes());
    Ok(())
}

fn graph(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let event = LatencyEvent::named(args.at(2));
    let known = event.and_then(|event| Some((event, cx.server.latency.history(event)?)));
    let Some((event, history)) = known else {
        let before = "ERR No samples available for event '";
        return Err(CommandError::quoting(before, args.at(2), "'"));
    };
    let graph = graph::draw(event.name(), &history, unix_milliseconds() / 1000);
    out.verbatim(graph.as_bytes());
    Ok(())
}

fn history(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let event = LatencyEvent::named(args.at(2));
    let history = event.and_then(|event| cx.server.latency.history(event)).unwrap_or_default();
    out.array(history.samples.len());
    for sample in history.samples {
        out.array(2);
        out.integer(sample.time);
        out.integer(sample.milliseconds as i64);
    }
    Ok(())
}

fn latest(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let events = cx.server.latency.all();
    out.array(events.len());
    for (event, history) in events {
        let Some(last) = history.samples.back() else { continue };
        out.array(6);
        out.bulk(event.name().as_bytes());
        out.integer(last.time);
        let numbers = [last.milliseconds, history.worst, history.sum, history.count];
        numbers.into_iter().for_each(|number| out.integer(number as i64));
    }
    Ok(())
}

fn reset(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let monitor = &cx.server.latency;
    let forgotten = if args.len() == 2 {
        monitor.forget_all()
    } else {
        let events = args.iter().skip(2).filter_map(LatencyEvent::named);
        events.filter(|event| monitor.forget(*event)).count()
    };
    out.integer(forgotten as i64);
    Ok(())
}

fn histogram(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let server = cx.server;
    let mut found: Vec<(&Registered, Latencies)> = Vec::new();
    let mut add = |command: &'static Registered| {
        found.extend(server.latencies(command.id).map(|l| (command, l)))
    };
    if args.len() == 2 {
        for_each_command(&mut add);
    } else {
        args.iter().skip(2).for_each(|name| named(name, &mut add));
    }
    out.map(found.len());
    for (command, latencies) in found {
        out.bulk(command.full_name.as_bytes());
        out.map(2);
        out.bulk(b"calls");
        out.integer(latencies.total() as i64);
        out.bulk(b"histogram_usec");
        let steps = latencies.cumulative();
        out.map(steps.len());
        for (microseconds, calls) in steps {
            out.integer(microseconds as i64);
            out.integer(calls as i64);
        }
    }
    Ok(())
}

/// Visits the command of that name, and all its subcommands. A subcommand's is written `config|get`.
fn named(name: &[u8], each: &mut dyn FnMut(&'static Registered)) {
    let table = super::table();
    let Some(bar) = name.iter().position(|byte| *byte == b'|') else {
        let Some(found) = table.get(name) else { return };
        each(found);
        let mut subcommands: Vec<_> = found.subcommands.values().collect();
        subcommands.sort_unstable_by_key(|sub| sub.command.name);
        return subcommands.into_iter().for_each(each);
    };
    let container = table.get(&name[..bar]);
    container.and_then(|found| found.subcommand(&name[bar + 1..])).into_iter().for_each(each);
}

#[cfg(test)]
mod tests {
    use crate::state::{LatencyHistory, LatencySample};

    /// What is known of an event after these samples: seconds, and milliseconds.
    pub(super) fn history(samples: &[(i64, u64)]) -> LatencyHistory {
        let worst = samples.iter().map(|(_, milliseconds)| *milliseconds).max().unwrap();
        let samples =
            samples.iter().map(|&(time, milliseconds)| LatencySample { time, milliseconds });
        LatencyHistory { samples: samples.collect(), worst, ..LatencyHistory::default() }
    }
}
