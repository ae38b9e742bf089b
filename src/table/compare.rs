//! Comparing two tables bucket by bucket: which entries of the one have an equal key in the other.

use std::ops::ControlFlow;

use super::{Slot, Table, hash};

/// Entries that are on their way into the cache while others are compared.
const AHEAD: usize = 16;

/// Buckets whose chains are on their way into the cache.
const CHAINS_AHEAD: usize = 8;

/// An entry, and the first one of the other table that may have the same key: its tag is equal.
struct Compared<'a, 'b, E> {
    entry: &'a E,
    candidate: Option<&'b E>,
    /// There are more candidates.
    more: bool,
}

impl<E: Slot> Table<E> {
    /// Calls `each` for every entry, with whether `other` has one of the same key, until it breaks.
    ///
    /// Tables choose their buckets by the same bits of the same hash. So both are walked through side by
    /// side, no key is hashed, and only entries whose tags are equal are read.
    pub fn compare<'a>(
        &'a self,
        other: &Table<E>,
        mut each: impl FnMut(&'a E, bool) -> ControlFlow<()>,
    ) {
        let mut window = [const { None::<Compared<'_, '_, E>> }; AHEAD];
        let mut next = 0;
        for index in 0..self.buckets.len() {
            let coming = index + CHAINS_AHEAD;
            let coming_there =
                if coming < other.buckets.len() { coming } else { other.bucket_of(coming as u64) };
            for (table, coming) in [(self, coming), (other, coming_there)] {
                if let Some(bucket) = table.buckets.get(coming) {
                    bucket.prefetch_chain();
                }
            }
            for (tag, entry) in self.buckets[index].tagged() {
                let mut candidates = self
                    .candidate_buckets(index, other)
                    .flat_map(|there| other.buckets[there].tagged_as(tag));
                let candidate = candidates.next();
                let more = candidate.is_some() && candidates.next().is_some();
                if let Some(candidate) = candidate {
                    entry.prefetch();
                    candidate.prefetch();
                }
                let compared = window[next].replace(Compared { entry, candidate, more });
                next = (next + 1) % AHEAD;
                if let Some(compared) = compared
                    && each(compared.entry, other.has_equal(&compared)).is_break()
                {
                    return;
                }
            }
        }
        for offset in 0..AHEAD {
            if let Some(compared) = window[(next + offset) % AHEAD].take()
                && each(compared.entry, other.has_equal(&compared)).is_break()
            {
                return;
            }
        }
    }

    /// Whether the table has the key of an entry of another table.
    fn has_equal(&self, compared: &Compared<'_, '_, E>) -> bool {
        let Some(candidate) = compared.candidate else { return false };
        let key = compared.entry.key();
        candidate.key() == key || compared.more && self.find(hash(key), key).is_some()
    }

    /// The buckets of `other` in which the key of an entry of the bucket `index` may be.
    fn candidate_buckets(&self, index: usize, other: &Table<E>) -> impl Iterator<Item = usize> {
        let len = other.buckets.len();
        // If the other table has no bucket of this number, it has not split the one that it would come
        // from. Otherwise it may have split it more often than this table.
        let first = if index < len || len == 0 { index } else { other.bucket_of(index as u64) };
        let step = if index < len { 1 << self.depth(index) } else { usize::MAX };
        (first..len).step_by(step)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::value::Record;

    /// Elements of a table, at most. Miri is some hundred times slower than the machine.
    const MANY: u32 = if cfg!(miri) { 40 } else { 600 };

    fn table(numbers: impl Iterator<Item = u32>) -> Table<Record> {
        let mut table = Table::default();
        for number in numbers {
            let text = number.to_string();
            table.insert(hash(text.as_bytes()), Record::new(text.as_bytes(), None, None));
        }
        table
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 64 }))]

        #[test]
        fn every_entry_comes_once_with_whether_the_other_table_has_it(
            mine in 0..MANY, start in 0..MANY, others in 0..5 * MANY
        ) {
            let (a, b) = (table(0..mine), table(start..start + others));
            for (a, b, common) in [
                (&a, &b, start..mine.min(start + others)),
                (&b, &a, start..mine.min(start + others)),
            ] {
                let mut seen = BTreeSet::new();
                a.compare(b, |entry, found| {
                    let number: u32 = std::str::from_utf8(entry.key()).unwrap().parse().unwrap();
                    assert_eq!(found, common.contains(&number), "{number}");
                    assert!(seen.insert(number), "{number} comes twice");
                    ControlFlow::Continue(())
                });
                prop_assert_eq!(seen.len(), a.len());
            }
        }
    }

    #[test]
    fn a_comparison_ends_when_the_caller_breaks() {
        let (a, b) = (table(0..500), table(0..500));
        for count in [1, 3, 499, 500] {
            let mut left = count;
            a.compare(&b, |_, _| {
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert_eq!(left, 0);
        }
    }
}
