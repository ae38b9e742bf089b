//! Listpacks as payloads contain them: the length of the whole, the number of elements, the elements,
//! and an end byte.
//!
//! Entries hold the same without the length and the end byte; that form is called packed here
//! ([`packed`](crate::value::packed)).

use std::borrow::Cow;

use super::{BadFormat, Result, Writer};
use crate::value::packed::{self, Packed};

/// Bytes of the length of the whole.
const TOTAL: usize = size_of::<u32>();
const END: u8 = 0xff;

/// Writes a packed collection as the string that a listpack is in a payload.
pub fn write(packed: &[u8], out: &mut Writer) {
    let total = TOTAL + packed.len() + 1;
    let mut listpack = Vec::with_capacity(total);
    // No listpack is too long for this number.
    listpack.extend_from_slice(&(total as u32).to_le_bytes());
    listpack.extend_from_slice(packed);
    listpack.push(END);
    out.string(&listpack);
}

/// Finds the packed form in a listpack. Every element is checked; if one has another form than this
/// server gives it, all are written anew.
pub fn read(listpack: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>> {
    let total = listpack.first_chunk().map(|total| u32::from_le_bytes(*total));
    let is_framed = total.is_some_and(|total| total as usize == listpack.len())
        && listpack.len() > TOTAL
        && listpack.last() == Some(&END);
    if !is_framed {
        return Err(BadFormat);
    }
    let content = TOTAL..listpack.len() - 1;
    let packed = &listpack[content.clone()];
    if !packed::validate(packed) {
        return Err(BadFormat);
    }
    if let Some(packed) = normalized(Packed::new(packed)) {
        return Ok(Cow::Owned(packed));
    }
    Ok(match listpack {
        Cow::Borrowed(listpack) => Cow::Borrowed(&listpack[content]),
        Cow::Owned(mut listpack) => {
            listpack.truncate(content.end);
            listpack.drain(..content.start);
            Cow::Owned(listpack)
        }
    })
}

/// Writes all elements anew unless they are as this server writes them.
fn normalized(packed: Packed<'_>) -> Option<Vec<u8>> {
    let mut digits = itoa::Buffer::new();
    let mut count = 0;
    // Where elements of the usual forms would end.
    let mut end = packed::HEADER;
    let is_normal = packed.iter().with_offsets().all(|(offset, element)| {
        let is_in_place = offset == end;
        end += packed::encoded_len(element.bytes(&mut digits));
        count += 1;
        is_in_place
    });
    let is_counted = packed.as_bytes().first_chunk() != Some(&packed::UNCOUNTED.to_le_bytes());
    if is_normal && end == packed.end() && (is_counted || count >= packed::UNCOUNTED.into()) {
        return None;
    }
    let mut anew = packed::EMPTY.to_vec();
    packed.iter().for_each(|element| packed::push(&mut anew, element.bytes(&mut digits)));
    Some(anew)
}
