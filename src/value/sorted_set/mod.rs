//! Sorted sets: strings in the order of their scores, each once.
//!
//! A small one is a [listpack](self::listpack) inside its entry; a big one is a [`SortedSet`].
//! [`SortedSetRef`] reads a sorted set of either encoding, [`SortedSetMut`] changes one and converts it
//! where a limit is passed. Members of equal score are in the order of their bytes. Ranks count from 0
//! in ascending order.

mod handle;
mod listpack;
mod range;
mod skiplist;
mod tree;

use std::ops::Range;

use listpack::Pairs;
pub use range::{LexRange, ScoreRange};
pub use skiplist::{Builder, Put, SortedSet};

use super::entry::Value;
use super::packed::{self, Element, Packed};
use super::splice::Splice;
use super::{Entry, Object, PackedKind, ValueRef};
use crate::config::Settings;
use crate::random;

/// How large a sorted set may be in a listpack.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub members: usize,
    /// Bytes of the longest member.
    pub bytes: usize,
}

/// Bytes of the largest sorted set that lies inside its entry, whatever the limits of the configuration.
const MAX_PACKED: usize = 1 << 30;

impl Limits {
    /// The limits of a listpack that admit none.
    pub const NONE: Limits = Limits { members: 0, bytes: 0 };

    pub fn of(settings: &Settings) -> Limits {
        // A limit beyond the address space is none.
        let limit = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Limits {
            members: limit(settings.zset_max_listpack_entries),
            bytes: limit(settings.zset_max_listpack_value),
        }
    }

    /// Whether a listpack may have so many members, the longest of so many bytes.
    pub fn admit(&self, members: usize, longest: usize) -> bool {
        members <= self.members && longest <= self.bytes
    }
}

/// The encoding with which every sorted set begins.
pub const EMPTY: Value<'static> = Value::Packed(PackedKind::SortedSet, packed::EMPTY);

/// Members, as a sorted set of either encoding has them.
pub type Scored<'a> = (Element<'a>, f64);

/// An entry with the sorted set of members that come in ascending order, each once.
pub fn from_sorted(key: &[u8], members: &[Scored<'_>], limits: Limits) -> Entry {
    let longest = members.iter().map(|(member, _)| member.len()).max().unwrap_or(0);
    let bytes = members.len().saturating_mul(longest);
    if limits.admit(members.len(), longest) && bytes < MAX_PACKED / 2 {
        let mut bytes = packed::EMPTY.to_vec();
        members.iter().for_each(|(member, score)| listpack::push(&mut bytes, *member, *score));
        return Entry::new(key, Value::Packed(PackedKind::SortedSet, &bytes), None);
    }
    let set = big_from_sorted(members.len(), members.iter().copied());
    Entry::new(key, Value::Object(Box::new(Object::SortedSet(set))), None)
}

impl Builder {
    /// An entry with the sorted set.
    pub fn into_entry(self, key: &[u8], limits: Limits) -> Entry {
        let longest = self.longest();
        let set = self.finish();
        if limits.admit(set.len(), longest) {
            let members = SortedSetRef::Big(&set).iter(0..set.len()).collect::<Vec<_>>();
            return from_sorted(key, &members, limits);
        }
        Entry::new(key, Value::Object(Box::new(Object::SortedSet(set))), None)
    }
}

fn big_from_sorted<'m>(len: usize, members: impl Iterator<Item = Scored<'m>>) -> SortedSet {
    // A member that is stored as an integer needs a text of its own.
    let mut texts = Vec::new();
    let mut digits = itoa::Buffer::new();
    let members = members
        .map(|(member, score)| match member {
            Element::Bytes(bytes) => (Ok(bytes), score),
            Element::Int(number) => {
                let start = texts.len();
                texts.extend_from_slice(digits.format(number).as_bytes());
                (Err(start..texts.len()), score)
            }
        })
        .collect::<Vec<_>>();
    let bytes = members.into_iter().map(|(member, score)| match member {
        Ok(bytes) => (bytes, score),
        Err(range) => (&texts[range], score),
    });
    SortedSet::from_sorted(len, bytes)
}

/// Whether a packed collection from outside is a sorted set.
pub fn validate(bytes: &[u8]) -> bool {
    listpack::validate(Packed::new(bytes))
}

