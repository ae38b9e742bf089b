//! Strings combined bit by bit.

use std::ops::Range;

use multiversion::multiversion;

use super::stream;

/// Bytes that are worked on at once.
const BLOCK: usize = 512;

/// Positions at which strings are processed alternately.
const PLACES: usize = 4;

/// How the bits at one position become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    And,
    Or,
    Xor,
    /// The bits of one string negated: there should be no other.
    Not,
}

/// Writes the combined string over another: as long as the longest one, with zeros where others end before it.
pub fn combine(how: Combination, strings: &[&[u8]], combined: &mut Vec<u8>) {
    let len = strings.iter().map(|string| string.len()).max().unwrap_or(0);
    if combined.capacity() < len {
        *combined = vec![0; len];
    } else {
        combined.resize(len, 0);
    }
    let Some((first, others)) = strings.split_first() else { return };
    let stream = stream(len, PLACES, BLOCK);
    for at in (0..stream).step_by(BLOCK) {
        for start in (0..PLACES).map(|place| place * stream + at).take_while(|start| *start < len) {
            let block = start..len.min(start + BLOCK);
            let into = &mut combined[block.clone()];
            let first = part(first, &block);
            match others {
                [] if how == Combination::Not => negate(into, first),
                [] => copy(into, first),
                [second, others @ ..] => {
                    combine_two(how, into, first, part(second, &block));
                    others.iter().for_each(|other| fold_into(how, into, part(other, &block)));
                }
            }
        }
    }
}

/// Combines a string with another, with which it gets as long.
pub fn combine_with(how: Combination, into: &mut Vec<u8>, other: &[u8]) {
    into.resize(into.len().max(other.len()), 0);
    fold_into(how, into, other);
}

/// Combines a string with another that is no longer.
fn fold_into(how: Combination, into: &mut [u8], other: &[u8]) {
    let (common, beyond) = into.split_at_mut(other.len());
    fold(how, common, other);
    if how == Combination::And {
        beyond.fill(0);
    }
}

/// Writes the combination of two strings that are no longer than `into`, and zeros behind it.
fn combine_two(how: Combination, into: &mut [u8], a: &[u8], b: &[u8]) {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let (common, beyond) = long.split_at(short.len());
    let (into, rest) = into.split_at_mut(short.len());
    combine_common(how, into, short, common);
    match how {
        Combination::And => rest.fill(0),
        _ => copy(rest, beyond),
    }
}

/// Writes a string that is no longer than `into`, and zeros behind it.
fn copy(into: &mut [u8], string: &[u8]) {
    let (common, beyond) = into.split_at_mut(string.len());
    common.copy_from_slice(string);
    beyond.fill(0);
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn combine_common(how: Combination, into: &mut [u8], a: &[u8], b: &[u8]) {
    let triples = into.iter_mut().zip(a).zip(b);
    match how {
        Combination::And => triples.for_each(|((into, a), b)| *into = a & b),
        Combination::Or | Combination::Not => triples.for_each(|((into, a), b)| *into = a | b),
        Combination::Xor => triples.for_each(|((into, a), b)| *into = a ^ b),
    }
}

/// The part of a range of positions that the string has.
fn part<'a>(string: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    &string[range.start.min(string.len())..range.end.min(string.len())]
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn fold(how: Combination, into: &mut [u8], other: &[u8]) {
    let pairs = into.iter_mut().zip(other);
    match how {
        Combination::And => pairs.for_each(|(into, other)| *into &= other),
        Combination::Or | Combination::Not => pairs.for_each(|(into, other)| *into |= other),
        Combination::Xor => pairs.for_each(|(into, other)| *into ^= other),
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn negate(into: &mut [u8], string: &[u8]) {
    into.iter_mut().zip(string).for_each(|(into, byte)| *into = !byte);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn combined(how: Combination, strings: &[&[u8]]) -> Vec<u8> {
        let mut combined = vec![1; 3];
        combine(how, strings, &mut combined);
        combined
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn shorter_strings_count_as_padded_with_zeros(
            strings in prop::collection::vec((any::<u8>(), 0..8 * BLOCK), 1..4)
        ) {
            let strings = strings
                .into_iter()
                .map(|(seed, len)| (0..len).map(|i| (i as u8).wrapping_mul(seed)).collect())
                .collect::<Vec<Vec<u8>>>();
            let refs = strings.iter().map(Vec::as_slice).collect::<Vec<_>>();
            let len = refs.iter().map(|string| string.len()).max().unwrap();
            for (how, fold) in [
                (Combination::And, (|a, b| a & b) as fn(u8, u8) -> u8),
                (Combination::Or, |a, b| a | b),
                (Combination::Xor, |a, b| a ^ b),
            ] {
                let expected = (0..len)
                    .map(|i| refs.iter().map(|s| s.get(i).copied().unwrap_or(0)).reduce(fold).unwrap())
                    .collect::<Vec<_>>();
                prop_assert!(combined(how, &refs) == expected, "{:?}", how);
                let (first, others) = strings.split_first().unwrap();
                let mut folded = first.clone();
                others.iter().for_each(|other| combine_with(how, &mut folded, other));
                prop_assert!(folded == expected, "{:?}", how);
            }
            let negated = refs[0].iter().map(|byte| !byte).collect::<Vec<_>>();
            prop_assert!(combined(Combination::Not, &refs[..1]) == negated);
        }
    }

    #[test]
    fn a_combination_of_no_strings_is_empty() {
        assert!(combined(Combination::Or, &[]).is_empty());
        assert!(combined(Combination::Not, &[b""]).is_empty());
    }
}
