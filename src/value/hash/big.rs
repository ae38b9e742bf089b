//! The big form of a hash: a table of records, of which some may expire.

use super::{Packed, Record};
use crate::table::{self, Expired, Position, Swept, Table};

/// A hash as a table.
#[derive(Clone, Default)]
pub struct Hash {
    records: Table<Record>,
}

impl Hash {
    /// The same hash as `packed`.
    pub(super) fn unpack(packed: Packed<'_>) -> Hash {
        let mut hash = Hash::default();
        let mut elements = packed.iter();
        let (mut field_digits, mut value_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
        while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
            let value = value.bytes(&mut value_digits);
            hash.insert(Record::new(field.bytes(&mut field_digits), Some(value), None));
        }
        hash
    }

    /// Fields, those among them that have expired.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The encoding's name in OBJECT ENCODING's reply.
    pub fn encoding(&self) -> &'static str {
        "hashtable"
    }

    /// About how many bytes it takes, judging by so many records; by all of them if 0.
    pub fn memory(&self, samples: usize) -> usize {
        let most = if samples == 0 { usize::MAX } else { samples };
        let sizes = self.records().take(most).map(Record::allocated);
        let (count, bytes) = sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
        self.records.memory() + bytes * self.len() / usize::max(count, 1)
    }

    /// About how many allocations the hash has.
    pub fn allocations(&self) -> usize {
        // A record each, and the table's segments of eight buckets with six records or less.
        self.len() + self.len() / 32
    }

    /// How many buckets have a chain of so many others, by that number.
    pub fn chains(&self) -> Vec<usize> {
        self.records.chains()
    }

    /// Fields that have an expiry.
    pub fn volatile(&self) -> usize {
        self.records.volatile()
    }

    /// No field expires before this, in milliseconds of Unix time; `None` if none ever does.
    pub fn deadline(&self) -> Option<i64> {
        (self.volatile() > 0).then(|| self.records.next_expiry())
    }

    /// Removes fields that have expired at `now`; `effort` bounds the work: see
    /// [`Table::expire_some`]. `removed` receives their names.
    pub fn expire_some(
        &mut self,
        now: i64,
        effort: usize,
        mut removed: impl FnMut(&[u8]),
    ) -> Swept {
        self.records.expire_some(now, effort, |expired| {
            if let Expired::Element(record) = expired {
                removed(record.key());
            }
        })
    }

    /// The fields, those among them that have expired.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    pub(super) fn find(&self, field: &[u8]) -> Option<Position> {
        self.records.find(table::hash(field), field)
    }

    #[inline]
    pub(super) fn get(&self, field: &[u8]) -> Option<&Record> {
        self.find(field).map(|position| self.records.get(position))
    }

    pub(super) fn at(&self, position: Position) -> &Record {
        self.records.get(position)
    }

    pub(super) fn random(&self) -> Option<&Record> {
        self.records.random(crate::random::next).map(|position| self.records.get(position))
    }

    /// Adds a field that is not there yet.
    pub(super) fn insert(&mut self, record: Record) {
        self.records.insert(table::hash(record.key()), record);
    }

    pub(super) fn set_value(&mut self, position: Position, value: &[u8]) {
        self.records.get_mut(position).set_value(value);
    }

    pub(super) fn set_expiry(&mut self, position: Position, expiry: Option<i64>) {
        if self.records.get(position).expiry() != expiry {
            self.records.set_expiry(position, expiry);
        }
    }

    pub(super) fn remove(&mut self, position: Position) {
        self.records.remove(position);
    }

    /// One step of an iteration: see [`HashRef::scan`](super::HashRef::scan).
    pub(super) fn scan<'a>(
        &'a self,
        cursor: u32,
        count: usize,
        mut each: impl FnMut(&'a Record),
    ) -> u64 {
        let mut seen = 0;
        // Buckets may be empty: Valkey visits ten times the count at the most.
        let mut buckets = count.saturating_mul(10);
        let mut next = Some(cursor);
        while let Some(cursor) = next
            && seen < count
            && buckets > 0
        {
            buckets -= 1;
            next = self.records.scan(cursor, |record| {
                seen += 1;
                each(record);
            });
        }
        next.map_or(0, u64::from)
    }
}
