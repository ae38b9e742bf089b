//! Commands on keys of any type: DEL, EXISTS, RENAME, COPY, MOVE …

use super::database::database;
use super::{Categories, Command, CommandError, Cx, Flags, KeyFlags, KeySpec, Result};
use crate::keyspace::Key;
use crate::resp::{Args, Reply};

const AGGREGATED: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];

pub const COMMANDS: &[Command] = &[
    Command {
        name: "del",
        arity: -2,
        flags: Flags::WRITE,
        acl: Categories::KEYSPACE,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))],
        tips: AGGREGATED,
        run: delete,
        ..Command::DEFAULT
    },
    Command {
        name: "unlink",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Categories::KEYSPACE,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))],
        tips: AGGREGATED,
        run: delete,
        ..Command::DEFAULT
    },
    Command {
        name: "exists",
        arity: -2,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::KEYSPACE,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
        tips: AGGREGATED,
        run: exists,
        ..Command::DEFAULT
    },
    Command {
        name: "touch",
        arity: -2,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::KEYSPACE,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
        tips: AGGREGATED,
        run: touch,
        ..Command::DEFAULT
    },
    Command {
        name: "type",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::KEYSPACE,
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        run: |cx, _, out| {
            out.simple(cx.inspect(&cx.key()).map_or("none", |entry| entry.value().type_name()));
            Ok(())
        },
        ..Command::DEFAULT
    },
    Command {
        name: "rename",
        arity: 3,
        flags: Flags::WRITE,
        acl: Categories::KEYSPACE,
        keys: &[
            KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
        ],
        run: |cx, _, out| {
            rename(cx, true)?;
            out.ok();
            Ok(())
        },
        ..Command::DEFAULT
    },
    Command {
        name: "renamenx",
        arity: 3,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Categories::KEYSPACE,
        keys: &[
            KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::INSERT)),
        ],
        run: |cx, _, out| {
            out.integer(rename(cx, false)?.into());
            Ok(())
        },
        ..Command::DEFAULT
    },
    Command {
        name: "copy",
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        acl: Categories::KEYSPACE,
        keys: &[
            KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
        ],
        databases: Some(copied_to),
        run: copy,
        ..Command::DEFAULT
    },
    Command {
        name: "move",
        arity: 3,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Categories::KEYSPACE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
        databases: Some(|_| vec![2]),
        run: move_key,
        ..Command::DEFAULT
    },
];

/// DEL and UNLINK: what is large is freed in the background by both.
fn delete(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let mut count = 0;
    for key in cx.keys {
        if cx.remove_and_free(key) {
            cx.changed("del", key);
            count += 1;
        }
    }
    out.integer(count);
    Ok(())
}

fn exists(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let keys = cx.keys;
    out.integer(keys.iter().filter(|key| cx.inspect(key).is_some()).count() as i64);
    Ok(())
}

/// The access is noted even for a client whose reads are none (CLIENT NO-TOUCH).
fn touch(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let keys = cx.keys;
    let no_touch = std::mem::replace(&mut cx.caller.no_touch, false);
    out.integer(keys.iter().filter(|key| cx.read(key).is_some()).count() as i64);
    cx.caller.no_touch = no_touch;
    Ok(())
}

/// Gives the first key's entry to the second; false if that one exists and may not be replaced.
fn rename(cx: &mut Cx<'_>, replace: bool) -> Result<bool> {
    let (from, to) = (cx.keys[0], cx.keys[1]);
    if cx.write(&from).is_none() {
        return Err(CommandError::NO_SUCH_KEY);
    }
    if from.bytes == to.bytes || !replace && cx.peek(&to).is_some() {
        return Ok(false);
    }
    if let Some(entry) = cx.remove(&from) {
        make_room(cx, cx.caller.db, &to, replace);
        let expiry = entry.expiry();
        cx.insert_in(cx.caller.db, &to, entry.rekey(to.bytes, expiry));
        cx.changed("rename_from", &from);
        cx.event(cx.caller.db, "rename_to", &to);
    }
    Ok(true)
}

/// Removes the entry that is in the way of another; false if it must stay.
fn make_room(cx: &mut Cx<'_>, db: usize, key: &Key<'_>, replace: bool) -> bool {
    if replace {
        if let Some(old) = cx.remove_in(db, key) {
            cx.server.lazy_free.entry(old);
        }
        return true;
    }
    cx.peek_in(db, key).is_none()
}

const SAME: CommandError = CommandError::of("ERR source and destination objects are the same");

fn copy(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (from, to) = (cx.keys[0], cx.keys[1]);
    let (mut db, mut replace) = (cx.caller.db, false);
    let mut options = args.from(3).iter();
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"replace") {
            replace = true;
        } else if option.eq_ignore_ascii_case(b"db") {
            db = database(cx, options.next().ok_or(CommandError::SYNTAX)?)?;
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    if db == cx.caller.db && from.bytes == to.bytes {
        return Err(SAME);
    }
    let copied = cx.read(&from).is_some() && make_room(cx, db, &to, replace);
    if copied {
        // Making room cannot have removed it: it has another key, or is in another database.
        if let Some(entry) = cx.peek(&from) {
            let copy = entry.duplicate(to.bytes, entry.expiry());
            cx.insert_in(db, &to, copy);
            cx.touched_in(db, 1, &to);
            cx.event(db, "copy_to", &to);
        }
    }
    out.integer(copied.into());
    Ok(())
}

/// The arguments of a COPY that are databases; none if it has other words among its options.
fn copied_to(args: Args<'_>) -> Vec<usize> {
    let mut databases = Vec::new();
    let mut i = 3;
    while i < args.len() {
        let option = args.at(i);
        if option.eq_ignore_ascii_case(b"db") && i + 1 < args.len() {
            databases.push(i + 1);
            i += 2;
        } else if option.eq_ignore_ascii_case(b"replace") {
            i += 1;
        } else {
            return Vec::new();
        }
    }
    databases
}

fn move_key(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let db = database(cx, args.at(2))?;
    if db == cx.caller.db {
        return Err(SAME);
    }
    let moved = cx.write(&key).is_some() && make_room(cx, db, &key, false);
    if moved && let Some(entry) = cx.remove(&key) {
        cx.insert_in(db, &key, entry);
        cx.changed("move_from", &key);
        cx.event(db, "move_to", &key);
    }
    out.integer(moved.into());
    Ok(())
}
