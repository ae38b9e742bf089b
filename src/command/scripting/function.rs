//! FCALL and FUNCTION.

use super::host::{Program, log_message, run};
use super::{eval, is_async, kill, row, with_tips};
use crate::command::{Command, CommandError, Cx, Flags, Result};
use crate::glob;
use crate::lua::{Interrupt, ScriptFlags};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::script::{Engine, LibraryInfo, Loading, RestorePolicy, ScriptKind, Scripts};

const WRITES: Flags = Flags::NOSCRIPT.union(Flags::WRITE);
const GROWS: Flags = WRITES.union(Flags::DENYOOM);

/// Every node has them all.
const EVERYWHERE: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

pub const SUBCOMMANDS: &[Command] = &[
    with_tips(EVERYWHERE, row("delete", 3, WRITES, delete)),
    row("dump", 2, Flags::NOSCRIPT, dump),
    with_tips(EVERYWHERE, row("flush", -2, WRITES, flush)),
    row("help", 2, Flags::LOADING.union(Flags::STALE), |_, _, out| {
        out.lines(HELP);
        Ok(())
    }),
    with_tips(
        &["request_policy:all_shards", "response_policy:one_succeeded"],
        row("kill", 2, Flags::NOSCRIPT.union(Flags::ALLOW_BUSY), |cx, _, out| {
            kill::kill(cx, ScriptKind::Function, out)
        }),
    ),
    with_tips(&["nondeterministic_output_order"], row("list", -2, Flags::NOSCRIPT, list)),
    with_tips(EVERYWHERE, row("load", -3, GROWS, load)),
    with_tips(EVERYWHERE, row("restore", -3, GROWS, restore)),
    with_tips(
        &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        row("stats", 2, Flags::NOSCRIPT.union(Flags::ALLOW_BUSY), stats),
    ),
];

pub fn fcall(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>, read_only: bool) -> Result {
    let mut engine = cx.server.scripts.engine();
    let (state, libraries) = engine.functions()?;
    let found = libraries.get(args.at(1)).ok_or(CommandError::of("ERR Function not found"))?;
    let count = parse_i64(args.at(2)).ok_or(CommandError::of("ERR Bad number of keys provided"))?;
    let parts = eval::split_at(args, count)?;
    run(cx, args, out, state, Program::function(found), read_only, parts)
}

/// Loads what `work` says, with what a library may ask for meanwhile.
fn loading<R>(
    scripts: &Scripts,
    work: impl FnOnce(&mut Engine, &mut Loading<'_>) -> Result<R, Vec<u8>>,
) -> Result<R> {
    /// How long a library may take, as in Valkey: half a second.
    const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);
    let began = std::time::Instant::now();
    let mut log = log_message;
    let mut may_go_on = || {
        if began.elapsed() < PATIENCE {
            return Interrupt::Continue;
        }
        Interrupt::Stop("ERR FUNCTION LOAD timeout")
    };
    let mut loading = Loading { log: &mut log, may_go_on: &mut may_go_on };
    Ok(scripts.change(|engine| work(engine, &mut loading))?)
}

fn load(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let mut replace = false;
    for word in args.until(args.len() - 1).iter().skip(2) {
        if !word.eq_ignore_ascii_case(b"replace") {
            return Err(CommandError::quoting("ERR Unknown option given: ", word, ""));
        }
        replace = true;
    }
    let code = args.at(args.len() - 1);
    let name = loading(&cx.server.scripts, |engine, loading| {
        let (state, libraries) = engine.functions()?;
        libraries.load(state, code, replace, loading)
    })?;
    cx.unit.changes += 1;
    out.bulk(name.as_bytes());
    Ok(())
}

fn delete(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let existed = cx.server.scripts.change(|engine| {
        let (state, libraries) = engine.functions()?;
        Ok::<_, Vec<u8>>(libraries.delete(state, args.at(2)))
    })?;
    if !existed {
        return Err("ERR Library not found".into());
    }
    cx.unit.changes += 1;
    out.ok();
    Ok(())
}

fn flush(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    const WORDS: CommandError =
        CommandError::of("ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    let lazily = match args.len() {
        2 => cx.settings.lazyfree_lazy_user_flush,
        3 => is_async(args.at(2)).ok_or(WORDS)?,
        _ => {
            return Err(wrong_count(args.at(1)));
        }
    };
    let flushed = cx.server.scripts.change(Engine::flush_functions);
    if lazily {
        cx.server.lazy_free.scripts(flushed);
    }
    cx.unit.changes += 1;
    out.ok();
    Ok(())
}

/// A subcommand with more arguments than it takes.
fn wrong_count(name: &[u8]) -> CommandError {
    let text = "ERR unknown subcommand or wrong number of arguments for '";
    CommandError::quoting(text, name, "'. Try FUNCTION HELP.")
}

fn dump(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let payload = cx.server.scripts.engine().libraries.dump(cx.settings.rdbcompression);
    out.bulk(&payload);
    Ok(())
}

