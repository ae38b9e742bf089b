//! A large set: a hash table of records.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::Member;
use super::member::BATCH;

use crate::table::{Table, hash, prefetch};
use crate::value::Record;
use crate::value::packed::Element;

/// Members that are prefetched ahead of the one that is read: enough to hide the memory's latency,
/// few enough to stay in the first-level cache.
pub(super) const AHEAD: usize = 16;

/// A set as a hash table: the encoding `hashtable`.
#[derive(Clone, Default)]
pub struct Set {
    members: Table<Record>,
}

impl Set {
    /// An empty set that has `members` members without growing.
    pub fn with_capacity(members: usize) -> Set {
        Set { members: Table::with_capacity(members) }
    }

    pub fn encoding(&self) -> &'static str {
        "hashtable"
    }

    /// About how many allocations are freed with the set.
    pub fn allocations(&self) -> usize {
        self.members.len() + self.members.allocations()
    }

    /// About how many bytes it takes, judging by so many members; by all of them if 0.
    pub fn memory(&self, samples: usize) -> usize {
        let most = if samples == 0 { usize::MAX } else { samples };
        let sizes = self.members.iter().take(most).map(Record::allocated);
        let (count, bytes) = sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
        self.members.memory() + bytes * self.len() / usize::max(count, 1)
    }

    /// How many buckets have a chain of so many others, by that number.
    pub fn chains(&self) -> Vec<usize> {
        self.members.chains()
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    #[inline]
    pub fn contains(&self, hash: u64, member: &[u8]) -> bool {
        self.members.find(hash, member).is_some()
    }

    /// Adds a member; false if it exists already.
    #[inline]
    pub fn insert(&mut self, hash: u64, member: &[u8]) -> bool {
        let is_new = self.members.find(hash, member).is_none();
        if is_new {
            self.insert_new(hash, member);
        }
        is_new
    }

    /// Adds all members of a sequence; returns how many of them were new.
    pub fn insert_all<'m>(&mut self, members: &mut impl Iterator<Item = &'m [u8]>) -> usize {
        let mut added = 0;
        loop {
            let batch: SmallVec<[_; BATCH]> =
                members.take(BATCH).map(|member| (hash(member), member)).collect();
            if batch.is_empty() {
                return added;
            }
            self.prefetch(batch.iter().map(|(hash, _)| *hash));
            added += batch.iter().filter(|(hash, member)| self.insert(*hash, member)).count();
        }
    }

    /// Adds a member that does not exist yet.
    #[inline]
    pub fn insert_new(&mut self, hash: u64, member: &[u8]) {
        self.members.insert(hash, Record::new(member, None, None));
    }

    /// Adds all members of a set none of which exists here yet. They come in the order of their
    /// buckets, which is the same in both sets, so consecutive insertions touch memory that is close
    /// together.
    pub fn insert_all_of(&mut self, set: &Set) {
        set.iter().for_each(|member| self.insert_new(hash(member), member));
    }

    /// Adds distinct members none of which exists yet.
    pub fn insert_all_new(&mut self, members: &[Member<'_>]) {
        let mut digits = itoa::Buffer::new();
        for (index, member) in members.iter().enumerate() {
            if let Some(later) = members.get(index + AHEAD) {
                self.members.prefetch_bucket(later.hash());
                later.prefetch();
            }
            self.insert_new(member.hash(), member.bytes(&mut digits));
        }
    }

    /// Removes a member; false if it does not exist.
    #[inline]
    pub fn remove(&mut self, hash: u64, member: &[u8]) -> bool {
        let Some(position) = self.members.find(hash, member) else { return false };
        self.members.remove(position);
        true
    }

    /// Removes and returns a member that is drawn at random.
    pub fn pop(&mut self) -> Option<Record> {
        let position = self.members.random(crate::random::next)?;
        Some(self.members.remove(position))
    }

    /// A member that is drawn at random.
    pub fn random(&self) -> Option<&Record> {
        let position = self.members.random(crate::random::next)?;
        Some(self.members.get(position))
    }

    /// Hints that members with these hashes will be looked up soon.
    ///
    /// A lookup is two dependent cache misses, the bucket and the record. Done for many members, step
    /// by step, the misses of different members overlap.
    pub fn prefetch(&self, hashes: impl Iterator<Item = u64> + Clone) {
        hashes.clone().for_each(|hash| self.members.prefetch_bucket(hash));
        hashes.for_each(|hash| self.members.prefetch_entry(hash));
    }

    /// All members, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        Ahead::new(self.members.iter()).map(Record::key)
    }

    /// Up to `limit` members: those that `other` has too if `shared`, and else those that it has not.
    pub fn filter_by<'a>(&'a self, other: &Set, shared: bool, limit: usize) -> Vec<Member<'a>> {
        let mut records = Vec::new();
        if limit > 0 {
            self.members.compare(&other.members, |record, found| {
                if found == shared {
                    records.push(record);
                }
                if records.len() < limit {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
        }
        // The records that had no candidates have not been read yet.
        read(&records).collect()
    }

    /// Calls `each` for the members at `cursor` and returns the next cursor, or `None` at the end.
    pub fn scan(&self, cursor: u32, mut each: impl FnMut(&[u8])) -> Option<u32> {
        self.members.scan(cursor, |record| each(record.key()))
    }
}

impl<'a> FromIterator<&'a [u8]> for Set {
    /// A set of distinct members.
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(members: I) -> Self {
        let members = members.into_iter();
        let mut set = Set::with_capacity(members.size_hint().0);
        members.for_each(|member| set.insert_new(hash(member), member));
        set
    }
}

/// The members that records are.
fn read<'a>(records: &[&'a Record]) -> impl ExactSizeIterator<Item = Member<'a>> {
    records.iter().enumerate().map(|(index, record)| {
        if let Some(later) = records.get(index + AHEAD) {
            later.prefetch();
        }
        Member::new(Element::Bytes(record.key()))
    })
}

/// Records of an iterator, each of which was prefetched some steps before it is returned.
struct Ahead<'a, I> {
    records: I,
    coming: [Option<&'a Record>; AHEAD],
    next: usize,
}

impl<'a, I: Iterator<Item = &'a Record>> Ahead<'a, I> {
    fn new(records: I) -> Self {
        let mut ahead = Ahead { records, coming: [None; AHEAD], next: 0 };
        for index in 0..AHEAD {
            ahead.coming[index] = ahead.fetch();
        }
        ahead
    }

    fn fetch(&mut self) -> Option<&'a Record> {
        self.records.next().inspect(|record| record.prefetch())
    }
}

impl<'a, I: Iterator<Item = &'a Record>> Iterator for Ahead<'a, I> {
    type Item = &'a Record;

    #[inline]
    fn next(&mut self) -> Option<&'a Record> {
        let record = self.coming[self.next]?;
        self.coming[self.next] = self.fetch();
        self.next = (self.next + 1) % AHEAD;
        Some(record)
    }
}

impl Member<'_> {
    /// Hints that the member's text will be read soon.
    #[inline]
    pub(super) fn prefetch(&self) {
        if let Some(text) = self.text() {
            prefetch(text.as_ptr());
        }
    }
}
