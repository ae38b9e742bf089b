//! Random members: every one with the same chance.

use std::collections::HashSet;

use super::{Form, Object, Set, SetMut, SetRef, Value, intset};
use crate::random::below;
use crate::value::Splice;
use crate::value::entry::PackedKind;
use crate::value::packed::{self, Element, Packed};

/// Selection sampling: chooses `count` of `total` items that are visited one after the other.
struct Selection {
    passed: usize,
    total: usize,
    count: usize,
}

impl Selection {
    fn new(count: usize, total: usize) -> Self {
        Selection { passed: 0, total, count: count.min(total) }
    }

    /// Whether the next item is chosen: with the ratio of the remaining choices to the remaining
    /// items as its probability.
    fn next(&mut self) -> bool {
        let chosen = below((self.total - self.passed) as u64) < self.count as u64;
        self.passed += 1;
        self.count -= usize::from(chosen);
        chosen
    }
}

impl<'a> SetRef<'a> {
    /// A member, if there is any.
    pub fn random(self) -> Option<Element<'a>> {
        let index = || below(self.len() as u64) as usize;
        match self {
            _ if self.is_empty() => None,
            SetRef::IntSet(set) => Some(Element::Int(set.get(index()))),
            SetRef::Packed(set) => set.nth(index()).map(|at| set.get(at)),
            SetRef::Table(set) => set.random().map(|record| Element::Bytes(record.key())),
        }
    }

    /// So many distinct members, in no order; all of them if there are not more.
    pub fn sample(self, count: usize) -> Vec<Element<'a>> {
        match self {
            _ if count >= self.len() => self.iter().collect(),
            SetRef::Table(set) => sample_table(set, count),
            _ => {
                let mut selection = Selection::new(count, self.len());
                self.iter().filter(|_| selection.next()).collect()
            }
        }
    }

    /// Draws `count` members, each from all, so that one may be drawn more than once. None if the set
    /// is empty.
    pub fn draw(self, count: usize, mut each: impl FnMut(Element<'a>)) {
        match self {
            _ if self.is_empty() => {}
            SetRef::Table(_) => (0..count).filter_map(|_| self.random()).for_each(each),
            _ => {
                let members: Vec<_> = self.iter().collect();
                (0..count).for_each(|_| each(members[below(members.len() as u64) as usize]));
            }
        }
    }
}

/// The ratio of members to draws from which on they are drawn one by one until they are distinct.
const FEW: usize = 4;

fn sample_table(set: &Set, count: usize) -> Vec<Element<'_>> {
    if count <= set.len() / FEW {
        let mut drawn = HashSet::with_capacity(count);
        while drawn.len() < count {
            drawn.extend(set.random().map(|record| record.key()));
        }
        return drawn.into_iter().map(Element::Bytes).collect();
    }
    let mut selection = Selection::new(count, set.len());
    set.iter().filter(|_| selection.next()).map(Element::Bytes).collect()
}

/// The ratio of removed to remaining members from which on SPOP builds a hash table anew from the
/// remaining ones, which are then drawn instead of the removed ones. (OBJECT ENCODING shows which of
/// the two was done, so the number is Valkey's.)
const REBUILD: usize = 5;

impl SetMut<'_> {
    /// Removes up to `count` members drawn at random, each of which is passed to `each` first.
    /// Returns memory to be freed in the background, if it is large.
    pub fn pop(&mut self, count: usize, mut each: impl FnMut(Element<'_>)) -> Option<Object> {
        let left = self.view().len().saturating_sub(count);
        let mut selection = Selection::new(count, self.view().len());
        match self.form() {
            Form::IntSet(mut set) => intset::retain(&mut set, |number| {
                let goes = selection.next();
                if goes {
                    each(Element::Int(number));
                }
                !goes
            }),
            Form::Packed(set) => {
                let mut rest = packed::EMPTY.to_vec();
                let mut digits = itoa::Buffer::new();
                for element in Packed::new(set.bytes()).iter() {
                    if selection.next() {
                        each(element);
                    } else {
                        packed::push(&mut rest, element.bytes(&mut digits));
                    }
                }
                self.entry.set_value(Value::Packed(PackedKind::Set, &rest));
            }
            Form::Table(set) if left * REBUILD > count => {
                for _ in 0..count {
                    let Some(record) = set.pop() else { break };
                    each(Element::Bytes(record.key()));
                }
            }
            Form::Table(set) => {
                let mut goes = std::mem::take(set);
                self.entry.set_value(Value::Packed(PackedKind::Set, packed::EMPTY));
                for _ in 0..left {
                    let Some(record) = goes.pop() else { break };
                    self.add(record.key());
                }
                goes.iter().for_each(|member| each(Element::Bytes(member)));
                return Some(Object::Set(goes));
            }
        }
        None
    }
}
