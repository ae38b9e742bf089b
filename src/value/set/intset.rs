//! A set of integers as one sorted array, and the set operations on sorted integers.
//!
//! ```text
//! width: u8 (2, 4 or 8) | members, little-endian, ascending, each `width` bytes
//! ```
//!
//! All members are as wide as the widest has ever had to be: a removal does not narrow the others.

use crate::value::Splice;

/// An intset without members.
pub const EMPTY: &[u8] = &[2];

/// An intset to be read.
#[derive(Clone, Copy)]
pub struct IntSet<'a> {
    width: u8,
    members: &'a [u8],
}

/// The bytes of each member that `number` needs.
fn width_of(number: i64) -> u8 {
    if i16::try_from(number).is_ok() {
        2
    } else if i32::try_from(number).is_ok() {
        4
    } else {
        8
    }
}

#[inline]
fn load<const WIDTH: usize>(bytes: &[u8; WIDTH]) -> i64 {
    let mut wide = [0; 8];
    wide[8 - WIDTH..].copy_from_slice(bytes);
    // The member's sign is the number's: the shift brings it down.
    i64::from_le_bytes(wide) >> (64 - 8 * WIDTH)
}

impl<'a> IntSet<'a> {
    /// The intset in `bytes`: those of one that this module made, or [valid](Self::is_valid).
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        IntSet { width: bytes[0], members: &bytes[1..] }
    }

    /// Whether bytes from elsewhere are an intset.
    pub fn is_valid(bytes: &[u8]) -> bool {
        let [width @ (2 | 4 | 8), members @ ..] = bytes else { return false };
        let set = IntSet { width: *width, members };
        members.len().is_multiple_of(usize::from(*width))
            && set.iter().zip(set.iter().skip(1)).all(|(a, b)| a < b)
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.members.len() / usize::from(self.width)
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The member of rank `index`.
    ///
    /// # Panics
    /// If there are not that many members.
    #[inline]
    pub fn get(&self, index: usize) -> i64 {
        match self.width {
            2 => load(&self.members.as_chunks::<2>().0[index]),
            4 => load(&self.members.as_chunks::<4>().0[index]),
            _ => load(&self.members.as_chunks::<8>().0[index]),
        }
    }

    /// The members, ascending.
    pub fn iter(
        self,
    ) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + Clone + use<'a> {
        (0..self.len()).map(move |index| self.get(index))
    }

    /// The index of `number`, or the one where it would be inserted.
    #[inline]
    fn search(&self, number: i64) -> Result<usize, usize> {
        match self.width {
            2 => self.members.as_chunks::<2>().0.binary_search_by_key(&number, load),
            4 => self.members.as_chunks::<4>().0.binary_search_by_key(&number, load),
            _ => self.members.as_chunks::<8>().0.binary_search_by_key(&number, load),
        }
    }

    #[inline]
    pub fn contains(&self, number: i64) -> bool {
        self.search(number).is_ok()
    }

    /// Bytes of the longest member, written as text.
    pub fn longest_text(&self) -> usize {
        let text_len = |index| itoa::Buffer::new().format(self.get(index)).len();
        match self.len() {
            0 => 0,
            // Texts are longest at the two ends.
            len => text_len(0).max(text_len(len - 1)),
        }
    }

    pub fn to_vec(self) -> Vec<i64> {
        match self.width {
            2 => self.members.as_chunks::<2>().0.iter().map(load).collect(),
            4 => self.members.as_chunks::<4>().0.iter().map(load).collect(),
            _ => self.members.as_chunks::<8>().0.iter().map(load).collect(),
        }
    }
}

