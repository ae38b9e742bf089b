//! Intersection, union and difference of sets of any encodings.
//!
//! Integers among themselves are merged. Two hash tables are walked through side by side. Otherwise
//! members go a batch at a time through the sets that they are looked for in, each hashed once for all of
//! them, with the cache misses of a batch overlapping.

use smallvec::SmallVec;

use super::hashtable::AHEAD;
use super::member::{BATCH, Distinct};
use super::{IntSet, Member, Set, SetRef, intset};
use crate::number::parse_i64;
use crate::value::packed::Element;

/// The members of a result, each once.
pub enum Found<'a> {
    /// In ascending order.
    Integers(Vec<i64>),
    Members(Vec<Member<'a>>),
    /// All members of a set, and others that it does not have.
    Grown(&'a Set, Vec<Member<'a>>),
}

impl<'a> Found<'a> {
    pub const NOTHING: Found<'static> = Found::Members(Vec::new());

    pub fn len(&self) -> usize {
        match self {
            Found::Integers(numbers) => numbers.len(),
            Found::Members(members) => members.len(),
            Found::Grown(set, more) => set.len() + more.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether each member's text is that of a number.
    pub fn is_all_integers(&self) -> bool {
        let all = |members: &[Member<'_>]| members.iter().all(|member| member.number().is_some());
        match self {
            Found::Integers(_) => true,
            Found::Members(members) => all(members),
            Found::Grown(set, more) => {
                all(more) && set.iter().all(|text| parse_i64(text).is_some())
            }
        }
    }

    pub fn for_each(&self, mut each: impl FnMut(Element<'a>)) {
        match self {
            Found::Integers(numbers) => {
                numbers.iter().for_each(|number| each(Element::Int(*number)));
            }
            Found::Members(members) => for_each_ahead(members, each),
            Found::Grown(set, more) => {
                set.iter().for_each(|text| each(Element::Bytes(text)));
                for_each_ahead(more, each);
            }
        }
    }
}

/// Prefetches each member's text some steps before it is used.
fn for_each_ahead<'a>(members: &[Member<'a>], mut each: impl FnMut(Element<'a>)) {
    for (index, member) in members.iter().enumerate() {
        if let Some(later) = members.get(index + AHEAD) {
            later.prefetch();
        }
        each(member.element());
    }
}

/// The intsets, if all are.
fn integers<'a>(sets: &[SetRef<'a>]) -> Option<SmallVec<[IntSet<'a>; 4]>> {
    let integers = sets.iter().map(|set| match set {
        SetRef::IntSet(set) => Some(*set),
        _ => None,
    });
    integers.collect()
}

fn merge(sets: &[IntSet<'_>], operation: fn(&[i64], &[i64]) -> Vec<i64>) -> Vec<i64> {
    let [first, others @ ..] = sets else { return Vec::new() };
    others.iter().fold(first.to_vec(), |result, other| operation(&result, &other.to_vec()))
}

/// Up to `limit` members that all sets have. It is fastest if the sets are in ascending order of
/// their sizes.
pub fn intersection<'a>(sets: &[SetRef<'a>], limit: usize) -> Found<'a> {
    if let Some(sets) = integers(sets) {
        let mut common = merge(&sets, intset::intersection);
        common.truncate(limit);
        return Found::Integers(common);
    }
    Found::Members(match sets {
        [] => Vec::new(),
        // The whole intersection of the first two is computed before the others are searched, unless
        // a few members suffice.
        [SetRef::Table(first), SetRef::Table(second), others @ ..]
            if are_alike(first, second) && (others.is_empty() || limit == usize::MAX) =>
        {
            let shared = first.filter_by(second, true, limit);
            filter_in_batches(shared, others, true)
        }
        [first, others @ ..] => {
            passing(first.iter().map(Member::new), limit, |batch| filter_batch(batch, others, true))
        }
    })
}

/// A table is compared bucket by bucket with another that has up to so many times its members. Beyond
/// that, looking each member up is less work.
const ALIKE: usize = 8;

fn are_alike(set: &Set, other: &Set) -> bool {
    other.len() / ALIKE <= set.len()
}

/// The members that any of the sets has, in the order of the sets.
pub fn union<'a>(sets: &[SetRef<'a>]) -> Found<'a> {
    if let Some(sets) = integers(sets) {
        return Found::Integers(merge(&sets, intset::union));
    }
    if let [SetRef::Table(first), SetRef::Table(second)] = sets
        && are_alike(second, first)
    {
        return Found::Grown(first, second.filter_by(first, false, usize::MAX));
    }
    let (largest, total) = sets
        .iter()
        .fold((0, 0), |(largest, total), set| (set.len().max(largest), set.len() + total));
    // At most twice the room that it may need: similar sets have a small union.
    let mut all = Distinct::with_capacity(total.min(2 * largest));
    sets.iter().for_each(|set| all.extend(set.iter()));
    Found::Members(all.into_members())
}

/// The members of `first` that none of the others has.
pub fn difference<'a>(first: SetRef<'a>, others: &[SetRef<'a>]) -> Found<'a> {
    let all: SmallVec<[SetRef<'_>; 4]> =
        [first].into_iter().chain(others.iter().copied()).collect();
    if let Some(sets) = integers(&all) {
        return Found::Integers(merge(&sets, intset::difference));
    }
    // Either each member is looked up in each of the others, or the union of those is built first.
    let total: usize = others.iter().map(SetRef::len).sum();
    let members = first.iter().map(Member::new);
    let rest = if first.len().saturating_mul(others.len()) > first.len() + total {
        let mut excluded = Distinct::default();
        others.iter().for_each(|set| excluded.extend(set.iter()));
        passing(members, usize::MAX, |batch| batch.retain(|member| !excluded.contains(member)))
    } else if let (SetRef::Table(set), [SetRef::Table(other), others @ ..]) = (first, others)
        && are_alike(set, other)
    {
        let rest = set.filter_by(other, false, usize::MAX);
        filter_in_batches(rest, others, false)
    } else {
        passing(members, usize::MAX, |batch| filter_batch(batch, others, false))
    };
    Found::Members(rest)
}

/// Leaves in a batch the members that all of the others have, or else those that none has.
fn filter_batch(batch: &mut Vec<Member<'_>>, others: &[SetRef<'_>], shared: bool) {
    for other in others {
        other.prefetch(batch);
        batch.retain(|member| other.has(member) == shared);
    }
}

/// As [`filter_batch`], of any number of members.
fn filter_in_batches<'a>(
    members: Vec<Member<'a>>,
    others: &[SetRef<'_>],
    shared: bool,
) -> Vec<Member<'a>> {
    if others.is_empty() {
        return members;
    }
    passing(members.into_iter(), usize::MAX, |batch| filter_batch(batch, others, shared))
}

/// Up to `limit` of the members that `filter` leaves in their batch.
fn passing<'a>(
    members: impl Iterator<Item = Member<'a>>,
    limit: usize,
    mut filter: impl FnMut(&mut Vec<Member<'a>>),
) -> Vec<Member<'a>> {
    let mut members = members.fuse();
    let mut passed = Vec::new();
    let mut batch = Vec::with_capacity(BATCH);
    while passed.len() < limit {
        batch.extend(members.by_ref().take(BATCH));
        if batch.is_empty() {
            break;
        }
        filter(&mut batch);
        passed.append(&mut batch);
    }
    passed.truncate(limit);
    passed
}
