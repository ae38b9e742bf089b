//! DEBUG: what tests of clients use of it.
//!
//! It takes the whole keyspace: DEBUG SLEEP is to stop the server, not one worker.

use std::time::Duration;

use super::{Command, CommandError, Cx, Flags, Group, Result, Scope};
use crate::config::{Privilege, Settings};
use crate::keyspace::Key;
use crate::log;
use crate::rdb::{self, Writer};
use crate::resp::{Args, Protocol, Reply};
use crate::value::entry::Value;
use crate::value::number::parse_i64;
use crate::value::{Entry, access};

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
    "ERROR <string>",
    "    Return a RESP protocol error with <string> as message. Useful for clients",
    "    unit tests to simulate error replies.",
    "LOG <message>",
    "    Write <message> to the server log.",
    "OBJECT <key> [fast]",
    "    Show low level info about `key` and associated value.",
    "    Some fields of the default behavior may be time consuming to fetch,",
    "    and `fast` can be passed to avoid fetching them.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Create <count> string keys named key:<num>. If <prefix> is specified then",
    "    it is used instead of the 'key' prefix. These are not propagated to",
    "    replicas. Cluster slots are not respected so keys not belonging to the",
    "    current node can be created in cluster mode.",
    "PROTOCOL <type>",
    "    Reply with a test value of the specified type. <type> can be: string,",
    "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
    "    true, false.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Setting it to 0 disables expiring keys in background when they are not",
    "    accessed (otherwise the behavior). Setting it to 1 reenables back the",
    "    default.",
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
        (b"error", 3) => out.error(args.at(2)),
        (b"log", 3) => {
            log::warning(format_args!("DEBUG LOG: {}", String::from_utf8_lossy(&args[2])));
            out.ok();
        }
        (b"object", 3 | 4) => return object(cx, args, out),
        (b"populate", 3..=5) => return populate(cx, args, out),
        (b"protocol", 3) => return protocol(args, out),
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
        _ => {
            return Err(CommandError::quoting(
                "ERR unknown subcommand or wrong number of arguments for '",
                &args[1],
                "'. Try DEBUG HELP.",
            ));
        }
    }
    Ok(())
}

fn object(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (settings, now) = (cx.settings, cx.now);
    let fast = args.get(3).is_some_and(|word| word.eq_ignore_ascii_case(b"fast"));
    let entry = cx.inspect(&Key::new(args.at(2))).ok_or(CommandError::NO_SUCH_KEY)?;
    let idle = access::idle(now, entry.access());
    let length = if fast {
        String::new()
    } else {
        format!(" serializedlength:{}", serialized_length(entry, settings))
    };
    out.simple(&format!(
        "Value at:{:p} refcount:1 encoding:{}{length} lru:{} lru_seconds_idle:{idle}",
        entry,
        entry.encoding(),
        entry.access(),
    ));
    Ok(())
}

/// Bytes of the value in a snapshot file, without its type.
fn serialized_length(entry: &Entry, settings: &Settings) -> usize {
    let mut out = Writer::new(settings.rdbcompression);
    rdb::save(entry, &mut out);
    out.into_bytes().len() - 1
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
