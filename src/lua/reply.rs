//! Replies of commands, as the values that a script gets.

use super::raw::{Raised, Stack};

/// Slots that a reply needs at each level of nesting.
const SLOTS: i32 = 5;

/// A value of Lua for the reply that `bytes` begins with, and what follows it.
///
/// RESP comes from the server itself: a line that is none of its kinds is answered as nil.
pub fn push(stack: Stack, bytes: &[u8]) -> Result<&[u8], Raised> {
    let (line, rest) = line(bytes);
    let (&kind, text) = line.split_first().unwrap_or((&b'_', b""));
    match kind {
        b'$' | b'=' => return Ok(push_bulk(stack, kind, text, rest)),
        b':' => stack.push_number(integer(text) as f64),
        b'+' => push_field(stack, "ok", text),
        b'-' => push_error(stack, text),
        b'*' => return push_array(stack, integer(text), rest),
        b'%' => return push_map(stack, integer(text), rest),
        b'~' => return push_set(stack, integer(text), rest),
        b'#' => stack.push_boolean(text == b"t"),
        b',' => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            stack.new_table(0, 1);
            stack.push_number(number.unwrap_or(f64::NAN));
            stack.raw_set_field(-2, "double");
        }
        b'(' => push_field(stack, "big_number", text),
        b'|' => return push_after_attributes(stack, integer(text), rest),
        _ => stack.push_nil(),
    }
    Ok(rest)
}

/// The table that an error reply is, without its dash.
pub fn push_error(stack: Stack, text: &[u8]) {
    stack.new_table(0, 2);
    stack.push_bytes(text);
    stack.raw_set_field(-2, "err");
    stack.push_boolean(true);
    stack.raw_set_field(-2, "ignore_error_stats_update");
}

fn push_field(stack: Stack, name: &str, text: &[u8]) {
    stack.new_table(0, 1);
    stack.push_bytes(text);
    stack.raw_set_field(-2, name);
}

fn push_bulk<'a>(stack: Stack, kind: u8, len: &[u8], rest: &'a [u8]) -> &'a [u8] {
    let Ok(len) = usize::try_from(integer(len)) else {
        stack.push_boolean(false);
        return rest;
    };
    let (text, rest) = rest.split_at(len.min(rest.len()));
    match text.split_at_checked(4) {
        Some((format, text)) if kind == b'=' => {
            stack.new_table(0, 1);
            stack.new_table(0, 2);
            stack.push_bytes(&format[..3]);
            stack.raw_set_field(-2, "format");
            stack.push_bytes(text);
            stack.raw_set_field(-2, "string");
            stack.raw_set_field(-2, "verbatim_string");
        }
        _ => stack.push_bytes(text),
    }
    rest.get(2..).unwrap_or_default()
}

fn push_array(stack: Stack, len: i64, mut rest: &[u8]) -> Result<&[u8], Raised> {
    let Ok(len) = i32::try_from(len) else {
        stack.push_boolean(false);
        return Ok(rest);
    };
    if len < 0 {
        stack.push_boolean(false);
        return Ok(rest);
    }
    reserve(stack)?;
    stack.new_table(len as usize, 0);
    for position in 1..=len {
        rest = push(stack, rest)?;
        stack.raw_set_at(-2, position);
    }
    Ok(rest)
}

fn push_map(stack: Stack, pairs: i64, mut rest: &[u8]) -> Result<&[u8], Raised> {
    reserve(stack)?;
    stack.new_table(0, 1);
    stack.new_table(0, pairs.max(0) as usize);
    for _ in 0..pairs {
        rest = push(stack, rest)?;
        rest = push(stack, rest)?;
        set_pair(stack);
    }
    stack.raw_set_field(-2, "map");
    Ok(rest)
}

fn push_set(stack: Stack, members: i64, mut rest: &[u8]) -> Result<&[u8], Raised> {
    reserve(stack)?;
    stack.new_table(0, 1);
    stack.new_table(0, members.max(0) as usize);
    for _ in 0..members {
        rest = push(stack, rest)?;
        stack.push_boolean(true);
        set_pair(stack);
    }
    stack.raw_set_field(-2, "set");
    Ok(rest)
}

/// Pops a key and its value into the table below them; nil is no key.
fn set_pair(stack: Stack) {
    if stack.is_none_or_nil(-2) {
        stack.pop(2);
    } else {
        stack.raw_set(-3);
    }
}

/// Attributes tell of the reply that follows them; scripts are not given any.
fn push_after_attributes(stack: Stack, pairs: i64, mut rest: &[u8]) -> Result<&[u8], Raised> {
    reserve(stack)?;
    for _ in 0..pairs.max(0) * 2 {
        rest = push(stack, rest)?;
        stack.pop(1);
    }
    push(stack, rest)
}

fn reserve(stack: Stack) -> Result<(), Raised> {
    if stack.reserve(SLOTS) {
        return Ok(());
    }
    stack.error(b"lua stack limit reach when parsing server.call reply")
}

fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\r', bytes) {
        Some(end) => (&bytes[..end], bytes.get(end + 2..).unwrap_or_default()),
        None => (bytes, &[]),
    }
}

fn integer(text: &[u8]) -> i64 {
    crate::number::parse_i64(text).unwrap_or_default()
}
