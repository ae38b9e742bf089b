//! SADD, SREM, SMEMBERS, SISMEMBER, SMISMEMBER, SCARD, SMOVE, SSCAN.

use smallvec::SmallVec;

use super::{READ, change, read, view, write_member};
use crate::command::scan::{Found, ScanOptions, Scanned, parse_cursor};
use crate::command::{Categories, Command, Cx, Flags, Group, KeyFlags, KeySpec, Result};
use crate::glob;
use crate::keyspace::Key;
use crate::resp::{Args, Reply};
use crate::value::Entry;
use crate::value::packed::Element;
use crate::value::set::{self, Limits, Member, SetRef};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "sadd",
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        acl: Categories::SET,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
        group: Group::Set,
        run: sadd,
        ..Command::DEFAULT
    },
    Command {
        name: "srem",
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Categories::SET,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        group: Group::Set,
        run: srem,
        ..Command::DEFAULT
    },
    Command {
        name: "smembers",
        arity: 2,
        flags: Flags::READONLY,
        acl: Categories::SET,
        keys: READ,
        tips: &["nondeterministic_output_order"],
        group: Group::Set,
        run: smembers,
        ..Command::DEFAULT
    },
    Command {
        name: "sismember",
        arity: 3,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::SET,
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        group: Group::Set,
        run: sismember,
        ..Command::DEFAULT
    },
    Command {
        name: "smismember",
        arity: -3,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::SET,
        keys: READ,
        group: Group::Set,
        run: smismember,
        ..Command::DEFAULT
    },
    Command {
        name: "scard",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::SET,
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        group: Group::Set,
        run: scard,
        ..Command::DEFAULT
    },
    Command {
        name: "smove",
        arity: 4,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Categories::SET,
        keys: &[
            KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
            KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT)),
        ],
        group: Group::Set,
        run: smove,
        ..Command::DEFAULT
    },
    Command {
        name: "sscan",
        arity: -3,
        flags: Flags::READONLY,
        acl: Categories::SET,
        keys: READ,
        tips: &["nondeterministic_output"],
        group: Group::Set,
        run: sscan,
        ..Command::DEFAULT
    },
];

/// Adds members to the set at `key`, which is made if there is none; says how many are new.
fn add<'m>(
    cx: &mut Cx<'_>,
    key: &Key<'_>,
    members: impl ExactSizeIterator<Item = &'m [u8]>,
) -> Result<usize> {
    let limits = Limits::of(cx.settings);
    let mut members = members.peekable();
    match cx.write(key) {
        Some(mut entry) => {
            let mut set = change(entry.entry_mut(), limits)?;
            set.expect(members.len());
            Ok(set.add_all(members))
        }
        None => {
            let first = members.peek().copied().unwrap_or_default();
            let empty = set::for_members(first, members.len(), limits);
            let mut entry = Entry::new(key.bytes, empty, None);
            let added = change(&mut entry, limits)?.add_all(members);
            cx.insert(key, entry);
            Ok(added)
        }
    }
}

fn sadd(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let added = add(cx, &key, args.from(2).iter())?;
    if added > 0 {
        cx.changed_by(added, "sadd", &key);
    }
    out.integer(added as i64);
    Ok(())
}

fn srem(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (key, limits) = (cx.key(), Limits::of(cx.settings));
    let Some(mut entry) = cx.write(&key) else {
        out.integer(0);
        return Ok(());
    };
    let mut set = change(entry.entry_mut(), limits)?;
    let members = args.from(2);
    let removed = members.iter().filter(|member| set.remove(member)).count();
    let emptied = set.view().is_empty();
    if removed > 0 {
        cx.changed_by(removed, "srem", &key);
    }
    if emptied {
        cx.remove_emptied(&key);
    }
    out.integer(removed as i64);
    Ok(())
}

fn smembers(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    match read(cx, &key)? {
        Some(set) => {
            out.set(set.len());
            set.iter().for_each(|member| write_member(out, member));
        }
        None => out.set(0),
    }
    Ok(())
}

fn sismember(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let set = read(cx, &key)?;
    out.integer(set.is_some_and(|set| set.contains(args.at(2))).into());
    Ok(())
}

fn smismember(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let set = read(cx, &key)?;
    let mut members = args.from(2).iter();
    out.array(members.len());
    while members.len() > 0 {
        let batch: SmallVec<[Member<'_>; set::BATCH]> = members
            .by_ref()
            .take(set::BATCH)
            .map(|member| Member::new(Element::Bytes(member)))
            .collect();
        if let Some(set) = set {
            set.prefetch(&batch);
        }
        for member in &batch {
            out.integer(set.is_some_and(|set| set.has(member)).into());
        }
    }
    Ok(())
}

fn scard(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    out.integer(read(cx, &key)?.map_or(0, |set| set.len() as i64));
    Ok(())
}

fn smove(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (from, to, member) = (cx.keys[0], cx.keys[1], args.at(3));
    let moved = move_member(cx, &from, &to, member)?;
    out.integer(moved.into());
    Ok(())
}

/// Moves a member from one set to another; false if the first one does not have it.
fn move_member(cx: &mut Cx<'_>, from: &Key<'_>, to: &Key<'_>, member: &[u8]) -> Result<bool> {
    let limits = Limits::of(cx.settings);
    // Both are looked up, as in Valkey: a target that has expired goes even if there is no source.
    cx.peek(to);
    let Some(source) = cx.write(from) else { return Ok(false) };
    let is_there = view(source.entry())?.contains(member);
    if let Some(target) = cx.write(to) {
        view(target.entry())?;
    }
    if !is_there || from.bytes == to.bytes {
        return Ok(is_there);
    }
    if let Some(mut source) = cx.write(from) {
        let mut set = change(source.entry_mut(), limits)?;
        set.remove(member);
        let emptied = set.view().is_empty();
        cx.changed_by(1, "srem", from);
        if emptied {
            cx.remove_emptied(from);
        }
    }
    if add(cx, to, [member].into_iter())? > 0 {
        cx.changed_by(1, "sadd", to);
    }
    Ok(true)
}

fn sscan(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let cursor = parse_cursor(args.at(2))?;
    let key = cx.key();
    let mut found = Found::default();
    let next = match read(cx, &key)? {
        None => None,
        Some(set) => {
            walk(set, cursor, &ScanOptions::parse(args.from(3), Scanned::Set)?, &mut found)
        }
    };
    out.array(2);
    out.bulk_integer(next.map_or(0, i64::from));
    found.reply(out);
    Ok(())
}

/// Visits members from `cursor` on; returns where to go on, if that was not all. Of a compact set all
/// members are visited at once.
fn walk(set: SetRef<'_>, cursor: u64, options: &ScanOptions<'_>, found: &mut Found) -> Option<u32> {
    let mut visit = |member: &[u8]| {
        if options.pattern.is_none_or(|pattern| glob::matches(pattern, member)) {
            found.push(member);
        }
    };
    let SetRef::Table(table) = set else {
        let mut digits = itoa::Buffer::new();
        set.iter().for_each(|member| visit(member.bytes(&mut digits)));
        return None;
    };
    // A cursor that is none of ours means some place too.
    let mut next = Some(cursor as u32);
    let mut seen = 0;
    // Buckets may be empty: Valkey visits ten times the count at the most.
    let mut buckets = options.count.saturating_mul(10);
    while let Some(at) = next
        && seen < options.count
        && buckets > 0
    {
        buckets -= 1;
        next = table.scan(at, |member| {
            seen += 1;
            visit(member);
        });
    }
    next
}
