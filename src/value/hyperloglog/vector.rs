//! Dense registers with vector instructions of x86: compilers find none for groups of six bits by
//! themselves.

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_and_si256, _mm256_loadu_si256, _mm256_maskload_epi32, _mm256_max_epu8,
    _mm256_or_si256, _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_setr_epi32,
    _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_storeu_si256, _mm512_and_si512,
    _mm512_loadu_si512, _mm512_madd_epi16, _mm512_maddubs_epi16, _mm512_mask_storeu_epi8,
    _mm512_maskz_loadu_epi8, _mm512_max_epu8, _mm512_multishift_epi64_epi8,
    _mm512_permutexvar_epi8, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_set1_epi64, _mm512_storeu_si512,
};
use std::array::from_fn;

use super::{REGISTERS, dense};

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
    // What the first and the second of two registers are multiplied by, so that their sum is both of
    // them packed, and the same for two such pairs.
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
    let loaded = _mm256_setr_epi32(-1, -1, -1, -1, -1, -1, 0, 0);
    // Three words go to each half, and their bytes to four words, a group to each.
    let halves = _mm256_setr_epi32(0, 1, 2, 2, 3, 4, 5, 5);
    let spread =
        ymm(&from_fn(|at| if at % 4 < 3 { (at % 16 / 4 * 3 + at % 4) as u8 } else { 0x80 }));
    let masks = [0, 8, 16, 24].map(|shift| _mm256_set1_epi32(i32::from(dense::MAX) << shift));
    let packed = packed.as_chunks::<PACKED>().0.iter();
    for (registers, packed) in registers.as_chunks_mut().0.iter_mut().zip(packed) {
        // SAFETY: only as many words are loaded as there are.
        let packed = unsafe { _mm256_maskload_epi32(packed.as_ptr().cast(), loaded) };
        let groups = _mm256_shuffle_epi8(_mm256_permutevar8x32_epi32(packed, halves), spread);
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
