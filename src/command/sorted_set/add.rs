//! ZADD, ZINCRBY.

use smallvec::SmallVec;

use super::{change, view};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result,
};
use crate::keyspace::Key;
use crate::number::parse_f64;
use crate::resp::{Args, Reply};
use crate::value::Entry;
use crate::value::sorted_set::{self, Limits, Put, SortedSetMut};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "zadd",
        arity: -4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        acl: Categories::SORTEDSET,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        group: Group::SortedSet,
        run: zadd,
        ..Command::DEFAULT
    },
    Command {
        name: "zincrby",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        acl: Categories::SORTEDSET,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
        group: Group::SortedSet,
        run: |cx, args, out| {
            let rules = Rules { increment: true, ..Rules::default() };
            add(cx, rules, args.from(2), out)
        },
        ..Command::DEFAULT
    },
];

/// Which members get their scores, and how.
#[derive(Clone, Copy, Default)]
pub struct Rules {
    /// NX: only new members.
    pub only_new: bool,
    /// XX: only members that are there.
    pub only_known: bool,
    /// GT: only greater scores.
    greater: bool,
    /// LT: only lower scores.
    less: bool,
    /// CH: changed members are counted too.
    pub count_changed: bool,
    /// INCR: the score is added to the present one.
    increment: bool,
}

impl Rules {
    /// Takes a word that is one of them.
    fn take(&mut self, word: &[u8]) -> bool {
        let rules: [(&[u8], &mut bool); 6] = [
            (b"nx", &mut self.only_new),
            (b"xx", &mut self.only_known),
            (b"gt", &mut self.greater),
            (b"lt", &mut self.less),
            (b"ch", &mut self.count_changed),
            (b"incr", &mut self.increment),
        ];
        let rule = rules.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
        rule.map(|(_, rule)| *rule = true).is_some()
    }

    /// The score that a member gets, if it gets one.
    fn choose(self, old: Option<f64>, score: f64) -> Option<f64> {
        let Some(old) = old else { return (!self.only_known).then_some(score) };
        let new = if self.increment { old + score } else { score };
        let stays = self.only_new || (self.greater && new <= old) || (self.less && new >= old);
        (!stays).then_some(new)
    }
}

fn zadd(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let mut rules = Rules::default();
    let taken = args.from(2).iter().take_while(|word| rules.take(word)).count();
    let pairs = args.from(2 + taken);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(CommandError::SYNTAX);
    }
    if rules.only_new && rules.only_known {
        return Err("ERR XX and NX options at the same time are not compatible".into());
    }
    if (rules.greater && (rules.less || rules.only_new)) || (rules.less && rules.only_new) {
        return Err("ERR GT, LT, and/or NX options at the same time are not compatible".into());
    }
    if rules.increment && pairs.len() > 2 {
        return Err("ERR INCR option supports a single increment-element pair".into());
    }
    add(cx, rules, pairs, out)
}

/// Gives members their scores; `pairs` are scores, each followed by its member.
fn add(cx: &mut Cx<'_>, rules: Rules, pairs: Args<'_>, out: &mut Reply<'_>) -> Result {
    let members = pairs.from(1).iter().step_by(2);
    let scores = pairs.iter().step_by(2).map(parse_f64);
    let pairs: Option<SmallVec<[(&[u8], f64); 4]>> =
        members.zip(scores).map(|(member, score)| Some((member, score?))).collect();
    add_scored(cx, rules, &pairs.ok_or(CommandError::NOT_FLOAT)?, out)
}

/// Gives members their scores, and replies. Also what GEOADD does.
pub fn add_scored(
    cx: &mut Cx<'_>,
    rules: Rules,
    pairs: &[(&[u8], f64)],
    out: &mut Reply<'_>,
) -> Result {
    let (key, limits) = (cx.key(), Limits::of(cx.settings));
    let done = match cx.write(&key) {
        Some(mut entry) => apply(&mut change(entry.entry_mut(), limits)?, rules, pairs)?,
        None if rules.only_known => Done::default(),
        None => {
            let mut entry = Entry::new(key.bytes, sorted_set::EMPTY, None);
            let done = apply(&mut change(&mut entry, limits)?, rules, pairs)?;
            if !view(&entry)?.is_empty() {
                cx.insert(&key, entry);
            }
            done
        }
    };
    report(cx, &key, rules, done, out);
    Ok(())
}

/// What came of it.
#[derive(Default)]
struct Done {
    added: usize,
    updated: usize,
    /// The last member's score, if the rules gave it one.
    score: Option<f64>,
}

fn apply(set: &mut SortedSetMut<'_>, rules: Rules, pairs: &[(&[u8], f64)]) -> Result<Done> {
    let longest = pairs.iter().map(|(member, _)| member.len()).max().unwrap_or(0);
    set.expect(pairs.len(), longest);
    let mut done = Done::default();
    for &(member, score) in pairs {
        done.score = None;
        let put = set.put(member, |old| {
            done.score = rules.choose(old, score);
            done.score
        });
        if done.score.is_some_and(f64::is_nan) {
            return Err("ERR resulting score is not a number (NaN)".into());
        }
        match put {
            Put::Added => done.added += 1,
            Put::Updated => done.updated += 1,
            Put::Unchanged => {}
        }
    }
    Ok(done)
}

fn report(cx: &mut Cx<'_>, key: &Key<'_>, rules: Rules, done: Done, out: &mut Reply<'_>) {
    let event = if rules.increment { "zincr" } else { "zadd" };
    cx.changed_by(done.added + done.updated, event, key);
    let counted = if rules.count_changed { done.added + done.updated } else { done.added };
    match done.score {
        _ if !rules.increment => out.integer(counted as i64),
        Some(score) => out.double(score),
        None => out.null(),
    }
}
