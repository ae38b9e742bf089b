//! Hash commands, by theme.

mod fields;

pub mod expiry;
pub mod get;
pub mod number;
pub mod random;
pub mod scan;
pub mod set;

use super::{Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result};
use crate::resp::Reply;
use crate::value::entry::Value;
use crate::value::hash::{HashMut, HashRef, Limits};
use crate::value::packed::{self, Element};
use crate::value::{Entry, PackedKind};

/// What commands that read a hash have in common; most of them are fast.
const READS: Command = Command {
    flags: Flags::READONLY.union(Flags::FAST),
    acl: Categories::HASH,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Hash,
    ..Command::DEFAULT
};

/// What commands that add to a hash have in common.
const ADDS: Command = Command {
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    acl: Categories::HASH,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    group: Group::Hash,
    ..Command::DEFAULT
};

/// What commands have in common that change a hash and add nothing to it.
const CHANGES: Command = Command { flags: Flags::WRITE.union(Flags::FAST), ..ADDS };

/// The hash in an entry.
#[inline]
fn hash(entry: &Entry) -> Result<HashRef<'_>> {
    HashRef::of(entry).ok_or(CommandError::WRONG_TYPE)
}

/// The hash under the command's key, to be read.
#[inline]
fn read<'a>(cx: &'a mut Cx<'_>) -> Result<Option<HashRef<'a>>> {
    let key = cx.key();
    cx.read(&key).map(hash).transpose()
}

/// Changes the hash under the command's key. `None` if there is none.
fn change<R>(cx: &mut Cx<'_>, work: impl FnOnce(&mut HashMut<'_>) -> R) -> Result<Option<R>> {
    let (limits, now) = (Limits::of(cx.settings), cx.expiry_now());
    let Some(mut entry) = cx.write(&cx.key()) else { return Ok(None) };
    entry.change_items(|entry| {
        let mut hash = HashMut::of(entry, limits, now).ok_or(CommandError::WRONG_TYPE)?;
        Ok(Some(work(&mut hash)))
    })
}

/// Changes the hash under the command's key, or a new one if there is none.
fn change_or_create<R>(
    cx: &mut Cx<'_>,
    work: impl FnOnce(&mut HashMut<'_>) -> Result<R>,
) -> Result<R> {
    let (limits, now) = (Limits::of(cx.settings), cx.expiry_now());
    let key = cx.key();
    if let Some(mut entry) = cx.write(&key) {
        return entry.change_items(|entry| {
            work(&mut HashMut::of(entry, limits, now).ok_or(CommandError::WRONG_TYPE)?)
        });
    }
    let empty = Value::Packed(PackedKind::Hash, packed::EMPTY);
    let mut entry = Entry::new(key.bytes, empty, None);
    let mut hash = HashMut::of(&mut entry, limits, now).expect("a new hash");
    let result = work(&mut hash)?;
    cx.insert(&key, entry);
    Ok(result)
}

/// Records that `count` fields were removed because they had expired.
fn expired(cx: &mut Cx<'_>, count: usize) {
    if count > 0 {
        cx.stats.expired_fields.add(count as u64);
        cx.event(cx.caller.db, "hexpired", &cx.key());
    }
}

/// Replies with a field or a value.
#[inline]
fn reply(out: &mut Reply<'_>, element: Element<'_>) {
    match element {
        Element::Int(number) => out.bulk_integer(number),
        Element::Bytes(bytes) => out.bulk(bytes),
    }
}

fn reply_or_null(out: &mut Reply<'_>, element: Option<Element<'_>>) {
    match element {
        Some(element) => reply(out, element),
        None => out.null(),
    }
}
