//! APPEND, GETRANGE, SETRANGE, STRLEN, SUBSTR.

use std::ops::Range;

use super::{TOO_LONG, argument, reply_shared};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result,
};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::entry::Value;
use crate::value::{Entry, ValueRef};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "append",
        arity: 3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        acl: Categories::STRING,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
        group: Group::String,
        run: append,
        ..Command::DEFAULT
    },
    Command {
        name: "getrange",
        arity: 4,
        flags: Flags::READONLY,
        acl: Categories::STRING,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        group: Group::String,
        run: getrange,
        ..Command::DEFAULT
    },
    Command {
        name: "setrange",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        acl: Categories::STRING,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        group: Group::String,
        run: setrange,
        ..Command::DEFAULT
    },
    Command {
        name: "strlen",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::STRING,
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        group: Group::String,
        run: strlen,
        ..Command::DEFAULT
    },
    Command {
        name: "substr",
        arity: 4,
        flags: Flags::READONLY,
        acl: Categories::STRING,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        group: Group::String,
        run: getrange,
        ..Command::DEFAULT
    },
];

fn strlen(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let len = match cx.read(&cx.key()) {
        Some(entry) => entry.string(&mut itoa::Buffer::new())?.len(),
        None => 0,
    };
    out.integer(len as i64);
    Ok(())
}

fn getrange(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let start = parse_i64(&args[2]).ok_or(CommandError::NOT_INTEGER)?;
    let end = parse_i64(&args[3]).ok_or(CommandError::NOT_INTEGER)?;
    let Some(entry) = cx.read(&cx.key()) else {
        out.bulk(b"");
        return Ok(());
    };
    match entry.value() {
        ValueRef::Object(object) => {
            let bytes = object.as_string().ok_or(CommandError::WRONG_TYPE)?;
            reply_shared(bytes, range(start, end, bytes.len()), out);
        }
        _ => {
            let mut digits = itoa::Buffer::new();
            let bytes = entry.string(&mut digits)?;
            out.bulk(&bytes[range(start, end, bytes.len())]);
        }
    }
    Ok(())
}

/// The bytes from `start` to `end`, both included and counted from the end if they are negative, of
/// a string of `len` bytes.
fn range(start: i64, end: i64, len: usize) -> Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let len = len as i64;
    let index = |at: i64| if at < 0 { (at + len).max(0) } else { at };
    let start = index(start);
    // The end that is not included.
    let end = index(end).min(len - 1) + 1;
    if start < end { start as usize..end as usize } else { 0..0 }
}

fn append(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let tail = args.at(2);
    let limit = cx.settings.proto_max_bulk_len;
    let len = match cx.write(&key) {
        Some(mut entry) => {
            let old = entry.entry().string(&mut itoa::Buffer::new())?.len();
            let len = old + tail.len();
            if len as i64 > limit {
                return Err(TOO_LONG);
            }
            let string = entry.entry_mut().string_mut(len).ok_or(CommandError::WRONG_TYPE)?;
            string[old..].copy_from_slice(tail);
            len
        }
        None => {
            cx.insert(&key, Entry::new(key.bytes, argument(&args, 2), None));
            tail.len()
        }
    };
    cx.changed("append", &key);
    out.integer(len as i64);
    Ok(())
}

fn setrange(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let offset = parse_i64(&args[2]).ok_or(CommandError::NOT_INTEGER)?;
    if offset < 0 {
        return Err("ERR offset is out of range".into());
    }
    let key = cx.key();
    let bytes = args.at(3);
    let limit = cx.settings.proto_max_bulk_len;
    let end = offset.checked_add(bytes.len() as i64).filter(|end| *end <= limit);
    let len = match cx.write(&key) {
        Some(mut entry) => {
            let old = entry.entry().string(&mut itoa::Buffer::new())?.len();
            if bytes.is_empty() {
                out.integer(old as i64);
                return Ok(());
            }
            let end = end.ok_or(TOO_LONG)? as usize;
            let string = entry.entry_mut().string_mut(end).ok_or(CommandError::WRONG_TYPE)?;
            string[end - bytes.len()..end].copy_from_slice(bytes);
            string.len()
        }
        None if bytes.is_empty() => {
            out.integer(0);
            return Ok(());
        }
        None => {
            let end = end.ok_or(TOO_LONG)? as usize;
            let mut entry = Entry::new(key.bytes, Value::Bytes(b""), None);
            let string = entry.string_mut(end).ok_or(CommandError::WRONG_TYPE)?;
            string[end - bytes.len()..].copy_from_slice(bytes);
            cx.insert(&key, entry);
            end
        }
    };
    cx.changed("setrange", &key);
    out.integer(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_both_ends() {
        for (start, end, len, expected) in [
            (0, -1, 2, 0..2),
            (0, 0, 2, 0..1),
            (-1, -1, 2, 1..2),
            (-100, -5, 2, 0..1),
            (-5, -100, 2, 0..0),
            (5, 2, 2, 0..0),
            (1, 100, 2, 1..2),
            (2, 100, 2, 0..0),
            (0, -1, 0, 0..0),
            (i64::MIN, i64::MAX, 2, 0..2),
            (i64::MAX, i64::MIN, 2, 0..0),
        ] {
            assert_eq!(range(start, end, len), expected, "{start} {end} of {len}");
        }
    }
}
