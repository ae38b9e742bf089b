//! A long list: a chain of packed nodes.

use std::collections::VecDeque;
use std::iter;

use super::{End, LISTPACK_OVERHEAD, Limit, Side, equal, listpack_len, remove_all};
use crate::allocator::size_class;
use crate::value::packed::{self, Element, HEADER, Packed, Splice};

/// Bytes that Valkey adds to an element's length when it estimates whether it fits in a node.
const ESTIMATED_OVERHEAD: usize = 8;

/// A list in nodes. None of them is empty.
#[derive(Clone, Debug, Default)]
pub struct List {
    nodes: VecDeque<Node>,
    len: usize,
}

/// A packed list with unused bytes before it, so that elements can be added and removed at either end
/// without moving the others.
#[derive(Debug, Default)]
struct Node {
    bytes: Vec<u8>,
    /// Unused bytes at the start.
    start: usize,
    /// The node has one element, which is too long to share a node: others are added elsewhere.
    is_plain: bool,
}

impl Clone for Node {
    fn clone(&self) -> Self {
        Node { is_plain: self.is_plain, ..Node::of(self.view()) }
    }
}

impl Node {
    fn of(packed: Packed<'_>) -> Node {
        Node { bytes: packed.as_bytes().to_vec(), start: 0, is_plain: false }
    }

    fn single(element: &[u8], limit: Limit) -> Node {
        let mut bytes = Vec::with_capacity(HEADER + packed::encoded_len(element));
        bytes.extend_from_slice(packed::EMPTY);
        packed::push(&mut bytes, element);
        Node { bytes, start: 0, is_plain: limit.sets_apart(element.len()) }
    }

    #[inline]
    fn view(&self) -> Packed<'_> {
        Packed::new(&self.bytes[self.start..])
    }

    fn is_empty(&self) -> bool {
        self.view().is_empty()
    }

    /// Gives unused memory back: for a node that will seldom change.
    fn shrink_to_fit(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.shrink_to_fit();
    }

    /// Whether one more element fits.
    fn has_room(&self, element: &[u8], limit: Limit) -> bool {
        let view = self.view();
        !self.is_plain
            && !limit.sets_apart(element.len())
            && !limit.is_exceeded(
                listpack_len(view) + element.len() + ESTIMATED_OVERHEAD,
                view.len() + 1,
            )
    }

    /// Cuts off the elements from `at` on.
    fn split_off(&mut self, at: usize) -> Node {
        let view = self.view();
        let mut tail = packed::EMPTY.to_vec();
        tail.extend_from_slice(&view.as_bytes()[at..]);
        let moved = view.iter_from(at).count();
        set_count(&mut tail, moved);
        packed::remove(self, at, moved);
        Node { bytes: tail, start: 0, is_plain: false }
    }

    /// Appends all elements of another node.
    fn append(&mut self, other: &Node) {
        let elements = self.view().len() + other.view().len();
        let more = &other.view().as_bytes()[HEADER..];
        let at = self.bytes().len();
        self.splice(at, 0, more.len()).copy_from_slice(more);
        set_count(self, elements);
    }
}

fn set_count(of: &mut impl Splice, elements: usize) {
    let count = u16::try_from(elements).unwrap_or(packed::UNCOUNTED);
    of.bytes_mut()[..HEADER].copy_from_slice(&count.to_le_bytes());
}

impl Splice for Node {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    /// Moves what is before the gap or what is after it, whichever is less and can be moved.
    fn splice(&mut self, at: usize, remove: usize, insert: usize) -> &mut [u8] {
        let len = self.bytes.len() - self.start;
        if at < (len - remove) / 2 {
            if insert > self.start + remove {
                // Room for as much again as there is, at the front.
                let room = insert + len;
                self.bytes.splice(..self.start, iter::repeat_n(0, room));
                self.start = room;
            }
            let start = self.start + remove - insert;
            self.bytes.copy_within(self.start..self.start + at, start);
            self.start = start;
            return &mut self.bytes[start + at..start + at + insert];
        }
        let start = self.start;
        Splice::splice(&mut self.bytes, start + at, remove, insert)
    }
}

impl List {
    pub(super) fn from_packed(packed: Packed<'_>) -> List {
        let mut list = List { nodes: VecDeque::new(), len: packed.len() };
        if !packed.is_empty() {
            list.nodes.push_back(Node::of(packed));
        }
        list
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The nodes' elements, each as one packed collection, and whether the node is plain: of one
    /// element that is too long to share a node.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (Packed<'_>, bool)> {
        self.nodes.iter().map(|node| (node.view(), node.is_plain))
    }

