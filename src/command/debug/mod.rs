//! DEBUG: what tests of servers and of clients use of it.
//!
//! It takes the whole keyspace: DEBUG SLEEP is to stop the server, not one worker.

mod digest;
mod object;
mod tables;

use std::time::Duration;

use super::{Command, CommandError, Cx, Flags, Group, Result, Scope};
use crate::config::{Privilege, parse_memory};
use crate::keyspace::Key;
use crate::log;
use crate::number::parse_i64;
use crate::resp::{Args, Protocol, Reply};
use crate::value::entry::Value;
use crate::value::{Entry, list};

pub const COMMANDS: &[Command] = &[Command {
    name: "debug",
    arity: -2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    group: Group::Server,
    scope: Scope::Exclusive,
    run: debug,
    ..Command::DEFAULT
}];

const HELP: &[&str] = &[
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CLIENT-ENFORCE-REPLY-LIST <0|1>",
    "    Accepted, and without effect: replies have no static buffer.",
    "DICT-RESIZING <0|1>",
    "    Accepted, and without effect: tables grow and shrink bucket by bucket.",
    "DIGEST",
    "    Output a hex signature representing the current DB content.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Output a hex signature of the values of all the specified keys.",
    "ERROR <string>",
    "    Return a RESP protocol error with <string> as message. Useful for clients",
    "    unit tests to simulate error replies.",
    "HASHTABLE-CAN-ABORT-SHRINK <0|1>",
    "    Accepted, and without effect: tables grow and shrink bucket by bucket.",
    "HTSTATS <dbid> [full]",
    "    Return hash table statistics of the specified database.",
    "HTSTATS-KEY <key> [full]",
    "    Like HTSTATS but for the hash table stored at <key>'s value.",
    "LISTPACK <key>",
    "    Show low level info about the listpack encoding of <key>.",
    "LOG <message>",
    "    Write <message> to the server log.",
    "OBJECT <key> [fast]",
    "    Show low level info about `key` and associated value.",
    "    Some fields of the default behavior may be time consuming to fetch,",
    "    and `fast` can be passed to avoid fetching them.",
    "PAUSE-AFTER-FORK <0|1>",
    "    Accepted, and without effect: the server does not fork.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Create <count> string keys named key:<num>. If <prefix> is specified then",
    "    it is used instead of the 'key' prefix. These are not propagated to",
    "    replicas. Cluster slots are not respected so keys not belonging to the",
    "    current node can be created in cluster mode.",
    "PROTOCOL <type>",
    "    Reply with a test value of the specified type. <type> can be: string,",
    "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
    "    true, false.",
    "QUICKLIST <key> [<0|1>]",
    "    Show low level info about the quicklist encoding of <key>.",
    "    The optional argument (0 by default) sets the level of detail",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    Sets the threshold for elements to be inserted as plain vs packed nodes",
    "    Allows values up to 4GB. Setting to 0 restores to default.",
    "REPLYBUFFER PEAK-RESET-TIME <NEVER||RESET|time>",
    "REPLYBUFFER RESIZING <0|1>",
    "    Accepted, and without effect: a client without replies has no buffer.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Setting it to 0 disables expiring keys in background when they are not",
    "    accessed (otherwise the behavior). Setting it to 1 reenables back the",
    "    default.",
    "SET-DISABLE-DENY-SCRIPTS <0|1>",
    "    Accepted, and without effect: there are no scripts.",
    "SLEEP <seconds>",
    "    Stop the server for <seconds>. Decimals allowed.",
    "HELP",
    "    Print this help.",
];

const NOT_ALLOWED: CommandError = CommandError::of(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can \
     run it from a local connection, otherwise you need to set this option in the configuration \
     file, and then restart the server.",
);

