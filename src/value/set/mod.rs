//! Sets: strings in no order, each once.
//!
//! A small set of integers is an [intset](self::intset), any other small one a listpack; both lie inside
//! their entry. Everything else is a [hash table](Set). [`SetRef`] reads a set of any encoding,
//! [`SetMut`] changes one and converts it where a limit is passed.

mod algebra;
mod hashtable;
pub mod intset;
mod member;
mod sample;

pub use algebra::{Found, difference, intersection, union};
pub use hashtable::Set;
pub use intset::IntSet;
pub use member::{BATCH, Member};

use super::Object;
use super::entry::Value;
use super::packed::{self, Element, Packed};
use super::{Entry, PackedKind, PackedMut, Splice, ValueRef};
use crate::config::Settings;
use crate::number::parse_i64;
use crate::table::hash;

/// How large a set may be in each of the compact encodings.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub intset_entries: usize,
    pub listpack_entries: usize,
    /// Bytes of a listpack's longest member.
    pub listpack_value: usize,
}

/// Bytes of the largest set that lies inside its entry, whatever the limits of the configuration.
const MAX_PACKED: usize = 1 << 30;

impl Limits {
    pub fn of(settings: &Settings) -> Limits {
        // A limit beyond the address space is none.
        let limit = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Limits {
            intset_entries: limit(settings.set_max_intset_entries),
            listpack_entries: limit(settings.set_max_listpack_entries),
            listpack_value: limit(settings.set_max_listpack_value),
        }
    }

    fn admit_intset(&self, set: IntSet<'_>) -> bool {
        set.len() <= self.intset_entries.min(MAX_PACKED / size_of::<i64>())
    }

    /// Whether a listpack may have so many members, the longest of so many bytes.
    fn admit_listpack(&self, members: usize, longest: usize) -> bool {
        members <= self.listpack_entries && longest <= self.listpack_value
    }

    /// Whether a set of so many members is a hash table, whatever they are.
    fn exceeded_by(&self, members: usize) -> bool {
        members > self.intset_entries.max(self.listpack_entries)
    }
}

