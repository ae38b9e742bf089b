//! Reading numbers as C's `strtold` does: decimal, hexadecimal, `inf`.

use super::natural::{CHUNK_DIGITS, Natural};
use super::{Extended, MAX_EXPONENT, MIN_EXPONENT};

/// Longest number in bytes.
const MAX_LEN: usize = 5 * 1024 - 1;

/// Powers of ten beyond which a number is infinite or zero.
const MAX_POWER_OF_10: i64 = 4933;
const MIN_POWER_OF_10: i64 = -4952;

/// An exponent that is far out of range, and small enough to be added to.
const FAR: i64 = 1 << 40;

impl Extended {
    /// Reads a number, which must be all of `text`.
    ///
    /// `None` if the text is no number or is too long, or if a number other than zero would round to
    /// zero or to infinity. The word `inf` is a number.
    pub fn parse(text: &[u8]) -> Option<Extended> {
        if text.len() > MAX_LEN {
            return None;
        }
        let (negative, text) = match text {
            [b'-', text @ ..] => (true, text),
            [b'+', text @ ..] => (false, text),
            text => (false, text),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Some(Extended::infinite(negative));
        }
        let number = match text {
            [b'0', b'x' | b'X', text @ ..] => parse_hexadecimal(negative, text)?,
            text => parse_decimal(negative, text)?,
        };
        (!number.is_infinite()).then_some(number)
    }
}

/// A number's digits, as they stand before and after the point, and its exponent.
struct Parts<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Parts<'a> {
    fn of(text: &'a [u8], is_digit: fn(&u8) -> bool, exponent_mark: u8) -> Option<Parts<'a>> {
        let (whole, rest) = text.split_at(digits(text, is_digit));
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => rest.split_at(digits(rest, is_digit)),
            rest => (&[][..], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [mark, exponent @ ..] if mark.eq_ignore_ascii_case(&exponent_mark) => {
                parse_exponent(exponent)?
            }
            _ => return None,
        };
        Some(Parts { whole, fraction, exponent })
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).copied()
    }
}

fn digits(text: &[u8], is_digit: fn(&u8) -> bool) -> usize {
    text.iter().position(|byte| !is_digit(byte)).unwrap_or(text.len())
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude =
        digits.iter().fold(0, |value: i64, digit| (value * 10 + i64::from(digit - b'0')).min(FAR));
    Some(if negative { -magnitude } else { magnitude })
}

fn parse_decimal(negative: bool, text: &[u8]) -> Option<Extended> {
    let parts = Parts::of(text, u8::is_ascii_digit, b'e')?;
    let mut number = Natural::from(0);
    let mut chunk = 0;
    let mut chunk_digits = 0;
    let mut significant = 0;
    for digit in parts.digits() {
        significant += i64::from(significant > 0 || digit != b'0');
        chunk = chunk * 10 + u64::from(digit - b'0');
        chunk_digits += 1;
        if chunk_digits == CHUNK_DIGITS {
            number.multiply_add(10u64.pow(CHUNK_DIGITS as u32), chunk);
            (chunk, chunk_digits) = (0, 0);
        }
    }
    // Short numbers never touch the heap.
    let short = number.is_zero().then_some(chunk);
    number.multiply_add(10u64.pow(chunk_digits as u32), chunk);
    if significant == 0 {
        return Some(Extended::round(negative, 0, 0, false));
    }
    // number × 10^exponent = number × 5^exponent × 2^exponent
    let exponent = parts.exponent - parts.fraction.len() as i64;
    let power = significant + exponent;
    if !(MIN_POWER_OF_10..=MAX_POWER_OF_10).contains(&power) {
        return None;
    }
    let exponent = exponent as i32;
    let rounded = if exponent >= 0 {
        number.multiply_by_power_of_5(exponent as usize);
        let (high, dropped, inexact) = number.highest();
        Extended::round(negative, high, exponent + dropped as i32, inexact)
    } else {
        match short {
            // A dividend of 128 bits and a divisor of up to 61 leave enough bits to round.
            Some(short) if exponent >= -26 => {
                let shift = u128::from(short).leading_zeros() as i32;
                let dividend = u128::from(short) << shift;
                let divisor = u128::from(5u64.pow(exponent.unsigned_abs()));
                let inexact = !dividend.is_multiple_of(divisor);
                Extended::round(negative, dividend / divisor, exponent - shift, inexact)
            }
            _ => {
                let mut divisor = Natural::from(1);
                divisor.multiply_by_power_of_5(exponent.unsigned_abs() as usize);
                let (quotient, shift, inexact) = number.divide(divisor);
                Extended::round(negative, quotient, exponent + shift, inexact)
            }
        }
    };
    (rounded.significand != 0).then_some(rounded)
}

