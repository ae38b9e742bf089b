//! Strings as bits: counting, searching and combining them, and the integers in them. Sans-I/O.
//!
//! Bit 0 is the highest of the first byte, as in the bitmap commands.

mod combine;
mod field;

use std::ops::Range;

use multiversion::target::target_cfg_f;
use multiversion::{inherit_target, multiversion};

use crate::table::prefetch;

pub use combine::{Combination, combine, combine_with};
pub use field::{Field, Overflow};

/// Bytes that are compared at once while a string is searched.
const COMPARED: usize = 128;

/// Bytes between the positions at which a string of `len` bytes is processed alternately, a block at a
/// time.
///
/// A processor that reads memory at one position has too few cache misses in flight: at four positions,
/// 16 MiB are combined 1.6 times as fast, and at eight they are counted 1.3 times as fast. The number
/// of blocks in between is odd: positions a multiple of a page apart share few lines of the cache.
fn stream(len: usize, places: usize, block: usize) -> usize {
    (len.div_ceil(places).div_ceil(block) | 1) * block
}

/// Whether the bit at `position` is set; beyond the end none is.
pub fn is_set(bytes: &[u8], position: usize) -> bool {
    bytes.get(position / 8).is_some_and(|byte| byte << (position % 8) & 0x80 != 0)
}

/// Sets or clears the bit at `position`, which the string must have. Returns its former value.
pub fn replace(bytes: &mut [u8], position: usize, bit: bool) -> bool {
    let byte = &mut bytes[position / 8];
    let mask = 0x80 >> (position % 8);
    let old = *byte & mask != 0;
    *byte = if bit { *byte | mask } else { *byte & !mask };
    old
}

/// How many bits of the range are set; the string must have all of it.
pub fn count(bytes: &[u8], bits: Range<usize>) -> u64 {
    if bits.is_empty() {
        return 0;
    }
    let (first, end) = (bits.start / 8, bits.end.div_ceil(8));
    let before = bytes[first] & !(0xff >> (bits.start % 8));
    let after = match bits.end % 8 {
        0 => 0,
        used => bytes[end - 1] & (0xff >> used),
    };
    count_all(&bytes[first..end]) - u64::from(before.count_ones() + after.count_ones())
}

#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512vl+avx512vpopcntdq+popcnt",
    // Compilers make vectors of AVX2 of it, which are slower than the processor's instruction for a word.
    "x86_64+popcnt",
))]
fn count_all(bytes: &[u8]) -> u64 {
    const IS_VECTOR: bool = target_cfg_f!(target_feature = "avx512vpopcntdq");
    // Strings that fit in the nearer caches are counted faster in one pass.
    const FAR: usize = 8 << 20;
    const PLACES: usize = 8;
    const BLOCK: usize = if IS_VECTOR { 256 } else { 1024 };
    // A function of its own: so compilers find registers for all sums, here and below.
    #[inherit_target]
    #[inline(never)]
    fn count_far(bytes: &[u8]) -> u64 {
        let stream = stream(bytes.len(), PLACES, BLOCK);
        let mut count = 0;
        for at in (0..stream).step_by(BLOCK) {
            for place in 0..PLACES {
                let rest = bytes.get(place * stream + at..).unwrap_or_default();
                count += ones::<IS_VECTOR>(&rest[..rest.len().min(BLOCK)]);
            }
        }
        count
    }
    if bytes.len() < FAR { ones::<IS_VECTOR>(bytes) } else { count_far(bytes) }
}

/// `IS_VECTOR` says that the processor counts in vectors; else it does word by word.
#[inline(always)]
fn ones<const IS_VECTOR: bool>(bytes: &[u8]) -> u64 {
    if IS_VECTOR { ones_in::<8, 8>(bytes, |_| ()) } else { ones_in::<32, 4>(bytes, prefetch_next) }
}

/// Counts words a group at a time, in several sums: additions need not wait for each other.
#[inline(always)]
fn ones_in<const GROUP: usize, const SUMS: usize>(
    bytes: &[u8],
    before: impl Fn(&[[u8; 8]; GROUP]),
) -> u64 {
    let (words, odd) = bytes.as_chunks();
    let ones = |word: &[u8; 8]| u64::from(u64::from_ne_bytes(*word).count_ones());
    let (groups, rest) = words.as_chunks();
    let mut sums = [0; SUMS];
    for group in groups {
        before(group);
        for (at, word) in group.iter().enumerate() {
            sums[at % SUMS] += ones(word);
        }
    }
    let in_odd = odd.iter().map(|byte| u64::from(byte.count_ones()));
    sums.iter().sum::<u64>() + rest.iter().map(ones).sum::<u64>() + in_odd.sum::<u64>()
}

