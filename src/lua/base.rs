//! Functions of Lua's basic library that differ from Lua's own.

use super::raw::{MULTIPLE, Raised, Stack, Status, Type};

/// The error of a call that was made to end goes on, whoever would catch it.
fn rethrow_if_stopped(stack: Stack, status: Status) -> Result<(), Raised> {
    if status != Status::Done && stack.shared().is_stopped() { Err(Raised) } else { Ok(()) }
}

/// `pcall(f, ...)`: an error that is a table with the text `err` is answered as that text.
pub fn pcall(stack: Stack) -> Result<i32, Raised> {
    stack.check_any(1);
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
    stack.insert(1);
    let status = stack.protected_call(0, MULTIPLE, 1);
    rethrow_if_stopped(stack, status)?;
    stack.push_boolean(status == Status::Done);
    stack.replace(1);
    Ok(stack.top())
}

/// `loadstring(source [, name])`
pub fn loadstring(stack: Stack) -> Result<i32, Raised> {
    let source = stack.check_bytes(1);
    let name = if stack.is_none_or_nil(2) { source } else { stack.check_bytes(2) };
    compile(stack, source, name)
}

/// `load(function [, name])`: the function answers the source piece by piece.
///
/// The pieces are joined before Lua compiles them, so that no function of the script runs while it compiles:
/// Lua's compiler does not expect its own names to be collected meanwhile.
pub fn load(stack: Stack) -> Result<i32, Raised> {
    stack.check_function(1);
    if !stack.is_none_or_nil(2) {
        stack.check_bytes(2);
    }
    stack.set_top(2);
    stack.new_table(0, 0);
    let mut pieces = 0;
    loop {
        stack.push_value(1);
        stack.call(0, 1);
        if stack.kind(-1) == Type::Nil {
            break;
        }
        if !stack.is_string(-1) {
            stack.push_nil();
            stack.push_bytes(b"reader function must return a string");
            return Ok(2);
        }
        if stack.text(-1).is_empty() {
            break;
        }
        pieces += 1;
        stack.raw_set_at(3, pieces);
    }
    let source = stack.shared().buffer.get();
    source.clear();
    for piece in 1..=pieces {
        stack.raw_get_at(3, piece);
        source.extend_from_slice(stack.bytes(-1).unwrap_or_default());
        stack.pop(1);
    }
    stack.push_bytes(source);
    source.clear();
    stack.replace(3);
    let name = stack.bytes(2).unwrap_or(b"=(load)");
    let source = stack.bytes(3).unwrap_or_default();
    compile(stack, source, name)
}

/// Compiles, and answers as `load` does.
fn compile(stack: Stack, source: &[u8], name: &[u8]) -> Result<i32, Raised> {
    // A name is shown up to its first zero byte.
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    stack.push_bytes(name);
    stack.push_bytes(b"\0");
    stack.concat(2);
    let name = stack.bytes(-1).unwrap_or(b"\0");
    if stack.load(source, name) == Status::Done {
        return Ok(1);
    }
    stack.push_nil();
    stack.insert(-2);
    Ok(2)
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
