//! The library `struct`: values to and from fixed layouts of bytes.

use super::super::raw::{Raised, Stack, Text, Type, entry};

/// Bytes of an integer at most.
const LONGEST_INTEGER: usize = 32;
/// The alignment that `!` sets without a number.
const NATIVE_ALIGNMENT: usize = 8;

pub fn push(stack: Stack) {
    super::push_functions(
        stack,
        &[("pack", entry!(pack)), ("unpack", entry!(unpack)), ("size", entry!(size))],
    );
}

/// A format, read option by option.
struct Format<'a> {
    stack: Stack,
    rest: &'a [u8],
    is_big: bool,
    alignment: usize,
}

/// An option with the bytes of its value, and those that align it.
struct Field {
    option: u8,
    size: usize,
    padding: usize,
}

impl<'a> Format<'a> {
    fn new(stack: Stack) -> Self {
        let text = stack.check_bytes(1);
        // A format ends at its first zero byte.
        let rest = text.split(|&byte| byte == 0).next().unwrap_or_default();
        Format { stack, rest, is_big: false, alignment: 1 }
    }

    /// The next option, at this distance from the beginning.
    fn next(&mut self, position: usize) -> Result<Option<Field>, Raised> {
        let Some((&option, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > LONGEST_INTEGER {
                    return super::fail_with_number(
                        self.stack,
                        b"integral size ",
                        size,
                        b" is larger than limit of 32",
                    );
                }
                size
            }
            _ => 0,
        };
        let padding = if option == b'c' { 0 } else { self.padding(position, size) };
        Ok(Some(Field { option, size, padding }))
    }

    fn number(&mut self, default: usize) -> Result<usize, Raised> {
        if !self.rest.first().is_some_and(u8::is_ascii_digit) {
            return Ok(default);
        }
        let mut number = 0i32;
        while let Some((digit @ b'0'..=b'9', rest)) = self.rest.split_first() {
            let next = number.checked_mul(10).and_then(|n| n.checked_add(i32::from(digit - b'0')));
            let Some(next) = next else { return self.stack.error(b"integral size overflow") };
            (number, self.rest) = (next, rest);
        }
        Ok(number as usize)
    }

    fn padding(&self, position: usize, size: usize) -> usize {
        let unit = size.min(self.alignment);
        if unit == 0 {
            return 0;
        }
        unit.wrapping_sub(position & (unit - 1)) & (unit - 1)
    }

