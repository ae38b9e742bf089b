//! XPENDING.

use std::collections::BTreeMap;

use super::{STREAM, UNSTEADY, key, no_group, parse_interval, reply_id, stream_of};
use crate::command::{Command, CommandError, Cx, Flags, KeyFlags, Result};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::stream::{Group, Pending, StreamId};

pub const COMMANDS: &[Command] = &[Command {
    name: "xpending",
    arity: -3,
    flags: Flags::READONLY,
    keys: &[key(KeyFlags::RO.union(KeyFlags::ACCESS))],
    tips: UNSTEADY,
    run: xpending,
    ..STREAM
}];

/// Which pending entries are asked for.
struct Wanted<'a> {
    start: StreamId,
    end: StreamId,
    count: usize,
    min_idle: i64,
    consumer: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    /// The words after the group, if there are any.
    fn parse(args: Args<'a>) -> Result<Option<Wanted<'a>>> {
        let mut words = args.from(3);
        if words.is_empty() {
            return Ok(None);
        }
        let mut min_idle = 0;
        let has_idle = words[0].eq_ignore_ascii_case(b"idle");
        if !(3..=6).contains(&words.len()) {
            return Err(CommandError::SYNTAX);
        }
        if has_idle {
            min_idle = parse_i64(&words[1]).ok_or(CommandError::NOT_INTEGER)?;
            words = words.from(2);
            if words.len() < 3 {
                return Err(CommandError::SYNTAX);
            }
        }
        let count = parse_i64(&words[2]).ok_or(CommandError::NOT_INTEGER)?;
        let (start, end) = parse_interval(&words[0], &words[1])?;
        Ok(Some(Wanted {
            start,
            end,
            count: usize::try_from(count).unwrap_or(0),
            min_idle,
            consumer: words.get(3),
        }))
    }
}

fn xpending(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let wanted = Wanted::parse(args)?;
    let now = cx.now;
    let stream = cx.read(&cx.key()).map(stream_of).transpose()?;
    let group = stream.and_then(|stream| stream.groups.get(&args[2]));
    let group = group.ok_or_else(|| no_group(&args[1], &args[2], ""))?;
    match wanted {
        Some(wanted) => reply_pending(group, &wanted, now, out),
        None => reply_summary(group, out),
    }
    Ok(())
}

fn reply_summary(group: &Group, out: &mut Reply<'_>) {
    let pending = group.pending();
    out.array(4);
    out.integer(pending.len() as i64);
    let (Some((first, _)), Some((last, _))) = (pending.first_key_value(), pending.last_key_value())
    else {
        out.null();
        out.null();
        out.null_array();
        return;
    };
    reply_id(*first, out);
    reply_id(*last, out);
    let busy = || group.consumers().filter(|consumer| !consumer.pending().is_empty());
    out.array(busy().count());
    for consumer in busy() {
        out.array(2);
        out.bulk(&consumer.name);
        out.bulk_integer(consumer.pending().len() as i64);
    }
}

fn reply_pending(group: &Group, wanted: &Wanted<'_>, now: i64, out: &mut Reply<'_>) {
    if wanted.start > wanted.end {
        return out.array(0);
    }
    let range = wanted.start..=wanted.end;
    let all: &BTreeMap<StreamId, Pending> = group.pending();
    let is_idle = |(_, pending): &(StreamId, &Pending)| {
        now.saturating_sub(pending.delivered) >= wanted.min_idle
    };
    let found: Vec<_> = match wanted.consumer.map(|name| group.find_consumer(name)) {
        None => {
            let all = all.range(range).map(|(id, pending)| (*id, pending));
            all.filter(is_idle).take(wanted.count).collect()
        }
        Some(None) => Vec::new(),
        Some(Some(consumer)) => {
            let own = group.consumer(consumer).pending().range(range);
            own.map(|id| (*id, &all[id])).filter(is_idle).take(wanted.count).collect()
        }
    };
    out.array(found.len());
    for (id, pending) in found {
        out.array(4);
        reply_id(id, out);
        out.bulk(&group.consumer(pending.consumer).name);
        out.integer(now.saturating_sub(pending.delivered).max(0));
        out.integer(pending.deliveries as i64);
    }
}
