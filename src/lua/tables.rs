//! Functions of the `table` library, and `unpack`, whose time or memory Lua's own do not bound.

use super::raw::{MULTIPLE, Raised, Stack, Type, entry, upvalue};
use super::sandbox;

/// Elements up to which Lua's own sort is called as it is: a comparison costs some 10 ns, and the worst order takes the
/// square of the elements.
const SHORT: usize = 4096;

/// An integer argument; `default` if there is none.
fn integer(stack: Stack, argument: i32, default: i64) -> i64 {
    if stack.is_none_or_nil(argument) {
        default
    } else {
        stack.check_number(argument) as i64 as i32 as i64
    }
}

/// `unpack(table [, first [, last]])`
pub fn unpack(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    let first = integer(stack, 2, 1);
    let last = integer(stack, 3, stack.length(1) as i64);
    if first > last {
        return Ok(0);
    }
    let count = i32::try_from(last - first + 1).unwrap_or(i32::MAX);
    // A frame's slots are far fewer than this.
    if count > 1 << 20 || !stack.reserve(count) {
        return stack.error(b"too many results to unpack");
    }
    for position in first..=last {
        stack.raw_get_at(1, position as i32);
    }
    Ok(count)
}

/// `table.insert(table, [position,] value)`
pub fn insert(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    let end = stack.length(1) as i64 + 1;
    let position = match stack.top() {
        2 => end,
        3 => integer(stack, 2, 0),
        _ => return stack.error(b"wrong number of arguments to 'insert'"),
    };
    sandbox::check_writable(stack, 1)?;
    // Elements from the position on move up by one. There are none below the first.
    let mut at = end.max(position);
    stack.shared().charge(stack, (at - position.max(0)) as usize)?;
    while at > position && at >= 1 {
        stack.raw_get_at(1, (at - 1) as i32);
        stack.raw_set_at(1, at as i32);
        at -= 1;
    }
    stack.raw_set_at(1, position as i32);
    Ok(0)
}

/// A function of Lua's own, whose upvalue it is, that goes through a whole table: the host is asked now and then.
pub fn charged(stack: Stack) -> Result<i32, Raised> {
    if stack.kind(1) == Type::Table {
        stack.shared().charge(stack, stack.length(1))?;
    }
    forward(stack)
}

fn forward(stack: Stack) -> Result<i32, Raised> {
    stack.push_value(upvalue(1));
    stack.insert(1);
    stack.call(stack.top() - 1, MULTIPLE);
    Ok(stack.top())
}

/// `table.sort(table [, less])`: Lua's own, the upvalue. A long sort whose comparisons the instruction hook does not see
/// makes them by a function that asks the host.
pub fn sort(stack: Stack) -> Result<i32, Raised> {
    if stack.kind(1) != Type::Table || stack.length(1) <= SHORT {
        return forward(stack);
    }
    match stack.kind(2) {
        Type::None | Type::Nil => {
            stack.set_top(1);
            stack.push_native(entry!(less), 0);
        }
        Type::Function if stack.is_native(2) => {
            stack.set_top(2);
            stack.push_native(entry!(less_by), 1);
        }
        _ => {}
    }
    forward(stack)
}

fn less(stack: Stack) -> Result<i32, Raised> {
    stack.shared().interrupt_often(stack)?;
    stack.push_boolean(stack.less_than(1, 2));
    Ok(1)
}

fn less_by(stack: Stack) -> Result<i32, Raised> {
    stack.shared().interrupt_often(stack)?;
    forward(stack)
}
