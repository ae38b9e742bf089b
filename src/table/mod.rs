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
mod compare;
mod hash;
mod prefetch;
mod tables;

use std::sync::Arc;

use smallvec::SmallVec;

use bucket::{Bucket, Place};
use buckets::Buckets;

pub use bucket::SLOTS;
pub use hash::hash;
pub use prefetch::prefetch;
pub use tables::Tables;

/// No time at all: nothing to expire.
pub const NEVER: i64 = i64::MAX;

/// Entries per bucket, on average, that the table grows to.
const FULL: usize = 6;

/// Entries per bucket, on average, under which the table shrinks.
const SPARSE: usize = 2;

/// An element of a table: one pointer to memory that contains the key.
///
/// # Safety
/// The type is as large as a pointer, and none of its values is all zero bits.
pub unsafe trait Slot {
    /// The key that the element is found by. It never changes while the element is in a table.
    fn key(&self) -> &[u8];
    /// The time at which the element expires, in milliseconds of Unix time.
    fn expiry(&self) -> Option<i64>;
    fn set_expiry(&mut self, expiry: Option<i64>);
    /// Hints that the element will be read soon.
    fn prefetch(&self) {}

    /// The time at which something of the element expires: the element itself, or an item in it.
    fn deadline(&self) -> Option<i64> {
        self.expiry()
    }

    /// Items that may expire are in the element.
    fn has_volatile_items(&self) -> bool {
        false
    }

    /// Removes items whose expiry is at or before `now`, with so much effort.
    fn expire_items(&mut self, _now: i64, _effort: usize, _removed: &mut Vec<Box<[u8]>>) -> Swept {
        Swept::default()
    }

    /// The element's last item has been removed.
    fn is_vacant(&self) -> bool {
        false
    }
}

/// A report of [`Table::expire_some`] to its caller.
pub enum Expired<'a, E> {
    /// An element that has expired, and is no longer in the table.
    Element(E),
    /// The items of these names have expired, and are no longer in the element.
    Items(&'a E, Vec<Box<[u8]>>),
    /// An element whose last items have expired, as `Items` reported before. It is no longer in the
    /// table.
    Vacant(E),
}

/// A function that is called with an expiry that is earlier than any before.
pub type NoteExpiry = Arc<dyn Fn(i64) + Send + Sync>;

/// The place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    bucket: u32,
    place: Place,
}

/// A hash table. The fields that a look-up needs come first.
#[repr(C)]
pub struct Table<E: Slot> {
    buckets: Buckets<E>,
    len: usize,
    /// Entries that have an expiry.
    volatile: u32,
    /// Entries that have items with an expiry.
    with_volatile_items: u32,
    /// The next bucket that [`expire_some`](Self::expire_some) visits.
    expire_bucket: u32,
    /// Nothing expires before this, in milliseconds of Unix time, as far as the buckets that the
    /// expiry round has not visited are concerned.
    next_expiry: i64,
    /// The value of `next_expiry` after the round that is running.
    round_expiry: i64,
    /// Called with an expiry that is earlier than any before.
    note: Option<NoteExpiry>,
}

