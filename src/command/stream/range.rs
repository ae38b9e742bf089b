//! XRANGE, XREVRANGE.

use smallvec::SmallVec;

use super::{STREAM, key, parse_interval, reply_entry, stream_of};
use crate::command::{Command, CommandError, Cx, Flags, KeyFlags, Result};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::stream::Entry as StreamEntry;

pub const COMMANDS: &[Command] = &[
    Command { name: "xrange", run: |cx, args, out| range(cx, args, out, false), ..RANGE },
    Command { name: "xrevrange", run: |cx, args, out| range(cx, args, out, true), ..RANGE },
];

const RANGE: Command = Command {
    arity: -4,
    flags: Flags::READONLY,
    keys: &[key(KeyFlags::RO.union(KeyFlags::ACCESS))],
    ..STREAM
};

/// Entries that are remembered until their number is known.
const FEW: usize = 16;

fn range(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>, reverse: bool) -> Result {
    let (start, end) = if reverse { (3, 2) } else { (2, 3) };
    let (start, end) = parse_interval(&args[start], &args[end])?;
    let mut count = None;
    let mut at = 4;
    while let Some(word) = args.get(at) {
        let Some(number) = args.get(at + 1).filter(|_| word.eq_ignore_ascii_case(b"count")) else {
            return Err(CommandError::SYNTAX);
        };
        let number = parse_i64(number).ok_or(CommandError::NOT_INTEGER)?;
        count = Some(usize::try_from(number).unwrap_or(0));
        at += 2;
    }
    let Some(entry) = cx.read(&cx.key()) else {
        out.array(0);
        return Ok(());
    };
    let log = &stream_of(entry)?.log;
    match count {
        Some(0) => out.null_array(),
        count => {
            let count = count.unwrap_or(usize::MAX);
            if reverse {
                reply_entries(log.rev_range(start, end).take(count), out);
            } else {
                reply_entries(log.range(start, end).take(count), out);
            }
        }
    }
    Ok(())
}

/// An array of entries. Their number comes first: where they are many, they are walked over twice.
pub(super) fn reply_entries<'a>(
    mut entries: impl Iterator<Item = StreamEntry<'a>> + Clone,
    out: &mut Reply<'_>,
) {
    let first = entries.by_ref().take(FEW).collect::<SmallVec<[StreamEntry<'a>; FEW]>>();
    let others = if first.len() < FEW { 0 } else { entries.clone().count() };
    out.array(first.len() + others);
    first.iter().for_each(|entry| reply_entry(entry, out));
    if others > 0 {
        entries.for_each(|entry| reply_entry(&entry, out));
    }
}
