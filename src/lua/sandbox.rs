//! Tables that a script cannot change, without a Lua that knows of such tables.
//!
//! A read-only table is a *proxy*: an empty table whose metatable finds everything in the table with the contents, which no script ever gets, and refuses assignments.
//! Lua's functions that look at a table itself (`next`, `rawget` …) get the contents in the proxy's place, and those that
//! would change it refuse, so a script sees one ordinary table that is read-only. The metatable's fields have keys of a kind that no script can make.

use super::raw::{Raised, Stack, Type, entry};

/// Where a proxy's metatable has the contents.
static CONTENTS: u8 = 0;
/// Where a proxy's metatable has what `getmetatable` answers, if that is not nil.
static SHOWN: u8 = 1;

const READ_ONLY: &[u8] = b"Attempt to modify a readonly table";

/// Replaces a table on top of the stack by its proxy. The slot `shown` has its metatable as scripts see it, or is 0.
pub fn protect(stack: Stack, shown: i32) {
    let contents = stack.top();
    stack.new_table(0, 0);
    stack.new_table(0, 4);
    stack.push_value(contents);
    stack.raw_set_field(-2, "__index");
    stack.push_native(entry!(refuse), 0);
    stack.raw_set_field(-2, "__newindex");
    stack.push_address((&raw const CONTENTS).cast());
    stack.push_value(contents);
    stack.raw_set(-3);
    if shown != 0 {
        stack.push_address((&raw const SHOWN).cast());
        stack.push_value(shown);
        stack.raw_set(-3);
    }
    stack.set_metatable(-2);
    stack.replace(contents);
}

/// Pushes the contents of the read-only table in `index`; false for any other value.
pub fn push_contents(stack: Stack, index: i32) -> bool {
    push_marked(stack, index, (&raw const CONTENTS).cast())
}

fn push_marked(stack: Stack, index: i32, mark: *const std::ffi::c_void) -> bool {
    if stack.kind(index) != Type::Table || !stack.metatable(index) {
        return false;
    }
    stack.push_address(mark);
    stack.raw_get(-2);
    stack.remove(-2);
    if stack.kind(-1) == Type::Nil {
        stack.pop(1);
        return false;
    }
    true
}

pub fn is_read_only(stack: Stack, index: i32) -> bool {
    let found = push_contents(stack, index);
    if found {
        stack.pop(1);
    }
    found
}

/// Replaces a read-only table argument by its contents, for functions that only look at it.
pub fn look_inside(stack: Stack, argument: i32) {
    if push_contents(stack, argument) {
        stack.replace(argument);
    }
}

/// Raises that the table is read-only, as from inside Lua: without a place, unless the script itself assigns.
fn refuse(stack: Stack) -> Result<i32, Raised> {
    stack.error(READ_ONLY)
}

/// An error if the argument is read-only, for functions that change it.
pub fn check_writable(stack: Stack, argument: i32) -> Result<(), Raised> {
    if !is_read_only(stack, argument) {
        return Ok(());
    }
    stack.push_bytes(READ_ONLY);
    Err(Raised)
}

pub fn next(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    stack.set_top(2);
    look_inside(stack, 1);
    if stack.next(1) {
        return Ok(2);
    }
    stack.push_nil();
    Ok(1)
}

/// `pairs(table)`; its upvalue is `next`.
pub fn pairs(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    stack.push_value(super::raw::upvalue(1));
    stack.push_value(1);
    stack.push_nil();
    Ok(3)
}

pub fn rawget(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    stack.check_any(2);
    stack.set_top(2);
    look_inside(stack, 1);
    stack.raw_get(1);
    Ok(1)
}

pub fn rawset(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    stack.check_any(2);
    stack.check_any(3);
    stack.set_top(3);
    check_writable(stack, 1)?;
    stack.raw_set(1);
    Ok(1)
}

/// `getmetatable(value)`; its upvalue is what strings answer.
pub fn getmetatable(stack: Stack) -> Result<i32, Raised> {
    stack.check_any(1);
    if stack.kind(1) == Type::String {
        stack.push_value(super::raw::upvalue(1));
    } else if is_read_only(stack, 1) {
        if !push_marked(stack, 1, (&raw const SHOWN).cast()) {
            stack.push_nil();
        }
    } else if !stack.metafield(1, c"__metatable") && !stack.metatable(1) {
        stack.push_nil();
    }
    Ok(1)
}

pub fn setmetatable(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    if !matches!(stack.kind(2), Type::Nil | Type::Table) {
        stack.argument_error(2, c"nil or table expected");
    }
    if !is_read_only(stack, 1) && stack.metafield(1, c"__metatable") {
        return stack.error(b"cannot change a protected metatable");
    }
    check_writable(stack, 1)?;
    stack.set_top(2);
    stack.set_metatable(1);
    Ok(1)
}

/// Calls the upvalue, a function of Lua's own, with the arguments.
pub fn forward(stack: Stack) -> Result<i32, Raised> {
    stack.push_value(super::raw::upvalue(1));
    stack.insert(1);
    stack.call(stack.top() - 1, super::raw::MULTIPLE);
    Ok(stack.top())
}

/// The `__index` of the globals: a script may not ask for one that is not there.
pub fn missing(stack: Stack) -> Result<i32, Raised> {
    stack.set_top(2);
    if !stack.is_string(2) {
        return stack
            .error(b"Second argument to luaProtectedTableError must be a string or number");
    }
    stack.push_position(1);
    stack.push_bytes(b"Script attempted to access nonexistent global variable '");
    stack.push_value(2);
    stack.push_bytes(b"'");
    stack.concat(4);
    Err(Raised)
}
