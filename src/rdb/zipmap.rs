//! Zipmaps, in which Redis before 2.6 kept small hashes: the number of fields, and each field's name
//! and value with their lengths. Behind a value there may be unused bytes.

use super::decoded::Field;
use super::{BadFormat, Reader, Result};

/// In place of the number of fields: they have to be counted. In place of a length: four bytes of it
/// follow.
const LONG: u8 = 0xfe;
const END: u8 = 0xff;

/// Reads a zipmap's fields.
pub fn read(zipmap: &[u8]) -> Result<Vec<Field<'static>>> {
    let Some((&END, content)) = zipmap.split_last() else { return Err(BadFormat) };
    let mut rest = Reader::new(content);
    let stated = rest.byte()?;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let len = length(&mut rest)?;
        let name = rest.take(len)?;
        let len = length(&mut rest)?;
        let unused = rest.byte()?;
        let value = rest.take(len)?;
        rest.take(unused.into())?;
        fields.push(Field {
            name: name.to_vec().into(),
            value: value.to_vec().into(),
            expiry: None,
        });
    }
    let is_known = stated < LONG;
    if fields.is_empty() || is_known && usize::from(stated) != fields.len() {
        return Err(BadFormat);
    }
    Ok(fields)
}

fn length(rest: &mut Reader<'_>) -> Result<usize> {
    Ok(match rest.byte()? {
        LONG => {
            let len = u32::from_le_bytes(rest.array()?);
            // A length that fits in one byte must not take four.
            if len < LONG.into() {
                return Err(BadFormat);
            }
            len as usize
        }
        END => return Err(BadFormat),
        short => short.into(),
    })
}
