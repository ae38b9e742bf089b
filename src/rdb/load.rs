//! Converts values that were read to entries.

use std::borrow::Cow;
use std::collections::HashSet;

use super::decoded::{Decoded, Field, Hash, List, ListNode, Set, SortedSet};
use super::{BadFormat, Result};
use crate::config::Settings;
use crate::number::parse_f64_loosely;
use crate::value::entry::Value;
use crate::value::hash::{self, Before, FieldExpiry, HashMut};
use crate::value::list::{self, End};
use crate::value::packed::{self, Element, Packed};
use crate::value::set::{self, IntSet, SetMut};
use crate::value::sorted_set::{self, Builder, Put, SortedSetMut};
use crate::value::{Entry, Object, PackedKind};

/// An entry with this value under this key. The settings determine its encoding, except that a packed
/// collection stays packed, however long its elements are.
pub fn load(
    key: &[u8],
    value: Decoded<'_>,
    expiry: Option<i64>,
    settings: &Settings,
) -> Result<Entry> {
    let mut entry = Entry::new(key, Value::Int(0), expiry);
    match value {
        Decoded::String(bytes) => entry.set_value(Value::string(&bytes)),
        Decoded::List(value) => {
            list(&mut entry, value, list::Limit::new(settings.list_max_listpack_size))?;
        }
        Decoded::Set(value) => set(&mut entry, value, set::Limits::of(settings))?,
        Decoded::Hash(value) => hash(&mut entry, value, hash::Limits::of(settings))?,
        Decoded::SortedSet(value) => {
            sorted_set(&mut entry, value, sorted_set::Limits::of(settings))?;
        }
        Decoded::Stream(stream) => entry.set_value(object(Object::Stream(stream))),
    }
    Ok(entry)
}

fn object(object: Object) -> Value<'static> {
    Value::Object(Box::new(object))
}

fn list(entry: &mut Entry, value: List<'_>, limit: list::Limit) -> Result<()> {
    match value {
        List::Ziplist(packed) => {
            let mut digits = itoa::Buffer::new();
            entry.set_value(object(Object::List(list::List::default())));
            let mut list = entry.list_mut(limit).map_err(|_| BadFormat)?;
            let elements = Packed::new(&packed).iter();
            elements.for_each(|element| list.push(End::Tail, element.bytes(&mut digits)));
        }
        List::Elements(elements) => {
            entry.set_value(object(Object::List(list::List::default())));
            let mut list = entry.list_mut(limit).map_err(|_| BadFormat)?;
            elements.iter().for_each(|element| list.push(End::Tail, element));
            list.pack();
        }
        List::Nodes(nodes) => {
            let is_one = matches!(&nodes[..], [ListNode::Packed(_)]);
            let nodes = nodes.into_iter().map(packed_node).collect::<Vec<_>>();
            let nodes = nodes.iter().map(|(node, is_plain)| (Packed::new(node), *is_plain));
            entry.set_value(object(Object::List(list::List::from_nodes(nodes))));
            if is_one {
                entry.list_mut(limit).map_err(|_| BadFormat)?.pack();
            }
        }
    }
    Ok(())
}

fn packed_node(node: ListNode<'_>) -> (Cow<'_, [u8]>, bool) {
    match node {
        ListNode::Packed(packed) => (packed, false),
        ListNode::Plain(element) => {
            let mut packed = packed::EMPTY.to_vec();
            packed::push(&mut packed, &element);
            (packed.into(), true)
        }
    }
}

fn set(entry: &mut Entry, value: Set<'_>, limits: set::Limits) -> Result<()> {
    let members = match &value {
        Set::Integers(intset) => {
            let view = IntSet::new(intset);
            if view.len() <= limits.intset_entries {
                entry.set_value(Value::Packed(PackedKind::IntSet, intset));
                return Ok(());
            }
            &view.iter().map(|number| string(Element::Int(number))).collect()
        }
        Set::Packed(members) => {
            let members = Packed::new(members);
            if members.len() <= limits.listpack_entries {
                are_distinct(members.iter())?;
                entry.set_value(Value::Packed(PackedKind::Set, members.as_bytes()));
                return Ok(());
            }
            &members.iter().map(string).collect()
        }
        Set::Members(members) => members,
    };
    entry.set_value(match value {
        Set::Members(_) => set::EMPTY,
        // The set is too large for its encoding.
        _ => object(Object::Set(set::Set::with_capacity(members.len()))),
    });
    let mut set = SetMut::new(entry, limits).ok_or(BadFormat)?;
    set.expect(members.len());
    let are_distinct = members.iter().all(|member| set.add(member));
    if are_distinct { Ok(()) } else { Err(BadFormat) }
}