/// Hints that the words some groups further on will be read soon.
#[inline(always)]
fn prefetch_next<const GROUP: usize>(group: &[[u8; 8]; GROUP]) {
    const LINE: usize = 64;
    const AHEAD: usize = 1024;
    let next = group.as_ptr().wrapping_byte_add(AHEAD);
    (0..size_of_val(group)).step_by(LINE).for_each(|at| prefetch(next.wrapping_byte_add(at)));
}

/// The first bit of the range that is `bit`; the string must have all of it.
pub fn find(bytes: &[u8], bits: Range<usize>, bit: bool) -> Option<usize> {
    if bits.is_empty() {
        return None;
    }
    // The byte that has no such bit.
    let blank = if bit { 0 } else { 0xff };
    let first = bits.start / 8;
    let rest = first + 1..bits.end.div_ceil(8);
    let (at, found) = match (bytes[first] ^ blank) & (0xff >> (bits.start % 8)) {
        0 => {
            let at = rest.start + prefix(&bytes[rest.clone()], blank);
            (at, bytes[..rest.end].get(at)? ^ blank)
        }
        found => (first, found),
    };
    Some(8 * at + found.leading_zeros() as usize).filter(|at| *at < bits.end)
}

/// The number of bytes at the beginning that equal `blank`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn prefix(bytes: &[u8], blank: u8) -> usize {
    let (blocks, _) = bytes.as_chunks::<COMPARED>();
    let is_blank = |block: &&[u8; COMPARED]| block.iter().fold(0, |odd, b| odd | (b ^ blank)) == 0;
    let skipped = COMPARED * blocks.iter().take_while(is_blank).count();
    skipped + bytes[skipped..].iter().take_while(|byte| **byte == blank).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bit_at(bytes: &[u8], at: usize) -> bool {
        format!("{:08b}", bytes[at / 8]).as_bytes()[at % 8] == b'1'
    }

    /// Strings that are mostly of one kind of byte, so that searches go far.
    fn strings() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0u8), Just(0xff), any::<u8>()];
        let run = (byte, 0..400usize).prop_map(|(byte, len)| vec![byte; len]);
        prop::collection::vec(run, 1..4).prop_map(|runs| runs.concat())
    }

    proptest! {
        #[test]
        fn ranges_are_counted_and_searched_bit_by_bit(
            bytes in strings(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()
        ) {
            let len = 8 * bytes.len();
            let (a, b) = (a.index(len + 1), b.index(len + 1));
            for range in [a.min(b)..a.max(b), 0..len] {
                let count_in = range.clone().filter(|at| bit_at(&bytes, *at)).count();
                prop_assert_eq!(count(&bytes, range.clone()), count_in as u64);
                for bit in [false, true] {
                    let first = range.clone().find(|at| bit_at(&bytes, *at) == bit);
                    prop_assert_eq!(find(&bytes, range.clone(), bit), first);
                }
            }
        }

        #[test]
        fn a_bit_is_replaced_alone(bytes in strings(), at in any::<prop::sample::Index>(), bit in any::<bool>()) {
            prop_assume!(!bytes.is_empty());
            let at = at.index(8 * bytes.len());
            let mut changed = bytes.clone();
            prop_assert_eq!(replace(&mut changed, at, bit), bit_at(&bytes, at));
            prop_assert_eq!(is_set(&changed, at), bit);
            replace(&mut changed, at, bit_at(&bytes, at));
            prop_assert_eq!(changed, bytes);
        }
    }

    #[test]
    fn every_byte_is_counted_once() {
        for len in [
            0,
            1,
            255,
            256,
            257,
            2047,
            2048,
            2049,
            2304,
            4096,
            4097,
            19_999,
            (8 << 20) - 1,
            8 << 20,
            (8 << 20) + 257,
        ] {
            assert_eq!(count(&vec![0b1101; len], 0..8 * len), 3 * len as u64, "{len}");
        }
    }

    #[test]
    fn beyond_the_end_no_bit_is_set() {
        assert!(is_set(&[1], 7) && !is_set(&[1], 8) && !is_set(&[], usize::MAX));
    }
}
