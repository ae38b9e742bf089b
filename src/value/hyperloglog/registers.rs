//! All registers unpacked: what several HyperLogLogs are merged in.

use multiversion::multiversion;

use super::estimate::{self, Histogram, VALUES};
use super::{Claim, Corrupt, ENCODING, HEADER, REGISTERS, dense, sparse};

/// Registers of a dense group: four of six bits are three bytes.
const GROUP: usize = 4;
const GROUP_LEN: usize = 3;
const GROUPS: usize = REGISTERS / GROUP;

/// Groups that are worked on at once, a vector of each register of a group.
const BATCH: usize = 64;

/// One byte for each register, in planes: register `i` is in plane `i % 4`. So a vector of groups is
/// taken apart and put together without moving bytes within it.
pub struct Registers([[u8; GROUPS]; GROUP]);

impl Registers {
    /// All are zero.
    pub fn new() -> Box<Registers> {
        Box::new(Registers([[0; GROUPS]; GROUP]))
    }

    pub fn get(&self, index: usize) -> u8 {
        self.0[index % GROUP][index / GROUP]
    }

    fn raise(&mut self, claim: Claim) {
        let register = &mut self.0[claim.register % GROUP][claim.register / GROUP];
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
        sparse::for_each_value(packed, |claim| self.raise(claim))
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
fn occurrences(planes: &[[u8; GROUPS]; GROUP], value: u8) -> u32 {
    let in_plane = |plane: &[u8; GROUPS]| {
        // No more than 64 in each, from as many batches.
        let mut counts = [0u8; BATCH];
        for batch in plane.as_chunks::<BATCH>().0 {
            for (count, register) in counts.iter_mut().zip(batch) {
                *count += u8::from(*register == value);
            }
        }
        counts.iter().map(|count| u32::from(*count)).sum::<u32>()
    };
    planes.iter().map(in_plane).sum()
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512vbmi", "x86_64+avx2"))]
fn merge_dense(planes: &mut [[u8; GROUPS]; GROUP], packed: &[u8]) {
    let (batches, _) = packed.as_chunks::<{ GROUP_LEN * BATCH }>();
    let [a, b, c, d] = planes.each_mut().map(|plane| plane.as_chunks_mut::<BATCH>().0);
    for ((((batch, a), b), c), d) in batches.iter().zip(a).zip(b).zip(c).zip(d) {
        for (at, group) in batch.as_chunks::<GROUP_LEN>().0.iter().enumerate() {
            let [first, second, third] = *group;
            a[at] = a[at].max(first & dense::MAX);
            b[at] = b[at].max(first >> 6 | second << 2 & dense::MAX);
            c[at] = c[at].max(second >> 4 | third << 4 & dense::MAX);
            d[at] = d[at].max(third >> 2);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512vbmi", "x86_64+avx2"))]
fn pack(planes: &[[u8; GROUPS]; GROUP], packed: &mut [u8]) {
    let (batches, _) = packed.as_chunks_mut::<{ GROUP_LEN * BATCH }>();
    let [a, b, c, d] = planes.each_ref().map(|plane| plane.as_chunks::<BATCH>().0);
    for ((((batch, a), b), c), d) in batches.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        for (at, group) in batch.as_chunks_mut::<GROUP_LEN>().0.iter_mut().enumerate() {
            *group = [a[at] | b[at] << 6, b[at] >> 2 | c[at] << 4, c[at] >> 4 | d[at] << 2];
        }
    }
}
