//! What a script returns, as a reply.

use super::raw::{Raised, Stack, Type};
use crate::resp::{Protocol, Reply};

/// Slots that a value needs at each level of nesting.
const SLOTS: i32 = 4;

/// Writes the value on top of the stack, and pops it. `script` is the version of RESP that the script has chosen:
/// booleans are what RESP2 makes of them unless both speak RESP3.
pub fn write(stack: Stack, reply: &mut Reply<'_>, script: Protocol) -> Result<(), Raised> {
    match stack.kind(-1) {
        Type::String => reply.bulk(stack.bytes(-1).unwrap_or_default()),
        Type::Number => reply.integer(as_integer(stack.number(-1))),
        Type::Boolean => match (stack.boolean(-1), script) {
            (value, Protocol::Resp3) if reply.protocol == Protocol::Resp3 => reply.boolean(value),
            (true, _) => reply.integer(1),
            (false, _) => reply.null(),
        },
        Type::Table => return write_table(stack, reply, script),
        _ => reply.null(),
    }
    stack.pop(1);
    Ok(())
}

/// Doubles beyond the range are its lowest number, as the conversion instruction of x86-64 answers.
fn as_integer(number: f64) -> i64 {
    if number >= i64::MIN as f64 && number < -(i64::MIN as f64) { number as i64 } else { i64::MIN }
}

/// A table is the first of these that it has a field for, or else an array.
fn write_table(stack: Stack, reply: &mut Reply<'_>, script: Protocol) -> Result<(), Raised> {
    if !stack.reserve(SLOTS) {
        reply.error("ERR reached lua stack limit");
        stack.pop(1);
        return Ok(());
    }
    stack.shared().interrupt_often(stack)?;
    for (name, kind, form) in FORMS {
        stack.raw_field(-1, name);
        if stack.kind(-1) == *kind && form(stack, reply, script)? {
            stack.pop(2);
            return Ok(());
        }
        stack.pop(1);
    }
    write_array(stack, reply, script)
}

/// Writes the field on top of the stack, which stays; false if it is none of this form.
type Form = fn(Stack, &mut Reply<'_>, Protocol) -> Result<bool, Raised>;

const FORMS: &[(&str, Type, Form)] = &[
    ("err", Type::String, |stack, reply, _| {
        reply.error(stack.bytes(-1).unwrap_or_default());
        Ok(true)
    }),
    ("ok", Type::String, |stack, reply, _| {
        write_line(reply, b"+", stack.bytes(-1).unwrap_or_default());
        Ok(true)
    }),
    ("double", Type::Number, |stack, reply, _| {
        reply.double(stack.number(-1));
        Ok(true)
    }),
    ("map", Type::Table, |stack, reply, script| {
        reply.map(count(stack));
        write_pairs(stack, reply, script, true)
    }),
    ("set", Type::Table, |stack, reply, script| {
        reply.set(count(stack));
        write_pairs(stack, reply, script, false)
    }),
    ("big_number", Type::String, |stack, reply, _| {
        let text = stack.bytes(-1).unwrap_or_default();
        match reply.protocol {
            Protocol::Resp2 => write_bulk_line(reply, text),
            Protocol::Resp3 => write_line(reply, b"(", text),
        }
        Ok(true)
    }),
    ("verbatim_string", Type::Table, write_verbatim),
];

fn write_verbatim(stack: Stack, reply: &mut Reply<'_>, _: Protocol) -> Result<bool, Raised> {
    stack.raw_field(-1, "format");
    stack.raw_field(-2, "string");
    let fields = stack.bytes(-2).zip(stack.bytes(-1));
    if let Some((format, text)) = fields {
        match reply.protocol {
            Protocol::Resp2 => reply.bulk(text),
            Protocol::Resp3 => {
                let mut prefix = *b"   :";
                for (place, byte) in prefix.iter_mut().zip(&format[..format.len().min(3)]) {
                    *place = if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
                }
                let mut len = itoa::Buffer::new();
                reply.raw(b"=");
                reply.raw(len.format(text.len() + prefix.len()).as_bytes());
                reply.raw(b"\r\n");
                reply.raw(&prefix);
                reply.raw(text);
                reply.raw(b"\r\n");
            }
        }
    }
    stack.pop(2);
    Ok(fields.is_some())
}

/// The pairs of the table on top, which stays.
fn count(stack: Stack) -> usize {
    let mut pairs = 0;
    stack.push_nil();
    while stack.next(-2) {
        stack.pop(1);
        pairs += 1;
    }
    pairs
}

fn write_pairs(
    stack: Stack,
    reply: &mut Reply<'_>,
    script: Protocol,
    has_values: bool,
) -> Result<bool, Raised> {
    stack.push_nil();
    while stack.next(-2) {
        // The key stays for the next step.
        stack.push_value(-2);
        write(stack, reply, script)?;
        if has_values {
            write(stack, reply, script)?;
        } else {
            stack.pop(1);
        }
    }
    Ok(true)
}

/// An array ends before the first nil.
fn write_array(stack: Stack, reply: &mut Reply<'_>, script: Protocol) -> Result<(), Raised> {
    let mut len = 0;
    loop {
        stack.raw_get_at(-1, len + 1);
        let is_end = stack.kind(-1) == Type::Nil;
        stack.pop(1);
        if is_end {
            break;
        }
        len += 1;
    }
    reply.array(len as usize);
    for position in 1..=len {
        stack.raw_get_at(-1, position);
        write(stack, reply, script)?;
    }
    stack.pop(1);
    Ok(())
}

/// A line, whose own line breaks become spaces.
fn write_line(reply: &mut Reply<'_>, kind: &[u8], text: &[u8]) {
    reply.raw(kind);
    write_without_breaks(reply, text);
    reply.raw(b"\r\n");
}

fn write_bulk_line(reply: &mut Reply<'_>, text: &[u8]) {
    let mut len = itoa::Buffer::new();
    reply.raw(b"$");
    reply.raw(len.format(text.len()).as_bytes());
    write_line(reply, b"\r\n", text);
}

fn write_without_breaks(reply: &mut Reply<'_>, text: &[u8]) {
    for (i, part) in text.split(|byte| matches!(byte, b'\r' | b'\n')).enumerate() {
        if i > 0 {
            reply.raw(b" ");
        }
        reply.raw(part);
    }
}
