//! COMMAND: what the server tells of its commands.

use super::docs;
use super::{
    BeginSearch, Categories, Command, CommandError, CommandTable, Cx, FindKeys, Flags, Group,
    Handler, KeyFlags, KeySpec, Registered, Result, key_positions,
};
use crate::glob;
use crate::resp::{Args, Reply};

const ANY_TIME: Flags = Flags::LOADING.union(Flags::STALE);

const fn row(name: &'static str, arity: i32, run: Handler) -> Command {
    Command {
        name,
        arity,
        flags: ANY_TIME,
        acl: Categories::CONNECTION,
        group: Group::Server,
        run,
        ..Command::DEFAULT
    }
}

const fn unordered(command: Command) -> Command {
    Command { tips: &["nondeterministic_output_order"], ..command }
}

pub const COMMANDS: &[Command] = &[Command {
    subcommands: &[
        row("count", 2, |_, _, out| {
            out.integer(super::table().iter().len() as i64);
            Ok(())
        }),
        unordered(row("docs", -2, docs)),
        row("getkeys", -3, |_, args, out| {
            let keys = call_keys(super::table(), args.from(2))?;
            out.array(keys.len());
            keys.iter().for_each(|(key, _)| out.bulk(key));
            Ok(())
        }),
        row("getkeysandflags", -3, |_, args, out| {
            let keys = call_keys(super::table(), args.from(2))?;
            out.array(keys.len());
            for (key, flags) in keys {
                out.array(2);
                out.bulk(key);
                write_names(flags.names(), out);
            }
            Ok(())
        }),
        row("help", 2, |_, _, out| {
            out.lines(HELP);
            Ok(())
        }),
        unordered(row("info", -2, info)),
        unordered(row("list", -2, list)),
    ],
    ..unordered(row("command", -1, |_, _, out| {
        write_all(super::table(), out);
        Ok(())
    }))
}];

/// The commands by name, without their subcommands.
fn by_name(commands: &CommandTable) -> Vec<&Registered> {
    let mut all: Vec<_> = commands.iter().collect();
    all.sort_unstable_by_key(|found| found.command.name);
    all
}

/// The command of that name; a subcommand's is written `config|get`.
fn named<'a>(commands: &'a CommandTable, name: &[u8]) -> Option<&'a Registered> {
    match name.iter().position(|&byte| byte == b'|') {
        None => commands.get(name),
        Some(bar) => commands.get(&name[..bar])?.subcommand(&name[bar + 1..]),
    }
}

fn write_all(commands: &CommandTable, out: &mut Reply<'_>) {
    let all = by_name(commands);
    out.array(all.len());
    all.into_iter().for_each(|found| write_info(found, out));
}

fn info(_: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    if args.len() == 2 {
        write_all(super::table(), out);
        return Ok(());
    }
    out.array(args.len() - 2);
    for name in args.iter().skip(2) {
        match named(super::table(), name) {
            Some(found) => write_info(found, out),
            None => out.null(),
        }
    }
    Ok(())
}

fn docs(_: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let commands = super::table();
    let wanted: Vec<_> = match args.len() {
        2 => by_name(commands),
        _ => args.iter().skip(2).filter_map(|name| named(commands, name)).collect(),
    };
    out.map(wanted.len());
    for found in wanted {
        out.bulk(found.full_name.as_bytes());
        docs::write(found, out);
    }
    Ok(())
}

fn list(_: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let is = |index: usize, word: &str| args[index].eq_ignore_ascii_case(word.as_bytes());
    let passes: Box<dyn Fn(&Registered) -> bool + '_> = match args.len() {
        2 => Box::new(|_| true),
        5 if !is(2, "filterby") => return Err(CommandError::SYNTAX),
        // There are no modules.
        5 if is(3, "module") => Box::new(|_| false),
        5 if is(3, "aclcat") => {
            let category = Categories::named(&args[4]);
            Box::new(move |found| {
                category.is_some_and(|category| found.command.categories().contains(category))
            })
        }
        5 if is(3, "pattern") => {
            Box::new(move |found| glob::matches_ignoring_case(&args[4], found.full_name.as_bytes()))
        }
        _ => return Err(CommandError::SYNTAX),
    };
    let mut names = Vec::new();
    for found in by_name(super::table()) {
        let with_subcommands = [found].into_iter().chain(found.subcommands.values());
        names.extend(with_subcommands.filter(|found| passes(found)));
    }
    out.array(names.len());
    names.iter().for_each(|found| out.bulk(found.full_name.as_bytes()));
    Ok(())
}

/// The keys of a call, each with what the command does with it.
fn call_keys<'a>(commands: &CommandTable, call: Args<'a>) -> Result<Vec<(&'a [u8], KeyFlags)>> {
    let found =
        commands.resolve(call).map_err(|_| CommandError::of("ERR Invalid command specified"))?;
    if found.command.keys.is_empty() {
        return Err("ERR The command has no key arguments".into());
    }
    found
        .check_arity(call)
        .map_err(|_| CommandError::of("ERR Invalid number of arguments specified for command"))?;
    let mut keys = Vec::new();
    key_positions(found.command.keys, call, |index, spec| {
        let flags = match found.command.variable_flags {
            Some(flags) if spec.flags.contains(KeyFlags::VARIABLE_FLAGS) => flags(call),
            _ => spec.flags,
        };
        keys.push((call.at(index), flags));
    })
    .or_else(|| found.command.flags.contains(Flags::NO_MANDATORY_KEYS).then_some(()))
    .ok_or(CommandError::of("ERR Invalid arguments specified for command"))?;
    Ok(keys)
}

