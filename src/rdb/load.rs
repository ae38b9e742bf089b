//! Makes entries of what was read.

use super::{Decoded, Result};
use crate::value::Entry;
use crate::value::entry::Value;

/// An entry with this value under this key.
pub fn load(key: &[u8], value: Decoded<'_>, expiry: Option<i64>) -> Result<Entry> {
    match value {
        Decoded::String(bytes) => Ok(Entry::new(key, Value::string(&bytes), expiry)),
    }
}
