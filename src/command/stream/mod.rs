//! Stream commands, by theme.

pub mod add;
pub mod claim;
pub mod group;
pub mod info;
mod journal;
pub mod pending;
pub mod range;
pub mod read;

use super::{
    Categories, Command, CommandError, Cx, Flags, Group as Family, KeyFlags, KeySpec, Result,
};
use crate::keyspace::Key;
use crate::number::parse_u64_loosely;
use crate::resp::Reply;
use crate::value::entry::Value;
use crate::value::stream::{Entry as StreamEntry, Group, Log, StreamId};
use crate::value::{Entry, Object, Stream, ValueRef};

const INVALID_ID: CommandError =
    CommandError::of("ERR Invalid stream ID specified as stream command argument");

/// Bytes from which on Valkey does not look at an id.
const MAX_ID: usize = 128;

/// What the stream commands' rows have in common.
const STREAM: Command =
    Command { acl: Categories::STREAM, group: Family::Stream, ..Command::DEFAULT };

/// A HELP subcommand.
const HELP: Command =
    Command { name: "help", arity: 2, flags: Flags::LOADING.union(Flags::STALE), ..STREAM };

const UNSTEADY: &[&str] = &["nondeterministic_output"];

/// The key after the command's name.
const fn key(flags: KeyFlags) -> KeySpec {
    KeySpec::one(1, flags)
}

fn stream_of(entry: &Entry) -> Result<&Stream> {
    match entry.value() {
        ValueRef::Object(Object::Stream(stream)) => Ok(stream),
        _ => Err(CommandError::WRONG_TYPE),
    }
}

fn stream_mut(entry: &mut Entry) -> Result<&mut Stream> {
    match entry.object_mut() {
        Some(Object::Stream(stream)) => Ok(stream),
        _ => Err(CommandError::WRONG_TYPE),
    }
}

/// A stream as the value of an entry.
fn value(stream: Stream) -> Value<'static> {
    Value::Object(Box::new(Object::Stream(Box::new(stream))))
}

/// The entries and the group of a key's stream, if there is such a key and group.
fn find_group<'a>(
    entry: Option<&'a mut Entry>,
    group: &[u8],
) -> Result<Option<(&'a Log, &'a mut Group)>> {
    let stream = entry.map(stream_mut).transpose()?;
    Ok(stream.and_then(|Stream { log, groups }| Some((&*log, groups.get_mut(group)?))))
}

/// Records an event that counts as a change, but not for those who watch the key.
fn noted(cx: &mut Cx<'_>, event: &'static str, key: &Key<'_>) {
    cx.event(cx.caller.db, event, key);
    cx.unit.changes += 1;
}

/// `NOGROUP`, where the key may be missing as well.
fn no_group(key: &[u8], group: &[u8], after: &str) -> CommandError {
    let key = CommandError::quoting("NOGROUP No such key '", key, "' or consumer group '");
    let group = CommandError::quoting("", group, "'");
    [key.text(), group.text(), after.as_bytes()].concat().into()
}

/// `NOGROUP` of a key that exists.
fn no_group_in(key: &[u8], group: &[u8]) -> CommandError {
    let group =
        CommandError::quoting("NOGROUP No such consumer group '", group, "' for key name '");
    let key = CommandError::quoting("", key, "'");
    [group.text(), key.text()].concat().into()
}

/// An id as clients write it: milliseconds, then perhaps a dash and a sequence number, which is not read
/// yet. As a C string: it ends where a zero byte is.
fn parts(word: &[u8]) -> Result<(u64, Option<&[u8]>)> {
    let word = if word.len() < MAX_ID { word } else { return Err(INVALID_ID) };
    let end = memchr::memchr(0, word).unwrap_or(word.len());
    let (ms, seq) = match memchr::memchr(b'-', &word[..end]) {
        Some(dash) => (&word[..dash], Some(&word[dash + 1..end])),
        None => (&word[..end], None),
    };
    Ok((parse_u64_loosely(ms).ok_or(INVALID_ID)?, seq))
}

