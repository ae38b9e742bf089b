//! The rule by which Valkey embeds a string in its key's object: OBJECT ENCODING says `embstr` then, and
//! otherwise `raw`. The lengths are in bytes.

/// Bytes of the largest allocation in which Valkey keeps key and string together.
const LIMIT: usize = 128;

/// Bytes of the object's own fields in that allocation.
const HEADER: usize = 8;

/// Bytes that the key takes in that allocation: a header that depends on its length, and a NUL.
const fn key_size(len: usize) -> usize {
    let header = if len < 32 { 1 } else { 3 };
    1 + header + len + 1
}

/// Whether a string that is stored under a key is embedded. `expires` says that the key already had an
/// expiry, for which Valkey keeps room.
pub fn embeds(key_len: usize, len: usize, expires: bool) -> bool {
    let expiry = if expires { size_of::<i64>() } else { 0 };
    let value = 3 + len + 1;
    HEADER + expiry + key_size(key_len) + value <= LIMIT
}

/// Whether an embedded string stays so when its key gets an expiry.
pub fn embeds_expiry(key_len: usize) -> bool {
    HEADER + size_of::<i64>() + key_size(key_len) <= LIMIT
}
