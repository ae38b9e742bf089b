//! Big sorted sets: a hash table that owns the members, and a tree that orders them.

use std::cmp::Ordering;
use std::ops::Range;

use smallvec::SmallVec;

use super::handle::Handle;
use super::tree::{self, Tree};
use crate::random;
use crate::table::{Table, hash};
use crate::value::Record;

/// A sorted set of any size. (Valkey calls this encoding `skiplist`, after its own data structure.)
#[derive(Default)]
pub struct SortedSet {
    table: Table<Record>,
    /// Handles of the table's records: see [`handle`](super::handle).
    tree: Tree<Handle>,
}

/// The result of giving a member a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Added,
    Updated,
    /// It has that score already, or none was wanted.
    Unchanged,
}

impl Clone for SortedSet {
    fn clone(&self) -> Self {
        SortedSet::from_sorted(self.len(), self.iter(0..self.len()))
    }
}

/// Whether a member with a score comes before another. A record in whose place only the score is needed is
/// not read: it is mostly not in the cache.
#[inline]
fn precedes<'a>(
    score: f64,
    member: impl FnOnce() -> &'a [u8],
    than: f64,
    other: impl FnOnce() -> &'a [u8],
) -> bool {
    score < than || (score == than && member() < other())
}

impl SortedSet {
    /// The sorted set of about `len` members that come in ascending order, each once.
    ///
    /// # Panics
    /// If they do not.
    pub fn from_sorted<'m>(
        len: usize,
        members: impl IntoIterator<Item = (&'m [u8], f64)>,
    ) -> SortedSet {
        let mut table = Table::with_capacity(len);
        let mut last: Option<(&[u8], f64)> = None;
        let tree = Tree::from_sorted(members.into_iter().map(|(member, score)| {
            let follows = |(last, least)| precedes(least, || last, score, || member);
            assert!(last.is_none_or(follows), "members come in order");
            last = Some((member, score));
            let hash = hash(member);
            assert!(table.find(hash, member).is_none(), "each member comes once");
            let position = table.insert(hash, Record::scored(member, score));
            // SAFETY: the table that owns the record goes into the same sorted set as the tree.
            (score, unsafe { Handle::new(table.get(position)) })
        }));
        SortedSet { table, tree }
    }

