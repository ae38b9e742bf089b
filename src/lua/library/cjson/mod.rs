//! The library `cjson`: JSON to and from values of Lua.

use std::ptr;

use super::super::raw::{Entry, Raised, Stack, Type, entry, upvalue};

mod decode;
mod encode;

/// What to do with a number that JSON does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    Refuse,
    Write,
    Null,
}

/// Settings of one instance of the library, which its functions share.
#[derive(Clone, Copy)]
pub struct Settings {
    sparse_as_object: bool,
    sparse_ratio: i32,
    sparse_safe: i32,
    encode_depth: i32,
    decode_depth: i32,
    precision: i32,
    keep_buffer: bool,
    encode_invalid: Invalid,
    decode_invalid: bool,
}

const DEFAULT: Settings = Settings {
    sparse_as_object: false,
    sparse_ratio: 2,
    sparse_safe: 10,
    encode_depth: 1000,
    decode_depth: 1000,
    precision: 14,
    keep_buffer: true,
    encode_invalid: Invalid::Refuse,
    decode_invalid: true,
};

/// Pushes a new instance: a table of functions whose upvalue is its settings.
pub fn push(stack: Stack) {
    let functions: &[(&str, Entry)] = &[
        ("encode", entry!(encode::encode)),
        ("decode", entry!(decode::decode)),
        ("encode_sparse_array", entry!(encode_sparse_array)),
        ("encode_max_depth", entry!(encode_max_depth)),
        ("decode_max_depth", entry!(decode_max_depth)),
        ("encode_number_precision", entry!(encode_number_precision)),
        ("encode_keep_buffer", entry!(encode_keep_buffer)),
        ("encode_invalid_numbers", entry!(encode_invalid_numbers)),
        ("decode_invalid_numbers", entry!(decode_invalid_numbers)),
        ("new", entry!(new)),
    ];
    stack.new_table(0, functions.len() + 3);
    stack.push_cell(DEFAULT);
    for (name, function) in functions {
        stack.push_value(-1);
        stack.push_native(*function, 1);
        stack.raw_set_field(-3, name);
    }
    stack.pop(1);
    stack.push_address(ptr::null());
    stack.raw_set_field(-2, "null");
    super::set_text(stack, "_NAME", "cjson");
    super::set_text(stack, "_VERSION", "2.1.0");
}

fn new(stack: Stack) -> Result<i32, Raised> {
    push(stack);
    Ok(1)
}

fn settings(stack: Stack) -> Settings {
    stack.cell(upvalue(1)).get()
}

fn change(stack: Stack, change: impl FnOnce(&mut Settings)) {
    let cell = stack.cell::<Settings>(upvalue(1));
    let mut settings = cell.get();
    change(&mut settings);
    cell.set(settings);
}

/// At most so many arguments; those that are missing are nil.
fn limit_arguments(stack: Stack, most: i32) {
    if stack.top() > most {
        stack.argument_error(most + 1, c"found too many arguments");
    }
    stack.set_top(most);
}

/// An integer argument of a range that starts at `least`, or none.
fn integer(stack: Stack, argument: i32, least: i32, most: i32) -> Option<i32> {
    if stack.kind(argument) == Type::Nil {
        return None;
    }
    let value = stack.check_number(argument) as i32;
    if !(least..=most).contains(&value) {
        // The library says so of its first argument, whichever it is.
        stack.argument_error(
            1,
            match (least, most) {
                (0, _) => c"expected integer between 0 and 2147483647",
                (_, 14) => c"expected integer between 1 and 14",
                _ => c"expected integer between 1 and 2147483647",
            },
        );
    }
    Some(value)
}

/// An argument that is a boolean or one of these names, as the index of the name; `on` is 1 and `off` 0.
fn option(stack: Stack, names: &[*const std::ffi::c_char]) -> Option<usize> {
    match stack.kind(1) {
        Type::Nil => None,
        Type::Boolean => Some(stack.boolean(1).into()),
        _ => Some(stack.check_option(1, c"", names)),
    }
}

const SWITCH: [*const std::ffi::c_char; 3] = [c"off".as_ptr(), c"on".as_ptr(), ptr::null()];

fn encode_sparse_array(stack: Stack) -> Result<i32, Raised> {
    limit_arguments(stack, 3);
    if let Some(convert) = option(stack, &SWITCH) {
        change(stack, |settings| settings.sparse_as_object = convert == 1);
    }
    if let Some(ratio) = integer(stack, 2, 0, i32::MAX) {
        change(stack, |settings| settings.sparse_ratio = ratio);
    }
    if let Some(safe) = integer(stack, 3, 0, i32::MAX) {
        change(stack, |settings| settings.sparse_safe = safe);
    }
    let settings = settings(stack);
    stack.push_boolean(settings.sparse_as_object);
    stack.push_number(settings.sparse_ratio.into());
    stack.push_number(settings.sparse_safe.into());
    Ok(3)
}

fn integer_setting(
    stack: Stack,
    most: i32,
    field: fn(&mut Settings) -> &mut i32,
) -> Result<i32, Raised> {
    limit_arguments(stack, 1);
    if let Some(value) = integer(stack, 1, 1, most) {
        change(stack, |settings| *field(settings) = value);
    }
    stack.push_number((*field(&mut settings(stack))).into());
    Ok(1)
}

fn encode_max_depth(stack: Stack) -> Result<i32, Raised> {
    integer_setting(stack, i32::MAX, |settings| &mut settings.encode_depth)
}

fn decode_max_depth(stack: Stack) -> Result<i32, Raised> {
    integer_setting(stack, i32::MAX, |settings| &mut settings.decode_depth)
}

fn encode_number_precision(stack: Stack) -> Result<i32, Raised> {
    integer_setting(stack, 14, |settings| &mut settings.precision)
}

fn switch_setting(stack: Stack, field: fn(&mut Settings) -> &mut bool) -> Result<i32, Raised> {
    limit_arguments(stack, 1);
    if let Some(value) = option(stack, &SWITCH) {
        change(stack, |settings| *field(settings) = value == 1);
    }
    stack.push_boolean(*field(&mut settings(stack)));
    Ok(1)
}

/// Remembered only: no buffer is kept between calls.
fn encode_keep_buffer(stack: Stack) -> Result<i32, Raised> {
    switch_setting(stack, |settings| &mut settings.keep_buffer)
}

fn decode_invalid_numbers(stack: Stack) -> Result<i32, Raised> {
    switch_setting(stack, |settings| &mut settings.decode_invalid)
}

fn encode_invalid_numbers(stack: Stack) -> Result<i32, Raised> {
    limit_arguments(stack, 1);
    let names = [c"off".as_ptr(), c"on".as_ptr(), c"null".as_ptr(), ptr::null()];
    if let Some(value) = option(stack, &names) {
        let value = [Invalid::Refuse, Invalid::Write, Invalid::Null][value];
        change(stack, |settings| settings.encode_invalid = value);
    }
    match settings(stack).encode_invalid {
        Invalid::Null => stack.push_bytes(b"null"),
        other => stack.push_boolean(other == Invalid::Write),
    }
    Ok(1)
}
