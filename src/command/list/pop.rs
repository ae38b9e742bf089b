//! LPOP, RPOP, LMPOP.

use super::*;
use crate::number::parse_i64;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "lpop",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[KeySpec::one(1, POPS)],
        run: |cx, args, out| pop_or_null(cx, args, out, End::Head, "lpop"),
        ..LIST
    },
    Command {
        name: "rpop",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[KeySpec::one(1, POPS)],
        run: |cx, args, out| pop_or_null(cx, args, out, End::Tail, "rpop"),
        ..LIST
    },
    Command {
        name: "lmpop",
        arity: -4,
        flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::counted(1, 1, POPS)],
        run: |cx, args, out| {
            let wanted = Wanted::parse(args, 1)?;
            for key in cx.keys {
                if wanted.pop(cx, key, out)? {
                    return Ok(());
                }
            }
            out.null_array();
            Ok(())
        },
        ..LIST
    },
];

fn pop_or_null(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    out: &mut Reply<'_>,
    end: End,
    name: &str,
) -> Result {
    if args.len() > 3 {
        return Err(CommandError::arity(name));
    }
    let key = cx.key();
    let Some(count) = args.get(2) else {
        if !pop(cx, &key, end, out)? {
            out.null();
        }
        return Ok(());
    };
    let count = parse_i64(count).and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(CommandError::OUT_OF_RANGE)?;
    if cx.peek(&key).map(|entry| entry.list().map(drop)).transpose()?.is_none() {
        out.null_array();
    } else if count == 0 {
        out.array(0);
    } else {
        pop_many(cx, &key, end, count, out)?;
    }
    Ok(())
}

/// Takes the element at an end and replies with it. False if there is no list.
pub(super) fn pop(cx: &mut Cx<'_>, key: &Key<'_>, end: End, out: &mut Reply<'_>) -> Result<bool> {
    let limit = limit(cx);
    let Some(mut entry) = cx.write(key) else { return Ok(false) };
    let mut list = entry.entry_mut().list_mut(limit)?;
    if let Some(element) = list.read().end(end) {
        bulk(element, out);
    }
    list.remove(end, 1);
    list.shrink();
    let empty = list.is_empty();
    cx.changed(pop_event(end), key);
    if empty {
        remove_if_empty(cx, key);
    }
    Ok(true)
}

/// Takes up to `count` elements from an end and replies with an array of them. False if there is no
/// list.
fn pop_many(
    cx: &mut Cx<'_>,
    key: &Key<'_>,
    end: End,
    count: usize,
    out: &mut Reply<'_>,
) -> Result<bool> {
    let limit = limit(cx);
    let Some(mut entry) = cx.write(key) else { return Ok(false) };
    let mut list = entry.entry_mut().list_mut(limit)?;
    let count = count.min(list.len());
    out.array(count);
    list.read().iter(end).take(count).for_each(|element| bulk(element, out));
    if count < list.len() {
        list.remove(end, count);
        list.shrink();
        cx.changed_by(count, pop_event(end), key);
    } else {
        // A long list is freed in the background.
        let removed = cx.remove(key);
        removed.into_iter().for_each(|entry| cx.server.lazy_free.entry(entry));
        cx.changed_by(count, pop_event(end), key);
        cx.event(cx.caller.db, "del", key);
    }
    Ok(true)
}

/// What LMPOP and BLMPOP want.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    end: End,
    count: usize,
}

impl Wanted {
    /// Reads `numkeys key [key ...] LEFT|RIGHT [COUNT count]` from the argument of that index on.
    pub(super) fn parse(args: Args<'_>, first: usize) -> Result<Wanted> {
        let positive = |text: &[u8], what: &str| {
            let number = parse_i64(text).filter(|number| *number > 0);
            number.ok_or_else(|| format!("ERR {what} should be greater than 0").into())
        };
        let keys: Result<i64> = positive(args.at(first), "numkeys");
        let after = (first + 1).saturating_add(keys? as usize);
        let end = end(args.get(after).ok_or(CommandError::SYNTAX)?)?;
        let mut wanted = Wanted { end, count: 1 };
        let mut counted = false;
        let mut words = args.from(after + 1).iter();
        while let Some(word) = words.next() {
            if counted || !word.eq_ignore_ascii_case(b"count") {
                return Err(CommandError::SYNTAX);
            }
            let count: Result<i64> = positive(words.next().ok_or(CommandError::SYNTAX)?, "count");
            wanted.count = count? as usize;
            counted = true;
        }
        Ok(wanted)
    }

    /// Takes from the list under a key and replies with the key and the elements. False if there is
    /// no list.
    pub(super) fn pop(self, cx: &mut Cx<'_>, key: &Key<'_>, out: &mut Reply<'_>) -> Result<bool> {
        if cx.peek(key).map(|entry| entry.list().map(drop)).transpose()?.is_none() {
            return Ok(false);
        }
        out.array(2);
        out.bulk(key.bytes);
        let popped = pop_many(cx, key, self.end, self.count, out)?;
        if popped && cx.is_journaled() {
            let mut digits = itoa::Buffer::new();
            let count = digits.format(self.count).as_bytes();
            cx.journal_as(key, [pop_name(self.end), key.bytes, count]);
        }
        Ok(popped)
    }
}
