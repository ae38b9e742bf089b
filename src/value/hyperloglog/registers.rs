//! All registers unpacked: the form in which several HyperLogLogs are merged.

use multiversion::multiversion;

use super::estimate::{self, Histogram, VALUES};
#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::{Claim, Corrupt, ENCODING, HEADER, REGISTERS, dense, sparse};

/// Registers of a dense group: four of six bits are three bytes.
const GROUP: usize = 4;
const GROUP_LEN: usize = 3;

/// The registers, one byte for each.
#[repr(align(64))]
pub struct Registers([u8; REGISTERS]);

impl Registers {
    /// Registers that are all zero.
    pub fn new() -> Box<Registers> {
        Box::new(Registers([0; REGISTERS]))
    }

    pub fn get(&self, index: usize) -> u8 {
        self.0[index]
    }

    /// The registers that are not zero, in order.
    pub fn claims(&self) -> impl Iterator<Item = Claim> {
        let all = self.0.iter().enumerate();
        all.filter(|(_, value)| **value > 0)
            .map(|(register, value)| Claim { register, value: *value })
    }

    /// Raises each register to the one of a HyperLogLog, where that is higher. If the HyperLogLog is
    /// corrupt, some registers are raised.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        let packed = &bytes[HEADER..];
        match bytes[ENCODING] {
            0 => self.merge_dense(packed.as_array().ok_or(Corrupt)?),
            _ => sparse::merge(packed, &mut self.0)?,
        }
        Ok(())
    }

    /// Raises each register to the one of a dense HyperLogLog, where that is higher.
    pub(super) fn merge_dense(&mut self, packed: &[u8; dense::LEN]) {
        merge_dense(&mut self.0, packed);
    }

    /// A dense HyperLogLog of these registers, with the header of another.
    pub fn to_dense(&self, header: &[u8]) -> Vec<u8> {
        let mut packed = [0; _];
        self.pack(&mut packed);
        super::dense_of(header, &packed)
    }

    /// Packs all registers as a dense HyperLogLog has them.
    pub(super) fn pack(&self, packed: &mut [u8; dense::LEN]) {
        pack(&self.0, packed);
    }

    /// The estimated count.
    pub fn count(&self) -> u64 {
        estimate::count(&self.histogram())
    }

    /// How many registers have each value. Registers have few different values, close to each other:
    /// counting one value after the other in all registers takes less time than a histogram.
    fn histogram(&self) -> Histogram {
        let mut histogram = [0; VALUES];
        let mut missing = REGISTERS as u32;
        for (value, count) in histogram.iter_mut().enumerate() {
            if missing == 0 {
                break;
            }
            *count = occurrences(&self.0, value as u8);
            missing -= *count;
        }
        histogram
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn occurrences(registers: &[u8; REGISTERS], value: u8) -> u32 {
    const VECTOR: usize = 64;
    /// So many vectors that no count overflows.
    const COUNTED: usize = 128;
    let mut sum = 0;
    for vectors in registers.as_chunks::<VECTOR>().0.as_chunks::<COUNTED>().0 {
        let mut counts = [0u8; VECTOR];
        for vector in vectors {
            for (count, register) in counts.iter_mut().zip(vector) {
                *count += u8::from(*register == value);
            }
        }
        sum += counts.iter().map(|count| u32::from(*count)).sum::<u32>();
    }
    sum
}

fn merge_dense(registers: &mut [u8; REGISTERS], packed: &[u8; dense::LEN]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx512) = Avx512::detect() {
        return avx512.merge(registers, packed);
    } else if let Some(avx2) = Avx2::detect() {
        return avx2.merge(registers, packed);
    }
    merge_groups(registers, packed);
}

fn pack(registers: &[u8; REGISTERS], packed: &mut [u8; dense::LEN]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx512) = Avx512::detect() {
        return avx512.pack(registers, packed);
    } else if let Some(avx2) = Avx2::detect() {
        return avx2.pack(registers, packed);
    }
    pack_groups(registers, packed);
}

fn merge_groups(registers: &mut [u8; REGISTERS], packed: &[u8; dense::LEN]) {
    let groups = packed.as_chunks::<GROUP_LEN>().0.iter();
    for ([a, b, c, d], [first, second, third]) in
        registers.as_chunks_mut::<GROUP>().0.iter_mut().zip(groups)
    {
        *a = (*a).max(first & dense::MAX);
        *b = (*b).max(first >> 6 | second << 2 & dense::MAX);
        *c = (*c).max(second >> 4 | third << 4 & dense::MAX);
        *d = (*d).max(third >> 2);
    }
}

fn pack_groups(registers: &[u8; REGISTERS], packed: &mut [u8; dense::LEN]) {
    let groups = registers.as_chunks::<GROUP>().0.iter();
    for (group, [a, b, c, d]) in packed.as_chunks_mut::<GROUP_LEN>().0.iter_mut().zip(groups) {
        *group = [a | b << 6, b >> 2 | c << 4, c >> 4 | d << 2];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_vector_instructions_merge_and_pack_alike(
            packed in prop::collection::vec(any::<u8>(), dense::LEN),
            raised in prop::collection::vec(0..=dense::MAX, REGISTERS),
        ) {
            let packed: &[u8; dense::LEN] = packed.as_array().unwrap();
            let raised: &[u8; REGISTERS] = raised.as_array().unwrap();
            let expected: Vec<_> =
                (0..REGISTERS).map(|index| dense::get(packed, index).max(raised[index])).collect();
            for merge in [merge_dense, merge_groups] {
                let mut merged = *raised;
                merge(&mut merged, packed);
                prop_assert!(merged[..] == expected);
            }
            #[cfg(target_arch = "x86_64")]
            if let Some(avx2) = Avx2::detect() {
                let mut merged = *raised;
                avx2.merge(&mut merged, packed);
                prop_assert!(merged[..] == expected);
            }
            let mut unpacked = [0; REGISTERS];
            merge_groups(&mut unpacked, packed);
            for pack in [pack, pack_groups] {
                let mut again = [0; dense::LEN];
                pack(&unpacked, &mut again);
                prop_assert!(again == *packed);
            }
            #[cfg(target_arch = "x86_64")]
            if let Some(avx2) = Avx2::detect() {
                let mut again = [0; dense::LEN];
                avx2.pack(&unpacked, &mut again);
                prop_assert!(again == *packed);
            }
        }
    }
}
