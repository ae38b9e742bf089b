//! Extended precision: numbers with a significand of 64 bits and an exponent of 15.
//!
//! Valkey computes INCRBYFLOAT and HINCRBYFLOAT in C's `long double`, which is the x87 format on the
//! machines it is measured on, and prints 17 decimals of it. Clients see those digits, so this does
//! the same arithmetic, rounded to nearest and ties to even, in integers.
//!
//! No crate serves: `rustc_apfloat` computes in this format, but prints and parses at most the digits
//! that tell two numbers apart, not a fixed number of decimals as C does; crates of arbitrary precision
//! (`rug`, `astro-float`) know neither its subnormal numbers nor its overflow.

pub(super) mod natural;
mod parse;

use std::fmt;

use natural::Natural;

/// The exponent of the last bit of the smallest number.
const MIN_EXPONENT: i32 = -16445;

/// The exponent of the last bit of the greatest number.
const MAX_EXPONENT: i32 = 16320;

/// Stands for infinity, whose significand is 0.
const INFINITE: i32 = i32::MAX;

/// 10 to the number of decimals that are printed.
const DECIMALS: u128 = 10u128.pow(17);

/// A number: `±significand × 2^exponent`, or an infinity.
///
/// The significand's highest bit is set, unless the exponent is the least or the number is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    significand: u64,
    exponent: i32,
}

impl From<i64> for Extended {
    fn from(number: i64) -> Self {
        Extended::round(number < 0, u128::from(number.unsigned_abs()), 0, false)
    }
}

impl Extended {
    /// The number nearest to `±(wide + fraction) × 2^exponent`, where the fraction is between 0 and 1
    /// if `inexact`, which takes a `wide` of at least 66 bits, and else 0.
    fn round(negative: bool, wide: u128, exponent: i32, inexact: bool) -> Extended {
        let bits = 128 - wide.leading_zeros() as i32;
        let mut to = (exponent + bits - 64).max(MIN_EXPONENT);
        let shift = to - exponent;
        let significand = if shift <= 0 {
            if wide == 0 { 0 } else { wide << -shift }
        } else if shift > 128 {
            0
        } else {
            // The highest bit goes first, so that a shift by all 128 bits is no special case.
            let kept = wide >> (shift - 1) >> 1;
            let half = 1u128 << (shift - 1);
            let lost = wide & (half - 1) != 0 || inexact;
            let up = wide & half != 0 && (lost || kept & 1 == 1);
            kept + u128::from(up)
        };
        let significand = match u64::try_from(significand) {
            Ok(significand) => significand,
            // Rounding carried into a 65th bit; the others are zero.
            Err(_) => {
                to += 1;
                1 << 63
            }
        };
        match significand {
            0 => Extended { negative, significand, exponent: 0 },
            _ if to > MAX_EXPONENT => Extended::infinite(negative),
            _ => Extended { negative, significand, exponent: to },
        }
    }

    const fn infinite(negative: bool) -> Extended {
        Extended { negative, significand: 0, exponent: INFINITE }
    }

    pub fn is_infinite(self) -> bool {
        self.exponent == INFINITE
    }

    /// The sum, or `None` if that is infinite or not a number.
    pub fn checked_add(self, other: Extended) -> Option<Extended> {
        if self.is_infinite() || other.is_infinite() {
            return None;
        }
        let (high, low) = match (self.significand, other.significand) {
            (_, 0) => return Some(self),
            (0, _) => return Some(other),
            _ if self.exponent >= other.exponent => (self, other),
            _ => (other, self),
        };
        // Both on one scale: the higher number with up to 63 more bits, the lower one with what lies
        // below that scale collapsed into its last bit, where it decides a rounding as well as all
        // of it would.
        let distance = (high.exponent - low.exponent) as u32;
        let up = distance.min(63);
        let down = distance - up;
        let exponent = high.exponent - up as i32;
        let a = u128::from(high.significand) << up;
        let b = u128::from(low.significand.checked_shr(down).unwrap_or(0));
        let lost = match down {
            0 => false,
            1..64 => low.significand << (64 - down) != 0,
            _ => true,
        };
        let b = b | u128::from(lost);
        let sum = if high.negative == low.negative {
            Extended::round(high.negative, a + b, exponent, false)
        } else if a >= b {
            // An exact zero is positive.
            Extended::round(high.negative && a != b, a - b, exponent, false)
        } else {
            Extended::round(low.negative, b - a, exponent, false)
        };
        (!sum.is_infinite()).then_some(sum)
    }
}

