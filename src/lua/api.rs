//! The functions of the `redis` and `server` tables.

use sha1::{Digest, Sha1};

use super::host::LogLevel;
use super::raw::{Entry, Raised, Stack, Type, entry};
use super::reply;
use crate::number::format_f64;
use crate::resp::Protocol;

/// The functions, and in which contexts they are there.
pub struct Member {
    pub name: &'static str,
    pub function: Entry,
    pub contexts: Contexts,
}

/// Where a member of the `redis` table is seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Contexts {
    /// In scripts and in functions.
    Calls,
    /// In scripts only.
    Scripts,
    /// Also while a library is loaded.
    All,
    /// Only while a library is loaded.
    Loads,
}

/// All functions of the table.
pub fn members() -> Vec<Member> {
    use Contexts::{All, Calls, Scripts};
    let member = |name, function, contexts| Member { name, function, contexts };
    vec![
        member("call", entry!(call), Calls),
        member("pcall", entry!(pcall), Calls),
        member("log", entry!(log), All),
        member("sha1hex", entry!(sha1hex), Calls),
        member("error_reply", entry!(error_reply), Calls),
        member("status_reply", entry!(status_reply), Calls),
        member("setresp", entry!(setresp), Calls),
        member("set_repl", entry!(set_repl), Calls),
        member("acl_check_cmd", entry!(acl_check_cmd), Calls),
        member("replicate_commands", entry!(replicate_commands), Scripts),
        member("breakpoint", entry!(breakpoint), Scripts),
        member("debug", entry!(debug), Scripts),
    ]
}

fn call(stack: Stack) -> Result<i32, Raised> {
    if execute(stack) { Err(Raised) } else { Ok(1) }
}

fn pcall(stack: Stack) -> Result<i32, Raised> {
    execute(stack);
    Ok(1)
}

/// Calls a command and pushes its reply; true if that is an error.
fn execute(stack: Stack) -> bool {
    let shared = stack.shared();
    if let Err(problem) = gather_arguments(stack) {
        push_error(stack, problem);
        return true;
    }
    let Some(host) = shared.host() else {
        push_error(stack, b"ERR no command can be called here");
        return true;
    };
    let answer = host.call(shared.arguments.get().get(), shared.protocol.get());
    let is_error = answer.first() == Some(&b'-');
    stack.set_top(0);
    // Too deep a reply is an error in its place.
    reply::push(stack, answer).is_err() || is_error
}

/// Puts the arguments of the running function where the host can read them.
fn gather_arguments(stack: Stack) -> Result<(), &'static [u8]> {
    let shared = stack.shared();
    let count = stack.top();
    if count == 0 {
        return Err(b"ERR Please specify at least one argument for this call");
    }
    let (arguments, numbers) = (shared.arguments.get(), shared.numbers.get());
    arguments.clear();
    numbers.clear();
    for index in 1..=count {
        match stack.kind(index) {
            Type::String => arguments.push(stack.bytes(index).unwrap_or_default()),
            Type::Number => {
                if numbers.is_empty() {
                    // The texts are not moved while there are pointers to them.
                    numbers.reserve(40 * count as usize);
                }
                let start = numbers.len();
                write_number(stack.number(index), numbers);
                arguments.push(&numbers[start..]);
            }
            _ => return Err(b"ERR Command arguments must be strings or integers"),
        }
    }
    Ok(())
}

/// The text of a number as an argument.
fn write_number(number: f64, text: &mut Vec<u8>) {
    // Zero has no sign.
    text.extend_from_slice(&format_f64(number + 0.0));
}

/// Pushes an error as a table, such as `redis.pcall` answers it.
fn push_error(stack: Stack, text: &[u8]) {
    stack.new_table(0, 1);
    stack.push_bytes(text);
    stack.raw_set_field(-2, "err");
}

/// Raises an error as a table: without a place of its own, which the end of the script adds.
fn fail<T>(stack: Stack, text: &[u8]) -> Result<T, Raised> {
    push_error(stack, text);
    Err(Raised)
}

