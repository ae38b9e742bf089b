//! SPOP, SRANDMEMBER.

use super::{READ, change, read, reclaim, view, write_member};
use crate::command::sampling::{self, Sampler};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result, rewrite,
};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::set::Limits;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "spop",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Categories::SET,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        tips: &["nondeterministic_output"],
        group: Group::Set,
        run: spop,
        ..Command::DEFAULT
    },
    Command {
        name: "srandmember",
        arity: -2,
        flags: Flags::READONLY,
        acl: Categories::SET,
        keys: READ,
        tips: &["nondeterministic_output"],
        group: Group::Set,
        run: srandmember,
        ..Command::DEFAULT
    },
];

fn spop(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let count = match args.len() {
        2 => None,
        3 => {
            let count = parse_i64(args.at(2)).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(CommandError::OUT_OF_RANGE)?)
        }
        _ => return Err(CommandError::SYNTAX),
    };
    let (key, limits) = (cx.key(), Limits::of(cx.settings));
    let journaled = cx.is_journaled();
    let Some(mut entry) = cx.write(&key) else {
        if count.is_some() {
            out.set(0)
        } else {
            out.null()
        }
        return Ok(());
    };
    let len = view(entry.entry())?.len();
    let popped = count.unwrap_or(1).min(len);
    if count.is_some() {
        out.set(popped);
    }
    if popped == 0 {
        return Ok(());
    }
    if popped == len {
        view(entry.entry())?.iter().for_each(|member| write_member(out, member));
        cx.remove_and_free(&key);
        cx.changed_by(popped, "spop", &key);
        cx.event(cx.caller.db, "del", &key);
        rewrite::unlink(cx, &key);
        return Ok(());
    }
    let mut set = change(entry.entry_mut(), limits)?;
    let mut taken = rewrite::Words::default();
    let rest = set.pop(popped, |member| {
        write_member(out, member);
        if journaled {
            taken.push_element(member);
        }
    });
    if let Some(rest) = rest {
        reclaim(cx, rest);
    }
    cx.changed_by(popped, "spop", &key);
    taken.journal(cx, &key, b"SREM");
    Ok(())
}

fn srandmember(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let count = match args.len() {
        2 => {
            match read(cx, &key)?.and_then(|set| set.random()) {
                Some(member) => write_member(out, member),
                None => out.null(),
            }
            return Ok(());
        }
        3 => sampling::parse_count(args.at(2))?,
        _ => return Err(CommandError::SYNTAX),
    };
    let Some(set) = read(cx, &key)? else {
        out.array(0);
        return Ok(());
    };
    if count >= 0 {
        let members = set.sample(count as usize);
        out.array(members.len());
        members.into_iter().for_each(|member| write_member(out, member));
        return Ok(());
    }
    let draws = sampling::draws(count, out)?;
    if draws < set.len() {
        out.array(draws);
        set.draw(draws, |member| write_member(out, member));
    } else {
        let members = set.iter().collect::<Vec<_>>();
        let sampler = Sampler::new(out, draws, members.into_iter(), write_member)?;
        out.array(draws);
        sampler.write(draws, out);
    }
    Ok(())
}
