//! MODULE, as a server answers that can load no modules.

use super::{Command, CommandError, Cx, Flags, Group, Handler, Result};
use crate::log;
use crate::resp::{Args, Reply};

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);

const LOADING: Flags = ADMIN.union(Flags::NO_ASYNC_LOADING).union(Flags::PROTECTED);

const fn row(name: &'static str, arity: i32, flags: Flags, run: Handler) -> Command {
    Command { name, arity, flags, group: Group::Server, run, ..Command::DEFAULT }
}

pub const COMMANDS: &[Command] = &[Command {
    name: "module",
    arity: -2,
    group: Group::Server,
    subcommands: &[
        row("help", 2, Flags::LOADING.union(Flags::STALE), help),
        Command { tips: &["nondeterministic_output_order"], ..row("list", 2, ADMIN, list) },
        row("load", -3, LOADING, load),
        row("loadex", -3, LOADING, load),
        row("unload", 3, LOADING, unload),
    ],
    ..Command::DEFAULT
}];

const HELP: &[&str] = &[
    "MODULE <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "LIST",
    "    Return a list of loaded modules.",
    "LOAD <path> [<arg> ...]",
    "    Load a module library from <path>, passing to it any optional arguments.",
    "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
    "    Load a module library from <path>, while passing it module configurations and optional \
     arguments.",
    "UNLOAD <name>",
    "    Unload a module.",
    "HELP",
    "    Print this help.",
];

fn help(_: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    out.lines(HELP);
    Ok(())
}

fn list(_: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    write_all(out);
    Ok(())
}

/// The modules. The engine of scripts is shown as one, as Valkey 9.1 has it, though it is part of the server.
pub fn write_all(out: &mut Reply<'_>) {
    out.array(1);
    out.map(4);
    out.bulk(b"name");
    out.bulk(b"lua");
    out.bulk(b"ver");
    out.integer(1);
    out.bulk(b"path");
    out.bulk(b"lua");
    out.bulk(b"args");
    out.array(0);
}

/// MODULE LOAD path [argument ...], MODULE LOADEX path [CONFIG name value ...] [ARGS argument ...]
fn load(_: &mut Cx<'_>, args: Args<'_>, _: &mut Reply<'_>) -> Result {
    let path = String::from_utf8_lossy(args.at(2));
    log::warning(format_args!(
        "Module {path} failed to load: this server has no interface to modules"
    ));
    Err("ERR Error loading the extension. Please check the server logs.".into())
}

/// MODULE UNLOAD name
fn unload(_: &mut Cx<'_>, args: Args<'_>, _: &mut Reply<'_>) -> Result {
    let name = String::from_utf8_lossy(args.at(2));
    log::warning(format_args!("Error unloading module {name}: no such module with that name"));
    Err(CommandError::of("ERR Error unloading module: no such module with that name"))
}
