//! Strings combined bit by bit.

use multiversion::multiversion;

/// Bytes that are worked on at once: they stay in the first cache until every string is in them.
const BLOCK: usize = 16 << 10;

/// How the bits at one position become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    And,
    Or,
    Xor,
    /// All are one and negated: there should be one string only.
    Not,
}

/// Writes the combined string over another: as long as the longest one, with zeros where others end before it.
pub fn combine(how: Combination, strings: &[&[u8]], combined: &mut Vec<u8>) {
    combined.clear();
    let Some((first, others)) = strings.split_first() else { return };
    let len = others.iter().fold(first.len(), |len, other| len.max(other.len()));
    combined.reserve_exact(len);
    for start in (0..len).step_by(BLOCK) {
        let end = len.min(start + BLOCK);
        let others = match others {
            [] => {
                combined.extend_from_slice(part(first, start, end));
                others
            }
            [second, others @ ..] => {
                append(how, combined, part(first, start, end), part(second, start, end));
                others
            }
        };
        combined.resize(end, 0);
        let block = &mut combined[start..];
        for other in others {
            fold_into(how, block, part(other, start, end));
        }
        if how == Combination::Not {
            invert(block);
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

/// Appends the combination of two strings, as long as the longer one.
fn append(how: Combination, combined: &mut Vec<u8>, a: &[u8], b: &[u8]) {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let (common, beyond) = long.split_at(short.len());
    append_common(how, combined, short, common);
    match how {
        Combination::And => combined.resize(combined.len() + beyond.len(), 0),
        _ => combined.extend_from_slice(beyond),
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn append_common(how: Combination, combined: &mut Vec<u8>, a: &[u8], b: &[u8]) {
    let pairs = a.iter().zip(b);
    match how {
        Combination::And => combined.extend(pairs.map(|(a, b)| a & b)),
        Combination::Or | Combination::Not => combined.extend(pairs.map(|(a, b)| a | b)),
        Combination::Xor => combined.extend(pairs.map(|(a, b)| a ^ b)),
    }
}

/// What the string has between two positions.
fn part(string: &[u8], start: usize, end: usize) -> &[u8] {
    &string[start.min(string.len())..end.min(string.len())]
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
fn invert(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
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
            strings in prop::collection::vec((any::<u8>(), 0..2 * BLOCK + 2), 1..4)
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
    fn nothing_makes_nothing() {
        assert!(combined(Combination::Or, &[]).is_empty());
        assert!(combined(Combination::Not, &[b""]).is_empty());
    }
}
