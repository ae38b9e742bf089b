//! The globals of a state: Lua's own libraries without what leaves the sandbox, and the server's.

use mlua::ffi;

use super::api::{self, Contexts};
use super::raw::{Entry, GLOBALS, Stack, entry};
use super::state::Kind;
use super::{base, library, random, sandbox, tables, text};
use crate::process::{REDIS_VERSION, VALKEY_VERSION};

/// Functions of Lua's basic library that scripts do not have: they read files, print, or reach other functions' environments.
const REMOVED: &[&str] = &["print", "dofile", "loadfile", "getfenv", "setfenv", "newproxy"];

/// Constants of the `redis` table, and whether a library that is being loaded has them.
const CONSTANTS: &[(&str, f64, bool)] = &[
    ("LOG_DEBUG", 0.0, true),
    ("LOG_VERBOSE", 1.0, true),
    ("LOG_NOTICE", 2.0, true),
    ("LOG_WARNING", 3.0, true),
    ("REPL_NONE", 0.0, false),
    ("REPL_AOF", 1.0, false),
    ("REPL_REPLICA", 2.0, false),
    ("REPL_SLAVE", 2.0, false),
    ("REPL_ALL", 3.0, false),
];

/// Slots of [`open`]: the contents of the globals, their proxy, the metatable that strings show.
const CONTENTS: i32 = 1;
const PROXY: i32 = 2;

/// What a state keeps in Lua's registry, by number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    /// The contents of the globals, where KEYS and ARGV are set.
    pub globals: i32,
    /// The read-only globals, and their metatable outside of loads.
    pub proxy: i32,
    pub calling: i32,
    /// The metatable of the globals while a library is loaded.
    pub loading: i32,
}

/// Fills a new state.
pub fn open(stack: Stack, kind: Kind) -> Kept {
    stack.push_value(GLOBALS);
    for library in [ffi::luaopen_base, ffi::luaopen_table, ffi::luaopen_string, ffi::luaopen_math] {
        stack.push_native(library, 0);
        stack.call(0, 0);
    }
    for name in REMOVED {
        stack.push_nil();
        stack.raw_set_field(CONTENTS, name);
    }
    replace_functions(stack);
    library::add_all(stack, CONTENTS);
    add_server_table(stack, kind);
    if kind == Kind::Scripts {
        super::failure::add_handlers(stack, CONTENTS);
    }
    protect_all(stack);
    let kept = keep(stack, kind);
    stack.set_top(0);
    kept
}

fn set(stack: Stack, table: i32, name: &str, function: Entry) {
    stack.push_native(function, 0);
    stack.raw_set_field(table, name);
}

/// Puts this server's functions in the place of Lua's own.
fn replace_functions(stack: Stack) {
    let functions: &[(&str, Entry)] = &[
        ("pcall", entry!(base::pcall)),
        ("xpcall", entry!(base::xpcall)),
        ("load", entry!(base::load)),
        ("loadstring", entry!(base::loadstring)),
        ("collectgarbage", entry!(base::collectgarbage)),
        ("unpack", entry!(tables::unpack)),
        ("next", entry!(sandbox::next)),
        ("rawget", entry!(sandbox::rawget)),
        ("rawset", entry!(sandbox::rawset)),
        ("setmetatable", entry!(sandbox::setmetatable)),
    ];
    for (name, function) in functions {
        set(stack, CONTENTS, name, *function);
    }
    stack.raw_field(CONTENTS, "next");
    stack.push_native(entry!(sandbox::pairs), 1);
    stack.raw_set_field(CONTENTS, "pairs");
    stack.raw_field(CONTENTS, "math");
    set(stack, 2, "random", entry!(random::random));
    set(stack, 2, "randomseed", entry!(random::randomseed));
    stack.pop(1);
    stack.raw_field(CONTENTS, "table");
    let functions: &[(&str, Entry)] = &[
        ("insert", entry!(tables::insert)),
        ("remove", entry!(tables::remove)),
        ("concat", entry!(tables::concat)),
        ("maxn", entry!(tables::maxn)),
        ("sort", entry!(tables::sort)),
    ];
    for (name, function) in functions {
        set(stack, 2, name, *function);
    }
    wrap(stack, "foreach", entry!(tables::foreach));
    stack.pop(1);
    stack.raw_field(CONTENTS, "coroutine");
    wrap(stack, "resume", entry!(base::resume));
    stack.raw_field(2, "create");
    stack.raw_field(2, "resume");
    stack.push_native(entry!(base::wrap), 2);
    stack.raw_set_field(2, "wrap");
    stack.pop(1);
    stack.raw_field(CONTENTS, "string");
    let functions: &[(&str, Entry)] = &[
        ("rep", entry!(base::rep)),
        ("find", entry!(text::find)),
        ("match", entry!(text::match_pattern)),
        ("gmatch", entry!(text::gmatch)),
        ("gfind", entry!(text::gmatch)),
        ("gsub", entry!(text::gsub)),
    ];
    for (name, function) in functions {
        set(stack, 2, name, *function);
    }
    stack.pop(1);
    stack.new_table(0, 1);
    set(stack, 2, "clock", entry!(base::clock));
    stack.raw_set_field(CONTENTS, "os");
}

