//! SET, SETNX, SETEX, PSETEX, DELIFEQ, MSET, MSETNX, MSETEX.

use super::expiry::{Expiry, Unit, expire_now};
use super::{argument, reply};
use crate::command::rewrite::{self, Expires};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result,
};
use crate::keyspace::Key;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::Entry;
use crate::value::entry::Value;

const SETS: Flags = Flags::WRITE.union(Flags::DENYOOM);
const OVERWRITES: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);
const INSERTS: KeyFlags = KeyFlags::OW.union(KeyFlags::INSERT);

pub const COMMANDS: &[Command] = &[
    Command {
        name: "set",
        arity: -3,
        flags: SETS,
        acl: Categories::STRING,
        keys: &[KeySpec {
            notes: Some("RW and ACCESS due to the optional `GET` argument"),
            ..KeySpec::one(
                1,
                KeyFlags::RW
                    .union(KeyFlags::ACCESS)
                    .union(KeyFlags::UPDATE)
                    .union(KeyFlags::VARIABLE_FLAGS),
            )
        }],
        variable_flags: Some(|args| {
            let reads = args.iter().skip(3).any(|word| word.eq_ignore_ascii_case(b"get"));
            if reads {
                KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE
            } else {
                KeyFlags::OW | KeyFlags::UPDATE
            }
        }),
        group: Group::String,
        run: set,
        ..Command::DEFAULT
    },
    Command {
        name: "setnx",
        arity: 3,
        flags: SETS.union(Flags::FAST),
        acl: Categories::STRING,
        keys: &[KeySpec::one(1, INSERTS)],
        group: Group::String,
        run: setnx,
        ..Command::DEFAULT
    },
    Command {
        name: "setex",
        arity: 4,
        flags: SETS,
        acl: Categories::STRING,
        keys: &[KeySpec::one(1, OVERWRITES)],
        group: Group::String,
        run: |cx, args, out| set_expiring(cx, args, out, Unit::EX, "setex"),
        ..Command::DEFAULT
    },
    Command {
        name: "psetex",
        arity: 4,
        flags: SETS,
        acl: Categories::STRING,
        keys: &[KeySpec::one(1, OVERWRITES)],
        group: Group::String,
        run: |cx, args, out| set_expiring(cx, args, out, Unit::PX, "psetex"),
        ..Command::DEFAULT
    },
    Command {
        name: "delifeq",
        arity: 3,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Categories::STRING,
        keys: &[KeySpec::one(1, KeyFlags::RM.union(KeyFlags::DELETE))],
        group: Group::String,
        run: delifeq,
        ..Command::DEFAULT
    },
    Command {
        name: "mset",
        arity: -3,
        flags: SETS,
        acl: Categories::STRING,
        keys: &[KeySpec::range(1, -1, 2, OVERWRITES)],
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        group: Group::String,
        run: mset,
        ..Command::DEFAULT
    },
    Command {
        name: "msetnx",
        arity: -3,
        flags: SETS,
        acl: Categories::STRING,
        keys: &[KeySpec::range(1, -1, 2, INSERTS)],
        group: Group::String,
        run: msetnx,
        ..Command::DEFAULT
    },
    Command {
        name: "msetex",
        arity: -4,
        flags: SETS.union(Flags::MOVABLE_KEYS),
        acl: Categories::STRING,
        keys: &[KeySpec::counted(1, 2, OVERWRITES)],
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        group: Group::String,
        run: msetex,
        ..Command::DEFAULT
    },
];

/// On what a value is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Condition<'a> {
    #[default]
    Always,
    Missing,
    Exists,
    Equals(&'a [u8]),
}

impl<'a> Condition<'a> {
    /// Takes NX or XX. Says whether the word is one of them.
    fn take(&mut self, word: &[u8]) -> Result<bool> {
        let said = if word.eq_ignore_ascii_case(b"nx") {
            Condition::Missing
        } else if word.eq_ignore_ascii_case(b"xx") {
            Condition::Exists
        } else {
            return Ok(false);
        };
        if *self != Condition::Always && *self != said {
            return Err(CommandError::SYNTAX);
        }
        *self = said;
        Ok(true)
    }

    fn holds(self, entry: Option<&Entry>) -> Result<bool> {
        Ok(match self {
            Condition::Always => true,
            Condition::Missing => entry.is_none(),
            Condition::Exists => entry.is_some(),
            Condition::Equals(bytes) => match entry {
                Some(entry) => entry.string(&mut itoa::Buffer::new())? == bytes,
                None => false,
            },
        })
    }
}

/// The words after key and value in SET.
#[derive(Default)]
struct SetOptions<'a> {
    condition: Condition<'a>,
    expiry: Expiry<'a>,
    get: bool,
}

