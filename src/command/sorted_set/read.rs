//! ZSCORE, ZMSCORE, ZCARD, ZCOUNT, ZLEXCOUNT, ZRANK, ZREVRANK.

use super::{NOT_IN_LEX, NOT_IN_SCORES, READS_FAST, read};
use crate::command::{Command, CommandError, Cx, KeyFlags, KeySpec, Result};
use crate::resp::{Args, Reply};
use crate::value::sorted_set::{LexRange, ScoreRange, SortedSetRef};

pub const COMMANDS: &[Command] = &[
    Command { name: "zscore", arity: 3, run: zscore, ..READS_FAST },
    Command { name: "zmscore", arity: -3, run: zmscore, ..READS_FAST },
    Command {
        name: "zcard",
        arity: 2,
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        run: |cx, _, out| count(cx, |set| set.len(), out),
        ..READS_FAST
    },
    Command {
        name: "zcount",
        arity: 4,
        run: |cx, args, out| {
            let range = ScoreRange::parse(args.at(2), args.at(3)).ok_or(NOT_IN_SCORES)?;
            count(cx, |set| set.score_span(&range).len(), out)
        },
        ..READS_FAST
    },
    Command {
        name: "zlexcount",
        arity: 4,
        run: |cx, args, out| {
            let range = LexRange::parse(args.at(2), args.at(3)).ok_or(NOT_IN_LEX)?;
            count(cx, |set| set.lex_span(&range, false, 0).len(), out)
        },
        ..READS_FAST
    },
    Command {
        name: "zrank",
        arity: -3,
        run: |cx, args, out| rank(cx, args, "zrank", |rank, _| rank, out),
        ..READS_FAST
    },
    Command {
        name: "zrevrank",
        arity: -3,
        run: |cx, args, out| rank(cx, args, "zrevrank", |rank, len| len - 1 - rank, out),
        ..READS_FAST
    },
];

fn write_score(out: &mut Reply<'_>, score: Option<f64>) {
    match score {
        Some(score) => out.double(score),
        None => out.null(),
    }
}

fn zscore(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let set = read(cx, &cx.key())?;
    write_score(out, set.and_then(|set| set.score(args.at(2))));
    Ok(())
}

fn zmscore(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let set = read(cx, &cx.key())?;
    let members = args.from(2);
    out.array(members.len());
    for member in members.iter() {
        write_score(out, set.and_then(|set| set.score(member)));
    }
    Ok(())
}

fn count(
    cx: &mut Cx<'_>,
    count: impl FnOnce(SortedSetRef<'_>) -> usize,
    out: &mut Reply<'_>,
) -> Result {
    out.integer(read(cx, &cx.key())?.map_or(0, count) as i64);
    Ok(())
}

fn rank(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    name: &str,
    from_end: fn(usize, usize) -> usize,
    out: &mut Reply<'_>,
) -> Result {
    let with_score = match args.get(3) {
        _ if args.len() > 4 => return Err(CommandError::arity(name)),
        Some(word) if word.eq_ignore_ascii_case(b"withscore") => true,
        Some(_) => return Err(CommandError::SYNTAX),
        None => false,
    };
    let found = read(cx, &cx.key())?.and_then(|set| {
        set.rank(args.at(2)).map(|(rank, score)| (from_end(rank, set.len()), score))
    });
    match found {
        Some((rank, score)) if with_score => {
            out.array(2);
            out.integer(rank as i64);
            out.double(score);
        }
        Some((rank, _)) => out.integer(rank as i64),
        None if with_score => out.null_array(),
        None => out.null(),
    }
    Ok(())
}