/// Puts a function around one of the table on top, which is its upvalue.
fn wrap(stack: Stack, name: &str, by: Entry) {
    stack.raw_field(-1, name);
    stack.push_native(by, 1);
    stack.raw_set_field(-2, name);
}

/// The tables `redis` and `server`, which are one.
fn add_server_table(stack: Stack, kind: Kind) {
    stack.new_table(0, 32);
    add_members(stack, |contexts| match contexts {
        Contexts::Scripts => kind == Kind::Scripts,
        _ => contexts != Contexts::Loads,
    });
    for (name, number, _) in CONSTANTS {
        stack.push_number(*number);
        stack.raw_set_field(-2, name);
    }
    add_versions(stack);
    sandbox::protect(stack, 0);
    stack.push_value(-1);
    stack.raw_set_field(CONTENTS, "redis");
    stack.raw_set_field(CONTENTS, "server");
}

fn add_members(stack: Stack, is_member: impl Fn(Contexts) -> bool) {
    for member in api::members() {
        if is_member(member.contexts) {
            set(stack, -2, member.name, member.function);
        }
    }
}

fn add_versions(stack: Stack) {
    let texts = [
        ("SERVER_NAME", "valkey"),
        ("VALKEY_VERSION", VALKEY_VERSION),
        ("REDIS_VERSION", REDIS_VERSION),
    ];
    for (name, text) in texts {
        stack.push_bytes(text.as_bytes());
        stack.raw_set_field(-2, name);
    }
    for (name, text) in
        [("VALKEY_VERSION_NUM", VALKEY_VERSION), ("REDIS_VERSION_NUM", REDIS_VERSION)]
    {
        // Each part of the version is a byte of the number.
        let number = text
            .split('.')
            .filter_map(|part| part.parse::<u32>().ok())
            .fold(0, |number, part| number << 8 | part);
        stack.push_number(f64::from(number));
        stack.raw_set_field(-2, name);
    }
}

/// Makes every library read-only, and the metatable of strings as scripts see it.
fn protect_all(stack: Stack) {
    for name in ["coroutine", "math", "os", "string", "table"].iter().chain(library::NAMES) {
        stack.raw_field(CONTENTS, name);
        sandbox::protect(stack, 0);
        stack.raw_set_field(CONTENTS, name);
    }
    // Methods of strings find the library itself; scripts are shown a table that names the proxy.
    stack.new_table(0, 1);
    stack.raw_field(CONTENTS, "string");
    stack.raw_set_field(-2, "__index");
    sandbox::protect(stack, 0);
    stack.push_native(entry!(sandbox::getmetatable), 1);
    stack.raw_set_field(CONTENTS, "getmetatable");
}

/// Makes the globals read-only, and keeps what later calls need.
fn keep(stack: Stack, kind: Kind) -> Kept {
    stack.new_table(0, 1);
    set(stack, 2, "__index", entry!(sandbox::missing));
    stack.push_value(2);
    stack.set_metatable(CONTENTS);
    sandbox::protect(stack, 0);
    // The metatable that scripts are shown stands in slot 2.
    stack.push_value(CONTENTS);
    sandbox::protect(stack, 2);
    stack.replace(PROXY);
    stack.push_value(PROXY);
    stack.raw_set_field(CONTENTS, "_G");
    let mut kept = Kept::default();
    stack.push_value(CONTENTS);
    kept.globals = stack.keep();
    stack.push_value(PROXY);
    kept.proxy = stack.keep();
    if stack.metatable(PROXY) {
        kept.calling = stack.keep();
    }
    if kind == Kind::Functions {
        push_loading(stack);
        kept.loading = stack.keep();
    }
    stack.push_value(PROXY);
    stack.replace(GLOBALS);
    kept
}

/// The metatable of the globals that a library sees while it is loaded: `redis` and `server` only.
fn push_loading(stack: Stack) {
    stack.new_table(0, 2);
    let globals = stack.top();
    stack.new_table(0, 16);
    let server = stack.top();
    set(stack, server, "register_function", entry!(super::register::register_function));
    add_members(stack, |contexts| contexts == Contexts::All);
    for (name, number, is_loading) in CONSTANTS {
        if *is_loading {
            stack.push_number(*number);
            stack.raw_set_field(server, name);
        }
    }
    add_versions(stack);
    forbid_missing(stack, server);
    sandbox::protect(stack, 0);
    stack.push_value(server);
    stack.raw_set_field(globals, "redis");
    stack.raw_set_field(globals, "server");
    forbid_missing(stack, globals);
    sandbox::protect(stack, 0);
    let has_metatable = stack.metatable(globals);
    debug_assert!(has_metatable, "a proxy has one");
    stack.remove(globals);
}

/// Makes asking for a field that is not there an error.
fn forbid_missing(stack: Stack, table: i32) {
    stack.new_table(0, 1);
    set(stack, -2, "__index", entry!(sandbox::missing));
    stack.set_metatable(table);
}
