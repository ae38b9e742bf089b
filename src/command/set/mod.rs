//! Commands on sets.

pub mod algebra;
pub mod members;
pub mod random;

use super::{CommandError, Cx, KeyFlags, KeySpec, Result};
use crate::keyspace::Key;
use crate::resp::Reply;
use crate::value::packed::Element;
use crate::value::set::{Limits, SetMut, SetRef};
use crate::value::{Entry, Object, entry::Value};

const READ: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];

/// The set that an entry holds.
fn view(entry: &Entry) -> Result<SetRef<'_>> {
    SetRef::new(entry.value()).ok_or(CommandError::WRONG_TYPE)
}

/// Looks the set at `key` up to read it.
fn read<'c>(cx: &'c mut Cx<'_>, key: &Key<'_>) -> Result<Option<SetRef<'c>>> {
    cx.read(key).map(view).transpose()
}

fn change(entry: &mut Entry, limits: Limits) -> Result<SetMut<'_>> {
    SetMut::new(entry, limits).ok_or(CommandError::WRONG_TYPE)
}

fn write_member(out: &mut Reply<'_>, member: Element<'_>) {
    match member {
        Element::Int(number) => out.bulk_integer(number),
        Element::Bytes(bytes) => out.bulk(bytes),
    }
}

/// Frees in the background what was in a set.
fn reclaim(cx: &Cx<'_>, object: Object) {
    cx.server.lazy_free.entry(Entry::new(b"", Value::Object(Box::new(object)), None));
}
