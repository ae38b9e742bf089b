//! XREAD, XREADGROUP.

use std::ops::Bound;

use smallvec::SmallVec;

use super::journal::{self, Claimed, Progress, Target};
use super::range::reply_entries;
use super::{STREAM, find_group, no_group, noted, parse_id, reply_entry, reply_id, stream_of};
use crate::command::Blocked;
use crate::command::{
    BeginSearch, Command, CommandError, Cx, FindKeys, Flags, KeyFlags, KeySpec, Result,
};
use crate::keyspace::Key;
use crate::number::parse_i64;
use crate::resp::{Args, Protocol, Reply};
use crate::value::stream::{ConsumerId, Group, Log, Pending, StreamId};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "xread",
        arity: -4,
        flags: Flags::READONLY.union(READS),
        keys: &[keys_after(1)],
        run: |cx, args, out| read(cx, args, out, "xread"),
        ..STREAM
    },
    Command {
        name: "xreadgroup",
        arity: -7,
        flags: Flags::WRITE.union(READS),
        keys: &[keys_after(4)],
        run: |cx, args, out| read(cx, args, out, "xreadgroup"),
        ..STREAM
    },
];

const READS: Flags = Flags::BLOCKING.union(Flags::MOVABLE_KEYS);

/// The first half of what follows the word STREAMS.
const fn keys_after(start: i32) -> KeySpec {
    KeySpec {
        flags: KeyFlags::RO.union(KeyFlags::ACCESS),
        begin: BeginSearch::Keyword("STREAMS", start),
        find: FindKeys::Range { last: -1, step: 1, limit: 2 },
        notes: None,
    }
}

/// Who reads for a group.
#[derive(Clone, Copy)]
struct Reader<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    /// What is delivered does not become pending.
    no_ack: bool,
}

/// From where a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    This(StreamId),
    /// `>`: what the group has not got yet.
    Delivered,
}

/// How streams are read.
#[derive(Clone, Copy)]
struct Reading<'a> {
    reader: Option<Reader<'a>>,
    /// Entries of each stream at most.
    count: usize,
}

/// A call's words before the streams.
struct Options<'a> {
    reading: Reading<'a>,
    /// Until when to wait for something to read, if at all, in milliseconds of Unix time.
    wait: Option<Deadline>,
    /// Where the streams begin, and how many they are.
    streams_at: usize,
    streams: usize,
}

/// `None` is never.
type Deadline = Option<i64>;

