//! A hash table that grows one bucket at a time: of keys in a shard, of members in a collection.
//!
//! Linear hashing: with `2^level + split` buckets, the buckets below `split` and their partners
//! beyond `2^level` use one more bit of the hash than the rest. An insertion that makes the table too
//! full splits one bucket, so no command ever pays for a whole table.
//!
//! A scan walks in the order of the reversed hash bits. A bucket is then an interval of that order,
//! and splitting halves the interval, so a cursor (a position in the order) stays true whatever the
//! table does between two calls: an entry that is there from start to end of a scan is seen.

mod bucket;
mod buckets;
mod hash;
mod prefetch;

use std::sync::Arc;

use bucket::{Bucket, Place, SLOTS};
use buckets::Buckets;

pub use hash::hash;
pub use prefetch::prefetch;

/// No time at all: nothing to expire.
pub const NEVER: i64 = i64::MAX;

/// Entries per bucket, on average, that the table grows to.
const FULL: usize = 6;

/// Entries per bucket, on average, under which the table shrinks.
const SPARSE: usize = 2;

/// What a table has: one pointer to an element that knows its key.
///
/// # Safety
/// The type is as large as a pointer, and none of its values is all zero bits.
pub unsafe trait Slot {
    /// What the element is found by. Never changes while the element is in a table.
    fn key(&self) -> &[u8];
    /// When the element expires, in milliseconds of Unix time.
    fn expiry(&self) -> Option<i64>;
    fn set_expiry(&mut self, expiry: Option<i64>);
    /// Hints that the element will be read soon.
    fn prefetch(&self) {}
}

/// What is told of an expiry that is earlier than any before.
pub type NoteExpiry = Arc<dyn Fn(i64) + Send + Sync>;

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    bucket: u32,
    place: Place,
}

/// A hash table.
pub struct Table<E: Slot> {
    buckets: Buckets<E>,
    len: usize,
    /// `2^level - 1`.
    mask: u32,
    /// Buckets below this are split already.
    split: u32,
    /// Entries that have an expiry.
    volatile: u32,
    /// The next bucket that [`expire_some`](Self::expire_some) visits.
    expire_bucket: u32,
    /// No entry expires before this, in milliseconds of Unix time, as far as the buckets that the
    /// expiry round has not visited are concerned.
    next_expiry: i64,
    /// What `next_expiry` will be when the running round ends.
    round_expiry: i64,
    /// Told of an expiry that is earlier than any before.
    note: Option<NoteExpiry>,
}

/// What [`Table::expire_some`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Buckets that were visited; 0 if there is nothing to do.
    pub buckets: usize,
    /// Entries with an expiry that were seen.
    pub volatile: usize,
    /// Those of them that were removed.
    pub expired: usize,
}

impl<E: Slot> Default for Table<E> {
    fn default() -> Self {
        Table::new(None)
    }
}

/// The tag comes from bits that choose no bucket.
#[inline]
fn tag(hash: u64) -> u8 {
    (hash >> 56) as u8
}

impl<E: Slot + Clone> Clone for Table<E> {
    fn clone(&self) -> Self {
        Table { buckets: self.buckets.clone(), note: self.note.clone(), ..*self }
    }
}

impl<E: Slot> Table<E> {
    /// An empty table that tells `note` of its earliest expiry.
    pub fn new(note: Option<NoteExpiry>) -> Table<E> {
        Table {
            buckets: Buckets::default(),
            len: 0,
            mask: 0,
            split: 0,
            volatile: 0,
            expire_bucket: 0,
            next_expiry: NEVER,
            round_expiry: NEVER,
            note,
        }
    }

    /// Takes everything out, as a table of its own.
    pub fn take(&mut self) -> Table<E> {
        let empty = self.new_alike();
        std::mem::replace(self, empty)
    }