/// A sorted set to be read.
#[derive(Clone, Copy)]
pub enum SortedSetRef<'a> {
    Packed(Pairs<'a>),
    Big(&'a SortedSet),
}

impl<'a> SortedSetRef<'a> {
    /// The sorted set that a value is; `None` if it is of another type.
    #[inline]
    pub fn new(value: ValueRef<'a>) -> Option<SortedSetRef<'a>> {
        match value {
            ValueRef::Packed(PackedKind::SortedSet, bytes) => {
                Some(SortedSetRef::Packed(Pairs::new(bytes)))
            }
            ValueRef::Object(Object::SortedSet(set)) => Some(SortedSetRef::Big(set)),
            _ => None,
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn len(self) -> usize {
        match self {
            SortedSetRef::Packed(pairs) => pairs.len(),
            SortedSetRef::Big(set) => set.len(),
        }
    }

    #[inline]
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            SortedSetRef::Packed(pairs) => pairs.score(member),
            SortedSetRef::Big(set) => set.score(member),
        }
    }

    /// The member's rank and score.
    pub fn rank(self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            SortedSetRef::Packed(pairs) => pairs.rank(member),
            SortedSetRef::Big(set) => set.rank(member),
        }
    }

    /// The members of these ranks, which must be there, in ascending order.
    pub fn iter(self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = Scored<'a>> {
        match self {
            SortedSetRef::Packed(pairs) => {
                let behind = pairs.len() - ranks.end;
                let mut members = pairs.iter();
                // Each end is found from its own side.
                ranks.start.checked_sub(1).and_then(|last| members.nth(last));
                behind.checked_sub(1).and_then(|last| members.nth_back(last));
                Members::Packed(members)
            }
            SortedSetRef::Big(set) => {
                Members::Big(set.iter(ranks).map(|(member, score)| (Element::Bytes(member), score)))
            }
        }
    }

    /// All members, in the order that is the fastest.
    pub fn unordered(self) -> impl Iterator<Item = Scored<'a>> {
        match self {
            SortedSetRef::Packed(pairs) => Members::Packed(pairs.iter()),
            SortedSetRef::Big(set) => {
                Members::Big(set.unordered().map(|(member, score)| (Element::Bytes(member), score)))
            }
        }
    }

    /// The ranks of the members whose score is in the range.
    pub fn score_span(self, range: &ScoreRange) -> Range<usize> {
        if range.is_empty() {
            return 0..0;
        }
        match self {
            SortedSetRef::Packed(pairs) => pairs.score_span(range),
            SortedSetRef::Big(set) => {
                let start = set.partition_point(|score, _| range.is_after(score));
                start..set.partition_point(|score, _| !range.is_before(score)).max(start)
            }
        }
    }

    /// The ranks of the members that are in the range, where all scores are equal. `offset` of them are
    /// left out: the last ones if `reverse`, and else the first ones.
    pub fn lex_span(self, range: &LexRange<'_>, reverse: bool, offset: usize) -> Range<usize> {
        if range.is_empty() {
            return 0..0;
        }
        match self {
            SortedSetRef::Packed(pairs) => pairs.lex_span(range, reverse, offset),
            SortedSetRef::Big(set) => {
                let start = set.partition_point(|_, member| range.is_after(member));
                let end = set.partition_point(|_, member| !range.is_before(member)).max(start);
                let offset = offset.min(end - start);
                if reverse { start..end - offset } else { start + offset..end }
            }
        }
    }

    /// A member drawn at random.
    pub fn random(self) -> Option<Scored<'a>> {
        match self {
            SortedSetRef::Packed(pairs) => {
                let len = pairs.len() as u64;
                pairs.iter().nth((len > 0).then(|| random::below(len))? as usize)
            }
            SortedSetRef::Big(set) => {
                set.random().map(|(member, score)| (Element::Bytes(member), score))
            }
        }
    }

    /// Visits about `count` members from a cursor on, and returns the next cursor: 0 after the last. A
    /// listpack is visited as a whole.
    pub fn scan(self, cursor: u64, count: usize, mut each: impl FnMut(Element<'_>, f64)) -> u32 {
        match self {
            SortedSetRef::Packed(pairs) => {
                pairs.iter().for_each(|(member, score)| each(member, score));
                0
            }
            SortedSetRef::Big(set) => {
                let mut seen = 0;
                // Buckets may be empty: Valkey visits ten times the count at the most.
                let mut buckets = count.saturating_mul(10);
                let mut cursor = Some(cursor as u32);
                while let Some(at) = cursor.filter(|_| seen < count && buckets > 0) {
                    buckets -= 1;
                    cursor = set.scan(at, |member, score| {
                        seen += 1;
                        each(Element::Bytes(member), score);
                    });
                }
                cursor.unwrap_or(0)
            }
        }
    }

    /// The member of that rank.
    pub fn get(self, rank: usize) -> Option<Scored<'a>> {
        match self {
            SortedSetRef::Packed(pairs) => pairs.iter().nth(rank),
            SortedSetRef::Big(set) => {
                set.get(rank).map(|(member, score)| (Element::Bytes(member), score))
            }
        }
    }

    /// Hints that the member of rank `next`, and after it that of rank `later`, will soon be removed.
    pub fn prefetch_removal(self, next: usize, later: usize) {
        if let SortedSetRef::Big(set) = self {
            set.prefetch_removal(next, later);
        }
    }
}

