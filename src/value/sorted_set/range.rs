//! Ranges of scores and of members, as ZRANGEBYSCORE and ZRANGEBYLEX take them.

use std::cmp::Ordering;

use crate::number::parse_f64_loosely;

/// From one score to another.
#[derive(Clone, Copy, Debug)]
pub struct ScoreRange {
    min: Bound<f64>,
    max: Bound<f64>,
}

/// From one member to another, in the order of their bytes.
#[derive(Clone, Copy, Debug)]
pub struct LexRange<'a> {
    min: Bound<Extended<'a>>,
    max: Bound<Extended<'a>>,
}

/// An end of a range.
#[derive(Clone, Copy, Debug)]
struct Bound<T> {
    at: T,
    /// The end itself is not in the range.
    exclusive: bool,
}

/// A member, or a bound before or after all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Extended<'a> {
    Least,
    Member(&'a [u8]),
    Greatest,
}

impl<T: PartialOrd> Bound<T> {
    /// Whether this lower bound excludes the value.
    fn is_above(&self, other: &T) -> bool {
        *other < self.at || (self.exclusive && *other == self.at)
    }

    /// Whether this upper bound excludes the value.
    fn is_below(&self, other: &T) -> bool {
        *other > self.at || (self.exclusive && *other == self.at)
    }
}

impl Bound<f64> {
    fn parse(text: &[u8]) -> Option<Self> {
        let (exclusive, text) = match text {
            [b'(', text @ ..] => (true, text),
            text => (false, text),
        };
        Some(Bound { at: parse_f64_loosely(text)?, exclusive })
    }
}

impl<'a> Bound<Extended<'a>> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        Some(match text {
            b"-" => Bound { at: Extended::Least, exclusive: false },
            b"+" => Bound { at: Extended::Greatest, exclusive: false },
            [b'[', member @ ..] => Bound { at: Extended::Member(member), exclusive: false },
            [b'(', member @ ..] => Bound { at: Extended::Member(member), exclusive: true },
            _ => return None,
        })
    }
}

impl ScoreRange {
    /// `None` if one of the ends is not a number.
    pub fn parse(min: &[u8], max: &[u8]) -> Option<ScoreRange> {
        Some(ScoreRange { min: Bound::<f64>::parse(min)?, max: Bound::<f64>::parse(max)? })
    }

    /// From one score to another, with both.
    pub fn between(min: f64, max: f64) -> ScoreRange {
        let bound = |at| Bound { at, exclusive: false };
        ScoreRange { min: bound(min), max: bound(max) }
    }

    /// From one score up to another, which is not in the range.
    pub fn before(min: f64, end: f64) -> ScoreRange {
        ScoreRange {
            min: Bound { at: min, exclusive: false },
            max: Bound { at: end, exclusive: true },
        }
    }

    /// No score can be in the range.
    pub fn is_empty(&self) -> bool {
        self.max.is_below(&self.min.at) || self.min.is_above(&self.max.at)
    }

    /// The score comes before the range.
    #[inline]
    pub fn is_after(&self, score: f64) -> bool {
        self.min.is_above(&score)
    }

    /// The score comes after the range.
    #[inline]
    pub fn is_before(&self, score: f64) -> bool {
        self.max.is_below(&score)
    }
}

impl<'a> LexRange<'a> {
    /// `None` if one of the ends is neither `-` nor `+` and begins with neither `[` nor `(`.
    pub fn parse(min: &'a [u8], max: &'a [u8]) -> Option<LexRange<'a>> {
        Some(LexRange { min: Bound::<Extended>::parse(min)?, max: Bound::<Extended>::parse(max)? })
    }

    /// No member can be in the range.
    pub fn is_empty(&self) -> bool {
        match self.min.at.cmp(&self.max.at) {
            Ordering::Less => false,
            Ordering::Equal => self.min.exclusive || self.max.exclusive,
            Ordering::Greater => true,
        }
    }

    /// The member comes before the range.
    #[inline]
    pub fn is_after(&self, member: &[u8]) -> bool {
        self.min.is_above(&Extended::Member(member))
    }

    /// The member comes after the range.
    #[inline]
    pub fn is_before(&self, member: &[u8]) -> bool {
        self.max.is_below(&Extended::Member(member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_in_a_range_or_beside_it() {
        let range = ScoreRange::parse(b"(1", b"2").unwrap();
        let places = [0.0, 1.0, 1.5, 2.0, 2.5].map(|s| (range.is_after(s), range.is_before(s)));
        let (before, within, after) = ((true, false), (false, false), (false, true));
        assert_eq!(places, [before, before, within, within, after]);
        for (min, max, is_empty) in [
            ("1", "1", false),
            ("(1", "1", true),
            ("1", "(1", true),
            ("2", "1", true),
            ("-inf", "+inf", false),
            ("", "", false),
        ] {
            let range = ScoreRange::parse(min.as_bytes(), max.as_bytes()).unwrap();
            assert_eq!(range.is_empty(), is_empty, "{min} {max}");
        }
        assert!(ScoreRange::parse(b"((1", b"2").is_none());
        assert!(ScoreRange::parse(b"1", b"nan").is_none());
    }

    #[test]
    fn members_are_in_a_range_or_beside_it() {
        let range = LexRange::parse(b"[b", b"(d").unwrap();
        let places =
            [&b"a"[..], b"b", b"c", b"d", b"da"].map(|m| (range.is_after(m), range.is_before(m)));
        let (before, within, after) = ((true, false), (false, false), (false, true));
        assert_eq!(places, [before, within, within, after, after]);
        for (min, max, is_empty) in [
            ("-", "+", false),
            ("+", "-", true),
            ("-", "-", false),
            ("[a", "[a", false),
            ("(a", "[a", true),
            ("[b", "[a", true),
            ("(+", "-", true),
        ] {
            let range = LexRange::parse(min.as_bytes(), max.as_bytes()).unwrap();
            assert_eq!(range.is_empty(), is_empty, "{min} {max}");
        }
        for bad in ["", "a", "-a", "+a", "++"] {
            assert!(LexRange::parse(bad.as_bytes(), b"+").is_none(), "{bad:?}");
        }
    }
}
