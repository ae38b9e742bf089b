//! HGET, HMGET, HGETALL, HKEYS, HVALS, HLEN, HSTRLEN, HEXISTS, HDEL, HGETDEL, HGETEX.

use super::{CHANGES, READS, change, expired, fields, hash, read, reply, reply_or_null};
use crate::command::string::expiry::Expiry;
use crate::command::{Command, Cx, Flags, KeyFlags, KeySpec, Result};
use crate::resp::{Args, Reply};
use crate::value::hash::HashMut;

/// What tells about a hash, but is no access to what is in it.
const ASKED_ABOUT: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO)];

/// What commands have in common that return all of a hash.
const LISTS: Command =
    Command { arity: 2, flags: Flags::READONLY, tips: &["nondeterministic_output_order"], ..READS };

const TAKES: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
const TOUCHES: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);

pub const COMMANDS: &[Command] = &[
    Command { name: "hget", arity: 3, run: get, ..READS },
    Command { name: "hmget", arity: -3, run: get_many, ..READS },
    Command { name: "hgetall", run: get_all, ..LISTS },
    Command { name: "hkeys", run: |cx, _, out| list(cx, out, true), ..LISTS },
    Command { name: "hvals", run: |cx, _, out| list(cx, out, false), ..LISTS },
    Command { name: "hlen", arity: 2, keys: ASKED_ABOUT, run: len, ..READS },
    Command { name: "hstrlen", arity: 3, keys: ASKED_ABOUT, run: value_len, ..READS },
    Command { name: "hexists", arity: 3, keys: ASKED_ABOUT, run: exists, ..READS },
    Command {
        name: "hdel",
        arity: -3,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        run: delete,
        ..CHANGES
    },
    Command {
        name: "hgetdel",
        arity: -5,
        keys: &[KeySpec::one(1, TAKES)],
        run: get_and_delete,
        ..CHANGES
    },
    Command {
        name: "hgetex",
        arity: -5,
        keys: &[KeySpec::one(1, TOUCHES)],
        run: get_and_expire,
        ..CHANGES
    },
];

fn get(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let now = cx.now;
    let hash = read(cx)?;
    reply_or_null(out, hash.and_then(|hash| hash.get(args.at(2), now)));
    Ok(())
}

fn get_many(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let now = cx.now;
    let hash = read(cx)?;
    let fields = args.from(2);
    out.array(fields.len());
    for field in fields.iter() {
        reply_or_null(out, hash.and_then(|hash| hash.get(field, now)));
    }
    Ok(())
}

fn get_all(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let now = cx.now;
    let hash = read(cx)?;
    out.map(hash.map_or(0, |hash| hash.count_live(now)));
    if let Some(hash) = hash {
        hash.for_each(now, |field, value| {
            reply(out, field);
            reply(out, value);
        });
    }
    Ok(())
}

/// Replies with all fields, or all values.
fn list(cx: &mut Cx<'_>, out: &mut Reply<'_>, fields: bool) -> Result {
    let now = cx.now;
    let hash = read(cx)?;
    out.array(hash.map_or(0, |hash| hash.count_live(now)));
    if let Some(hash) = hash {
        hash.for_each(now, |field, value| reply(out, if fields { field } else { value }));
    }
    Ok(())
}

fn len(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    // Fields that have expired count until they are removed.
    out.integer(read(cx)?.map_or(0, |hash| hash.len()) as i64);
    Ok(())
}

fn value_len(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let now = cx.now;
    let value = read(cx)?.and_then(|hash| hash.get(args.at(2), now));
    out.integer(value.map_or(0, |value| value.len()) as i64);
    Ok(())
}

fn exists(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let now = cx.now;
    let exists = read(cx)?.is_some_and(|hash| hash.get(args.at(2), now).is_some());
    out.integer(exists.into());
    Ok(())
}

fn delete(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let journaled = cx.is_journaled();
    let mut removed = fields::Changed::new();
    let deleted = change(cx, |hash| {
        let mut count = 0;
        for field in args.from(2).iter() {
            let is_removed = hash.remove(field);
            count += usize::from(is_removed);
            if journaled && is_removed {
                removed.push(field);
            }
        }
        (count, hash.is_empty())
    })?;
    let (count, is_empty) = deleted.unwrap_or_default();
    if removed.len() < args.len() - 2 {
        // The others may be there, but have expired.
        fields::journal_removed(cx, &removed);
    }
    note_deleted(cx, count, is_empty);
    out.integer(count as i64);
    Ok(())
}

