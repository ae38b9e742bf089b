//! Listpacks as they lie in payloads: the length of it all, the number of elements, the elements, and
//! an end.
//!
//! Entries hold the same without the length and the end, which is called packed here.

use super::Writer;

/// Bytes of the length of it all.
const TOTAL: usize = size_of::<u32>();
const END: u8 = 0xff;

/// Writes something packed as the string that a listpack is in a payload.
pub fn write(packed: &[u8], out: &mut Writer) {
    let total = TOTAL + packed.len() + 1;
    let mut listpack = Vec::with_capacity(total);
    // No listpack is as long as this number can say.
    listpack.extend_from_slice(&(total as u32).to_le_bytes());
    listpack.extend_from_slice(packed);
    listpack.push(END);
    out.string(&listpack);
}