/// A set to be read.
#[derive(Clone, Copy)]
pub enum SetRef<'a> {
    IntSet(IntSet<'a>),
    Packed(Packed<'a>),
    Table(&'a Set),
}

impl<'a> SetRef<'a> {
    /// The set that a value is; `None` if it is of another type.
    #[inline]
    pub fn new(value: ValueRef<'a>) -> Option<SetRef<'a>> {
        match value {
            ValueRef::Packed(PackedKind::IntSet, bytes) => Some(SetRef::IntSet(IntSet::new(bytes))),
            ValueRef::Packed(PackedKind::Set, bytes) => Some(SetRef::Packed(Packed::new(bytes))),
            ValueRef::Object(Object::Set(set)) => Some(SetRef::Table(set)),
            _ => None,
        }
    }

    pub fn len(&self) -> usize {
        match self {
            SetRef::IntSet(set) => set.len(),
            SetRef::Packed(set) => set.len(),
            SetRef::Table(set) => set.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match self {
            SetRef::IntSet(set) => parse_i64(member).is_some_and(|number| set.contains(number)),
            SetRef::Packed(set) => set.find(member, 1, 0).is_some(),
            SetRef::Table(set) => set.contains(hash(member), member),
        }
    }

    /// As [`contains`](Self::contains), for a member whose hash is known.
    #[inline]
    pub fn has(&self, member: &Member<'_>) -> bool {
        match self {
            SetRef::IntSet(set) => member.number().is_some_and(|number| set.contains(number)),
            SetRef::Packed(set) => set.find(member.bytes(&mut itoa::Buffer::new()), 1, 0).is_some(),
            SetRef::Table(set) => {
                set.contains(member.hash(), member.bytes(&mut itoa::Buffer::new()))
            }
        }
    }

    /// Hints that these members will be looked for soon.
    pub fn prefetch(&self, members: &[Member<'_>]) {
        if let SetRef::Table(set) = self {
            set.prefetch(members.iter().map(Member::hash));
        }
    }

    /// All members: those of an intset in ascending order, those of a listpack in the order of their
    /// addition.
    pub fn iter(self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        match self {
            SetRef::IntSet(set) => Members::IntSet(set.iter().map(Element::Int)),
            SetRef::Packed(set) => Members::Packed(set.iter()),
            SetRef::Table(set) => Members::Table(set.iter().map(Element::Bytes)),
        }
    }
}

/// The members of a set of each encoding.
enum Members<I, P, T> {
    IntSet(I),
    Packed(P),
    Table(T),
}

impl<'a, I, P, T> Iterator for Members<I, P, T>
where
    I: Iterator<Item = Element<'a>>,
    P: Iterator<Item = Element<'a>>,
    T: Iterator<Item = Element<'a>>,
{
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        match self {
            Members::IntSet(members) => members.next(),
            Members::Packed(members) => members.next(),
            Members::Table(members) => members.next(),
        }
    }
}

/// The empty intset: the encoding with which any set may begin.
pub const EMPTY: Value<'static> = Value::Packed(PackedKind::IntSet, intset::EMPTY);

/// An empty set for about so many members, the first of which is `first`.
pub fn for_members(first: &[u8], members: usize, limits: Limits) -> Value<'static> {
    if members <= limits.intset_entries && parse_i64(first).is_some() {
        EMPTY
    } else if members <= limits.listpack_entries {
        Value::Packed(PackedKind::Set, packed::EMPTY)
    } else {
        Value::Object(Box::new(Object::Set(Set::with_capacity(members))))
    }
}

/// A set to be changed. It may become empty; the caller then removes its key.
pub struct SetMut<'a> {
    entry: &'a mut Entry,
    limits: Limits,
}

/// The set in its encoding.
enum Form<'a> {
    IntSet(PackedMut<'a>),
    Packed(PackedMut<'a>),
    Table(&'a mut Set),
}

impl<'a> SetMut<'a> {
    /// The set that an entry holds; `None` if its value is of another type.
    #[inline]
    pub fn new(entry: &'a mut Entry, limits: Limits) -> Option<Self> {
        SetRef::new(entry.value())?;
        Some(SetMut { entry, limits })
    }

    #[inline]
    pub fn view(&self) -> SetRef<'_> {
        SetRef::new(self.entry.value()).expect("the entry holds a set")
    }

    #[inline]
    fn form(&mut self) -> Form<'_> {
        match self.view() {
            SetRef::IntSet(_) => Form::IntSet(self.entry.packed_mut().expect("an intset")),
            SetRef::Packed(_) => Form::Packed(self.entry.packed_mut().expect("a listpack")),
            SetRef::Table(_) => match self.entry.object_mut() {
                Some(Object::Set(set)) => Form::Table(set),
                _ => unreachable!("the entry holds a hash table"),
            },
        }
    }

    /// Converts a compact set to a hash table if so many additions might make it too large. As in
    /// Valkey, members that exist already count, too.
    pub fn expect(&mut self, additions: usize) {
        let limit = match self.view() {
            SetRef::IntSet(_) => self.limits.intset_entries,
            SetRef::Packed(_) => self.limits.listpack_entries,
            SetRef::Table(_) => return,
        };
        if additions > limit {
            self.make_table(additions);
        }
    }

    /// Adds a member; false if it exists already.
    pub fn add(&mut self, member: &[u8]) -> bool {
        let limits = self.limits;
        match self.form() {
            Form::IntSet(mut set) => match parse_i64(member) {
                Some(number) => {
                    let is_new = intset::insert(&mut set, number);
                    if is_new && !limits.admit_intset(IntSet::new(set.bytes())) {
                        self.make_table(0);
                    }
                    is_new
                }
                None => {
                    let view = IntSet::new(set.bytes());
                    let longest = view.longest_text().max(member.len());
                    if limits.admit_listpack(view.len() + 1, longest) {
                        self.make_listpack();
                    } else {
                        self.make_table(1);
                    }
                    self.add(member)
                }
            },
            Form::Packed(mut set) => {
                let view = Packed::new(set.bytes());
                if view.find(member, 1, 0).is_some() {
                    return false;
                }
                let end = view.end();
                if limits.admit_listpack(view.len() + 1, member.len())
                    && end + packed::encoded_len(member) <= MAX_PACKED
                {
                    packed::insert(&mut set, end, member);
                    return true;
                }
                self.make_table(1);
                self.add(member)
            }
            Form::Table(set) => set.insert(hash(member), member),
        }
    }

    /// Adds members; returns how many of them were new.
    pub fn add_all<'m>(&mut self, members: impl Iterator<Item = &'m [u8]>) -> usize {
        let mut members = members.peekable();
        let mut added = 0;
        while members.peek().is_some() {
            let Form::Table(set) = self.form() else {
                added += usize::from(members.next().is_some_and(|member| self.add(member)));
                continue;
            };
            added += set.insert_all(&mut members);
        }
        added
    }

    /// Whether a result has only integers, and not too many for an intset.
    pub fn would_be_intset(&self, found: &Found<'_>) -> bool {
        found.len() <= self.limits.intset_entries && found.is_all_integers()
    }

    /// Gives an empty set the encoding that it would have after all members of another set were
    /// added.
    pub fn make_like(&mut self, other: SetRef<'_>) {
        if self.limits.exceeded_by(other.len()) {
            return self.make_table(0);
        }
        let mut digits = itoa::Buffer::new();
        other.iter().for_each(|element| _ = self.add(element.bytes(&mut digits)));
        other.iter().for_each(|element| _ = self.remove(element.bytes(&mut digits)));
    }

    /// Gives an empty set the members of a result.
    pub fn fill(&mut self, found: &Found<'_>) {
        if self.limits.exceeded_by(found.len()) {
            self.make_table(found.len());
        }
        let admitted = self.limits.intset_entries;
        match (self.form(), found) {
            (Form::Table(set), Found::Members(members)) => set.insert_all_new(members),
            (Form::Table(set), Found::Grown(all, more)) => {
                set.insert_all_of(all);
                set.insert_all_new(more);
            }
            (Form::IntSet(mut set), Found::Integers(numbers)) if numbers.len() <= admitted => {
                intset::fill(&mut set, numbers);
            }
            _ => {
                let mut digits = itoa::Buffer::new();
                found.for_each(|element| _ = self.add(element.bytes(&mut digits)));
            }
        }
    }

    /// Removes a member; false if it does not exist.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.form() {
            Form::IntSet(mut set) => {
                parse_i64(member).is_some_and(|number| intset::remove(&mut set, number))
            }
            Form::Packed(mut set) => match Packed::new(set.bytes()).find(member, 1, 0) {
                Some(at) => {
                    packed::remove(&mut set, at, 1);
                    true
                }
                None => false,
            },
            Form::Table(set) => set.remove(hash(member), member),
        }
    }

    /// Converts an intset to a listpack.
    pub fn make_listpack(&mut self) {
        let mut listpack = packed::EMPTY.to_vec();
        let mut digits = itoa::Buffer::new();
        for element in self.view().iter() {
            packed::push(&mut listpack, element.bytes(&mut digits));
        }
        self.entry.set_value(Value::Packed(PackedKind::Set, &listpack));
    }

    /// Converts the set to a hash table with room for `more` members.
    fn make_table(&mut self, more: usize) {
        let view = self.view();
        let mut set = Set::with_capacity(view.len() + more);
        let mut digits = itoa::Buffer::new();
        for element in view.iter() {
            let member = element.bytes(&mut digits);
            set.insert_new(hash(member), member);
        }
        self.set_table(set);
    }

    fn set_table(&mut self, set: Set) {
        self.entry.set_value(Value::Object(Box::new(Object::Set(set))));
    }
}

#[cfg(test)]
mod tests;
