//! The library `cmsgpack`: MessagePack to and from values of Lua.

use super::super::raw::{Pile, Raised, Stack, Text, Type, entry};

/// Tables inside tables that are packed; nil takes the place of deeper ones.
const NESTING: usize = 16;

/// Containers inside containers that are unpacked: each takes two of a frame's slots.
const UNPACK_NESTING: usize = 3990;

pub fn push(stack: Stack) {
    super::push_functions(
        stack,
        &[
            ("pack", entry!(pack)),
            ("unpack", entry!(unpack)),
            ("unpack_one", entry!(unpack_one)),
            ("unpack_limit", entry!(unpack_limit)),
        ],
    );
    super::set_text(stack, "_NAME", "cmsgpack");
    super::set_text(stack, "_VERSION", "lua-cmsgpack 0.4.0");
    super::set_text(stack, "_COPYRIGHT", "Copyright (C) 2012, Redis Ltd.");
    super::set_text(stack, "_DESCRIPTION", "MessagePack C implementation for Lua");
}

/// A table that is being packed. It stands on Lua's stack; above it are a map's last key, and its value.
#[derive(Clone, Copy)]
enum Level {
    Array { len: i32, next: i32 },
    Map { is_key_packed: bool },
}

struct Packer {
    stack: Stack,
    made: Text,
    levels: Pile<Level, 16>,
}

/// `cmsgpack.pack(value, ...)`: the values one after the other.
fn pack(stack: Stack) -> Result<i32, Raised> {
    let count = stack.top();
    if count == 0 {
        stack.argument_error(0, c"MessagePack pack needs input.");
    }
    let mut packer = Packer { stack, made: Text::new(stack), levels: Pile::new(stack) };
    if !stack.reserve(64) {
        return stack.error(b"stack overflow (too many arguments)");
    }
    for argument in 1..=count {
        stack.push_value(argument);
        packer.run()?;
    }
    packer.made.push_string();
    Ok(1)
}

impl Packer {
    /// Packs the value on top, and pops it.
    fn run(&mut self) -> Result<(), Raised> {
        loop {
            self.stack.shared().interrupt_often(self.stack)?;
            if self.stack.kind(-1) == Type::Table && self.levels.len() < NESTING {
                self.open();
            } else {
                self.scalar();
                self.stack.pop(1);
            }
            if !self.push_next() {
                return Ok(());
            }
        }
    }

    fn open(&mut self) {
        if self.is_array() {
            let len = self.stack.length(-1);
            self.header(len, 0x90, 16, 0xdc);
            self.levels.push(Level::Array { len: len as i32, next: 1 });
        } else {
            let mut pairs = 0;
            self.stack.push_nil();
            while self.stack.next(-2) {
                self.stack.pop(1);
                pairs += 1;
            }
            self.header(pairs, 0x80, 16, 0xde);
            self.stack.push_nil();
            self.levels.push(Level::Map { is_key_packed: false });
        }
    }

    /// Whether the keys of the table on top are the integers from 1 to their number.
    fn is_array(&self) -> bool {
        let (mut most, mut count) = (0.0f64, 0.0);
        self.stack.push_nil();
        while self.stack.next(-2) {
            self.stack.pop(1);
            let key = if self.stack.kind(-1) == Type::Number { self.stack.number(-1) } else { 0.0 };
            if key <= 0.0 || key.floor() != key || key.is_infinite() {
                self.stack.pop(1);
                return false;
            }
            most = most.max(key);
            count += 1.0;
        }
        most == count
    }

    /// Pushes what is packed next; false at the end of the value.
    fn push_next(&mut self) -> bool {
        while let Some(level) = self.levels.pop() {
            match level {
                Level::Array { len, next } if next > len => self.stack.pop(1),
                Level::Array { len, next } => {
                    self.stack.raw_get_at(-1, next);
                    self.levels.push(Level::Array { len, next: next + 1 });
                    return true;
                }
                Level::Map { is_key_packed: true } => {
                    self.levels.push(Level::Map { is_key_packed: false });
                    return true;
                }
                Level::Map { .. } => {
                    if self.stack.next(-2) {
                        self.stack.push_value(-2);
                        self.levels.push(Level::Map { is_key_packed: true });
                        return true;
                    }
                    self.stack.pop(1);
                }
            }
        }
        false
    }

    /// Packs the value on top, which has no parts. What MessagePack does not have is nil.
    fn scalar(&mut self) {
        let stack = self.stack;
        match stack.kind(-1) {
            Type::String => {
                let text = stack.bytes(-1).unwrap_or_default();
                match text.len() {
                    len @ 32..=255 => self.made.extend(&[0xd9, len as u8]),
                    len => self.header(len, 0xa0, 32, 0xda),
                }
                self.made.extend(text);
            }
            Type::Number => self.number(stack.number(-1)),
            Type::Boolean => self.made.push(0xc2 + u8::from(stack.boolean(-1))),
            _ => self.made.push(0xc0),
        }
    }

