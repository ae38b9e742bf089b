//! The elements of a node: numbers of variable length, and strings.
//!
//! A string that is the canonical text of an integer is kept as that integer, unless it is so large
//! that its digits are as short.

use crate::value::packed::Element;

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

/// Appends an element, and returns how long it is in a listpack.
#[inline]
pub(super) fn push_element(out: &mut Vec<u8>, element: Element<'_>) -> usize {
    match element {
        Element::Int(number) if zigzag(number) < 1 << 63 => {
            push_number(out, zigzag(number) << 1 | 1);
        }
        _ => push_bytes(out, element.bytes(&mut itoa::Buffer::new())),
    }
    element.encoded_len()
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

/// Reads elements from the front.
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
            push_element(&mut out, Element::of(text.as_bytes()));
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
            push_element(&mut out, Element::Int(number));
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
