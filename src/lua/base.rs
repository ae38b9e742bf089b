//! Functions of Lua's basic library that differ from Lua's own.

use super::raw::{MULTIPLE, Raised, Stack, Status, Type, entry, upvalue};
use super::sandbox;

/// The error of a call that was made to end goes on, whoever would catch it.
fn rethrow_if_stopped(stack: Stack, status: Status) -> Result<(), Raised> {
    if status != Status::Done && stack.shared().is_stopped() { Err(Raised) } else { Ok(()) }
}

/// `pcall(f, ...)`: an error that is a table with the text `err` is answered as that text.
pub fn pcall(stack: Stack) -> Result<i32, Raised> {
    if stack.top() == 0 {
        stack.push_boolean(false);
        stack.push_bytes(b"attempt to call a boolean value");
        return Ok(2);
    }
    // The results may fill the frame: the first one is there before the call.
    stack.push_boolean(true);
    stack.insert(1);
    let status = stack.protected_call(stack.top() - 2, MULTIPLE, 0);
    if status == Status::Done {
        return Ok(stack.top());
    }
    rethrow_if_stopped(stack, status)?;
    if stack.kind(-1) == Type::Table {
        stack.raw_field(-1, "err");
        if stack.is_string(-1) {
            stack.remove(-2);
        } else {
            stack.pop(1);
        }
    }
    stack.push_boolean(false);
    stack.replace(1);
    Ok(2)
}

/// `xpcall(f, handler)`
pub fn xpcall(stack: Stack) -> Result<i32, Raised> {
    stack.check_any(2);
    stack.set_top(2);
    stack.push_native(entry!(handle), 1);
    stack.insert(1);
    let status = stack.protected_call(0, MULTIPLE, 1);
    rethrow_if_stopped(stack, status)?;
    stack.push_boolean(status == Status::Done);
    stack.replace(1);
    Ok(stack.top())
}

/// Calls the handler, its upvalue, unless the script is made to end: no hook interrupts what runs inside of a hook's error.
fn handle(stack: Stack) -> Result<i32, Raised> {
    stack.set_top(1);
    if !stack.shared().is_stopped() {
        stack.push_value(upvalue(1));
        stack.insert(1);
        stack.call(1, 1);
    }
    Ok(1)
}

/// `loadstring(source [, name])`
pub fn loadstring(stack: Stack) -> Result<i32, Raised> {
    let source = stack.check_bytes(1);
    let name = if stack.is_none_or_nil(2) { source } else { stack.check_bytes(2) };
    push_name(stack, name);
    let status = stack.load(source, stack.bytes(-1).unwrap_or(b"\0"));
    answer_load(stack, status)
}

/// `load(function [, name])`: the function answers the source piece by piece.
///
/// Its function runs while Lua compiles, and may collect garbage.
pub fn load(stack: Stack) -> Result<i32, Raised> {
    stack.check_function(1);
    if !stack.is_none_or_nil(2) {
        stack.check_bytes(2);
    }
    stack.set_top(2);
    stack.push_nil();
    push_name(stack, stack.bytes(2).unwrap_or(b"=(load)"));
    let status = stack.load_pieces(1, 3, stack.bytes(-1).unwrap_or(b"\0"));
    answer_load(stack, status)
}

/// Pushes a name as the compiler wants it: up to its first zero byte, which is added.
///
/// It stands on the stack while the compiler runs, so that it is not collected in the meantime.
fn push_name(stack: Stack, name: &[u8]) {
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    // The compiler makes the string without the zero byte its own; it is the same one.
    stack.push_bytes(name);
    stack.push_bytes(name);
    stack.push_bytes(b"\0");
    stack.concat(2);
}

fn answer_load(stack: Stack, status: Status) -> Result<i32, Raised> {
    if status == Status::Done {
        return Ok(1);
    }
    rethrow_if_stopped(stack, status)?;
    stack.push_nil();
    stack.insert(-2);
    Ok(2)
}

