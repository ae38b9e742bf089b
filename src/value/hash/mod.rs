//! Hashes: fields with values.
//!
//! A small hash lies packed in its entry: field, value, field, value. A big one is a table of records,
//! and so is one that has, or had, a field with an expiry. [`HashRef`] reads either of them,
//! [`HashMut`] changes it, and turns the one into the other when a limit is passed.
//!
//! A field that has expired is still there until something removes it: [`Hash::expire_some`], or a new
//! value. Until then everything but the [length](HashRef::len) passes over it.

mod big;
mod change;
mod random;
#[cfg(test)]
mod tests;

use super::packed::{Element, Packed};
use super::record::Record;
use super::{Entry, Object, PackedKind, ValueRef};

pub use big::Hash;
pub use change::{Before, FieldExpiry, HashMut, Limits};

/// A hash, to be read.
#[derive(Clone, Copy)]
pub enum HashRef<'a> {
    Packed(Packed<'a>),
    Big(&'a Hash),
}

/// A field and its value.
pub type Pair<'a> = (Element<'a>, Element<'a>);

impl<'a> HashRef<'a> {
    /// The hash in an entry; `None` if its value is something else.
    #[inline]
    pub fn of(entry: &'a Entry) -> Option<HashRef<'a>> {
        match entry.value() {
            ValueRef::Packed(PackedKind::Hash, bytes) => Some(HashRef::Packed(Packed::new(bytes))),
            ValueRef::Object(Object::Hash(hash)) => Some(HashRef::Big(hash)),
            _ => None,
        }
    }

    /// The number of fields, those among them that have expired.
    pub fn len(self) -> usize {
        match self {
            HashRef::Packed(packed) => packed.len() / 2,
            HashRef::Big(hash) => hash.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The number of fields that have not expired at `now`.
    pub fn count_live(self, now: i64) -> usize {
        match self {
            HashRef::Big(hash) if hash.deadline().is_some_and(|at| at <= now) => {
                hash.records().filter(|record| is_live(record, now)).count()
            }
            hash => hash.len(),
        }
    }

    /// A field's value.
    #[inline]
    pub fn get(self, field: &[u8], now: i64) -> Option<Element<'a>> {
        match self {
            HashRef::Packed(packed) => Some(packed.get(packed.next(find(packed, field)?)?)),
            HashRef::Big(hash) => {
                let record = hash.get(field).filter(|record| is_live(record, now))?;
                Some(pair(record).1)
            }
        }
    }

    /// When a field expires, in milliseconds of Unix time; `None` if there is no such field.
    pub fn expiry(self, field: &[u8], now: i64) -> Option<Option<i64>> {
        match self {
            HashRef::Packed(packed) => find(packed, field).map(|_| None),
            HashRef::Big(hash) => {
                hash.get(field).filter(|record| is_live(record, now)).map(Record::expiry)
            }
        }
    }

    /// Calls `each` for every field that has not expired at `now`, with its value.
    #[inline]
    pub fn for_each(self, now: i64, mut each: impl FnMut(Element<'a>, Element<'a>)) {
        match self {
            HashRef::Packed(packed) => {
                let mut elements = packed.iter();
                while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
                    each(field, value);
                }
            }
            HashRef::Big(hash) => {
                for record in hash.records().filter(|record| is_live(record, now)) {
                    let (field, value) = pair(record);
                    each(field, value);
                }
            }
        }
    }

    /// Every field that has not expired at `now`, with its value.
    pub fn pairs(self, now: i64) -> Vec<Pair<'a>> {
        let mut pairs = Vec::with_capacity(self.len());
        self.for_each(now, |field, value| pairs.push((field, value)));
        pairs
    }

    /// One step of an iteration, which begins with cursor 0: calls `each` for about `count` fields,
    /// or for all of a packed hash. Returns the cursor of the next step, or 0 after the last.
    pub fn scan(
        self,
        cursor: u64,
        count: usize,
        now: i64,
        mut each: impl FnMut(Element<'a>, Element<'a>),
    ) -> u64 {
        match self {
            HashRef::Packed(_) => {
                self.for_each(now, each);
                0
            }
            HashRef::Big(hash) => hash.scan(cursor as u32, count, |record| {
                if is_live(record, now) {
                    let (field, value) = pair(record);
                    each(field, value);
                }
            }),
        }
    }
}

/// Where a field stands in a packed hash.
#[inline]
fn find(packed: Packed<'_>, field: &[u8]) -> Option<usize> {
    packed.find(field, 2, 0)
}

fn pair(record: &Record) -> Pair<'_> {
    (Element::Bytes(record.key()), Element::Bytes(record.value().unwrap_or_default()))
}

#[inline]
fn is_live(record: &Record, now: i64) -> bool {
    record.expiry().is_none_or(|at| at > now)
}
