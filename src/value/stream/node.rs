//! A node: the entries of one stretch of a stream, in one block of bytes.
//!
//! ```text
//! node   fields: number, then so many names (elements)
//!        entries
//! entry  number: length of what follows << 2 | deleted << 1 | shared
//!        number: milliseconds since the node's first id
//!        number: sequence number; since the first id's, in the same millisecond
//!        shared:     the values of the node's fields, in their order
//!        not shared: number of fields, then so many names and values in turn
//! ```
//!
//! Numbers and elements are those of [`element`](super::element). The node's fields are those of its
//! first entry. An entry with the same fields is shared, as most streams' entries are. A deleted
//! entry stays in its place.

use super::StreamId;
use super::element::{Reader, number_len, push_element, push_number};
use crate::value::packed::Element;

const SHARED: u64 = 1;
const DELETED: u64 = 2;
const FLAG_BITS: u32 = 2;

/// A listpack's header in front of its elements, and the byte after them.
const LISTPACK_FRAME: usize = 7;

/// Bytes of an integer in a listpack.
fn int_len(number: i64) -> usize {
    Element::Int(number).encoded_len()
}

/// An entry's fields and their values, as a client gives them.
pub trait Fields<'a>: ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone {}

impl<'a, I: ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone> Fields<'a> for I {}

#[derive(Clone)]
pub struct Node {
    bytes: Vec<u8>,
    /// Where the entries begin.
    entries_at: u32,
    pub live: u32,
    pub deleted: u32,
    /// Bytes that the node would take as a listpack, apart from its counts of entries.
    listpack_len: usize,
}

impl Node {
    /// A node without entries, whose fields are `fields`. It has room for `capacity` bytes.
    pub fn new<'a>(fields: impl Fields<'a>, capacity: usize) -> Node {
        let mut bytes = Vec::with_capacity(capacity);
        push_number(&mut bytes, fields.len() as u64);
        let mut listpack_len = LISTPACK_FRAME + int_len(fields.len() as i64) + int_len(0);
        for (name, _) in fields {
            listpack_len += push_element(&mut bytes, Element::of(name));
        }
        let entries_at = bytes.len() as u32;
        Node { bytes, entries_at, live: 0, deleted: 0, listpack_len }
    }

    /// Bytes of the node as a listpack, which is how Valkey keeps it.
    pub fn listpack_len(&self) -> usize {
        self.listpack_len + int_len(self.live.into()) + int_len(self.deleted.into())
    }

    /// Entries, the deleted among them.
    pub fn slots(&self) -> u32 {
        self.live + self.deleted
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Appends an entry; `first` is the node's first id.
    pub fn append<'a>(&mut self, first: StreamId, id: StreamId, fields: impl Fields<'a>) {
        let count = fields.len();
        if self.has_fields(fields.clone()) {
            let values = fields.map(|(_, value)| Element::of(value));
            self.append_elements(first, id, count, true, values);
        } else {
            let pairs = fields.flat_map(|(name, value)| [Element::of(name), Element::of(value)]);
            self.append_elements(first, id, count, false, pairs);
        }
    }

    /// Appends an entry of `count` fields. If they are `shared`, they are the node's, and only their
    /// values come.
    pub(super) fn append_elements<'a>(
        &mut self,
        first: StreamId,
        id: StreamId,
        count: usize,
        shared: bool,
        elements: impl Iterator<Item = Element<'a>>,
    ) {
        // The length stands before the content: one byte suffices for a short entry.
        let start = self.bytes.len();
        self.bytes.push(0);
        let delta = id.ms.wrapping_sub(first.ms);
        push_number(&mut self.bytes, delta);
        let seq = if delta == 0 { id.seq.wrapping_sub(first.seq) } else { id.seq };
        push_number(&mut self.bytes, seq);
        if !shared {
            push_number(&mut self.bytes, count as u64);
        }
        let mut size = 0;
        elements.for_each(|element| size += push_element(&mut self.bytes, element));
        let len = (self.bytes.len() - start - 1) as u64;
        self.put_header(start, len << FLAG_BITS | if shared { SHARED } else { 0 });
        self.live += 1;
        self.listpack_len += size + entry_frame(first, id, count, shared);
    }

    /// Writes an entry's first number where one byte was left for it.
    fn put_header(&mut self, at: usize, header: u64) {
        let len = number_len(header);
        if len > 1 {
            let end = self.bytes.len();
            self.bytes.resize(end + len - 1, 0);
            self.bytes.copy_within(at + 1..end, at + len);
        }
        let mut rest = header;
        for byte in &mut self.bytes[at..at + len] {
            *byte = rest as u8 | 0x80;
            rest >>= 7;
        }
        self.bytes[at + len - 1] &= 0x7f;
    }

    /// These are the names of the node's fields, in the same order.
    fn has_fields<'a>(&self, mut fields: impl Fields<'a>) -> bool {
        let mut names = self.names();
        let count = names.number();
        count == fields.len() as u64 && fields.all(|(name, _)| names.element().equals(name))
    }

    /// Number and names of the node's fields.
    fn names(&self) -> Reader<'_> {
        Reader(&self.bytes[..self.entries_at as usize])
    }

    /// The names of the node's fields.
    pub fn field_names(&self) -> impl ExactSizeIterator<Item = Element<'_>> {
        let mut names = self.names();
        let count = names.number() as usize;
        (0..count).map(move |_| names.element())
    }

    /// All entries, from the first; `first` is the node's first id.
    pub fn slots_from(&self, first: StreamId) -> Slots<'_> {
        let mut names = self.names();
        let count = names.number() as usize;
        Slots { node: self, first, names, count, at: self.entries_at as usize }
    }

    /// Where entries begin that are not deleted.
    pub fn live_positions(&self) -> impl Iterator<Item = u32> {
        let mut rest = Reader(&self.bytes[self.entries_at as usize..]);
        let mut live = 0;
        std::iter::from_fn(move || {
            while live < self.live {
                let at = self.bytes.len() - rest.0.len();
                let header = rest.number();
                rest.take((header >> FLAG_BITS) as usize);
                if header & DELETED == 0 {
                    live += 1;
                    return Some(at as u32);
                }
            }
            None
        })
    }

    /// The entry that begins at `at`.
    pub fn slot(&self, first: StreamId, at: u32) -> Slot<'_> {
        let mut slots = self.slots_from(first);
        slots.at = at as usize;
        slots.next().expect("an entry's position")
    }

    /// Marks the entry that begins at `at` as deleted.
    pub fn delete(&mut self, at: u32) {
        debug_assert_eq!(u64::from(self.bytes[at as usize]) & DELETED, 0);
        self.bytes[at as usize] |= DELETED as u8;
        self.live -= 1;
        self.deleted += 1;
    }
}

