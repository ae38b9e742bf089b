//! Natural numbers of any size: as much arithmetic as exact conversion from and to decimals takes.

use std::cmp::Ordering;
use std::fmt;

/// The greatest power of ten in a word, and its exponent.
const CHUNK: u64 = 10u64.pow(CHUNK_DIGITS as u32);
pub const CHUNK_DIGITS: usize = 19;

/// Words, the lowest first; the highest is not zero.
#[derive(Clone)]
pub struct Natural(Vec<u64>);

impl From<u64> for Natural {
    fn from(number: u64) -> Self {
        Natural(if number == 0 { Vec::new() } else { vec![number] })
    }
}

impl Natural {
    pub fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub fn bits(&self) -> usize {
        match self.0.last() {
            Some(last) => self.0.len() * 64 - last.leading_zeros() as usize,
            None => 0,
        }
    }

    /// `self × factor + addend`.
    pub fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = addend;
        for word in &mut self.0 {
            let product = u128::from(*word) * u128::from(factor) + u128::from(carry);
            *word = product as u64;
            carry = (product >> 64) as u64;
        }
        if carry != 0 {
            self.0.push(carry);
        }
    }

    /// `self × 5^exponent`.
    pub fn multiply_by_power_of_5(&mut self, exponent: usize) {
        /// The greatest power of five in a word.
        const STEP: usize = 27;
        for _ in 0..exponent / STEP {
            self.multiply_add(5u64.pow(STEP as u32), 0);
        }
        self.multiply_add(5u64.pow((exponent % STEP) as u32), 0);
    }

    pub fn shift_left(&mut self, bits: usize) {
        if self.is_zero() {
            return;
        }
        self.multiply_add(1 << (bits % 64), 0);
        self.0.splice(0..0, std::iter::repeat_n(0, bits / 64));
    }

    /// The highest 128 bits, how many lower ones there are, and whether any of these is set.
    pub fn highest(&self) -> (u128, usize, bool) {
        let dropped = self.bits().saturating_sub(128);
        let (word, bit) = (dropped / 64, dropped % 64);
        let at = |index: usize| u128::from(self.0.get(word + index).copied().unwrap_or(0));
        let mut high = (at(0) | at(1) << 64) >> bit;
        if bit > 0 {
            high |= at(2) << (128 - bit);
        }
        let lost = self.0[..word.min(self.0.len())].iter().any(|word| *word != 0)
            || (bit > 0 && at(0) as u64 & ((1 << bit) - 1) != 0);
        (high, dropped, lost)
    }

    fn subtract(&mut self, other: &Natural) {
        let mut borrow = false;
        for (index, word) in self.0.iter_mut().enumerate() {
            let (rest, under) = word.overflowing_sub(other.0.get(index).copied().unwrap_or(0));
            let (rest, under_again) = rest.overflowing_sub(u64::from(borrow));
            *word = rest;
            borrow = under || under_again;
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// The first 68 or 69 bits of `self / divisor` as `quotient × 2^exponent`, and whether more
    /// follow. Neither number is zero.
    pub fn divide(mut self, mut divisor: Natural) -> (u128, i32, bool) {
        const BITS: i32 = 68;
        let (bits, divisor_bits) = (self.bits(), divisor.bits());
        match bits.checked_sub(divisor_bits) {
            Some(longer) => divisor.shift_left(longer),
            None => self.shift_left(divisor_bits - bits),
        }
        let mut quotient = 0u128;
        for _ in 0..=BITS {
            quotient <<= 1;
            if self.compare(&divisor) != Ordering::Less {
                self.subtract(&divisor);
                quotient |= 1;
            }
            self.multiply_add(2, 0);
        }
        (quotient, bits as i32 - divisor_bits as i32 - BITS, !self.is_zero())
    }

    fn compare(&self, other: &Natural) -> Ordering {
        let length = self.0.len().cmp(&other.0.len());
        length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl fmt::Display for Natural {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.0.clone();
        let mut chunks = Vec::new();
        while !words.is_empty() {
            let mut rest = 0u64;
            for word in words.iter_mut().rev() {
                let dividend = u128::from(rest) << 64 | u128::from(*word);
                *word = (dividend / u128::from(CHUNK)) as u64;
                rest = (dividend % u128::from(CHUNK)) as u64;
            }
            chunks.push(rest);
            while words.last() == Some(&0) {
                words.pop();
            }
        }
        write!(f, "{}", chunks.pop().unwrap_or(0))?;
        chunks.iter().rev().try_for_each(|chunk| write!(f, "{chunk:0CHUNK_DIGITS$}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Natural {
        let mut number = Natural::from(0);
        text.bytes().for_each(|digit| number.multiply_add(10, u64::from(digit - b'0')));
        number
    }

    #[test]
    fn decimals_come_back() {
        let text = "123456789012345678900000000000000000000000000000000000000000000000000000001";
        assert_eq!(decimal(text).to_string(), text);
        assert_eq!(decimal("0").to_string(), "0");
    }

    #[test]
    fn shifts_powers_and_high_bits() {
        let mut number = Natural::from(5);
        number.shift_left(130);
        assert_eq!(number.bits(), 133);
        assert_eq!(number.highest(), (5 << 125, 5, false));
        number.multiply_add(1, 1);
        assert_eq!(number.highest(), (5 << 125, 5, true));
        let mut power = Natural::from(1);
        power.multiply_by_power_of_5(55);
        power.shift_left(55);
        assert_eq!(power.to_string(), format!("1{}", "0".repeat(55)));
    }

    #[test]
    fn a_quotient_has_its_first_bits() {
        for (a, b) in [(1u64, 3u64), (10, 5), (u64::MAX, 1), (1, u64::MAX), (7, 8)] {
            let (quotient, exponent, inexact) = Natural::from(a).divide(Natural::from(b));
            assert!((68..=69).contains(&(128 - quotient.leading_zeros())), "{a} / {b}");
            let expected = a as f64 / b as f64;
            let got = quotient as f64 * 2f64.powi(exponent);
            assert!((got / expected - 1.0).abs() < 1e-15, "{a} / {b}");
            assert_eq!(inexact, !a.is_multiple_of(b) && !b.is_power_of_two(), "{a} / {b}");
        }
    }
}
