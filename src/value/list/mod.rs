//! Lists: a few elements lie inside the entry, many in a chain of nodes.

mod quicklist;

use std::sync::atomic::{AtomicUsize, Ordering};

use super::entry::Value;
use super::packed::{self, Element, Packed};
use super::{Entry, Object, PackedKind, ValueRef};
use crate::error::{CommandError, Result};

pub use quicklist::List;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Head,
    Tail,
}

/// A side of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Towards the head.
    Before,
    /// Towards the tail.
    After,
}

/// Bytes of a listpack besides its elements, which Valkey counts.
const LISTPACK_OVERHEAD: usize = 7;

/// DEBUG QUICKLIST-PACKED-THRESHOLD: bytes of the shortest element that gets a node of its own; 0 leaves
/// that to the setting.
static PACKED_THRESHOLD: AtomicUsize = AtomicUsize::new(0);

/// Has elements from so many bytes on get nodes of their own, for tests; 0 leaves that to the settings.
pub fn set_packed_threshold(bytes: usize) {
    PACKED_THRESHOLD.store(bytes, Ordering::Relaxed);
}

/// The limit of one node, as `list-max-listpack-size` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes, counted as a listpack's.
    bytes: usize,
    elements: usize,
    /// Bytes of the shortest element that gets a node of its own.
    apart: usize,
}

impl Limit {
    /// Bytes of a node whose limit is a number of elements.
    const SAFE_BYTES: usize = 8192;

    /// A negative number is one of five sizes, from 4 to 64 KiB; others are a number of elements.
    pub fn new(setting: i32) -> Limit {
        let (bytes, elements) = match setting {
            0.. => (Self::SAFE_BYTES, (setting as usize).max(1)),
            _ => (2048 << setting.unsigned_abs().min(5), usize::MAX),
        };
        let apart = match PACKED_THRESHOLD.load(Ordering::Relaxed) {
            0 => bytes + 1,
            threshold => threshold,
        };
        Limit { bytes, elements, apart }
    }

    /// Whether an element of so many bytes gets a node of its own.
    pub fn sets_apart(self, len: usize) -> bool {
        len >= self.apart
    }

    fn is_exceeded(self, bytes: usize, elements: usize) -> bool {
        bytes > self.bytes || elements > self.elements
    }

    /// The limit at which a list becomes packed again: lower than the limit for unpacking, so that a
    /// list near it is not converted back and forth. Where the setting is a number of elements, bytes
    /// do not matter here.
    fn half(self) -> Limit {
        match self.elements {
            usize::MAX => Limit { bytes: self.bytes / 2, ..self },
            elements => Limit { bytes: usize::MAX, elements: elements / 2, ..self },
        }
    }
}

/// Bytes of a packed list as Valkey counts them.
fn listpack_len(packed: Packed<'_>) -> usize {
    packed.end() - packed::HEADER + LISTPACK_OVERHEAD
}

/// A list, to be read.
#[derive(Clone, Copy)]
pub enum ListRef<'a> {
    Packed(Packed<'a>),
    Big(&'a List),
}

impl Entry {
    /// # Errors
    /// If the value is no list.
    #[inline]
    pub fn list(&self) -> Result<ListRef<'_>> {
        match self.value() {
            ValueRef::Packed(PackedKind::List, bytes) => Ok(ListRef::Packed(Packed::new(bytes))),
            ValueRef::Object(Object::List(list)) => Ok(ListRef::Big(list)),
            _ => Err(CommandError::WRONG_TYPE),
        }
    }

    /// The list, to be changed, in nodes of that size.
    ///
    /// # Errors
    /// If the value is no list.
    #[inline]
    pub fn list_mut(&mut self, limit: Limit) -> Result<ListMut<'_>> {
        self.list()?;
        Ok(ListMut { entry: self, limit })
    }
}

impl<'a> ListRef<'a> {
    #[inline]
    pub fn len(self) -> usize {
        match self {
            ListRef::Packed(packed) => packed.len(),
            ListRef::Big(list) => list.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn get(self, index: usize) -> Option<Element<'a>> {
        match self {
            ListRef::Packed(packed) => packed.nth(index).map(|at| packed.get(at)),
            ListRef::Big(list) => list.get(index),
        }
    }

    pub fn end(self, end: End) -> Option<Element<'a>> {
        match (self, end) {
            (ListRef::Packed(packed), End::Head) => packed.first().map(|at| packed.get(at)),
            (ListRef::Packed(packed), End::Tail) => packed.last().map(|at| packed.get(at)),
            (ListRef::Big(list), end) => list.end(end),
        }
    }

    /// Calls `each` for `count` elements from `index` on.
    #[inline]
    pub fn for_each(self, index: usize, count: usize, mut each: impl FnMut(Element<'a>)) {
        match self {
            ListRef::Packed(packed) => {
                let first = packed.nth(index).unwrap_or(packed.end());
                packed.iter_from(first).take(count).for_each(each);
            }
            ListRef::Big(list) => {
                let mut left = count;
                for elements in list.parts_from(index) {
                    elements.take(left).for_each(|element| {
                        left -= 1;
                        each(element);
                    });
                    if left == 0 {
                        return;
                    }
                }
            }
        }
    }

    /// The elements from `index` on, towards the tail.
    pub fn iter_from(self, index: usize) -> Box<dyn Iterator<Item = Element<'a>> + 'a> {
        match self {
            ListRef::Packed(packed) => {
                Box::new(packed.iter_from(packed.nth(index).unwrap_or(packed.end())))
            }
            ListRef::Big(list) => Box::new(list.iter_from(index)),
        }
    }

    /// All elements, from that end on.
    pub fn iter(self, from: End) -> Box<dyn Iterator<Item = Element<'a>> + 'a> {
        match (self, from) {
            (_, End::Head) => self.iter_from(0),
            (ListRef::Packed(packed), End::Tail) => Box::new(packed.iter().rev()),
            (ListRef::Big(list), End::Tail) => Box::new(list.iter_back()),
        }
    }
}

/// A list in its entry, to be changed.
pub struct ListMut<'a> {
    entry: &'a mut Entry,
    limit: Limit,
}

