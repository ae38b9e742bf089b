//! What a script returns, as a reply.

use super::raw::{Pile, REGISTRY, Raised, Stack, Type};
use super::state::ScriptError;
use crate::resp::{Protocol, Reply};

/// Slots that a value needs at each level of nesting.
const SLOTS: i32 = 4;

/// Containers that are being written, the innermost last. Each one's table stands on Lua's stack.
pub type Containers = Pile<Container, 16>;

#[derive(Clone, Copy)]
pub enum Container {
    /// The table is on top between two elements.
    Array { len: i32, next: i32 },
    /// A map or a set: its field's table and the last key are on top between two pairs.
    Pairs { has_values: bool, is_key_written: bool },
}

/// Writes the value on top of the stack, and pops it. `script` is the version of RESP that the script has chosen:
/// booleans are what RESP2 makes of them unless both speak RESP3.
pub fn write(
    stack: Stack,
    containers: &mut Containers,
    reply: &mut Reply<'_>,
    script: Protocol,
) -> Result<(), Raised> {
    loop {
        let opened = match stack.kind(-1) {
            _ if !stack.reserve(SLOTS) => {
                reply.error("ERR reached lua stack limit");
                None
            }
            Type::Table => open(stack, reply)?,
            _ => {
                write_scalar(stack, reply, script);
                None
            }
        };
        match opened {
            Some(container) => containers.push(container),
            None => stack.pop(1),
        }
        if !push_next(stack, containers) {
            return Ok(());
        }
    }
}

/// Pushes what is written next; false at the end of all.
fn push_next(stack: Stack, containers: &mut Containers) -> bool {
    while let Some(container) = containers.pop() {
        match container {
            Container::Array { len, next } if next > len => stack.pop(1),
            Container::Array { len, next } => {
                stack.raw_get_at(-1, next);
                containers.push(Container::Array { len, next: next + 1 });
                return true;
            }
            Container::Pairs { has_values, is_key_written: true } => {
                containers.push(Container::Pairs { has_values, is_key_written: false });
                if has_values {
                    return true;
                }
                stack.pop(1);
            }
            Container::Pairs { has_values, .. } => {
                if stack.next(-2) {
                    // The key stays for the next step, below the value.
                    stack.push_value(-2);
                    containers.push(Container::Pairs { has_values, is_key_written: true });
                    return true;
                }
                stack.pop(2);
            }
        }
    }
    false
}

fn write_scalar(stack: Stack, reply: &mut Reply<'_>, script: Protocol) {
    match stack.kind(-1) {
        Type::String => reply.bulk(stack.bytes(-1).unwrap_or_default()),
        Type::Number => reply.integer(as_integer(stack.number(-1))),
        Type::Boolean => match (stack.boolean(-1), script) {
            (value, Protocol::Resp3) => reply.boolean(value),
            (true, _) => reply.integer(1),
            (false, _) => reply.null(),
        },
        _ => reply.null(),
    }
}

/// The error that the value on top of the stack is, if it is one; it stays.
pub fn error(stack: Stack) -> Option<ScriptError> {
    if stack.kind(-1) != Type::Table {
        return None;
    }
    stack.raw_field(-1, "ignore_error_stats_update");
    let is_counted = stack.boolean(-1);
    stack.pop(1);
    stack.raw_field(-1, "err");
    // Nothing raises while there is something to drop.
    let text = stack.bytes(-1).map(<[u8]>::to_vec);
    stack.pop(1);
    Some(ScriptError { text: text?, is_counted })
}

/// Doubles beyond the range are its lowest number, as the conversion instruction of x86-64 answers.
fn as_integer(number: f64) -> i64 {
    if number >= i64::MIN as f64 && number < -(i64::MIN as f64) { number as i64 } else { i64::MIN }
}

