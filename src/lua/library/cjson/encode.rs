//! `cjson.encode`

use super::super::super::raw::{Pile, Raised, Stack, Text, Type, format_general};
use super::{Invalid, Settings, settings};

/// A table that is being written. It stands on Lua's stack; above it are an object's last key and value.
#[derive(Clone, Copy)]
enum Level {
    Array { len: i32, next: i32 },
    Object { is_first: bool },
}

struct Encoder {
    stack: Stack,
    settings: Settings,
    made: Text,
    levels: Pile<Level, 32>,
}

/// `cjson.encode(value)`
pub fn encode(stack: Stack) -> Result<i32, Raised> {
    if stack.top() != 1 {
        stack.argument_error(1, c"expected 1 argument");
    }
    let mut encoder = Encoder {
        stack,
        settings: settings(stack),
        made: Text::new(stack),
        levels: Pile::new(stack),
    };
    stack.push_value(1);
    encoder.run()?;
    encoder.made.push_string();
    Ok(1)
}

impl Encoder {
    /// Writes the value on top, and pops it.
    fn run(&mut self) -> Result<(), Raised> {
        loop {
            self.value()?;
            if !self.push_next()? {
                return Ok(());
            }
        }
    }

    /// Writes the value on top and pops it, or opens it.
    fn value(&mut self) -> Result<(), Raised> {
        let stack = self.stack;
        match stack.kind(-1) {
            Type::String => self.string(stack.bytes(-1).unwrap_or_default()),
            Type::Number => self.number(stack.number(-1))?,
            Type::Boolean => self.made.extend(if stack.boolean(-1) { b"true" } else { b"false" }),
            Type::Table => return self.open(),
            Type::Nil => self.made.extend(b"null"),
            Type::LightUserdata if stack.address(-1).is_null() => self.made.extend(b"null"),
            _ => return self.fail(b"type not supported"),
        }
        stack.pop(1);
        Ok(())
    }

    fn fail<T>(&self, reason: &[u8]) -> Result<T, Raised> {
        let stack = self.stack;
        let kind = stack.type_name(-1);
        // Deep values may have filled the frame.
        stack.set_top(0);
        stack.push_position(1);
        stack.push_bytes(b"Cannot serialise ");
        stack.push_bytes(kind.as_bytes());
        stack.push_bytes(b": ");
        stack.push_bytes(reason);
        stack.concat(5);
        Err(Raised)
    }

    fn open(&mut self) -> Result<(), Raised> {
        let depth = self.levels.len() + 1;
        if depth as i64 > i64::from(self.settings.encode_depth) || !self.stack.reserve(6) {
            return super::super::fail_with_number(
                self.stack,
                b"Cannot serialise, excessive nesting (",
                depth,
                b")",
            );
        }
        self.stack.shared().interrupt_often(self.stack)?;
        match self.array_len()? {
            Some(len) => {
                self.made.push(b'[');
                self.levels.push(Level::Array { len, next: 1 });
            }
            None => {
                self.made.push(b'{');
                self.stack.push_nil();
                self.levels.push(Level::Object { is_first: true });
            }
        }
        Ok(())
    }

    /// The length of the table on top, if it is an array: all keys are positive integers, and it is not too sparse.
    fn array_len(&self) -> Result<Option<i32>, Raised> {
        let stack = self.stack;
        let (mut most, mut items) = (0i64, 0i64);
        stack.push_nil();
        while stack.next(-2) {
            stack.pop(1);
            let key = if stack.kind(-1) == Type::Number { stack.number(-1) } else { 0.0 };
            if key.floor() != key || key < 1.0 {
                stack.pop(1);
                return Ok(None);
            }
            if key > most as f64 {
                // A key that is no 32-bit integer makes the table an object: C's conversion of it is negative.
                most = if key > f64::from(i32::MAX) { i64::from(i32::MIN) } else { key as i64 };
            }
            items += 1;
        }
        stack.shared().charge(stack, items as usize)?;
        let (ratio, safe) = (self.settings.sparse_ratio, self.settings.sparse_safe);
        if ratio > 0 && most > items * i64::from(ratio) && most > i64::from(safe) {
            if !self.settings.sparse_as_object {
                return self.fail(b"excessively sparse array");
            }
            return Ok(None);
        }
        Ok((most > 0).then_some(most as i32))
    }

    /// Pushes what is written next; false at the end of all.
    fn push_next(&mut self) -> Result<bool, Raised> {
        while let Some(level) = self.levels.pop() {
            match level {
                Level::Array { len, next } if next > len => {
                    self.made.push(b']');
                    self.stack.pop(1);
                }
                Level::Array { len, next } => {
                    if next > 1 {
                        self.made.push(b',');
                    }
                    if next % 4096 == 0 {
                        self.stack.shared().interrupt_point(self.stack)?;
                    }
                    self.stack.raw_get_at(-1, next);
                    self.levels.push(Level::Array { len, next: next + 1 });
                    return Ok(true);
                }
                Level::Object { is_first } => {
                    if self.stack.next(-2) {
                        if !is_first {
                            self.made.push(b',');
                        }
                        self.key()?;
                        self.levels.push(Level::Object { is_first: false });
                        return Ok(true);
                    }
                    self.made.push(b'}');
                    self.stack.pop(1);
                }
            }
        }
        Ok(false)
    }

    /// Writes the key below the value on top.
    fn key(&mut self) -> Result<(), Raised> {
        let stack = self.stack;
        match stack.kind(-2) {
            Type::String => self.string(stack.bytes(-2).unwrap_or_default()),
            Type::Number => {
                self.made.push(b'"');
                self.number(stack.number(-2))?;
                self.made.push(b'"');
            }
            _ => {
                stack.pop(1);
                return self.fail(b"table key must be a number or string");
            }
        }
        self.made.push(b':');
        Ok(())
    }

    fn number(&mut self, number: f64) -> Result<(), Raised> {
        if !number.is_finite() {
            match self.settings.encode_invalid {
                Invalid::Refuse => return self.fail(b"must not be NaN or Inf"),
                Invalid::Null => self.made.extend(b"null"),
                Invalid::Write if number.is_nan() => self.made.extend(b"nan"),
                Invalid::Write => self.made.extend(if number > 0.0 { b"inf" } else { b"-inf" }),
            }
            return Ok(());
        }
        let mut text = [0; 40];
        self.made.extend(format_general(number, self.settings.precision, &mut text));
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.made.push(b'"');
        let mut rest = text;
        while let Some(special) = rest.iter().position(|&byte| is_special(byte)) {
            self.made.extend(&rest[..special]);
            self.escape(rest[special]);
            rest = &rest[special + 1..];
        }
        self.made.extend(rest);
        self.made.push(b'"');
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            b'"' | b'\\' | b'/' => byte,
            8 => b'b',
            9 => b't',
            10 => b'n',
            12 => b'f',
            13 => b'r',
            _ => {
                let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
                return self.made.extend(&[
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    digit(byte >> 4),
                    digit(byte & 15),
                ]);
            }
        };
        self.made.extend(&[b'\\', short]);
    }
}

fn is_special(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'"' | b'\\' | b'/' | 127)
}
