//! GET, GETDEL, GETEX, GETSET, MGET.

use super::expiry::{Expiry, expire_now};
use super::{argument, reply};
use crate::command::{Categories, Command, Cx, Flags, Group, KeyFlags, KeySpec, Result, rewrite};
use crate::resp::{Args, Reply};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "get",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::STRING,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        group: Group::String,
        run: get,
        ..Command::DEFAULT
    },
    Command {
        name: "getdel",
        arity: 2,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Categories::STRING,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        group: Group::String,
        run: getdel,
        ..Command::DEFAULT
    },
    Command {
        name: "getex",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Categories::STRING,
        keys: &[KeySpec {
            notes: Some("RW and UPDATE because it changes the TTL"),
            ..KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
        }],
        group: Group::String,
        run: getex,
        ..Command::DEFAULT
    },
    Command {
        name: "getset",
        arity: 3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        acl: Categories::STRING,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
        group: Group::String,
        run: getset,
        ..Command::DEFAULT
    },
    Command {
        name: "mget",
        arity: -2,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::STRING,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        tips: &["request_policy:multi_shard"],
        group: Group::String,
        run: mget,
        ..Command::DEFAULT
    },
];

fn get(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    match cx.read(&cx.key()) {
        Some(entry) => reply(entry, out),
        None => {
            out.null();
            Ok(())
        }
    }
}

fn getdel(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    get(cx, args, out)?;
    let key = cx.key();
    if cx.remove(&key).is_some() {
        cx.changed("del", &key);
    }
    Ok(())
}

fn getex(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let mut expiry = Expiry::Unsaid;
    let mut at = 2;
    while let Some(word) = args.get(at) {
        at += expiry.take(word, args.get(at + 1), Expiry::Persist)?;
    }
    let time = expiry.time(cx.now, "getex")?;
    get(cx, args, out)?;
    let key = cx.key();
    if expiry == Expiry::Unsaid {
        return Ok(());
    }
    let now = cx.removal_now();
    let Some(mut entry) = cx.write_again(&key) else { return Ok(()) };
    match time {
        Some(time) if time <= now => expire_now(cx, &key),
        None if entry.entry().expiry().is_none() => {}
        _ => {
            entry.set_expiry(time);
            cx.changed(if time.is_some() { "expire" } else { "persist" }, &key);
            match time {
                _ if !cx.is_journaled() => {}
                Some(at) => rewrite::expire_at(cx, &key, at),
                None => cx.journal_as(&key, [&b"PERSIST"[..], key.bytes]),
            }
        }
    }
    Ok(())
}

fn getset(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    get(cx, args, out)?;
    let key = cx.key();
    cx.set(&key, argument(&args, 2), None);
    cx.changed("set", &key);
    Ok(())
}

fn mget(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    out.array(cx.keys.len());
    for key in cx.keys {
        // A value of another type is as good as none here.
        if cx.read(key).is_none_or(|entry| reply(entry, out).is_err()) {
            out.null();
        }
    }
    Ok(())
}