/// The members of a sorted set of each encoding.
enum Members<P, B> {
    Packed(P),
    Big(B),
}

impl<'a, P, B> Iterator for Members<P, B>
where
    P: Iterator<Item = Scored<'a>>,
    B: Iterator<Item = Scored<'a>>,
{
    type Item = Scored<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Members::Packed(members) => members.next(),
            Members::Big(members) => members.next(),
        }
    }
}

impl<'a, P, B> DoubleEndedIterator for Members<P, B>
where
    P: DoubleEndedIterator<Item = Scored<'a>>,
    B: DoubleEndedIterator<Item = Scored<'a>>,
{
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Members::Packed(members) => members.next_back(),
            Members::Big(members) => members.next_back(),
        }
    }
}

/// A sorted set to be changed.
pub struct SortedSetMut<'a> {
    entry: &'a mut Entry,
    limits: Limits,
}

impl<'a> SortedSetMut<'a> {
    /// The sorted set in an entry; `None` if its value is of another type.
    pub fn new(entry: &'a mut Entry, limits: Limits) -> Option<Self> {
        SortedSetRef::new(entry.value()).is_some().then_some(SortedSetMut { entry, limits })
    }

    pub fn view(&self) -> SortedSetRef<'_> {
        SortedSetRef::new(self.entry.value()).expect("the value stays a sorted set")
    }

    fn big(&mut self) -> Option<&mut SortedSet> {
        match self.entry.object_mut() {
            Some(Object::SortedSet(set)) => Some(set),
            _ => None,
        }
    }

    /// Prepares for so many additions, the longest of so many bytes: the set is converted if they may
    /// be too much for a listpack.
    pub fn expect(&mut self, additions: usize, longest: usize) {
        if !self.limits.admit(additions, longest) {
            self.grow();
        }
    }

    /// Converts a listpack to a big sorted set.
    fn grow(&mut self) {
        let SortedSetRef::Packed(pairs) = self.view() else { return };
        let set = big_from_sorted(pairs.len(), pairs.iter());
        self.entry.set_value(Value::Object(Box::new(Object::SortedSet(set))));
    }

    /// Gives a member the score that `choose` finds for its present one, or for its absence.
    pub fn put(&mut self, member: &[u8], choose: impl FnOnce(Option<f64>) -> Option<f64>) -> Put {
        let SortedSetRef::Packed(pairs) = self.view() else {
            return self.put_in_big(member, choose);
        };
        let (old, len) = (pairs.score(member), pairs.len());
        let Some(score) = choose(old).filter(|score| !score.is_nan()) else {
            return Put::Unchanged;
        };
        if old == Some(score) {
            return Put::Unchanged;
        }
        if old.is_none() && !self.admits(len + 1, member.len()) {
            self.grow();
            return self.put_in_big(member, |_| Some(score));
        }
        let mut packed = self.entry.packed_mut().expect("the value is packed");
        let replaced = listpack::remove(&mut packed, member);
        listpack::insert(&mut packed, member, score);
        if replaced { Put::Updated } else { Put::Added }
    }

    fn put_in_big(
        &mut self,
        member: &[u8],
        choose: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Put {
        self.big().expect("the sorted set is a big one").put(member, choose)
    }

    /// Whether the listpack may get another member.
    fn admits(&mut self, members: usize, longest: usize) -> bool {
        let bytes = self.entry.packed_mut().map_or(0, |packed| packed.bytes().len());
        self.limits.admit(members, longest) && bytes + longest < MAX_PACKED
    }

    /// Removes a member. Returns whether it existed.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.entry.packed_mut() {
            Some(mut packed) => listpack::remove(&mut packed, member),
            None => self.big().is_some_and(|set| set.remove(member)),
        }
    }

    /// Removes the members of these ranks, which must be there.
    pub fn remove_range(&mut self, ranks: Range<usize>) {
        match self.entry.packed_mut() {
            Some(mut packed) => listpack::remove_span(&mut packed, ranks.start, ranks.len()),
            None => self.big().into_iter().for_each(|set| set.remove_range(ranks.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
