//! All registers unpacked: what several HyperLogLogs are merged in.

use multiversion::multiversion;

use super::estimate::{self, Histogram, VALUES};
use super::{Claim, Corrupt, ENCODING, HEADER, REGISTERS, dense, sparse};

/// Registers of a dense group: four of six bits are three bytes.
const GROUP: usize = 4;
const GROUP_LEN: usize = 3;

/// Groups that are worked on at once.
const BATCH: usize = 64;
const BATCHES: usize = REGISTERS / GROUP / BATCH;

/// Bytes of a sparse one from which on it is faster written out than visited value by value.
const WORTH_EXPANDING: usize = 200;

/// The registers of a batch, one byte for each: first the first one of each group, then the second
/// ones … So groups are taken apart and put together by operations on whole vectors.
type Batch = [[u8; BATCH]; GROUP];

/// Batch by batch, so that the vectors that are worked on together never differ by a multiple of 4 KiB:
/// a processor takes such addresses for the same at first.
#[repr(align(64))]
pub struct Registers([Batch; BATCHES]);

impl Registers {
    /// All are zero.
    pub fn new() -> Box<Registers> {
        Box::new(Registers([[[0; BATCH]; GROUP]; BATCHES]))
    }

    pub fn get(&self, index: usize) -> u8 {
        let group = index / GROUP;
        self.0[group / BATCH][index % GROUP][group % BATCH]
    }

    fn raise(&mut self, claim: Claim) {
        let group = claim.register / GROUP;
        let register = &mut self.0[group / BATCH][claim.register % GROUP][group % BATCH];
        *register = claim.value.max(*register);
    }

    /// Those that are not zero, in order.
    pub fn claims(&self) -> impl Iterator<Item = Claim> {
        let all = (0..REGISTERS).map(|register| Claim { register, value: self.get(register) });
        all.filter(|claim| claim.value > 0)
    }

    /// Raises each register to the one of a HyperLogLog, where that is higher.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        let packed = &bytes[HEADER..];
        if bytes[ENCODING] == 0 {
            merge_dense(&mut self.0, packed);
            return Ok(());
        }
        if packed.len() < WORTH_EXPANDING {
            return sparse::for_each_value(packed, |claim| self.raise(claim));
        }
        let mut expanded = [0; _];
        sparse::expand(packed, &mut expanded)?;
        merge_expanded(&mut self.0, &expanded);
        Ok(())
    }

    /// A dense HyperLogLog of these registers, with the header of another.
    pub fn to_dense(&self, header: &[u8]) -> Vec<u8> {
        let mut dense = header[..HEADER].to_vec();
        dense[ENCODING] = 0;
        dense.resize(HEADER + dense::LEN, 0);
        self.pack(&mut dense);
        dense
    }

    /// Writes all registers to a dense HyperLogLog.
    pub fn pack(&self, dense: &mut [u8]) {
        pack(&self.0, &mut dense[HEADER..]);
    }

    /// The estimated count.
    pub fn count(&self) -> u64 {
        estimate::count(&self.histogram())
    }

    /// How many registers have each value. They have few different ones, near each other: to look
    /// for one after the other in all registers takes less time than to look at each register.
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
fn occurrences(batches: &[Batch; BATCHES], value: u8) -> u32 {
    /// So many, with four times as many vectors, that no count overflows.
    const COUNTED: usize = 32;
    let mut sum = 0;
    for batches in batches.as_chunks::<COUNTED>().0 {
        let mut counts = [0u8; BATCH];
        for [a, b, c, d] in batches {
            for (at, count) in counts.iter_mut().enumerate() {
                *count +=
                    [a[at], b[at], c[at], d[at]].map(|r| u8::from(r == value)).iter().sum::<u8>();
            }
        }
        sum += counts.iter().map(|count| u32::from(*count)).sum::<u32>();
    }
    sum
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512vbmi", "x86_64+avx2"))]
fn merge_dense(batches: &mut [Batch; BATCHES], packed: &[u8]) {
    let (packed, _) = packed.as_chunks::<{ GROUP_LEN * BATCH }>();
    for (packed, [a, b, c, d]) in packed.iter().zip(batches) {
        for (at, group) in packed.as_chunks::<GROUP_LEN>().0.iter().enumerate() {
            let [first, second, third] = *group;
            a[at] = a[at].max(first & dense::MAX);
            b[at] = b[at].max(first >> 6 | second << 2 & dense::MAX);
            c[at] = c[at].max(second >> 4 | third << 4 & dense::MAX);
            d[at] = d[at].max(third >> 2);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512vbmi", "x86_64+avx2"))]
fn merge_expanded(batches: &mut [Batch; BATCHES], expanded: &sparse::Expanded) {
    let (expanded, _) = expanded.as_chunks::<{ GROUP * BATCH }>();
    for (expanded, [a, b, c, d]) in expanded.iter().zip(batches) {
        for (at, group) in expanded.as_chunks::<GROUP>().0.iter().enumerate() {
            let [first, second, third, fourth] = *group;
            a[at] = a[at].max(first);
            b[at] = b[at].max(second);
            c[at] = c[at].max(third);
            d[at] = d[at].max(fourth);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512vbmi", "x86_64+avx2"))]
fn pack(batches: &[Batch; BATCHES], packed: &mut [u8]) {
    let (packed, _) = packed.as_chunks_mut::<{ GROUP_LEN * BATCH }>();
    for (packed, [a, b, c, d]) in packed.iter_mut().zip(batches) {
        for (at, group) in packed.as_chunks_mut::<GROUP_LEN>().0.iter_mut().enumerate() {
            *group = [a[at] | b[at] << 6, b[at] >> 2 | c[at] << 4, c[at] >> 4 | d[at] << 2];
        }
    }
}
