//! Small sorted sets: member, score, member, score …, in ascending order, in a listpack.

use std::collections::HashSet;
use std::ops::Range;

use super::{LexRange, ScoreRange};
use crate::number::{as_integer, format_f64, parse_f64_loosely};
use crate::value::packed::{self, Element, Packed};
use crate::value::splice::Splice;

/// A small sorted set, to be read.
#[derive(Clone, Copy)]
pub struct Pairs<'a>(Packed<'a>);

/// A score's text is [`format_f64`]'s, which may be stored as an integer.
fn score_of(element: Element<'_>) -> f64 {
    match element {
        Element::Int(number) => number as f64,
        Element::Bytes(text) => parse_f64_loosely(text).unwrap_or(0.0),
    }
}

impl<'a> Pairs<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Pairs(Packed::new(bytes))
    }

    pub fn len(self) -> usize {
        self.0.len() / 2
    }

    fn find(self, member: &[u8]) -> Option<usize> {
        self.0.find(member, 2, 0)
    }

    fn score_after(self, offset: usize) -> f64 {
        score_of(self.0.get(self.0.after(offset)))
    }

    pub fn score(self, member: &[u8]) -> Option<f64> {
        self.find(member).map(|offset| self.score_after(offset))
    }

    pub fn rank(self, member: &[u8]) -> Option<(usize, f64)> {
        let mut ranked = self.iter().enumerate();
        ranked.find(|(_, (own, _))| own.equals(member)).map(|(rank, (_, score))| (rank, score))
    }

    pub fn iter(self) -> impl DoubleEndedIterator<Item = (Element<'a>, f64)> + Clone + use<'a> {
        PairIter(self.0.iter())
    }

    /// Ranks of the members in the range.
    pub fn score_span(self, range: &ScoreRange) -> Range<usize> {
        let start = self.iter().take_while(|(_, score)| range.is_after(*score)).count();
        let within = self.iter().skip(start).take_while(|(_, score)| !range.is_before(*score));
        start..start + within.count()
    }

    /// Ranks of the members in the range, from the first one, or up to the last one, without `offset`
    /// members at that end. Where not all scores are equal the range's members may not be adjacent;
    /// those of the result are.
    pub fn lex_span(self, range: &LexRange<'_>, reverse: bool, offset: usize) -> Range<usize> {
        let mut digits = itoa::Buffer::new();
        let mut is_after = |element: Element<'_>| range.is_after(element.bytes(&mut digits));
        let mut digits = itoa::Buffer::new();
        let mut is_before = |element: Element<'_>| range.is_before(element.bytes(&mut digits));
        let members = PairIter(self.0.iter()).map(|(member, _)| member);
        let (Some(first), Some(last)) = (members.clone().next(), members.clone().next_back())
        else {
            return 0..0;
        };
        if is_before(first) || is_after(last) {
            return 0..0;
        }
        let len = self.len();
        if reverse {
            let skipped = members.clone().rev().take_while(|member| is_before(*member)).count();
            if members.clone().nth_back(skipped).is_none_or(&mut is_after) {
                return 0..0;
            }
            let end = len.saturating_sub(skipped).saturating_sub(offset);
            let rest = members.rev().skip(len - end);
            end - rest.take_while(|member| !is_after(*member)).count()..end
        } else {
            let skipped = members.clone().take_while(|member| is_after(*member)).count();
            if members.clone().nth(skipped).is_none_or(&mut is_before) {
                return 0..0;
            }
            let start = (skipped.saturating_add(offset)).min(len);
            let rest = members.skip(start);
            start..start + rest.take_while(|member| !is_before(*member)).count()
        }
    }
}

#[derive(Clone)]
struct PairIter<'a>(packed::Iter<'a>);

impl<'a> Iterator for PairIter<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let member = self.0.next()?;
        Some((member, score_of(self.0.next()?)))
    }
}

impl DoubleEndedIterator for PairIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let score = score_of(self.0.next_back()?);
        Some((self.0.next_back()?, score))
    }
}

/// Whether a packed collection from outside is a sorted set: scores are numbers, and the members come
/// in ascending order, each once.
pub fn validate(packed: Packed<'_>) -> bool {
    let mut scores = packed.iter().skip(1).step_by(2);
    let is_score = |element| match element {
        Element::Int(_) => true,
        Element::Bytes(text) => parse_f64_loosely(text).is_some(),
    };
    if !packed.len().is_multiple_of(2) || !scores.all(is_score) {
        return false;
    }
    let mut digits = itoa::Buffer::new();
    let members = PairIter(packed.iter())
        .map(|(member, score)| (score, member.bytes(&mut digits).to_vec()))
        .collect::<Vec<_>>();
    let distinct = members.iter().map(|(_, member)| member).collect::<HashSet<_>>();
    members.is_sorted() && distinct.len() == members.len()
}

/// Appends a pair, which comes after all others.
pub fn push(set: &mut impl Splice, member: Element<'_>, score: f64) {
    let end = Packed::new(set.bytes()).end();
    insert_pair(set, end, member.bytes(&mut itoa::Buffer::new()), score);
}

fn insert_pair(set: &mut impl Splice, at: usize, member: &[u8], score: f64) {
    packed::insert(set, at, member);
    let at = Packed::new(set.bytes()).after(at);
    match as_integer(score) {
        Some(number) => packed::insert_int(set, at, number),
        None => packed::insert(set, at, &format_f64(score)),
    }
}

/// Inserts a new member in its place.
pub fn insert(set: &mut impl Splice, member: &[u8], score: f64) {
    let pairs = Pairs::new(set.bytes());
    let mut digits = itoa::Buffer::new();
    let mut offset = pairs.0.first();
    let at = loop {
        let Some(at) = offset else { break pairs.0.end() };
        let other = pairs.score_after(at);
        if other > score || (other == score && pairs.0.get(at).bytes(&mut digits) > member) {
            break at;
        }
        offset = pairs.0.next(pairs.0.after(at));
    };
    insert_pair(set, at, member, score);
}

/// Removes a member, which must be there.
pub fn remove(set: &mut impl Splice, member: &[u8]) -> bool {
    let found = Pairs::new(set.bytes()).find(member);
    if let Some(at) = found {
        packed::remove(set, at, 2);
    }
    found.is_some()
}

/// Removes so many members from a rank on.
pub fn remove_span(set: &mut impl Splice, rank: usize, count: usize) {
    if let Some(at) = Packed::new(set.bytes()).nth(2 * rank).filter(|_| count > 0) {
        packed::remove(set, at, 2 * count);
    }
}
