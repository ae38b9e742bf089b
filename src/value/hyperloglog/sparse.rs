//! The sparse encoding: runs of registers with the same value.
//!
//! ```text
//! 00xxxxxx           x + 1 zeros
//! 01xxxxxx xxxxxxxx  x + 1 zeros, the high bits first
//! 1vvvvvxx           x + 1 registers of value v + 1
//! ```

use std::fmt;
use std::ops::Range;

use smallvec::SmallVec;

use super::estimate::Histogram;
use super::{Claim, Corrupt, Cursor, REGISTERS};

/// The greatest value that a run can have.
const MAX_VALUE: u8 = 32;

/// The longest run of a value, and of zeros that takes one byte.
const MAX_VALUES: usize = 4;
const MAX_SHORT: usize = 64;

/// Runs that are examined for equal neighbours after a change: the changed run may have become three,
/// with one before and one after them.
const JOINED: usize = 5;

const LONG_ZEROS: u8 = 0x40;
const VALUES: u8 = 0x80;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Zeros { len: usize, is_long: bool },
    Values { value: u8, len: usize },
}

impl Run {
    /// The run that begins at `at`, which is inside. Where a run of two bytes is cut off, the missing
    /// byte counts as zero.
    const fn decode(bytes: &[u8], at: usize) -> Run {
        let byte = bytes[at];
        let low = (byte & 0x3f) as usize;
        if byte & VALUES != 0 {
            Run::Values { value: (byte >> 2 & 0x1f) + 1, len: (low & 3) + 1 }
        } else if byte & LONG_ZEROS == 0 {
            Run::Zeros { len: low + 1, is_long: false }
        } else {
            let next = if at + 1 < bytes.len() { bytes[at + 1] } else { 0 };
            Run::Zeros { len: (low << 8 | next as usize) + 1, is_long: true }
        }
    }

    fn zeros(len: usize) -> Run {
        Run::Zeros { len, is_long: len > MAX_SHORT }
    }

    /// Registers.
    pub(super) fn len(self) -> usize {
        match self {
            Run::Zeros { len, .. } | Run::Values { len, .. } => len,
        }
    }

    pub(super) fn value(self) -> u8 {
        match self {
            Run::Zeros { .. } => 0,
            Run::Values { value, .. } => value,
        }
    }

    /// Bytes.
    fn size(self) -> usize {
        match self {
            Run::Zeros { is_long: true, .. } => 2,
            _ => 1,
        }
    }

    /// This run with another length.
    fn resized(self, len: usize) -> Run {
        match self {
            Run::Zeros { .. } => Run::zeros(len),
            Run::Values { value, .. } => Run::Values { value, len },
        }
    }

    fn encode(self, into: &mut SmallVec<[u8; 5]>) {
        let low = self.len() - 1;
        match self {
            Run::Zeros { is_long: false, .. } => into.push(low as u8),
            Run::Zeros { is_long: true, .. } => {
                into.extend([LONG_ZEROS | (low >> 8) as u8, low as u8]);
            }
            Run::Values { value, .. } => into.push(VALUES | (value - 1) << 2 | low as u8),
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Run::Zeros { len, is_long: true } => write!(f, "Z:{len}"),
            Run::Zeros { len, is_long: false } => write!(f, "z:{len}"),
            Run::Values { value, len } => write!(f, "v:{value},{len}"),
        }
    }
}

/// All runs of the bytes that follow the header.
pub(super) fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let run = (at < bytes.len()).then(|| Run::decode(bytes, at))?;
        at += run.size();
        Some(run)
    })
}

