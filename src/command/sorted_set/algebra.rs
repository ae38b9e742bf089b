//! ZUNION, ZINTER, ZDIFF, and those that store or count what they give.
//!
//! A plain set is as good an input as a sorted set: its members have the score 1.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::{READS, store, write_members};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, Handler, KeyFlags, KeySpec, Result,
};
use crate::keyspace::Key;
use crate::number::{parse_f64, parse_i64};
use crate::resp::{Args, Reply};
use crate::value::Entry;
use crate::value::packed::Element;
use crate::value::set::SetRef;
use crate::value::sorted_set::{Builder, Limits, Scored, SortedSet, SortedSetRef, from_sorted};

const SOURCE: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);

const SOURCES: &[KeySpec] = &[KeySpec::counted(1, 1, SOURCE)];

const TARGET_AND_SOURCES: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)), KeySpec::counted(2, 1, SOURCE)];

const fn replies(name: &'static str, run: Handler) -> Command {
    Command {
        name,
        arity: -3,
        flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
        keys: SOURCES,
        run,
        ..READS
    }
}

const fn stores(name: &'static str, run: Handler) -> Command {
    Command {
        name,
        arity: -4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
        acl: Categories::SORTEDSET,
        keys: TARGET_AND_SOURCES,
        group: Group::SortedSet,
        run,
        ..Command::DEFAULT
    }
}

pub const COMMANDS: &[Command] = &[
    replies("zunion", |cx, args, out| reply(cx, args, "zunion", Operation::Union, out)),
    replies("zinter", |cx, args, out| reply(cx, args, "zinter", Operation::Intersection, out)),
    replies("zdiff", |cx, args, out| reply(cx, args, "zdiff", Operation::Difference, out)),
    stores("zunionstore", |cx, args, out| {
        combine_and_store(cx, args, "zunionstore", Operation::Union, out)
    }),
    stores("zinterstore", |cx, args, out| {
        combine_and_store(cx, args, "zinterstore", Operation::Intersection, out)
    }),
    stores("zdiffstore", |cx, args, out| {
        combine_and_store(cx, args, "zdiffstore", Operation::Difference, out)
    }),
    replies("zintercard", zintercard),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How the scores of a member in several inputs become one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    #[inline]
    fn of(self, score: f64, other: f64) -> f64 {
        match self {
            Aggregate::Sum => {
                let sum = score + other;
                // Of opposite infinities.
                if sum.is_nan() { 0.0 } else { sum }
            }
            Aggregate::Min if other < score => other,
            Aggregate::Max if other > score => other,
            Aggregate::Min | Aggregate::Max => score,
        }
    }
}

/// One of the collections that are combined.
#[derive(Clone, Copy)]
struct Input<'a> {
    members: Members<'a>,
    weight: f64,
}