/// `coroutine.resume(coroutine, ...)`: its upvalue is Lua's own, which does not look at the depth of the C stack.
pub fn resume(stack: Stack) -> Result<i32, Raised> {
    if stack.kind(1) != Type::Thread {
        stack.argument_error(1, c"coroutine expected");
    }
    sandbox::forward(stack)
}

/// `coroutine.wrap(f)`: its upvalues are Lua's own `create` and `resume`.
///
/// The function that it answers is native, so that the depth of the C stack is looked at.
pub fn wrap(stack: Stack) -> Result<i32, Raised> {
    if stack.kind(1) != Type::Function || stack.is_native(1) {
        stack.argument_error(1, c"Lua function expected");
    }
    stack.set_top(1);
    stack.push_value(upvalue(1));
    stack.insert(1);
    stack.call(1, 1);
    stack.push_value(upvalue(2));
    stack.push_native(entry!(wrapped), 2);
    Ok(1)
}

/// Resumes a coroutine, and raises its error here. The upvalues are the coroutine and `resume`.
fn wrapped(stack: Stack) -> Result<i32, Raised> {
    stack.push_value(upvalue(2));
    stack.insert(1);
    stack.push_value(upvalue(1));
    stack.insert(2);
    stack.call(stack.top() - 1, MULTIPLE);
    if stack.boolean(1) {
        return Ok(stack.top() - 1);
    }
    stack.set_top(2);
    if stack.kind(2) == Type::String {
        stack.push_position(1);
        stack.insert(2);
        stack.concat(2);
    }
    Err(Raised)
}

/// `collectgarbage([option [, argument]])`: a script may ask for a collection, but its settings of the collector do not outlive it: they have no effect.
pub fn collectgarbage(stack: Stack) -> Result<i32, Raised> {
    let names = [c"stop", c"restart", c"collect", c"count", c"step", c"setpause", c"setstepmul"]
        .map(|name| name.as_ptr());
    let mut list = [std::ptr::null(); 8];
    list[..7].copy_from_slice(&names);
    let option = stack.check_option(1, c"collect", &list);
    let argument = if stack.is_none_or_nil(2) { 0 } else { stack.check_number(2) as i32 };
    let shared = stack.shared();
    let answer = match option {
        2 => {
            shared.interrupt_point(stack)?;
            stack.collect();
            0.0
        }
        3 => shared.used() as f64 / 1024.0,
        4 => {
            shared.interrupt_often(stack)?;
            let is_end = stack.collect_step(argument.clamp(0, 1 << 20));
            stack.push_boolean(is_end);
            return Ok(1);
        }
        5 | 6 => {
            let mut settings = shared.collector.get();
            let before = std::mem::replace(&mut settings[option - 5], argument);
            shared.collector.set(settings);
            f64::from(before)
        }
        _ => 0.0,
    };
    stack.push_number(answer);
    Ok(1)
}

/// `os.clock()`
pub fn clock(stack: Stack) -> Result<i32, Raised> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    stack.push_number(used.tv_sec as f64 + (used.tv_nsec / 1000) as f64 / 1e6);
    Ok(1)
}

/// `string.rep(text, count)`
pub fn rep(stack: Stack) -> Result<i32, Raised> {
    let text = stack.check_bytes(1);
    let count = stack.check_number(2);
    let count = if count >= 1.0 { count.min(f64::from(i32::MAX)) as usize } else { 0 };
    if text.len().saturating_mul(count) > stack.shared().limit() {
        return stack.error(b"not enough memory");
    }
    if text.is_empty() || count == 0 {
        stack.push_bytes(b"");
        return Ok(1);
    }
    // The text once, twice, four times …, joined where the count has a bit.
    stack.set_top(1);
    stack.push_bytes(b"");
    let mut rest = count;
    while rest > 0 {
        if rest & 1 == 1 {
            stack.push_value(1);
            stack.concat(2);
        }
        rest >>= 1;
        if rest > 0 {
            stack.push_value(1);
            stack.push_value(1);
            stack.concat(2);
            stack.replace(1);
        }
    }
    Ok(1)
}