/// Seventeen decimals without the zeros at their end: `%.17Lf`, trimmed. An infinity is `inf`.
impl fmt::Display for Extended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        if self.is_infinite() {
            return write!(f, "{sign}inf");
        }
        if self.significand == 0 {
            // A negative zero has no sign.
            return f.write_str("0");
        }
        let significand = u128::from(self.significand);
        if self.exponent > 64 {
            let mut number = Natural::from(self.significand);
            number.shift_left(self.exponent as usize);
            return write!(f, "{sign}{number}");
        }
        if self.exponent >= 0 {
            return write!(f, "{sign}{}", significand << self.exponent);
        }
        // 64 bits and the 57 of the factor fit.
        let scaled = significand * DECIMALS;
        let scaled = match self.exponent.unsigned_abs() {
            shift @ ..122 => {
                let kept = scaled >> shift;
                let half = 1u128 << (shift - 1);
                let lost = scaled & (half - 1) != 0;
                kept + u128::from(scaled & half != 0 && (lost || kept & 1 == 1))
            }
            // Less than a half.
            _ => 0,
        };
        match (scaled / DECIMALS, scaled % DECIMALS) {
            (0, 0) => f.write_str("0"),
            (whole, 0) => write!(f, "{sign}{whole}"),
            (whole, fraction) => {
                let fraction = format!("{fraction:017}");
                write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let parse = |text: &str| Extended::parse(text.as_bytes()).unwrap();
        parse(a).checked_add(parse(b)).map(|sum| sum.to_string())
    }

    /// Replies of Valkey 9.1.2.
    #[test]
    fn sums_have_the_digits_of_a_long_double() {
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.2", "0.3", "10.5"),
            ("-1e-17", "1", "0.99999999999999999"),
            ("1e20", "1", "100000000000000000000"),
            ("1e18", "0.3", "1000000000000000000.3125"),
            ("-3.5", "3.5", "0"),
            ("5.0e3", "3.0e3", "8000"),
            ("0", "-0.000000000000000001", "0"),
            ("-0", "-0.0", "0"),
            ("1", "0.000000000000000005", "1"),
            ("1", "0.0000000000000000051", "1.00000000000000001"),
            ("1", "999999999999999999999999999999", "1000000000000000000024696061952"),
            ("0", "0x1.8p-16446", "0"),
            ("1", "0x1.ffffffffffffffff8p0", "3"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
            assert_eq!(sum(b, a).as_deref(), Some(expected), "{b} + {a}");
        }
        let long = sum("1e4931", "1").unwrap();
        assert_eq!(long.len(), 4932);
        assert!(long.starts_with("10000000000000000000060189493879638913238377742545331147737850"));
        assert_eq!(sum("1.18973149535723176502e4932", "1.18973149535723176502e4932"), None);
        assert_eq!(sum("inf", "-inf"), None);
        assert_eq!(sum("-inf", "1"), None);
    }

    #[test]
    fn integers_are_exact() {
        for number in [0, 1, -1, 10, i64::MAX, i64::MIN, i64::MAX - 1, 1 << 62] {
            assert_eq!(Extended::from(number).to_string(), number.to_string());
        }
    }

    /// Sums of doubles that are exact in 64 bits agree with integer arithmetic on a common scale.
    #[test]
    fn a_far_smaller_number_only_breaks_ties() {
        let one = Extended::from(1);
        let tiny = Extended::parse(b"1e-4000").unwrap();
        let minus_tiny = Extended::parse(b"-1e-4000").unwrap();
        assert_eq!(one.checked_add(tiny), Some(one));
        assert_eq!(one.checked_add(minus_tiny), Some(one));
        // Half a unit in the last place above 1 is a tie, which goes to even; a bit more is not.
        let half = Extended::parse(b"0x1p-64").unwrap();
        let more = Extended::parse(b"0x1.0000000000000002p-64").unwrap();
        assert_eq!(one.checked_add(half), Some(one));
        assert_eq!(one.checked_add(more), Extended::parse(b"0x1.0000000000000002p0"));
        // Below a power of two the units are half as large.
        let quarter = Extended::parse(b"-0x1p-65").unwrap();
        let less = Extended::parse(b"-0x1.0000000000000002p-65").unwrap();
        assert_eq!(one.checked_add(quarter), Some(one));
        assert_eq!(one.checked_add(less), Extended::parse(b"0x0.ffffffffffffffffp0"));
    }
}
