//! Nodes as packed collections: the form that they have in Valkey and in its files.
//!
//! ```text
//! node   number of entries, number of deleted ones, number of fields, their names, 0
//!        entries
//! entry  flags: 1 is deleted, 2 has the node's fields
//!        milliseconds and sequence number, less those of the node's first id
//!        with the node's fields: the values
//!        otherwise: number of fields, then names and values in turn
//!        number of elements so far
//! ```

use super::node::{Entry, Node};
use super::{Log, StreamId};
use crate::value::packed::{self, Element, Packed};

const DELETED: i64 = 1;
const SHARED: i64 = 2;

impl Node {
    /// The node as a packed collection; `first` is its first id.
    fn pack(&self, first: StreamId) -> Vec<u8> {
        let mut out = packed::EMPTY.to_vec();
        out.reserve(self.listpack_len());
        push_int(&mut out, self.live.into());
        push_int(&mut out, self.deleted.into());
        let names = self.field_names();
        push_int(&mut out, names.len() as i64);
        names.for_each(|name| push_element(&mut out, name));
        push_int(&mut out, 0);
        for slot in self.slots_from(first) {
            pack_entry(first, &slot.entry, slot.is_deleted, &mut out);
        }
        out
    }
}

fn push_int(out: &mut Vec<u8>, number: i64) {
    let end = out.len();
    packed::insert_int(out, end, number);
}

fn push_element(out: &mut Vec<u8>, element: Element<'_>) {
    packed::push(out, element.bytes(&mut itoa::Buffer::new()));
}

fn pack_entry(first: StreamId, entry: &Entry<'_>, is_deleted: bool, out: &mut Vec<u8>) {
    let shared = entry.is_shared();
    let pairs = entry.pairs();
    push_int(out, if is_deleted { DELETED } else { 0 } | if shared { SHARED } else { 0 });
    push_int(out, entry.id.ms.wrapping_sub(first.ms) as i64);
    push_int(out, entry.id.seq.wrapping_sub(first.seq) as i64);
    let count = pairs.len() as i64;
    if !shared {
        push_int(out, count);
    }
    for (name, value) in pairs {
        if !shared {
            push_element(out, name);
        }
        push_element(out, value);
    }
    push_int(out, if shared { count + 3 } else { 2 * count + 4 });
}

impl Log {
    /// The nodes as packed collections, with their first ids.
    pub fn packed_nodes(&self) -> impl ExactSizeIterator<Item = (StreamId, Vec<u8>)> {
        self.node_map().iter().map(|(first, node)| (*first, node.pack(*first)))
    }

    /// Adds a node after all others, unless all its entries are deleted. `None` if it is none, or not in
    /// order; bytes must have been [validated](packed::validate) as a packed collection.
    ///
    /// The counts and ids of deleted entries, and the last id, are set by the caller.
    pub fn push_packed_node(&mut self, first: StreamId, bytes: &[u8]) -> Option<()> {
        let mut elements = Packed::new(bytes).iter();
        let live = count(elements.next()?)?;
        let deleted = count(elements.next()?)?;
        let fields = count(elements.next()?)?;
        let names = elements.by_ref().take(fields).map(text).collect::<Vec<_>>();
        let is_end = matches!(elements.next()?, Element::Int(0));
        if names.len() < fields || !is_end {
            return None;
        }
        let pairs = names.iter().map(|name| (&name[..], &name[..]));
        let mut node = Node::new(pairs, bytes.len());
        let mut last = self.last().map(|entry| entry.id);
        while let Some(flags) = elements.next() {
            let flags = int(flags)?;
            let ms = first.ms.wrapping_add(int(elements.next()?)? as u64);
            let seq = first.seq.wrapping_add(int(elements.next()?)? as u64);
            let id = StreamId::new(ms, seq);
            let is_deleted = flags & DELETED != 0;
            if id < first || !is_deleted && last.is_some_and(|last| last >= id) {
                return None;
            }
            let shared = flags & SHARED != 0;
            let fields = if shared { fields } else { count(elements.next()?)? };
            let (len, others) = if shared { (fields, 3) } else { (fields.checked_mul(2)?, 4) };
            let own = elements.clone();
            if elements.by_ref().take(len).count() < len
                || count(elements.next()?)? != len.checked_add(others)?
            {
                return None;
            }
            let at = node.len() as u32;
            node.append_elements(first, id, fields, shared, own.take(len));
            if is_deleted {
                node.delete(at);
            } else {
                last = Some(id);
            }
        }
        if node.live as usize != live || node.deleted as usize != deleted {
            return None;
        }
        if live == 0 { Some(()) } else { self.push_node(first, node) }
    }
}

fn int(element: Element<'_>) -> Option<i64> {
    match element {
        Element::Int(number) => Some(number),
        Element::Bytes(_) => None,
    }
}

fn count(element: Element<'_>) -> Option<usize> {
    int(element)?.try_into().ok()
}

fn text(element: Element<'_>) -> Vec<u8> {
    element.bytes(&mut itoa::Buffer::new()).to_vec()
}
