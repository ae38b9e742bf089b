//! ZRANGE and all that it can do, under its own name, under older ones, and as ZRANGESTORE.

use std::ops::Range;

use super::{NOT_IN_LEX, NOT_IN_SCORES, READS, read, store, store_journaled, write_members};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, Handler, KeyFlags, KeySpec, Result,
};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::sorted_set::{LexRange, Limits, ScoreRange, Scored, SortedSetRef, from_sorted};

const fn replies(name: &'static str, run: Handler) -> Command {
    Command { name, arity: -4, run, ..READS }
}

pub const COMMANDS: &[Command] = &[
    replies("zrange", |cx, args, out| reply(cx, args, Form::Zrange, out)),
    replies("zrevrange", |cx, args, out| reply(cx, args, Form::Fixed(By::Rank, true), out)),
    replies("zrangebyscore", |cx, args, out| reply(cx, args, Form::Fixed(By::Score, false), out)),
    replies("zrevrangebyscore", |cx, args, out| reply(cx, args, Form::Fixed(By::Score, true), out)),
    replies("zrangebylex", |cx, args, out| reply(cx, args, Form::Fixed(By::Lex, false), out)),
    replies("zrevrangebylex", |cx, args, out| reply(cx, args, Form::Fixed(By::Lex, true), out)),
    Command {
        name: "zrangestore",
        arity: -5,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        acl: Categories::SORTEDSET,
        keys: &[
            KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
            KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ],
        group: Group::SortedSet,
        run: zrangestore,
        ..Command::DEFAULT
    },
];

/// What a range is a range of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// Which options a command takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Zrange,
    /// The name says what the range is of, and whether it is reversed.
    Fixed(By, bool),
    Zrangestore,
}

/// The ends of a range.
enum Ends<'a> {
    Ranks(i64, i64),
    Scores(ScoreRange),
    Lex(LexRange<'a>),
}

/// What is asked for.
struct Query<'a> {
    ends: Ends<'a>,
    reverse: bool,
    with_scores: bool,
    offset: i64,
    /// Negative for no limit.
    limit: i64,
}