    /// An option that is no value. The argument error is that of the format.
    fn control(&mut self, option: u8, is_strict: bool) -> Result<(), Raised> {
        match option {
            b' ' => {}
            b'>' => self.is_big = true,
            b'<' => self.is_big = false,
            b'!' => {
                let alignment = self.number(NATIVE_ALIGNMENT)?;
                if !alignment.is_power_of_two() {
                    return super::fail_with_number(
                        self.stack,
                        b"alignment ",
                        alignment,
                        b" is not a power of 2",
                    );
                }
                self.alignment = alignment;
            }
            _ if is_strict => {
                let mut text = *b"invalid format option '?'\0";
                text[23] = option;
                let text = std::ffi::CStr::from_bytes_with_nul(&text);
                self.stack.argument_error(1, text.unwrap_or(c"invalid format option"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// An integer's 64 bits: C's conversion, where what is out of range has no upper bits.
fn integer_bits(number: f64) -> u64 {
    if number < 0.0 {
        number as i64 as u64
    } else if number < 18_446_744_073_709_551_616.0 {
        number as u64
    } else {
        0
    }
}

/// `struct.pack(format, ...)`
fn pack(stack: Stack) -> Result<i32, Raised> {
    let mut format = Format::new(stack);
    // Its slot is nil at first, which is what a missing argument is said to be.
    let mut made = Text::new(stack);
    let mut argument = 2;
    while let Some(Field { option, size, padding }) = format.next(made.len())? {
        (0..padding).for_each(|_| made.push(0));
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let bits = u128::from(integer_bits(stack.check_number(argument)));
                let mut bytes = [0; LONGEST_INTEGER];
                bytes[..16].copy_from_slice(&bits.to_le_bytes());
                bytes[..size].reverse_if(format.is_big);
                made.extend(&bytes[..size]);
            }
            b'f' => {
                let mut bytes = (stack.check_number(argument) as f32).to_le_bytes();
                bytes.reverse_if(format.is_big);
                made.extend(&bytes);
            }
            b'd' => {
                let mut bytes = stack.check_number(argument).to_le_bytes();
                bytes.reverse_if(format.is_big);
                made.extend(&bytes);
            }
            b'x' => made.push(0),
            b'c' | b's' => {
                let text = stack.check_bytes(argument);
                let size = if size == 0 { text.len() } else { size };
                if text.len() < size {
                    // The library counts the option itself as an argument.
                    stack.argument_error(argument + 1, c"string too short");
                }
                made.extend(&text[..size]);
                if option == b's' {
                    made.push(0);
                }
            }
            _ => format.control(option, true)?,
        }
        let has_argument = !matches!(option, b'x' | b' ' | b'<' | b'>' | b'!');
        argument = (argument + i32::from(has_argument)).min(stack.top());
    }
    made.push_string();
    Ok(1)
}

trait ReverseIf {
    fn reverse_if(&mut self, condition: bool);
}

impl ReverseIf for [u8] {
    fn reverse_if(&mut self, condition: bool) {
        if condition {
            self.reverse();
        }
    }
}

/// `struct.size(format)`
fn size(stack: Stack) -> Result<i32, Raised> {
    let mut format = Format::new(stack);
    let mut total = 0usize;
    while let Some(Field { option, size, padding }) = format.next(total)? {
        total += padding + size;
        match option {
            b's' => stack.argument_error(1, c"option 's' has no fixed size"),
            b'c' if size == 0 => stack.argument_error(1, c"option 'c0' has no fixed size"),
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' | b'f' | b'd' | b'x'
            | b'c' => {}
            _ => format.control(option, false)?,
        }
    }
    stack.push_number(total as f64);
    Ok(1)
}

/// `struct.unpack(format, data [, position])`: the values, and the position after them.
fn unpack(stack: Stack) -> Result<i32, Raised> {
    let mut format = Format::new(stack);
    let data = stack.check_bytes(2);
    let start = if stack.is_none_or_nil(3) { 1 } else { stack.check_number(3) as i64 };
    if start == 0 {
        stack.argument_error(3, c"offset must be 1 or greater");
    }
    let mut position = usize::try_from(start - 1).unwrap_or(usize::MAX);
    stack.set_top(2);
    while let Some(Field { option, mut size, padding }) = format.next(position)? {
        position = position.saturating_add(padding);
        if size > data.len().saturating_sub(position) || position > data.len() && size > 0 {
            stack.argument_error(2, c"data string too short");
        }
        if !stack.reserve(4) {
            return stack.error(b"stack overflow (too many results)");
        }
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let is_signed = option.is_ascii_lowercase();
                let bytes = &data[position..position + size];
                stack.push_number(read_integer(bytes, format.is_big, is_signed));
            }
            b'f' | b'd' => {
                let mut bytes = [0; 8];
                bytes[..size].copy_from_slice(&data[position..position + size]);
                bytes[..size].reverse_if(format.is_big);
                let number = f64::from_le_bytes(bytes);
                let short = f32::from_bits(u64::from_le_bytes(bytes) as u32);
                stack.push_number(if option == b'f' { f64::from(short) } else { number });
            }
            b'x' => {}
            b'c' => {
                if size == 0 {
                    if stack.top() < 3 || stack.kind(-1) != Type::Number {
                        return stack.error(b"format 'c0' needs a previous size");
                    }
                    size = stack.number(-1) as i64 as usize;
                    stack.pop(1);
                    if size > data.len().saturating_sub(position) {
                        stack.argument_error(2, c"data string too short");
                    }
                }
                stack.push_bytes(&data[position..position + size]);
            }
            b's' => {
                let rest = data.get(position..).unwrap_or_default();
                let Some(len) = memchr::memchr(0, rest) else {
                    return stack.error(b"unfinished string in data");
                };
                stack.push_bytes(&rest[..len]);
                size = len + 1;
            }
            _ => format.control(option, true)?,
        }
        position += size;
    }
    stack.push_number(position as f64 + 1.0);
    Ok(stack.top() - 2)
}

/// The low 64 bits of an integer, whose sign is that of its own length.
fn read_integer(bytes: &[u8], is_big: bool, is_signed: bool) -> f64 {
    let byte = |place: usize| bytes[if is_big { bytes.len() - 1 - place } else { place }];
    let len = bytes.len().min(8);
    let bits = (0..len).fold(0u64, |bits, place| bits | u64::from(byte(place)) << (8 * place));
    if !is_signed {
        return bits as f64;
    }
    let unused = 64 - 8 * len as u32;
    if unused == 64 { 0.0 } else { ((bits << unused) as i64 >> unused) as f64 }
}