/// An id; `missing` is its sequence number if none is written.
fn parse_id(word: &[u8], missing: u64) -> Result<StreamId> {
    let (ms, seq) = parts(word)?;
    let seq = seq.map_or(Some(missing), parse_u64_loosely).ok_or(INVALID_ID)?;
    Ok(StreamId::new(ms, seq))
}

/// An id, or `-` or `+` for the smallest and the greatest.
fn parse_extreme_id(word: &[u8], missing: u64) -> Result<StreamId> {
    match word {
        [b'-'] | [b'-', 0, ..] => Ok(StreamId::MIN),
        [b'+'] | [b'+', 0, ..] => Ok(StreamId::MAX),
        word => parse_id(word, missing),
    }
}

/// One end of an interval: an id, `-`, `+`, or an id after `(` that is itself outside.
struct Edge {
    id: StreamId,
    exclusive: bool,
}

impl Edge {
    fn parse(word: &[u8], missing: u64) -> Result<Edge> {
        Ok(match word {
            [b'(', id @ ..] if !id.is_empty() => {
                Edge { id: parse_id(id, missing)?, exclusive: true }
            }
            word => Edge { id: parse_extreme_id(word, missing)?, exclusive: false },
        })
    }

    /// The first id of an interval that begins here.
    fn start(&self) -> Result<StreamId> {
        let id = if self.exclusive { self.id.next() } else { Some(self.id) };
        id.ok_or(CommandError::of("ERR invalid start ID for the interval"))
    }

    /// The last id of an interval that ends here.
    fn end(&self) -> Result<StreamId> {
        let id = if self.exclusive { self.id.previous() } else { Some(self.id) };
        id.ok_or(CommandError::of("ERR invalid end ID for the interval"))
    }
}

/// The first and the last id between two words.
fn parse_interval(start: &[u8], end: &[u8]) -> Result<(StreamId, StreamId)> {
    let start = Edge::parse(start, 0)?.start()?;
    let end = Edge::parse(end, u64::MAX)?.end()?;
    Ok((start, end))
}

fn reply_id(id: StreamId, out: &mut Reply<'_>) {
    out.bulk(id.text().as_bytes());
}

/// An entry: its id, then its names and values in turn.
fn reply_entry(entry: &StreamEntry<'_>, out: &mut Reply<'_>) {
    let pairs = entry.pairs();
    out.array(2);
    reply_id(entry.id, out);
    out.array(2 * pairs.len());
    let mut digits = itoa::Buffer::new();
    for (name, value) in pairs {
        out.bulk(name.bytes(&mut digits));
        out.bulk(value.bytes(&mut digits));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_valkey_reads_them() {
        let id = StreamId::new;
        for (word, expected) in [
            (&b"5"[..], id(5, 7)),
            (b"5-1", id(5, 1)),
            (b"01-1", id(1, 1)),
            (b"+1-+1", id(1, 1)),
            (b"5-5\x00x", id(5, 5)),
            (b"18446744073709551615-18446744073709551615", StreamId::MAX),
        ] {
            assert_eq!(parse_id(word, 7), Ok(expected), "{word:?}");
        }
        let long = [b'0'; MAX_ID];
        for word in
            [&b""[..], b"-", b"+", b"-1", b"1-", b"1-1-1", b"x", b"18446744073709551616", &long]
        {
            assert_eq!(parse_id(word, 7), Err(INVALID_ID), "{word:?}");
        }
        assert_eq!(parse_extreme_id(b"-", 7), Ok(StreamId::MIN));
        assert_eq!(parse_extreme_id(b"+", 7), Ok(StreamId::MAX));
    }

    #[test]
    fn an_exclusive_edge_is_outside() {
        let id = StreamId::new;
        assert_eq!(parse_interval(b"(5", b"(6-1"), Ok((id(5, 1), id(6, 0))));
        assert_eq!(parse_interval(b"-", b"6"), Ok((StreamId::MIN, id(6, u64::MAX))));
        assert!(parse_interval(b"(", b"+").is_err());
        assert!(parse_interval(b"(+", b"+").is_err());
        assert!(parse_interval(b"-", b"(0-0").is_err());
    }
}
