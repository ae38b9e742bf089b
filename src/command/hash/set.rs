//! HSET, HMSET, HSETNX, HSETEX.

use super::{ADDS, change, change_or_create, expired, fields, hash};
use crate::command::string::expiry::Expiry;
use crate::command::{Command, CommandError, Cx, KeyFlags, KeySpec, Result, rewrite};
use crate::resp::{Args, Reply};
use crate::value::hash::{Before, FieldExpiry, HashMut};

const INSERTS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))];

pub const COMMANDS: &[Command] = &[
    Command { name: "hset", arity: -4, run: hset, ..ADDS },
    Command { name: "hmset", arity: -4, run: hmset, ..ADDS },
    Command { name: "hsetnx", arity: 4, keys: INSERTS, run: hsetnx, ..ADDS },
    Command { name: "hsetex", arity: -6, keys: INSERTS, run: hsetex, ..ADDS },
];

/// How many fields got a value that had none, or one that had expired.
#[derive(Default)]
struct Added {
    missing: usize,
    expired: usize,
}

impl Added {
    fn count(&mut self, before: Before) {
        match before {
            Before::Missing => self.missing += 1,
            Before::Expired => self.expired += 1,
            Before::Live => {}
        }
    }
}

/// Fields and values in turn.
fn pairs(args: Args<'_>) -> impl Iterator<Item = (&[u8], &[u8])> {
    (0..args.len() / 2).map(move |pair| (args.at(2 * pair), args.at(2 * pair + 1)))
}

fn set_all(hash: &mut HashMut<'_>, args: Args<'_>, expiry: FieldExpiry) -> Added {
    if hash.is_empty() && args.len() > 2 {
        hash.reserve(args.iter());
    }
    let mut added = Added::default();
    for (field, value) in pairs(args) {
        added.count(hash.set(field, value, expiry));
    }
    added
}

fn hset(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let added = set(cx, args, "hset")?;
    out.integer((added.missing + added.expired) as i64);
    Ok(())
}

fn hmset(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    set(cx, args, "hmset")?;
    out.ok();
    Ok(())
}

fn set(cx: &mut Cx<'_>, args: Args<'_>, command: &str) -> Result<Added> {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::arity(command));
    }
    let args = args.from(2);
    let added = change_or_create(cx, |hash| {
        hash.expect(args.len() / 2);
        Ok(set_all(hash, args, FieldExpiry::None))
    })?;
    expired(cx, added.expired);
    cx.changed_by(args.len() / 2, "hset", &cx.key());
    Ok(added)
}

fn hsetnx(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (now, field) = (cx.expiry_now(), args.at(2));
    let added = change_or_create(cx, |hash| {
        let mut added = Added::default();
        if hash.read().get(field, now).is_none() {
            added.count(hash.set(field, args.at(3), FieldExpiry::None));
        }
        Ok(added)
    })?;
    let count = added.missing + added.expired;
    expired(cx, added.expired);
    cx.changed_by(count, "hset", &cx.key());
    if added.expired > 0 && cx.is_journaled() {
        // To a replay it is still there.
        let key = cx.key();
        cx.journal_as(&key, [b"HSET", key.bytes, field, args.at(3)]);
    }
    out.integer(count as i64);
    Ok(())
}

/// On what HSETEX sets the fields. `Some(true)`: something is there; `Some(false)`: it is not.
#[derive(Default)]
struct Conditions {
    /// The key.
    key: Option<bool>,
    /// All the fields, or none of them.
    fields: Option<bool>,
}

impl Conditions {
    /// Takes NX, XX, FNX or FXX. Says whether the word is one of them.
    fn take(&mut self, word: &[u8]) -> Result<bool> {
        let (condition, said) = match word.to_ascii_lowercase().as_slice() {
            b"nx" => (&mut self.key, false),
            b"xx" => (&mut self.key, true),
            b"fnx" => (&mut self.fields, false),
            b"fxx" => (&mut self.fields, true),
            _ => return Ok(false),
        };
        if condition.is_some_and(|before| before != said) {
            return Err(CommandError::SYNTAX);
        }
        *condition = Some(said);
        Ok(true)
    }
}