/// The work that [`Table::expire_some`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Buckets that were visited; 0 if there is nothing to do.
    pub buckets: usize,
    /// Entries and items with an expiry that were seen.
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
    /// An empty table that calls `note` with its earliest expiry.
    pub fn new(note: Option<NoteExpiry>) -> Table<E> {
        Table {
            buckets: Buckets::default(),
            len: 0,
            volatile: 0,
            with_volatile_items: 0,
            expire_bucket: 0,
            next_expiry: NEVER,
            round_expiry: NEVER,
            note,
        }
    }

    /// An empty table that gets so many entries without growing.
    pub fn with_capacity(entries: usize) -> Table<E> {
        let mut table = Table::default();
        let buckets = entries.div_ceil(FULL);
        table.buckets.reserve(buckets);
        (0..buckets).for_each(|_| table.buckets.push(Bucket::default()));
        table
    }

    /// Takes everything out, as a table of its own.
    pub fn take(&mut self) -> Table<E> {
        let empty = self.new_alike();
        std::mem::replace(self, empty)
    }

    /// An empty table that calls the same function with its earliest expiry.
    pub fn new_alike(&self) -> Table<E> {
        Table::new(self.note.clone())
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the table takes, without those of its entries.
    pub fn memory(&self) -> usize {
        self.buckets.memory()
    }

    /// Allocations that the table takes, without those of its entries.
    pub fn allocations(&self) -> usize {
        self.buckets.allocations()
    }

    /// How many buckets have a chain of so many others, by that number.
    pub fn chains(&self) -> Vec<usize> {
        let mut counts = Vec::new();
        for chained in self.buckets.iter().map(Bucket::chain_len) {
            counts.resize(counts.len().max(chained + 1), 0);
            counts[chained] += 1;
        }
        counts
    }

    /// Entries that have an expiry.
    pub fn volatile(&self) -> usize {
        self.volatile as usize
    }

    /// Entries that have items with an expiry.
    pub fn with_volatile_items(&self) -> usize {
        self.with_volatile_items as usize
    }

    fn is_volatile(&self) -> bool {
        self.volatile > 0 || self.with_volatile_items > 0
    }

    /// Nothing expires before this, in milliseconds of Unix time.
    pub fn next_expiry(&self) -> i64 {
        if self.is_volatile() { self.next_expiry } else { NEVER }
    }

    /// Buckets below this are split already.
    #[inline]
    fn split(&self) -> usize {
        self.buckets.len().saturating_sub(self.buckets.mask() as usize + 1)
    }

    #[inline]
    fn bucket_of(&self, hash: u64) -> usize {
        let mask = self.buckets.mask();
        let finer = (hash as u32 & (mask << 1 | 1)) as usize;
        // A bucket that is not split has no partner.
        if finer < self.buckets.len() { finer } else { finer & mask as usize }
    }

    /// How many bits of the hash the entries of a bucket have in common: those of its number.
    #[inline]
    fn depth(&self, bucket: usize) -> u32 {
        let is_split = bucket < self.split() || bucket > self.buckets.mask() as usize;
        self.buckets.mask().count_ones() + u32::from(is_split)
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

    #[inline(always)]
    pub fn get(&self, position: Position) -> &E {
        self.buckets[position.bucket as usize].get(position.place)
    }

    /// The entry, to be changed; its expiry only by [`set_expiry`](Self::set_expiry). After a change of
    /// its items, [`items_changed`](Self::items_changed) is called.
    #[inline(always)]
    pub fn get_mut(&mut self, position: Position) -> &mut E {
        self.buckets[position.bucket as usize].get_mut(position.place)
    }

    /// Adds an entry whose key is not in the table. Other positions are void after this.
    pub fn insert(&mut self, hash: u64, entry: E) -> Position {
        if self.len >= self.buckets.len() * FULL {
            self.grow();
        }
        self.len += 1;
        self.volatile += u32::from(entry.expiry().is_some());
        self.with_volatile_items += u32::from(entry.has_volatile_items());
        let deadline = entry.deadline();
        if let Some(at) = deadline {
            self.note_expiry(at);
        }
        let bucket = self.bucket_of(hash);
        let place = self.buckets[bucket].insert(tag(hash), deadline.is_some(), entry);
        Position { bucket: bucket as u32, place }
    }

    /// Takes an entry out. Other positions are void after this.
    pub fn remove(&mut self, position: Position) -> E {
        let entry = self.buckets[position.bucket as usize].remove(position.place);
        self.note_removal(&entry);
        if self.len < self.buckets.len() * SPARSE {
            self.shrink();
        }
        entry
    }

    fn note_removal(&mut self, entry: &E) {
        self.len -= 1;
        self.volatile -= u32::from(entry.expiry().is_some());
        self.with_volatile_items -= u32::from(entry.has_volatile_items());
    }

    /// Sets or clears an entry's expiry, in milliseconds of Unix time.
    pub fn set_expiry(&mut self, position: Position, expiry: Option<i64>) {
        let bucket = &mut self.buckets[position.bucket as usize];
        let entry = bucket.get_mut(position.place);
        let before = entry.expiry().is_some();
        entry.set_expiry(expiry);
        let deadline = entry.deadline();
        bucket.set_volatile(position.place, deadline.is_some());
        self.volatile = self.volatile + u32::from(expiry.is_some()) - u32::from(before);
        if let Some(at) = expiry {
            self.note_expiry(at);
        }
    }

    /// Takes note of a change of an entry's items, after it; `before` says whether some of them had an
    /// expiry.
    pub fn items_changed(&mut self, position: Position, before: bool) {
        let bucket = &mut self.buckets[position.bucket as usize];
        let entry = bucket.get(position.place);
        let after = entry.has_volatile_items();
        if !before && !after {
            return;
        }
        let deadline = entry.deadline();
        bucket.set_volatile(position.place, deadline.is_some());
        self.with_volatile_items = self.with_volatile_items + u32::from(after) - u32::from(before);
        if let Some(at) = deadline {
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
        let bit = self.buckets.mask() + 1;
        let split = self.split();
        let mut low = Bucket::default();
        let mut high = Bucket::default();
        let mut old = std::mem::take(&mut self.buckets[split]);
        old.drain(|tag, volatile, entry| {
            let moves = hash(entry.key()) as u32 & bit != 0;
            let to = if moves { &mut high } else { &mut low };
            to.insert(tag, volatile, entry);
        });
        self.buckets[split] = low;
        self.buckets.push(high);
    }

    fn shrink(&mut self) {
        if self.len == 0 {
            *self = self.new_alike();
            return;
        }
        if self.buckets.len() <= 1 {
            return;
        }
        let mut last = self.buckets.pop().expect("there are at least two buckets");
        let partner = self.split();
        let into = &mut self.buckets[partner];
        let mut earliest = NEVER;
        last.drain(|tag, volatile, entry| {
            earliest = earliest.min(entry.deadline().unwrap_or(NEVER));
            into.insert(tag, volatile, entry);
        });
        // The running expiry round may have passed the bucket that they are in now.
        if earliest != NEVER {
            self.note_expiry(earliest);
        }
    }

    /// Calls `each` for the entries of one bucket and returns the cursor of the next one, or `None`
    /// after the last. A scan starts at 0.
    pub fn scan<'a>(&'a self, cursor: u32, mut each: impl FnMut(&'a E)) -> Option<u32> {
        if self.buckets.len() == 0 {
            return None;
        }
        let bits = cursor.reverse_bits();
        let index = self.bucket_of(u64::from(bits));
        let bucket = &self.buckets[index];
        bucket.places().for_each(|place| each(bucket.get(place)));
        let depth = self.depth(index);
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

    /// An entry drawn at random, by `random` numbers: evenly, as far as one can tell, in constant time.
    pub fn random(&self, mut random: impl FnMut() -> u64) -> Option<Position> {
        if self.is_empty() {
            return None;
        }
        // A bucket's chance is made proportional to its entries by rejecting the emptier ones. Of a full
        // table's buckets one in a thousand has more than `2 * SLOTS`; entries of these have less of a
        // chance. Where no bucket is far away, none has more than is taken into account.
        const NEAR: usize = 1024;
        let many = if self.buckets.len() <= NEAR { 4 * SLOTS } else { 2 * SLOTS };
        loop {
            let bucket = (random() % self.buckets.len() as u64) as usize;
            let count = self.buckets[bucket].places().count();
            let pick = (random() % count.max(many) as u64) as usize;
            if let Some(place) = self.buckets[bucket].places().nth(pick) {
                return Some(Position { bucket: bucket as u32, place });
            }
        }
    }

    /// Visits the entries of a bucket that `random` draws: all, or those with an expiry. Where it has
    /// none, the next bucket that has some takes its place.
    pub fn sample(&self, random: u64, volatile: bool, mut each: impl FnMut(&E)) {
        let count = self.buckets.len();
        if (if volatile { self.volatile() } else { self.len() }) == 0 {
            return;
        }
        let start = (random % count as u64) as usize;
        for index in (start..count).chain(0..start) {
            let bucket = &self.buckets[index];
            let mut is_empty = true;
            if volatile {
                bucket.volatile_places().for_each(|place| bucket.get(place).prefetch());
                for place in bucket.volatile_places() {
                    let entry = bucket.get(place);
                    if entry.expiry().is_some() {
                        each(entry);
                        is_empty = false;
                    }
                }
            } else {
                bucket.places().for_each(|place| bucket.get(place).prefetch());
                for place in bucket.places() {
                    each(bucket.get(place));
                    is_empty = false;
                }
            }
            if !is_empty {
                return;
            }
        }
    }

    /// Removes entries and items whose expiry is at or before `now`, until it has seen `effort` with an
    /// expiry, or sixteen times as many buckets: those without such an entry cost little.
    ///
    /// A round goes over the whole table once; when it has found the earliest expiry, the next one
    /// does not begin before that.
    pub fn expire_some(
        &mut self,
        now: i64,
        effort: usize,
        mut each: impl FnMut(Expired<'_, E>),
    ) -> Swept {
        let mut swept = Swept::default();
        while swept.volatile < effort && swept.buckets < effort * 16 && self.is_volatile() {
            if self.expire_bucket as usize >= self.buckets.len() {
                self.expire_bucket = 0;
            }
            if self.expire_bucket == 0 {
                if self.next_expiry > now {
                    break;
                }
                self.round_expiry = NEVER;
            }
            let bucket = self.expire_bucket as usize;
            self.expire_bucket += 1;
            swept.buckets += 1;
            if self.with_volatile_items > 0 {
                self.expire_items(bucket, now, effort, &mut swept, &mut each);
            }
            self.expire_entries(bucket, now, &mut swept, &mut each);
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

    /// Removes items from the entries of one bucket, `effort` from each at the most.
    fn expire_items(
        &mut self,
        bucket: usize,
        now: i64,
        effort: usize,
        swept: &mut Swept,
        each: &mut impl FnMut(Expired<'_, E>),
    ) {
        let bucket = &mut self.buckets[bucket];
        let is_due = |entry: &E| {
            entry.has_volatile_items()
                && entry.deadline().is_some_and(|at| at <= now)
                && entry.expiry().is_none_or(|at| at > now)
        };
        let due: SmallVec<[Place; SLOTS]> =
            bucket.volatile_places().filter(|place| is_due(bucket.get(*place))).collect();
        for place in due {
            let entry = bucket.get_mut(place);
            let mut removed = Vec::new();
            let items = entry.expire_items(now, effort, &mut removed);
            self.with_volatile_items -= u32::from(!entry.has_volatile_items());
            let is_volatile = entry.deadline().is_some();
            // A vacant one is removed in the next step, which visits only the volatile ones.
            bucket.set_volatile(place, is_volatile || bucket.get(place).is_vacant());
            swept.volatile += items.volatile;
            swept.expired += items.expired;
            if !removed.is_empty() {
                each(Expired::Items(bucket.get(place), removed));
            }
        }
    }

    /// Removes those entries of one bucket that have expired, or are vacant.
    fn expire_entries(
        &mut self,
        bucket: usize,
        now: i64,
        swept: &mut Swept,
        each: &mut impl FnMut(Expired<'_, E>),
    ) {
        loop {
            // Each removal voids the other places, so the bucket is gone over until none expires.
            let bucket = &mut self.buckets[bucket];
            let (mut volatile, mut earliest) = (0, NEVER);
            let over = bucket.volatile_places().find(|&place| {
                let entry = bucket.get(place);
                volatile += 1;
                earliest = earliest.min(entry.deadline().unwrap_or(NEVER));
                entry.is_vacant() || entry.expiry().is_some_and(|at| at <= now)
            });
            let Some(place) = over else {
                swept.volatile += volatile;
                self.round_expiry = self.round_expiry.min(earliest);
                return;
            };
            let entry = bucket.remove(place);
            self.note_removal(&entry);
            swept.volatile += 1;
            swept.expired += 1;
            let is_vacant = entry.is_vacant();
            each(if is_vacant { Expired::Vacant(entry) } else { Expired::Element(entry) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::value::entry::Value;
    use crate::value::hash::{FieldExpiry, HashMut, Limits};
    use crate::value::{Entry, PackedKind, ValueRef, packed};

    type Table = super::Table<Entry>;

    /// Entries of tables that grow and shrink. Miri is some hundred times slower than the machine.
    const MANY: i64 = if cfg!(miri) { 240 } else { 3000 };

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

    /// The number of an entry that expired itself.
    fn taken(expired: Expired<'_, Entry>) -> i64 {
        match expired {
            Expired::Element(entry) => number(&entry),
            _ => panic!("the entries have no items"),
        }
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
        for n in 0..MANY {
            insert(&mut table, n, (n % 4 == 0).then_some(n));
            assert_eq!(table.len(), n as usize + 1);
        }
        assert_eq!(table.volatile(), MANY as usize / 4);
        assert_eq!(table.iter().map(number).collect::<HashSet<_>>(), (0..MANY).collect());
        for n in (0..MANY).step_by(2) {
            assert!(remove(&mut table, n));
            assert!(!remove(&mut table, n));
        }
        assert_eq!((table.len(), table.volatile()), (MANY as usize / 2, 0));
        let once: HashMap<_, _> = (0..MANY).filter(|n| n % 2 == 1).map(|n| (n, 1)).collect();
        assert_eq!(seen(&table), once);
        for n in (1..MANY).step_by(2) {
            assert!(remove(&mut table, n));
        }
        assert_eq!(
            (table.len(), table.buckets.allocations()),
            (0, 0),
            "an empty table has no memory"
        );
    }

    #[test]
    fn a_table_with_capacity_does_not_grow() {
        for capacity in [0, 1, 6, 7, 100, MANY as usize] {
            let mut table = Table::with_capacity(capacity);
            let buckets = table.buckets.len();
            for n in 0..capacity as i64 {
                insert(&mut table, n, None);
                assert_eq!(table.buckets.len(), buckets);
            }
            let once: HashMap<_, _> = (0..capacity as i64).map(|n| (n, 1)).collect();
            assert_eq!(seen(&table), once);
            insert(&mut table, capacity as i64, None);
            (0..=capacity as i64).for_each(|n| assert!(remove(&mut table, n)));
            assert!(table.is_empty());
        }
    }

    #[test]
    fn a_scan_sees_what_stays_while_the_table_grows_and_shrinks() {
        for change in [1i64, -1] {
            let mut table = Table::default();
            (0..MANY).for_each(|n| insert(&mut table, n, None));
            let mut seen = HashSet::new();
            let mut cursor = Some(0);
            let mut step = 0;
            while let Some(at) = cursor {
                cursor = table.scan(at, |entry| _ = seen.insert(number(entry)));
                step += 1;
                for n in step * MANY / 150..(step + 1) * MANY / 150 {
                    if change > 0 {
                        insert(&mut table, 10_000 + n, None);
                    } else if n >= 100 {
                        remove(&mut table, n);
                    }
                }
            }
            let stayed = if change > 0 { MANY } else { 100 };
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
        while table.expire_some(599, 10, |expired| gone.push(taken(expired))).buckets > 0 {}
        assert_eq!(gone.len(), 250);
        assert!(gone.iter().all(|n| n % 2 == 0 && *n <= 499));
        assert_eq!((table.len(), table.volatile()), (750, 250));
        assert_eq!(table.expire_some(599, 1000, |_| panic!("none is left")), Swept::default());
        while table.expire_some(5000, 10, |_| ()).buckets > 0 {}
        assert_eq!((table.len(), table.volatile()), (500, 0));
    }

    /// A hash of fields that expire at these times.
    fn hash_entry(name: &str, expiries: &[i64], expiry: Option<i64>) -> Entry {
        let empty = Value::Packed(PackedKind::Hash, packed::EMPTY);
        let mut entry = Entry::new(name.as_bytes(), empty, expiry);
        let limits = Limits { fields: 9, bytes: 9 };
        let mut hash = HashMut::of(&mut entry, limits, 0).unwrap();
        for (number, &at) in expiries.iter().enumerate() {
            hash.set(number.to_string().as_bytes(), b"value", FieldExpiry::At(at));
        }
        entry
    }

    #[test]
    fn expired_items_go_in_bounded_steps_and_vacant_elements_with_them() {
        let noted = Arc::new(AtomicI64::new(NEVER));
        let note = noted.clone();
        let mut table = Table::new(Some(Arc::new(move |at| note.store(at, Ordering::Relaxed))));
        let add = |table: &mut Table, entry: Entry| table.insert(hash(entry.key()), entry);
        add(&mut table, hash_entry("all go", &[100; 500], None));
        add(&mut table, hash_entry("some go", &[100, 200, NEVER - 1], None));
        add(&mut table, hash_entry("goes itself", &[500, 500], Some(150)));
        (0..100).for_each(|n| insert(&mut table, n, None));
        assert_eq!((table.with_volatile_items(), table.volatile()), (3, 1));
        assert_eq!((table.next_expiry(), noted.load(Ordering::Relaxed)), (100, 100));
        assert_eq!(table.expire_some(99, 9, |_| panic!("too early")), Swept::default());
        let mut told = Vec::new();
        let mut now = 100;
        while now < 300 {
            let swept = table.expire_some(now, 10, |expired| match expired {
                Expired::Items(entry, items) => {
                    assert!(items.len() <= 30, "{} items in one step", items.len());
                    told.push((now, entry.key().to_vec(), items.len()));
                }
                Expired::Vacant(entry) => told.push((now, entry.key().to_vec(), 0)),
                Expired::Element(entry) => {
                    assert_eq!((now, entry.key()), (200, &b"goes itself"[..]));
                }
            });
            if swept.buckets == 0 {
                now += 100;
            }
        }
        let sum = |now, key: &[u8]| {
            told.iter().filter(|(at, of, _)| *at == now && of == key).map(|(.., n)| n).sum()
        };
        assert_eq!((sum(100, b"all go"), sum(100, b"some go"), sum(200, b"some go")), (500, 1, 1));
        assert!(told.contains(&(100, b"all go".to_vec(), 0)) && find(&table, "all go").is_none());
        assert_eq!((table.with_volatile_items(), table.volatile()), (1, 0));
        assert_eq!((table.len(), table.next_expiry()), (101, NEVER - 1));
        let position = find(&table, "some go").unwrap();
        table.get_mut(position).set_value(Value::Int(1));
        table.items_changed(position, true);
        assert_eq!((table.with_volatile_items(), table.next_expiry()), (0, NEVER));
    }

    #[test]
    fn an_expiry_set_during_a_round_is_not_forgotten() {
        let mut table = Table::default();
        (0..500).for_each(|n| insert(&mut table, n, Some(1000)));
        table.expire_some(1000, 10, |_| ());
        let name = table.iter().next().map(number).unwrap().to_string();
        let position = find(&table, &name).unwrap();
        table.set_expiry(position, Some(2000));
        while table.expire_some(1000, 7, |_| ()).buckets > 0 {}
        assert_eq!(table.len(), 1);
        while table.expire_some(2000, 7, |_| ()).buckets > 0 {}
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
        while table.expire_some(1000, 100, |_| ()).buckets > 0 {}
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
    fn a_sample_has_what_it_is_asked_for_if_there_is_any() {
        let mut table = Table::default();
        let sample = |table: &Table, random, volatile| {
            let mut numbers = HashSet::new();
            table.sample(random, volatile, |entry| assert!(numbers.insert(number(entry))));
            numbers
        };
        assert!(sample(&table, 7, false).is_empty() && sample(&table, 7, true).is_empty());
        (0..500).for_each(|n| insert(&mut table, n, None));
        assert!(sample(&table, 7, true).is_empty());
        let all: HashSet<_> = (0..200).flat_map(|random| sample(&table, random, false)).collect();
        assert_eq!(all.len(), 500);
        insert(&mut table, 777, Some(1));
        assert!((0..200).all(|random| sample(&table, random, true) == HashSet::from([777])));
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