impl<'a> Query<'a> {
    /// Reads the ends and the options.
    fn parse(args: Args<'a>, form: Form) -> Result<Query<'a>> {
        let (mut by, mut reverse) = match form {
            Form::Fixed(by, reverse) => (Some(by), reverse),
            Form::Zrange | Form::Zrangestore => (None, false),
        };
        let is_free = !matches!(form, Form::Fixed(..));
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        let mut options = args.from(2).iter();
        while let Some(option) = options.next() {
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            if form != Form::Zrangestore && is(b"withscores") {
                with_scores = true;
            } else if is(b"limit") && options.len() >= 2 {
                let mut number =
                    || options.next().and_then(parse_i64).ok_or(CommandError::NOT_INTEGER);
                (offset, limit) = (number()?, number()?);
            } else if is_free && !reverse && is(b"rev") {
                reverse = true;
            } else if by.is_none() && is(b"bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && is(b"byscore") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        let by = by.unwrap_or(By::Rank);
        if limit != -1 && by == By::Rank {
            return Err(CommandError::of(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(CommandError::of(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (first, second) = (args.at(0), args.at(1));
        let (min, max) = if reverse { (second, first) } else { (first, second) };
        let ends = match by {
            By::Rank => {
                let rank = |text| parse_i64(text).ok_or(CommandError::NOT_INTEGER);
                Ends::Ranks(rank(first)?, rank(second)?)
            }
            By::Score => Ends::Scores(ScoreRange::parse(min, max).ok_or(NOT_IN_SCORES)?),
            By::Lex => Ends::Lex(LexRange::parse(min, max).ok_or(NOT_IN_LEX)?),
        };
        Ok(Query { ends, reverse, with_scores, offset, limit })
    }

    /// The ranks of what is asked for.
    fn span(&self, set: SortedSetRef<'_>) -> Range<usize> {
        if let Ends::Ranks(start, end) = self.ends {
            let range = ranks(start, end, set.len());
            return if self.reverse {
                set.len() - range.end..set.len() - range.start
            } else {
                range
            };
        }
        let span = match (usize::try_from(self.offset), set) {
            (Ok(offset), _) => self.span_from(set, offset),
            // What is below 0 means nothing to a listpack of Valkey's, and to its skiplist that it has
            // to count from the other end.
            (Err(_), SortedSetRef::Packed(_)) => 0..0,
            (Err(_), SortedSetRef::Big(_)) => {
                let span = self.span_from(set, 0);
                let len = usize::try_from(self.offset.unsigned_abs()).unwrap_or(usize::MAX);
                match len {
                    len if len > span.len() => 0..0,
                    len if self.reverse => span.start..span.start + len,
                    len => span.end - len..span.end,
                }
            }
        };
        let len = usize::try_from(self.limit).map_or(span.len(), |limit| limit.min(span.len()));
        if self.reverse { span.end - len..span.end } else { span.start..span.start + len }
    }

    /// The ranks of what is in the range, without the first `offset` of them in the order of the reply.
    fn span_from(&self, set: SortedSetRef<'_>, offset: usize) -> Range<usize> {
        match &self.ends {
            Ends::Ranks(..) => 0..0,
            Ends::Lex(range) => set.lex_span(range, self.reverse, offset),
            Ends::Scores(range) => {
                let span = set.score_span(range);
                let offset = offset.min(span.len());
                if self.reverse {
                    span.start..span.end - offset
                } else {
                    span.start + offset..span.end
                }
            }
        }
    }
}

/// The ranks from `start` to `end`, which count from the end if they are negative, among `len`.
pub(super) fn ranks(start: i64, end: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let from_end = |rank: i64| if rank < 0 { rank.saturating_add(len) } else { rank };
    let start = from_end(start).max(0);
    let end = from_end(end).min(len - 1).saturating_add(1);
    if start < end { start as usize..end as usize } else { 0..0 }
}

fn reply(cx: &mut Cx<'_>, args: Args<'_>, form: Form, out: &mut Reply<'_>) -> Result {
    let query = Query::parse(args.from(2), form)?;
    let Some(set) = read(cx, &cx.key())? else {
        out.array(0);
        return Ok(());
    };
    let span = query.span(set);
    let (len, members) = (span.len(), set.iter(span));
    if query.reverse {
        write_members(out, query.with_scores, len, members.rev());
    } else {
        write_members(out, query.with_scores, len, members);
    }
    Ok(())
}

fn zrangestore(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let query = Query::parse(args.from(3), Form::Zrangestore)?;
    let (limits, target, source) = (Limits::of(cx.settings), cx.keys[0], cx.keys[1]);
    let mut members: Vec<Scored<'_>> = match read(cx, &source)? {
        Some(set) => set.iter(query.span(set)).collect(),
        None => Vec::new(),
    };
    let len = members.len();
    // Where Valkey knows beforehand how long the result is, a long one is never a listpack.
    let is_packed_at_first = len <= limits.members || !matches!(query.ends, Ends::Ranks(..));
    if is_packed_at_first && query.reverse {
        lose_signs(members.iter_mut().rev(), limits);
    } else if is_packed_at_first {
        lose_signs(members.iter_mut(), limits);
    }
    let entry = (len > 0).then(|| from_sorted(target.bytes, &members, limits));
    if query.offset < 0 {
        // The range depends on how the sorted set is stored, which is not journaled.
        store_journaled(cx, "zrangestore", &target, entry);
    } else {
        store(cx, "zrangestore", &target, entry);
    }
    out.integer(len as i64);
    Ok(())
}

/// Makes the zeros positive that Valkey has stored in a listpack, which knows no others, before the
/// result grows beyond the limits.
fn lose_signs<'m, 'e: 'm>(members: impl Iterator<Item = &'m mut Scored<'e>>, limits: Limits) {
    let packed =
        members.take(limits.members).take_while(|(member, _)| member.len() <= limits.bytes);
    packed.for_each(|(_, score)| *score += 0.0);
}
