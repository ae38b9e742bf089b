//! Reads values.

use super::{BadFormat, Decoded, Reader, Result, types};

/// Reads a value and the type before it.
pub fn typed<'a>(reader: &mut Reader<'a>) -> Result<Decoded<'a>> {
    let kind = reader.byte()?;
    value(kind, reader)
}

/// Reads a value of this [type](super::types).
pub fn value<'a>(kind: u8, reader: &mut Reader<'a>) -> Result<Decoded<'a>> {
    Ok(match kind {
        types::STRING => Decoded::String(reader.string()?),
        _ => return Err(BadFormat),
    })
}
