//! What a node is made of: numbers of variable length, and strings.
//!
//! A string that is the canonical text of an integer is kept as that integer, unless it is so large
//! that its digits are as short.

use crate::value::number::parse_i64;

/// A field's name or value as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> Element<'a> {
    fn of(bytes: &'a [u8]) -> Element<'a> {
        match parse_i64(bytes) {
            Some(number) => Element::Int(number),
            None => Element::Bytes(bytes),
        }
    }

    /// The string; an integer is written into `digits`.
    pub fn bytes<'b>(&self, digits: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Element::Int(number) => digits.format(number).as_bytes(),
            Element::Bytes(bytes) => bytes,
        }
    }

    pub fn equals(&self, bytes: &[u8]) -> bool {
        match *self {
            Element::Int(number) => itoa::Buffer::new().format(number).as_bytes() == bytes,
            Element::Bytes(own) => own == bytes,
        }
    }
}

/// Appends a number: seven bits in each byte, the lowest first, the highest bit set in all but the
/// last.
#[inline]
pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes that [`push_number`] takes for a number.
#[inline]
pub(super) fn number_len(number: u64) -> usize {
    let bits = u64::BITS - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends a string, and returns how long the element would be in a listpack.
#[inline]
pub(super) fn push_element(out: &mut Vec<u8>, bytes: &[u8]) -> usize {
    // Most strings are none, and the first byte says so.
    if !matches!(bytes.first(), Some(b'0'..=b'9' | b'-')) {
        push_bytes(out, bytes);
        return listpack::bytes_len(bytes.len());
    }
    match Element::of(bytes) {
        Element::Int(number) => {
            match zigzag(number) {
                folded if folded < 1 << 63 => push_number(out, folded << 1 | 1),
                _ => push_bytes(out, bytes),
            }
            listpack::int_len(number)
        }
        Element::Bytes(bytes) => {
            push_bytes(out, bytes);
            listpack::bytes_len(bytes.len())
        }
    }
}

#[inline]
fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_number(out, (bytes.len() as u64) << 1);
    out.extend_from_slice(bytes);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(folded: u64) -> i64 {
    (folded >> 1) as i64 ^ -((folded & 1) as i64)
}

/// Reads what was pushed, from the front.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub fn number(&mut self) -> u64 {
        let mut number = 0;
        let mut shift = 0;
        loop {
            let (&byte, rest) = self.0.split_first().expect("a number in a node is complete");
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    #[inline]
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    #[inline]
    pub fn element(&mut self) -> Element<'a> {
        let head = self.number();
        if head & 1 == 1 {
            Element::Int(unzigzag(head >> 1))
        } else {
            Element::Bytes(self.take((head >> 1) as usize))
        }
    }
}

/// How long elements are in a listpack: where a node ends depends on it.
pub(super) mod listpack {
    /// The header in front of the elements, and the byte after them.
    pub const FRAME: usize = 7;

    pub fn int_len(number: i64) -> usize {
        let data = match number {
            0..=127 => 1,
            -4096..=4095 => 2,
            -32_768..=32_767 => 3,
            -8_388_608..=8_388_607 => 4,
            -2_147_483_648..=2_147_483_647 => 5,
            _ => 9,
        };
        data + 1
    }

    pub fn bytes_len(len: usize) -> usize {
        let data = match len {
            0..64 => 1 + len,
            64..4096 => 2 + len,
            _ => 5 + len,
        };
        // The length again, seven bits in a byte, to walk backwards.
        let back = match data {
            0..128 => 1,
            128..16_384 => 2,
            16_384..2_097_152 => 3,
            2_097_152..268_435_456 => 4,
            _ => 5,
        };
        data + back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_back_as_they_went_in() {
        let mut texts = ["", "a", "-", "01", "-0", "text", "12x"].map(String::from).to_vec();
        for shift in 0..63 {
            for number in [1i64 << shift, (1 << shift) - 1, (1 << shift) + 1] {
                texts.extend([number.to_string(), (-number).to_string()]);
            }
        }
        texts.extend([i64::MIN, i64::MAX].map(|number| number.to_string()));
        texts.extend([63, 64, 8191, 8192, 100_000].map(|len| "x".repeat(len)));
        let mut out = Vec::new();
        for text in &texts {
            push_element(&mut out, text.as_bytes());
        }
        let mut reader = Reader(&out);
        for text in &texts {
            let element = reader.element();
            assert!(element.equals(text.as_bytes()), "{text}");
            assert_eq!(element.bytes(&mut itoa::Buffer::new()), text.as_bytes());
        }
        assert!(reader.0.is_empty());
    }

    #[test]
    fn small_integers_take_one_byte() {
        for number in -32..32 {
            let mut out = Vec::new();
            push_element(&mut out, number.to_string().as_bytes());
            assert_eq!(out.len(), 1, "{number}");
        }
    }

    #[test]
    fn the_length_of_a_number_is_known_beforehand() {
        for shift in 0..64 {
            for number in [1u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                push_number(&mut out, number);
                assert_eq!(out.len(), number_len(number), "{number}");
                assert_eq!(Reader(&out).number(), number);
            }
        }
    }
}