/// Replaces the members of a set by these, which are ascending and distinct. It gets wider where they
/// need it.
pub fn fill(set: &mut impl Splice, numbers: &[i64]) {
    let ends = [numbers.first(), numbers.last()].into_iter().flatten();
    let width = ends.map(|end| width_of(*end)).fold(set.bytes()[0], u8::max);
    let bytes = usize::from(width);
    let len = set.bytes().len();
    let gap = set.splice(0, len, 1 + numbers.len() * bytes);
    gap[0] = width;
    for (number, member) in numbers.iter().zip(gap[1..].chunks_exact_mut(bytes)) {
        member.copy_from_slice(&number.to_le_bytes()[..bytes]);
    }
}

/// Adds a member; false if it exists already.
pub fn insert(set: &mut impl Splice, number: i64) -> bool {
    let view = IntSet::new(set.bytes());
    let width = width_of(number);
    if width > view.width {
        // It is smaller than all others, or greater.
        let mut numbers = view.to_vec();
        numbers.insert(if number < 0 { 0 } else { numbers.len() }, number);
        fill(set, &numbers);
        return true;
    }
    let Err(index) = view.search(number) else { return false };
    let width = usize::from(view.width);
    set.splice(1 + index * width, 0, width).copy_from_slice(&number.to_le_bytes()[..width]);
    true
}

/// Removes a member; false if it does not exist.
pub fn remove(set: &mut impl Splice, number: i64) -> bool {
    let view = IntSet::new(set.bytes());
    let Ok(index) = view.search(number) else { return false };
    let width = usize::from(view.width);
    set.splice(1 + index * width, width, 0);
    true
}

/// Removes the members for which `keep` is false; it is called in ascending order.
pub fn retain(set: &mut impl Splice, mut keep: impl FnMut(i64) -> bool) {
    let mut numbers = IntSet::new(set.bytes()).to_vec();
    numbers.retain(|number| keep(*number));
    fill(set, &numbers);
}

/// The ratio of sizes above which single searches are cheaper than a merge.
const LOPSIDED: usize = 16;

/// The numbers that are in both of two ascending sequences.
pub fn intersection(a: &[i64], b: &[i64]) -> Vec<i64> {
    let (small, large) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if small.len() * LOPSIDED < large.len() {
        let is_common = |number: &i64| large.binary_search(number).is_ok();
        return small.iter().copied().filter(is_common).collect();
    }
    // The loops of this function and the next two have no branch that depends on the numbers.
    let mut common = vec![0; small.len() + 1];
    let (mut s, mut l, mut len) = (0, 0, 0);
    while s < small.len() && l < large.len() {
        let (x, y) = (small[s], large[l]);
        common[len] = x;
        len += usize::from(x == y);
        s += usize::from(x <= y);
        l += usize::from(y <= x);
    }
    common.truncate(len);
    common
}

/// The numbers that are in one of two ascending sequences, or in both.
pub fn union(a: &[i64], b: &[i64]) -> Vec<i64> {
    let mut all = vec![0; a.len() + b.len()];
    let (mut i, mut j, mut len) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        let (x, y) = (a[i], b[j]);
        all[len] = x.min(y);
        len += 1;
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    all.truncate(len);
    all.extend_from_slice(&a[i..]);
    all.extend_from_slice(&b[j..]);
    all
}

