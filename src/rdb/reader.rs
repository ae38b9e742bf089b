//! Reads the elements that RDB payloads are made of. Payloads are untrusted.

use std::borrow::Cow;

use super::length;
use super::lzf;
use super::{BadFormat, Result};

/// The unread rest of a payload.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(payload: &'a [u8]) -> Reader<'a> {
        Reader(payload)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The whole rest.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        self.0.split_off(..len).ok_or(BadFormat)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk().ok_or(BadFormat)?;
        self.0 = rest;
        Ok(*array)
    }

    pub fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    /// A time in milliseconds, or another number of fixed width.
    pub fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn double(&mut self) -> Result<f64> {
        self.array().map(f64::from_le_bytes)
    }

    /// A length, a count, or another number of that form.
    pub fn length(&mut self) -> Result<u64> {
        let first = self.byte()?;
        self.length_after(first)
    }

    fn length_after(&mut self, first: u8) -> Result<u64> {
        match first >> 6 {
            0b00 => Ok(first.into()),
            0b01 => Ok(u16::from_be_bytes([first & !length::LONG, self.byte()?]).into()),
            _ if first == length::LENGTH_32 => self.array().map(u32::from_be_bytes).map(u64::from),
            _ if first == length::LENGTH_64 => self.array().map(u64::from_be_bytes),
            _ => Err(BadFormat),
        }
    }

    /// The number of elements that follow, each of which takes at least `width` bytes. A number that
    /// the rest of the payload cannot hold is refused.
    pub fn count(&mut self, width: usize) -> Result<usize> {
        let count = usize::try_from(self.length()?).map_err(|_| BadFormat)?;
        if count > self.0.len() / width { Err(BadFormat) } else { Ok(count) }
    }

    /// Reads as many elements as a count says that there are, but at least one.
    pub fn several<T>(
        &mut self,
        width: usize,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        match self.count(width)? {
            0 => Err(BadFormat),
            count => (0..count).map(|_| read(self)).collect(),
        }
    }

    pub fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        let first = self.byte()?;
        let number: i32 = match first {
            length::INT_8 => self.array().map(i8::from_le_bytes)?.into(),
            length::INT_16 => self.array().map(i16::from_le_bytes)?.into(),
            length::INT_32 => self.array().map(i32::from_le_bytes)?,
            length::LZF => return self.compressed().map(Cow::Owned),
            _ => {
                let len = self.length_after(first)?;
                return self.take(usize::try_from(len).map_err(|_| BadFormat)?).map(Cow::Borrowed);
            }
        };
        Ok(Cow::Owned(number.to_string().into_bytes()))
    }

    fn compressed(&mut self) -> Result<Vec<u8>> {
        let compressed = self.count(1)?;
        let len = usize::try_from(self.length()?).map_err(|_| BadFormat)?;
        lzf::decompress(self.take(compressed)?, len).ok_or(BadFormat)
    }
}
