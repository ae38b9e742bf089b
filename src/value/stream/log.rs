//! The entries of a stream, and the ids and counts that are kept of deleted ones.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::group::Group;
use super::node::{Entry, Fields, Node, Slot};
use super::range::{Range, RevRange};
use super::{StreamId, map_memory, radix};
use crate::allocator::size_class;

/// Bytes that the names and values of one entry, and one node, may have.
pub const MAX_NODE: usize = 1 << 30;

/// Bytes of a stream's first node to begin with: of one short entry.
const FIRST_CAPACITY: usize = 32;

/// The limits at which a node is full; 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct NodeLimits {
    /// `stream-node-max-entries`.
    pub entries: u64,
    /// `stream-node-max-bytes`.
    pub bytes: u64,
}

impl NodeLimits {
    /// Whether a node has room for one more entry, whose names and values are `len` bytes long.
    fn allow(self, node: &Node, len: usize) -> bool {
        let max_bytes = match self.bytes {
            0 => MAX_NODE,
            bytes => MAX_NODE.min(bytes as usize),
        };
        node.listpack_len() + len < max_bytes
            && (self.entries == 0 || u64::from(node.slots()) < self.entries)
    }
}

/// The limit to which a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// At most so many entries.
    Len(u64),
    /// No entry before this one.
    Id(StreamId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    pub to: Bound,
    /// Only whole nodes are deleted, so more entries may remain.
    pub approximate: bool,
    /// The most entries that are deleted, if it is not 0.
    pub limit: u64,
}

#[derive(Clone, Default)]
pub struct Log {
    /// By the id of the first entry that each had.
    nodes: BTreeMap<StreamId, Node>,
    len: u64,
    /// The first entry's id; zero if there is none.
    first_id: StreamId,
    /// The greatest id that an entry ever had, or that was set.
    pub last_id: StreamId,
    /// The greatest id that was deleted; zero if none was.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added, or the number that was set.
    pub entries_added: u64,
}

impl Log {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first entry's id; zero if there is none.
    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// Sets the id that an empty stream reports for its first entry.
    pub fn restore_first_id(&mut self, id: StreamId) {
        if self.is_empty() {
            self.first_id = id;
        }
    }

    pub fn memory(&self, samples: usize) -> usize {
        let most = if samples == 0 { usize::MAX } else { samples };
        let sizes = self.nodes.values().take(most).map(|node| size_class(node.capacity()));
        let (count, bytes) = sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
        let nodes = self.nodes.len();
        map_memory::<StreamId, Node>(nodes) + bytes * nodes / usize::max(count, 1)
    }

    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node_map(&self) -> &BTreeMap<StreamId, Node> {
        &self.nodes
    }

    /// Adds a node after all others; `None` if it is not in order.
    pub(super) fn push_node(&mut self, first: StreamId, node: Node) -> Option<()> {
        if self.nodes.last_key_value().is_some_and(|(last, _)| *last >= first) {
            return None;
        }
        self.len += u64::from(node.live);
        self.nodes.insert(first, node);
        if self.first_id.is_zero() {
            self.find_first_id();
        }
        Some(())
    }

    /// The number of nodes of a radix tree whose keys are the first ids of this stream's nodes:
    /// Valkey's index, whose size XINFO reports.
    pub fn radix_nodes(&self) -> usize {
        radix::nodes(self.nodes.keys().copied())
    }

    pub(super) fn allocations(&self) -> usize {
        self.nodes.values().map(|node| 1 + node.capacity() / (64 << 10)).sum()
    }

