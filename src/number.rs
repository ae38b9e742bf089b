//! Numbers as clients write them, and as they are shown to clients.

pub mod extended;
mod shortest;

use std::fmt::Write;
use std::ops::Deref;

/// Reads a decimal `i64` in the only form that it is written back in: no sign but `-`, no leading
/// zero, no space. `None` for everything else, overflow included.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] if negative => return None,
        [b'0'] => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value = 0u64;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Nineteen digits fit in a u64.
        value = value * 10 + u64::from(digit);
    }
    if negative {
        (value <= 1 << 63).then(|| (value as i64).wrapping_neg())
    } else {
        i64::try_from(value).ok()
    }
}

/// Reads a `u64` as C's `strtoull` does where [`parse_i64`] finds none: after blanks and a sign, up
/// to the end or a zero byte; a minus sign counts back from 2^64.
pub fn parse_u64_loosely(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_i64(text) {
        return number.try_into().ok();
    }
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'))?;
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Reads a double, such as a score, which must be all of `text`: decimal, or an infinity.
///
/// `None` if the text is no number or is `nan`, or if the number is too large or too small to be
/// distinguished from an infinity or from zero.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let number = parse_decimal(text)?;
    let is_zero = || {
        let digits = text.iter().take_while(|byte| !byte.eq_ignore_ascii_case(&b'e'));
        !digits.clone().any(|digit| matches!(digit, b'1'..=b'9'))
    };
    let in_range = match number {
        0.0 => is_zero(),
        _ if number.is_infinite() => !text.iter().any(u8::is_ascii_digit),
        _ => true,
    };
    in_range.then_some(number)
}

/// Reads a double as C's `strtod` does up to the end or a zero byte: text without a number is zero,
/// and a number out of range is an infinity or zero.
pub fn parse_f64_loosely(text: &[u8]) -> Option<f64> {
    match text.split(|byte| *byte == 0).next().unwrap_or_default() {
        [] => Some(0.0),
        text => parse_decimal(text),
    }
}

/// The standard library's grammar is the same, except that it also has `nan`.
fn parse_decimal(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!number.is_nan()).then_some(number)
}

/// The integer that a double is, if it is one that is shown as such. (Minus zero counts as zero.)
pub fn as_integer(number: f64) -> Option<i64> {
    /// 2^62: Valkey shows no larger number as an integer.
    const LIMIT: f64 = (1u64 << 62) as f64;
    let integer = number as i64;
    (number.abs() <= LIMIT && integer as f64 == number).then_some(integer)
}

/// A double's text, as replies show it.
#[derive(Clone, Copy)]
pub struct F64Text {
    bytes: [u8; Self::LONGEST],
    len: usize,
}

