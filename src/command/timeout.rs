//! How long a blocking command waits.

use super::{CommandError, Result};
use crate::number::extended::Extended;
use crate::number::{parse_f64, parse_i64};

const OUT_OF_RANGE: CommandError = CommandError::of("ERR timeout is out of range");
const NEGATIVE: CommandError = CommandError::of("ERR timeout is negative");

/// Reads a timeout in seconds, which may have a fraction: the deadline in milliseconds of Unix time,
/// or `None` for 0, which waits for ever.
pub fn seconds(text: &[u8], now: i64) -> Result<Option<i64>> {
    let seconds = match parse_f64(text) {
        Some(seconds) => seconds,
        // Too great for a double, but not for Valkey's `long double`.
        None if Extended::parse(text).is_some() => f64::INFINITY,
        None => {
            return Err(CommandError::of("ERR timeout is not a float or out of range"));
        }
    };
    let milliseconds = (seconds * 1000.0).ceil();
    if milliseconds > i64::MAX as f64 {
        return Err(OUT_OF_RANGE);
    }
    deadline(milliseconds as i64, now)
}

/// Reads a timeout in milliseconds, likewise.
pub fn milliseconds(text: &[u8], now: i64) -> Result<Option<i64>> {
    let milliseconds =
        parse_i64(text).ok_or(CommandError::of("ERR timeout is not an integer or out of range"))?;
    deadline(milliseconds, now)
}

fn deadline(milliseconds: i64, now: i64) -> Result<Option<i64>> {
    match milliseconds {
        ..0 => Err(NEGATIVE),
        0 => Ok(None),
        _ => milliseconds.checked_add(now).map(Some).ok_or(OUT_OF_RANGE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_counts_as_a_whole_millisecond() {
        assert_eq!(seconds(b"0", 100), Ok(None));
        assert_eq!(seconds(b"1.5", 100), Ok(Some(1600)));
        assert_eq!(seconds(b"0.0001", 100), Ok(Some(101)));
        assert_eq!(milliseconds(b"7", 100), Ok(Some(107)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let not_float = CommandError::of("ERR timeout is not a float or out of range");
        for text in [&b"x"[..], b"nan", b"1.5abc", b"", b" 1"] {
            assert_eq!(seconds(text, 0), Err(not_float.clone()), "{text:?}");
        }
        for text in [&b"inf"[..], b"1e400", b"99999999999999999", b"9223372036854775"] {
            assert_eq!(seconds(text, 1 << 40), Err(OUT_OF_RANGE), "{text:?}");
        }
        assert_eq!(seconds(b"-1", 0), Err(NEGATIVE));
        assert_eq!(milliseconds(b"9223372036854775807", 1), Err(OUT_OF_RANGE));
    }
}
