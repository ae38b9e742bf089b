//! DEBUG: what tests of servers and of clients use of it.
//!
//! It takes the whole keyspace: DEBUG SLEEP is to stop the server, not one worker.

mod clients;
mod digest;
mod help;
mod object;
mod process;
mod protocol;
mod switches;
mod tables;

use std::time::Duration;

use super::acl::config_lines;
use super::{Command, CommandError, Cx, Flags, Group, Result, Scope};
use crate::config::{self, Written, parse_memory};
use crate::glob;
use crate::keyspace::Key;
use crate::log;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::entry::Value;
use crate::value::{Entry, list};

pub const COMMANDS: &[Command] = &[Command {
    name: "debug",
    arity: -2,
    flags: Flags::ADMIN
        .union(Flags::NOSCRIPT)
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::PROTECTED),
    group: Group::Server,
    scope: Scope::Exclusive,
    run: debug,
    ..Command::DEFAULT
}];

fn debug(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let name = args[1].to_ascii_lowercase();
    match (name.as_slice(), args.len()) {
        (b"assert" | b"oom" | b"panic" | b"segfault", _) => process::crash(&name),
        (b"change-repl-id", 2) => {
            cx.server.change_replication_id();
            out.ok();
        }
        (b"client-eviction", 2) => return clients::print_classes(cx, out),
        (b"config-rewrite-force-all", 2) => return rewrite_all(cx, out),
        (b"crash-and-recover" | b"restart", 2..) => return process::restart(cx, args),
        (b"help", 2) => {
            out.lines(help::HELP);
        }
        (b"digest", 2) => out.simple(&digest::of_dataset(cx).text()),
        (b"digest-value", _) => digest_values(cx, args, out),
        (b"error", 3) => out.error(args.at(2)),
        (b"htstats", 3..) => return tables::of_database(cx, args, out),
        (b"htstats-key", 3..) => return tables::of_key(cx, args, out),
        (b"leak", 3) => {
            Box::leak(Box::<[u8]>::from(args.at(2)));
            out.ok();
        }
        (b"listpack", 3) => return object::print_listpack(cx, args, out),
        (b"loadaof", _) => {
            log::warning("DEBUG LOADAOF: this version has no append-only file to load.");
            return Err("ERR Error trying to load the AOF files, check server logs.".into());
        }
        (b"log", 3) => {
            log::warning(format_args!("DEBUG LOG: {}", String::from_utf8_lossy(&args[2])));
            out.ok();
        }
        (b"object", 3 | 4) => return object::describe(cx, args, out),
        (b"populate", 3..=5) => return populate(cx, args, out),
        (b"protect-client", 3) => return clients::protect(cx, args, out),
        (b"protocol", 3) => return protocol::protocol(args, out),
        (b"quicklist", 3 | 4) => return object::print_quicklist(cx, args, out),
        (b"quicklist-packed-threshold", 3) => return packed_threshold(args, out),
        (b"reload", _) => return reload(args),
        (b"replybuffer", 4) => return clients::reply_buffer(args, out),
        (b"sdslen", 3) => return object::string_lengths(cx, args, out),
        (b"sleep", 3) => {
            let text = std::str::from_utf8(&args[2]).unwrap_or_default();
            let seconds: f64 = text.parse().unwrap_or(0.0);
            if let Ok(time) = Duration::try_from_secs_f64(seconds) {
                std::thread::sleep(time);
            }
            out.ok();
        }
        (b"stringmatch-test", 2) => {
            glob::try_at_random();
            out.simple("Apparently the server did not crash: test passed");
        }
        (b"structsize", 2) => out.bulk(tables::sizes().as_bytes()),
        _ => return switches::turn(cx, args, out),
    }
    Ok(())
}

fn unknown(args: Args<'_>) -> CommandError {
    let before = "ERR unknown subcommand or wrong number of arguments for '";
    CommandError::quoting(before, &args[1], "'. Try DEBUG HELP.")
}

fn digest_values(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) {
    let keys = args.from(2);
    out.array(keys.len());
    for key in keys.iter() {
        out.simple(&digest::of_value(cx, &Key::new(key)).text());
    }
}

/// DEBUG QUICKLIST-PACKED-THRESHOLD size
fn packed_threshold(args: Args<'_>, out: &mut Reply<'_>) -> Result {
    /// A node's length has 32 bits; what stands around its element needs some room.
    const MOST: u64 = (1 << 32) - (1 << 20);
    let size = parse_memory(&args[2]).filter(|size| *size <= MOST).ok_or(CommandError::of(
        "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
    ))?;
    list::set_packed_threshold(size as usize);
    out.ok();
    Ok(())
}

/// DEBUG RELOAD: the options are looked at; there are no snapshots to save to and load from.
fn reload(args: Args<'_>) -> Result {
    let is_known = |option: &[u8]| {
        let known = ["merge", "noflush", "nosave"];
        known.iter().any(|word| option.eq_ignore_ascii_case(word.as_bytes()))
    };
    if args.from(2).iter().all(is_known) {
        return Err("ERR DEBUG RELOAD is not supported: this version has no snapshots".into());
    }
    Err("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.".into())
}

/// DEBUG CONFIG-REWRITE-FORCE-ALL: as CONFIG REWRITE, with every parameter.
fn rewrite_all(cx: &mut Cx<'_>, out: &mut Reply<'_>) -> Result {
    let config = &cx.server.config;
    // So does Valkey say that there is no file.
    let file = config.file().ok_or("ERR CONFIG-REWRITE-FORCE-ALL failed: Bad address")?;
    let _alone = config.change();
    config::rewrite(file, &config.load(), config_lines(cx.server), Written::All).map_err(
        |error| {
            let text = config::system_text(&error);
            CommandError::from(format!("ERR CONFIG-REWRITE-FORCE-ALL failed: {text}"))
        },
    )?;
    out.ok();
    Ok(())
}

fn populate(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let number = |index: usize| match args.get(index) {
        None => Ok(None),
        Some(word) => match parse_i64(word) {
            Some(number @ 0..) => Ok(Some(number)),
            _ => Err(CommandError::OUT_OF_RANGE),
        },
    };
    let count = number(2)?.unwrap_or(0);
    let prefix = args.get(3).unwrap_or(b"key");
    let size = number(4)?.unwrap_or(0);
    if size > cx.settings.proto_max_bulk_len {
        return Err(CommandError::OUT_OF_RANGE);
    }
    for index in 0..count {
        let name = [prefix, format!(":{index}").as_bytes()].concat();
        let key = Key::new(&name);
        if cx.peek(&key).is_some() {
            continue;
        }
        let mut value = format!("value:{index}").into_bytes();
        if size > 0 {
            value.resize(size as usize, 0);
        }
        cx.insert(&key, Entry::new(&name, Value::Bytes(&value), None));
    }
    out.ok();
    Ok(())
}
