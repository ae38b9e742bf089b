//! LZF, the compression of strings in RDB payloads.
//!
//! Compressed bytes are a sequence of runs, each behind a control byte. Below 32 it says that so many
//! literal bytes and one more follow. Otherwise its upper three bits are a length, of which 7 means
//! that the next byte is to be added, and its lower five bits and one more byte are a distance: the
//! run repeats length + 2 bytes from distance + 1 bytes ago.
//!
//! No crate serves: the one on crates.io (`lzf`) has been deprecated by its author, returns a buffer of
//! its own instead of appending to a payload, and cannot stop at a limit. The format leaves open which
//! repetitions are found, so the bytes need not be Valkey's.

use std::ops::Range;

/// Literal bytes of one run.
const MAX_LITERALS: usize = 32;
/// Bytes that one repetition can stand for.
const MAX_REPEAT: usize = 264;
const MIN_REPEAT: usize = 3;
/// The greatest distance of a repetition.
const MAX_DISTANCE: usize = 1 << 13;

/// After so many bytes without a repetition, one in two positions is looked at, after twice as many one
/// in three, and so on. Random bytes take a sixth of the time, and text gets less than 2 % longer.
const SKIP_AFTER: usize = 64;
/// Positions that are passed over at the most.
const MAX_SKIP: usize = 31;

/// Positions at the end of a repetition that are noted; the others are not, to save time.
const NOTED: usize = 2;

/// Bits of the hash that chooses a place in the table: with four places for each position that a
/// repetition reaches, text gets 4 % shorter than with one, and takes no longer.
const HASH_BITS: u32 = 15;

/// Finds repetitions by a table of the last positions of three bytes each. It may be used for any number
/// of inputs, and is not cleared in between.
pub struct Compressor {
    /// Positions, counted over all inputs.
    seen: Box<[u32; 1 << HASH_BITS]>,
    /// The position at which the next input begins. All in the table are smaller.
    next: u32,
}

impl Default for Compressor {
    fn default() -> Self {
        let seen = vec![0; 1 << HASH_BITS].into_boxed_slice();
        Compressor { seen: seen.try_into().expect("the lengths are the same"), next: 1 }
    }
}

impl Compressor {
    /// Appends `input` to `out`, compressed, if that takes at most `limit` bytes. Otherwise `out` is
    /// as it was. Says whether it did.
    pub fn compress(&mut self, input: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        let Some(base) = self.begin(input.len()) else { return false };
        let start = out.len();
        let mut runs = Runs { out, buffer: [0; BUFFER], filled: 0 };
        let mut literals = 0;
        let mut at = 0;
        while let Some(bytes) = three_bytes(input, at) {
            // One that is none, or of another input, is far beyond the end.
            let from = self.note(bytes, base + at as u32).wrapping_sub(base) as usize;
            if at.wrapping_sub(from) > MAX_DISTANCE || three_bytes(input, from) != Some(bytes) {
                at += 1 + ((at - literals) / SKIP_AFTER).min(MAX_SKIP);
                continue;
            }
            let more = common_prefix(&input[from + MIN_REPEAT..], &input[at + MIN_REPEAT..]);
            let len = MIN_REPEAT + more.min(MAX_REPEAT - MIN_REPEAT);
            runs.push_literals(input, literals..at);
            runs.push_repeat(at - from, len);
            at += len;
            literals = at;
            for position in at - NOTED..at {
                if let Some(bytes) = three_bytes(input, position) {
                    self.note(bytes, base + position as u32);
                }
            }
            if runs.len() - start > limit {
                break;
            }
        }
        let rest = input.len() - literals;
        let fits = runs.len() - start + rest + rest.div_ceil(MAX_LITERALS) <= limit;
        if fits {
            runs.push_literals(input, literals..input.len());
            runs.flush();
        } else {
            out.truncate(start);
        }
        fits
    }

    /// The position at which an input begins. `None` if it has more positions than there are.
    fn begin(&mut self, len: usize) -> Option<u32> {
        let len = u32::try_from(len).ok().filter(|len| *len < u32::MAX)?;
        if self.next.checked_add(len).is_none() {
            self.seen.fill(0);
            self.next = 1;
        }
        let base = self.next;
        self.next += len;
        Some(base)
    }

