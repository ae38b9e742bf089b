//! The values under keys: the entry, which holds key, metadata and value, and the types.

pub mod access;
mod embedding;
pub mod entry;

pub mod hash;
pub mod hyperloglog;
pub mod list;

pub mod packed;
mod packed_mut;
pub mod record;
pub mod set;
pub mod sorted_set;
mod splice;
pub mod stream;
mod string;

use std::sync::Arc;

use crate::allocator::size_class;

pub use entry::{Entry, PackedKind, ValueRef};
use hash::Hash;
pub use list::List;
pub use packed_mut::PackedMut;
pub use record::Record;
pub use set::Set;
pub use sorted_set::SortedSet;
pub use splice::Splice;
pub use stream::Stream;

/// The types' names, as TYPE returns and SCAN TYPE takes them.
pub const TYPE_NAMES: [&str; 6] = ["string", "list", "set", "zset", "hash", "stream"];

impl ValueRef<'_> {
    /// One of [`TYPE_NAMES`].
    pub fn type_name(&self) -> &'static str {
        match self {
            ValueRef::Int(_) | ValueRef::Bytes(_) => "string",
            ValueRef::Packed(kind, _) => kind.type_name(),
            ValueRef::Object(object) => object.type_name(),
        }
    }
}

impl PackedKind {
    /// The type's name in TYPE's reply.
    pub fn type_name(self) -> &'static str {
        match self {
            PackedKind::List => "list",
            PackedKind::Set | PackedKind::IntSet => "set",
            PackedKind::Hash => "hash",
            PackedKind::SortedSet => "zset",
        }
    }

    /// The encoding's name in OBJECT ENCODING's reply.
    pub fn encoding(self) -> &'static str {
        match self {
            PackedKind::IntSet => "intset",
            _ => "listpack",
        }
    }
}

/// A value that lives outside its entry's own allocation.
pub enum Object {
    /// A string too long to be moved around: replies refer to it instead of copying it.
    Str(Arc<Vec<u8>>),
    List(List),
    Hash(Hash),
    Stream(Box<Stream>),
    Set(Set),
    SortedSet(SortedSet),
}

impl Object {
    /// The type's name in TYPE's reply.
    pub fn type_name(&self) -> &'static str {
        match self {
            Object::Str(_) => "string",
            Object::List(_) => "list",
            Object::Hash(_) => "hash",
            Object::Stream(_) => "stream",
            Object::Set(_) => "set",
            Object::SortedSet(_) => "zset",
        }
    }

    /// The encoding's name in OBJECT ENCODING's reply.
    pub fn encoding(&self) -> &'static str {
        match self {
            Object::Str(_) => "raw",
            Object::List(_) => "quicklist",
            Object::Hash(hash) => hash.encoding(),
            Object::Stream(_) => Stream::ENCODING,
            Object::Set(set) => set.encoding(),
            Object::SortedSet(set) => set.encoding(),
        }
    }

    /// About how many allocations are freed with the value; a large one counts once for each 64 KiB,
    /// which take as long to give back.
    pub fn allocations(&self) -> usize {
        match self {
            Object::Str(bytes) => 1 + bytes.capacity() / (64 << 10),
            Object::List(list) => list.allocations(),
            Object::Hash(hash) => hash.allocations(),
            Object::Stream(stream) => 2 + stream.allocations(),
            Object::Set(set) => set.allocations(),
            Object::SortedSet(set) => set.allocations(),
        }
    }

    /// About how many bytes the value takes; of a collection, as many elements are looked at as
    /// `samples` says.
    pub fn memory(&self, samples: usize) -> usize {
        let object = size_class(size_of::<Object>());
        object
            + match self {
                Object::Str(bytes) => {
                    // The vector stands behind two counts of references.
                    let shared = size_class(size_of::<Vec<u8>>() + 2 * size_of::<usize>());
                    shared + size_class(bytes.capacity())
                }
                Object::List(list) => list.memory(samples),
                Object::Hash(hash) => hash.memory(samples),
                Object::Stream(stream) => stream.memory(samples),
                Object::Set(set) => set.memory(samples),
                Object::SortedSet(set) => set.memory(samples),
            }
    }

    /// The string, if it is one.
    pub fn as_string(&self) -> Option<&Arc<Vec<u8>>> {
        match self {
            Object::Str(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The string, to be changed, if it is one. Replies may refer to it.
    pub fn as_string_mut(&mut self) -> Option<&mut Arc<Vec<u8>>> {
        match self {
            Object::Str(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl Clone for Object {
    /// A copy that never shares a change with the original. A long string is shared until one of the two
    /// is changed, as with replies that refer to it.
    fn clone(&self) -> Self {
        match self {
            Object::Str(bytes) => Object::Str(bytes.clone()),
            Object::List(list) => Object::List(list.clone()),
            Object::Hash(hash) => Object::Hash(hash.clone()),
            Object::Stream(stream) => Object::Stream(stream.clone()),
            Object::Set(set) => Object::Set(set.clone()),
            Object::SortedSet(set) => Object::SortedSet(set.clone()),
        }
    }
}
