//! Writes values: one function for each type, to which the caller passes the elements.

use super::decoded::ListNode;
use super::{Writer, listpack, types};

pub use super::types::{HASH_LISTPACK, SET_LISTPACK, SORTED_SET_LISTPACK};

pub fn string(out: &mut Writer, bytes: &[u8]) {
    out.byte(types::STRING);
    out.string(bytes);
}

/// A packed set, hash or sorted set, as `kind` says.
pub fn packed(out: &mut Writer, kind: u8, packed: &[u8]) {
    out.byte(kind);
    listpack::write(packed, out);
}

/// A list of `count` nodes.
pub fn list<'a>(out: &mut Writer, count: usize, nodes: impl IntoIterator<Item = ListNode<'a>>) {
    out.byte(types::LIST_QUICKLIST_2);
    out.length(count as u64);
    for node in nodes {
        match node {
            ListNode::Packed(packed) => {
                out.length(types::PACKED);
                listpack::write(&packed, out);
            }
            ListNode::Plain(element) => {
                out.length(types::PLAIN);
                out.string(&element);
            }
        }
    }
}

/// A set of `count` members.
pub fn set<'a>(out: &mut Writer, count: usize, members: impl IntoIterator<Item = &'a [u8]>) {
    out.byte(types::SET);
    out.length(count as u64);
    members.into_iter().for_each(|member| out.string(member));
}

/// A set of integers, each of `width` bytes, little-endian and ascending.
pub fn intset(out: &mut Writer, width: u8, members: &[u8]) {
    out.byte(types::SET_INTSET);
    let count = members.len() / usize::from(width);
    // No intset is too long for this number.
    let header = [u32::from(width), count as u32].map(u32::to_le_bytes);
    out.string(&[header.as_flattened(), members].concat());
}

/// A hash of `count` fields and their values.
pub fn hash<'a>(
    out: &mut Writer,
    count: usize,
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) {
    out.byte(types::HASH);
    out.length(count as u64);
    for (name, value) in fields {
        out.string(name);
        out.string(value);
    }
}

/// A hash of `count` fields, their values, and when they expire, in milliseconds of Unix time.
pub fn expiring_hash<'a>(
    out: &mut Writer,
    count: usize,
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8], Option<i64>)>,
) {
    out.byte(types::HASH_2);
    out.length(count as u64);
    for (name, value, expiry) in fields {
        out.string(name);
        out.string(value);
        out.i64(expiry.unwrap_or(types::NEVER));
    }
}

/// A sorted set of `count` members and their scores, which come in descending order.
pub fn sorted_set<'a>(
    out: &mut Writer,
    count: usize,
    members: impl IntoIterator<Item = (&'a [u8], f64)>,
) {
    out.byte(types::SORTED_SET_2);
    out.length(count as u64);
    for (member, score) in members {
        out.string(member);
        out.double(score);
    }
}