fn note_deleted(cx: &mut Cx<'_>, count: usize, is_empty: bool) {
    cx.changed_by(count, "hdel", &cx.key());
    if is_empty {
        cx.remove_emptied(&cx.key());
    }
}

fn get_and_delete(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let now = cx.expiry_now();
    let fields = fields::at_once(args, fields::WRONG_COUNT)?;
    let journaled = cx.is_journaled();
    let mut removed = fields::Changed::new();
    let deleted = change(cx, |hash| {
        let mut count = 0;
        out.array(fields.len());
        for field in fields.iter() {
            reply_or_null(out, hash.read().get(field, now));
            let is_removed = hash.remove(field);
            count += usize::from(is_removed);
            if journaled && is_removed {
                removed.push(field);
            }
        }
        (count, hash.is_empty())
    })?;
    fields::journal_removed(cx, &removed);
    match deleted {
        Some((count, is_empty)) => note_deleted(cx, count, is_empty),
        None => reply_nulls(out, fields.len()),
    }
    Ok(())
}

fn reply_nulls(out: &mut Reply<'_>, count: usize) {
    out.array(count);
    (0..count).for_each(|_| out.null());
}

/// How many fields HGETEX has changed, and whether any is left.
#[derive(Default)]
struct Touched {
    expiring: usize,
    persisted: usize,
    expired: usize,
    is_empty: bool,
}

fn get_and_expire(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let now = cx.now;
    // Valkey takes even a key of that name for the word.
    let (options, rest) = fields::split(args, 1, 2)?;
    let mut expiry = Expiry::Unsaid;
    let mut at = 0;
    while let Some(word) = options.get(at) {
        at += expiry.take(word, options.get(at + 1), Expiry::Persist)?;
    }
    let fields = fields::counted(rest, 1, fields::WRONG_COUNT)?;
    let key = cx.key();
    // Counts as a read, too.
    cx.read(&key).map(hash).transpose()?;
    let time = expiry.time_or_now(now, "hgetex")?;
    let over = cx.expiry_now();
    let journaled = cx.is_journaled();
    let mut changed = fields::Changed::new();
    let touched = change(cx, |hash| {
        let mut touched = Touched::default();
        out.array(fields.len());
        for field in fields.iter() {
            reply_or_null(out, hash.read().get(field, over));
            if touch(hash, field, expiry, time, over, &mut touched) && journaled {
                changed.push(field);
            }
        }
        touched.is_empty = hash.is_empty();
        touched
    })?;
    let Some(touched) = touched else {
        reply_nulls(out, fields.len());
        return Ok(());
    };
    cx.changed_by(touched.expiring, "hexpire", &cx.key());
    cx.changed_by(touched.persisted, "hpersist", &cx.key());
    expired(cx, touched.expired);
    cx.touched(touched.expired, &cx.key());
    match time {
        None => fields::journal(cx, &[b"HPERSIST", key.bytes], &changed, 1),
        Some(at) if at > over => fields::journal_expiring(cx, &changed, at),
        Some(_) => fields::journal_removed(cx, &changed),
    }
    if touched.is_empty && touched.expired > 0 {
        cx.remove_emptied(&cx.key());
    }
    Ok(())
}

/// Does to one field what HGETEX says of its expiry. Says whether that changed it.
fn touch(
    hash: &mut HashMut<'_>,
    field: &[u8],
    expiry: Expiry<'_>,
    time: Option<i64>,
    now: i64,
    touched: &mut Touched,
) -> bool {
    let Some(current) = hash.read().expiry(field, now) else { return false };
    match time {
        Some(time) if time <= now => {
            hash.remove(field);
            touched.expired += 1;
        }
        Some(_) => {
            hash.set_expiry(field, time);
            touched.expiring += 1;
        }
        None if expiry == Expiry::Persist && current.is_some() => {
            hash.set_expiry(field, None);
            touched.persisted += 1;
        }
        None => return false,
    }
    true
}
