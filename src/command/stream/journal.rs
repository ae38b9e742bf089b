//! What is journaled of deliveries to a group's consumers: which entries are theirs since when, and how far
//! the group is. A replay repeats neither a read nor the choice of what is claimed.

use crate::command::{Cx, rewrite};
use crate::keyspace::Key;
use crate::value::stream::{Group, StreamId};

/// Ids of one journaled command at the most.
const CHUNK: usize = 128;

/// A group of a key's stream.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub key: &'a Key<'a>,
    pub group: &'a [u8],
}

/// An entry as it is pending with a consumer.
#[derive(Clone, Copy)]
pub(super) struct Claimed {
    pub id: StreamId,
    /// When it was delivered, in milliseconds of Unix time.
    delivered: i64,
    deliveries: u64,
}

impl Claimed {
    /// Those of the entries that are pending.
    pub fn of(group: &Group, ids: &[StreamId]) -> Vec<Claimed> {
        let claimed = |id: &StreamId| {
            let pending = group.pending().get(id)?;
            let (delivered, deliveries) = (pending.delivered, pending.deliveries);
            Some(Claimed { id: *id, delivered, deliveries })
        };
        ids.iter().filter_map(claimed).collect()
    }

    /// Whether both can be claimed by one command.
    fn is_like(&self, other: &Claimed) -> bool {
        (self.delivered, self.deliveries) == (other.delivered, other.deliveries)
    }
}

/// How far a group is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    last_delivered: StreamId,
    entries_read: Option<u64>,
}

impl Progress {
    pub fn of(group: &Group) -> Progress {
        Progress { last_delivered: group.last_delivered, entries_read: group.entries_read }
    }
}

/// The group has a new consumer.
pub(super) fn new_consumer(cx: &mut Cx<'_>, target: Target<'_>, name: &[u8]) {
    let Target { key, group } = target;
    cx.journal_as(key, [&b"XGROUP"[..], b"CREATECONSUMER", key.bytes, group, name]);
}

/// Entries are pending with a consumer.
pub(super) fn claims(
    cx: &mut Cx<'_>,
    Target { key, group }: Target<'_>,
    consumer: &[u8],
    Progress { last_delivered, .. }: Progress,
    claimed: &[Claimed],
) {
    let last = last_delivered.text();
    for alike in claimed.chunk_by(Claimed::is_like).flat_map(|alike| alike.chunks(CHUNK)) {
        let ids: Vec<_> = alike.iter().map(|entry| entry.id.text()).collect();
        let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
        let time = time.format(alike[0].delivered).as_bytes();
        // The option takes no more.
        let count = count.format(alike[0].deliveries.min(i64::MAX as u64)).as_bytes();
        let mut command = rewrite::Command::from_slice(&[b"XCLAIM", key.bytes, group, consumer]);
        command.push(b"0");
        command.extend(ids.iter().map(|id| id.as_bytes()));
        command.extend_from_slice(&[b"TIME", time, b"RETRYCOUNT", count, b"FORCE", b"JUSTID"]);
        command.extend_from_slice(&[b"LASTID", last.as_bytes()]);
        cx.journal_as(key, command);
    }
}

/// The group is so far.
pub(super) fn progress(cx: &mut Cx<'_>, Target { key, group }: Target<'_>, progress: Progress) {
    let id = progress.last_delivered.text();
    let mut digits = itoa::Buffer::new();
    let read = progress.entries_read.map_or("-1", |read| digits.format(read)).as_bytes();
    let command = [&b"XGROUP"[..], b"SETID", key.bytes, group, id.as_bytes(), b"ENTRIESREAD", read];
    cx.journal_as(key, command);
}

/// Entries are not pending any more.
pub(super) fn acknowledged(cx: &mut Cx<'_>, Target { key, group }: Target<'_>, ids: &[StreamId]) {
    for ids in ids.chunks(CHUNK) {
        let ids: Vec<_> = ids.iter().map(|id| id.text()).collect();
        let mut command = rewrite::Command::from_slice(&[b"XACK", key.bytes, group]);
        command.extend(ids.iter().map(|id| id.as_bytes()));
        cx.journal_as(key, command);
    }
}