    /// The length of a string or table: in one byte with `short` if it is below `below`, or else in two or four bytes after `long` or the next one.
    fn header(&mut self, len: usize, short: u8, below: usize, long: u8) {
        if len < below {
            self.made.push(short | len as u8);
        } else if let Ok(len) = u16::try_from(len) {
            self.made.push(long);
            self.made.extend(&len.to_be_bytes());
        } else {
            self.made.push(long + 1);
            self.made.extend(&(len as u32).to_be_bytes());
        }
    }

    fn number(&mut self, number: f64) {
        let is_integer = number >= i64::MIN as f64
            && number < -(i64::MIN as f64)
            && number as i64 as f64 == number;
        if is_integer {
            self.integer(number as i64);
        } else if f64::from(number as f32) == number {
            self.made.push(0xca);
            self.made.extend(&(number as f32).to_be_bytes());
        } else {
            self.made.push(0xcb);
            self.made.extend(&number.to_be_bytes());
        }
    }

    /// An integer in as few bytes as it fits in.
    fn integer(&mut self, number: i64) {
        let bytes = number.to_be_bytes();
        let (kind, len) = match number {
            -32..=127 => return self.made.push(number as u8),
            128..=0xff => (0xcc, 1),
            0x100..=0xffff => (0xcd, 2),
            0x1_0000..=0xffff_ffff => (0xce, 4),
            0x1_0000_0000.. => (0xcf, 8),
            -0x80..=-33 => (0xd0, 1),
            -0x8000..=-0x81 => (0xd1, 2),
            -0x8000_0000..=-0x8001 => (0xd2, 4),
            _ => (0xd3, 8),
        };
        self.made.push(kind);
        self.made.extend(&bytes[8 - len..]);
    }
}

/// `cmsgpack.unpack(data)`: all values.
fn unpack(stack: Stack) -> Result<i32, Raised> {
    unpack_some(stack, 0, 0)
}

/// `cmsgpack.unpack_one(data [, offset])`: where the next value begins, or -1, and one value.
fn unpack_one(stack: Stack) -> Result<i32, Raised> {
    let offset = if stack.is_none_or_nil(2) { 0 } else { stack.check_number(2) as i32 };
    stack.set_top(1);
    unpack_some(stack, 1, offset)
}

/// `cmsgpack.unpack_limit(data, limit [, offset])`
fn unpack_limit(stack: Stack) -> Result<i32, Raised> {
    let limit = stack.check_number(2) as i32;
    let offset = if stack.is_none_or_nil(3) { 0 } else { stack.check_number(3) as i32 };
    stack.set_top(1);
    unpack_some(stack, limit, offset)
}

fn unpack_some(stack: Stack, limit: i32, offset: i32) -> Result<i32, Raised> {
    let data = stack.check_bytes(1);
    check_range(stack, limit, offset, data.len())?;
    let is_all = limit == 0 && offset == 0;
    let mut reader = Reader { stack, data, at: offset as usize, levels: Pile::new(stack) };
    let before = stack.top();
    if !is_all {
        stack.push_nil();
    }
    let mut count = 0;
    while reader.at < data.len() && (is_all || count < limit) {
        if !stack.reserve(6) {
            return stack.error(
                b"stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)",
            );
        }
        reader.value()?;
        count += 1;
    }
    if !is_all {
        let next = if reader.at == data.len() { -1.0 } else { reader.at as f64 };
        stack.push_number(next);
        stack.replace(before + 1);
        count += 1;
    }
    Ok(count)
}

fn check_range(stack: Stack, limit: i32, offset: i32, len: usize) -> Result<(), Raised> {
    let (first, second, middle, end): (&[u8], &[u8], f64, f64) = if limit < 0 || offset < 0 {
        (
            b"Invalid request to unpack with offset of ",
            b" and limit of ",
            f64::from(offset),
            len as f64,
        )
    } else if offset as usize > len {
        (b"Start offset ", b" greater than input length ", f64::from(offset), len as f64)
    } else {
        return Ok(());
    };
    stack.push_position(1);
    stack.push_bytes(first);
    stack.push_number(middle);
    stack.push_bytes(second);
    stack.push_number(end);
    stack.push_bytes(b".");
    stack.concat(6);
    Err(Raised)
}