    /// A list of these nodes, as [`nodes`](Self::nodes) shows them.
    pub fn from_nodes<'a>(nodes: impl Iterator<Item = (Packed<'a>, bool)>) -> List {
        let nodes = nodes.filter(|(node, _)| !node.is_empty());
        let nodes: VecDeque<Node> =
            nodes.map(|(node, is_plain)| Node { is_plain, ..Node::of(node) }).collect();
        List { len: nodes.iter().map(|node| node.view().len()).sum(), nodes }
    }

    /// About how many allocations are freed with it.
    pub fn allocations(&self) -> usize {
        1 + self.nodes.len()
    }

    /// About how many bytes it takes, judging by so many nodes; by all of them if 0.
    pub fn memory(&self, samples: usize) -> usize {
        let most = if samples == 0 { usize::MAX } else { samples };
        let sizes = self.nodes.iter().take(most).map(|node| size_class(node.bytes.capacity()));
        let (count, bytes) = sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
        let nodes = self.nodes.len();
        self.nodes.capacity() * size_of::<Node>() + bytes * nodes / usize::max(count, 1)
    }

    /// The elements, where they are all in one node.
    pub(super) fn only_node(&self) -> Option<Packed<'_>> {
        match self.nodes.len() {
            0 => Some(Packed::new(packed::EMPTY)),
            1 => Some(&self.nodes[0]).filter(|node| !node.is_plain).map(Node::view),
            _ => None,
        }
    }

    /// The node that an index is in, from the nearer end, and the index within it.
    fn locate(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index < self.len / 2 {
            let mut rest = index;
            for (at, node) in self.nodes.iter().enumerate() {
                let len = node.view().len();
                if rest < len {
                    return Some((at, rest));
                }
                rest -= len;
            }
        } else {
            let mut rest = self.len - index;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                let len = node.view().len();
                if rest <= len {
                    return Some((at, len - rest));
                }
                rest -= len;
            }
        }
        None
    }

    pub(super) fn get(&self, index: usize) -> Option<Element<'_>> {
        let (node, index) = self.locate(index)?;
        let view = self.nodes[node].view();
        view.nth(index).map(|at| view.get(at))
    }

    pub(super) fn end(&self, end: End) -> Option<Element<'_>> {
        let view = match end {
            End::Head => self.nodes.front()?.view(),
            End::Tail => self.nodes.back()?.view(),
        };
        let at = match end {
            End::Head => view.first()?,
            End::Tail => view.last()?,
        };
        Some(view.get(at))
    }

    pub(super) fn iter_from(&self, index: usize) -> impl Iterator<Item = Element<'_>> {
        self.parts_from(index).flatten()
    }

    /// The elements from `index` on, node by node.
    pub(super) fn parts_from(&self, index: usize) -> impl Iterator<Item = packed::Iter<'_>> {
        let (node, index) = self.locate(index).unwrap_or((self.nodes.len(), 0));
        let mut nodes = self.nodes.range(node..).map(Node::view);
        let first = nodes.next().map(|view| view.iter_from(view.nth(index).unwrap_or(view.end())));
        first.into_iter().chain(nodes.map(Packed::iter))
    }

    pub(super) fn iter_back(&self) -> impl Iterator<Item = Element<'_>> {
        self.nodes.iter().rev().flat_map(|node| node.view().iter().rev())
    }

    pub(super) fn push(&mut self, end: End, element: &[u8], limit: Limit) {
        self.len += 1;
        let node = match end {
            End::Head => self.nodes.front_mut(),
            End::Tail => self.nodes.back_mut(),
        };
        if let Some(node) = node {
            if node.has_room(element, limit) {
                match end {
                    End::Head => packed::insert(node, HEADER, element),
                    End::Tail => packed::push(node, element),
                }
                return;
            }
            node.shrink_to_fit();
        }
        match end {
            End::Head => self.nodes.push_front(Node::single(element, limit)),
            End::Tail => self.nodes.push_back(Node::single(element, limit)),
        }
    }

    pub(super) fn remove(&mut self, end: End, count: usize) {
        let mut left = count.min(self.len);
        self.len -= left;
        while left > 0 {
            let node = match end {
                End::Head => self.nodes.front_mut(),
                End::Tail => self.nodes.back_mut(),
            };
            let node = node.expect("there are as many as were counted");
            let len = node.view().len();
            if left < len {
                let first = match end {
                    End::Head => HEADER,
                    End::Tail => node.view().nth(len - left).expect("there are more"),
                };
                packed::remove(node, first, left);
                return;
            }
            left -= len;
            match end {
                End::Head => self.nodes.pop_front(),
                End::Tail => self.nodes.pop_back(),
            };
        }
    }

    pub(super) fn set(&mut self, index: usize, element: &[u8], limit: Limit) -> bool {
        let Some((at, index)) = self.locate(index) else { return false };
        let is_apart = limit.sets_apart(element.len());
        let node = &mut self.nodes[at];
        let offset = node.view().nth(index).expect("it was located");
        if node.is_plain && !is_apart {
            // The element is short enough now to join others.
            self.insert_beside(at, 0, Side::After, element, limit);
            self.nodes.remove(at);
        } else if !is_apart || node.view().len() == 1 {
            // The node may grow beyond its limit, as Valkey's does.
            packed::replace(node, offset, element);
            node.is_plain = is_apart;
        } else {
            packed::remove(node, offset, 1);
            let apart = self.split_with(at, offset, Node::single(element, limit));
            // Valkey joins nothing where it has not split the node.
            if index > 0 {
                self.merge_around(apart, limit);
            }
        }
        true
    }

    /// Splits the node at `at` before `offset` and puts a node between its parts, those that are not
    /// empty. Returns where it is.
    fn split_with(&mut self, at: usize, offset: usize, between: Node) -> usize {
        let tail = self.nodes[at].split_off(offset);
        if !tail.is_empty() {
            self.nodes.insert(at + 1, tail);
        }
        if self.nodes[at].is_empty() {
            self.nodes.insert(at, between);
            self.nodes.remove(at + 1);
            return at;
        }
        self.nodes.insert(at + 1, between);
        at + 1
    }

    /// Adds an element beside the one of index `pivot`.
    pub(super) fn insert(&mut self, pivot: usize, side: Side, element: &[u8], limit: Limit) {
        let (at, index) = self.locate(pivot).expect("the pivot is in the list");
        self.len += 1;
        self.insert_beside(at, index, side, element, limit);
    }

    /// Adds an element beside the one of that index in the node at `at`. Which node it goes to decides
    /// when the list becomes short enough to be packed again, so it is the one that Valkey takes.
    fn insert_beside(&mut self, at: usize, index: usize, side: Side, element: &[u8], limit: Limit) {
        let node = &mut self.nodes[at];
        let pivot = node.view().nth(index).expect("the pivot is in the node");
        let (offset, is_outermost, neighbour, new) = match side {
            Side::Before => (pivot, index == 0, at.checked_sub(1), at),
            Side::After => {
                let after = node.view().after(pivot);
                (after, after == node.view().end(), Some(at + 1), at + 1)
            }
        };
        let is_apart = limit.sets_apart(element.len());
        if !is_apart && node.has_room(element, limit) {
            return packed::insert(node, offset, element);
        }
        if is_outermost {
            let neighbour = neighbour.and_then(|at| self.nodes.get_mut(at));
            return match neighbour {
                Some(node) if !is_apart && node.has_room(element, limit) => match side {
                    Side::Before => packed::push(node, element),
                    Side::After => packed::insert(node, HEADER, element),
                },
                _ => self.nodes.insert(new, Node::single(element, limit)),
            };
        }
        if is_apart {
            self.split_with(at, offset, Node::single(element, limit));
            return;
        }
        let mut tail = node.split_off(offset);
        let other = match side {
            Side::Before => {
                packed::push(node, element);
                at + 1
            }
            Side::After => {
                packed::insert(&mut tail, HEADER, element);
                at
            }
        };
        self.nodes.insert(at + 1, tail);
        self.merge_around(other, limit);
    }

    /// Joins the nodes around the one at `at`, where they fit in one: those before it, those after it,
    /// then it with its neighbours.
    fn merge_around(&mut self, at: usize, limit: Limit) {
        let mut at = at;
        if at >= 2 && self.merge(at - 2, limit) {
            at -= 1;
        }
        self.merge(at + 1, limit);
        if at >= 1 && self.merge(at - 1, limit) {
            at -= 1;
        }
        self.merge(at, limit);
    }

    /// Joins the node at `at` with the next one, if they are there and fit in one.
    fn merge(&mut self, at: usize, limit: Limit) -> bool {
        let fits = |first: &Node, second: &Node| {
            let (a, b) = (first.view(), second.view());
            let bytes = listpack_len(a) + listpack_len(b) - LISTPACK_OVERHEAD;
            !first.is_plain && !second.is_plain && !limit.is_exceeded(bytes, a.len() + b.len())
        };
        let is_one = match (self.nodes.get(at), self.nodes.get(at + 1)) {
            (Some(first), Some(second)) => fits(first, second),
            _ => false,
        };
        if is_one && let Some(second) = self.nodes.remove(at + 1) {
            self.nodes[at].append(&second);
        }
        is_one
    }

    pub(super) fn remove_equal(&mut self, end: End, most: usize, element: &[u8]) -> usize {
        let mut removed = 0;
        let count = self.nodes.len();
        for step in 0..count {
            let at = match end {
                End::Head => step,
                End::Tail => count - 1 - step,
            };
            if removed == most {
                break;
            }
            let node = &mut self.nodes[at];
            let found = equal(node.view(), end, most - removed, element);
            if found.is_empty() {
                continue;
            }
            remove_all(node, &found);
            if node.bytes.capacity() / 2 > node.bytes().len() {
                node.shrink_to_fit();
            }
            removed += found.len();
        }
        self.len -= removed;
        self.nodes.retain(|node| !node.is_empty());
        removed
    }
}
