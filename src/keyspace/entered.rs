//! How units come to be: a thread enters the keyspace, and locks the shards that a unit needs.

use std::cell::Cell;

use smallvec::SmallVec;

use super::unit::{Shards, Unit};
use super::{Key, Keyspace, Listeners, ShardSet, shard_of};

/// Proof that the thread has entered the keyspace: no exclusive section runs while this lives.
pub struct Entered<'k> {
    keyspace: &'k Keyspace,
    thread: usize,
}

impl<'k> Entered<'k> {
    pub(super) fn new(keyspace: &'k Keyspace, thread: usize) -> Self {
        Entered { keyspace, thread }
    }

    /// A unit with the shards of `keys`, which are locked in ascending order. Without keys it takes one
    /// shard at a time as it is asked for.
    #[inline(always)]
    pub fn unit(&self, keys: &[Key<'_>], now: i64, listeners: Listeners) -> Unit<'k> {
        let keyspace = self.keyspace;
        let shards = match keys {
            [] => Shards::Each(None),
            [key] => {
                let shard = shard_of(key.slot);
                Shards::One(shard, keyspace.shards[shard].lock())
            }
            keys => {
                keys.iter().for_each(|key| keyspace.prefetch_shard(key.slot));
                let mut shards: SmallVec<[usize; 16]> =
                    keys.iter().map(|key| shard_of(key.slot)).collect();
                shards.sort_unstable();
                shards.dedup();
                self.lock_shards(shards.into_iter())
            }
        };
        Unit::new(keyspace, shards, now, listeners)
    }

    /// A unit with these shards. Without any it takes one at a time as it is asked for.
    pub fn unit_of_shards(&self, shards: &ShardSet, now: i64, listeners: Listeners) -> Unit<'k> {
        let shards =
            if shards.is_empty() { Shards::Each(None) } else { self.lock_shards(shards.iter()) };
        Unit::new(self.keyspace, shards, now, listeners)
    }

    /// Locks shards, which must come in ascending order.
    fn lock_shards(&self, shards: impl Iterator<Item = usize>) -> Shards<'k> {
        let keyspace = self.keyspace;
        let guards = shards.map(|shard| (shard, keyspace.shards[shard].lock())).collect();
        Shards::Many { guards, latest: Cell::new(0) }
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.keyspace.readers.leave(self.thread);
    }
}
