//! Writes the values of entries.

use super::decoded::ListNode;
use super::{Writer, encode, stream};
use crate::value::List;
use crate::value::hash::Hash;
use crate::value::packed::Packed;
use crate::value::{Entry, Object, PackedKind, Record, ValueRef};

/// Writes an entry's value, with its type before it, in the form that Valkey has for it.
pub fn save(entry: &Entry, out: &mut Writer) {
    match entry.value() {
        ValueRef::Int(number) => encode::string(out, itoa::Buffer::new().format(number).as_bytes()),
        ValueRef::Bytes(bytes) => encode::string(out, bytes),
        ValueRef::Packed(kind, bytes) => packed(kind, bytes, out),
        ValueRef::Object(Object::Str(bytes)) => encode::string(out, bytes),
        ValueRef::Object(Object::List(list)) => self::list(list, out),
        ValueRef::Object(Object::Set(set)) => encode::set(out, set.len(), set.iter()),
        ValueRef::Object(Object::Hash(hash)) => self::hash(hash, out),
        ValueRef::Object(Object::Stream(stream)) => stream::write(stream, out),
        ValueRef::Object(Object::SortedSet(set)) => {
            encode::sorted_set(out, set.len(), set.iter(0..set.len()).rev());
        }
    }
}

fn packed(kind: PackedKind, bytes: &[u8], out: &mut Writer) {
    match kind {
        PackedKind::List => encode::list(out, 1, [ListNode::Packed(bytes.into())]),
        PackedKind::IntSet => encode::intset(out, bytes[0], &bytes[1..]),
        PackedKind::Set => encode::packed(out, encode::SET_LISTPACK, bytes),
        PackedKind::Hash => encode::packed(out, encode::HASH_LISTPACK, bytes),
        PackedKind::SortedSet => encode::packed(out, encode::SORTED_SET_LISTPACK, bytes),
    }
}

fn list(list: &List, out: &mut Writer) {
    encode::list(out, list.nodes().len(), list.nodes().map(list_node));
}

fn list_node((node, is_plain): (Packed<'_>, bool)) -> ListNode<'_> {
    match node.iter().next() {
        Some(element) if is_plain => {
            ListNode::Plain(element.bytes(&mut itoa::Buffer::new()).to_vec().into())
        }
        _ => ListNode::Packed(node.as_bytes().into()),
    }
}

fn hash(hash: &Hash, out: &mut Writer) {
    let pairs = hash.records().map(|record| (record.key(), record.value().unwrap_or_default()));
    if hash.volatile() == 0 {
        return encode::hash(out, hash.len(), pairs);
    }
    let expiries = hash.records().map(Record::expiry);
    let fields = pairs.zip(expiries).map(|((name, value), expiry)| (name, value, expiry));
    encode::expiring_hash(out, hash.len(), fields);
}