/// A container that is being filled, with how many parts it lacks. It stands on Lua's stack; above a map is the key of its next value.
#[derive(Clone, Copy)]
enum Open {
    Array { filled: i32, missing: u32 },
    Map { missing: u32, has_key: bool },
}

impl Open {
    fn is_empty(self) -> bool {
        matches!(self, Open::Array { missing: 0, .. } | Open::Map { missing: 0, .. })
    }
}

struct Reader<'a> {
    stack: Stack,
    data: &'a [u8],
    at: usize,
    levels: Pile<Open, 32>,
}

impl<'a> Reader<'a> {
    /// Pushes the next value.
    fn value(&mut self) -> Result<(), Raised> {
        loop {
            self.stack.shared().interrupt_often(self.stack)?;
            if let Some(container) = self.part()? {
                self.open(container)?;
                if !container.is_empty() {
                    self.levels.push(container);
                    continue;
                }
            }
            if self.store() {
                return Ok(());
            }
        }
    }

    fn open(&self, container: Open) -> Result<(), Raised> {
        if self.levels.len() < UNPACK_NESTING && self.stack.reserve(6) {
            self.stack.new_table(0, 0);
            return Ok(());
        }
        self.stack.error(match container {
            Open::Array { .. } => b"stack overflow (in function mp_decode_to_lua_array)",
            Open::Map { .. } => b"stack overflow (in function mp_decode_to_lua_hash)",
        })
    }

    /// Puts the value on top where it belongs, and likewise each container that this completes; true if nothing is missing.
    fn store(&mut self) -> bool {
        while let Some(container) = self.levels.pop() {
            let container = match container {
                Open::Array { filled, missing } => {
                    self.stack.raw_set_at(-2, filled + 1);
                    Open::Array { filled: filled + 1, missing: missing - 1 }
                }
                // The key stays until its value is there.
                Open::Map { missing, has_key: false } => Open::Map { missing, has_key: true },
                Open::Map { missing, .. } => {
                    self.stack.raw_set(-3);
                    Open::Map { missing: missing - 1, has_key: false }
                }
            };
            if !container.is_empty() {
                self.levels.push(container);
                return false;
            }
        }
        true
    }

    /// Pushes the value that comes next, or answers the container that begins.
    fn part(&mut self) -> Result<Option<Open>, Raised> {
        let stack = self.stack;
        let kind = self.take(1)?[0];
        match kind {
            0x00..=0x7f | 0xe0.. => stack.push_number(f64::from(kind as i8)),
            0x80..=0x8f => {
                return Ok(Some(Open::Map { missing: u32::from(kind & 15), has_key: false }));
            }
            0x90..=0x9f => {
                return Ok(Some(Open::Array { filled: 0, missing: u32::from(kind & 15) }));
            }
            0xa0..=0xbf => return self.string(u64::from(kind & 31)),
            0xc0 => stack.push_nil(),
            0xc2 | 0xc3 => stack.push_boolean(kind == 0xc3),
            0xca => {
                let bits = self.integer(4)? as u32;
                stack.push_number(f64::from(f32::from_bits(bits)));
            }
            0xcb => {
                let bits = self.integer(8)?;
                stack.push_number(f64::from_bits(bits));
            }
            // Numbers of 64 bits are signed, whichever kind they are.
            0xcc..=0xcf => {
                let bits = self.integer(1 << (kind - 0xcc))?;
                stack.push_number(bits as i64 as f64);
            }
            0xd0..=0xd3 => {
                let len = 1 << (kind - 0xd0);
                let unused = 64 - 8 * len as u32;
                let bits = self.integer(len)?;
                stack.push_number(((bits << unused) as i64 >> unused) as f64);
            }
            0xd9..=0xdb => {
                let len = self.integer(1 << (kind - 0xd9))?;
                return self.string(len);
            }
            0xdc | 0xdd => {
                let missing = self.integer(2 << (kind - 0xdc))? as u32;
                return Ok(Some(Open::Array { filled: 0, missing }));
            }
            0xde | 0xdf => {
                let missing = self.integer(2 << (kind - 0xde))? as u32;
                return Ok(Some(Open::Map { missing, has_key: false }));
            }
            _ => return stack.error(b"Bad data format in input."),
        }
        Ok(None)
    }

    fn string(&mut self, len: u64) -> Result<Option<Open>, Raised> {
        let text = self.take(len as usize)?;
        self.stack.push_bytes(text);
        Ok(None)
    }

    fn integer(&mut self, len: usize) -> Result<u64, Raised> {
        Ok(self.take(len)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Raised> {
        let Some(bytes) = self.data[self.at..].get(..len) else {
            return self.stack.error(b"Missing bytes in input.");
        };
        self.at += len;
        Ok(bytes)
    }
}
