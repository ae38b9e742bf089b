//! XINFO.

use super::{HELP, STREAM, UNSTEADY, no_group_in, reply_entry, reply_id, stream_of};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group as Family, KeyFlags, KeySpec, Result,
};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::Stream;
use crate::value::stream::{Consumer, Group, Log, StreamId};

const KEYS: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS))];

const ABOUT: Command = Command { flags: Flags::READONLY, keys: KEYS, ..STREAM };

pub const COMMANDS: &[Command] = &[Command {
    name: "xinfo",
    arity: -2,
    acl: Categories::empty(),
    group: Family::Stream,
    subcommands: &[
        Command { name: "consumers", arity: 4, tips: UNSTEADY, run: consumers, ..ABOUT },
        Command { name: "groups", arity: 3, run: groups, ..ABOUT },
        Command {
            run: |_, _, out| {
                out.array(LINES.len());
                LINES.iter().for_each(|line| out.simple(line));
                Ok(())
            },
            ..HELP
        },
        Command { name: "stream", arity: -3, run: about_stream, ..ABOUT },
    ],
    ..Command::DEFAULT
}];

const LINES: &[&str] = &[
    "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CONSUMERS <key> <groupname>",
    "    Show consumers of <groupname>.",
    "GROUPS <key>",
    "    Show the stream consumer groups.",
    "STREAM <key> [FULL [COUNT <count>]",
    "    Show information about the stream.",
    "HELP",
    "    Print this help.",
];

/// Entries of each list in the full reply, if nobody says how many.
const USUAL_COUNT: usize = 10;

fn existing<'a>(cx: &'a mut Cx<'_>) -> Result<&'a Stream> {
    stream_of(cx.read(&cx.key()).ok_or(CommandError::NO_SUCH_KEY)?)
}

fn consumers(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let now = cx.now;
    let group = existing(cx)?.groups.get(&args[3]);
    let group = group.ok_or_else(|| no_group_in(&args[2], &args[3]))?;
    let since = |time: i64| now.saturating_sub(time).max(0);
    out.array(group.consumers().len());
    for consumer in group.consumers() {
        out.map(4);
        out.bulk(b"name");
        out.bulk(&consumer.name);
        out.bulk(b"pending");
        out.integer(consumer.pending().len() as i64);
        out.bulk(b"idle");
        out.integer(since(consumer.seen));
        out.bulk(b"inactive");
        out.integer(consumer.active.map_or(-1, since));
    }
    Ok(())
}

fn groups(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let Stream { log, groups } = existing(cx)?;
    out.array(groups.len());
    for (name, group) in groups {
        out.map(6);
        out.bulk(b"name");
        out.bulk(name);
        out.bulk(b"consumers");
        out.integer(group.consumers().len() as i64);
        out.bulk(b"pending");
        out.integer(group.pending().len() as i64);
        reply_progress(log, group, out);
    }
    Ok(())
}

/// Three fields: how far a group is.
fn reply_progress(log: &Log, group: &Group, out: &mut Reply<'_>) {
    out.bulk(b"last-delivered-id");
    reply_id(group.last_delivered, out);
    out.bulk(b"entries-read");
    reply_known(group.entries_read.map(|read| read as i64), out);
    out.bulk(b"lag");
    reply_known(log.lag(group), out);
}

fn reply_known(number: Option<i64>, out: &mut Reply<'_>) {
    match number {
        Some(number) => out.integer(number),
        None => out.null(),
    }
}

fn about_stream(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let stream = existing(cx)?;
    let words = args.from(3);
    let full = words.get(0).is_some_and(|word| word.eq_ignore_ascii_case(b"full"));
    match words.len() {
        0 => reply_stream(stream, out),
        1 if full => reply_full(stream, USUAL_COUNT, out),
        3 if full && words[1].eq_ignore_ascii_case(b"count") => {
            let count = parse_i64(&words[2]).ok_or(CommandError::NOT_INTEGER)?;
            let count = match count {
                ..0 => USUAL_COUNT,
                0 => usize::MAX,
                count => count as usize,
            };
            reply_full(stream, count, out);
        }
        _ => {
            return Err(CommandError::quoting(
                "ERR unknown subcommand or wrong number of arguments for '",
                &args[1],
                "'. Try XINFO HELP.",
            ));
        }
    }
    Ok(())
}

/// Seven fields, which the short and the full reply begin with.
fn reply_log(log: &Log, out: &mut Reply<'_>) {
    let mut number = |name: &[u8], number: u64| {
        out.bulk(name);
        out.integer(number as i64);
    };
    number(b"length", log.len());
    number(b"radix-tree-keys", log.nodes() as u64);
    number(b"radix-tree-nodes", log.radix_nodes() as u64);
    let mut id = |name: &[u8], id: StreamId| {
        out.bulk(name);
        reply_id(id, out);
    };
    id(b"last-generated-id", log.last_id);
    id(b"max-deleted-entry-id", log.max_deleted_id);
    out.bulk(b"entries-added");
    out.integer(log.entries_added as i64);
    out.bulk(b"recorded-first-entry-id");
    reply_id(log.first_id(), out);
}

fn reply_stream(Stream { log, groups }: &Stream, out: &mut Reply<'_>) {
    out.map(10);
    reply_log(log, out);
    out.bulk(b"groups");
    out.integer(groups.len() as i64);
    let first = log.range(StreamId::MIN, StreamId::MAX).next();
    for (name, entry) in [(&b"first-entry"[..], first), (b"last-entry", log.last())] {
        out.bulk(name);
        match entry {
            Some(entry) => reply_entry(&entry, out),
            None => out.null(),
        }
    }
}

fn reply_full(Stream { log, groups }: &Stream, count: usize, out: &mut Reply<'_>) {
    out.map(9);
    reply_log(log, out);
    out.bulk(b"entries");
    out.array(count.min(log.len() as usize));
    let entries = log.range(StreamId::MIN, StreamId::MAX).take(count);
    entries.for_each(|entry| reply_entry(&entry, out));
    out.bulk(b"groups");
    out.array(groups.len());
    for (name, group) in groups {
        out.map(7);
        out.bulk(b"name");
        out.bulk(name);
        reply_progress(log, group, out);
        out.bulk(b"pel-count");
        out.integer(group.pending().len() as i64);
        out.bulk(b"pending");
        out.array(count.min(group.pending().len()));
        for (id, pending) in group.pending().iter().take(count) {
            out.array(4);
            reply_id(*id, out);
            out.bulk(&group.consumer(pending.consumer).name);
            out.integer(pending.delivered);
            out.integer(pending.deliveries as i64);
        }
        out.bulk(b"consumers");
        out.array(group.consumers().len());
        group.consumers().for_each(|consumer| reply_consumer(group, consumer, count, out));
    }
}

fn reply_consumer(group: &Group, consumer: &Consumer, count: usize, out: &mut Reply<'_>) {
    out.map(5);
    out.bulk(b"name");
    out.bulk(&consumer.name);
    out.bulk(b"seen-time");
    out.integer(consumer.seen);
    out.bulk(b"active-time");
    out.integer(consumer.active.unwrap_or(-1));
    out.bulk(b"pel-count");
    out.integer(consumer.pending().len() as i64);
    out.bulk(b"pending");
    out.array(count.min(consumer.pending().len()));
    for id in consumer.pending().iter().take(count) {
        let pending = &group.pending()[id];
        out.array(3);
        reply_id(*id, out);
        out.integer(pending.delivered);
        out.integer(pending.deliveries as i64);
    }
}
