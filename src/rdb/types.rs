//! The byte before a value that names its type and its encoding.

pub const STRING: u8 = 0;
/// The elements, each a string.
pub const LIST: u8 = 1;
pub const SET: u8 = 2;
/// The members, each with its score as a text.
pub const SORTED_SET_1: u8 = 3;
pub const HASH: u8 = 4;
/// The members, each with its score in binary.
pub const SORTED_SET_2: u8 = 5;
pub const HASH_ZIPMAP: u8 = 9;
pub const LIST_ZIPLIST: u8 = 10;
pub const SET_INTSET: u8 = 11;
pub const SORTED_SET_ZIPLIST: u8 = 12;
pub const HASH_ZIPLIST: u8 = 13;
/// A sequence of ziplists.
pub const LIST_QUICKLIST: u8 = 14;
/// Listpacks of entries, and consumer groups.
pub const STREAM_1: u8 = 15;
pub const HASH_LISTPACK: u8 = 16;
pub const SORTED_SET_LISTPACK: u8 = 17;
/// A sequence of listpacks, and of long elements by themselves.
pub const LIST_QUICKLIST_2: u8 = 18;
/// [`STREAM_1`] with the first id, the greatest deleted id and the number of entries ever added.
pub const STREAM_2: u8 = 19;
pub const SET_LISTPACK: u8 = 20;
/// [`STREAM_2`] with the time when a consumer was last active.
pub const STREAM_3: u8 = 21;
/// The fields and their values, each with when it expires.
pub const HASH_2: u8 = 22;

/// In [`HASH_2`], stands for the expiry of a field without one.
pub const NEVER: i64 = -1;

/// In [`LIST_QUICKLIST_2`]: an element follows.
pub const PLAIN: u64 = 1;
/// In [`LIST_QUICKLIST_2`]: a listpack follows.
pub const PACKED: u64 = 2;