#[derive(Clone, Copy)]
enum Members<'a> {
    None,
    Sorted(SortedSetRef<'a>),
    Plain(SetRef<'a>),
}

/// What a member of a plain set counts for.
const PLAIN_SCORE: f64 = 1.0;

impl<'a> Input<'a> {
    fn of(entry: Option<&'a Entry>) -> Result<Input<'a>> {
        let members = match entry {
            None => Members::None,
            Some(entry) => match SortedSetRef::new(entry.value()) {
                Some(set) => Members::Sorted(set),
                None => Members::Plain(SetRef::new(entry.value()).ok_or(CommandError::WRONG_TYPE)?),
            },
        };
        Ok(Input { members, weight: 1.0 })
    }

    fn len(&self) -> usize {
        match self.members {
            Members::None => 0,
            Members::Sorted(set) => set.len(),
            Members::Plain(set) => set.len(),
        }
    }

    /// A score as this input counts it.
    #[inline]
    fn weighted(&self, score: f64) -> f64 {
        let score = self.weight * score;
        // Of an infinity and zero.
        if score.is_nan() { 0.0 } else { score }
    }

    /// A member's weighted score. Unlike where this input's members are gone through, Valkey leaves
    /// what is not a number to the aggregation.
    fn score(&self, member: &[u8]) -> Option<f64> {
        let score = match self.members {
            Members::None => None,
            Members::Sorted(set) => set.score(member),
            Members::Plain(set) => set.contains(member).then_some(PLAIN_SCORE),
        };
        score.map(|score| self.weight * score)
    }

    fn for_each(&self, mut each: impl FnMut(Element<'a>, f64)) {
        match self.members {
            Members::None => {}
            Members::Sorted(set) => {
                set.iter(0..set.len()).for_each(|(m, score)| each(m, self.weighted(score)));
            }
            Members::Plain(set) => set.iter().for_each(|m| each(m, self.weighted(PLAIN_SCORE))),
        }
    }
}

/// How many keys there are, from that argument on.
fn key_count(args: Args<'_>, at: usize, name: &str) -> Result<usize> {
    let count = parse_i64(args.at(at)).ok_or(CommandError::NOT_INTEGER)?;
    match usize::try_from(count) {
        Err(_) | Ok(0) => {
            Err(format!("ERR at least 1 input key is needed for '{name}' command").into())
        }
        Ok(count) if count > args.len() - at - 1 => Err(CommandError::SYNTAX),
        Ok(count) => Ok(count),
    }
}

type Inputs<'c> = SmallVec<[Input<'c>; 4]>;

/// The inputs, in the order of the keys; another type than a set or a sorted set is an error before any
/// other.
fn read_inputs<'c>(cx: &'c mut Cx<'_>, keys: &[Key<'_>]) -> Result<Inputs<'c>> {
    cx.read_all(keys).into_iter().map(Input::of).collect()
}

/// What may follow the keys.
struct Options {
    aggregate: Aggregate,
    with_scores: bool,
}

impl Options {
    fn parse(
        words: Args<'_>,
        operation: Operation,
        replies: bool,
        inputs: &mut [Input<'_>],
    ) -> Result<Options> {
        let combines = operation != Operation::Difference;
        let mut options = Options { aggregate: Aggregate::Sum, with_scores: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            if combines && is(b"weights") && words.len() >= inputs.len() {
                for (input, weight) in inputs.iter_mut().zip(&mut words) {
                    input.weight = parse_f64(weight)
                        .ok_or(CommandError::of("ERR weight value is not a float"))?;
                }
            } else if combines && is(b"aggregate") && words.len() > 0 {
                let word = words.next().unwrap_or_default();
                options.aggregate = match word {
                    word if word.eq_ignore_ascii_case(b"sum") => Aggregate::Sum,
                    word if word.eq_ignore_ascii_case(b"min") => Aggregate::Min,
                    word if word.eq_ignore_ascii_case(b"max") => Aggregate::Max,
                    _ => return Err(CommandError::SYNTAX),
                };
            } else if replies && is(b"withscores") {
                options.with_scores = true;
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(options)
    }
}

/// What an operation gives.
enum Combined<'c> {
    /// In ascending order, each member once.
    Members(Vec<Scored<'c>>),
    /// With texts of their own.
    Built(Builder),
}

fn combine<'c>(mut inputs: Inputs<'c>, operation: Operation, aggregate: Aggregate) -> Combined<'c> {
    match operation {
        Operation::Union => {
            // Also the order in which scores are added up.
            inputs.sort_by_key(Input::len);
            Combined::Built(union(&inputs, aggregate))
        }
        Operation::Intersection => {
            inputs.sort_by_key(Input::len);
            let mut found = Vec::new();
            intersect(&inputs, aggregate, |member, score| {
                found.push((member, score));
                true
            });
            Combined::Members(ordered(found))
        }
        Operation::Difference => Combined::Members(ordered(difference(&inputs))),
    }
}

fn union(inputs: &[Input<'_>], aggregate: Aggregate) -> Builder {
    // No more than the largest are certain.
    let mut built = Builder::with_capacity(inputs.last().map_or(0, Input::len));
    let mut digits = itoa::Buffer::new();
    for input in inputs {
        input.for_each(|member, score| {
            let combine = |sum, score| aggregate.of(sum, score);
            built.add(member.bytes(&mut digits), score, combine);
        });
    }
    built
}

/// Calls `each` for what is in all inputs, of which the first is the smallest, until it is false.
fn intersect<'c>(
    inputs: &[Input<'c>],
    aggregate: Aggregate,
    mut each: impl FnMut(Element<'c>, f64) -> bool,
) {
    let Some((first, others)) = inputs.split_first() else { return };
    let mut digits = itoa::Buffer::new();
    let mut goes_on = true;
    first.for_each(|member, score| {
        if !goes_on {
            return;
        }
        let bytes = member.bytes(&mut digits);
        let total = others.iter().try_fold(score, |total, other| {
            other.score(bytes).map(|score| aggregate.of(total, score))
        });
        if let Some(total) = total {
            goes_on = each(member, total);
        }
    });
}

fn difference<'c>(inputs: &[Input<'c>]) -> Vec<Scored<'c>> {
    let mut found = Vec::new();
    if let Some((first, others)) = inputs.split_first() {
        let mut digits = itoa::Buffer::new();
        first.for_each(|member, score| {
            let bytes = member.bytes(&mut digits);
            if others.iter().all(|other| other.score(bytes).is_none()) {
                found.push((member, score));
            }
        });
    }
    found
}

