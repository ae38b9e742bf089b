//! XADD, XTRIM, XDEL, XSETID, XLEN.

use smallvec::SmallVec;

use super::{
    INVALID_ID, STREAM, UNSTEADY, key, noted, parse_id, parts, reply_id, stream_mut, stream_of,
    value,
};
use crate::command::{Command, CommandError, Cx, Flags, KeyFlags, KeySpec, Result, rewrite};
use crate::number::{parse_i64, parse_u64_loosely};
use crate::resp::{Args, Reply};
use crate::value::stream::{Bound, MAX_NODE, NodeLimits, StreamId, Trim};
use crate::value::{Entry, Stream};

const EXHAUSTED: CommandError =
    CommandError::of("ERR The stream has exhausted the last possible ID, unable to add more items");
const NOT_GREATER: CommandError = CommandError::of(
    "ERR The ID specified in XADD is equal or smaller than the target stream top item",
);
const ZERO_ID: CommandError =
    CommandError::of("ERR The ID specified in XADD must be greater than 0-0");
const TOO_LARGE: CommandError = CommandError::of("ERR Elements are too large to be stored");
const TWO_BOUNDS: CommandError = CommandError::of(
    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
);

const UPDATES: KeyFlags = KeyFlags::RW.union(KeyFlags::UPDATE);
const DELETES: KeyFlags = KeyFlags::RW.union(KeyFlags::DELETE);
const ADDS: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);

pub const COMMANDS: &[Command] = &[
    Command {
        name: "xadd",
        arity: -5,
        flags: ADDS,
        keys: &[KeySpec {
            notes: Some("UPDATE instead of INSERT because of the optional trimming feature"),
            ..key(UPDATES)
        }],
        tips: UNSTEADY,
        run: xadd,
        ..STREAM
    },
    Command {
        name: "xtrim",
        arity: -4,
        flags: Flags::WRITE,
        keys: &[key(DELETES)],
        tips: UNSTEADY,
        run: xtrim,
        ..STREAM
    },
    Command {
        name: "xdel",
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[key(DELETES)],
        run: xdel,
        ..STREAM
    },
    Command {
        name: "xsetid",
        arity: -3,
        flags: ADDS,
        keys: &[key(UPDATES)],
        run: xsetid,
        ..STREAM
    },
    Command {
        name: "xlen",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST),
        keys: &[key(KeyFlags::RO)],
        run: xlen,
        ..STREAM
    },
];

/// The id that an entry is to be added under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wanted {
    /// `*`: the time, or the next one.
    #[default]
    Any,
    /// `5-*`: the next one of this millisecond.
    AnyOf(u64),
    This(StreamId),
}

impl Wanted {
    fn parse(word: &[u8]) -> Result<Wanted> {
        let (ms, seq) = parts(word)?;
        Ok(match seq {
            Some(b"*") => Wanted::AnyOf(ms),
            Some(seq) => Wanted::This(StreamId::new(ms, parse_u64_loosely(seq).ok_or(INVALID_ID)?)),
            None => Wanted::This(StreamId::new(ms, 0)),
        })
    }

    /// The id itself, in a stream whose last one is `last`.
    fn id(self, last: StreamId, now: i64) -> Result<StreamId> {
        let next = last.next().ok_or(EXHAUSTED)?;
        let id = match self {
            Wanted::Any => return Ok(next.max(StreamId::new(now as u64, 0))),
            Wanted::AnyOf(ms) if ms == last.ms => next,
            Wanted::AnyOf(ms) => StreamId::new(ms, 0),
            Wanted::This(id) => id,
        };
        let in_time = !matches!(self, Wanted::AnyOf(ms) if id.ms != ms);
        if id > last && in_time { Ok(id) } else { Err(NOT_GREATER) }
    }
}

/// The words before XADD's and after XTRIM's key.
#[derive(Default)]
struct Options {
    /// Where the words after the options are: the id of XADD.
    end: usize,
    id: Wanted,
    no_create: bool,
    trim: Option<Trim>,
}

