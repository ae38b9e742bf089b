//! Makes entries of what was read.

use super::{BadFormat, Decoded, Result};
use crate::config::Settings;
use crate::value::Entry;
use crate::value::entry::Value;

/// An entry with this value under this key. The settings say how it is stored.
pub fn load(
    key: &[u8],
    value: Decoded<'_>,
    expiry: Option<i64>,
    _settings: &Settings,
) -> Result<Entry> {
    match value {
        Decoded::String(bytes) => Ok(Entry::new(key, Value::string(&bytes), expiry)),
        // There are no other types yet.
        _ => Err(BadFormat),
    }
}