fn ordered(mut members: Vec<Scored<'_>>) -> Vec<Scored<'_>> {
    members.sort_by(|(member, score), (other, other_score)| {
        let by_score = score.partial_cmp(other_score).unwrap_or(Ordering::Equal);
        by_score.then_with(|| {
            let (mut digits, mut other_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
            member.bytes(&mut digits).cmp(other.bytes(&mut other_digits))
        })
    });
    members
}

fn reply(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    name: &str,
    operation: Operation,
    out: &mut Reply<'_>,
) -> Result {
    let count = key_count(args, 1, name)?;
    let keys = cx.keys;
    let mut inputs = read_inputs(cx, keys)?;
    let options = Options::parse(args.from(2 + count), operation, true, &mut inputs)?;
    match combine(inputs, operation, options.aggregate) {
        Combined::Members(members) => {
            write_members(out, options.with_scores, members.len(), members.into_iter());
        }
        Combined::Built(built) => {
            let set: SortedSet = built.finish();
            let members = SortedSetRef::Big(&set).iter(0..set.len());
            write_members(out, options.with_scores, set.len(), members);
        }
    }
    Ok(())
}

fn combine_and_store(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    name: &'static str,
    operation: Operation,
    out: &mut Reply<'_>,
) -> Result {
    let count = key_count(args, 2, name)?;
    let (limits, target, sources) = (Limits::of(cx.settings), cx.key(), &cx.keys[1..]);
    let mut inputs = read_inputs(cx, sources)?;
    let options = Options::parse(args.from(3 + count), operation, false, &mut inputs)?;
    let (len, entry) = entry_of(combine(inputs, operation, options.aggregate), &target, limits);
    store(cx, name, &target, entry);
    out.integer(len as i64);
    Ok(())
}

fn entry_of(combined: Combined<'_>, key: &Key<'_>, limits: Limits) -> (usize, Option<Entry>) {
    match combined {
        Combined::Members(members) => {
            let entry = || from_sorted(key.bytes, &members, limits);
            (members.len(), (!members.is_empty()).then(entry))
        }
        Combined::Built(built) => {
            let len = built.len();
            (len, (len > 0).then(|| built.into_entry(key.bytes, limits)))
        }
    }
}

fn zintercard(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let count = key_count(args, 1, "zintercard")?;
    let keys = cx.keys;
    let mut inputs = read_inputs(cx, keys)?;
    let mut limit = usize::MAX;
    let mut words = args.from(2 + count).iter();
    while let Some(word) = words.next() {
        let value = words.next().filter(|_| word.eq_ignore_ascii_case(b"limit"));
        let value = parse_i64(value.ok_or(CommandError::SYNTAX)?);
        let value = value.and_then(|value| usize::try_from(value).ok());
        limit = match value.ok_or(CommandError::of("ERR LIMIT can't be negative"))? {
            0 => usize::MAX,
            limit => limit,
        };
    }
    inputs.sort_by_key(Input::len);
    let mut found = 0;
    intersect(&inputs, Aggregate::Sum, |_, _| {
        found += 1;
        found < limit
    });
    out.integer(found as i64);
    Ok(())
}