impl ListMut<'_> {
    #[inline]
    pub fn read(&self) -> ListRef<'_> {
        self.entry.list().expect("it is a list")
    }

    pub fn len(&self) -> usize {
        self.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    fn big(&mut self) -> Option<&mut List> {
        match self.entry.object_mut() {
            Some(Object::List(list)) => Some(list),
            _ => None,
        }
    }

    /// Before elements are added: a packed list that would become too long becomes a big one.
    pub fn make_room<'b>(&mut self, elements: impl Iterator<Item = &'b [u8]>) {
        let ListRef::Packed(packed) = self.read() else { return };
        let start = (listpack_len(packed), packed.len());
        let (bytes, count) = elements.fold(start, |(b, n), element| (b + element.len(), n + 1));
        if self.limit.is_exceeded(bytes, count) {
            let list = List::from_packed(packed);
            self.entry.set_value(Value::Object(Box::new(Object::List(list))));
        }
    }

    /// After elements were removed: a big list that has become short becomes a packed one.
    pub fn shrink(&mut self) {
        self.pack_within(self.limit.half());
    }

    /// A big list that is not too long for it becomes a packed one.
    pub fn pack(&mut self) {
        self.pack_within(self.limit);
    }

    fn pack_within(&mut self, limit: Limit) {
        let Some(list) = self.big() else { return };
        let Some(packed) = list.only_node() else { return };
        if !limit.is_exceeded(listpack_len(packed), packed.len()) {
            let bytes = packed.as_bytes().to_vec();
            self.entry.set_value(Value::Packed(PackedKind::List, &bytes));
        }
    }

    /// Adds an element; [`make_room`](Self::make_room) was called for it.
    pub fn push(&mut self, end: End, element: &[u8]) {
        let limit = self.limit;
        if let Some(list) = self.big() {
            return list.push(end, element, limit);
        }
        let mut packed = self.entry.packed_mut().expect("a list is packed or big");
        match end {
            End::Head => packed::insert(&mut packed, packed::HEADER, element),
            End::Tail => packed::push(&mut packed, element),
        }
    }

    /// Removes `count` elements, or all if there are fewer, from an end.
    pub fn remove(&mut self, end: End, count: usize) {
        if let Some(list) = self.big() {
            return list.remove(end, count);
        }
        let view = self.packed_view();
        let first = match end {
            End::Head => view.first(),
            End::Tail => view.nth(view.len().saturating_sub(count)),
        };
        if let Some(first) = first {
            packed::remove(&mut self.entry.packed_mut().expect("a packed list"), first, count);
        }
    }

    fn packed_view(&self) -> Packed<'_> {
        match self.read() {
            ListRef::Packed(packed) => packed,
            ListRef::Big(_) => panic!("a list is packed or big"),
        }
    }

    /// Replaces the element of that index; [`make_room`](Self::make_room) was called for it. False if
    /// there is none.
    pub fn set(&mut self, index: usize, element: &[u8]) -> bool {
        let limit = self.limit;
        if let Some(list) = self.big() {
            return list.set(index, element, limit);
        }
        let Some(at) = self.packed_view().nth(index) else { return false };
        packed::replace(&mut self.entry.packed_mut().expect("a packed list"), at, element);
        true
    }

    /// Adds an element beside the one of index `pivot`; [`make_room`](Self::make_room) was called for
    /// it.
    ///
    /// # Panics
    /// If there is no such pivot.
    pub fn insert(&mut self, pivot: usize, side: Side, element: &[u8]) {
        let limit = self.limit;
        if let Some(list) = self.big() {
            return list.insert(pivot, side, element, limit);
        }
        let view = self.packed_view();
        let pivot = view.nth(pivot).expect("the pivot is in the list");
        let at = match side {
            Side::Before => pivot,
            Side::After => view.after(pivot),
        };
        packed::insert(&mut self.entry.packed_mut().expect("a packed list"), at, element);
    }

    /// Removes up to `most` elements that equal `element`, seen from an end. Returns how many.
    pub fn remove_equal(&mut self, end: End, most: usize, element: &[u8]) -> usize {
        if let Some(list) = self.big() {
            return list.remove_equal(end, most, element);
        }
        let found = equal(self.packed_view(), end, most, element);
        remove_all(&mut self.entry.packed_mut().expect("a packed list"), &found);
        found.len()
    }
}

/// The offsets of up to `most` elements that equal `element`, seen from an end; ascending.
fn equal(packed: Packed<'_>, end: End, most: usize, element: &[u8]) -> Vec<usize> {
    let needle = Element::of(element);
    let all = packed.iter().with_offsets();
    let is_equal = |(_, found): &(usize, Element<'_>)| *found == needle;
    let mut found: Vec<usize> = match end {
        End::Head => all.filter(is_equal).take(most).map(|(at, _)| at).collect(),
        End::Tail => all.rev().filter(is_equal).take(most).map(|(at, _)| at).collect(),
    };
    found.sort_unstable();
    found
}

/// Removes the elements at these ascending offsets.
fn remove_all(from: &mut impl packed::Splice, offsets: &[usize]) {
    offsets.iter().rev().for_each(|&at| packed::remove(from, at, 1));
}

#[cfg(test)]
mod tests;
