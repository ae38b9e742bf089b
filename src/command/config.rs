//! CONFIG GET, SET, RESETSTAT, REWRITE.

use std::sync::Arc;

use super::acl::config_lines;
use super::client::tracking;
use super::{Categories, Command, CommandError, Cx, Flags, Group, Result, Scope};
use crate::config::{Mutability, PARAMETERS, Parameter, Settings, Written, find};
use crate::glob;
use crate::resp::{Args, Reply};
use crate::state::{
    ControlRequest, ControlThread, RemoteControl, Server, TLS_PARAMETER, needs_control_thread,
};

const FLAGS: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);

const EVERY_NODE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

pub const COMMANDS: &[Command] = &[Command {
    name: "config",
    arity: -2,
    acl: Categories::SLOW,
    group: Group::Server,
    subcommands: &[
        Command {
            name: "get",
            arity: -3,
            flags: FLAGS,
            group: Group::Server,
            run: get,
            ..Command::DEFAULT
        },
        Command {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            group: Group::Server,
            run: help,
            ..Command::DEFAULT
        },
        Command {
            name: "resetstat",
            arity: 2,
            flags: FLAGS,
            tips: EVERY_NODE,
            group: Group::Server,
            run: |cx, _, out| {
                cx.server.reset_stats();
                out.ok();
                Ok(())
            },
            ..Command::DEFAULT
        },
        Command {
            name: "rewrite",
            arity: 2,
            flags: FLAGS,
            tips: EVERY_NODE,
            group: Group::Server,
            run: rewrite,
            ..Command::DEFAULT
        },
        Command {
            name: "set",
            arity: -4,
            flags: FLAGS,
            // A new limit may have keys of any shard forgotten.
            scope: Scope::Shards,
            tips: EVERY_NODE,
            group: Group::Server,
            run: set,
            ..Command::DEFAULT
        },
    ],
    ..Command::DEFAULT
}];

const HELP: &[&str] = &[
    "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET <directive> <value>",
    "    Set the configuration <directive> to <value>.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
    "REWRITE",
    "    Rewrite the configuration file.",
    "HELP",
    "    Print this help.",
];

fn help(_: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    out.lines(HELP);
    Ok(())
}

fn get(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let mut found = Vec::<(&[u8], &Parameter)>::new();
    for pattern in args.from(2).iter() {
        if glob::literal(pattern).is_some() {
            // Its name is repeated as it was given.
            found.extend(find(pattern).map(|parameter| (pattern, parameter)));
            continue;
        }
        for parameter in PARAMETERS.iter().filter(|parameter| !parameter.hidden) {
            let names = [Some(parameter.name.as_str()), parameter.alias];
            let names = names.into_iter().flatten().map(str::as_bytes);
            let matching = names.filter(|name| glob::matches_ignoring_case(pattern, name));
            found.extend(matching.map(|name| (name, parameter)));
        }
    }
    // The first way to write a name stays.
    found.sort_by_cached_key(|(name, _)| name.to_ascii_lowercase());
    found.dedup_by(|(name, _), (other, _)| name.eq_ignore_ascii_case(other));
    // An earlier command of the same batch may have changed them.
    let settings = cx.server.config.load();
    out.map(found.len());
    for (name, parameter) in found {
        out.bulk(name);
        out.bulk(&parameter.get(&settings));
    }
    Ok(())
}

fn set(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::SYNTAX);
    }
    let old = cx.server.config.load();
    let mut assignments: Vec<Assignment> = Vec::new();
    for index in (2..args.len()).step_by(2) {
        let (name, value) = (args.at(index), args.at(index + 1));
        let parameter = find(name).ok_or_else(|| unknown(name))?;
        match parameter.mutability {
            Mutability::Free => {}
            Mutability::Immutable => return Err(failed(name, "can't set immutable config")),
            Mutability::Protected => {
                if !cx.caller.is_granted(old.enable_protected_configs) {
                    return Err(failed(name, "can't set protected config"));
                }
            }
        }
        if assignments.iter().any(|other| other.name.eq_ignore_ascii_case(name)) {
            return Err(failed(name, "duplicate parameter"));
        }
        assignments.push(Assignment { name: name.into(), parameter, value: value.into() });
    }
    let server = cx.server;
    let new = assigned(&old, &assignments)?;
    if cx.caller.may_wait() && needs_control_thread(&old, &new, names_files(&assignments)) {
        cx.answer_later(Box::new(move |call| {
            let work = move |control: &mut dyn ControlThread| {
                call.complete(assign(server, &assignments, control));
            };
            // The control thread ends only with the process.
            let _ = server.control.send(ControlRequest::Run(Box::new(work)));
        }));
        return Ok(());
    }
    assign(server, &assignments, &mut RemoteControl(server))?;
    // A transaction's next commands announce what is wanted now.
    cx.unit.want_events(server.listeners(&server.config.load()).events);
    tracking::forget_surplus(cx);
    // The calling thread measures this very command by what it has set.
    cx.stats.limits.set(&server.config.load(), &cx.clock);
    out.ok();
    Ok(())
}

/// One parameter with its new value.
struct Assignment {
    /// As the client wrote it.
    name: Box<[u8]>,
    parameter: &'static Parameter,
    value: Box<[u8]>,
}

/// Whether files are named, which are read again even if their names are the same.
fn names_files(assignments: &[Assignment]) -> bool {
    assignments.iter().any(|assigned| assigned.parameter.volatile)
}

/// The settings after the assignments.
fn assigned(old: &Settings, assignments: &[Assignment]) -> Result<Settings> {
    let mut new = old.clone();
    for Assignment { name, parameter, value } in assignments {
        parameter.set_from_command(&mut new, value).map_err(|refusal| failed(name, &refusal))?;
    }
    Ok(new)
}

/// Puts the assignments in force, all or none.
fn assign(server: &Server, assignments: &[Assignment], control: &mut dyn ControlThread) -> Result {
    let change = server.config.change();
    let old = server.config.load();
    let new = Arc::new(assigned(&old, assignments)?);
    server.apply(&old, &new, names_files(assignments), control).map_err(
        |(parameter, refusal)| {
            let is_reason = |assigned: &&Assignment| {
                let name = &assigned.parameter.name;
                name == parameter || parameter == TLS_PARAMETER && name.starts_with("tls-")
            };
            let named = assignments.iter().find(is_reason);
            failed(named.map_or(parameter.as_bytes(), |assigned| &assigned.name), &refusal)
        },
    )?;
    let limit = new.maxmemory;
    change.store(new);
    if limit != old.maxmemory {
        server.limit_memory(limit);
    }
    Ok(())
}

fn unknown(name: &[u8]) -> CommandError {
    CommandError::quoting("ERR Unknown option or number of arguments for CONFIG SET - '", name, "'")
}

fn failed(name: &[u8], reason: &str) -> CommandError {
    let before = "ERR CONFIG SET failed (possibly related to argument '";
    CommandError::quoting(before, name, &format!("') - {reason}"))
}

fn rewrite(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let config = &cx.server.config;
    let Some(file) = config.file() else {
        return Err("ERR The server is running without a config file".into());
    };
    let _alone = config.change();
    match crate::config::rewrite(file, &config.load(), config_lines(cx.server), Written::Changed) {
        Ok(()) => {
            crate::log::notice("CONFIG REWRITE executed with success.");
            out.ok();
            Ok(())
        }
        Err(error) => {
            let text = crate::config::system_text(&error);
            crate::log::warning(format_args!("CONFIG REWRITE failed: {text}"));
            Err(format!("ERR Rewriting config file: {text}").into())
        }
    }
}
