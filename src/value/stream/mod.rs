//! Streams: entries under ascending ids, and the groups that consume them.
//!
//! Entries are kept in [nodes](node), which are found by their first id. A node ends where Valkey's
//! would, since clients see it where a stream is trimmed approximately.

mod element;
mod group;
mod id;
mod log;
mod node;
mod packed;
mod radix;
mod range;

use std::collections::BTreeMap;

use crate::allocator::size_class;

pub use group::{Consumer, ConsumerId, Group, Pending};
pub use id::{IdText, StreamId};
pub use log::{Bound, Log, MAX_NODE, NodeLimits, Trim};
pub use node::{Entry, Fields, Pairs};
pub use range::{Range, RevRange};

#[derive(Clone, Default)]
pub struct Stream {
    pub log: Log,
    /// By name.
    pub groups: BTreeMap<Box<[u8]>, Group>,
}

impl Stream {
    /// The encoding's name in OBJECT ENCODING's reply.
    pub const ENCODING: &str = "stream";

    /// About how many bytes it takes, judging by so many nodes; by all of them if 0.
    pub fn memory(&self, samples: usize) -> usize {
        // A pending entry stands in its group and in its consumer.
        let group = |group: &Group| 256 + 96 * group.pending().len();
        size_class(size_of::<Stream>())
            + self.log.memory(samples)
            + map_memory::<Box<[u8]>, Group>(self.groups.len())
            + self.groups.values().map(group).sum::<usize>()
    }

    /// About how many allocations are freed with the stream.
    pub fn allocations(&self) -> usize {
        self.log.allocations() + self.groups.values().map(Group::allocations).sum::<usize>()
    }
}

/// About how many bytes a B-tree takes: its leaves have room for eleven, of which appending fills six.
fn map_memory<K, V>(len: usize) -> usize {
    let leaf = 11 * (size_of::<K>() + size_of::<V>()) + 2 * size_of::<usize>();
    len.div_ceil(6) * size_class(leaf)
}

#[cfg(test)]
mod tests;
