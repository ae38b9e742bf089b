//! ACL: the users, their permissions, and the log of what was denied.

mod dryrun;
mod file;
mod log;
mod users;

use super::{Categories, Command, CommandError, Cx, Flags, Group, Handler, Result, Scope};
pub use file::{config_lines, load_at_start};

use crate::acl::generate_password;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};

const ANYBODY: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const ADMIN: Flags = ANYBODY.union(Flags::ADMIN);
const EVERYWHERE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const fn row(name: &'static str, arity: i32, flags: Flags, run: Handler) -> Command {
    Command { name, arity, flags, group: Group::Server, run, ..Command::DEFAULT }
}

/// Runs between the turns of all sessions: none goes on with a user that has changed.
const fn change(name: &'static str, arity: i32, run: Handler) -> Command {
    Command { scope: Scope::Exclusive, tips: EVERYWHERE, ..row(name, arity, ADMIN, run) }
}

pub const COMMANDS: &[Command] = &[Command {
    name: "acl",
    arity: -2,
    group: Group::Server,
    subcommands: &[
        row("cat", -2, ANYBODY, cat),
        change("deluser", -3, users::delete),
        row("dryrun", -4, ADMIN, dryrun::dryrun),
        row("genpass", -2, ANYBODY, genpass),
        row("getuser", 3, ADMIN, users::get),
        row("help", 2, Flags::LOADING.union(Flags::STALE), |_, _, out| {
            out.lines(HELP);
            Ok(())
        }),
        row("list", 2, ADMIN, users::list),
        Command { scope: Scope::Exclusive, ..row("load", 2, ADMIN, file::load) },
        row("log", -2, ADMIN, log::log),
        Command { tips: EVERYWHERE, ..row("save", 2, ADMIN, file::save) },
        change("setuser", -3, users::set),
        row("users", 2, ADMIN, users::names),
        row("whoami", 2, ANYBODY, |cx, _, out| {
            out.bulk(&cx.caller.identity.user().name);
            Ok(())
        }),
    ],
    ..Command::DEFAULT
}];

/// The error for a subcommand with too many arguments.
fn too_many(args: Args<'_>) -> CommandError {
    let begin = "ERR unknown subcommand or wrong number of arguments for '";
    CommandError::quoting(begin, args.at(1), "'. Try ACL HELP.")
}

fn cat(_: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    match args.len() {
        2 => {
            let names: Vec<_> = Categories::all().iter().flat_map(Categories::names).collect();
            out.array(names.len());
            names.iter().for_each(|name| out.bulk(name.as_bytes()));
        }
        3 => {
            let unknown = || CommandError::quoting("ERR Unknown category '", args.at(2), "'");
            let category = Categories::named(args.at(2)).ok_or_else(unknown)?;
            let names: Vec<_> = super::table()
                .iter()
                .flat_map(|found| [found].into_iter().chain(found.subcommands.values()))
                .filter(|found| found.command.categories().contains(category))
                .map(|found| &found.full_name)
                .collect();
            out.array(names.len());
            names.iter().for_each(|name| out.bulk(name.as_bytes()));
        }
        _ => return Err(too_many(args)),
    }
    Ok(())
}

/// Bits of a password that GENPASS makes unless told otherwise, and the most.
const PASSWORD_BITS: usize = 256;
const MOST_PASSWORD_BITS: i64 = 4096;

fn genpass(_: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let bits = match args.len() {
        2 => PASSWORD_BITS,
        3 => match parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)? {
            bits @ 1..=MOST_PASSWORD_BITS => bits as usize,
            _ => {
                return Err(format!(
                    "ERR ACL GENPASS argument must be the number of bits for the output password, a \
                     positive number up to {MOST_PASSWORD_BITS}"
                )
                .into());
            }
        },
        _ => return Err(too_many(args)),
    };
    let password = generate_password(bits).map_err(|error| {
        format!("ERR No random numbers: {}", crate::config::system_text(&error))
    })?;
    out.bulk(password.as_bytes());
    Ok(())
}

const HELP: &[&str] = &[
    "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CAT [<category>]",
    "    List all commands that belong to <category>, or all command categories",
    "    when no category is specified.",
    "DELUSER <username> [<username> ...]",
    "    Delete a list of users.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Returns whether the user can execute the given command without executing the command.",
    "GETUSER <username>",
    "    Get the user's details.",
    "GENPASS [<bits>]",
    "    Generate a secure 256-bit user password. The optional `bits` argument can",
    "    be used to specify a different size.",
    "LIST",
    "    Show users details in config file format.",
    "LOAD",
    "    Reload users from the ACL file.",
    "LOG [<count> | RESET]",
    "    Show the ACL log entries.",
    "SAVE",
    "    Save the current config to the ACL file.",
    "SETUSER <username> <rule> [<rule> ...]",
    "    Create or modify a user with the specified rules.",
    "USERS",
    "    List all the registered usernames.",
    "WHOAMI",
    "    Return the current connection username.",
    "HELP",
    "    Print this help.",
];