/// Bytes of an entry as a part of a listpack, apart from its names and values.
fn entry_frame(first: StreamId, id: StreamId, fields: usize, shared: bool) -> usize {
    let elements = if shared { fields + 3 } else { 2 * fields + 4 };
    // Flags, the id's distance from the first one, the number of fields where it is said, and the
    // number of elements.
    int_len(1)
        + int_len(id.ms.wrapping_sub(first.ms) as i64)
        + int_len(id.seq.wrapping_sub(first.seq) as i64)
        + if shared { 0 } else { int_len(fields as i64) }
        + int_len(elements as i64)
}

/// A place in a node, and the entry in it.
pub struct Slot<'a> {
    pub at: u32,
    pub is_deleted: bool,
    pub entry: Entry<'a>,
}

/// The places of a node, one after the other.
#[derive(Clone)]
pub struct Slots<'a> {
    node: &'a Node,
    first: StreamId,
    /// The node's fields, and how many they are.
    names: Reader<'a>,
    count: usize,
    at: usize,
}

impl<'a> Iterator for Slots<'a> {
    type Item = Slot<'a>;

    #[inline]
    fn next(&mut self) -> Option<Slot<'a>> {
        let mut rest = Reader(&self.node.bytes[self.at..]);
        if rest.0.is_empty() {
            return None;
        }
        let at = self.at as u32;
        let header = rest.number();
        let mut body = Reader(rest.take((header >> FLAG_BITS) as usize));
        self.at = self.node.bytes.len() - rest.0.len();
        let delta = body.number();
        let seq = body.number();
        let id = StreamId {
            ms: self.first.ms.wrapping_add(delta),
            seq: if delta == 0 { self.first.seq.wrapping_add(seq) } else { seq },
        };
        let (names, count) = if header & SHARED != 0 {
            (Some(self.names), self.count)
        } else {
            (None, body.number() as usize)
        };
        let pairs = Pairs { names, rest: body, left: count };
        Some(Slot { at, is_deleted: header & DELETED != 0, entry: Entry { id, pairs } })
    }
}

/// An entry of a stream, where it is stored.
#[derive(Clone)]
pub struct Entry<'a> {
    pub id: StreamId,
    pairs: Pairs<'a>,
}

impl<'a> Entry<'a> {
    /// Its fields with their values.
    pub fn pairs(&self) -> Pairs<'a> {
        self.pairs.clone()
    }

    /// Its fields are those of its node.
    pub fn is_shared(&self) -> bool {
        self.pairs.names.is_some()
    }
}

#[derive(Clone)]
pub struct Pairs<'a> {
    /// Names that stand elsewhere than beside the values.
    names: Option<Reader<'a>>,
    rest: Reader<'a>,
    left: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Element<'a>, Element<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = self.names.as_mut().unwrap_or(&mut self.rest).element();
        Some((name, self.rest.element()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Pairs<'_> {}
