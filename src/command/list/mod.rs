//! Lists.

pub mod blocking;
pub mod edit;
pub mod pop;
pub mod push;
pub mod read;
pub mod transfer;

use super::{Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result};
use crate::keyspace::Key;
use crate::resp::{Args, Reply};
use crate::value::list::{End, Limit, ListRef, Side};
use crate::value::packed::Element;

/// What the rows of this family have in common.
const LIST: Command = Command { acl: Categories::LIST, group: Group::List, ..Command::DEFAULT };

const POPS: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
const INSERTS: KeyFlags = KeyFlags::RW.union(KeyFlags::INSERT);

/// How much goes into one node.
fn limit(cx: &Cx<'_>) -> Limit {
    Limit::new(cx.settings.list_max_listpack_size)
}

/// `LEFT` or `RIGHT`.
fn end(word: &[u8]) -> Result<End> {
    match word {
        left if left.eq_ignore_ascii_case(b"left") => Ok(End::Head),
        right if right.eq_ignore_ascii_case(b"right") => Ok(End::Tail),
        _ => Err(CommandError::SYNTAX),
    }
}

/// Calls `reply` with the list under a key, if there is one.
fn with_list<R>(
    cx: &mut Cx<'_>,
    key: &Key<'_>,
    reply: impl FnOnce(ListRef<'_>) -> R,
) -> Result<Option<R>> {
    cx.read(key).map(|entry| entry.list().map(reply)).transpose()
}

fn bulk(element: Element<'_>, out: &mut Reply<'_>) {
    out.bulk(element.bytes(&mut itoa::Buffer::new()));
}

/// The event of taking something from that end.
fn pop_event(end: End) -> &'static str {
    match end {
        End::Head => "lpop",
        End::Tail => "rpop",
    }
}

/// The command that takes from that end.
fn pop_name(end: End) -> &'static [u8] {
    match end {
        End::Head => b"LPOP",
        End::Tail => b"RPOP",
    }
}

/// Removes a list that has become empty.
fn remove_if_empty(cx: &mut Cx<'_>, key: &Key<'_>) {
    if cx.peek(key).is_some_and(|entry| entry.list().is_ok_and(ListRef::is_empty)) {
        cx.remove_emptied(key);
    }
}

/// First and number of the elements from `start` to `end`; negative ones count from the tail.
fn range(start: i64, end: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let absolute = |index: i64| if index < 0 { index + len } else { index };
    let start = absolute(start).max(0);
    let end = absolute(end).min(len - 1);
    if start > end { (0, 0) } else { (start as usize, (end - start + 1) as usize) }
}
