//! Integers of any width at any bit of a string.

use crate::number::parse_i64;

/// The type of such an integer: `u1` to `u63` or `i1` to `i64`. Its highest bit comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    is_signed: bool,
    bits: u32,
}

/// The treatment of a number that a field cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Its lowest bits are stored.
    #[default]
    Wrap,
    /// The nearest number that the field can hold is stored.
    Saturate,
    /// Nothing is stored.
    Fail,
}

/// A field and the bits around it, up to the bytes' bounds: at most 71 of them count.
type Window = u128;

const WINDOW: usize = size_of::<Window>();

impl Field {
    /// Reads `i16`, `u8` …
    pub fn parse(text: &[u8]) -> Option<Field> {
        let (sign, bits) = text.split_first()?;
        let (is_signed, most) = match sign {
            b'i' => (true, 64),
            b'u' => (false, 63),
            _ => return None,
        };
        let bits = parse_i64(bits).filter(|bits| (1..=most).contains(bits))?;
        Some(Field { is_signed, bits: bits as u32 })
    }

    pub fn bits(self) -> u32 {
        self.bits
    }

    /// The greatest number that it holds.
    fn max(self) -> i64 {
        let digits = if self.is_signed { self.bits - 1 } else { self.bits };
        ((1u64 << digits) - 1) as i64
    }

    /// The least number that it holds.
    fn min(self) -> i64 {
        if self.is_signed { -self.max() - 1 } else { 0 }
    }

    /// The number that the lowest bits are.
    fn truncate(self, number: u64) -> i64 {
        let unused = u64::BITS - self.bits;
        let shifted = number << unused;
        if self.is_signed { shifted as i64 >> unused } else { (shifted >> unused) as i64 }
    }

    /// The number at bit `offset`; bits beyond the string's end are zeros.
    pub fn read(self, string: &[u8], offset: usize) -> i64 {
        let window = window(string, offset);
        self.truncate((window >> self.distance(offset)) as u64)
    }

    /// Writes a number that the field can hold. The string must have all its bits.
    pub fn write(self, string: &mut [u8], offset: usize, number: i64) {
        let distance = self.distance(offset);
        let mask = ((1 << self.bits) - 1) << distance;
        let window = window(string, offset) & !mask | (number as Window) << distance & mask;
        let end = string.len().min(offset / 8 + WINDOW);
        let string = &mut string[offset / 8..end];
        string.copy_from_slice(&window.to_be_bytes()[..string.len()]);
    }

    /// Bits of a window that come after the field.
    fn distance(self, offset: usize) -> u32 {
        Window::BITS - offset as u32 % 8 - self.bits
    }

    /// The number to be stored for a client's number.
    pub fn set(self, number: i64, overflow: Overflow) -> Option<i64> {
        // To Valkey a number so far below the field's greatest that the distance overflows is above
        // it, as is each negative one for an unsigned field.
        let is_above = self.bits < 64 && self.max().checked_sub(number).is_none();
        if !self.is_signed || is_above {
            self.fit((number as u64).into(), overflow)
        } else {
            self.fit(number.into(), overflow)
        }
    }

    /// The number to be stored for the sum of two numbers.
    pub fn add(self, a: i64, b: i64, overflow: Overflow) -> Option<i64> {
        self.fit(i128::from(a) + i128::from(b), overflow)
    }

    fn fit(self, number: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = (self.min(), self.max());
        match i64::try_from(number) {
            Ok(number) if (min..=max).contains(&number) => Some(number),
            _ => match overflow {
                Overflow::Wrap => Some(self.truncate(number as u64)),
                Overflow::Saturate => Some(if number < min.into() { min } else { max }),
                Overflow::Fail => None,
            },
        }
    }
}

