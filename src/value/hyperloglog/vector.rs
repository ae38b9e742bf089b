//! Dense registers with vector instructions of x86: compilers find none for groups of six bits by
//! themselves.

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_loadu_si128, _mm_or_si128, _mm_slli_si128, _mm_srli_si128,
    _mm_storel_epi64, _mm_storeu_si128, _mm256_and_si256, _mm256_castsi256_si128,
    _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_max_epu8, _mm256_max_epu16, _mm256_or_si256, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_setr_m128i, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi32,
    _mm256_storeu_si256, _mm512_and_si512, _mm512_loadu_si512, _mm512_madd_epi16,
    _mm512_maddubs_epi16, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_max_epu8,
    _mm512_multishift_epi64_epi8, _mm512_permutexvar_epi8, _mm512_set1_epi8, _mm512_set1_epi16,
    _mm512_set1_epi32, _mm512_set1_epi64, _mm512_storeu_si512,
};
use std::array::from_fn;

use super::{Dense, HEADER, REGISTERS, dense};

/// Says that the processor has AVX-512 with its instructions for bytes.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vbmi"))
            .then_some(Avx512(()))
    }

    /// Raises registers to packed ones, where these are higher.
    pub(super) fn merge(self, registers: &mut [u8; REGISTERS], packed: &[u8; dense::LEN]) {
        // SAFETY: the processor has these instructions.
        unsafe { merge_avx512(registers, packed) }
    }

    /// Packs registers, none of which is more than can be packed.
    pub(super) fn pack(self, registers: &[u8; REGISTERS], packed: &mut [u8; dense::LEN]) {
        // SAFETY: as above.
        unsafe { pack_avx512(registers, packed) }
    }
}