impl F64Text {
    /// Seventeen digits, seven zeros before or after them, a sign and a point, and some room.
    const LONGEST: usize = 32;

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

impl Write for F64Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl Deref for F64Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// How a double is shown: an integer with all its digits, any other number with as few as tell it
/// apart, and with an exponent where it would have many zeros.
pub fn format_f64(number: f64) -> F64Text {
    let mut text = F64Text { bytes: [0; F64Text::LONGEST], len: 0 };
    if number.is_nan() {
        text.push(b"nan");
        return text;
    }
    match as_integer(number) {
        Some(integer) if number.to_bits() != (-0.0f64).to_bits() => {
            text.push(itoa::Buffer::new().format(integer).as_bytes());
        }
        _ => push_shortest(&mut text, number),
    }
    text
}

/// A double's text with as few digits as tell it apart, and with an exponent where it would have many
/// zeros, even if it is an integer: what digests are made of. `number` is not NaN.
pub fn format_f64_shortest(number: f64) -> F64Text {
    let mut text = F64Text { bytes: [0; F64Text::LONGEST], len: 0 };
    push_shortest(&mut text, number);
    text
}

fn push_shortest(text: &mut F64Text, number: f64) {
    if number.is_sign_negative() {
        text.push(b"-");
    }
    match number.abs() {
        0.0 => text.push(b"0"),
        f64::INFINITY => text.push(b"inf"),
        magnitude => push_decimal(text, magnitude),
    }
}

/// A double with 17 significant digits, as C's `%.17g` writes it: ZSCAN shows the scores of a big
/// sorted set in this form.
pub fn format_f64_in_full(number: f64) -> String {
    const DIGITS: i32 = 17;
    if !number.is_finite() {
        return String::from_utf8_lossy(&format_f64(number)).into_owned();
    }
    let scientific = format!("{number:.*e}", DIGITS as usize - 1);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent = exponent.parse::<i32>().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..DIGITS).contains(&exponent) {
        return trim(&format!("{number:.*}", (DIGITS - 1 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(digits), exponent.abs())
}

fn push_decimal(text: &mut F64Text, magnitude: f64) {
    const ZEROS: [u8; 7] = [b'0'; 7];
    let shortest::Decimal { digits, len, exponent } = shortest::decimal(magnitude);
    let digits = &digits[..len];
    // The exponent of the first digit: where the point is if it follows that digit.
    let leading = exponent + len as i32 - 1;
    match exponent {
        0..=7 => {
            text.push(digits);
            text.push(&ZEROS[..exponent as usize]);
        }
        // The point is among the digits, or a few zeros before them.
        ..0 if exponent > -7 || leading.abs() < 4 => match usize::try_from(leading + 1) {
            Ok(whole @ 1..) => {
                text.push(&digits[..whole]);
                text.push(b".");
                text.push(&digits[whole..]);
            }
            _ => {
                text.push(b"0.");
                text.push(&ZEROS[..(-leading - 1) as usize]);
                text.push(digits);
            }
        },
        _ => {
            text.push(&digits[..1]);
            if len > 1 {
                text.push(b".");
                text.push(&digits[1..]);
            }
            let _ = write!(text, "e{leading:+}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies of Valkey 9.1.2 to ZADD and ZSCORE.
    #[test]
    fn doubles_are_read_as_scores_are() {
        for (text, number) in [
            ("inf", f64::INFINITY),
            ("+INF", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("1.", 1.0),
            (".5", 0.5),
            ("-.5", -0.5),
            ("+1", 1.0),
            ("1.e5", 100_000.0),
            ("1E0005", 100_000.0),
            ("00012", 12.0),
            ("1e-320", 1e-320),
            ("4.9e-324", 5e-324),
            ("1.7976931348623158e308", f64::MAX),
            ("0e99999999999", 0.0),
            ("0.0000000000000e-9999", 0.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), Some(number), "{text:?}");
        }
        for text in [
            "",
            ".",
            "+",
            "e",
            ".e5",
            " 1",
            "1 ",
            "1\n",
            "\t1",
            "1\0",
            "nan",
            "NaN",
            "-nan",
            "nan(1)",
            "infin",
            "1x",
            "1e",
            "1e+",
            "--1",
            "+-1",
            "1_0",
            "0x10",
            "0x",
            "1,5",
            "1d",
            "1.5.5",
            "1e400",
            "-1e400",
            "1e-400",
            "2e-324",
            "1.7976931348623159e308",
            "\u{661}",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(
            parse_f64(&[&[b'1'; 5000][..], b"e-4999"].concat()),
            Some(1.111_111_111_111_111_2)
        );
    }

    /// Replies of Valkey 9.1.2 to ZCOUNT.
    #[test]
    fn bounds_are_read_more_loosely() {
        for (text, number) in [
            ("", 0.0),
            ("\0", 0.0),
            ("1\0zz", 1.0),
            ("1e400", f64::INFINITY),
            ("-1e400", f64::NEG_INFINITY),
            ("1e-400", 0.0),
        ] {
            assert_eq!(parse_f64_loosely(text.as_bytes()), Some(number), "{text:?}");
        }
        for text in ["i\0nf", ".", " 1", "1 ", "nan", "0x10", "1e", "-"] {
            assert_eq!(parse_f64_loosely(text.as_bytes()), None, "{text:?}");
        }
    }

    /// Replies of Valkey 9.1.2 to ZSCORE.
    #[test]
    fn doubles_are_shown_as_scores_are() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-1.0, "-1"),
            (0.1, "0.1"),
            (1e18, "1000000000000000000"),
            (1e19, "1e+19"),
            (5e18, "5e+18"),
            (1e100, "1e+100"),
            // Not the shortest: "1e+23" is the same number.
            (1e23, "99999999999999990000000"),
            (-1.2345e21, "-1234499999999999900000"),
            (1_234_567_890_123_456_789.0, "1234567890123456768"),
            (12_345_678_901_234_567_890.0, "12345678901234567000"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (4_611_686_018_427_388_928.0, "4611686018427389000"),
            (-9_223_372_036_854_775_808.0, "-9223372036854776000"),
            (18_446_744_073_709_551_616.0, "18446744073709552000"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (-1.5e-9, "-1.5e-9"),
            (1.234e-5, "1.234e-5"),
            (0.000_123_456, "1.23456e-4"),
            (0.00012345, "1.2345e-4"),
            (0.01234, "0.01234"),
            (1234567.891, "1234567.891"),
            (-1234.567890123456, "-1234.567890123456"),
            (123.456_789_012_3, "123.4567890123"),
            (12_345.678_901_23, "1.234567890123e+4"),
            (123_456_789.123_456_79, "1.2345678912345679e+8"),
            (3.333_333_333_333_333_5, "3.3333333333333335"),
            (0.30000000000000004, "0.30000000000000004"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(std::str::from_utf8(&format_f64(number)).unwrap(), text);
        }
    }

    /// Output of C's printf.
    #[test]
    fn seventeen_digits_are_shown_in_full() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-100.0, "-100"),
            (0.1, "0.10000000000000001"),
            (336524.2930754132, "336524.29307541321"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (-1.5e300, "-1.5000000000000001e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(format_f64_in_full(number), text);
        }
    }

    #[test]
    fn every_double_comes_back_from_its_text() {
        let mut state = 1u64;
        for _ in 0..200_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let number = f64::from_bits(state ^ state >> 32);
            if number.is_finite() {
                assert_eq!(parse_f64(&format_f64(number)), Some(number));
            }
        }
    }

    #[test]
    fn only_the_canonical_form_is_a_number() {
        for number in [0, 1, -1, 10, 42, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1] {
            assert_eq!(parse_i64(number.to_string().as_bytes()), Some(number));
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            " 1",
            "1 ",
            "1a",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "1.0",
            "--1",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }
}
