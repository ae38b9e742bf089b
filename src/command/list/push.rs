//! LPUSH, RPUSH, LPUSHX, RPUSHX.

use super::*;
use crate::value::entry::Value;
use crate::value::{Entry, PackedKind, packed};

const KEYS: &[KeySpec] = &[KeySpec::one(1, INSERTS)];

const fn row(name: &'static str, run: super::super::Handler) -> Command {
    Command {
        name,
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        keys: KEYS,
        run,
        ..LIST
    }
}

pub const COMMANDS: &[Command] = &[
    row("lpush", |cx, args, out| push_all(cx, args, out, End::Head, true)),
    row("rpush", |cx, args, out| push_all(cx, args, out, End::Tail, true)),
    row("lpushx", |cx, args, out| push_all(cx, args, out, End::Head, false)),
    row("rpushx", |cx, args, out| push_all(cx, args, out, End::Tail, false)),
];

fn push_all(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    out: &mut Reply<'_>,
    end: End,
    create: bool,
) -> Result {
    let key = cx.key();
    let len = if create || cx.peek(&key).is_some() {
        push(cx, &key, end, args.from(2).iter())?
    } else {
        0
    };
    out.integer(len as i64);
    Ok(())
}

/// Adds elements one after the other, to a new list if there is none. Returns how many there are.
pub(super) fn push<'b>(
    cx: &mut Cx<'_>,
    key: &Key<'_>,
    end: End,
    elements: impl ExactSizeIterator<Item = &'b [u8]> + Clone,
) -> Result<usize> {
    let limit = limit(cx);
    let pushed = elements.len();
    let add = |entry: &mut Entry| -> Result<usize> {
        let mut list = entry.list_mut(limit)?;
        list.make_room(elements.clone());
        elements.for_each(|element| list.push(end, element));
        Ok(list.len())
    };
    let len = match cx.write(key) {
        Some(mut entry) => add(entry.entry_mut())?,
        None => {
            let empty = Value::Packed(PackedKind::List, packed::EMPTY);
            let mut entry = Entry::new(key.bytes, empty, None);
            let len = add(&mut entry)?;
            cx.insert(key, entry);
            len
        }
    };
    let event = match end {
        End::Head => "lpush",
        End::Tail => "rpush",
    };
    cx.changed_by(pushed, event, key);
    Ok(len)
}
