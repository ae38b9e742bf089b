//! Streams: entries in nodes, each of which is packed, and consumer groups.
//!
//! The second version of the type adds the first id, the greatest deleted id and the number of entries
//! ever added; the third adds when a consumer was last active.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{BadFormat, Reader, Result, Writer, listpack, types};
use crate::value::Stream;
use crate::value::stream::{Consumer, Group, Log, Pending, StreamId};

/// Bytes of an id in a list of ids.
const RAW_ID: usize = 16;
/// Bytes of the shortest length or string.
const LENGTH: usize = 1;
const TIME: usize = size_of::<i64>();

/// Stands for an unknown number of entries that a group has read.
const UNKNOWN: u64 = u64::MAX;
/// Stands for the time of a consumer that was never active.
const NEVER: i64 = -1;

pub fn write(stream: &Stream, out: &mut Writer) {
    let log = &stream.log;
    out.byte(types::STREAM_3);
    out.length(log.nodes() as u64);
    for (first, node) in log.packed_nodes() {
        out.string(&first.to_bytes());
        listpack::write(&node, out);
    }
    out.length(log.len());
    for id in [log.last_id, log.first_id(), log.max_deleted_id] {
        write_id(id, out);
    }
    out.length(log.entries_added);
    out.length(stream.groups.len() as u64);
    for (name, group) in &stream.groups {
        out.string(name);
        write_group(group, out);
    }
}

fn write_id(id: StreamId, out: &mut Writer) {
    out.length(id.ms);
    out.length(id.seq);
}

fn write_group(group: &Group, out: &mut Writer) {
    write_id(group.last_delivered, out);
    out.length(group.entries_read.unwrap_or(UNKNOWN));
    out.length(group.pending().len() as u64);
    for (id, pending) in group.pending() {
        out.raw(&id.to_bytes());
        out.i64(pending.delivered);
        out.length(pending.deliveries);
    }
    out.length(group.consumers().len() as u64);
    for consumer in group.consumers() {
        write_consumer(consumer, out);
    }
}

fn write_consumer(consumer: &Consumer, out: &mut Writer) {
    out.string(&consumer.name);
    out.i64(consumer.seen);
    out.i64(consumer.active.unwrap_or(NEVER));
    out.length(consumer.pending().len() as u64);
    consumer.pending().iter().for_each(|id| out.raw(&id.to_bytes()));
}

/// Reads a stream of this [type](super::types).
pub fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Stream> {
    let mut log = Log::default();
    let mut nodes = (0..reader.count(LENGTH + RAW_ID + LENGTH)?)
        .map(|_| node(reader))
        .collect::<Result<Vec<_>>>()?;
    nodes.sort_by_key(|(first, _)| *first);
    for (first, node) in &nodes {
        log.push_packed_node(*first, node).ok_or(BadFormat)?;
    }
    let length = reader.length()?;
    log.last_id = id(reader)?;
    let last = log.last().map(|entry| entry.id);
    if length != log.len() || last.is_some_and(|last| last > log.last_id) {
        return Err(BadFormat);
    }
    log.entries_added = length;
    // The first entry's id, which is known already where there is one. The first version does not
    // contain it.
    let mut first = StreamId::MAX;
    if kind != types::STREAM_1 {
        first = id(reader)?;
        log.max_deleted_id = id(reader)?;
        log.entries_added = reader.length()?;
    }
    log.restore_first_id(first);
    let mut stream = Stream { log, ..Stream::default() };
    for _ in 0..reader.count(5 * LENGTH)? {
        let name = reader.string()?;
        let group = group(kind, reader, &stream.log)?;
        if stream.groups.insert(name.into(), group).is_some() {
            return Err(BadFormat);
        }
    }
    Ok(stream)
}

/// A node's first ID, and the node.
fn node<'a>(reader: &mut Reader<'a>) -> Result<(StreamId, Cow<'a, [u8]>)> {
    let first = reader.string()?.as_ref().try_into().map_err(|_| BadFormat)?;
    Ok((StreamId::from_bytes(first), listpack::read(reader.string()?)?))
}

fn id(reader: &mut Reader<'_>) -> Result<StreamId> {
    Ok(StreamId::new(reader.length()?, reader.length()?))
}

fn raw_id(reader: &mut Reader<'_>) -> Result<StreamId> {
    reader.array().map(StreamId::from_bytes)
}

fn group(kind: u8, reader: &mut Reader<'_>, log: &Log) -> Result<Group> {
    let last_delivered = id(reader)?;
    let read = match kind {
        types::STREAM_1 => log.entries_up_to(last_delivered),
        _ => match reader.length()? {
            UNKNOWN => None,
            read => Some(read),
        },
    };
    let mut group = Group::new(last_delivered, read);
    // The time and number of each entry's deliveries. The consumers' lists say which of them has it.
    let mut pending = HashMap::new();
    for _ in 0..reader.count(RAW_ID + TIME + LENGTH)? {
        let (id, delivery) = (raw_id(reader)?, (reader.i64()?, reader.length()?));
        if pending.insert(id, delivery).is_some() {
            return Err(BadFormat);
        }
    }
    for _ in 0..reader.count(LENGTH + TIME + LENGTH)? {
        consumer(kind, reader, &mut group, &mut pending)?;
    }
    if pending.is_empty() { Ok(group) } else { Err(BadFormat) }
}

/// Adds a consumer to its group, and removes its entries from those without an owner.
fn consumer(
    kind: u8,
    reader: &mut Reader<'_>,
    group: &mut Group,
    pending: &mut HashMap<StreamId, (i64, u64)>,
) -> Result<()> {
    let name = reader.string()?;
    if group.find_consumer(&name).is_some() {
        return Err(BadFormat);
    }
    let seen = reader.i64()?;
    let active = if kind == types::STREAM_3 { reader.i64()? } else { seen };
    let consumer = group.add_consumer(&name, seen);
    group.consumer_mut(consumer).active = (active != NEVER).then_some(active);
    for _ in 0..reader.count(RAW_ID)? {
        let id = raw_id(reader)?;
        let (delivered, deliveries) = pending.remove(&id).ok_or(BadFormat)?;
        group.assign(id, Pending { consumer, delivered, deliveries });
    }
    Ok(())
}