impl<'a> SetOptions<'a> {
    fn parse(args: Args<'a>) -> Result<SetOptions<'a>> {
        let mut options = SetOptions::default();
        let mut at = 0;
        while let Some(word) = args.get(at) {
            let next = args.get(at + 1);
            if options.condition.take(word)? {
                at += 1;
            } else if word.eq_ignore_ascii_case(b"get") {
                options.get = true;
                at += 1;
            } else if word.eq_ignore_ascii_case(b"ifeq") {
                if options.condition != Condition::Always {
                    return Err(CommandError::SYNTAX);
                }
                options.condition = Condition::Equals(next.ok_or(CommandError::SYNTAX)?);
                at += 2;
            } else {
                at += options.expiry.take(word, next, Expiry::Keep)?;
            }
        }
        Ok(options)
    }
}

fn set(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    if args.len() == 3 {
        cx.set(&key, argument(&args, 2), None);
        cx.changed("set", &key);
        out.ok();
        return Ok(());
    }
    let options = SetOptions::parse(args.from(3))?;
    let time = options.expiry.time(cx.now, "set")?;
    if options.get {
        match cx.read(&key) {
            Some(entry) => reply(entry, out)?,
            None => out.null(),
        }
    }
    let holds = match options.condition {
        Condition::Always => true,
        // With GET, a value of another type was refused already, so no reply precedes an error.
        condition => condition.holds(cx.peek(&key))?,
    };
    if !options.get {
        if holds { out.ok() } else { out.null() }
    }
    if !holds {
        // The look at it was an access.
        cx.write(&key);
        return Ok(());
    }
    match time {
        Some(time) if time <= cx.removal_now() => expire_now(cx, &key),
        _ => {
            store(cx, &key, argument(&args, 2), options.expiry, time);
            if cx.is_journaled() {
                let keeps = options.expiry == Expiry::Keep;
                let expires = if keeps { Expires::AsBefore } else { Expires::At(time) };
                rewrite::set(cx, &key, args.at(2), expires);
            }
        }
    }
    Ok(())
}

/// Stores a string under a key, whose expiry becomes `time` if `expiry` does not keep it, and announces it.
fn store(cx: &mut Cx<'_>, key: &Key<'_>, value: Value<'_>, expiry: Expiry<'_>, time: Option<i64>) {
    if expiry != Expiry::Keep {
        cx.set(key, value, time);
    } else if let Some(mut entry) = cx.write(key) {
        entry.set_value(value);
    } else {
        cx.insert(key, Entry::new(key.bytes, value, None));
    }
    cx.changed("set", key);
    if time.is_some() {
        cx.event(cx.caller.db, "expire", key);
    }
}

fn setnx(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let missing = cx.write(&key).is_none();
    if missing {
        cx.insert(&key, Entry::new(key.bytes, argument(&args, 2), None));
        cx.changed("set", &key);
    }
    out.integer(i64::from(missing));
    Ok(())
}

fn set_expiring(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    out: &mut Reply<'_>,
    unit: Unit,
    command: &str,
) -> Result {
    let time = unit.time(&args[2], cx.now, command)?;
    let key = cx.key();
    cx.set(&key, argument(&args, 3), Some(time));
    cx.changed("set", &key);
    cx.event(cx.caller.db, "expire", &key);
    if cx.is_journaled() {
        rewrite::set(cx, &key, args.at(3), Expires::At(Some(time)));
    }
    out.ok();
    Ok(())
}

fn delifeq(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let equal = Condition::Equals(args.at(2)).holds(cx.peek(&key))?;
    if equal {
        cx.remove(&key);
        cx.changed("del", &key);
    }
    out.integer(i64::from(equal));
    Ok(())
}

fn mset(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::arity("mset"));
    }
    set_all(cx, args.from(1));
    out.ok();
    Ok(())
}

fn msetnx(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::arity("msetnx"));
    }
    let missing = cx.keys.iter().all(|key| cx.write(key).is_none());
    if missing {
        set_all(cx, args.from(1));
    }
    out.integer(i64::from(missing));
    Ok(())
}

/// Stores the strings of keys and values in turn.
fn set_all(cx: &mut Cx<'_>, pairs: Args<'_>) {
    for (index, key) in cx.keys.iter().enumerate() {
        cx.set(key, argument(&pairs, 2 * index + 1), None);
        cx.changed("set", key);
    }
}

fn msetex(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let count = parse_i64(&args[1])
        .filter(|count| (1..=i64::from(i32::MAX)).contains(count))
        .ok_or("ERR invalid numkeys value or out of range")? as usize;
    let mut at = 2 + 2 * count;
    if args.len() < at {
        return Err(CommandError::SYNTAX);
    }
    let mut condition = Condition::Always;
    let mut expiry = Expiry::Unsaid;
    while let Some(word) = args.get(at) {
        at += if condition.take(word)? {
            1
        } else {
            expiry.take(word, args.get(at + 1), Expiry::Keep)?
        };
    }
    let time = expiry.time(cx.now, "msetex")?;
    for key in cx.keys {
        if !condition.holds(cx.peek(key))? {
            out.integer(0);
            return Ok(());
        }
    }
    for (index, key) in cx.keys.iter().enumerate() {
        store(cx, key, argument(&args, 3 + 2 * index), expiry, time);
    }
    if let Some(time) = time
        && cx.is_journaled()
    {
        let mut digits = itoa::Buffer::new();
        let mut command: Vec<&[u8]> = args.until(2 + 2 * count).iter().collect();
        command.extend_from_slice(&[b"PXAT", digits.format(time).as_bytes()]);
        cx.journal_as(&cx.key(), command);
    }
    out.integer(1);
    Ok(())
}
