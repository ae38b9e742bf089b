//! XGROUP, XACK.

use smallvec::SmallVec;

use super::{HELP, STREAM, key, no_group_in, noted, parse_extreme_id, parse_id, stream_mut, value};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group as Family, KeyFlags, KeySpec, Result,
    rewrite,
};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::stream::{Group, StreamId};
use crate::value::{Entry, Stream};

const NO_KEY: CommandError = CommandError::of(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use \
     the MKSTREAM option to create an empty stream automatically.",
);

const INSERTS: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT))];
const UPDATES: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::UPDATE))];
const DELETES: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::DELETE))];

pub const COMMANDS: &[Command] = &[
    Command {
        name: "xgroup",
        arity: -2,
        acl: Categories::empty(),
        group: Family::Stream,
        subcommands: &[
            Command {
                name: "create",
                arity: -5,
                flags: Flags::WRITE.union(Flags::DENYOOM),
                keys: INSERTS,
                run: create,
                ..STREAM
            },
            Command {
                name: "createconsumer",
                arity: 5,
                flags: Flags::WRITE.union(Flags::DENYOOM),
                keys: INSERTS,
                run: create_consumer,
                ..STREAM
            },
            Command {
                name: "delconsumer",
                arity: 5,
                flags: Flags::WRITE,
                keys: DELETES,
                run: delete_consumer,
                ..STREAM
            },
            Command {
                name: "destroy",
                arity: 4,
                flags: Flags::WRITE,
                keys: DELETES,
                run: destroy,
                ..STREAM
            },
            Command {
                run: |_, _, out| {
                    out.array(LINES.len());
                    LINES.iter().for_each(|line| out.simple(line));
                    Ok(())
                },
                ..HELP
            },
            Command {
                name: "setid",
                arity: -5,
                flags: Flags::WRITE,
                keys: UPDATES,
                run: set_id,
                ..STREAM
            },
        ],
        ..Command::DEFAULT
    },
    Command {
        name: "xack",
        arity: -4,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[key(KeyFlags::RW.union(KeyFlags::UPDATE))],
        run: xack,
        ..STREAM
    },
];

const LINES: &[&str] = &[
    "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CREATE <key> <groupname> <id|$> [option]",
    "    Create a new consumer group. Options are:",
    "    * MKSTREAM",
    "      Create the empty stream if it does not exist.",
    "    * ENTRIESREAD entries_read",
    "      Set the group's entries_read counter (internal use).",
    "CREATECONSUMER <key> <groupname> <consumer>",
    "    Create a new consumer in the specified group.",
    "DELCONSUMER <key> <groupname> <consumer>",
    "    Remove the specified consumer.",
    "DESTROY <key> <groupname>",
    "    Remove the specified group.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
    "    Set the current group ID and entries_read counter.",
    "HELP",
    "    Print this help.",
];

/// The words after the id of CREATE and SETID.
#[derive(Default)]
struct Options {
    make_stream: bool,
    entries_read: Option<u64>,
}

impl Options {
    fn parse(args: Args<'_>, creates: bool) -> Result<Options> {
        let mut options = Options::default();
        let mut at = 5;
        while let Some(word) = args.get(at) {
            if creates && word.eq_ignore_ascii_case(b"mkstream") {
                options.make_stream = true;
                at += 1;
            } else if word.eq_ignore_ascii_case(b"entriesread")
                && let Some(number) = args.get(at + 1)
            {
                let number = parse_i64(number).ok_or(CommandError::NOT_INTEGER)?;
                options.entries_read = match number {
                    -1 => None,
                    ..0 => {
                        return Err("ERR value for ENTRIESREAD must be positive or -1".into());
                    }
                    number => Some(number as u64),
                };
                at += 2;
            } else {
                return Err(CommandError::quoting(
                    "ERR unknown subcommand or wrong number of arguments for '",
                    &args[1],
                    "'. Try XGROUP HELP.",
                ));
            }
        }
        Ok(options)
    }
}

/// The key's stream.
fn existing(entry: Option<&mut Entry>) -> Result<&mut Stream> {
    entry.map_or(Err(NO_KEY), stream_mut)
}