/// The numbers of an ascending sequence that are not in another.
pub fn difference(a: &[i64], b: &[i64]) -> Vec<i64> {
    let mut rest = vec![0; a.len()];
    let (mut i, mut j, mut len) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        let (x, y) = (a[i], b[j]);
        rest[len] = x;
        len += usize::from(x < y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    rest.truncate(len);
    rest.extend_from_slice(&a[i..]);
    rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    fn members(bytes: &[u8]) -> Vec<i64> {
        IntSet::new(bytes).to_vec()
    }

    fn of(numbers: &[i64]) -> Vec<u8> {
        let mut set = EMPTY.to_vec();
        fill(&mut set, numbers);
        set
    }

    #[test]
    fn members_are_as_wide_as_the_widest_needs() {
        let mut set = EMPTY.to_vec();
        let numbers = [1, -1, 32767, -32768, 32768, -2147483648, 2147483648, i64::MIN, i64::MAX];
        let sizes = [3, 5, 7, 9, 21, 25, 57, 65, 73];
        for (count, (number, size)) in numbers.into_iter().zip(sizes).enumerate() {
            assert!(insert(&mut set, number));
            assert!(!insert(&mut set, number));
            assert_eq!((set.len(), IntSet::new(&set).len()), (size, count + 1));
            assert!(IntSet::is_valid(&set));
        }
        assert!(remove(&mut set, i64::MAX) && remove(&mut set, i64::MIN));
        assert_eq!(set[0], 8, "a removal does not narrow the others");
        assert_eq!(members(&set), [-2147483648, -32768, -1, 1, 32767, 32768, 2147483648]);
        fill(&mut set, &[]);
        assert_eq!(set, [8], "nor does new content");
        assert_eq!(of(&[-32769, 5])[0], 4);
    }

    #[test]
    fn the_longest_text_is_at_an_end() {
        for (numbers, longest) in
            [(&[][..], 0), (&[0], 1), (&[-100, 5], 4), (&[-1, 99999], 5), (&[i64::MIN, 0], 20)]
        {
            assert_eq!(IntSet::new(&of(numbers)).longest_text(), longest);
        }
    }

    #[test]
    fn only_ascending_members_are_valid() {
        for valid in [&[2][..], &[4], &[2, 1, 0], &[2, 255, 255, 0, 0], &[4, 0, 0, 0, 128]] {
            assert!(IntSet::is_valid(valid), "{valid:?}");
        }
        for invalid in
            [&[][..], &[0], &[3, 1, 1, 1], &[2, 1], &[2, 1, 0, 1, 0], &[2, 0, 0, 255, 255]]
        {
            assert!(!IntSet::is_valid(invalid), "{invalid:?}");
        }
    }

    /// Integers of every width, the limits among them, so few that they meet.
    fn number() -> impl Strategy<Value = i64> {
        let limit = prop::sample::select(vec![1i64 << 15, 1 << 31, i64::MAX]);
        prop_oneof![
            6 => -20..20i64,
            1 => (limit, -2..3i64, any::<bool>()).prop_map(|(limit, off, negative)| {
                let near = limit.saturating_add(off);
                if negative { -near } else { near }
            }),
        ]
    }

    proptest! {
        #[test]
        fn an_intset_equals_a_btree_set(steps in vec((number(), any::<bool>()), 0..80)) {
            let (mut set, mut model) = (EMPTY.to_vec(), BTreeSet::new());
            for (number, adds) in steps {
                if adds {
                    prop_assert_eq!(insert(&mut set, number), model.insert(number));
                } else {
                    prop_assert_eq!(remove(&mut set, number), model.remove(&number));
                }
                prop_assert_eq!(IntSet::new(&set).contains(number), model.contains(&number));
                prop_assert!(IntSet::is_valid(&set));
            }
            prop_assert!(IntSet::new(&set).iter().eq(model.iter().copied()));
            prop_assert_eq!(members(&set), model.iter().copied().collect::<Vec<_>>());
            retain(&mut set, |number| number % 3 == 0);
            model.retain(|number| number % 3 == 0);
            prop_assert!(IntSet::new(&set).iter().eq(model));
        }

        #[test]
        fn operations_are_those_of_sets(
            a in btree_set(number(), 0..40),
            b in btree_set(-2000..2000i64, 0..400),
            c in btree_set(number(), 0..40),
        ) {
            for (a, b) in [(&a, &b), (&b, &a), (&a, &c)] {
                let vec = |set: &BTreeSet<i64>| set.iter().copied().collect::<Vec<_>>();
                let (left, right) = (vec(a), vec(b));
                prop_assert!(intersection(&left, &right).iter().eq(a.intersection(b)));
                prop_assert!(union(&left, &right).iter().eq(a.union(b)));
                prop_assert!(difference(&left, &right).iter().eq(a.difference(b)));
            }
        }
    }
}
