//! Reads streams.
//!
//! The entries lie in nodes, each packed: first how many there are, how many of them are deleted, and
//! the names of the fields of the first, then the entries. An entry has flags, its ID as a difference
//! to the node's, and its fields, or only their values if the names are the first's. At its end stands
//! of how many elements it is, for those who come from behind.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{BadFormat, Reader, Result, listpack, types};
use crate::value::packed::{self, Element, Packed};

/// Milliseconds of Unix time, and a number among those of the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub time: u64,
    pub sequence: u64,
}

pub struct Stream<'a> {
    /// In the order of their IDs, which ascend through all of them.
    pub nodes: Vec<Node<'a>>,
    /// Entries that are not deleted.
    pub length: u64,
    pub last: Id,
    /// The first entry that is not deleted.
    pub first: Id,
    pub max_deleted: Id,
    /// Entries that have ever been added.
    pub added: u64,
    pub groups: Vec<Group<'a>>,
}

pub struct Node<'a> {
    /// The ID to which those of the entries are differences.
    pub base: Id,
    pub packed: Cow<'a, [u8]>,
}

pub struct Group<'a> {
    pub name: Cow<'a, [u8]>,
    pub last_delivered: Id,
    /// How many entries it has read, if that is known.
    pub read: Option<u64>,
    /// In the order of their IDs.
    pub pending: Vec<Pending>,
    pub consumers: Vec<Consumer<'a>>,
}

pub struct Consumer<'a> {
    pub name: Cow<'a, [u8]>,
    /// In milliseconds of Unix time.
    pub seen: i64,
    /// As above; -1 if it never was.
    pub active: i64,
}

/// An entry that was delivered but not acknowledged.
pub struct Pending {
    pub id: Id,
    /// Which of the group's consumers has it.
    pub consumer: usize,
    /// In milliseconds of Unix time.
    pub delivered: i64,
    pub deliveries: u64,
}

const DELETED: i64 = 1;
/// The names of the entry's fields are those at the node's beginning.
const SAME_FIELDS: i64 = 2;

/// Bytes of an ID as a key or in a list of pending entries.
const RAW_ID: usize = 16;

/// In place of the number of entries read: it is not known.
const UNKNOWN: i64 = -1;

impl Id {
    /// As it is written: big-endian, so that bytes are in the order of the IDs.
    pub fn to_bytes(self) -> [u8; RAW_ID] {
        (u128::from(self.time) << 64 | u128::from(self.sequence)).to_be_bytes()
    }

    fn from_bytes(bytes: [u8; RAW_ID]) -> Id {
        let number = u128::from_be_bytes(bytes);
        Id { time: (number >> 64) as u64, sequence: number as u64 }
    }

    /// The differences may be negative, and great.
    fn plus(self, time: i64, sequence: i64) -> Id {
        Id {
            time: self.time.wrapping_add_signed(time),
            sequence: self.sequence.wrapping_add_signed(sequence),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Id> {
        Ok(Id { time: reader.length()?, sequence: reader.length()? })
    }
}

/// Reads a stream of this [type](super::types).
pub fn read<'a>(kind: u8, reader: &mut Reader<'a>) -> Result<Stream<'a>> {
    let count = reader.count(1 + RAW_ID + 1)?;
    let mut nodes = (0..count).map(|_| node(reader)).collect::<Result<Vec<_>>>()?;
    nodes.sort_by_key(|node| node.base);
    let mut length = 0;
    let mut first = Id::default();
    let mut previous = None;
    for node in &nodes {
        for entry in node.entries()? {
            let entry = entry?;
            // IDs ascend, through all nodes.
            if previous.is_some_and(|previous| entry.id <= previous) || entry.id < node.base {
                return Err(BadFormat);
            }
            previous = Some(entry.id);
            if !entry.is_deleted {
                if length == 0 {
                    first = entry.id;
                }
                length += 1;
            }
        }
    }
    if reader.length()? != length {
        return Err(BadFormat);
    }
    let last = Id::read(reader)?;
    let mut stream = Stream {
        nodes,
        length,
        last,
        first,
        max_deleted: Id::default(),
        added: length,
        groups: Vec::new(),
    };
    if kind != types::STREAM_1 {
        // The first is known already.
        Id::read(reader)?;
        stream.max_deleted = Id::read(reader)?;
        stream.added = reader.length()?;
    }
    let groups = reader.count(4)?;
    stream.groups = (0..groups).map(|_| group(kind, reader, &stream)).collect::<Result<_>>()?;
    if has_doubles(stream.groups.iter().map(|group| &group.name)) {
        return Err(BadFormat);
    }
    Ok(stream)
}

fn node<'a>(reader: &mut Reader<'a>) -> Result<Node<'a>> {
    let base = reader.string()?;
    let base = Id::from_bytes(base.as_ref().try_into().map_err(|_| BadFormat)?);
    Ok(Node { base, packed: listpack::read(reader.string()?)? })
}

