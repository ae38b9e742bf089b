//! GETBIT, SETBIT.

use super::{offset, to_change};
use crate::bits;
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result,
};
use crate::resp::{Args, Reply};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "getbit",
        arity: 3,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::BITMAP,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        group: Group::Bitmap,
        run: getbit,
        ..Command::DEFAULT
    },
    Command {
        name: "setbit",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        acl: Categories::BITMAP,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
        group: Group::Bitmap,
        run: setbit,
        ..Command::DEFAULT
    },
];

fn getbit(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let offset = offset(&args[2], cx.settings, 1)?;
    let bit = match cx.read(&cx.key()) {
        Some(entry) => bits::is_set(entry.string(&mut itoa::Buffer::new())?, offset),
        None => false,
    };
    out.integer(bit.into());
    Ok(())
}

fn setbit(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let offset = offset(&args[2], cx.settings, 1)?;
    let bit = match args.at(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err("ERR bit is not an integer or out of range".into()),
    };
    let key = cx.key();
    let len = offset / 8 + 1;
    let (mut entry, grows) = to_change(cx, &key, len)?;
    let string = entry.entry_mut().string_mut(len).ok_or(CommandError::WRONG_TYPE)?;
    let old = bits::replace(string, offset, bit);
    if grows || old != bit {
        cx.changed("setbit", &key);
    }
    out.integer(old.into());
    Ok(())
}
