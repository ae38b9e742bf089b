//! EVAL, EVALSHA and SCRIPT.

use super::host::{Program, run};
use super::{is_async, kill, row, with_tips};
use crate::command::{Command, CommandError, Cx, Flags, Result};
use crate::lua::State;
use crate::resp::{Args, Reply};
use crate::script::{Digest, ScriptCache, ScriptKind};

const ANY_TIME: Flags = Flags::NOSCRIPT.union(Flags::STALE);

pub const SUBCOMMANDS: &[Command] = &[
    row("debug", -3, Flags::NOSCRIPT, debug),
    with_tips(
        &["request_policy:all_shards", "response_policy:agg_logical_and"],
        row("exists", -3, ANY_TIME, exists),
    ),
    with_tips(
        &["request_policy:all_nodes", "response_policy:all_succeeded"],
        row("flush", -2, ANY_TIME, flush),
    ),
    row("help", 2, Flags::LOADING.union(Flags::STALE), |_, _, out| {
        out.lines(HELP);
        Ok(())
    }),
    with_tips(
        &["request_policy:all_shards", "response_policy:one_succeeded"],
        row("kill", 2, Flags::NOSCRIPT.union(Flags::ALLOW_BUSY), |cx, _, out| {
            kill::kill(cx, ScriptKind::Script, out)
        }),
    ),
    with_tips(
        &["request_policy:all_nodes", "response_policy:all_succeeded"],
        row("load", 3, ANY_TIME, load),
    ),
    row("show", 3, ANY_TIME, show),
];

const NO_SCRIPT: CommandError = CommandError::of("NOSCRIPT No matching script.");

pub fn eval(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>, read_only: bool) -> Result {
    run_found(cx, args, out, read_only, |state, cache| Ok(cache.add(state, args.at(1), false)?))
}

pub fn evalsha(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>, read_only: bool) -> Result {
    run_found(cx, args, out, read_only, |_, _| Digest::parse(args.at(1)).ok_or(NO_SCRIPT))
}

/// Runs the script that `find` names, if it is in the cache.
fn run_found(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    out: &mut Reply<'_>,
    read_only: bool,
    find: impl FnOnce(&mut State, &mut ScriptCache) -> Result<Digest>,
) -> Result {
    let parts = split(args)?;
    let mut engine = cx.server.scripts.engine();
    let (state, cache) = engine.scripts()?;
    let digest = find(state, cache)?;
    let program = Program::script(cache, &digest).ok_or(NO_SCRIPT)?;
    run(cx, args, out, state, program, read_only, parts)
}

/// The keys and the other arguments of a call.
fn split(args: Args<'_>) -> Result<(Args<'_>, Args<'_>)> {
    let count = crate::number::parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    split_at(args, count)
}

/// The keys, of which there are `count`, and the other arguments of a call.
pub fn split_at(args: Args<'_>, count: i64) -> Result<(Args<'_>, Args<'_>)> {
    let count = usize::try_from(count)
        .map_err(|_| CommandError::of("ERR Number of keys can't be negative"))?;
    if count > args.len() - 3 {
        return Err("ERR Number of keys can't be greater than number of args".into());
    }
    Ok((args.until(3 + count).from(3), args.from(3 + count)))
}

fn load(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let mut engine = cx.server.scripts.engine();
    let (state, cache) = engine.scripts()?;
    let digest = cache.add(state, args.at(2), true)?;
    out.bulk(digest.text().as_bytes());
    Ok(())
}

fn exists(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let engine = cx.server.scripts.engine();
    out.array(args.len() - 2);
    for text in args.iter().skip(2) {
        let known = Digest::parse(text).is_some_and(|digest| engine.cache.contains(&digest));
        out.integer(known.into());
    }
    Ok(())
}

fn show(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let engine = cx.server.scripts.engine();
    let script = Digest::parse(args.at(2)).and_then(|digest| engine.cache.get(&digest));
    out.bulk(&script.ok_or(NO_SCRIPT)?.body);
    Ok(())
}

fn flush(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let lazily = match args.len() {
        2 => cx.settings.lazyfree_lazy_user_flush,
        3 => is_async(args.at(2))
            .ok_or(CommandError::of("ERR SCRIPT FLUSH only support SYNC|ASYNC option"))?,
        _ => return Err("ERR SCRIPT FLUSH only support SYNC|ASYNC option".into()),
    };
    let flushed = cx.server.scripts.engine().flush_scripts();
    if lazily {
        cx.server.lazy_free.scripts(flushed);
    }
    out.ok();
    Ok(())
}

/// The debugger is not there: a program that wants it is told so, and one that turns it off is right.
fn debug(_: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    match args.at(2).to_ascii_lowercase().as_slice() {
        b"no" => out.ok(),
        b"yes" | b"sync" => {
            return Err("ERR The debugger of scripts is not supported by this server".into());
        }
        _ => return Err("ERR Use SCRIPT DEBUG YES/SYNC/NO".into()),
    }
    Ok(())
}

const HELP: &[&str] = &[
    "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DEBUG (YES|SYNC|NO) [<engine_name>]",
    "    Set the debug mode for subsequent scripts executed of the specified engine.",
    "    Default engine name: 'lua'",
    "EXISTS <sha1> [<sha1> ...]",
    "    Return information about the existence of the scripts in the script cache.",
    "FLUSH [ASYNC|SYNC]",
    "    Flush the Lua scripts cache. Very dangerous on replicas.",
    "    When called without the optional mode argument, the behavior is determined",
    "     by the lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the scripts cache.",
    "    * SYNC: Synchronously flush the scripts cache.",
    "KILL",
    "    Kill the currently executing Lua script.",
    "LOAD <script>",
    "    Load a script into the scripts cache without executing it.",
    "SHOW <sha1>",
    "    Show a script from the scripts cache.",
    "HELP",
    "    Print this help.",
];
