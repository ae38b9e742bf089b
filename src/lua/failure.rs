//! The errors that end a script: their texts, and where they were raised.

use super::raw::{Frame, Raised, Stack, Type, entry};

/// The functions that older scripts find among the globals.
pub fn add_handlers(stack: Stack, globals: i32) {
    for name in ["__redis__err__handler", "__server__err__handler"] {
        stack.push_native(entry!(describe), 0);
        stack.raw_set_field(globals, name);
    }
}

/// Where the running error was raised: in the function that called the handler or, if that is native, in the one that
/// called it. The last frame is the state's own.
fn place(stack: Stack) -> Option<Frame> {
    let raiser = stack.frame(1)?;
    if !raiser.is_native {
        return Some(raiser);
    }
    stack.frame(3)?;
    stack.frame(2)
}

/// Notes the error that ends the running call.
pub fn note(stack: Stack) -> Result<i32, Raised> {
    stack.set_top(1);
    let mut is_counted = false;
    if stack.kind(1) == Type::Table {
        stack.push_bytes(b"ignore_error_stats_update");
        stack.raw_get(1);
        is_counted = stack.boolean(-1);
        stack.push_bytes(b"err");
        stack.get(1);
        if !stack.is_string(-1) {
            stack.push_bytes(b"ERR unknown error");
        }
    } else {
        push_text(stack);
    }
    let text = stack.text(-1);
    let place = place(stack);
    let failure = stack.shared().failure.get();
    failure.is_counted = is_counted;
    failure.text.clear();
    failure.text.extend_from_slice(text);
    failure.len = text.len();
    if let Some(place) = place {
        failure.text.extend_from_slice(b" script: on ");
        failure.text.extend_from_slice(place.source());
        failure.text.push(b':');
        failure.text.extend_from_slice(itoa::Buffer::new().format(place.line).as_bytes());
        failure.text.push(b'.');
    }
    // Lua's compiler has no handler of its own: what the script's part of a source raises passes here, and `load` answers it.
    stack.set_top(1);
    describe(stack)
}

/// Pushes the text of an error that is no table.
fn push_text(stack: Stack) {
    stack.push_bytes(b"ERR ");
    match stack.kind(1) {
        Type::String | Type::Number => stack.push_value(1),
        Type::Boolean => stack.push_bytes(if stack.boolean(1) { b"true" } else { b"false" }),
        Type::Nil | Type::None => stack.push_bytes(b"nil"),
        _ => {
            stack.push_bytes(stack.type_name(1).as_bytes());
            push_address(stack, stack.identity(1));
            stack.concat(2);
        }
    }
    stack.concat(2);
}

/// Pushes an address as Lua shows it.
fn push_address(stack: Stack, address: usize) {
    let mut text = *b": 0x0000000000000000";
    let digits = (usize::BITS - address.leading_zeros()).div_ceil(4).max(8) as usize;
    for position in 0..digits {
        let digit = address >> (4 * (digits - 1 - position)) & 15;
        text[4 + position] = b"0123456789abcdef"[digit];
    }
    stack.push_bytes(&text[..4 + digits]);
}

/// The handler as a function of the script: makes the error a table with its text and place.
fn describe(stack: Stack) -> Result<i32, Raised> {
    stack.set_top(1);
    if stack.kind(1) != Type::Table {
        push_text(stack);
        stack.new_table(0, 3);
        stack.insert(-2);
        stack.raw_set_field(-2, "err");
    }
    if let Some(place) = place(stack) {
        stack.push_bytes(place.source());
        stack.raw_set_field(-2, "source");
        stack.push_number(f64::from(place.line));
        stack.raw_set_field(-2, "line");
    }
    Ok(1)
}