/// One command's entry of COMMAND INFO.
fn write_info(found: &Registered, out: &mut Reply<'_>) {
    let command = found.command;
    let (first, last, step, movable) = legacy_keys(command.keys);
    out.array(10);
    out.bulk(found.full_name.as_bytes());
    out.integer(command.arity.into());
    let mut flags = command.flags;
    flags.set(Flags::MOVABLE_KEYS, movable);
    write_names(flags.names(), out);
    out.integer(first);
    out.integer(last);
    out.integer(step);
    write_names(command.categories().names().map(|name| format!("@{name}")), out);
    out.set(command.tips.len());
    command.tips.iter().for_each(|tip| out.bulk(tip.as_bytes()));
    out.set(command.keys.len());
    command.keys.iter().for_each(|spec| write_spec(spec, out));
    out.array(found.subcommands.len());
    let mut subcommands: Vec<_> = found.subcommands.values().collect();
    subcommands.sort_unstable_by_key(|sub| sub.command.name);
    subcommands.into_iter().for_each(|sub| write_info(sub, out));
}

fn write_names<T: AsRef<str>>(names: impl Iterator<Item = T>, out: &mut Reply<'_>) {
    let names: Vec<T> = names.collect();
    out.set(names.len());
    names.iter().for_each(|name| out.simple(name.as_ref()));
}

fn write_spec(spec: &KeySpec, out: &mut Reply<'_>) {
    out.map(3 + usize::from(spec.notes.is_some()));
    if let Some(notes) = spec.notes {
        out.bulk(b"notes");
        out.bulk(notes.as_bytes());
    }
    out.bulk(b"flags");
    write_names(spec.flags.names(), out);
    let part = |name: &str, kind: &str, fields: &[(&str, i64)], out: &mut Reply<'_>| {
        out.bulk(name.as_bytes());
        out.map(2);
        out.bulk(b"type");
        out.bulk(kind.as_bytes());
        out.bulk(b"spec");
        out.map(fields.len());
        for (field, value) in fields {
            out.bulk(field.as_bytes());
            out.integer(*value);
        }
    };
    match spec.begin {
        BeginSearch::Index(index) => {
            part("begin_search", "index", &[("index", index as i64)], out);
        }
        BeginSearch::Keyword(keyword, from) | BeginSearch::LastKeyword(&[keyword, ..], from) => {
            out.bulk(b"begin_search");
            out.map(2);
            out.bulk(b"type");
            out.bulk(b"keyword");
            out.bulk(b"spec");
            out.map(2);
            out.bulk(b"keyword");
            out.bulk(keyword.as_bytes());
            out.bulk(b"startfrom");
            out.integer(from.into());
        }
        BeginSearch::Unknown | BeginSearch::Computed(_) | BeginSearch::LastKeyword(&[], _) => {
            part("begin_search", "unknown", &[], out)
        }
    }
    match spec.find {
        FindKeys::Range { last, step, limit } => {
            let fields =
                [("lastkey", last.into()), ("keystep", step as i64), ("limit", limit as i64)];
            part("find_keys", "range", &fields, out);
        }
        FindKeys::Number { count, first, step } => {
            let fields = [("keynumidx", count), ("firstkey", first), ("keystep", step)];
            part("find_keys", "keynum", &fields.map(|(name, value)| (name, value as i64)), out);
        }
        FindKeys::Unknown => part("find_keys", "unknown", &[], out),
    }
}

/// First key, last key and step, as servers told them before there were key specs, and whether that
/// leaves keys out. Only keys from one argument to another can be told so: one range, or several that
/// follow each other.
fn legacy_keys(specs: &[KeySpec]) -> (i64, i64, i64, bool) {
    let mut keys: Option<(i64, i64, i64)> = None;
    let mut movable = false;
    for spec in specs {
        let (BeginSearch::Index(first), FindKeys::Range { last, step, limit: _ }) =
            (spec.begin, spec.find)
        else {
            movable = true;
            continue;
        };
        let first = first as i64;
        let last = if last >= 0 { first + i64::from(last) } else { last.into() };
        keys = Some(match keys {
            None => (first, last, step as i64),
            Some((start, end, _)) if end == first - 1 => (start, last, step as i64),
            Some(told) => {
                movable = true;
                told
            }
        });
    }
    let (first, last, step) = keys.unwrap_or_default();
    (first, last, step, movable)
}

const HELP: &[&str] = &[
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    Return details about all commands.",
    "COUNT",
    "    Return the total number of commands in this server.",
    "LIST",
    "    Return a list of all commands in this server.",
    "INFO [<command-name> ...]",
    "    Return details about multiple commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "DOCS [<command-name> ...]",
    "    Return documentation details about multiple commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "GETKEYS <full-command>",
    "    Return the keys from a full command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Return the keys and the access flags from a full command.",
    "HELP",
    "    Print this help.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_follow_each_other_are_one() {
        let one = |index| KeySpec::one(index, KeyFlags::RO);
        assert_eq!(legacy_keys(&[]), (0, 0, 0, false));
        assert_eq!(legacy_keys(&[one(1)]), (1, 1, 1, false));
        assert_eq!(legacy_keys(&[one(1), one(2)]), (1, 2, 1, false));
        assert_eq!(legacy_keys(&[one(1), one(3)]), (1, 1, 1, true));
        let rest = KeySpec::range(2, -1, 1, KeyFlags::RO);
        assert_eq!(legacy_keys(&[one(1), rest]), (1, -1, 1, false));
        assert_eq!(legacy_keys(&[KeySpec::counted(1, 1, KeyFlags::RO)]), (0, 0, 0, true));
    }
}
