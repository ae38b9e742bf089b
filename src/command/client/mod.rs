//! CLIENT: what the server knows of its connections, and what they can ask of it.

mod filter;
pub mod tracking;

use super::{Categories, Command, CommandError, Cx, Flags, Group, Handler, Result, Scope};
use super::{Ending, ReplyMode};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::state::Paused;
use filter::Filter;

const ANY_TIME: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const OWN: Flags = ANY_TIME.union(Flags::ALLOW_BUSY);
const ADMIN: Flags = ANY_TIME.union(Flags::ADMIN);

const fn row(name: &'static str, arity: i32, flags: Flags, run: Handler) -> Command {
    Command {
        name,
        arity,
        flags,
        acl: Categories::CONNECTION,
        group: Group::Connection,
        run,
        ..Command::DEFAULT
    }
}

const fn with_tips(command: Command, tips: &'static [&'static str]) -> Command {
    Command { tips, ..command }
}

/// Runs between the turns of all sessions, so that none is in the middle of one.
const fn exclusive(command: Command) -> Command {
    Command { scope: Scope::Exclusive, ..command }
}

const EVERYWHERE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const VARYING: &[&str] = &["nondeterministic_output"];

pub const COMMANDS: &[Command] = &[Command {
    name: "client",
    arity: -2,
    group: Group::Connection,
    subcommands: &[
        row("caching", 3, OWN, tracking::caching),
        row("capa", -3, OWN, capa),
        row("getname", 2, OWN, getname),
        row("getredir", 2, OWN, tracking::getredir),
        row("help", 2, Flags::LOADING.union(Flags::STALE), |_, _, out| {
            out.lines(HELP);
            Ok(())
        }),
        row("id", 2, OWN, |cx, _, out| {
            out.integer(cx.caller.record.id as i64);
            Ok(())
        }),
        row("import-source", 3, ANY_TIME, import_source),
        with_tips(row("info", 2, ANY_TIME, info), VARYING),
        exclusive(row("kill", -3, ADMIN, kill)),
        with_tips(row("list", -2, ADMIN, list), VARYING),
        row("no-evict", 3, ADMIN.union(Flags::ALLOW_BUSY), no_evict),
        row("no-touch", 3, OWN, |cx, args, out| {
            cx.caller.no_touch = on_or_off(&args[2])?;
            out.ok();
            Ok(())
        }),
        exclusive(row("pause", -3, ADMIN, pause)),
        row("reply", 3, OWN.union(Flags::NO_MULTI), reply),
        with_tips(row("setinfo", 4, OWN, setinfo), EVERYWHERE),
        with_tips(row("setname", 3, OWN, setname), EVERYWHERE),
        // It visits the shards one by one.
        Command { scope: Scope::Shards, ..row("tracking", -3, ANY_TIME, tracking::tracking) },
        row("trackinginfo", 2, ANY_TIME, tracking::trackinginfo),
        row("unblock", -3, ADMIN, unblock),
        exclusive(row("unpause", 2, ADMIN, unpause)),
    ],
    ..Command::DEFAULT
}];