    /// Notes a position of three bytes, and gives the last one before.
    #[inline]
    fn note(&mut self, bytes: u32, position: u32) -> u32 {
        let hash = bytes.wrapping_mul(0x9e37_79b1) >> (u32::BITS - HASH_BITS);
        std::mem::replace(&mut self.seen[hash as usize], position)
    }
}

/// Three bytes as a number. `None` where fewer than four are left.
#[inline]
fn three_bytes(input: &[u8], at: usize) -> Option<u32> {
    let four = input.get(at..at + 4)?;
    Some(u32::from_le_bytes(*four.first_chunk()?) & 0xff_ffff)
}

/// The number of equal bytes at the start of `a`, which is the longer one, and `b`: at the most as many
/// as a repetition can have.
#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let most = b.len().min(MAX_REPEAT);
    let (a, b) = (&a[..most], &b[..most]);
    let mut len = 0;
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if difference != 0 {
            return len + difference.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + a[len..].iter().zip(&b[len..]).take_while(|(a, b)| a == b).count()
}

/// Bytes of runs that are appended to the output at once.
const BUFFER: usize = 1024;

/// Bytes of the longest run.
const MAX_RUN: usize = 1 + MAX_LITERALS;

/// Writes runs. They pass through a small buffer, where a copy of constant length takes the place of
/// one of any length, which costs most of the time that a short run takes.
struct Runs<'a> {
    out: &'a mut Vec<u8>,
    buffer: [u8; BUFFER],
    filled: usize,
}

impl Runs<'_> {
    /// Bytes of the output, with those that are still in the buffer.
    fn len(&self) -> usize {
        self.out.len() + self.filled
    }

    fn flush(&mut self) {
        self.out.extend_from_slice(&self.buffer[..self.filled]);
        self.filled = 0;
    }

    /// Room for one run, of which what is used is added to `filled` afterwards.
    #[inline]
    fn room(&mut self) -> &mut [u8; MAX_RUN] {
        if self.filled > BUFFER - MAX_RUN {
            self.flush();
        }
        self.buffer[self.filled..].first_chunk_mut().expect("the buffer was flushed")
    }

    #[inline]
    fn push_literals(&mut self, input: &[u8], range: Range<usize>) {
        for start in range.clone().step_by(MAX_LITERALS) {
            let len = MAX_LITERALS.min(range.end - start);
            let room = self.room();
            room[0] = len as u8 - 1;
            match input.get(start..start + MAX_LITERALS) {
                Some(all) => room[1..].copy_from_slice(all),
                None => room[1..=len].copy_from_slice(&input[start..start + len]),
            }
            self.filled += 1 + len;
        }
    }

    #[inline]
    fn push_repeat(&mut self, distance: usize, len: usize) {
        let (distance, len) = (distance - 1, len - 2);
        let far = (distance >> 8) as u8;
        let room = self.room();
        if len < 7 {
            room[..2].copy_from_slice(&[(len as u8) << 5 | far, distance as u8]);
            self.filled += 2;
        } else {
            room[..3].copy_from_slice(&[7 << 5 | far, (len - 7) as u8, distance as u8]);
            self.filled += 3;
        }
    }
}

