//! PFADD, PFCOUNT, PFDEBUG, PFMERGE, PFSELFTEST.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result};
use crate::keyspace::Key;
use crate::resp::{Args, Reply};
use crate::value::entry::Value;
use crate::value::hyperloglog::{self, Claim, Corrupt, Cursor, Dense, Encoding, Registers, Union};
use crate::value::{Entry, ValueRef};

const INVALID: CommandError =
    CommandError::of("WRONGTYPE Key is not a valid HyperLogLog string value.");
const CORRUPT: CommandError = CommandError::of("INVALIDOBJ Corrupted HLL object detected");

pub const COMMANDS: &[Command] = &[
    Command {
        name: "pfadd",
        arity: -2,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        acl: Categories::HYPERLOGLOG,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
        group: Group::HyperLogLog,
        run: pfadd,
        ..Command::DEFAULT
    },
    Command {
        name: "pfcount",
        arity: -2,
        flags: Flags::READONLY.union(Flags::MAY_REPLICATE),
        acl: Categories::HYPERLOGLOG,
        keys: &[KeySpec {
            notes: Some(
                "RW because it may change the internal representation of the key, and propagate \
                 to replicas",
            ),
            ..KeySpec::range(1, -1, 1, KeyFlags::RW.union(KeyFlags::ACCESS))
        }],
        group: Group::HyperLogLog,
        run: pfcount,
        ..Command::DEFAULT
    },
    Command {
        name: "pfdebug",
        arity: 3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::ADMIN),
        acl: Categories::HYPERLOGLOG,
        keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::ACCESS))],
        group: Group::HyperLogLog,
        run: pfdebug,
        ..Command::DEFAULT
    },
    Command {
        name: "pfmerge",
        arity: -2,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        acl: Categories::HYPERLOGLOG,
        keys: &[
            KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::INSERT)),
            KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ],
        group: Group::HyperLogLog,
        run: pfmerge,
        ..Command::DEFAULT
    },
    Command {
        name: "pfselftest",
        arity: 1,
        flags: Flags::ADMIN,
        acl: Categories::HYPERLOGLOG,
        group: Group::HyperLogLog,
        run: pfselftest,
        ..Command::DEFAULT
    },
];

impl From<Corrupt> for CommandError {
    fn from(_: Corrupt) -> Self {
        CORRUPT
    }
}

/// The bytes of an entry that has the form of a HyperLogLog, and their encoding.
fn sketch<'a>(entry: &'a Entry, digits: &'a mut itoa::Buffer) -> Result<(&'a [u8], Encoding)> {
    let bytes = entry.string(digits)?;
    Ok((bytes, hyperloglog::encoding(bytes).ok_or(INVALID)?))
}

/// The same, to be changed in place.
fn sketch_mut(entry: &mut Entry) -> Result<(&mut [u8], Encoding)> {
    let (_, encoding) = sketch(entry, &mut itoa::Buffer::new())?;
    Ok((entry.string_mut(0).ok_or(CommandError::WRONG_TYPE)?, encoding))
}

/// An entry with an empty one.
fn new(key: &Key<'_>) -> Entry {
    let mut entry = Entry::new(key.bytes, Value::Bytes(hyperloglog::EMPTY), None);
    entry.set_raw(true);
    entry
}

fn pfadd(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let limit = cx.settings.hll_sparse_max_bytes;
    let claims = args.iter().skip(2).map(Claim::of);
    let changes = match cx.write(&key) {
        Some(mut entry) => add(entry.entry_mut(), claims, limit)?,
        None => {
            let mut entry = new(&key);
            let changes = add(&mut entry, claims, limit)?;
            cx.insert(&key, entry);
            1 + changes
        }
    };
    cx.changed_by(changes as usize, "pfadd", &key);
    out.integer((changes > 0).into());
    Ok(())
}

/// Raises registers; says how many. If the registers turn out to be corrupt, none is.
fn add(entry: &mut Entry, claims: impl Iterator<Item = Claim>, limit: u64) -> Result<u64> {
    let (bytes, encoding) = sketch_mut(entry)?;
    let mut changes = 0;
    if encoding == Encoding::Dense {
        for claim in claims {
            changes += u64::from(hyperloglog::raise_dense(bytes, claim));
        }
        if changes > 0 {
            hyperloglog::mark_stale(bytes);
        }
        return Ok(changes);
    }
    let mut raised = Cow::Borrowed(&*bytes);
    for claim in claims {
        let is_raised = hyperloglog::raise(&mut raised, claim, &mut Cursor::start(), limit)?;
        changes += u64::from(is_raised);
    }
    if let Cow::Owned(mut raised) = raised {
        hyperloglog::mark_stale(&mut raised);
        entry.set_raw_string(raised);
    }
    Ok(changes)
}

fn pfcount(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let count = if cx.keys.len() == 1 { count_one(cx)? } else { merge(cx)?.count() };
    out.integer(count as i64);
    Ok(())
}

/// The count of the first key's, which it remembers.
fn count_one(cx: &mut Cx<'_>) -> Result<u64> {
    let (key, stats) = (cx.key(), cx.stats);
    let Some(mut entry) = cx.write(&key) else {
        stats.keyspace_misses.add(1);
        return Ok(0);
    };
    stats.keyspace_hits.add(1);
    let (bytes, _) = sketch_mut(entry.entry_mut())?;
    if let Some(count) = hyperloglog::cached_count(bytes) {
        return Ok(count);
    }
    let count = hyperloglog::count(bytes)?;
    hyperloglog::cache_count(bytes, count);
    cx.touched(1, &key);
    Ok(count)
}