/// Begins the table on top, which is the first of these that it has a field for, or else an array. None if it is written already.
fn open(stack: Stack, reply: &mut Reply<'_>) -> Result<Option<Container>, Raised> {
    stack.shared().interrupt_often(stack)?;
    for ((_, kind, form), name) in FORMS.iter().zip(FIRST_NAME..) {
        stack.raw_get_at(REGISTRY, name);
        stack.raw_get(-2);
        if stack.kind(-1) == *kind {
            match form(stack, reply) {
                Written::All => {
                    stack.pop(1);
                    return Ok(None);
                }
                Written::Header { has_values } => {
                    stack.push_nil();
                    return Ok(Some(Container::Pairs { has_values, is_key_written: false }));
                }
                Written::Nothing => {}
            }
        }
        stack.pop(1);
    }
    let len = array_len(stack);
    reply.array(len as usize);
    Ok(Some(Container::Array { len, next: 1 }))
}

/// What a form has written of a table.
enum Written {
    All,
    /// The number of pairs; the field's table is on top.
    Header {
        has_values: bool,
    },
    /// The table has not this form.
    Nothing,
}

/// Writes the field on top of the stack, which stays.
type Form = fn(Stack, &mut Reply<'_>) -> Written;

const FORMS: &[(&str, Type, Form)] = &[
    ("err", Type::String, |stack, reply| {
        let text = stack.bytes(-1).unwrap_or_default();
        stack.raw_field(-2, "ignore_error_stats_update");
        let is_counted = stack.boolean(-1);
        stack.pop(1);
        if let Some(host) = stack.shared().host().filter(|_| !is_counted) {
            host.note_error(text);
        }
        reply.error(text);
        Written::All
    }),
    ("ok", Type::String, |stack, reply| {
        write_line(reply, b"+", stack.bytes(-1).unwrap_or_default());
        Written::All
    }),
    ("double", Type::Number, |stack, reply| {
        reply.double(stack.number(-1));
        Written::All
    }),
    ("map", Type::Table, |stack, reply| {
        reply.map(count(stack));
        Written::Header { has_values: true }
    }),
    ("set", Type::Table, |stack, reply| {
        reply.set(count(stack));
        Written::Header { has_values: false }
    }),
    ("big_number", Type::String, |stack, reply| {
        let text = stack.bytes(-1).unwrap_or_default();
        match reply.protocol {
            Protocol::Resp2 => write_bulk_line(reply, text),
            Protocol::Resp3 => write_line(reply, b"(", text),
        }
        Written::All
    }),
    ("verbatim_string", Type::Table, write_verbatim),
];

/// The registry's numbers of the forms' names begin here.
pub const FIRST_NAME: i32 = 3;

/// Keeps the forms' names, so that asking a table for one does not make a string.
pub fn keep_names(stack: Stack) {
    for ((name, ..), number) in FORMS.iter().zip(FIRST_NAME..) {
        stack.push_bytes(name.as_bytes());
        stack.raw_set_at(REGISTRY, number);
    }
}

fn write_verbatim(stack: Stack, reply: &mut Reply<'_>) -> Written {
    stack.raw_field(-1, "format");
    stack.raw_field(-2, "string");
    let fields = stack.bytes(-2).zip(stack.bytes(-1));
    if let Some((format, text)) = fields {
        match reply.protocol {
            Protocol::Resp2 => reply.bulk(text),
            Protocol::Resp3 => {
                let mut prefix = *b"   :";
                let shown = format.len().min(3);
                prefix[..shown].copy_from_slice(&format[..shown]);
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
    if fields.is_some() { Written::All } else { Written::Nothing }
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

/// The length of the array on top, which ends before the first nil.
fn array_len(stack: Stack) -> i32 {
    let mut len = 0;
    loop {
        stack.raw_get_at(-1, len + 1);
        let is_end = stack.kind(-1) == Type::Nil;
        stack.pop(1);
        if is_end {
            return len;
        }
        len += 1;
    }
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
