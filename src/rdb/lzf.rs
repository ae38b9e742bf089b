//! LZF, the compression of strings in RDB payloads.
//!
//! Compressed bytes are a row of runs, each behind a control byte. Below 32 it says that so many
//! literal bytes and one more follow. Otherwise its upper three bits are a length, of which 7 means
//! that the next byte is to be added, and its lower five bits and one more byte are a distance: the
//! run repeats length + 2 bytes from distance + 1 bytes ago.

/// Literal bytes of one run.
const MAX_LITERALS: usize = 32;
/// Bytes that one repetition can stand for.
const MAX_REPEAT: usize = 264;
const MIN_REPEAT: usize = 3;
/// How far back a repetition reaches.
const MAX_DISTANCE: usize = 1 << 13;

/// Finds repetitions by a table of where three bytes were seen last. It is kept for the next call.
#[derive(Default)]
pub struct Compressor {
    /// Positions in the input, plus one; 0 is none.
    seen: Vec<u32>,
}

impl Compressor {
    /// Appends `input` to `out`, compressed, if that takes at most `limit` bytes. Otherwise `out` is
    /// as it was. Says whether it did.
    pub fn compress(&mut self, input: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        // Positions are 32 bits wide.
        if u32::try_from(input.len()).is_err() {
            return false;
        }
        let start = out.len();
        // A small input is not worth the clearing of a large table.
        let bits = input.len().max(64).ilog2().min(13);
        self.seen.clear();
        self.seen.resize(1 << bits, 0);
        let mut literals = 0;
        let mut at = 0;
        while at + MIN_REPEAT <= input.len() {
            let repeat =
                self.look_up(input, at, bits).map(|from| (from, repeat_len(input, from, at)));
            match repeat {
                Some((from, len)) if len >= MIN_REPEAT => {
                    push_literals(&input[literals..at], out);
                    push_repeat(at - from, len, out);
                    // What comes inside the run is found again as well, but not all of a long one.
                    for inside in at + 1..(at + len).min(at + 8) {
                        self.look_up(input, inside, bits);
                    }
                    at += len;
                    literals = at;
                }
                _ => at += 1,
            }
            if out.len() - start > limit {
                break;
            }
        }
        push_literals(&input[literals..], out);
        let fits = out.len() - start <= limit;
        if !fits {
            out.truncate(start);
        }
        fits
    }

    /// Where the three bytes at `at` were last seen, if that is near enough; notes that they are here
    /// too.
    fn look_up(&mut self, input: &[u8], at: usize, bits: u32) -> Option<usize> {
        let &[a, b, c] = input.get(at..at + MIN_REPEAT)?.first_chunk()?;
        let hash = u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9e37_79b1) >> (32 - bits);
        let seen = std::mem::replace(&mut self.seen[hash as usize], at as u32 + 1) as usize;
        seen.checked_sub(1).filter(|from| at - from <= MAX_DISTANCE)
    }
}

/// How many bytes at `at` are those at `from`, which may reach into what is at `at`.
fn repeat_len(input: &[u8], from: usize, at: usize) -> usize {
    let pairs = input[from..].iter().zip(&input[at..]);
    pairs.take(MAX_REPEAT).take_while(|(a, b)| a == b).count()
}

fn push_literals(literals: &[u8], out: &mut Vec<u8>) {
    for run in literals.chunks(MAX_LITERALS) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

fn push_repeat(distance: usize, len: usize, out: &mut Vec<u8>) {
    let (distance, len) = (distance - 1, len - 2);
    let far = (distance >> 8) as u8;
    if len < 7 {
        out.push((len as u8) << 5 | far);
    } else {
        out.extend([7 << 5 | far, (len - 7) as u8]);
    }
    out.push(distance as u8);
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
            if run <= distance {
                out.extend_from_within(from..from + run);
            } else {
                // The run repeats itself.
                (from..from + run).for_each(|index| out.push(out[index]));
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
    fn what_gets_too_long_leaves_nothing_behind() {
        let mut out = b"before".to_vec();
        let noise = (0..200u8).collect::<Vec<_>>();
        assert!(!Compressor::default().compress(&noise, 196, &mut out));
        assert_eq!(out, b"before");
        assert!(Compressor::default().compress(&[7; 200], 196, &mut out));
        assert!(out.starts_with(b"before") && out.len() < 20);
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
