//! A member of one set that is looked up in others.

use crate::number::parse_i64;
use crate::table::hash;
use crate::value::packed::Element;

/// Members that are looked up together: so many that their cache misses overlap, and so few that
/// their data stays in the first-level cache.
pub const BATCH: usize = 32;

/// A member with the data that the encodings need to look it up, computed once for all sets.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    element: Element<'a>,
    hash: u64,
}

impl<'a> Member<'a> {
    #[inline]
    pub fn new(element: Element<'a>) -> Self {
        Member { element, hash: hash(element.bytes(&mut itoa::Buffer::new())) }
    }

    pub fn element(&self) -> Element<'a> {
        self.element
    }

    #[inline]
    pub fn bytes<'b>(&self, digits: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        self.element.bytes(digits)
    }

    /// The text where it lies in memory; `None` for a number.
    pub fn text(&self) -> Option<&'a [u8]> {
        match self.element {
            Element::Int(_) => None,
            Element::Bytes(bytes) => Some(bytes),
        }
    }

    /// The [`hash`] of the text.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The number that it is, if its text is the one that numbers are written as.
    #[inline]
    pub fn number(&self) -> Option<i64> {
        match self.element {
            Element::Int(number) => Some(number),
            Element::Bytes(bytes) => parse_i64(bytes),
        }
    }
}

impl PartialEq for Member<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && match (self.element, other.element) {
                (Element::Int(a), Element::Int(b)) => a == b,
                (Element::Bytes(bytes), element) | (element, Element::Bytes(bytes)) => {
                    element.equals(bytes)
                }
            }
    }
}

impl Eq for Member<'_> {}

/// Distinct members in the order in which they were added.
///
/// A hash table of their indexes, with linear probing, stands beside them: a member that exists
/// already costs one probe sequence, and none costs an allocation.
#[derive(Default)]
pub struct Distinct<'a> {
    members: Vec<Member<'a>>,
    /// One more than an index of `members`, or 0 for a free place; a power of two of them.
    indexes: Vec<u32>,
}

impl<'a> Distinct<'a> {
    /// Room for so many members. (It makes more when it needs it.)
    pub fn with_capacity(members: usize) -> Self {
        let mut distinct = Distinct { members: Vec::with_capacity(members), indexes: Vec::new() };
        distinct.make_room(members);
        distinct
    }

    pub fn into_members(self) -> Vec<Member<'a>> {
        self.members
    }

    /// Adds the members of a sequence that do not exist yet.
    pub fn extend(&mut self, elements: impl Iterator<Item = Element<'a>>) {
        let mut elements = elements.map(Member::new).peekable();
        let mut batch = Vec::with_capacity(BATCH);
        while elements.peek().is_some() {
            batch.extend(elements.by_ref().take(BATCH));
            self.make_room(self.members.len() + batch.len());
            batch.iter().for_each(|member| self.prefetch(member));
            batch.drain(..).for_each(|member| self.insert(member));
        }
    }

    /// At most half of the slots are taken, so that probe sequences are short.
    fn make_room(&mut self, members: usize) {
        if members * 2 <= self.indexes.len() {
            return;
        }
        self.indexes = vec![0; (members * 2).next_power_of_two().max(2 * BATCH)];
        for index in 0..self.members.len() {
            let place = self.find(&self.members[index]);
            self.indexes[place] = index as u32 + 1;
        }
    }

    #[inline]
    fn first_place(&self, member: &Member<'_>) -> usize {
        member.hash as usize & (self.indexes.len() - 1)
    }

    fn prefetch(&self, member: &Member<'_>) {
        crate::table::prefetch(&self.indexes[self.first_place(member)]);
    }

    /// The slot of a member, or the free one that it would get.
    #[inline]
    fn find(&self, member: &Member<'_>) -> usize {
        let mut place = self.first_place(member);
        while let Some(index) = self.indexes[place].checked_sub(1)
            && self.members[index as usize] != *member
        {
            place = (place + 1) & (self.indexes.len() - 1);
        }
        place
    }

    #[inline]
    fn insert(&mut self, member: Member<'a>) {
        let place = self.find(&member);
        if self.indexes[place] == 0 {
            self.members.push(member);
            self.indexes[place] =
                u32::try_from(self.members.len()).expect("fewer than 2^32 members");
        }
    }

    pub fn contains(&self, member: &Member<'_>) -> bool {
        !self.indexes.is_empty() && self.indexes[self.find(member)] != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_members_keep_their_order() {
        let texts: Vec<_> = (0..200).map(|n| format!("{}", n % 130)).collect();
        let bytes = texts.iter().map(|text| Element::Bytes(text.as_bytes()));
        let mut distinct = Distinct::default();
        distinct.extend((120..140).map(Element::Int));
        distinct.extend(bytes);
        let outsider = Member::new(Element::Bytes(b"140"));
        assert!(!distinct.contains(&outsider) && !Distinct::default().contains(&outsider));
        assert!(distinct.contains(&Member::new(Element::Int(0))));
        let numbers: Vec<_> = distinct.into_members().iter().map(Member::number).collect();
        let expected: Vec<_> = (120..140).chain(0..120).map(Some).collect();
        assert_eq!(numbers, expected);
    }
}
