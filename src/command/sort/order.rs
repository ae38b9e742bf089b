//! The order that SORT brings elements into.

use std::cmp::Ordering;
use std::ops::Range;

/// An element on its way to its place.
#[derive(Clone, Copy)]
struct Item {
    /// What orders most elements without a look at anything else.
    rank: u64,
    index: usize,
}

/// A number's place among all numbers; both zeros have the same.
pub fn rank_of_number(number: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    // The sum makes a negative zero a positive one.
    let bits = (number + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// A text's place among all texts, as far as its first eight bytes tell.
pub fn rank_of_text(text: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = text.len().min(first.len());
    first[..len].copy_from_slice(&text[..len]);
    u64::from_be_bytes(first)
}

/// The indexes of the elements that stand in `window` when all are in order: by their `ranks`, where
/// those are equal by `tie`, and by their indexes where that finds no difference.
pub fn arrange(
    ranks: impl Iterator<Item = u64>,
    tie: impl Fn(usize, usize) -> Ordering,
    descending: bool,
    window: Range<usize>,
) -> Vec<usize> {
    let directed = |ordering: Ordering| if descending { ordering.reverse() } else { ordering };
    let compare = |a: &Item, b: &Item| {
        a.rank
            .cmp(&b.rank)
            .then_with(|| directed(tie(a.index, b.index)))
            .then_with(|| a.index.cmp(&b.index))
    };
    let ranks = ranks.map(|rank| if descending { !rank } else { rank });
    let mut items: Vec<Item> =
        ranks.enumerate().map(|(index, rank)| Item { rank, index }).collect();
    if window.is_empty() {
        return Vec::new();
    }
    // What is outside the window need not be in order.
    if window.end < items.len() {
        items.select_nth_unstable_by(window.end, compare);
        items.truncate(window.end);
    }
    if window.start > 0 {
        items.select_nth_unstable_by(window.start, compare);
    }
    let items = &mut items[window.start..];
    items.sort_unstable_by(compare);
    items.iter().map(|item| item.index).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranks_are_ordered_as_what_they_are_of() {
        let numbers =
            [f64::NEG_INFINITY, -1e300, -1.0, -5e-324, 0.0, 5e-324, 0.5, 1.0, f64::INFINITY];
        assert!(numbers.windows(2).all(|pair| rank_of_number(pair[0]) < rank_of_number(pair[1])));
        assert_eq!(rank_of_number(0.0), rank_of_number(-0.0));
        let texts: [&[u8]; 6] = [b"", b"\x01", b"a", b"a\x01", b"ab", b"abcdefgh"];
        assert!(texts.windows(2).all(|pair| rank_of_text(pair[0]) < rank_of_text(pair[1])));
        assert_eq!(rank_of_text(b"abcdefgh"), rank_of_text(b"abcdefghi"));
    }

    proptest! {
        #[test]
        fn a_window_is_a_part_of_the_whole_order(
            elements in prop::collection::vec((0..5u64, 0..3u8), 0..60),
            start in 0..70usize,
            len in 0..70usize,
            descending: bool,
        ) {
            let mut expected: Vec<usize> = (0..elements.len()).collect();
            expected.sort_by(|&a, &b| {
                let ordering = elements[a].cmp(&elements[b]);
                if descending { ordering.reverse() } else { ordering }
            });
            let start = start.min(elements.len());
            let window = start..(start + len).min(elements.len());
            let ranks = elements.iter().map(|(rank, _)| *rank);
            let tie = |a: usize, b: usize| elements[a].1.cmp(&elements[b].1);
            prop_assert_eq!(
                arrange(ranks, tie, descending, window.clone()),
                &expected[window]
            );
        }
    }
}
