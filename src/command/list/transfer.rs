//! LMOVE, RPOPLPUSH.

use super::*;

pub(super) const KEYS: &[KeySpec] = &[KeySpec::one(1, POPS), KeySpec::one(2, INSERTS)];

pub const COMMANDS: &[Command] = &[
    Command {
        name: "lmove",
        arity: 5,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: KEYS,
        run: |cx, args, out| {
            let (from, to) = (end(args.at(3))?, end(args.at(4))?);
            transfer_or_null(cx, from, to, out)
        },
        ..LIST
    },
    Command {
        name: "rpoplpush",
        arity: 3,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: KEYS,
        run: |cx, _, out| transfer_or_null(cx, End::Tail, End::Head, out),
        ..LIST
    },
];

fn transfer_or_null(cx: &mut Cx<'_>, from: End, to: End, out: &mut Reply<'_>) -> Result {
    let (source, target) = (cx.keys[0], cx.keys[1]);
    if !transfer(cx, (&source, from), (&target, to), out)? {
        out.null();
    }
    Ok(())
}

/// Moves the element at one end of a list to an end of another, or of the same, and replies with it.
/// False if there is no list to take it from.
pub(super) fn transfer(
    cx: &mut Cx<'_>,
    (source, from): (&Key<'_>, End),
    (target, to): (&Key<'_>, End),
    out: &mut Reply<'_>,
) -> Result<bool> {
    let limit = limit(cx);
    let Some(taken) = with_list(cx, source, |list| {
        list.end(from).map(|element| element.bytes(&mut itoa::Buffer::new()).to_vec())
    })?
    .flatten() else {
        return Ok(false);
    };
    if let Some(entry) = cx.peek(target) {
        entry.list()?;
    }
    if let Some(mut entry) = cx.write(source) {
        let mut list = entry.entry_mut().list_mut(limit)?;
        list.remove(from, 1);
        if source.bytes == target.bytes {
            // It is never empty in between, nor packed because it is shorter for a moment.
            list.make_room([&*taken].into_iter());
            list.push(to, &taken);
            list.shrink();
            cx.event(cx.caller.db, pop_event(from), source);
            cx.changed(if to == End::Head { "lpush" } else { "rpush" }, target);
            out.bulk(&taken);
            return Ok(true);
        }
        list.shrink();
    }
    push::push(cx, target, to, [&*taken].into_iter())?;
    cx.unit.modified(cx.caller.db, source);
    cx.event(cx.caller.db, pop_event(from), source);
    remove_if_empty(cx, source);
    out.bulk(&taken);
    Ok(true)
}
