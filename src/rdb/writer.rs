//! Writes the elements that RDB payloads are made of.

use std::cell::RefCell;

use super::envelope;
use super::length::{self, LONG_LENGTH, SHORT_LENGTH};
use super::lzf;
use crate::number::parse_i64;

/// Strings up to here are not worth compressing.
const MIN_COMPRESSED: usize = 21;

/// Bytes of the longest form of a length.
const MAX_LENGTH: usize = 1 + size_of::<u64>();

/// Bytes that compression must save.
const MIN_SAVED: usize = 4;

thread_local! {
    /// Its table takes longer to make than a short string to compress.
    static COMPRESSOR: RefCell<lzf::Compressor> = RefCell::default();
}

/// Appends to a payload.
pub struct Writer {
    out: Vec<u8>,
    compresses: bool,
}

impl Writer {
    /// An empty payload. `compress` is the value of `rdbcompression`.
    pub fn new(compress: bool) -> Writer {
        Writer { out: Vec::new(), compresses: compress }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A time in milliseconds, or another number of fixed width.
    pub fn i64(&mut self, number: i64) {
        self.raw(&number.to_le_bytes());
    }

    pub fn double(&mut self, number: f64) {
        self.raw(&number.to_le_bytes());
    }

    /// A length, a count, or another number that is small most of the time.
    pub fn length(&mut self, length: u64) {
        if length <= SHORT_LENGTH {
            self.byte(length as u8);
        } else if length <= LONG_LENGTH {
            self.raw(&(length as u16 | u16::from(length::LONG) << 8).to_be_bytes());
        } else if let Ok(length) = u32::try_from(length) {
            self.byte(length::LENGTH_32);
            self.raw(&length.to_be_bytes());
        } else {
            self.byte(length::LENGTH_64);
            self.raw(&length.to_be_bytes());
        }
    }

    /// A string, in the shortest of its forms.
    pub fn string(&mut self, bytes: &[u8]) {
        if !self.integer(bytes) && !self.compressed(bytes) {
            // A long payload is not moved for want of room for its end.
            self.out.reserve(MAX_LENGTH + bytes.len() + envelope::SEAL_LEN);
            self.length(bytes.len() as u64);
            self.raw(bytes);
        }
    }

    /// Writes a string that is the text of a small integer. Returns whether it is.
    fn integer(&mut self, bytes: &[u8]) -> bool {
        // Longer texts are no small integers.
        let number = if bytes.len() <= "-2147483648".len() { parse_i64(bytes) } else { None };
        let Some(number) = number.and_then(|number| i32::try_from(number).ok()) else {
            return false;
        };
        if let Ok(number) = i8::try_from(number) {
            self.byte(length::INT_8);
            self.raw(&number.to_le_bytes());
        } else if let Ok(number) = i16::try_from(number) {
            self.byte(length::INT_16);
            self.raw(&number.to_le_bytes());
        } else {
            self.byte(length::INT_32);
            self.raw(&number.to_le_bytes());
        }
        true
    }

    /// Writes a string compressed, if that makes it shorter. Returns whether it does.
    fn compressed(&mut self, bytes: &[u8]) -> bool {
        if !self.compresses || bytes.len() < MIN_COMPRESSED {
            return false;
        }
        // The lengths stand before the compressed bytes, which must exist first.
        let mut compressed = Vec::new();
        let limit = bytes.len() - MIN_SAVED;
        if !COMPRESSOR.with_borrow_mut(|lzf| lzf.compress(bytes, limit, &mut compressed)) {
            return false;
        }
        self.byte(length::LZF);
        self.length(compressed.len() as u64);
        self.length(bytes.len() as u64);
        self.out.reserve(compressed.len() + envelope::SEAL_LEN);
        self.raw(&compressed);
        true
    }
}