/// A name, if it has no character that would break the lines of CLIENT LIST.
pub fn valid_name(name: &[u8]) -> Result<&str> {
    printable(name).ok_or(CommandError::of(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

fn printable(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_graphic()).then_some(text)
}

/// Gives the client a name; an empty one takes it away.
pub fn set_name(cx: &mut Cx<'_>, name: &str) {
    cx.caller.record.labels.lock().name = name.to_owned();
}

fn on_or_off(word: &[u8]) -> Result<bool> {
    match word {
        on if on.eq_ignore_ascii_case(b"on") => Ok(true),
        off if off.eq_ignore_ascii_case(b"off") => Ok(false),
        _ => Err(CommandError::SYNTAX),
    }
}

fn capa(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    // What is unknown is ignored: clients are to be able to claim what newer servers know.
    cx.caller.redirect |= args.iter().skip(2).any(|word| word.eq_ignore_ascii_case(b"redirect"));
    out.ok();
    Ok(())
}

fn getname(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    match &*cx.caller.record.labels.lock().name {
        "" => out.null(),
        name => out.bulk(name.as_bytes()),
    }
    Ok(())
}

fn setname(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    set_name(cx, valid_name(args.at(2))?);
    out.ok();
    Ok(())
}

fn setinfo(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let option = args.at(2);
    let mut labels = cx.caller.record.labels.lock();
    let label = match option {
        _ if option.eq_ignore_ascii_case(b"lib-name") => &mut labels.lib_name,
        _ if option.eq_ignore_ascii_case(b"lib-ver") => &mut labels.lib_version,
        _ => return Err(CommandError::quoting("ERR Unrecognized option '", option, "'")),
    };
    let value = printable(args.at(3)).ok_or_else(|| {
        let why = " cannot contain spaces, newlines or special characters.";
        CommandError::quoting("ERR ", option, why)
    })?;
    value.clone_into(label);
    out.ok();
    Ok(())
}

fn import_source(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    if !cx.settings.import_mode && !args[2].eq_ignore_ascii_case(b"off") {
        return Err("ERR Server is not in import mode".into());
    }
    cx.caller.import_source = on_or_off(&args[2])?;
    out.ok();
    Ok(())
}

fn no_evict(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    cx.caller.no_evict = on_or_off(&args[2])?;
    cx.caller.publish();
    cx.server.count_client(&cx.caller.record);
    out.ok();
    Ok(())
}

/// Shows the caller's own state as it is while the command with these arguments runs.
fn publish(cx: &mut Cx<'_>, args: Args<'_>) {
    cx.caller.publish();
    let bytes: usize = args.iter().map(|arg| arg.len()).sum();
    cx.caller.record.arguments.set(bytes as u64);
}

fn info(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    publish(cx, args);
    let line = cx.caller.record.line(cx.now, &cx.server.command_names) + "\n";
    cx.caller.record.arguments.set(0);
    out.verbatim(line.as_bytes());
    Ok(())
}

fn list(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let filter = Filter::parse(cx, args)?;
    publish(cx, args);
    let me = cx.caller.record.id;
    let mut lines = String::new();
    for record in cx.server.clients.all() {
        let skipped = record.id == me && filter.skip_me == Some(true);
        if !skipped && filter.matches(&record, cx.now) {
            lines.push_str(&record.line(cx.now, &cx.server.command_names));
            lines.push('\n');
        }
    }
    cx.caller.record.arguments.set(0);
    out.verbatim(lines.as_bytes());
    Ok(())
}

fn kill(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let old_form = args.len() == 3;
    let filter = if old_form { Filter::address(&args[2]) } else { Filter::parse(cx, args)? };
    let skip_me = filter.skip_me.unwrap_or(!old_form);
    cx.caller.publish();
    let mut killed = 0;
    for record in cx.server.clients.all() {
        if !filter.matches(&record, cx.now) {
            continue;
        }
        if record.id != cx.caller.record.id {
            cx.server.clients.kill(&record);
        } else if skip_me {
            continue;
        } else {
            cx.caller.ending = Ending::AfterReply;
        }
        killed += 1;
    }
    match (old_form, killed) {
        (false, _) => out.integer(killed),
        (true, 0) => return Err("ERR No such client".into()),
        (true, _) => out.ok(),
    }
    Ok(())
}

fn reply(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    match &*args[2].to_ascii_lowercase() {
        b"on" => {
            cx.caller.reply_mode = ReplyMode::On;
            out.ok();
        }
        b"off" => cx.caller.reply_mode = ReplyMode::Off,
        b"skip" if cx.caller.reply_mode == ReplyMode::Off => {}
        b"skip" => cx.caller.reply_mode = ReplyMode::SkipNext,
        _ => return Err(CommandError::SYNTAX),
    }
    Ok(())
}

const UNBLOCKED: CommandError = CommandError::of("UNBLOCKED client unblocked via CLIENT UNBLOCK");

fn unblock(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    if args.len() == 4
        && ![&b"timeout"[..], b"error"].iter().any(|w| args[3].eq_ignore_ascii_case(w))
    {
        return Err("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR".into());
    }
    let with_error = args.get(3).is_some_and(|word| word.eq_ignore_ascii_case(b"error"));
    let id = parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    let record = u64::try_from(id).ok().and_then(|id| cx.server.clients.get(id));
    let parked = record.and_then(|record| record.parked.lock().clone());
    let ended = parked.is_some_and(|parked| {
        if with_error { parked.fail(UNBLOCKED.text()) } else { parked.time_out() }
    });
    out.integer(ended.into());
    Ok(())
}

fn pause(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let paused = match args.get(3) {
        None => Paused::All,
        Some(word) if word.eq_ignore_ascii_case(b"all") => Paused::All,
        Some(word) if word.eq_ignore_ascii_case(b"write") => Paused::Writes,
        Some(_) => return Err("ERR CLIENT PAUSE mode must be WRITE or ALL".into()),
    };
    let timeout = parse_i64(&args[2])
        .ok_or(CommandError::of("ERR timeout is not an integer or out of range"))?;
    if timeout < 0 {
        return Err("ERR timeout is negative".into());
    }
    let until =
        cx.now.checked_add(timeout).ok_or(CommandError::of("ERR timeout is out of range"))?;
    cx.server.pause.extend(cx.now, until, paused);
    out.ok();
    Ok(())
}

fn unpause(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    cx.server.pause.end();
    cx.server.clients.wake_blocked();
    out.ok();
    Ok(())
}

const HELP: &[&str] = &[
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CACHING (YES|NO)",
    "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
    "CAPA <option> [options...]",
    "    The client claims its some capability options. Options are:",
    "    * REDIRECT",
    "      The client can handle redirection during primary and replica failover in standalone mode.",
    "GETREDIR",
    "    Return the client ID we are redirecting to when tracking is enabled.",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made from the specified address.",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made to the specified local address.",
    "    * TYPE (NORMAL|PRIMARY|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "    * ID <client-id> [<client-id>...]",
    "      Kill connections by client IDs.",
    "    * MAXAGE <maxage>",
    "      Kill connections older than the specified age.",
    "    * FLAGS <flags>",
    "      Kill connections that include the specified flags.",
    "    * NAME <client-name>",
    "      Kill connections with the specified name.",
    "    * IDLE <idle>",
    "      Kill connections with idle time greater than or equal to <idle> seconds.",
    "    * LIB-NAME <library-name>",
    "      Kill connections with the specified library name.",
    "    * LIB-VER <library-version>",
    "      Kill connections with the specified library version.",
    "    * DB <db-id>",
    "      Kill connections currently operating on the specified database ID.",
    "    * CAPA <capa>",
    "      Kill connections currently with the specified capa.",
    "    * IP <ip>",
    "      Kill connections made from the specified ip.",
    "LIST [options ...]",
    "    Return information about client connections. Options:",
    "    * TYPE (NORMAL|PRIMARY|REPLICA|PUBSUB)",
    "      Return clients of specified type.",
    "    * USER <username>",
    "      Return clients authenticated by <username>.",
    "    * ADDR <ip:port>",
    "      Return clients connected from the specified address.",
    "    * LADDR <ip:port>",
    "      Return clients connected to the specified local address.",
    "    * ID <client-id> [<client-id>...]",
    "      Return clients with the specified IDs.",
    "    * SKIPME (YES|NO)",
    "      Exclude the current client from the list (default: no).",
    "    * MAXAGE <maxage>",
    "      List connections older than the specified age.",
    "    * FLAGS <flags>",
    "      Return clients with the specified flags.",
    "    * NAME <client-name>",
    "      Return clients with the specified name.",
    "    * IDLE <idle>",
    "      Return clients with idle time greater than or equal to <idle> seconds.",
    "    * LIB-NAME <lib-name>",
    "      Return clients with the specified lib name.",
    "    * LIB-VER <lib-version>",
    "      Return clients with the specified lib version.",
    "    * DB <db-id>",
    "      Return clients currently operating on the specified database ID.",
    "    * CAPA <capa>",
    "      Return connections currently with the specified capa.",
    "    * IP <ip>",
    "      Return connections made from the specified ip.",
    "UNPAUSE",
    "    Stop the current client pause, resuming traffic.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Suspend all, or just write, clients for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attr. Options are:",
    "    * LIB-NAME: the client lib name.",
    "    * LIB-VER: the client lib version.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Unblock the specified blocked client.",
    "TRACKINGINFO",
    "    Report tracking status for the current connection.",
    "NO-EVICT (ON|OFF)",
    "    Protect current client connection from eviction.",
    "NO-TOUCH (ON|OFF)",
    "    Will not touch LRU/LFU stats when this mode is on.",
    "IMPORT-SOURCE (ON|OFF)",
    "    Mark this connection as an import source if import-mode is enabled.",
    "    Sync tools can set their connections into 'import-source' state to visit",
    "    expired keys.",
    "HELP",
    "    Print this help.",
];