fn hsetex(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (now, over) = (cx.now, cx.expiry_now());
    // Valkey takes even a key of that name for the word.
    let (options, rest) = fields::split(args, 1, 2)?;
    let (mut conditions, mut expiry) = (Conditions::default(), Expiry::Unsaid);
    let mut at = 0;
    while let Some(word) = options.get(at) {
        at += if conditions.take(word)? {
            1
        } else {
            expiry.take(word, options.get(at + 1), Expiry::Keep)?
        };
    }
    let args = fields::counted(rest, 2, fields::WRONG_COUNT)?;
    let key = cx.key();
    let exists = cx.peek(&key).map(hash).transpose()?.is_some();
    if conditions.key.is_some_and(|wanted| wanted != exists) {
        out.integer(0);
        return Ok(());
    }
    let time = expiry.time_or_now(now, "hsetex")?;
    if let Some(wanted) = conditions.fields {
        let hash = cx.peek(&key).map(hash).transpose()?;
        let has = |field| hash.is_some_and(|hash| hash.get(field, over).is_some());
        if pairs(args).any(|(field, _)| has(field) != wanted) {
            out.integer(0);
            return Ok(());
        }
    }
    match time {
        Some(time) if time <= over => set_in_the_past(cx, args)?,
        _ => {
            let expiry = match time {
                Some(time) => FieldExpiry::At(time),
                None if expiry == Expiry::Keep => FieldExpiry::Keep,
                None => FieldExpiry::None,
            };
            if cx.is_journaled() {
                journal_set(cx, args, expiry)?;
            }
            let added = change_or_create(cx, |hash| Ok(set_all(hash, args, expiry)))?;
            expired(cx, added.expired);
            cx.changed_by(args.len() / 2, "hset", &cx.key());
            if time.is_some() {
                cx.event(cx.caller.db, "hexpire", &key);
            }
        }
    }
    out.integer(1);
    Ok(())
}

/// Journals what HSETEX is about to do.
fn journal_set(cx: &mut Cx<'_>, args: Args<'_>, expiry: FieldExpiry) -> Result {
    let (key, over) = (cx.key(), cx.expiry_now());
    let words: fields::Changed<'_> = args.iter().collect();
    let set = |cx: &mut Cx<'_>, words: &[&[u8]]| {
        let mut command = rewrite::Command::from_slice(&[b"HSET", key.bytes]);
        command.extend_from_slice(words);
        cx.journal_as(&key, command);
    };
    let mut digits = itoa::Buffer::new();
    match expiry {
        FieldExpiry::None => set(cx, &words),
        FieldExpiry::At(at) => {
            let head = [b"HSETEX", key.bytes, b"PXAT", digits.format(at).as_bytes()];
            fields::journal(cx, &head, &words, 2);
        }
        FieldExpiry::Keep => {
            // Fields that have expired lose their expiry, but a replay would keep it.
            let hash = cx.peek(&key).map(hash).transpose()?;
            let has_expired = |field: &[u8]| {
                let at = hash.and_then(|hash| hash.expiry(field, i64::MIN)).flatten();
                at.is_some_and(|at| at <= over)
            };
            let expired = pairs(args).filter(|(field, _)| has_expired(field));
            let expired: fields::Changed<'_> = expired.flat_map(<[&[u8]; 2]>::from).collect();
            if !expired.is_empty() {
                set(cx, &expired);
            }
            fields::journal(cx, &[b"HSETEX", key.bytes, b"KEEPTTL"], &words, 2);
        }
    }
    Ok(())
}

/// Fields that are set with an expiry that is over: they are removed, if they are there. The events
/// are those of fields that came and went.
fn set_in_the_past(cx: &mut Cx<'_>, args: Args<'_>) -> Result {
    let key = cx.key();
    let mut fields = fields::Changed::new();
    let removed = change(cx, |hash| {
        for (field, _) in pairs(args) {
            if hash.discard(field) {
                fields.push(field);
            }
        }
        (fields.len(), hash.is_empty())
    })?;
    fields::journal_removed(cx, &fields);
    if removed.is_none() {
        cx.event(cx.caller.db, "new", &key);
    }
    cx.touched(removed.map_or(0, |(count, _)| count), &key);
    cx.event(cx.caller.db, "hset", &key);
    cx.event(cx.caller.db, "hexpire", &key);
    expired(cx, args.len() / 2);
    match removed {
        Some((_, true)) => cx.remove_emptied(&key),
        Some(_) => {}
        // It would have been there for a moment.
        None => cx.event(cx.caller.db, "del", &key),
    }
    Ok(())
}
