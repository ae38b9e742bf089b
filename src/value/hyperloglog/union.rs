//! Several HyperLogLogs together.

#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::{Dense, Registers, dense};

/// The highest of each of their registers.
pub enum Union {
    /// One of them at least is dense: packed as in a dense one.
    Dense(Box<[u8; dense::LEN]>),
    Sparse(Box<Registers>),
}

impl Union {
    /// Of the registers of all sparse ones, if there are any, and of dense ones.
    pub fn of(sparse: Option<Box<Registers>>, dense: &[&Dense]) -> Union {
        if dense.is_empty() {
            return Union::Sparse(sparse.unwrap_or_else(Registers::new));
        }
        let mut packed = Box::new([0; _]);
        merge(dense, &mut packed);
        if let Some(mut registers) = sparse {
            registers.merge_dense(&packed);
            registers.pack(&mut packed);
        }
        Union::Dense(packed)
    }

    /// The estimated count.
    pub fn count(&self) -> u64 {
        match self {
            Union::Dense(packed) => {
                let mut registers = Registers::new();
                registers.merge_dense(packed);
                registers.count()
            }
            Union::Sparse(registers) => registers.count(),
        }
    }
}

fn merge(all: &[&Dense], packed: &mut [u8; dense::LEN]) {
    if let [one] = all {
        return packed.copy_from_slice(registers(one));
    }
    // With AVX-512, registers are unpacked in fewer steps than packed ones are merged.
    #[cfg(target_arch = "x86_64")]
    if Avx512::detect().is_none()
        && let Some(avx2) = Avx2::detect()
    {
        return avx2.merge_packed(all, packed);
    }
    let mut merged = Registers::new();
    all.iter().for_each(|one| merged.merge_dense(registers(one)));
    merged.pack(packed);
}

fn registers(dense: &Dense) -> &[u8; dense::LEN] {
    dense.last_chunk().expect("the registers follow the header")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HEADER, REGISTERS};
    use super::*;

    proptest! {
        #[test]
        fn whichever_way_dense_ones_are_merged(
            seeds in prop::collection::vec(any::<[u8; 31]>(), 1..8)
        ) {
            let all: Vec<Box<Dense>> = seeds.iter().map(|seed| {
                Box::new(std::array::from_fn(|at| seed[at % seed.len()]))
            }).collect();
            let all: Vec<&Dense> = all.iter().map(Box::as_ref).collect();
            let highest = |register| {
                let values = all.iter().map(|one| dense::get(&one[HEADER..], register));
                values.max().unwrap()
            };
            let mut packed = [0; dense::LEN];
            merge(&all, &mut packed);
            for register in 0..REGISTERS {
                prop_assert_eq!(dense::get(&packed, register), highest(register));
            }
            #[cfg(target_arch = "x86_64")]
            if let Some(avx2) = Avx2::detect() {
                let mut again = [0; dense::LEN];
                avx2.merge_packed(&all, &mut again);
                prop_assert!(again == packed);
            }
        }
    }
}
