//! Libraries that a script has beside Lua's own.

use super::raw::{Raised, Stack};

mod bit;
mod cjson;
mod cmsgpack;
mod pack;

/// The libraries' names among the globals.
pub const NAMES: &[&str] = &["bit", "cjson", "cmsgpack", "struct"];

/// Adds all of them to the table of globals.
pub fn add_all(stack: Stack, globals: i32) {
    let libraries: [fn(Stack); 4] = [bit::push, cjson::push, cmsgpack::push, pack::push];
    for (name, push) in NAMES.iter().zip(libraries) {
        push(stack);
        stack.raw_set_field(globals, name);
    }
}

/// Sets a text field of the table on top.
fn set_text(stack: Stack, name: &str, text: &str) {
    stack.push_bytes(text.as_bytes());
    stack.raw_set_field(-2, name);
}

/// Pushes a new table with these functions.
fn push_functions(stack: Stack, functions: &[(&str, super::raw::Entry)]) {
    stack.new_table(0, functions.len());
    for (name, function) in functions {
        stack.push_native(*function, 0);
        stack.raw_set_field(-2, name);
    }
}

/// An error with a number in its text.
fn fail_with_number<T>(
    stack: Stack,
    before: &[u8],
    number: usize,
    after: &[u8],
) -> Result<T, Raised> {
    // Deep values may have filled the frame.
    stack.set_top(0);
    stack.push_position(1);
    stack.push_bytes(before);
    stack.push_number(number as f64);
    stack.push_bytes(after);
    stack.concat(4);
    Err(Raised)
}
