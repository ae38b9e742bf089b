//! Values as they are read, before they are converted to this server's own.
//!
//! Bytes are borrowed from the payload where that is possible. "Packed" is the form of
//! [`value::packed`](crate::value::packed), every element of which has been checked.

use std::borrow::Cow;

use crate::value::Stream;

pub enum Decoded<'a> {
    String(Cow<'a, [u8]>),
    List(List<'a>),
    Set(Set<'a>),
    Hash(Hash<'a>),
    SortedSet(SortedSet<'a>),
    Stream(Box<Stream>),
}

pub enum List<'a> {
    Elements(Vec<Cow<'a, [u8]>>),
    /// All in one ziplist. Valkey keeps them in a chain of nodes, however few they are.
    Ziplist(Vec<u8>),
    /// None of them is empty.
    Nodes(Vec<ListNode<'a>>),
}

pub enum ListNode<'a> {
    Packed(Cow<'a, [u8]>),
    /// An element by itself.
    Plain(Cow<'a, [u8]>),
}

/// There may be members twice.
pub enum Set<'a> {
    Members(Vec<Cow<'a, [u8]>>),
    Packed(Cow<'a, [u8]>),
    /// An [intset](crate::value::set::intset).
    Integers(Vec<u8>),
}

/// There may be fields twice.
pub enum Hash<'a> {
    Fields(Vec<Field<'a>>),
    /// Its fields may have an expiry, even if none has.
    Expiring(Vec<Field<'a>>),
    /// Names and values in turn.
    Packed(Cow<'a, [u8]>),
}

pub struct Field<'a> {
    pub name: Cow<'a, [u8]>,
    pub value: Cow<'a, [u8]>,
    /// In milliseconds of Unix time.
    pub expiry: Option<i64>,
}

/// There may be members twice, and they may be in any order.
pub enum SortedSet<'a> {
    Members(Vec<(Cow<'a, [u8]>, f64)>),
    /// Members and scores in turn; a score may be anything.
    Packed(Cow<'a, [u8]>),
}
