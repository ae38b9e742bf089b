//! COMMANDLOG, and SLOWLOG, which is its part about slow commands.

use super::{Command, CommandError, Cx, Flags, Group, Handler, Result};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::state::{LogEntry, Logged};

const ANY_TIME: Flags = Flags::LOADING.union(Flags::STALE);

/// Entries that SLOWLOG GET shows if it is not said how many.
const DEFAULT_COUNT: usize = 10;

const fn row(
    name: &'static str,
    arity: i32,
    tips: &'static [&'static str],
    run: Handler,
) -> Command {
    Command {
        name,
        arity,
        flags: ANY_TIME.union(Flags::ADMIN),
        tips,
        group: Group::Server,
        run,
        ..Command::DEFAULT
    }
}

const fn help(lines: Handler) -> Command {
    Command { flags: ANY_TIME, ..row("help", 2, &[], lines) }
}

const fn container(name: &'static str, subcommands: &'static [Command]) -> Command {
    Command { name, arity: -2, group: Group::Server, subcommands, ..Command::DEFAULT }
}

const GET: &[&str] = &["request_policy:all_nodes", "nondeterministic_output"];

const LEN: &[&str] =
    &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"];

const RESET: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

pub const COMMANDS: &[Command] = &[
    container(
        "commandlog",
        &[
            row("get", 4, GET, |cx, args, out| {
                let count = count(args.at(2))?;
                show(cx, named(args.at(3))?, count, out);
                Ok(())
            }),
            help(|_, _, out| write_help(COMMANDLOG_HELP, out)),
            row("len", 3, LEN, |cx, args, out| len(cx, named(args.at(2))?, out)),
            row("reset", 3, RESET, |cx, args, out| reset(cx, named(args.at(2))?, out)),
        ],
    ),
    container(
        "slowlog",
        &[
            row("get", -2, GET, slowlog_get),
            help(|_, _, out| write_help(SLOWLOG_HELP, out)),
            row("len", 2, LEN, |cx, _, out| len(cx, Logged::Slow, out)),
            row("reset", 2, RESET, |cx, _, out| reset(cx, Logged::Slow, out)),
        ],
    ),
];

const COMMANDLOG_HELP: &[&str] = &[
    "COMMANDLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET <count> <type>",
    "    Return top <count> entries of the specified <type> from the commandlog (-1 mean all).",
    "    Entries are made of:",
    "    id, timestamp,",
    "        time in microseconds for type of slow,",
    "        or size in bytes for type of large-request,",
    "        or size in bytes for type of large-reply",
    "    arguments array, client IP and port,",
    "    client name",
    "LEN <type>",
    "    Return the length of the specified type of commandlog.",
    "RESET <type>",
    "    Reset the specified type of commandlog.",
    "HELP",
    "    Print this help.",
];

const SLOWLOG_HELP: &[&str] = &[
    "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET [<count>]",
    "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
    "    Entries are made of:",
    "    id, timestamp, time in microseconds, arguments array, client IP and port,",
    "    client name",
    "LEN",
    "    Return the length of the slowlog.",
    "RESET",
    "    Reset the slowlog.",
    "HELP",
    "    Print this help.",
];

fn write_help(lines: &[&str], out: &mut Reply<'_>) -> Result {
    out.array(lines.len());
    lines.iter().for_each(|line| out.simple(line));
    Ok(())
}

/// How many entries to show; -1 is all.
fn count(word: &[u8]) -> Result<usize> {
    match parse_i64(word) {
        Some(-1) => Ok(usize::MAX),
        Some(count @ 0..) => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
        _ => Err("ERR count should be greater than or equal to -1".into()),
    }
}

/// The log of that name.
fn named(word: &[u8]) -> Result<Logged> {
    let is_named = |logged: &Logged| word.eq_ignore_ascii_case(logged.name().as_bytes());
    Logged::ALL.into_iter().find(is_named).ok_or_else(|| {
        "ERR type should be one of the following: slow, large-request, large-reply".into()
    })
}

fn slowlog_get(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let count = match args.len() {
        2 => DEFAULT_COUNT,
        3 => count(args.at(2))?,
        _ => {
            let before = "ERR unknown subcommand or wrong number of arguments for '";
            return Err(CommandError::quoting(before, args.at(1), "'. Try SLOWLOG HELP."));
        }
    };
    show(cx, Logged::Slow, count, out);
    Ok(())
}

fn show(cx: &mut Cx<'_>, logged: Logged, count: usize, out: &mut Reply<'_>) {
    let entries = cx.server.command_log.newest(logged, count);
    out.array(entries.len());
    for LogEntry { id, value, call } in entries {
        out.array(6);
        out.integer(id as i64);
        out.integer(call.time);
        out.integer(value as i64);
        out.array(call.args.len());
        call.args.iter().for_each(|arg| out.bulk(arg));
        out.bulk(call.peer.as_bytes());
        out.bulk(call.name.as_bytes());
    }
}

fn len(cx: &mut Cx<'_>, logged: Logged, out: &mut Reply<'_>) -> Result {
    out.integer(cx.server.command_log.len(logged) as i64);
    Ok(())
}

fn reset(cx: &mut Cx<'_>, logged: Logged, out: &mut Reply<'_>) -> Result {
    cx.server.command_log.clear(logged);
    out.ok();
    Ok(())
}
