//! LSET, LINSERT, LREM, LTRIM.

use super::read::absolute;
use super::*;
use crate::number::parse_i64;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "lset",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        run: set,
        ..LIST
    },
    Command {
        name: "linsert",
        arity: 5,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: &[KeySpec::one(1, INSERTS)],
        run: insert,
        ..LIST
    },
    Command {
        name: "lrem",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        run: remove,
        ..LIST
    },
    Command {
        name: "ltrim",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        run: trim,
        ..LIST
    },
];

fn set(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (key, limit) = (cx.key(), limit(cx));
    let mut entry = cx.write(&key).ok_or(CommandError::NO_SUCH_KEY)?;
    let mut list = entry.entry_mut().list_mut(limit)?;
    let index = parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    list.make_room([args.at(3)].into_iter());
    // Valkey takes the number's low 32 bits here.
    let index = absolute((index as i32).into(), list.len());
    if !index.is_some_and(|index| list.set(index, args.at(3))) {
        return Err(CommandError::INDEX_OUT_OF_RANGE);
    }
    list.shrink();
    cx.changed("lset", &key);
    out.ok();
    Ok(())
}

fn insert(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let side = match args.at(2) {
        word if word.eq_ignore_ascii_case(b"before") => Side::Before,
        word if word.eq_ignore_ascii_case(b"after") => Side::After,
        _ => return Err(CommandError::SYNTAX),
    };
    let (key, limit) = (cx.key(), limit(cx));
    let Some(mut entry) = cx.write(&key) else {
        out.integer(0);
        return Ok(());
    };
    let mut list = entry.entry_mut().list_mut(limit)?;
    list.make_room([args.at(4)].into_iter());
    let pivot = Element::of(args.at(3));
    let Some(pivot) = list.read().iter(End::Head).position(|element| element == pivot) else {
        out.integer(-1);
        return Ok(());
    };
    list.insert(pivot, side, args.at(4));
    out.integer(list.len() as i64);
    cx.changed("linsert", &key);
    Ok(())
}

fn remove(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let count = parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    if count == i64::MIN {
        return Err(CommandError::NO_OPPOSITE);
    }
    let (key, limit) = (cx.key(), limit(cx));
    let Some(mut entry) = cx.write(&key) else {
        out.integer(0);
        return Ok(());
    };
    let mut list = entry.entry_mut().list_mut(limit)?;
    let end = if count < 0 { End::Tail } else { End::Head };
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let removed = list.remove_equal(end, most, args.at(3));
    if removed > 0 {
        list.shrink();
        cx.changed_by(removed, "lrem", &key);
        remove_if_empty(cx, &key);
    }
    out.integer(removed as i64);
    Ok(())
}

fn trim(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let start = parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    let end = parse_i64(args.at(3)).ok_or(CommandError::NOT_INTEGER)?;
    let (key, limit) = (cx.key(), limit(cx));
    if let Some(mut entry) = cx.write(&key) {
        let mut list = entry.entry_mut().list_mut(limit)?;
        let len = list.len();
        let (first, count) = range(start, end, len);
        if count > 0 {
            list.remove(End::Head, first);
            list.remove(End::Tail, len - first - count);
            list.shrink();
        } else if let Some(entry) = cx.remove(&key) {
            cx.server.lazy_free.entry(entry);
        }
        cx.event(cx.caller.db, "ltrim", &key);
        cx.touched(len - count, &key);
        if count == 0 {
            cx.event(cx.caller.db, "del", &key);
        }
    }
    out.ok();
    Ok(())
}