    /// An empty table that tells of its earliest expiry whom this one does.
    pub fn new_alike(&self) -> Table<E> {
        Table::new(self.note.clone())
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Allocations that the table takes, without those of its entries.
    pub fn allocations(&self) -> usize {
        self.buckets.allocations()
    }

    /// Entries that have an expiry.
    pub fn volatile(&self) -> usize {
        self.volatile as usize
    }

    /// No entry expires before this, in milliseconds of Unix time.
    pub fn next_expiry(&self) -> i64 {
        if self.volatile == 0 { NEVER } else { self.next_expiry }
    }

    #[inline]
    fn bucket_of(&self, hash: u64) -> usize {
        let bits = hash as u32;
        let bucket = bits & self.mask;
        let bucket = if bucket < self.split { bits & (self.mask << 1 | 1) } else { bucket };
        bucket as usize
    }

    /// Hints that `hash` will be looked up soon: loads its bucket.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        if let Some(bucket) = self.buckets.get(self.bucket_of(hash)) {
            prefetch(bucket);
        }
    }

    /// Loads the entry that `hash` probably has. Its bucket should be there already.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        if let Some(bucket) = self.buckets.get(self.bucket_of(hash)) {
            bucket.prefetch(tag(hash));
        }
    }

    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<Position> {
        let bucket = self.bucket_of(hash);
        let place = self.buckets.get(bucket)?.find(tag(hash), key)?;
        Some(Position { bucket: bucket as u32, place })
    }

    #[inline]
    pub fn get(&self, position: Position) -> &E {
        self.buckets[position.bucket as usize].get(position.place)
    }

    /// The entry, to be changed; its expiry only by [`set_expiry`](Self::set_expiry).
    #[inline]
    pub fn get_mut(&mut self, position: Position) -> &mut E {
        self.buckets[position.bucket as usize].get_mut(position.place)
    }

    /// Adds an entry whose key is not in the table. Other positions are void after this.
    pub fn insert(&mut self, hash: u64, entry: E) -> Position {
        if self.len >= self.buckets.len() * FULL {
            self.grow();
        }
        self.len += 1;
        let expiry = entry.expiry();
        if let Some(at) = expiry {
            self.volatile += 1;
            self.note_expiry(at);
        }
        let bucket = self.bucket_of(hash);
        let place = self.buckets[bucket].insert(tag(hash), expiry.is_some(), entry);
        Position { bucket: bucket as u32, place }
    }

    /// Takes an entry out. Other positions are void after this.
    pub fn remove(&mut self, position: Position) -> E {
        let entry = self.buckets[position.bucket as usize].remove(position.place);
        self.len -= 1;
        if entry.expiry().is_some() {
            self.volatile -= 1;
        }
        if self.len < self.buckets.len() * SPARSE {
            self.shrink();
        }
        entry
    }

    /// Sets or clears an entry's expiry, in milliseconds of Unix time.
    pub fn set_expiry(&mut self, position: Position, expiry: Option<i64>) {
        let bucket = &mut self.buckets[position.bucket as usize];
        let entry = bucket.get_mut(position.place);
        let before = entry.expiry().is_some();
        entry.set_expiry(expiry);
        bucket.set_volatile(position.place, expiry.is_some());
        self.volatile = self.volatile + u32::from(expiry.is_some()) - u32::from(before);
        if let Some(at) = expiry {
            self.note_expiry(at);
        }
    }

    fn note_expiry(&mut self, at: i64) {
        self.round_expiry = self.round_expiry.min(at);
        if at < self.next_expiry {
            self.next_expiry = at;
            if let Some(note) = &self.note {
                note(at);
            }
        }
    }

    fn grow(&mut self) {
        if self.buckets.len() == 0 {
            self.buckets.push(Default::default());
            return;
        }
        let bit = self.mask + 1;
        let mut low = Bucket::default();
        let mut high = Bucket::default();
        let mut old = std::mem::take(&mut self.buckets[self.split as usize]);
        old.drain(|tag, volatile, entry| {
            let moves = hash(entry.key()) as u32 & bit != 0;
            let to = if moves { &mut high } else { &mut low };
            to.insert(tag, volatile, entry);
        });
        self.buckets[self.split as usize] = low;
        self.buckets.push(high);
        self.split += 1;
        if self.split > self.mask {
            self.mask = self.mask << 1 | 1;
            self.split = 0;
        }
    }

    fn shrink(&mut self) {
        if self.len == 0 {
            *self = self.new_alike();
            return;
        }
        if self.buckets.len() <= 1 {
            return;
        }
        if self.split == 0 {
            self.mask >>= 1;
            self.split = self.mask + 1;
        }
        self.split -= 1;
        let mut last = self.buckets.pop().expect("there are at least two buckets");
        let into = &mut self.buckets[self.split as usize];
        let mut earliest = NEVER;
        last.drain(|tag, volatile, entry| {
            earliest = earliest.min(entry.expiry().unwrap_or(NEVER));
            into.insert(tag, volatile, entry);
        });
        // The running expiry round may have passed the bucket that they are in now.
        if earliest != NEVER {
            self.note_expiry(earliest);
        }
    }

    /// Calls `each` for the entries of one bucket and returns the cursor of the next one, or `None`
    /// after the last. A scan starts at 0.
    pub fn scan(&self, cursor: u32, mut each: impl FnMut(&E)) -> Option<u32> {
        if self.buckets.len() == 0 {
            return None;
        }
        let bits = cursor.reverse_bits();
        let index = self.bucket_of(u64::from(bits));
        let bucket = &self.buckets[index];
        bucket.places().for_each(|place| each(bucket.get(place)));
        let is_split = (index as u32) < self.split || index as u32 > self.mask;
        let depth = self.mask.count_ones() + u32::from(is_split);
        if depth == 0 {
            return None;
        }
        // The interval's end is the next bucket's start; past the last one the addition overflows.
        let interval = 1u32 << (32 - depth);
        (cursor & !(interval - 1)).checked_add(interval)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.buckets.iter().flat_map(|bucket| bucket.places().map(|place| bucket.get(place)))
    }

    /// An entry drawn at random, by `random` numbers: nearly evenly, in constant time.
    pub fn random(&self, mut random: impl FnMut() -> u64) -> Option<Position> {
        if self.is_empty() {
            return None;
        }
        // A bucket's chance is made proportional to its entries by rejecting the emptier ones.
        loop {
            let bucket = (random() % self.buckets.len() as u64) as usize;
            let count = self.buckets[bucket].places().count();
            let pick = (random() % count.max(SLOTS) as u64) as usize;
            if let Some(place) = self.buckets[bucket].places().nth(pick) {
                return Some(Position { bucket: bucket as u32, place });
            }
        }
    }

    /// Removes entries whose expiry is at or before `now`, until it has seen `effort` entries with an
    /// expiry, or sixteen times as many buckets: those without such an entry cost little.
    ///
    /// A round goes over the whole table once; when it has found the earliest expiry, the next one
    /// does not begin before that.
    pub fn expire_some(&mut self, now: i64, effort: usize, mut each: impl FnMut(E)) -> Swept {
        let mut swept = Swept::default();
        while swept.volatile < effort && swept.buckets < effort * 16 && self.volatile > 0 {
            if self.expire_bucket as usize >= self.buckets.len() {
                self.expire_bucket = 0;
            }
            if self.expire_bucket == 0 {
                if self.next_expiry > now {
                    break;
                }
                self.round_expiry = NEVER;
            }
            let bucket = &mut self.buckets[self.expire_bucket as usize];
            self.expire_bucket += 1;
            swept.buckets += 1;
            loop {
                // Each removal voids the other places, so the bucket is gone over until none expires.
                let (mut volatile, mut earliest) = (0, NEVER);
                let expired = bucket.volatile_places().find(|&place| {
                    let at = bucket.get(place).expiry().unwrap_or(NEVER);
                    volatile += 1;
                    earliest = earliest.min(at);
                    at <= now
                });
                let Some(place) = expired else {
                    swept.volatile += volatile;
                    self.round_expiry = self.round_expiry.min(earliest);
                    break;
                };
                each(bucket.remove(place));
                self.len -= 1;
                self.volatile -= 1;
                swept.volatile += 1;
                swept.expired += 1;
            }
            if self.expire_bucket as usize >= self.buckets.len() {
                self.expire_bucket = 0;
                self.next_expiry = self.round_expiry;
            }
        }
        if swept.expired > 0 {
            if self.len == 0 {
                *self = self.new_alike();
            }
            while self.buckets.len() > 1 && self.len < self.buckets.len() * SPARSE {
                self.shrink();
            }
        }
        swept
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::value::entry::Value;
    use crate::value::{Entry, ValueRef};

    type Table = super::Table<Entry>;

    fn find(table: &Table, name: &str) -> Option<Position> {
        table.find(hash(name.as_bytes()), name.as_bytes())
    }

    fn insert(table: &mut Table, number: i64, expiry: Option<i64>) {
        let name = number.to_string();
        assert!(find(table, &name).is_none());
        let entry = Entry::new(name.as_bytes(), Value::Int(number), expiry);
        table.insert(hash(name.as_bytes()), entry);
    }

    fn remove(table: &mut Table, number: i64) -> bool {
        let name = number.to_string();
        let Some(position) = find(table, &name) else { return false };
        table.remove(position);
        true
    }

    fn number(entry: &Entry) -> i64 {
        match entry.value() {
            ValueRef::Int(number) => number,
            _ => panic!("the tests store numbers"),
        }
    }

    fn seen(table: &Table) -> HashMap<i64, usize> {
        let mut seen = HashMap::new();
        let mut cursor = Some(0);
        while let Some(at) = cursor {
            cursor = table.scan(at, |entry| *seen.entry(number(entry)).or_default() += 1);
        }
        seen
    }

    #[test]
    fn everything_inserted_is_found_until_it_is_removed() {
        let mut table = Table::default();
        for n in 0..3000 {
            insert(&mut table, n, (n % 4 == 0).then_some(n));
            assert_eq!(table.len(), n as usize + 1);
        }
        assert_eq!(table.volatile(), 750);
        assert_eq!(table.iter().map(number).collect::<HashSet<_>>(), (0..3000).collect());
        for n in (0..3000).step_by(2) {
            assert!(remove(&mut table, n));
            assert!(!remove(&mut table, n));
        }
        assert_eq!((table.len(), table.volatile()), (1500, 0));
        let once: HashMap<_, _> = (0..3000).filter(|n| n % 2 == 1).map(|n| (n, 1)).collect();
        assert_eq!(seen(&table), once);
        for n in (1..3000).step_by(2) {
            assert!(remove(&mut table, n));
        }
        assert_eq!(
            (table.len(), table.buckets.allocations()),
            (0, 0),
            "an empty table has no memory"
        );
    }

    #[test]
    fn a_scan_sees_what_stays_while_the_table_grows_and_shrinks() {
        for change in [1i64, -1] {
            let mut table = Table::default();
            (0..2000).for_each(|n| insert(&mut table, n, None));
            let mut seen = HashSet::new();
            let mut cursor = Some(0);
            let mut step = 0;
            while let Some(at) = cursor {
                cursor = table.scan(at, |entry| _ = seen.insert(number(entry)));
                step += 1;
                for n in step * 20..(step + 1) * 20 {
                    if change > 0 {
                        insert(&mut table, 10_000 + n, None);
                    } else if n >= 100 {
                        remove(&mut table, n);
                    }
                }
            }
            let stayed = if change > 0 { 2000 } else { 100 };
            assert!((0..stayed).all(|n| seen.contains(&n)));
        }
    }

    #[test]
    fn expired_entries_go_in_bounded_steps_and_the_rest_stays() {
        let mut table = Table::default();
        for n in 0..1000 {
            insert(&mut table, n, if n % 2 == 0 { Some(100 + n) } else { None });
        }
        assert_eq!(table.expire_some(99, 1000, |_| panic!("too early")), Swept::default());
        let mut gone = Vec::new();
        while table.expire_some(599, 10, |entry| gone.push(number(&entry))).buckets > 0 {}
        assert_eq!(gone.len(), 250);
        assert!(gone.iter().all(|n| n % 2 == 0 && *n <= 499));
        assert_eq!((table.len(), table.volatile()), (750, 250));
        assert_eq!(table.expire_some(599, 1000, |_| panic!("none is left")), Swept::default());
        while table.expire_some(5000, 10, drop).buckets > 0 {}
        assert_eq!((table.len(), table.volatile()), (500, 0));
    }

    #[test]
    fn an_expiry_set_during_a_round_is_not_forgotten() {
        let mut table = Table::default();
        (0..500).for_each(|n| insert(&mut table, n, Some(1000)));
        table.expire_some(1000, 10, drop);
        let name = table.iter().next().map(number).unwrap().to_string();
        let position = find(&table, &name).unwrap();
        table.set_expiry(position, Some(2000));
        while table.expire_some(1000, 7, drop).buckets > 0 {}
        assert_eq!(table.len(), 1);
        while table.expire_some(2000, 7, drop).buckets > 0 {}
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_clone_has_its_own_elements() {
        #[derive(Clone)]
        struct Element(Box<(Vec<u8>, Option<i64>)>);
        // SAFETY: a box is a pointer that is never null.
        unsafe impl Slot for Element {
            fn key(&self) -> &[u8] {
                &self.0.0
            }
            fn expiry(&self) -> Option<i64> {
                self.0.1
            }
            fn set_expiry(&mut self, expiry: Option<i64>) {
                self.0.1 = expiry;
            }
        }
        let mut table = super::Table::default();
        for n in 0..500 {
            let key = n.to_string().into_bytes();
            table.insert(hash(&key), Element(Box::new((key, (n % 2 == 0).then_some(n)))));
        }
        let mut clone = table.clone();
        while table.expire_some(1000, 100, drop).buckets > 0 {}
        assert_eq!((table.len(), clone.len(), clone.volatile()), (250, 500, 250));
        assert_eq!((clone.next_expiry(), table.next_expiry()), (0, NEVER));
        for n in 0..500 {
            let key = n.to_string().into_bytes();
            let position = clone.find(hash(&key), &key).expect("it was cloned");
            assert_eq!(clone.remove(position).expiry(), (n % 2 == 0).then_some(n));
        }
        assert!(clone.is_empty());
    }

    #[test]
    fn every_entry_can_be_drawn() {
        let mut table = Table::default();
        (0..50).for_each(|n| insert(&mut table, n, None));
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        let drawn: HashSet<_> =
            (0..5000).map(|_| number(table.get(table.random(&mut random).unwrap()))).collect();
        assert_eq!(drawn.len(), 50);
    }
}
