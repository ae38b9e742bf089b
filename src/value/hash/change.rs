//! Changing a hash, in either form.

use super::{Hash, HashRef, find, is_live};
use crate::config::Settings;
use crate::value::entry::Value;
use crate::value::packed::{self, Packed};
use crate::value::record::Record;
use crate::value::{Entry, Object, PackedKind, PackedMut, Splice, ValueRef};

/// Bytes of a packed hash at which nothing more is added to it, whatever the configuration says:
/// Valkey's limit for a listpack.
const PACKED_LIMIT: usize = 1 << 30;

/// The limits up to which a hash stays packed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Fields (`hash-max-listpack-entries`).
    pub fields: usize,
    /// Bytes of a field or a value (`hash-max-listpack-value`).
    pub bytes: usize,
}

impl Limits {
    pub fn of(settings: &Settings) -> Limits {
        let limit = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Limits {
            fields: limit(settings.hash_max_listpack_entries),
            bytes: limit(settings.hash_max_listpack_value),
        }
    }
}

/// The effect of a new value on a field's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldExpiry {
    None,
    /// The expiry stays. A field that has expired has none.
    Keep,
    /// In milliseconds of Unix time.
    At(i64),
}

/// The state of a field before it got a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Missing,
    Expired,
    Live,
}

/// A hash in its entry, to be changed. Fields that have expired at `now` are ignored.
pub struct HashMut<'a> {
    entry: &'a mut Entry,
    limits: Limits,
    now: i64,
}

impl<'a> HashMut<'a> {
    /// The hash in an entry; `None` if its value is something else.
    #[inline]
    pub fn of(entry: &'a mut Entry, limits: Limits, now: i64) -> Option<HashMut<'a>> {
        HashRef::of(entry)?;
        Some(HashMut { entry, limits, now })
    }

    #[inline]
    pub fn read(&self) -> HashRef<'_> {
        HashRef::of(self.entry).expect("the entry's value is a hash")
    }

    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// Prepares for values of so many fields: the hash is unpacked if that is more than a packed hash
    /// may have, even where some of them exist already.
    pub fn expect(&mut self, fields: usize) {
        if fields > self.limits.fields {
            self.unpack();
        }
    }

    /// Prepares a new hash for these fields and values, which are then added in one step.
    pub fn reserve<'b>(&mut self, elements: impl Iterator<Item = &'b [u8]>) {
        if let Some(mut packed) = self.entry.packed_mut() {
            packed.reserve(elements.map(packed::encoded_len).sum());
        }
    }

    /// Gives a field a value, and returns its former state.
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8], expiry: FieldExpiry) -> Before {
        if let Some(mut packed) = self.entry.packed_mut() {
            let fits = field.len().max(value.len()) <= self.limits.bytes
                && packed.bytes().len() + field.len() + value.len() < PACKED_LIMIT;
            if fits && !matches!(expiry, FieldExpiry::At(_)) {
                let before = set_packed(&mut packed, field, value);
                if self.read().len() > self.limits.fields {
                    self.unpack();
                }
                return before;
            }
        }
        self.set_big(field, value, expiry)
    }

    fn set_big(&mut self, field: &[u8], value: &[u8], expiry: FieldExpiry) -> Before {
        let now = self.now;
        let hash = self.unpack();
        let at = match expiry {
            FieldExpiry::At(at) => Some(at),
            FieldExpiry::None | FieldExpiry::Keep => None,
        };
        let Some(position) = hash.find(field) else {
            hash.insert(Record::new(field, Some(value), at));
            return Before::Missing;
        };
        let is_live = is_live(hash.at(position), now);
        if !is_live || expiry != FieldExpiry::Keep {
            hash.set_expiry(position, at);
        }
        hash.set_value(position, value);
        if is_live { Before::Live } else { Before::Expired }
    }

    /// Sets or clears the expiry of a field, if there is such a field.
    pub fn set_expiry(&mut self, field: &[u8], expiry: Option<i64>) {
        if expiry.is_none() && matches!(self.read(), HashRef::Packed(_)) {
            return;
        }
        if self.read().expiry(field, self.now).is_none() {
            return;
        }
        let hash = self.unpack();
        if let Some(position) = hash.find(field) {
            hash.set_expiry(position, expiry);
        }
    }

    /// Removes a field. Returns whether it existed.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let now = self.now;
        self.remove_if(field, |record| is_live(record, now))
    }

    /// Removes a field, even if it has expired. Returns whether it existed.
    pub fn discard(&mut self, field: &[u8]) -> bool {
        self.remove_if(field, |_| true)
    }

    fn remove_if(&mut self, field: &[u8], condition: impl Fn(&Record) -> bool) -> bool {
        if let Some(mut packed) = self.entry.packed_mut() {
            let at = find(Packed::new(packed.bytes()), field);
            if let Some(at) = at {
                packed::remove(&mut packed, at, 2);
            }
            return at.is_some();
        }
        let hash = self.unpack();
        let position = hash.find(field).filter(|position| condition(hash.at(*position)));
        if let Some(position) = position {
            hash.remove(position);
        }
        position.is_some()
    }

    /// Turns a packed hash into a big one.
    fn unpack(&mut self) -> &mut Hash {
        if let ValueRef::Packed(PackedKind::Hash, bytes) = self.entry.value() {
            let hash = Hash::unpack(Packed::new(bytes));
            self.entry.set_value(Value::Object(Box::new(Object::Hash(hash))));
        }
        match self.entry.object_mut() {
            Some(Object::Hash(hash)) => hash,
            _ => unreachable!("the entry's value is a hash"),
        }
    }
}

fn set_packed(packed: &mut PackedMut<'_>, field: &[u8], value: &[u8]) -> Before {
    let view = Packed::new(packed.bytes());
    match find(view, field).and_then(|at| view.next(at)) {
        Some(at) => {
            packed::replace(packed, at, value);
            Before::Live
        }
        None => {
            packed::push_pair(packed, field, value);
            Before::Missing
        }
    }
}