fn log(stack: Stack) -> Result<i32, Raised> {
    let count = stack.top();
    if count < 2 {
        return fail(stack, b"ERR server.log() requires two arguments or more.");
    }
    if !stack.is_number(1) {
        return fail(stack, b"ERR First argument must be a number (log level).");
    }
    let level = match stack.number(1) as i64 {
        0 => LogLevel::Debug,
        1 => LogLevel::Verbose,
        2 => LogLevel::Notice,
        3 => LogLevel::Warning,
        _ => return fail(stack, b"ERR Invalid log level."),
    };
    let message = stack.shared().buffer.get();
    message.clear();
    for index in 2..=count {
        if !stack.is_string(index) {
            continue;
        }
        let text = stack.text(index);
        if !message.is_empty() {
            message.push(b' ');
        }
        message.extend_from_slice(text);
    }
    if let Some(host) = stack.shared().host() {
        host.log(level, message);
    }
    Ok(0)
}

fn sha1hex(stack: Stack) -> Result<i32, Raised> {
    if stack.top() != 1 {
        return fail(stack, b"ERR wrong number of arguments");
    }
    let digest = Sha1::digest(stack.text(1));
    let mut text = [0; 40];
    for (digits, byte) in text.chunks_exact_mut(2).zip(digest) {
        let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
        digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    stack.push_bytes(&text);
    Ok(1)
}

/// `redis.error_reply(text)`: a text without a code gets the code ERR.
fn error_reply(stack: Stack) -> Result<i32, Raised> {
    let Some(text) = only_string(stack) else { return Ok(1) };
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let has_code = text.contains(&b' ');
    stack.new_table(0, 1);
    stack.push_bytes(if has_code { b"" } else { b"ERR " });
    stack.push_bytes(text);
    stack.concat(2);
    stack.raw_set_field(-2, "err");
    Ok(1)
}

fn status_reply(stack: Stack) -> Result<i32, Raised> {
    let Some(text) = only_string(stack) else { return Ok(1) };
    stack.new_table(0, 1);
    stack.push_bytes(text);
    stack.raw_set_field(-2, "ok");
    Ok(1)
}

/// The only argument, if it is a string; otherwise pushes the error that is answered in its place.
fn only_string<'a>(stack: Stack) -> Option<&'a [u8]> {
    let text = if stack.top() == 1 { stack.bytes(1) } else { None };
    if text.is_none() {
        push_error(stack, b"ERR wrong number or type of arguments");
    }
    text
}

fn setresp(stack: Stack) -> Result<i32, Raised> {
    if stack.top() != 1 {
        return fail(stack, b"ERR server.setresp() requires one argument.");
    }
    let protocol = match stack.number(1) as i64 {
        2 => Protocol::Resp2,
        3 => Protocol::Resp3,
        _ => return fail(stack, b"ERR RESP version must be 2 or 3."),
    };
    stack.shared().protocol.set(protocol);
    Ok(0)
}

fn set_repl(stack: Stack) -> Result<i32, Raised> {
    if stack.top() != 1 {
        return fail(stack, b"ERR server.set_repl() requires one argument.");
    }
    let flags = stack.number(1) as i64;
    if !(0..=3).contains(&flags) {
        return fail(
            stack,
            b"ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
        );
    }
    if let Some(host) = stack.shared().host() {
        host.set_replication(flags as u8);
    }
    Ok(0)
}

fn acl_check_cmd(stack: Stack) -> Result<i32, Raised> {
    if let Err(problem) = gather_arguments(stack) {
        return fail(stack, problem);
    }
    let shared = stack.shared();
    let allowed = shared.host().and_then(|host| host.may_call(shared.arguments.get().get()));
    let Some(allowed) = allowed else {
        return fail(stack, b"ERR Invalid command passed to server.acl_check_cmd()");
    };
    stack.push_boolean(allowed);
    Ok(1)
}

/// Effects are what is replicated, always.
fn replicate_commands(stack: Stack) -> Result<i32, Raised> {
    stack.push_boolean(true);
    Ok(1)
}

/// No script is debugged here.
fn breakpoint(stack: Stack) -> Result<i32, Raised> {
    stack.push_boolean(false);
    Ok(1)
}

fn debug(_: Stack) -> Result<i32, Raised> {
    Ok(0)
}
