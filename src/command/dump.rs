//! DUMP and RESTORE: one value, as bytes that any server of the kind understands.

use super::{Categories, Command, CommandError, Cx, Flags, KeyFlags, KeySpec, Result, rewrite};
use crate::config::RdbVersionCheck;
use crate::number::parse_i64;
use crate::rdb::{self, Reader, Writer};
use crate::resp::{Args, Reply};
use crate::state::Switch;
use crate::value::access;

const RESTORE: Command = Command {
    name: "restore",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    acl: Categories::KEYSPACE.union(Categories::DANGEROUS),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    run: restore,
    ..Command::DEFAULT
};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "dump",
        arity: 2,
        flags: Flags::READONLY,
        acl: Categories::KEYSPACE,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        tips: &["nondeterministic_output"],
        run: dump,
        ..Command::DEFAULT
    },
    RESTORE,
    // Nodes of a cluster send it to each other for a slot that is being migrated.
    Command { name: "restore-asking", flags: RESTORE.flags.union(Flags::ASKING), ..RESTORE },
];

fn dump(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let settings = cx.settings;
    match cx.read(&cx.key()) {
        None => out.null(),
        Some(entry) => {
            let mut writer = Writer::new(settings.rdbcompression);
            rdb::save(entry, &mut writer);
            out.bulk_shared(rdb::seal(writer.into_bytes()).into());
        }
    }
    Ok(())
}

/// The words after key, expiry and payload in RESTORE.
#[derive(Default)]
struct Options {
    replace: bool,
    /// The expiry is a time, not how long it is until then.
    absolute: bool,
    /// Seconds since the last use.
    idle: Option<i64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options> {
        let mut options = Options::default();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let mut number = |is_allowed: bool| match words.next() {
                Some(number) if is_allowed => parse_i64(number).ok_or(CommandError::NOT_INTEGER),
                _ => Err(CommandError::SYNTAX),
            };
            match word.to_ascii_lowercase().as_slice() {
                b"replace" => options.replace = true,
                b"absttl" => options.absolute = true,
                b"idletime" => match number(options.frequency.is_none())? {
                    ..0 => return Err("ERR Invalid IDLETIME value, must be >= 0".into()),
                    idle => options.idle = Some(idle),
                },
                b"freq" => match number(options.idle.is_none())?.try_into() {
                    Ok(frequency) => options.frequency = Some(frequency),
                    Err(_) => {
                        return Err("ERR Invalid FREQ value, must be >= 0 and <= 255".into());
                    }
                },
                _ => return Err(CommandError::SYNTAX),
            }
        }
        Ok(options)
    }

    /// The time at which the key expires, from the argument of the command.
    fn expiry(&self, word: &[u8], now: i64) -> Result<Option<i64>> {
        match parse_i64(word).ok_or(CommandError::NOT_INTEGER)? {
            ..0 => Err("ERR Invalid TTL value, must be >= 0".into()),
            0 => Ok(None),
            at if self.absolute => Ok(Some(at)),
            // Valkey too takes what is too far away for what is over.
            time => Ok(Some(now.wrapping_add(time))),
        }
    }

    /// The access time or frequency of the entry, whichever the policy in force uses.
    fn access(&self, cx: &Cx<'_>) -> u32 {
        match (cx.settings.maxmemory_policy.is_lfu(), self) {
            (true, Options { frequency: Some(frequency), .. }) => access::used(cx.now, *frequency),
            (false, Options { idle: Some(idle), .. }) => access::unused(cx.now, *idle),
            _ => access::first(cx.settings, cx.now),
        }
    }
}

fn restore(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let options = Options::parse(args.from(4))?;
    let exists = cx.peek(&key).is_some();
    if exists && !options.replace {
        return Err("BUSYKEY Target key name already exists.".into());
    }
    let expiry = options.expiry(args.at(2), cx.now)?;
    let strict = cx.settings.rdb_version_check == RdbVersionCheck::Strict;
    let checked = cx.server.switches.is_on(Switch::Checksums);
    let payload = rdb::open(args.at(3), strict, checked)
        .ok_or("ERR DUMP payload version or checksum are wrong")?;
    let mut entry = rdb::typed(&mut Reader::new(payload))
        .and_then(|value| rdb::load(key.bytes, value, expiry, cx.settings))
        .map_err(|_| "ERR Bad data format")?;
    if let Some(old) = cx.remove(&key) {
        cx.server.lazy_free.entry(old);
    }
    if expiry.is_some_and(|at| at <= cx.removal_now()) {
        cx.server.lazy_free.entry(entry);
        if exists {
            cx.changed("del", &key);
            rewrite::unlink(cx, &key);
        }
    } else {
        entry.set_access(options.access(cx));
        let db = cx.caller.db;
        cx.insert_used(db, &key, entry);
        cx.changed("restore", &key);
        if let Some(at) = expiry.filter(|_| !options.absolute)
            && cx.is_journaled()
        {
            let mut digits = itoa::Buffer::new();
            let at = digits.format(at).as_bytes();
            let command = [b"RESTORE", key.bytes, at, args.at(3), b"REPLACE", b"ABSTTL"];
            cx.journal_as(&key, command);
        }
    }
    out.ok();
    Ok(())
}