fn restore(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let policy = match args.get(3).map(<[u8]>::to_ascii_lowercase).as_deref() {
        _ if args.len() > 4 => {
            return Err(wrong_count(args.at(1)));
        }
        None | Some(b"append") => RestorePolicy::Append,
        Some(b"replace") => RestorePolicy::Replace,
        Some(b"flush") => RestorePolicy::Flush,
        Some(_) => {
            return Err("ERR Wrong restore policy given, value should be either FLUSH, APPEND or \
                        REPLACE."
                .into());
        }
    };
    loading(&cx.server.scripts, |engine, loading| {
        let (state, libraries) = engine.functions()?;
        libraries.restore(state, args.at(2), policy, loading)
    })?;
    cx.unit.changes += 1;
    out.ok();
    Ok(())
}

fn list(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (mut pattern, mut with_code) = (None, false);
    let mut words = args.iter().skip(2);
    while let Some(word) = words.next() {
        if !with_code && word.eq_ignore_ascii_case(b"withcode") {
            with_code = true;
        } else if pattern.is_none() && word.eq_ignore_ascii_case(b"libraryname") {
            let name = words.next();
            pattern =
                Some(name.ok_or(CommandError::of("ERR library name argument was not given"))?);
        } else {
            return Err(CommandError::quoting("ERR Unknown argument ", word, ""));
        }
    }
    let engine = cx.server.scripts.engine();
    let wanted = |library: &LibraryInfo<'_>| {
        pattern.is_none_or(|pattern| glob::matches_ignoring_case(pattern, library.name.as_bytes()))
    };
    let libraries: Vec<_> = engine.libraries.iter().filter(wanted).collect();
    out.array(libraries.len());
    libraries.iter().for_each(|library| write_library(library, with_code, out));
    Ok(())
}

fn write_library(library: &LibraryInfo<'_>, with_code: bool, out: &mut Reply<'_>) {
    out.map(if with_code { 4 } else { 3 });
    out.bulk(b"library_name");
    out.bulk(library.name.as_bytes());
    out.bulk(b"engine");
    out.bulk(b"LUA");
    out.bulk(b"functions");
    out.array(library.functions.len());
    for function in library.functions {
        out.map(3);
        out.bulk(b"name");
        out.bulk(&function.name);
        out.bulk(b"description");
        match &function.description {
            Some(text) => out.bulk(text),
            None => out.null(),
        }
        out.bulk(b"flags");
        let flags: Vec<_> =
            ScriptFlags::NAMES.iter().filter(|(_, flag)| function.flags.contains(*flag)).collect();
        out.set(flags.len());
        flags.iter().for_each(|(name, _)| out.simple(name));
    }
    if with_code {
        out.bulk(b"library_code");
        out.bulk(library.code);
    }
}

fn stats(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let scripts = &cx.server.scripts;
    let running = scripts.running.get();
    out.map(2);
    out.bulk(b"running_script");
    match &running {
        None => out.null(),
        Some(script) => {
            out.map(3);
            out.bulk(b"name");
            out.bulk(script.name.as_bytes());
            out.bulk(b"command");
            out.array(script.command.len());
            script.command.iter().for_each(|word| out.bulk(word));
            out.bulk(b"duration_ms");
            out.integer(i64::try_from(script.since.elapsed().as_millis()).unwrap_or(i64::MAX));
        }
    }
    let figures = scripts.figures();
    out.bulk(b"engines");
    out.map(1);
    out.bulk(b"LUA");
    out.map(2);
    out.bulk(b"libraries_count");
    out.integer(figures.libraries as i64);
    out.bulk(b"functions_count");
    out.integer(figures.functions as i64);
    Ok(())
}

const HELP: &[&str] = &[
    "FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "LOAD [REPLACE] <FUNCTION CODE>",
    "    Create a new library with the given library name and code.",
    "DELETE <LIBRARY NAME>",
    "    Delete the given library.",
    "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
    "    Return general information on all the libraries:",
    "    * Library name",
    "    * The engine used to run the Library",
    "    * Functions list",
    "    * Library code (if WITHCODE is given)",
    "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
    "STATS",
    "    Return information about the current function running:",
    "    * Function name",
    "    * Command used to run the function",
    "    * Duration in MS that the function is running",
    "    If no function is running, return nil",
    "    In addition, returns a list of available engines.",
    "KILL",
    "    Kill the current running function.",
    "FLUSH [ASYNC|SYNC]",
    "    Delete all the libraries.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the libraries.",
    "    * SYNC: Synchronously flush the libraries.",
    "DUMP",
    "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
    "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
    "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
    "    control how to handle existing libraries (default APPEND):",
    "    * FLUSH: delete all existing libraries.",
    "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
    "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
    "      libraries with the new libraries (notice that even on this option there is a chance of failure",
    "      in case of functions name collision with another library).",
    "HELP",
    "    Print this help.",
];
