//! HINCRBY, HINCRBYFLOAT.

use super::{ADDS, change_or_create, expired, fields};
use crate::command::{Command, CommandError, Cx, KeyFlags, KeySpec, Result};
use crate::number::extended::Extended;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::hash::{Before, FieldExpiry};
use crate::value::packed::Element;

/// What the two have in common.
const COUNTER: Command = Command {
    arity: 4,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    ..ADDS
};

pub const COMMANDS: &[Command] = &[
    Command { name: "hincrby", run: hincrby, ..COUNTER },
    Command { name: "hincrbyfloat", run: hincrbyfloat, ..COUNTER },
];

fn hincrby(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let increment = parse_i64(args.at(3)).ok_or(CommandError::NOT_INTEGER)?;
    let add = |value: Option<Element<'_>>| {
        let number = match value {
            Some(value) => integer(value)?,
            None => 0,
        };
        Ok(number.checked_add(increment).ok_or("ERR increment or decrement would overflow")?)
    };
    let field = args.at(2);
    let Updated { sum, before, .. } =
        update(cx, field, "hincrby", add, |sum, digits| digits.format(*sum).as_bytes())?;
    if before == Before::Expired && cx.is_journaled() {
        // A replay would add to what the field was.
        journal_value(cx, field, itoa::Buffer::new().format(sum).as_bytes());
    }
    out.integer(sum);
    Ok(())
}

fn integer(value: Element<'_>) -> Result<i64> {
    match value {
        Element::Int(number) => Ok(number),
        Element::Bytes(bytes) => parse_i64(bytes).ok_or("ERR hash value is not an integer".into()),
    }
}

fn hincrbyfloat(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let increment = Extended::parse(args.at(3)).ok_or(CommandError::NOT_FLOAT)?;
    if increment.is_infinite() {
        return Err("ERR value is NaN or Infinity".into());
    }
    let add = |value: Option<Element<'_>>| {
        let number = match value {
            Some(value) => float(value)?,
            None => Extended::from(0),
        };
        let sum =
            number.checked_add(increment).ok_or("ERR increment would produce NaN or Infinity")?;
        Ok(sum.to_string())
    };
    let field = args.at(2);
    let Updated { sum, is_volatile, .. } =
        update(cx, field, "hincrbyfloat", add, |sum, _| sum.as_bytes())?;
    if is_volatile {
        let head = [b"HSETEX", cx.key().bytes, b"KEEPTTL"];
        fields::journal(cx, &head, &[field, sum.as_bytes()], 2);
    } else if cx.is_journaled() {
        journal_value(cx, field, sum.as_bytes());
    }
    out.bulk(sum.as_bytes());
    Ok(())
}

fn float(value: Element<'_>) -> Result<Extended> {
    match value {
        Element::Int(number) => Ok(Extended::from(number)),
        Element::Bytes(bytes) => {
            Extended::parse(bytes).ok_or("ERR hash value is not a float".into())
        }
    }
}

/// Journals that a field has a value and no expiry.
fn journal_value(cx: &mut Cx<'_>, field: &[u8], value: &[u8]) {
    let key = cx.key();
    cx.journal_as(&key, [b"HSET", key.bytes, field, value]);
}

/// What became of a field.
struct Updated<N> {
    sum: N,
    before: Before,
    /// It has an expiry; only told for the journal.
    is_volatile: bool,
}

/// Replaces a field's value by what `add` makes of it and `text` writes.
fn update<N>(
    cx: &mut Cx<'_>,
    field: &[u8],
    event: &'static str,
    add: impl FnOnce(Option<Element<'_>>) -> Result<N>,
    text: impl for<'a> FnOnce(&'a N, &'a mut itoa::Buffer) -> &'a [u8],
) -> Result<Updated<N>> {
    let now = cx.expiry_now();
    let journaled = cx.is_journaled();
    let updated = change_or_create(cx, |hash| {
        let sum = add(hash.read().get(field, now))?;
        let mut digits = itoa::Buffer::new();
        let before = hash.set(field, text(&sum, &mut digits), FieldExpiry::Keep);
        let is_volatile = journaled && hash.read().expiry(field, now).flatten().is_some();
        Ok(Updated { sum, before, is_volatile })
    })?;
    expired(cx, usize::from(updated.before == Before::Expired));
    cx.changed(event, &cx.key());
    Ok(updated)
}
