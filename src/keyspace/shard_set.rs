//! A set of shards: one bit for each, so it takes the same memory and time however many keys it is of.

use super::{SHARDS, shard_of};

/// Bits of a word.
const BITS: usize = u64::BITS as usize;

/// A set of shards, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardSet([u64; SHARDS / BITS]);

impl Default for ShardSet {
    fn default() -> Self {
        ShardSet([0; SHARDS / BITS])
    }
}

impl ShardSet {
    /// Every shard.
    pub const ALL: ShardSet = ShardSet([u64::MAX; SHARDS / BITS]);

    /// Adds a shard.
    ///
    /// # Panics
    /// If there is no shard of that index.
    pub fn insert(&mut self, shard: usize) {
        self.0[shard / BITS] |= 1 << (shard % BITS);
    }

    /// Adds the shards of another set.
    pub fn insert_all(&mut self, other: &ShardSet) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }

    pub fn is_empty(&self) -> bool {
        self.0 == [0; SHARDS / BITS]
    }

    /// The shards, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(index, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(index * BITS + bit)
            })
        })
    }
}

impl From<usize> for ShardSet {
    /// One shard.
    fn from(shard: usize) -> Self {
        let mut set = ShardSet::default();
        set.insert(shard);
        set
    }
}

/// The shards of cluster slots.
impl Extend<u16> for ShardSet {
    fn extend<T: IntoIterator<Item = u16>>(&mut self, slots: T) {
        slots.into_iter().for_each(|slot| self.insert(shard_of(slot)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_come_once_and_in_ascending_order() {
        let mut set = ShardSet::default();
        assert!(set.is_empty() && set.iter().next().is_none());
        set.extend([700, 3, 700, 3 + SHARDS as u16, 64, 63]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [3, 63, 64, 700]);
        set.insert_all(&ShardSet::from(SHARDS - 1));
        assert_eq!(set.iter().last(), Some(SHARDS - 1));
        assert!(!set.is_empty());
        assert!(ShardSet::ALL.iter().eq(0..SHARDS));
    }
}
