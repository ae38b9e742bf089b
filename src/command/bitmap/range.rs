//! BITCOUNT, BITPOS.

use std::ops::Range;

use crate::bits;
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result,
};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "bitcount",
        arity: -2,
        flags: Flags::READONLY,
        acl: Categories::BITMAP,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        group: Group::Bitmap,
        run: bitcount,
        ..Command::DEFAULT
    },
    Command {
        name: "bitpos",
        arity: -3,
        flags: Flags::READONLY,
        acl: Categories::BITMAP,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        group: Group::Bitmap,
        run: bitpos,
        ..Command::DEFAULT
    },
];

/// `[start [end [BYTE|BIT]]]`: both ends are included and count from the end if they are negative.
struct Span {
    start: i64,
    end: Option<i64>,
    /// Bits of what the ends count.
    unit: i64,
}

impl Span {
    fn parse(args: Args<'_>) -> Result<Span> {
        if args.len() > 3 {
            return Err(CommandError::SYNTAX);
        }
        let number = |text| parse_i64(text).ok_or(CommandError::NOT_INTEGER);
        let start = args.get(0).map(number).transpose()?.unwrap_or(0);
        // The unit is looked at before the end, which it follows.
        let unit = match args.get(2) {
            None => 8,
            Some(word) if word.eq_ignore_ascii_case(b"byte") => 8,
            Some(word) if word.eq_ignore_ascii_case(b"bit") => 1,
            Some(_) => return Err(CommandError::SYNTAX),
        };
        let end = args.get(1).map(number).transpose()?;
        Ok(Span { start, end, unit })
    }

    /// Whether both ends count from the string's end and are in the wrong order. They may be moved to
    /// the same place where the string begins.
    fn is_backwards(&self) -> bool {
        self.end.is_some_and(|end| self.start < 0 && end < 0 && self.start > end)
    }

    /// The bits of a string of `len` bytes.
    fn bits(&self, len: usize) -> Range<usize> {
        let (start, end) = (self.start, self.end.unwrap_or(-1));
        let len = 8 * len as i64 / self.unit;
        let index = |at: i64| if at < 0 { (at + len).max(0) } else { at };
        let start = index(start);
        // The end that is not included.
        let end = index(end).min(len - 1) + 1;
        if start < end { (start * self.unit) as usize..(end * self.unit) as usize } else { 0..0 }
    }
}

fn bitcount(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let span = Span::parse(args.from(2))?;
    let count = match cx.read(&cx.key()) {
        Some(entry) => {
            let mut digits = itoa::Buffer::new();
            let string = entry.string(&mut digits)?;
            if span.is_backwards() { 0 } else { bits::count(string, span.bits(string.len())) }
        }
        None => 0,
    };
    out.integer(count as i64);
    Ok(())
}

fn bitpos(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let bit = match parse_i64(&args[2]).ok_or(CommandError::NOT_INTEGER)? {
        0 => false,
        1 => true,
        _ => return Err("ERR The bit argument must be 1 or 0.".into()),
    };
    let span = Span::parse(args.from(3))?;
    let position = match cx.read(&cx.key()) {
        Some(entry) => {
            let mut digits = itoa::Buffer::new();
            let string = entry.string(&mut digits)?;
            let range = span.bits(string.len());
            match bits::find(string, range.clone(), bit) {
                Some(position) => position as i64,
                // A string whose end was not asked for goes on with zeros.
                None if !bit && span.end.is_none() && !range.is_empty() => range.end as i64,
                None => -1,
            }
        }
        None if bit => -1,
        None => 0,
    };
    out.integer(position);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_count_bytes_or_bits_from_both_ends() {
        for (start, end, unit, expected) in [
            (0, None, 8, 0..24),
            (1, None, 8, 8..24),
            (0, Some(-1), 8, 0..24),
            (-2, Some(-2), 8, 8..16),
            (-100, Some(-50), 8, 0..8),
            (-50, Some(-100), 8, 0..8),
            (3, None, 8, 0..0),
            (5, Some(8), 1, 5..9),
            (-1, Some(100), 1, 23..24),
            (i64::MIN, Some(i64::MAX), 1, 0..24),
            (i64::MAX, Some(i64::MAX), 1, 0..0),
        ] {
            assert_eq!(Span { start, end, unit }.bits(3), expected, "{start} {end:?} {unit}");
        }
        assert_eq!(Span { start: 0, end: None, unit: 8 }.bits(0), 0..0);
    }
}
