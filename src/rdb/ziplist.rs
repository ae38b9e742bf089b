//! Ziplists, which listpacks have replaced: the length of the whole, the position of the last entry,
//! the number of entries, the entries, and an end byte. An entry contains the length of the one before
//! it.

use super::{BadFormat, Reader, Result};
use crate::value::packed::{self, Element};

/// Bytes before the entries.
const HEADER: usize = 10;
/// The number of entries that says that they have to be counted.
const UNKNOWN: u16 = u16::MAX;
const END: u8 = 0xff;
/// Says that the length of the entry before is not in this byte but in the next four.
const LONG: u8 = 0xfe;

/// Reads a ziplist into packed form.
pub fn read(ziplist: &[u8]) -> Result<Vec<u8>> {
    let mut header = Reader::new(ziplist);
    let total = u32::from_le_bytes(header.array()?) as usize;
    let last = u32::from_le_bytes(header.array()?) as usize;
    let stated = u16::from_le_bytes(header.array()?);
    let Some((&END, content)) = ziplist.split_last() else { return Err(BadFormat) };
    let mut entries = Reader::new(content.get(HEADER..).ok_or(BadFormat)?);
    let mut packed = packed::EMPTY.to_vec();
    let mut count = 0;
    // The start of the entry before, whose length is 0 for the first one.
    let mut before = HEADER;
    while !entries.is_empty() {
        let start = content.len() - entries.len();
        if entry_before(&mut entries)? != start - before {
            return Err(BadFormat);
        }
        packed::push(&mut packed, entry(&mut entries)?.bytes(&mut itoa::Buffer::new()));
        count += 1;
        before = start;
    }
    let is_whole = total == ziplist.len()
        && last == before
        && (stated == UNKNOWN || usize::from(stated) == count);
    if is_whole { Ok(packed) } else { Err(BadFormat) }
}

/// The length of the entry before, as an entry contains it.
fn entry_before(entries: &mut Reader<'_>) -> Result<usize> {
    Ok(match entries.byte()? {
        LONG => u32::from_le_bytes(entries.array()?) as usize,
        END => return Err(BadFormat),
        short => short.into(),
    })
}

fn entry<'a>(entries: &mut Reader<'a>) -> Result<Element<'a>> {
    let first = entries.byte()?;
    let len = match first >> 6 {
        0b00 => usize::from(first),
        0b01 => usize::from(u16::from_be_bytes([first & 0x3f, entries.byte()?])),
        0b10 => u32::from_be_bytes(entries.array()?) as usize,
        _ => return integer(first, entries).map(Element::Int),
    };
    entries.take(len).map(Element::Bytes)
}

fn integer(first: u8, entries: &mut Reader<'_>) -> Result<i64> {
    Ok(match first {
        0xc0 => i16::from_le_bytes(entries.array()?).into(),
        0xd0 => i32::from_le_bytes(entries.array()?).into(),
        0xe0 => i64::from_le_bytes(entries.array()?),
        0xf0 => {
            let [a, b, c] = entries.array()?;
            (i32::from_le_bytes([0, a, b, c]) >> 8).into()
        }
        0xfe => i8::from_le_bytes(entries.array()?).into(),
        // The integer itself, plus one.
        0xf1..=0xfd => i64::from(first & 0xf) - 1,
        _ => return Err(BadFormat),
    })
}