fn debug(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let allowed = match cx.settings.enable_debug_command {
        Privilege::No => false,
        Privilege::Yes => true,
        Privilege::Local => cx.caller.record.info.peer.is_local(),
    };
    if !allowed {
        return Err(NOT_ALLOWED);
    }
    match (args[1].to_ascii_lowercase().as_slice(), args.len()) {
        (b"help", 2) => {
            out.array(HELP.len());
            HELP.iter().for_each(|line| out.simple(line));
        }
        (b"digest", 2) => out.simple(&digest::of_dataset(cx).text()),
        (b"digest-value", _) => digest_values(cx, args, out),
        (b"error", 3) => out.error(args.at(2)),
        (b"htstats", 3..) => return tables::of_database(cx, args, out),
        (b"htstats-key", 3..) => return tables::of_key(cx, args, out),
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
        (b"protocol", 3) => return protocol(args, out),
        (b"quicklist", 3 | 4) => return object::print_quicklist(cx, args, out),
        (b"quicklist-packed-threshold", 3) => return packed_threshold(args, out),
        (b"reload", _) => return reload(args),
        (b"replybuffer", 4) => return reply_buffer(args, out),
        (b"set-active-expire", 3) => {
            // A word that is no number is 0, for Valkey too.
            let on = parse_i64(&args[2]).is_some_and(|number| number != 0);
            cx.server.set_active_expire(on);
            out.ok();
        }
        (b"sleep", 3) => {
            let text = std::str::from_utf8(&args[2]).unwrap_or_default();
            let seconds: f64 = text.parse().unwrap_or(0.0);
            if let Ok(time) = Duration::try_from_secs_f64(seconds) {
                std::thread::sleep(time);
            }
            out.ok();
        }
        (name, 3) if NOTHING_TO_SWITCH.contains(&name) => out.ok(),
        _ => return Err(unknown(args)),
    }
    Ok(())
}

/// Switches of parts that this server does not have, so that both positions are the same.
const NOTHING_TO_SWITCH: &[&[u8]] = &[
    b"client-enforce-reply-list",
    b"dict-resizing",
    b"hashtable-can-abort-shrink",
    b"pause-after-fork",
    b"set-disable-deny-scripts",
];

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

/// DEBUG REPLYBUFFER: a client's send buffer is there only while it has replies, so its peak is not
/// kept, and nothing resizes it.
fn reply_buffer(args: Args<'_>, out: &mut Reply<'_>) -> Result {
    match args[2].to_ascii_lowercase().as_slice() {
        b"peak-reset-time" => {
            let word = args[3].to_ascii_lowercase();
            if word != b"never" && word != b"reset" && parse_i64(&word).is_none() {
                return Err(CommandError::NOT_INTEGER);
            }
        }
        b"resizing" => {}
        _ => return Err(unknown(args)),
    }
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

fn protocol(args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let resp3 = out.protocol == Protocol::Resp3;
    match args[2].to_ascii_lowercase().as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.integer(12345),
        b"double" if resp3 => out.raw(b",3.141\r\n"),
        b"double" => out.bulk(b"3.141"),
        b"bignum" if resp3 => out.raw(b"(1234567999999999999999999999999999999\r\n"),
        b"bignum" => out.bulk(b"1234567999999999999999999999999999999"),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|number| out.integer(number));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|number| out.integer(number));
        }
        b"map" => {
            out.map(3);
            for number in 0..3 {
                out.integer(number);
                out.boolean(number == 1);
            }
        }
        b"attrib" => {
            if resp3 {
                out.raw(b"|1\r\n");
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.integer(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            if !resp3 {
                return Err("ERR RESP2 is not supported by this command".into());
            }
            out.bulk(b"Some real reply following the push reply");
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.integer(42);
        }
        b"verbatim" => out.verbatim(b"This is a verbatim\nstring"),
        b"true" => out.boolean(true),
        b"false" => out.boolean(false),
        _ => {
            return Err("ERR Wrong protocol type name. Please use one of the following: \
                        string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|\
                        false"
                .into());
        }
    }
    Ok(())
}
