//! Walks over the entries of a stream.

use std::collections::{BTreeMap, btree_map};

use super::StreamId;
use super::node::{Entry, Node, Slots};

type Nodes = BTreeMap<StreamId, Node>;

/// The nodes that may have entries from `start` to `end`.
fn nodes_between(
    nodes: &Nodes,
    start: StreamId,
    end: StreamId,
) -> btree_map::Range<'_, StreamId, Node> {
    let from = nodes.range(..=start).next_back().map_or(start, |(&first, _)| first);
    // With an end before the start there is nothing, which the map would not take for a range.
    nodes.range(from..=end.max(from))
}

/// Entries in the order of their ids.
#[derive(Clone)]
pub struct Range<'a> {
    nodes: btree_map::Range<'a, StreamId, Node>,
    slots: Option<Slots<'a>>,
    start: StreamId,
    end: StreamId,
}

impl<'a> Range<'a> {
    pub(super) fn new(nodes: &'a Nodes, start: StreamId, end: StreamId) -> Range<'a> {
        Range { nodes: nodes_between(nodes, start, end), slots: None, start, end }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            for slot in self.slots.as_mut().into_iter().flatten() {
                if slot.is_deleted || slot.entry.id < self.start {
                    continue;
                }
                return Some(slot.entry).filter(|entry| entry.id <= self.end);
            }
            let (&first, node) = self.nodes.next()?;
            self.slots = Some(node.slots_from(first));
        }
    }
}

/// Entries against the order of their ids.
#[derive(Clone)]
pub struct RevRange<'a> {
    nodes: btree_map::Range<'a, StreamId, Node>,
    node: Option<(StreamId, &'a Node)>,
    /// Where the node's entries begin that are still to come.
    left: Vec<u32>,
    start: StreamId,
    end: StreamId,
}

impl<'a> RevRange<'a> {
    pub(super) fn new(nodes: &'a Nodes, start: StreamId, end: StreamId) -> RevRange<'a> {
        let nodes = nodes_between(nodes, start, end);
        RevRange { nodes, node: None, left: Vec::new(), start, end }
    }
}

impl<'a> Iterator for RevRange<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            if let Some((first, node)) = self.node
                && let Some(at) = self.left.pop()
            {
                let entry = node.slot(first, at).entry;
                if entry.id > self.end {
                    continue;
                }
                return Some(entry).filter(|entry| entry.id >= self.start);
            }
            let (&first, node) = self.nodes.next_back()?;
            self.left.reserve(node.live as usize);
            self.left.extend(node.live_positions());
            self.node = Some((first, node));
        }
    }
}
