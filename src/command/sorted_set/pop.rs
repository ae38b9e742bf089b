//! ZPOPMIN, ZPOPMAX, ZMPOP, and what their blocking kin do once they need not wait.

use super::{change, view, write_member, write_members};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result,
};
use crate::keyspace::Key;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::sorted_set::{Limits, Scored};

pub(super) const POPPED: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

pub(super) const POPS: Command = Command {
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    acl: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, POPPED)],
    group: Group::SortedSet,
    ..Command::DEFAULT
};

pub const COMMANDS: &[Command] = &[
    Command { name: "zpopmin", run: |cx, args, out| zpop(cx, args, End::Min, out), ..POPS },
    Command { name: "zpopmax", run: |cx, args, out| zpop(cx, args, End::Max, out), ..POPS },
    Command {
        name: "zmpop",
        arity: -4,
        flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::counted(1, 1, POPPED)],
        run: zmpop,
        ..POPS
    },
];

/// Where members are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Min,
    Max,
}

impl End {
    fn parse(word: &[u8]) -> Option<End> {
        match word {
            word if word.eq_ignore_ascii_case(b"min") => Some(End::Min),
            word if word.eq_ignore_ascii_case(b"max") => Some(End::Max),
            _ => None,
        }
    }

    /// The command that takes from there.
    pub(super) fn command(self) -> &'static [u8] {
        match self {
            End::Min => b"ZPOPMIN",
            End::Max => b"ZPOPMAX",
        }
    }

    fn event(self) -> &'static str {
        match self {
            End::Min => "zpopmin",
            End::Max => "zpopmax",
        }
    }
}

/// Takes at most `count` members, which must not be 0, out of the sorted set at `key`, the outermost
/// first. `reply` gets them, and how many they are. Says whether there is a sorted set.
pub fn try_pop(
    cx: &mut Cx<'_>,
    key: &Key<'_>,
    end: End,
    count: usize,
    reply: impl FnOnce(usize, &mut dyn Iterator<Item = Scored<'_>>),
) -> Result<bool> {
    let limits = Limits::of(cx.settings);
    let Some(mut entry) = cx.write(key) else { return Ok(false) };
    let set = view(entry.entry())?;
    let len = set.len();
    let popped = count.min(len);
    let ranks = match end {
        End::Min => 0..popped,
        End::Max => len - popped..len,
    };
    match end {
        End::Min => reply(popped, &mut set.iter(ranks.clone())),
        End::Max => reply(popped, &mut set.iter(ranks.clone()).rev()),
    }
    if popped < len {
        let mut set = change(entry.entry_mut(), limits)?;
        set.remove_range(ranks);
        // Who pops once does so again.
        let left = len - popped;
        match end {
            End::Min => set.view().prefetch_removal(0, 1),
            End::Max => set.view().prefetch_removal(left - 1, left.saturating_sub(2)),
        }
    }
    cx.changed_by(popped, end.event(), key);
    if popped == len {
        cx.remove_emptied(key);
    }
    Ok(true)
}

fn zpop(cx: &mut Cx<'_>, args: Args<'_>, end: End, out: &mut Reply<'_>) -> Result {
    let count = match args.len() {
        2 => None,
        3 => {
            let count = parse_i64(args.at(2)).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(CommandError::OUT_OF_RANGE)?)
        }
        _ => return Err(CommandError::SYNTAX),
    };
    let key = cx.key();
    let found = match count {
        Some(0) => {
            cx.write(&key).map(|entry| view(entry.entry()).map(|_| ())).transpose()?;
            false
        }
        Some(count) => try_pop(cx, &key, end, count, |len, popped| {
            write_members(out, true, len, popped);
        })?,
        None => try_pop(cx, &key, end, 1, |_, popped| {
            out.array(2);
            write_scored(out, popped);
        })?,
    };
    if !found {
        out.array(0);
    }
    Ok(())
}

/// Members and scores, one after the other.
pub(super) fn write_scored(out: &mut Reply<'_>, popped: &mut dyn Iterator<Item = Scored<'_>>) {
    popped.for_each(|(member, score)| {
        write_member(out, member);
        out.double(score);
    });
}

/// What ZMPOP and BZMPOP take: the keys are the command's, the rest stands here.
#[derive(Clone, Copy)]
pub struct MultiPop {
    pub end: End,
    pub count: usize,
}

impl MultiPop {
    /// Reads the arguments from the number of keys on.
    pub fn parse(args: Args<'_>) -> Result<MultiPop> {
        let positive = |text: &[u8]| {
            parse_i64(text).and_then(|n| usize::try_from(n).ok()).filter(|number| *number > 0)
        };
        let keys =
            positive(args.at(0)).ok_or(CommandError::of("ERR numkeys should be greater than 0"))?;
        let end = keys.checked_add(1).and_then(|at| args.get(at)).ok_or(CommandError::SYNTAX)?;
        let end = End::parse(end).ok_or(CommandError::SYNTAX)?;
        let mut count = None;
        let mut options = args.from(keys + 2).iter();
        while let Some(option) = options.next() {
            let is_count = count.is_none() && option.eq_ignore_ascii_case(b"count");
            let value = options.next().filter(|_| is_count).ok_or(CommandError::SYNTAX)?;
            let value = positive(value);
            count = Some(value.ok_or(CommandError::of("ERR count should be greater than 0"))?);
        }
        let count = count.unwrap_or(1);
        Ok(MultiPop { end, count })
    }

    /// Pops from `key`; the reply names it.
    pub fn try_pop(self, cx: &mut Cx<'_>, key: &Key<'_>, out: &mut Reply<'_>) -> Result<bool> {
        let popped = try_pop(cx, key, self.end, self.count, |len, popped| {
            out.array(2);
            out.bulk(key.bytes);
            out.array(len);
            popped.for_each(|(member, score)| {
                out.array(2);
                write_member(out, member);
                out.double(score);
            });
        })?;
        if popped && cx.is_journaled() {
            let mut digits = itoa::Buffer::new();
            let count = digits.format(self.count).as_bytes();
            cx.journal_as(key, [self.end.command(), key.bytes, count]);
        }
        Ok(popped)
    }
}

fn zmpop(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let pop = MultiPop::parse(args.from(1))?;
    for key in cx.keys {
        if pop.try_pop(cx, key, out)? {
            return Ok(());
        }
    }
    out.null_array();
    Ok(())
}
