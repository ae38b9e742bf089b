//! Reads values.

use std::borrow::Cow;

use super::decoded::{Decoded, Field, Hash, List, ListNode, Set, SortedSet};
use super::{BadFormat, Reader, Result, listpack, stream, types, ziplist, zipmap};
use crate::number::parse_f64_loosely;
use crate::value::packed::Packed;
use crate::value::set::IntSet;

/// Bytes of the shortest string: its length.
const STRING: usize = 1;
const DOUBLE: usize = size_of::<f64>();
const EXPIRY: usize = size_of::<i64>();

/// Reads a value and the type before it.
pub fn typed<'a>(reader: &mut Reader<'a>) -> Result<Decoded<'a>> {
    let kind = reader.byte()?;
    value(kind, reader)
}

/// Reads a value of this [type](super::types). No value but a stream is empty.
pub fn value<'a>(kind: u8, reader: &mut Reader<'a>) -> Result<Decoded<'a>> {
    Ok(match kind {
        types::STRING => Decoded::String(reader.string()?),
        types::LIST => Decoded::List(List::Elements(reader.several(STRING, Reader::string)?)),
        types::LIST_ZIPLIST => {
            let packed = ziplist::read(&reader.string()?)?;
            Decoded::List(List::Ziplist(not_empty(packed.into())?.into_owned()))
        }
        types::LIST_QUICKLIST => {
            nodes(reader, |reader| Ok(ListNode::Packed(ziplist::read(&reader.string()?)?.into())))?
        }
        types::LIST_QUICKLIST_2 => nodes(reader, |reader| match reader.length()? {
            types::PLAIN => Ok(ListNode::Plain(reader.string()?)),
            types::PACKED => Ok(ListNode::Packed(listpack::read(reader.string()?)?)),
            _ => Err(BadFormat),
        })?,
        types::SET => Decoded::Set(Set::Members(reader.several(STRING, Reader::string)?)),
        types::SET_INTSET => Decoded::Set(Set::Integers(intset(&reader.string()?)?)),
        types::SET_LISTPACK => Decoded::Set(Set::Packed(packed(reader)?)),
        types::HASH => Decoded::Hash(Hash::Fields(reader.several(2 * STRING, |reader| {
            Ok(Field { name: reader.string()?, value: reader.string()?, expiry: None })
        })?)),
        types::HASH_2 => {
            Decoded::Hash(Hash::Expiring(reader.several(2 * STRING + EXPIRY, |reader| {
                let (name, value) = (reader.string()?, reader.string()?);
                let expiry = match reader.i64()? {
                    types::NEVER => None,
                    ..types::NEVER => return Err(BadFormat),
                    at => Some(at),
                };
                Ok(Field { name, value, expiry })
            })?))
        }
        types::HASH_ZIPMAP => Decoded::Hash(Hash::Fields(zipmap::read(&reader.string()?)?)),
        types::HASH_ZIPLIST => {
            let packed = ziplist::read(&reader.string()?)?;
            Decoded::Hash(Hash::Packed(paired(packed.into())?))
        }
        types::HASH_LISTPACK => Decoded::Hash(Hash::Packed(paired(packed(reader)?)?)),
        types::SORTED_SET_1 => members(reader, 1, text_score)?,
        types::SORTED_SET_2 => members(reader, DOUBLE, Reader::double)?,
        types::SORTED_SET_ZIPLIST => {
            let packed = ziplist::read(&reader.string()?)?;
            Decoded::SortedSet(SortedSet::Packed(paired(packed.into())?))
        }
        types::SORTED_SET_LISTPACK => {
            Decoded::SortedSet(SortedSet::Packed(paired(packed(reader)?)?))
        }
        types::STREAM_1 | types::STREAM_2 | types::STREAM_3 => {
            Decoded::Stream(Box::new(stream::read(kind, reader)?))
        }
        _ => return Err(BadFormat),
    })
}

fn packed<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, [u8]>> {
    not_empty(listpack::read(reader.string()?)?)
}

fn not_empty(packed: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>> {
    if Packed::new(&packed).is_empty() { Err(BadFormat) } else { Ok(packed) }
}

/// Refuses a packed collection that is not made of pairs.
fn paired(packed: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>> {
    let packed = not_empty(packed)?;
    if Packed::new(&packed).len().is_multiple_of(2) { Ok(packed) } else { Err(BadFormat) }
}

/// The nodes of a list. Empty ones are left out.
fn nodes<'a>(
    reader: &mut Reader<'a>,
    read: impl FnMut(&mut Reader<'a>) -> Result<ListNode<'a>>,
) -> Result<Decoded<'a>> {
    let mut nodes = reader.several(STRING, read)?;
    nodes.retain(|node| match node {
        ListNode::Packed(packed) => !Packed::new(packed).is_empty(),
        ListNode::Plain(element) => !element.is_empty(),
    });
    if nodes.is_empty() { Err(BadFormat) } else { Ok(Decoded::List(List::Nodes(nodes))) }
}

/// An intset: the width of its members, their number, and the members.
fn intset(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Reader::new(bytes);
    let width = u32::from_le_bytes(reader.array()?);
    let count = u32::from_le_bytes(reader.array()?);
    let width = u8::try_from(width).map_err(|_| BadFormat)?;
    let intset = [&[width], reader.rest()].concat();
    let is_sound =
        IntSet::is_valid(&intset) && count > 0 && IntSet::new(&intset).len() == count as usize;
    if is_sound { Ok(intset) } else { Err(BadFormat) }
}

fn members<'a>(
    reader: &mut Reader<'a>,
    width: usize,
    score: impl Fn(&mut Reader<'a>) -> Result<f64>,
) -> Result<Decoded<'a>> {
    let members = reader.several(STRING + width, |reader| {
        let member = reader.string()?;
        let score = score(reader)?;
        if score.is_nan() { Err(BadFormat) } else { Ok((member, score)) }
    })?;
    Ok(Decoded::SortedSet(SortedSet::Members(members)))
}

/// A score as a text behind its length; some lengths stand for infinities and NaN instead.
fn text_score(reader: &mut Reader<'_>) -> Result<f64> {
    match reader.byte()? {
        255 => Ok(f64::NEG_INFINITY),
        254 => Ok(f64::INFINITY),
        253 => Err(BadFormat),
        0 => Err(BadFormat),
        len => parse_f64_loosely(reader.take(len.into())?).ok_or(BadFormat),
    }
}
