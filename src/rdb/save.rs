//! Writes what is stored under a key.

use super::{Writer, encode};
use crate::value::packed::Packed;
use crate::value::{Entry, Object, PackedKind, ValueRef};

/// Writes an entry's value, with its type before it.
pub fn save(entry: &Entry, out: &mut Writer) {
    match entry.value() {
        ValueRef::Int(number) => encode::string(out, itoa::Buffer::new().format(number).as_bytes()),
        ValueRef::Bytes(bytes) => encode::string(out, bytes),
        ValueRef::Packed(PackedKind::IntSet, intset) => {
            encode::intset(out, intset[0], &intset[1..])
        }
        ValueRef::Packed(PackedKind::List, list) => encode::list(out, 1, [Packed::new(list)]),
        ValueRef::Packed(PackedKind::Set, set) => encode::packed(out, encode::SET_LISTPACK, set),
        ValueRef::Packed(PackedKind::Hash, hash) => {
            encode::packed(out, encode::HASH_LISTPACK, hash)
        }
        ValueRef::Packed(PackedKind::SortedSet, set) => {
            encode::packed(out, encode::SORTED_SET_LISTPACK, set);
        }
        ValueRef::Object(Object::Str(bytes)) => encode::string(out, bytes),
        ValueRef::Object(Object::List(list)) => {
            encode::list(out, list.nodes().len(), list.nodes());
        }
    }
}