/// The group of that name, which must be there.
fn existing_group<'a>(stream: &'a mut Stream, args: Args<'_>) -> Result<&'a mut Group> {
    stream.groups.get_mut(&args[3]).ok_or_else(|| no_group_in(&args[2], &args[3]))
}

fn create(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let options = Options::parse(args, true)?;
    let key = cx.key();
    let start = match cx.write(&key) {
        Some(mut entry) => add_group(stream_mut(entry.entry_mut())?, args, &options)?,
        None if options.make_stream => {
            let mut stream = Stream::default();
            let start = add_group(&mut stream, args, &options)?;
            cx.insert(&key, Entry::new(key.bytes, value(stream), None));
            start
        }
        None => return Err(NO_KEY),
    };
    noted(cx, "xgroup-create", &key);
    journal_explicit(cx, args, start);
    out.ok();
    Ok(())
}

/// Journals the call with the id that `$` stands for.
fn journal_explicit(cx: &mut Cx<'_>, args: Args<'_>, id: StreamId) {
    if &args[4] == b"$" && cx.is_journaled() {
        let id = id.text();
        let mut command: rewrite::Command<'_> = args.iter().collect();
        command[4] = id.as_bytes();
        cx.journal_as(&cx.key(), command);
    }
}

/// Adds the group, and returns the id after which it begins.
fn add_group(stream: &mut Stream, args: Args<'_>, options: &Options) -> Result<StreamId> {
    let start = match &args[4] {
        b"$" => stream.log.last_id,
        id => parse_id(id, 0)?,
    };
    if stream.groups.contains_key(&args[3]) {
        return Err("BUSYGROUP Consumer Group name already exists".into());
    }
    stream.groups.insert(args[3].into(), Group::new(start, options.entries_read));
    Ok(start)
}

fn set_id(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let options = Options::parse(args, false)?;
    let key = cx.key();
    let mut entry = cx.write(&key);
    let stream = existing(entry.as_mut().map(|entry| entry.entry_mut()))?;
    let last = stream.log.last_id;
    let group = existing_group(stream, args)?;
    group.last_delivered = match &args[4] {
        b"$" => last,
        id => parse_extreme_id(id, 0)?,
    };
    group.entries_read = options.entries_read;
    noted(cx, "xgroup-setid", &key);
    journal_explicit(cx, args, last);
    out.ok();
    Ok(())
}

fn destroy(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let mut entry = cx.write(&key);
    let stream = existing(entry.as_mut().map(|entry| entry.entry_mut()))?;
    let existed = stream.groups.remove(&args[3]).is_some();
    if existed {
        noted(cx, "xgroup-destroy", &key);
        // Those who read for the group are told that it is gone.
        cx.unit.make_ready(cx.caller.db, &key);
    }
    out.integer(i64::from(existed));
    Ok(())
}

fn create_consumer(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (key, now) = (cx.key(), cx.now);
    let mut entry = cx.write(&key);
    let stream = existing(entry.as_mut().map(|entry| entry.entry_mut()))?;
    let group = existing_group(stream, args)?;
    let is_new = group.find_consumer(&args[4]).is_none();
    if is_new {
        group.add_consumer(&args[4], now);
        noted(cx, "xgroup-createconsumer", &key);
    }
    out.integer(i64::from(is_new));
    Ok(())
}

fn delete_consumer(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let mut entry = cx.write(&key);
    let stream = existing(entry.as_mut().map(|entry| entry.entry_mut()))?;
    let pending = existing_group(stream, args)?.remove_consumer(&args[4]);
    if pending.is_some() {
        noted(cx, "xgroup-delconsumer", &key);
    }
    out.integer(pending.unwrap_or(0) as i64);
    Ok(())
}

fn xack(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let mut acknowledged = 0;
    if let Some(mut entry) = cx.write(&key)
        && let Some(group) = stream_mut(entry.entry_mut())?.groups.get_mut(&args[2])
    {
        let ids = args.from(3).iter().map(|word| parse_id(word, 0));
        let ids = ids.collect::<Result<SmallVec<[StreamId; 8]>>>()?;
        acknowledged = ids.iter().filter(|id| group.acknowledge(**id)).count();
    }
    cx.unit.changes += acknowledged as u64;
    out.integer(acknowledged as i64);
    Ok(())
}