fn hash(entry: &mut Entry, value: Hash<'_>, limits: hash::Limits) -> Result<()> {
    let (fields, limits) = match &value {
        Hash::Packed(pairs) => {
            let pairs = Packed::new(pairs);
            if pairs.len() / 2 <= limits.fields {
                are_distinct(pairs.iter().step_by(2))?;
                entry.set_value(Value::Packed(PackedKind::Hash, pairs.as_bytes()));
                return Ok(());
            }
            (&unpacked(pairs), limits)
        }
        Hash::Fields(fields) => (fields, limits),
        // Valkey keeps such hashes in a table, however few fields they have.
        Hash::Expiring(fields) => (fields, hash::Limits { fields: 0, ..limits }),
    };
    entry.set_value(Value::Packed(PackedKind::Hash, packed::EMPTY));
    // No field expires during the insertion, so that duplicates are noticed.
    let mut hash = HashMut::of(entry, limits, i64::MIN).ok_or(BadFormat)?;
    hash.expect(fields.len());
    for Field { name, value, expiry } in fields {
        let expiry = expiry.map_or(FieldExpiry::None, FieldExpiry::At);
        if hash.set(name, value, expiry) != Before::Missing {
            return Err(BadFormat);
        }
    }
    Ok(())
}

fn sorted_set(entry: &mut Entry, value: SortedSet<'_>, limits: sorted_set::Limits) -> Result<()> {
    let members = match &value {
        SortedSet::Packed(pairs) => {
            let is_small = Packed::new(pairs).len() / 2 <= limits.members;
            if is_small && sorted_set::validate(pairs) {
                entry.set_value(Value::Packed(PackedKind::SortedSet, pairs));
                return Ok(());
            }
            // The members may be in any order.
            &scored(Packed::new(pairs))?
        }
        SortedSet::Members(members) => members,
    };
    let longest = members.iter().map(|(member, _)| member.len()).max().unwrap_or(0);
    if limits.admit(members.len(), longest) {
        entry.set_value(sorted_set::EMPTY);
        let mut set = SortedSetMut::new(entry, limits).ok_or(BadFormat)?;
        let mut members = members.iter();
        let are_new =
            members.all(|(member, score)| set.put(member, |_| Some(*score)) == Put::Added);
        return if are_new { Ok(()) } else { Err(BadFormat) };
    }
    let mut built = Builder::with_capacity(members.len());
    members.iter().for_each(|(member, score)| built.add(member, *score, |score, _| score));
    if built.len() < members.len() {
        return Err(BadFormat);
    }
    entry.set_value(object(Object::SortedSet(built.finish())));
    Ok(())
}

/// The members of a packed sorted set.
fn scored(pairs: Packed<'_>) -> Result<Vec<(Cow<'_, [u8]>, f64)>> {
    let mut elements = pairs.iter();
    let pair = || {
        let member = string(elements.next()?);
        let score = match elements.next()? {
            Element::Int(number) => Some(number as f64),
            Element::Bytes(text) => parse_f64_loosely(text),
        };
        Some(score.map(|score| (member, score)).ok_or(BadFormat))
    };
    std::iter::from_fn(pair).collect()
}

/// The fields of a packed hash.
fn unpacked(pairs: Packed<'_>) -> Vec<Field<'_>> {
    let mut elements = pairs.iter().map(string);
    std::iter::from_fn(|| {
        Some(Field { name: elements.next()?, value: elements.next()?, expiry: None })
    })
    .collect()
}

fn string(element: Element<'_>) -> Cow<'_, [u8]> {
    match element {
        Element::Int(number) => number.to_string().into_bytes().into(),
        Element::Bytes(bytes) => bytes.into(),
    }
}

/// Refuses duplicate elements.
fn are_distinct<'a>(elements: impl Iterator<Item = Element<'a>>) -> Result<()> {
    let mut seen = HashSet::new();
    for element in elements {
        if !seen.insert(element) {
            return Err(BadFormat);
        }
    }
    Ok(())
}