impl Options {
    /// `adds` says that it is XADD, whose options end with an id.
    fn parse(cx: &Cx<'_>, args: Args<'_>, adds: bool) -> Result<Options> {
        let mut options = Options { end: 2, ..Options::default() };
        let mut limit = None;
        while let Some(word) = args.get(options.end) {
            let next = args.get(options.end + 1);
            if adds && word == b"*" {
                break;
            }
            if let Some(bound) = next.and_then(|_| Options::bound(word)) {
                options.take_bound(args, bound)?;
            } else if let Some(number) = next
                && word.eq_ignore_ascii_case(b"limit")
            {
                let number = parse_i64(number).ok_or(CommandError::NOT_INTEGER)?;
                limit = Some(
                    u64::try_from(number)
                        .map_err(|_| CommandError::of("ERR The LIMIT argument must be >= 0."))?,
                );
                options.end += 2;
            } else if adds && word.eq_ignore_ascii_case(b"nomkstream") {
                options.no_create = true;
                options.end += 1;
            } else if adds {
                options.id = Wanted::parse(word)?;
                break;
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        options.set_limit(cx, limit, adds)?;
        Ok(options)
    }

    /// What the word limits, if it does: the parser of its argument.
    fn bound(word: &[u8]) -> Option<fn(&[u8]) -> Result<Bound>> {
        if word.eq_ignore_ascii_case(b"maxlen") {
            Some(|word| {
                let max = parse_i64(word).ok_or(CommandError::NOT_INTEGER)?;
                let max = u64::try_from(max)
                    .map_err(|_| CommandError::of("ERR The MAXLEN argument must be >= 0."))?;
                Ok(Bound::Len(max))
            })
        } else if word.eq_ignore_ascii_case(b"minid") {
            Some(|word| parse_id(word, 0).map(Bound::Id))
        } else {
            None
        }
    }

    fn take_bound(&mut self, args: Args<'_>, parse: fn(&[u8]) -> Result<Bound>) -> Result {
        if self.trim.is_some() {
            return Err(TWO_BOUNDS);
        }
        let mut at = self.end + 1;
        let sign = args.get(at).filter(|_| at + 1 < args.len());
        let approximate = sign == Some(b"~");
        at += usize::from(approximate || sign == Some(b"="));
        self.trim = Some(Trim { to: parse(args.at(at))?, approximate, limit: 0 });
        self.end = at + 1;
        Ok(())
    }

    fn set_limit(&mut self, cx: &Cx<'_>, limit: Option<u64>, adds: bool) -> Result {
        // A limit of 0 is as good as none here, and is one below.
        if self.trim.is_none() && limit.is_some_and(|limit| limit > 0) {
            return Err(CommandError::of(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if self.trim.is_none() && !adds {
            return Err(CommandError::of(
                "ERR syntax error, XTRIM must be called with a trimming strategy",
            ));
        }
        if limit.is_some() && !self.trim.is_some_and(|trim| trim.approximate) {
            return Err(CommandError::of(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        if let Some(trim) = &mut self.trim {
            trim.limit = limit.unwrap_or(if trim.approximate { usual_limit(cx) } else { 0 });
        }
        Ok(())
    }
}

/// What one approximate trimming may delete if nobody says so: a hundred nodes.
fn usual_limit(cx: &Cx<'_>) -> u64 {
    match node_limits(cx).entries.saturating_mul(100) {
        0 => 10_000,
        entries => entries.min(1_000_000),
    }
}

fn node_limits(cx: &Cx<'_>) -> NodeLimits {
    NodeLimits {
        entries: cx.settings.stream_node_max_entries as u64,
        bytes: cx.settings.stream_node_max_bytes,
    }
}

fn xadd(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let options = Options::parse(cx, args, true)?;
    let fields_at = options.end + 1;
    if args.len() < fields_at + 2 || !(args.len() - fields_at).is_multiple_of(2) {
        return Err(CommandError::arity("xadd"));
    }
    if options.id == Wanted::This(StreamId::MIN) {
        return Err(ZERO_ID);
    }
    let pairs = args.from(fields_at);
    let fields = (0..pairs.len() / 2).map(|i| (pairs.at(2 * i), pairs.at(2 * i + 1)));
    let add = |Stream { log, .. }: &mut Stream, now, limits| {
        let id = options.id.id(log.last_id, now)?;
        // No connection can send as much that has not been told to.
        if pairs.iter().map(<[u8]>::len).sum::<usize>() > MAX_NODE {
            return Err(TOO_LARGE);
        }
        log.append(id, fields.clone(), limits);
        let trimmed = options.trim.map_or(0, |trim| log.trim(trim));
        Ok(Added { id, trimmed, len: log.len() })
    };
    let (key, now, limits) = (cx.key(), cx.now, node_limits(cx));
    let added = match cx.write(&key) {
        Some(mut entry) => add(stream_mut(entry.entry_mut())?, now, limits)?,
        None if options.no_create => {
            out.null();
            return Ok(());
        }
        None => {
            let mut stream = Stream::default();
            let added = add(&mut stream, now, limits)?;
            cx.insert(&key, Entry::new(key.bytes, value(stream), None));
            added
        }
    };
    reply_id(added.id, out);
    cx.changed("xadd", &key);
    if added.trimmed > 0 {
        cx.event(cx.caller.db, "xtrim", &key);
    }
    let is_explicit = matches!(options.id, Wanted::This(_));
    if cx.is_journaled() && !(is_explicit && options.trim.is_none_or(|trim| !trim.approximate)) {
        journal_added(cx, &added, pairs);
    }
    Ok(())
}

/// What XADD has done.
struct Added {
    id: StreamId,
    trimmed: u64,
    /// The stream's length since.
    len: u64,
}

/// Journals XADD with the id that the entry got, and with the length that the stream was trimmed to.
fn journal_added(cx: &mut Cx<'_>, added: &Added, pairs: Args<'_>) {
    let (key, id) = (cx.key(), added.id.text());
    let mut digits = itoa::Buffer::new();
    let mut command = rewrite::Command::from_slice(&[b"XADD", key.bytes]);
    if added.trimmed > 0 {
        command.extend_from_slice(&[b"MAXLEN", b"=", digits.format(added.len).as_bytes()]);
    }
    command.push(id.as_bytes());
    command.extend(pairs.iter());
    cx.journal_as(&key, command);
}

fn xtrim(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let options = Options::parse(cx, args, false)?;
    let key = cx.key();
    let (trimmed, len) = match (cx.write(&key), options.trim) {
        (Some(mut entry), Some(trim)) => {
            let log = &mut stream_mut(entry.entry_mut())?.log;
            (log.trim(trim), log.len())
        }
        _ => (0, 0),
    };
    cx.changed_by(trimmed as usize, "xtrim", &key);
    if trimmed > 0 && options.trim.is_some_and(|trim| trim.approximate) && cx.is_journaled() {
        let mut digits = itoa::Buffer::new();
        let len = digits.format(len).as_bytes();
        cx.journal_as(&key, [b"XTRIM", key.bytes, b"MAXLEN", b"=", len]);
    }
    out.integer(trimmed as i64);
    Ok(())
}

fn xdel(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let mut deleted = 0;
    if let Some(mut entry) = cx.write(&key) {
        let log = &mut stream_mut(entry.entry_mut())?.log;
        let ids = args.from(2).iter().map(|word| parse_id(word, 0));
        let ids = ids.collect::<Result<SmallVec<[StreamId; 8]>>>()?;
        deleted = ids.iter().filter(|id| log.delete(**id)).count();
    }
    cx.changed_by(deleted, "xdel", &key);
    out.integer(deleted as i64);
    Ok(())
}

fn xsetid(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let id = parse_id(&args[2], 0)?;
    let mut added = None;
    let mut max_deleted = None;
    let mut at = 3;
    while let Some(word) = args.get(at) {
        let next = args.get(at + 1).ok_or(CommandError::SYNTAX)?;
        if word.eq_ignore_ascii_case(b"entriesadded") {
            let number = parse_i64(next).ok_or(CommandError::NOT_INTEGER)?;
            added = Some(
                u64::try_from(number)
                    .map_err(|_| CommandError::of("ERR entries_added must be positive"))?,
            );
        } else if word.eq_ignore_ascii_case(b"maxdeletedid") {
            let max = parse_id(next, 0)?;
            if id < max {
                return Err(CommandError::of(
                    "ERR The ID specified in XSETID is smaller than the provided \
                     max_deleted_entry_id",
                ));
            }
            max_deleted = Some(max);
        } else {
            return Err(CommandError::SYNTAX);
        }
        at += 2;
    }
    let key = cx.key();
    let mut entry = cx.write(&key).ok_or(CommandError::NO_SUCH_KEY)?;
    let log = &mut stream_mut(entry.entry_mut())?.log;
    if id < log.max_deleted_id {
        return Err(CommandError::of(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if let Some(last) = log.last() {
        if id < last.id {
            return Err(CommandError::of(
                "ERR The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if added.is_some_and(|added| added < log.len()) {
            return Err(CommandError::of(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    log.last_id = id;
    log.entries_added = added.unwrap_or(log.entries_added);
    // Zero is as good as unsaid.
    if let Some(max) = max_deleted.filter(|max| !max.is_zero()) {
        log.max_deleted_id = max;
    }
    noted(cx, "xsetid", &key);
    out.ok();
    Ok(())
}

fn xlen(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let len = match cx.read(&cx.key()) {
        Some(entry) => stream_of(entry)?.log.len(),
        None => 0,
    };
    out.integer(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_id_follows_the_clock_and_the_last_id() {
        let id = StreamId::new;
        let max = u64::MAX;
        assert_eq!(Wanted::Any.id(id(5, 3), 9), Ok(id(9, 0)));
        assert_eq!(Wanted::Any.id(id(9, 3), 9), Ok(id(9, 4)));
        assert_eq!(Wanted::Any.id(id(12, max), 9), Ok(id(13, 0)));
        assert_eq!(Wanted::Any.id(StreamId::MAX, 9), Err(EXHAUSTED));
        assert_eq!(Wanted::AnyOf(0).id(StreamId::MIN, 9), Ok(id(0, 1)));
        assert_eq!(Wanted::AnyOf(5).id(id(5, 3), 9), Ok(id(5, 4)));
        assert_eq!(Wanted::AnyOf(6).id(id(5, 3), 9), Ok(id(6, 0)));
        assert_eq!(Wanted::AnyOf(4).id(id(5, 3), 9), Err(NOT_GREATER));
        assert_eq!(Wanted::AnyOf(5).id(id(5, max), 9), Err(NOT_GREATER));
        assert_eq!(Wanted::This(id(5, 3)).id(id(5, 3), 9), Err(NOT_GREATER));
    }
}
