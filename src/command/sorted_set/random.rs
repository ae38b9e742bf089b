//! ZRANDMEMBER.

use std::collections::HashSet;

use super::{READS, read, write_member, write_members, write_members_header, write_scored};
use crate::command::sampling::{self, Sampler};
use crate::command::{Command, CommandError, Cx, Result};
use crate::random;
use crate::resp::{Args, Reply};
use crate::value::sorted_set::{Scored, SortedSetRef};

pub const COMMANDS: &[Command] = &[Command {
    name: "zrandmember",
    arity: -2,
    tips: &["nondeterministic_output"],
    run: zrandmember,
    ..READS
}];

fn zrandmember(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    if args.len() == 2 {
        match read(cx, &key)?.and_then(SortedSetRef::random) {
            Some((member, _)) => write_member(out, member),
            None => out.null(),
        }
        return Ok(());
    }
    let count = sampling::parse_count(args.at(2))?;
    let with_scores = match args.get(3) {
        None => false,
        Some(word) if args.len() == 4 && word.eq_ignore_ascii_case(b"withscores") => {
            if count.unsigned_abs() > i64::MAX as u64 / 2 {
                return Err(sampling::TOO_MANY);
            }
            true
        }
        Some(_) => return Err(CommandError::SYNTAX),
    };
    let Some(set) = read(cx, &key)? else {
        out.array(0);
        return Ok(());
    };
    if count >= 0 {
        let members = sample(set, count as usize);
        write_members(out, with_scores, members.len(), members.into_iter());
        return Ok(());
    }
    let draws = sampling::draws(count, out)?;
    if draws < set.len() {
        write_members_header(out, with_scores, draws);
        draw(set, draws, |scored| write_scored(out, with_scores, scored));
    } else {
        let members = set.unordered().collect::<Vec<_>>();
        let write = |out: &mut Reply<'_>, scored| write_scored(out, with_scores, scored);
        let sampler = Sampler::new(out, draws, members.into_iter(), write)?;
        write_members_header(out, with_scores, draws);
        sampler.write(draws, out);
    }
    Ok(())
}

/// Distinct members, `count` of them or all.
fn sample(set: SortedSetRef<'_>, count: usize) -> Vec<Scored<'_>> {
    let len = set.len();
    if count >= len {
        return set.iter(0..len).collect();
    }
    if let SortedSetRef::Big(_) = set
        && count < len / 4
    {
        // Few are drawn twice.
        let mut ranks = HashSet::with_capacity(count);
        while ranks.len() < count {
            ranks.insert(random::below(len as u64) as usize);
        }
        return ranks.into_iter().filter_map(|rank| set.get(rank)).collect();
    }
    // Each is taken with the chance that leaves the right number for the rest.
    let mut missing = count as u64;
    let members = set.iter(0..len).zip((1..=len as u64).rev());
    let mut chosen = members
        .filter(|(_, rest)| {
            let take = random::below(*rest) < missing;
            missing -= u64::from(take);
            take
        })
        .map(|(member, _)| member)
        .collect::<Vec<_>>();
    for last in (1..chosen.len()).rev() {
        chosen.swap(last, random::below(last as u64 + 1) as usize);
    }
    chosen
}

/// Draws members, each from all: the same one may come again. The set must not be empty.
fn draw<'a>(set: SortedSetRef<'a>, count: usize, mut each: impl FnMut(Scored<'a>)) {
    let packed = match set {
        SortedSetRef::Packed(_) => set.iter(0..set.len()).collect::<Vec<_>>(),
        SortedSetRef::Big(_) => Vec::new(),
    };
    for _ in 0..count {
        let rank = random::below(set.len() as u64) as usize;
        let drawn = packed.get(rank).copied().or_else(|| set.get(rank));
        each(drawn.expect("a rank below the number of members"));
    }
}