    /// Appends an entry.
    ///
    /// # Panics
    /// If the id is not greater than [`last_id`](Self::last_id).
    pub fn append<'a>(&mut self, id: StreamId, fields: impl Fields<'a>, limits: NodeLimits) {
        assert!(id > self.last_id, "ids ascend");
        self.put(id, fields, limits);
        if self.is_empty() {
            self.first_id = id;
        }
        self.len += 1;
        self.last_id = id;
        self.entries_added = self.entries_added.wrapping_add(1);
    }

    fn put<'a>(&mut self, id: StreamId, fields: impl Fields<'a>, limits: NodeLimits) {
        let mut capacity = FIRST_CAPACITY;
        if let Some(mut last) = self.nodes.last_entry() {
            let first = *last.key();
            let node = last.get_mut();
            let len = fields.clone().map(|(name, value)| name.len() + value.len()).sum();
            if limits.allow(node, len) {
                return node.append(first, id, fields);
            }
            // The next one will be like it.
            node.shrink();
            capacity = node.len();
        }
        let mut node = Node::new(fields.clone(), capacity);
        node.append(id, id, fields);
        self.nodes.insert(id, node);
    }

    /// The entries from `start` to `end`, both included, in order.
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range::new(&self.nodes, start, end)
    }

    /// The entries from `end` down to `start`, both included.
    pub fn rev_range(&self, start: StreamId, end: StreamId) -> RevRange<'_> {
        RevRange::new(&self.nodes, start, end)
    }

    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// The last entry that exists.
    pub fn last(&self) -> Option<Entry<'_>> {
        self.rev_range(StreamId::MIN, StreamId::MAX).next()
    }

    /// Deletes an entry. Returns whether it existed.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some((&first, node)) = self.nodes.range_mut(..=id).next_back() else { return false };
        // An id that was deleted may have been used again, after XSETID.
        let is_it = |slot: &Slot<'_>| slot.entry.id == id && !slot.is_deleted;
        let Some(at) = node.slots_from(first).find(is_it).map(|slot| slot.at) else {
            return false;
        };
        node.delete(at);
        if node.live == 0 {
            self.nodes.remove(&first);
        }
        self.len -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        if id == self.first_id {
            self.find_first_id();
        }
        true
    }

    fn find_first_id(&mut self) {
        let first = self.range(self.first_id, StreamId::MAX).next();
        self.first_id = first.map_or(StreamId::MIN, |entry| entry.id);
    }

    /// Deletes entries from the front, and returns how many. Trimmed entries do not count as deleted
    /// when a group's lag is computed.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let before = self.len;
        while let Some(mut node) = self.nodes.first_entry() {
            if matches!(trim.to, Bound::Len(max) if self.len <= max) {
                break;
            }
            let first = *node.key();
            let live = u64::from(node.get().live);
            if trim.limit > 0 && before - self.len + live > trim.limit {
                break;
            }
            let all = match trim.to {
                Bound::Len(max) => self.len - live >= max,
                Bound::Id(min) => {
                    let last = node.get().slots_from(first).last();
                    last.is_none_or(|slot| slot.entry.id < min)
                }
            };
            if all {
                node.remove();
                self.len -= live;
                continue;
            }
            if !trim.approximate {
                self.len -= trim_node(first, node.get_mut(), trim.to, self.len);
            }
            break;
        }
        let removed = before - self.len;
        if removed > 0 {
            self.find_first_id();
        }
        removed
    }

    /// Whether an entry from `start` on was deleted by its id, perhaps with others before it.
    fn has_gaps_from(&self, start: StreamId) -> bool {
        !self.is_empty() && !self.max_deleted_id.is_zero() && self.max_deleted_id >= start
    }

    /// How many entries were ever added up to `id`, if that is known.
    pub fn entries_up_to(&self, id: StreamId) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.is_empty() && id <= self.last_id {
            return Some(self.entries_added);
        }
        // Entries that were deleted after `id` are counted among those that were added, but their
        // number is unknown.
        if !id.is_zero() && id < self.max_deleted_id {
            return None;
        }
        if id >= self.last_id {
            return (id == self.last_id).then_some(self.entries_added);
        }
        let whole = self.max_deleted_id.is_zero() || self.max_deleted_id < self.first_id;
        let before = self.entries_added.wrapping_sub(self.len);
        match id.cmp(&self.first_id) {
            Ordering::Less if whole => Some(before),
            Ordering::Equal if whole => Some(before.wrapping_add(1)),
            _ => None,
        }
    }

    /// How many entries are still to be delivered to a group, if that is known.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !self.has_gaps_from(group.last_delivered) => read,
            _ => self.entries_up_to(group.last_delivered)?,
        };
        Some(self.entries_added.wrapping_sub(read) as i64)
    }

    /// The value of [`Group::entries_read`] after `id` is delivered to a group next.
    pub fn entries_read_with(&self, group: &Group, id: StreamId) -> Option<u64> {
        match group.entries_read {
            Some(read)
                if group.last_delivered >= self.first_id
                    && !self.has_gaps_from(group.last_delivered) =>
            {
                Some(read.wrapping_add(1))
            }
            read if self.entries_added == 0 => read,
            _ => self.entries_up_to(id),
        }
    }
}

/// Deletes a node's first entries, and returns how many; `len` is the stream's length before.
fn trim_node(first: StreamId, node: &mut Node, to: Bound, len: u64) -> u64 {
    let live = node.slots_from(first).filter(|slot| !slot.is_deleted);
    let removed: Vec<u32> = match to {
        Bound::Len(max) => live.take((len - max) as usize).map(|slot| slot.at).collect(),
        Bound::Id(min) => live.take_while(|slot| slot.entry.id < min).map(|slot| slot.at).collect(),
    };
    removed.iter().for_each(|at| node.delete(*at));
    removed.len() as u64
}
