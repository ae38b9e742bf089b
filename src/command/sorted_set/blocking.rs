//! BZPOPMIN, BZPOPMAX, BZMPOP.

use super::pop::{End, MultiPop, POPPED, POPS, try_pop, write_scored};
use super::view;
use crate::command::Blocked;
use crate::command::{Command, Cx, Flags, KeySpec, Result, timeout};
use crate::keyspace::Key;
use crate::resp::{Args, Reply};

const BLOCKS: Command = Command {
    arity: -3,
    flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::FAST),
    keys: &[KeySpec::range(1, -2, 1, POPPED)],
    ..POPS
};

pub const COMMANDS: &[Command] = &[
    Command { name: "bzpopmin", run: |cx, args, out| pop(cx, args, End::Min, out), ..BLOCKS },
    Command { name: "bzpopmax", run: |cx, args, out| pop(cx, args, End::Max, out), ..BLOCKS },
    Command {
        name: "bzmpop",
        arity: -5,
        flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::counted(2, 1, POPPED)],
        run: |cx, args, out| {
            let pop = MultiPop::parse(args.from(2))?;
            let deadline = timeout::seconds(args.at(1), cx.now)?;
            cx.first_or_block(deadline, Box::new(pop), |entry| view(entry).map(drop), out)
        },
        ..BLOCKS
    },
];

fn pop(cx: &mut Cx<'_>, args: Args<'_>, end: End, out: &mut Reply<'_>) -> Result {
    let deadline = timeout::seconds(args.at(args.len() - 1), cx.now)?;
    cx.first_or_block(deadline, Box::new(Pop(end)), |entry| view(entry).map(drop), out)
}

/// Another client may have put something else where a sorted set is waited for.
fn is_sorted_set(cx: &mut Cx<'_>, key: &Key<'_>) -> bool {
    cx.peek(key).is_some_and(|entry| view(entry).is_ok())
}

/// BZPOPMIN, BZPOPMAX.
struct Pop(End);

impl Blocked for Pop {
    fn attempt(&self, cx: &mut Cx<'_>, key: &Key<'_>, out: &mut Reply<'_>) -> Result<bool> {
        if !is_sorted_set(cx, key) {
            return Ok(false);
        }
        let popped = try_pop(cx, key, self.0, 1, |_, popped| {
            out.array(3);
            out.bulk(key.bytes);
            write_scored(out, popped);
        })?;
        if popped {
            cx.journal_as(key, [self.0.command(), key.bytes]);
        }
        Ok(popped)
    }
}

impl Blocked for MultiPop {
    fn attempt(&self, cx: &mut Cx<'_>, key: &Key<'_>, out: &mut Reply<'_>) -> Result<bool> {
        if is_sorted_set(cx, key) { self.try_pop(cx, key, out) } else { Ok(false) }
    }
}
