//! String commands, by theme.

pub mod expiry;
pub mod get;
pub mod lcs;
pub mod number;
pub mod range;
pub mod set;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{CommandError, Result};
use crate::resp::{Args, Reply, SHARED_LEN};
use crate::value::entry::Value;
use crate::value::{Entry, ValueRef};

const TOO_LONG: CommandError =
    CommandError::of("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

/// An argument to be stored: a long one that lies in memory of its own is not copied.
#[inline]
fn argument<'a>(args: &Args<'a>, index: usize) -> Value<'a> {
    match args.shared(index) {
        Some(bytes) => Value::shared(bytes),
        None => Value::string(args.at(index)),
    }
}

/// Replies with an entry's string.
#[inline]
fn reply(entry: &Entry, out: &mut Reply<'_>) -> Result {
    match entry.value() {
        ValueRef::Bytes(bytes) => out.bulk(bytes),
        ValueRef::Int(number) => out.bulk_integer(number),
        ValueRef::Packed(..) => return Err(CommandError::WRONG_TYPE),
        ValueRef::Object(object) => {
            let bytes = object.as_string().ok_or(CommandError::WRONG_TYPE)?;
            reply_shared(bytes, 0..bytes.len(), out);
        }
    }
    Ok(())
}

/// Replies with a part of a string, without copying it if it is long.
fn reply_shared(bytes: &Arc<Vec<u8>>, range: Range<usize>, out: &mut Reply<'_>) {
    if range.len() < SHARED_LEN {
        out.bulk(&bytes[range]);
    } else {
        out.bulk_shared(Bytes::from_owner(Shared(bytes.clone())).slice(range));
    }
}

/// A stored string that a reply refers to.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
