//! HRANDFIELD.

use super::{READS, read, reply};
use crate::command::sampling::{self, Sampler};
use crate::command::{Command, CommandError, Cx, Flags, Result};
use crate::resp::{Args, Protocol, Reply};
use crate::value::hash::Pair;

pub const COMMANDS: &[Command] = &[Command {
    name: "hrandfield",
    arity: -2,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    run: random_field,
    ..READS
}];

fn random_field(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let now = cx.now;
    let Some(count) = args.get(2) else {
        match read(cx)?.and_then(|hash| hash.draw(now)) {
            Some((field, _)) => reply(out, field),
            None => out.null(),
        }
        return Ok(());
    };
    let count = sampling::parse_count(count)?;
    let with_values = match args.get(3) {
        None => false,
        Some(word) if args.len() == 4 && word.eq_ignore_ascii_case(b"withvalues") => true,
        Some(_) => return Err(CommandError::SYNTAX),
    };
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(sampling::TOO_MANY);
    }
    let Some(hash) = read(cx)? else {
        out.array(0);
        return Ok(());
    };
    if count >= 0 {
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        let drawn = hash.sample(now, wanted);
        reply_header(out, drawn.len(), with_values);
        drawn.into_iter().for_each(|pair| reply_pair(out, pair, with_values));
        return Ok(());
    }
    let draws = sampling::draws(count, out)?;
    if draws < hash.len() {
        let pairs = hash.draw_many(now, draws);
        reply_header(out, pairs.len(), with_values);
        pairs.into_iter().for_each(|pair| reply_pair(out, pair, with_values));
        return Ok(());
    }
    let pairs = hash.pairs(now);
    if pairs.is_empty() {
        out.array(0);
        return Ok(());
    }
    let write = |out: &mut Reply<'_>, pair| reply_pair(out, pair, with_values);
    let sampler = Sampler::new(out, draws, pairs.into_iter(), write)?;
    reply_header(out, draws, with_values);
    sampler.write(draws, out);
    Ok(())
}

fn reply_header(out: &mut Reply<'_>, pairs: usize, with_values: bool) {
    let is_flat = with_values && out.protocol == Protocol::Resp2;
    out.array(if is_flat { 2 * pairs } else { pairs });
}

fn reply_pair(out: &mut Reply<'_>, (field, value): Pair<'_>, with_values: bool) {
    if with_values && out.protocol == Protocol::Resp3 {
        out.array(2);
    }
    reply(out, field);
    if with_values {
        reply(out, value);
    }
}
