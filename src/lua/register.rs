//! `redis.register_function`: what a library does while it is loaded.

use super::host::{Function, Registration, ScriptFlags};
use super::raw::{Raised, Stack, Type};

/// The slots of a function's parts, once its arguments are read.
const NAME: i32 = 1;
const CALLBACK: i32 = 2;
const DESCRIPTION: i32 = 3;

/// `register_function(name, callback)` or `register_function{function_name=, callback=, flags=, description=}`
pub fn register_function(stack: Stack) -> Result<i32, Raised> {
    let shared = stack.shared();
    if !shared.is_loading.get() {
        return fail(
            stack,
            b"ERR server.register_function can only be called on FUNCTION LOAD command",
        );
    }
    let flags = match stack.top() {
        1 => read_named(stack)?,
        2 => read_positional(stack)?,
        _ => return fail(stack, b"ERR wrong number of arguments to server.register_function"),
    };
    let Some(host) = shared.host() else { return Ok(0) };
    stack.push_value(CALLBACK);
    let kept = stack.keep();
    let registered = host.register(Registration {
        name: stack.bytes(NAME).unwrap_or_default(),
        function: Function(kept),
        description: stack.bytes(DESCRIPTION),
        flags,
    });
    let Err(refusal) = registered else { return Ok(0) };
    *shared.refusal.get() = Some(refusal);
    stack.forget(kept);
    stack.push_nil();
    Err(Raised)
}

fn fail<T>(stack: Stack, text: &[u8]) -> Result<T, Raised> {
    stack.new_table(0, 1);
    stack.push_bytes(text);
    stack.raw_set_field(-2, "err");
    Err(Raised)
}

fn read_positional(stack: Stack) -> Result<ScriptFlags, Raised> {
    if !stack.is_string(NAME) {
        return fail(stack, b"ERR first argument to server.register_function must be a string");
    }
    if stack.kind(CALLBACK) != Type::Function {
        return fail(stack, b"ERR second argument to server.register_function must be a function");
    }
    // A number becomes its text.
    stack.text(NAME);
    stack.push_nil();
    Ok(ScriptFlags::empty())
}

/// Reads the table of the parts into their slots.
fn read_named(stack: Stack) -> Result<ScriptFlags, Raised> {
    if stack.kind(1) != Type::Table {
        return fail(
            stack,
            b"ERR calling server.register_function with a single argument is only applicable to \
              Lua table (representing named arguments).",
        );
    }
    let mut flags = ScriptFlags::empty();
    (0..3).for_each(|_| stack.push_nil());
    // The parts stand above the table until all are read.
    let slot = |part| part + 1;
    stack.push_nil();
    while stack.next(1) {
        let Some(key) = stack.bytes(-2) else {
            return fail(
                stack,
                if stack.kind(-2) == Type::Number {
                    b"ERR unknown argument given to server.register_function"
                } else {
                    b"ERR named argument key given to server.register_function is not a string"
                },
            );
        };
        if key.eq_ignore_ascii_case(b"function_name") {
            if !stack.is_string(-1) {
                return fail(
                    stack,
                    b"ERR function_name argument given to server.register_function must be a string",
                );
            }
            keep_text(stack, slot(NAME));
        } else if key.eq_ignore_ascii_case(b"description") {
            if !stack.is_string(-1) {
                return fail(
                    stack,
                    b"ERR description argument given to server.register_function must be a string",
                );
            }
            keep_text(stack, slot(DESCRIPTION));
        } else if key.eq_ignore_ascii_case(b"callback") {
            if stack.kind(-1) != Type::Function {
                return fail(
                    stack,
                    b"ERR callback argument given to server.register_function must be a function",
                );
            }
            stack.push_value(-1);
            stack.replace(slot(CALLBACK));
        } else if key.eq_ignore_ascii_case(b"flags") {
            flags = read_flags(stack)?;
        } else {
            return fail(stack, b"ERR unknown argument given to server.register_function");
        }
        stack.pop(1);
    }
    if stack.kind(slot(NAME)) == Type::Nil {
        return fail(stack, b"ERR server.register_function must get a function name argument");
    }
    if stack.kind(slot(CALLBACK)) == Type::Nil {
        return fail(stack, b"ERR server.register_function must get a callback argument");
    }
    stack.remove(1);
    Ok(flags)
}

/// Copies the text on top, which is that of a number as well, into the slot.
fn keep_text(stack: Stack, slot: i32) {
    stack.push_value(-1);
    stack.text(-1);
    stack.replace(slot);
}

/// The flags in the array on top.
fn read_flags(stack: Stack) -> Result<ScriptFlags, Raised> {
    if stack.kind(-1) != Type::Table {
        return fail(
            stack,
            b"ERR flags argument to server.register_function must be a table representing function flags",
        );
    }
    let mut flags = ScriptFlags::empty();
    for position in 1.. {
        stack.raw_get_at(-1, position);
        if stack.kind(-1) == Type::Nil {
            stack.pop(1);
            break;
        }
        let flag = stack.bytes(-1).and_then(ScriptFlags::named);
        let Some(flag) = flag else { return fail(stack, b"ERR unknown flag given") };
        flags |= flag;
        stack.pop(1);
    }
    Ok(flags)
}
