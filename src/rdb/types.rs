//! The byte before a value that says what it is and how it is written.

pub const STRING: u8 = 0;
pub const SET_INTSET: u8 = 11;
pub const HASH_LISTPACK: u8 = 16;
pub const SORTED_SET_LISTPACK: u8 = 17;
/// A row of listpacks, and of long elements by themselves.
pub const LIST_QUICKLIST_2: u8 = 18;
pub const SET_LISTPACK: u8 = 20;

/// In [`LIST_QUICKLIST_2`]: what follows is a listpack.
pub const PACKED: u64 = 2;
