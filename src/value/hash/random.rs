//! Fields drawn at random.

use std::collections::HashSet;

use super::{HashRef, Pair, is_live, pair};
use crate::random;

/// Draws of expired fields after which a field is searched for among all fields.
const DRAWS: usize = 100;

impl<'a> HashRef<'a> {
    /// A field that has not expired at `now`, each with nearly the same chance.
    pub fn draw(self, now: i64) -> Option<Pair<'a>> {
        match self {
            HashRef::Packed(packed) => {
                let pairs = packed.len() as u64 / 2;
                if pairs == 0 {
                    return None;
                }
                let field = packed.nth(2 * random::below(pairs) as usize)?;
                Some((packed.get(field), packed.get(packed.next(field)?)))
            }
            HashRef::Big(hash) => {
                for _ in 0..DRAWS {
                    let record = hash.random()?;
                    if is_live(record, now) {
                        return Some(pair(record));
                    }
                }
                let mut live = self.pairs(now);
                let last = random::below(live.len().max(1) as u64) as usize;
                live.truncate(last + 1);
                live.pop()
            }
        }
    }

    /// `count` fields that have not expired at `now`, each drawn from all: the same one may come again.
    /// None if all have expired.
    pub fn draw_many(self, now: i64, count: usize) -> Vec<Pair<'a>> {
        match self {
            HashRef::Packed(_) => {
                let pairs = self.pairs(now);
                let count = if pairs.is_empty() { 0 } else { count };
                (0..count).map(|_| pairs[random::below(pairs.len() as u64) as usize]).collect()
            }
            HashRef::Big(_) => (0..count).map_while(|_| self.draw(now)).collect(),
        }
    }

    /// `count` distinct fields that have not expired at `now`, or all of them if they are fewer.
    pub fn sample(self, now: i64, count: usize) -> Vec<Pair<'a>> {
        let live = self.count_live(now);
        match self {
            // Where few of many are drawn, duplicates and expired fields are rare.
            HashRef::Big(hash) if count.saturating_mul(3) < live && live > hash.len() / 2 => {
                let mut seen = HashSet::with_capacity(count);
                let mut drawn = Vec::with_capacity(count);
                while drawn.len() < count {
                    let Some(record) = hash.random() else { break };
                    if is_live(record, now) && seen.insert(record.key().as_ptr()) {
                        drawn.push(pair(record));
                    }
                }
                drawn
            }
            _ => {
                let mut pairs = self.pairs(now);
                if count < pairs.len() {
                    for at in 0..count {
                        let others = (pairs.len() - at) as u64;
                        pairs.swap(at, at + random::below(others) as usize);
                    }
                    pairs.truncate(count);
                }
                pairs
            }
        }
    }
}
