//! Makes entries of what was read.

use std::borrow::Cow;

use super::decoded::{Decoded, List, ListNode};
use super::{BadFormat, Result};
use crate::config::Settings;
use crate::value::entry::Value;
use crate::value::list::{self, End};
use crate::value::packed::{self, Packed};
use crate::value::{Entry, Object};

/// An entry with this value under this key. The settings say how it is stored; but what was packed
/// stays so, however long its elements are.
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
        // There are no other types yet.
        _ => return Err(BadFormat),
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
            let nodes = nodes.iter().map(|node| Packed::new(node));
            entry.set_value(object(Object::List(list::List::from_nodes(nodes))));
            if is_one {
                entry.list_mut(limit).map_err(|_| BadFormat)?.pack();
            }
        }
    }
    Ok(())
}

fn packed_node(node: ListNode<'_>) -> Cow<'_, [u8]> {
    match node {
        ListNode::Packed(packed) => packed,
        ListNode::Plain(element) => {
            let mut packed = packed::EMPTY.to_vec();
            packed::push(&mut packed, &element);
            packed.into()
        }
    }
}
