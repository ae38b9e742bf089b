//! Writes values: each function a type, and a value of which the caller hands over the elements.

use super::{Writer, listpack, types};
use crate::value::packed::Packed;

pub use super::types::{HASH_LISTPACK, SET_LISTPACK, SORTED_SET_LISTPACK};

pub fn string(out: &mut Writer, bytes: &[u8]) {
    out.byte(types::STRING);
    out.string(bytes);
}

/// A packed set, hash or sorted set, which `kind` says.
pub fn packed(out: &mut Writer, kind: u8, packed: &[u8]) {
    out.byte(kind);
    listpack::write(packed, out);
}

/// A list of `count` nodes, each packed.
pub fn list<'a>(out: &mut Writer, count: usize, nodes: impl IntoIterator<Item = Packed<'a>>) {
    out.byte(types::LIST_QUICKLIST_2);
    out.length(count as u64);
    for node in nodes {
        out.length(types::PACKED);
        listpack::write(node.as_bytes(), out);
    }
}

/// A set of integers, each of `width` bytes, little-endian and ascending.
pub fn intset(out: &mut Writer, width: u8, members: &[u8]) {
    out.byte(types::SET_INTSET);
    let count = members.len() / usize::from(width);
    // No intset is as long as this number can say.
    let header = [u32::from(width), count as u32].map(u32::to_le_bytes);
    out.string(&[header.as_flattened(), members].concat());
}