/// The HyperLogLogs of all keys together.
fn merge(cx: &mut Cx<'_>) -> Result<Union> {
    let mut sparse = None;
    let mut dense_keys = SmallVec::<[Key<'_>; 8]>::new();
    for key in cx.keys {
        let Some(entry) = cx.read(key) else { continue };
        let mut digits = itoa::Buffer::new();
        match sketch(entry, &mut digits)? {
            (_, Encoding::Dense) => dense_keys.push(*key),
            (bytes, Encoding::Sparse) => {
                sparse.get_or_insert_with(Registers::new).merge(bytes)?;
            }
        }
    }
    let again = |key| cx.found(key).and_then(dense).expect("it was there and dense just now");
    let dense = dense_keys.iter().map(again);
    Ok(Union::of(sparse, &dense.collect::<SmallVec<[_; 8]>>()))
}

/// The bytes of an entry that has a dense one.
fn dense(entry: &Entry) -> Option<&Dense> {
    match entry.value() {
        ValueRef::Bytes(bytes) => bytes.as_array(),
        ValueRef::Object(object) => object.as_string()?.as_array(),
        _ => None,
    }
}

fn pfmerge(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let union = merge(cx)?;
    let sparse_limit = cx.settings.hll_sparse_max_bytes;
    match cx.write(&key) {
        Some(mut entry) => store(entry.entry_mut(), &union, sparse_limit)?,
        None => {
            let mut entry = new(&key);
            store(&mut entry, &union, sparse_limit)?;
            cx.insert(&key, entry);
        }
    }
    cx.changed("pfadd", &key);
    out.ok();
    Ok(())
}

/// Raises the registers of an entry to those of a union that it was part of. It becomes dense if
/// another was.
fn store(entry: &mut Entry, union: &Union, sparse_limit: u64) -> Result {
    let (bytes, encoding) = sketch_mut(entry)?;
    let mut raised = match (union, encoding) {
        (Union::Dense(packed), Encoding::Dense) => {
            hyperloglog::replace_dense(bytes, packed);
            hyperloglog::mark_stale(bytes);
            return Ok(());
        }
        (Union::Dense(packed), Encoding::Sparse) => hyperloglog::dense_of(bytes, packed),
        (Union::Sparse(registers), _) => {
            let mut raised = Cow::Borrowed(&*bytes);
            let mut cursor = Cursor::start();
            for claim in registers.claims() {
                hyperloglog::raise(&mut raised, claim, &mut cursor, sparse_limit)?;
            }
            raised.into_owned()
        }
    };
    hyperloglog::mark_stale(&mut raised);
    entry.set_raw_string(raised);
    Ok(())
}

fn pfdebug(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let is = |name: &str| args[1].eq_ignore_ascii_case(name.as_bytes());
    if is("simd") {
        return simd(args.at(2), out);
    }
    let key = cx.key();
    let Some(mut entry) = cx.write(&key) else {
        return Err("ERR The specified key does not exist".into());
    };
    let entry = entry.entry_mut();
    let (bytes, encoding) = sketch_mut(entry)?;
    let is_sparse = encoding == Encoding::Sparse;
    if is("getreg") {
        let mut registers = Registers::new();
        registers.merge(bytes)?;
        // Who looks at the registers one by one leaves them like that.
        let changes = make_dense(entry)?;
        cx.touched(changes.into(), &key);
        out.array(hyperloglog::REGISTERS);
        (0..hyperloglog::REGISTERS).for_each(|index| out.integer(registers.get(index).into()));
    } else if is("decode") {
        if !is_sparse {
            return Err("ERR HLL encoding is not sparse".into());
        }
        out.bulk(hyperloglog::runs(bytes).as_bytes());
    } else if is("encoding") {
        out.simple(if is_sparse { "sparse" } else { "dense" });
    } else if is("todense") {
        let changes = make_dense(entry)?;
        cx.touched(changes.into(), &key);
        out.integer(changes.into());
    } else {
        return Err(CommandError::quoting("ERR Unknown PFDEBUG subcommand '", &args[1], "'"));
    }
    Ok(())
}

/// Says whether it was sparse.
fn make_dense(entry: &mut Entry) -> Result<bool> {
    let (bytes, encoding) = sketch_mut(entry)?;
    let is_sparse = encoding == Encoding::Sparse;
    if is_sparse {
        let dense = hyperloglog::to_dense(bytes)?;
        entry.set_raw_string(dense);
    }
    Ok(is_sparse)
}

/// ON and OFF have nothing to switch: which instructions are used is up to the processor.
fn simd(word: &[u8], out: &mut Reply<'_>) -> Result {
    if word.eq_ignore_ascii_case(b"on") {
        out.simple("enabled");
    } else if word.eq_ignore_ascii_case(b"off") {
        out.simple("disabled");
    } else {
        // Valkey says `enabled` or `disabled` after the error, as a second reply to one command.
        return Err("ERR Argument must be ON or OFF".into());
    }
    Ok(())
}

fn pfselftest(_: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    hyperloglog::self_test()
        .map_err(|failure| CommandError::from(format!("TESTFAILED {failure}")))?;
    out.ok();
    Ok(())
}
