//! Commands on sorted sets.

pub mod add;
pub mod algebra;
pub mod blocking;
pub mod pop;
pub mod random;
pub mod range;
pub mod read;
pub mod remove;
pub mod scan;

use super::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result, rewrite,
};
use crate::keyspace::Key;
use crate::number::format_f64;
use crate::resp::{Protocol, Reply};
use crate::value::Entry;
use crate::value::packed::Element;
use crate::value::sorted_set::{Limits, Scored, SortedSetMut, SortedSetRef};

/// What commands that read one sorted set have in common.
const READS: Command = Command {
    flags: Flags::READONLY,
    acl: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    ..Command::DEFAULT
};

/// What those of them have in common that look at little of it.
const READS_FAST: Command = Command { flags: Flags::READONLY.union(Flags::FAST), ..READS };

const NOT_IN_LEX: CommandError = CommandError::of("ERR min or max not valid string range item");

const NOT_IN_SCORES: CommandError = CommandError::of("ERR min or max is not a float");

/// The sorted set that an entry holds.
pub(super) fn view(entry: &Entry) -> Result<SortedSetRef<'_>> {
    SortedSetRef::new(entry.value()).ok_or(CommandError::WRONG_TYPE)
}

/// Looks the sorted set at `key` up to read it.
pub(super) fn read<'c>(cx: &'c mut Cx<'_>, key: &Key<'_>) -> Result<Option<SortedSetRef<'c>>> {
    cx.read(key).map(view).transpose()
}

fn change(entry: &mut Entry, limits: Limits) -> Result<SortedSetMut<'_>> {
    SortedSetMut::new(entry, limits).ok_or(CommandError::WRONG_TYPE)
}

/// Puts a new sorted set in the place of whatever is at `key`; without one, only removes that.
pub(super) fn store(cx: &mut Cx<'_>, event: &'static str, key: &Key<'_>, entry: Option<Entry>) {
    let before = cx.remove(key);
    match entry {
        Some(entry) => {
            cx.insert(key, entry);
            cx.changed(event, key);
        }
        None if before.is_some() => cx.changed("del", key),
        None => {}
    }
    if let Some(before) = before {
        cx.server.lazy_free.entry(before);
    }
}

/// As [`store`], for a result that a replay may not come to: its members are journaled.
pub(super) fn store_journaled(
    cx: &mut Cx<'_>,
    event: &'static str,
    key: &Key<'_>,
    entry: Option<Entry>,
) {
    let mut words = rewrite::Words::default();
    if let Some(set) = entry.as_ref().filter(|_| cx.is_journaled()).and_then(|e| view(e).ok()) {
        for (member, score) in set.iter(0..set.len()) {
            words.push(&format_f64(score));
            words.push_element(member);
        }
    }
    let changes = cx.unit.changes;
    store(cx, event, key, entry);
    if cx.unit.changes != changes && cx.is_journaled() {
        rewrite::unlink(cx, key);
        words.journal(cx, key, b"ZADD");
    }
}

pub(super) fn write_member(out: &mut Reply<'_>, member: Element<'_>) {
    match member {
        Element::Int(number) => out.bulk_integer(number),
        Element::Bytes(bytes) => out.bulk(bytes),
    }
}

/// A member and its score: a pair in RESP3, one after the other in RESP2.
fn write_pair(out: &mut Reply<'_>, (member, score): Scored<'_>) {
    if out.protocol == Protocol::Resp3 {
        out.array(2);
    }
    write_member(out, member);
    out.double(score);
}

/// Replies with `len` members, with or without their scores.
pub(super) fn write_members<'m>(
    out: &mut Reply<'_>,
    with_scores: bool,
    len: usize,
    members: impl Iterator<Item = Scored<'m>>,
) {
    write_members_header(out, with_scores, len);
    members.for_each(|member| write_scored(out, with_scores, member));
}

/// The header of a reply with members, alone or each with its score.
pub(super) fn write_members_header(out: &mut Reply<'_>, with_scores: bool, len: usize) {
    out.array(if with_scores && out.protocol != Protocol::Resp3 { 2 * len } else { len });
}

#[inline]
pub(super) fn write_scored(out: &mut Reply<'_>, with_score: bool, scored: Scored<'_>) {
    if with_score { write_pair(out, scored) } else { write_member(out, scored.0) }
}