fn group<'a>(kind: u8, reader: &mut Reader<'a>, stream: &Stream<'_>) -> Result<Group<'a>> {
    let name = reader.string()?;
    let last_delivered = Id::read(reader)?;
    let read = match kind {
        types::STREAM_1 => stream.read_until(last_delivered),
        _ => match reader.length()? as i64 {
            UNKNOWN => None,
            read => Some(u64::try_from(read).map_err(|_| BadFormat)?),
        },
    };
    let count = reader.count(RAW_ID + 8 + 1)?;
    let mut pending = (0..count)
        .map(|_| {
            Ok(Pending {
                id: Id::from_bytes(reader.array()?),
                consumer: NOBODY,
                delivered: reader.i64()?,
                deliveries: reader.length()?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    pending.sort_by_key(|entry| entry.id);
    let is_doubled = pending.windows(2).any(|pair| pair[0].id == pair[1].id);
    let count = reader.count(1 + 8 + 1)?;
    let consumers = (0..count)
        .map(|index| consumer(kind, reader, index, &mut pending))
        .collect::<Result<Vec<_>>>()?;
    let is_complete = pending.iter().all(|entry| entry.consumer != NOBODY);
    if is_doubled || !is_complete || has_doubles(consumers.iter().map(|consumer| &consumer.name)) {
        return Err(BadFormat);
    }
    Ok(Group { name, last_delivered, read, pending, consumers })
}

/// The consumer of a pending entry, until it is known.
const NOBODY: usize = usize::MAX;

/// Reads the group's consumer number `index`, and notes in `pending` what it has.
fn consumer<'a>(
    kind: u8,
    reader: &mut Reader<'a>,
    index: usize,
    pending: &mut [Pending],
) -> Result<Consumer<'a>> {
    let name = reader.string()?;
    let seen = reader.i64()?;
    let active = if kind == types::STREAM_3 { reader.i64()? } else { seen };
    for _ in 0..reader.count(RAW_ID)? {
        let id = Id::from_bytes(reader.array()?);
        let at = pending.binary_search_by_key(&id, |entry| entry.id).map_err(|_| BadFormat)?;
        if std::mem::replace(&mut pending[at].consumer, index) != NOBODY {
            return Err(BadFormat);
        }
    }
    Ok(Consumer { name, seen, active })
}

fn has_doubles<'a>(names: impl Iterator<Item = &'a Cow<'a, [u8]>>) -> bool {
    let mut seen = HashSet::new();
    !names.into_iter().all(|name| seen.insert(name))
}

impl Stream<'_> {
    /// How many entries a group has read that was delivered all up to `id`, in a stream that does not
    /// know of any deletion.
    fn read_until(&self, id: Id) -> Option<u64> {
        if self.length == 0 || id < self.first {
            Some(0)
        } else if id == self.first {
            Some(1)
        } else {
            (id == self.last).then_some(self.length)
        }
    }
}

/// An entry of a node.
pub struct Entry<'a> {
    pub id: Id,
    pub is_deleted: bool,
    pub fields: Fields<'a>,
}

/// An entry's fields and their values.
pub struct Fields<'a> {
    /// Names that do not stand beside the values.
    names: Option<packed::Iter<'a>>,
    rest: packed::Iter<'a>,
    left: usize,
}

impl<'a> Node<'a> {
    /// The names of its fields, and then its entries.
    pub fn entries(&self) -> Result<Entries<'_>> {
        let mut walk = Walk { elements: Packed::new(&self.packed).iter(), taken: 0 };
        let left = [walk.count()?, walk.count()?];
        let count = walk.count()?;
        let names = walk.elements.clone();
        walk.skip(count)?;
        // The end of the beginning.
        if walk.integer()? != 0 {
            return Err(BadFormat);
        }
        Ok(Entries { walk, base: self.base, names, count, left })
    }
}

/// The entries of a node, one after the other.
pub struct Entries<'a> {
    walk: Walk<'a>,
    base: Id,
    /// The node's fields, and how many they are.
    names: packed::Iter<'a>,
    count: usize,
    /// Entries that are still to come: live, and deleted ones.
    left: [usize; 2],
}

impl<'a> Entries<'a> {
    /// The names of the node's fields.
    pub fn names(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        self.names.clone().take(self.count)
    }

    fn read(&mut self) -> Result<Entry<'a>> {
        let walk = &mut self.walk;
        let start = walk.taken;
        let flags = walk.integer()?;
        let id = self.base.plus(walk.integer()?, walk.integer()?);
        let fields = if flags & SAME_FIELDS != 0 {
            let rest = walk.elements.clone();
            walk.skip(self.count)?;
            Fields { names: Some(self.names.clone()), rest, left: self.count }
        } else {
            let count = walk.count()?;
            let rest = walk.elements.clone();
            walk.skip(count)?;
            walk.skip(count)?;
            Fields { names: None, rest, left: count }
        };
        let taken = walk.taken - start;
        if walk.count()? != taken {
            return Err(BadFormat);
        }
        let is_deleted = flags & DELETED != 0;
        let left = &mut self.left[usize::from(is_deleted)];
        *left = left.checked_sub(1).ok_or(BadFormat)?;
        Ok(Entry { id, is_deleted, fields })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>>;

    fn next(&mut self) -> Option<Result<Entry<'a>>> {
        if self.left != [0, 0] {
            return Some(self.read());
        }
        // Nothing may come after the last.
        self.walk.elements.next().map(|_| Err(BadFormat))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Element<'a>, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = self.names.as_mut().unwrap_or(&mut self.rest).next()?;
        Some((name, self.rest.next()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Fields<'_> {}

/// A walk through a node's elements.
struct Walk<'a> {
    elements: packed::Iter<'a>,
    taken: usize,
}

impl Walk<'_> {
    fn integer(&mut self) -> Result<i64> {
        self.taken += 1;
        match self.elements.next() {
            Some(Element::Int(number)) => Ok(number),
            _ => Err(BadFormat),
        }
    }

    fn count(&mut self) -> Result<usize> {
        usize::try_from(self.integer()?).map_err(|_| BadFormat)
    }

    fn skip(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.elements.next().ok_or(BadFormat)?;
        }
        self.taken += count;
        Ok(())
    }
}