    pub fn encoding(&self) -> &'static str {
        "skiplist"
    }

    /// About how many allocations are freed with it.
    pub fn allocations(&self) -> usize {
        self.len() + self.table.allocations() + self.tree.allocations()
    }

    /// About how many bytes it takes, judging by so many records; by all of them if 0.
    pub fn memory(&self, samples: usize) -> usize {
        let most = if samples == 0 { usize::MAX } else { samples };
        let sizes = self.table.iter().take(most).map(Record::allocated);
        let (count, bytes) = sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
        self.table.memory() + bytes * self.len() / usize::max(count, 1) + self.tree.memory()
    }

    /// How many buckets have a chain of so many others, by that number.
    pub fn chains(&self) -> Vec<usize> {
        self.table.chains()
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        let position = self.table.find(hash(member), member)?;
        Some(self.table.get(position).score())
    }

    /// The member's rank and score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.place(member, score), score))
    }

    /// The rank that a member with a score has or would have.
    fn place(&self, member: &[u8], score: f64) -> usize {
        self.tree.rank(score, |record| record.key() < member)
    }

    /// How many members come before the first that is not `before`, which must be true of some first
    /// ones and of no others.
    #[inline]
    pub fn partition_point(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        self.tree.partition_point(|score, record| before(score, record.key()))
    }

    /// The members of these ranks, in ascending order.
    pub fn iter(&self, ranks: Range<usize>) -> Iter<'_> {
        Iter(self.tree.iter(ranks))
    }

    /// The member of that rank.
    pub fn get(&self, rank: usize) -> Option<(&[u8], f64)> {
        self.tree.get(rank).map(|(score, record)| (record.key(), score))
    }

    /// A member drawn at random.
    pub fn random(&self) -> Option<(&[u8], f64)> {
        let record = self.table.get(self.table.random(random::next)?);
        Some((record.key(), record.score()))
    }

    /// All members with their scores, in no order: faster than in order.
    pub fn unordered(&self) -> impl Iterator<Item = (&[u8], f64)> {
        self.table.iter().map(|record| (record.key(), record.score()))
    }

    /// See [`Table::scan`].
    pub fn scan(&self, cursor: u32, mut each: impl FnMut(&[u8], f64)) -> Option<u32> {
        self.table.scan(cursor, |record| each(record.key(), record.score()))
    }

    /// Gives a member the score that `choose` returns for its present one, or for its absence. A NaN
    /// is not accepted as a score.
    pub fn put(&mut self, member: &[u8], choose: impl FnOnce(Option<f64>) -> Option<f64>) -> Put {
        let hash = hash(member);
        let Some(position) = self.table.find(hash, member) else {
            let Some(score) = choose(None).filter(|score| !score.is_nan()) else {
                return Put::Unchanged;
            };
            let rank = self.place(member, score);
            let position = self.table.insert(hash, Record::scored(member, score));
            // SAFETY: the table owns the record, and `remove` takes the handle away before it.
            let handle = unsafe { Handle::new(self.table.get(position)) };
            self.tree.insert(rank, score, handle);
            return Put::Added;
        };
        let old = self.table.get(position).score();
        let differs = |score: &f64| *score != old && !score.is_nan();
        let Some(score) = choose(Some(old)).filter(differs) else { return Put::Unchanged };
        self.reorder(member, old, score);
        self.table.get_mut(position).set_score(score);
        Put::Updated
    }

    /// Gives a member of the tree another score.
    fn reorder(&mut self, member: &[u8], old: f64, new: f64) {
        let rank = self.place(member, old);
        let [before, after] = self.tree.neighbours(rank);
        let follows =
            |(score, other): (f64, &Handle)| precedes(score, || other.key(), new, || member);
        let goes_before =
            |(score, other): (f64, &Handle)| precedes(new, || member, score, || other.key());
        let stays = before.is_none_or(follows) && after.is_none_or(goes_before);
        if stays {
            self.tree.set_score(rank, new);
            return;
        }
        let mut moved = None;
        self.tree.remove(rank, 1, |_, handle| moved = Some(handle));
        if let Some(handle) = moved {
            let rank = self.place(member, new);
            self.tree.insert(rank, new, handle);
        }
    }

    /// Removes a member. Returns whether it existed.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let Some(position) = self.table.find(hash(member), member) else { return false };
        let record = self.table.get(position);
        let rank = self.place(member, record.score());
        self.tree.remove(rank, 1, |_, handle| assert!(handle.is_of(record)));
        self.table.remove(position);
        true
    }

    /// Removes the members of these ranks.
    pub fn remove_range(&mut self, ranks: Range<usize>) {
        let mut rest = ranks.len();
        while rest > 0 {
            // The tree drops a leaf's handles before the table frees their records.
            let mut removed = SmallVec::<[Handle; 64]>::new();
            rest -= self.tree.remove(ranks.start, rest, |_, handle| removed.push(handle));
            // The cache misses of many overlap.
            removed.iter().for_each(|handle| handle.prefetch());
            let mut hashes = SmallVec::<[u64; 64]>::new();
            for handle in &removed {
                let hash = hash(handle.key());
                self.table.prefetch_bucket(hash);
                hashes.push(hash);
            }
            for (handle, hash) in removed.into_iter().zip(hashes) {
                let position = self.table.find(hash, handle.key());
                let position = position.expect("the table has what the tree has");
                self.table.remove(position);
            }
        }
    }

    /// Hints that the member of rank `next`, and after it that of rank `later`, will soon be removed.
    /// A rank that is first passed as `later` and then as `next` is in the cache by then.
    pub fn prefetch_removal(&self, next: usize, later: usize) {
        if let Some((_, record)) = self.tree.get(next) {
            self.table.prefetch_bucket(hash(record.key()));
        }
        if let Some((_, record)) = self.tree.get(later) {
            record.prefetch();
        }
    }
}

/// A sorted set under construction: its members are added in any order and may be added again, with
/// scores that are combined; they are sorted at the end.
#[derive(Default)]
pub struct Builder {
    table: Table<Record>,
    /// The members as they were added. The table keeps the records until the sorted set owns both.
    members: Vec<Handle>,
    longest: usize,
}

impl Builder {
    /// For so many members.
    pub fn with_capacity(members: usize) -> Builder {
        let table = Table::with_capacity(members);
        Builder { table, members: Vec::with_capacity(members), longest: 0 }
    }

    /// Adds a member, or combines its score (the first argument) with another one.
    ///
    /// # Panics
    /// If the score that this leads to is not a number.
    #[inline]
    pub fn add(&mut self, member: &[u8], score: f64, combine: impl FnOnce(f64, f64) -> f64) {
        let hash = hash(member);
        match self.table.find(hash, member) {
            Some(position) => {
                let record = self.table.get_mut(position);
                let score = combine(record.score(), score);
                assert!(!score.is_nan(), "a score is a number");
                record.set_score(score);
            }
            None => {
                assert!(!score.is_nan(), "a score is a number");
                let position = self.table.insert(hash, Record::scored(member, score));
                // SAFETY: the table never loses a record, and goes where the handles go.
                self.members.push(unsafe { Handle::new(self.table.get(position)) });
                self.longest = self.longest.max(member.len());
            }
        }
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Bytes of the longest member.
    pub fn longest(&self) -> usize {
        self.longest
    }

    pub fn finish(self) -> SortedSet {
        let mut members =
            self.members.into_iter().map(|member| (member.score(), member)).collect::<Vec<_>>();
        // The scores are not NaN. The sorting algorithm makes use of inputs that are already in
        // order.
        members.sort_by(|(score, member), (other_score, other)| {
            let by_score = score.partial_cmp(other_score).unwrap_or(Ordering::Equal);
            by_score.then_with(|| member.key().cmp(other.key()))
        });
        SortedSet { table: self.table, tree: Tree::from_sorted(members) }
    }
}

/// [`SortedSet::iter`].
pub struct Iter<'a>(tree::Iter<'a, Handle>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(score, record)| (record.key(), score))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(score, record)| (record.key(), score))
    }
}