impl<'a> Options<'a> {
    fn parse(cx: &Cx<'_>, args: Args<'a>, command: &str) -> Result<Options<'a>> {
        let is_group = command == "xreadgroup";
        let mut group = None;
        let reading = Reading { reader: None, count: usize::MAX };
        let mut options = Options { reading, wait: None, streams_at: 0, streams: 0 };
        let mut no_ack = false;
        let mut at = 1;
        while let Some(word) = args.get(at) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            let following = args.len() - at - 1;
            if is("block") && following >= 1 {
                options.wait = Some(deadline(args.at(at + 1), cx.now)?);
                at += 1;
            } else if is("count") && following >= 1 {
                let count = parse_i64(args.at(at + 1)).ok_or(CommandError::NOT_INTEGER)?;
                options.reading.count = match count {
                    ..=0 => usize::MAX,
                    count => count as usize,
                };
                at += 1;
            } else if is("streams") && following >= 1 {
                if !following.is_multiple_of(2) {
                    return Err(unbalanced(command));
                }
                options.streams_at = at + 1;
                options.streams = following / 2;
                break;
            } else if is("group") && following >= 2 {
                if !is_group {
                    return Err(only_for_groups("GROUP"));
                }
                group = Some((args.at(at + 1), args.at(at + 2)));
                at += 2;
            } else if is("noack") {
                if !is_group {
                    return Err(only_for_groups("NOACK"));
                }
                no_ack = true;
            } else {
                return Err(CommandError::SYNTAX);
            }
            at += 1;
        }
        if options.streams == 0 {
            return Err(CommandError::SYNTAX);
        }
        let reader = group.map(|(group, consumer)| Reader { group, consumer, no_ack });
        options.reading.reader = reader;
        if is_group && reader.is_none() {
            return Err(CommandError::of("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(options)
    }
}

fn unbalanced(command: &str) -> CommandError {
    let id = if command == "xread" { '$' } else { '>' };
    format!(
        "ERR Unbalanced '{command}' list of streams: for each stream key an ID or '{id}' must be \
         specified."
    )
    .into()
}

fn only_for_groups(option: &str) -> CommandError {
    format!("ERR The {option} option is only supported by XREADGROUP. You called XREAD instead.")
        .into()
}

fn meaningless(id: &str) -> CommandError {
    format!(
        "ERR The {id} ID is meaningless in the context of XREADGROUP: you want to read the history \
         of this consumer by specifying a proper ID, or use the > ID to get new messages. The {id} ID \
         would just return an empty result set."
    )
    .into()
}

/// The time that BLOCK asks for.
fn deadline(word: &[u8], now: i64) -> Result<Deadline> {
    let timeout =
        parse_i64(word).ok_or(CommandError::of("ERR timeout is not an integer or out of range"))?;
    match timeout {
        ..0 => Err(CommandError::of("ERR timeout is negative")),
        0 => Ok(None),
        timeout => match now.checked_add(timeout) {
            Some(deadline) => Ok(Some(deadline)),
            None => Err(CommandError::of("ERR timeout is out of range")),
        },
    }
}

fn read(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>, command: &str) -> Result {
    let options = Options::parse(cx, args, command)?;
    let names = args.from(options.streams_at);
    let ids = names.from(options.streams);
    let keys = cx.keys;
    // A group that is called STREAMS has been taken for the word that begins the keys.
    let are_keys = keys.len() == options.streams
        && keys.iter().zip(names.iter()).all(|(key, name)| key.bytes == name);
    if !are_keys {
        return Err(CommandError::SYNTAX);
    }
    let mut streams = SmallVec::<[(Key<'_>, After); 4]>::new();
    for (key, word) in keys.iter().zip(ids.iter()) {
        streams.push((*key, parse_after(cx, key, word, options.reading.reader)?));
    }
    if reply_available(cx, &streams, options.reading, out)? {
        return Ok(());
    }
    match options.wait {
        Some(deadline) => {
            let waiting = Waiting::new(&streams, options.reading);
            cx.block(keys, deadline, Box::new(waiting), out);
        }
        None => out.null_array(),
    }
    Ok(())
}

/// A call that has found nothing.
struct Waiting {
    streams: Vec<(Box<[u8]>, After)>,
    /// Group and consumer.
    reader: Option<(Box<[u8]>, Box<[u8]>)>,
    no_ack: bool,
    count: usize,
}

impl Waiting {
    fn new(streams: &[(Key<'_>, After)], Reading { reader, count }: Reading<'_>) -> Waiting {
        Waiting {
            streams: streams.iter().map(|(key, after)| (key.bytes.into(), *after)).collect(),
            reader: reader.map(|reader| (reader.group.into(), reader.consumer.into())),
            no_ack: reader.is_some_and(|reader| reader.no_ack),
            count,
        }
    }

    fn reading(&self) -> Reading<'_> {
        let (no_ack, count) = (self.no_ack, self.count);
        let reader = self.reader.as_ref();
        let reader = reader.map(|(group, consumer)| Reader { group, consumer, no_ack });
        Reading { reader, count }
    }
}

impl Blocked for Waiting {
    fn attempt(&self, cx: &mut Cx<'_>, key: &Key<'_>, out: &mut Reply<'_>) -> Result<bool> {
        // A stream may come back, and a group will not.
        let is_stream = cx.peek(key).is_some_and(|entry| stream_of(entry).is_ok());
        if self.reader.is_none() && !is_stream {
            return Ok(false);
        }
        let named = self.streams.iter().filter(|(name, _)| **name == *key.bytes);
        let streams = named.map(|(_, after)| (*key, *after)).collect::<SmallVec<[_; 4]>>();
        reply_available(cx, &streams, self.reading(), out)
    }

    fn ends_without_key(&self) -> bool {
        self.reader.is_some()
    }

    fn key_gone(&self, key: &[u8]) -> Option<CommandError> {
        self.reader.as_ref().map(|(group, _)| no_group_to_read(key, group))
    }
}

/// The id that a stream is read from, as it stands for one now.
fn parse_after(
    cx: &mut Cx<'_>,
    key: &Key<'_>,
    word: &[u8],
    reader: Option<Reader<'_>>,
) -> Result<After> {
    let stream = cx.read(key).map(stream_of).transpose()?;
    if let Some(Reader { group, .. }) = reader
        && !stream.is_some_and(|stream| stream.groups.contains_key(group))
    {
        return Err(no_group_to_read(key.bytes, group));
    }
    let last = stream.map_or(StreamId::MIN, |stream| stream.log.last_id);
    match word {
        b"$" if reader.is_some() => Err(meaningless("$")),
        b"$" => Ok(After::This(last)),
        b"+" if reader.is_some() => Err(meaningless("+")),
        b"+" => Ok(After::This(last.previous().unwrap_or(StreamId::MIN))),
        b">" if reader.is_some() => Ok(After::Delivered),
        b">" => Err(CommandError::of(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
             <consumer> option.",
        )),
        id => match parse_id(id, 0)? {
            // As `>` is known within Valkey.
            StreamId::MAX if reader.is_some() => Ok(After::Delivered),
            id => Ok(After::This(id)),
        },
    }
}

fn no_group_to_read(key: &[u8], group: &[u8]) -> CommandError {
    no_group(key, group, " in XREADGROUP with GROUP option")
}

/// The header of the reply with so many streams.
fn reply_header(streams: usize, out: &mut Reply<'_>) {
    match out.protocol {
        Protocol::Resp2 => out.array(streams),
        Protocol::Resp3 => out.map(streams),
    }
}

/// One stream's name in the reply; its entries follow.
fn reply_name(key: &Key<'_>, out: &mut Reply<'_>) {
    if out.protocol == Protocol::Resp2 {
        out.array(2);
    }
    out.bulk(key.bytes);
}

/// Replies with what streams have for the client. Says whether that is anything; if not, there is no
/// reply.
fn reply_available(
    cx: &mut Cx<'_>,
    streams: &[(Key<'_>, After)],
    reading: Reading<'_>,
    out: &mut Reply<'_>,
) -> Result<bool> {
    if let [(key, after)] = streams {
        let start = out.mark();
        reply_header(1, out);
        let found = read_available(cx, key, *after, reading, out);
        if !matches!(found, Ok(true)) {
            out.truncate(start);
        }
        return found;
    }
    // How many have something, which comes first, is known only after all were read: one may be named
    // twice.
    let mut all = Reply::new(&mut [], out.protocol);
    let mut found = 0;
    for (key, after) in streams {
        found += usize::from(read_available(cx, key, *after, reading, &mut all)?);
    }
    if found > 0 {
        reply_header(found, out);
        all.into_chunks().iter().for_each(|chunk| out.raw(chunk));
    }
    Ok(found > 0)
}

/// Replies with what one stream has for the client, as a part of the whole reply. Says whether that is
/// anything; if not, there is no reply.
fn read_available(
    cx: &mut Cx<'_>,
    key: &Key<'_>,
    after: After,
    Reading { reader, count }: Reading<'_>,
    out: &mut Reply<'_>,
) -> Result<bool> {
    match (reader, after) {
        (Some(reader), after) => read_for_group(cx, key, after, reader, count, out),
        (None, After::This(id)) => {
            let Some(entry) = cx.peek(key) else { return Ok(false) };
            let log = &stream_of(entry)?.log;
            let Some(start) = id.next().filter(|start| *start <= log.last_id) else {
                return Ok(false);
            };
            let entries = log.range(start, StreamId::MAX).take(count);
            let is_any = entries.clone().next().is_some();
            if is_any {
                reply_name(key, out);
                reply_entries(entries, out);
            }
            Ok(is_any)
        }
        (None, After::Delivered) => Ok(false),
    }
}

fn read_for_group(
    cx: &mut Cx<'_>,
    key: &Key<'_>,
    after: After,
    reader: Reader<'_>,
    count: usize,
    out: &mut Reply<'_>,
) -> Result<bool> {
    let now = cx.now;
    let journaled = cx.is_journaled();
    let mut entry = cx.write(key);
    let entry = entry.as_mut().map(|entry| entry.entry_mut());
    let (log, group) = find_group(entry, reader.group)?
        .ok_or_else(|| no_group_to_read(key.bytes, reader.group))?;
    let (consumer, is_new) = group.find_or_add_consumer(reader.consumer, now);
    let mut ids = Delivered::new();
    let found = match after {
        After::This(id) => {
            reply_name(key, out);
            ids = reply_history(log, group, consumer, id, count, now, out);
            true
        }
        After::Delivered => {
            let start = group.last_delivered.next();
            let entries = start.map(|start| log.range(start, StreamId::MAX));
            let entries = entries.into_iter().flatten().take(count);
            let is_any = entries.clone().next().is_some();
            if is_any {
                reply_name(key, out);
                reply_entries(entries.clone(), out);
                entries.for_each(|entry| {
                    deliver(log, group, entry.id, consumer, reader, now);
                    if journaled && !reader.no_ack {
                        ids.push(entry.id);
                    }
                });
            }
            is_any
        }
    };
    let record = journaled.then(|| (Claimed::of(group, &ids), Progress::of(group)));
    if is_new {
        noted(cx, "xgroup-createconsumer", key);
    }
    cx.unit.changes += u64::from(found);
    if let Some((claimed, progress)) = record {
        let target = Target { key, group: reader.group };
        // A look at the history counts as a change, even at an empty one.
        cx.journal_nothing();
        if is_new {
            journal::new_consumer(cx, target, reader.consumer);
        }
        journal::claims(cx, target, reader.consumer, progress, &claimed);
        if found && after == After::Delivered {
            journal::progress(cx, target, progress);
        }
    }
    Ok(found)
}

/// The ids of entries that were delivered, most often few of them.
type Delivered = SmallVec<[StreamId; 16]>;

fn deliver(
    log: &Log,
    group: &mut Group,
    id: StreamId,
    consumer: ConsumerId,
    reader: Reader<'_>,
    now: i64,
) {
    group.entries_read = log.entries_read_with(group, id);
    group.last_delivered = id;
    if !reader.no_ack {
        group.assign(id, Pending { consumer, delivered: now, deliveries: 1 });
        group.consumer_mut(consumer).active = Some(now);
    }
}

/// Replies with a consumer's pending entries after `id`, which are delivered once more by that; returns
/// the ids of those that still exist.
fn reply_history(
    log: &Log,
    group: &mut Group,
    consumer: ConsumerId,
    id: StreamId,
    count: usize,
    now: i64,
    out: &mut Reply<'_>,
) -> Delivered {
    let after = (Bound::Excluded(id), Bound::Unbounded);
    let pending = group.consumer(consumer).pending().range(after).take(count);
    let mut ids = pending.copied().collect::<Delivered>();
    out.array(ids.len());
    ids.retain(|id| match log.get(*id) {
        Some(entry) => {
            reply_entry(&entry, out);
            group.deliver_again(*id, now);
            true
        }
        None => {
            out.array(2);
            reply_id(*id, out);
            out.null_array();
            false
        }
    });
    ids
}