/// Says that the processor has AVX2.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Avx2(()))
    }

    /// Raises registers to packed ones, where these are higher.
    pub(super) fn merge(self, registers: &mut [u8; REGISTERS], packed: &[u8; dense::LEN]) {
        // SAFETY: the processor has these instructions.
        unsafe { merge_avx2(registers, packed) }
    }

    /// Packs registers, none of which is more than can be packed.
    pub(super) fn pack(self, registers: &[u8; REGISTERS], packed: &mut [u8; dense::LEN]) {
        // SAFETY: as above.
        unsafe { pack_avx2(registers, packed) }
    }

    /// The highest of each register of several HyperLogLogs, packed as they are.
    pub(super) fn merge_packed(self, all: &[&Dense], packed: &mut [u8; dense::LEN]) {
        // SAFETY: as above.
        unsafe { merge_packed_avx2(all, packed) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn merge_avx512(registers: &mut [u8; REGISTERS], packed: &[u8; dense::LEN]) {
    /// Bytes of the 64 registers of a vector when they are packed.
    const PACKED: usize = 48;
    const LOADED: u64 = (1 << PACKED) - 1;
    // The six bytes of eight registers go to eight bytes, of which each then takes its bits.
    let spread = zmm(&from_fn(|at| (at / 8 * 6 + at % 8 % 6) as u8));
    let shifts = _mm512_set1_epi64(i64::from_le_bytes([0, 6, 12, 18, 24, 30, 36, 42]));
    let mask = _mm512_set1_epi8(dense::MAX as i8);
    let packed = packed.as_chunks::<PACKED>().0.iter();
    for (registers, packed) in registers.as_chunks_mut().0.iter_mut().zip(packed) {
        // SAFETY: only as many bytes are loaded as there are.
        let packed = unsafe { _mm512_maskz_loadu_epi8(LOADED, packed.as_ptr().cast()) };
        let spread = _mm512_permutexvar_epi8(spread, packed);
        let unpacked = _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, spread), mask);
        let raised = _mm512_max_epu8(zmm(registers), unpacked);
        // SAFETY: so many registers are as long as a vector.
        unsafe { _mm512_storeu_si512(registers.as_mut_ptr().cast(), raised) };
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn pack_avx512(registers: &[u8; REGISTERS], packed: &mut [u8; dense::LEN]) {
    const PACKED: usize = 48;
    const STORED: u64 = (1 << PACKED) - 1;
    // The factors by which the first and the second of two registers are multiplied, so that their
    // sum is both of them packed, and the same for two such pairs.
    let pair = _mm512_set1_epi16(i16::from_le_bytes([1, 1 << dense::BITS]));
    let two_pairs = _mm512_set1_epi32(1 | 1 << (2 * dense::BITS + 16));
    let gather = zmm(&from_fn(|at| (at / 3 * 4 + at % 3) as u8));
    let registers = registers.as_chunks().0.iter();
    for (packed, registers) in packed.as_chunks_mut::<PACKED>().0.iter_mut().zip(registers) {
        let groups = _mm512_madd_epi16(_mm512_maddubs_epi16(zmm(registers), pair), two_pairs);
        let gathered = _mm512_permutexvar_epi8(gather, groups);
        // SAFETY: only as many bytes are stored as there are.
        unsafe { _mm512_mask_storeu_epi8(packed.as_mut_ptr().cast(), STORED, gathered) };
    }
}

#[target_feature(enable = "avx2")]
fn merge_avx2(registers: &mut [u8; REGISTERS], packed: &[u8; dense::LEN]) {
    /// Bytes of the 32 registers of a vector when they are packed.
    const PACKED: usize = 24;
    /// Where the second half is loaded from: its 12 bytes are the last of 16.
    const SECOND: usize = 8;
    // The bytes of each half go to four words, a group to each.
    let spread = ymm(&from_fn(|at| match at % 4 {
        3 => 0x80,
        byte => (at % 16 / 4 * 3 + byte + at / 16 * (12 - SECOND)) as u8,
    }));
    let masks = [0, 8, 16, 24].map(|shift| _mm256_set1_epi32(i32::from(dense::MAX) << shift));
    let packed = packed.as_chunks::<PACKED>().0.iter();
    for (registers, packed) in registers.as_chunks_mut().0.iter_mut().zip(packed) {
        let halves = _mm256_setr_m128i(xmm(packed, 0), xmm(packed, SECOND));
        let groups = _mm256_shuffle_epi8(halves, spread);
        let first = _mm256_and_si256(groups, masks[0]);
        let second = _mm256_and_si256(_mm256_slli_epi32::<2>(groups), masks[1]);
        let third = _mm256_and_si256(_mm256_slli_epi32::<4>(groups), masks[2]);
        let fourth = _mm256_and_si256(_mm256_slli_epi32::<6>(groups), masks[3]);
        let unpacked =
            _mm256_or_si256(_mm256_or_si256(first, second), _mm256_or_si256(third, fourth));
        let raised = _mm256_max_epu8(ymm(registers), unpacked);
        // SAFETY: so many registers are as long as a vector.
        unsafe { _mm256_storeu_si256(registers.as_mut_ptr().cast(), raised) };
    }
}

#[target_feature(enable = "avx2")]
fn pack_avx2(registers: &[u8; REGISTERS], packed: &mut [u8; dense::LEN]) {
    const PACKED: usize = 24;
    // As above, in halves of 12 bytes.
    let pair = _mm256_set1_epi16(i16::from_le_bytes([1, 1 << dense::BITS]));
    let two_pairs = _mm256_set1_epi32(1 | 1 << (2 * dense::BITS + 16));
    let gather =
        ymm(&from_fn(|at| if at % 16 < 12 { (at % 16 / 3 * 4 + at % 16 % 3) as u8 } else { 0x80 }));
    let registers = registers.as_chunks().0.iter();
    for (packed, registers) in packed.as_chunks_mut::<PACKED>().0.iter_mut().zip(registers) {
        let groups = _mm256_madd_epi16(_mm256_maddubs_epi16(ymm(registers), pair), two_pairs);
        let gathered = _mm256_shuffle_epi8(groups, gather);
        let second = _mm256_extracti128_si256::<1>(gathered);
        let first = _mm_or_si128(_mm256_castsi256_si128(gathered), _mm_slli_si128::<12>(second));
        let (first_bytes, rest) = packed.split_at_mut(16);
        // SAFETY: the 24 bytes are one vector of 16 and one of 8.
        unsafe {
            _mm_storeu_si128(first_bytes.as_mut_ptr().cast(), first);
            _mm_storel_epi64(rest.as_mut_ptr().cast(), _mm_srli_si128::<4>(second));
        }
    }
}

/// Three words of 16 bits hold eight registers. One is in the low bits of each word, and one in bits
/// above it: the greatest word has the greatest of the latter, whatever lies below. The two that lie
/// across words do not if the words begin one byte earlier.
#[target_feature(enable = "avx2")]
fn merge_packed_avx2(all: &[&Dense], packed: &mut [u8; dense::LEN]) {
    const VECTOR: usize = 32;
    /// Vectors of whole groups of words.
    const PERIOD: usize = 3;
    const BLOCK: usize = PERIOD * VECTOR;
    let masks = |words: [u16; 3]| -> [__m256i; PERIOD] {
        from_fn(|vector| {
            ymm(&from_fn(|at| words[(vector * VECTOR + at) / 2 % 3].to_le_bytes()[at % 2]))
        })
    };
    let low = masks([0x3f, 0xfc, 0x3f0]);
    let high = masks([0xfc0, 0x3f00, 0xfc00]);
    let high_and_below = masks([0xfff, 0x3fff, 0xffff]);
    let across = masks([0, 0x3f0, 0xfc0]);
    let across_and_below = masks([0, 0x3ff, 0xfff]);
    for (block, packed) in packed.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let mut earlier = [0; BLOCK];
        for at in 0..PERIOD {
            let from = at * VECTOR;
            let first = HEADER + block * BLOCK + from;
            let zero = _mm256_setzero_si256();
            let (mut lows, mut highs, mut acrosses) = (zero, zero, zero);
            for one in all {
                let words = ymm(vector_at(one, first));
                let earlier_words = ymm(vector_at(one, first - 1));
                lows = _mm256_max_epu16(lows, _mm256_and_si256(words, low[at]));
                highs = _mm256_max_epu16(highs, _mm256_and_si256(words, high_and_below[at]));
                let words = _mm256_and_si256(earlier_words, across_and_below[at]);
                acrosses = _mm256_max_epu16(acrosses, words);
            }
            let in_place = _mm256_or_si256(lows, _mm256_and_si256(highs, high[at]));
            let acrosses = _mm256_and_si256(acrosses, across[at]);
            // SAFETY: so many bytes are as long as a vector.
            unsafe {
                _mm256_storeu_si256(vector_at_mut(packed, from).as_mut_ptr().cast(), in_place);
                _mm256_storeu_si256(
                    vector_at_mut(&mut earlier, from).as_mut_ptr().cast(),
                    acrosses,
                );
            }
        }
        // The first byte, which is of the block before, has no register of these.
        packed.iter_mut().zip(&earlier[1..]).for_each(|(byte, earlier)| *byte |= earlier);
    }
}

/// The 32 bytes from `at` on.
#[inline(always)]
fn vector_at<const N: usize>(bytes: &[u8; N], at: usize) -> &[u8; 32] {
    bytes[at..].first_chunk().expect("32 bytes from there on")
}

#[inline(always)]
fn vector_at_mut<const N: usize>(bytes: &mut [u8; N], at: usize) -> &mut [u8; 32] {
    bytes[at..].first_chunk_mut().expect("32 bytes from there on")
}

/// The 16 bytes of a chunk from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
fn xmm(bytes: &[u8; 24], at: usize) -> __m128i {
    let bytes: &[u8; 16] = bytes[at..].first_chunk().expect("16 bytes from there on");
    // SAFETY: the array is as long as a vector.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn zmm(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the array is as long as a vector.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn ymm(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: as above.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}
