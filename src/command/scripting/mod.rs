//! EVAL, SCRIPT, FCALL, FUNCTION: scripts and functions.
//!
//! A script is one execution unit that has the whole keyspace: nobody sees its middle. The commands that it calls run
//! within that unit through the same [`call`](super::call) as those of clients, on behalf of the same caller.

mod eval;
mod function;
mod host;
mod kill;

use super::{
    BeginSearch, Categories, Command, FindKeys, Flags, Group, Handler, KeyFlags, KeySpec, Scope,
};

pub use host::{flags_of, patience};
pub use kill::busy;

/// The keys of a call: a count at the third argument, then so many.
const fn keys(flags: KeyFlags, notes: Option<&'static str>) -> KeySpec {
    KeySpec {
        flags,
        begin: BeginSearch::Index(2),
        find: FindKeys::Number { count: 0, first: 1, step: 1 },
        notes,
    }
}

const CHANGED: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);
const READ: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);

const WORST: Option<&str> =
    Some("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE");
const WORST_READ: Option<&str> =
    Some("We cannot tell how the keys will be used so we assume the worst, RO and ACCESS");

/// A command that runs a script.
const fn runs(name: &'static str, keys: &'static [KeySpec], run: Handler) -> Command {
    Command {
        name,
        arity: -3,
        flags: Flags::NOSCRIPT
            .union(Flags::STALE)
            .union(Flags::SKIP_MONITOR)
            .union(Flags::MAY_REPLICATE)
            .union(Flags::NO_MANDATORY_KEYS)
            .union(Flags::RUNS_SCRIPT),
        acl: Categories::SCRIPTING,
        keys,
        group: Group::Scripting,
        scope: Scope::Exclusive,
        run,
        ..Command::DEFAULT
    }
}

/// A command that runs a script which changes nothing.
const fn runs_reading(name: &'static str, keys: &'static [KeySpec], run: Handler) -> Command {
    let command = runs(name, keys, run);
    let flags = command.flags.difference(Flags::MAY_REPLICATE).union(Flags::READONLY);
    Command { flags, ..command }
}

pub const COMMANDS: &[Command] = &[
    runs("eval", &[keys(CHANGED, WORST)], |cx, args, out| eval::eval(cx, args, out, false)),
    runs("evalsha", &[keys(CHANGED, None)], |cx, args, out| eval::evalsha(cx, args, out, false)),
    runs_reading("eval_ro", &[keys(READ, WORST_READ)], |cx, args, out| {
        eval::eval(cx, args, out, true)
    }),
    runs_reading("evalsha_ro", &[keys(READ, None)], |cx, args, out| {
        eval::evalsha(cx, args, out, true)
    }),
    runs("fcall", &[keys(CHANGED, WORST)], |cx, args, out| function::fcall(cx, args, out, false)),
    runs_reading("fcall_ro", &[keys(READ, WORST_READ)], |cx, args, out| {
        function::fcall(cx, args, out, true)
    }),
    Command { subcommands: eval::SUBCOMMANDS, ..container("script") },
    Command { subcommands: function::SUBCOMMANDS, ..container("function") },
];

const fn container(name: &'static str) -> Command {
    Command { name, arity: -2, group: Group::Scripting, ..Command::DEFAULT }
}

/// A subcommand of SCRIPT or FUNCTION.
const fn row(name: &'static str, arity: i32, flags: Flags, run: Handler) -> Command {
    let acl = Categories::SCRIPTING;
    Command { name, arity, flags, acl, group: Group::Scripting, run, ..Command::DEFAULT }
}

/// The word ASYNC or SYNC of a flush.
fn is_async(word: &[u8]) -> Option<bool> {
    let lazily = word.eq_ignore_ascii_case(b"async");
    (lazily || word.eq_ignore_ascii_case(b"sync")).then_some(lazily)
}

const fn with_tips(tips: &'static [&'static str], command: Command) -> Command {
    Command { tips, ..command }
}
