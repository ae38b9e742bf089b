//! Bitmap commands: strings whose bits are addressed, from the highest of the first byte on.

pub mod bit;
pub mod combine;
pub mod field;
pub mod range;

use super::{CommandError, Cx, EntryMut, Result};
use crate::config::Settings;
use crate::keyspace::Key;
use crate::number::parse_i64;
use crate::value::Entry;
use crate::value::entry::Value;

const BAD_OFFSET: CommandError =
    CommandError::of("ERR bit offset is not an integer or out of range");

/// Reads the position of a bit that a string may have, in units of `scale` bits.
fn offset(text: &[u8], settings: &Settings, scale: i64) -> Result<usize> {
    let number = parse_i64(text).ok_or(BAD_OFFSET)?;
    // Valkey checks the rest of a product that overflows.
    let offset = number.wrapping_mul(scale);
    if offset < 0 || offset / 8 >= settings.proto_max_bulk_len {
        return Err(BAD_OFFSET);
    }
    Ok(offset as usize)
}

/// A key's string, to be changed up to its length `len`. A missing key gets an empty string. Says
/// also whether the string is shorter so far.
fn to_change<'a>(cx: &'a mut Cx<'_>, key: &Key<'_>, len: usize) -> Result<(EntryMut<'a>, bool)> {
    let old = match cx.peek(key) {
        Some(entry) => Some(entry.string(&mut itoa::Buffer::new())?.len()),
        None => None,
    };
    if old.is_none() {
        cx.insert(key, Entry::new(key.bytes, Value::Bytes(b""), None));
    }
    let entry = cx.write(key).expect("the key is there");
    Ok((entry, old.unwrap_or(0) < len))
}
