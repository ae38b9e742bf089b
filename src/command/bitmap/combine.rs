//! BITOP.

use std::sync::Arc;

use crate::bits::{Combination, combine, combine_with};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result,
};
use crate::keyspace::Key;
use crate::resp::{Args, Reply};
use crate::value::entry::{INLINE_LIMIT, Value};
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
    let mut sources = Sources::default();
    for key in keys {
        sources.add(how, cx, key)?;
    }
    let combined = sources.combine(how, cx, destination);
    let len = combined.len();
    if len > 0 {
        store(cx, destination, combined);
        cx.changed("set", destination);
    } else if cx.remove_and_reclaim(destination) {
        cx.changed("del", destination);
    }
    out.integer(len as i64);
    Ok(())
}

/// The strings that are combined.
#[derive(Default)]
struct Sources {
    /// Those that lie in their entries are combined at once: an entry is not borrowed for longer.
    short: Option<Vec<u8>>,
    /// Those that need not be copied.
    long: Vec<Arc<Vec<u8>>>,
}

impl Sources {
    fn add(&mut self, how: Combination, cx: &mut Cx<'_>, key: &Key<'_>) -> Result {
        let entry = cx.read(key);
        if let Some(ValueRef::Object(object)) = entry.map(Entry::value) {
            self.long.push(object.as_string().ok_or(CommandError::WRONG_TYPE)?.clone());
            return Ok(());
        }
        let mut digits = itoa::Buffer::new();
        let string = match entry {
            Some(entry) => entry.string(&mut digits)?,
            None => b"",
        };
        match &mut self.short {
            Some(short) => combine_with(how, short, string),
            short => *short = Some(string.to_vec()),
        }
        Ok(())
    }

    /// The combined string, in the memory of what the destination had, where that is long too.
    fn combine(self, how: Combination, cx: &mut Cx<'_>, destination: &Key<'_>) -> Vec<u8> {
        let strings = self.short.iter().chain(self.long.iter().map(Arc::as_ref));
        let strings = strings.map(Vec::as_slice).collect::<Vec<_>>();
        let len = strings.iter().map(|string| string.len()).max().unwrap_or(0);
        let old = cx.write_again(destination);
        let old = old.and_then(|mut entry| entry.entry_mut().take_memory(len));
        let mut combined = old.unwrap_or_default();
        combine(how, &strings, &mut combined);
        combined
    }
}

fn store(cx: &mut Cx<'_>, key: &Key<'_>, string: Vec<u8>) {
    if string.len() >= INLINE_LIMIT {
        cx.set(key, Value::long(string), None);
        return;
    }
    cx.set(key, Value::Bytes(&string), None);
    if let Some(mut entry) = cx.write_again(key) {
        entry.entry_mut().set_raw(true);
    }
}
