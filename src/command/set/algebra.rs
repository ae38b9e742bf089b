//! SINTER, SUNION, SDIFF, and those that store or count what they give.

use smallvec::SmallVec;

use super::{change, view, write_member};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, Handler, KeyFlags, KeySpec, Result,
};
use crate::keyspace::Key;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::Entry;
use crate::value::set::{self, Found, Limits, SetMut, SetRef};

const SOURCE: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);

const SOURCES: &[KeySpec] = &[KeySpec::range(1, -1, 1, SOURCE)];

const TARGET_AND_SOURCES: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)), KeySpec::range(2, -1, 1, SOURCE)];

const fn replies(name: &'static str, run: Handler) -> Command {
    Command {
        name,
        arity: -2,
        flags: Flags::READONLY,
        acl: Categories::SET,
        keys: SOURCES,
        tips: &["nondeterministic_output_order"],
        group: Group::Set,
        run,
        ..Command::DEFAULT
    }
}

const fn stores(name: &'static str, run: Handler) -> Command {
    Command {
        name,
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        acl: Categories::SET,
        keys: TARGET_AND_SOURCES,
        group: Group::Set,
        run,
        ..Command::DEFAULT
    }
}

pub const COMMANDS: &[Command] = &[
    replies("sinter", |cx, _, out| reply(cx, |sets| intersection(sets, usize::MAX), out)),
    replies("sunion", |cx, _, out| reply(cx, |sets| set::union(&existing(sets)), out)),
    replies("sdiff", |cx, _, out| reply(cx, difference, out)),
    stores("sinterstore", |cx, _, out| store(cx, "sinterstore", store_intersection, out)),
    stores("sunionstore", |cx, _, out| store(cx, "sunionstore", store_union, out)),
    stores("sdiffstore", |cx, _, out| store(cx, "sdiffstore", store_difference, out)),
    Command {
        name: "sintercard",
        arity: -3,
        flags: Flags::READONLY,
        acl: Categories::SET,
        keys: &[KeySpec::counted(1, 1, SOURCE)],
        group: Group::Set,
        run: sintercard,
        ..Command::DEFAULT
    },
];

/// The sets at some keys; `None` where there is no key.
type Sets<'c> = SmallVec<[Option<SetRef<'c>>; 4]>;

fn read_all<'c>(cx: &'c mut Cx<'_>, keys: &[Key<'_>]) -> Result<Sets<'c>> {
    cx.read_all(keys).into_iter().map(|entry| entry.map(view).transpose()).collect()
}

fn existing<'c>(sets: &[Option<SetRef<'c>>]) -> SmallVec<[SetRef<'c>; 4]> {
    sets.iter().flatten().copied().collect()
}

/// The sets, the smallest first; `None` if one is missing.
fn by_size<'c>(sets: &[Option<SetRef<'c>>]) -> Option<SmallVec<[SetRef<'c>; 4]>> {
    let mut sets: SmallVec<[SetRef<'c>; 4]> = sets.iter().copied().collect::<Option<_>>()?;
    sets.sort_by_key(SetRef::len);
    Some(sets)
}

fn intersection<'c>(sets: &[Option<SetRef<'c>>], limit: usize) -> Found<'c> {
    by_size(sets).map_or(Found::NOTHING, |sets| set::intersection(&sets, limit))
}

fn difference<'c>(sets: &[Option<SetRef<'c>>]) -> Found<'c> {
    match sets {
        [Some(first), others @ ..] => set::difference(*first, &existing(others)),
        _ => Found::NOTHING,
    }
}

/// Answers with what `operation` makes of the sets at all keys.
fn reply(
    cx: &mut Cx<'_>,
    operation: impl for<'c> FnOnce(&[Option<SetRef<'c>>]) -> Found<'c>,
    out: &mut Reply<'_>,
) -> Result {
    let keys = cx.keys;
    let found = operation(&read_all(cx, keys)?);
    out.set(found.len());
    found.for_each(|member| write_member(out, member));
    Ok(())
}

fn sintercard(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let count = parse_i64(args.at(1)).and_then(|count| usize::try_from(count).ok());
    let Some(count) = count.filter(|count| *count > 0) else {
        return Err("ERR numkeys should be greater than 0".into());
    };
    if count > args.len() - 2 {
        return Err("ERR Number of keys can't be greater than number of args".into());
    }
    let mut limit = usize::MAX;
    let mut options = args.from(2 + count).iter();
    while let Some(option) = options.next() {
        match options.next() {
            Some(value) if option.eq_ignore_ascii_case(b"limit") => {
                let value = parse_i64(value).and_then(|value| usize::try_from(value).ok());
                limit = match value.ok_or(CommandError::of("ERR LIMIT can't be negative"))? {
                    0 => usize::MAX,
                    limit => limit,
                };
            }
            _ => return Err(CommandError::SYNTAX),
        }
    }
    let keys = cx.keys;
    let found = intersection(&read_all(cx, keys)?, limit);
    out.integer(found.len() as i64);
    Ok(())
}

/// Stores at the first key what `operation` makes of the sets at the others. An empty result removes
/// the key.
fn store(
    cx: &mut Cx<'_>,
    event: &'static str,
    operation: fn(&[Option<SetRef<'_>>], &mut SetMut<'_>),
    out: &mut Reply<'_>,
) -> Result {
    let limits = Limits::of(cx.settings);
    let (target, sources) = (cx.key(), &cx.keys[1..]);
    let mut entry = Entry::new(target.bytes, set::EMPTY, None);
    operation(&read_all(cx, sources)?, &mut change(&mut entry, limits)?);
    let len = view(&entry)?.len();
    let before = cx.remove(&target);
    let event = if len > 0 { event } else { "del" };
    if len > 0 {
        cx.insert(&target, entry);
    }
    if len > 0 || before.is_some() {
        cx.changed(event, &target);
    }
    if let Some(before) = before {
        cx.server.lazy_free.entry(before);
    }
    out.integer(len as i64);
    Ok(())
}

// The encoding of a result shows how Valkey came to it: it adds members to a set that begins as an
// intset or a listpack, and may also remove some again.

fn store_union(sets: &[Option<SetRef<'_>>], target: &mut SetMut<'_>) {
    target.fill(&set::union(&existing(sets)));
}

/// The result begins as an intset if the smallest set is one, or if it has only integers, which are not
/// too many for one; otherwise as a listpack.
fn store_intersection(sets: &[Option<SetRef<'_>>], target: &mut SetMut<'_>) {
    let Some(sets) = by_size(sets) else { return };
    let found = set::intersection(&sets, usize::MAX);
    let is_intset = matches!(sets[0], SetRef::IntSet(_)) || target.would_be_intset(&found);
    if !is_intset {
        target.make_listpack();
    }
    target.fill(&found);
}

/// The members of the others are taken from a copy of the first set where that is less work than
/// looking each of its members up in half of the others. The copy may have outgrown an encoding that
/// the result would not have.
fn store_difference(sets: &[Option<SetRef<'_>>], target: &mut SetMut<'_>) {
    let [Some(first), others @ ..] = sets else { return };
    let others = existing(others);
    let total = first.len() + others.iter().map(SetRef::len).sum::<usize>();
    if first.len() * (1 + others.len()) / 2 > total {
        target.make_like(*first);
    }
    target.fill(&set::difference(*first, &others));
}
