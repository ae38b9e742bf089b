//! DECR, DECRBY, INCR, INCRBY, INCRBYFLOAT.

use crate::command::rewrite::{self, Expires};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result,
};
use crate::number::extended::Extended;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::entry::Value;
use crate::value::{Entry, ValueRef};

/// What the five have in common.
const COUNTER: Command = Command {
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    acl: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    group: Group::String,
    ..Command::DEFAULT
};

pub const COMMANDS: &[Command] = &[
    Command { name: "decr", arity: 2, run: |cx, _, out| add(cx, -1, out), ..COUNTER },
    Command { name: "decrby", run: decrby, ..COUNTER },
    Command { name: "incr", arity: 2, run: |cx, _, out| add(cx, 1, out), ..COUNTER },
    Command { name: "incrby", run: incrby, ..COUNTER },
    Command { name: "incrbyfloat", run: incrbyfloat, ..COUNTER },
];

fn incrby(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let increment = parse_i64(&args[2]).ok_or(CommandError::NOT_INTEGER)?;
    add(cx, increment, out)
}

fn decrby(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let decrement = parse_i64(&args[2]).ok_or(CommandError::NOT_INTEGER)?;
    let increment = decrement.checked_neg().ok_or("ERR decrement would overflow")?;
    add(cx, increment, out)
}

fn add(cx: &mut Cx<'_>, increment: i64, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let sum = match cx.write(&key) {
        Some(mut entry) => {
            let sum = integer(entry.entry())?
                .checked_add(increment)
                .ok_or("ERR increment or decrement would overflow")?;
            entry.set_value(Value::Int(sum));
            sum
        }
        None => {
            cx.insert(&key, Entry::new(key.bytes, Value::Int(increment), None));
            increment
        }
    };
    cx.changed("incrby", &key);
    out.integer(sum);
    Ok(())
}

/// The integer that an entry's string is.
fn integer(entry: &Entry) -> Result<i64> {
    match entry.value() {
        ValueRef::Int(number) => Ok(number),
        // One that was changed in place may be an integer in its canonical form.
        _ => parse_i64(entry.string(&mut itoa::Buffer::new())?).ok_or(CommandError::NOT_INTEGER),
    }
}

fn incrbyfloat(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let number = match cx.peek(&key) {
        Some(entry) => float(entry)?,
        None => Extended::from(0),
    };
    let increment = Extended::parse(&args[2]).ok_or(CommandError::NOT_FLOAT)?;
    let sum = number
        .checked_add(increment)
        .ok_or("ERR increment would produce NaN or Infinity")?
        .to_string();
    // Stored as text, even where it has the form of an integer.
    match cx.write(&key) {
        Some(mut entry) => entry.set_value(Value::Bytes(sum.as_bytes())),
        None => cx.insert(&key, Entry::new(key.bytes, Value::Bytes(sum.as_bytes()), None)),
    }
    cx.changed("incrbyfloat", &key);
    if cx.is_journaled() {
        rewrite::set(cx, &key, sum.as_bytes(), Expires::AsBefore);
    }
    out.bulk(sum.as_bytes());
    Ok(())
}

/// The floating-point number that an entry's string is.
fn float(entry: &Entry) -> Result<Extended> {
    match entry.value() {
        ValueRef::Int(number) => Ok(Extended::from(number)),
        _ => {
            Extended::parse(entry.string(&mut itoa::Buffer::new())?).ok_or(CommandError::NOT_FLOAT)
        }
    }
}
