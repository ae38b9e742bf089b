//! ZREM, ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX.

use std::ops::Range;

use super::range::ranks;
use super::{NOT_IN_LEX, NOT_IN_SCORES, change, view};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result,
};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::sorted_set::{LexRange, Limits, ScoreRange, SortedSetRef};

const REMOVES: Command = Command {
    arity: 4,
    flags: Flags::WRITE,
    acl: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::SortedSet,
    ..Command::DEFAULT
};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "zrem",
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST),
        run: zrem,
        ..REMOVES
    },
    Command {
        name: "zremrangebyrank",
        run: |cx, args, out| {
            let rank = |text| parse_i64(text).ok_or(CommandError::NOT_INTEGER);
            let (start, end) = (rank(args.at(2))?, rank(args.at(3))?);
            remove_span(cx, "zremrangebyrank", |set| ranks(start, end, set.len()), out)
        },
        ..REMOVES
    },
    Command {
        name: "zremrangebyscore",
        run: |cx, args, out| {
            let range = ScoreRange::parse(args.at(2), args.at(3)).ok_or(NOT_IN_SCORES)?;
            remove_span(cx, "zremrangebyscore", |set| set.score_span(&range), out)
        },
        ..REMOVES
    },
    Command {
        name: "zremrangebylex",
        run: |cx, args, out| {
            let range = LexRange::parse(args.at(2), args.at(3)).ok_or(NOT_IN_LEX)?;
            remove_span(cx, "zremrangebylex", |set| set.lex_span(&range, false, 0), out)
        },
        ..REMOVES
    },
];

fn zrem(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (key, limits) = (cx.key(), Limits::of(cx.settings));
    let Some(mut entry) = cx.write(&key) else {
        out.integer(0);
        return Ok(());
    };
    let mut set = change(entry.entry_mut(), limits)?;
    let removed = args.from(2).iter().filter(|member| set.remove(member)).count();
    let is_empty = set.view().is_empty();
    cx.changed_by(removed, "zrem", &key);
    if is_empty {
        cx.remove_emptied(&key);
    }
    out.integer(removed as i64);
    Ok(())
}

fn remove_span(
    cx: &mut Cx<'_>,
    event: &'static str,
    span: impl FnOnce(SortedSetRef<'_>) -> Range<usize>,
    out: &mut Reply<'_>,
) -> Result {
    let (key, limits) = (cx.key(), Limits::of(cx.settings));
    let Some(mut entry) = cx.write(&key) else {
        out.integer(0);
        return Ok(());
    };
    let set = view(entry.entry())?;
    let (len, span) = (set.len(), span(set));
    let removed = span.len();
    if removed < len {
        change(entry.entry_mut(), limits)?.remove_range(span);
    }
    cx.changed_by(removed, event, &key);
    if removed == len {
        cx.remove_emptied(&key);
    }
    out.integer(removed as i64);
    Ok(())
}