/// Decompresses what has `len` bytes. `None` if it has not, or is no LZF.
pub fn decompress(mut input: &[u8], len: usize) -> Option<Vec<u8>> {
    // Nothing is compressed better than this, so no lie about the length allocates much.
    if len > input.len().saturating_mul(MAX_REPEAT) {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    while let Some(control) = take(&mut input) {
        let control = usize::from(control);
        if control < MAX_LITERALS {
            let literals = input.split_off(..=control)?;
            if literals.len() > len - out.len() {
                return None;
            }
            out.extend_from_slice(literals);
        } else {
            let run = match control >> 5 {
                7 => 9 + usize::from(take(&mut input)?),
                short => 2 + short,
            };
            let distance = 1 + ((control & 31) << 8 | usize::from(take(&mut input)?));
            let from = out.len().checked_sub(distance)?;
            if run > len - out.len() {
                return None;
            }
            // A run that reaches into itself doubles what there is of it.
            let end = out.len() + run;
            while out.len() < end {
                out.extend_from_within(from..out.len().min(from + end - out.len()));
            }
        }
    }
    (out.len() == len).then_some(out)
}

fn take(input: &mut &[u8]) -> Option<u8> {
    input.split_off_first().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compressed(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(Compressor::default().compress(input, usize::MAX, &mut out));
        out
    }

    #[test]
    fn what_other_servers_compressed_is_read() {
        assert_eq!(decompress(b"\x01aa\xe0\x0a\0", 21).unwrap(), [b'a'; 21]);
        assert_eq!(decompress(b"\x01aa\xe0\x57\0\x01aa", 100).unwrap(), [b'a'; 100]);
        assert_eq!(decompress(b"\x02abc\x20\x02", 6).unwrap(), b"abcabc");
        assert_eq!(decompress(b"", 0).unwrap(), b"");
    }

    #[test]
    fn what_is_damaged_is_refused() {
        for (input, len) in [
            (&b"\x01aa\xe0\x0a\0"[..], 20),
            (b"\x01aa\xe0\x0a\0", 22),
            (b"\x01aa\xe0\x0a\x05", 21),
            (b"\x01aa\xe0\x0a", 21),
            (b"\x01aa\xe0", 21),
            (b"\x05aa", 6),
            (b"\x20\0", 3),
            (b"", 1),
            (b"\0a", usize::MAX),
        ] {
            assert_eq!(decompress(input, len), None, "{input:?} {len}");
        }
    }

    #[test]
    fn repetitions_take_little_room() {
        assert!(compressed(&[b'x'; 10_000]).len() < 150);
        let text = b"a word, and the same word, and the same word again; ".repeat(20);
        assert!(compressed(&text).len() < text.len() / 8);
        // Farther back than a repetition reaches.
        let noise = (0..9000u32).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 24) as u8);
        let twice = noise.clone().chain(noise).collect::<Vec<_>>();
        assert_eq!(decompress(&compressed(&twice), twice.len()).unwrap(), twice);
    }

    #[test]
    fn random_bytes_in_between_do_not_hide_what_is_repeated_behind_them() {
        let noise = |len: u32| (0..len).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 24) as u8);
        let text = b"a word, and the same word, and the same word again; ".repeat(100);
        let input = noise(20_000).chain(text.iter().copied()).collect::<Vec<_>>();
        let mut out = compressed(&input);
        assert!(out.len() < 20_000 + 20_000 / 32 + text.len() / 8, "{} bytes", out.len());
        assert_eq!(decompress(&out, input.len()).unwrap(), input);
        out.pop();
        assert_eq!(decompress(&out, input.len()), None);
    }

    #[test]
    fn what_gets_too_long_leaves_nothing_behind() {
        let mut out = b"before".to_vec();
        let noise = (0..200u8).collect::<Vec<_>>();
        assert!(!Compressor::default().compress(&noise, 196, &mut out));
        assert_eq!(out, b"before");
        assert!(Compressor::default().compress(&[7; 200], 196, &mut out));
        assert!(out.starts_with(b"before") && out.len() < 20);
    }

    #[test]
    fn positions_that_are_used_up_begin_again() {
        let text = b"a word, and the same word, and the same word again; ".repeat(20);
        let mut compressor = Compressor { next: u32::MAX - 3000, ..Compressor::default() };
        let mut first = Vec::new();
        assert!(compressor.compress(&text, usize::MAX, &mut first));
        for _ in 0..3 {
            let mut out = Vec::new();
            assert!(compressor.compress(&text, usize::MAX, &mut out));
            assert_eq!(out, first);
            assert_eq!(decompress(&out, text.len()).as_ref(), Some(&text));
        }
        assert!((text.len() as u32..3000).contains(&compressor.next));
    }

    proptest! {
        #[test]
        fn what_is_compressed_is_decompressed(
            pieces in proptest::collection::vec((0u8..6, 1usize..400), 0..40),
        ) {
            let input = pieces.iter().flat_map(|&(byte, len)| (0..len).map(move |n| {
                if byte == 0 { (n * n) as u8 } else { byte }
            })).collect::<Vec<_>>();
            let mut compressor = Compressor::default();
            for _ in 0..2 {
                let mut out = Vec::new();
                prop_assert!(compressor.compress(&input, usize::MAX, &mut out));
                prop_assert_eq!(decompress(&out, input.len()), Some(input.clone()));
            }
        }

        #[test]
        fn any_bytes_are_decompressed_or_refused(
            input in proptest::collection::vec(any::<u8>(), 0..200), len in 0usize..5000,
        ) {
            if let Some(out) = decompress(&input, len) {
                prop_assert_eq!(out.len(), len);
            }
        }
    }
}
