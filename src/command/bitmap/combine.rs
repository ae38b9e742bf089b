//! BITOP.

use std::sync::Arc;

use crate::bits::{Combination, combine};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result,
};
use crate::keyspace::Key;
use crate::resp::{Args, Reply};
use crate::value::entry::Value;
use crate::value::{Entry, ValueRef};

pub const COMMANDS: &[Command] = &[Command {
    name: "bitop",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    acl: Categories::BITMAP,
    keys: &[
        KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::range(3, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    group: Group::Bitmap,
    run: bitop,
    ..Command::DEFAULT
}];

/// A string that is read while its key's shard is worked on: a long one is not copied.
enum Source {
    Short(Vec<u8>),
    Long(Arc<Vec<u8>>),
}

impl Source {
    fn of(cx: &mut Cx<'_>, key: &Key<'_>) -> Result<Source> {
        let Some(entry) = cx.read(key) else { return Ok(Source::Short(Vec::new())) };
        match entry.value() {
            ValueRef::Object(object) => {
                Ok(Source::Long(object.as_string().ok_or(CommandError::WRONG_TYPE)?.clone()))
            }
            _ => Ok(Source::Short(entry.string(&mut itoa::Buffer::new())?.to_vec())),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Source::Short(bytes) => bytes,
            Source::Long(bytes) => bytes,
        }
    }
}

fn bitop(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let how = match args.at(1) {
        word if word.eq_ignore_ascii_case(b"and") => Combination::And,
        word if word.eq_ignore_ascii_case(b"or") => Combination::Or,
        word if word.eq_ignore_ascii_case(b"xor") => Combination::Xor,
        word if word.eq_ignore_ascii_case(b"not") => Combination::Not,
        _ => return Err(CommandError::SYNTAX),
    };
    let (destination, keys) = cx.keys.split_first().expect("the arity demands two keys");
    if how == Combination::Not && keys.len() != 1 {
        return Err("ERR BITOP NOT must be called with a single source key.".into());
    }
    let sources = keys.iter().map(|key| Source::of(cx, key)).collect::<Result<Vec<_>>>()?;
    let strings = sources.iter().map(Source::bytes).collect::<Vec<_>>();
    let combined = combine(how, &strings);
    // The destination may be one of them; it is free to be changed now.
    drop(sources);
    let len = combined.len();
    if len > 0 {
        store(cx, destination, combined);
        cx.changed("set", destination);
    } else if let Some(old) = cx.remove(destination) {
        cx.server.reclaimer.entry(old);
        cx.changed("del", destination);
    }
    out.integer(len as i64);
    Ok(())
}

fn store(cx: &mut Cx<'_>, key: &Key<'_>, string: Vec<u8>) {
    match cx.write(key) {
        Some(mut entry) => {
            entry.set_expiry(None);
            entry.entry_mut().set_raw_string(string);
        }
        None => {
            let mut entry = Entry::new(key.bytes, Value::Bytes(b""), None);
            entry.set_raw_string(string);
            cx.insert(key, entry);
        }
    }
}