/// All runs with their registers; there must be as many registers as there should be.
fn for_each_run(bytes: &[u8], mut each: impl FnMut(Run, Range<usize>)) -> Result<(), Corrupt> {
    let mut first = 0;
    for run in runs(bytes) {
        let end = first + run.len();
        if end > REGISTERS {
            return Err(Corrupt);
        }
        each(run, first..end);
        first = end;
    }
    if first == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

/// Raises registers to those of a sparse one, where these are higher; if it is corrupt, some of them.
///
/// In most of them, values of one register and short runs of zeros alternate. Two such pairs are
/// recognized by one comparison, since a branch that is mispredicted costs more than the work itself.
pub(super) fn merge(bytes: &[u8], registers: &mut [u8; REGISTERS]) -> Result<(), Corrupt> {
    const ONE_VALUE: u8 = VALUES | (MAX_VALUES - 1) as u8;
    const NOT_SHORT: u8 = VALUES | LONG_ZEROS;
    const PAIRS: u32 = u32::from_le_bytes([VALUES, 0, VALUES, 0]);
    const MASK: u32 = u32::from_le_bytes([ONE_VALUE, NOT_SHORT, ONE_VALUE, NOT_SHORT]);
    let value = |byte: u8| (byte >> 2 & 0x1f) + 1;
    let (mut at, mut first) = (0, 0);
    while let Some(&[one, next, third, fourth]) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        if u32::from_le_bytes([one, next, third, fourth]) & MASK == PAIRS
            && first < REGISTERS - (1 + MAX_SHORT)
        {
            registers[first] = value(one).max(registers[first]);
            first += usize::from(next) + 2;
            registers[first] = value(third).max(registers[first]);
            first += usize::from(fourth) + 2;
            at += 4;
        } else if one & ONE_VALUE == VALUES {
            let register = registers.get_mut(first).ok_or(Corrupt)?;
            *register = value(one).max(*register);
            if next & NOT_SHORT == 0 {
                first += usize::from(next) + 2;
                at += 2;
            } else if next & VALUES == 0 {
                first += usize::from(u16::from_be_bytes([next & 0x3f, third])) + 2;
                at += 3;
            } else {
                first += 1;
                at += 1;
            }
        } else {
            let run = Run::decode(bytes, at);
            merge_run(run, first, registers)?;
            first += run.len();
            at += run.size();
        }
    }
    while at < bytes.len() {
        let run = Run::decode(bytes, at);
        merge_run(run, first, registers)?;
        first += run.len();
        at += run.size();
    }
    if first == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

/// Raises the registers of a run that begins with `first`.
fn merge_run(run: Run, first: usize, registers: &mut [u8; REGISTERS]) -> Result<(), Corrupt> {
    if let Run::Values { value, len } = run {
        let registers = registers.get_mut(first..first + len).ok_or(Corrupt)?;
        registers.iter_mut().for_each(|register| *register = value.max(*register));
    }
    Ok(())
}

pub(super) fn histogram(bytes: &[u8]) -> Result<Histogram, Corrupt> {
    let mut histogram = [0; _];
    for_each_run(bytes, |run, registers| {
        histogram[usize::from(run.value())] += registers.len() as u32;
    })?;
    Ok(histogram)
}

/// The replacement of a run that raises a register.
pub(super) struct Change {
    at: usize,
    /// Bytes of the old run.
    old: usize,
    /// The new runs; none if they cannot hold the value.
    new: SmallVec<[u8; 5]>,
}

/// Finds the run that a claim is about, from `start` on, and how it must change, if it must. The
/// returned cursor is at the run before it.
pub(super) fn find(
    bytes: &[u8],
    claim: Claim,
    start: Cursor,
) -> Result<(Cursor, Option<Change>), Corrupt> {
    let mut cursor = start;
    let Cursor { mut at, mut first } = start;
    let run = loop {
        if at >= bytes.len() {
            return Err(Corrupt);
        }
        let run = Run::decode(bytes, at);
        if claim.register < first + run.len() {
            break run;
        }
        cursor = Cursor { at, first };
        at += run.size();
        first += run.len();
    };
    if run.value() >= claim.value {
        return Ok((cursor, None));
    }
    if at == start.at && start != Cursor::start() {
        // The run before it is not known.
        return find(bytes, claim, Cursor::start());
    }
    let mut new = SmallVec::new();
    if claim.value <= MAX_VALUE {
        let before = claim.register - first;
        let after = run.len() - before - 1;
        if before > 0 {
            run.resized(before).encode(&mut new);
        }
        Run::Values { value: claim.value, len: 1 }.encode(&mut new);
        if after > 0 {
            run.resized(after).encode(&mut new);
        }
    }
    Ok((cursor, Some(Change { at, old: run.size(), new })))
}

impl Change {
    /// Whether the sparse encoding can take the change.
    pub(super) fn fits(&self, len: usize, limit: u64) -> bool {
        let longer = self.new.len().saturating_sub(self.old);
        !self.new.is_empty() && (longer == 0 || (len + longer) as u64 <= limit)
    }

    /// Makes the change, and joins equal neighbours around it. `before` is the run before the changed
    /// one.
    pub(super) fn apply(self, bytes: &mut Vec<u8>, before: Cursor) {
        let len = bytes.len() + self.new.len() - self.old;
        let end = bytes.len().min(self.at + self.old);
        bytes.splice(self.at..end, self.new);
        // The old run may have been cut off; the new ones are then, too.
        bytes.truncate(len);
        join(bytes, before.at);
    }
}

/// Joins runs of the same value, up to a few from `at` on, where one can hold both.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOINED {
        if at >= bytes.len() {
            return;
        }
        let run = Run::decode(bytes, at);
        if let Run::Values { value, len } = run
            && at + 1 < bytes.len()
            && let Run::Values { value: next, len: more } = Run::decode(bytes, at + 1)
            && value == next
            && len + more <= MAX_VALUES
        {
            // The joined run may be joined with the next one, too.
            bytes.remove(at);
            bytes[at] += len as u8;
        } else {
            at += run.size();
        }
    }
}
