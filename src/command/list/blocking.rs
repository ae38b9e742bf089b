//! BLPOP, BRPOP, BLMOVE, BRPOPLPUSH, BLMPOP.

use super::pop::Wanted;
use super::*;
use crate::command::Blocked;
use crate::command::timeout;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "blpop",
        arity: -3,
        flags: Flags::WRITE.union(Flags::BLOCKING),
        keys: &[KeySpec::range(1, -2, 1, POPS)],
        run: |cx, args, out| pop_or_block(cx, args, out, End::Head),
        ..LIST
    },
    Command {
        name: "brpop",
        arity: -3,
        flags: Flags::WRITE.union(Flags::BLOCKING),
        keys: &[KeySpec::range(1, -2, 1, POPS)],
        run: |cx, args, out| pop_or_block(cx, args, out, End::Tail),
        ..LIST
    },
    Command {
        name: "blmove",
        arity: 6,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BLOCKING),
        keys: transfer::KEYS,
        run: |cx, args, out| {
            let (from, to) = (end(args.at(3))?, end(args.at(4))?);
            transfer_or_block(cx, from, to, args.at(5), out)
        },
        ..LIST
    },
    Command {
        name: "brpoplpush",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BLOCKING),
        keys: transfer::KEYS,
        run: |cx, args, out| transfer_or_block(cx, End::Tail, End::Head, args.at(3), out),
        ..LIST
    },
    Command {
        name: "blmpop",
        arity: -5,
        flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::counted(2, 1, POPS)],
        run: |cx, args, out| {
            let wanted = Wanted::parse(args, 2)?;
            let deadline = timeout::seconds(args.at(1), cx.now)?;
            cx.first_or_block(deadline, Box::new(wanted), |entry| entry.list().map(drop), out)
        },
        ..LIST
    },
];

impl Blocked for Wanted {
    fn attempt(&self, cx: &mut Cx<'_>, key: &Key<'_>, out: &mut Reply<'_>) -> Result<bool> {
        if is_list(cx, key) { self.pop(cx, key, out) } else { Ok(false) }
    }
}

/// Another client may have put something else where a list is waited for.
fn is_list(cx: &mut Cx<'_>, key: &Key<'_>) -> bool {
    cx.peek(key).is_some_and(|entry| entry.list().is_ok())
}

/// BLPOP, BRPOP.
struct Pop(End);

impl Blocked for Pop {
    fn attempt(&self, cx: &mut Cx<'_>, key: &Key<'_>, out: &mut Reply<'_>) -> Result<bool> {
        if !is_list(cx, key) {
            return Ok(false);
        }
        out.array(2);
        out.bulk(key.bytes);
        let popped = pop::pop(cx, key, self.0, out)?;
        if popped {
            cx.journal_as(key, [pop_name(self.0), key.bytes]);
        }
        Ok(popped)
    }
}

fn pop_or_block(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>, end: End) -> Result {
    let deadline = timeout::seconds(args.at(args.len() - 1), cx.now)?;
    cx.first_or_block(deadline, Box::new(Pop(end)), |entry| entry.list().map(drop), out)
}

/// BLMOVE, BRPOPLPUSH.
struct Transfer {
    from: End,
    to: End,
    target: Box<[u8]>,
}

impl Blocked for Transfer {
    fn attempt(&self, cx: &mut Cx<'_>, key: &Key<'_>, out: &mut Reply<'_>) -> Result<bool> {
        if !is_list(cx, key) {
            return Ok(false);
        }
        transfer(cx, (key, self.from), (&Key::new(&self.target), self.to), out)
    }

    fn refuse(&self, out: &mut Reply<'_>) {
        out.null();
    }

    fn uses_other_keys(&self) -> bool {
        true
    }
}

/// As LMOVE does, which is what is journaled.
fn transfer(
    cx: &mut Cx<'_>,
    source: (&Key<'_>, End),
    target: (&Key<'_>, End),
    out: &mut Reply<'_>,
) -> Result<bool> {
    let moved = transfer::transfer(cx, source, target, out)?;
    if moved {
        let word = |end| match end {
            End::Head => &b"LEFT"[..],
            End::Tail => b"RIGHT",
        };
        let ((source, from), (target, to)) = (source, target);
        cx.journal_as(source, [b"LMOVE", source.bytes, target.bytes, word(from), word(to)]);
    }
    Ok(moved)
}

fn transfer_or_block(
    cx: &mut Cx<'_>,
    from: End,
    to: End,
    time: &[u8],
    out: &mut Reply<'_>,
) -> Result {
    let deadline = timeout::seconds(time, cx.now)?;
    let (source, target) = (cx.keys[0], cx.keys[1]);
    if transfer(cx, (&source, from), (&target, to), out)? {
        return Ok(());
    }
    let blocked = Transfer { from, to, target: target.bytes.into() };
    cx.block(&[source], deadline, Box::new(blocked), out);
    Ok(())
}