/// The bits from the byte of bit `offset` on.
fn window(string: &[u8], offset: usize) -> Window {
    let string = string.get(offset / 8..).unwrap_or_default();
    let string = &string[..string.len().min(WINDOW)];
    let mut window = [0; WINDOW];
    window[..string.len()].copy_from_slice(string);
    Window::from_be_bytes(window)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields() -> impl Strategy<Value = Field> {
        prop_oneof![
            (1..=64u32).prop_map(|bits| Field { is_signed: true, bits }),
            (1..=63u32).prop_map(|bits| Field { is_signed: false, bits }),
        ]
    }

    proptest! {
        #[test]
        fn a_number_is_read_as_it_was_written_and_nothing_else_changes(
            field in fields(), offset in 0..200usize, number in any::<i64>(), fill in any::<u8>()
        ) {
            let number = field.set(number, Overflow::Wrap).unwrap();
            let bits = field.bits() as usize;
            let mut string = vec![fill; (offset + bits).div_ceil(8)];
            let text = |string: &[u8]| string.iter().map(|b| format!("{b:08b}")).collect::<String>();
            let before = text(&string);
            field.write(&mut string, offset, number);
            prop_assert_eq!(field.read(&string, offset), number);
            let after = text(&string);
            let digits = format!("{number:064b}");
            prop_assert_eq!(&after[offset..offset + bits], &digits[64 - bits..]);
            prop_assert_eq!(&after[..offset], &before[..offset]);
            prop_assert_eq!(&after[offset + bits..], &before[offset + bits..]);
            // Where the string ends before the field, zeros stand for the rest.
            let known = string.len() - 1;
            let mut padded = string.clone();
            padded[known] = 0;
            prop_assert_eq!(field.read(&string[..known], offset), field.read(&padded, offset));
        }
    }

    #[test]
    fn types_are_read_in_one_form_only() {
        let bits =
            |text: &str| Field::parse(text.as_bytes()).map(|field| (field.is_signed, field.bits));
        assert_eq!(bits("u8"), Some((false, 8)));
        assert_eq!(
            (bits("i1"), bits("i64"), bits("u63")),
            (Some((true, 1)), Some((true, 64)), Some((false, 63)))
        );
        for text in
            ["", "u", "i", "u0", "i0", "u64", "i65", "U8", "u08", "u+8", "u-8", "u8 ", "8", "x8"]
        {
            assert_eq!(bits(text), None, "{text:?}");
        }
    }

    /// As Valkey 9.1.2 answers.
    #[test]
    fn numbers_that_do_not_fit_wrap_saturate_or_fail() {
        let set = |field: &str, number, overflow| {
            Field::parse(field.as_bytes()).unwrap().set(number, overflow)
        };
        let add = |field: &str, a, b, overflow| {
            Field::parse(field.as_bytes()).unwrap().add(a, b, overflow)
        };
        use Overflow::{Fail, Saturate, Wrap};
        assert_eq!(set("u8", 300, Wrap), Some(44));
        assert_eq!(set("u8", 300, Saturate), Some(255));
        assert_eq!(set("u8", -1, Saturate), Some(255));
        assert_eq!(set("u8", -1, Fail), None);
        assert_eq!(set("i8", 200, Wrap), Some(-56));
        assert_eq!(set("i8", -200, Saturate), Some(-128));
        assert_eq!(set("i8", i64::MIN, Saturate), Some(127));
        assert_eq!(set("i8", i64::MIN + 129, Saturate), Some(-128));
        assert_eq!(set("i8", i64::MIN, Wrap), Some(0));
        assert_eq!(set("i64", i64::MIN, Fail), Some(i64::MIN));
        assert_eq!(add("i64", i64::MAX, 1, Wrap), Some(i64::MIN));
        assert_eq!(add("i64", i64::MAX, 1, Saturate), Some(i64::MAX));
        assert_eq!(add("i64", i64::MIN, -1, Fail), None);
        assert_eq!(add("u63", i64::MAX, i64::MAX, Wrap), Some(i64::MAX - 1));
        assert_eq!(add("u63", 5, i64::MIN, Saturate), Some(0));
        assert_eq!(add("u63", i64::MAX, i64::MIN, Wrap), Some(i64::MAX));
        assert_eq!(add("i7", -1, -1000, Wrap), Some(23));
    }
}
