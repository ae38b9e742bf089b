//! OBJECT: how an entry is stored and when it was last used.

use super::{Categories, Command, CommandError, Cx, Flags, KeyFlags, KeySpec, Result};
use crate::resp::{Args, Reply};
use crate::value::access;

const KEYS: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RO)];

const fn about(name: &'static str, run: super::Handler) -> Command {
    Command {
        name,
        arity: 3,
        flags: Flags::READONLY,
        acl: Categories::KEYSPACE,
        keys: KEYS,
        tips: &["nondeterministic_output"],
        run,
        ..Command::DEFAULT
    }
}

pub const COMMANDS: &[Command] = &[Command {
    name: "object",
    arity: -2,
    subcommands: &[
        about("encoding", |cx, _, out| {
            match cx.inspect(&cx.key()).map(|entry| entry.encoding()) {
                Some(encoding) => out.bulk(encoding.as_bytes()),
                None => out.null(),
            }
            Ok(())
        }),
        about("freq", frequency),
        about("idletime", idle_time),
        about("refcount", |cx, _, out| {
            // No two keys share a value.
            match cx.inspect(&cx.key()) {
                Some(_) => out.integer(1),
                None => out.null(),
            }
            Ok(())
        }),
        Command {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            acl: Categories::KEYSPACE,
            run: |_, _, out| {
                out.lines(HELP);
                Ok(())
            },
            ..Command::DEFAULT
        },
    ],
    ..Command::DEFAULT
}];

const HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Print this help.",
];

fn frequency(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (settings, now) = (cx.settings, cx.now);
    match cx.inspect(&cx.key()) {
        None => out.null(),
        Some(_) if !settings.maxmemory_policy.is_lfu() => {
            return Err(CommandError::of(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
                 note that when switching between policies at runtime LRU and LFU data will take \
                 some time to adjust.",
            ));
        }
        Some(entry) => out.integer(access::frequency(settings, now, entry.access()).into()),
    }
    Ok(())
}

fn idle_time(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (settings, now) = (cx.settings, cx.now);
    match cx.inspect(&cx.key()) {
        None => out.null(),
        Some(_) if settings.maxmemory_policy.is_lfu() => {
            return Err(CommandError::of(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that \
                 when switching between policies at runtime LRU and LFU data will take some time to \
                 adjust.",
            ));
        }
        Some(entry) => out.integer(access::idle(now, entry.access()).into()),
    }
    Ok(())
}
