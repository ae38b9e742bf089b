//! Commands on fields' expiry: HEXPIRE and its kin, HTTL and its kin, HPERSIST.

use super::{CHANGES, READS, change, expired, fields, read};
use crate::command::expire::{Condition, SECOND, rounded};
use crate::command::{Command, CommandError, Cx, Handler, Result};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};

const fn setter(name: &'static str, run: Handler) -> Command {
    Command { name, arity: -6, run, ..CHANGES }
}

const fn getter(name: &'static str, run: Handler) -> Command {
    Command { name, arity: -5, run, ..READS }
}

pub const COMMANDS: &[Command] = &[
    setter("hexpire", |cx, args, out| {
        let from = cx.now;
        expire(cx, args, out, "hexpire", SECOND, from)
    }),
    setter("hpexpire", |cx, args, out| {
        let from = cx.now;
        expire(cx, args, out, "hpexpire", 1, from)
    }),
    setter("hexpireat", |cx, args, out| expire(cx, args, out, "hexpireat", SECOND, 0)),
    setter("hpexpireat", |cx, args, out| expire(cx, args, out, "hpexpireat", 1, 0)),
    getter("httl", |cx, args, out| tell(cx, args, out, SECOND, true)),
    getter("hpttl", |cx, args, out| tell(cx, args, out, 1, true)),
    getter("hexpiretime", |cx, args, out| tell(cx, args, out, SECOND, false)),
    getter("hpexpiretime", |cx, args, out| tell(cx, args, out, 1, false)),
    Command { name: "hpersist", arity: -5, run: persist, ..CHANGES },
];

/// What the commands answer for each field.
mod answer {
    pub const MISSING: i64 = -2;
    pub const NO_EXPIRY: i64 = -1;
    pub const CONDITION_FAILED: i64 = 0;
    pub const DONE: i64 = 1;
    /// The time was over, so the field is gone.
    pub const DELETED: i64 = 2;
}

/// `unit` is that of the given time, in milliseconds; `from` is what the time is counted from.
fn expire(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    out: &mut Reply<'_>,
    name: &str,
    unit: i64,
    from: i64,
) -> Result {
    let now = cx.expiry_now();
    let (options, rest) = fields::split(args, 3, 3)?;
    let condition = Condition::parse(options)?;
    let fields = fields::counted(rest, 1, fields::WRONG_COUNT)?;
    let time = parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    let at = Some(time)
        .filter(|time| *time >= 0)
        .and_then(|time| time.checked_mul(unit)?.checked_add(from))
        .ok_or_else(|| {
            CommandError::from(format!("ERR invalid expire time in '{name}' command"))
        })?;
    let journaled = cx.is_journaled();
    let mut changed = fields::Changed::new();
    let done = change(cx, |hash| {
        let mut count = 0;
        out.array(fields.len());
        for field in fields.iter() {
            let answer = match hash.read().expiry(field, now) {
                None => answer::MISSING,
                Some(current) if !condition.holds(current, at) => answer::CONDITION_FAILED,
                Some(_) if at <= now => {
                    hash.remove(field);
                    count += 1;
                    answer::DELETED
                }
                Some(_) => {
                    hash.set_expiry(field, Some(at));
                    count += 1;
                    answer::DONE
                }
            };
            if journaled && (answer == answer::DONE || answer == answer::DELETED) {
                changed.push(field);
            }
            out.integer(answer);
        }
        (count, hash.is_empty())
    })?;
    match done {
        None => reply_missing(out, fields.len()),
        Some((count, _)) if at > now => {
            cx.changed_by(count, "hexpire", &cx.key());
            fields::journal_expiring(cx, &changed, at);
        }
        Some((count, is_empty)) => {
            expired(cx, count);
            cx.touched(count, &cx.key());
            fields::journal_removed(cx, &changed);
            if is_empty {
                cx.remove_emptied(&cx.key());
            }
        }
    }
    Ok(())
}

fn reply_missing(out: &mut Reply<'_>, count: usize) {
    out.array(count);
    (0..count).for_each(|_| out.integer(answer::MISSING));
}

/// Answers when each field expires, in units of `unit` milliseconds: how long until then, or the time.
fn tell(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    out: &mut Reply<'_>,
    unit: i64,
    remaining: bool,
) -> Result {
    let now = cx.now;
    let fields = fields::at_once(args, CommandError::SYNTAX)?;
    let Some(hash) = read(cx)? else {
        reply_missing(out, fields.len());
        return Ok(());
    };
    out.array(fields.len());
    for field in fields.iter() {
        out.integer(match hash.expiry(field, now) {
            None => answer::MISSING,
            Some(None) => answer::NO_EXPIRY,
            Some(Some(at)) => {
                let time = if remaining { (at - now).max(0) } else { at };
                rounded(time, unit)
            }
        });
    }
    Ok(())
}

fn persist(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let now = cx.expiry_now();
    let fields = fields::at_once(args, fields::WRONG_COUNT)?;
    let journaled = cx.is_journaled();
    let mut changed = fields::Changed::new();
    let persisted = change(cx, |hash| {
        let mut count = 0;
        out.array(fields.len());
        for field in fields.iter() {
            let answer = match hash.read().expiry(field, now) {
                None => answer::MISSING,
                Some(None) => answer::NO_EXPIRY,
                Some(Some(_)) => {
                    hash.set_expiry(field, None);
                    count += 1;
                    if journaled {
                        changed.push(field);
                    }
                    answer::DONE
                }
            };
            out.integer(answer);
        }
        count
    })?;
    match persisted {
        Some(count) => {
            cx.changed_by(count, "hpersist", &cx.key());
            fields::journal(cx, &[b"HPERSIST", cx.key().bytes], &changed, 1);
        }
        None => reply_missing(out, fields.len()),
    }
    Ok(())
}