fn parse_hexadecimal(negative: bool, text: &[u8]) -> Option<Extended> {
    let parts = Parts::of(text, u8::is_ascii_hexdigit, b'p')?;
    let mut exponent = parts.exponent - 4 * parts.fraction.len() as i64;
    let mut number = 0u128;
    let mut inexact = false;
    for digit in parts.digits() {
        let digit = (digit as char).to_digit(16).unwrap_or(0);
        if number >> 124 == 0 {
            number = number << 4 | u128::from(digit);
        } else {
            exponent += 4;
            inexact |= digit != 0;
        }
    }
    if number == 0 {
        return Some(Extended::round(negative, 0, 0, false));
    }
    if exponent > i64::from(MAX_EXPONENT) + 64 || exponent < i64::from(MIN_EXPONENT) - 128 {
        return None;
    }
    let rounded = Extended::round(negative, number, exponent as i32, inexact);
    (rounded.significand != 0 || rounded.is_infinite()).then_some(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepted and refused by Valkey 9.1.2.
    #[test]
    fn numbers_are_read_as_strtold_reads_them() {
        for text in [
            "1e5",
            "+1",
            ".5",
            "5.",
            "1E5",
            "1e+05",
            "1e0000000000000005",
            "0x1p3",
            "0x.8",
            "0X1P-3",
            "0x1.p1",
            "0x1e",
            "inf",
            "-Infinity",
            "0e99999",
            "0e-99999999999999999999",
            "1e-4950",
            "3.6e-4951",
            "1e-4940",
            "1e4931",
            "1.18973149535723176502e4932",
            "0x1p16383",
            "0x1p-16445",
            "0x1.8p-16446",
            "0x0p99999999999",
            "-0",
        ] {
            assert!(Extended::parse(text.as_bytes()).is_some(), "{text:?}");
        }
        for text in [
            "",
            " 1",
            "1 ",
            ".",
            "-",
            "+",
            "0x",
            "0xg",
            "0xp1",
            "0x1p",
            "0x1.8p",
            "0x1e+1",
            "infinit",
            "nan",
            "nan(123)",
            "1e",
            "1e+",
            "1\0",
            "1_0",
            "1,5",
            "--1",
            "1e5.5",
            "1f",
            "1e-5000",
            "1e-4951",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "1.18973149535723176508e4932",
            "1.19e4932",
            "0x1p16384",
            "0x1p-16446",
            "0x1p99999999999",
        ] {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
        }
        assert!(Extended::parse("0".repeat(5118).as_bytes()).is_some());
        assert_eq!(Extended::parse("0".repeat(5120).as_bytes()), None);
    }

    #[test]
    fn a_decimal_rounds_to_the_nearest_number() {
        let parse = |text: &str| Extended::parse(text.as_bytes()).unwrap();
        // 2^64 + 1 is a tie between two numbers; a digit far away breaks it.
        let tie = "18446744073709551617";
        assert_eq!(parse(tie), parse("18446744073709551616"));
        let above = format!("{tie}.{}1", "0".repeat(4000));
        assert_eq!(parse(&above), parse("18446744073709551618"));
        // The same number by the three ways through the arithmetic.
        for (a, b) in [("0.1", "1e-1"), ("0.1", "0.1000000000000000000000000000"), ("1", "1e0")] {
            assert_eq!(parse(a), parse(b));
        }
        let many = format!("1{}e-5000", "0".repeat(4999));
        assert_eq!(parse(&many), parse("0.1"));
    }
}
